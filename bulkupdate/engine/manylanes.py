"""Many lanes: updates of several accounts from a program, each account under its own limit.

::

    updates ──▶ spool ──▶ acme's ───▶ Backlog ──▶ Lane ──┐
                     └──▶ globex's ─▶ Backlog ──▶ Lane ──┴──▶ results
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path

from bulkupdate.engine.backlog import READ_AHEAD, Backlog
from bulkupdate.engine.incoming import Reading, each, hand_out, no_update
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.permits import delay_of, limiter_for
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.engine.spool import Spool
from bulkupdate.engine.turns import Alarms
from bulkupdate.errors import JournalError, count
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.pool import ConnectionPool, connections
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.tasks import MEDIA_TIMEOUT, TaskClient
from bulkupdate.models import Reason, Result, Row, TaskUpdate
from bulkupdate.stop import Stop

#: Updates of an account that wait on disk, below which more are read.
_WAITING = 32

#: Accounts that a message names.
_NAMED = 5


class ManyLanes:
    """A lane for each account. What waits for a lane is on disk.

    Args:
        endpoints: the server and the API key of each account.
        rate: the rate of each.
        workers: most requests in flight, of each.
        retry: the attempts and the backoff.
        stop: is set at the end if any of them has stopped.
        results: receives the results.

    Raises:
        ConfigError: there is no account, a name is wrong, or two accounts have the same key.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        rate: Rate,
        workers: int,
        retry: RetryPolicy,
        stop: Stop,
        results: asyncio.Queue[Result],
    ) -> None:
        Accounts.of(endpoints).refuse_shared_keys(endpoints)
        self._endpoints = endpoints
        self._rate = rate
        self._workers = workers
        self._retry = retry
        self._stop = stop
        self._results = results
        self._lanes: dict[str, Lane] = {}
        #: Number of updates of each account that its lane has taken.
        self._taken = dict.fromkeys(endpoints, 0)
        #: Is set when updates have come, and when a lane is nearly out of work.
        self._has_more = {name: asyncio.Event() for name in endpoints}
        self._is_hungry = asyncio.Event()
        self._has_ended = False

    async def send(
        self, updates: Iterable[tuple[str, TaskUpdate]] | AsyncIterable[tuple[str, TaskUpdate]]
    ) -> BaseException | None:
        """Send all updates. Return the error that reading them ended with, if any."""
        most = connections(self._workers, len(self._endpoints))
        with (
            tempfile.TemporaryDirectory(prefix="bulkupdate-") as directory,
            Spool(Path(directory) / "rows") as spool,
        ):
            async with ConnectionPool(connections=most) as pool:
                error = await self._work_off(updates, spool, pool)
        stopped = [name for name, lane in self._lanes.items() if lane.stop.reason is not None]
        if stopped:
            named = "; ".join(f"{name}: {self._lanes[name].stop.text}" for name in stopped[:_NAMED])
            more = "; …" if len(stopped) > _NAMED else ""
            all_ = f"{count(len(stopped), 'account')} of {len(self._lanes):,}"
            self._stop.set(f"{all_} stopped: {named}{more}")
        return error

    async def _work_off(
        self,
        updates: Iterable[tuple[str, TaskUpdate]] | AsyncIterable[tuple[str, TaskUpdate]],
        spool: Spool,
        pool: ConnectionPool,
    ) -> BaseException | None:
        alarms = Alarms()
        async with contextlib.AsyncExitStack() as stack:
            for number, (name, endpoint) in enumerate(self._endpoints.items()):
                delay = delay_of(number, len(self._endpoints))
                client = await stack.enter_async_context(TaskClient(endpoint, pool=pool))
                self._lanes[name] = Lane(
                    client,
                    limiter_for(self._rate, delay=delay, alarms=alarms),
                    self._retry,
                    workers=self._workers,
                    drain_timeout=endpoint.timeout + MEDIA_TIMEOUT,
                    stop=self._stop.child(ends_parent=False),
                    on_result=lambda _, result: self._results.put(result),
                )
            async with (
                Reading(self._read(updates, spool)) as reading,
                asyncio.TaskGroup() as lanes,
            ):
                for name, lane in self._lanes.items():
                    lanes.create_task(self._run(name, lane, spool))
        return reading.error

    async def _read(
        self,
        updates: Iterable[tuple[str, TaskUpdate]] | AsyncIterable[tuple[str, TaskUpdate]],
        spool: Spool,
    ) -> None:
        """Put updates on the disk, for as long as a lane is nearly out of work."""
        try:
            number = 0
            async for item in each(updates):
                number += 1
                match item:
                    case (str(account), TaskUpdate() as update):
                        pass
                    case _:
                        what = "no pair of an account's name and a TaskUpdate"
                        raise no_update(f"update {number} is {what}")
                if account not in self._endpoints:
                    raise no_update(f"update {number} is of no known account: {account!r}")
                spool.add(Row(number, number, update.id, update, (), "", account=account))
                self._has_more[account].set()
                while not any(self._lacks_work(name, spool) for name in self._endpoints):
                    self._is_hungry.clear()
                    await self._is_hungry.wait()
                if not number % _WAITING:
                    await asyncio.sleep(0)
        finally:
            self._has_ended = True
            for event in self._has_more.values():
                event.set()

    def _lacks_work(self, account: str, spool: Spool) -> bool:
        is_going = not self._lanes[account].stop.is_set
        return is_going and spool.count(account) - self._taken[account] < _WAITING

    async def _run(self, account: str, lane: Lane, spool: Spool) -> None:
        backlog = Backlog(READ_AHEAD * min(self._workers, READ_AHEAD))
        feeding = asyncio.create_task(self._feed(account, backlog, spool))
        try:
            await lane.run(backlog)
        finally:
            feeding.cancel()
            self._is_hungry.set()
            await asyncio.wait([feeding])
        if not feeding.cancelled():
            feeding.result()

    async def _feed(self, account: str, backlog: Backlog, spool: Spool) -> None:
        """Hand out the updates of an account, as they come."""
        try:
            while True:
                while (index := self._taken[account]) < spool.count(account):
                    self._taken[account] += 1
                    self._is_hungry.set()
                    await hand_out(spool.row(account, index), backlog, self._results)
                if self._has_ended:
                    return
                self._has_more[account].clear()
                await self._has_more[account].wait()
        except JournalError as error:
            self._lanes[account].stop.set(str(error), Reason.NOT_WRITTEN)
        finally:
            backlog.close()
