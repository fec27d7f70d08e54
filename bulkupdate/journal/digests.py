"""What every row of an input says, as two hashes, so that an edit of it is noticed.

Rows are told apart by their task and by what they would send, not by where they stand: a row
that has only moved is the same row.
"""

import bisect
import struct
import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from bulkupdate.codec import to_json
from bulkupdate.errors import JournalError
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import Outcome, Result, Row

#: Rows whose digests are written at once, and the length of a line.
_BATCH = 2048
_LINE = 34

_unpack = struct.Struct(">Q").unpack

#: The bit of a row's content that says whether a request is sent for it.
_SENDS = 1

#: Rows are compared a part of the tasks at a time, so that few of them stand in a dictionary.
_PARTS = 64


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
        path: a file of digests. One that is not there holds none.

    Raises:
        JournalError: it can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._numbers = array("Q")
        try:
            data = path.read_bytes()
            # What a crash has torn is left out.
            whole = data[: len(data) // _LINE * _LINE].decode()
            self._numbers.frombytes(bytes.fromhex(whole))
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"{path} can't be read: {error.strerror}") from error
        except ValueError as error:
            raise JournalError(f"{path} is none of ours: {error}") from error
        if sys.byteorder == "little":
            self._numbers.byteswap()

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


class Changes(NamedTuple):
    """How an input differs from what it was.

    Attributes:
        changed: rows that say something else than a row of the same task did.
        added: rows without a counterpart in the earlier input.
        removed: rows of the earlier input, by their number there, without a counterpart now.
        kept: for each row now, the number of the settled row that it was; 0 for one that is not
            settled, or is to be sent again to keep the order of its task.
    """

    changed: list[int]
    added: list[int]
    removed: list[int]
    kept: "array[int]"


def compare(before: Digests, after: Digests, line: Callable[[int], int]) -> Changes:
    """Find out what has become of the rows of an input.

    Args:
        before: of the input as it was.
        after: of the input as it is now.
        line: the line of the log that settles a row of the earlier input, by its number; 0 where
            none does. Lines come in the order in which rows were applied.
    """
    changes = Changes([], [], [], array("I", bytes(4 * len(after))))
    for earlier, now in zip(_in_parts(before), _in_parts(after), strict=True):
        tasks_before, tasks_now = _by_task(before, earlier), _by_task(after, now)
        for task, rows in tasks_now.items():
            _compare_task(tasks_before.pop(task, []), rows, line, changes)
        for gone in tasks_before.values():
            changes.removed.extend(number for number, _ in gone)
    for numbers in (changes.changed, changes.added, changes.removed):
        numbers.sort()
    return changes


_Rows = list[tuple[int, int]]


def _compare_task(
    before: _Rows, after: _Rows, line: Callable[[int], int], changes: Changes
) -> None:
    """Compare the rows of one task, as number and content, in their order."""
    matches, fresh, gone = _match(before, after, line)
    # What was applied before an edit that is gone is sent again: or else that one would have the
    # last word.
    latest = max((line(was) for was, content in gone if content & _SENDS), default=0)
    is_sent = False
    for number, content in after:
        was = matches.get(number, 0)
        applied = line(was) if was else 0
        if not content & _SENDS:
            # It sends nothing, and so changes no order.
            changes.kept[number - 1] = was if applied else 0
            continue
        # So is what follows a row that is to be sent, or now follows one that was applied later.
        is_sent = is_sent or not applied or applied < latest
        if not is_sent:
            changes.kept[number - 1], latest = was, applied
    removed = [was for was, _ in gone]
    changes.changed.extend(fresh[: len(removed)])
    changes.added.extend(fresh[len(removed) :])
    changes.removed.extend(removed[len(fresh) :])


def _match(
    before: _Rows, after: _Rows, line: Callable[[int], int]
) -> tuple[dict[int, int], list[int], _Rows]:
    """Which row was which: matches by number, those that are new, those that are gone."""
    # Settled ones and others apart: the latter under the complement of what they say.
    by_content: dict[int, list[int]] = {}
    for number, content in before:
        by_content.setdefault(content if line(number) else ~content, []).append(number)
    matches: dict[int, int] = {}
    fresh = []
    latest = 0
    for number, content in after:
        # Of several that say the same, a settled one, and one that keeps the order.
        if same := by_content.get(content):
            place = bisect.bisect_right(same, latest)
            latest = same.pop(place if place < len(same) else 0)
            matches[number] = latest
        elif same := by_content.get(~content):
            matches[number] = same.pop(0)
        else:
            fresh.append(number)
    gone = sorted(
        (number, max(content, ~content))
        for content, numbers in by_content.items()
        for number in numbers
    )
    return matches, fresh, gone


def _in_parts(digests: Digests) -> "list[array[int]]":
    """The numbers of the rows, so that those of one task are together in a part."""
    parts = [array("I") for _ in range(_PARTS)]
    for number in range(1, len(digests) + 1):
        task, _ = digests.of(number)
        if task:
            parts[task % _PARTS].append(number)
    return parts


def _by_task(digests: Digests, numbers: Iterable[int]) -> dict[int, _Rows]:
    tasks: dict[int, _Rows] = defaultdict(list)
    for number in numbers:
        task, content = digests.of(number)
        tasks[task].append((number, content))
    return tasks


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
    return _hash(data) & ~_SENDS | _SENDS * sends


def _hash(data: bytes) -> int:
    # Never 0, which stands for no row.
    number: int = _unpack(blake2b(data, digest_size=8).digest())[0]
    return number or 1
