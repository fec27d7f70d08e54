"""The rows that did not succeed, as a file that can be mended and given to `run` again.

The input's own columns come first, as they were, then `bulkupdate_row`, `bulkupdate_outcome` and
`bulkupdate_error`, which the reader passes over.
"""

import csv
import hashlib
import io
import json
from pathlib import Path

from bulkupdate.columns import OWN_PREFIX
from bulkupdate.files import AppendOnlyFile
from bulkupdate.models import Result, Row
from bulkupdate.reader import Input, parse_object

_OWN_COLUMNS = tuple(OWN_PREFIX + name for name in ("row", "outcome", "error"))

#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class FailedFile:
    """The file of failed rows, open for appending.

    Args:
        path: where; created for its owner alone, or emptied.
        source: the input whose rows it takes.

    Raises:
        JournalError: it can't be written.
    """

    def __init__(self, path: Path, source: Input) -> None:
        self._delimiter = source.delimiter
        self._kept = [
            position
            for position, column in enumerate(source.header)
            if not column.strip().startswith(OWN_PREFIX)
        ]
        self._width = len(source.header)
        self._file = AppendOnlyFile(path, empty=True)
        self._digest = hashlib.sha256()
        if self._delimiter:
            self._write_header(source)

    def append(self, row: Row, result: Result) -> None:
        """Write one row.

        Raises:
            JournalError: it could not be written.
        """
        message = result.error.message if result.error else ""
        if isinstance(row.record, str):
            line = _json_line(row.record, result, message)
        elif len(row.record) == self._width:
            own = self._own(row.record)
            line = self._csv_line((*own, str(result.row), result.outcome, _inert(message)))
        else:
            # No telling which cell is which, so it stays as it is, and as wrong as it is.
            fits_by_chance = len(row.record) == len(self._kept) + len(_OWN_COLUMNS)
            line = self._csv_line(row.record + ("",) * fits_by_chance)
        self._write(line.encode())

    @property
    def is_ours(self) -> bool:
        """Whether nobody has saved it meanwhile, as somebody does who has it open in an editor."""
        return self._file.is_ours

    @property
    def sha256(self) -> str:
        """Of what was written to it, in hexadecimal."""
        return self._digest.hexdigest()

    def rename(self, path: Path) -> None:
        """Give it another name, in the place of what has that name.

        Raises:
            OSError: it can't be done.
        """
        self._file.rename(path)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def _own(self, cells: tuple[str, ...]) -> tuple[str, ...]:
        """The input's own cells: without what an earlier run had added."""
        return tuple(cells[position] for position in self._kept)

    def _write_header(self, source: Input) -> None:
        header = self._csv_line((*self._own(source.header), *_OWN_COLUMNS))
        try:
            # With a byte order mark if the input has one: Excel needs it to read UTF-8.
            self._write(header.encode(source.encoding))
        except BaseException:
            self._file.close()
            raise

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    def _csv_line(self, cells: tuple[str, ...]) -> str:
        line = io.StringIO()
        csv.writer(line, delimiter=self._delimiter or ",").writerow(cells)
        return line.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _json_line(record: str, result: Result, message: str) -> str:
    """The object with what became of it; or the line as it was, where it is none."""
    try:
        value = parse_object(record)
        own = zip(_OWN_COLUMNS, (result.row, result.outcome, message), strict=True)
        kept = {key: item for key, item in value.items() if not key.startswith(OWN_PREFIX)}
        line = json.dumps({**kept, **dict(own)}, ensure_ascii=False, allow_nan=False)
        line.encode("utf-8")
    except ValueError:
        return f"{record}\n"
    return f"{line}\n"
