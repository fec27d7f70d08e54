"""Settings of the engine: the most requests in flight, and the retry policy."""

from dataclasses import dataclass

from bulkupdate.errors import ConfigError, setting

#: Highest number of requests in flight. Each has a connection, so more would look like an attack.
MAX_WORKERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The number of attempts for a row, and the backoff between them.

    Attributes:
        max_attempts: most requests for one row. Requests with the answer 429 don't count.
        max_throttles: 429 answers for one row after which the run stops, because the limiter can't
            find a rate that the server accepts.
        first_backoff: the longest possible backoff before the first retry, in seconds. It doubles
            with each further retry.
        longest_backoff: the longest possible backoff before any retry, in seconds.
        give_up_after: seconds that the server may be down before the run stops.
    """

    max_attempts: int = 8
    max_throttles: int = 20
    first_backoff: float = 0.5
    longest_backoff: float = 30.0
    give_up_after: float = 600.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.max_throttles < 1:
            raise ConfigError("max_attempts and max_throttles must be 1 or more")
        if not 0 <= self.first_backoff <= self.longest_backoff:
            raise ConfigError("first_backoff must be 0 or more, and at most longest_backoff")
        if not 0 <= self.give_up_after < float("inf"):
            raise ConfigError(f"{setting('give_up_after')} must be a number of seconds, 0 or more")
