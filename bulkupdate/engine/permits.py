"""The permit window: when the next request may start.

The limit is one of requests *at the server*, "20 in any 2 s" (`lemlist: rate-limits`), and how the
server counts is not known. Between us and it lies a network that bunches requests up. A leaky
bucket of 20 in 2 s sends 40 in the first two seconds; spacing alone is undone by the network; a
wide margin wastes a fifth of every hour. The permit window does neither::

      a request is sent          its answer comes          one period later
    ──────┬───────────────────────────┬───────────────────────────┬──────────▶ time
          │◀─ the server counted it ─▶│◀──── 2 s ────────────────▶│
     permit taken          somewhere in here             permit comes back

There are as many permits as the server allows requests in a period, and each comes back one period
after its *answer* arrived. The server counted the request before that, so no period of the
server's, however it counts, ever holds more of our requests than there are permits. What that
costs, one round trip in each period, is won back where the server's own words allow it:

- *Spacing.* Permits are taken one at a time, a little faster than the limit.
- *Round trip.* A permit comes back early by a part of the shortest round trip: no request spends
  less than that on its way.
- *Credit.* `X-RateLimit-Remaining`, less what we have sent since, is room known to be free.
- *Window.* Where the answers show that the server counts in windows, all permits come back when
  the window ends, which a fractional `Retry-After` tells to the millisecond.

After a 429 everybody waits for as long as it says, and we take it that somebody else uses the key:
the *share* of the permits that we use shrinks by a seventh, the words of the server are no longer
taken as a promise but still as a warning (no room left: wait), and requests are spread evenly over
the period. The share grows again by a part of the room that is left over; once it is whole, we
trust again.

All time is the event loop's, which is monotonic: a laptop that sleeps, or a process that is
stopped, finds its permits back but its requests still spaced.
"""

import asyncio
import bisect
import heapq
import logging
import math
from collections import deque
from typing import Literal

from aiolimiter import AsyncLimiter

from bulkupdate.config import LEMLIST_RATE, RateLimit
from bulkupdate.engine.limiter import Limiter, NoLimiter, Pausing
from bulkupdate.engine.turns import Turns
from bulkupdate.lemlist.answer import Answer, Quota

#: Requests start at most so much faster than the limit: what a late start leaves unused in one
#: part of a period can be used in another.
_SPACING = 0.8

#: The part of the shortest possible round trip that is taken for granted, and after how many
#: answers. The shortest there is has hardly been seen yet: from the shortest seen to the fourth
#: shortest is, on average, as far as from the shortest possible to the shortest seen. The rest of
#: it is the margin of that guess, and what is left of the risk is a 429 in some 20,000 rows.
_ROUND_TRIP_PART = 0.7
_ROUND_TRIP_ANSWERS = 60
_SHORTEST_KEPT = 4

#: Seconds added to what the server says, which it rounds to milliseconds, and to what we measure.
_ROUNDING = 0.002

#: Times that an answer must contradict a sliding log before the server's windows are believed in.
_EVIDENCE = 3

#: What is left of the share after a 429, and what it wins back in a period: always, and of each
#: request that the server had room for. Together they keep two clients of one key within a few
#: percent of each other and of the limit, at 3 to 15 429s in 1,000 rows (docs/benchmarks.md).
_SHRINK = 0.85
_GROWTH = 0.02
_GROWTH_OF_ROOM = 0.04

#: Requests that are left to others while the key is shared: the second where an answer is older
#: than a request's worth of time. And how long there is no room once it has come to that, in
#: requests' worth of time: a token bucket has room for one again at once.
_RESERVE = (1, 2)
_FULL_HOLD = 2

#: The shortest pause after a 429, in requests' worth of time; it doubles with each further one.
_SHORTEST_PAUSE = 3

#: A limit above this is taken for a mistake of the server's, or of what stands before it.
_HIGHEST_LIMIT = 1000

log = logging.getLogger(__name__)


class PermitWindow(Pausing):
    """The limiter that this module's docstring explains. One belongs to one key and event loop.

    Args:
        ceiling: a rate that is never exceeded, whatever the server says; None follows the server,
            from lemlist's documented limit on.
    """

    def __init__(self, ceiling: RateLimit | None = None) -> None:
        super().__init__()
        self._ceiling = ceiling
        self._ceiling_returns: list[float] = []
        self._turns = Turns()
        self._waker: asyncio.Future[None] | None = None
        self._seen: set[str] = set()
        # Permits.
        self._in_flight = 0
        self._returns: list[float] = []
        self._last_start = -math.inf
        # What the answers say.
        self._answers: deque[tuple[float, float]] = deque()  # sent, answered; of two periods
        self._answered = 0
        self._round_trips: list[float] = []  # the shortest few
        self._credit = 0
        self._full_until = -math.inf
        self._evidence = 0
        self._window_end = -math.inf
        self._window_used = -math.inf
        # The share.
        self._announced = False
        self._last_lower = -math.inf
        self._shrunk_at = -math.inf
        self._grown_at = self._now()
        self._least_room: float | None = None
        # A ceiling above the documented limit is for a server with a limit of its own.
        is_lower = ceiling is None or ceiling.per_second <= LEMLIST_RATE.per_second
        self._set_rate(LEMLIST_RATE if is_lower else ceiling or LEMLIST_RATE)
        self._share = float(self._rate.requests)

    # --- starting -------------------------------------------------------------------------

    async def acquire(self, row: int) -> float:
        """Wait until a request of row number `row` may start; earlier rows go first.

        Raises:
            WaitTooLongError: the server has asked for more than `LONGEST_WAIT`.
        """
        async with self._turns.turn(row):
            await self._spacing.acquire()
            while (start := self._next_start()) > self._now():
                self._pause.check()
                await self._sleep_until(start)
            return self._start()

    def _next_start(self) -> float:
        """The earliest moment at which a request may start, by all that is known now."""
        self._grow()
        servers = self._servers_next_start()
        if self._ceiling is None:
            return servers
        return max(servers, self._next_permit(self._ceiling_returns, self._ceiling.requests))

    def _next_permit(self, returns: list[float], permits: int) -> float:
        """When one of so many permits is free, of which some come back at these times."""
        now = self._now()
        while returns and returns[0] <= now:
            heapq.heappop(returns)
        if self._in_flight + len(returns) < permits:
            return now
        return returns[0] if returns else math.inf

    def _servers_next_start(self) -> float:
        now = self._now()
        permit = self._next_permit(self._returns, int(self._share))
        if self._pause:
            return self._pause.until
        if self._is_shared and (even := self._last_start + self._rate.period / self._share) > now:
            return even
        window = self._window_opens()
        if window <= now or self._credit >= 1:
            return now
        if self._full_until > now:
            return min(self._full_until, window)
        return min(permit, window)

    def _start(self) -> float:
        now = self._now()
        if self._window_opens() <= now:
            self._window_used = self._window_end
            self._credit = max(self._credit, self._rate.requests - self._in_flight)
        self._credit = max(0, self._credit - 1)
        self._in_flight += 1
        self._last_start = now
        return now

    async def _sleep_until(self, moment: float) -> None:
        """Wait until then, or until an answer may have changed the picture."""
        loop = asyncio.get_running_loop()
        self._waker = loop.create_future()
        timer = loop.call_at(moment, self._wake) if moment < math.inf else None
        try:
            await self._waker
        finally:
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    # --- hearing of answers ---------------------------------------------------------------

    def release(self, leave: float, answer: Answer | None) -> None:
        """Take a permit back, and learn what the answer says of the limit."""
        self._in_flight -= 1
        self._grow()
        if answer is None:
            # It may have been counted at any time until now.
            self._give_back(sure=0.0)
        else:
            quota = self._believable(answer)
            self._follow(quota)
            if answer.is_throttled:
                self._throttle(leave, quota)
            else:
                self._learn(leave, quota)
        self._wake()

    def _give_back(self, sure: float) -> None:
        """Let a permit come back one period from now, less the seconds that are sure."""
        now = self._now()
        heapq.heappush(self._returns, now + self._rate.period - sure)
        if self._ceiling is not None:
            # Ours counts what we start, whatever becomes of it.
            heapq.heappush(self._ceiling_returns, now + self._ceiling.period)

    def _throttle(self, leave: float, quota: Quota) -> None:
        """After a 429: it wasn't counted, everybody waits, and our share shrinks."""
        now, period = self._now(), self._rate.period
        if self._ceiling is not None:
            heapq.heappush(self._ceiling_returns, now + self._ceiling.period)
        asked = period if quota.retry_after is None else quota.retry_after + _ROUNDING
        self._pause.hold(leave, asked, _SHORTEST_PAUSE * period / self._share)
        self._credit = 0
        self._least_room = 0
        if now - self._shrunk_at >= period:
            # Once a period: the requests behind the one that was refused met the same wall.
            self._shrunk_at = now
            self._share = max(1.0, self._share * _SHRINK)
            if self._share > LEMLIST_RATE.requests:
                # More than is documented was announced, and refused: believe what was accepted.
                self._say_once("refused", f"the server refuses below the {self._rate} it announces")
                accepted = sum(at > now - period for _, at in self._answers)
                self._share = min(self._share, max(accepted, LEMLIST_RATE.requests))

    def _learn(self, leave: float, quota: Quota) -> None:
        now, period = self._now(), self._rate.period
        self._pause.succeeded()
        self._answered += 1
        bisect.insort(self._round_trips, now - leave)
        del self._round_trips[_SHORTEST_KEPT:]
        while self._answers and self._answers[0][1] < now - 2 * period:
            self._answers.popleft()
        self._learn_room(leave, quota)
        self._answers.append((leave, now))
        self._give_back(sure=self._sure_round_trip)

    def _learn_room(self, leave: float, quota: Quota) -> None:
        """What `X-RateLimit-Remaining` and `Retry-After` say of the server's window."""
        if quota.remaining is None:
            return
        now, period = self._now(), self._rate.period
        least = self._least_room
        self._least_room = quota.remaining if least is None else min(least, quota.remaining)
        surely_inside = sum(sent > now - period and at < leave for sent, at in self._answers) + 1
        if quota.remaining + surely_inside > self._rate.requests:
            self._evidence += 1  # a sliding log would still count all of these
        maybe_after = sum(at >= leave for _, at in self._answers)
        room = int(quota.remaining) - self._in_flight - maybe_after
        self._credit = 0 if self._is_shared else max(0, room)
        if quota.retry_after is not None and quota.retry_after <= period + 1:
            self._learn_fullness(room, quota.retry_after)
            if quota.retry_after % 1:
                self._learn_window(now + quota.retry_after, quota.retry_after)

    def _learn_fullness(self, room: int, retry_after: float) -> None:
        """No room left: wait, while the key is shared, or has been used just before us."""
        period, limit = self._rate.period, self._rate.requests
        if self._is_shared:
            wait = max(min(retry_after, period), _FULL_HOLD * period / limit)
        elif self._answered <= limit:
            wait = min(retry_after, period)
        else:
            return
        if room <= (self._reserve if self._is_shared else 0):
            self._full_until = max(self._full_until, self._now() + wait)

    def _learn_window(self, end: float, left: float) -> None:
        """An answer says when the server's window ends; the one that came quickest is nearest."""
        if end > self._window_end + self._rate.period / 2:
            # A window that begins with nearly nothing left of it is none: a token bucket's
            # `Retry-After` is the time to the next token.
            self._window_end = end if left > self._rate.period / 2 else self._window_end
        elif self._window_end > self._now():
            self._window_end = min(self._window_end, end)

    def _window_opens(self) -> float:
        """When the server's next window surely has opened for what starts then, if it has any."""
        is_known = self._evidence >= _EVIDENCE and self._window_end > self._window_used
        if not is_known or self._is_shared:
            return math.inf
        return self._window_end + _ROUNDING

    @property
    def _sure_round_trip(self) -> float:
        """Seconds that every request spends on its way, out and back."""
        if self._answered < _ROUND_TRIP_ANSWERS:
            return 0.0
        shortest, *_, fourth = self._round_trips
        shortest_possible = shortest - (fourth - shortest)
        return max(0.0, _ROUND_TRIP_PART * shortest_possible - _ROUNDING)

    @property
    def _reserve(self) -> int:
        """Requests that are left to others."""
        round_trips = sum(at - sent for sent, at in self._answers)
        requests_worth = self._rate.period / self._rate.requests
        return _RESERVE[round_trips > requests_worth * len(self._answers)]

    # --- the rate and the share -----------------------------------------------------------

    @property
    def _is_shared(self) -> bool:
        """Whether somebody else seems to use the key too."""
        return self._share < self._rate.requests

    def _grow(self) -> None:
        """Once a period, win back a part of the share, more where the server had room left."""
        now = self._now()
        if now - self._grown_at < self._rate.period:
            return
        room = self._least_room or 0
        grown = self._share + _GROWTH + _GROWTH_OF_ROOM * room
        self._share = min(float(self._rate.requests), grown)
        self._grown_at, self._least_room = now, None

    def _follow(self, quota: Quota) -> None:
        """Follow the limit that the server announces: down at once, up when it means it."""
        if quota.limit is None:
            return
        now, announced = self._now(), RateLimit(int(quota.limit), LEMLIST_RATE.period)
        is_first, self._announced = not self._announced, True
        if announced.per_second <= self._rate.per_second:
            self._last_lower = now
        elif not is_first and now - self._last_lower < self._rate.period:
            return
        if announced != self._rate:
            self._change_rate(announced)

    def _change_rate(self, rate: RateLimit) -> None:
        log.info("the server's limit is now %s", rate)
        whole = not self._is_shared
        self._set_rate(rate)
        self._share = float(rate.requests) if whole else min(self._share, rate.requests)

    def _set_rate(self, rate: RateLimit) -> None:
        """Work at `rate`, the server's."""
        self._rate = rate
        slowest = min(limit.per_second for limit in (rate, self._ceiling or rate))
        self._spacing = AsyncLimiter(1, _SPACING / slowest)

    def _believable(self, answer: Answer) -> Quota:
        """Its quota, without what can't be true. Each kind of oddity is said once."""
        quota = answer.quota
        limit, remaining = quota.limit, quota.remaining
        if limit is not None and (not 1 <= limit <= _HIGHEST_LIMIT or limit % 1):
            self._say_once("limit", f"X-RateLimit-Limit says {limit:g}: ignored")
            limit = None
        if remaining is not None and remaining > (limit or _HIGHEST_LIMIT):
            self._say_once("remaining", f"X-RateLimit-Remaining says {remaining:g}: ignored")
            remaining = None
        if quota.limit is None and not self._announced and not answer.is_throttled:
            self._say_once("none", f"answers don't say what the limit is: keeping to {self._rate}")
        return Quota(limit, remaining, quota.retry_after)

    def _say_once(self, kind: str, text: str) -> None:
        if kind not in self._seen:
            self._seen.add(kind)
            log.warning(text)

    # --- for whoever watches --------------------------------------------------------------

    @property
    def allowed(self) -> float | None:
        """Requests per second that it allows at present."""
        servers = self._share / self._rate.period
        return servers if self._ceiling is None else min(servers, self._ceiling.per_second)


def limiter_for(rate: RateLimit | Literal["auto"] | None) -> Limiter:
    """The limiter of one key, for the running event loop.

    Args:
        rate: "auto" follows the server; a rate is a ceiling; None is no limit.
    """
    if rate is None:
        return NoLimiter()
    return PermitWindow(None if rate == "auto" else rate)
