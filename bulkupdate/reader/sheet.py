"""Read one sheet of a spreadsheet as records of text, as a CSV file holds them."""

import contextlib
import importlib.util
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from bulkupdate.codec import parse_json
from bulkupdate.errors import InputError, setting
from bulkupdate.reader.options import Format
from bulkupdate.reader.raw import RawFile
from bulkupdate.reader.records import Record

if TYPE_CHECKING:
    from bulkupdate.stop import Stop

#: First bytes of spreadsheet files: of ZIP archives (.xlsx, .ods) and of .xls files.
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ODS = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"

#: Number of digits of a number that Excel keeps: it turns the rest into zeros.
_EXACT_DIGITS = 15

#: Longest time to read a spreadsheet, in seconds.
_LONGEST = 300
_POLL = 0.1

_INSTALL = "pip install python-calamine"


class Cell(str):
    """The text of a cell whose type is not text.

    Attributes:
        kind: the type of the cell. Only the spreadsheet knows its number format.
        problem: the reason why the cell can't be read; "" if it can.
    """

    __slots__ = ("kind", "problem")
    kind: str
    problem: str

    def __new__(cls, text: str, kind: str, problem: str = "") -> "Cell":
        """Create the text with the type and the problem of its cell."""
        cell = super().__new__(cls, text)
        cell.kind, cell.problem = kind, problem
        return cell

    def __eq__(self, other: object) -> bool:
        # A number does not equal the text that looks like it.
        return isinstance(other, Cell) and self.kind == other.kind and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def format_of(head: bytes) -> Format | None:
    """The format of a spreadsheet with these first bytes; None for other files."""
    if head.startswith(_OLE):
        return Format.XLS
    if head.startswith(_ZIP):
        return Format.ODS if _ODS in head[:120] else Format.XLSX
    return None


class SheetTable:
    """The rows of one sheet, on disk. Create one with `SheetTable.read`.

    Args:
        rows: the output of the process that read the sheet, in a temporary file.
        sheet: the name of the sheet.

    Attributes:
        sheet: the name of the sheet.
    """

    def __init__(self, rows: IO[bytes], sheet: str) -> None:
        self._rows = rows
        self.sheet = sheet

    @classmethod
    def read(cls, raw: RawFile, wanted: str | None, stop: "Stop | None" = None) -> Self:
        """Read a sheet in another process.

        Args:
            raw: the file.
            wanted: the name of the sheet; None to take the only one.
            stop: the signal that ends the read early.

        Raises:
            InputError: the file can't be read, or has several sheets and `wanted` is None.
            RunStoppedError: the stop was set.
        """
        if importlib.util.find_spec("python_calamine") is None:
            raise InputError(
                f"{raw.name}: is a spreadsheet: run {_INSTALL} to read it, or save it as CSV"
            )
        rows = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the table
        try:
            _read(raw, wanted, rows, stop)
            rows.seek(0)
            return cls(rows, _sheet_name(rows, raw.name))
        except BaseException:
            rows.close()
            raise

    def records(self) -> Iterator[Record]:
        """The rows of the sheet that are not blank, with their numbers in the sheet."""
        self._rows.seek(0)
        self._rows.readline()
        for line in self._rows:
            number, values = parse_json(line)
            cells = [value if type(value) is str else _text(value) for value in values]
            if any(map(str.strip, cells)):
                yield number, cells

    def close(self) -> None:
        """Delete the rows from the disk."""
        self._rows.close()


def _sheet_name(rows: IO[bytes], name: str) -> str:
    """The name of the sheet, from the first line.

    Raises:
        InputError: the first line holds an error instead.
    """
    found = parse_json(rows.readline())
    if "error" in found:
        raise InputError(f"{name}: {found['error'].replace('{sheet}', setting('sheet'))}")
    return str(found["sheet"])


def _read(raw: RawFile, wanted: str | None, rows: IO[bytes], stop: "Stop | None") -> None:
    script = Path(__file__).with_name("workbook.py")
    command = [sys.executable, "-P", str(script), *([] if wanted is None else [wanted])]
    with tempfile.TemporaryFile() as whole:
        with raw.content() as content:
            shutil.copyfileobj(content, whole)
        whole.seek(0)
        if not _run(command, whole, rows, stop):
            raise InputError(
                f"{raw.name}: is a spreadsheet that is broken or too large: save it as CSV"
            )


def _run(command: list[str], whole: IO[bytes], rows: IO[bytes], stop: "Stop | None") -> bool:
    """Run a command to its end. Returns whether it succeeded in time."""
    process = subprocess.Popen(  # noqa: S603 - our own script
        command,
        stdin=whole,
        stdout=rows,
        stderr=subprocess.DEVNULL,
        # This process handles Ctrl-C. The script must not see the API key.
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if "LEMLIST" not in name},
    )
    deadline = time.monotonic() + _LONGEST
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_POLL) == 0
            if stop is not None:
                stop.check()
        return False
    finally:
        process.kill()
        process.wait()


def _text(value: Any) -> str:
    """The text for the value of a cell."""
    if isinstance(value, bool):
        return Cell("true" if value else "false", "check box")
    if isinstance(value, int | float):
        return _number(value)
    if "date" in value:
        return Cell(value["date"], "date")
    problem = "is a time or a duration: a due date needs a day. Format the cell as a date"
    return Cell(value["time"], "time", problem)


def _number(value: float) -> str:
    if not math.isfinite(value) or value != int(value):
        return Cell(repr(value), "number")
    digits = str(int(value))
    if len(digits.lstrip("-")) <= _EXACT_DIGITS:
        return Cell(digits, "number")
    problem = (
        f"is a number of more than {_EXACT_DIGITS} digits, and the spreadsheet lost some of them:"
        " format the column as text and enter the number again"
    )
    return Cell(digits, "number", problem)
