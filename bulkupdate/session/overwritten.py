"""What runs have overwritten, and what of it goes back.

::

    before.jsonl  ──▶ images ─┐
    results.jsonl ──▶ writes ─┼─▶ the events of a task, newest first ──▶ values, expectations
    edits.jsonl   ──▶ rules ──┘                                          or what stands in the way

The events are in a temporary SQLite database, so that memory does not grow with them.
"""

import enum
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from bulkupdate import fields
from bulkupdate.codec import parse_record, replaced, to_json
from bulkupdate.errors import JournalError
from bulkupdate.journal import Image
from bulkupdate.lemlist.values import TASK_NAMES, live_values
from bulkupdate.models import Mark, Outcome
from bulkupdate.reader import Edit

#: The fields that can go back, in the order of the columns.
FIELDS = tuple(TASK_NAMES)

_MEDIA = frozenset({"images", "videos"})

_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE task (
        number INTEGER PRIMARY KEY, account TEXT NOT NULL, id TEXT NOT NULL, UNIQUE (account, id)
    );
    CREATE TABLE event (
        task INTEGER NOT NULL, at TEXT NOT NULL, kind INTEGER NOT NULL, run INTEGER NOT NULL,
        row INTEGER NOT NULL, body BLOB
    );
    CREATE TABLE origin (
        task INTEGER NOT NULL, run INTEGER NOT NULL, row INTEGER NOT NULL, rule TEXT,
        PRIMARY KEY (task, run, row)
    ) WITHOUT ROWID;
    CREATE TABLE edit (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""
_KEEP = """
    INSERT INTO event SELECT number, ?, ?, ?, ?, ? FROM task WHERE account = ? AND id = ?
"""
_ADD_TASK = "INSERT OR IGNORE INTO task (account, id) VALUES (?, ?)"
#: A row of which two rules are told is of an unknown one.
_KEEP_ORIGIN = """
    INSERT INTO origin SELECT number, ?, ?, ? FROM task WHERE account = ? AND id = ?
    ON CONFLICT DO UPDATE SET rule = CASE WHEN rule = excluded.rule THEN rule END
"""
#: Of one moment as in `in_order` of the journal.
_EVENTS = """
    SELECT account, id, body, rule
    FROM event JOIN task ON event.task = task.number LEFT JOIN origin USING (task, run, row)
    ORDER BY event.task, at DESC, event.row DESC, kind DESC, event.rowid DESC
"""


class Obstacle(enum.Enum):
    """The reason why a field can't be taken back."""

    COMPLETED = "completed"
    """The task is completed: no update reaches it any more."""

    MEDIA = "media"
    """Images and videos: the server keeps copies at other addresses."""

    UNKNOWN = "unknown"
    """No reading showed what was there before."""

    UNLISTED = "unlisted"
    """The server did not list the task before."""

    EMPTY = "empty"
    """It was empty, and no update can empty it."""

    UNSENDABLE = "unsendable"
    """It held a value that no update can set."""

    OVERTAKEN = "overtaken"
    """A later row that stays, as of another rule, has written it."""


class TaskKey(NamedTuple):
    """What tells a task from all others.

    Attributes:
        account: the name of its account; "" where there is only one.
        id: its id.
    """

    account: str
    id: str


class LoggedWrite(Mark, frozen=True, kw_only=True):
    """The part of a line of the results log that tells what a request has left."""

    id: str
    at: str
    sent: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    sent_with: int | None = None

    @property
    def left(self) -> dict[str, Any]:
        """The values after the request, by field: those of the answer, else those that it sent."""
        sent, task = self.sent or {}, self.task or {}
        shown = live_values(task)
        return {
            name: shown[name] if TASK_NAMES.get(name) in task else value
            for name, value in sent.items()
        }


class Kind(enum.IntEnum):
    """The kind of an event. An image comes before the result of its row."""

    IMAGE = 0
    """A request may have started after it."""

    REFUSED = 1
    """A request that has changed nothing."""

    UNCONFIRMED = 2
    """A request that may have changed the task."""

    UPDATED = 3
    """A request that the server has confirmed."""


_KINDS = {Outcome.UPDATED: Kind.UPDATED, Outcome.UNCONFIRMED: Kind.UNCONFIRMED}


class Event(msgspec.Struct, frozen=True, array_like=True):
    """An image, or the result of a request.

    Attributes:
        kind: its kind.
        run: the number of the run.
        row: the number of the row.
        sent: the fields of the request.
        values: of an image, the values before the request, None where the task was not listed; of a
            result, those that it has left.
        rule: the name of the rule of the row; "" without one, None where it is not known.
    """

    kind: Kind
    run: int
    row: int
    sent: dict[str, Any]
    values: dict[str, Any] | None
    rule: str | None = None


class Overwritten:
    """What runs have overwritten, on disk."""

    def __init__(self) -> None:
        with _errors():
            # Without a name: SQLite removes the file when it is closed.
            self._database = sqlite3.connect("", isolation_level=None)
            self._database.executescript(_SCHEMA)

    def add_images(self, run: int, images: Iterable[Image]) -> None:
        """Add the images of a run.

        Args:
            run: the number of the run.
            images: its images, in the order of the file.

        Raises:
            JournalError: they can't be read, or stored.
        """
        for image in images:
            values = None if image.before is None else image.values
            event = Event(Kind.IMAGE, run, image.row, image.sent, values)
            self._add(TaskKey(image.account or "", image.id), image.at, event)

    def add_results(self, run: int, results: Iterable[LoggedWrite]) -> None:
        """Add the results of a run, as far as a request was sent.

        Raises:
            JournalError: they can't be stored.
        """
        for result in results:
            if result.sent:
                kind = _KINDS.get(result.outcome, Kind.REFUSED)
                event = Event(kind, run, result.row, result.sent, result.left)
                self._add(TaskKey(result.account or "", result.id), result.at, event)

    def _add(self, task: TaskKey, at: str, event: Event) -> None:
        values = (at, event.kind, event.run, event.row, to_json(event), *task)
        with _errors():
            self._database.execute(_ADD_TASK, task)
            self._database.execute(_KEEP, values)

    def add_rule(self, run: int, row: int, task: TaskKey, rule: str | None) -> None:
        """Add the rule of a row, if its task has an event. A row of two rules is of an unknown one.

        Args:
            run: the number of the run.
            row: the number of the row.
            task: its task.
            rule: the name of its rule; None without one.

        Raises:
            JournalError: it can't be stored.
        """
        with _errors():
            self._database.execute(_KEEP_ORIGIN, (run, row, rule or "", *task))

    @property
    def newest(self) -> str:
        """The time of the newest event, UTC; "" without one.

        Raises:
            JournalError: it can't be read.
        """
        with _errors():
            found: str | None = self._database.execute("SELECT max(at) FROM event").fetchone()[0]
        return found or ""

    def tasks(self) -> Iterator[tuple[TaskKey, Iterator[Event]]]:
        """Every task with its events, newest first. The first task is the one added first.

        Raises:
            JournalError: they can't be read.
        """
        with _errors():
            found = self._database.execute(_EVENTS)
            for (account, task_id), events in groupby(found, key=itemgetter(0, 1)):
                task = TaskKey(account, task_id)
                yield task, (_event(body, rule) for _, _, body, rule in events)

    def keep(self, edit: Edit) -> None:
        """Store an edit.

        Raises:
            JournalError: it can't be stored.
        """
        body = to_json((edit.id, dict(edit.values), dict(edit.expect), edit.account))
        with _errors():
            self._database.execute("INSERT INTO edit (body) VALUES (?)", (body,))

    def edits(self) -> Iterator[Edit]:
        """The edits that were stored, in their order.

        Raises:
            JournalError: they can't be read.
        """
        with _errors():
            for (body,) in self._database.execute("SELECT body FROM edit ORDER BY number"):
                task_id, values, expect, account = msgspec.json.decode(body)
                yield Edit(task_id, values, expect=expect, account=account)

    def close(self) -> None:
        """Close the database, and remove it."""
        self._database.close()


def _event(body: bytes, rule: str | None) -> Event:
    event = parse_record(body, Event)
    return event if rule is None else replaced(event, rule=rule)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise JournalError(f"what runs have written can't be sorted on disk: {error}") from error


class TakenBack(NamedTuple):
    """What goes back of one task.

    Attributes:
        values: the values to set, by field; "" clears.
        expect: the value that each of these fields must have.
        left_out: the fields that can't be taken back.
        changed: the fields that another hand, or a row of no chosen rule, changed between two
            writes: they go back to that change.
        unknown: the fields that a row may have written of which no file tells the rule.
        doubtful: the fields where another value than the expected one may stand, since the newest
            writes are in doubt.
    """

    values: dict[str, Any]
    expect: dict[str, Any]
    left_out: dict[str, Obstacle]
    changed: list[str]
    unknown: list[str]
    doubtful: list[str]


def take_back(events: Iterable[Event], rules: Collection[str] = ()) -> TakenBack:
    """What goes back of a task.

    Each field goes to its newest image. Where another run left the value of that image, it goes on
    to the image before that write, and so on.

    Args:
        events: the events of the task, newest first.
        rules: the names of rules, to take back their rows only; none to take back every row. A
            field then goes back no further than to what another row has left.
    """
    walk = _Walk(rules)
    for event in events:
        walk.add(event)
    return walk.taken_back()


class _Field:
    """One field of a task, followed back from its newest write.

    Args:
        run: the run that wrote.
        left: the value that the write has left, or may have left.
        is_certain: whether the server has confirmed it.

    Attributes:
        expected: as `left`.
        is_certain: likewise.
        before: the value to go back to, or what stands in the way.
        was_changed: whether another hand, or a row that stays, changed the field after an older
            write.
        older: the values that may stand there if the newest write, in doubt, was not applied: what
            older writes have left, newest first, down to one that is certain.
    """

    def __init__(self, run: int, left: Any, *, is_certain: bool) -> None:
        self.expected = left
        self.is_certain = is_certain
        self.before: Any = Obstacle.UNKNOWN
        self.was_changed = False
        self.older: list[Any] = []
        self._knows_older = False
        #: The run whose image is looked for, or was found.
        self._run = run
        self._is_found = False
        self._has_older_write = False
        #: Whether the value to go back to is of a row that stays, or may be.
        self._is_of_other_row = False
        self._is_over = False

    def image(self, run: int, value: Any) -> None:
        """Take in an older image that shows the field."""
        if not self._is_found and run == self._run:
            self.before, self._is_found = value, True
        elif self._has_older_write and not self._is_of_other_row and value != self.before:
            self.was_changed = self._is_over = True

    def write(self, run: int, sent: Any, left: Any, *, is_certain: bool) -> None:
        """Take in an older write."""
        if self._is_over:
            return
        if not self._is_found:
            # A run writes no image of what it has left itself.
            self._note_older(left, is_certain=is_certain)
            return
        if self._is_of_other_row:
            self.was_changed = self._is_over = True
            return
        if run != self._run and self.before in (sent, left):
            # A reading has shown it, whatever is known of the write.
            self._note_older(self.before, is_certain=True)
            self._run, self.before = run, Obstacle.UNKNOWN
            self._is_found = self._has_older_write = False
            return
        # No run writes an image of what it has left itself, so that another hand has written in
        # between. But a write in doubt may have changed nothing.
        self._has_older_write = True
        self._is_over = is_certain

    def _note_older(self, left: Any, *, is_certain: bool) -> None:
        """Note what stands there if no newer write was applied."""
        if not self._knows_older:
            self.older.append(left)
        self._knows_older |= is_certain

    def other_write(self, run: int, sent: Any, left: Any, *, is_certain: bool) -> None:
        """Take in an older write of a row that stays."""
        if self._is_found:
            # A write in doubt that has left another value was not applied.
            self._is_of_other_row |= is_certain or self.before in (sent, left)
        else:
            # A run writes no image of what it has left itself.
            is_known = is_certain and run == self._run
            self.before = left if is_known else Obstacle.UNKNOWN
            self._is_found = self._is_of_other_row = True


class _Walk:
    """The walk through the events of a task, from the newest to the oldest.

    Args:
        rules: the names of the rules whose rows are taken back; none for all rows.
    """

    def __init__(self, rules: Collection[str]) -> None:
        self._rules = rules
        self._unknown: set[str] = set()
        self._overtaken: set[str] = set()
        self._fields: dict[str, _Field] = {}
        self._media: set[str] = set()
        #: Run and row → the fields of its requests whose results are known.
        self._settled: defaultdict[tuple[int, int], set[str]] = defaultdict(set)

    def add(self, event: Event) -> None:
        """Take in an event."""
        if event.kind is Kind.IMAGE:
            self._add_image(event)
            return
        self._settled[event.run, event.row].update(event.sent)
        if event.kind is not Kind.REFUSED:
            self._add_write(event, event.sent, event.values or {})

    def _add_image(self, event: Event) -> None:
        known = self._settled[event.run, event.row]
        # A request without a result may have been applied.
        open_ = {name: value for name, value in event.sent.items() if name not in known}
        self._add_write(event, open_, open_)
        values = event.values
        for name, field in self._fields.items():
            if values is None:
                field.image(event.run, Obstacle.UNLISTED)
            elif name in values:
                field.image(event.run, values[name])

    def _add_write(self, event: Event, sent: Mapping[str, Any], left: Mapping[str, Any]) -> None:
        is_certain = event.kind is Kind.UPDATED
        if self._rules and event.rule not in self._rules:
            self._add_other(event, sent, left)
            return
        for name, value in sent.items():
            if name in _MEDIA:
                self._media.add(name)
            elif name in self._fields:
                self._fields[name].write(event.run, value, left[name], is_certain=is_certain)
            else:
                self._fields[name] = _Field(event.run, left[name], is_certain=is_certain)

    def _add_other(self, event: Event, sent: Mapping[str, Any], left: Mapping[str, Any]) -> None:
        """Take in the write of a row that stays."""
        is_certain = event.kind is Kind.UPDATED
        if event.rule is None:
            self._unknown.update(sent)
        for name, value in sent.items():
            if (field := self._fields.get(name)) is not None:
                field.other_write(event.run, value, left[name], is_certain=is_certain)
            elif is_certain:
                self._overtaken.add(name)

    def taken_back(self) -> TakenBack:
        """What goes back."""
        media = dict.fromkeys(sorted(self._media), Obstacle.MEDIA)
        found = TakenBack({}, {}, media, [], sorted(self._unknown), [])
        done = self._fields.get("done")
        if done is not None and (obstacle := _completion(done)):
            found.left_out["done"] = obstacle
            if done.expected is True and done.is_certain:
                return found
        for name in FIELDS:
            field = self._fields.get(name)
            if field is None:
                continue
            expected = field.expected
            others = [] if field.is_certain else [one for one in field.older if one != field.before]
            if field.before == expected:
                # A write in doubt may have taken the field back. If not, an older one stands.
                if not others:
                    continue
                expected = others[-1]
            if name in self._overtaken:
                found.left_out[name] = Obstacle.OVERTAKEN
                continue
            if obstacle := _obstacle(name, field.before):
                found.left_out[name] = obstacle
                continue
            found.values[name], found.expect[name] = field.before, expected
            if field.was_changed:
                found.changed.append(name)
            if any(one != expected for one in others):
                found.doubtful.append(name)
        return found


def _completion(done: _Field) -> Obstacle | None:
    """What stands in the way of a field `done`; None where it has only left a task pending."""
    if done.expected is True or done.before is True:
        return Obstacle.COMPLETED
    return done.before if isinstance(done.before, Obstacle) else None


def _obstacle(name: str, before: Any) -> Obstacle | None:
    """The reason why a field can't go back to a value; None if it can."""
    if isinstance(before, Obstacle):
        return before
    if before == "":
        return None if name in fields.CLEARABLE else Obstacle.EMPTY
    try:
        is_sent_so = fields.RULES[name](before) == before
    except ValueError:
        is_sent_so = False
    return None if is_sent_so else Obstacle.UNSENDABLE
