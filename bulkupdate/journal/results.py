"""The results log: one JSON object for each settled row. Lines are appended, never rewritten."""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bulkupdate.codec import parse_lines, parse_record, replaced, to_lines
from bulkupdate.errors import JournalError, count, setting
from bulkupdate.journal.digests import CheckedRows
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import LoggedRow, Mark, Result

Line = TypeVar("Line", bound=Mark)

#: The longest line to read, in bytes: enough for a Task, the request body and more.
_MAX_LINE = 32 << 20

#: Number of results to write at once during renumbering.
_BATCH = 256

#: Number of bytes of a log to read at once.
_CHUNK = 1 << 20


class ResultsLog(AppendOnlyFile):
    """The results log, open for appending: one line for each settled row."""

    def append(self, results: Iterable[Result]) -> None:
        """Write each result as a line, so that a crash of this process can't lose it.

        Raises:
            JournalError: the results could not be written. None of them is in the log.
        """
        self.write(to_lines(results))


def read_marks(path: Path, checked: CheckedRows | None = None) -> Iterator[list[LoggedRow]]:
    """Read the marks of a log: the part of each line that resuming needs.

    A million lines take some three seconds.

    Args:
        path: the path of the log.
        checked: the rows of the input, to compare the lines with; None compares nothing.

    Yields:
        Lists of marks, in the order of the log.

    Raises:
        JournalError: the log can't be read, or a line is not a result of the input's row with its
            number: it is damaged, or comes from another run.
    """
    number, rows = 0, len(checked) if checked is not None else 0
    for marks in read_lines(path, LoggedRow):
        if checked is not None:
            for mark in marks:
                number += 1
                if mark.row > rows or not checked.fits(mark):
                    raise JournalError(_not_its_row(path, number, mark.row, rows))
        yield marks


def _not_its_row(path: Path, number: int, row: int, rows: int) -> str:
    why = f"the input has {count(rows, 'row')}" if row > rows else "the row is another one"
    return f"{path}, line {number}, is not a result of row {row:,}: {why}. {_way_out()}"


def _way_out() -> str:
    return (
        f"Remove this line, and its row is sent again; or start the run again with"
        f" {setting('overwrite')}"
    )


def read_lines(path: Path, kind: type[Line], *, whole_lines: bool = False) -> Iterator[list[Line]]:
    """Read every line of a log as a struct with the needed fields.

    Args:
        path: the path of the log.
        kind: the type of each line.
        whole_lines: whether to skip a last line without a line end: another process may be writing
            it.

    Yields:
        Lists of lines, in the order of the log.

    Raises:
        JournalError: the log can't be read, or a line is not a result.
    """
    rest = b""
    try:
        with path.open("rb") as log:
            while len(rest) < _MAX_LINE and (chunk := log.read(_CHUNK)):
                chunk = rest + chunk
                end = chunk.rfind(b"\n") + 1
                rest = chunk[end:]
                yield parse_lines(memoryview(chunk)[:end], kind)
        if not whole_lines:
            yield parse_lines(rest, kind)
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        for _ in read_journal(path):
            pass  # This raises an error that names the line.
        raise JournalError(f"{path}: a line is not a result: {error}") from error


def has_requests(path: Path) -> bool:
    """Whether a log holds a row that was sent, or can't be read to its end."""
    try:
        return any(mark.sent for marks in read_lines(path, LoggedRow) for mark in marks)
    except JournalError:
        return path.exists()


def line_offsets(path: Path, lines: Iterable[int]) -> Iterator[int]:
    """The offsets of some lines of a log, in bytes.

    Args:
        path: the path of the log.
        lines: the numbers of the lines, from 1, in rising order.

    Yields:
        The offset of each of these lines.

    Raises:
        JournalError: the log can't be read, or has no such line.
    """
    offset = number = start = 0
    try:
        with path.open("rb") as log:
            for wanted in lines:
                while number < wanted:
                    start = offset
                    line = log.readline(_MAX_LINE)
                    offset += len(line)
                    # Skip blank lines: an editor may have left them.
                    number += not line.isspace()
                    if not line:
                        raise JournalError(f"{path} has no line {wanted}")
                yield start
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error


def read_journal(path: Path) -> Iterator[tuple[int, Result]]:
    """Read every line of a log in order.

    Yields:
        The offset of the line in bytes, and its result.

    Raises:
        JournalError: the log can't be read, or a line is not a result.
    """
    offset = number = 0
    try:
        with path.open("rb") as log:
            while line := log.readline(_MAX_LINE):
                number += 1
                if not line.isspace():
                    yield offset, parse_record(line, Result)
                offset += len(line)
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise JournalError(
            f"{path}, line {number}, is not a result: {error}. {_way_out()}"
        ) from error


def renumber_journal(path: Path, kept: Sequence[int], previous: Path) -> None:
    """Replace a log by one with other row numbers, for an edited input.

    Args:
        path: the path of the log.
        kept: for each row of the input now, its number in the log; 0 without one.
        previous: the new path of the earlier log.

    Raises:
        JournalError: the log can't be replaced. It is unchanged.
    """
    offsets = array("q")
    for offset, result in read_journal(path):
        offsets.extend([-1] * (result.row - len(offsets)))
        offsets[result.row - 1] = offset
    numbers = array("I", bytes(4 * (len(offsets) + 1)))
    for number, was in enumerate(kept, 1):
        numbers[was] = number
    numbers[0] = 0
    part = path.with_name(f"{path.name}.part")
    renumbered = ResultsLog(part, empty=True)
    try:
        with path.open("rb") as log:
            batch: list[Result] = []
            for number, was in enumerate(kept, 1):
                if was:
                    log.seek(offsets[was - 1])
                    result = parse_record(log.readline(_MAX_LINE), Result)
                    batch.append(_renumbered(result, number, numbers))
                if len(batch) == _BATCH:
                    renumbered.append(batch)
                    batch.clear()
            renumbered.append(batch)
        renumbered.sync()
        os.link(path, previous)
        # This step is atomic: from here on, the log belongs to the edited input.
        part.replace(path)
    except OSError as error:
        raise JournalError(f"{path} can't be renumbered: {error.strerror}") from error
    finally:
        renumbered.close()


def _renumbered(result: Result, number: int, numbers: "array[int]") -> Result:
    """A result with new numbers for its own row and other rows in it. Removed rows drop out."""
    if not result.merged and result.sent_with is None:
        return replaced(result, row=number)
    merged = tuple(now for was in result.merged if (now := numbers[was]))
    sent_with = numbers[result.sent_with or 0] or None
    # What was sent is not the row's own content, although no row is left that was merged into it.
    was_merged = result.was_merged or len(merged) < len(result.merged)
    return replaced(result, row=number, merged=merged, was_merged=was_merged, sent_with=sent_with)


def repair_journal(path: Path) -> str | None:
    """Remove an incomplete last line, which a crash may leave.

    A complete line that only lacks its line end is kept.

    Returns:
        A message about the repair, or None if nothing was wrong.

    Raises:
        JournalError: the log can't be read or written.
    """
    try:
        with path.open("r+b") as log:
            start, line = _last_line(log.fileno())
            if not line:
                return None
            whole = _is_result(line)
            if whole and line.endswith(b"\n"):
                return None
            if whole:
                log.seek(0, os.SEEK_END)
                log.write(b"\n")
                return f"{path}: added the missing line end of the last line"
            log.truncate(start)
            return (
                f"{path}: removed an incomplete last line of {len(line)} bytes: its row is sent"
                " again"
            )
    except OSError as error:
        raise JournalError(f"{path} can't be repaired: {error.strerror}") from error


def _last_line(descriptor: int) -> tuple[int, bytes]:
    """The offset of the last line of a file, and its bytes."""
    end = os.fstat(descriptor).st_size
    tail = b""
    start = end
    # The line end of the last line itself does not mark its beginning.
    while start > 0 and b"\n" not in tail[:-1]:
        step = min(start, 1 << 16)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
    begin = tail[:-1].rfind(b"\n") + 1
    return start + begin, tail[begin:]


def _is_result(line: bytes) -> bool:
    try:
        parse_record(line, Result)
    except ValueError:
        return False
    return True
