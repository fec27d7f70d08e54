"""The shared limiter: any number of hosts stay within one key's limit together.

::

    host ──▶ statement ──▶ slot 0.1 s ahead ──▶ request
    host ──▶ statement ──▶ the slot after that
               one row for each key: when the next request of anybody may start

A slot is the moment at which one request may start. Slots are spread evenly, some 5 % wider than
the limit, on the database's clock. A statement takes a few slots at once. So no period holds more
requests than the limit, whichever host they come from, and no clock of a host matters.

- *Late.* A request that comes later than its slot would be one more in a later period. So a slot
  that is late is thrown away, as after a stop of the process.
- *A 429* moves the next slot of everybody, and widens the slots for a while: somebody uses the key
  who does not ask this database.
- *A restart* of the database may lose the last slots. The first slot that a server gives after its
  start is a whole period ahead, by when requests of lost slots no longer count.
- *The fence.* A worker of a fleet gets slots only while the job is still its own.

Without the database nobody sends: no host falls back to a limit of its own.
"""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from bulkupdate.engine.limiter import LONGEST_WAIT, Pause, StartedPermit
from bulkupdate.engine.quotas import Believed
from bulkupdate.engine.share import Share
from bulkupdate.errors import NoPermitError, WaitTooLongError
from bulkupdate.fleet.database import Database, DatabaseError
from bulkupdate.lemlist.accounts import Account
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit

#: The part of a period by which slots are wider than the limit, all together: requests that started
#: evenly arrive less so. 0.1 s at lemlist's limit.
_MARGIN = 0.05

#: The most by which slots are wider because answers take unequally long, the number of answers that
#: tells, and the part of them that is not late by chance.
_MOST_MARGIN = 0.5
_TRIPS = 64
_USUAL = 0.9

#: Most slots of one statement. Where many hosts wait, each takes one: the next is seconds ahead.
_BATCH = 4
_NEAR = 1.0

#: Seconds after which a slot is late; and seconds since it was asked for, less the time until it,
#: after which it is too old. The process may have been stopped in between.
_LATEST = 0.2
_OLDEST = 0.5

#: Seconds ahead for which slots are given. One that is farther is asked for again.
_AHEAD = 3.0

#: Seconds between two attempts while the database is away.
_BETWEEN = 0.5

#: Periods that the next slot may be ahead without a 429, as after a change of the server's clock.
_MOST_AHEAD = 5

_UNAUTHORIZED = 401

#: One statement. It runs on the database's clock. It gives `n` slots of `step` seconds if the first
#: is near, and else tells only how long to wait. `%(job)s` is null where no job is done.
_TAKE = """
WITH fence AS MATERIALIZED (
    -- The loss of the last slots is provided for, so nobody waits for the disk.
    SELECT set_config('synchronous_commit', 'off', true)
    WHERE %(job)s::bigint IS NULL OR EXISTS (
        SELECT FROM procrastinate_jobs
        WHERE id = %(job)s AND status = 'doing' AND attempts = %(attempt)s
          AND worker_id = %(worker)s
    ) AND NOT EXISTS (
        SELECT FROM bulkupdate_runs WHERE id = %(run)s AND cancelled IS NOT NULL
    )
)
INSERT INTO bulkupdate_limits AS l (key, next, first, given, server)
SELECT %(key)s, first + %(n)s * %(step)s::float8 * interval '1 s', first,
       %(n)s, pg_postmaster_start_time()
FROM fence, LATERAL (
    SELECT greatest(
        clock_timestamp(), pg_postmaster_start_time() + %(period)s::float8 * interval '1 s'
    ) AS first
) AS new
ON CONFLICT (key) DO UPDATE SET (next, first, given, server, slowed) = (
    SELECT CASE WHEN is_near THEN first + %(n)s * step ELSE l.next END,
           first,
           CASE WHEN is_near THEN %(n)s ELSE 0 END,
           pg_postmaster_start_time(),
           greatest(1, l.slowed * (1 - %(recovery)s::float8 * %(n)s))
    FROM (
        SELECT greatest(
            clock_timestamp(),
            CASE WHEN l.server <> pg_postmaster_start_time()
                 THEN clock_timestamp() + %(period)s::float8 * interval '1 s' END,
            least(l.next, clock_timestamp() + %(most)s::float8 * interval '1 s'),
            l.held_until
        ) AS first, l.slowed * %(step)s::float8 * interval '1 s' AS step
    ) AS found, LATERAL (
        SELECT first < clock_timestamp() + %(ahead)s::float8 * interval '1 s' AS is_near
    ) AS near
)
RETURNING extract(epoch FROM first - clock_timestamp())::float8, given,
          (%(step)s::float8 * slowed)::float8
"""

#: After a 429: nobody starts for as long as it asks, and slots are wider, at most once a period.
_HOLD = """
UPDATE bulkupdate_limits SET
    held_until = greatest(held_until, clock_timestamp() + %(wait)s::float8 * interval '1 s'),
    slowed = CASE WHEN slowed_at < clock_timestamp() - %(period)s::float8 * interval '1 s'
                  THEN least(slowed * 1.18, 50) ELSE slowed END,
    slowed_at = CASE WHEN slowed_at < clock_timestamp() - %(period)s::float8 * interval '1 s'
                     THEN clock_timestamp() ELSE slowed_at END
WHERE key = %(key)s
"""

#: The part by which slots become narrower again with each one.
_RECOVERY = 0.0005

Value = TypeVar("Value")

log = logging.getLogger(__name__)


class Lease(NamedTuple):
    """What shows that a job is still being done by this worker, in this attempt.

    Attributes:
        job: the job's id; None where no job is done.
        attempt: the number of the attempt, from 0.
        worker: the id of the worker.
        run: the id of the run that the job is for.
    """

    job: int | None
    attempt: int | None
    worker: int | None
    run: int | None


class _Slot(NamedTuple):
    """The moment at which a request may start, in seconds of the event loop's clock.

    Attributes:
        start: the moment, or a little later: it was counted from the answer of the database.
        asked_for: the moment, or a little earlier: it was counted from the statement.
    """

    start: float
    asked_for: float


class _Answer(NamedTuple):
    """The answer of the database.

    Attributes:
        wait: seconds until the first slot, when the statement was carried out.
        given: number of slots that were given; 0 if the first is far.
        step: seconds between two slots.
        asked: when the statement was sent, by the event loop's clock.
        answered: when the answer came, likewise.
    """

    wait: float
    given: int
    step: float
    asked: float
    answered: float


class LeaseLostError(NoPermitError):
    """The job was given to another worker. Nothing more may be sent for it."""


class SharedLimits:
    """The limits that a process shares with others: one for each key.

    Args:
        database: the database that they share.
        ceiling: a rate that this process never exceeds, for each key; None for none.
        give_up_after: seconds that the database may be away before a run stops.

    Attributes:
        database: the database that they share.
        ceiling: a rate that this process never exceeds, for each key; None for none.
    """

    def __init__(
        self,
        database: Database,
        *,
        ceiling: RateLimit | None = None,
        give_up_after: float = 600.0,
    ) -> None:
        self.database = database
        self.ceiling = ceiling
        self._give_up_after = give_up_after
        self._salt: bytes | None = None

    def limiter(self, account: Account) -> "SharedLimiter":
        """The limiter of an account. Its key is asked for before its first request."""
        return SharedLimiter(self, account)

    async def key_of(self, account: Account) -> bytes:
        """What stands for a key in the database: a salted hash of its server and itself.

        Raises:
            ConfigError: there is no key.
            DatabaseError: the salt can't be read.
        """
        endpoint = account.endpoint()
        if self._salt is None:
            row = await self.database.row("SELECT salt FROM bulkupdate_schema")
            if row is None:
                raise DatabaseError("the database has no salt: run 'bulkupdate fleet init'")
            self._salt = bytes(row[0])
        text = f"{endpoint.base_url}\0{endpoint.api_key.reveal()}"
        return blake2b(text.encode(), key=self._salt, digest_size=16).digest()

    async def until_there(
        self,
        statement: Callable[[], Awaitable[Value]],
        on_away: Callable[[DatabaseError | None], object],
    ) -> Value:
        """The value of a statement. While the database is away, it is tried again.

        Args:
            statement: makes the statement.
            on_away: is called with each error, and with None at the end.

        Raises:
            NoPermitError: the database was away for too long, or lets nobody in.
        """
        clock = asyncio.get_running_loop().time
        since: float | None = None
        while True:
            try:
                value = await statement()
            except DatabaseError as error:
                now = clock()
                since = now if since is None else since
                on_away(error)
                if not error.is_away:
                    raise NoPermitError(str(error)) from None
                if now - since >= self._give_up_after:
                    raise NoPermitError(
                        f"no shared limit for {now - since:.0f} s: {error}"
                    ) from None
                await asyncio.sleep(_BETWEEN)
            else:
                on_away(None)
                return value


class Course:
    """What the limiters of one key have learned, one after the other: the limit, and its pauses.

    Attributes:
        share: the server's limit.
        pause: the pause after a 429.
    """

    def __init__(self) -> None:
        self.key: bytes | None = None
        self.share = Share(LEMLIST_RATE, asyncio.get_running_loop().time())
        self.believed = Believed()
        self.pause = Pause()
        #: The last round trips, in seconds.
        self.trips: deque[float] = deque(maxlen=_TRIPS)

    @property
    def step(self) -> float:
        """Seconds between two slots, unless there was a 429."""
        rate, trips = self.share.rate, sorted(self.trips)
        spread = trips[int(_USUAL * len(trips))] - trips[0] if trips else 0.0
        margin = max(_MARGIN, min(spread / rate.period, _MOST_MARGIN)) * rate.period
        return (rate.period + margin) / rate.requests


class SharedLimiter:
    """The limiter that the docstring of this module explains, for one key and one process.

    Args:
        limits: what the limiters of this process share.
        account: the account of the key.
        course: what limiters of this key have learned before; None for nothing.
        lease: the job for which slots are taken; None without one.

    Attributes:
        left: number of requests that are left for it, if that is known. It takes a few slots at
            once then.
    """

    def __init__(
        self,
        limits: SharedLimits,
        account: Account,
        course: Course | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.left = 0
        self._limits = limits
        self._account = account
        self._course = course or Course()
        self._lease = lease or Lease(None, None, None, None)
        self._now = asyncio.get_running_loop().time
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._slots: deque[_Slot] = deque()
        self._step = self._course.step
        self._wait = 0.0
        self._away: DatabaseError | None = None
        self._held = False
        self._last_start = -math.inf

    def permit(self) -> "SharedPermit":
        """The permission for one request; see `bulkupdate.engine.limiter.Limiter`."""
        return SharedPermit(self)

    async def start(self) -> float:
        """Wait for a slot. Return the start, in seconds of the event loop's clock.

        Raises:
            WaitTooLongError: the server has asked for more than `LONGEST_WAIT` seconds.
            LeaseLostError: the job is no longer this worker's.
            NoPermitError: the database can't be reached.
        """
        self._waiting += 1
        try:
            async with self._turn:
                while not await self._reached_one():
                    pass
                self.left -= 1
                self._last_start = self._now()
                return self._last_start
        finally:
            self._waiting -= 1

    async def _reached_one(self) -> bool:
        """Wait for the next slot. Return whether a request may start in it."""
        pause, ceiling = self._course.pause, self._limits.ceiling
        pause.check()
        earliest = pause.until
        if ceiling is not None:
            earliest = max(earliest, self._last_start + 1 / ceiling.per_second)
        if (wait := earliest - self._now()) > 0:
            self._slots.clear()
            await asyncio.sleep(wait)
        if not self._slots and not await self._take():
            return False
        is_near = self._slots[0].start - self._now() < _NEAR
        if len(self._slots) == 1 and is_near and self._wanted > 1 and ceiling is None:
            # There is time to ask for the slots after this one.
            await self._take()
        slot = self._slots.popleft()
        await asyncio.sleep(max(0.0, slot.start - self._now()))
        now = self._now()
        is_late = now - slot.start > _LATEST or now - slot.asked_for > _OLDEST
        return not is_late and not pause

    @property
    def _wanted(self) -> int:
        """Number of slots that are of use now."""
        return max(self._waiting, self.left)

    async def _take(self) -> bool:
        """Ask for slots. If the next one is far, wait instead. Return whether there are some."""
        answer = await self._limits.until_there(self._statement, self._note_away)
        self._step, self._wait = answer.step, answer.wait
        if not answer.given:
            if answer.wait > LONGEST_WAIT:
                raise WaitTooLongError(answer.wait)
            self._held = True
            await asyncio.sleep(max(_BETWEEN / 10, min(answer.wait - _AHEAD / 2, _AHEAD)))
            return False
        self._held = False
        for number in range(answer.given):
            after = answer.wait + number * answer.step
            self._slots.append(_Slot(answer.answered + after, answer.asked + after))
        return True

    async def _statement(self) -> "_Answer":
        if self._course.key is None:
            self._course.key = await self._limits.key_of(self._account)
        period = self._course.share.rate.period
        is_alone = self._limits.ceiling is not None or self._wait > _NEAR
        asked = self._now()
        row = await self._limits.database.row(
            _TAKE,
            {
                "key": self._course.key,
                "n": 1 if is_alone else max(1, min(self._wanted - len(self._slots), _BATCH)),
                "step": self._course.step,
                "period": period,
                "most": _MOST_AHEAD * period,
                "ahead": _AHEAD,
                "recovery": _RECOVERY,
                **self._lease._asdict(),
            },
        )
        if row is None:
            raise LeaseLostError("the job was given to another worker, or its run was cancelled")
        wait, given, step = row
        return _Answer(wait, given, step, asked, self._now())

    def _note_away(self, error: DatabaseError | None) -> None:
        if error is not None and self._away is None:
            log.warning("no shared limit: %s", error)
        if error is None and self._away is not None:
            log.warning("the shared limit is there again")
        self._away = error

    async def end(self, started: float, answer: Answer[Any] | None) -> None:
        """Learn from an answer. After a 429, nobody starts for as long as it asks."""
        if answer is None:
            return
        now = self._now()
        self._course.trips.append(now - started)
        quota = self._course.believed.quota(
            answer.quota,
            self._course.share.rate,
            may_be_silent=self._course.share.is_announced
            or answer.is_throttled
            or answer.status == _UNAUTHORIZED,
        )
        if quota.limit is not None and self._course.share.follow(quota.limit, now):
            log.info("the server's limit is now %s", self._course.share.rate)
        if not answer.is_throttled:
            self._course.pause.succeeded()
            return
        asked = self._course.share.rate.period if quota.retry_after is None else quota.retry_after
        self._course.pause.hold(started, asked, self._course.step)
        self._slots.clear()
        # This process waits in any case. The others are told if the database is there.
        with contextlib.suppress(DatabaseError):
            wait = max(0.0, self._course.pause.until - now)
            period = self._course.share.rate.period
            values = {"key": self._course.key, "wait": wait, "period": period}
            await self._limits.database.rows(_HOLD, values)

    @property
    def allowed(self) -> float | None:
        """Requests per second that all hosts together may send now."""
        all_hosts = 1 / self._step
        ceiling = self._limits.ceiling
        return all_hosts if ceiling is None else min(all_hosts, ceiling.per_second)

    @property
    def waiting_for(self) -> str | None:
        """A message that says why no request starts now; None if requests may start."""
        if self._away is not None:
            return f"no shared limit: {self._away}"
        if self._course.pause:
            return str(self._course.pause)
        return f"rate limited: continuing in {self._wait:.1f} s" if self._held else None

    @property
    def paused(self) -> float:
        """Seconds for which 429s have paused all requests, so far."""
        return self._course.pause.total


class SharedPermit(StartedPermit):
    """A permit from a limit that is shared."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: SharedLimiter) -> None:
        super().__init__(limiter)
        self._limiter = limiter

    async def __aexit__(self, *_: object) -> None:
        await self._limiter.end(self._started, self._answer)
