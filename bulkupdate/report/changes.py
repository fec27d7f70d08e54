"""What a run has changed, for its report: in numbers, and task by task.

::

    images, logs ──▶ steps ──▶ SQLite, sorted by task ──▶ TaskChange ──▶ lines of changes.csv
                                                                   └───▶ Changes, for the page
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from bulkupdate.codec import parse_record, to_json
from bulkupdate.errors import ConfigError, JournalError
from bulkupdate.journal import (
    OTHER_OWNERS,
    Image,
    RunFiles,
    Settlement,
    Summary,
    TaskChange,
    read_steps,
)
from bulkupdate.lemlist.values import left_values
from bulkupdate.models import WIRE_NAMES, Outcome
from bulkupdate.reader import not_a_formula, zone
from bulkupdate.ui.values import value_text

#: Largest number of changes in the page. `changes.csv` holds all of them.
MAX_CHANGES = 500

#: Largest number of pairs of owners that are counted one by one.
MAX_MOVES = 10_000

#: What stands in the place of a value that nobody has seen.
NOT_KNOWN = "not known"

#: What stands in the place of an empty value in the page.
NOTHING = "nothing"

#: The header of `changes.csv`.
HEADER = ("row", "id", "title", "field", "before", "after", "at", "timezone")

#: What follows it in a run with accounts.
ACCOUNT = "account"

_SCHEMA = """
    CREATE TABLE step (
        number INTEGER PRIMARY KEY, account TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL
    )
"""
_ADD = "INSERT INTO step (account, id, data) VALUES (?, ?, ?)"
#: The steps of each task together, the tasks in the order of their first steps.
_SORTED = """
    SELECT account, id, data
    FROM (
        SELECT *, min(number) OVER (PARTITION BY account, id) AS first FROM step
    )
    ORDER BY first, number
"""


class Left(NamedTuple):
    """A value that a run has left in a task.

    Attributes:
        value: the value, as it is sent.
        row: the number of the row that set it.
        at: when its row was settled, UTC.
    """

    value: Any
    row: int
    at: str


class ChangedTask(NamedTuple):
    """A task with its changes.

    Attributes:
        id: its id.
        title: its title; "" if no answer showed one.
        change: what the run has changed. The values of `after` are of type `Left`.
        account: the account that it is of; "" in a run with one key.
    """

    id: str
    title: str
    change: TaskChange
    account: str = ""


class _Step(msgspec.Struct, frozen=True, array_like=True):
    """An image, or the outcome of a row, without what the report does not need."""

    row: int
    at: str
    values: dict[str, Any]
    before: dict[str, Any] | None = None
    outcome: Outcome = Outcome.UPDATED
    title: str = ""


def changed_tasks(files: RunFiles) -> Iterator[ChangedTask]:
    """The tasks that a run has changed or may have, in the order in which it came to them.

    They are sorted on disk: memory does not grow with them.

    Raises:
        JournalError: a file of the run can't be read, or the disk is full.
    """
    try:
        # A database without a name is a temporary file.
        with contextlib.closing(sqlite3.connect("", isolation_level=None)) as database:
            database.execute(_SCHEMA)
            database.execute("BEGIN")
            database.executemany(_ADD, map(_stored, read_steps(files, Settlement)))
            found = database.execute(_SORTED)
            for (account, task_id), steps in groupby(found, itemgetter(0, 1)):
                parsed = (parse_record(data, _Step) for *_, data in steps)
                yield _changed(account, task_id, parsed)
    except sqlite3.Error as error:
        raise JournalError(f"what was changed can't be sorted: {error}") from error


def _stored(step: Image | Settlement) -> tuple[str, str, bytes]:
    account = step.account or ""
    if isinstance(step, Image):
        return account, step.id, to_json(_Step(step.row, step.at, step.sent, step.values))
    sent, task = step.sent or {}, step.task or {}
    title = task.get("title")
    kept = _Step(
        step.row,
        step.at,
        left_values(sent, task),
        outcome=step.outcome,
        title=title if isinstance(title, str) else "",
    )
    return account, step.id, to_json(kept)


def _changed(account: str, task_id: str, steps: Iterable[_Step]) -> ChangedTask:
    change, title = TaskChange(), ""
    for step in steps:
        values = {name: Left(value, step.row, step.at) for name, value in step.values.items()}
        if step.before is not None:
            change.saw(step.row, step.before, values)
        else:
            change.settled(step.row, step.outcome, values)
        title = step.title or title
    return ChangedTask(task_id, title, change, account)


class NewOwner(NamedTuple):
    """An owner who got tasks.

    Attributes:
        name: the owner for people.
        tasks: number of tasks.
        givers: the earlier owners for people, with the number of tasks from each, the most
            frequent first.
    """

    name: str
    tasks: int
    givers: list[tuple[str, int]]


#: A change: row, id, title, field, before, after, when, and the account.
Line = tuple[int, str, str, str, str, str, str, str]


class Changes(NamedTuple):
    """What a run has changed, for the page.

    Attributes:
        tasks: number of tasks.
        fields: number of tasks by field, the most frequent first.
        owners: who got tasks, those with the most first.
        in_doubt: number of tasks with a request that was not confirmed.
        lines: the first changes: row, id, title, field, before, after, when, and the account.
        total: number of changes.
        timezone: the name of the time zone of all times.
        file: the name of the file that holds all of them; "" without one.
    """

    tasks: int
    fields: dict[str, int]
    owners: list[NewOwner]
    in_doubt: int
    lines: list[Line]
    total: int
    timezone: str
    file: str = ""


class ChangesTable:
    """The changes of a run as a table for spreadsheets. It adds them up as it goes.

    Args:
        summary: the summary of the run.
    """

    def __init__(self, summary: Summary) -> None:
        self._people = summary.people
        self._has_accounts = bool(summary.accounts)
        self._zone, self._zone_name = _zone_of(summary)
        self._tasks = self._in_doubt = self._count = 0
        self._fields = Counter[str]()
        #: The earlier owner, "" for one that is not known, and the new one → tasks.
        self._moves = Counter[tuple[str, str]]()
        self._lines: list[Line] = []

    def rows(self, tasks: Iterable[ChangedTask]) -> Iterator[list[str]]:
        """The table: its header, then a row for each change."""
        yield [*HEADER, *([ACCOUNT] if self._has_accounts else [])]
        for task in tasks:
            self._in_doubt += task.change.is_in_doubt
            if not task.change.after:
                continue
            self._tasks += 1
            self._fields.update(task.change.after.keys())
            self._add_move(task.change)
            for name in sorted(task.change.after, key=_FIELDS.index):
                yield self._row(task, name)

    def changes(self, file: str = "") -> Changes:
        """What was in the table so far.

        Args:
            file: the name of the file that holds the table; "" without one.
        """
        order = sorted(self._fields, key=lambda name: (-self._fields[name], _FIELDS.index(name)))
        return Changes(
            tasks=self._tasks,
            fields={name: self._fields[name] for name in order},
            owners=self._owners(),
            in_doubt=self._in_doubt,
            lines=self._lines,
            total=self._count,
            timezone=self._zone_name,
            file=file,
        )

    def _row(self, task: ChangedTask, name: str) -> list[str]:
        left: Left = task.change.after[name]
        values = (task.change.before.get(name, _UNKNOWN), left.value)
        when = _for_sheets(datetime.fromisoformat(left.at), self._zone)
        self._count += 1
        if self._count <= MAX_CHANGES:
            before, after = (self._shown(name, value, _for_people) or NOTHING for value in values)
            shown = (left.row, task.id, task.title, name, before, after, when, task.account)
            self._lines.append(shown)
        before, after = (self._shown(name, value, _for_sheets) for value in values)
        cells = (task.id, task.title, name, before, after, when)
        line = [str(left.row), *map(not_a_formula, cells), self._zone_name]
        return [*line, not_a_formula(task.account)] if self._has_accounts else line

    def _shown(self, name: str, value: Any, moment: Callable[..., str]) -> str:
        if value is _UNKNOWN:
            return NOT_KNOWN
        return value_text(name, value, self._name, partial(moment, zone=self._zone))

    def _name(self, user: str) -> str:
        return self._people.get(user, user)

    def _add_move(self, change: TaskChange) -> None:
        left = change.after.get("assignedTo")
        giver = change.before.get("assignedTo", "")
        if left is None or not left.value or left.value == giver:
            return
        move = (giver, left.value)
        if move not in self._moves and len(self._moves) >= MAX_MOVES:
            move = (OTHER_OWNERS, OTHER_OWNERS)
        self._moves[move] += 1

    def _owners(self) -> list[NewOwner]:
        found: dict[str, list[tuple[str, int]]] = {}
        for (giver, owner), tasks in self._moves.most_common():
            name = self._name(giver) if giver else NOT_KNOWN
            found.setdefault(owner, []).append((name, tasks))
        owners = (
            NewOwner(self._name(owner), sum(tasks for _, tasks in givers), givers)
            for owner, givers in found.items()
        )
        return sorted(owners, key=lambda owner: -owner.tasks)


#: The place of a value that is not known.
_UNKNOWN = object()

_FIELDS = tuple(name for name in WIRE_NAMES.values() if name != "id")


def _zone_of(summary: Summary) -> tuple[tzinfo, str]:
    """The time zone of a run's options and its name; UTC without one, or where it is unknown."""
    name = summary.input.options.get("timezone")
    with contextlib.suppress(ConfigError):
        if isinstance(name, str):
            return zone(name), name
    return UTC, "UTC"


def _for_people(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%a %d %b %Y %H:%M}"


def _for_sheets(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
