"""The settings of a run: frozen, with named defaults, and refused where they make no sense."""

import enum
import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from bulkupdate.errors import ConfigError
from bulkupdate.reader.options import ReadOptions, unpacked_name

DEFAULT_BASE_URL = "https://api.lemlist.com/api"
KEY_VARIABLE = "LEMLIST_API_KEY"
BASE_URL_VARIABLE = "LEMLIST_BASE_URL"

#: Requests in flight at most. A connection each: more would be an attack.
MAX_WORKERS = 1000

_LONGEST_KEY = 4096
_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)?(s|m|h)")
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class ApiKey:
    """A secret that does not show itself: `repr`, `str` and f-strings print `ApiKey(…)`.

    Args:
        value: the key. Blanks and line ends around it are dropped.

    Raises:
        ConfigError: it is empty, or no header could carry it. The message never holds it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        value = value.strip()
        if not value:
            raise ConfigError("the API key is empty")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError("the API key holds a blank or a character that no key has")
        self._value = value

    def reveal(self) -> str:
        """The key itself."""
        return self._value

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("an ApiKey is not to be pickled")

    @classmethod
    def find(cls, file: Path | None, environ: Mapping[str, str]) -> "ApiKey":
        """The key in `file` if one is given, else in `environ` under `LEMLIST_API_KEY`.

        A file that everybody can read is refused; one that our group can read too, if it is ours,
        so that we could have it otherwise. (Kubernetes and systemd hand out secrets that belong to
        root and can be read by a group of our own.)

        Raises:
            ConfigError: there is none, it can't be read, or others can read it too.
        """
        if file is None:
            value = environ.get(KEY_VARIABLE, "")
            if not value.strip():
                raise ConfigError(
                    f"no API key: set {KEY_VARIABLE}, or name a file that holds it"
                    " with --api-key-file"
                )
            return cls(value)
        try:
            with file.open(encoding="utf-8-sig") as text:
                status = os.fstat(text.fileno())
                is_ours = status.st_uid == os.geteuid()
                group = stat.S_IRWXG if is_ours else stat.S_IWGRP
                if status.st_mode & (stat.S_IRWXO | group):
                    raise ConfigError(
                        f"--api-key-file {file} can be read or written by others: chmod 600 {file}"
                    )
                return cls(text.read(_LONGEST_KEY))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"--api-key-file {file} can't be read: {why}") from None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in any such period.

    Attributes:
        requests: how many.
        period: seconds.
    """

    requests: int
    period: float

    def __post_init__(self) -> None:
        if self.requests < 1 or not 0 < self.period < float("inf"):
            raise ConfigError("--rate is at least 1 request per period, as in 20/2s")

    @classmethod
    def parse(cls, text: str) -> "RateLimit":
        """`20/2s`, `5/s`, `100/1m`.

        Raises:
            ConfigError: it is none of these.
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
            raise ConfigError("--give-up-after is a number of seconds, 0 or more")


#: Rows that must have been sent before a share of them is judged.
JUDGED_ROWS = 100

_FAILURES = re.compile(r"(\d+)|(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many rows may go wrong before the run stops.

    Attributes:
        rows: so many stop it, or None.
        percent: more than such a share of the rows sent stops it, once there are 100; or None.
    """

    rows: int | None = None
    percent: float | None = None

    def __post_init__(self) -> None:
        is_count = self.rows is not None and self.rows >= 1 and self.percent is None
        is_share = self.percent is not None and 0 <= self.percent < 100 and self.rows is None
        if not is_count and not is_share:
            raise ConfigError("--max-failures is 1 row or more, or a share below 100%")

    @classmethod
    def parse(cls, text: str) -> "FailureLimit":
        """`100`, `2.5%`.

        Raises:
            ConfigError: it is neither.
        """
        match = _FAILURES.fullmatch(text.strip())
        if not match:
            raise ConfigError(f"{text!r} is no limit of failures: write it as 100 or 5%")
        rows, percent = match.groups()
        return cls(rows=int(rows)) if rows else cls(percent=float(percent))

    def is_reached(self, failures: int, sent: int) -> bool:
        """Whether so many failures among so many rows that were sent are too many."""
        if self.rows is not None:
            return failures >= self.rows
        return sent >= JUDGED_ROWS and 100 * failures > (self.percent or 0) * sent

    def __str__(self) -> str:
        return str(self.rows) if self.rows is not None else f"{self.percent:g}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the edits go, and with which key.

    Attributes:
        api_key: of one team.
        base_url: `https://`, or `http://` on loopback; a slash at its end is dropped.
        timeout: seconds that one attempt may take, from connecting to the last byte.
        use_proxy: whether to obey `HTTPS_PROXY` and its like.
    """

    api_key: ApiKey
    base_url: str = DEFAULT_BASE_URL
    timeout: float = 30.0
    use_proxy: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _checked_url(self.base_url))
        if not 0 < self.timeout < float("inf"):
            raise ConfigError("--timeout is a number of seconds above 0")


class Mode(enum.StrEnum):
    """What to do with a run directory that is already there."""

    NEW = "new"
    """Refuse it."""

    RESUME = "resume"
    """Go on with that run."""

    OVERWRITE = "overwrite"
    """Start it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that `run` needs to know.

    Attributes:
        input: the file of edits, or `-` for standard input.
        endpoint: where the edits go.
        read: how the input is to be read, where that can't be told from it.
        out: the run directory, or None for the input's name with `.run` for its suffix, in the
            current directory.
        mode: what to do with a run directory that is already there.
        changed_input: when resuming, go on though the input has been edited.
        retry_failed: when resuming, also try again what failed or stayed unconfirmed.
        skip_invalid: send the valid rows of an input that has invalid ones.
        merge_duplicates: send the rows of one task as one update, in which later ones win.
        first: send so many rows and stop; None sends all.
        rate: "auto" follows what the server says, from lemlist's documented limit on; a rate is a
            ceiling that the server may lower and never raises; None is no limit.
        workers: requests in flight at most.
        retry: how often a row is tried.
        drain_timeout: seconds that requests in flight get to end when the run is stopped.
        max_failures: how many rows of one session may fail or stay unconfirmed before it stops;
            None for any number.
        deadline: when all is to be over, aware: no request starts later than `drain_timeout`
            before it, and what is left can be resumed. None for no such moment.
        sandbox: whether it goes to a stand-in that ends with the run: no real run goes on with it.
        strict: whether a Task that came back with another value than was sent makes the exit code
            1, as a row that failed does.
    """

    input: str
    endpoint: Endpoint
    read: ReadOptions = field(default_factory=ReadOptions)
    out: Path | None = None
    mode: Mode = Mode.NEW
    changed_input: bool = False
    retry_failed: bool = False
    skip_invalid: bool = False
    merge_duplicates: bool = False
    first: int | None = None
    rate: RateLimit | Literal["auto"] | None = "auto"
    workers: int = 16
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    drain_timeout: float = 30.0
    max_failures: FailureLimit | None = None
    deadline: datetime | None = None
    sandbox: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if self.deadline is not None and self.deadline.utcoffset() is None:
            raise ConfigError("a deadline needs an offset")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ConfigError(f"--workers is a number from 1 to {MAX_WORKERS}")
        if self.first is not None and self.first < 1:
            raise ConfigError("--first takes 1 row or more")
        if not 0 <= self.drain_timeout < float("inf"):
            raise ConfigError("--drain-timeout is a number of seconds, 0 or more")
        if self.out is not None and not self.out.name:
            raise ConfigError(f"--out {str(self.out)!r} names no directory of its own")
        if self.retry_failed and self.mode is not Mode.RESUME:
            raise ConfigError("--retry-failed goes with --resume")
        if self.changed_input and self.mode is not Mode.RESUME:
            raise ConfigError("--changed-input goes with --resume")

    @property
    def last_start(self) -> datetime | None:
        """The moment from which on the deadline lets no request start."""
        if self.deadline is None:
            return None
        return self.deadline - timedelta(seconds=self.drain_timeout)

    @property
    def directory(self) -> Path:
        """The run directory."""
        if self.out is not None:
            return self.out
        name = "stdin" if self.input == "-" else unpacked_name(Path(self.input)).stem
        return Path(f"{name}.run")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, and only this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"the base URL {url!r} is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError("the base URL holds a user name or password: the key goes elsewhere")
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment:
        raise ConfigError(f"the base URL {url!r} must look like {DEFAULT_BASE_URL}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"the base URL {url!r} would send the API key unencrypted: use https://"
            " (http:// is for this machine only)"
        )
    return url.strip().rstrip("/")
