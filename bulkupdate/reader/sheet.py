"""Spreadsheets → records: one sheet, its cells as the text that a CSV file would hold."""

import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from bulkupdate.errors import InputError
from bulkupdate.read_options import Format
from bulkupdate.reader.raw import RawFile
from bulkupdate.reader.records import Record

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

#: What the files of spreadsheets begin with. The first two are ZIP archives.
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ODS = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"

#: Excel keeps so many digits of a number and makes the rest zeros.
_EXACT_DIGITS = 15

_INSTALL = "pip install 'bulkupdate[excel]'"


class Cell(str):
    """The text of a cell that was no text.

    Attributes:
        is_date: whether it was a date, of which only the spreadsheet knows how it is shown.
        problem: why it can't be read at all; "" if it can.
    """

    __slots__ = ("is_date", "problem")
    is_date: bool
    problem: str

    def __new__(cls, text: str, *, is_date: bool = False, problem: str = "") -> "Cell":
        """The text, with what is to be known of it."""
        cell = super().__new__(cls, text)
        cell.is_date, cell.problem = is_date, problem
        return cell


def format_of(head: bytes) -> Format | None:
    """Which spreadsheet begins so; None if none does."""
    if head.startswith(_OLE):
        return Format.XLS
    if head.startswith(_ZIP):
        return Format.ODS if _ODS in head[:120] else Format.XLSX
    return None


class SheetTable:
    """One sheet, which stays in memory.

    Args:
        raw: the file.
        wanted: the name of the sheet, or None where there is but one.

    Attributes:
        sheet: its name.

    Raises:
        InputError: it can't be read, or it can't be told which sheet is meant.
    """

    def __init__(self, raw: RawFile, wanted: str | None) -> None:
        try:
            import python_calamine
        except ImportError:
            raise InputError(
                f"{raw.name}: is a spreadsheet; to read those: {_INSTALL}. Or save it as CSV"
            ) from None
        self._name = raw.name
        try:
            with raw.content() as content:
                workbook = python_calamine.CalamineWorkbook.from_filelike(content)
                self.sheet = self._chosen(workbook, wanted)
                self._sheet = workbook.get_sheet_by_name(self.sheet)
        except python_calamine.PasswordError:
            raise InputError(f"{raw.name}: is locked by a password: save it without") from None
        except (python_calamine.CalamineError, python_calamine.ZipError) as error:
            raise InputError(f"{raw.name}: is no spreadsheet that can be read: {error}") from None

    def records(self) -> Iterator[Record]:
        """The rows that are not blank, with their numbers in the sheet."""
        for number, values in enumerate(self._sheet.iter_rows(), 1):
            cells = [value if type(value) is str else _text(value) for value in values]
            if any(map(str.strip, cells)):
                yield number, cells

    def _chosen(self, workbook: "CalamineWorkbook", wanted: str | None) -> str:
        import python_calamine

        sheets = [
            sheet.name
            for sheet in workbook.sheets_metadata
            if sheet.typ is python_calamine.SheetTypeEnum.WorkSheet
        ]
        if wanted is not None:
            if wanted not in sheets:
                shown = ", ".join(map(repr, sheets))
                raise InputError(f"{self._name}: there is no sheet {wanted!r}: there are {shown}")
            return wanted
        visible = {
            sheet.name
            for sheet in workbook.sheets_metadata
            if sheet.visible is python_calamine.SheetVisibleEnum.Visible
        }
        full = [name for name in sheets if name in visible and _is_full(workbook, name)]
        if len(full) > 1:
            shown = ", ".join(map(repr, full))
            raise InputError(f"{self._name}: has several sheets: say which: --sheet {shown}")
        if not full:
            raise InputError(f"{self._name}: the file is empty")
        return full[0]


def _is_full(workbook: "CalamineWorkbook", name: str) -> bool:
    return workbook.get_sheet_by_name(name).height > 0


def _text(value: Any) -> str:
    """The text that stands for the value of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, datetime | date):
        return Cell(value.isoformat(), is_date=True)
    if isinstance(value, time | timedelta):
        problem = "is a time or a duration: a due date needs a day. Format the cell as a date"
        return Cell(str(value), problem=problem)
    return str(value)


def _number(value: float) -> str:
    if not math.isfinite(value) or value != int(value):
        return repr(value)
    digits = str(int(value))
    if len(digits.lstrip("-")) <= _EXACT_DIGITS:
        return digits
    problem = (
        f"is a number of more than {_EXACT_DIGITS} digits, of which a spreadsheet has lost some:"
        " format the column as text and enter it again"
    )
    return Cell(digits, problem=problem)
