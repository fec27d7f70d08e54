"""A workbook of Excel 97 to 2003 (.xls), by xlrd, which sees number formats and merged cells."""

import io
from collections.abc import Callable
from typing import IO, Any

import xlrd

from .rows import BLANK, FoundError, Rows, WorkbookError, chosen, error_cell, joined, reference

#: Stream of an Office Open XML workbook that is locked by a password.
_LOCKED = "EncryptedPackage".encode("utf-16-le")

#: Records of formulas. (MS-XLS: 2.3; the earlier versions have the others)
_FORMULAS = (0x0006, 0x0206, 0x0406)

#: Results of a formula that programs store that can't compute: 0, and an empty cell.
_ZERO = bytes(8)
_EMPTY, _IS_NO_NUMBER = 3, b"\xff\xff"

Record = tuple[int, int, bytes]


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
    visible = [name for number, name in enumerate(names) if not _visibility(book, number)]
    name = chosen(wanted, names, visible, lambda name: _is_full(book, name))
    formulas: set[tuple[int, int]] = set()
    book.get_record_parts = _noting(book.get_record_parts, formulas)
    book.unload_sheet(name)
    sheet = book.sheet_by_name(name)
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


def _visibility(book: Any, number: int) -> int:
    sheet = book.sheet_by_index(number)
    book.unload_sheet(number)
    return int(sheet.visibility)


def _is_full(book: Any, name: str) -> bool:
    sheet = book.sheet_by_name(name)
    book.unload_sheet(name)
    try:
        _write(book, sheet, set(), Rows(None))
    except FoundError:
        return True
    return False


def _noting(
    next_record: Callable[[], Record], formulas: set[tuple[int, int]]
) -> Callable[[], Record]:
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


def _write(book: Any, sheet: Any, formulas: set[tuple[int, int]], rows: Rows) -> None:
    """Write the rows of a sheet."""
    for number in range(sheet.nrows):
        cells = []
        pairs = zip(sheet.row_types(number), sheet.row_values(number), strict=True)
        for column, (type_, value) in enumerate(pairs):
            if (number, column) in formulas:
                cells.append(_formula(rows))
            else:
                cells.append(_cell(book, sheet, (number, column), type_, value, rows))
        rows.add(number + 1, cells)


def _cell(book: Any, sheet: Any, at: tuple[int, int], type_: int, value: Any, rows: Rows) -> str:
    """A cell as JSON."""
    match type_:
        case xlrd.XL_CELL_EMPTY | xlrd.XL_CELL_BLANK:
            return BLANK
        case xlrd.XL_CELL_TEXT:
            return rows.restyled(rows.text(joined(value)), _code(book, sheet, at))
        case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE:
            is_date = type_ == xlrd.XL_CELL_DATE
            code = _code(book, sheet, at)
            return rows.number(value, code, is_1904=bool(book.datemode), is_date=is_date)
        case xlrd.XL_CELL_BOOLEAN:
            return "true" if value else "false"
        case xlrd.XL_CELL_ERROR:
            return error_cell(rows, xlrd.error_text_from_code.get(value, "#VALUE!"))
    raise WorkbookError(f"has a cell {reference(at[0] + 1, at[1] + 1)} of an unknown type {type_}")


def _code(book: Any, sheet: Any, at: tuple[int, int]) -> str:
    """The number format of a cell."""
    style = book.xf_list[sheet.cell_xf_index(*at)]
    return str(book.format_map[style.format_key].format_str)


def _formula(rows: Rows) -> str:
    return rows.wrong(
        "#VALUE! (a formula)",
        "is a formula with the value 0 or an empty one, and in .xls these may stand for a formula"
        " that no program has computed: enter the value itself, or open the file in a spreadsheet"
        " program and save it as .xlsx",
    )
