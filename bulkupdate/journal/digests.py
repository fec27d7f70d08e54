"""Digests of an input: two hashes for each row, to detect edits of the input.

A row is identified by its task and by its content, not by its number. A row that has only moved is
the same row.
"""

import os
import struct
import sys
from array import array
from hashlib import blake2b
from pathlib import Path
from typing import Self

from bulkupdate.codec import parse_json, to_json
from bulkupdate.errors import JournalError
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import LoggedRow, Outcome, Result, Row, task_of

#: Number of rows whose digests are written at once, and the length of a line.
_BATCH = 2048
_LINE = 34

#: Number of parts of a file of digests, of `_BATCH` rows each, that are kept in memory.
_PARTS_KEPT = 4

#: The bit of a row's content that says whether a request is sent for it.
SENDS = 1

_unpack = struct.Struct(">Q").unpack


class DigestFile:
    """The file of an input's digests, open for writing: one line for each row, in hexadecimal.

    Args:
        path: the path of the file. It is created for its owner alone, or emptied.

    Raises:
        JournalError: the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendOnlyFile(path, empty=True)
        self._numbers = array("Q")

    def add(self, row: Row) -> None:
        """Add the next row."""
        numbers = self._numbers
        numbers.append(_hash((row.task if row.account else row.id).encode()))
        numbers.append(_content(_data(row), row.is_sent))
        if len(numbers) == 2 * _BATCH:
            self._flush()

    def close(self) -> None:
        """Write the rest, and close the file."""
        try:
            self._flush()
        finally:
            self._file.close()

    def _flush(self) -> None:
        """Write the numbers, two in each line."""
        numbers, self._numbers = self._numbers, array("Q")
        if numbers:
            self._file.write(_lines(numbers))


class CheckedRows:
    """The rows that were checked, for comparison with what is sent and what the log holds.

    Args:
        path: the path of a file of digests.

    Raises:
        JournalError: the file can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        #: Parts of the file by number. Rows are asked for nearly in order.
        self._parts: dict[int, bytes] = {}
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"{path} can't be read: {error.strerror}") from error

    def __len__(self) -> int:
        return os.fstat(self._descriptor).st_size // _LINE

    def holds(self, row: Row) -> bool:
        """Whether a row is the one that was checked under its number.

        Raises:
            JournalError: the file can't be read.
        """
        content = _content(_data(row), row.is_sent)
        return self._numbers(row.number)[8:] == content.to_bytes(8, "big")

    def fits(self, line: LoggedRow) -> bool:
        """Whether a line of the log is a result of the row that was checked under its number.

        Raises:
            JournalError: the file can't be read.
        """
        numbers = self._numbers(line.row)
        if line.sent and not (line.merged or line.was_merged or line.compared):
            # Called for each line of a log: a hash and a comparison of bytes, and no more.
            written = b"".join((b'{"id":', line.id, b",", memoryview(line.sent)[1:]))
            if line.account is not None:
                written = _of_account(written, line.account)
            digest = blake2b(written, digest_size=8).digest()
            is_near = digest[:7] == numbers[8:15]
            if is_near and digest[7] | SENDS == numbers[15]:
                return True
        try:
            return _fits_otherwise(line, numbers)
        except (ValueError, TypeError):
            return False  # What is read as it stands may be no JSON, or no object.

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _numbers(self, row: int) -> bytes:
        """The sixteen bytes of a row; empty beyond the end."""
        number, index = divmod(row - 1, _BATCH)
        part = self._parts.get(number)
        if part is None:
            part = self._read(number)
        return part[16 * index : 16 * index + 16]

    def _read(self, number: int) -> bytes:
        size = _BATCH * _LINE
        if len(self._parts) == _PARTS_KEPT:
            del self._parts[next(iter(self._parts))]
        try:
            lines = os.pread(self._descriptor, size, number * size)
            part = bytes.fromhex(lines[: len(lines) // _LINE * _LINE].decode())
        except (OverflowError, ValueError):
            part = b""  # No such row, or damage: no row is like it.
        except OSError as error:
            raise JournalError(f"{self._path} can't be read: {error.strerror}") from error
        self._parts[number] = part
        return part


def _fits_otherwise(line: LoggedRow, numbers: bytes) -> bool:
    """Whether a line fits by its task alone, or after another program has laid it out anew."""
    task, account = parse_json(line.id), line.account or ""
    if not line.sent or line.merged or line.was_merged or line.compared:
        # The log does not hold the content of such a row.
        return numbers[:8] == _hash(task_of(account, str(task)).encode()).to_bytes(8, "big")
    written = to_json({"id": task, **parse_json(line.sent)})
    content = _content(_of_account(written, account) if account else written, sends=True)
    return numbers[8:] == content.to_bytes(8, "big")


class Digests:
    """The digests of an input: for each row a number for its task and one for its content.

    The numbers have 64 bits. Two different rows have equal numbers once in 10**19 times.

    Args:
        numbers: two numbers for each row, in the order of the rows.
    """

    def __init__(self, numbers: "array[int]") -> None:
        self._numbers = numbers

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the digests in a file. Without such a file, there are none.

        Raises:
            JournalError: the file can't be read, or was not written by bulkupdate.
        """
        numbers = array("Q")
        try:
            data = path.read_bytes()
            # A crash may leave an incomplete last line: leave it out.
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
        """The task and the content of a row, by its number; zeros for an unknown row."""
        index = 2 * (row - 1)
        return self._numbers[index], self._numbers[index + 1]

    def forget(self, row: int) -> None:
        """Remove the digests of a row, so that it is sent again."""
        if row <= len(self):
            self._numbers[2 * row - 2] = self._numbers[2 * row - 1] = 0

    def correct(self, result: Result) -> None:
        """Replace the digests of a row by those of its result: the log is right."""
        if not _holds_content(result):
            return
        self._numbers.extend([0] * 2 * (result.row - len(self)))
        index = 2 * (result.row - 1)
        account = result.account or ""
        content = to_json({"id": result.id, **(result.sent or {})})
        content = _of_account(content, account) if account else content
        self._numbers[index] = _hash(task_of(account, result.id).encode())
        self._numbers[index + 1] = _content(content, bool(result.sent))


def _holds_content(result: Result) -> bool:
    """Whether the log holds the content of a row: what was sent for it, or that it sets nothing."""
    if result.merged or result.was_merged or result.compared:
        return False
    sets_nothing = result.outcome is Outcome.UNCHANGED and result.reason is None
    return result.sent is not None or sets_nothing


def _lines(numbers: "array[int]") -> bytes:
    """Numbers as lines of the file, two in each line."""
    if sys.byteorder == "little":
        numbers.byteswap()
    lines = bytearray(numbers.tobytes().hex(" ", 8), "ascii") + b"\n"
    lines[_LINE - 1 :: _LINE] = b"\n" * (len(numbers) // 2)
    return bytes(lines)


def _data(row: Row) -> bytes:
    """The content of a row as bytes."""
    if row.update is not None:
        content = row.update.encode()
        if row.account:
            content = _of_account(content, row.account)
        return content if row.expect is None else content + to_json(sorted(row.expect.items()))
    return repr(row.record).encode("utf-8", "replace")


def _of_account(content: bytes, account: str) -> bytes:
    """The content of a row of one of several accounts: the same edit of another is another one."""
    return b"%b\0%b" % (content, account.encode())


def _content(data: bytes, sends: bool) -> int:
    return _hash(data) & ~SENDS | SENDS * sends


def _hash(data: bytes) -> int:
    # Never 0: it stands for no row.
    number: int = _unpack(blake2b(data, digest_size=8).digest())[0]
    return number or 1
