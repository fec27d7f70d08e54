"""Old runs are removed, and none that is still needed."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError
from bulkupdate.journal import directory as directory_module
from bulkupdate.journal.removal import age, remove_runs
from bulkupdate.models import Reason, State
from tests.journal.test_past import RUNNING, in_use
from tests.support.runs import night

MONTH = timedelta(days=30)


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def removed_in(folder: Path, **options: Any) -> dict[str, str]:
    """The names of runs that are old enough, and why each is kept."""
    return {one.path.name: one.kept for one in remove_runs(folder, MONTH, **options)}


def test_old_run_that_ended_well_goes(tmp_path: Path) -> None:
    """A run goes with all its files once it ended long enough ago; younger ones stay."""
    old = night(tmp_path / "old.run", ago(31), counts={"updated": 3})
    (old / "report.html").write_text("<!doctype html>")
    (old / "before.jsonl").write_text("")
    (old / "results.1.jsonl").write_text("")
    night(tmp_path / "empty.run", ago(400))
    night(tmp_path / "young.run", ago(29.9), counts={"updated": 3})
    assert removed_in(tmp_path) == {"empty.run": "", "old.run": ""}
    assert [path.name for path in tmp_path.iterdir()] == ["young.run"]
    assert removed_in(tmp_path) == {}


@pytest.mark.parametrize(
    ("counts", "changes"),
    [
        ({"unprocessed": 1}, {"state": State.STOPPED, "stopped_by": Reason.FIRST_ROWS}),
        ({"updated": 2, "failed": 1}, {"exit_code": 1}),
        ({"updated": 2, "conflict": 1}, {"exit_code": 1}),
        ({"invalid": 1}, {"exit_code": 2, "state": State.STOPPED}),
        ({"unprocessed": 1}, {"exit_code": 3, "state": State.STOPPED}),
        ({"unprocessed": 1}, {"exit_code": 143, "state": State.INTERRUPTED}),
        ({"unprocessed": 1}, RUNNING),
    ],
)  # fmt: skip
def test_run_with_something_left_stays(
    tmp_path: Path, counts: dict[str, int], changes: dict[str, Any]
) -> None:
    """A run with rows left, rows that did not go through or an unknown end is never removed."""
    path = night(tmp_path / "a.run", ago(400), counts=counts, **changes)
    files = sorted(path.iterdir())
    assert removed_in(tmp_path)["a.run"]
    assert sorted(path.iterdir()) == files


def test_run_in_use_stays(tmp_path: Path) -> None:
    """A run that is being resumed is not removed under its process."""
    path = night(tmp_path / "a.run", ago(400), counts={"updated": 1})
    with in_use(path):
        assert removed_in(tmp_path) == {"a.run": "is in use"}
    assert (path / "summary.json").exists()


def _edit_failed(path: Path) -> None:
    (path / "failed.csv").write_text("id\nopp_1\n")


def _keep_failed(path: Path) -> None:
    (path / "failed.1.csv").write_text("id\nopp_1\n")


def _add_file(path: Path) -> None:
    (path / "notes.txt").write_text("keep this")


def _add_directory(path: Path) -> None:
    (path / "stdin.csv").mkdir()


@pytest.mark.parametrize("touch", [_edit_failed, _keep_failed, _add_file, _add_directory])
def test_directory_with_other_files_stays(tmp_path: Path, touch: Callable[[Path], None]) -> None:
    """A directory with a file that no run has written, or that was edited, is not removed."""
    path = night(tmp_path / "a.run", ago(400), counts={"updated": 1})
    touch(path)
    files = sorted(path.iterdir())
    assert removed_in(tmp_path)["a.run"].startswith("holds ")
    assert sorted(path.iterdir()) == files


def test_damaged_run_stays_and_is_named(tmp_path: Path) -> None:
    """A directory that can't be read as a run is not removed; one of other things is not named."""
    path = night(tmp_path / "a.run", ago(400), counts={"updated": 1})
    (path / "summary.json").write_text("{")
    (tmp_path / "other").mkdir()
    assert list(removed_in(tmp_path)) == ["a.run"]
    assert (tmp_path / "other").exists()
    assert (path / "results.jsonl").exists()


def test_link_stays_with_what_it_names(tmp_path: Path) -> None:
    """A run that a folder only links to is not removed through the link."""
    path = night(tmp_path / "a.run", ago(400), counts={"updated": 1})
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link.run").symlink_to(path)
    assert removed_in(tmp_path / "folder") == {"link.run": "is a link"}
    assert (path / "summary.json").exists()


def test_dry_run_removes_nothing(tmp_path: Path) -> None:
    """A dry run tells the same and leaves every file."""
    path = night(tmp_path / "a.run", ago(400), counts={"updated": 1})
    files = sorted(path.iterdir())
    assert removed_in(tmp_path, dry_run=True) == {"a.run": ""}
    assert sorted(path.iterdir()) == files


def test_run_that_changed_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that began and ended between the look and the lock keeps the run."""
    path = night(tmp_path / "a.run", ago(400), counts={"updated": 1})
    locked = directory_module._locked

    def late(one: Path, *arguments: Any, **more: Any) -> int:
        text = (path / "summary.json").read_text()
        (path / "summary.json").write_text(text.replace('"exit_code":0', '"exit_code":1'))
        return locked(one, *arguments, **more)

    monkeypatch.setattr(directory_module, "_locked", late)
    assert removed_in(tmp_path) == {"a.run": "has changed"}


def test_half_removed_run_goes_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary goes last, so that what a crash leaves is known for a run, and goes later."""
    path = night(tmp_path / "a.run", ago(400), counts={"updated": 1})
    unlink, gone = os.unlink, list[str]()

    def crashes(name: Any, **more: Any) -> None:
        if name == "summary.json":
            raise OSError(5, "Input/output error")
        gone.append(name)
        unlink(name, **more)

    monkeypatch.setattr("bulkupdate.journal.removal.os.unlink", crashes)
    (one,) = remove_runs(tmp_path, MONTH)
    assert (one.has_failed, one.kept) == (True, "can't be removed: Input/output error")
    assert sorted(gone) == ["failed.csv", "results.jsonl"]
    monkeypatch.undo()
    assert removed_in(tmp_path) == {"a.run": ""}
    assert not path.exists()


@pytest.mark.parametrize(("text", "days"), [("30d", 30), ("12h", 0.5), ("4w", 28), (" 1d ", 1)])
def test_age_is_a_number_and_a_unit(text: str, days: float) -> None:
    """An age is written as hours, days or weeks."""
    assert age(text) == timedelta(days=days)


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5d", "30 days", "30m", "999999d"])
def test_other_texts_are_no_age(text: str) -> None:
    """Any other text is refused, so that a slip removes nothing."""
    with pytest.raises(ConfigError, match="write it as 30d"):
        age(text)


def test_age_must_be_positive(tmp_path: Path) -> None:
    """An age of nothing would remove the run that has just ended."""
    night(tmp_path / "a.run", ago(1))
    with pytest.raises(ConfigError, match="more than nothing"):
        list(remove_runs(tmp_path, timedelta()))


def test_run_without_failed_file_goes(tmp_path: Path) -> None:
    """A run whose file of failed rows was deleted by its reader is removed too."""
    path = night(tmp_path / "a.run", ago(400), counts={"updated": 1})
    (path / "failed.csv").unlink()
    assert removed_in(path) == {"a.run": ""}
    assert [*tmp_path.iterdir()] == []
