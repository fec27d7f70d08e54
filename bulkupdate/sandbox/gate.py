"""What a request with the key of an account meets before a route answers it."""

import asyncio
import base64
import math
import random
from datetime import datetime, timedelta

from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit
from bulkupdate.sandbox.accounts import SandboxAccount
from bulkupdate.sandbox.config import Fault, SandboxConfig
from bulkupdate.sandbox.routes import Routes
from bulkupdate.sandbox.windows import RateWindow, Verdict, window


class Gate:
    """The limit, the outages and the faults of one account.

    Args:
        name: the name of the account; "" for the only one.
        account: the account. It may change at any time.
        config: the settings of the sandbox, which hold where the account has none of its own.
        routes: what answers the requests that get through.
        chance: the source of faults and latencies.

    Attributes:
        name: as the argument.
        account: as the argument.
        routes: as the argument.
    """

    def __init__(
        self,
        name: str,
        account: SandboxAccount,
        config: SandboxConfig,
        routes: Routes,
        chance: random.Random,
    ) -> None:
        self.name = name
        self.account = account
        self.routes = routes
        self._config = config
        self._random = chance
        self._first_request = math.inf
        self._rate: RateLimit | None = None
        self._window: RateWindow | None = None

    @property
    def rate(self) -> RateLimit | None:
        """The limit; None where there is none."""
        return self.account.rate or self._config.rate

    def count(self, now: float) -> Verdict | None:
        """Count a request against the limit. None: there is no limit."""
        rate = self.rate
        if self.account.throttled:
            return Verdict(allowed=False, remaining=0, reset_after=(rate or LEMLIST_RATE).period)
        if rate != self._rate:
            self._rate = rate
            self._window = None if rate is None else window(self._config.window, rate)
        return None if self._window is None else self._window.take(now)

    def is_out(self, now: float) -> bool:
        """Whether there is an outage. Its times count from the first request that asks."""
        self._first_request = min(self._first_request, now)
        since = now - self._first_request
        own = self.account.outages
        outages = self._config.outages if own is None else own
        is_within = any(begin <= since < begin + length for begin, length in outages)
        return is_within or self.account.is_down

    def fault(self) -> Fault | None:
        """The fault that a request meets by chance; None for most requests."""
        point = self._random.random()
        own = self.account.faults
        for fault, probability in (self._config.faults if own is None else own).items():
            if point < probability:
                return fault
            point -= probability
        return None

    async def travel(self) -> None:
        """Take as long as a request on its way."""
        await travel(self._config, self._random)


def quota_headers(rate: RateLimit, verdict: Verdict) -> dict[str, str]:
    """The headers that tell about the limit."""
    reset = datetime.now().astimezone() + timedelta(seconds=verdict.reset_after)
    return {
        "Retry-After": f"{max(0.0, verdict.reset_after):.3f}".rstrip("0").rstrip("."),
        "X-RateLimit-Limit": str(rate.requests),
        "X-RateLimit-Remaining": str(verdict.remaining),
        # The format of JavaScript's `Date.toString()`.
        "X-RateLimit-Reset": f"{reset:%a %b %d %Y %H:%M:%S GMT%z} ({reset:%Z})",
    }


async def travel(config: SandboxConfig, chance: random.Random) -> None:
    """Take as long as a request on its way."""
    low, high = config.latency
    if high:
        await asyncio.sleep(chance.uniform(low, high) / 1000)


def key_in(authorization: str | None) -> str | None:
    """The key in an `Authorization: Basic …` header: the text after the colon (no user name)."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, key = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return key if colon and not user else None
