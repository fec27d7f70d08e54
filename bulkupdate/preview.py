"""What a file of edits would do, found out by reading all of it and sending nothing."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from bulkupdate.config import LEMLIST_RATE, RateLimit
from bulkupdate.errors import InputError, Problem
from bulkupdate.models import Row, TaskUpdate
from bulkupdate.reader import Input

#: Invalid rows shown to a person. All of them go to the run directory's failed file.
SHOWN_PROBLEMS = 20

#: Bodies shown as they would be sent.
SHOWN_BODIES = 3

#: Tasks with several rows that are shown, and rows shown of each.
SHOWN_REPEATS = 3

#: What a field is emptied with.
_EMPTY = ("", ())

#: Distinct tasks are counted a part of them at a time, so that few of them stand in a dictionary.
_PARTS = 64


#: Rows read between two looks at the rest of the program: a few milliseconds.
INSPECT_BATCH = 128


class InvalidRow(msgspec.Struct, frozen=True):
    """A row that would not be sent, and everything that is wrong with it."""

    row: int
    line: int
    id: str
    problems: tuple[Problem, ...]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent.

    Attributes:
        rows: in the input.
        invalid: rows that are wrong.
        problems: what is wrong with them, all told.
        unchanged: valid rows that hold no field to change: no request for them.
        requests: rows that would be sent.
        tasks: distinct ids among the valid rows.
        edits: rows that set a field to a value, by field.
        clears: rows that empty a field, by field.
        repeated: tasks that have more than one row.
        repeats: row numbers of the first such tasks.
        bodies: the first bodies as they would be sent.
        invalid_rows: the first invalid rows.
        seconds: how long the requests take at least, at the limit; None without one.
    """

    rows: int
    invalid: int
    problems: int
    unchanged: int
    requests: int
    tasks: int
    edits: dict[str, int]
    clears: dict[str, int]
    repeated: int
    repeats: list[list[int]]
    bodies: list[TaskUpdate]
    invalid_rows: list[InvalidRow]
    seconds: float | None


class Inspection:
    """Takes in every row once, and keeps twelve bytes of each."""

    def __init__(self) -> None:
        self._rows = 0
        self._parts = [(array("q"), array("I")) for _ in range(_PARTS)]
        self._invalid = 0
        self._problems = 0
        self._shapes: dict[tuple[str, ...], int] = {}
        self._clears: Counter[str] = Counter()
        self._bodies: list[TaskUpdate] = []
        self._invalid_rows: list[InvalidRow] = []

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self._rows

    def add(self, row: Row) -> None:
        """Take in a row."""
        number, update = row.number, row.update
        self._rows = number
        if update is None:
            self._invalid += 1
            self._problems += len(row.problems)
            if len(self._invalid_rows) < SHOWN_PROBLEMS:
                self._invalid_rows.append(InvalidRow(number, row.line, row.id, row.problems))
            return
        # Eight bytes stand for an id: two ids that share them are counted as one task, which
        # happens once in some thirty million files of a million rows.
        task = hash(update.id)
        hashes, numbers = self._parts[task % _PARTS]
        hashes.append(task)
        numbers.append(number)
        changes = update.changes()
        names = tuple(changes)
        shapes = self._shapes
        shapes[names] = shapes.get(names, 0) + 1
        if "" in changes.values() or "images" in changes or "videos" in changes:
            self._clears.update(name for name, value in changes.items() if value in _EMPTY)
        if len(self._bodies) < SHOWN_BODIES and changes:
            self._bodies.append(update)

    def preview(self, rate: RateLimit | Literal["auto"] | None) -> Preview:
        """What the rows so far add up to, at a limit of `rate`; "auto" is lemlist's own."""
        if rate == "auto":
            rate = LEMLIST_RATE
        tasks, repeated, repeats = self._count_tasks()
        unchanged = self._shapes.get((), 0)
        requests = self.rows - self._invalid - unchanged
        return Preview(
            rows=self.rows,
            invalid=self._invalid,
            problems=self._problems,
            unchanged=unchanged,
            requests=requests,
            tasks=tasks,
            edits=self._count_edits(),
            clears=dict(self._clears),
            repeated=repeated,
            repeats=repeats,
            bodies=self._bodies,
            invalid_rows=self._invalid_rows,
            seconds=requests * rate.period / rate.requests if rate else None,
        )

    def _count_edits(self) -> dict[str, int]:
        """Rows that set a field to a value, by field."""
        edits: Counter[str] = Counter()
        for names, rows in self._shapes.items():
            edits.update(dict.fromkeys(names, rows))
        edits.subtract(self._clears)
        return dict(+edits)

    def _count_tasks(self) -> tuple[int, int, list[list[int]]]:
        """Distinct tasks, those with several rows, and the rows of the first few of these."""
        tasks = repeated = 0
        repeats: list[list[int]] = []
        for hashes, numbers in self._parts:
            rows: dict[int, list[int]] = {}
            for task, number in zip(hashes, numbers, strict=True):
                rows.setdefault(task, []).append(number)
            several = [found for found in rows.values() if len(found) > 1]
            tasks += len(rows)
            repeated += len(several)
            repeats = sorted(repeats + several)[:SHOWN_REPEATS]
        return tasks, repeated, [found[:SHOWN_REPEATS] for found in repeats]


def inspect(source: Input, also: Callable[[Row], None] | None = None) -> Iterator[Inspection]:
    """Read all rows of an input, pausing after every few for the caller to look up.

    Args:
        source: the input.
        also: is called with each row too.

    Yields:
        The inspection so far; after the last one it is complete.

    Raises:
        InputError: the file can't be read to its end.
    """
    inspection = Inspection()
    for row in source.rows():
        inspection.add(row)
        if also is not None:
            also(row)
        if not row.number % INSPECT_BATCH:
            yield inspection
    if not inspection.rows:
        raise InputError(f"{source.name}: there is a header, but no row")
    yield inspection
