"""Live tasks: the tasks as the last reading showed them, and what this run wrote to them, on disk.

They are in an SQLite database whose file has no name any more, so it disappears with the process.
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bulkupdate.codec import parse_json, replaced, to_json
from bulkupdate.errors import JournalError
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.models import Task
from bulkupdate.plan.written import Ours, Written, wrote

_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    CREATE TABLE tasks (
        number INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        task BLOB,
        written BLOB,
        rows INTEGER NOT NULL DEFAULT 0,
        changes INTEGER
    );
"""
_CHOOSE = """
    INSERT INTO tasks (id, rows) VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET rows = rows + 1
"""
_PUT = """
    INSERT INTO tasks (task, id) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET task = excluded.task
"""
_PUT_CHOSEN = "UPDATE tasks SET task = ? WHERE id = ? AND rows > 0"
_WRITTEN = """
    INSERT INTO tasks (written, id) VALUES (?, ?)
    ON CONFLICT (id) DO UPDATE SET written = excluded.written
"""
_LEAVE_OPEN = "UPDATE tasks SET changes = max(coalesce(changes, 0), ?) WHERE id = ?"
_CHANGED = "SELECT count(*) FROM tasks WHERE written IS NOT NULL OR changes"
_FIND = "SELECT id, task, written, rows, changes FROM tasks WHERE id"

#: Number of tasks that are taken from the disk at once.
_BATCH = 256

#: Tasks that are kept near, at most, before more are brought.
_NEAR = 512

_written = msgspec.json.Decoder(dict[str, Ours])


class LiveTask(msgspec.Struct, frozen=True):
    """What is known of a task.

    Attributes:
        task: the task; None if it is not listed.
        written: what this run has written to it.
        rows: number of rows of the input that are about it, where tasks were chosen.
        changes: whether it changes by a row whose turn comes later; None if no row was left open.
    """

    task: Task | None = None
    written: Written = {}
    rows: int = 0
    changes: bool | None = None

    @property
    def owner(self) -> str | None:
        """The id of the owner; None without one, and where the task is not listed."""
        return None if self.task is None else self.task.assigned_to


class LiveTasks:
    """The tasks of a team on disk, by id, in the order in which the server listed them.

    If some tasks were chosen, only these are stored, in the order in which they were chosen.

    Args:
        path: the path of the database. The name is removed at once.
        clock: the time in seconds since 1970.

    Attributes:
        shown: the names of all fields that some task has, under lemlist's names.
        reading: the number of the present reading, from 1.
        read_at: when that reading began, in seconds since 1970.
        owners: ids of the owners of tasks, so far.
        listed: number of tasks that this reading has listed so far, with those that are not stored.
        repeated: number of tasks that this reading has listed more than once so far.
        is_whole: whether this reading has come to the end of the list.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.shown: set[str] = set()
        self.reading = 1
        self._clock = clock
        self.read_at = clock()
        self.owners: set[str] = set()
        self.listed = self.repeated = 0
        self.is_whole = False
        #: Number of chosen tasks that this reading has listed so far; None where none were chosen.
        self._found: int | None = None
        self._chosen: int | None = None
        #: Tasks that will soon be asked for.
        self._near: dict[str, LiveTask] = {}
        #: What was written to tasks, and is not on the disk yet.
        self._unsaved: dict[str, Written] = {}
        with _errors("tasks can't be stored on disk"):
            path.unlink(missing_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.executescript(_SCHEMA)
            path.unlink()

    def choose(self, ids: Iterable[str]) -> None:
        """Store only tasks with these ids, and with those chosen before, in this reading.

        Args:
            ids: the id of the task of each row of the input that is left.

        Raises:
            JournalError: they could not be written.
        """
        self._found = self._found or 0
        with _errors("tasks can't be stored on disk"):
            self._execute_many(_CHOOSE, [(_key(task_id),) for task_id in ids])

    @property
    def has_all_chosen(self) -> bool:
        """Whether tasks were chosen, all of them before the first page, and all have been listed.

        Raises:
            JournalError: it could not be read.
        """
        if self._found is None:
            return False
        if self._chosen is None:
            with _errors("tasks can't be read back from disk"):
                query = "SELECT count(*) FROM tasks WHERE rows > 0"
                self._chosen = self._database.execute(query).fetchone()[0]
        return self._found == self._chosen

    def put(self, tasks: Collection[Task]) -> None:
        """Store tasks that the server has listed, each for the first time in this reading.

        Raises:
            JournalError: they could not be written.
        """
        for task in tasks:
            self.shown.update(task.fields)
            if isinstance(task.assigned_to, str):
                self.owners.add(task.assigned_to)
        self.listed += len(tasks)
        if self._found is None:
            self._store(tasks, _PUT)
        else:
            self._found += self._store(tasks, _PUT_CHOSEN)

    def note_repeated(self, number: int) -> None:
        """Note that the server has listed so many tasks once more."""
        self.repeated += number

    def _store(self, tasks: Iterable[Task], statement: str) -> int:
        """Store tasks, and return their number."""
        self._near.clear()
        with _errors("tasks can't be stored on disk"):
            rows = [(to_json(task.fields), _key(task.id)) for task in tasks]
            return self._execute_many(statement, rows)

    def find(self, task_id: str) -> LiveTask:
        """What is known of the task with an id.

        Raises:
            JournalError: it could not be read.
        """
        if (near := self._near.pop(task_id, None)) is not None:
            return near
        return self.find_all([task_id]).get(task_id) or LiveTask()

    def bring_near(self, ids: Collection[str]) -> None:
        """Take tasks from the disk together that will soon be asked for one by one.

        Raises:
            JournalError: they could not be read.
        """
        if len(self._near) > _NEAR:
            self._near.clear()
        self._near |= self.find_all(ids)

    def find_all(self, ids: Collection[str]) -> dict[str, LiveTask]:
        """What is known of some tasks, by id. One of which nothing is known is left out.

        Raises:
            JournalError: they could not be read.
        """
        marks = ",".join("?" * len(ids))
        with _errors("tasks can't be read back from disk"):
            rows = self._database.execute(f"{_FIND} IN ({marks})", [*map(_key, ids)]).fetchall()
        found = {row[0].decode("utf-8", "surrogatepass"): _live_task(*row[1:]) for row in rows}
        for task_id in self._unsaved.keys() & ids if self._unsaved else ():
            known = found.get(task_id) or LiveTask()
            found[task_id] = replaced(known, written=self._unsaved[task_id])
        return found

    def wrote(
        self,
        task_id: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        at: float = 0.0,
    ) -> None:
        """Note a write of this run; see `written.wrote`.

        Raises:
            JournalError: it could not be stored.
        """
        self.keep(task_id, wrote(self.find(task_id).written, before, after, at))

    def keep(self, task_id: str, written: Written) -> None:
        """Replace what is known of the writes of this run to a task.

        Raises:
            JournalError: it could not be stored.
        """
        self._near.pop(task_id, None)
        self._unsaved[task_id] = written
        if len(self._unsaved) >= _BATCH:
            self._save()

    def _save(self) -> None:
        """Store what was written, many at once."""
        if not self._unsaved:
            return
        rows = [(to_json(found) if found else None, _key(i)) for i, found in self._unsaved.items()]
        with _errors("tasks can't be stored on disk"):
            self._execute_many(_WRITTEN, rows)
        self._unsaved.clear()

    def _execute_many(self, statement: str, rows: list[tuple[Any, ...]]) -> int:
        """Run a statement for each row in one transaction, and return the number of changes."""
        # It commits at the end, and rolls back after an error.
        with self._database:
            self._database.execute("BEGIN")
            return max(0, self._database.executemany(statement, rows).rowcount)

    def leave_open(self, tasks: Mapping[str, bool]) -> None:
        """Note tasks that have a row whose turn comes later.

        Args:
            tasks: whether each changes, as far as is known now, by id.

        Raises:
            JournalError: it could not be stored.
        """
        with _errors("tasks can't be stored on disk"):
            rows = [(changes, _key(task_id)) for task_id, changes in tasks.items()]
            self._execute_many(_LEAVE_OPEN, rows)

    @property
    def changed(self) -> int:
        """Number of tasks that this run has written to, may have, or changes later."""
        self._save()
        with _errors("tasks can't be read back from disk"):
            number: int = self._database.execute(_CHANGED).fetchone()[0]
        return number

    def __iter__(self) -> Iterator[Task]:
        """Every task, in the order of the server's list.

        Raises:
            JournalError: they could not be read.
        """
        for _, data in self._rows("task"):
            yield _task(data)

    def written(self) -> Iterator[tuple[str, Written]]:
        """Every task that this run has written to, in the order of the table.

        Raises:
            JournalError: they could not be read.
        """
        self._save()
        for task_id, data in self._rows("written"):
            yield task_id.decode("utf-8", "surrogatepass"), _written.decode(data)

    def _rows(self, column: str) -> Iterator[tuple[bytes, bytes]]:
        query = (
            f"SELECT number, id, {column} FROM tasks"  # noqa: S608 - a name of a column
            f" WHERE {column} IS NOT NULL AND number > ? ORDER BY number LIMIT ?"
        )
        last = 0
        while True:
            with _errors("tasks can't be read back from disk"):
                found = self._database.execute(query, (last, _BATCH)).fetchall()
            if not found:
                return
            yield from ((task_id, data) for _, task_id, data in found)
            last = found[-1][0]

    def merge(self, task: Task) -> None:
        """Take over what an answer shows of a task that is listed. It never removes a field.

        An answer shows more than a list: what no task of the list shows stays unknown.

        Raises:
            JournalError: it could not be stored.
        """
        known = self.find(task.id).task
        if known is not None:
            self._store([Task({**known.fields, **task.fields})], _PUT)

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
        """Forget all tasks, and which were chosen, before they are read again.

        Raises:
            JournalError: it could not be stored.
        """
        self._save()
        self._near.clear()
        self.shown.clear()
        self.reading += 1
        self.read_at = self._clock()
        self.listed, self.repeated, self.is_whole = 0, 0, False
        self._found = self._chosen = None
        with _errors("tasks can't be stored on disk"):
            self._database.execute("DELETE FROM tasks WHERE written IS NULL")
            self._database.execute("UPDATE tasks SET task = NULL, rows = 0, changes = NULL")

    def close(self) -> None:
        """Close the database."""
        self._database.close()


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{what}: {error}") from error


def _key(task_id: str) -> bytes:
    # An id may hold a lone surrogate, which SQLite refuses in text.
    return task_id.encode("utf-8", "surrogatepass")


def _live_task(
    task: bytes | None, written: bytes | None, rows: int, changes: int | None
) -> LiveTask:
    return LiveTask(
        None if task is None else _task(task),
        {} if written is None else _written.decode(written),
        rows,
        None if changes is None else bool(changes),
    )


def _task(data: bytes) -> Task:
    value: dict[str, Any] = parse_json(data)
    return Task(value)
