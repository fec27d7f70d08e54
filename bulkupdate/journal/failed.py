"""The file of unsuccessful rows. A user can fix it and pass it to `run` again.

The input's own columns come first, unchanged, then `bulkupdate_row`, `bulkupdate_outcome` and
`bulkupdate_error`, which the reader ignores.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from bulkupdate.journal.book import BookFile
from bulkupdate.journal.causes import Causes
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import Result, Row
from bulkupdate.reader import Input, RowFormat

_COLUMNS = ("row", "outcome", "error")


class FailedFile:
    """The file of failed rows, open for appending.

    The rows of a spreadsheet become a workbook, which is written as a whole by `finish`.

    Args:
        path: the path of the file. It is created for its owner alone, or emptied.
        source: the input of the rows.

    Attributes:
        causes: the causes of the rows in the file.

    Raises:
        JournalError: the file can't be written.
    """

    def __init__(self, path: Path, source: Input) -> None:
        self._format = RowFormat(source, _COLUMNS)
        sheet = self._format.sheet
        self._file: AppendOnlyFile | BookFile = (
            AppendOnlyFile(path, empty=True) if sheet is None else BookFile(path, sheet)
        )
        self._digest = hashlib.sha256()
        self.causes = Causes()
        try:
            self._write(self._format.head)
        except BaseException:
            self._file.close()
            raise

    def append(self, row: Row, result: Result) -> None:
        """Write one row.

        Raises:
            JournalError: the row could not be written.
        """
        message = result.error.message if result.error else ""
        self._write(self._format.line(row.record, (result.row, result.outcome, message)))
        self.causes.add(result)

    @property
    def is_ours(self) -> bool:
        """Whether no other program has changed the file, as an editor would."""
        return self._file.is_ours

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file as it was written last, in hexadecimal."""
        if isinstance(self._file, BookFile):
            return self._file.sha256
        return self._digest.hexdigest()

    def finish(self, check: Callable[[], object]) -> bool:
        """Write the rows that only the whole file can hold.

        Args:
            check: is called now and then, to end early by an exception.

        Returns:
            Whether the file is whole. It is not where another program has changed a workbook.

        Raises:
            JournalError: it could not be written. An earlier file is unchanged.
        """
        return not isinstance(self._file, BookFile) or self._file.finish(check)

    def rename(self, path: Path) -> None:
        """Rename the file. An existing file with that name is replaced.

        Raises:
            OSError: the file can't be renamed.
        """
        self._file.rename(path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
