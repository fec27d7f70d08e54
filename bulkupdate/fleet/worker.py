"""`fleet worker`: it takes jobs of its teams from the queue, and sends their updates.

::

    queue ──▶ job ──▶ chunk ──▶ Backlog ──▶ Lane ──▶ results
              lease   25 rows              permits of the shared limit

A job is for the next updates of one team. While one is done, no other worker has one of that team:
jobs of a team have one lock. It takes a few chunks, as long as this worker has room for other teams
too. When it ends, it queues the next one, which any worker may take. So the queue holds a job or
two for each team, however many edits wait, and finding one takes a millisecond.

What can go wrong with a request is dealt with inside a job, by the lane that a local run has. A
worker that dies loses its lease: another one takes the job, and goes on behind the last result.
procrastinate has the queue, the locks and the heartbeats. Its own worker is not used: there, a job
that waits for its server holds a slot, and a job that ends wakes nobody up.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from procrastinate.jobs import Job

from bulkupdate.codec import replaced
from bulkupdate.context import ACCOUNT
from bulkupdate.engine.backlog import Backlog
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import BulkUpdateError, ConfigError, JournalError, NoPermitError, count
from bulkupdate.fleet.chunks import (
    Chunk,
    ChunkEnd,
    NewerFormatError,
    ResultsTable,
    count_sent,
    next_chunk,
    note_end,
)
from bulkupdate.fleet.database import Absence, Database, DatabaseError
from bulkupdate.fleet.limiter import SharedLimiter, SharedLimits
from bulkupdate.fleet.queue import Lease, Queue
from bulkupdate.fleet.schema import check
from bulkupdate.fleet.teams import (
    Member,
    UnreadTeamError,
    note_members,
    note_trouble,
    register,
)
from bulkupdate.lemlist.accounts import Account
from bulkupdate.lemlist.pool import ConnectionPool, connections
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import ErrorInfo, Outcome, Reason, Result, Row, unsent
from bulkupdate.session.failures import Failures
from bulkupdate.session.settings import FailureLimit
from bulkupdate.session.writer import each_result
from bulkupdate.stop import Stop, StoppedError, cancel_all

#: Parts of a lease between two heartbeats.
_BEATS = 3

#: Most chunks of a job. Ten seconds later, workers that have come meanwhile get their share.
_CHUNKS = 4

#: Seconds between two looks at the queue, beside those that something has caused.
_LOOK = 5.0

#: Seconds between two looks at which lanes wait.
_WATCH = 0.5

#: Accounts that are asked for their team at the same time; seconds until those are asked again that
#: could not tell it.
_AT_ONCE = 16
_ASK_AGAIN = 60.0
_ASK_SOON = 5.0

#: Problems with an account that may be over later.
_MAY_COME = (UnreadTeamError, NoPermitError, DatabaseError)

#: Seconds between two notes that a worker has its keys.
_SEEN_INTERVAL = 60.0

#: Seconds for which a job is left to workers of a newer version.
_POSTPONED = 30.0

_WAITING = "UPDATE bulkupdate_parts SET waiting_for = %s WHERE id = %s AND job = %s"

#: Reasons for which a chunk ends that are no reason for its account to stop.
_OF_WORKER = frozenset({Reason.NO_PERMIT, Reason.NOT_WRITTEN, Reason.SIGNAL, Reason.REQUESTED})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The settings of a worker.

    Attributes:
        concurrency: jobs that it works on at the same time. One that waits for its server does not
            count.
        lease: seconds without a heartbeat after which its jobs go to another worker.
        drain_timeout: seconds that requests in flight get to end when it is stopped.
        give_up_after: seconds that the database may be away.
        health_file: a file that is touched with each heartbeat; None for none.
        name: its name, for people.
    """

    concurrency: int = 100
    lease: float = 30.0
    drain_timeout: float = 30.0
    give_up_after: float = 600.0
    health_file: Path | None = None
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError("concurrency must be 1 or more")
        if not 0.5 <= self.lease < float("inf"):
            raise ConfigError("lease must be a number of seconds, 0.5 or more")


@dataclass(slots=True)
class AccountNumbers:
    """What a worker has done for an account.

    Attributes:
        rows: number of rows that were settled, by outcome.
        requests: number of requests that were sent, retries included.
        rate_limited: number of 429s.
        is_waiting: whether its lane waits for its server.
    """

    rows: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    rate_limited: int = 0
    is_waiting: bool = False


class WorkerNumbers(NamedTuple):
    """A worker in numbers.

    Attributes:
        jobs: number of jobs that it works on now.
        accounts: what it has done for each account, by name.
    """

    jobs: int
    accounts: Mapping[str, AccountNumbers]


class Worker:
    """A worker, until `stop` is set. Any number of them may work, on any host.

    Args:
        database: the database of the fleet.
        accounts: the accounts whose keys it has.
        config: its settings.
        stop: ends it. Requests in flight drain, and its jobs go back to the queue.
    """

    def __init__(
        self, database: Database, accounts: Iterable[Account], config: WorkerConfig, stop: Stop
    ) -> None:
        self._numbers: defaultdict[str, AccountNumbers] = defaultdict(AccountNumbers)
        self._database = database
        self._accounts = [*accounts]
        self._config = config
        self._stop = stop
        self._queue = Queue(database)
        self._results = ResultsTable(database, config.give_up_after)
        self._limits = SharedLimits(database, give_up_after=config.give_up_after)
        self._members: dict[str, Member] = {}
        self._now = asyncio.get_running_loop().time
        self._id = 0
        self._last_beat = self._now()
        self._error: ConfigError | DatabaseError | None = None
        #: Free slots. Lanes that go on after they waited may make it negative.
        self._free = config.concurrency
        self._news = asyncio.Event()
        self._lanes: dict[Lease, tuple[Chunk, Lane, SharedLimiter]] = {}
        self._idle: set[Lease] = set()
        self._newer: set[str] = set()
        self._good: set[str] = set()
        #: Whether the database knows which teams it works for, under its present id.
        self._is_noted = True
        #: The jobs that it works on, with their attempts. No job is taken while those of dead
        #: workers are put back.
        self._mine: dict[int, int] = {}
        self._at_queue = asyncio.Lock()

    async def run(self) -> None:
        """Work until the stop is set.

        Raises:
            ConfigError: none of the accounts can be worked for.
            DatabaseError: the database was away for too long.
        """
        async with ConnectionPool(connections=_connections(self._config)) as self._pool:
            await self._until_there(lambda: check(self._database))
            await self._until_there(self._register)
            try:
                await self._work()
            finally:
                await self._results.close()
                with contextlib.suppress(DatabaseError):
                    await self._queue.unregister(self._id)
        if self._error is not None:
            raise self._error

    async def _register_accounts(self) -> None:
        """Find the team of each account. One that can't be worked for is named, and asked again."""
        left = []
        for account in self._accounts:
            if account.read_only:
                log.info("%s: it is read_only: nothing is sent for it", account.label)
            else:
                left.append(account)
        if not left:
            self._give_up(ConfigError("no account to work for: each is read_only"))
        said: dict[str, str] = {}
        is_first = True
        while left:
            problems = await self._register_each(left)
            for account in left:
                problem = problems.get(account.name)
                if problem is None:
                    continue
                if said.get(account.name) != str(problem):
                    log.error("%s", problem)
                with contextlib.suppress(DatabaseError):
                    await note_trouble(self._database, account, str(problem))
            may_come = any(isinstance(one, _MAY_COME) for one in problems.values())
            if not self._members and not may_come and not self._stop.is_set:
                why = next(iter(problems.values()))
                self._give_up(ConfigError(f"no account to work for: {why}"))
                return
            if is_first:
                is_first = False
                log.info("worker %s: %s", self._config.name, count(len(self._members), "account"))
            said = {name: str(problem) for name, problem in problems.items()}
            left = [account for account in left if account.name in problems]
            if left:
                await asyncio.sleep(_ASK_AGAIN if self._members else _ASK_SOON)

    async def _register_each(self, accounts: Iterable[Account]) -> dict[str, BulkUpdateError]:
        """Register accounts, many at once. Return why some can't be worked for, by name."""
        turns = asyncio.Semaphore(_AT_ONCE)
        problems: dict[str, BulkUpdateError] = {}

        async def one(account: Account) -> None:
            ACCOUNT.set(account.name)
            async with turns:
                id_ = self._id
                try:
                    member = await register(
                        self._database, account, id_, self._limits, self._pool, self._stop
                    )
                except StoppedError:
                    return
                except (ConfigError, NoPermitError, DatabaseError) as error:
                    problems[account.name] = error
                    return
            if id_ != self._id:
                self._is_noted = False
            if (twin := self._members.get(member.queue)) is not None:
                one, other = twin.account.name, account.name
                log.warning("%s and %s are of one team: its rows go out with one key", one, other)
                return
            self._members[member.queue] = member
            self._news.set()

        async with asyncio.TaskGroup() as group:
            for account in accounts:
                group.create_task(one(account))
        return problems

    def _give_up(self, error: ConfigError | DatabaseError) -> None:
        """Stop for an error, which `run` raises after its requests have drained."""
        self._error = self._error or error
        self._stop.set(str(error), Reason.NO_PERMIT)

    async def _register(self) -> None:
        self._id = await self._queue.register(self._config.name, self._config.lease)

    async def _until_there(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with the database, again and again while it is away."""
        absence = Absence()
        while True:
            try:
                await work()
            except DatabaseError as error:
                if not error.is_away or absence.note(error) > self._config.give_up_after:
                    raise
                await asyncio.sleep(0.5)
            else:
                absence.end()
                return

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(self._register_accounts()),
                group.create_task(self._beat_regularly()),
                group.create_task(self._listen()),
                group.create_task(self._watch_lanes()),
            ]
            jobs: set[asyncio.Task[None]] = set()
            await self._take_jobs(group, jobs)
            if jobs:
                await asyncio.wait(jobs)
            await cancel_all(background)

    async def _take_jobs(self, group: asyncio.TaskGroup, jobs: "set[asyncio.Task[None]]") -> None:
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while not self._stop.is_set:
                self._news.clear()
                job = await self._fetch() if self._free > 0 and self._members else None
                if job is not None:
                    self._free -= 1
                    task = group.create_task(self._do(job))
                    jobs.add(task)
                    task.add_done_callback(jobs.discard)
                    continue
                news = asyncio.create_task(self._news.wait())
                await asyncio.wait(
                    {news, stopping},
                    timeout=min(_LOOK, self._config.lease),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                news.cancel()
        finally:
            stopping.cancel()

    async def _fetch(self) -> Job | None:
        async with self._at_queue:
            try:
                if self._now() - self._last_beat > self._config.lease:
                    # It was stopped, or cut off. As long as it counts as dead, its jobs are taken.
                    await self._beat()
                job = await self._queue.fetch(self._members, self._id)
            except DatabaseError as error:
                log.debug("no job can be taken: %s", error)
                return None
            if job is not None and job.id is not None:
                self._mine[job.id] = job.attempts
            return job

    async def _do(self, job: Job) -> None:
        """Do a job: send the next updates of its team."""
        if job.id is None:
            raise AssertionError("a job that was fetched has an id")
        lease = Lease(job.id, job.attempts, self._id)
        try:
            await self._do_chunk(lease, job.queue)
        except (DatabaseError, JournalError) as error:
            # It goes back to the queue at a heartbeat, and some worker takes it up again.
            log.warning("job %s is left: %s", job.id, error)
        finally:
            # It may have the job again by now, in another attempt.
            if self._mine.get(job.id) == job.attempts:
                del self._mine[job.id]
            if lease in self._idle:
                self._idle.discard(lease)
            else:
                self._free += 1
            self._lanes.pop(lease, None)
            self._news.set()

    async def _do_chunk(self, lease: Lease, queue: str) -> None:
        member = self._members[queue]
        ACCOUNT.set(member.account.name)
        try:
            for _ in range(_CHUNKS):
                chunk = await next_chunk(self._database, queue, lease)
                if chunk is None:
                    break
                await self._send(chunk, member, lease)
                if self._stop.is_set or self._free <= 0:
                    # Another team may wait for this slot.
                    break
        except NewerFormatError:
            if queue not in self._newer:
                self._newer.add(queue)
                log.warning("updates wait that a newer version submitted: update this worker")
            await self._queue.postpone(lease, _POSTPONED)
            return
        if not await self._queue.end(lease, queue):
            log.warning("job %d was given to another worker", lease.job)

    async def _send(self, chunk: Chunk, member: Member, lease: Lease) -> None:
        """Send the updates of a chunk."""
        settings, stop = chunk.settings, self._stop.child(ends_parent=False)
        if chunk.is_stale:
            await self._results.write(chunk, [_stale(row, chunk) for row in chunk.rows])
            return
        limit = FailureLimit.parse(settings.max_failures) if settings.max_failures else None
        failures = Failures(limit, stop, sent=chunk.sent, failures=chunk.unsuccessful)
        settled: list[Result] = []
        answered = 0

        async def on_result(row: Row, result: Result) -> None:
            nonlocal answered
            if result.cut_short and (self._stop.is_set or limiter.has_lost_lease):
                # It is in doubt, and waited for its next attempt. Another worker makes that.
                return
            failures.count(row, result)
            if settings.compared:
                result = replaced(result, compared=True)
            each = [one for _, one in each_result(row, result)]
            settled.extend(each)
            await self._results.write(chunk, each)
            answered += result.attempts

        limiter = SharedLimiter(self._limits, member.account, member.course, lease, chunk.run)
        limiter.left, paused = len(chunk.rows), limiter.paused
        async with TaskClient(member.endpoint, pool=self._pool) as client:
            lane = Lane(
                client,
                limiter,
                RetryPolicy(
                    max_attempts=settings.max_attempts, give_up_after=settings.give_up_after
                ),
                workers=settings.workers,
                drain_timeout=self._config.drain_timeout,
                stop=stop,
                on_result=on_result,
                was_sent=lambda row: row.number in chunk.sent_before,
            )
            self._lanes[lease] = chunk, lane, limiter
            backlog = Backlog(len(chunk.rows))
            for row in chunk.rows:
                await backlog.put(row)
            backlog.close()
            if job_is_known := member.queue in self._good:
                lane.health.all_may_start.set()
            await lane.run(backlog)
            if lane.confirmed.is_set() and not job_is_known:
                self._good.add(member.queue)
        stop.forget(lane.stop)
        self._stop.forget(stop)
        self._add_up(chunk.account, settled, lane)
        reason = stop.reason if stop.reason is not None else lane.stop.reason
        if reason in (Reason.NO_PERMIT, Reason.NOT_WRITTEN):
            # Another worker has the job, the run was cancelled, or the database is away.
            log.warning("run %d is left for now: %s", chunk.run, stop.text or lane.stop.text)
        is_of_account = reason is not None and reason not in _OF_WORKER
        if is_of_account:
            name, why = chunk.account or "the account", stop.text or lane.stop.text
            log.error("run %d stops for %s: %s", chunk.run, name, why)
        sent, unsuccessful = count_sent(settled)
        end = ChunkEnd(
            lane.traffic,
            sent,
            unsuccessful,
            limiter.paused - paused,
            limiter.allowed,
            (stop.text or lane.stop.text) if is_of_account else None,
            str(reason) if is_of_account else None,
            is_orderly=self._stop.is_set or reason not in (None, Reason.NOT_WRITTEN),
            # Where each request is one of a row with a result, the other rows were not sent.
            unsent_to=chunk.given_to if answered == lane.traffic.requests else None,
        )
        await note_end(self._database, chunk, end)
        if reason is Reason.NOT_WRITTEN:
            # Sending the same rows again at once would end the same way.
            raise JournalError(stop.text or lane.stop.text)

    def numbers(self) -> WorkerNumbers:
        """This worker in numbers."""
        return WorkerNumbers(len(self._mine), self._numbers)

    def _add_up(self, name: str, settled: list[Result], lane: Lane) -> None:
        numbers = self._numbers[name]
        numbers.rows.update(one.outcome.value for one in settled)
        numbers.requests += lane.traffic.requests
        numbers.rate_limited += lane.traffic.rate_limited
        numbers.is_waiting = False

    async def _watch_lanes(self) -> None:
        """Free the slot of each lane that waits for its server, and write down why it waits."""
        shown: dict[Lease, float] = {}
        while True:
            await asyncio.sleep(_WATCH)
            shown = {lease: at for lease, at in shown.items() if lease in self._lanes}
            for lease, (chunk, lane, limiter) in [*self._lanes.items()]:
                if lease not in self._lanes:
                    # It has ended while another one was written down.
                    continue
                why = lane.waiting_for
                self._numbers[chunk.account].is_waiting = why is not None
                # Where the database is away, all of them wait, and go on at once.
                is_idle = why is not None and not limiter.is_away
                if is_idle and lease not in self._idle:
                    self._idle.add(lease)
                    self._free += 1
                    self._news.set()
                elif not is_idle and lease in self._idle:
                    self._idle.discard(lease)
                    self._free -= 1
                # The time that it has waited for is a part of it.
                is_old = self._now() - shown.get(lease, self._now()) > _LOOK
                if (why is None) == (lease in shown) or is_old:
                    with contextlib.suppress(DatabaseError):
                        await self._database.rows(_WAITING, [why, chunk.part, lease.job])
                    shown.pop(lease, None)
                    if why is not None:
                        shown[lease] = self._now()

    async def _beat_regularly(self) -> None:
        """Show that this worker is alive, and put the jobs of dead ones back."""
        absence, seen, told = Absence(), self._now(), ""
        while True:
            try:
                await self._beat()
                self._touch()
                await self._reap()
                if not self._is_noted or self._now() - seen > _SEEN_INTERVAL:
                    id_ = self._id
                    await note_members(self._database, id_, self._members.values())
                    self._is_noted, seen = id_ == self._id, self._now()
                absence.end()
                told = ""
            except DatabaseError as error:
                if error.is_away:
                    absence.note(error)
                elif str(error) != told:
                    told = str(error)
                    log.warning("%s", told)
                if self._now() - self._last_beat > self._config.give_up_after:
                    self._give_up(error)
                    return
            await asyncio.sleep(self._config.lease / _BEATS)

    async def _beat(self) -> None:
        if not await self._queue.beat(self._id):
            # It was silent for long, and others have forgotten it.
            await self._register()
            self._is_noted = False
        self._last_beat = self._now()

    async def _reap(self) -> None:
        async with self._at_queue:
            if await self._queue.reap(self._id, self._mine, self._config.lease):
                self._news.set()

    def _touch(self) -> None:
        if self._config.health_file is not None:
            try:
                self._config.health_file.touch()
            except OSError as error:
                log.error("%s can't be written: %s", self._config.health_file, error.strerror)

    async def _listen(self) -> None:
        """Look at the queue when something was queued."""
        while True:
            with contextlib.suppress(DatabaseError):
                await self._queue.listen(self._news.set)
            await asyncio.sleep(1.0)


def _stale(row: Row, chunk: Chunk) -> Result:
    """The result of a row whose comparison is too old."""
    how = f"its comparison with the tasks is older than {chunk.settings.max_age:g} s"
    if row.number not in chunk.sent_before or row.update is None:
        return unsent(row, Outcome.CONFLICT, ErrorInfo("unknown", f"{how}: submit it again"))
    error = ErrorInfo("unknown", f"it was being sent when its worker ended, and {how}")
    found = unsent(row, Outcome.UNCONFIRMED, error)
    return replaced(found, sent=row.update.changes(), compared=True)


def _connections(config: WorkerConfig) -> int:
    return connections(16, config.concurrency)
