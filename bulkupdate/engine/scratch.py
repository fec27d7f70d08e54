"""Queues of parked rows on disk, one queue for each task.

The rows are in an SQLite database whose file has no name any more, so it disappears with the
process. Memory holds one number for each task with parked rows.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulkupdate.engine.stored import from_bytes, to_bytes
from bulkupdate.errors import JournalError
from bulkupdate.models import Row

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
    """Queues of parked rows on disk.

    Args:
        path: the path of the database. The name is removed at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._lengths: Counter[str] = Counter()

    def __contains__(self, task: str) -> bool:
        """Whether a task has parked rows."""
        return task in self._lengths

    def put(self, row: Row) -> None:
        """Put a row at the end of its task's queue.

        Raises:
            JournalError: the row could not be written.
        """
        with _errors("waiting rows can't be stored on disk"):
            self._open().execute(
                "INSERT INTO parked (task, row) VALUES (?, ?)", (_key(row.id), to_bytes(row))
            )
        self._lengths[row.id] += 1

    def take(self, task: str) -> Row:
        """Remove and return the first row of a task's queue.

        Raises:
            JournalError: the row could not be read.
        """
        with _errors("waiting rows can't be read back from disk"):
            found = self._open().execute(_TAKE, (_key(task),)).fetchone()
        if found is None:
            raise JournalError("waiting rows are missing on disk")
        self._lengths[task] -= 1
        if not self._lengths[task]:
            del self._lengths[task]
        return from_bytes(found[0])

    def close(self) -> None:
        """Close the database."""
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
    # An id may hold a lone surrogate, which SQLite refuses.
    return json.dumps(task)
