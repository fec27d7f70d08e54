"""Merging: several rows of one task become one update, in which later rows win."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from bulkupdate.codec import replaced
from bulkupdate.engine.scratch import Scratch
from bulkupdate.errors import InvalidUpdateError, Problem
from bulkupdate.models import Row, TaskUpdate
from bulkupdate.plan import MAX_MERGED, RowSet


class Merger:
    """A buffer that holds rows back until the last row of their task, and then merges them.

    Rows that are held back are on disk. A merged request is sent in the position of its last row in
    the input.

    Args:
        followed: the rows that have a later row of the same task.
        scratch: the path of the database for rows that are held back.
    """

    def __init__(self, followed: RowSet, scratch: Path) -> None:
        self._followed = followed
        self._scratch = Scratch(scratch)
        self._held: dict[str, int] = {}

    def add(self, row: Row) -> list[Row]:
        """Add a row, and return the rows that are ready to be sent, in their order.

        Raises:
            JournalError: the row could not be stored on disk.
        """
        held = self._held.get(row.id, 0)
        if row.number in self._followed and held < MAX_MERGED - 1:
            self._scratch.put(row)
            self._held[row.id] = held + 1
            return []
        return list(_merged([*self._take(row.id), row]))

    def rest(self) -> Iterator[Row]:
        """Merge and yield the rows that are still held back."""
        for task in list(self._held):
            yield from _merged(self._take(task))

    def close(self) -> None:
        """Close the database."""
        self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, task: str) -> list[Row]:
        return [self._scratch.take(task) for _ in range(self._held.pop(task, 0))]


def _merged(rows: Iterable[Row]) -> Iterator[Row]:
    """Merge the rows of one task into as few rows as possible."""
    group: list[Row] = []
    update: TaskUpdate | None = None
    expect: dict[str, Any] | None = None
    for row in rows:
        if row.update is None:
            raise AssertionError("only valid rows are merged")
        try:
            merged = update.merged_with(row.update) if update is not None else row.update
            expect = _expected(expect, row.expect, update.changes() if update is not None else {})
        except InvalidUpdateError:
            # For example, more images and videos in total than a task can have: send two requests.
            yield _carrier(group, update, expect)
            group, merged, expect = [], row.update, row.expect
        group.append(row)
        update = merged
    if group:
        yield _carrier(group, update, expect)


def _expected(
    first: dict[str, Any] | None, later: dict[str, Any] | None, between: dict[str, Any]
) -> dict[str, Any] | None:
    """What a merged row expects: the first expectation on each field counts.

    Args:
        first: what the rows so far expect, by field.
        later: what the next row expects.
        between: the values that the rows so far set. The next row may expect these.

    Raises:
        InvalidUpdateError: the rows expect two values of one field.
    """
    foreign = {name: value for name, value in (later or {}).items() if name not in between}
    merged = {**foreign, **(first or {})}
    known = {**merged, **between}
    if any(known[name] != value for name, value in (later or {}).items()):
        raise InvalidUpdateError([Problem("", "", "expects another value than an earlier row")])
    return merged or None


def _carrier(group: list[Row], update: TaskUpdate | None, expect: dict[str, Any] | None) -> Row:
    """The last row of a group, with the merged update of all rows."""
    *earlier, last = group
    if not earlier:
        return last
    return replaced(last, update=update, merged=tuple(earlier), expect=expect)
