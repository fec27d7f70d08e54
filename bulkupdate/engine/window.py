"""The server's window: its end, if the answers show that the server counts in windows."""

import math

from bulkupdate.engine.roundtrips import ROUNDING

#: Answers that must contradict a sliding log before the server is taken to count in windows.
_EVIDENCE = 3


class ServerWindow:
    """The window in which the server counts requests, if it counts in windows."""

    def __init__(self) -> None:
        self._evidence = 0
        self._end = -math.inf
        self._used = -math.inf

    def contradict_sliding_log(self) -> None:
        """Record an answer that no server with a sliding log would give."""
        self._evidence += 1

    def learn(self, now: float, retry_after: float, period: float) -> None:
        """Record the end of the window. The earliest end is the most exact one.

        Args:
            now: the time, in seconds of the event loop's clock.
            retry_after: seconds until the end of the window, with a fraction.
            period: the period of the limit, in seconds.
        """
        end = now + retry_after
        if end > self._end + period / 2:
            # A real window is nearly whole when it begins. A short `Retry-After` comes from a token
            # bucket, where it is the time until the next token.
            self._end = end if retry_after > period / 2 else self._end
        elif self._end > now:
            self._end = min(self._end, end)

    @property
    def opens(self) -> float:
        """The time when the next window is surely open; infinity if that is not known."""
        if self._evidence < _EVIDENCE or self._end <= self._used:
            return math.inf
        return self._end + ROUNDING

    def use(self) -> None:
        """Record that the permits of this window have been taken."""
        self._used = self._end
