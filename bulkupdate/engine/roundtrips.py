"""The round trips of the last two periods: the times of each request and its answer."""

import bisect
from array import array

#: The part of the shortest possible round trip that counts as certain, and the number of answers
#: before it does. The shortest possible round trip is estimated: on average it is as far below the
#: shortest one seen as the eighth shortest is above it, or less. The unused part is a margin for
#: errors of the estimate. The remaining risk is about one 429 in 100,000 rows.
_SURE_PART = 0.7
_SURE_ANSWERS = 100
_SHORTEST_KEPT = 8

#: Seconds that are added to measured times, against rounding.
ROUNDING = 0.002


class RoundTrips:
    """The recent answered requests, and the shortest time that every round trip takes.

    Attributes:
        count: the number of all answers so far.
        sure: seconds that every round trip takes at least; 0 until enough answers have arrived.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sure = 0.0
        # The times of the same requests, each in order. An array lies in one piece of memory: with
        # hundreds of keys, what a request looks at is in no cache of the processor.
        self._sent = array("d")
        self._answered = array("d")
        self._unanswered = array("d")  # times of their ends
        self._total = 0.0
        self._shortest: list[float] = []

    def add(self, sent: float, answered: float) -> None:
        """Record an answered request: the times when it was sent and answered."""
        self.count += 1
        bisect.insort(self._sent, sent)
        self._answered.append(answered)
        self._total += answered - sent
        if len(self._shortest) < _SHORTEST_KEPT or answered - sent < self._shortest[-1]:
            bisect.insort(self._shortest, answered - sent)
            del self._shortest[_SHORTEST_KEPT:]
            self._estimate()
        elif self.count == _SURE_ANSWERS:
            self._estimate()

    def add_unanswered(self, ended: float) -> None:
        """Record a request that ended without an answer. The server may have counted it."""
        self._unanswered.append(ended)

    def forget(self, before: float) -> None:
        """Forget requests that ended before a time."""
        del self._unanswered[: bisect.bisect_left(self._unanswered, before)]
        old = bisect.bisect_left(self._answered, before)
        if old:
            self._total -= sum(self._answered[:old]) - sum(self._sent[:old])
            # As many of the earliest that were sent: they were sent before that time too.
            del self._answered[:old], self._sent[:old]

    def surely_between(self, after: float, before: float) -> int:
        """The number of requests that the server surely counted between two times.

        A request that was sent before both times, and answered after both, makes it too low by one.
        """
        ended = bisect.bisect_left(self._answered, before)
        return max(0, ended - bisect.bisect_right(self._sent, after))

    def answered_since(self, moment: float) -> int:
        """The number of requests that were answered at a time or later."""
        return len(self._answered) - bisect.bisect_left(self._answered, moment)

    def ended_since(self, moment: float) -> int:
        """The number of requests that ended at a time or later, with an answer or without."""
        unanswered = self._unanswered
        lost = len(unanswered) - bisect.bisect_left(unanswered, moment) if unanswered else 0
        return self.answered_since(moment) + lost

    @property
    def mean(self) -> float:
        """The mean round trip, in seconds; 0 before the first answer."""
        return self._total / len(self._sent) if self._sent else 0.0

    def _estimate(self) -> None:
        """Estimate the time that every round trip takes, from the shortest ones."""
        if self.count >= _SURE_ANSWERS:
            shortest, *_, eighth = self._shortest
            shortest_possible = shortest - (eighth - shortest)
            self.sure = max(0.0, _SURE_PART * shortest_possible - ROUNDING)
