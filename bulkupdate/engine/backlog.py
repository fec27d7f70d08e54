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

from bulkupdate.engine.scratch import Scratch
from bulkupdate.models import Row

#: Rows for each worker that may be ready or out at once. More would cost more: what was read just
#: before it is sent is still in the processor's cache.
READ_AHEAD = 4

#: Rows parked in memory.
PARKED = 1000


class Backlog:
    """A bounded queue that never hands out two rows of one task at once.

    Args:
        read_ahead: rows that may be ready or out at once, before `put` waits.
        parked: rows kept in memory until an earlier one of their task is done.
        scratch: where the rest of those is put on disk; without it, `put` waits for room.
    """

    def __init__(self, read_ahead: int, parked: int = PARKED, scratch: Path | None = None) -> None:
        self._room = read_ahead
        self._room_to_park = parked
        #: Room to wait for once there is none, so that filling it is worth a wake-up; what is ready
        #: then lasts for as long as that takes.
        self._enough_room = max(1, read_ahead // 2)
        #: Who waits in `put`, for that or for a row to be done.
        self._has_room = asyncio.Event()
        self._has_done = asyncio.Event()
        #: Rows as they came: earliest first.
        self._ready: deque[Row] = deque()
        #: Those that come to be ready after later ones, by number: an early row which was parked is
        #: not overtaken again.
        self._ready_early: list[tuple[int, Row]] = []
        #: Who waits in `get` for a row to be ready.
        self._getters: deque[asyncio.Future[None]] = deque()
        #: Tasks that have a row ready or out, and the rows parked behind it, if there are any.
        self._out: dict[str, deque[Row] | None] = {}
        self._scratch = Scratch(scratch) if scratch else None
        self._closed = False

    async def put(self, row: Row) -> None:
        """Add a row, waiting for room. One caller may do so at a time.

        Rows of one task come out in the order they went in.

        Raises:
            JournalError: it could not be put on disk.
        """
        if row.id in self._out and await self._park(row):
            return
        if not self._room:
            self._has_room.clear()
            await self._has_room.wait()
        self._room -= 1
        self._out[row.id] = None
        self._add(row)

    async def _park(self, row: Row) -> bool:
        """Put a row behind those of its task, unless there are none any more."""
        scratch = self._scratch
        if scratch is not None and (not self._room_to_park or row.id in scratch):
            scratch.put(row)
            return True
        while not self._room_to_park:
            self._has_done.clear()
            await self._has_done.wait()
        if row.id not in self._out:
            return False
        self._room_to_park -= 1
        parked = self._out[row.id]
        if parked is None:
            parked = self._out[row.id] = deque()
        parked.append(row)
        return True

    async def get(self) -> Row | None:
        """The earliest row whose task has no other row out; None when the backlog has closed."""
        while not (self._ready or self._ready_early):
            if self._has_ended:
                return None
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    # Whoever waits behind is to have the row.
                    self._wake()
                raise
        early, ready = self._ready_early, self._ready
        if early and (not ready or early[0][0] < ready[0].number):
            return heapq.heappop(early)[1]
        return ready.popleft()

    def done(self, row: Row) -> None:
        """Say that a row is settled, so that the next one of its task may go.

        Raises:
            JournalError: the next one was put aside, and can't be read.
        """
        following = self._following(row.id)
        if following is None:
            del self._out[row.id]
            self._room += 1
            if self._room == self._enough_room:
                self._has_room.set()
        else:
            self._add(following)
        if self._scratch is None:
            self._has_done.set()
        if self._closed:
            self._wake_all_at_the_end()

    @property
    def is_empty(self) -> bool:
        """Whether every row that was put in is done."""
        return not self._out

    def close(self) -> None:
        """Say that no further row comes: once all are done, `get` answers None."""
        self._closed = True
        self._wake_all_at_the_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._scratch is not None:
            self._scratch.close()

    @property
    def _has_ended(self) -> bool:
        return self._closed and not self._out

    def _add(self, row: Row) -> None:
        if not self._ready or row.number > self._ready[-1].number:
            self._ready.append(row)
        else:
            heapq.heappush(self._ready_early, (row.number, row))
        if self._getters:
            self._wake()

    def _wake(self) -> None:
        """Have one who waits for a row look again."""
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _wake_all_at_the_end(self) -> None:
        while self._has_ended and self._getters:
            self._wake()

    def _following(self, task: str) -> Row | None:
        parked = self._out[task]
        if parked:
            self._room_to_park += 1
            return parked.popleft()
        if self._scratch is not None and task in self._scratch:
            return self._scratch.take(task)
        return None
