"""Tests of the summary of a run, as this version reads it."""

import json
from pathlib import Path

import pytest

from bulkupdate.errors import RunDirectoryError
from bulkupdate.journal import read_summary
from tests.support.runs import run_directory


def without(directory: Path, outcome: str) -> Path:
    """The run directory, whose summary no longer counts this outcome."""
    path = directory / "summary.json"
    summary = json.loads(path.read_text())
    del summary["counts"][outcome]
    path.write_text(json.dumps(summary))
    return directory


def test_summary_of_an_older_version_has_no_conflicts(tmp_path: Path) -> None:
    """A summary without a count of conflicts, as older versions write it, counts none."""
    directory = run_directory(tmp_path / "a.run", [], rows=0)
    counts = read_summary(directory).counts
    assert counts["conflict"] == 0
    assert read_summary(without(directory, "conflict")).counts == counts


@pytest.mark.parametrize("outcome", ["updated", "unconfirmed", "unprocessed"])
def test_summary_without_another_count_is_refused(tmp_path: Path, outcome: str) -> None:
    """A summary that lacks any other count was not written by bulkupdate."""
    with pytest.raises(RunDirectoryError, match="the counts are not those of a run"):
        read_summary(without(run_directory(tmp_path / "a.run", [], rows=0), outcome))
