"""Tests of the results log."""

import errno
import itertools
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from bulkupdate.codec import to_json
from bulkupdate.errors import JournalError
from bulkupdate.journal import results as journal_module
from bulkupdate.journal.results import (
    ResultsLog,
    line_offsets,
    read_journal,
    read_marks,
    renumber_journal,
    repair_journal,
)
from bulkupdate.models import ErrorInfo, Mismatch, Outcome, Result
from tests.support.fakes import open_files


def result(row: int, title: str = "x", **more: Any) -> Result:
    return Result(
        row=row,
        id=f"opp_{row}",
        outcome=Outcome.UPDATED,
        attempts=1,
        at="",
        sent={"title": title},
        **more,
    )


def log_of(path: Path, *rows: int) -> Path:
    journal = ResultsLog(path)
    journal.append(result(row) for row in rows)
    journal.sync()
    journal.close()
    return path


def rows_in(path: Path) -> list[int]:
    return [read.row for _, read in read_journal(path)]


def test_results_read_back_with_line_offsets(tmp_path: Path) -> None:
    """Results read back in order, each with the offset of its line."""
    path = log_of(tmp_path / "log", 1, 2)
    log_of(path, 3)
    content = path.read_bytes()
    assert rows_in(path) == [1, 2, 3]
    for offset, read in read_journal(path):
        assert content[offset:].startswith(b'{"row":%d,' % read.row)


def test_results_log_is_its_owners_alone(tmp_path: Path) -> None:
    """Only the owner can read the results log."""
    assert log_of(tmp_path / "log", 1).stat().st_mode & 0o777 == 0o600


def test_link_as_log_is_not_followed(tmp_path: Path) -> None:
    """A results log that is a link is refused, and its target is not made."""
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="can't be opened"):
        ResultsLog(tmp_path / "log")
    assert not (tmp_path / "elsewhere").exists()


def test_torn_log_loses_only_torn_lines(
    tmp_path: Path,
) -> None:
    """A log that is cut at any byte of its last two lines loses only what was cut."""
    whole = log_of(tmp_path / "whole", 1, 2, 3).read_bytes()
    starts = [offset for offset, _ in read_journal(tmp_path / "whole")]
    path = tmp_path / "torn"
    for length in range(starts[1], len(whole) + 1):
        path.write_bytes(whole[:length])
        note = repair_journal(path)
        expected = [row for row, end in ((1, starts[1]), (2, starts[2]), (3, len(whole)))
                    if length >= end - 1]  # fmt: skip
        assert rows_in(path) == expected, length
        assert path.read_bytes() in (whole[:end] for end in (*starts, len(whole)))
        assert (note is None) == (length in (*starts, len(whole)))


@settings(max_examples=50)
@given(st.binary(min_size=1, max_size=200).filter(lambda tail: not tail.startswith(b"\n")))
def test_any_torn_last_line_is_dropped(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    """The repair drops a torn last line, whatever its bytes are."""
    path = tmp_path_factory.mktemp("torn") / "log"
    log_of(path, 1)
    with path.open("ab") as log:
        log.write(tail.replace(b"\n", b" "))
    assert "removed an incomplete last line" in (repair_journal(path) or "")
    assert rows_in(path) == [1]


def test_empty_log_needs_no_repair(tmp_path: Path) -> None:
    """The repair of an empty log changes nothing and reports nothing."""
    path = log_of(tmp_path / "log")
    assert repair_journal(path) is None
    assert rows_in(path) == []


def test_bad_middle_line_raises_numbered_error(
    tmp_path: Path,
) -> None:
    """A line in the middle that is no result raises an error with the line's number."""
    path = log_of(tmp_path / "log", 1)
    with path.open("ab") as log:
        log.write(b"what\n")
    log_of(path, 2)
    with pytest.raises(JournalError, match="line 2, is not a result"):
        rows_in(path)


def test_missing_log_raises_an_error(tmp_path: Path) -> None:
    """A missing results log raises an error when it is read or repaired."""
    for use in (rows_in, repair_journal):
        with pytest.raises(JournalError, match="No such file"):
            use(tmp_path / "none")


def test_failed_write_leaves_the_log_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails leaves the results log unchanged."""
    path = log_of(tmp_path / "log", 1)
    before = path.read_bytes()
    journal = ResultsLog(path)
    real = os.write

    def fills_up(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", fills_up)
    with pytest.raises(JournalError, match="No space left"):
        journal.append([result(2)])
    journal.close()
    assert path.read_bytes() == before


def test_failed_sync_raises_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot confirm what was written raises an error."""

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal = ResultsLog(tmp_path / "log")
    monkeypatch.setattr(os, "fsync", broken)
    journal.sync()
    journal.append([result(1)])
    with pytest.raises(JournalError, match="Input/output"):
        journal.sync()
    journal.close()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.text(max_size=30)), max_size=8))
def test_appended_results_read_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, str]]
) -> None:
    """Every result that was appended reads back unchanged, and so does its mark."""
    path = tmp_path_factory.mktemp("log") / "log"
    journal = ResultsLog(path)
    results = [result(row, title) for row, title in written]
    for one in results:
        journal.append([one])
    journal.close()
    assert [read for _, read in read_journal(path)] == results
    marks = [(mark.row, mark.outcome) for some in read_marks(path) for mark in some]
    assert marks == [(one.row, one.outcome) for one in results]


def test_marks_cross_the_borders_of_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks give what resuming needs, also for lines that span the chunks of reading."""
    monkeypatch.setattr(journal_module, "_CHUNK", 100)
    journal = ResultsLog(tmp_path / "log")
    wrong_key = Result(
        row=2,
        id="b",
        outcome=Outcome.FAILED,
        attempts=1,
        at="",
        error=ErrorInfo("unauthorized", ""),
    )
    differs = result(3, mismatches={"title": Mismatch("a", "b")})
    cut = result(4, cut_short=True)
    journal.append([result(1, "x" * 500), wrong_key, differs, cut])
    journal.close()
    marks = [mark for some in read_marks(tmp_path / "log") for mark in some]
    assert [mark.row for mark in marks] == [1, 2, 3, 4]
    assert marks[1].error is not None
    assert marks[1].error.type == "unauthorized"
    assert [bool(mark.mismatches) for mark in marks] == [False, False, True, False]
    assert [mark.cut_short for mark in marks] == [False, False, False, True]


def test_unreadable_mark_raises_numbered_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that gives no mark raises an error, with its number where it is known."""
    path = log_of(tmp_path / "log", 1)
    with path.open("ab") as log:
        log.write(b'{"row": 2}\n')
    with pytest.raises(JournalError, match="line 2, is not a result"):
        list(read_marks(path))
    row_0 = log_of(tmp_path / "row_0", 0)
    with pytest.raises(JournalError, match="is not a result"):
        list(read_marks(row_0))
    monkeypatch.setattr(journal_module, "_CHUNK", 100)
    monkeypatch.setattr(journal_module, "_MAX_LINE", 1000)
    endless = tmp_path / "endless"
    endless.write_bytes(b"x" * 5000)
    with pytest.raises(JournalError):
        list(read_marks(endless))
    with pytest.raises(JournalError, match="No such file"):
        list(read_marks(tmp_path / "none"))


def test_log_with_torn_end_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that ends in a torn line takes no further result until it is repaired."""
    journal = ResultsLog(tmp_path / "log")
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    def refuse(*_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", half)
        broken.setattr(os, "ftruncate", refuse)
        with pytest.raises(JournalError, match="No space left"):
            journal.append([result(1)])
    with pytest.raises(JournalError, match="incomplete line"):
        journal.append([result(2)])
    journal.close()
    assert repair_journal(tmp_path / "log") is not None
    assert rows_in(tmp_path / "log") == []


def test_failed_sync_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that failed is tried again at the next call, and then no more."""
    calls: list[int] = []

    def fails_once(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails_once)
    journal = ResultsLog(tmp_path / "log")
    journal.append([result(1)])
    with pytest.raises(JournalError):
        journal.sync()
    journal.sync()
    journal.sync()
    journal.close()
    assert len(calls) == 3  # the directory too, once: the file is new


def test_blank_lines_of_log_are_skipped(tmp_path: Path) -> None:
    """The readers of the results log skip blank lines and count only results."""
    path = log_of(tmp_path / "log", 1, 2)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\n  \n" + second)
    assert rows_in(path) == [1, 2]
    assert [mark.row for some in read_marks(path) for mark in some] == [1, 2]
    assert list(line_offsets(path, [1, 2])) == [0, len(first) + 4]
    with pytest.raises(JournalError, match="no line 3"):
        list(line_offsets(path, [3]))
    with pytest.raises(JournalError, match="can't be read"):
        list(line_offsets(tmp_path / "none", [1]))


def test_remains_of_a_crash_stay_out_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is renumbered again after a crash holds its rows once, and no stale line."""
    path = log_of(tmp_path / "results.jsonl", 1, 2, 3)
    with monkeypatch.context() as crash:
        crash.setattr(os, "link", mock.Mock(side_effect=SystemExit))
        with pytest.raises(SystemExit):
            renumber_journal(path, [1, 2, 3, 0], tmp_path / "results.1.jsonl")
    assert rows_in(tmp_path / "results.jsonl.part") == [1, 2, 3]
    before = open_files()
    renumber_journal(path, [3, 0, 1], tmp_path / "results.1.jsonl")
    assert open_files() <= before
    assert [(read.row, read.id) for _, read in read_journal(path)] == [(1, "opp_3"), (3, "opp_1")]
    assert rows_in(tmp_path / "results.1.jsonl") == [1, 2, 3]


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8])
def test_long_log_is_renumbered_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """A log of several batches holds each row once when it has been renumbered."""
    monkeypatch.setattr(journal_module, "_BATCH", batch)
    path = log_of(tmp_path / "results.jsonl", *range(1, 8))
    renumber_journal(path, [0, *range(7, 0, -1)], tmp_path / "results.1.jsonl")
    assert [(read.row, read.id) for _, read in read_journal(path)] == [
        (number, f"opp_{9 - number}") for number in range(2, 9)
    ]


class JournalMachine(RuleBasedStateMachine):
    """A log and a list. Each step does the same to both."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "log"
        self.journal = ResultsLog(self.path)
        self.model: list[Result] = []

    @rule(rows=st.lists(st.integers(1, 99), max_size=4), title=st.text(max_size=9))
    def append(self, rows: list[int], title: str) -> None:
        results = [result(row, title) for row in rows]
        self.journal.append(results)
        self.model += results

    @rule()
    def sync(self) -> None:
        self.journal.sync()

    @rule(lost=st.integers(0, 500))
    def crash(self, lost: int) -> None:
        """The process dies, and the disk loses the last bytes: some lines, and a part of one."""
        self.journal.close()
        length = self.path.stat().st_size
        kept = max(0, length - lost)
        os.truncate(self.path, kept)
        whole = list(itertools.accumulate(len(to_json(one)) + 1 for one in self.model))
        # A line that lacks only its line end is complete.
        self.model = self.model[: sum(end - 1 <= kept for end in whole)]
        repair_journal(self.path)
        self.journal = ResultsLog(self.path)

    @rule(room=st.integers(0, 300), row=st.integers(1, 99))
    def fill_the_disk(self, room: int, row: int) -> None:
        """The disk takes only some more bytes. Then none of the results is in the log."""
        real = os.write

        def write(descriptor: int, data: bytes) -> int:
            nonlocal room
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = real(descriptor, data[:room])
            room -= written
            return written

        results = [result(row, "x" * 200), result(row, "y" * 200)]
        with mock.patch.object(os, "write", write), pytest.raises(JournalError):
            self.journal.append(results)

    @invariant()
    def the_log_holds_what_its_model_does(self) -> None:
        assert [read for _, read in read_journal(self.path)] == self.model
        marks = [mark.row for some in read_marks(self.path) for mark in some]
        assert marks == [one.row for one in self.model]

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()


@pytest.mark.slow
def test_log_always_matches_its_model() -> None:
    """`JournalMachine` checks after every step that the log holds what its model does."""
    run_state_machine_as_test(JournalMachine, settings=settings(max_examples=60))


def test_log_that_can_not_be_renumbered_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log whose copy can't take its place stays as it is, and the error names it."""
    path = log_of(tmp_path / "log", 1, 2)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(JournalError, match="log can't be renumbered: No space left"):
        renumber_journal(path, [2, 1], tmp_path / "log.1")
    assert path.read_bytes() == before
