"""A rate limit: lemlist's own limit, or a limit from the user."""

import re
from dataclasses import dataclass
from typing import Literal

from bulkupdate.errors import ConfigError, setting

_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)?(s|m|h)")


_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A number of requests in any period of a given length.

    Attributes:
        requests: the number of requests.
        period: the length of the period, in seconds.
    """

    requests: int
    period: float

    def __post_init__(self) -> None:
        if self.requests < 1 or not 0 < self.period < float("inf"):
            raise ConfigError(
                f"{setting('rate')} must be 1 or more requests per period, as in 20/2s"
            )

    @classmethod
    def parse(cls, text: str) -> "RateLimit":
        """The rate limit that a text stands for: `20/2s`, `5/s`, `100/1m`.

        Raises:
            ConfigError: the text does not have this form.
        """
        match = _RATE.fullmatch(text.strip().lower())
        if not match:
            raise ConfigError(f"{text!r} is not a rate: write it as 20/2s or 100/1m")
        requests, count, unit = match.groups()
        return cls(int(requests), float(count or 1) * _UNIT_SECONDS[unit])

    @property
    def per_second(self) -> float:
        """Requests per second, on average."""
        return self.requests / self.period

    def __str__(self) -> str:
        return f"{self.requests}/{self.period:g}s"


#: `lemlist: rate-limits`: 20 requests per 2 s for each API key, over all routes.
LEMLIST_RATE = RateLimit(20, 2.0)

#: A choice of limit: "auto" follows the server, a rate is a ceiling, None means no limit.
Rate = RateLimit | Literal["auto"] | None

#: The same in words.
RATE_KINDS = "'auto', None or a RateLimit, as RateLimit(20, 2)"
