"""The four ways in which a server may count "20 requests per 2 s".

Time is a number of seconds that the caller passes in, so that a simulation can move it.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox.config import Window


class Verdict(NamedTuple):
    """What a window says to one request.

    Attributes:
        allowed: whether it is within the limit.
        remaining: requests left.
        reset_after: seconds until there is room again.
    """

    allowed: bool
    remaining: int
    reset_after: float


class RateWindow(Protocol):
    """Counts the requests of one key."""

    def take(self, now: float) -> Verdict:
        """Count a request that arrives at `now`, in seconds."""


class FixedWindow:
    """A window that its first request opens. Refused requests don't extend it.

    The recipe of rate-limiter-flexible, which lemlist's headers match to the letter.
    """

    def __init__(self, rate: RateLimit) -> None:
        self._rate = rate
        self._opened = -math.inf
        self._count = 0

    def take(self, now: float) -> Verdict:
        """Count a request that arrives at `now`."""
        if now >= self._opened + self._rate.period:
            self._opened = self._begin(now)
            self._count = 0
        self._count += 1
        return Verdict(
            self._count <= self._rate.requests,
            max(0, self._rate.requests - self._count),
            self._opened + self._rate.period - now,
        )

    def _begin(self, now: float) -> float:
        return now


class ClockWindow(FixedWindow):
    """A window that begins at each multiple of the period."""

    def _begin(self, now: float) -> float:
        return math.floor(now / self._rate.period) * self._rate.period


class SlidingLog:
    """Remembers each accepted request for one period."""

    def __init__(self, rate: RateLimit) -> None:
        self._rate = rate
        self._accepted: deque[float] = deque()

    def take(self, now: float) -> Verdict:
        """Count a request that arrives at `now`."""
        while self._accepted and self._accepted[0] <= now - self._rate.period:
            self._accepted.popleft()
        allowed = len(self._accepted) < self._rate.requests
        if allowed:
            self._accepted.append(now)
        reset_after = self._accepted[0] + self._rate.period - now
        return Verdict(allowed, self._rate.requests - len(self._accepted), reset_after)


class TokenBucket:
    """Tokens that come back one by one; each request takes one."""

    def __init__(self, rate: RateLimit) -> None:
        self._rate = rate
        self._tokens = float(rate.requests)
        self._at = -math.inf

    def take(self, now: float) -> Verdict:
        """Count a request that arrives at `now`."""
        per_second = self._rate.per_second
        back = (now - self._at) * per_second
        self._tokens = min(float(self._rate.requests), self._tokens + back)
        self._at = now
        allowed = self._tokens >= 1
        if allowed:
            self._tokens -= 1
        reset_after = max(0.0, 1 - self._tokens) / per_second
        return Verdict(allowed, int(self._tokens), reset_after)


_KINDS: dict[Window, Callable[[RateLimit], RateWindow]] = {
    Window.FIXED: FixedWindow,
    Window.CLOCK: ClockWindow,
    Window.SLIDING: SlidingLog,
    Window.BUCKET: TokenBucket,
}


def window(kind: Window, rate: RateLimit) -> RateWindow:
    """A window of some kind, for one key."""
    return _KINDS[kind](rate)
