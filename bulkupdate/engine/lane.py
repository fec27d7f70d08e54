"""One API key's share of a run: its client, its limiter, its workers, its stop signal.

A run has one lane today. Nothing in here knows whether there are more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bulkupdate.config import RetryPolicy
from bulkupdate.engine.backlog import Backlog
from bulkupdate.engine.health import Health
from bulkupdate.engine.limiter import Limiter
from bulkupdate.engine.worker import AbandonedError, Sender, Worker
from bulkupdate.errors import JournalError
from bulkupdate.models import Result, Row, Traffic
from bulkupdate.stop import Stop

log = logging.getLogger(__name__)


class Lane:
    """Workers that share one key.

    Args:
        client: sends an update with the key.
        limiter: says when, for all of them.
        policy: how often a row is tried, and when a server that is down is given up.
        workers: requests in flight at most.
        drain_timeout: seconds that requests in flight get to end after `stop` is set.
        stop: once set, nothing more is started. The lane sets it when no other row could fare
            better: the key is refused, the server stays down.
        on_result: takes each settled row, and returns once it is safe: the next row of its task
            goes then. It may raise `JournalError`, which stops the lane.

    Attributes:
        stop: as given.
        traffic: the requests so far.
        limiter: as given.
        health: what is known of the server.
    """

    def __init__(
        self,
        client: Sender,
        limiter: Limiter,
        policy: RetryPolicy,
        *,
        workers: int,
        drain_timeout: float,
        stop: Stop,
        on_result: Callable[[Row, Result], Awaitable[None]],
    ) -> None:
        self.stop = stop
        self.traffic = Traffic()
        self.limiter = limiter
        self._client = client
        self._policy = policy
        self._worker_count = workers
        self._drain_timeout = drain_timeout
        self._on_result = on_result
        self.health = Health(stop, policy.give_up_after)
        self._workers: dict[asyncio.Task[None], Worker] = {}

    async def run(self, backlog: Backlog) -> None:
        """Settle the rows of `backlog` until it ends, or until `stop` is set and all has drained.

        The first request goes alone until an answer shows that the key is good: a wrong key
        costs one request, however many workers there are.
        """
        async with asyncio.TaskGroup() as group:
            supervisor = group.create_task(self._drain_when_stopped())
            first = self._start_worker(group, backlog)
            others = group.create_task(self.health.all_may_start.wait())
            await asyncio.wait({first, others}, return_when=asyncio.FIRST_COMPLETED)
            others.cancel()
            if not self.stop.is_set and not first.done():
                for _ in range(self._worker_count - 1):
                    self._start_worker(group, backlog)
            await asyncio.wait(self._workers)
            supervisor.cancel()

    def _start_worker(self, group: asyncio.TaskGroup, backlog: Backlog) -> asyncio.Task[None]:
        worker = Worker(
            self._client, self.limiter, self._policy, self.stop, self.traffic, self.health
        )
        task = group.create_task(self._work(worker, backlog))
        self._workers[task] = worker
        return task

    async def _work(self, worker: Worker, backlog: Backlog) -> None:
        while not self.stop.is_set and (row := await backlog.get()) is not None:
            if row.update is None:
                raise AssertionError("only valid rows are put into the backlog")
            try:
                result = await worker.settle(row.number, row.update)
            except AbandonedError:
                return
            try:
                # Only then may the next row of its task go: or else that one could be in the log,
                # and this one not, and be sent again after it.
                await self._on_result(row, result)
                worker.idle = True
                backlog.done(row)
            except JournalError as error:
                self.stop.set(str(error))
                return

    @property
    def waiting_for(self) -> str | None:
        """Why nothing starts at the moment, for a person to read; None when something may."""
        return self.health.waiting_for or self.limiter.waiting_for

    async def _drain_when_stopped(self) -> None:
        """Once stopped: end the workers that wait, let the others' requests end, in time."""
        await self.stop.wait()
        for task, worker in self._workers.items():
            if worker.idle:
                worker.abandoned = True
                task.cancel()
        if busy := [task for task in self._workers if not task.done()]:
            _, late = await asyncio.wait(busy, timeout=self._drain_timeout)
            for task in late:
                # One that has its answer only waits for its result to be taken.
                if self._workers[task].sending:
                    log.warning("a request in flight did not end in %g s", self._drain_timeout)
                    task.cancel()
