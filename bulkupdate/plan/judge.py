"""The judgement of a row: what it would change in its live task, or why it is not sent.

::

    row, live task ──▶ expectations hold? ──▶ what differs? ──▶ send those fields
                       no: conflict           nothing: already

A field that no task of the reading shows is unknown, and so is one that a request without a certain
end has touched. A task that was not seen is never called right.
"""

import enum
import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from bulkupdate.fields import shorten_both
from bulkupdate.lemlist.values import TASK_NAMES, is_pending, live_values
from bulkupdate.models import (
    PYTHON_NAMES,
    WIRE_NAMES,
    CheckedUpdate,
    ErrorInfo,
    Row,
    Task,
    TaskUpdate,
)
from bulkupdate.plan.live import LiveTask, LiveTasks
from bulkupdate.plan.written import Ours, Written

#: Most characters of a text in the message of a conflict. The whole texts are beside it.
_LONGEST_TEXT = 80

#: Seconds after a confirmed write in which a reading that shows the value before it is late.
LATE = 120.0


class Kind(enum.Enum):
    """The kind of a verdict."""

    SEND = "send"
    """A request is to be sent."""

    ALREADY = "already"
    """The task is as the row wants it."""

    CONFLICT = "conflict"
    """The row must not be sent."""

    UNCONFIRMED = "unconfirmed"
    """The run may have done what the row wants. It can't be told, and is not tried again."""


class Verdict(NamedTuple):
    """The judgement of one row.

    Attributes:
        kind: its kind.
        update: the fields to send.
        before: the values that they overwrite, by field: "" for empty, and left out where no task
            shows the field. None where the task is not listed.
        error: why the row is not sent, unless the task is as it wants.
    """

    kind: Kind
    update: TaskUpdate | None = None
    before: dict[str, Any] | None = None
    error: ErrorInfo | None = None

    def only(self, changes: Mapping[str, Any]) -> "Verdict":
        """The same verdict with a part of its changes, of which there is one at least."""
        if self.update is None:
            raise AssertionError("only a row that is sent has changes")
        before = self.before
        if before is not None:
            before = {name: value for name, value in before.items() if name in changes}
        return self._replace(update=_update(self.update.id, changes), before=before)


class Judge:
    """The judge of rows, by the last reading and by what this run has written since.

    Args:
        live: the tasks.
        sends_unlisted: whether a row whose task is not listed is sent, unless it expects something.
    """

    def __init__(self, live: LiveTasks, *, sends_unlisted: bool = False) -> None:
        self._live = live
        self._sends_unlisted = sends_unlisted

    def judge(self, row: Row, update: TaskUpdate, known: LiveTask) -> Verdict:
        """Judge a row.

        Args:
            row: the row.
            update: its update, which sets at least one field.
            known: what is known of its task.
        """
        task, ours = known.task, known.written
        wanted = update.changes()
        error = _not_pending(task.fields) if task is not None else None
        done = ours.get("done")
        if done is not None and done.chain[-1] is True:
            is_gone = task is None or error is not None
            if done.at and (is_gone or self._is_late(done)):
                return self._completed(row, wanted, task, ours)
            if is_gone and any(_is_ours(ours, name, value) for name, value in wanted.items()):
                message = "this run may have completed the task: it is not listed any more"
                return Verdict(Kind.UNCONFIRMED, error=ErrorInfo("not_listed", message))
        if task is None:
            return self._unlisted(row, update)
        if error:
            return Verdict(Kind.CONFLICT, error=error)
        found = self._values(task, ours, wanted.keys() | (row.expect or {}).keys())
        if row.expect and (error := _unexpected(row.expect, wanted, found, ours)):
            return Verdict(Kind.CONFLICT, error=error)
        # Images and videos can't be compared: the server keeps copies at other addresses.
        changes = {
            name: value
            for name, value in wanted.items()
            if name not in found or found[name] != value
        }
        if not changes:
            return Verdict(Kind.ALREADY)
        before = {name: found[name] for name in changes if name in found}
        return Verdict(Kind.SEND, _update(update.id, changes), before)

    def found(self, known: LiveTask) -> dict[str, Any]:
        """The known values of a task, by field; nothing where it is not listed.

        Args:
            known: what is known of the task.
        """
        return self._values(known.task, known.written) if known.task is not None else {}

    def _unlisted(self, row: Row, update: TaskUpdate) -> Verdict:
        if self._sends_unlisted and not row.expect:
            return Verdict(Kind.SEND, update)
        message = "the server does not list the task: done, ignored, deleted or of another team"
        return Verdict(Kind.CONFLICT, error=ErrorInfo("not_listed", message))

    def _completed(
        self, row: Row, wanted: Mapping[str, Any], task: Task | None, ours: Written
    ) -> Verdict:
        """The judgement of a row whose task this run has completed, by the last answer."""
        left = self._values(task, ours) if task is not None else {}
        left |= {name: one.chain[-1] for name, one in ours.items() if one.at}
        if row.expect and (error := _unexpected(row.expect, wanted, left, ours)):
            return Verdict(Kind.CONFLICT, error=error)
        if all(name in left and left[name] == value for name, value in wanted.items()):
            return Verdict(Kind.ALREADY)
        message = "this run has completed the task, so that it can't be changed any more"
        return Verdict(Kind.CONFLICT, error=ErrorInfo("not_pending", message))

    def _is_late(self, one: Ours) -> bool:
        """Whether the reading may show a field as it was before our last write."""
        return one.at > self._live.read_at - LATE

    def _values(
        self, task: Task, ours: Written, names: Collection[str] = (*TASK_NAMES, "done")
    ) -> dict[str, Any]:
        """The known values of a task, by field."""
        shown = self._live.shown
        known = [name for name in names if TASK_NAMES.get(name) in shown]
        values = live_values(task.fields, known)
        if "done" in names and "status" in shown:
            # A task that is listed and pending is not done.
            values["done"] = False
        for name, one in ours.items():
            if one.doubt == self._live.reading:
                values.pop(name, None)
            elif name in values and self._is_late(one) and values[name] in one.chain[:-1]:
                values[name] = one.chain[-1]
        return values


def judged_fields(rows: Iterable[Row]) -> set[str]:
    """The fields of their tasks that rows are judged by, under lemlist's names."""
    shapes = {row.shape or row.update.shape() for row in rows if row.update is not None}
    names = {WIRE_NAMES[name.removeprefix("-")] for name in itertools.chain(*shapes)}
    names.update(*(row.expect for row in rows if row.expect))
    return {TASK_NAMES[name] for name in names if name in TASK_NAMES}


def _is_ours(ours: Written, name: str, value: Any) -> bool:
    """Whether this run has written a value, or may have."""
    return name in ours and value in ours[name].chain[1:]


def _not_pending(task: Mapping[str, Any]) -> ErrorInfo | None:
    if is_pending(task):
        return None
    status = task.get("status")
    what = status if isinstance(status, str) and status != "pending" else "completed"
    return ErrorInfo("not_pending", f"the task is {what}, not pending")


def _unexpected(
    expect: Mapping[str, Any],
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    ours: Written,
) -> ErrorInfo | None:
    """The first expectation that does not hold."""
    for name, expected in expect.items():
        if name not in found:
            message = f"its {name} is not known, so nothing can be expected of it"
            return ErrorInfo("unknown", message, name, expected)
        value = found[name]
        is_as_wanted = name in wanted and wanted[name] == value
        is_ours = name in ours and ours[name].holds(expected, value)
        if not (value == expected or is_as_wanted or is_ours):
            is_so, is_to_be = _both_shown(value, expected)
            message = f"{name} is {is_so}, and {is_to_be} is expected"
            return ErrorInfo("changed_since", message, name, expected, value)
    return None


def _both_shown(value: Any, expected: Any) -> tuple[str, str]:
    if value and expected and isinstance(value, str) and isinstance(expected, str):
        return shorten_both(value, expected, _LONGEST_TEXT)
    return _shown(value), _shown(expected)


def _shown(value: Any) -> str:
    return "nothing" if value == "" else repr(value) if isinstance(value, str) else str(value)


def _update(task_id: str, changes: Mapping[str, Any]) -> TaskUpdate:
    named = {PYTHON_NAMES[name]: value for name, value in changes.items()}
    return CheckedUpdate(id=task_id, **named)
