"""A part of a run: what it does with one key. A run with accounts has a part for each of them.

::

    rows of the account ─▶ Feeder ─▶ Backlog ─▶ Lane ─▶ Writer of the run
                           merger    by task    limiter, health, stop of the account

A part that stops for a reason of its own stops no other.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

from bulkupdate.context import ACCOUNT
from bulkupdate.engine.backlog import PARKED, READ_AHEAD, Backlog
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.limiter import Limiter
from bulkupdate.errors import (
    ConfigError,
    InputError,
    JournalError,
    RunDirectoryError,
    RunStoppedError,
)
from bulkupdate.journal import ImagesFile, Ledger
from bulkupdate.lemlist.accounts import Account
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import Reason, Result, Row
from bulkupdate.plan import LiveTasks
from bulkupdate.session.binding import LONGEST_END, Binding, bind, check_team
from bulkupdate.session.compare import Comparison, Rows
from bulkupdate.session.failures import Failures
from bulkupdate.session.feeder import Feeder, RowSource
from bulkupdate.session.merger import Merger
from bulkupdate.session.prepare import Prepared, Session
from bulkupdate.session.reading import LiveReader
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop


class Shared(NamedTuple):
    """What all parts of a session share.

    Attributes:
        session: the session.
        prepared: the facts about its input.
        writer: receives the results.
        ledger: the outcomes so far.
        images: receives what is overwritten; None where rows are not compared.
        remaining: makes what decides which rows have to be settled, for one pass.
        is_known: whether a row is the one that was checked under its number.
        failures: counts the unsuccessful rows of all parts.
        parts: number of parts.
        workers: most requests in flight of each.
        keep: is called with a part that was just bound to its key, or to its team.
    """

    session: Session
    prepared: Prepared
    writer: Writer
    ledger: Ledger
    images: ImagesFile | None
    remaining: Callable[[], Remaining]
    is_known: Callable[[Row], bool]
    failures: Failures
    parts: int
    workers: int
    keep: Callable[["Part"], None]


class Part:
    """The part of a run that is of one account.

    Args:
        account: the account.
        stop: the stop of this part.
        limiter: gives each request its permit.
        binding: what the run is bound to here.
        listed: number of tasks that the account has listed before; None if that is not known.

    Attributes:
        account: the account.
        stop: the stop of this part.
        limiter: gives each request its permit.
        binding: what the run is bound to here; after the first row that was updated, this key.
        rows: number of its rows in the input.
        lane: sends its rows; None until it is open.
        is_complete: whether nothing is left to do.
        is_cut: whether it ended because as many rows were sent as `first` asks for.
        is_otherwise: whether a row differed from the row in the check.
        seconds: how long it took; None until it has ended.
    """

    def __init__(
        self,
        account: Account,
        stop: Stop,
        limiter: Limiter,
        binding: Binding,
        listed: int | None = None,
    ) -> None:
        self.account = account
        self.stop = stop
        self.limiter = limiter
        self.binding = binding
        self.rows = 0
        self.lane: Lane | None = None
        self.is_complete = False
        self.is_cut = False
        self.is_otherwise = False
        self.seconds: float | None = None
        self._listed = listed
        self._endpoint: Endpoint | None = None
        self._client: TaskClient | None = None
        self._comparison: Comparison | None = None

    @property
    def name(self) -> str:
        """The name of the account; "" in a run with one key."""
        return self.account.name

    @property
    def endpoint(self) -> Endpoint:
        """The server, and the key.

        Raises:
            ConfigError: there is no key.
        """
        if self._endpoint is None:
            self._endpoint = self.account.endpoint()
        return self._endpoint

    def find_key(self) -> None:
        """Find the key with which rows are sent.

        Raises:
            ConfigError: there is none, or the account may only be read.
        """
        if self.account.read_only:
            raise ConfigError(f"{self.account.label}: it is read_only: its rows would change it")
        self._endpoint = self.account.endpoint()

    @property
    def key(self) -> str:
        """The key, as text."""
        return self.endpoint.api_key.reveal()

    @property
    def has_another_key(self) -> bool:
        """Whether rows of this account were sent with another key before."""
        return self.binding.key_hash is not None and not self.binding.is_of(self.key)

    @property
    def listed(self) -> int | None:
        """Number of tasks in the last reading of the whole list; None without one."""
        return self._comparison.listed if self._comparison is not None else self._listed

    @listed.setter
    def listed(self, number: int | None) -> None:
        self._listed = number

    @property
    def live(self) -> LiveTasks | None:
        """The live tasks; None where rows are not compared."""
        return self._comparison.live if self._comparison is not None else None

    @property
    def takes_part(self) -> bool:
        """Whether it has rows, or has stopped before it was known whether it has some."""
        return bool(self.rows) or self.stop.reason is not None

    @property
    def why_stopped(self) -> tuple[str, Reason] | None:
        """Why it has stopped before its end: in words, and as one of the known reasons."""
        stop = self.stop
        if stop.reason is None or (self.is_complete and not stop.counts_when_complete):
            return None
        return stop.text or stop.reason, stop.reason

    def name_of(self, user_id: str) -> str:
        """A user for people, as far as the team could be read; else the id."""
        return self._comparison.name_of(user_id) if self._comparison is not None else user_id

    def open(self, shared: Shared, client: TaskClient, source: RowSource) -> None:
        """Make the lane.

        Args:
            shared: what all parts share.
            client: sends the requests.
            source: the rows of the account.
        """
        session, prepared = shared.session, shared.prepared
        config = session.config
        self._client = client
        self._shared = shared
        self._source = source
        self._remaining = shared.remaining()
        self._failures = Failures(config.max_failures, self.stop)
        lane = self.lane = Lane(
            client,
            self.limiter,
            config.retry,
            workers=shared.workers,
            drain_timeout=config.drain_timeout,
            stop=self.stop,
            on_result=self._settled,
            was_sent=self._remaining.was_sent,
        )
        if shared.images is not None:
            rows = Rows(source, prepared.preview.rows, prepared.followed, shared.remaining)
            self._comparison = lane.preparation = Comparison(
                config,
                session.directory.files,
                LiveReader(
                    client, self.limiter, lane.health, config.retry, lane.stop, lane.traffic
                ),
                shared.writer,
                shared.ledger,
                rows,
                self.stop,
                shared.images,
                shared.is_known,
                self._listed,
                self._noted,
            )

    async def _settled(self, row: Row, result: Result) -> None:
        self._failures.count(row, result)
        self._shared.failures.count(row, result)
        await self._shared.writer.write(row, result)

    def _noted(self, note: str) -> None:
        self._shared.session.observer.noted(f"{self.name}: {note}" if self.name else note)

    async def run(self, *, send: bool, delay: float = 0.0) -> None:
        """Send the remaining rows.

        Args:
            send: whether rows are sent. If not, only the results of invalid rows are written.
            delay: seconds to wait before.
        """
        if delay:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self.stop.wait()
        if self.lane is None:
            raise AssertionError("the part was not opened")
        # It lasts as long as the task of this part.
        ACCOUNT.set(self.name)
        if self.name and self.has_another_key and send:
            await self._check_team()
        config, prepared = self._shared.session.config, self._shared.prepared
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            parked = self._shared.session.directory.files.parked
            room = READ_AHEAD * self._shared.workers
            backlog = stack.enter_context(
                Backlog(
                    max(_LEAST_ROOM, room // self._shared.parts),
                    max(_LEAST_ROOM, PARKED // self._shared.parts),
                    parked,
                )
            )
            merger = None
            if prepared.followed is not None:
                merger = stack.enter_context(Merger(prepared.followed, parked))
            feeder = self._feeder(merger)
            await self._work_off(backlog, feeder, self.lane, send=send)
            self.seconds = time.monotonic() - began
            self.is_otherwise = feeder.is_otherwise
            self.is_complete = feeder.has_ended and backlog.is_empty
            self.is_cut = feeder.sent == config.first and not feeder.has_ended

    async def _check_team(self) -> None:
        """Stop this part if its key is of another team than before, or if that can't be told."""
        config = self._shared.session.config
        try:
            self.binding = await check_team(
                self.binding, self.endpoint, config, self.limiter, self.stop
            )
        except RunDirectoryError as error:
            self.stop.set(str(error), Reason.OTHER_TEAM)
        except RunStoppedError:
            return  # The stop has its reason.

    def _feeder(self, merger: Merger | None) -> Feeder:
        shared, comparison = self._shared, self._comparison
        config = shared.session.config
        return Feeder(
            self._source,
            self._remaining,
            shared.writer,
            shared.session.stop,
            first=config.first,
            merger=merger,
            # The spool holds what was checked. Its rows are not numbered one after the other.
            rows=None if self.name else shared.prepared.preview.rows,
            may_be_invalid=config.skip_invalid,
            is_known=shared.is_known,
            settle=comparison.settle_now if comparison and config.first is not None else None,
            is_done=comparison.is_settled if comparison is not None else _never,
            coming=comparison.bring_near if comparison is not None else _ignore,
        )

    async def _work_off(self, backlog: Backlog, feeder: Feeder, lane: Lane, *, send: bool) -> None:
        config = self._shared.session.config
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feed(feeder, backlog, send=send))
            binding = group.create_task(self._bind(lane))
            background = [binding, group.create_task(_cancel_when_stopped(feeding, lane))]
            await lane.run(backlog)
            await asyncio.wait([feeding])
            if lane.confirmed.is_set() and not lane.stop.is_set:
                await asyncio.wait([binding], timeout=min(LONGEST_END, config.drain_timeout))
            self.stop.forget(lane.stop)
            for task in background:
                task.cancel()

    async def _feed(self, feeder: Feeder, backlog: Backlog, *, send: bool) -> None:
        """Hand out the rows; with a comparison, those that need no request first."""
        try:
            if self._comparison is not None and send:
                await self._comparison.begin()
        except (RunStoppedError, InputError, JournalError) as error:
            reason = Reason.INPUT_CHANGED if isinstance(error, InputError) else Reason.NOT_WRITTEN
            if not self.stop.is_set:
                self.stop.set(str(error), reason)
            backlog.close()
            return
        except BaseException:
            backlog.close()
            raise
        await feeder.feed(backlog, send=send)

    async def _bind(self, lane: Lane) -> None:
        if self._client is None:
            raise AssertionError("the part was not opened")

        def keep(binding: Binding) -> None:
            self.binding = binding
            self._shared.keep(self)

        await bind(self.binding, self.key, self._client, lane, keep)

    def close(self) -> None:
        """Close what the comparison has open."""
        if self._comparison is not None:
            self._comparison.close()


#: Rows of one part that may be ready or wait for an earlier row of their task, at least.
_LEAST_ROOM = 16


def _never(_: int) -> bool:
    return False


def _ignore(_: list[Row]) -> None:
    pass


async def _cancel_when_stopped(feeding: "asyncio.Task[None]", lane: Lane) -> None:
    await lane.stop.wait()
    feeding.cancel()
