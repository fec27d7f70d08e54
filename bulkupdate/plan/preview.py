"""What a file of edits would do, found out by reading all of it and sending nothing."""

import contextlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Literal

import msgspec

from bulkupdate.codec import replaced
from bulkupdate.errors import InputError, InvalidUpdateError
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit
from bulkupdate.models import WIRE_NAMES, Row, TaskUpdate
from bulkupdate.plan.problems import ProblemGroup, Problems
from bulkupdate.plan.rowset import MAX_MERGED, RowSet
from bulkupdate.reader import Input, InputInfo

#: Bodies shown as they would be sent.
SHOWN_BODIES = 3

#: Tasks with several rows that are shown, and rows shown of each.
SHOWN_REPEATS = 3

#: Distinct tasks are counted a part of them at a time, so that few of them stand in a dictionary.
_PARTS = 64


#: Rows read between two looks at the rest of the program: a few milliseconds.
INSPECT_BATCH = 128

#: Such batches between two rows of which it is kept where they begin.
PLACE_BATCHES = 512


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent.

    Attributes:
        rows: in the input.
        invalid: rows that are wrong.
        problems: what is wrong with them, all told.
        unchanged: valid rows that hold no field to change: no request for them.
        requests: that would be sent.
        merged: whether the rows of one task are sent as one.
        tasks: distinct ids among the valid rows.
        edits: rows that set a field to a value, by field.
        clears: rows that empty a field, by field.
        repeated: tasks that have more than one row.
        repeats: row numbers of the first such tasks.
        bodies: the first bodies as they would be sent.
        problem_groups: what is wrong with them, each kind once, with examples.
        seconds: how long the requests take at least, at the limit; None without one.
    """

    rows: int
    invalid: int
    problems: int
    unchanged: int
    requests: int
    merged: bool
    tasks: int
    edits: dict[str, int]
    clears: dict[str, int]
    repeated: int
    repeats: list[list[int]]
    bodies: list[dict[str, Any]]
    problem_groups: list[ProblemGroup]
    seconds: float | None

    def at(self, rate: RateLimit | Literal["auto"] | None) -> "Preview":
        """The same at another limit; "auto" is lemlist's own."""
        return replaced(self, seconds=_seconds(self.requests, rate))


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A preview, and of what it is one: the content of `check.json`.

    Attributes:
        version: of the program that made it.
        input: what was read, and how.
        preview: what it would do.
        places: where some of its rows begin, as in `Input`.
    """

    version: str
    input: InputInfo
    preview: Preview
    places: list[tuple[int, int]] = []


class Inspection:
    """Takes in every row once, and keeps twelve bytes of each.

    Args:
        merge: whether the rows of one task are sent as one.
    """

    def __init__(self, *, merge: bool = False) -> None:
        self._merge = merge
        self._rows = 0
        self._parts = [(array("q"), array("I")) for _ in range(_PARTS)]
        self._invalid = 0
        self._problems = Problems()
        self._shapes: dict[tuple[str, ...], int] = {}
        self._bodies: list[TaskUpdate] = []

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
            self._problems.add(row)
            return
        # Eight bytes stand for an id: two ids that share them are counted as one task, which
        # happens once in some thirty million files of a million rows.
        task = hash(update.id)
        hashes, numbers = self._parts[task % _PARTS]
        hashes.append(task)
        shape = row.shape or update.shape()
        is_sent = len(shape) > 1
        # The lowest bit says whether it is sent.
        numbers.append(2 * number + is_sent)
        shapes = self._shapes
        shapes[shape] = shapes.get(shape, 0) + 1
        if is_sent and (len(self._bodies) < SHOWN_BODIES or self._merge):
            self._show(update)

    def _show(self, update: TaskUpdate) -> None:
        """Show a body as it would be sent, if there is room."""
        for place, body in enumerate(self._bodies):
            if self._merge and body.id == update.id:
                with contextlib.suppress(InvalidUpdateError):
                    self._bodies[place] = body.merged_with(update)
                    return
        if len(self._bodies) < SHOWN_BODIES:
            self._bodies.append(update)

    def followed(self) -> RowSet:
        """The rows that another one of the same task is sent after."""
        followed = RowSet(self._rows)
        for hashes, numbers in self._parts:
            last: dict[int, int] = {}
            for task, number in zip(hashes, numbers, strict=True):
                if number & 1:
                    if task in last:
                        followed.add(last[task])
                    last[task] = number >> 1
        return followed

    def preview(self, rate: RateLimit | Literal["auto"] | None) -> Preview:
        """What the rows so far add up to, at a limit of `rate`; "auto" is lemlist's own."""
        tasks, repeated, repeats = self._count_tasks()
        unchanged = sum(rows for shape, rows in self._shapes.items() if len(shape) == 1)
        requests = self.rows - self._invalid - unchanged
        if self._merge:
            requests = self._count_merged()
        return Preview(
            rows=self.rows,
            invalid=self._invalid,
            problems=self._problems.count,
            unchanged=unchanged,
            requests=requests,
            merged=self._merge,
            tasks=tasks,
            edits=self._count(""),
            clears=self._count("-"),
            repeated=repeated,
            repeats=repeats,
            bodies=[{"id": body.id, **body.changes()} for body in self._bodies],
            problem_groups=self._problems.groups,
            seconds=_seconds(requests, rate),
        )

    def _count(self, sign: str) -> dict[str, int]:
        """Rows that set a field, or with the sign `-` empty it, by field."""
        counts = {
            wire_name: sum(rows for shape, rows in self._shapes.items() if f"{sign}{name}" in shape)
            for name, wire_name in WIRE_NAMES.items()
            if name != "id"
        }
        return {name: rows for name, rows in counts.items() if rows}

    def _count_merged(self) -> int:
        """Requests that do the work of all rows."""
        requests = 0
        for hashes, numbers in self._parts:
            sent = Counter(task for task, n in zip(hashes, numbers, strict=True) if n & 1)
            requests += sum(-(-rows // MAX_MERGED) for rows in sent.values())
        return requests

    def _count_tasks(self) -> tuple[int, int, list[list[int]]]:
        """Distinct tasks, those with several rows, and the rows of the first few of these."""
        tasks = repeated = 0
        repeats: list[list[int]] = []
        for hashes, numbers in self._parts:
            if len(set(hashes)) == len(hashes):
                tasks += len(hashes)
                continue
            rows: dict[int, list[int]] = {}
            for task, number in zip(hashes, numbers, strict=True):
                rows.setdefault(task, []).append(number >> 1)
            several = [found for found in rows.values() if len(found) > 1]
            tasks += len(rows)
            repeated += len(several)
            repeats = sorted(repeats + several)[:SHOWN_REPEATS]
        return tasks, repeated, [found[:SHOWN_REPEATS] for found in repeats]


def _seconds(requests: int, rate: RateLimit | Literal["auto"] | None) -> float | None:
    if rate == "auto":
        rate = LEMLIST_RATE
    return requests * rate.period / rate.requests if rate else None


def inspect(
    source: Input,
    also: Callable[[Row], None] | None = None,
    *,
    invalid: Callable[[Row], None] | None = None,
    merge: bool = False,
) -> Iterator[Inspection]:
    """Read all rows of an input, pausing after every few for the caller to look up.

    The input learns on the way where some of its rows begin.

    Args:
        source: the input.
        also: is called with each row too.
        invalid: is called with each invalid row.
        merge: whether the rows of one task are sent as one.

    Yields:
        The inspection so far; after the last one it is complete.

    Raises:
        InputError: the file can't be read to its end.
    """
    inspection = Inspection(merge=merge)
    rows = source.rows()
    while batch := list(islice(rows, INSPECT_BATCH)):
        if inspection.rows and not inspection.rows % (PLACE_BATCHES * INSPECT_BATCH):
            source.remember_place(inspection.rows, batch[0].line)
        for row in batch:
            inspection.add(row)
        for row in batch if also is not None or invalid is not None else ():
            if also is not None:
                also(row)
            if invalid is not None and row.update is None:
                invalid(row)
        yield inspection
    if not inspection.rows:
        raise InputError(f"{source.name}: there is a header, but no row")
