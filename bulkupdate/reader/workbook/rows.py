"""The rows of a sheet, on their way to the process that asked for them."""

import bisect
import json
import math
import re
from collections.abc import Callable
from typing import IO

from . import numbers
from .naming import CURE, range_name, reference, shows_as

#: The cells of a row as JSON. A text is a text, a number a number, a check box true or false. The
#: others are objects: {"date": …}, {"time": …}, {"number": …, "shown": …, "is_same": …},
#: {"wrong": …, "text": …}.
Cells = list[str]

#: A blank cell as JSON.
BLANK = '""'

#: Largest number of rows and columns. Spreadsheets have more columns, but no file of edits does.
MAX_ROWS, MAX_COLUMNS = 1 << 20, 1 << 10

#: Most columns with those that the files of failed rows add, and the beginning of their names.
WIDEST, _OWN = MAX_COLUMNS + 16, '"bulkupdate_'

#: Largest number of characters in a cell: the limit of CSV files here. Excel has a quarter of it.
MAX_TEXT = 131_072

#: Most merged cells: one in each row of a long table.
MAX_MERGED = 100_000

#: Most bytes to write. A million rows of ten columns take a fifth of it.
MAX_BYTES = 2 << 30

#: Most bytes to keep before they are written.
_BATCH = 1 << 16

#: Characters that show that a text was damaged, or that no person typed it. JSON has escapes for
#: some of them.
_ODD = re.compile(r"[\x7f-\x9f\ufffd]|\\u00|\\b|\\f")

_json: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False).encode


class WorkbookError(Exception):
    """The reason why a spreadsheet can't be read, and what to do."""


class FoundError(Exception):
    """A sheet has a cell that is not blank, which is all that was asked."""


class Rows:
    """The rows of a sheet, written as lines of JSON: the number of the row, and its cells.

    Blank rows and blank cells at the end of a row are left out.

    Args:
        file: takes the lines; None to raise `FoundError` at the first row that is not blank.

    Attributes:
        first: the first column that is not blank, from 0.
        width: the number of columns up to the last one that is not blank.
        merged: the merged cells: first row, first column, last row, last column, from 1.
        is_plain: whether all texts are what they look like: no odd character, no wrong cell.
    """

    def __init__(self, file: IO[bytes] | None) -> None:
        self.first = WIDEST
        self.width = 0
        self.merged: list[tuple[int, int, int, int]] = []
        self.is_plain = True
        self._most = MAX_COLUMNS
        self._file = file
        self._lines: list[str] = []
        self._size = 0
        self._written = 0

    def add(self, number: int, cells: Cells) -> None:
        """Write a row.

        Args:
            number: the number of the row in the sheet, from 1.
            cells: its cells, from the first column of the sheet.
        """
        while cells and cells[-1] == BLANK:
            cells.pop()
        if not cells:
            return
        if self._file is None:
            raise FoundError
        if not self.width and any(cell.startswith(_OWN) for cell in cells):
            self._most = WIDEST
        self.check(number, len(cells))
        first = 0
        while cells[first] == BLANK:
            first += 1
        self.first = min(self.first, first)
        self.width = max(self.width, len(cells))
        line = f"[{number},[{','.join(cells)}]]\n"
        self._lines.append(line)
        self._size += len(line)
        if self._size > _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are kept.

        Raises:
            WorkbookError: they are too many bytes.
        """
        if self._file is None:
            return
        text = "".join(self._lines)
        # Looking at many rows at once is much faster than at each text.
        self.is_plain = self.is_plain and not _ODD.search(text)
        lines = text.encode()
        self._written += len(lines)
        if self._written > MAX_BYTES:
            raise WorkbookError("holds too much text: split it into several files")
        rest = memoryview(lines)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._lines, self._size = [], 0

    def merge(self, row: int, column: int, last_row: int, last_column: int) -> None:
        """Note a merged cell, by its corners, from 1.

        Raises:
            WorkbookError: it has no cells, or there are too many.
        """
        if (row, column) == (last_row, last_column):
            return
        if row > last_row or column > last_column:
            name = range_name(row, column, last_row, last_column)
            raise WorkbookError(f"is broken: it merges the cells {name}, which are none")
        if len(self.merged) == MAX_MERGED:
            raise WorkbookError(f"has more than {MAX_MERGED:,} merged cells: split them")
        self.merged.append((row, column, last_row, last_column))
        self.is_plain = False

    def check_merged(self) -> None:
        """Check that no cell is part of two merged cells.

        A few bytes can name a million ranges that cover a whole sheet. Programs write none that
        overlap, so that a row has no more of them than cells.

        Raises:
            WorkbookError: one is.
        """
        above: list[tuple[int, int, int]] = []  # last column, column and last row, by column
        for row, column, last_row, last_column in sorted(self.merged):
            at = bisect.bisect_left(above, (column,))
            while at < len(above) and above[at][1] <= last_column:
                if above[at][2] >= row:
                    name = range_name(row, column, last_row, last_column)
                    raise WorkbookError(f"is broken: the merged cells {name} overlap others")
                del above[at]
            above.insert(at, (last_column, column, last_row))

    def text(self, text: str) -> str:
        """A text as the JSON of a cell."""
        if len(text) > MAX_TEXT:
            raise WorkbookError(f"holds a text of more than {MAX_TEXT:,} characters: shorten it")
        return json.encoder.encode_basestring(text)

    def number(
        self, value: float, code: str, *, is_1904: bool = False, is_date: bool = False
    ) -> str:
        """A number, by its number format, as JSON.

        Args:
            value: the number.
            code: its number format.
            is_1904: whether dates count from 1904.
            is_date: whether the number is known to be a date.
        """
        if not math.isfinite(value):
            return self.wrong(str(value), "is not a number: enter it again")
        kind = numbers.kind(code)
        if kind == "time":
            return _json({"time": numbers.duration(value)})
        if value == 0 and not is_1904 and kind == "date" and numbers.has_day(code):
            return self.wrong("0", "is an empty date, stored as 0: clear the cell or enter a date")
        if kind == "date" or is_date:
            found = numbers.moment(value, is_1904=is_1904)
            if found and (zone := numbers.zone(code)):
                return self.with_zone("".join(found.values()), zone)
            return _json(found) if found else self.wrong(str(value), "shows as a date, and is none")
        return self.formatted(value, numbers.shown(code, value), code)

    def typed(self, value: object) -> str:
        """A number, or an object with a date or a time, as JSON."""
        return _json(value)

    def formatted(self, value: float, shown: str | None, code: str) -> str:
        """A number with a number format, as JSON.

        Args:
            value: the number.
            shown: what the cell shows; None where it is not known.
            code: the number format, for messages.
        """
        if shown == numbers.bare_number(value):
            return _json(value)
        is_same = shown is not None and numbers.is_same(shown, value)
        how = shows_as(shown)
        if shown is None:
            how = f"has the number format {code!r}, which may show other text"
        return _json({"number": value, "shown": how, "is_same": is_same})

    def restyled(self, cell: str, code: str) -> str:
        """A text that a number format changes, as JSON."""
        text = json.loads(cell)
        shown = numbers.shown_text(code, text)
        return cell if shown == text else self.wrong(text, f"{shows_as(shown)}{CURE}")

    def with_zone(self, text: str, zone: str) -> str:
        """A date without a time zone that shows one, as JSON."""
        return self.wrong(text, f"{shows_as(f'…{zone}')}{CURE}")

    def wrong(self, text: str, why: str) -> str:
        """A cell that can't be read, as JSON."""
        self.is_plain = False
        return _json({"wrong": why, "text": text})

    def check(self, number: int, width: int) -> None:
        """Check that a row is not too far down or too wide.

        Raises:
            WorkbookError: it is.
        """
        if number > MAX_ROWS or width > self._most:
            raise WorkbookError(
                f"has text in cell {reference(number, width)}, far from all edits: clear the cells"
                f" beyond row {MAX_ROWS:,} and column {MAX_COLUMNS:,}"
            )


def checked_code(code: str) -> str:
    """A number format that is short enough to understand.

    Raises:
        WorkbookError: it is longer than any format of Excel.
    """
    if len(code) > numbers.MAX_CODE:
        raise WorkbookError(
            f"has a number format of more than {numbers.MAX_CODE} characters ({code[:20]!r}…):"
            " choose a shorter one"
        )
    return code


def error_cell(rows: Rows, text: str) -> str:
    """A cell that shows an error, as JSON."""
    return rows.wrong(text or "#VALUE!", "is what a spreadsheet shows for an error: fix the cell")


def open_formula(rows: Rows) -> str:
    """A formula that no program has computed, as JSON."""
    return rows.wrong(
        "#VALUE! (a formula without a value)",
        "is a formula that no program has computed: open the file in a spreadsheet program, which"
        " computes it, and save it",
    )


def chosen(
    wanted: str | None, names: list[str], visible: list[str], is_full: Callable[[str], bool]
) -> str:
    """The name of the sheet to read.

    Args:
        wanted: the name that the user chose, or None.
        names: the names of all sheets.
        visible: those of the sheets that are not hidden.
        is_full: the function that finds out whether a sheet has cells.

    Raises:
        WorkbookError: there is no such sheet, or several have cells.
    """
    if wanted is not None:
        if wanted not in names:
            shown = ", ".join(map(repr, names))
            raise WorkbookError(f"there is no sheet {wanted!r}: the sheets are {shown}")
        return wanted
    full = [name for name in visible if is_full(name)]
    if len(full) > 1:
        shown = ", ".join(map(repr, full))
        raise WorkbookError(f"has several sheets: choose one with {{sheet}}: {shown}")
    if not full:
        hidden = ", ".join(repr(name) for name in names if name not in visible and is_full(name))
        if hidden:
            raise WorkbookError(
                f"has cells only on hidden sheets: choose one with {{sheet}}: {hidden}"
            )
        raise WorkbookError("the file is empty")
    return full[0]


def joined(text: str) -> str:
    """A text in which the halves of a character are one. A lone half becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
