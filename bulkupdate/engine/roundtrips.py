"""The requests of the last two periods: when each was sent and answered."""

import bisect
from collections import deque

#: The part of the shortest possible round trip that is taken for granted, and after how many
#: answers. The shortest possible one has hardly been seen yet: from the shortest seen to the fourth
#: shortest is, on average, as far as from the shortest possible to the shortest seen. The rest of
#: it is the margin of that guess, and what is left of the risk is a 429 in some 20,000 rows.
_SURE_PART = 0.7
_SURE_ANSWERS = 60
_SHORTEST_KEPT = 4

#: Seconds that are added to what we measure.
ROUNDING = 0.002


class RoundTrips:
    """Requests that were answered, and what is sure of every round trip.

    Attributes:
        count: of all answers so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._recent: deque[tuple[float, float]] = deque()  # sent, answered
        self._shortest: list[float] = []

    def add(self, sent: float, answered: float) -> None:
        """Take in a request that was answered."""
        self.count += 1
        self._recent.append((sent, answered))
        bisect.insort(self._shortest, answered - sent)
        del self._shortest[_SHORTEST_KEPT:]

    def forget(self, before: float) -> None:
        """Forget requests that were answered before a moment."""
        while self._recent and self._recent[0][1] < before:
            self._recent.popleft()

    def surely_between(self, after: float, before: float) -> int:
        """Requests that the server surely counted between two moments."""
        return sum(sent > after and answered < before for sent, answered in self._recent)

    def answered_since(self, moment: float) -> int:
        """Requests that were answered at a moment or later."""
        return sum(answered >= moment for _, answered in self._recent)

    @property
    def mean(self) -> float:
        """The mean round trip, in seconds; 0 before there is any."""
        total = sum(answered - sent for sent, answered in self._recent)
        return total / len(self._recent) if self._recent else 0.0

    @property
    def sure(self) -> float:
        """Seconds that every request spends on its way, there and back."""
        if self.count < _SURE_ANSWERS:
            return 0.0
        shortest, *_, fourth = self._shortest
        shortest_possible = shortest - (fourth - shortest)
        return max(0.0, _SURE_PART * shortest_possible - ROUNDING)
