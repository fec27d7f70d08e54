"""A server that counts refused requests too, in the way of HAProxy's stick tables."""

import math

from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox.windows import Verdict


class Table:
    """HAProxy's `http_req_rate`: the requests of this period, and a part of the last period's.

    The last period counts by the part of it that is not yet one period ago, as if its requests had
    been spread evenly. So a burst at the beginning of a period counts more than in a sliding log,
    and a client that does not stop after a refusal stays refused. Tried beside HAProxy 2.6:
    `benchmarks.limits --only real`.
    """

    def __init__(self, rate: RateLimit) -> None:
        self._rate = rate
        self._begun = -math.inf
        self._count = self._last = 0

    def take(self, now: float) -> Verdict:
        """Count a request that arrives at `now`, in seconds."""
        period = self._rate.period
        if now >= self._begun + 2 * period:
            self._begun, self._last, self._count = now, 0, 0
        elif now >= self._begun + period:
            self._begun, self._last, self._count = self._begun + period, self._count, 0
        self._count += 1
        left = self._begun + period - now
        used = math.floor(self._count + self._last * left / period)
        return Verdict(used <= self._rate.requests, max(0, self._rate.requests - used), left)
