"""The server's window: when it ends, where the answers show that the server counts in windows."""

import math

from bulkupdate.engine.roundtrips import ROUNDING

#: Times that an answer must contradict a sliding log before windows are believed in.
_EVIDENCE = 3


class ServerWindow:
    """The window in which the server counts, if it does."""

    def __init__(self) -> None:
        self._evidence = 0
        self._end = -math.inf
        self._used = -math.inf

    def contradict_sliding_log(self) -> None:
        """Take in an answer that no server with a sliding log would give."""
        self._evidence += 1

    def learn(self, now: float, retry_after: float, period: float) -> None:
        """Take in when the window ends; the answer that came quickest is nearest to the truth.

        Args:
            now: the time, in seconds.
            retry_after: until the end of the window, with its fraction of a second.
            period: of the limit.
        """
        end = now + retry_after
        if end > self._end + period / 2:
            # A window that begins with nearly nothing left of it is none: the `Retry-After` of a
            # token bucket is the time to the next token.
            self._end = end if retry_after > period / 2 else self._end
        elif self._end > now:
            self._end = min(self._end, end)

    @property
    def opens(self) -> float:
        """When the next window surely has opened for a request that starts then; else infinity."""
        if self._evidence < _EVIDENCE or self._end <= self._used:
            return math.inf
        return self._end + ROUNDING

    def use(self) -> None:
        """Note that its permits have been taken."""
        self._used = self._end
