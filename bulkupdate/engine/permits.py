"""The permit window: a limiter that decides when the next request may start.

The limit applies to requests *at the server*: "20 in any 2 s" (`lemlist: rate-limits`). How the
server counts is not known, and the network bunches requests up. A leaky bucket of 20 in 2 s sends
40 requests in the first two seconds. The network undoes even spacing. A wide margin wastes a fifth
of every hour. The permit window has none of these problems::

      a request is sent          its answer comes          one period later
    ──────┬───────────────────────────┬───────────────────────────┬──────────▶ time
          │◀─ the server counted it ─▶│◀──── 2 s ────────────────▶│
     permit taken          somewhere in here             permit comes back

There are as many permits as the server allows requests in a period. Each permit comes back one
period after the *answer* arrived. The server counted the request before that. So however the
server counts, no period holds more of our requests than there are permits. The cost is one round
trip in each period. The headers of the answers can reduce it:

- *Spacing.* Permits are taken a little faster than the limit. Once the server is known to count in
  windows, a quarter of them may be taken at once when a window opens: the first of several
  requests arrives earlier than a single one. It is half of them where only the first answer tells
  when a window has begun: of several answers, the first one comes earlier too.
- *Round trip.* A permit comes back early by a part of the shortest round trip, because no request
  travels faster. So does a window whose end only its first answer tells.
- *Credit.* `X-RateLimit-Remaining`, minus the requests sent since, is room that is surely free.
  Where the key was used just before the run, it is all the room there is until the next window.
- *Window.* If the answers show that the server counts in windows, all permits come back when the
  window ends. A fractional `Retry-After` gives that moment to the millisecond. Without one, it is
  one period after the first answer in the window.

After a 429 all requests wait for as long as it says. The limiter then assumes that another program
uses the key too:

- The *share* of the permits that we use shrinks by a seventh.
- Credit and window no longer let requests start early. Only "no room left" still counts: wait.
- Requests are spread evenly over the period.

The share grows again by a part of the unused room. Once it is whole, credit and window count again.

If our own requests used nearly all of the limit before the 429, the server counts more strictly
than the permits do (refused requests too, or a burst more than once). Then an even course of nearly
as many requests is enough, and the share loses a twentieth only.

Requests that wait stand in one queue, on one timer. They start in groups where the limit is high.

All times are seconds of the event loop's clock, which is monotonic. After a laptop has slept or a
process was stopped, all permits are back, but requests are still spaced.
"""

import bisect
import logging
import math
from array import array
from collections.abc import Coroutine
from typing import Any

from bulkupdate.engine.limiter import Limiter, LocalLimiter, NoLimiter
from bulkupdate.engine.quotas import Believed
from bulkupdate.engine.roundtrips import ROUNDING, RoundTrips
from bulkupdate.engine.share import Share
from bulkupdate.engine.spacing import Spacing
from bulkupdate.engine.turns import Alarms, Turns
from bulkupdate.engine.window import ServerWindow
from bulkupdate.errors import ConfigError, setting
from bulkupdate.lemlist.answer import Answer, Quota
from bulkupdate.lemlist.rate import LEMLIST_RATE, RATE_KINDS, Rate, RateLimit

#: The interval between two starts, as a part of the limit's interval. Faster starts make up for a
#: late start within the same period.
_SPACING = 0.7

#: The part of the limit that may start at once, after a wait for a window to open. The second one
#: is for windows whose end only their first answer tells: of more requests, it comes earlier.
_BURST, _ROUGH_BURST = 0.25, 0.5

#: The part of the limit that must be left in an answer that shows a newer window. A real window is
#: nearly whole when it begins. A token bucket that is in use is not.
_NEARLY_WHOLE = 0.75

#: Requests that are left to other clients while the key is shared. The second number is for answers
#: whose round trip is longer than one interval of the limit.
_RESERVE = (1, 2)

#: The shortest wait once no room is left, in intervals of the limit. A token bucket has room for
#: one request again after one interval.
_FULL_HOLD = 2

#: The shortest pause after a 429, in intervals of the limit. It doubles with each further 429.
_SHORTEST_PAUSE = 3

#: The part of the limit that our own requests must have used in the period before a 429, if the
#: server is taken to count more strictly than permits allow for.
_OURS = 0.9

#: The part of a period between the delays of one limiter and the next. Multiples of the golden
#: ratio are spread evenly over any interval.
_GOLDEN = (math.sqrt(5) - 1) / 2

#: Limiters that may begin at the same moment.
_MANY = 100

_UNAUTHORIZED = 401

log = logging.getLogger(__name__)


class Permits:
    """The permits in use, and the times when used permits come back."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._returns = array("d")

    def free_at(self, count: int, now: float) -> float:
        """The time when a permit is free, in seconds of the event loop's clock.

        Args:
            count: the number of permits. More than these may be in use.
            now: the current time.

        Returns:
            `now`, or the time when enough permits are back; infinity if that is not known yet.
        """
        returns = self._returns
        if returns and returns[0] <= now:
            del returns[: bisect.bisect_right(returns, now)]
        missing = self.in_flight + len(returns) - count
        if missing < 0:
            return now
        return returns[missing] if missing < len(returns) else math.inf

    def take(self) -> None:
        """Take a permit."""
        self.in_flight += 1

    def end(self) -> None:
        """Record the end of a request. Its permit is free, unless `hold` follows."""
        self.in_flight -= 1

    def hold(self, until: float) -> None:
        """Keep the permit of an ended request until a time."""
        bisect.insort(self._returns, until)


class PermitWindow(LocalLimiter):
    """The limiter that the docstring of this module explains, for one key and one event loop.

    Args:
        ceiling: a rate that is never exceeded, whatever the server announces. With None, the
            limiter starts at lemlist's documented limit and follows the server.
        delay: seconds from now until the first request may start.
        alarms: the timers that it shares with the limiters of other keys, or None.
    """

    def __init__(
        self,
        ceiling: RateLimit | None = None,
        *,
        delay: float = 0.0,
        alarms: Alarms | None = None,
    ) -> None:
        super().__init__()
        self._begins = self._now() + delay
        # A ceiling above the documented limit is for a server with a higher limit.
        is_lower = ceiling is None or ceiling.per_second <= LEMLIST_RATE.per_second
        rate = LEMLIST_RATE if is_lower else ceiling or LEMLIST_RATE
        self._ceiling = ceiling
        self._own_permits = Permits()  # permits of the ceiling, if there is one
        self._permits = Permits()
        self._share = Share(rate, self._now())
        self._window = ServerWindow()
        self._round_trips = RoundTrips()
        self._believed = Believed()
        self._credit = 0
        self._full_until = -math.inf
        self._spacing = Spacing()
        self._turns = Turns(self._next_start, self._take, self._give_back, alarms)
        self._space()

    # --- starting -------------------------------------------------------------------------

    def start(self) -> Coroutine[Any, Any, float]:
        """Wait until a request may start, in the order of arrival.

        Returns:
            The start, in seconds of the event loop's clock.

        Raises:
            WaitTooLongError: the server has asked for more than `LONGEST_WAIT` seconds.
        """
        self._pause.check()
        return self._turns.wait()

    def _next_start(self, now: float) -> float:
        """The earliest time at which a request may start, as far as is known now.

        It is asked again then. So what the server allows need not be known before the spacing does.
        """
        if now < self._begins:
            return self._begins
        if (spaced := self._spacing.free_at(now)) > now:
            return spaced
        if self._share.grow(now):
            self._space()
            return self._next_start(now)
        if (allowed := self._servers_next_start(now)) > now or self._ceiling is None:
            return allowed
        return self._own_permits.free_at(self._ceiling.requests, now)

    def _servers_next_start(self, now: float) -> float:
        share = self._share
        permit = self._permits.free_at(share.permits, now)
        if self._pause:
            return self._pause.until
        window = self._window_opens
        if window <= now or self._credit >= 1:
            return now
        if self._full_until > now:
            return min(self._full_until, window)
        return min(permit, window)

    def _take(self, now: float) -> None:
        if self._window_opens <= now:
            self._window.use()
            self._credit = max(self._credit, self._share.rate.requests - self._permits.in_flight)
        if self._credit:
            self._credit -= 1
        self._permits.take()
        if self._ceiling is not None:
            self._own_permits.take()
        self._spacing.take(now)

    def _give_back(self) -> None:
        """Take back the permit of a request that was never sent."""
        self._permits.end()
        if self._ceiling is not None:
            self._own_permits.end()

    @property
    def _window_opens(self) -> float:
        """The time when the next window is surely open; infinity while the key is shared."""
        return math.inf if self._share.is_part else self._window.opens

    # --- learning from answers ------------------------------------------------------------

    def end(self, started: float, answer: Answer[Any] | None) -> None:
        """Take a permit back, and learn about the limit from the answer."""
        now, share = self._now(), self._share
        self._permits.end()
        if self._ceiling is not None:
            self._own_permits.end()
            # The ceiling counts every request that starts, even one without an answer.
            self._own_permits.hold(now + self._ceiling.period)
        if share.grow(now):
            self._space()
        if answer is None:
            # The server may have counted the request at any time until now.
            self._permits.hold(now + share.rate.period)
            self._round_trips.forget(now - 2 * share.rate.period)
            self._round_trips.add_unanswered(now)
        else:
            # An answer that refuses the key need not name it.
            is_known = share.is_announced or answer.is_throttled or answer.status == _UNAUTHORIZED
            quota = self._believed.quota(answer.quota, share.rate, may_be_silent=is_known)
            self._follow(quota, now)
            if answer.is_throttled:
                self._throttle(started, quota, now)
            else:
                self._learn(started, quota, now)
                self._permits.hold(now + share.rate.period - self._round_trips.sure)
        if not self._spacing.is_closed(now):
            # Else the timer is set for when it opens, and no answer lets a request start earlier.
            self._turns.go_on()

    def _follow(self, quota: Quota, now: float) -> None:
        if quota.limit is not None and self._share.follow(quota.limit, now):
            log.info("the server's limit is now %s", self._share.rate)
            self._space()

    def _throttle(self, started: float, quota: Quota, now: float) -> None:
        """After a 429: all requests wait, and the share shrinks. The server counts no 429."""
        share, period = self._share, self._share.rate.period
        asked = period if quota.retry_after is None else quota.retry_after + ROUNDING
        self._pause.hold(started, asked, _SHORTEST_PAUSE * period / share.value)
        if error := self._pause.too_long:
            self._turns.fail(error)
        self._credit = 0
        self._window.distrust()
        has_shrunk = share.shrink(now, self._may_be_strict(started))
        self._space()
        if has_shrunk and share.value > LEMLIST_RATE.requests:
            # The server announced more than is documented, but refused it. Use the accepted rate.
            text = f"the server announces {share.rate}, but refuses requests below that rate"
            self._believed.warn("refused", text)
            accepted = self._round_trips.answered_since(math.nextafter(now - period, math.inf))
            share.value = min(share.value, max(accepted, LEMLIST_RATE.requests))

    def _may_be_strict(self, started: float) -> bool:
        """Whether our own requests alone may have led to a 429."""
        ours = self._round_trips.answered_since(started - self._share.rate.period)
        return not self._window.is_known and ours >= _OURS * self._share.rate.requests

    def _learn(self, started: float, quota: Quota, now: float) -> None:
        self._pause.succeeded()
        self._round_trips.forget(now - 2 * self._share.rate.period)
        if quota.remaining is not None:
            self._learn_room(started, quota.remaining, quota.retry_after, now)
        self._round_trips.add(started, now)

    def _learn_room(
        self, started: float, remaining: float, retry_after: float | None, now: float
    ) -> None:
        """Learn about the server's window from `X-RateLimit-Remaining` and `Retry-After`."""
        share, trips = self._share, self._round_trips
        period, limit = share.rate.period, share.rate.requests
        share.note_room(remaining)
        inside = trips.surely_between(now - period, started) + 1
        if remaining + inside > limit and self._window.contradict_sliding_log():
            self._space()
        if self._window.contradict_bucket(started, now, remaining, share.rate):
            self._space()
        later = trips.ended_since(started)
        room = int(remaining) - self._permits.in_flight - later
        self._credit = 0 if room < 0 or share.is_part else room
        if retry_after is not None and retry_after <= period + 1:
            self._learn_fullness(remaining, room, retry_after, now)
        if now - started < period / 2:  # else another window may have begun since
            self._learn_window(started, remaining, retry_after, now)

    def _learn_window(
        self, started: float, remaining: float, retry_after: float | None, now: float
    ) -> None:
        rate = self._share.rate
        if retry_after is not None and retry_after % 1:
            if retry_after <= rate.period + 1 and self._window.learn(
                started, now, retry_after, rate.period
            ):
                self._space()
        elif remaining >= _NEARLY_WHOLE * rate.requests and self._is_in_newer_window(
            started, remaining
        ):
            # What is sent this much earlier arrives when the answer was on its way already. A
            # fraction tells the end too exactly for it: an estimate may be wrong by more.
            self._window.begin(started, now - self._round_trips.sure, rate.period)

    def _is_in_newer_window(self, started: float, remaining: float) -> bool:
        """Whether the server surely counted a request in a newer window than the one known."""
        inside = self._round_trips.surely_between(self._window.since, started) + 1
        is_contradiction = remaining + inside > self._share.rate.requests
        return is_contradiction or self._window.has_ended(before=started)

    def _learn_fullness(self, remaining: float, room: int, retry_after: float, now: float) -> None:
        """Wait if no room is left while the key is shared, or was in use just before the run.

        In the second case, only as many requests may start until then as `_credit` says.
        """
        share, period = self._share, self._share.rate.period
        ours = self._round_trips.count + self._permits.in_flight + 1
        if share.is_shared:
            if room > self._reserve:
                return
            wait = max(min(retry_after, period), _FULL_HOLD * period / share.rate.requests)
        elif remaining + ours < share.rate.requests:
            wait = min(retry_after, period)
        else:
            return
        self._full_until = max(self._full_until, now + wait)

    @property
    def _reserve(self) -> int:
        """The number of requests that are left to other clients."""
        rate = self._share.rate
        return _RESERVE[self._round_trips.mean > rate.period / rate.requests]

    def _space(self) -> None:
        """Set the spacing of requests: even while the key is shared, else with bursts."""
        share, limits = self._share, [self._share.rate, self._ceiling or self._share.rate]
        if share.is_part:
            interval, burst = share.rate.period / share.value, 1
        else:
            interval = _SPACING / min(limit.per_second for limit in limits)
            most = min(limit.requests for limit in limits)
            part = _ROUGH_BURST if self._window.is_rough else _BURST
            burst = int(part * most) if self._window.is_known else 2
        self._spacing.change(interval, burst)

    @property
    def allowed(self) -> float | None:
        """Requests per second that the limiter allows now."""
        servers = self._share.value / self._share.rate.period
        return servers if self._ceiling is None else min(servers, self._ceiling.per_second)


def limiter_for(rate: Rate, *, delay: float = 0.0, alarms: Alarms | None = None) -> Limiter:
    """A new limiter for one key and the running event loop.

    Args:
        rate: "auto" follows the server; a rate is a ceiling; None means no limit.
        delay: seconds from now until the first request may start, if there is a limit.
        alarms: the timers that it shares with the limiters of other keys, or None.

    Raises:
        ConfigError: the rate is of another type.
    """
    if rate is None:
        return NoLimiter()
    if not (rate == "auto" or isinstance(rate, RateLimit)):
        raise ConfigError(f"{setting('rate')} takes {RATE_KINDS}, not {rate!r}")
    return PermitWindow(None if rate == "auto" else rate, delay=delay, alarms=alarms)


def delay_of(number: int, among: int) -> float:
    """The delay for one of many limiters that begin together, in seconds; 0 among a few.

    A lane sends most of a period's requests in two thirds of the period, and then waits for its
    permits. Lanes that begin at the same moment do so together, and need half more CPU at their
    peak than on average. These delays are spread evenly over a period, however many there are.

    Args:
        number: the number of the limiter, from 0. The first one has no delay.
        among: how many begin.
    """
    if among < _MANY:
        return 0.0
    return number * _GOLDEN % 1 * LEMLIST_RATE.period
