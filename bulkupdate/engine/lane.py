"""A lane: the part of a run that uses one API key, with its own client, limiter, workers and stop.

A run with accounts has a lane for each. No lane knows of another.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from bulkupdate.engine.backlog import Backlog
from bulkupdate.engine.call import Caller, NotDueError
from bulkupdate.engine.health import Health
from bulkupdate.engine.limiter import Limiter
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.engine.worker import Sender, settle
from bulkupdate.errors import JournalError, count
from bulkupdate.models import Level, Outcome, Reason, Result, Row, TaskUpdate, Traffic
from bulkupdate.stop import Scope, Stop, StoppedError

log = logging.getLogger(__name__)


class Preparation(Protocol):
    """What is done with a row before its request and after it."""

    async def ready(self, row: Row) -> TaskUpdate | Result | None:
        """Return the update to send, or the result of a row that needs no request, or None.

        It may raise `JournalError` or `StoppedError`: nothing is sent.
        """

    def is_due(self) -> bool:
        """Whether a row that is ready may still be sent: its request may have waited long."""

    def put_off(self, row: Row) -> None:
        """Take back that a row is ready. Nothing was sent, and it will be asked for again."""

    def settled(self, row: Row, result: Result) -> Result:
        """Return the result of a request as it is to be logged."""


class Lane:
    """A lane: workers that share one key.

    Args:
        client: sends an update with the key.
        limiter: gives a permit to each request of all the workers.
        policy: the attempts for a row, and the time after which a run gives up on a server.
        workers: most requests in flight.
        drain_timeout: seconds that requests in flight get to end after a stop.
        stop: the stop of the run. The lane's own stop is inside it. It is set if every other row
            would fail too: the key is refused, or the server stays down.
        on_result: receives each settled row, and returns once the result is in the log. Only then
            the next row of its task goes. It may raise `JournalError`, which stops the lane.
        was_sent: whether an earlier session may have sent a row whose answer is not known. Such a
            row is not called failed because the server can't be reached now.

    Attributes:
        stop: the stop of the lane.
        limiter: the limiter.
        health: the health of the server.
        preparation: decides what is sent for a row; None sends its whole update. It is set before
            the lane runs.
        confirmed: is set once a row was updated, which shows that the key is good.
        has_ended: whether all rows of its backlog are settled, or it has drained.
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
        was_sent: Callable[[Row], bool] = lambda _: False,
    ) -> None:
        self.stop = stop.child()
        self.limiter = limiter
        self._client = client
        self._worker_count = workers
        self._drain_timeout = drain_timeout
        self._on_result = on_result
        self._was_sent = was_sent
        self.health = Health(self.stop, policy.give_up_after)
        self.preparation: Preparation | None = None
        self._caller = Caller(limiter, self.health, policy, self.stop, self._request_starts)
        self._workers: list[asyncio.Task[None]] = []
        #: Workers that wait for a row, or with a row for its permit.
        self._waiting = 0
        #: Starts a worker; None while the first row goes alone.
        self._start: Callable[[], asyncio.Task[None]] | None = None
        self.confirmed = asyncio.Event()
        self.has_ended = False

    async def run(self, backlog: Backlog) -> None:
        """Settle the rows of `backlog` until it ends, or until the lane has stopped and drained.

        The first request goes alone until an answer shows that the key is valid. So a wrong key
        costs one request, however many workers there are. After that, a worker starts when all
        others are busy: at lemlist's limit a lane has use for three or four, and hundreds of lanes
        have no memory for more.
        """
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(self._abort_what_is_late())
            first = group.create_task(self._work(backlog))
            self._workers, self._waiting = [first], 1
            others = group.create_task(self.health.all_may_start.wait())
            await asyncio.wait({first, others}, return_when=asyncio.FIRST_COMPLETED)
            others.cancel()
            if not self.stop.is_set and not first.done():
                self._start = lambda: group.create_task(self._work(backlog))
                self._grow()
            while running := [worker for worker in self._workers if not worker.done()]:
                await asyncio.wait(running)
            draining.cancel()
        self.has_ended = True

    def _request_starts(self) -> None:
        # A row that is prepared keeps its worker busy from then on.
        if self.preparation is None:
            self._one_is_busy()

    def _one_is_busy(self) -> None:
        """Record that a worker waits no more, and start another one if none waits."""
        self._waiting -= 1
        self._grow()

    def _grow(self) -> None:
        if self._start and not self._waiting and len(self._workers) < self._worker_count:
            self._workers.append(self._start())
            self._waiting += 1

    async def _work(self, backlog: Backlog) -> None:
        try:
            with self.stop.until(Level.DRAIN) as scope:
                while (row := await backlog.get()) is not None:
                    if row.update is None:
                        raise AssertionError("only valid rows are put into the backlog")
                    if self.preparation is None:
                        result = await settle(
                            self._caller, self._client, scope, row, row.update, self._was_sent
                        )
                        if result is None:
                            return
                    else:
                        self._one_is_busy()
                        result = await self._prepared(self.preparation, row, scope)
                    # A row with a result is not interrupted any more.
                    scope.shield()
                    if result is not None:
                        if result.outcome is Outcome.UPDATED and not self.confirmed.is_set():
                            self.confirmed.set()
                        # The next row of the task waits until this result is in the log. If only
                        # the next row were in the log, `--resume` would send this row after it.
                        await self._on_result(row, result)
                    backlog.done(row)
                    self._waiting += 1
                    scope.change(Level.DRAIN)
        except JournalError as error:
            self.stop.set(str(error), Reason.NOT_WRITTEN)
        except StoppedError:
            return

    async def _prepared(self, preparation: Preparation, row: Row, scope: Scope) -> Result | None:
        """The result of a row that is prepared first; None if it keeps its earlier one.

        Raises:
            StoppedError: a stop came first.
            JournalError: the row could not be prepared.
        """
        while True:
            ready = await preparation.ready(row)
            if not isinstance(ready, TaskUpdate):
                return ready
            try:
                result = await settle(
                    self._caller,
                    self._client,
                    scope,
                    row,
                    ready,
                    self._was_sent,
                    preparation.is_due,
                )
            except NotDueError:
                preparation.put_off(row)
                scope.change(Level.DRAIN)
                continue
            if result is None:
                raise StoppedError
            scope.shield()
            return preparation.settled(row, result)

    async def _abort_what_is_late(self) -> None:
        """After a stop, give requests in flight `drain_timeout` seconds to end; then abort."""
        await self.stop.wait()
        await asyncio.sleep(self._drain_timeout)
        if late := self._caller.in_flight:
            requests = count(late, "request")
            log.warning("%s in flight did not end in %g s", requests, self._drain_timeout)
        self.stop.raise_to(Level.ABORT)

    @property
    def traffic(self) -> Traffic:
        """Counts of the requests so far."""
        return self._caller.traffic

    @property
    def waiting_for(self) -> str | None:
        """A message that says why no request starts now; None if requests may start."""
        return self.health.waiting_for or self.limiter.waiting_for
