"""Live tasks: the tasks as the last reading showed them, on disk.

They are in an SQLite database whose file has no name any more, so it disappears with the process.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bulkupdate.codec import parse_json, to_json
from bulkupdate.errors import JournalError
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.models import Task

_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    CREATE TABLE live (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, task BLOB NOT NULL);
    CREATE TABLE ours (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, fields BLOB NOT NULL);
    CREATE TABLE open (id TEXT PRIMARY KEY, changes INTEGER NOT NULL) WITHOUT ROWID;
"""
_KEEP = """
    INSERT INTO ours (id, fields) VALUES (?, ?)
    ON CONFLICT (id) DO UPDATE SET fields = excluded.fields
"""
_PUT = """
    INSERT INTO live (id, task) VALUES (?, ?)
    ON CONFLICT (id) DO UPDATE SET task = excluded.task
"""

_OPEN = """
    INSERT INTO open (id, changes) VALUES (?, ?)
    ON CONFLICT (id) DO UPDATE SET changes = max(changes, excluded.changes)
"""
_CHANGED = "SELECT count(*) FROM (SELECT id FROM ours UNION SELECT id FROM open WHERE changes)"

#: Number of tasks that are taken from the disk at once.
_BATCH = 256


class Ours(msgspec.Struct):
    """The values of a field that this run has left in a task, or may have left.

    Attributes:
        chain: the value before the first write, then what each write left or may have left.
        at: when the last of them was confirmed, in seconds since 1970; 0 where it was not.
        doubt: the reading during which the last of them became doubtful; 0 where it is certain.
    """

    chain: list[Any]
    at: float = 0.0
    doubt: int = 0

    def ends_with(self, value: Any) -> bool:
        """Whether the last write left this value, or may have left it."""
        # Lists come back as lists from the disk.
        return bool(self.chain[-1] == (list(value) if isinstance(value, tuple) else value))

    def holds(self, expected: Any, found: Any) -> bool:
        """Whether the value found is one of ours, and the one expected stood before it."""
        if found not in self.chain[1:]:
            return False
        last = len(self.chain) - 1 - self.chain[::-1].index(found)
        return expected in self.chain[:last]


class LiveTasks:
    """The tasks of a team on disk, by id, in the order in which the server listed them.

    Args:
        path: the path of the database. The name is removed at once.
        clock: the time in seconds since 1970.

    Attributes:
        shown: the names of all fields that some task has, under lemlist's names.
        reading: the number of the present reading, from 1.
        read_at: when that reading began, in seconds since 1970.
        owners: ids of the owners of tasks, so far.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.shown: set[str] = set()
        self.reading = 1
        self._clock = clock
        self.read_at = clock()
        self.owners: set[str] = set()
        with _errors("tasks can't be stored on disk"):
            path.unlink(missing_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.executescript(_SCHEMA)
            path.unlink()

    def put(self, tasks: Iterable[Task]) -> None:
        """Store tasks. A task that is there already is replaced, in its place.

        Raises:
            JournalError: they could not be written.
        """
        for task in tasks:
            self.shown.update(task.fields)
            if isinstance(task.assigned_to, str):
                self.owners.add(task.assigned_to)
            with _errors("tasks can't be stored on disk"):
                self._database.execute(_PUT, (task.id, to_json(task.fields)))

    def get(self, task_id: str) -> Task | None:
        """The task with an id; None if it is not listed.

        Raises:
            JournalError: it could not be read.
        """
        query = "SELECT task FROM live WHERE id = ?"
        with _errors("tasks can't be read back from disk"):
            found = self._database.execute(query, (task_id,)).fetchone()
        return None if found is None else _task(found[0])

    def owner(self, task_id: str) -> str | None:
        """The id of the owner of a task; None without one, and where it is not listed.

        Raises:
            JournalError: it could not be read.
        """
        task = self.get(task_id)
        return None if task is None else task.assigned_to

    def ours(self, task_id: str) -> dict[str, Ours]:
        """What this run has written to a task, by field.

        Raises:
            JournalError: it could not be read.
        """
        query = "SELECT fields FROM ours WHERE id = ?"
        with _errors("tasks can't be read back from disk"):
            found = self._database.execute(query, (task_id,)).fetchone()
        return {} if found is None else _ours.decode(found[0])

    def wrote(
        self,
        task_id: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        at: float = 0.0,
        *,
        is_certain: bool = True,
    ) -> None:
        """Note a write of this run.

        Args:
            task_id: the id of the task.
            before: the values that it overwrote, by field, as far as they are known.
            after: the values that it left or may have left, by field.
            at: when it was confirmed, in seconds since 1970; 0 where it was not.
            is_certain: whether it is known what became of it.

        Raises:
            JournalError: it could not be stored.
        """
        known = self.ours(task_id)
        for name, value in after.items():
            ours = known.get(name)
            old = before.get(name, _UNKNOWN)
            if ours is None or (old is not _UNKNOWN and old not in ours.chain):
                # Another hand has written in between, so that what we left before is gone.
                ours = known[name] = Ours([None if old is _UNKNOWN else old])
            if ours.chain[-1] != value:
                ours.chain.append(value)
            ours.at, ours.doubt = at, 0 if is_certain else self.reading
        self.restore(task_id, known)

    def took_back(self, task_id: str, sent: Mapping[str, Any]) -> None:
        """Forget a write that was noted and, as is known now, did not happen.

        Args:
            task_id: the id of the task.
            sent: the values that the server refused, by field.

        Raises:
            JournalError: it could not be stored.
        """
        known = self.ours(task_id)
        for name, value in sent.items():
            if name in known and known[name].chain[-1] == value:
                known[name].chain.pop()
                if len(known[name].chain) < 2:  # The run has written nothing there.
                    del known[name]
        self.restore(task_id, known)

    def restore(self, task_id: str, ours: Mapping[str, Ours]) -> None:
        """Replace what is known of the writes of this run to a task.

        Args:
            task_id: the id of the task.
            ours: what it has written, by field; empty where it has written nothing.

        Raises:
            JournalError: it could not be stored.
        """
        with _errors("tasks can't be stored on disk"):
            if ours:
                self._database.execute(_KEEP, (task_id, to_json(ours)))
            else:
                self._database.execute("DELETE FROM ours WHERE id = ?", (task_id,))

    def leave_open(self, task_id: str, *, changes: bool) -> None:
        """Note that a task has a row whose turn comes later.

        Args:
            task_id: the id of the task.
            changes: whether the task changes, as far as is known now.

        Raises:
            JournalError: it could not be stored.
        """
        with _errors("tasks can't be stored on disk"):
            self._database.execute(_OPEN, (task_id, changes))

    def is_open(self, task_id: str) -> bool | None:
        """Whether a task changes later; None if it was not left open.

        Raises:
            JournalError: it could not be read.
        """
        with _errors("tasks can't be read back from disk"):
            query = "SELECT changes FROM open WHERE id = ?"
            found = self._database.execute(query, (task_id,)).fetchone()
        return None if found is None else bool(found[0])

    @property
    def changed(self) -> int:
        """Number of tasks that this run has written to, may have, or changes later."""
        with _errors("tasks can't be read back from disk"):
            number: int = self._database.execute(_CHANGED).fetchone()[0]
        return number

    def __len__(self) -> int:
        with _errors("tasks can't be read back from disk"):
            number: int = self._database.execute("SELECT count(*) FROM live").fetchone()[0]
        return number

    def __iter__(self) -> Iterator[Task]:
        """Every task, in the order of the server's list.

        Raises:
            JournalError: they could not be read.
        """
        for _, _, data in self._rows("SELECT number, id, task FROM live"):
            yield _task(data)

    def written(self) -> Iterator[tuple[str, dict[str, Ours]]]:
        """Every task that this run has written to, in the order of the first writes.

        Raises:
            JournalError: they could not be read.
        """
        for _, task_id, data in self._rows("SELECT number, id, fields FROM ours"):
            yield task_id, _ours.decode(data)

    def _rows(self, select: str) -> Iterator[tuple[int, str, bytes]]:
        query, last = f"{select} WHERE number > ? ORDER BY number LIMIT ?", 0
        while True:
            with _errors("tasks can't be read back from disk"):
                found = self._database.execute(query, (last, _BATCH)).fetchall()
            if not found:
                return
            yield from found
            last = found[-1][0]

    def merge(self, task: Task) -> None:
        """Take over what an answer shows of a task. It never removes a field.

        Raises:
            JournalError: it could not be stored.
        """
        known = self.get(task.id)
        if known is not None:
            shown = set(self.shown)
            self.put([Task({**known.fields, **task.fields})])
            # An answer shows more than a list: what no task of the list shows stays unknown.
            self.shown = shown

    def apply(self, task_id: str, changes: Mapping[str, Any]) -> None:
        """Show a task as it would be after an update.

        Args:
            task_id: the id of the task.
            changes: the fields of the update.

        Raises:
            JournalError: it could not be stored.
        """
        named = {TASK_NAMES[name]: value for name, value in changes.items() if name in TASK_NAMES}
        if "done" in changes:
            named["status"] = "completed" if changes["done"] else "pending"
        self.merge(Task({"_id": task_id, **named}))

    def clear(self) -> None:
        """Forget all tasks, before they are read again."""
        self.shown.clear()
        self.reading += 1
        self.read_at = self._clock()
        with _errors("tasks can't be stored on disk"):
            self._database.execute("DELETE FROM live")

    def close(self) -> None:
        """Close the database."""
        self._database.close()


_ours = msgspec.json.Decoder(dict[str, Ours])

#: The place of a value that is not known.
_UNKNOWN = object()


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{what}: {error}") from error


def _task(data: bytes) -> Task:
    value: dict[str, Any] = parse_json(data)
    return Task(value)
