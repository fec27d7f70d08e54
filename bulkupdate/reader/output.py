"""Write rows to a file in the format of their input.

The delimiter, the encoding and the line ends are those of the input. The rows of a spreadsheet
become lines of JSON, one array of cells each, from which `write_book` makes a workbook.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterable

from bulkupdate.codec import writable
from bulkupdate.reader.accounts import ACCOUNT, MARK, MARK_KEY, MARK_VALUE
from bulkupdate.reader.cells import as_text
from bulkupdate.reader.columns import OWN_PREFIX, RULE, Layout
from bulkupdate.reader.encoding import Encoding
from bulkupdate.reader.input import Input
from bulkupdate.reader.records import Dialect, escaped
from bulkupdate.reader.rows import parse_object
from bulkupdate.reader.text import KEEP_BYTES

#: First characters of a cell that a spreadsheet reads as a formula. Some read the full-width
#: forms of these signs in the same way.
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")

#: UTF-8 with a byte order mark: without the mark, Excel does not read a CSV file as UTF-8.
_EXCEL = Encoding("utf-8", codecs.BOM_UTF8, is_clean=True)


class RowFormat:
    """The format of a file that holds rows of an input, with more columns at the end.

    Args:
        source: the input.
        names: names of the columns to add, without the prefix `bulkupdate_`.

    Attributes:
        sheet: the name of the sheet, if the rows are those of a workbook; None for text.
    """

    def __init__(self, source: Input, names: tuple[str, ...]) -> None:
        self._encoding = source.file.encoding or _EXCEL
        if source.layout is None and self._encoding.examples:
            # The encoding is a guess. From fewer lines, the next reader may guess differently.
            self._encoding = _EXCEL
        self._dialect = source.file.dialect or Dialect(",")
        self._layout = source.layout
        self.sheet = source.file.sheet
        self._names = tuple(OWN_PREFIX + name for name in names)
        self._has_accounts = source.options.accounts is not None
        #: The account of all rows, if the file does not name it.
        self._account = source.options.account

    @property
    def head(self) -> bytes:
        """The bytes before the first row: the byte order mark and the header."""
        layout, header = self._layout, ""
        if layout is not None:
            header = self._csv_line(_with_own(layout.header, (*self._hint, *self._names), layout))
            if self._dialect.has_sep_line:
                header = f"sep={self._dialect.delimiter}{self._dialect.line_end}{header}"
        mark = b"" if self.sheet is not None else self._encoding.safe_mark
        return mark + self._encoded(header)

    def line(self, record: tuple[str, ...] | str, own: tuple[int | str, ...]) -> bytes:
        """A row as bytes.

        Args:
            record: the record of the row in the input.
            own: the values to add, one for each of the columns.
        """
        if isinstance(record, str) or self._layout is None:
            is_unicode = self._encoding.codec.startswith("utf")
            added = [*zip(self._names, map(_json_value, own), strict=True)]
            if self._has_accounts:
                added.insert(0, (MARK_KEY, MARK_VALUE))
            if self._account is not None:
                added.insert(0, (ACCOUNT, self._account))
            return self._encoded(_json_line(str(record), added, is_unicode=is_unicode))
        texts = (writable(str(value)) for value in own)
        # A cell of a workbook is a text, whatever it begins with.
        cells = tuple(texts if self.sheet is not None else map(not_a_formula, texts))
        if self._dialect.delimiter == "\t" and self._dialect.escapes is None:
            # The next reader would ask what a backslash is, and the input holds none.
            cells = tuple(cell.replace("\\", "/") for cell in cells)
        blanks = ("",) * (len(self._hint) - (self._account is not None))
        if self._account is not None:
            blanks = (self._account, *blanks)
        return self._encoded(self._csv_line(_with_own(record, (*blanks, *cells), self._layout)))

    @property
    def _hint(self) -> tuple[str, ...]:
        """Columns that the next reader needs: the account, and names that tell of other things."""
        account = [ACCOUNT] if self._account is not None else []
        hints = [f"{OWN_PREFIX}encoding={self._encoding.codec}"] if self._encoding.examples else []
        return (*account, *hints, *[MARK][: self._has_accounts])

    def _encoded(self, text: str) -> bytes:
        # Bytes that could not be decoded are written unchanged.
        return text.encode(self._encoding.codec, KEEP_BYTES)

    def _csv_line(self, cells: tuple[str, ...]) -> str:
        if self.sheet is not None:
            return f"{json.dumps(cells)}\n"
        line = io.StringIO()
        delimiter, line_end, _, escapes = self._dialect
        if escapes == "backslash":
            return delimiter.join(map(escaped, cells)) + line_end
        # With this line end, the writer quotes a cell that holds any kind of line end.
        csv.writer(line, delimiter=delimiter, lineterminator="\r\n").writerow(cells)
        return line.getvalue().removesuffix("\r\n") + line_end


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may run a cell of this text."""
    return text.startswith(_FORMULA_STARTS)


def not_a_formula(text: str) -> str:
    """A text as a cell that a spreadsheet shows and does not run."""
    return f"'{text}" if is_formula(text) else text


def _with_own(cells: tuple[str, ...], own: tuple[str, ...], layout: Layout) -> tuple[str, ...]:
    """The cells of a record, without those that an earlier run added, and then the new ones.

    Where cells don't match the columns, they stay unchanged and wrong. The reason comes at the end.
    """
    if len(cells) == layout.written and not any(map(str.strip, cells[layout.width :])):
        fields = {column.position: column.field for column in layout.columns}
        kept = (
            as_text(cells[position], fields[position]) if position in fields else cells[position]
            for position in layout.kept
        )
        return (*kept, *own)
    # The record gets longer than the header: filling it up must not make it look right.
    missing = len(layout.kept) + len(own) - len(cells)
    return (*cells, *[""] * missing, own[-1] or "?")


def _json_value(value: int | str) -> int | str:
    return writable(value) if isinstance(value, str) else value


def _json_line(record: str, own: Iterable[tuple[str, int | str]], *, is_unicode: bool) -> str:
    """The object with the new keys; or the line unchanged, where it holds no object."""
    try:
        value = parse_object(record)
        kept = {
            key: item
            for key, item in value.items()
            if not key.startswith(OWN_PREFIX) or key == RULE
        }
        line = json.dumps({**kept, **dict(own)}, ensure_ascii=not is_unicode, allow_nan=False)
        line.encode("utf-8")
    except ValueError:
        return f"{record}\n"
    return f"{line}\n"
