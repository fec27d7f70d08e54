"""The results log: one JSON object a line, appended when a row is settled, never rewritten."""

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from bulkupdate.codec import parse_lines, parse_record, to_json
from bulkupdate.errors import JournalError
from bulkupdate.files import AppendOnlyFile
from bulkupdate.models import Mark, Result

#: The longest line that is read back, in bytes: a Task of 1 MiB, what was sent, and room.
_MAX_LINE = 8 << 20

#: Bytes of a log that are read at once.
_CHUNK = 1 << 20


class Journal:
    """An open results log.

    Args:
        path: of the log; created for its owner alone where it is not there.

    Raises:
        JournalError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendOnlyFile(path)
        self._dirty = False
        # A sync runs in a thread, and may still do so when the run ends.
        self._syncing = threading.Lock()

    def append(self, results: Iterable[Result]) -> None:
        """Write results, each a line, so that a crash of this process can't lose them.

        Raises:
            JournalError: they could not be written; none of them is in the log.
        """
        self._file.write(b"".join(to_json(result) + b"\n" for result in results))
        self._dirty = True

    def sync(self) -> None:
        """Have the disk confirm what was written, so that a power cut can't lose it.

        Raises:
            JournalError: it did not.
        """
        with self._syncing:
            if self._dirty:
                self._dirty = False
                try:
                    self._file.sync()
                except JournalError:
                    self._dirty = True
                    raise

    def close(self) -> None:
        """Close the log. `sync` comes first, where it matters."""
        self._file.close()


def read_marks(path: Path) -> Iterator[Mark]:
    """What resuming needs to know of every line of a log, a million lines in some two seconds.

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
                yield from parse_lines(memoryview(chunk)[:end], Mark)
        yield from parse_lines(rest, Mark)
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        for _ in read_journal(path):
            pass  # It finds the line.
        raise JournalError(f"{path}: a line is no result: {error}") from error


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
                yield offset, parse_record(line, Result)
                offset += len(line)
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise JournalError(f"{path}, line {number}, is no result: {error}") from error


def mend_journal(path: Path) -> str | None:
    """Drop a last line that a crash has torn.

    A whole line that only lacks its line end is kept.

    Returns:
        What was done, for a person to read, or None where nothing was amiss.

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
        raise JournalError(f"{path} can't be mended: {error.strerror}") from error


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
