"""Read one sheet of a spreadsheet as records of text, as a CSV file holds them."""

import contextlib
import errno
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
from bulkupdate.reader.workbook.naming import CURE, range_name, reference

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

#: The libraries of the extra `excel`, one to read .xls and one to write .xlsx.
LIBRARIES = ("xlrd", "xlsxwriter")
INSTALL = f"pip install {' '.join(LIBRARIES)}"

#: The process imports the package `workbook` from the folder in its first argument, and nothing
#: else of bulkupdate.
_PROGRAM = """
import sys
sys.path.append(sys.argv.pop(1))
from workbook.__main__ import main
main()
"""

#: The error where the program ended without a word, or took too long.
_DIED = {"error": "is a spreadsheet that is broken or too large: save it as CSV"}

#: The end of a message about a number format that shows another number.
_CHECK = ": set the format to General, and check the number"

#: Kind of a cell that is wrong in any column.
WRONG = "wrong cell"


def can_read_sheets() -> bool:
    """Whether the libraries of the extra `excel` are installed."""
    return all(map(importlib.util.find_spec, LIBRARIES))


class Cell(str):
    """The text of a cell whose type is not text.

    Attributes:
        kind: the type of the cell. Only the spreadsheet knows its number format.
        problem: the reason why the cell can't be read; "" if it can.
        shown: what an id in this cell shows instead, as the end of a message; "" for the same.
    """

    __slots__ = ("kind", "problem", "shown")
    kind: str
    problem: str
    shown: str

    def __new__(cls, text: str, kind: str, problem: str = "", shown: str = "") -> "Cell":
        """Create the text with the type and the problem of its cell."""
        cell = super().__new__(cls, text)
        cell.kind, cell.problem, cell.shown = kind, problem, shown
        return cell

    def __eq__(self, other: object) -> bool:
        # A number does not equal the text that looks like it.
        return (
            isinstance(other, Cell)
            and (self.kind, self.problem, self.shown) == (other.kind, other.problem, other.shown)
            and str.__eq__(self, other)
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def isidentifier(self) -> bool:
        """Never: the type of the cell counts too."""
        return False


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
        rows: the rows that the process read, in a temporary file.
        facts: the facts about the sheet from that process.

    Attributes:
        sheet: the name of the sheet.
        format: the format of the spreadsheet.
        is_plain: whether no cell is wrong, and no text holds an odd character.
    """

    def __init__(self, rows: IO[bytes], facts: dict[str, Any]) -> None:
        self._rows = rows
        self.sheet = str(facts["sheet"])
        self.format = Format(facts["format"])
        self.is_plain = bool(facts["is_plain"])
        self._first, self._width = facts["first"], facts["width"]
        self._merged: list[list[int]] = sorted(facts["merged"])

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
        if not can_read_sheets():
            raise InputError(
                f"{raw.name}: is a spreadsheet: run {INSTALL} to read it, or save it as CSV"
            )
        with _room(raw.name):
            rows = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the table
        try:
            facts = _read(raw, wanted, rows, stop)
            rows.seek(0)
            return cls(rows, facts)
        except BaseException:
            rows.close()
            raise

    def records(self) -> Iterator[Record]:
        """The rows of the sheet that are not blank, with their numbers in the sheet."""
        self._rows.seek(0)
        first, width = self._first, self._width - self._first
        merged = _Merged(self._merged, first)
        is_header, named = True, width
        for line in self._rows:
            number, values = parse_json(line)
            cells = [value if type(value) is str else _text(value) for value in values[first:]]
            if any(map(str.strip, cells)):
                cells += [""] * (width - len(cells))
                if is_header:
                    named = max(at for at, cell in enumerate(cells, 1) if cell.strip())
                elif named < width:
                    _mark_strays(number, cells, named, first)
                if self._merged:
                    merged.mark(number, cells, is_header=is_header)
                is_header = False
                yield number, cells

    def close(self) -> None:
        """Delete the rows from the disk."""
        self._rows.close()


def _mark_strays(number: int, cells: list[str], named: int, first: int) -> None:
    """Mark the cells of a row that stand to the right of the named columns."""
    for at in range(named, len(cells)):
        if cells[at].strip():
            name = reference(number, first + at + 1)
            problem = (
                f"holds text in cell {name}, whose column has no name: clear the cell, or name the"
                " column"
            )
            cells[at] = Cell(cells[at], WRONG, problem)


class _Merged:
    """The merged cells of a sheet, as its rows go by.

    A spreadsheet shows the text of a merged cell once, in the place of several cells. Only the
    first of them has it.
    """

    def __init__(self, ranges: list[list[int]], first: int) -> None:
        self._ahead = ranges[::-1]
        self._first = first
        #: The ranges that cover the current row, and the text of each.
        self._open: list[tuple[list[int], str]] = []

    def mark(self, number: int, cells: list[str], *, is_header: bool) -> None:
        """Mark the cells of a row that are merged.

        Args:
            number: the number of the row.
            cells: its cells.
            is_header: whether they are names of columns, which may be merged.
        """
        self._open = [(range_, text) for range_, text in self._open if range_[2] >= number]
        while self._ahead and self._ahead[-1][0] <= number:
            range_ = self._ahead.pop()
            at = range_[1] - 1 - self._first
            is_here = range_[0] == number and 0 <= at < len(cells)
            if range_[2] >= number and is_here and cells[at].strip():
                self._open.append((range_, cells[at]))
        for range_, text in () if is_header else self._open:
            _, column, _, last_column = range_
            name = range_name(*range_)
            problem = f"is merged over {name}: split the merged cell, and fill in each cell"
            for at in range(column - 1 - self._first, min(last_column - self._first, len(cells))):
                cells[at] = Cell(text, WRONG, problem)


def _read(raw: RawFile, wanted: str | None, rows: IO[bytes], stop: "Stop | None") -> dict[str, Any]:
    """Write the rows of a sheet to a file. Returns the facts about the sheet.

    Raises:
        InputError: the spreadsheet can't be read.
    """
    with contextlib.ExitStack() as closing:
        whole = closing.enter_context(raw.content())
        if raw.compression is not None:
            with _room(raw.name):
                copy = closing.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(whole, copy)
                copy.flush()
            whole = copy
        whole.seek(0)
        facts = _run(whole, wanted, rows, stop)
    error = facts.get("error")
    if error == "full":
        raise _no_room(raw.name)
    if error is not None:
        raise InputError(f"{raw.name}: {error.replace('{sheet}', setting('sheet'))}")
    return facts


def _run(
    whole: IO[bytes], wanted: str | None, rows: IO[bytes], stop: "Stop | None"
) -> dict[str, Any]:
    """The facts that the process found, or its error."""
    to = rows.fileno()
    command = [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parent), str(to)]
    deadline = time.monotonic() + _LONGEST
    with subprocess.Popen(  # noqa: S603 - our own program
        [*command, *([] if wanted is None else [wanted])],
        stdin=whole,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(to,),
        # This process handles Ctrl-C. The program must not see the API key.
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if "LEMLIST" not in name},
    ) as process:
        try:
            while time.monotonic() < deadline:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    found, _ = process.communicate(timeout=_POLL)
                    return dict(parse_json(found)) if process.returncode == 0 else _DIED
                if stop is not None:
                    stop.check()
        finally:
            process.kill()
    return _DIED


@contextlib.contextmanager
def _room(name: str) -> Iterator[None]:
    """Errors of temporary files as those of the machine, and not of the spreadsheet."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
            raise
        raise _no_room(name) from None


def _no_room(name: str) -> InputError:
    return InputError(
        f"{name}: is a spreadsheet, and its rows find no room in the directory for temporary files"
        f" ({tempfile.gettempdir()}): make room there, or set TMPDIR to another directory"
    )


def _text(value: Any) -> str:
    """The text for the value of a cell."""
    if isinstance(value, bool):
        return Cell("true" if value else "false", "check box")
    if isinstance(value, int | float):
        return _number(value)
    if "wrong" in value:
        return Cell(value["text"], WRONG, value["wrong"])
    if "number" in value:
        number, shown = _number(value["number"]), f"{value['shown']}{CURE}"
        problem = "" if value["is_same"] else f"{value['shown']}{_CHECK}"
        return Cell(number, "number", number.problem or problem, number.problem or shown)
    if "date" in value:
        return Cell(value["date"], "date")
    problem = "is a time or a duration: a due date needs a day. Format the cell as a date"
    return Cell(value["time"], "time", problem)


def _number(value: float) -> Cell:
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
