"""The records that flow through a run.

All but `Traffic` are frozen. The names on the wire are lemlist's own camelCase; in Python they
are snake_case.
"""

import enum
import functools
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import force_setattr

from bulkupdate import fields
from bulkupdate.codec import writable
from bulkupdate.errors import InvalidUpdateError, Problem


class TaskUpdate(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False
):
    """The body of one `PATCH /tasks`: a task, and the fields to change (`lemlist: update-task`).

    A field left at `UNSET` is left alone by the server. Values may be given as a person would
    write them (`priority="high"`, `due_date=datetime(…, tzinfo=UTC)`, `done="yes"`); the record
    holds what is sent.

    Attributes:
        id: the task.
        assigned_to: the user who gets it.
        due_date: an ISO 8601 date-time with an offset, or an aware `datetime`.
        title: any text; "" clears.
        message: any text; "" clears.
        priority: 0, 1, 2, low, medium, high; none or "" clears.
        done: whether the task is complete.
        images: https URLs, for LinkedIn tasks; they replace what is there; `()` clears.
        videos: likewise; at most 6 images and videos together.

    Raises:
        InvalidUpdateError: some values break the rules; it lists every one.
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
        """The fields to change, under their names on the wire; without the id."""
        changes: dict[str, Any] = msgspec.to_builtins(self)
        del changes["id"]
        return changes

    def shape(self) -> tuple[str, ...]:
        """What it sets, and what it empties: names in Python, the latter with `-` before them."""
        said = zip(WIRE_NAMES, msgspec.structs.astuple(self), strict=True)
        return tuple(
            f"-{name}" if value in ("", ()) else name for name, value in said if value is not UNSET
        )

    def merged_with(self, later: "TaskUpdate") -> "TaskUpdate":
        """One update that does what this one and then a later one of the same task do.

        Raises:
            InvalidUpdateError: together they break a rule that neither breaks alone.
        """
        values = {
            name: value
            for update in (self, later)
            for name in PYTHON_NAMES.values()
            if (value := getattr(update, name)) is not UNSET
        }
        return TaskUpdate(**values)

    def has_media(self) -> bool:
        """Whether the server will have to download something for it."""
        return bool(self.images) or bool(self.videos)

    def encode(self) -> bytes:
        """The JSON body."""
        return msgspec.json.encode(self)


class CheckedUpdate(
    TaskUpdate, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False
):
    """An update whose values are known to be those on the wire: they are not judged again."""

    def __post_init__(self) -> None:
        """Judge nothing."""


def problem_of(field: str, value: object, error: ValueError, column: str = "") -> Problem:
    """What a rule has found wrong with a value."""
    hint = error.hint if isinstance(error, fields.WrongValueError) else ""
    column = "" if column == field else writable(column)
    return Problem(field, fields.shorten(value), str(error), hint, column)


_FIELD_RULES = tuple(
    (info.name, info.encode_name, fields.RULES[info.encode_name])
    for info in msgspec.structs.fields(TaskUpdate)
)

#: Wire name → name in Python, of every field of an update.
PYTHON_NAMES = {wire_name: name for name, wire_name, _ in _FIELD_RULES}

#: Name in Python → wire name.
WIRE_NAMES = {name: wire_name for wire_name, name in PYTHON_NAMES.items()}


class Task(msgspec.Struct, frozen=True, gc=False):
    """A Task as the server returned it. All but its id is optional, unknown fields are kept.

    Attributes:
        fields: the whole JSON object, under lemlist's names (`_id`, `userId`, `content`, …).
    """

    fields: dict[str, Any]

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
        """When it is due, ISO 8601 (`dueDate`)."""
        return self.fields.get("dueDate")

    @property
    def title(self) -> str | None:
        """Its title."""
        return self.fields.get("title")

    @property
    def message(self) -> str | None:
        """Its text (`content`)."""
        return self.fields.get("content")

    @property
    def priority(self) -> int | None:
        """0 low, 1 medium, 2 high."""
        return self.fields.get("priority")

    @property
    def status(self) -> str | None:
        """`pending`, `completed` or `ignored`."""
        return self.fields.get("status")


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record of the input.

    Attributes:
        number: its place in the input, from 1, header and blank lines not counted.
        line: the line of the file it begins on, from 1.
        id: the task's id as it was given; "" where none could be read.
        update: what to send, or None where the row is invalid.
        problems: what is wrong with it; empty for a valid row.
        record: the record as it was read: the cells of a CSV row, or a line of JSONL.
        merged: earlier rows of the task that its update does the work of too.
        shape: that of its update, where whoever made the row knew it; else empty.
    """

    number: int
    line: int
    id: str
    update: TaskUpdate | None
    problems: tuple[Problem, ...]
    record: tuple[str, ...] | str
    merged: tuple["Row", ...] = ()
    shape: tuple[str, ...] = ()

    @property
    def is_sent(self) -> bool:
        """Whether there is a request for it: it is valid and changes something."""
        if self.update is None:
            return False
        return len(self.shape or self.update.shape()) > 1

    @property
    def error(self) -> str:
        """Every problem in one line."""
        return "; ".join(map(str, self.problems))


class Outcome(enum.StrEnum):
    """What became of a row. Each row ends in exactly one."""

    UPDATED = "updated"
    """200, and the Task that came back is the one that was asked for."""

    UNCHANGED = "unchanged"
    """The row holds no field to change; no request was sent."""

    INVALID = "invalid"
    """The row is wrong; no request was sent."""

    FAILED = "failed"
    """The server refused it, or it was never reached: the task is as it was."""

    UNCONFIRMED = "unconfirmed"
    """It may or may not have been applied, after every retry."""


#: Outcomes that leave nothing to do.
SUCCESSES = frozenset({Outcome.UPDATED, Outcome.UNCHANGED})


class ErrorInfo(msgspec.Struct, frozen=True, gc=False):
    """Why a row did not succeed: a type from the documented list, and the reason in words."""

    type: str
    message: str


class Mismatch(msgspec.Struct, frozen=True):
    """A field that came back with another value than was sent."""

    sent: Any
    returned: Any


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What became of one row: one line of the results log.

    Attributes:
        row: the row's number, from 1.
        id: the task's id.
        outcome: the state that the row ended in.
        status: the HTTP status of the last answer, where there was one.
        attempts: requests sent for the row.
        at: when it was settled, UTC, ISO 8601 with milliseconds.
        ms: how long the last request took, in milliseconds.
        sent: the fields that were sent, under their names on the wire.
        task: the Task that came back.
        mismatches: fields of `task` that differ from what was sent, by their name in `task`.
        error: why it did not succeed.
        cut_short: whether the run was stopped before the row had used up its attempts.
        merged: the earlier rows that went with this one, by number.
        sent_with: the row that this one went with, by number: its line has the rest.
    """

    row: int
    id: str
    outcome: Outcome
    status: int | None = None
    attempts: int
    at: str
    ms: float | None = None
    sent: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    mismatches: dict[str, Mismatch] | None = None
    error: ErrorInfo | None = None
    cut_short: bool = False
    merged: tuple[int, ...] = ()
    sent_with: int | None = None


class Mark(msgspec.Struct, frozen=True):
    """What resuming needs to know of a line of the results log, read several times as fast.

    Attributes:
        row: the row's number, from 1.
        outcome: as in `Result`.
        mismatches: as in `Result`.
        error: what kind it was.
        cut_short: as in `Result`.
    """

    class Kind(msgspec.Struct, frozen=True):
        """The type of an error."""

        type: str

    row: Annotated[int, msgspec.Meta(ge=1)]
    outcome: Outcome
    mismatches: dict[str, Any] | None = None
    error: Kind | None = None
    cut_short: bool = False


def unsent(row: Row, outcome: Outcome, error: ErrorInfo | None = None) -> Result:
    """The result of a row for which no request was sent."""
    return Result(row=row.number, id=row.id, outcome=outcome, attempts=0, at=now(), error=error)


class Traffic(msgspec.Struct):
    """Requests counted while they happen: the one record that changes.

    Attributes:
        requests: sent, retries included.
        retries: those that were not their row's first.
        rate_limited: answers that were a 429.
    """

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0


def now(*, after: float = 0.0) -> str:
    """This moment, or so many seconds after it, as every file of a run writes it.

    UTC, ISO 8601, milliseconds, `Z`.
    """
    return _millisecond(int((time.time() + after) * 1000))


# Where rows come fast, several have the same one.
@functools.lru_cache(maxsize=1)
def _millisecond(timestamp: int) -> str:
    return f"{_second(timestamp // 1000)}.{timestamp % 1000:03}Z"


@functools.lru_cache(maxsize=2)
def _second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class State(enum.StrEnum):
    """The state of a run."""

    RUNNING = "running"
    """Under way; or killed, where no process holds the run directory any more."""

    FINISHED = "finished"
    """Every row has its outcome."""

    STOPPED = "stopped"
    """The run gave up before the end: the reason says why."""

    INTERRUPTED = "interrupted"
    """A signal ended it."""


class Reason(enum.StrEnum):
    """Why a run, or a lane of it, stops before its end."""

    REQUESTED = "requested"
    """The program that called it stopped it."""

    SIGNAL = "signal"
    """The process got a signal."""

    CANCELLED = "cancelled"
    """The task that awaited it was cancelled."""

    KEY_REFUSED = "key_refused"
    """The server refuses the key, or can't prove who it is: every other row would fail too."""

    SERVER_DOWN = "server_down"
    """The server gave no usable answer for too long."""

    RATE_LIMITED = "rate_limited"
    """The server asks for a longer wait than a run waits, or limits one row again and again."""

    TOO_MANY_FAILURES = "too_many_failures"
    """More rows failed or stayed unconfirmed than the settings allow."""

    DEADLINE = "deadline"
    """No request may start any more, so that all is over by the deadline."""

    FIRST_ROWS = "first_rows"
    """As many rows were sent as the settings ask for."""

    INVALID_ROWS = "invalid_rows"
    """The input has invalid rows, and nothing was sent."""

    INPUT_CHANGED = "input_changed"
    """The input is no longer what was checked, or can't be read any more."""

    NOT_WRITTEN = "not_written"
    """A result could not be written down."""

    INTERNAL_ERROR = "internal_error"
    """A bug."""


class Level(enum.IntEnum):
    """How urgently to stop."""

    GO = 0
    """Not at all."""

    DRAIN = 1
    """Start nothing more; what is in flight may end."""

    ABORT = 2
    """Give up what is in flight too."""

    NEVER = 3
    """No stop reaches it."""
