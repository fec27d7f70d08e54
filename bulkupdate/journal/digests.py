"""What every row of an input says, as two hashes, so that an edit of it is noticed.

Rows are told apart by their task and by what they would send, not by where they stand: a row
that has only moved is the same row.
"""

import struct
import sys
from array import array
from hashlib import blake2b
from pathlib import Path
from typing import Self

from bulkupdate.codec import to_json
from bulkupdate.errors import JournalError
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import Outcome, Result, Row

#: Rows whose digests are written at once, and the length of a line.
_BATCH = 2048
_LINE = 34

#: The bit of a row's content that says whether a request is sent for it.
SENDS = 1

_unpack = struct.Struct(">Q").unpack


class DigestFile:
    """The file of an input's digests, while its rows are read: one line each, in hexadecimal.

    Args:
        path: where; created for its owner alone, or emptied.

    Raises:
        JournalError: it can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendOnlyFile(path, empty=True)
        self._numbers = array("Q")

    def add(self, row: Row) -> None:
        """Take in the next row."""
        numbers = self._numbers
        numbers.append(_hash(row.id.encode()))
        numbers.append(_content(_said(row), row.is_sent))
        if len(numbers) == 2 * _BATCH:
            self._flush()

    def close(self) -> None:
        """Write the rest, and close it."""
        try:
            self._flush()
        finally:
            self._file.close()

    def _flush(self) -> None:
        """Write the numbers, two a line."""
        numbers, self._numbers = self._numbers, array("Q")
        if numbers:
            self._file.write(_lines(numbers))


def is_row_of(path: Path, row: Row) -> bool:
    """Whether a row is known to be the one that a file of digests has under its number."""
    expected = _lines(array("Q", (_hash(row.id.encode()), _content(_said(row), row.is_sent))))
    try:
        with path.open("rb") as file:
            file.seek((row.number - 1) * _LINE)
            line = file.read(_LINE)
    except OSError:
        return False
    return line == expected


class Digests:
    """Two numbers of 64 bits for each row: one for its task, one for what it says of it.

    Two rows that differ have the same numbers once in 10**19 times.

    Args:
        numbers: two for each row, in the order of the rows.
    """

    def __init__(self, numbers: "array[int]") -> None:
        self._numbers = numbers

    @classmethod
    def read(cls, path: Path) -> Self:
        """The digests in a file; none, where there is no such file.

        Raises:
            JournalError: it can't be read.
        """
        numbers = array("Q")
        try:
            data = path.read_bytes()
            # What a crash has torn is left out.
            whole = data[: len(data) // _LINE * _LINE].decode()
            numbers.frombytes(bytes.fromhex(whole))
        except FileNotFoundError:
            return cls(numbers)
        except OSError as error:
            raise JournalError(f"{path} can't be read: {error.strerror}") from error
        except ValueError as error:
            raise JournalError(f"{path} was not written by bulkupdate: {error}") from error
        if sys.byteorder == "little":
            numbers.byteswap()
        return cls(numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digests) and self._numbers == other._numbers

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._numbers) // 2

    def of(self, row: int) -> tuple[int, int]:
        """The task and the content of a row, by its number; zeros for one that is not known."""
        place = 2 * (row - 1)
        return self._numbers[place], self._numbers[place + 1]

    def forget(self, row: int) -> None:
        """Know nothing of a row any more: it is sent again."""
        if row <= len(self):
            self._numbers[2 * row - 2] = self._numbers[2 * row - 1] = 0

    def correct(self, result: Result) -> None:
        """Take in what the log says of a row: it is the truth of it."""
        if result.merged or (result.sent is None and result.outcome is not Outcome.UNCHANGED):
            return  # The log doesn't hold what such a row said.
        self._numbers.extend([0] * 2 * (result.row - len(self)))
        place = 2 * (result.row - 1)
        content = to_json({"id": result.id, **(result.sent or {})})
        self._numbers[place] = _hash(result.id.encode())
        self._numbers[place + 1] = _content(content, bool(result.sent))


def _lines(numbers: "array[int]") -> bytes:
    """Numbers as they are written, two a line."""
    if sys.byteorder == "little":
        numbers.byteswap()
    lines = bytearray(numbers.tobytes().hex(" ", 8), "ascii") + b"\n"
    lines[_LINE - 1 :: _LINE] = b"\n" * (len(numbers) // 2)
    return bytes(lines)


def _said(row: Row) -> bytes:
    """What a row says."""
    if row.update is not None:
        return row.update.encode()
    return repr(row.record).encode("utf-8", "replace")


def _content(data: bytes, sends: bool) -> int:
    return _hash(data) & ~SENDS | SENDS * sends


def _hash(data: bytes) -> int:
    # Never 0, which stands for no row.
    number: int = _unpack(blake2b(data, digest_size=8).digest())[0]
    return number or 1
