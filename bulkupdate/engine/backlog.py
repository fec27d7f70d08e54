"""The queue of rows for the workers: bounded, earliest first, one row of a task at a time.

Edits of one task must reach the server in the order of the file. While a worker has a row of a
task, later rows of that task are parked. They don't delay the rows of other tasks. Some rows are
parked in memory, the rest on disk, so a task with half of a long file needs little memory.
"""

import asyncio
import heapq
from collections import deque
from pathlib import Path
from typing import Self

from bulkupdate.engine.scratch import Scratch
from bulkupdate.models import Row

#: Rows per worker that may be ready or out at the same time. A row that is sent soon after it was
#: read is still in the processor's cache, so a higher number would cost more.
READ_AHEAD = 4

#: Most rows parked in memory.
PARKED = 1000


class Backlog:
    """A bounded queue that never hands out two rows of one task at the same time.

    A row is *ready* when a worker may take it. A row is *out* when a worker has it.

    Args:
        read_ahead: most rows that may be ready or out before `put` waits.
        parked: most rows in memory that wait for an earlier row of their task.
        scratch: the path of the database for further such rows. Without it, `put` waits for room.
    """

    def __init__(self, read_ahead: int, parked: int = PARKED, scratch: Path | None = None) -> None:
        self._room = read_ahead
        self._room_to_park = parked
        #: Room that `put` waits for when the queue is full, so that one wake-up adds several rows.
        #: The rows that are ready then keep the workers busy meanwhile.
        self._enough_room = max(1, read_ahead // 2)
        #: What `put` waits for: enough room, or a row that is done.
        self._has_room = asyncio.Event()
        self._has_done = asyncio.Event()
        #: Ready rows in the order of arrival: earliest first.
        self._ready: deque[Row] = deque()
        #: Ready rows that were parked, by number. They go before later rows, so that no more rows
        #: overtake them.
        self._ready_early: list[tuple[int, Row]] = []
        #: Callers of `get` that wait for a ready row.
        self._getters: deque[asyncio.Future[None]] = deque()
        #: Task with a row that is ready or out → the rows parked in memory behind it, if any.
        self._out: dict[str, deque[Row] | None] = {}
        self._scratch = Scratch(scratch) if scratch else None
        self._closed = False

    async def put(self, row: Row) -> None:
        """Add a row. Wait for room first. Only one caller may do so at a time.

        Rows of one task come out in the order in which they were added.

        Raises:
            JournalError: the row could not be stored on disk.
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
        """Park a row behind the rows of its task. Return False if none is left."""
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
        """Return the earliest row that is ready; None once the backlog has ended."""
        while not (self._ready or self._ready_early):
            if self._has_ended:
                return None
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    # The next waiting caller gets the row.
                    self._wake()
                raise
        early, ready = self._ready_early, self._ready
        if early and (not ready or early[0][0] < ready[0].number):
            return heapq.heappop(early)[1]
        return ready.popleft()

    def done(self, row: Row) -> None:
        """Mark a row as settled, so that the next row of its task may go.

        Raises:
            JournalError: the next row is on disk and can't be read.
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
        """Whether every added row is done."""
        return not self._out

    def close(self) -> None:
        """Mark the end of the rows. Once all rows are done, `get` returns None."""
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
        """Wake one caller that waits for a row."""
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
