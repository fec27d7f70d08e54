"""Merging: several rows of one task become one update, in which later rows win."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from bulkupdate.codec import replaced
from bulkupdate.engine.scratch import Scratch
from bulkupdate.errors import InvalidUpdateError
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
    for row in rows:
        if row.update is None:
            raise AssertionError("only valid rows are merged")
        try:
            merged = update.merged_with(row.update) if update is not None else row.update
        except InvalidUpdateError:
            # For example, more images and videos in total than a task can have: send two requests.
            yield _carrier(group, update)
            group, merged = [], row.update
        group.append(row)
        update = merged
    if group:
        yield _carrier(group, update)


def _carrier(group: list[Row], update: TaskUpdate | None) -> Row:
    """The last row of a group, with the merged update of all rows."""
    *earlier, last = group
    return replaced(last, update=update, merged=tuple(earlier)) if earlier else last
