"""When the next request may start.

The limit is one of requests *at the server*: 20 in any 2 s (`lemlist: rate-limits`). A leaky
bucket of that size (`AsyncLimiter(20, 2)`) lets 20 go at once and 10 a second after them, which
is 40 in the first 2 s. So the requests are spaced instead, one at a time, a little further apart
than the limit asks, and no burst ever leaves.
"""

import asyncio
from typing import Protocol

from aiolimiter import AsyncLimiter

from bulkupdate.config import RateLimit
from bulkupdate.models import Quota

#: How much further apart than the limit asks: the network bunches requests up, and two clocks
#: never run at one speed.
SLACK = 1.02

#: Seconds to wait after a 429 that doesn't say how long.
DEFAULT_PAUSE = 2.0


class Limiter(Protocol):
    """Gives each attempt leave to start, and hears of every answer."""

    async def acquire(self) -> None:
        """Wait until the next attempt may start. Each leave is followed by one `release`."""

    def release(self, quota: Quota | None) -> None:
        """Hear how an attempt ended: with the answer's quota, or None where there was none."""

    @property
    def waiting_for(self) -> str | None:
        """Why nothing starts at the moment, for a person to read; None when something may."""


class NoLimiter:
    """No limit: every attempt may start at once. A 429 still pauses all of them."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._paused_until = 0.0

    async def acquire(self) -> None:
        """Wait while the server has asked for a pause."""
        while (left := self._paused_until - self._clock()) > 0:  # noqa: ASYNC110 - it may grow
            await asyncio.sleep(left)

    def release(self, quota: Quota | None) -> None:
        """After a 429, hold everything back for as long as it asks."""
        if quota is not None and quota.throttled:
            pause = DEFAULT_PAUSE if quota.retry_after is None else quota.retry_after
            self._paused_until = max(self._paused_until, self._clock() + pause)

    @property
    def waiting_for(self) -> str | None:
        """The pause that the server asked for."""
        left = self._paused_until - self._clock()
        return f"rate limited: going on in {left:.1f} s" if left > 0 else None


class PacedLimiter(NoLimiter):
    """One request every `period / requests` seconds, and a little more.

    Args:
        rate: the limit to stay under.
    """

    def __init__(self, rate: RateLimit) -> None:
        super().__init__()
        self._spacing = AsyncLimiter(1, rate.period / rate.requests * SLACK)

    async def acquire(self) -> None:
        """Wait for the next free moment, which never falls into a pause."""
        while True:
            await super().acquire()
            await self._spacing.acquire()
            # A pause may have begun while this one queued: its moment is then lost, not used.
            if self.waiting_for is None:
                return


def limiter_for(rate: RateLimit | None) -> Limiter:
    """The limiter of one key, for the running event loop."""
    return NoLimiter() if rate is None else PacedLimiter(rate)
