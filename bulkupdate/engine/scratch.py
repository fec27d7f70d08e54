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
                "INSERT INTO parked (task, row) VALUES (?, ?)", (_key(row.id), _record(row))
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
        return _row(found[0])

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


def _record(row: Row) -> bytes:
    changes = row.update.changes() if row.update is not None else {}
    # The record may hold undecodable bytes as lone surrogates, which `to_json` refuses.
    cells = json.dumps(row.record)
    merged = [_record(one).decode() for one in row.merged]
    return to_json((row.number, row.line, row.id, changes, cells, merged, row.expect, row.rule))


def _row(record: bytes) -> Row:
    number, line, id_, changes, text, earlier, expect, rule = parse_json(record)
    cells = json.loads(text)
    named = {PYTHON_NAMES[name]: value for name, value in changes.items()}
    update = TaskUpdate(id=id_, **named)
    merged = tuple(_row(one.encode()) for one in earlier)
    kept = cells if isinstance(cells, str) else tuple(cells)
    return Row(number, line, id_, update, (), kept, merged, expect=expect, rule=rule)
