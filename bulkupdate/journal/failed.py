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

from bulkupdate.codec import writable
from bulkupdate.journal.causes import Causes
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import Result, Row
from bulkupdate.plan.problems import not_a_formula
from bulkupdate.reader import OWN_PREFIX, Input, parse_object
from bulkupdate.reader.cells import as_text
from bulkupdate.reader.columns import Layout
from bulkupdate.reader.records import Dialect
from bulkupdate.reader.text import KEEP_BYTES, Encoding

_OWN_COLUMNS = tuple(OWN_PREFIX + name for name in ("row", "outcome", "error"))

#: What programs take a CSV file's encoding by; without it Excel takes UTF-8 for something else.
_EXCEL = Encoding("utf-8", codecs.BOM_UTF8, is_clean=True)


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
        self._encoding = source.file.encoding or _EXCEL
        if source.layout is None and self._encoding.examples:
            # A guess that the next reader might not make of fewer lines.
            self._encoding = _EXCEL
        self._dialect = source.file.dialect or Dialect(",")
        self._file = AppendOnlyFile(path, empty=True)
        self._digest = hashlib.sha256()
        self.causes = Causes()
        self._layout = source.layout
        header = ""
        if source.layout is not None:
            header = self._header(source.layout)
        try:
            self._write(self._encoding.safe_mark + self._encoded(header))
        except BaseException:
            self._file.close()
            raise

    def append(self, row: Row, result: Result) -> None:
        """Write one row.

        Raises:
            JournalError: it could not be written.
        """
        message = writable(result.error.message) if result.error else ""
        if isinstance(row.record, str) or self._layout is None:
            is_unicode = self._encoding.codec.startswith("utf")
            line = _json_line(str(row.record), result, message, is_unicode=is_unicode)
        else:
            own = ("",) * len(self._hint())
            own += (str(result.row), result.outcome, not_a_formula(message))
            line = self._csv_line(_with_own(row.record, own, self._layout))
        self._write(self._encoded(line))
        self.causes.add(result)

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

    def _hint(self) -> tuple[str, ...]:
        """A column that says what the input's encoding was guessed to be."""
        is_guess = bool(self._encoding.examples)
        return (f"{OWN_PREFIX}encoding={self._encoding.codec}",) if is_guess else ()

    def _header(self, layout: Layout) -> str:
        header = self._csv_line(_with_own(layout.header, (*self._hint(), *_OWN_COLUMNS), layout))
        if self._dialect.has_sep_line:
            return f"sep={self._dialect.delimiter}{self._dialect.line_end}{header}"
        return header

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


def _with_own(cells: tuple[str, ...], own: tuple[str, ...], layout: Layout) -> tuple[str, ...]:
    """The input's own cells, without what an earlier run had added, and then ours.

    Where there is no telling which cell is which, they stay as they are, and as wrong as they are,
    with what is wrong at the end.
    """
    if len(cells) == layout.written and not any(map(str.strip, cells[layout.width :])):
        fields = {column.position: column.field for column in layout.columns}
        kept = (
            as_text(cells[position], fields[position]) if position in fields else cells[position]
            for position in layout.kept
        )
        return (*kept, *own)
    # Longer than the header in any case: whoever fills it up is not to make a right row of it.
    missing = len(layout.kept) + len(own) - len(cells)
    return (*cells, *[""] * missing, own[-1] or "?")


def _json_line(record: str, result: Result, message: str, *, is_unicode: bool) -> str:
    """The object with what became of it; or the line as it was, where it is none."""
    try:
        value = parse_object(record)
        own = zip(_OWN_COLUMNS, (result.row, result.outcome, message), strict=True)
        kept = {key: item for key, item in value.items() if not key.startswith(OWN_PREFIX)}
        line = json.dumps({**kept, **dict(own)}, ensure_ascii=not is_unicode, allow_nan=False)
        line.encode("utf-8")
    except ValueError:
        return f"{record}\n"
    return f"{line}\n"
