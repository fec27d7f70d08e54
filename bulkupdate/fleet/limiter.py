"""The shared limiter: any number of hosts stay within one key's limit together.

::

    host ──▶ statement ──▶ slot 0.1 s ahead ──▶ request
    host ──▶ statement ──▶ the slot after that
               one row for each key: when the next request of anybody may start

A slot is the moment at which one request may start. Slots are spread evenly, some 5 % wider than
the limit, on the database's clock. A statement takes a few slots at once. So no period holds more
requests than the limit, whichever host they come from, and no clock of a host matters.

- *Late.* A request that comes later than its slot would be one more in a later period. So a slot
  that is late by more than a part of these 5 % is thrown away, as after a stop of the process. The
  request itself takes another slot where it is late, as when a new connection took long; see
  `bulkupdate.engine.limiter.permitted`.
- *Unsure.* Where answers take unequally long, or the database is far away, so that its clock can't
  be compared well, slots are wider by that.
- *Far.* Where many hosts wait, a slot is seconds ahead. Half a second before such a slot, the
  database is asked whether it still counts.
- *A 429* moves the next slot of everybody, and widens the slots for a while: somebody uses the key
  who does not ask this database.
- *A restart* of the database may lose the last slots, and so may its recovery when one of its
  processes has crashed. The first slot that a server gives after that is so far ahead that requests
  of lost slots no longer count.
- *The fence.* A worker of a fleet gets slots only while the job is still its own.

Without the database nobody sends: no host falls back to a limit of its own.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, LiteralString, NamedTuple, Self, TypeVar

from bulkupdate.context import CONNECT_LATE, START_UNTIL, PermitExpiredError
from bulkupdate.engine.limiter import LONGEST_WAIT, SLOW_CONNECTION, Pause, StartedPermit
from bulkupdate.engine.quotas import Believed
from bulkupdate.engine.share import Share
from bulkupdate.errors import NoPermitError, WaitTooLongError
from bulkupdate.fleet.database import SERVER_BEGIN, Absence, Database, DatabaseError
from bulkupdate.fleet.queue import Lease
from bulkupdate.lemlist.accounts import Account
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.pool import KEEP_ALIVE
from bulkupdate.lemlist.rate import LEMLIST_RATE, Rate, RateLimit

#: The part of a period by which slots are wider than the limit, all together: requests that started
#: evenly arrive less so. 0.1 s at lemlist's limit.
_MARGIN = 0.05

#: The part of a period by which a request may start late in any case, and the part of the margin by
#: which it may where answers take equally long. The rest is for what happens on its way.
_LATE = 0.015
_LATE_START = 0.5

#: The most by which slots are wider because answers take unequally long, the number of answers that
#: tells, and the part of them that is not late by chance.
_MOST_MARGIN = 0.5
_TRIPS = 64
_USUAL = 0.9

#: Most slots of one statement. Where the next slot is farther than so many seconds, each host takes
#: one.
_BATCH = 4
_NEAR = 1.0

#: Slots in a row in time after which a host takes a few at once, however many requests wait now.
_STEADY = 32

#: Seconds after which a slot is confirmed before it is used; and how long before, at most.
_FRESH = 0.5

#: Answers that tell how the database's clock and ours differ, and the seconds for which they do.
_READINGS = 32
_VALID = 60.0

#: Seconds by which our two clocks may differ since a slot was asked for. One of them stands still
#: while a laptop sleeps.
_AWAKE = 0.05

#: Seconds between two attempts while the database is away.
_BETWEEN = 0.5

#: Number of slots, and of seconds at least, that the next one may be ahead without a 429: more than
#: hosts that share a key. It may be farther after a change of the server's clock.
_MOST_AHEAD = 600
_LEAST_AHEAD = 60.0

#: The part by which slots become narrower again with each one.
_RECOVERY = 0.0005

_UNAUTHORIZED = 401

#: Whether a job is still done by this worker, and its run goes on. `%(job)s` is null without a job.
_FENCE: LiteralString = """
    (%(job)s::bigint IS NULL OR EXISTS (
        SELECT FROM procrastinate_jobs
        WHERE id = %(job)s AND status = 'doing' AND attempts = %(attempt)s
          AND worker_id = %(worker)s
    )) AND NOT EXISTS (
        SELECT FROM bulkupdate_runs WHERE id = %(run)s AND cancelled IS NOT NULL
    )
"""

#: One statement, on the database's clock. It gives `n` slots of `step` seconds.
_TAKE: LiteralString = """
WITH fence AS MATERIALIZED (
    -- The loss of the last slots is provided for, so nobody waits for the disk.
    SELECT set_config('synchronous_commit', 'off', true) WHERE {fence}
)
INSERT INTO bulkupdate_limits AS l (key, next, first, server)
SELECT %(key)s, first + %(n)s * %(step)s::float8 * interval '1 s', first,
       {begin}
FROM fence, LATERAL (
    SELECT greatest(
        clock_timestamp(), {begin} + %(quiet)s::float8 * interval '1 s'
    ) AS first
) AS new
ON CONFLICT (key) DO UPDATE SET (next, first, server, slowed) = (
    SELECT first + %(n)s * l.slowed * %(step)s::float8 * interval '1 s',
           first,
           {begin},
           greatest(1, l.slowed * (1 - %(recovery)s::float8 * %(n)s))
    FROM (SELECT greatest(clock_timestamp(), l.held_until) AS now) AS clock, LATERAL (
        SELECT greatest(
            now,
            CASE WHEN l.server <> {begin}
                 THEN clock_timestamp() + %(quiet)s::float8 * interval '1 s' END,
            CASE WHEN l.next < now + %(most)s::float8 * l.slowed * interval '1 s' THEN l.next END
        ) AS first
    ) AS found
)
RETURNING extract(epoch FROM clock_timestamp())::float8, extract(epoch FROM first)::float8,
          (%(step)s::float8 * slowed)::float8, extract(epoch FROM server)::float8
""".replace("{fence}", _FENCE).replace("{begin}", SERVER_BEGIN)

#: Whether a slot still counts: the server is the same, and no 429 came in between.
_CONFIRM: LiteralString = """
SELECT abs(extract(epoch FROM {begin})::float8 - %(server)s::float8) < 0.001
       AND held_until <= to_timestamp(%(slot)s::float8) + interval '1 ms'
FROM bulkupdate_limits WHERE key = %(key)s AND {fence}
""".replace("{fence}", _FENCE).replace("{begin}", SERVER_BEGIN)

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

#: Seconds of a wait that is shown.
_HELD = 3.0

Value = TypeVar("Value")

log = logging.getLogger(__name__)


class _Slot(NamedTuple):
    """The moment at which a request may start.

    Attributes:
        at: the moment, in seconds of the database's clock.
        given: when it was asked for, in seconds of the event loop's clock.
        wall: the same, by the clock that goes on while the machine sleeps.
        server: when the server began that gave it; see `SERVER_BEGIN`.
        width: the width of the clock for which it has room.
    """

    at: float
    given: float
    wall: float
    server: float
    width: float


class Clock:
    """How the database's clock and the event loop's differ, as far as statements have told.

    The true difference lies between two bounds: a statement was carried out after it was sent, and
    before its answer came. A slow one only makes its own bounds wider.
    """

    def __init__(self) -> None:
        self._bounds: deque[tuple[float, float, float]] = deque(maxlen=_READINGS)

    def note(self, asked: float, there: float, answered: float) -> None:
        """Note a statement: when it was sent, carried out (by the database's clock), answered."""
        while self._bounds and answered - self._bounds[0][2] > _VALID:
            self._bounds.popleft()
        self._bounds.append((asked - there, answered - there, answered))
        if self.earliest(0.0) > self.latest(0.0):
            # One of the clocks was changed.
            self._bounds = deque([self._bounds[-1]], maxlen=_READINGS)

    def earliest(self, at: float) -> float:
        """The earliest moment of the event loop's clock that a moment of the database's may be."""
        return at + max(low for low, _, _ in self._bounds)

    def latest(self, at: float) -> float:
        """The latest such moment."""
        return at + min(high for _, high, _ in self._bounds)

    @property
    def width(self) -> float:
        """Seconds between the two: the round trip of the fastest statement, at most."""
        return self.latest(0.0) - self.earliest(0.0) if self._bounds else 0.0


class _Answer(NamedTuple):
    """The answer of the database.

    Attributes:
        there: when the statement was carried out, by the database's clock.
        first: the first slot, by the same clock.
        step: seconds between two slots.
        server: when the server began.
        given: number of slots that were given.
        asked: when the statement was sent, by the event loop's clock.
        wall: the same, by the clock that goes on while the machine sleeps.
        width: the width of the clock for which its slots have room.
    """

    there: float
    first: float
    step: float
    server: float
    given: int
    asked: float
    wall: float
    width: float

    @property
    def wait(self) -> float:
        """Seconds until the first slot."""
        return max(0.0, self.first - self.there)


class LeaseLostError(NoPermitError):
    """The job was given to another worker, or its run was cancelled: nothing more may be sent."""


class SharedLimits:
    """The limits that a process shares with others: one for each key.

    Args:
        database: the database that they share.
        rate: a rate that this process never exceeds, for each key; "auto" for none.
        give_up_after: seconds that the database may be away before a run stops.

    Attributes:
        database: the database that they share.
        ceiling: a rate that this process never exceeds, for each key; None for none.
        clock: how the database's clock and ours differ.
    """

    def __init__(
        self,
        database: Database,
        *,
        rate: Rate = "auto",
        give_up_after: float = 600.0,
    ) -> None:
        self.database = database
        self.ceiling = rate if isinstance(rate, RateLimit) else None
        self._give_up_after = give_up_after
        self.clock = Clock()
        self._absence = Absence()
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
        since: float | None = None
        while True:
            try:
                value = await statement()
            except DatabaseError as error:
                on_away(error)
                if not error.is_away:
                    raise NoPermitError(str(error)) from None
                # Logged once for all limiters. Each gives up by itself: others may be served.
                self._absence.note(error)
                now = time.monotonic()
                since = now if since is None else since
                if (seconds := now - since) >= self._give_up_after:
                    raise NoPermitError(f"no shared limit for {seconds:.0f} s: {error}") from None
                await asyncio.sleep(_BETWEEN)
            else:
                self._absence.end()
                on_away(None)
                return value


class Course:
    """What the limiters of one key have learned, one after the other: the limit, and its pauses.

    Args:
        clock: how the database's clock and ours differ.

    Attributes:
        key: what stands for the key; None before the first statement.
        share: the server's limit.
        believed: the believable part of what answers announce.
        pause: the pause after a 429.
        trips: the last round trips, in seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.key: bytes | None = None
        self.share = Share(LEMLIST_RATE, asyncio.get_running_loop().time())
        self.believed = Believed()
        self.pause = Pause()
        self.trips: deque[float] = deque(maxlen=_TRIPS)

    @property
    def width(self) -> float:
        """Seconds by which the database's clock is uncertain, as far as slots have room for it."""
        return min(self._clock.width, _MOST_MARGIN * self.share.rate.period)

    @property
    def _spread(self) -> float:
        """Seconds by which some requests come later than others that started in their slots too."""
        trips = sorted(self.trips)
        spread = trips[int(_USUAL * len(trips))] - trips[0] if trips else 0.0
        return min(spread + self.width, _MOST_MARGIN * self.share.rate.period)

    @property
    def _margin(self) -> float:
        period = self.share.rate.period
        return max(_MARGIN * period, self._spread + _LATE * period)

    @property
    def late(self) -> float:
        """Seconds by which a request may start late."""
        return min(_LATE_START * _MARGIN * self.share.rate.period, self._margin - self._spread)

    @property
    def quiet(self) -> float:
        """Seconds after a server began in which requests of lost slots may still count."""
        return self.share.rate.period + _FRESH + self._margin

    @property
    def step(self) -> float:
        """Seconds between two slots, unless there was a 429."""
        rate = self.share.rate
        return (rate.period + self._margin) / rate.requests


class SharedLimiter:
    """The limiter that the docstring of this module explains, for one key and one process.

    Args:
        limits: what the limiters of this process share.
        account: the account of the key.
        course: what limiters of this key have learned before; None for nothing.
        lease: the job for which slots are taken; None without one.
        run: the run that the job is for.

    Attributes:
        left: number of requests that are left for it, if that is known. It takes a few slots at
            once then.
        latest: the moment until which the request may start whose permit was given last.
        connect_late: seconds by which it may start after that where it needs a new connection.
        has_lost_lease: whether another worker has the job.
    """

    def __init__(
        self,
        limits: SharedLimits,
        account: Account,
        course: Course | None = None,
        lease: Lease | None = None,
        run: int | None = None,
    ) -> None:
        self.left = 0
        self.latest = math.inf
        self.connect_late = 0.0
        self.has_lost_lease = False
        self._in_time = 0
        self._limits = limits
        self._account = account
        self._course = course or Course(limits.clock)
        none = dict.fromkeys(Lease._fields)
        self._fence = {**(lease._asdict() if lease is not None else none), "run": run}
        # An event loop's own clock may stand still while the loop is busy. Else they are the same.
        self._now = time.monotonic
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._slots: deque[_Slot] = deque()
        self._step = self._course.step
        self._wait = 0.0
        self._away: DatabaseError | None = None
        self._before = self._last_start = -math.inf

    def expired(self, started: float) -> None:
        """Note that no request was sent with the permit that was given then."""
        self.left += 1
        if self._last_start == started:
            self._last_start = self._before

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
                self._before, self._last_start = self._last_start, self._now()
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
        if not self._slots:
            await self._take()
        start = self._limits.clock.latest(self._slots[0].at)
        is_near = start - self._now() < _NEAR
        if len(self._slots) == 1 and is_near and self._wanted > 1 and ceiling is None:
            # There is time to ask for the slots after this one.
            await self._take()
        slot = self._slots.popleft()
        is_far = start - slot.given > _FRESH
        if is_far and not await self._is_confirmed(slot):
            self._slots.clear()
            return False
        clock = self._limits.clock
        await asyncio.sleep(max(0.0, clock.latest(slot.at) - self._now()))
        now = self._now()
        has_slept = abs(time.time() - slot.wall - (now - slot.given)) > _AWAKE
        # The request may be late too, as when it needs a new connection. Where slots are so far
        # apart that no connection stays open, each request does, and all are late alike.
        # A slot that came with a late answer is late, as far as it has no room for that.
        latest = min(clock.latest(slot.at), clock.earliest(slot.at) + slot.width)
        self.latest = latest + self._course.late
        self.connect_late = SLOW_CONNECTION if start - slot.given > KEEP_ALIVE else 0.0
        is_in_time = not has_slept and now <= self.latest
        self._in_time = self._in_time + 1 if is_in_time else 0
        return is_in_time and not pause

    async def _is_confirmed(self, slot: _Slot) -> bool:
        """Whether a slot still counts that was given long before. It returns just before it."""
        wait = self._limits.clock.latest(slot.at) - self._now() - _FRESH / 2
        self._wait = max(0.0, wait)
        await asyncio.sleep(max(0.0, wait))
        values = {
            "server": slot.server,
            "slot": slot.at,
            "key": self._course.key,
            **self._fence,
        }

        async def confirm() -> bool | None:
            row = await self._limits.database.row(_CONFIRM, values)
            return None if row is None else bool(row[0])

        found = await self._limits.until_there(confirm, self._note_away)
        if found is None:
            raise await self._lost()
        return found

    async def _lost(self) -> "LeaseLostError":
        """Why no slot is given."""
        query = "SELECT 1 FROM bulkupdate_runs WHERE id = %(run)s AND cancelled IS NOT NULL"
        with contextlib.suppress(DatabaseError):
            if await self._limits.database.row(query, self._fence) is not None:
                return LeaseLostError("the run was cancelled")
        self.has_lost_lease = True
        return LeaseLostError("the job was given to another worker")

    @property
    def _wanted(self) -> int:
        """Number of slots that are of use now."""
        return max(self._waiting, self.left, _BATCH if self._in_time >= _STEADY else 1)

    async def _take(self) -> None:
        """Ask for slots."""
        answer = await self._limits.until_there(self._statement, self._note_away)
        self._step, self._wait = answer.step, answer.wait
        if self._wait > LONGEST_WAIT:
            raise WaitTooLongError(self._wait)
        for number in range(answer.given):
            at = answer.first + number * answer.step
            slot = _Slot(at, answer.asked, answer.wall, answer.server, answer.width)
            self._slots.append(slot)

    async def _statement(self) -> "_Answer":
        if self._course.key is None:
            self._course.key = await self._limits.key_of(self._account)
        is_alone = self._limits.ceiling is not None or self._wait > _NEAR
        number = 1 if is_alone else max(1, min(self._wanted - len(self._slots), _BATCH))
        asked, wall, width = self._now(), time.time(), self._course.width
        row = await self._limits.database.row(
            _TAKE,
            {
                "key": self._course.key,
                "n": number,
                "step": self._course.step,
                "quiet": self._course.quiet,
                "most": max(_LEAST_AHEAD, _MOST_AHEAD * self._course.step),
                "recovery": _RECOVERY,
                **self._fence,
            },
        )
        if row is None:
            raise await self._lost()
        there, first, step, server = row
        self._limits.clock.note(asked, there, self._now())
        return _Answer(there, first, step, server, number, asked, wall, width)

    def _note_away(self, error: DatabaseError | None) -> None:
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
    def is_away(self) -> bool:
        """Whether the database can't be reached."""
        return self._away is not None

    @property
    def waiting_for(self) -> str | None:
        """A message that says why no request starts now; None if requests may start."""
        if self._away is not None:
            return f"no shared limit: {self._away}"
        if self._course.pause:
            return str(self._course.pause)
        is_held = self._wait > _HELD and self._waiting > 0
        return f"rate limited: continuing in {self._wait:.1f} s" if is_held else None

    @property
    def paused(self) -> float:
        """Seconds for which 429s have paused all requests, so far."""
        return self._course.pause.total


class SharedPermit(StartedPermit):
    """A permit from a limit that is shared."""

    __slots__ = ("_before", "_late_before", "_limiter")

    def __init__(self, limiter: SharedLimiter) -> None:
        super().__init__(limiter)
        self._limiter = limiter

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._before = START_UNTIL.set(self._limiter.latest)
        late = max(self._limiter.connect_late, CONNECT_LATE.get())
        self._late_before = CONNECT_LATE.set(late)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        CONNECT_LATE.reset(self._late_before)
        START_UNTIL.reset(self._before)
        if kind is PermitExpiredError:
            self._limiter.expired(self._started)
        await self._limiter.end(self._started, self._answer)
