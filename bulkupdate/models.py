"""The records that flow through a run.

All except `Traffic` are frozen. The names on the wire are lemlist's own camelCase. In Python they
are snake_case.
"""

import enum
import functools
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET as UNSET  # public, as `bulkupdate.UNSET`
from msgspec import UnsetType
from msgspec.structs import force_setattr

from bulkupdate import fields
from bulkupdate.codec import writable
from bulkupdate.errors import InvalidUpdateError, Problem


class TaskUpdate(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False
):
    """The body of one `PATCH /tasks`: a task, and the fields to change (`lemlist: update-task`).

    The server does not change a field that is `UNSET`. Values may have the forms that an input may
    have (`priority="high"`, `due_date=datetime(…, tzinfo=UTC)`, `done="yes"`). The record holds
    the values that are sent.

    Attributes:
        id: the task's id.
        assigned_to: the id of the user who gets the task.
        due_date: an ISO 8601 date-time with an offset, or an aware `datetime`.
        title: any text; "" clears.
        message: any text; "" clears.
        priority: 0, 1, 2, low, medium, high; none or "" clears.
        done: whether the task is complete.
        images: https URLs, for LinkedIn tasks. They replace the present ones; `()` clears.
        videos: the same for videos. A task can have 6 images and videos in total.

    Raises:
        InvalidUpdateError: some values break the rules. It lists every problem.
    """

    id: str
    assigned_to: str | UnsetType = UNSET
    due_date: str | datetime | UnsetType = UNSET
    title: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    priority: str | int | UnsetType = UNSET
    done: bool | str | UnsetType = UNSET
    images: tuple[str, ...] | UnsetType = UNSET
    videos: tuple[str, ...] | UnsetType = UNSET

    def __post_init__(self) -> None:
        problems = []
        for name, wire_name, rule in _FIELD_RULES:
            value = getattr(self, name)
            if value is UNSET:
                continue
            try:
                force_setattr(self, name, rule(value))
            except ValueError as error:
                problems.append(problem_of(wire_name, value, error))
        count = 0 if problems else len(self.images or ()) + len(self.videos or ())
        if count > fields.MAX_MEDIA:
            message = f"{count} images and videos: a task takes {fields.MAX_MEDIA} in all"
            problems.append(Problem("images", "", message))
        if problems:
            raise InvalidUpdateError(problems)

    def changes(self) -> dict[str, Any]:
        """The fields to change, by their names on the wire, without the id."""
        changes: dict[str, Any] = msgspec.to_builtins(self)
        del changes["id"]
        return changes

    def shape(self) -> tuple[str, ...]:
        """The fields to change, by their names in Python, with `-` before a field to clear."""
        pairs = zip(WIRE_NAMES, msgspec.structs.astuple(self), strict=True)
        return tuple(
            f"-{name}" if value in ("", ()) else name for name, value in pairs if value is not UNSET
        )

    def merged_with(self, later: "TaskUpdate") -> "TaskUpdate":
        """One update with the effect of this one followed by a later one of the same task.

        Raises:
            InvalidUpdateError: the two together break a rule that neither breaks alone.
        """
        values = {
            name: value
            for update in (self, later)
            for name in PYTHON_NAMES.values()
            if (value := getattr(update, name)) is not UNSET
        }
        return TaskUpdate(**values)

    def has_media(self) -> bool:
        """Whether the server has to download images or videos for it."""
        return bool(self.images) or bool(self.videos)

    def encode(self) -> bytes:
        """The request body as JSON."""
        return msgspec.json.encode(self)


class CheckedUpdate(
    TaskUpdate, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False
):
    """An update whose values already have the form on the wire. They are not checked again."""

    def __post_init__(self) -> None:
        """Check nothing."""


def problem_of(field: str, value: object, error: ValueError, column: str = "") -> Problem:
    """The problem that a rule has found with a value."""
    hint = error.hint if isinstance(error, fields.WrongValueError) else ""
    column = "" if column == field else writable(column)
    return Problem(field, fields.shorten(value), str(error), hint, column)


_FIELD_RULES = tuple(
    (info.name, info.encode_name, fields.RULES[info.encode_name])
    for info in msgspec.structs.fields(TaskUpdate)
)

#: Wire name → name in Python, for every field of an update.
PYTHON_NAMES = {wire_name: name for name, wire_name, _ in _FIELD_RULES}

#: Name in Python → wire name.
WIRE_NAMES = {name: wire_name for wire_name, name in PYTHON_NAMES.items()}


class Task(msgspec.Struct, frozen=True, gc=False):
    """A Task from the server. Only its id is required. Unknown fields are kept.

    Attributes:
        fields: the whole JSON object, under lemlist's names (`_id`, `userId`, `content`, …).
        mismatches: fields that differ from the update that the Task confirms, by their names in
            `fields`; None if none does.
    """

    fields: dict[str, Any]
    mismatches: dict[str, "Mismatch"] | None = None

    @property
    def id(self) -> str:
        """The task's id (`_id`)."""
        return str(self.fields["_id"])

    @property
    def assigned_to(self) -> str | None:
        """The user's id (`userId`)."""
        return self.fields.get("userId")

    @property
    def due_date(self) -> str | None:
        """The due date, ISO 8601 (`dueDate`)."""
        return self.fields.get("dueDate")

    @property
    def title(self) -> str | None:
        """The title."""
        return self.fields.get("title")

    @property
    def message(self) -> str | None:
        """The text (`content`)."""
        return self.fields.get("content")

    @property
    def priority(self) -> int | None:
        """The priority: 0 is low, 1 medium, 2 high."""
        return self.fields.get("priority")

    @property
    def status(self) -> str | None:
        """The status: `pending`, `completed` or `ignored`."""
        return self.fields.get("status")


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record of the input.

    Attributes:
        number: the row's number, from 1. The header and blank lines are not counted.
        line: the line of the file on which the row begins, from 1.
        id: the task's id as the input has it; "" if none could be read.
        update: the update to send, or None if the row is invalid.
        problems: the row's problems; empty for a valid row.
        record: the record from the input: the cells of a CSV row, or a line of JSONL.
        merged: earlier rows of the task whose edits this row's update includes.
        shape: the `shape()` of the update, if the creator of the row knew it; else empty.
        expect: the values that the task must have for the row to be sent, by field; "" for empty.
            None without any.
        rule: the name of the rule that the row comes from; None without one.
        account: the name of the account whose task it is; "" where there is only one.
    """

    number: int
    line: int
    id: str
    update: TaskUpdate | None
    problems: tuple[Problem, ...]
    record: tuple[str, ...] | str
    merged: tuple["Row", ...] = ()
    shape: tuple[str, ...] = ()
    expect: dict[str, Any] | None = None
    rule: str | None = None
    account: str = ""

    @property
    def task(self) -> str:
        """What tells its task from all others."""
        return task_of(self.account, self.id)

    @property
    def is_sent(self) -> bool:
        """Whether a request is sent for the row: it is valid and changes something."""
        if self.update is None:
            return False
        return len(self.shape or self.update.shape()) > 1

    @property
    def error(self) -> str:
        """Every problem, in one line."""
        return "; ".join(map(str, self.problems))


def task_of(account: str, id_: str) -> str:
    """What tells a task from all others: its account and its id, as two accounts may share ids."""
    return f"{account}\0{id_}" if account else id_


class Outcome(enum.StrEnum):
    """The outcome of a row. Each row ends in exactly one."""

    UPDATED = "updated"
    """The server answered 200 with the Task of the update."""

    UNCHANGED = "unchanged"
    """The row has no field to change, or the task already is as it asks. No request was sent."""

    INVALID = "invalid"
    """The row breaks a rule. No request was sent."""

    FAILED = "failed"
    """The server refused the update, or was never reached. The task is unchanged."""

    UNCONFIRMED = "unconfirmed"
    """The update may have been applied. No retry could confirm it."""

    CONFLICT = "conflict"
    """The task is not as the row expects it, or was not seen. No request was sent."""


#: Outcomes after which nothing is left to do.
SUCCESSES = frozenset({Outcome.UPDATED, Outcome.UNCHANGED})

#: Outcomes of rows that `retry_failed` tries again.
RETRIED = frozenset({Outcome.FAILED, Outcome.UNCONFIRMED, Outcome.CONFLICT})


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The reason why a row did not succeed.

    Attributes:
        type: a type from the documented list.
        message: what happened, in words.
        field: the field that is not as the row expects it; "" for any other reason.
        expected: the value that the row expects there, as it is sent.
        found: the value that the task shows there.
    """

    type: str
    message: str
    field: str = ""
    expected: Any = None
    found: Any = None


class Mismatch(msgspec.Struct, frozen=True):
    """A field whose returned value differs from the sent value."""

    sent: Any
    returned: Any


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The result of one row: one line of the results log.

    Attributes:
        row: the row's number, from 1.
        id: the task's id.
        account: the name of the account whose task it is; None where there is only one.
        outcome: the row's outcome.
        status: the HTTP status of the last answer, if there was one.
        attempts: the number of requests sent for the row.
        at: the time when the row was settled: UTC, ISO 8601 with milliseconds.
        ms: the duration of the last request, in milliseconds.
        sent: the fields that were sent, by their names on the wire.
        task: the Task that the server returned.
        mismatches: fields of `task` that differ from the sent values, by their names in `task`.
        error: the reason why the row did not succeed.
        reason: "already" where the task was as the row asks, so that nothing was sent.
        compared: whether only the fields were sent that differed from the task, if any did.
        cut_short: whether the run stopped before the row had used all its attempts.
        merged: numbers of the earlier rows that were sent in the same request.
        was_merged: whether that request had earlier rows that the input no longer has.
        sent_with: number of the later row whose request included this one. The line of that row
            has the rest.
        rule: the name of the rule that the row comes from; None without one.
    """

    row: Annotated[int, msgspec.Meta(ge=1)]
    id: str
    account: str | None = None
    outcome: Outcome
    status: int | None = None
    attempts: int
    at: str
    ms: float | None = None
    sent: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    mismatches: dict[str, Mismatch] | None = None
    error: ErrorInfo | None = None
    reason: str | None = None
    compared: bool = False
    cut_short: bool = False
    merged: tuple[int, ...] = ()
    was_merged: bool = False
    sent_with: int | None = None
    rule: str | None = None


class Mark(msgspec.Struct, frozen=True):
    """The part of a log line that resuming needs. It is read several times as fast as `Result`.

    Attributes:
        row: the row's number, from 1.
        outcome: as in `Result`.
        mismatches: as in `Result`.
        error: the type of the error.
        cut_short: as in `Result`.
        rule: as in `Result`.
        account: as in `Result`.
    """

    class Kind(msgspec.Struct, frozen=True):
        """An error of which only the type is read."""

        type: str

    row: Annotated[int, msgspec.Meta(ge=1)]
    outcome: Outcome
    mismatches: dict[str, Any] | None = None
    error: Kind | None = None
    cut_short: bool = False
    rule: str | None = None
    account: str | None = None


class LoggedRow(Mark, frozen=True):
    """A mark with what shows whose row it is, as it stands in the log.

    Attributes:
        id: the task's id, as JSON.
        sent: the fields that were sent, as JSON; empty without any.
        merged: numbers of the earlier rows that were sent in the same request.
        was_merged: as in `Result`.
        compared: as in `Result`.
    """

    id: msgspec.Raw = msgspec.Raw(b'""')
    sent: msgspec.Raw = msgspec.Raw()
    merged: tuple[int, ...] = ()
    was_merged: bool = False
    compared: bool = False


def unsent(row: Row, outcome: Outcome, error: ErrorInfo | None = None) -> Result:
    """The result of a row for which no request was sent."""
    return Result(
        row=row.number,
        id=row.id,
        outcome=outcome,
        attempts=0,
        at=now(),
        error=error,
        rule=row.rule,
        account=row.account or None,
    )


class Traffic(msgspec.Struct):
    """Counts of requests. This is the only record that changes.

    Attributes:
        requests: requests sent, including retries.
        retries: requests that were not the first of their row.
        rate_limited: answers with status 429.
    """

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0


def now(*, after: float = 0.0) -> str:
    """The current time for the files of a run: UTC, ISO 8601 with milliseconds and `Z`.

    Args:
        after: seconds to add to the current time.
    """
    return utc_text(int((time.time() + after) * 1000))


# Without a limit, several rows are settled in the same millisecond.
@functools.lru_cache(maxsize=1)
def utc_text(timestamp: int) -> str:
    """A moment as `now` tells it.

    Args:
        timestamp: milliseconds since 1970, UTC.
    """
    return f"{_second(timestamp // 1000)}.{timestamp % 1000:03}Z"


@functools.lru_cache(maxsize=2)
def _second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class State(enum.StrEnum):
    """The state of a run."""

    RUNNING = "running"
    """In progress; or killed, if no process holds the run directory."""

    FINISHED = "finished"
    """Finished: every row has its outcome."""

    STOPPED = "stopped"
    """Stopped before the end. The reason says why."""

    INTERRUPTED = "interrupted"
    """Ended by a signal, or cancelled by the calling program."""


class Reason(enum.StrEnum):
    """The reason why a run or a lane stops before its end."""

    REQUESTED = "requested"
    """The calling program stopped the run."""

    SIGNAL = "signal"
    """The process received a signal."""

    CANCELLED = "cancelled"
    """The asyncio task that awaited the run was cancelled."""

    KEY_REFUSED = "key_refused"
    """The server refuses the key, or its certificate is not accepted. All rows would fail."""

    NO_KEY = "no_key"
    """There is no key for an account any more, or its rows may only be read."""

    OTHER_TEAM = "other_team"
    """The key is of another team than before."""

    SAME_TEAM = "same_team"
    """Two accounts of the run are of one team."""

    ACCOUNTS_STOPPED = "accounts_stopped"
    """Some accounts stopped before their end, each for a reason of its own."""

    RULES_REFUSED = "rules_refused"
    """The rules can't be followed for an account, as its team does not know a name."""

    SERVER_DOWN = "server_down"
    """The server gave no usable answer for too long."""

    RATE_LIMITED = "rate_limited"
    """The server asks for a longer wait than a run waits, or limits one row too often."""

    NO_PERMIT = "no_permit"
    """A limit that is shared with other machines gives no permit: its database is away."""

    SET_ASIDE = "set_aside"
    """Workers of a fleet died several times at the same rows, which are left."""

    UNDER_WAY = "under_way"
    """The run is still under way in a fleet."""

    TOO_MANY_FAILURES = "too_many_failures"
    """More rows failed or stayed unconfirmed than `max_failures` allows."""

    DEADLINE = "deadline"
    """The deadline is near, so no more request may start."""

    FIRST_ROWS = "first_rows"
    """As many rows were sent as `first` asks for."""

    INVALID_ROWS = "invalid_rows"
    """The input has invalid rows, and nothing was sent."""

    TOO_MANY_CHANGES = "too_many_changes"
    """More tasks would change than `max_changes` allows. Nothing was sent."""

    INPUT_CHANGED = "input_changed"
    """The input has changed since the check, or can no longer be read."""

    NOT_WRITTEN = "not_written"
    """A result could not be written."""

    INTERNAL_ERROR = "internal_error"
    """A bug in bulkupdate."""


class Level(enum.IntEnum):
    """The urgency of a stop."""

    GO = 0
    """No stop."""

    DRAIN = 1
    """Start no more requests. Requests in flight may end."""

    ABORT = 2
    """Also give up the requests in flight."""

    NEVER = 3
    """Higher than any stop: nothing interrupts."""
