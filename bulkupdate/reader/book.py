"""Write rows of text to a workbook (.xlsx), and compare files by their lines."""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from bulkupdate.reader.raw import RawFile
from bulkupdate.reader.sheet import SheetTable, format_of

#: Largest number of UTF-16 units in a cell. A longer text can't be kept.
MAX_TEXT = 32_767

#: Characters that no name of a sheet has, and the length of the longest one.
_NOT_IN_NAME = re.compile(r"[\[\]:*?/\\]")
_MAX_NAME = 31

#: Characters that XML can't hold, with an escape or without one.
_NOT_IN_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")

#: What is written as an escape: the beginning of text that looks like one, a character that XML
#: can't hold, and the beginning of what the library takes for XML. (Part 1: 22.9.2.19)
_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f]|^<(?=r>)")

_WIDTH = 24  # of a column, in characters


def write_book(
    to: IO[bytes], sheet: str, rows: Iterable[Sequence[str]], *, has_header: bool = False
) -> None:
    """Write a workbook of one sheet. All its cells are texts, and keep what a person types.

    Args:
        to: takes the workbook.
        sheet: the name of the sheet. Another name replaces one that Excel does not take.
        rows: the cells of each row.
        has_header: whether the first row is a header: it stays in view, and filters the others.

    Raises:
        OSError: it can't be written.
    """
    import xlsxwriter
    from xlsxwriter.exceptions import XlsxFileError

    book = xlsxwriter.Workbook(to, {"constant_memory": True})
    page = book.add_worksheet(sheet if _is_name(sheet) else "Rows")
    # The library escapes only the first of two escapes that share a low line.
    page._escape_control_characters = _escaped  # noqa: SLF001 - it has no setting
    try:
        height, width = _write_rows(page, rows, book.add_format({"num_format": "@"}))
        if has_header:
            page.freeze_panes(1, 0)
            page.autofilter(0, 0, max(height - 1, 1), max(width - 1, 0))
        book.close()
    except XlsxFileError as error:
        raise OSError(str(error)) from error
    finally:
        _discard_rows(page)


def _write_rows(page: Any, rows: Iterable[Sequence[str]], as_text: Any) -> tuple[int, int]:
    """Write the rows. Return their number, and the width of the first."""
    number, width = -1, 0
    for number, cells in enumerate(rows):
        if number == 0:
            width = len(cells)
            page.set_column(0, width - 1, _WIDTH, as_text)
        for column, text in enumerate(cells):
            if text and page.write_string(number, column, _storable(text), as_text):
                raise OSError(f"a sheet has no room for row {number + 1}, column {column + 1}")
    return number + 1, width


def _discard_rows(page: Any) -> None:
    """Delete the temporary file of the rows, which is left where the workbook is not whole."""
    with contextlib.suppress(OSError):
        page.row_data_fh.close()
    Path(page.row_data_filename).unlink(missing_ok=True)


def _is_name(sheet: str) -> bool:
    is_whole = sheet.strip("'") == sheet and not _NOT_IN_NAME.search(sheet)
    return is_whole and 0 < len(sheet) <= _MAX_NAME and sheet.lower() != "history"


def _storable(text: str) -> str:
    """A text that a cell can hold, or a note that it can't."""
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    if units > MAX_TEXT:
        return f"#VALUE! (a text of {units:,} characters, which is too long for this format)"
    return _NOT_IN_XML.sub("\ufffd", text)


def _escaped(text: str) -> str:
    """A text in which each character that can't stand for itself is an escape."""
    return _ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", text)


def file_lines(path: Path) -> Iterator[bytes]:
    """The lines of a text file, or the rows of a workbook as lines of JSON.

    Raises:
        OSError: a text file can't be read.
        InputError: a workbook can't be read.
    """
    with path.open("rb") as file:
        if format_of(file.read(8)) is None:
            file.seek(0)
            yield from file
            return
    raw = RawFile.open(path, str(path))
    try:
        table = SheetTable.read(raw, None)
        try:
            for _, cells in table.records():
                yield json.dumps([*map(str, cells)]).encode()
        finally:
            table.close()
    finally:
        raw.close()
