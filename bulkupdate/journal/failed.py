"""The rows that did not succeed, as a file that can be fixed and given to `run` again.

The input's own columns come first, unchanged, then `bulkupdate_row`, `bulkupdate_outcome` and
`bulkupdate_error`, which the reader ignores.
"""

import hashlib
from pathlib import Path

from bulkupdate.journal.causes import Causes
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import Result, Row
from bulkupdate.reader import Input, RowFormat

_COLUMNS = ("row", "outcome", "error")


class FailedFile:
    """The file of failed rows, open for appending.

    Args:
        path: where; created for its owner alone, or emptied.
        source: the input whose rows it takes.

    Attributes:
        causes: why the rows in it did not succeed.

    Raises:
        JournalError: it can't be written.
    """

    def __init__(self, path: Path, source: Input) -> None:
        self._format = RowFormat(source, _COLUMNS)
        self._file = AppendOnlyFile(path, empty=True)
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
            JournalError: it could not be written.
        """
        message = result.error.message if result.error else ""
        self._write(self._format.line(row.record, (result.row, result.outcome, message)))
        self.causes.add(result)

    @property
    def is_ours(self) -> bool:
        """Whether it holds only what was written here: an editor may have saved it meanwhile."""
        return self._file.is_ours

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written to it, in hexadecimal."""
        return self._digest.hexdigest()

    def rename(self, path: Path) -> None:
        """Give it another name, replacing the file that has that name.

        Raises:
            OSError: it can't be done.
        """
        self._file.rename(path)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
