"""Spacing: how closely requests may follow each other."""

import math

from aiolimiter import AsyncLimiter

#: Seconds. Requests that would follow each other more closely start in groups, about so far apart.
#: A wake-up of the process costs as much CPU as several requests.
GROUP = 0.025


class Spacing:
    """The spacing of a limiter: an aiolimiter, which is asked and filled, but never waited in.

    A wait in it costs each request another future, a heap entry and a timer, and no other request
    could use its wake-up. The limiter has one timer for all that a request may wait for.
    """

    def __init__(self) -> None:
        self._last = -math.inf
        self._closed_until = -math.inf

    def change(self, interval: float, burst: int) -> None:
        """Change the spacing.

        Args:
            interval: seconds between two requests, on average.
            burst: the number of requests that may start at once after a time without any.
        """
        burst = max(1, burst, round(GROUP / interval))
        self._bucket = AsyncLimiter(burst, burst * interval)
        self._closes_for = max(interval, GROUP)

    def is_closed(self, now: float) -> bool:
        """Whether `free_at` has told a time that has not come yet."""
        return now < self._closed_until

    def free_at(self, now: float) -> float:
        """The time when a request may start, in seconds of the event loop's clock."""
        if now < self._closed_until:
            return self._closed_until
        if self._bucket.has_capacity():
            return now
        # A microsecond more, so that there is surely room then.
        self._closed_until = max(now, self._last + self._closes_for) + 1e-6
        return self._closed_until

    def take(self, now: float) -> None:
        """Start a request at a time that `free_at` has returned."""
        self._last = now
        acquiring = self._bucket.acquire()
        try:
            # There is room, so this ends without a wait.
            acquiring.send(None)
        except StopIteration:
            return
        raise RuntimeError("a request started before its time")
