"""The names of a run directory's files."""

from pathlib import Path

import pytest

from bulkupdate.journal.runfiles import RunFiles, is_edited_failed, is_known, is_of_a_run, is_scrap
from bulkupdate.reader import Format


def test_every_file_of_a_run_is_known(tmp_path: Path) -> None:
    """Each name that `RunFiles` gives is one that overwriting and resuming know."""
    files = RunFiles(tmp_path)
    named = [path for path in vars(files).values() if path != tmp_path]
    named += [files.failed(Format.CSV), files.failed_part(Format.JSONL), files.stdin("tsv")]
    named += [files.free_results(), files.free_failed(files.failed(Format.XLSX))]
    assert len(named) > 12
    for path in named:
        assert path.parent == tmp_path
        assert is_known(path.name), path.name
        assert is_of_a_run(path.name) is not is_scrap(path.name)


@pytest.mark.parametrize("name", ["notes.txt", "failed.txt", "results.json", "summary.json.bak"])
def test_foreign_file_is_not_known(name: str) -> None:
    """A file of the user's own is not taken for one of a run."""
    assert not is_known(name)


def test_rows_of_a_spreadsheet_fail_as_xlsx(tmp_path: Path) -> None:
    """The failed file has the input's format, or .xlsx where that is a spreadsheet's."""
    names = [RunFiles(tmp_path).failed(format_).name for format_ in Format]
    assert names == ["failed.csv", "failed.tsv", "failed.jsonl", *["failed.xlsx"] * 3]


def test_free_names_are_not_taken(tmp_path: Path) -> None:
    """A file that is kept beside its successor gets the first free number."""
    files = RunFiles(tmp_path)
    for name in ("failed.1.csv", "failed.2.csv", "results.1.jsonl"):
        (tmp_path / name).touch()
    assert files.free_failed(tmp_path / "failed.csv").name == "failed.3.csv"
    assert files.free_results().name == "results.2.jsonl"
    assert is_edited_failed("failed.3.csv")
    assert not is_edited_failed("failed.csv")


def test_logs_are_those_of_earlier_inputs_and_the_last(tmp_path: Path) -> None:
    """Kept logs come first. An incomplete one, and a file of the user's own, are no logs."""
    files = RunFiles(tmp_path)
    assert files.logs() == []
    for name in ("results.jsonl", "results.jsonl.part", "results.2.jsonl", "results.1.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "results.old.jsonl").touch()
    names = [path.name for path in files.logs()]
    assert names == ["results.1.jsonl", "results.2.jsonl", "results.jsonl"]
