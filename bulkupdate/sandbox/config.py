"""The settings of a sandbox."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bulkupdate.errors import ConfigError, setting
from bulkupdate.lemlist.endpoint import is_loopback
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit


class Window(enum.StrEnum):
    """How the server counts requests. What lemlist does is not known for sure."""

    FIXED = "fixed"
    """A fixed window that its first request opens: the best guess."""

    CLOCK = "clock"
    """A fixed window on the clock's own borders."""

    SLIDING = "sliding"
    """A sliding log: no period, wherever it begins, holds more than the limit."""

    BUCKET = "bucket"
    """A token bucket that refills all the time."""


class Fault(enum.StrEnum):
    """What can go wrong with a request that was authorised and within the limit."""

    INTERNAL_ERROR = "500"
    """500, nothing applied."""

    UNAVAILABLE = "503"
    """503, nothing applied."""

    RESET_BEFORE = "reset-before"
    """The connection is reset, nothing applied."""

    RESET_AFTER = "reset-after"
    """The edit is applied, then the connection is reset."""

    HANG = "hang"
    """No answer at all, nothing applied."""

    CUT = "cut"
    """The edit is applied; the answer breaks off in the middle."""

    MALFORMED = "malformed"
    """The edit is applied; the answer is a 200 that is not quite JSON."""

    HTML = "html"
    """A 200 with an HTML page, nothing applied."""


class Unknown(enum.StrEnum):
    """What a PATCH of an id that is not there gives. What lemlist does is not known."""

    NOT_FOUND = "404"
    """404."""

    BAD_TEAM = "400"
    """400 `Bad team`."""

    CREATE = "create"
    """The task is made up on the spot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Everything that a sandbox can be told.

    Attributes:
        host: to listen on: loopback, unless `exposed`.
        exposed: allow another host than loopback.
        port: to listen on; 0 takes a free one.
        key: the API key that is accepted.
        rate: requests per period for each key; None is no limit.
        window: how they are counted.
        latency: shortest and longest time that a request takes each way, in milliseconds.
        faults: the probability of each, from 0 to 1; they add up to 1 at most.
        outages: when the server is down, each as a begin and a length in seconds, counted from the
            first request: it answers 503 to everything.
        unknown: what an id that is not there gives.
        filters_required: whether `GET /tasks` without `filters` is a 400, as some tenants report.
        seed: of every random choice.
        log: a file that takes one JSON line for every request, or None.
    """

    host: str = "127.0.0.1"
    exposed: bool = False
    port: int = 0
    key: str = "sandbox"
    rate: RateLimit | None = LEMLIST_RATE
    window: Window = Window.FIXED
    latency: tuple[float, float] = (0.0, 0.0)
    faults: Mapping[Fault, float] = field(default_factory=dict)
    outages: tuple[tuple[float, float], ...] = ()
    unknown: Unknown = Unknown.NOT_FOUND
    filters_required: bool = False
    seed: int = 0
    log: Path | None = None

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.exposed:
            raise ConfigError(
                f"{self.host} is not this machine alone: {setting('expose')} allows it"
            )
        if not 0 <= self.port <= 65535:
            raise ConfigError("a port is a number from 0 to 65535")
        if not all(0 <= p <= 1 for p in self.faults.values()) or sum(self.faults.values()) > 1:
            raise ConfigError("probabilities are from 0 to 1, and add up to 1 at most")
        if not all(0 <= time < math.inf for outage in self.outages for time in outage):
            raise ConfigError("an outage begins, and lasts, for some seconds, 0 or more")
        low, high = self.latency
        if not 0 <= low <= high or not math.isfinite(high):
            raise ConfigError("a latency is two numbers of milliseconds, the smaller first")
