"""The same scenarios for every executor: what becomes of the rows, and of the tasks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal import Summary
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Reason, State
from bulkupdate.reader import ReadOptions
from bulkupdate.sandbox import Fault, Unknown
from bulkupdate.sandbox.server import Seen
from bulkupdate.session.settings import FailureLimit, RunConfig
from tests.executors.executors import Executor, Fleet, Local
from tests.support.accounts import ManyAccounts

Write = Any

#: A limit at which no test waits.
FAST = RateLimit(1000, 2.0)

#: Names in a line of the log that differ from run to run.
_OF_THE_MOMENT = ("at", "ms", "task")


@pytest.fixture(params=["local", pytest.param("fleet", marks=pytest.mark.slow)])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Each executor in turn."""
    if request.param == "local":
        yield Local()
        return
    yield Fleet(request.getfixturevalue("dsn"))


def lines_of(summary: Summary) -> list[dict[str, Any]]:
    """The lines of the log by row, without what differs from run to run."""
    text = (Path(summary.directory) / "results.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        for name in _OF_THE_MOMENT:
            line.pop(name, None)
    return sorted(lines, key=lambda line: (line["row"], line["attempts"]))


def config_of(many: ManyAccounts, path: Path, **settings: Any) -> RunConfig:
    """The settings of a run with all accounts of a sandbox."""
    return RunConfig(input=path, accounts=many.accounts, out="edits.run", **settings)


def single(many: ManyAccounts, path: Path, **settings: Any) -> RunConfig:
    """The settings of a run with the key of the first account."""
    (endpoint, *_) = many.endpoints.values()
    return RunConfig(input=path, endpoint=endpoint, out="edits.run", **settings)


async def test_every_row_is_updated(executor: Executor, write: Write) -> None:
    """Rows of two accounts reach the tasks of their accounts; an empty row is unchanged."""
    path = write("a.csv", "account,id,title", "a,t1,A", "b,t1,B", "a,t2,", "b,t3,C")
    async with ManyAccounts(["a", "b"], rate=FAST) as many:
        summary = await executor.run(config_of(many, path))
        assert many.titles() == {"a": {"t1": "A"}, "b": {"t1": "B", "t3": "C"}}
    assert summary.state is State.FINISHED
    assert summary.exit_code == 0
    assert {name: n for name, n in summary.counts.items() if n} == {"updated": 3, "unchanged": 1}
    assert summary.requests == 3
    assert {name: one.rows for name, one in summary.accounts.items()} == {"a": 2, "b": 2}
    assert [line["outcome"] for line in lines_of(summary)] == [
        "updated",
        "updated",
        "unchanged",
        "updated",
    ]


async def test_rows_of_one_task_keep_their_order(executor: Executor, write: Write) -> None:
    """The rows of one task are applied one after the other, in the order of the file."""
    rows = [f"t{number % 3},{number}" for number in range(60)]
    path = write("a.csv", "id,title", *rows)
    async with ManyAccounts(["a"], rate=FAST) as many:
        summary = await executor.run(single(many, path))
        assert many.titles()["a"] == {"t0": "57", "t1": "58", "t2": "59"}
        applied = [one.applied for one in many.seen if one.applied]
    for task in ("t0", "t1", "t2"):
        titles = [int(one["title"]) for one in applied if one["id"] == task]
        assert titles == sorted(titles)
    assert summary.counts["updated"] == 60


async def test_refused_rows_stand_in_the_failed_file(executor: Executor, write: Write) -> None:
    """A row that the server refuses is failed, and stands in failed.csv with its own cells."""
    path = write("a.csv", "id;title;note", "t1;A;first", "gone;B;second")
    options = ReadOptions(ignore_extra=True)
    async with ManyAccounts(["a"], rate=FAST, unknown=Unknown.NOT_FOUND) as many:
        many["a"].team.tasks["t1"] = {"_id": "t1"}
        summary = await executor.run(single(many, path, read=options))
    assert summary.exit_code == 1
    assert {name: n for name, n in summary.counts.items() if n} == {"updated": 1, "failed": 1}
    failed = (Path(summary.directory) / "failed.csv").read_text().splitlines()
    assert len(failed) == 2
    assert failed[1].startswith("gone;B;second;2;failed;")


async def test_invalid_rows_are_left_out(executor: Executor, write: Write) -> None:
    """With skip_invalid, the others are sent, and an invalid row says why."""
    path = write("a.csv", "id,priority", "t1,high", "t2,enormous")
    async with ManyAccounts(["a"], rate=FAST) as many:
        summary = await executor.run(single(many, path, skip_invalid=True))
    assert {name: n for name, n in summary.counts.items() if n} == {"updated": 1, "invalid": 1}
    assert lines_of(summary)[1]["error"]["type"] == "invalid_row"


async def test_merged_rows_are_one_request(executor: Executor, write: Write) -> None:
    """Merged rows are one request, and each has its line."""
    path = write("a.csv", "id,title,priority", "t1,A,", "t2,B,", "t1,,high", "t1,C,")
    async with ManyAccounts(["a"], rate=FAST) as many:
        summary = await executor.run(single(many, path, merge_duplicates=True))
        assert many.titles()["a"] == {"t1": "C", "t2": "B"}
    assert summary.requests == 2
    assert summary.counts["updated"] == 4
    lines = lines_of(summary)
    assert lines[0]["sent_with"] == 4
    assert lines[3]["merged"] == [1, 3]


async def test_one_accounts_refused_key_stops_no_other(executor: Executor, write: Write) -> None:
    """A refused key stops its account, the others end, and what is left goes on later."""
    path = write("a.csv", "account,id,title", *[f"{n},t{i},T" for i in range(5) for n in "ab"])

    def revoke(seen: Seen) -> None:
        # The team can be read, so that the key looks good until then.
        if seen.account == "b" and seen.applied is not None:
            many["b"].refused = True

    async with ManyAccounts(["a", "b"], watch=revoke, rate=FAST) as many:
        config = config_of(many, path, workers=1)
        summary = await executor.run(config)
        assert summary.exit_code == 3
        assert summary.counts["updated"] == 6
        assert summary.accounts["a"].stopped_by is None
        assert summary.accounts["b"].stopped_by is Reason.KEY_REFUSED
        assert len(many.titles()["b"]) == 1
        many["b"].refused = False
        again = await executor.go_on(config, retry_failed=True)
        assert len(many.titles()["b"]) >= 2
        many["b"].refused = False
    assert again.accounts["a"].counts["updated"] == 5


@pytest.mark.slow
async def test_faults_are_retried(executor: Executor, write: Write) -> None:
    """Connections that break and errors of the server are tried again, until all is done."""
    path = write("a.csv", "id,title", *[f"t{number},T{number}" for number in range(40)])
    faults = {Fault.INTERNAL_ERROR: 0.2, Fault.RESET_BEFORE: 0.1, Fault.RESET_AFTER: 0.1}
    policy = RetryPolicy(first_backoff=0.01, longest_backoff=0.02, max_attempts=30)
    async with ManyAccounts(["a"], rate=FAST, faults=faults, seed=1) as many:
        summary = await executor.run(single(many, path, retry=policy))
        assert many.titles()["a"] == {f"t{number}": f"T{number}" for number in range(40)}
    assert summary.counts["updated"] == 40
    assert summary.retries > 0


@pytest.mark.slow
async def test_too_many_failures_stop_an_account(executor: Executor, write: Write) -> None:
    """After as many failures as are allowed, nothing more is sent; then failed rows go again."""
    path = write("a.csv", "id,title", *[f"t{number},T" for number in range(60)])
    async with ManyAccounts(["a"], rate=FAST, unknown=Unknown.NOT_FOUND) as many:
        config = single(many, path, max_failures=FailureLimit(rows=5), workers=1)
        summary = await executor.run(config)
        assert summary.stopped_by is Reason.TOO_MANY_FAILURES
        assert summary.exit_code == 3
        assert summary.counts["failed"] == 5
        for number in range(60):
            many["a"].team.tasks[f"t{number}"] = {"_id": f"t{number}"}
        again = await executor.go_on(config, retry_failed=True)
    assert again.state is State.FINISHED
    assert again.counts["updated"] == 60
