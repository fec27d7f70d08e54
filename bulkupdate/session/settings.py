"""The settings of a run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import UnionType
from typing import Literal

from bulkupdate.engine.settings import MAX_WORKERS, RetryPolicy
from bulkupdate.errors import ConfigError, check_flags, count, setting
from bulkupdate.journal import Mode
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import RATE_KINDS, Rate, RateLimit
from bulkupdate.reader import ReadOptions, is_rules, unpacked_name

#: Rows that must have been sent before a limit in percent counts.
JUDGED_ROWS = 100


_LIMIT = re.compile(r"(\d+)|(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """The number or share of unsuccessful rows that stops a run.

    Attributes:
        rows: the number of unsuccessful rows that stops the run, or None.
        percent: the share of the sent rows. A higher share stops the run, once 100 rows have been
            sent; or None.
    """

    rows: int | None = None
    percent: float | None = None

    def __post_init__(self) -> None:
        is_count = self.rows is not None and self.rows >= 1 and self.percent is None
        is_share = self.percent is not None and 0 <= self.percent < 100 and self.rows is None
        if not is_count and not is_share:
            raise ConfigError(
                f"{setting('max_failures')} must be 1 or more rows, or a share below 100%"
            )

    @classmethod
    def parse(cls, text: str) -> "FailureLimit":
        """The limit that a text stands for: `100`, `2.5%`.

        Raises:
            ConfigError: the text does not have this form.
        """
        match = _LIMIT.fullmatch(text.strip())
        if not match:
            raise ConfigError(f"{text!r} is not a limit of failures: write it as 100 or 5%")
        rows, percent = match.groups()
        return cls(rows=int(rows)) if rows else cls(percent=float(percent))

    def is_reached(self, failures: int, sent: int) -> bool:
        """Whether a number of failures among a number of sent rows stops the run."""
        if self.rows is not None:
            return failures >= self.rows
        return sent >= JUDGED_ROWS and 100 * failures > (self.percent or 0) * sent

    def __str__(self) -> str:
        return str(self.rows) if self.rows is not None else f"{self.percent:g}%"


@dataclass(frozen=True, slots=True)
class ChangeLimit:
    """The number or share of the listed tasks that a run may change.

    Attributes:
        tasks: the number of tasks, or None.
        percent: the share of the listed tasks, or None.
    """

    tasks: int | None = None
    percent: float | None = None

    def __post_init__(self) -> None:
        is_count = self.tasks is not None and self.tasks >= 0 and self.percent is None
        is_share = self.percent is not None and 0 <= self.percent <= 100 and self.tasks is None
        if not is_count and not is_share:
            raise ConfigError(
                f"{setting('max_changes')} must be 0 or more tasks, or a share up to 100%"
            )

    @classmethod
    def parse(cls, text: str) -> "ChangeLimit":
        """The limit that a text stands for: `200`, `5%`.

        Raises:
            ConfigError: the text does not have this form.
        """
        match = _LIMIT.fullmatch(text.strip())
        if not match:
            raise ConfigError(f"{text!r} is not a limit of changes: write it as 200 or 5%")
        tasks, percent = match.groups()
        return cls(tasks=int(tasks)) if tasks else cls(percent=float(percent))

    @property
    def needs_all(self) -> bool:
        """Whether the whole list must be read for it."""
        return self.percent is not None

    def is_exceeded(self, changes: int, listed: int) -> bool:
        """Whether a number of changed tasks of those that are listed is too large."""
        if self.tasks is not None:
            return changes > self.tasks
        return 100 * changes > (self.percent or 0) * listed

    def refusal(self, changes: int, listed: int | None) -> str:
        """Why a number of changed tasks is refused; "" if it is not.

        Args:
            changes: the number of tasks that would change.
            listed: the number of tasks that are listed; None if not all of them were read.
        """
        if not self.is_exceeded(changes, listed or 0):
            return ""
        of = f" of {listed:,}" if listed is not None else ""
        return f"{count(changes, 'task')}{of} would change: {setting('max_changes')} is {self}"

    def __str__(self) -> str:
        return str(self.tasks) if self.tasks is not None else f"{self.percent:g}%"


#: Settings of a run → their type, and how messages show it.
_KINDS: dict[str, tuple[type | UnionType, str]] = {
    "endpoint": (Endpoint, "an Endpoint"),
    "first": (int, "a whole number"),
    "workers": (int, "a whole number"),
    "rate": (RateLimit, RATE_KINDS),
    "max_changes": (ChangeLimit, "a ChangeLimit, as ChangeLimit(tasks=5)"),
    "max_failures": (FailureLimit, "a FailureLimit, as FailureLimit(rows=5)"),
    "max_failures_total": (FailureLimit, "a FailureLimit, as FailureLimit(rows=5)"),
    "deadline": (datetime, "a datetime"),
    "retry": (RetryPolicy, "a RetryPolicy"),
    "read": (ReadOptions, "ReadOptions"),
    "drain_timeout": (int | float, "a number of seconds"),
    "max_age": (int | float, "a number of seconds"),
}

#: Those that can't be None.
_NEEDED = {"workers", "retry", "read", "drain_timeout", "max_age"}


#: What may become of a row whose task is not listed.
_UNLISTED = ("conflict", "send")


def check_kinds(*, unlisted: str = "conflict", **values: object) -> None:
    """Check the types of some settings of a run.

    Args:
        unlisted: what becomes of a row whose task is not listed.
        values: name of a setting → its value, which may be None.

    Raises:
        ConfigError: a value is of another type.
    """
    if unlisted not in _UNLISTED:
        known = ", ".join(map(repr, _UNLISTED))
        raise ConfigError(f"{setting('unlisted')} {unlisted!r} is not one of {known}")
    for name, value in values.items():
        kind, shown = _KINDS[name]
        is_default = (value is None and name not in _NEEDED) or (name, value) == ("rate", "auto")
        # A bool is an int.
        if not is_default and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ConfigError(f"{setting(name)} takes {shown}, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """The settings of `run`.

    Attributes:
        input: the path of the file of edits, or `-` for standard input; or of a file of rules
            (.toml), which is compared in any case.
        endpoint: the server that gets the edits, and the API key; None with `accounts`.
        accounts: the accounts that rows may be of, each with its own key; None with `endpoint`.
        account: the account of all rows; None where each row names its own.
        same_team: send to two accounts of one team, although rows of one task may go out of order.
        read: the options for reading the input.
        out: the run directory. None stands for the name of the input with the suffix `.run`, in the
            current directory.
        mode: the handling of a run directory that already exists. `Mode.RESUME` begins a run where
            there is none, or where no session has sent anything.
        changed_input: when resuming, continue even if the input has been edited.
        changed_key: when resuming, continue with another key although it can't be told whether it
            is of the same team.
        allow_empty: accept an input without a row, which then ends at once with exit code 0.
        retry_failed: when resuming, also try failed, unconfirmed and conflicting rows again.
        skip_invalid: send the valid rows of an input that has invalid rows.
        compare: read the tasks first, send only what differs, and keep what is overwritten.
        unlisted: with `compare`, "send" also sends a row whose task is not listed, unless the row
            expects something; "conflict" does not.
        max_age: with `compare`, seconds after which the tasks are read again.
        max_changes: with `compare`, the number or share of the listed tasks that the run may
            change; None for any.
        allow_few: with `compare`, accept a server that lists no task, or less than half of what it
            listed before.
        yes: with a file of rules, accept a rule that selects more than half of the listed tasks,
            although the file has no `max_changes`.
        merge_duplicates: send the rows of one task as one update, in which later rows win.
        first: the number of rows to send, of each account, before the run stops; None sends all.
        rate: "auto" starts at lemlist's documented limit and follows the server; a rate is a
            ceiling that the server may lower but never raise; None means no limit.
        workers: most requests in flight.
        retry: the attempts and the backoff for each row.
        drain_timeout: seconds that requests in flight get to end when the run is stopped.
        max_failures: the number or share of unsuccessful rows that stops a session, or in a run
            with accounts the part of an account; None for no such limit.
        max_failures_total: with `accounts`, the same for all of them together.
        deadline: the moment by which the run ends, aware. The last request starts at least
            `drain_timeout` seconds before it, and the rest can be resumed. None for no deadline.
        sandbox: whether the edits go to a sandbox that ends with the run. Such a run can't be
            resumed with a real server.
        strict: whether the exit code is 1 if a returned Task has other values than the sent ones.
    """

    input: str | Path
    endpoint: Endpoint | None = None
    accounts: Accounts | None = None
    account: str | None = None
    same_team: bool = False
    read: ReadOptions = field(default_factory=ReadOptions)
    out: str | Path | None = None
    mode: Mode = Mode.NEW
    changed_input: bool = False
    changed_key: bool = False
    allow_empty: bool = False
    retry_failed: bool = False
    skip_invalid: bool = False
    compare: bool = False
    unlisted: Literal["conflict", "send"] = "conflict"
    max_age: float = 1800.0
    max_changes: "ChangeLimit | None" = None
    allow_few: bool = False
    yes: bool = False
    merge_duplicates: bool = False
    first: int | None = None
    rate: Rate = "auto"
    workers: int = 16
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    drain_timeout: float = 30.0
    max_failures: FailureLimit | None = None
    max_failures_total: FailureLimit | None = None
    deadline: datetime | None = None
    sandbox: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "input", str(self.input))
        self._check_accounts()
        if self.has_rules:
            self.read.refuse_for_rules()
            # A night with nothing to do is a success.
            object.__setattr__(self, "allow_empty", True)
            object.__setattr__(self, "compare", True)
        if self.out is not None:
            object.__setattr__(self, "out", Path(self.out))
        try:
            object.__setattr__(self, "mode", Mode(self.mode))
        except ValueError:
            known = ", ".join(map(repr, map(str, Mode)))
            raise ConfigError(f"mode {self.mode!r} is not one of {known}") from None
        self._check_types()
        if self.deadline is not None and self.deadline.utcoffset() is None:
            raise ConfigError(
                f"{setting('deadline')} needs an offset from UTC, as in 2026-01-31T06:00+01:00"
            )
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ConfigError(f"{setting('workers')} must be a number from 1 to {MAX_WORKERS}")
        if self.first is not None and self.first < 1:
            raise ConfigError(f"{setting('first')} must be 1 or more")
        if not 0 <= self.drain_timeout < float("inf"):
            raise ConfigError(f"{setting('drain_timeout')} must be a number of seconds, 0 or more")
        if self.out is not None and not self.directory.name:
            raise ConfigError(f"{setting('out')} {str(self.out)!r} is not the name of a directory")
        if not 0 <= self.max_age < float("inf"):
            raise ConfigError(f"{setting('max_age')} must be a number of seconds, 0 or more")
        for name, default in (
            ("unlisted", "conflict"),
            ("max_changes", None),
            ("allow_few", False),
        ):
            if getattr(self, name) != default and not self.compare:
                raise ConfigError(f"{setting(name)} needs {setting('compare')}")
        if self.retry_failed and self.mode is not Mode.RESUME:
            raise ConfigError(f"{setting('retry_failed')} needs {setting('resume')}")
        for name in ("changed_input", "changed_key"):
            if getattr(self, name) and self.mode is not Mode.RESUME:
                raise ConfigError(f"{setting(name)} needs {setting('resume')}")

    def _check_types(self) -> None:
        """Refuse what would fail only once rows are on their way, or would never be reached."""
        check_flags(
            **{one.name: getattr(self, one.name) for one in fields(self) if one.type is bool}
        )
        check_kinds(unlisted=self.unlisted, **{name: getattr(self, name) for name in _KINDS})

    def _check_accounts(self) -> None:
        if (self.endpoint is None) == (self.accounts is None):
            raise ConfigError("a run needs an endpoint or accounts, and not both")
        if self.accounts is None:
            for name in ("account", "same_team", "max_failures_total"):
                if getattr(self, name):
                    raise ConfigError(f"{setting(name)} needs {setting('accounts')}")
            return
        names = tuple(self.accounts)
        read = replace(self.read, accounts=names, account=self.account)
        object.__setattr__(self, "read", read)

    @property
    def only_account(self) -> Account:
        """The account of a run with one key, which has no name.

        Raises:
            ConfigError: the run has accounts.
        """
        if self.endpoint is None:
            raise ConfigError("the run has accounts")
        return Account.only(self.endpoint)

    @property
    def by_name(self) -> Mapping[str, Account]:
        """The accounts by name. That of a run with one key has the name ""."""
        return {"": self.only_account} if self.accounts is None else self.accounts

    @property
    def base_url(self) -> str:
        """The URL of the API; "" where accounts have several."""
        urls = {account.base_url for account in self.by_name.values()}
        return urls.pop() if len(urls) == 1 else ""

    @property
    def has_rules(self) -> bool:
        """Whether the input is a file of rules."""
        return is_rules(self.input)

    @property
    def last_start(self) -> datetime | None:
        """The last moment at which a request may start; None without a deadline."""
        if self.deadline is None:
            return None
        return self.deadline - timedelta(seconds=self.drain_timeout)

    @property
    def directory(self) -> Path:
        """The run directory."""
        if self.out is not None:
            return Path(self.out)
        name = "stdin" if self.input == "-" else unpacked_name(Path(self.input)).stem
        return Path(f"{name}.run")
