"""Nights of several accounts: rules are evaluated for each on its own tasks and team."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, InputError
from bulkupdate.journal.directory import Mode
from bulkupdate.journal.summary import Summary
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.models import Reason
from bulkupdate.reader import ReadOptions
from bulkupdate.sandbox import made_up_team
from bulkupdate.session.plan import plan_edits
from bulkupdate.session.run import run
from bulkupdate.session.settings import RunConfig
from tests.support.bench import Notes, results_in
from tests.support.many import NAMES, ManyBench, key_of

Write = Callable[..., Path]
NOW = datetime(2026, 1, 12, 2, tzinfo=UTC)

RULES = """
timezone = "UTC"
max_changes = 400
account = "*"
[[rule]]
name = "Overdue is due tomorrow"
select = { due = "overdue" }
set = { dueDate = "next workday 09:00" }
"""


@pytest.fixture
async def bench() -> AsyncIterator[ManyBench]:
    """A sandbox with a team of tasks for each account."""
    many = ManyBench()
    for name in NAMES:
        made_up = made_up_team(name, shared=10)
        many.account(name).team.tasks |= dict([*made_up.tasks.items()][:40])
    async with many:
        yield many


def rules(text: str = RULES) -> Path:
    path = Path("nightly.toml")
    path.write_text(text)
    return path


async def night(bench: ManyBench, text: str = RULES, **settings: Any) -> Summary:
    """A night."""
    read = ReadOptions(now=NOW)
    return await bench.run(rules(text), **{"read": read, "out": "1.run", **settings})


async def test_rules_of_all_accounts_change_the_tasks_of_each(bench: ManyBench) -> None:
    """Each task is moved with the key of its own account, and a second night changes nothing."""
    notes = Notes()
    summary = await night(bench, observer=notes)
    changed = {name: part.counts["updated"] for name, part in summary.accounts.items()}
    assert (summary.exit_code, list(changed)) == (0, list(NAMES))
    assert min(changed.values()) > 0
    for name in NAMES:
        dues = {task["dueDate"] for task in bench.account(name).team.tasks.values()}
        assert min(dues) >= "2026-01-12T09:00"
    total = sum(changed.values())
    said = f"selects {total} tasks of 3 accounts, changes {total}"
    assert any(said in note for note in notes.said)
    edits = [json.loads(line) for line in Path("1.run/edits.jsonl").read_text().splitlines()]
    assert {edit["account"] for edit in edits} == set(NAMES)
    again = await night(bench, out="2.run")
    assert (again.exit_code, again.input.rows, again.accounts) == (0, 0, {})


async def test_rule_is_for_the_accounts_that_it_names(bench: ManyBench) -> None:
    """The others are not even read."""
    text = RULES.replace('"*"', '["globex", "acme"]')
    summary = await night(bench, text)
    assert set(summary.accounts) == {"acme", "globex"}
    assert "initech" not in {seen.account for seen in (*bench.seen, *bench.asked)}


async def test_account_option_is_for_rules_that_name_none(bench: ManyBench) -> None:
    """A file without accounts is for one of them."""
    text = RULES.replace('account = "*"\n', "")
    summary = await night(bench, text, account="globex")
    assert (summary.exit_code, list(summary.accounts)) == (0, ["globex"])
    assert {one["account"] for one in results_in(Path("1.run"))} == {"globex"}


@pytest.mark.parametrize(
    ("account", "settings", "why"),
    [
        ('"*"', {"account": "acme"}, "line 4: account: and account name accounts"),
        (None, {}, 'rule 1: names no account: write account = "*" at the top'),
        ('"akme"', {}, "line 4: account: 'akme' is no account: did you mean 'acme'?"),
    ],
)
async def test_wrong_accounts_are_refused(
    bench: ManyBench, account: str | None, settings: dict[str, Any], why: str
) -> None:
    """Nothing was read. The line is named."""
    line = f"account = {account}\n" if account else ""
    with pytest.raises(InputError) as refused:
        await night(bench, RULES.replace('account = "*"\n', line), **settings)
    assert why in str(refused.value)
    assert bench.seen == bench.asked == []


async def test_rules_that_name_accounts_need_accounts(bench: ManyBench) -> None:
    """One key would stand for all of them."""
    endpoint = bench.accounts()["acme"].endpoint()
    config = RunConfig(input=rules(), endpoint=endpoint, out="1.run")
    with pytest.raises(InputError, match="line 4: account: set accounts"):
        await run(config)


async def test_account_whose_rules_can_not_be_followed_is_left_out(bench: ManyBench) -> None:
    """Its team does not know a name. The others go on, the exit code is 3, and resuming says so."""
    first = next(iter(bench.account("acme").team.users.values()))
    text = RULES + (
        '[[rule]]\nname = "Hers go on"\naccount = ["globex"]\n'
        f'select = {{ assignedTo = "{first.email}" }}\nset = {{ priority = 2 }}\n'
    )
    text = text.replace('account = ["globex"]', 'account = ["acme", "globex"]')
    summary = await night(bench, text)
    assert summary.exit_code == 3
    assert summary.accounts["globex"].stopped_by is Reason.RULES_REFUSED
    assert first.email in (summary.accounts["globex"].reason or "")
    assert summary.accounts["initech"].counts["updated"] > 0
    assert bench.sent("globex") == []
    again = await night(bench, text, mode=Mode.RESUME)
    assert (again.exit_code, again.stopped_by) == (3, Reason.ACCOUNTS_STOPPED)


async def test_rules_that_no_account_can_follow_are_refused(bench: ManyBench) -> None:
    """Each account is named."""
    text = RULES.replace('due = "overdue"', 'assignedTo = "nobody@hooli.example"')
    with pytest.raises(InputError, match=r"(?s)acme: .*globex: .*initech: "):
        await night(bench, text)


async def test_account_that_can_not_be_read_is_left_out(bench: ManyBench) -> None:
    """The night of the others is not delayed."""
    bench.account("globex").refused = True
    summary = await night(bench)
    assert {name: part.stopped_by for name, part in summary.accounts.items()} == {
        "acme": None, "globex": Reason.KEY_REFUSED, "initech": None,
    }  # fmt: skip
    assert summary.exit_code == 3


async def test_read_only_accounts_are_not_among_all(bench: ManyBench) -> None:
    """`*` stands for those that may be changed. One that is named is refused."""
    text = "".join(f'[{name}]\napi_key_env = "{name.upper()}"\n' for name in NAMES)
    Path("accounts.toml").write_text(text + "read_only = true\n")
    environ = {name.upper(): key_of(name) for name in NAMES}
    path, url = Path("accounts.toml"), bench.sandbox.base_url
    accounts = Accounts.load(path, environ=environ, base_url=url)
    with pytest.raises(InputError, match="'initech' is read_only"):
        await night(bench, RULES.replace('"*"', '"initech"'), accounts=accounts)
    summary = await night(bench, accounts=accounts)
    assert list(summary.accounts) == ["acme", "globex"]


async def test_missing_key_refuses_the_night(bench: ManyBench) -> None:
    """As in a run of a file of edits."""
    text = "".join(f'[{name}]\napi_key_env = "{name.upper()}"\n' for name in NAMES)
    Path("accounts.toml").write_text(text)
    accounts = Accounts.load(Path("accounts.toml"), environ={}, base_url=bench.sandbox.base_url)
    with pytest.raises(ConfigError, match=r"\$ACME is not set"):
        await night(bench, accounts=accounts)


async def test_plan_of_rules_is_what_the_night_does(bench: ManyBench) -> None:
    """For each account: the same tasks, with the same values. A file of it names the accounts."""
    read, accounts = ReadOptions(now=NOW), bench.accounts()
    output = Path("plan.jsonl")
    making = plan_edits(rules(), accounts=accounts, read=read, rate=None, output=output)
    async with making as plan:
        planned = {(one.account, one.id): one.after["dueDate"] for one in plan.changes()}
        assert plan.evaluation is not None
        assert plan.evaluation.changed["Overdue is due tomorrow"] == len(planned) == plan.tasks
        assert list(plan.accounts) == list(NAMES)
    assert len(output.read_text().splitlines()) == len(planned)
    summary = await night(bench)
    assert summary.counts["updated"] == len(planned)
    done = {
        (one["account"], one["id"]): one["sent"]["dueDate"] for one in results_in(Path("1.run"))
    }
    assert done == planned


async def test_plan_of_rules_names_the_account_that_can_not_follow(bench: ManyBench) -> None:
    """The others are planned."""
    first = next(iter(bench.account("acme").team.users.values()))
    text = RULES.replace('due = "overdue"', f'assignedTo = "{first.email}"')
    making = plan_edits(
        rules(text), accounts=bench.accounts(), read=ReadOptions(now=NOW), rate=None
    )
    async with making as plan:
        assert list(plan.accounts) == ["acme"]
        assert set(plan.unread) == {"globex", "initech"}
        assert first.email in plan.unread["globex"]


@pytest.mark.parametrize("trouble", ["is_down", "throttled"])
async def test_account_in_trouble_delays_no_other_night(
    bench: ManyBench, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out after a short time, however long a run would wait for its server."""
    monkeypatch.setattr("bulkupdate.session.night.PATIENCE", 0.3)
    monkeypatch.setattr("bulkupdate.session.night._LOOK", 0.1)
    setattr(bench.account("globex"), trouble, True)
    retry = replace(bench.config(rules()).retry, give_up_after=600.0, max_throttles=20)
    async with asyncio.timeout(20):
        summary = await night(bench, retry=retry)
    why = {"is_down": Reason.SERVER_DOWN, "throttled": Reason.RATE_LIMITED}[trouble]
    assert summary.accounts["globex"].stopped_by is why
    assert summary.accounts["acme"].counts["updated"] > 0
