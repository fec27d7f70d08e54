"""The results log: one JSON object a line, appended when a row is settled, never rewritten."""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bulkupdate.codec import parse_lines, parse_record, replaced, to_lines
from bulkupdate.errors import JournalError, setting
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import Mark, Result

Line = TypeVar("Line", bound=Mark)

#: The longest line that is read back, in bytes: a Task, what was sent, and room.
_MAX_LINE = 32 << 20

#: Results that are written at once while a log is renumbered.
_BATCH = 256

#: Bytes of a log that are read at once.
_CHUNK = 1 << 20


class ResultsLog(AppendOnlyFile):
    """The results log, open for appending: one line for each settled row."""

    def append(self, results: Iterable[Result]) -> None:
        """Write results, each a line, so that a crash of this process can't lose them.

        Raises:
            JournalError: they could not be written; none of them is in the log.
        """
        self.write(to_lines(results))


def read_marks(path: Path) -> Iterator[list[Mark]]:
    """What resuming needs to know of every line of a log, a million lines in some two seconds.

    Yields:
        The marks of some lines at a time, in their order.

    Raises:
        JournalError: it can't be read, or a line is no result.
    """
    return read_lines(path, Mark)


def read_lines(path: Path, kind: type[Line], *, whole_lines: bool = False) -> Iterator[list[Line]]:
    """Every line of a log, as much of it as is needed.

    Args:
        path: of the log.
        kind: what to read each line as.
        whole_lines: whether a last line without a line end is left out: somebody may be writing it.

    Yields:
        Some lines at a time, in their order.

    Raises:
        JournalError: it can't be read, or a line is no result.
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
            pass  # It finds the line.
        raise JournalError(f"{path}: a line is no result: {error}") from error


def line_offsets(path: Path, lines: Iterable[int]) -> Iterator[int]:
    """Where some lines of a log begin, in bytes.

    Args:
        path: of the log.
        lines: their numbers, from 1, in rising order.

    Raises:
        JournalError: it can't be read, or has no such line.
    """
    offset = number = start = 0
    try:
        with path.open("rb") as log:
            for wanted in lines:
                while number < wanted:
                    start = offset
                    line = log.readline(_MAX_LINE)
                    offset += len(line)
                    # Blank lines, which an editor may have left, are passed over.
                    number += not line.isspace()
                    if not line:
                        raise JournalError(f"{path} has no line {wanted}")
                yield start
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error


def read_journal(path: Path) -> Iterator[tuple[int, Result]]:
    """Every line of a log, in its order: its offset in bytes, and the result.

    Raises:
        JournalError: it can't be read, or a line is no result.
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
            f"{path}, line {number}, is no result: {error}. Remove that line, and its row is sent"
            f" again; or start again with {setting('overwrite')}"
        ) from error


def renumber_journal(path: Path, kept: Sequence[int], previous: Path) -> None:
    """Replace a log by one for an input whose rows stand elsewhere now.

    Args:
        path: of the log.
        kept: for each row of the input now, the number it has in the log; 0 for none.
        previous: a name that the log as it was gets.

    Raises:
        JournalError: it can't be done; the log is as it was.
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
        # From here on it is the log of the new input: there is no moment in between.
        part.replace(path)
    except OSError as error:
        raise JournalError(f"{path} can't be renumbered: {error.strerror}") from error
    finally:
        renumbered.close()


def _renumbered(result: Result, number: int, numbers: "array[int]") -> Result:
    """A result under its new number; the rows that it names have new ones too, or are gone."""
    if not result.merged and result.sent_with is None:
        return replaced(result, row=number)
    merged = tuple(now for was in result.merged if (now := numbers[was]))
    sent_with = numbers[result.sent_with or 0] or None
    return replaced(result, row=number, merged=merged, sent_with=sent_with)


def repair_journal(path: Path) -> str | None:
    """Drop a last line that a crash has torn.

    A whole line that only lacks its line end is kept.

    Returns:
        What was done, for a person to read, or None where nothing was wrong.

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
                return f"{path}: the last line had lost its line end"
            log.truncate(start)
            return f"{path}: dropped a torn last line of {len(line)} bytes: its row is sent again"
    except OSError as error:
        raise JournalError(f"{path} can't be repaired: {error.strerror}") from error


def _last_line(descriptor: int) -> tuple[int, bytes]:
    """Where the last line of a file begins, and its bytes."""
    end = os.fstat(descriptor).st_size
    tail = b""
    start = end
    # The line end that closes the last line is no border before it.
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
