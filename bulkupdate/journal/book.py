"""A workbook that rows are added to, and that appears only when it is whole."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bulkupdate.codec import parse_json
from bulkupdate.errors import JournalError
from bulkupdate.journal.files import sync_directory
from bulkupdate.reader import write_book

#: Number of rows to write between two looks at the stop.
_BATCH = 4096


class BookFile:
    """A workbook in a run directory, whose rows wait in a file without a name.

    A workbook can't be appended to. So `finish` writes all of it, and it replaces the earlier one
    when it is on the disk. A crash before that leaves the earlier one.

    Args:
        path: the path of the workbook. A new one is private to its owner.
        sheet: the name of its sheet.

    Raises:
        JournalError: the directory can't be written.
    """

    def __init__(self, path: Path, sheet: str) -> None:
        self._path = path
        self._part = path.with_name(f"failed.part{path.suffix}")
        self._sheet = sheet
        with self._errors():
            self._rows = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed below
        self._is_whole = False
        self._left: tuple[int, int, int] | None = None
        self.sha256 = ""

    def write(self, line: bytes) -> None:
        """Add a row: its cells as a JSON array, on a line.

        Raises:
            JournalError: the row could not be written.
        """
        with self._errors():
            self._rows.write(line)
        self._is_whole = False

    @property
    def is_ours(self) -> bool:
        """Whether no other program has changed, moved or deleted the workbook."""
        return self._left is None or self._left == self._stamp()

    def finish(self, check: Callable[[], object]) -> bool:
        """Write the workbook, if rows were added.

        Args:
            check: is called now and then, to end early by an exception.

        Returns:
            Whether the workbook is whole. It is not where another program has changed it.

        Raises:
            JournalError: it could not be written. An earlier one is unchanged.
        """
        if not self.is_ours:
            return False
        if self._is_whole:
            return True
        with self._errors():
            with open(self._part, "w+b", opener=_private) as part:
                write_book(part, self._sheet, self._cells(check))
                part.flush()
                os.fsync(part.fileno())
                part.seek(0)
                self.sha256 = hashlib.file_digest(part, "sha256").hexdigest()
            self.rename(self._path, self._part)
        self._is_whole = True
        return True

    def rename(self, path: Path, old: Path | None = None) -> None:
        """Rename the workbook, on the disk too. An existing file with that name is replaced.

        Raises:
            OSError: the file can't be renamed.
        """
        (old or self._path).replace(path)
        self._path = path
        sync_directory(path.parent)
        self._left = self._stamp()

    def close(self) -> None:
        """Forget the rows. A second call does nothing. Call `finish` first."""
        self._rows.close()

    def _cells(self, check: Callable[[], object]) -> Iterator[list[str]]:
        self._rows.seek(0)
        for number, line in enumerate(self._rows):
            if not number % _BATCH:
                check()
            yield parse_json(line)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.lstat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or error
            raise JournalError(f"{self._path} can't be written: {why}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
