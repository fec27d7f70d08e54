"""A run with accounts: each row with its own account's key, and one's trouble is no other's."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, InputError, RunDirectoryError
from bulkupdate.journal.digests import CheckedRows
from bulkupdate.journal.directory import Mode
from bulkupdate.journal.summary import Summary
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import Team
from bulkupdate.models import Reason, State
from bulkupdate.reader import Input, ReadOptions
from bulkupdate.sandbox import Fault
from bulkupdate.session.run import run
from bulkupdate.session.settings import ChangeLimit, FailureLimit, RunConfig
from tests.support.bench import Notes, StopsAfter, results_in
from tests.support.many import NAMES, ManyBench, edits_of, key_of

Write = Callable[..., Path]
HEADER = "account,id,title"


def reasons(summary: Summary) -> dict[str, Reason]:
    """Why accounts stopped before their end."""
    parts = summary.accounts.items()
    return {name: part.stopped_by for name, part in parts if part.stopped_by is not None}


async def test_each_row_goes_with_the_key_of_its_account(write: Write) -> None:
    """The accounts have tasks with the same ids: none gets the edit of another."""
    async with ManyBench() as bench:
        summary = await bench.run(write("edits.csv", HEADER, *edits_of(NAMES, 5)))
        for name in NAMES:
            assert sorted(bench.sent(name)) == [f"opp_{n}" for n in range(1, 6)]
            tasks = bench.account(name).team.tasks
            assert {task["title"] for task in tasks.values()} == {
                f"T{n} of {name}" for n in range(1, 6)
            }
    assert (summary.exit_code, summary.counts["updated"]) == (0, 15)
    logged = {(one["account"], one["id"]) for one in results_in(Path("edits.run"))}
    assert len(logged) == 15
    assert {
        name: part.counts["updated"] for name, part in summary.accounts.items()
    } == dict.fromkeys(NAMES, 5)


@pytest.mark.slow
async def test_file_sorted_by_account_keeps_no_account_waiting(write: Write) -> None:
    """Each lane has its next rows, wherever in the file they are."""
    async with ManyBench(latency=(5, 5)) as bench:
        await bench.run(write("edits.csv", HEADER, *edits_of(NAMES, 100)), workers=1)
        order = [seen.account for seen in bench.seen]
    half = order[: len(order) // 2]
    assert min(half.count(name) for name in NAMES) > 30


async def test_rows_of_one_task_keep_their_order_within_an_account(write: Write) -> None:
    """The last row of each task wins, with faults and retries too."""
    lines = [f"{name},opp_1,T{n}" for n in range(1, 31) for name in NAMES]
    async with ManyBench(faults={Fault.INTERNAL_ERROR: 0.3}) as bench:
        summary = await bench.run(write("edits.csv", HEADER, *lines))
        for name in NAMES:
            applied = [
                seen.applied["title"]
                for seen in bench.seen
                if seen.account == name and seen.applied is not None
            ]
            assert list(dict.fromkeys(applied)) == [f"T{n}" for n in range(1, 31)]
    assert summary.exit_code == 0


async def test_merged_rows_are_those_of_one_account(write: Write) -> None:
    """Rows of one id in two accounts are two tasks, and two requests."""
    lines = ("acme,opp_1,A", "globex,opp_1,B", "acme,opp_1,C")
    async with ManyBench() as bench:
        path = write("edits.csv", HEADER, *lines)
        summary = await bench.run(path, merge_duplicates=True)
        titles = {name: bench.account(name).team.tasks["opp_1"]["title"] for name in NAMES[:2]}
        assert len(bench.seen) == 2
    assert titles == {"acme": "C", "globex": "B"}
    assert summary.counts["updated"] == 3


# --- one account's trouble ----------------------------------------------------------------


async def test_refused_key_stops_its_own_account(write: Write) -> None:
    """The others end as if alone; the run ends with 3 and says which; `resume` does the rest."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 20))
    async with ManyBench() as bench:
        bench.account("globex").refused = True
        summary = await bench.run(path)
        assert (summary.exit_code, summary.state) == (3, State.STOPPED)
        assert reasons(summary) == {"globex": Reason.KEY_REFUSED}
        assert (summary.reason or "").startswith(
            "1 account of 3 stopped: globex: the key is refused"
        )
        assert summary.counts["updated"] == 40
        assert summary.accounts["globex"].counts["unprocessed"] == 20
        assert bench.sent("globex") == []
        bench.account("globex").refused = False
        bench.seen.clear()
        again = await bench.run(path, mode=Mode.RESUME)
        assert {seen.account for seen in bench.seen} == {"globex"}
    assert (again.exit_code, again.counts["updated"]) == (0, 60)
    assert again.accounts["acme"].counts["updated"] == 20


async def test_each_trouble_is_told(write: Write) -> None:
    """A server that is down, one that limits for ever, and one that fails too often."""
    names = ("calm", "down", "failing", "limited")
    path = write("edits.csv", HEADER, *edits_of(names, 200))
    async with ManyBench(names) as bench:
        bench.account("down").is_down = True
        bench.account("limited").throttled = True
        bench.account("limited").rate = RateLimit(20, 0.1)
        bench.account("failing").faults = {Fault.MALFORMED: 0.5}
        retry = replace(bench.config(path).retry, max_attempts=3)
        summary = await bench.run(path, max_failures=FailureLimit(rows=8), retry=retry)
    assert reasons(summary) == {
        "down": Reason.SERVER_DOWN,
        "failing": Reason.TOO_MANY_FAILURES,
        "limited": Reason.RATE_LIMITED,
    }
    assert summary.accounts["calm"].counts["updated"] == 200
    assert (summary.exit_code, summary.stopped_by) == (3, Reason.ACCOUNTS_STOPPED)


async def test_failures_of_all_accounts_together_may_stop_the_run(write: Write) -> None:
    """`max_failures` counts for each account, and `max_failures_total` for all of them."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 200))
    async with ManyBench(faults={Fault.MALFORMED: 1.0}) as bench:
        summary = await bench.run(path, max_failures_total=FailureLimit(rows=12))
    assert summary.stopped_by is Reason.TOO_MANY_FAILURES
    assert "max_failures_total is 12" in (summary.reason or "")


async def test_all_accounts_may_stop(write: Write) -> None:
    """The run ends, and names the first of them."""
    names = [f"client-{n}" for n in range(8)]
    async with ManyBench(names) as bench:
        for name in names:
            bench.account(name).refused = True
        summary = await bench.run(write("edits.csv", HEADER, *edits_of(names, 2)))
    assert (summary.exit_code, len(reasons(summary))) == (3, 8)
    assert (summary.reason or "").startswith("8 accounts of 8 stopped: client-0: ")
    assert (summary.reason or "").endswith("; …")


# --- keys -----------------------------------------------------------------------------------


def accounts_file(names: tuple[str, ...], base_url: str, **more: str) -> Accounts:
    """Accounts of a file; the key of each is in a variable, but not that of `initech`."""
    text = "".join(
        f'[{name}]\napi_key_env = "{name.upper()}"\n{more.get(name, "")}\n' for name in names
    )
    Path("accounts.toml").write_text(text)
    environ = {name.upper(): key_of(name) for name in names if name != "initech"}
    return Accounts.load(Path("accounts.toml"), environ=environ, base_url=base_url)


async def test_missing_key_refuses_a_run_that_begins(write: Write) -> None:
    """Nothing was sent, and the message says what to set. An account without a row needs no key."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2))
    async with ManyBench() as bench:
        accounts = accounts_file(NAMES, bench.sandbox.base_url)
        with pytest.raises(ConfigError, match=r"account 'initech': \$INITECH is not set"):
            await bench.run(path, accounts=accounts)
        assert bench.seen == bench.asked == []
        assert not Path("edits.run/summary.json").exists()
        path = write("edits.csv", HEADER, *edits_of(NAMES[:2], 2))
        summary = await bench.run(path, accounts=accounts)
    assert summary.exit_code == 0


async def test_missing_key_stops_its_account_when_resuming(write: Write) -> None:
    """The others go on. Once there is a key, the rest goes too."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 30))
    async with ManyBench(latency=(2, 2)) as bench:
        observer = StopsAfter(9)
        first = await bench.run(path, observer, observer.stop)
        assert first.counts["unprocessed"] > 40
        accounts = accounts_file(NAMES, bench.sandbox.base_url)
        summary = await bench.run(path, mode=Mode.RESUME, accounts=accounts)
        assert reasons(summary) == {"initech": Reason.NO_KEY}
        assert summary.counts["updated"] == 60 + first.accounts["initech"].counts["updated"]
        last = await bench.run(path, mode=Mode.RESUME)
    assert (last.exit_code, last.counts["updated"]) == (0, 90)


async def test_account_that_is_done_needs_no_key_when_resuming(write: Write) -> None:
    """Only accounts of rows that are left need one."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 3))
    async with ManyBench() as bench:
        bench.account("acme").refused = True
        await bench.run(path)
        bench.account("acme").refused = False
        accounts = accounts_file(NAMES, bench.sandbox.base_url)
        summary = await bench.run(path, mode=Mode.RESUME, accounts=accounts)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 9)


async def test_rows_of_a_read_only_account_are_refused(write: Write) -> None:
    """They would change it."""
    path = write("edits.csv", HEADER, *edits_of(NAMES[:2], 2))
    async with ManyBench() as bench:
        accounts = accounts_file(NAMES, bench.sandbox.base_url, globex="read_only = true")
        with pytest.raises(ConfigError, match="account 'globex': it is read_only"):
            await bench.run(path, accounts=accounts)
        assert bench.seen == []


async def test_same_key_twice_is_refused(write: Write) -> None:
    """Two lanes would go over one limit."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2))
    async with ManyBench() as bench:
        with pytest.raises(ConfigError, match=r"acme.*globex.*have the same API key"):
            await bench.run(path, accounts=bench.accounts(globex=key_of("acme")))
        assert bench.seen == bench.asked == []


async def test_key_of_a_settled_account_stops_the_one_that_gets_it(write: Write) -> None:
    """Also when the other has no row left: what it sent could be overwritten by older edits."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 3))
    async with ManyBench() as bench:
        bench.account("globex").refused = True
        await bench.run(path)
        copied = bench.accounts(globex=key_of("acme"))
        sent = bench.sent("acme")
        summary = await bench.run(path, mode=Mode.RESUME, accounts=copied)
        assert bench.sent("acme") == sent
        assert reasons(summary) == {"globex": Reason.SAME_TEAM}
        assert "its key is that of acme" in (summary.reason or "")
        bench.account("globex").refused = False
        bench.account("globex").team.id = bench.account("acme").team.id
        summary = await bench.run(path, mode=Mode.RESUME)
        assert (summary.exit_code, summary.stopped_by) == (2, Reason.SAME_TEAM)
        assert bench.sent("globex") == []


async def test_two_keys_of_one_team_are_refused(write: Write) -> None:
    """Rows of one task could go out of order. With `same_team`, both are sent."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2))
    async with ManyBench() as bench:
        bench.account("globex").team.id = bench.account("acme").team.id
        summary = await bench.run(path)
        assert (summary.exit_code, summary.stopped_by) == (2, Reason.SAME_TEAM)
        assert "acme, globex are of one team" in (summary.reason or "")
        assert "same_team sends them all the same" in (summary.reason or "")
        assert bench.seen == []
        summary = await bench.run(path, same_team=True)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 6)


async def test_another_team_under_a_name_stops_its_account(write: Write) -> None:
    """Its key was changed between two sessions."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 20))
    async with ManyBench((*NAMES, "hooli"), latency=(2, 2)) as bench:
        observer = StopsAfter(9)
        accounts = bench.accounts(*NAMES)
        first = await bench.run(path, observer, observer.stop, accounts=accounts)
        assert first.accounts["globex"].team == bench.account("globex").team.id
        swapped = bench.accounts(*NAMES, globex=key_of("hooli"))
        summary = await bench.run(path, mode=Mode.RESUME, accounts=swapped)
        assert reasons(summary) == {"globex": Reason.OTHER_TEAM}
        assert bench.sent("hooli") == []
        last = await bench.run(path, mode=Mode.RESUME, accounts=accounts)
    assert (last.exit_code, last.counts["updated"]) == (0, 60)


async def test_another_team_is_noticed_however_long_its_answer_takes(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row goes with a key whose team may be another one. The other accounts do not wait."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 20))
    async with ManyBench((*NAMES, "hooli"), latency=(2, 2)) as bench:
        observer = StopsAfter(9)
        await bench.run(path, observer, observer.stop, accounts=bench.accounts(*NAMES))
        team = TaskClient.team

        async def late(client: TaskClient) -> Answer[Team]:
            await asyncio.sleep(0.3)
            return await team(client)

        monkeypatch.setattr(TaskClient, "team", late)
        monkeypatch.setattr("bulkupdate.session.parts.LONGEST_START", 0.05)
        swapped = bench.accounts(*NAMES, globex=key_of("hooli"))
        summary = await bench.run(path, mode=Mode.RESUME, accounts=swapped)
        assert bench.sent("hooli") == []
    assert reasons(summary) == {"globex": Reason.OTHER_TEAM}
    assert summary.accounts["acme"].counts["unprocessed"] == 0


async def test_signal_decides_the_end_although_an_account_has_stopped(write: Write) -> None:
    """The others were cut off by it, and the exit code says so."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 50))
    async with ManyBench(latency=(5, 5)) as bench:
        bench.account("globex").refused = True
        observer = StopsAfter(9)
        summary = await bench.run(path, observer, observer.stop)
    assert (summary.exit_code, summary.state) == (130, State.INTERRUPTED)
    assert summary.accounts["globex"].stopped_by is Reason.KEY_REFUSED


async def test_refused_input_needs_no_key(write: Write) -> None:
    """Its invalid rows are told, and not what would be asked for later."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2), "acme,opp_9\u00a0x,T")
    async with ManyBench() as bench:
        accounts = accounts_file(NAMES, bench.sandbox.base_url)
        summary = await bench.run(path, accounts=accounts)
    assert (summary.exit_code, summary.stopped_by) == (2, Reason.INVALID_ROWS)
    assert [one["outcome"] for one in results_in(Path("edits.run"))] == ["invalid"]


async def test_team_of_an_account_is_kept_while_it_has_no_row(write: Write) -> None:
    """Left out for one session, it is still the account that it was."""
    path = write("edits.csv", HEADER, *edits_of(NAMES[:2], 5))
    async with ManyBench((*NAMES, "hooli")) as bench:
        both = bench.accounts("acme", "globex")
        await bench.run(path, accounts=both, first=2)
        settings: dict[str, Any] = {"mode": Mode.RESUME, "changed_input": True}
        one = bench.accounts("acme")
        await bench.run(path, accounts=one, skip_invalid=True, first=1, **settings)
        swapped = bench.accounts("acme", globex=key_of("hooli"))
        summary = await bench.run(path, accounts=swapped, **settings)
        assert bench.sent("hooli") == []
    assert reasons(summary) == {"globex": Reason.OTHER_TEAM}


async def test_run_with_accounts_stays_one_although_no_row_is_of_any(write: Write) -> None:
    """Whether a run has accounts is a fact about its input, and not about its rows."""
    async with ManyBench() as bench:
        await bench.run(write("edits.csv", HEADER, *edits_of(NAMES, 2)), first=1)
        path = write("edits.csv", HEADER, *edits_of(("hooli",), 2))
        settings: dict[str, Any] = {"changed_input": True, "mode": Mode.RESUME}
        again = await bench.run(path, skip_invalid=True, **settings)
        assert (again.accounts, again.counts["invalid"]) == ({}, 2)
        bench.seen.clear()
        endpoint = bench.accounts()["acme"].endpoint()
        read = ReadOptions(ignore_extra=True)
        with pytest.raises(RunDirectoryError, match="began with accounts"):
            await run(RunConfig(input=str(path), endpoint=endpoint, read=read, **settings))
        assert bench.seen == []


async def test_invalid_rows_are_the_reason_before_an_account(write: Write) -> None:
    """They are why nothing was sent, whatever an account lacks too."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 3))
    async with ManyBench() as bench:
        await bench.run(path, first=1)
        lines = [*edits_of(NAMES, 3), "acme,opp_9\u00a0x,T"]
        path = write("edits.csv", HEADER, *lines)
        accounts = accounts_file(NAMES, bench.sandbox.base_url)
        summary = await bench.run(path, mode=Mode.RESUME, changed_input=True, accounts=accounts)
    assert (summary.exit_code, summary.stopped_by) == (2, Reason.INVALID_ROWS)


async def test_failed_file_of_one_account_names_it(write: Write) -> None:
    """So it can't be run with the key of another one by mistake."""
    path = write("edits.csv", "id,title", "opp_1,One", "opp_2,Two")
    async with ManyBench() as bench:
        bench.account("globex").faults = {Fault.MALFORMED: 1.0}
        await bench.run(path, account="globex")
        bench.account("globex").faults = {}
        failed = Path("edits.run/failed.csv")
        with pytest.raises(InputError, match="both name the account"):
            await bench.run(failed, account="acme", out="again.run")
        again = await bench.run(failed, out="again.run")
        assert (again.exit_code, bench.sent("acme")) == (0, [])
    assert again.accounts["globex"].counts["updated"] == 2


async def test_too_few_open_files_are_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent, with the number that is needed."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 1))
    monkeypatch.setattr("resource.getrlimit", lambda _: (74, 74))
    async with ManyBench() as bench:
        with pytest.raises(ConfigError, match="3 accounts need 76 open files, and 74 are allowed"):
            await bench.run(path, compare=True)
        assert bench.seen == bench.asked == []


@pytest.mark.slow
async def test_hung_account_takes_no_connection_of_others(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are fewer connections than workers, each lane has its share of them."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 60))
    monkeypatch.setattr("resource.getrlimit", lambda _: (64 + 9, 64 + 9))
    async with ManyBench(latency=(1, 1)) as bench:
        bench.account("globex").faults = {Fault.HANG: 1.0}
        accounts = Accounts.of(
            {name: replace(one.endpoint(), timeout=0.5) for name, one in bench.accounts().items()}
        )
        summary = await bench.run(path, accounts=accounts, workers=16)
        others = [seen.at for seen in bench.seen if seen.account == "acme"]
    assert summary.accounts["acme"].counts["updated"] == 60
    assert summary.accounts["acme"].retries == 0
    assert max(after - before for before, after in pairwise(others)) < 0.4


async def test_check_that_has_become_wrong_is_made_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that finds it so ends, and the next one goes on."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 3))
    holds = CheckedRows.holds
    async with ManyBench() as bench:
        await bench.run(path, first=1)
        with monkeypatch.context() as patched:
            patched.setattr(
                CheckedRows, "holds", lambda one, row: row.number != 5 and holds(one, row)
            )
            with pytest.raises(InputError, match="row 5 is not the one that was checked"):
                await bench.run(path, mode=Mode.RESUME)
        again = await bench.run(path, mode=Mode.RESUME)
    assert (again.exit_code, again.counts["updated"]) == (0, 9)


async def test_key_of_another_account_stops_the_one_that_has_it_when_resuming(
    write: Write,
) -> None:
    """The others go on."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 5))
    async with ManyBench() as bench:
        await bench.run(path, first=1)
        swapped = bench.accounts(initech=key_of("globex"))
        summary = await bench.run(path, mode=Mode.RESUME, accounts=swapped)
    assert reasons(summary) == {"initech": Reason.SAME_TEAM}
    assert summary.counts["updated"] == 11


async def test_no_key_is_written_anywhere(write: Write) -> None:
    """Not in a file, a note, a reason or a result."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 3))
    notes = Notes()
    async with ManyBench() as bench:
        bench.account("globex").refused = True
        summary = await bench.run(path, notes)
    said = [*notes.said, repr(summary), repr(bench.config(path))]
    texts = [file.read_text() for file in Path("edits.run").iterdir() if file.is_file()]
    assert len(texts) > 5
    for name in NAMES:
        assert not [text for text in [*said, *texts] if key_of(name) in text]


# --- rows -----------------------------------------------------------------------------------


async def test_rows_without_a_known_account_are_invalid(write: Write) -> None:
    """They refuse the input. Left out, each has its result, and the others are sent."""
    lines = (*edits_of(NAMES, 2), ",opp_9,X", "hooli,opp_9,X")
    path = write("edits.csv", HEADER, *lines)
    async with ManyBench() as bench:
        summary = await bench.run(path)
        assert (summary.exit_code, summary.stopped_by) == (2, Reason.INVALID_ROWS)
        assert bench.seen == bench.asked == []
        summary = await bench.run(path, mode=Mode.RESUME, skip_invalid=True)
        assert (summary.exit_code, summary.counts["invalid"]) == (1, 2)
        assert summary.counts["updated"] == 6
    invalid = [one for one in results_in(Path("edits.run")) if one["outcome"] == "invalid"]
    assert [
        "is empty" in invalid[0]["error"]["message"],
        "is no account" in invalid[1]["error"]["message"],
    ]


async def test_account_that_was_added_to_the_file_is_sent_with_changed_input(write: Write) -> None:
    """Its rows were invalid before, and are others now."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2))
    async with ManyBench() as bench:
        some = bench.accounts("acme", "globex")
        summary = await bench.run(path, accounts=some, skip_invalid=True)
        assert summary.counts["invalid"] == 2
        with pytest.raises(RunDirectoryError, match=r"in another way \(accounts\).*2 rows added"):
            await bench.run(path, mode=Mode.RESUME)
        summary = await bench.run(path, mode=Mode.RESUME, changed_input=True)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 6)


async def test_failed_file_is_of_accounts_and_runs_again(write: Write) -> None:
    """It keeps the column, carries the mark, and is refused without accounts."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 3))
    async with ManyBench() as bench:
        bench.account("globex").faults = {Fault.MALFORMED: 1.0}
        summary = await bench.run(path)
        assert summary.counts["unconfirmed"] == 3
        failed = Path("edits.run/failed.csv")
        assert failed.read_text().startswith("account,id,title,bulkupdate_accounts=yes,")
        with pytest.raises(InputError, match="is of a run with accounts"):
            Input.open(failed, options=ReadOptions(ignore_extra=True))
        bench.account("globex").faults = {}
        again = await bench.run(failed, out="again.run")
    assert (again.exit_code, again.counts["updated"]) == (0, 3)


async def test_account_of_all_rows(write: Write) -> None:
    """A file without the column is of one account; its failed file says that it has some."""
    path = write("edits.csv", "id,title", "opp_1,One", "opp_2,Two")
    async with ManyBench() as bench:
        bench.account("globex").faults = {Fault.MALFORMED: 1.0}
        summary = await bench.run(path, account="globex")
        assert {seen.account for seen in bench.seen} == {"globex"}
    assert list(summary.accounts) == ["globex"]
    assert "bulkupdate_accounts=yes" in Path("edits.run/failed.csv").read_text()


async def test_first_rows_of_each_account(write: Write) -> None:
    """So each key is tried. `resume` sends the rest."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 10))
    async with ManyBench() as bench:
        summary = await bench.run(path, first=2)
        assert (summary.exit_code, summary.counts["updated"]) == (0, 6)
        assert summary.reason == "the first 2 rows of 3 accounts were sent (first)"
        again = await bench.run(path, mode=Mode.RESUME)
    assert (again.exit_code, again.counts["updated"]) == (0, 30)


async def test_run_without_accounts_is_not_resumed_with_them(write: Write) -> None:
    """And the other way round."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 2))
    async with ManyBench() as bench:
        await bench.run(path, first=1)
        endpoint = bench.accounts()["acme"].endpoint()
        read = ReadOptions(ignore_extra=True)
        config: dict[str, Any] = {"endpoint": endpoint, "accounts": None, "read": read}
        with pytest.raises(RunDirectoryError, match="began with accounts: continue it so"):
            await run(RunConfig(input=str(path), mode=Mode.RESUME, **config))


# --- comparing --------------------------------------------------------------------------------


async def test_rows_are_compared_with_the_tasks_of_their_account(write: Write) -> None:
    """The same id is listed in one account, done in another, and already so in the third."""
    path = write("edits.csv", HEADER, *(f"{name},opp_1,New" for name in NAMES))
    async with ManyBench(unknown="not_found") as bench:
        for name, title in (("acme", "Old"), ("globex", "New")):
            team = bench.account(name).team
            team.add("opp_1", "manual")
            team.tasks["opp_1"]["title"] = title
            team.tasks["opp_1"]["content"] = "x"
        bench.account("initech").team.add("opp_2", "manual")
        summary = await bench.run(path, compare=True)
    assert {name: part.counts for name, part in summary.accounts.items()} == {
        name: {**dict.fromkeys(summary.counts, 0), outcome: 1}
        for name, outcome in (("acme", "updated"), ("globex", "unchanged"), ("initech", "conflict"))
    }
    images = [json.loads(line) for line in Path("edits.run/before.jsonl").read_text().splitlines()]
    assert [(one["account"], one["before"]) for one in images] == [("acme", {"title": "Old"})]
    # The list of the third account was read to its end: its task is not there.
    assert [part.listed for part in summary.accounts.values()] == [None, None, 1]


def add_tasks(bench: ManyBench) -> None:
    """Let each account have the tasks of four rows."""
    for name in NAMES:
        for n in range(1, 5):
            bench.account(name).team.add(f"opp_{n}", "manual")


async def test_run_whose_accounts_were_all_refused_is_refused(write: Write) -> None:
    """Where more would change in each account than is allowed, it ends as with one key."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 4))
    async with ManyBench() as bench:
        add_tasks(bench)
        summary = await bench.run(path, compare=True, max_changes=ChangeLimit(tasks=3))
        assert set(reasons(summary).values()) == {Reason.TOO_MANY_CHANGES}
        assert (summary.exit_code, summary.stopped_by) == (2, Reason.TOO_MANY_CHANGES)
        assert all(seen.method == "GET" for seen in bench.seen)


async def test_account_whose_tasks_can_not_be_read_stops_alone(write: Write) -> None:
    """A list that is none stops its own part. What an earlier session wrote is known by account."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 4))
    async with ManyBench() as bench:
        add_tasks(bench)
        bench.account("globex").is_down = True
        summary = await bench.run(path, compare=True)
        assert reasons(summary) == {"globex": Reason.SERVER_DOWN}
        assert summary.counts["updated"] == 8
        bench.account("globex").is_down = False
        again = await bench.run(path, compare=True, mode=Mode.RESUME)
    assert (again.exit_code, again.counts["updated"]) == (0, 12)
