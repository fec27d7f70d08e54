"""Everything that one run needs to know."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from bulkupdate.engine.settings import MAX_WORKERS, RetryPolicy
from bulkupdate.errors import ConfigError, setting
from bulkupdate.journal import Mode
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.reader import ReadOptions, unpacked_name

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
            raise ConfigError(f"{setting('max_failures')} is 1 row or more, or a share below 100%")

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
            raise ConfigError(f"{setting('workers')} is a number from 1 to {MAX_WORKERS}")
        if self.first is not None and self.first < 1:
            raise ConfigError(f"{setting('first')} takes 1 row or more")
        if not 0 <= self.drain_timeout < float("inf"):
            raise ConfigError(f"{setting('drain_timeout')} is a number of seconds, 0 or more")
        if self.out is not None and not self.out.name:
            raise ConfigError(f"{setting('out')} {str(self.out)!r} names no directory of its own")
        if self.retry_failed and self.mode is not Mode.RESUME:
            raise ConfigError(f"{setting('retry_failed')} goes with {setting('resume')}")
        if self.changed_input and self.mode is not Mode.RESUME:
            raise ConfigError(f"{setting('changed_input')} goes with {setting('resume')}")

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
