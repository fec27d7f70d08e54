"""Settings of the engine: how many requests at once, and how often a row is tried."""

from dataclasses import dataclass

from bulkupdate.errors import ConfigError, setting

#: Requests in flight at most. A connection each: more would be an attack.
MAX_WORKERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a row is tried, and how long between.

    Attributes:
        max_attempts: requests for one row, those that were answered 429 not counted.
        max_throttles: 429s for one row, after which the run stops: the limiter has lost its way.
        first_backoff: the most that the wait before the first retry can be, in seconds; each
            further one may be twice as long.
        longest_backoff: no wait is longer, in seconds.
        give_up_after: seconds that the server may be down for before the run stops.
    """

    max_attempts: int = 8
    max_throttles: int = 20
    first_backoff: float = 0.5
    longest_backoff: float = 30.0
    give_up_after: float = 600.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.max_throttles < 1:
            raise ConfigError("a row needs at least one attempt")
        if not 0 <= self.first_backoff <= self.longest_backoff:
            raise ConfigError("backoff must not be negative, nor shrink")
        if not 0 <= self.give_up_after < float("inf"):
            raise ConfigError(f"{setting('give_up_after')} is a number of seconds, 0 or more")
