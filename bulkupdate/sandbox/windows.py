"""Four ways in which a server may count "20 requests per 2 s".

The caller passes the time in seconds, so that a simulation can control it.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox.config import Window


class Verdict(NamedTuple):
    """The decision of a window about one request.

    Attributes:
        allowed: whether the request is within the limit.
        remaining: number of requests left.
        reset_after: seconds until another request is allowed.
    """

    allowed: bool
    remaining: int
    reset_after: float


class RateWindow(Protocol):
    """Counter of the requests of one key."""

    def take(self, now: float) -> Verdict:
        """Count a request that arrives at `now`, in seconds."""


class FixedWindow:
    """A window that begins with its first request. Refused requests don't extend it.

    rate-limiter-flexible works like this, and lemlist's headers match its headers exactly.
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
    """A log that keeps each accepted request for one period."""

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
    """A bucket of tokens. Each request takes one, and they come back one by one."""

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
    """A new window of this kind for one key."""
    return _KINDS[kind](rate)
