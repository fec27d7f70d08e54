"""A server whose bucket is filled in steps: by half of the limit a second, as some libraries do."""

import math

from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox.windows import Verdict


class StepBucket:
    """A bucket of tokens. Each request takes one, and many come back at once.

    Args:
        rate: the limit.
        step: seconds between two fillings.
    """

    def __init__(self, rate: RateLimit, step: float = 1.0) -> None:
        self._rate = rate
        self._step = step
        self._tokens = rate.requests
        self._filled = -math.inf

    def take(self, now: float) -> Verdict:
        """Count a request that arrives at `now`, in seconds."""
        if self._filled == -math.inf:
            self._filled = now
        steps = int((now - self._filled) / self._step)
        back = int(steps * self._step * self._rate.per_second)
        self._tokens = min(self._rate.requests, self._tokens + back)
        self._filled += steps * self._step
        allowed = self._tokens >= 1
        self._tokens -= allowed
        return Verdict(allowed, self._tokens, self._filled + self._step - now)
