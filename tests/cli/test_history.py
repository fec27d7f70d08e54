"""The command `bulkupdate history`, in a process of its own."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.commands import bulkupdate, serving
from tests.support.runs import night

pytestmark = pytest.mark.slow


def test_runs_of_a_folder_are_listed() -> None:
    """What real runs have left is listed, however they ended; the exit code is 0."""
    Path("edits.csv").write_text("id,title\nopp_1,x\nopp_none,x\n")
    Path("team.csv").write_text("id,title\nopp_1,y\n")
    Path("runs").mkdir()
    Path("runs/notes").mkdir()
    with serving("--tasks", "team.csv", "--rate", "none") as sandbox:
        for name in ("one", "two"):
            bulkupdate("run", "edits.csv", "--out", f"runs/{name}.run", **sandbox.environment)
    done = bulkupdate("history", "runs")
    assert done.returncode == 0
    header, first, second, total = done.stdout.splitlines()
    assert header.split() == ["began", "(UTC)", "exit", "rows", "changed", "directory", "end"]
    assert first.split("  ")[-2:] == ["runs/one.run", "1 did not go through"]
    assert "1 updated, 1 failed" in second
    assert total == "2 runs: 2 did not go through; 2 updated, 2 failed"
    assert done.stderr == "no run is in runs/notes\n"
    listed = bulkupdate("history", "runs", "--json", "--quiet")
    records = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [one["directory"] for one in records] == ["runs/one.run", "runs/two.run"]
    assert (records[0]["end"], records[0]["exit_code"]) == ("unsuccessful", 1)
    assert (records[0]["changed_tasks"], records[0]["counts"]["failed"]) == (1, 1)
    assert listed.stderr == ""


def test_wrong_usage_exits_with_2() -> None:
    """A folder without a run, a missing one, and flags that make no sense are wrong usage."""
    Path("empty").mkdir()
    for arguments in (
        ("empty",), ("none",), ("empty", "--dry-run"), ("empty", "--remove-older-than", "30"),
    ):  # fmt: skip
        done = bulkupdate("history", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr


def test_old_runs_are_removed() -> None:
    """Old runs that ended well go, and what is kept is told; an empty folder is no error."""
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    Path("runs").mkdir()
    night(Path("runs/a.run"), old, counts={"updated": 1})
    night(Path("runs/b.run"), old, counts={"updated": 1, "failed": 1}, exit_code=1)
    dry = bulkupdate("history", "runs", "--remove-older-than", "30d", "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "")
    assert dry.stderr.startswith("would remove runs/a.run (ended ")
    assert dry.stderr.endswith("1 run to remove, 1 kept\n")
    done = bulkupdate("history", "runs", "--remove-older-than", "30d", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [
        (one["directory"], one["removed"]) for one in map(json.loads, done.stdout.splitlines())
    ] == [("runs/a.run", True), ("runs/b.run", False)]
    assert [path.name for path in Path("runs").iterdir()] == ["b.run"]
    Path("empty").mkdir()
    none = bulkupdate("history", "empty", "--remove-older-than", "30d", "--quiet")
    assert (none.returncode, none.stderr) == (0, "")


def test_run_that_cannot_be_removed_exits_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that the disk does not let go is an error."""
    from click.testing import CliRunner

    from bulkupdate.cli import cli

    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    night(Path("a.run"), old, counts={"updated": 1})

    def refuses(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bulkupdate.journal.removal.os.unlink", refuses)
    done = CliRunner().invoke(cli, ["history", "a.run", "--remove-older-than", "30d", "--quiet"])
    assert done.exit_code == 3
    assert done.stderr == "error: a.run can't be removed: Permission denied\n"
