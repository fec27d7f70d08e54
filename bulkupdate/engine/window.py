"""The server's window: its end, if the answers show that the server counts in windows.

A fractional `Retry-After` tells the end. Without one, the end is one period after the first answer
to a request in a newer window, at the latest. Two things show that a request is in a newer window:

- It was sent after the end of the window that was known.
- `X-RateLimit-Remaining` and our own requests since then are more than the limit together.

A token bucket keeps no sliding log either, and may look like a window. It is none where room comes
back faster than a bucket fills, unless it is filled in steps: then a 429 shows it.
"""

import math
from typing import NamedTuple

from bulkupdate.engine.roundtrips import ROUNDING
from bulkupdate.lemlist.rate import RateLimit

#: Answers that must contradict a sliding log, or a token bucket, before it is ruled out.
_EVIDENCE = 3


class _Room(NamedTuple):
    """The room that an answer has shown, and the times of its request and of the answer."""

    remaining: float
    sent: float
    answered: float


class ServerWindow:
    """The window in which the server counts requests, if it counts in windows.

    Attributes:
        since: the requests sent after this time are in the window that is known, or in a newer one.
    """

    def __init__(self) -> None:
        self.since = -math.inf
        self._evidence = 0
        self._against_bucket = 0.0
        self._tells_end = False
        #: The least room that an answer has shown of late.
        self._least = _Room(math.inf, math.inf, math.inf)
        self._end = -math.inf
        self._used = -math.inf

    @property
    def is_known(self) -> bool:
        """Whether the answers have shown that the server keeps no sliding log."""
        return self._evidence >= _EVIDENCE

    @property
    def is_rough(self) -> bool:
        """Whether it surely counts in windows, and only their first answers tell their ends."""
        return self.is_known and self._against_bucket >= _EVIDENCE and not self._tells_end

    def contradict_sliding_log(self) -> bool:
        """Record an answer that no server with a sliding log would give.

        Returns:
            Whether `is_known` has changed.
        """
        self._evidence += 1
        return self._evidence == _EVIDENCE

    def contradict_bucket(
        self, sent: float, answered: float, remaining: float, rate: RateLimit
    ) -> bool:
        """Record the room that an answer shows, and whether no token bucket would show it.

        Args:
            sent: the time when the request was sent, in seconds of the event loop's clock.
            answered: the time of the answer.
            remaining: the room that is left.
            rate: the limit.

        Returns:
            Whether `is_rough` may have changed.
        """
        least, self._least = self._least, _Room(remaining, sent, answered)
        if sent >= least.answered:
            # The server has counted it later than the other one, by no more than this time.
            filled = (answered - least.sent) * rate.per_second + 1
            if remaining > least.remaining + filled:
                self._against_bucket += 1
                return self._against_bucket == _EVIDENCE
        if least.remaining < remaining and answered < least.answered + rate.period:
            self._least = least
        return False

    def distrust(self) -> None:
        """Record a 429: from now on, the server may keep a bucket, whatever its answers show."""
        self._against_bucket = -math.inf

    def learn(self, sent: float, answered: float, retry_after: float, period: float) -> bool:
        """Record the end of the window. The earliest end is the most exact one.

        Args:
            sent: the time when a request was sent, in seconds of the event loop's clock.
            answered: the time of its answer.
            retry_after: seconds until the end of the window, with a fraction; never negative.
            period: the period of the limit, in seconds.

        Returns:
            Whether `is_rough` has changed.
        """
        was_rough, self._tells_end = self.is_rough, True
        end = answered + retry_after
        if end > self._end + period / 2:
            # A real window is nearly whole when it begins. A short `Retry-After` comes from a token
            # bucket, where it is the time until the next token.
            if retry_after > period / 2:
                self._begin(sent, end)
        elif sent > self.since:
            self._end = min(self._end, end)
        return was_rough

    def begin(self, sent: float, answered: float, period: float) -> None:
        """Record a request in a newer window, by the times when it was sent and answered."""
        self._begin(sent, answered + period)

    def _begin(self, sent: float, end: float) -> None:
        self.since = min(self._end, math.nextafter(sent, -math.inf))
        self._end = end

    def has_ended(self, before: float) -> bool:
        """Whether the window that is known has surely ended before a time."""
        return self._end <= before

    @property
    def opens(self) -> float:
        """The time when the next window is surely open; infinity if that is not known."""
        if not self.is_known or self._end <= self._used:
            return math.inf
        return self._end + ROUNDING

    def use(self) -> None:
        """Record that the permits of this window have been taken."""
        self._used = self._end
