"""Write rows of text to a workbook (.xlsx), and compare files by their lines."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from bulkupdate.reader.raw import RawFile
from bulkupdate.reader.sheet import SheetTable, format_of

#: Largest number of characters in a cell. A longer text can't be kept.
_MAX_TEXT = 32_767

#: Characters that no name of a sheet has, and the length of the longest one.
_NOT_IN_NAME = re.compile(r"[\[\]:*?/\\]")
_MAX_NAME = 31

#: Characters that XML can't hold, with an escape or without one.
_NOT_IN_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")

#: Text that looks like two escapes, of which the library escapes only the first.
_TWO_ESCAPES = re.compile("_x[0-9A-Fa-f]{4}_x[0-9A-Fa-f]{4}_")

_WIDTH = 24  # of a column, in characters


def write_book(to: IO[bytes], sheet: str, rows: Iterable[Sequence[str]]) -> None:
    """Write a workbook of one sheet. All its cells are texts, and keep what a person types.

    Args:
        to: takes the workbook.
        sheet: the name of the sheet. Another name replaces one that Excel does not take.
        rows: the cells of each row.

    Raises:
        OSError: it can't be written.
    """
    import xlsxwriter

    book = xlsxwriter.Workbook(to, {"constant_memory": True})
    page = book.add_worksheet(sheet if _is_name(sheet) else "Rows")
    as_text = book.add_format({"num_format": "@"})
    try:
        for number, cells in enumerate(rows):
            if number == 0:
                page.set_column(0, len(cells) - 1, _WIDTH, as_text)
            for column, text in enumerate(cells):
                if text:
                    page.write_string(number, column, _storable(text), as_text)
    finally:
        # After an error too: it closes the temporary files.
        _close(book)


def _close(book: Any) -> None:
    from xlsxwriter.exceptions import XlsxFileError

    try:
        book.close()
    except XlsxFileError as error:
        raise OSError(str(error)) from error


def _is_name(sheet: str) -> bool:
    is_whole = sheet.strip("'") == sheet and not _NOT_IN_NAME.search(sheet)
    return is_whole and 0 < len(sheet) <= _MAX_NAME and sheet.lower() != "history"


def _storable(text: str) -> str:
    """A text that a cell can hold, or a note that it can't."""
    if len(text) > _MAX_TEXT:
        return f"#VALUE! (a text of {len(text):,} characters, which is too long for this format)"
    if _TWO_ESCAPES.search(text):
        return "#VALUE! (a text that this format can't hold: it is in the input)"
    return _NOT_IN_XML.sub("\ufffd", text)


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
