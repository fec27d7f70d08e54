"""Rows on their way to the workers: bounded, earliest first, one at a time of each task.

Edits of one task must reach the server in the order of the file, so while a row of a task is
out, later rows of that task are parked, and don't keep the rows of other tasks waiting. A few are
parked in memory, the rest on disk: a task that holds half of a long file costs no more than that.
"""

import asyncio
import heapq
from collections import deque
from pathlib import Path
from typing import Self

from bulkupdate.models import Row
from bulkupdate.scratch import Scratch

#: Rows that may be ready or out at once, and rows parked in memory.
READ_AHEAD = 1000
PARKED = 1000


class Backlog:
    """A bounded queue that never hands out two rows of one task at once.

    Args:
        read_ahead: rows that may be ready or out at once, before `put` waits.
        parked: rows kept in memory until an earlier one of their task is done.
        directory: where the rest of those is put on disk; without it, `put` waits for room.
    """

    def __init__(
        self, read_ahead: int = READ_AHEAD, parked: int = PARKED, directory: Path | None = None
    ) -> None:
        self._room = asyncio.Semaphore(read_ahead)
        self._room_to_park = asyncio.Semaphore(parked)
        # By row number, so that an early row which was parked is not overtaken again.
        self._ready: list[tuple[int, Row]] = []
        self._ready_count = asyncio.Semaphore(0)
        self._parked: dict[str, deque[Row]] = {}
        self._scratch = Scratch(directory) if directory else None
        self._closed = False

    async def put(self, row: Row) -> None:
        """Add a row, waiting for room. One caller may do so at a time.

        Rows of one task come out in the order they went in.

        Raises:
            JournalError: it could not be put on disk.
        """
        if row.id in self._parked and await self._park(row):
            return
        await self._room.acquire()
        self._parked[row.id] = deque()
        self._add(row)

    async def _park(self, row: Row) -> bool:
        """Put a row behind those of its task, unless there are none any more."""
        scratch = self._scratch
        if scratch is not None and (self._room_to_park.locked() or row.id in scratch):
            scratch.put(row)
            return True
        await self._room_to_park.acquire()
        is_behind = row.id in self._parked
        if is_behind:
            self._parked[row.id].append(row)
        else:
            self._room_to_park.release()
        return is_behind

    async def get(self) -> Row | None:
        """The earliest row whose task has no other row out; None when the backlog has closed."""
        await self._ready_count.acquire()
        if not self._ready:
            # It has ended: the others are to hear of it too.
            self._ready_count.release()
            return None
        return heapq.heappop(self._ready)[1]

    def done(self, row: Row) -> None:
        """Say that a row is settled, so that the next one of its task may go.

        Raises:
            JournalError: the next one was put aside, and can't be read.
        """
        following = self._following(row.id)
        if following is not None:
            self._add(following)
        else:
            del self._parked[row.id]
            self._room.release()
        if self._closed and not self._parked:
            self._end()

    @property
    def is_empty(self) -> bool:
        """Whether every row that was put in is done."""
        return not self._parked

    def close(self) -> None:
        """Say that no further row comes: once all are done, `get` answers None."""
        self._closed = True
        if not self._parked:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._scratch is not None:
            self._scratch.close()

    def _add(self, row: Row) -> None:
        heapq.heappush(self._ready, (row.number, row))
        self._ready_count.release()

    def _following(self, task: str) -> Row | None:
        parked = self._parked[task]
        if parked:
            self._room_to_park.release()
            return parked.popleft()
        if self._scratch is not None and task in self._scratch:
            return self._scratch.take(task)
        return None

    def _end(self) -> None:
        self._ready_count.release()
