"""A lane in virtual time, with a server that is a function."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from bulkupdate.engine.backlog import Backlog
from bulkupdate.engine.lane import Lane, Preparation
from bulkupdate.engine.limiter import Limiter, NoLimiter
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.models import Result, Row
from bulkupdate.stop import Stop
from tests.support.clock import run_virtual
from tests.support.fakes import FakeServer, Script


class Course:
    """A lane that settles rows in virtual time."""

    def __init__(self, script: Script | None = None, **policy: Any) -> None:
        self.server = FakeServer(script)
        self.results: list[Result] = []
        self.stop = Stop()
        self.policy = RetryPolicy(**policy)
        self.stop_after: int | None = None
        self.drain_timeout = 30.0
        self.slow_writer = 0.0
        self.preparation: Preparation | None = None
        self.meanwhile: Callable[[], Coroutine[None, None, None]] | None = None
        self.seconds = 0.0

    def run(self, *rows: Row, workers: int = 8) -> dict[int, Result]:
        run_virtual(self._main(rows, workers))
        assert len({result.row for result in self.results}) == len(self.results)
        return {result.row: result for result in self.results}

    async def _main(self, rows: tuple[Row, ...], workers: int) -> None:
        backlog = Backlog(len(rows) + 1, parked=len(rows) + 1)
        for one in rows:
            await backlog.put(one)
        backlog.close()
        begun = asyncio.get_running_loop().time()
        self.lane = Lane(
            self.server,
            self.make_limiter(),
            self.policy,
            workers=workers,
            drain_timeout=self.drain_timeout,
            stop=self.stop,
            on_result=self._take,
        )
        self.lane.preparation = self.preparation
        meanwhile = asyncio.create_task(self.meanwhile()) if self.meanwhile else None
        await self.lane.run(backlog)
        if meanwhile is not None:
            await meanwhile
        self.seconds = asyncio.get_running_loop().time() - begun
        assert self.server.in_flight == 0

    def make_limiter(self) -> Limiter:
        """The limiter of the lane."""
        return NoLimiter()

    async def _take(self, _: Row, result: Result) -> None:
        if self.slow_writer:
            await asyncio.sleep(self.slow_writer)
        self.results.append(result)
        if len(self.results) == self.stop_after:
            self.stop.set("enough")
