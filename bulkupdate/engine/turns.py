"""A lock for those who are in a hurry in a known order."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A lock that the lowest number waiting gets next."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._is_taken = False
        self._count = 0

    @asynccontextmanager
    async def turn(self, number: int) -> AsyncIterator[None]:
        """Wait for the turn, and hold it."""
        if self._is_taken:
            await self._queue(number)
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _queue(self, number: int) -> None:
        mine = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (number, self._count, mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._is_taken = False
        while self._waiting and not self._is_taken:
            _, _, following = heapq.heappop(self._waiting)
            if not following.done():
                self._is_taken = True
                following.set_result(None)
