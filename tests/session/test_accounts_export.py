"""The export of several accounts: one file, in which each task names its account."""

from pathlib import Path
from typing import Any

import pytest

from bulkupdate import Exported, Selection, export_tasks
from bulkupdate.errors import ConfigError, InputError, RunStoppedError
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.models import Row
from bulkupdate.reader import Input, ReadOptions
from bulkupdate.sandbox import Member
from bulkupdate.stop import Stop
from tests.support.listed import AT_ONCE
from tests.support.many import NAMES, ManyBench, key_of

BEN = Member("usr_ben", "Ben", "Keller", "ben@example.com")
ZOE = Member("usr_zoe", "Zoe", "Martin", "zoe@example.com")
OTHER_BEN = Member("usr_ben2", "Ben", "Keller", "keller@example.com")


def filled(bench: ManyBench, count: int = 3) -> None:
    """Give each account tasks with the same ids."""
    for name, account in bench.sandbox.accounts.items():
        team = account.team
        team.users = {BEN.id: BEN} if name == "acme" else {ZOE.id: ZOE}
        for n in range(1, count + 1):
            owner = BEN if name == "acme" else ZOE
            due = f"2026-03-0{n}T09:00:00.000Z"
            team.add(f"opp_{n}", "manual")
            team.tasks[f"opp_{n}"] |= {
                "title": f"T{n} of {name}",
                "userId": owner.id,
                "dueDate": due,
            }


async def exported(bench: ManyBench, path: str = "all.csv", **options: Any) -> Exported:
    """Export the tasks of all accounts of a sandbox."""
    defaults = {"accounts": bench.accounts(), "rate": None, "retry": AT_ONCE}
    return await export_tasks(None, path, **{**defaults, **options})


def rows(path: str = "all.csv", names: tuple[str, ...] | None = NAMES) -> list[Row]:
    """The rows of a file that names accounts."""
    with Input.open(Path(path), options=ReadOptions(accounts=names)) as source:
        return [*source.rows()]


@pytest.mark.parametrize("path", ["all.csv", "all.jsonl", "all.xlsx"])
async def test_one_file_has_the_tasks_of_all_accounts(path: str) -> None:
    """The same ids are there once for each account, with its own values, in the accounts' order."""
    async with ManyBench() as bench:
        filled(bench)
        found = await exported(bench, path)
    assert [(row.account, row.id, row.update and row.update.title) for row in rows(path)] == [
        (name, f"opp_{n}", f"T{n} of {name}") for name in NAMES for n in (1, 2, 3)
    ]
    assert (found.tasks, found.listed) == (9, 9)
    assert found.accounts == dict.fromkeys(NAMES, 3)
    assert found.notes == []


async def test_file_is_refused_without_accounts() -> None:
    """It never goes to the one key of another run. Its second column names the account."""
    async with ManyBench() as bench:
        filled(bench)
        await exported(bench)
    header = Path("all.csv").read_text("utf-8-sig").splitlines()[0].split(",")
    assert (header[:2], header[-1]) == (["id", "account"], "bulkupdate_accounts=yes")
    with pytest.raises(InputError, match="is of a run with accounts"):
        rows(names=None)


async def test_file_that_nobody_changed_changes_nothing() -> None:
    """A compared run of the file sends nothing to any account."""
    async with ManyBench() as bench:
        filled(bench)
        await exported(bench, "all.jsonl")
        bench.seen.clear()
        summary = await bench.run(Path("all.jsonl"), compare=True)
        assert not any(seen.method == "PATCH" for seen in bench.seen)
    assert (summary.exit_code, summary.counts["unchanged"]) == (0, 9)


async def test_account_that_may_only_be_read_is_exported() -> None:
    """`read_only` forbids edits."""
    Path("accounts.toml").write_text('[acme]\napi_key_env = "ACME"\nread_only = true\n')
    async with ManyBench() as bench:
        filled(bench)
        environ, url = {"ACME": key_of("acme")}, bench.sandbox.base_url
        accounts = Accounts.load(Path("accounts.toml"), environ=environ, base_url=url)
        found = await exported(bench, accounts=accounts)
    assert found.accounts == {"acme": 3}


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("refused", r"^account 'globex': the key is refused: unauthorized"),
        ("is_down", r"^account 'globex': .*(tasks|server)"),
    ],
)
async def test_account_that_can_not_be_read_leaves_no_file(trouble: str, says: str) -> None:
    """Half an export would look whole. The message names the account."""
    async with ManyBench() as bench:
        filled(bench)
        setattr(bench.account("globex"), trouble, True)
        with pytest.raises(RunStoppedError, match=says):
            await exported(bench)
    assert not Path("all.csv").exists()


async def test_account_without_a_task_is_named() -> None:
    """It is an error, as for one key, unless `allow_few` accepts it."""
    async with ManyBench() as bench:
        filled(bench)
        bench.account("initech").team.tasks.clear()
        with pytest.raises(RunStoppedError, match="account 'initech': the server lists no task"):
            await exported(bench)
        found = await exported(bench, allow_few=True)
    assert found.accounts == {"acme": 3, "globex": 3, "initech": 0}


async def test_missing_key_is_told_before_anything_is_asked() -> None:
    """Each that is missing has its line."""
    names = "".join(f'[{name}]\napi_key_env = "{name.upper()}"\n' for name in NAMES)
    Path("accounts.toml").write_text(names)
    async with ManyBench() as bench:
        environ, url = {"ACME": key_of("acme")}, bench.sandbox.base_url
        accounts = Accounts.load(Path("accounts.toml"), environ=environ, base_url=url)
        with pytest.raises(ConfigError) as refused:
            await exported(bench, accounts=accounts)
        assert bench.seen == bench.asked == []
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == [
        "account 'globex'",
        "account 'initech'",
    ]


async def test_same_key_twice_is_refused() -> None:
    """Its tasks would be there twice, and two readings would share one limit."""
    async with ManyBench() as bench:
        with pytest.raises(ConfigError, match=r"acme.*globex.*have the same API key"):
            await exported(bench, accounts=bench.accounts(globex=key_of("acme")))


async def test_two_accounts_of_one_team_are_pointed_out() -> None:
    """Their tasks are in the file twice."""
    async with ManyBench() as bench:
        filled(bench)
        bench.account("globex").team.id = bench.account("acme").team.id = "tea_a"
        found = await exported(bench)
    assert found.notes == [
        "acme and globex are one team (tea_a): their tasks are in the file more than once"
    ]


# --- who is selected ------------------------------------------------------------------------


async def test_person_whom_an_account_does_not_know_has_no_task_there() -> None:
    """Of an account that knows no one who is meant, no task is asked for."""
    async with ManyBench() as bench:
        filled(bench)
        found = await exported(bench, selection=Selection(assigned_to=["ben@example.com"]))
        assert {seen.account for seen in bench.seen} == {"acme"}
        assert [row.account for row in rows()] == ["acme"] * 3
        assert found.accounts == {"acme": 3, "globex": 0, "initech": 0}
        both = Selection(assigned_to=["Ben Keller", "zoe@example.com"])
        found = await exported(bench, selection=both, overwrite=True)
    assert found.accounts == dict.fromkeys(NAMES, 3)


async def test_person_whom_no_account_knows_is_an_error() -> None:
    """The nearest member of any account is named."""
    async with ManyBench() as bench:
        filled(bench)
        selection = Selection(assigned_to=["ben@example.com", "zoo@example.com"])
        with pytest.raises(InputError) as refused:
            await exported(bench, selection=selection)
    assert str(refused.value).startswith("assigned_to 'zoo@example.com' is no member of the team")
    assert "zoe@example.com" in str(refused.value)
    assert not Path("all.csv").exists()


async def test_name_of_two_members_of_one_account_is_an_error() -> None:
    """Nobody is guessed. The account is named."""
    async with ManyBench() as bench:
        filled(bench)
        bench.account("acme").team.users[OTHER_BEN.id] = OTHER_BEN
        with pytest.raises(InputError, match=r"^account 'acme': assigned_to 'Ben Keller' stands"):
            await exported(bench, selection=Selection(assigned_to=["Ben Keller"]))


async def test_field_that_one_account_does_not_show_selects_nothing_there() -> None:
    """It is told. If no account shows it, it is an error, as for one key."""
    async with ManyBench() as bench:
        filled(bench)
        for task in bench.account("globex").team.tasks.values():
            del task["type"]
        selection = Selection(types=["manual"])
        found = await exported(bench, selection=selection)
        assert found.accounts == {"acme": 3, "globex": 0, "initech": 3}
        assert found.notes == ["globex: no task shows its type, so none can be selected by it"]
        for account in bench.sandbox.accounts.values():
            for task in account.team.tasks.values():
                task.pop("type", None)
        with pytest.raises(InputError, match="no task shows its type"):
            await exported(bench, selection=selection, overwrite=True)


# --- side by side ---------------------------------------------------------------------------


async def test_accounts_are_read_side_by_side() -> None:
    """None waits for the pages of another, and progress counts the tasks of all."""
    told: list[int] = []
    async with ManyBench(latency=(20, 20)) as bench:
        filled(bench)
        await exported(bench, on_page=told.append)
        first = [seen.account for seen in bench.seen[:3]]
    assert sorted(first) == sorted(NAMES)
    assert (told[0], told[-1]) == (3, 9)


async def test_stop_ends_the_export_of_all_accounts() -> None:
    """No file appears."""
    stop = Stop()
    async with ManyBench() as bench:
        filled(bench)
        with pytest.raises(RunStoppedError, match=r"^enough$"):
            await exported(bench, stop=stop, on_page=lambda _: stop.set("enough"))
    assert not Path("all.csv").exists()


@pytest.mark.parametrize("both", [True, False])
async def test_endpoint_and_accounts_are_not_given_together(*, both: bool) -> None:
    """One of them says where the tasks are."""
    async with ManyBench() as bench:
        accounts = bench.accounts()
        endpoint = accounts["acme"].endpoint() if both else None
        with pytest.raises(ConfigError, match="needs an endpoint or accounts, and not both"):
            await export_tasks(endpoint, "all.csv", accounts=accounts if both else None)
