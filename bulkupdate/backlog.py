"""Rows on their way to the workers: bounded, earliest first, one at a time of each task.

Edits of one task must reach the server in the order of the file, so while a row of a task is
out, later rows of that task are parked. They take room meanwhile: a file in which one task holds
very many rows reads on past them until `read_ahead` rows wait, and no further.
"""

import asyncio
from collections import deque

from bulkupdate.models import Row

#: Rows that may wait or be out at once.
READ_AHEAD = 2000


class Backlog:
    """A bounded queue that never hands out two rows of one task at once.

    Args:
        read_ahead: rows that may wait or be out at once, before `put` waits.
    """

    def __init__(self, read_ahead: int = READ_AHEAD) -> None:
        self._room = asyncio.Semaphore(read_ahead)
        # By row number, so that an early row which was parked is not overtaken again.
        self._ready: asyncio.PriorityQueue[tuple[float, Row | None]] = asyncio.PriorityQueue()
        self._parked: dict[str, deque[Row]] = {}
        self._closed = False

    async def put(self, row: Row) -> None:
        """Add a row, waiting for room. Rows of one task come out in the order they went in."""
        await self._room.acquire()
        if row.id in self._parked:
            self._parked[row.id].append(row)
        else:
            self._parked[row.id] = deque()
            self._ready.put_nowait((row.number, row))

    async def get(self) -> Row | None:
        """The earliest row whose task has no other row out; None when the backlog has closed."""
        number, row = await self._ready.get()
        if row is None:
            self._ready.put_nowait((number, None))
        return row

    def done(self, row: Row) -> None:
        """Say that a row is settled, so that the next one of its task may go."""
        self._room.release()
        parked = self._parked[row.id]
        if parked:
            following = parked.popleft()
            self._ready.put_nowait((following.number, following))
        else:
            del self._parked[row.id]
        if self._closed and not self._parked:
            self._end()

    def close(self) -> None:
        """Say that no further row comes: once all are done, `get` answers None."""
        self._closed = True
        if not self._parked:
            self._end()

    def _end(self) -> None:
        self._ready.put_nowait((float("inf"), None))
