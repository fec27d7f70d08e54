"""Tests of the workbook of failed rows: whole or not at all, and never over another's work."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bulkupdate.errors import InputError, JournalError
from bulkupdate.journal import book, rebuild
from bulkupdate.journal.book import BookFile
from bulkupdate.journal.digests import DigestFile
from bulkupdate.journal.directory import Mode, RunDirectory
from bulkupdate.journal.recorder import Recorder
from bulkupdate.models import ErrorInfo, Outcome, Result
from bulkupdate.reader import Input, file_lines
from bulkupdate.reader.options import ReadOptions
from bulkupdate.stop import Stop


def ids(path: Path) -> list[Any]:
    sheet = openpyxl.load_workbook(path).worksheets[0]
    return [row[0] for row in sheet.iter_rows(values_only=True)]


def nothing() -> None:
    """The run goes on."""


@pytest.fixture
def failed(tmp_path: Path) -> Iterator[BookFile]:
    """A workbook with a header, written once."""
    file = BookFile(tmp_path / "failed.xlsx", "Edits")
    file.write(b'["id"]\n')
    assert file.finish(nothing)
    yield file
    file.close()


def test_workbook_appears_when_it_is_finished(failed: BookFile, tmp_path: Path) -> None:
    """Rows are in the workbook after `finish`, which leaves no other file, and it is private."""
    path = tmp_path / "failed.xlsx"
    failed.write(b'["opp_1"]\n')
    assert ids(path) == ["id"]
    assert failed.finish(nothing)
    assert ids(path) == ["id", "opp_1"]
    assert [path.name for path in tmp_path.iterdir()] == ["failed.xlsx"]
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.stat().st_mtime_ns
    assert failed.finish(nothing)
    assert path.stat().st_mtime_ns == before


def test_interrupted_workbook_leaves_the_earlier_one(
    failed: BookFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a stop, in the middle of the workbook leaves the earlier one as it was."""
    path = tmp_path / "failed.xlsx"
    earlier, digest = path.read_bytes(), failed.sha256
    failed.write(b'["opp_1"]\n')

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(book, "write_book", full)
        with pytest.raises(JournalError, match=r"failed.xlsx can't be written: No space left"):
            failed.finish(nothing)
    with pytest.raises(KeyboardInterrupt):
        failed.finish(stopped)
    assert (path.read_bytes(), failed.sha256) == (earlier, digest)
    assert failed.finish(nothing)
    assert ids(path) == ["id", "opp_1"]


def stopped() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("change", [
    lambda path: path.write_bytes(b"edited"), lambda path: path.unlink(),
    lambda path: path.touch(),
])  # fmt: skip
def test_changed_workbook_is_not_replaced(
    failed: BookFile, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """A workbook that another program has changed or deleted is left as it is."""
    path = tmp_path / "failed.xlsx"
    os.utime(path, (1, 1))
    failed._left = failed._stamp()
    change(path)
    failed.write(b'["opp_1"]\n')
    assert not failed.is_ours
    assert not failed.finish(nothing)
    assert not path.exists() or b"opp_1" not in path.read_bytes()


def test_link_in_the_place_of_the_part_is_not_followed(failed: BookFile, tmp_path: Path) -> None:
    """A link in the place of the new workbook is not written through."""
    (tmp_path / "failed.part.xlsx").symlink_to(tmp_path / "elsewhere")
    failed.write(b'["opp_1"]\n')
    with pytest.raises(JournalError, match=r"can't be written"):
        failed.finish(nothing)
    assert not (tmp_path / "elsewhere").exists()


class Recording:
    """A recorder of a workbook of three rows."""

    def __init__(self, source: Input, directory: RunDirectory) -> None:
        self.rows = list(source.rows())
        digests = DigestFile(directory.files.digests)
        for row in self.rows:
            digests.add(row)
        digests.close()
        self.path = directory.files.failed(source.format)
        self.recorder = Recorder.open(directory, source, Stop())

    def settle(self, number: int, outcome: Outcome = Outcome.FAILED) -> None:
        """Settle a row."""
        error = ErrorInfo("bad_request", "=no") if outcome is Outcome.FAILED else None
        row = self.rows[number - 1]
        settled = Result(
            row=number,
            id=row.id,
            outcome=outcome,
            attempts=1,
            at="",
            error=error,
            sent={"title": f"title of {row.id}"},
        )
        self.recorder.record([(row, settled)])
        self.recorder.list_failed([(row, settled)])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[], Recording]]:
    """Begins a session of a run of a workbook."""
    table = openpyxl.Workbook()
    for task in ("id", "opp_1", "opp_2", "opp_3"):
        table.active.append([task, f"title of {task}"] if task != "id" else ["id", "title"])
    table.save(tmp_path / "edits.xlsx")
    with (
        Input.open(tmp_path / "edits.xlsx") as source,
        RunDirectory.open(tmp_path / "edits.run", Mode.NEW) as directory,
    ):
        yield lambda: Recording(source, directory)


def test_workbook_lists_failed_rows_at_the_end(
    run: Callable[[], Recording],
) -> None:
    """A row that later succeeds is not in the workbook; an error is a text, not a formula."""
    session = run()
    assert ids(session.path) == ["id"]
    session.settle(1)
    session.settle(2)
    session.settle(1, Outcome.UPDATED)
    session.recorder.close()
    sheet = openpyxl.load_workbook(session.path).worksheets[0]
    header, (*_, error) = sheet.iter_rows(values_only=True)
    assert header == ("id", "title", "bulkupdate_row", "bulkupdate_outcome", "bulkupdate_error")
    assert ids(session.path) == ["id", "opp_2"]
    assert (error, sheet.cell(2, 5).data_type) == ("=no", "s")


def test_edit_during_a_run_is_kept(run: Callable[[], Recording]) -> None:
    """A workbook that is edited while a run goes on is kept, and a whole one is written."""
    session = run()
    session.settle(1)
    edited = openpyxl.load_workbook(session.path)
    edited.active.append(["mine"])
    edited.save(session.path)
    session.settle(2)
    session.recorder.close()
    assert ids(session.path) == ["id", "opp_1", "opp_2"]
    assert ids(session.path.with_name("failed.1.xlsx")) == ["id", "mine"]
    assert session.recorder.failed_sha256 is not None
    assert "kept as" in session.recorder.notes[-1]


def test_crash_loses_no_row_and_no_edit_is_seen(run: Callable[[], Recording]) -> None:
    """After a crash the next session writes the rows from the log, and nothing counts as edited."""
    crashed = run()
    crashed.settle(1)
    crashed.recorder._log.close()
    crashed.recorder._failed.close()
    session = run()
    assert ids(session.path) == ["id", "opp_1"]
    assert session.recorder.notes == []
    session.recorder.close()
    openpyxl.load_workbook(session.path).save(session.path)
    again = run()
    assert again.recorder.notes == []
    assert ids(again.path) == ["id", "opp_1"]
    again.recorder.close()


def test_broken_workbook_in_its_place_is_kept(run: Callable[[], Recording]) -> None:
    """A file in the workbook's place that can't be read is kept under another name."""
    session = run()
    session.settle(1)
    session.recorder.close()
    session.path.write_bytes(b"PK\x03\x04 and so on")
    again = run()
    assert again.path.with_name("failed.1.xlsx").read_bytes() == b"PK\x03\x04 and so on"
    assert ids(again.path) == ["id", "opp_1"]
    again.recorder.close()


def test_workbook_that_cannot_be_compared_is_kept(
    run: Callable[[], Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the new workbook can't be read back, the earlier one is kept under another name."""
    session = run()
    session.settle(1)
    session.recorder.close()
    openpyxl.load_workbook(session.path).save(session.path)

    def unreadable(path: Path) -> Iterator[bytes]:
        if path.name == "failed.part.xlsx":
            raise InputError(f"{path}: takes too much memory")
        yield b""

    monkeypatch.setattr(rebuild, "file_lines", unreadable)
    again = run()
    assert ids(again.path.with_name("failed.1.xlsx")) == ["id", "opp_1"]
    assert ids(again.path) == ["id", "opp_1"]
    again.recorder.close()


def test_widest_workbook_reads_back(tmp_path: Path) -> None:
    """The failed rows of a workbook of 1,024 columns are read back, and are an input again."""
    table = openpyxl.Workbook()
    table.active.append(["id", "title", *(f"x{number}" for number in range(1022))])
    table.active.append(["opp_1", "a", *["v"] * 1022])
    table.save(tmp_path / "edits.xlsx")
    options = ReadOptions(ignore_extra=True)
    with (
        Input.open(tmp_path / "edits.xlsx", options=options) as source,
        RunDirectory.open(tmp_path / "edits.run", Mode.NEW) as directory,
    ):
        session = Recording(source, directory)
        session.settle(1)
        session.recorder.close()
    assert [len(json.loads(line)) for line in file_lines(session.path)] == [1027, 1027]
    with Input.open(session.path, options=options) as again:
        assert [(row.id, row.error) for row in again.rows()] == [("opp_1", "")]
