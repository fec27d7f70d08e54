"""The part of the server's limit that is ours: all of it, until a 429 shows another user.

The share shrinks by a seventh after a 429, and grows again by a part of the room that is left over.
Together the numbers keep two clients of one key within a few percent of each other and of the
limit, at 3 to 15 429s in 1,000 rows (docs/benchmarks.md).
"""

import math

from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit

#: What is left of the share after a 429, and what it wins back in a period: always, and for each
#: request that the server had room for.
_SHRINK = 0.85
_GROWTH = 0.02
_GROWTH_OF_ROOM = 0.04


class Share:
    """The number of requests in a period that we take for ours, and the limit it is a part of.

    Args:
        rate: the server's limit, until answers name another.
        now: the time, in seconds.

    Attributes:
        rate: the server's limit.
        value: the share, at most `rate.requests`.
    """

    def __init__(self, rate: RateLimit, now: float) -> None:
        self.rate = rate
        self.value = float(rate.requests)
        self.is_announced = False
        self._last_lower = -math.inf
        self._shrunk_at = -math.inf
        self._grown_at = now
        self._least_room: float | None = None

    @property
    def is_part(self) -> bool:
        """Whether somebody else seems to use the key too."""
        return self.value < self.rate.requests

    def note_room(self, remaining: float) -> None:
        """Take in how many requests the server has room for."""
        least = self._least_room
        self._least_room = remaining if least is None else min(least, remaining)

    def grow(self, now: float) -> None:
        """Once a period, win back a part, more where the server had room left."""
        if now - self._grown_at < self.rate.period:
            return
        grown = self.value + _GROWTH + _GROWTH_OF_ROOM * (self._least_room or 0)
        self.value = min(float(self.rate.requests), grown)
        self._grown_at, self._least_room = now, None

    def shrink(self, now: float) -> bool:
        """After a 429, give up a part; returns whether it did.

        It does so once a period: requests behind the refused one are refused for the same reason.
        """
        self._least_room = 0
        if now - self._shrunk_at < self.rate.period:
            return False
        self._shrunk_at = now
        self.value = max(1.0, self.value * _SHRINK)
        return True

    def follow(self, limit: float, now: float) -> bool:
        """Follow the limit that an answer names: down at once, up where it is named repeatedly.

        Args:
            limit: requests in lemlist's period.
            now: the time, in seconds.

        Returns:
            Whether the rate has changed.
        """
        announced = RateLimit(int(limit), LEMLIST_RATE.period)
        is_first, self.is_announced = not self.is_announced, True
        if announced.per_second <= self.rate.per_second:
            self._last_lower = now
        elif not is_first and now - self._last_lower < self.rate.period:
            return False
        if announced == self.rate:
            return False
        is_whole, self.rate = not self.is_part, announced
        self.value = float(announced.requests) if is_whole else min(self.value, announced.requests)
        return True
