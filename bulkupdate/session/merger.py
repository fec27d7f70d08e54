"""Several rows of one task → one update, in which the later ones win."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from bulkupdate.codec import replaced
from bulkupdate.engine.scratch import Scratch
from bulkupdate.errors import InvalidUpdateError
from bulkupdate.models import Row, TaskUpdate
from bulkupdate.plan import MAX_MERGED, RowSet


class Merger:
    """Holds rows back until the last row of their task comes, which then does the work of all.

    The rows that are held back are on disk. A request that does the work of several rows goes
    where the last of them stands in the input.

    Args:
        followed: the rows that another one of the same task comes after.
        scratch: where the rows are put aside.
    """

    def __init__(self, followed: RowSet, scratch: Path) -> None:
        self._followed = followed
        self._scratch = Scratch(scratch)
        self._held: dict[str, int] = {}

    def add(self, row: Row) -> list[Row]:
        """Take a row to be sent, and give out those that are complete, in their order.

        Raises:
            JournalError: it could not be put aside.
        """
        held = self._held.get(row.id, 0)
        if row.number in self._followed and held < MAX_MERGED - 1:
            self._scratch.put(row)
            self._held[row.id] = held + 1
            return []
        return list(_merged([*self._take(row.id), row]))

    def rest(self) -> Iterator[Row]:
        """Give out what is still held back."""
        for task in list(self._held):
            yield from _merged(self._take(task))

    def close(self) -> None:
        """Let go of what is on disk."""
        self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, task: str) -> list[Row]:
        return [self._scratch.take(task) for _ in range(self._held.pop(task, 0))]


def _merged(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows of one task in as few as they can be done in."""
    group: list[Row] = []
    update: TaskUpdate | None = None
    for row in rows:
        if row.update is None:
            raise AssertionError("only valid rows are merged")
        try:
            merged = update.merged_with(row.update) if update is not None else row.update
        except InvalidUpdateError:
            # More images and videos in all than a task takes, for one: they go one after another.
            yield _carrier(group, update)
            group, merged = [], row.update
        group.append(row)
        update = merged
    if group:
        yield _carrier(group, update)


def _carrier(group: list[Row], update: TaskUpdate | None) -> Row:
    """The last row of a group, with the update of all."""
    *earlier, last = group
    return replaced(last, update=update, merged=tuple(earlier)) if earlier else last
