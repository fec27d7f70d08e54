"""The share: the part of the server's limit that this run uses.

The share is the whole limit until a 429. There are two reasons for a 429:

- *Another program uses the key.* The share shrinks by a seventh, and grows again by a part of the
  unused room. With these numbers, two clients of one key stay within a few percent of each other
  and of the limit, with 3 to 15 429s in 1,000 rows (docs/benchmarks.md).
- *The server counts more strictly* than permits allow for: refused requests too, or a burst more
  than once. Then nearly all of the limit was used by our own requests. The share shrinks by a
  twentieth and stays there for ten minutes.
"""

import math

from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit

#: The part of the share that is left after a 429, and its growth in a period: a fixed part, and a
#: part for each request that the server still had room for.
_SHRINK = 0.85
_GROWTH = 0.02
_GROWTH_OF_ROOM = 0.04

#: A margin for comparisons of shares, which are fractions.
_EXACTLY = 1e-9

#: The part of the share that is left after a 429 of a strict server, and the number of periods for
#: which it does not grow. A server that refuses again within so many periods is not a strict one.
_STRICT_SHRINK = 0.95
_STRICT_PERIODS = 300
_RARE_PERIODS = 30


class Share:
    """The share of a run, as a number of requests per period, and the server's limit.

    Args:
        rate: the server's limit, until answers announce another one.
        now: the time, in seconds of the event loop's clock.

    Attributes:
        rate: the server's limit.
        value: the share in requests per period, at most `rate.requests`.
        is_announced: whether an answer has announced the limit.
    """

    def __init__(self, rate: RateLimit, now: float) -> None:
        self.rate = rate
        self.value = float(rate.requests)
        self.is_announced = False
        self._usable = 1.0  # the part of the limit that a strict server lets a lone client use
        self._last_lower = -math.inf
        self._shrunk_at = -math.inf
        self._grown_at = now
        self._least_room: float | None = None

    @property
    def is_part(self) -> bool:
        """Whether the share is less than the limit: after a 429."""
        return self.value < self.rate.requests

    @property
    def is_shared(self) -> bool:
        """Whether another program seems to use the key too."""
        return self.value < self._most - _EXACTLY

    @property
    def permits(self) -> int:
        """The number of requests that may be in use in any period.

        A strict server allows as many as announced, if they are spread evenly.
        """
        return int(self.value / self._usable + _EXACTLY)

    @property
    def _most(self) -> float:
        return self._usable * self.rate.requests

    def note_room(self, remaining: float) -> None:
        """Record how many requests the server has room for."""
        if self._least_room is None or remaining < self._least_room:
            self._least_room = remaining

    def grow(self, now: float) -> bool:
        """Grow the share once a period, and more if the server had room left.

        Returns:
            Whether the share has changed.
        """
        if now - self._grown_at < self.rate.period:
            return False
        before, room = self.value, self._least_room or 0
        self.value = min(self._most, before + _GROWTH + _GROWTH_OF_ROOM * room)
        if not self.is_shared and now - self._shrunk_at > _STRICT_PERIODS * self.rate.period:
            # Try the whole limit again.
            self._usable, self.value = 1.0, float(self.rate.requests)
        self._grown_at, self._least_room = now, None
        return self.value != before

    def shrink(self, now: float, may_be_strict: bool) -> bool:
        """Shrink the share after a 429, at most once a period.

        Requests that follow the refused one are refused for the same reason.

        Args:
            now: the time, in seconds of the event loop's clock.
            may_be_strict: whether our own requests alone may have led to the 429.

        Returns:
            Whether the share has shrunk.
        """
        self._least_room = 0
        if now - self._shrunk_at < self.rate.period:
            return False
        is_rare = now - self._shrunk_at > _RARE_PERIODS * self.rate.period
        self._shrunk_at = now
        if is_rare and may_be_strict:
            self.value *= _STRICT_SHRINK
            self._usable = self.value / self.rate.requests
        else:
            self._usable = 1.0
            self.value = max(1.0, self.value * _SHRINK)
        return True

    def follow(self, limit: float, now: float) -> bool:
        """Follow the limit that an answer announces: down at once, up only after repeated answers.

        Args:
            limit: requests in lemlist's period (`lemlist: rate-limits`).
            now: the time, in seconds of the event loop's clock.

        Returns:
            Whether the rate has changed.
        """
        requests, period = int(limit), LEMLIST_RATE.period
        is_first, self.is_announced = not self.is_announced, True
        if requests == self.rate.requests and period == self.rate.period:
            self._last_lower = now
            return False
        announced = RateLimit(requests, period)
        if announced.per_second <= self.rate.per_second:
            self._last_lower = now
        elif not is_first and now - self._last_lower < self.rate.period:
            return False
        is_whole, self.rate = not self.is_part, announced
        self.value = float(announced.requests) if is_whole else min(self.value, announced.requests)
        return True
