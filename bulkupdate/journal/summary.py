"""The summary of a run: the content of `summary.json`."""

from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import force_setattr

from bulkupdate.codec import parse_record
from bulkupdate.errors import RunDirectoryError
from bulkupdate.journal.causes import Cause
from bulkupdate.journal.runfiles import RunFiles
from bulkupdate.models import Outcome, Reason, State
from bulkupdate.reader import Format, InputInfo


class AccountSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a run that is of one account.

    Attributes:
        base_url: the URL that its edits were sent to.
        rows: number of its rows in the input.
        counts: number of them by outcome, and `unprocessed`.
        requests: number of requests of this session, with retries.
        retries: number of these that were not the first of their row.
        rate_limited: number of 429 responses in this session.
        used_rate: requests per second that it sent in this session, up to its own last row.
        allowed_rate: requests per second that the limiter allowed at the end; None for any number.
        paused: seconds in which 429s paused it in this session.
        team: the id of its team; None if it could not be read.
        key_hash: a salted hash of its key; None before an answer has shown that it is good.
        listed: number of tasks in the last reading; None without one.
        reason: the reason why this part stopped before its end, in words, or None.
        stopped_by: the same reason as one of the known ones, or None.
    """

    base_url: str
    rows: int
    counts: dict[str, int]
    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    used_rate: float = 0.0
    allowed_rate: float | None = None
    paused: float = 0.0
    team: str | None = None
    key_hash: str | None = None
    listed: int | None = None
    reason: str | None = None
    stopped_by: Reason | None = None

    @property
    def is_left(self) -> bool:
        """Whether rows of it are left, as far as the counts tell."""
        return bool(self.counts.get("unprocessed")) or self.stopped_by is not None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a run: its input, target, state and counts.

    Attributes:
        version: the version of bulkupdate.
        input: the facts about the input.
        directory: the run directory.
        base_url: the URL that the edits were sent to.
        sandbox: whether the target was a sandbox that ended with the run.
        started: begin of this session, UTC.
        ended: end of this session, UTC, or None while it is running.
        state: the state of the run.
        reason: the reason why the run stopped, in words, or None.
        stopped_by: the same reason as one of the known ones, or None.
        exit_code: the exit code of the command line, or None while the session is running.
        counts: number of rows by outcome, and `unprocessed`. The sum is `input.rows`.
        mismatches: number of updated rows whose Task came back with another value than was sent.
        requests: number of requests of this session, with retries.
        retries: number of requests of this session that were not the first of their row.
        rate_limited: number of 429 responses in this session.
        rows_per_second: rows that this session settled per second.
        allowed_rate: requests per second that the limiter allowed at the end; None for any number.
        used_rate: requests per second that this session sent.
        paused: seconds in which 429s paused this session.
        resumed: whether this session resumed an earlier one.
        team: the id of the team that the run began with; None if it could not be read.
        key_hash: a salted hash of the key; None before an answer has shown that it is good.
        has_sent: whether any session sent a request for a row; None if an older version wrote this.
        compared: whether rows were compared with the live tasks.
        listed: number of tasks in the last reading; None without one.
        changed: number of tasks that the run has updated, by field; None where this was not
            counted: during a session, after an abort, or by an older version.
        changed_tasks: number of these tasks; None as above.
        owners: number of these tasks by the id of their new owner; None as above. All owners after
            the first thousand are `others`.
        givers: number of these tasks by the id of their owner before, as far as it is known, with
            `others` as above; None as above.
        accounts: the part of each account that has rows; empty in a run with one key.
        idle_accounts: what is known of accounts that had rows in an earlier session only: they
            may have some again.
        rules: number of rows with an outcome by rule and outcome; empty where no row is of a rule.
        people: the e-mail address or name of owners that such tasks have now or had before, by id,
            as far as they are known.
        problems: the causes of unsuccessful rows, each once, the most frequent first.
        failed_sha256: the SHA-256 of the file of failed rows at the end of this session, or None
            while it is running.
    """

    version: str
    input: InputInfo
    directory: str
    base_url: str
    started: str
    ended: str | None
    state: State
    reason: str | None
    exit_code: int | None
    counts: dict[str, int]
    mismatches: int
    requests: int
    retries: int
    rate_limited: int
    rows_per_second: float
    allowed_rate: float | None
    used_rate: float
    paused: float
    resumed: bool
    failed_sha256: str | None = None
    sandbox: bool = False
    stopped_by: Reason | None = None
    problems: list[Cause] = []
    team: str | None = None
    key_hash: str | None = None
    has_sent: bool | None = None
    compared: bool = False
    listed: int | None = None
    changed: dict[str, int] | None = None
    changed_tasks: int | None = None
    owners: dict[str, int] | None = None
    givers: dict[str, int] | None = None
    accounts: dict[str, AccountSummary] = {}
    idle_accounts: dict[str, AccountSummary] = {}
    rules: dict[str, dict[str, int]] = {}
    people: dict[str, str] = {}

    @property
    def has_accounts(self) -> bool:
        """Whether the run is one of accounts, even if no row is of a known one."""
        return bool(self.accounts or self.idle_accounts) or self.input.has_accounts

    @property
    def known_accounts(self) -> dict[str, AccountSummary]:
        """What is known of each account that has rows, or had some in an earlier session."""
        return {**self.idle_accounts, **self.accounts}

    def __post_init__(self) -> None:
        """Check what other modules rely on.

        Raises:
            ValueError: a value is not as this program writes it.
        """
        if Outcome.CONFLICT not in self.counts:
            # Older versions know no conflicts.
            force_setattr(self, "counts", {Outcome.CONFLICT.value: 0, **self.counts})
        missing = {*Outcome, "unprocessed"} - self.counts.keys()
        if missing or min(self.counts.values()) < 0 or self.input.rows < 0:
            raise ValueError("the counts are not those of a run")
        if self.input.now is not None:
            datetime.fromisoformat(self.input.now)
        Format(self.input.format)
        urlsplit(self.base_url)


def read_summary(directory: Path) -> Summary:
    """Read the summary of the run in a directory.

    Raises:
        RunDirectoryError: the directory holds no run, or its summary can't be read.
    """
    path = RunFiles(directory).summary
    try:
        return parse_record(path.read_bytes(), Summary)
    except FileNotFoundError:
        raise RunDirectoryError(f"{directory}: there is no run: it has no {path.name}") from None
    except NotADirectoryError:
        raise RunDirectoryError(f"{directory} is a file: name the run directory") from None
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise RunDirectoryError(
            f"{path} is damaged, or was not written by bulkupdate ({error}): choose another"
            " directory, or put the file right"
        ) from error
