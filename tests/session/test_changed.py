"""The summary counts what a run has changed, over all its sessions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkupdate.errors import JournalError, RunStoppedError
from bulkupdate.journal import ChangeCounts
from bulkupdate.journal.directory import Mode
from bulkupdate.sandbox.members import Member
from tests.session.test_compare import bench_of, compared
from tests.support.bench import Notes

Write = Callable[..., Path]

SUMMARY = Path("edits.run/summary.json")


async def test_compared_run_counts_changes_and_names_owners(write: Write) -> None:
    """Only fields that differed count. Owners are named, those from before too, and nobody else."""
    path = write(
        "edits.csv", "id,title,assignedTo", "opp_1,New,ben@acme.example", "opp_2,T2,usr_ben",
        "opp_3,T3,usr_anna", "opp_4,New,usr_anna",
    )  # fmt: skip
    async with bench_of() as bench:
        bench.sandbox.team.users["usr_carl"] = Member(
            "usr_carl", "Carl", "Roth", "carl@acme.example"
        )
        summary = await compared(bench, path)
    assert (summary.changed, summary.owners) == ({"assignedTo": 2, "title": 2}, {"usr_ben": 2})
    assert (summary.changed_tasks, summary.givers) == (3, {"usr_anna": 2})
    assert summary.people == {"usr_ben": "ben@acme.example", "usr_anna": "anna@acme.example"}
    written = json.loads(SUMMARY.read_text())
    assert (written["changed"], written["owners"]) == (summary.changed, summary.owners)
    assert written["people"] == summary.people


async def test_run_without_compare_counts_what_was_updated(write: Write) -> None:
    """Without a comparison, every field of an updated row counts, and nobody is named."""
    path = write("edits.csv", "id,title,assignedTo", "opp_1,T1,usr_ben", "opp_9,New,usr_ben")
    async with bench_of() as bench:
        summary = await bench.run(path)
    assert (summary.changed, summary.owners) == ({"assignedTo": 1, "title": 1}, {"usr_ben": 1})
    assert (summary.givers, summary.people) == ({}, {})


async def test_changes_of_earlier_sessions_count(write: Write) -> None:
    """A resumed run counts from its beginning, and keeps names that it can't read any more."""
    path = write("edits.csv", "id,assignedTo", "opp_1,usr_ben", "opp_2,usr_ben")
    async with bench_of() as bench:
        first = await compared(bench, path, first=1)
        assert (first.changed, first.owners) == ({"assignedTo": 1}, {"usr_ben": 1})
        bench.sandbox.team.users = {}
        second = await compared(bench, path, mode=Mode.RESUME)
    assert (second.changed, second.owners) == ({"assignedTo": 2}, {"usr_ben": 2})
    assert second.people == {"usr_ben": "ben@acme.example", "usr_anna": "anna@acme.example"}


async def test_change_of_a_lost_answer_counts(write: Write) -> None:
    """After a crash between a request and its line, the task that is right now was changed."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New", "opp_3,T3")
    async with bench_of() as bench:
        await compared(bench, path, first=1)
        Path("edits.run/results.jsonl").write_text("")
        summary = await compared(bench, path, mode=Mode.RESUME)
    assert (summary.counts["updated"], summary.changed) == (1, {"title": 2})


async def test_run_that_sent_nothing_counts_nothing(write: Write) -> None:
    """Where no request was sent, nothing was counted."""
    path = write("edits.csv", "id,title", "opp_1,T1")
    async with bench_of() as bench:
        summary = await compared(bench, path)
        # The reading of the tasks is a request too.
        assert summary.changed == {}
        refused = await bench.run(write("wrong.csv", "id,done", "opp_1,maybe"))
    assert (refused.changed, refused.owners) == (None, None)


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (RunStoppedError("aborted"), None),
        (JournalError("the log is gone"), "what was changed can't be counted: the log is gone"),
    ],
)
async def test_count_that_fails_leaves_the_summary(
    write: Write, monkeypatch: pytest.MonkeyPatch, error: Exception, note: str | None
) -> None:
    """The end of the run is on the disk before changes are counted, whatever becomes of that."""
    seen = []

    def fail(*_: object) -> ChangeCounts:
        seen.append(json.loads(SUMMARY.read_text())["state"])
        raise error

    monkeypatch.setattr("bulkupdate.session.close.count_changes", fail)
    notes = Notes()
    async with bench_of() as bench:
        summary = await bench.run(write("edits.csv", "id,title", "opp_1,New"), notes)
    assert seen == ["finished"]
    assert (summary.exit_code, summary.changed) == (0, None)
    assert json.loads(SUMMARY.read_text())["changed"] is None
    assert notes.said[-1:] == [note] * (note is not None)
