"""The rows that did not succeed, as a file that can be mended and given to `run` again.

The input's own columns come first, as they were, then `bulkupdate_row`, `bulkupdate_outcome` and
`bulkupdate_error`, which the reader passes over. It is written as the input was: its delimiter,
encoding and line ends; a spreadsheet's rows as CSV that a spreadsheet opens.
"""

import codecs
import csv
import hashlib
import io
import json
from pathlib import Path

from bulkupdate.files import AppendOnlyFile
from bulkupdate.models import Result, Row
from bulkupdate.problems import not_a_formula
from bulkupdate.reader import OWN_PREFIX, Input, parse_object
from bulkupdate.reader.records import Dialect
from bulkupdate.reader.text import KEEP_BYTES, Encoding, writable

_OWN_COLUMNS = tuple(OWN_PREFIX + name for name in ("row", "outcome", "error"))

#: What programs take a CSV file's encoding by; without it Excel takes UTF-8 for something else.
_EXCEL = Encoding("utf-8", codecs.BOM_UTF8)


class FailedFile:
    """The file of failed rows, open for appending.

    Args:
        path: where; created for its owner alone, or emptied.
        source: the input whose rows it takes.

    Raises:
        JournalError: it can't be written.
    """

    def __init__(self, path: Path, source: Input) -> None:
        self._encoding = source.file.encoding or _EXCEL
        self._dialect = source.file.dialect or Dialect(",")
        self._file = AppendOnlyFile(path, empty=True)
        self._digest = hashlib.sha256()
        self._kept: tuple[int, ...] = ()
        self._width = 0
        if source.layout is not None:
            self._kept, self._width = source.layout.kept, source.layout.width
            self._write_header(source)

    def append(self, row: Row, result: Result) -> None:
        """Write one row.

        Raises:
            JournalError: it could not be written.
        """
        message = writable(result.error.message) if result.error else ""
        if isinstance(row.record, str):
            line = _json_line(row.record, result, message)
        elif len(row.record) == self._width:
            own = self._own(row.record)
            line = self._csv_line((*own, str(result.row), result.outcome, not_a_formula(message)))
        else:
            # No telling which cell is which, so it stays as it is, and as wrong as it is.
            width = len(self._kept) + len(_OWN_COLUMNS)
            fits_by_chance = len(row.record) == width
            line = self._csv_line((*row.record, message or "?") if fits_by_chance else row.record)
        self._write(self._encoded(line))

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
        if self._dialect.has_sep_line:
            header = f"sep={self._dialect.delimiter}{self._dialect.line_end}{header}"
        try:
            self._write(self._encoding.mark + self._encoded(header))
        except BaseException:
            self._file.close()
            raise

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    def _encoded(self, text: str) -> bytes:
        # Bytes that could not be decoded become what they were.
        return text.encode(self._encoding.codec, KEEP_BYTES)

    def _csv_line(self, cells: tuple[str, ...]) -> str:
        line = io.StringIO()
        delimiter, line_end, _ = self._dialect
        # With this end, it puts every kind of line end inside a cell into quotes.
        csv.writer(line, delimiter=delimiter, lineterminator="\r\n").writerow(cells)
        return line.getvalue().removesuffix("\r\n") + line_end


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
