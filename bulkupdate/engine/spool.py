"""The spool: the rows of each account on disk, so that no account waits for another's rows.

A file may be sorted by account. Read in its order, it would keep one lane busy at a time. So its
rows are put on disk as they are checked, and each lane reads its own, in the order of the file::

    input ──▶ check ──▶ spool ──▶ acme's rows ──▶ acme's lane
                              └─▶ globex's rows ─▶ globex's lane

Memory holds eight bytes for each row. The file has no name, so it disappears with the process.
"""

import contextlib
import os
from array import array
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import IO, Self

from bulkupdate.engine.stored import from_bytes, to_bytes
from bulkupdate.errors import JournalError
from bulkupdate.models import Row

#: Bits of the number that stands for a row which hold the length of its record.
_LENGTH_BITS = 26
_LONGEST = (1 << _LENGTH_BITS) - 1


class Spool:
    """The rows of each account, on disk.

    Args:
        path: the path of the file. The name is removed at once.

    Raises:
        JournalError: the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        #: Account → for each of its rows, the place and the length of its record.
        self._places: dict[str, array[int]] = {}
        self._end = self._flushed = 0
        self._file = _nameless(path)

    def add(self, row: Row) -> None:
        """Add a row. An invalid row that names no account is under "".

        Raises:
            JournalError: it could not be written, or is too long.
        """
        record = to_bytes(row)
        if len(record) > _LONGEST:
            raise JournalError(f"row {row.number} is too long to be stored on disk")
        try:
            self._file.write(record)
        except OSError as error:
            raise _unstored(error) from error
        places = self._places.get(row.account)
        if places is None:
            places = self._places[row.account] = array("Q")
        places.append(self._end << _LENGTH_BITS | len(record))
        self._end += len(record)

    def flush(self) -> None:
        """Write all rows that have been added. Reading one of them does so too.

        Raises:
            JournalError: they could not be written.
        """
        try:
            self._file.flush()
        except OSError as error:
            raise _unstored(error) from error
        self._flushed = self._end

    @property
    def accounts(self) -> Iterable[str]:
        """The accounts that have rows, in the order of their first rows."""
        return self._places.keys()

    def count(self, account: str) -> int:
        """Number of rows of an account so far."""
        return len(self._places.get(account, ()))

    def row(self, account: str, index: int) -> Row:
        """One row of an account, by its index among them.

        Raises:
            JournalError: it can't be read.
        """
        place = self._places[account][index]
        start, length = place >> _LENGTH_BITS, place & _LONGEST
        if start + length > self._flushed:
            self.flush()
        try:
            return from_bytes(os.pread(self._file.fileno(), length, start))
        except (OSError, ValueError) as error:
            raise JournalError(f"rows can't be read back from disk: {error}") from error

    def rows(self, account: str) -> Generator[Row]:
        """The rows of an account, in the order of the input.

        Raises:
            JournalError: they can't be read.
        """
        for index in range(self.count(account)):
            yield self.row(account, index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What could not be written could not be read back either, which was told then.
        with contextlib.suppress(JournalError):
            self.close()

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            raise _unstored(error) from error


def _nameless(path: Path) -> IO[bytes]:
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        path.unlink()
    except OSError as error:
        raise _unstored(error) from error
    return os.fdopen(descriptor, "r+b", buffering=1 << 16)


def _unstored(error: OSError) -> JournalError:
    return JournalError(f"rows can't be stored on disk: {error.strerror}")
