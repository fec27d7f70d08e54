"""The round trips of the last two periods: the times of each request and its answer."""

import bisect
from collections import deque

#: The part of the shortest possible round trip that counts as certain, and the number of answers
#: before it does. The shortest possible round trip is estimated: on average it is as far below the
#: shortest one seen as the fourth shortest is above it. The unused part is a margin for errors of
#: the estimate. The remaining risk is about one 429 in 20,000 rows.
_SURE_PART = 0.7
_SURE_ANSWERS = 60
_SHORTEST_KEPT = 4

#: Seconds that are added to measured times, against rounding.
ROUNDING = 0.002


class RoundTrips:
    """The recent answered requests, and the shortest time that every round trip takes.

    Attributes:
        count: the number of all answers so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._recent: deque[tuple[float, float]] = deque()  # sent, answered
        self._shortest: list[float] = []

    def add(self, sent: float, answered: float) -> None:
        """Record an answered request: the times when it was sent and answered."""
        self.count += 1
        self._recent.append((sent, answered))
        bisect.insort(self._shortest, answered - sent)
        del self._shortest[_SHORTEST_KEPT:]

    def forget(self, before: float) -> None:
        """Forget requests that were answered before a time."""
        while self._recent and self._recent[0][1] < before:
            self._recent.popleft()

    def surely_between(self, after: float, before: float) -> int:
        """The number of requests that the server surely counted between two times."""
        return sum(sent > after and answered < before for sent, answered in self._recent)

    def answered_since(self, moment: float) -> int:
        """The number of requests that were answered at a time or later."""
        return sum(answered >= moment for _, answered in self._recent)

    @property
    def mean(self) -> float:
        """The mean round trip, in seconds; 0 before the first answer."""
        total = sum(answered - sent for sent, answered in self._recent)
        return total / len(self._recent) if self._recent else 0.0

    @property
    def sure(self) -> float:
        """Seconds that every round trip takes at least; 0 until enough answers have arrived."""
        if self.count < _SURE_ANSWERS:
            return 0.0
        shortest, *_, fourth = self._shortest
        shortest_possible = shortest - (fourth - shortest)
        return max(0.0, _SURE_PART * shortest_possible - ROUNDING)
