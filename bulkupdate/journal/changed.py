"""What a run has changed, task by task: from its logs, and from the images of a compared run.

::

    before.jsonl ──┐
    results.jsonl ─┴─▶ steps in the order of time ─▶ TaskChange: before, after, or in doubt
"""

import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from bulkupdate.journal.images import Image, in_order, read_images
from bulkupdate.journal.results import read_lines
from bulkupdate.journal.runfiles import RunFiles
from bulkupdate.models import WIRE_NAMES, Mark, Outcome, task_of

#: Largest number of owners that are counted one by one.
MAX_OWNERS = 1000

#: The name under which the tasks of all other owners are counted.
OTHER_OWNERS = "others"

#: The reason in the line of a row whose task already was as the row asks.
_ALREADY = "already"

#: Steps between two calls of `check`.
_BATCH = 4096

#: Number of parts in which tasks are counted: a dictionary then holds few of them. A power of 2.
_PARTS = 256

#: Most steps that are kept at once, unless this takes more readings than the other number.
_MOST_STEPS = 400_000
_MOST_READINGS = 8

_OUTCOMES = tuple(Outcome)
_FIELDS = tuple(name for name in WIRE_NAMES.values() if name != "id")


class _Line(Mark, frozen=True, kw_only=True):
    """The part of a log line that tells what a row has changed, without its Task."""

    id: str
    at: str
    sent: dict[str, Any] | None = None
    reason: str | None = None


class Settlement(_Line, frozen=True, kw_only=True):
    """The part of a log line that tells what a row has changed.

    Attributes:
        id: the task's id.
        at: when the row was settled, UTC.
        sent: as in `Result`.
        reason: as in `Result`.
        task: as in `Result`.
    """

    task: dict[str, Any] | None = None


class _Owner(msgspec.Struct, frozen=True):
    """The part of a Task that tells its owner."""

    user: Any = msgspec.field(name="userId", default=None)


class _Counted(_Line, frozen=True, kw_only=True):
    """The part of a log line that is counted."""

    task: _Owner | None = None


Line = TypeVar("Line", bound=_Line)


class TaskChange:
    """What a run has changed in one task. Its steps are added in the order of time.

    Attributes:
        before: the values before the last write of the run over another's, by field; without the
            fields of which no value was known.
        after: the values that the run has left, by field.
    """

    __slots__ = ("_asked", "_seen", "after", "before")

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        #: Values that a request is about to overwrite.
        self._seen: dict[str, Any] = {}
        #: Rows whose requests may have been applied → the values that they would have left.
        self._asked: dict[int, Mapping[str, Any]] = {}

    @property
    def is_in_doubt(self) -> bool:
        """Whether a request may have changed the task, and nothing has shown it."""
        return bool(self._asked)

    def saw(self, row: int, before: Mapping[str, Any], sent: Mapping[str, Any]) -> None:
        """Add an image: what the request of a row is about to overwrite.

        Args:
            row: the number of the row.
            before: the values now, by field.
            sent: the values that the request will leave if it is applied, by field.
        """
        self._seen.update(before)
        self._asked[row] = sent

    def settled(self, row: int, outcome: Outcome, values: Mapping[str, Any]) -> None:
        """Add the outcome of a row.

        A row in doubt whose task was then found as the row asks has changed it.

        Args:
            row: the number of the row.
            outcome: its outcome; `unchanged` only where its task already was as it asks.
            values: the values that its request has left or may have left, by field.
        """
        if outcome is Outcome.UNCONFIRMED:
            self._asked[row] = values
            return
        asked = self._asked.pop(row, {})
        if outcome is Outcome.UPDATED:
            self._left(values)
        elif outcome is Outcome.UNCHANGED:
            self._left(asked)

    def _left(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if name in self._seen:
                self.before[name] = self._seen[name]
            self.after[name] = value


def read_steps(files: RunFiles, kind: type[Line]) -> Iterator[Image | Line]:
    """The steps in which a run has changed tasks, in the order of time.

    They are the images, and the lines of rows that a request was sent for or whose task already was
    as they ask. Where an input was edited, the lines of earlier logs come first.

    Args:
        files: the files of the run.
        kind: the type of each line.

    Raises:
        JournalError: a file can't be read.
    """
    logs = (read_lines(path, kind, whole_lines=True) for path in files.logs())
    lines = itertools.chain.from_iterable(logs)
    told = (one for some in lines for one in some if one.sent or one.reason == _ALREADY)
    if not files.images.exists():
        return iter(told)
    return in_order(read_images(files.images), told)


class ChangeCounts(NamedTuple):
    """The tasks that a run has updated, in numbers.

    Attributes:
        fields: number of updated tasks by field, the most frequent first.
        owners: number of tasks by the id of their new owner, the most frequent first; at most
            `MAX_OWNERS`, and the rest as `OTHER_OWNERS`.
        givers: number of tasks by the id of the owner that they were taken from, as far as it is
            known, ordered as `owners`.
        tasks: number of updated tasks.
    """

    fields: dict[str, int]
    owners: dict[str, int]
    givers: Mapping[str, int] = MappingProxyType({})
    tasks: int = 0


def count_changes(files: RunFiles, check: Callable[[], object] = lambda: None) -> ChangeCounts:
    """Count the tasks that a run has updated, over all its sessions.

    Memory: 20 bytes for each step, of at most `_MOST_STEPS`. Where there are more, the logs are
    read several times, each time for some of the tasks; from 3,200,000 on, eight times.

    Args:
        files: the files of the run.
        check: is called now and then; what it raises ends the count.

    Raises:
        JournalError: a file of the run can't be read.
    """
    counter = _Counter()
    while True:
        for number, step in enumerate(read_steps(files, _Counted)):
            if not number % _BATCH:
                check()
            counter.add(step)
        counter.end()
        if counter.is_whole:
            return counter.counts()


#: Columns of numbers.
_Part = tuple["array[int]", ...]


class _Numbers:
    """Numbers for a bounded number of owners, from 1."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def __call__(self, owner: object) -> int:
        """The number of an owner; 0 for none."""
        if not isinstance(owner, str) or not owner:
            return 0
        if owner not in self.of and len(self.of) >= MAX_OWNERS:
            owner = OTHER_OWNERS
        return self.of.setdefault(owner, len(self.of) + 1)


class _Counter:
    """Collector of steps. It keeps numbers only, until they are counted task by task.

    Attributes:
        is_whole: whether all tasks were counted.
    """

    def __init__(self) -> None:
        #: For each step: the task, the row, what happened, the owner before.
        self._parts: list[_Part] = [tuple(array(code) for code in "qIIH") for _ in range(_PARTS)]
        self._owners, self._givers = _Numbers(), _Numbers()
        #: The kind of a step, the fields of its update, the number of the owner → its number.
        self._steps: dict[tuple[int, tuple[str, ...], int], int] = {}
        self._left = _MOST_STEPS
        #: Every `_stride`th part is counted in a reading, from `_first` on.
        self._stride, self._first = 1, 0
        self._fields = Counter[str]()
        self._taken, self._given = Counter[int](), Counter[int]()
        self._tasks = 0
        self.is_whole = False

    def add(self, step: Image | _Counted) -> None:
        """Add a step."""
        task = hash(task_of(step.account or "", step.id))
        number = task % _PARTS
        is_wanted = number % self._stride == self._first
        # The first reading finds the owners in their order.
        if not (is_wanted or self._first == 0):
            return
        sent = step.sent or {}
        owner, giver, kind = sent.get("assignedTo"), 0, _SAW
        if isinstance(step, Image):
            giver = self._givers(step.values.get("assignedTo"))
        else:
            kind = _OUTCOMES.index(step.outcome)
            shown = step.task.user if step.task is not None else None
            owner = owner and (shown or owner)
        what = kind, tuple(sent), self._owners(owner)
        if not is_wanted:
            return
        numbers = task, step.row, self._steps.setdefault(what, len(self._steps)), giver
        for column, one in zip(self._parts[number], numbers, strict=True):
            column.append(one)
        self._left -= 1
        if self._left <= 0 and self._first == 0:
            self._put_off()

    def _put_off(self) -> None:
        """Leave tasks for further readings, until there is room for more steps."""
        while self._stride < _MOST_READINGS and self._left <= _MOST_STEPS // 4:
            self._stride *= 2
            for part in itertools.islice(self._parts, self._stride // 2, None, self._stride):
                self._left += len(part[0])
                _clear(part)

    def end(self) -> None:
        """Count the tasks of this reading, and begin the next one."""
        steps = [
            (kind, {name: owner if name == "assignedTo" else 0 for name in names})
            for kind, names, owner in self._steps
        ]
        for part in self._parts:
            for change in _changes(part, steps):
                self._tasks += bool(change.after)
                self._fields.update(change.after.keys())
                if owner := change.after.get("assignedTo"):
                    self._taken[owner] += 1
                    self._given[change.before.get("assignedTo", 0)] += 1
            _clear(part)
        self._first += 1
        self.is_whole = self._first >= self._stride

    def counts(self) -> ChangeCounts:
        """The counts of all tasks."""
        fields = self._fields
        order = sorted(fields, key=lambda name: (-fields[name], _FIELDS.index(name)))
        return ChangeCounts(
            {name: fields[name] for name in order},
            _named(self._taken, self._owners),
            _named(self._given, self._givers),
            self._tasks,
        )


def _changes(part: _Part, steps: Sequence[tuple[int, Mapping[str, int]]]) -> Iterable[TaskChange]:
    """The changes of the tasks in a part. Each value is the number of an owner, or 0."""
    tasks: dict[int, TaskChange] = {}
    for task, row, number, giver in zip(*part, strict=True):
        change = tasks.get(task)
        if change is None:
            change = tasks[task] = TaskChange()
        kind, values = steps[number]
        if kind == _SAW:
            change.saw(row, {"assignedTo": giver} if giver else {}, values)
        else:
            change.settled(row, _OUTCOMES[kind], values)
    return tasks.values()


def _clear(part: _Part) -> None:
    for column in part:
        del column[:]


#: The kind of a step that is an image. The others are numbers of outcomes.
_SAW = len(_OUTCOMES)


def _named(counts: Counter[int], numbers: _Numbers) -> dict[str, int]:
    """Counts by the names that the numbers stand for, the most frequent first, the others last."""
    names = {number: name for name, number in numbers.of.items()}
    frequent = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    found = [(names[number], tasks) for number, tasks in frequent if number in names]
    return dict(sorted(found, key=lambda one: one[0] == OTHER_OWNERS))
