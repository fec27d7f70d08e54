"""The preview of a run: read a whole file of edits, and send nothing."""

import contextlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec

from bulkupdate.codec import replaced, to_json, writable
from bulkupdate.errors import InputError, InvalidUpdateError, setting
from bulkupdate.lemlist.rate import LEMLIST_RATE, Rate
from bulkupdate.models import WIRE_NAMES, Row, TaskUpdate
from bulkupdate.plan.duedates import DueDateCount, DueDates
from bulkupdate.plan.oddids import OddId, OddIds, OddOwners
from bulkupdate.plan.problems import ProblemGroup, Problems
from bulkupdate.plan.rowset import MAX_MERGED, RowSet
from bulkupdate.reader import Format, Input, InputInfo

#: Number of request bodies to show.
SHOWN_BODIES = 3

#: Number of tasks with several rows to show, and number of rows to show of each.
SHOWN_REPEATS = 3

#: Number of parts in which distinct tasks are counted: a dictionary then holds few of them.
_PARTS = 64


#: Number of rows to read before the rest of the program gets a turn: a few milliseconds.
INSPECT_BATCH = 128

#: Number of such batches between two rows whose position is kept.
PLACE_BATCHES = 512


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The edits that a run would send, in numbers and examples.

    Attributes:
        rows: number of rows in the input.
        invalid: number of rows that have a problem.
        problems: number of problems in all.
        unchanged: number of valid rows that hold no field to change. They need no request.
        requests: number of requests that a run would send.
        merged: whether the rows of one task become one request.
        tasks: number of distinct ids among the valid rows.
        edits: number of rows that set a field to a value, by field.
        clears: number of rows that empty a field, by field.
        completes: number of rows that complete their task.
        completes_or_clears: number of rows that complete their task, empty a field, or both.
        repeated: number of tasks that have more than one row.
        repeats: row numbers of the first such tasks.
        bodies: the first request bodies.
        due: the due dates in a few numbers; None without any.
        expecting: number of valid rows that expect something of their tasks.
        accounts: number of rows by account, in the order of their first rows; empty where there is
            only one. Rows that name none are left out.
        longest: number of requests of the account that has most: the others end before it.
        odd: number of ids that are unlike most others.
        odd_ids: the first of these.
        odd_owner_rows: number of rows with an owner whose id is unlike those of users. Names that
            the team is asked for do not count.
        odd_owners: the first of these owners.
        problem_groups: the problems, each kind once, with examples.
        seconds: shortest time for the requests at the rate limit, in seconds; None without a limit.
        encoding: Python's name of the encoding; None for a spreadsheet.
        encoding_words: words that show whether a guessed encoding is right, those first that
            another encoding would read otherwise; empty where nothing was guessed.
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
    completes: int = 0
    completes_or_clears: int = 0
    due: DueDates | None = None
    expecting: int = 0
    accounts: dict[str, int] = {}
    longest: int | None = None
    odd: int = 0
    odd_ids: list[OddId] = []
    odd_owner_rows: int = 0
    odd_owners: list[OddId] = []
    encoding: str | None = None
    encoding_words: tuple[str, ...] = ()

    def at(self, rate: Rate) -> "Preview":
        """The same preview at another rate limit; "auto" is lemlist's own."""
        most = self.requests if self.longest is None else self.longest
        return replaced(self, seconds=_seconds(most, rate))

    def of(self, source: Input) -> "Preview":
        """The same preview with what was found out about the text of its input."""
        encoding = source.file.encoding
        if encoding is None:
            return self
        words = tuple(map(writable, encoding.examples))
        return replaced(self, encoding=encoding.name, encoding_words=words)


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A preview and the facts about its input: the content of `check.json`.

    Attributes:
        version: the version of bulkupdate that made it.
        input: the facts about the input.
        preview: the preview.
        places: known positions of rows, as in `Input`.
        digests: the SHA-256 of the file of the rows' digests.
        seal: a hash of all this, to detect damage.
    """

    version: str
    input: InputInfo
    preview: Preview
    places: list[tuple[int, int]] = []
    digests: str = ""
    seal: str = ""

    def sealed(self) -> "Checked":
        """The same with its seal."""
        data = to_json(replaced(self, seal=""))
        return replaced(self, seal=blake2b(data, digest_size=16).hexdigest())


class Inspection:
    """Collector of rows for a preview. It keeps twelve bytes for each row.

    Args:
        merge: whether the rows of one task become one request.
        dates: counts the due dates, if they are wanted.
        has_accounts: whether rows name accounts.
        owners: finds owners that are none, unless the team is asked for them.
    """

    def __init__(
        self,
        *,
        merge: bool = False,
        dates: DueDateCount | None = None,
        has_accounts: bool = False,
        owners: OddOwners | None = None,
    ) -> None:
        self._merge = merge
        self._has_accounts = has_accounts
        self._dates = dates
        self._odd_ids = OddIds()
        self._odd_owners = owners
        self._rows = 0
        self._parts = [(array("q"), array("I")) for _ in range(_PARTS)]
        self._invalid = 0
        self._expecting = 0
        self._accounts: Counter[str] = Counter()
        #: Number of rows that are sent, by account.
        self._sent: Counter[str] = Counter()
        self._problems = Problems()
        self._shapes: Counter[tuple[str, ...]] = Counter()
        #: The same for rows that complete their task.
        self._completing: Counter[tuple[str, ...]] = Counter()
        #: The first request bodies, by task where the rows of one task become one request.
        self._bodies: dict[str, TaskUpdate] = {}

    @property
    def rows(self) -> int:
        """Number of rows so far."""
        return self._rows

    @property
    def problem_groups(self) -> list[ProblemGroup]:
        """The problems so far, each kind once, with examples."""
        return self._problems.groups

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows that follow those before. Many at once cost less than one at a time."""
        parts = self._parts
        valid, due_dates, owners, shapes, completing = [], [], [], [], []
        is_shown = self._merge or len(self._bodies) < SHOWN_BODIES
        for row in rows:
            update = row.update
            if update is None:
                self._invalid += 1
                self._problems.add(row)
                continue
            valid.append(row)
            if row.expect is not None:
                self._expecting += 1
            due_dates.append(update.due_date)
            owners.append(update.assigned_to)
            # Eight bytes stand for an id. Two ids with the same bytes count as one task: this
            # happens once in some thirty million files of a million rows.
            task = hash(row.task if row.account else update.id)
            hashes, numbers = parts[task % _PARTS]
            hashes.append(task)
            shape = row.shape or update.shape()
            is_sent = len(shape) > 1
            # The lowest bit says whether the row is sent.
            numbers.append(2 * row.number + is_sent)
            shapes.append(shape)
            if update.done:
                completing.append(shape)
            if is_shown and is_sent:
                self._show(row, update)
        if rows:
            self._rows = rows[-1].number
            if self._has_accounts:
                self._accounts.update(row.account for row in rows)
                self._sent.update(row.account for row in valid if row.is_sent)
        # Counted in C, as the due dates are.
        self._shapes.update(shapes)
        self._completing.update(completing)
        self._odd_ids.add(valid)
        if self._odd_owners is not None:
            self._odd_owners.add(valid, owners)
        if self._dates is not None:
            self._dates.add(due_dates)

    def _show(self, row: Row, update: TaskUpdate) -> None:
        """Keep a request body for the preview, if there is room."""
        if self._merge and (body := self._bodies.get(row.task)) is not None:
            with contextlib.suppress(InvalidUpdateError):
                self._bodies[row.task] = body.merged_with(update)
                return
        if len(self._bodies) < SHOWN_BODIES:
            name = row.task if self._merge and row.task not in self._bodies else str(row.number)
            self._bodies[name] = update

    def followed(self) -> RowSet:
        """The rows that have a later row of the same task."""
        followed = RowSet(self._rows)
        for hashes, numbers in self._parts:
            last: dict[int, int] = {}
            for task, number in zip(hashes, numbers, strict=True):
                if number & 1:
                    if task in last:
                        followed.add(last[task])
                    last[task] = number >> 1
        return followed

    def preview(self, rate: Rate) -> Preview:
        """The preview of the rows so far at a rate limit; "auto" is lemlist's own."""
        tasks, repeated, repeats = self._count_tasks()
        odd, odd_ids = self._odd_ids.found
        unchanged = sum(rows for shape, rows in self._shapes.items() if len(shape) == 1)
        requests = self.rows - self._invalid - unchanged
        if self._merge:
            requests = self._count_merged()
        longest = max(self._sent.values(), default=None)
        if longest is not None and self._merge:
            # How many requests of each account are left after merging is not counted.
            longest = min(longest, requests)
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
            completes=self._completing.total(),
            completes_or_clears=self._count_completing_or_clearing(),
            repeated=repeated,
            repeats=repeats,
            bodies=[{"id": body.id, **body.changes()} for body in self._bodies.values()],
            problem_groups=self.problem_groups,
            seconds=_seconds(requests if longest is None else longest, rate),
            due=self._dates.found if self._dates is not None else None,
            expecting=self._expecting,
            accounts={account: rows for account, rows in self._accounts.items() if account},
            longest=longest,
            odd=odd,
            odd_ids=odd_ids,
            odd_owner_rows=self._odd_owners.count if self._odd_owners is not None else 0,
            odd_owners=self._odd_owners.first if self._odd_owners is not None else [],
        )

    def _count(self, sign: str) -> dict[str, int]:
        """Number of rows that set a field, by field; with the sign `-`, that empty it."""
        counts = {
            wire_name: sum(rows for shape, rows in self._shapes.items() if f"{sign}{name}" in shape)
            for name, wire_name in WIRE_NAMES.items()
            if name != "id"
        }
        return {name: rows for name, rows in counts.items() if rows}

    def _count_completing_or_clearing(self) -> int:
        """Number of rows that complete their task, empty a field, or both."""
        return sum(
            rows if any(name.startswith("-") for name in shape) else self._completing[shape]
            for shape, rows in self._shapes.items()
        )

    def _count_merged(self) -> int:
        """Number of requests when the rows of one task are merged."""
        requests = 0
        for hashes, numbers in self._parts:
            sent = Counter(task for task, n in zip(hashes, numbers, strict=True) if n & 1)
            requests += sum(-(-rows // MAX_MERGED) for rows in sent.values())
        return requests

    def _count_tasks(self) -> tuple[int, int, list[list[int]]]:
        """Number of tasks, number with several rows, and the rows of the first few of these."""
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


def _seconds(requests: int, rate: Rate) -> float | None:
    if rate == "auto":
        rate = LEMLIST_RATE
    return requests * rate.period / rate.requests if rate else None


def inspect(
    source: Input,
    also: Callable[[Row], None] | None = None,
    *,
    invalid: Callable[[Row], None] | None = None,
    merge: bool = False,
    allow_empty: bool = False,
) -> Iterator[Inspection]:
    """Read all rows of an input in batches, so that the caller can do other work in between.

    The input remembers the positions of some of its rows.

    Args:
        source: the input.
        also: a function to call with each row.
        invalid: a function to call with each invalid row.
        merge: whether the rows of one task become one request.
        allow_empty: whether to accept an input without a row.

    Yields:
        The inspection so far. The last one is complete.

    Raises:
        InputError: the file can't be read to its end.
    """
    zone = source.options.zone or UTC
    inspection = Inspection(
        merge=merge,
        dates=DueDateCount(source.now, zone),
        has_accounts=source.options.accounts is not None,
        owners=None if source.options.people else OddOwners(),
    )
    rows = source.rows()
    while batch := list(islice(rows, INSPECT_BATCH)):
        if inspection.rows and not inspection.rows % (PLACE_BATCHES * INSPECT_BATCH):
            source.remember_place(inspection.rows, batch[0].line)
        inspection.add(batch)
        for row in batch if also is not None or invalid is not None else ():
            if also is not None:
                also(row)
            if invalid is not None and row.update is None:
                invalid(row)
        yield inspection
    if not inspection.rows:
        if not allow_empty:
            what = "no row" if source.format is Format.JSONL else "a header but no row"
            raise InputError(f"{source.name}: there is {what}: {setting('allow_empty')} accepts it")
        yield inspection
