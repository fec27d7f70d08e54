"""Rows put aside on disk until their turn comes, a queue for each task.

Memory holds two numbers for each task that has any; the rows of a queue are a chain in one file,
which has no name and goes with the process::

    offset:  next     length   row
             8 bytes  8 bytes  JSON
"""

import json
import os
import struct
import tempfile
from pathlib import Path
from typing import IO

from bulkupdate.codec import parse_json, to_json
from bulkupdate.errors import JournalError
from bulkupdate.models import PYTHON_NAMES, Row, TaskUpdate

_HEAD = struct.Struct("<QQ")
_NONE = 0


class Scratch:
    """Queues of rows on disk.

    Args:
        directory: where the file is made.

    Attributes:
        length: of the file, in bytes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._ends: dict[str, tuple[int, int]] = {}  # task: offsets of its first and last row
        self.length = 0

    def __contains__(self, task: str) -> bool:
        """Whether a task has rows here."""
        return task in self._ends

    def put(self, row: Row) -> None:
        """Put a row at the end of its task's queue.

        Raises:
            JournalError: it could not be written.
        """
        record = _record(row)
        offset = self._append(_HEAD.pack(_NONE, len(record)) + record)
        first, last = self._ends.get(row.id, (offset, _NONE))
        if last:
            self._write(offset.to_bytes(8, "little"), last)
        self._ends[row.id] = first, offset

    def take(self, task: str) -> Row:
        """The first row of a task's queue, which leaves it.

        Raises:
            JournalError: it could not be read.
        """
        first, last = self._ends[task]
        following, length = _HEAD.unpack(self._read(_HEAD.size, first))
        row = _row(self._read(length, first + _HEAD.size))
        if first == last:
            del self._ends[task]
        else:
            self._ends[task] = following, last
        return row

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes) -> int:
        if not self._ends:
            # Nothing in it is needed any more. The first byte is no row's: offset 0 is none.
            self.length = 1
        offset = self.length
        self._write(data, offset)
        self.length += len(data)
        return offset

    def _write(self, data: bytes, offset: int) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
            rest = memoryview(data)
            while rest:
                written = os.pwrite(self._file.fileno(), rest, offset)
                offset, rest = offset + written, rest[written:]
        except OSError as error:
            raise JournalError(f"rows can't be put aside: {error.strerror}") from error

    def _read(self, length: int, offset: int) -> bytes:
        if self._file is None:
            raise JournalError("the rows that were put aside are gone")
        try:
            data = os.pread(self._file.fileno(), length, offset)
        except OSError as error:
            raise JournalError(
                f"rows that were put aside can't be read: {error.strerror}"
            ) from error
        if len(data) < length:
            raise JournalError("rows that were put aside are cut off")
        return data


def _record(row: Row) -> bytes:
    changes = row.update.changes() if row.update is not None else {}
    # The record may hold bytes that could not be decoded, as no JSON of ours may.
    cells = json.dumps(row.record)
    merged = [_record(one).decode() for one in row.merged]
    return to_json((row.number, row.line, row.id, changes, cells, merged))


def _row(record: bytes) -> Row:
    number, line, id_, changes, text, earlier = parse_json(record)
    cells = json.loads(text)
    named = {PYTHON_NAMES[name]: value for name, value in changes.items()}
    update = TaskUpdate(id=id_, **named)
    merged = tuple(_row(one.encode()) for one in earlier)
    kept = cells if isinstance(cells, str) else tuple(cells)
    return Row(number, line, id_, update, (), kept, merged)
