"""Rows put aside on disk until their turn comes, a queue for each task.

They lie in an SQLite database without a name, which goes with the process. Memory holds a number
for each task that has any.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulkupdate.codec import parse_json, to_json
from bulkupdate.errors import JournalError
from bulkupdate.models import PYTHON_NAMES, Row, TaskUpdate

_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    CREATE TABLE parked (number INTEGER PRIMARY KEY, task TEXT NOT NULL, row BLOB NOT NULL);
    CREATE INDEX parked_by_task ON parked (task, number);
"""
_TAKE = """
    DELETE FROM parked WHERE number = (SELECT min(number) FROM parked WHERE task = ?) RETURNING row
"""


class Scratch:
    """Queues of rows on disk.

    Args:
        path: where the database is made. Its name is removed at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._lengths: Counter[str] = Counter()

    def __contains__(self, task: str) -> bool:
        """Whether a task has rows here."""
        return task in self._lengths

    def put(self, row: Row) -> None:
        """Put a row at the end of its task's queue.

        Raises:
            JournalError: it could not be written.
        """
        with _errors("rows can't be put aside"):
            self._open().execute(
                "INSERT INTO parked (task, row) VALUES (?, ?)", (_key(row.id), _record(row))
            )
        self._lengths[row.id] += 1

    def take(self, task: str) -> Row:
        """The first row of a task's queue, which leaves it.

        Raises:
            JournalError: it could not be read.
        """
        with _errors("rows that were put aside can't be read"):
            found = self._open().execute(_TAKE, (_key(task),)).fetchone()
        if found is None:
            raise JournalError("rows that were put aside are gone")
        self._lengths[task] -= 1
        if not self._lengths[task]:
            del self._lengths[task]
        return _row(found[0])

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.unlink(missing_ok=True)
            self._database = sqlite3.connect(self._path, isolation_level=None)
            self._database.executescript(_SCHEMA)
            self._path.unlink()
        return self._database


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{what}: {error}") from error


def _key(task: str) -> str:
    # An id may hold half of a character, which no database takes.
    return json.dumps(task)


def _record(row: Row) -> bytes:
    changes = row.update.changes() if row.update is not None else {}
    # The record may hold bytes that could not be decoded, as no JSON of ours may.
    cells = json.dumps(row.record)
    merged = [_record(one).decode() for one in row.merged]
    return to_json((row.number, row.line, row.id, changes, cells, merged))


def _row(record: bytes) -> Row:
    number, line, id_, changes, text, earlier = parse_json(record)
    cells = json.loads(text)
    named = {PYTHON_NAMES[name]: value for name, value in changes.items()}
    update = TaskUpdate(id=id_, **named)
    merged = tuple(_row(one.encode()) for one in earlier)
    kept = cells if isinstance(cells, str) else tuple(cells)
    return Row(number, line, id_, update, (), kept, merged)
