"""The runs in a folder as lines of text, and as records for programs."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, RunDirectoryError
from bulkupdate.journal import PastRun, Removed, Unread, past_runs
from bulkupdate.models import State
from bulkupdate.ui import past
from tests.support.many import NAMES, ManyBench, edits_of
from tests.support.runs import night
from tests.ui.test_ended import part


def nights_in(folder: Path) -> list[past.Night]:
    found = past_runs([folder])
    return past.in_order(past.night_of(one) for one in found if isinstance(one, PastRun))


def lines_of(folder: Path, zone: str | None = None) -> list[str]:
    nights = nights_in(folder)
    return [*past.night_lines(nights, past.Clock.of(nights, zone)), past.total_line(nights)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four runs, whose names are in another order than their times."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs")
    folder.mkdir()
    stopped: dict[str, Any] = {"exit_code": 3, "state": State.STOPPED, "reason": "key refused\x1b"}
    night(folder / "d.run", "2026-11-24T02:00:00Z", counts={"updated": 1200, "unchanged": 3})
    night(folder / "c.run", "2026-11-24T22:50:00Z", counts={"updated": 1, "failed": 2}, exit_code=1)
    night(folder / "b.run", "2026-11-24T23:10:00Z", timezone="Europe/Paris", changed_tasks=None)
    night(folder / "a.run", "2026-11-26T02:00:00Z", counts={"unprocessed": 5}, **stopped)
    return folder


def test_each_run_is_a_line_newest_last(folder: Path) -> None:
    """The lines tell when, the exit code, the rows, what was changed, where, and why it ended."""
    assert lines_of(folder) == [
        "began (Europe/Paris)  exit  rows                        changed  directory   end",
        "2026-11-24 03:00         0  1,200 updated, 3 unchanged    1,200  runs/d.run  done",
        "2026-11-24 23:50         1  1 updated, 2 failed               1  runs/c.run  2 did not go"
        " through",
        "2026-11-25 00:10         0  no rows                           -  runs/b.run  nothing to"
        " do",
        "2026-11-26 03:00         3  5 unprocessed                     0  runs/a.run  stopped: key"
        " refused\\u001b",
        "4 runs: 1 nothing to do, 1 done, 1 did not go through, 1 stopped; 1,201 updated, 3"
        " unchanged, 2 failed, 5 unprocessed",
    ]


def test_times_are_in_the_zone_that_is_asked_for(folder: Path) -> None:
    """A zone that is named wins over that of a run; a wrong one is refused."""
    assert lines_of(folder, "UTC")[0].startswith("began (UTC) ")
    assert lines_of(folder, "UTC")[3].startswith("2026-11-24 23:10")
    with pytest.raises(ConfigError, match="is not a time zone"):
        lines_of(folder, "Europe/Nowhere")


def test_unknown_zone_of_a_run_is_none(tmp_path: Path) -> None:
    """A zone that this machine does not know is not relied on."""
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z", timezone="Mars/Base")
    assert lines_of(tmp_path)[0].startswith("began (UTC)")


@pytest.mark.parametrize(
    ("changes", "counts", "words"),
    [
        ({"state": State.RUNNING, "exit_code": None, "ended": None}, {"unprocessed": 1},
         "killed: 1 row left"),
        ({"state": State.STOPPED}, {"updated": 1, "unprocessed": 4}, "rows left: 4"),
        ({"exit_code": 1, "mismatches": 2}, {"updated": 3},
         "2 Tasks came back with other values"),
        ({"exit_code": 2, "reason": "1 invalid row: nothing was sent"}, {"invalid": 1},
         "refused: 1 invalid row: nothing was sent"),
    ],
)  # fmt: skip
def test_end_says_why(
    tmp_path: Path, changes: dict[str, Any], counts: dict[str, int], words: str
) -> None:
    """The end of a run comes with its reason."""
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z", counts=counts, **changes)
    assert past.end_words(nights_in(tmp_path)[0]) == words


def test_run_that_sent_nothing_changed_nothing(tmp_path: Path) -> None:
    """Where no request was sent, no task was changed, though nothing was counted."""
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z", changed_tasks=None, has_sent=False)
    assert nights_in(tmp_path)[0].changed == 0


def test_damaged_directories_are_lines_and_others_one() -> None:
    """Each damaged directory has a line; the others are named together; both are bounded."""
    unread = [Unread(Path(f"runs/{n}"), "holds no run", is_foreign=True) for n in range(12)]
    unread += [Unread(Path(f"runs/{n}.run"), "is damaged") for n in range(12)]
    lines = list(past.unread_lines(unread))
    assert lines[0] == "runs/0.run is damaged"
    assert lines[10:] == [
        "… and 2 more directories",
        "no run is in " + ", ".join(f"runs/{n}" for n in range(10)) + " and 2 more",
    ]


def test_folder_without_a_run_is_an_error() -> None:
    """Where there is nothing to show, what is there instead is said."""
    foreign = Unread(Path("runs/other"), "holds no run", is_foreign=True)
    with pytest.raises(RunDirectoryError, match="no run is in runs/other\nthere is no run to show"):
        list(past.listed([foreign], []))


def test_removal_is_told_run_by_run() -> None:
    """What was removed and what is kept is told, and a dry run says that it is one."""
    ended = datetime(2026, 10, 1, 2, tzinfo=UTC)
    removed = [Removed(Path("a.run"), ended)]
    removed += [Removed(Path(f"{n}.run"), ended, "has rows left") for n in range(11)]
    lines = list(past.removal_lines(removed, dry_run=False))
    assert lines[:2] == ["removed a.run (ended 2026-10-01 02:00 UTC)", "kept 0.run: has rows left"]
    assert lines[-2:] == ["… and 1 more are kept", "1 run removed, 11 kept"]
    assert list(past.removal_lines(removed[:1], dry_run=True)) == [
        "would remove a.run (ended 2026-10-01 02:00 UTC)", "1 run to remove, 0 kept",
    ]  # fmt: skip
    record = past.removal_record(removed[0], dry_run=True)
    assert (record["removed"], record["kept"]) == (False, None)
    assert past.removal_record(removed[0], dry_run=False)["removed"] is True


def test_order_does_not_depend_on_names(tmp_path: Path) -> None:
    """Runs stand in the order of their beginnings, and of their names where these are alike."""
    began = datetime(2026, 11, 24, 2, tzinfo=UTC)
    for name, hours in (("b", 0), ("a", 1), ("c", 0)):
        night(tmp_path / name, (began + timedelta(hours=hours)).isoformat())
    assert [one.path.name for one in nights_in(tmp_path)] == ["b", "c", "a"]


async def test_runs_with_accounts_tell_how_many_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column has the number of accounts and of those that stopped; a program gets the names."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("edits.csv").write_text("\n".join(["account,id,title", *edits_of(NAMES, 2)]))
    async with ManyBench() as bench:
        bench.account("globex").refused = True
        await bench.run(Path("edits.csv"), out=Path("runs/b.run"))
    night(Path("runs/a.run"), "2020-11-24T02:00:00Z", counts={"updated": 1200})
    night(
        Path("runs/c.run"), "2100-11-24T02:00:00Z", counts={"updated": 2},
        accounts={"acme": part(2)},
    )  # fmt: skip
    header, *lines, _ = lines_of(Path("runs"))
    assert re.split("  +", header)[2:6] == ["rows", "accounts", "changed", "directory"]
    assert [re.split("  +", line)[3] for line in lines] == ["-", "3, 1 stopped", "1"]
    found = [one for one in past_runs(["runs"]) if isinstance(one, PastRun)]
    records = {one.path.name: past.night_record(one) for one in found}
    assert [(one["accounts"], one["accounts_stopped"]) for _, one in sorted(records.items())] == [
        (0, []), (3, ["globex"]), (1, []),
    ]  # fmt: skip
