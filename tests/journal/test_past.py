"""The runs in a folder: which directories are runs, and how each run ended."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import RunDirectoryError
from bulkupdate.journal import past
from bulkupdate.journal.past import End, PastRun, Unread, holds_run, past_runs
from bulkupdate.models import Outcome, Reason, Result, State
from tests.support.runs import night

BEGAN = "2026-11-24T02:00:00+00:00"

RUNNING: dict[str, Any] = {"state": State.RUNNING, "ended": None, "exit_code": None}


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """A directory that a run uses."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def runs_in(*paths: Path) -> list[PastRun]:
    return [one for one in past_runs(paths) if isinstance(one, PastRun)]


def unread_in(*paths: Path) -> dict[str, str]:
    found = past_runs(paths)
    return {one.path.name: one.why for one in found if isinstance(one, Unread)}


@pytest.mark.parametrize(
    ("end", "counts", "changes"),
    [
        (End.DONE, {"updated": 2, "unchanged": 1}, {}),
        (End.NOTHING_TO_DO, {}, {}),
        (End.NOTHING_TO_DO, {"unchanged": 3}, {}),
        (End.ROWS_LEFT, {"updated": 2, "unprocessed": 1},
         {"state": State.STOPPED, "stopped_by": Reason.FIRST_ROWS}),
        (End.UNSUCCESSFUL, {"updated": 2, "failed": 1}, {"exit_code": 1}),
        (End.REFUSED, {"invalid": 1}, {"exit_code": 2, "state": State.STOPPED}),
        (End.STOPPED, {"unprocessed": 1}, {"exit_code": 3, "state": State.STOPPED}),
        (End.STOPPED, {"unprocessed": 1}, {"exit_code": 143, "state": State.INTERRUPTED}),
        (End.KILLED, {"unprocessed": 1}, RUNNING),
    ],
)  # fmt: skip
def test_run_ended_as_its_summary_says(
    tmp_path: Path, end: End, counts: dict[str, int], changes: dict[str, Any]
) -> None:
    """How a run ended comes from its exit code, its state and its counts."""
    night(tmp_path / "a.run", BEGAN, counts=counts, **changes)
    (run,) = runs_in(tmp_path)
    assert (run.end, run.end.is_success) == (end, end in (End.DONE, End.NOTHING_TO_DO))
    assert {name: rows for name, rows in run.counts.items() if rows} == counts


def test_counts_of_a_killed_run_come_from_its_log(tmp_path: Path) -> None:
    """The summary of a killed run is from its beginning; its log says what it did."""
    results = [
        Result(row=1, id="a", outcome=Outcome.UPDATED, attempts=1, at=BEGAN, rule="Spread"),
        Result(row=2, id="b", outcome=Outcome.FAILED, attempts=1, at=BEGAN),
    ]
    killed = night(tmp_path / "a.run", BEGAN, counts={"unprocessed": 5}, results=results, **RUNNING)
    with (killed / "results.jsonl").open("ab") as log:
        log.write(b'{"row": 3, "id"')  # the line that the crash has torn
    (run,) = runs_in(tmp_path)
    assert run.end is End.KILLED
    assert (run.counts["updated"], run.counts["failed"], run.counts["unprocessed"]) == (1, 1, 3)
    assert run.rules == {"Spread": {"updated": 1}}


def test_run_that_a_process_holds_is_in_use(tmp_path: Path) -> None:
    """A run that is under way is told from one that was killed, and reading leaves no lock."""
    path = night(tmp_path / "a.run", BEGAN, **RUNNING)
    with in_use(path):
        assert [run.end for run in runs_in(tmp_path)] == [End.IN_USE]
    assert [run.end for run in runs_in(tmp_path)] == [End.KILLED]
    with in_use(path):
        pass


def test_run_that_ended_is_read_without_a_lock(tmp_path: Path) -> None:
    """The directory of a run that ended is never locked: a run could start at that moment."""
    path = night(tmp_path / "a.run", BEGAN, counts={"updated": 1})
    with in_use(path):
        assert [run.end for run in runs_in(tmp_path)] == [End.DONE]


def test_run_began_at_the_moment_that_it_took_for_now(tmp_path: Path) -> None:
    """A resumed run keeps its beginning, whenever its last session began."""
    night(tmp_path / "a.run", BEGAN, resumed=True, started="2026-11-26T08:00:00.000Z")
    (run,) = runs_in(tmp_path)
    assert run.began == datetime(2026, 11, 24, 2, tzinfo=UTC)


def test_foreign_and_damaged_directories_are_named(tmp_path: Path) -> None:
    """A directory that holds no run, or a damaged one, is named, and the others are read."""
    for name in ("a.run", "cut.run", "large.run", "pipe.run", "empty.run", "bare.run", "other"):
        night(tmp_path / name, BEGAN)
    (tmp_path / "cut.run" / "summary.json").write_text('{"version": "0.1')
    os.truncate(tmp_path / "large.run" / "summary.json", 17 << 20)
    (tmp_path / "pipe.run" / "summary.json").unlink()
    os.mkfifo(tmp_path / "pipe.run" / "summary.json")
    (tmp_path / "empty.run" / "summary.json").write_text("")
    (tmp_path / "bare.run" / "summary.json").unlink()
    for file in (tmp_path / "other").iterdir():
        file.unlink()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("not a directory")
    assert [run.path.name for run in runs_in(tmp_path)] == ["a.run"]
    why = unread_in(tmp_path)
    assert why.keys() == {"cut.run", "large.run", "pipe.run", "empty.run", "bare.run", "other"}
    assert why["other"] == "holds no run"
    assert why["bare.run"] == "has files of a run, and no summary.json"
    assert why["pipe.run"] == "summary.json is no regular file"
    assert why["large.run"] == "summary.json is too large for a summary"
    assert "summary.json is damaged" in why["cut.run"]


def test_directory_in_preparation_is_named_as_such(tmp_path: Path) -> None:
    """A directory whose first session is checking its input has no summary yet."""
    path = night(tmp_path / "a.run", BEGAN)
    (path / "summary.json").unlink()
    with in_use(path):
        assert unread_in(tmp_path) == {"a.run": "a run is being prepared in it"}


def test_directory_is_read_once(tmp_path: Path) -> None:
    """A link to a run, or a directory that is named twice, counts once."""
    path = night(tmp_path / "a.run", BEGAN)
    (tmp_path / "latest").symlink_to(path)
    assert len(runs_in(tmp_path, tmp_path / "a.run", tmp_path)) == 1


def test_folder_may_hold_files_with_names_of_a_run(tmp_path: Path) -> None:
    """A summary.json that a script wrote beside run directories makes the folder no run."""
    path = night(tmp_path / "a.run", BEGAN)
    (tmp_path / "summary.json").write_bytes((path / "summary.json").read_bytes())
    (tmp_path / "failed.csv").write_text("id\n")
    assert [run.path for run in runs_in(tmp_path)] == [path]
    assert (holds_run(tmp_path), holds_run(path)) == (False, True)


@pytest.mark.parametrize("name", ["file", "none"])
def test_path_that_is_no_directory_is_refused(tmp_path: Path, name: str) -> None:
    """A path that is a file, or is not there, is an error and not an empty folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=name):
        list(past_runs([tmp_path / name]))


def test_times_without_offset_are_damage(tmp_path: Path) -> None:
    """A summary whose moment has no offset can't be put in an order."""
    path = night(tmp_path / "a.run", BEGAN)
    text = (path / "summary.json").read_text()
    (path / "summary.json").write_text(text.replace("2026-11-24T02:00:00.000Z", "2026-11-24T02:00"))
    assert "no offset" in unread_in(tmp_path)["a.run"]


def test_ends_are_ordered_from_best_to_worst() -> None:
    """The order of the ends is that of the worst one of a day."""
    order = sorted(End, key=lambda one: one.badness)
    assert (order[0], order[-1]) == (End.NOTHING_TO_DO, End.STOPPED)
    assert past.End.DONE.badness < End.UNSUCCESSFUL.badness < End.REFUSED.badness
