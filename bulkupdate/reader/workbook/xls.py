"""A workbook of Excel 97 to 2003 (.xls), by xlrd, which sees number formats and merged cells."""

import io
from collections.abc import Callable, Iterator
from typing import IO, Any

import xlrd

from . import numbers
from .naming import reference
from .rows import (
    BLANK,
    FoundError,
    Rows,
    WorkbookError,
    checked_code,
    chosen,
    error_cell,
    joined,
)

#: Stream of an Office Open XML workbook that is locked by a password.
_LOCKED = "EncryptedPackage".encode("utf-16-le")

#: Records of formulas. (MS-XLS: 2.3; the earlier versions have the others)
_FORMULAS = (0x0006, 0x0206, 0x0406)

#: Results of a formula that programs store that can't compute: 0, and an empty cell.
_ZERO = bytes(8)
_EMPTY, _IS_NO_NUMBER = 3, b"\xff\xff"

Record = tuple[int, int, bytes]
Place = tuple[int, int]


def read(file: IO[bytes], wanted: str | None, rows: Rows) -> str:
    """Read a sheet.

    Args:
        file: the workbook.
        wanted: the name of the sheet; None to take the only one with cells.
        rows: takes the rows.

    Returns:
        The name of the sheet.

    Raises:
        WorkbookError: it can't be read, or has no such sheet.
    """
    file.seek(0)
    content = file.read()
    if _LOCKED in content:
        raise WorkbookError("is locked by a password: save it without one")
    book = _opened(content)
    names = book.sheet_names()
    sheets = dict(zip(names, _sheets(book), strict=True))
    visible = [name for name in names if not sheets[name][0].visibility]
    name = chosen(wanted, names, visible, lambda name: _is_full(book, *sheets[name]))
    sheet, formulas = sheets[name]
    _write(book, sheet, formulas, rows)
    for first, row, first_column, column in sheet.merged_cells:
        rows.merge(first + 1, first_column + 1, row, column)
    return name


def _opened(content: bytes) -> Any:
    """The workbook, without its sheets."""
    # A text may be cut in the middle of a character, where a record ends.
    xlrd.book.unicode = lambda raw, encoding: raw.decode(encoding, "surrogatepass")
    try:
        return xlrd.open_workbook(
            file_contents=content,
            formatting_info=True,
            on_demand=True,
            ragged_rows=True,
            logfile=io.StringIO(),
        )
    except xlrd.XLRDError as error:
        if "encrypted" in str(error).lower():
            raise WorkbookError("is locked by a password: save it without one") from None
        if "Can't find workbook" in str(error):
            raise WorkbookError(
                "can't be read as a spreadsheet: it is another kind of document"
            ) from None
        raise


def _sheets(book: Any) -> Iterator[tuple[Any, set[Place]]]:
    """Each sheet, and the places of its formulas that may never have been computed."""
    next_record = book.get_record_parts
    for number in range(book.nsheets):
        formulas: set[Place] = set()
        book.get_record_parts = _noting(next_record, formulas)
        yield book.sheet_by_index(number), formulas


def _is_full(book: Any, sheet: Any, formulas: set[Place]) -> bool:
    try:
        _write(book, sheet, formulas, Rows(None))
    except FoundError:
        return True
    return False


def _noting(next_record: Callable[[], Record], formulas: set[Place]) -> Callable[[], Record]:
    """A reader of records that notes the formulas that may never have been computed."""

    def noted() -> Record:
        record = next_record()
        code, _, content = record
        if code in _FORMULAS:
            result = content[6:14]
            is_empty = result[6:] == _IS_NO_NUMBER and result[0] == _EMPTY
            if is_empty or result == _ZERO:
                cell = int.from_bytes(content[:2], "little"), int.from_bytes(content[2:4], "little")
                formulas.add(cell)
        return record

    return noted


def _write(book: Any, sheet: Any, formulas: set[Place], rows: Rows) -> None:
    """Write the rows of a sheet."""
    reader = _Cells(book, sheet, rows)
    for number in range(sheet.nrows):
        cells = []
        pairs = zip(sheet.row_types(number), sheet.row_values(number), strict=True)
        for column, (type_, value) in enumerate(pairs):
            if formulas and (number, column) in formulas:
                cells.append(_formula(rows))
            elif type_ in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK):
                cells.append(BLANK)
            else:
                cells.append(reader.cell(number, column, type_, value))
        rows.add(number + 1, cells)


class _Cells:
    """The cells of a sheet as JSON."""

    def __init__(self, book: Any, sheet: Any, rows: Rows) -> None:
        self._book, self._sheet, self._rows = book, sheet, rows
        #: Number of a style → its number format, and whether texts and numbers show as they are.
        self._styles: dict[int, tuple[str, bool, bool]] = {}
        #: Whether texts show as they are in all styles of the book.
        self._keeps_texts = all(self._style(style)[1] for style in range(len(book.xf_list)))

    def cell(self, number: int, column: int, type_: int, value: Any) -> str:
        """A cell that is not blank, as JSON."""
        rows = self._rows
        if type_ == xlrd.XL_CELL_TEXT and self._keeps_texts:
            return rows.text(joined(value))
        style = self._sheet.cell_xf_index(number, column)
        code, keeps_text, keeps_number = self._styles.get(style) or self._style(style)
        if type_ == xlrd.XL_CELL_TEXT:
            text = rows.text(joined(value))
            return text if keeps_text else rows.restyled(text, code)
        if type_ == xlrd.XL_CELL_NUMBER and keeps_number:
            return rows.typed(value)
        if type_ in (xlrd.XL_CELL_NUMBER, xlrd.XL_CELL_DATE):
            is_date = type_ == xlrd.XL_CELL_DATE
            return rows.number(value, code, is_1904=bool(self._book.datemode), is_date=is_date)
        if type_ == xlrd.XL_CELL_BOOLEAN:
            return "true" if value else "false"
        if type_ == xlrd.XL_CELL_ERROR:
            return error_cell(rows, xlrd.error_text_from_code.get(value, "#VALUE!"))
        name = reference(number + 1, column + 1)
        raise WorkbookError(f"has a cell {name} of an unknown type {type_}")

    def _style(self, style: int) -> tuple[str, bool, bool]:
        key = self._book.xf_list[style].format_key
        code = checked_code(str(self._book.format_map[key].format_str))
        keeps_text = numbers.shown_text(code, "\0x") == "\0x"
        self._styles[style] = code, keeps_text, numbers.is_plain(code)
        return self._styles[style]


def _formula(rows: Rows) -> str:
    return rows.wrong(
        "#VALUE! (a formula)",
        "is a formula with the value 0 or an empty one, and in .xls these may stand for a formula"
        " that no program has computed: enter the value itself, or open the file in a spreadsheet"
        " program and save it as .xlsx",
    )
