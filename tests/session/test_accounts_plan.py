"""The plan of a file for several accounts: each row is judged by the tasks of its own account."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import export_tasks, plan_edits
from bulkupdate.errors import ConfigError, InputError, RunStoppedError
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.models import Row
from bulkupdate.reader import Input, ReadOptions
from bulkupdate.sandbox import Member
from bulkupdate.session.planrecord import Change, Plan
from bulkupdate.session.settings import ChangeLimit
from bulkupdate.session.undo import undo_run
from bulkupdate.stop import Stop
from bulkupdate.ui.planned import change_lines, problem_lines, total_lines
from tests.support.listed import AT_ONCE
from tests.support.many import NAMES, ManyBench, edits_of, key_of

Write = Callable[..., Path]
HEADER = "account,id,title"
BEN = Member("usr_ben", "Ben", "Keller", "ben@example.com")
ZOE = Member("usr_zoe", "Zoe", "Martin", "zoe@example.com")


def filled(bench: ManyBench, count: int = 5) -> None:
    """Give each account tasks with the same ids."""
    for name, account in bench.sandbox.accounts.items():
        team = account.team
        team.users = {BEN.id: BEN, ZOE.id: ZOE}
        for n in range(1, count + 1):
            team.add(f"opp_{n}", "manual")
            team.tasks[f"opp_{n}"] |= {"title": f"Old {n} of {name}", "userId": BEN.id}


async def planned(bench: ManyBench, path: Path, **options: Any) -> tuple[Plan, list[Change]]:
    """The plan of a file, and its changes."""
    defaults = {"accounts": bench.accounts(), "rate": None, "retry": AT_ONCE}
    async with plan_edits(path, **{**defaults, **options}) as plan:
        return plan, [*plan.changes()]


def rows(path: Path) -> list[Row]:
    """The rows of a file that names accounts."""
    with Input.open(path, options=ReadOptions(accounts=NAMES)) as source:
        return [*source.rows()]


async def test_rows_are_judged_by_the_tasks_of_their_own_account(write: Write) -> None:
    """The same id changes in one account, is already so in another, and not listed in the third."""
    path = write("edits.csv", HEADER, *(f"{name},opp_1,New" for name in NAMES))
    async with ManyBench() as bench:
        filled(bench)
        bench.account("globex").team.tasks["opp_1"]["title"] = "New"
        del bench.account("initech").team.tasks["opp_1"]
        plan, changes = await planned(bench, path)
        assert not any(seen.method == "PATCH" for seen in bench.seen)
    assert [(one.account, one.id, one.before, one.after) for one in changes] == [
        ("acme", "opp_1", {"title": "Old 1 of acme"}, {"title": "New"})
    ]
    assert (plan.rows, plan.tasks, plan.requests, plan.already) == (3, 1, 1, 1)
    assert plan.conflicts == {"not_listed": 1}
    assert {name: (one.tasks, one.already) for name, one in plan.accounts.items()} == {
        "acme": (1, 0),
        "globex": (0, 1),
        "initech": (0, 0),
    }


async def test_plan_is_shown_by_account(write: Write) -> None:
    """A line has the numbers of each account, above its first changes; the totals come last."""
    lines = ["acme,opp_1,A", "globex,opp_1,B", "acme,opp_2,C", "initech,opp_9,D"]
    async with ManyBench() as bench:
        filled(bench)
        bench.account("globex").team.tasks["opp_1"]["title"] = "B"
        path = write("edits.csv", HEADER, *lines)
        async with plan_edits(
            path, accounts=bench.accounts(), rate=None, max_changes=ChangeLimit.parse("50%")
        ) as plan:
            shown = [*change_lines(plan)]
    assert shown == [
        "acme: 2 tasks would change, of 5 listed",
        "~ opp_1 'Old 1 of acme'  title 'Old 1 of acme' → 'A'",
        "~ opp_2 'Old 2 of acme'  title 'Old 2 of acme' → 'C'",
        "globex: 0 tasks would change, of 5 listed; 1 row already so",
        "initech: 0 tasks would change, of 5 listed; 1 row in conflict",
    ]
    assert [*problem_lines(plan)] == [
        "  row 4, initech: opp_9: the server does not list the task: done, ignored, deleted or of"
        " another team",
        "1 row in conflict: not listed 1",
    ]
    assert next(iter(total_lines(plan, None))) == "2 tasks would change, of 15 listed"


async def test_first_twenty_changes_of_all_accounts_are_shown(write: Write) -> None:
    """Each account has its line, whether or not one of its changes is among them."""
    async with ManyBench() as bench:
        filled(bench, 15)
        path = write("edits.csv", HEADER, *edits_of(NAMES, 15))
        async with plan_edits(path, accounts=bench.accounts(), rate=None) as plan:
            shown = [line.split(" ")[0] for line in change_lines(plan)]
    assert shown == ["acme:", *["~"] * 15, "globex:", *["~"] * 5, "initech:", ""]


async def test_written_plan_is_what_a_run_does(write: Write) -> None:
    """It names the account of each row, and sends what was planned to each account."""
    async with ManyBench() as bench:
        filled(bench)
        path = write("edits.csv", HEADER, *edits_of(NAMES, 3))
        _, changes = await planned(bench, path, output="plan.csv")
        header = Path("plan.csv").read_text("utf-8-sig").splitlines()[0].split(",")
        assert (header[:2], header[-1]) == (["id", "account"], "bulkupdate_accounts=yes")
        assert [(row.account, row.id) for row in rows(Path("plan.csv"))] == [
            (one.account, one.id) for one in changes
        ]
        bench.account("globex").team.tasks["opp_1"]["title"] = "By another hand"
        summary = await bench.run(Path("plan.csv"), compare=True)
        assert (summary.counts["updated"], summary.counts["conflict"]) == (8, 1)
        for name in NAMES:
            titles = [task["title"] for task in bench.account(name).team.tasks.values()]
            first = "By another hand" if name == "globex" else f"T1 of {name}"
            assert titles[:4] == [first, f"T2 of {name}", f"T3 of {name}", f"Old 4 of {name}"]


async def test_shuffled_file_makes_the_plan_of_a_sorted_one(write: Write) -> None:
    """Rows of one task keep their order; only the order of tasks depends on the file."""
    lines = [f"{name},opp_{n % 5 + 1},T{n}" for name in NAMES for n in range(20)]
    turns = random.Random(7).sample(range(60), 60)
    # Rows of one account stay in their order.
    queues = {name: [line for line in lines if line.startswith(name)] for name in NAMES}
    shuffled = [queues[NAMES[turn % 3]].pop(0) for turn in turns]
    async with ManyBench() as bench:
        filled(bench)
        found = [
            await planned(bench, write(f"{number}.csv", HEADER, *some))
            for number, some in enumerate((lines, shuffled))
        ]
    by_task = [
        {(one.account, one.id): (one.before, one.after) for one in changes} for _, changes in found
    ]
    assert by_task[0] == by_task[1]
    assert len(by_task[0]) == 15
    assert found[0][0].requests == found[1][0].requests == 60


async def test_accounts_are_read_side_by_side(write: Write) -> None:
    """One that has no row is not asked. A file sorted by account keeps none waiting."""
    path = write("edits.csv", HEADER, *edits_of(NAMES[:2], 5))
    async with ManyBench(latency=(20, 20)) as bench:
        filled(bench)
        await planned(bench, path)
        assert {seen.account for seen in bench.seen[:2]} == {"acme", "globex"}
        assert "initech" not in {seen.account for seen in (*bench.seen, *bench.asked)}


async def test_limit_of_changes_counts_for_each_account(write: Write) -> None:
    """As in a run. The file is not written, and the message names the account."""
    lines = [*edits_of(["acme"], 4), *edits_of(["globex"], 5)]
    path = write("edits.csv", HEADER, *lines)
    async with ManyBench() as bench:
        filled(bench)
        plan, _ = await planned(bench, path, max_changes=ChangeLimit(tasks=4))
        assert plan.refusal(ChangeLimit(tasks=5), skip_invalid=False) == ""
        assert plan.touched == 9
        with pytest.raises(InputError, match=r"plan.csv is not written: globex: 5 tasks.* would"):
            await planned(bench, path, output="plan.csv", max_changes=ChangeLimit(tasks=4))
        assert not Path("plan.csv").exists()
        await planned(bench, path, output="plan.csv", max_changes=ChangeLimit(tasks=5))
    assert len(rows(Path("plan.csv"))) == 9


@pytest.mark.parametrize("trouble", ["refused", "is_down"])
async def test_account_that_can_not_be_read_leaves_the_others(write: Write, trouble: str) -> None:
    """They are planned. A file is not written: its rows would be missing without a word."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2))
    async with ManyBench() as bench:
        filled(bench)
        setattr(bench.account("globex"), trouble, True)
        plan, changes = await planned(bench, path)
        assert [one.account for one in changes] == ["acme", "acme", "initech", "initech"]
        assert list(plan.unread) == ["globex"]
        assert plan.why_unread.startswith("account globex: ")
        with pytest.raises(RunStoppedError, match=r"plan.csv is not written: account globex: "):
            await planned(bench, path, output="plan.csv")
    assert not Path("plan.csv").exists()


async def test_all_accounts_may_be_unread(write: Write) -> None:
    """The plan says so of each, and has no change."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2))
    async with ManyBench() as bench:
        for name in NAMES:
            bench.account(name).refused = True
        plan, changes = await planned(bench, path)
    assert (list(plan.unread), changes, plan.has_accounts) == (list(NAMES), [], True)


async def test_stop_ends_the_plan_of_all_accounts(write: Write) -> None:
    """Here no account is in trouble."""
    stop = Stop()
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2))
    async with ManyBench() as bench:
        filled(bench)
        stop.set("enough")
        with pytest.raises(RunStoppedError, match="enough"):
            await planned(bench, path, stop=stop)


async def test_account_without_a_listed_task_is_unread(write: Write) -> None:
    """Such a list is more likely broken than right; `allow_few` accepts it."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 1))
    async with ManyBench() as bench:
        filled(bench)
        bench.account("acme").team.tasks.clear()
        plan, _ = await planned(bench, path)
        assert plan.unread.keys() == {"acme"}
        assert "lists 0 tasks" in plan.unread["acme"]
        plan, _ = await planned(bench, path, allow_few=True)
    assert (plan.unread, plan.conflicts) == ({}, {"not_listed": 1})


async def test_account_that_may_only_be_read_is_planned(write: Write) -> None:
    """`read_only` forbids edits. Accounts without a row need no key."""
    text = '[acme]\napi_key_env = "ACME"\nread_only = true\n[globex]\napi_key_env = "GLOBEX"\n'
    Path("accounts.toml").write_text(text)
    async with ManyBench() as bench:
        filled(bench)
        environ, url = {"ACME": key_of("acme")}, bench.sandbox.base_url
        accounts = Accounts.load(Path("accounts.toml"), environ=environ, base_url=url)
        path = write("edits.csv", HEADER, *edits_of(["acme"], 2))
        plan, _ = await planned(bench, path, accounts=accounts)
        assert plan.tasks == 2
        path = write("both.csv", HEADER, *edits_of(NAMES[:2], 2))
        with pytest.raises(ConfigError, match=r"account 'globex': \$GLOBEX is not set"):
            await planned(bench, path, accounts=accounts)


async def test_one_account_may_be_given_for_all_rows(write: Write) -> None:
    """The file then has no column for it; that of the plan has one."""
    path = write("edits.csv", "id,title", "opp_1,New")
    async with ManyBench() as bench:
        filled(bench)
        plan, _ = await planned(bench, path, account="globex", output="plan.csv")
    assert list(plan.accounts) == ["globex"]
    assert [row.account for row in rows(Path("plan.csv"))] == ["globex"]


async def test_people_are_those_of_the_account(write: Write) -> None:
    """An address that one team knows is none of the other's. It is told with its account."""
    lines = [f"{name},opp_1,zoe@example.com" for name in NAMES[:2]]
    path = write("edits.csv", "account,id,assignedTo", *lines)
    async with ManyBench() as bench:
        filled(bench)
        bench.account("globex").team.users = {BEN.id: BEN}
        plan, changes = await planned(bench, path)
        with pytest.raises(InputError, match="globex: enter members of the team"):
            await planned(bench, path, output="plan.csv")
    assert [(one.account, one.after) for one in changes] == [("acme", {"assignedTo": "usr_zoe"})]
    assert (plan.invalid_count, plan.accounts["globex"].invalid_count) == (1, 1)
    first = next(iter(problem_lines(plan)))
    assert first.startswith("  row 2, globex: opp_1: assignedTo 'zoe@example.com': is no member")


async def test_rows_of_no_account_are_counted(write: Write) -> None:
    """They are invalid, and left out where that is allowed."""
    path = write("edits.csv", HEADER, "acme,opp_1,A", "akme,opp_1,B")
    async with ManyBench() as bench:
        filled(bench)
        with pytest.raises(InputError, match="did you mean 'acme'"):
            await planned(bench, path)
        plan, changes = await planned(bench, path, skip_invalid=True)
    assert (plan.rows, len(changes)) == (2, 1)


async def test_two_accounts_of_one_team_are_pointed_out(write: Write) -> None:
    """A run would refuse both."""
    path = write("edits.csv", HEADER, *edits_of(NAMES[:2], 1))
    async with ManyBench() as bench:
        filled(bench)
        bench.account("globex").team.id = bench.account("acme").team.id = "tea_a"
        plan, _ = await planned(bench, path)
    assert plan.notes == [
        "acme and globex are one team (tea_a), so that rows of one task could go out of order: run"
        " refuses them without same_team"
    ]


async def test_images_of_a_plan_are_those_of_the_rows(write: Write) -> None:
    """They come back from the disk as they were."""
    images = ["https://a.example/1.png"]
    path = write("edits.jsonl", json.dumps({"id": "opp_1", "account": "acme", "images": images}))
    async with ManyBench() as bench:
        filled(bench)
        _, changes = await planned(bench, path, output="plan.jsonl")
    assert changes[0].after == {"images": tuple(images)}
    assert json.loads(Path("plan.jsonl").read_text())["images"] == images


@pytest.mark.parametrize("both", [True, False])
async def test_endpoint_and_accounts_are_not_given_together(write: Write, *, both: bool) -> None:
    """One of them says where the tasks are."""
    path = write("edits.csv", HEADER, "acme,opp_1,New")
    async with ManyBench() as bench:
        endpoint = bench.accounts()["acme"].endpoint() if both else None
        accounts = bench.accounts() if both else None
        with pytest.raises(ConfigError, match="needs an endpoint or accounts, and not both"):
            await planned(bench, path, endpoint=endpoint, accounts=accounts)


# --- there and back ---------------------------------------------------------------------------


async def test_tasks_are_as_before_after_there_and_back() -> None:
    """Export, edit, plan, run, undo and run: each task of three accounts is as it was."""
    async with ManyBench() as bench:
        filled(bench)
        teams = {name: bench.account(name).team for name in NAMES}
        before = {name: copy.deepcopy(team.tasks) for name, team in teams.items()}
        await export_tasks(None, "all.csv", accounts=bench.accounts(), rate=None)
        text = Path("all.csv").read_text("utf-8-sig")
        Path("all.csv").write_text(text.replace("Old", "New").replace("usr_ben", "usr_zoe"))
        plan, _ = await planned(bench, Path("all.csv"), output="plan.jsonl")
        assert (plan.tasks, plan.fields) == (15, {"assignedTo": 15, "title": 15})
        await bench.run(Path("plan.jsonl"), compare=True)
        for name, team in teams.items():
            assert [task["title"] for task in team.tasks.values()] == [
                f"New {n} of {name}" for n in range(1, 6)
            ]
        undone = undo_run("plan.run", "undo.csv")
        assert undone.accounts == dict.fromkeys(NAMES, 5)
        summary = await bench.run(Path("undo.csv"), compare=True)
        assert (summary.exit_code, summary.counts["updated"]) == (0, 15)
        assert {name: team.tasks for name, team in teams.items()} == before
