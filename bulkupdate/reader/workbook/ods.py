"""A spreadsheet in OpenDocument (.ods), read in one pass, in small pieces."""

import contextlib
import datetime as dt
import re
import zipfile

from . import numbers
from .markup import elements, local, parse
from .naming import CURE, shows_as
from .rows import (
    BLANK,
    MAX_COLUMNS,
    WIDEST,
    FoundError,
    Rows,
    WorkbookError,
    chosen,
    error_cell,
)
from .rows import open_formula as open_formula_cell

_URN = "urn:oasis:names:tc:opendocument:xmlns:"
_OFFICE, _TABLE, _TEXT = (f"{_URN}{name}:1.0 " for name in ("office", "table", "text"))
_STYLE = f"{_URN}style:1.0 "
_CALCEXT = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0 "

_SHEET, _ROW = f"{_TABLE}table", f"{_TABLE}table-row"
_BODY = f"{_OFFICE}spreadsheet"
_ROW_GROUPS = frozenset(f"{_TABLE}table-{name}" for name in ("rows", "row-group", "header-rows"))
_CELL, _COVERED = f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"
_PARAGRAPH = f"{_TEXT}p"
_TYPE, _ERROR = f"{_OFFICE}value-type", f"{_CALCEXT}value-type"
_FORMULA = f"{_TABLE}formula"
_VALUES = {
    **dict.fromkeys(("float", "percentage", "currency"), f"{_OFFICE}value"),
    **{name: f"{_OFFICE}{name}-value" for name in ("string", "boolean", "date", "time")},
}
_REPEATED = f"{_TABLE}number-columns-repeated"
_SPANS = f"{_TABLE}number-rows-spanned", f"{_TABLE}number-columns-spanned"
_NUMBERS = frozenset({"float", "percentage", "currency"})

#: Blanks as elements. Other blanks count too: LibreOffice writes both, and shows all of them.
_SPACES = {f"{_TEXT}s": " ", f"{_TEXT}tab": "\t", f"{_TEXT}line-break": "\n"}

#: Text that is shown above other text, or nowhere.
_UNSHOWN = frozenset({f"{_TEXT}ruby-text", f"{_TEXT}note"})

#: Programs that compute formulas. Others may store 0, and show it, for one that they don't compute.
_COMPUTING = re.compile(
    "(Libre|Open|Star|Neo|Only|WPS ?|Microsoft ?)Office|Microsoft Excel|Collabora|Calligra|Gnumeric"
    "|Google|Kingsoft|PlanMaker",
    re.IGNORECASE,
)

#: Length of a number that needs no closer look: it shows as it is stored.
_EXACT = 16

#: What LibreOffice shows for true and false, in its languages. A formula stores them as 1 and 0.
_BOOLEANS = {
    "1": {"TRUE", "WAHR", "VRAI", "VERO", "VERDADERO", "VERDADEIRO", "WAAR", "SANT", "SANN", "SAND",
          "TOSI", "PRAWDA", "PRAVDA", "IGAZ", "ADEVĂRAT", "DOĞRU", "ИСТИНА"},
    "0": {"FALSE", "FALSCH", "FAUX", "FALSO", "ONWAAR", "FALSKT", "USANN", "FALSK", "EPÄTOSI",
          "FAŁSZ", "NEPRAVDA", "HAMIS", "FALS", "YANLIŞ", "ЛОЖЬ"},
}  # fmt: skip

_DURATION = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,]\d+)?S)?)?")


def read(archive: zipfile.ZipFile, wanted: str | None, rows: Rows) -> str:
    """Read a sheet.

    Args:
        archive: the archive of its parts.
        wanted: the name of the sheet; None to take the only one with cells.
        rows: takes the rows.

    Returns:
        The name of the sheet.

    Raises:
        WorkbookError: it is no spreadsheet that can be read, or has no such sheet.
    """
    _check_lock(archive)
    reader = _Reader(wanted, rows, is_computed=_is_computed(archive))
    with archive.open("content.xml") as content:
        parse(content, reader.start, reader.end, reader.text)
    if not reader.names:
        raise WorkbookError("can't be read as a spreadsheet: it is another kind of document")
    return chosen(wanted, reader.names, reader.visible, reader.full.__contains__)


def _check_lock(archive: zipfile.ZipFile) -> None:
    """Check that no password is needed.

    Raises:
        WorkbookError: one is needed.
    """
    found = ["encrypted-package"] if "encrypted-package" in archive.namelist() else []

    def take(element: str, _: dict[str, str]) -> None:
        if local(element) == "encryption-data":
            found.append(element)

    if "META-INF/manifest.xml" in archive.namelist():
        with archive.open("META-INF/manifest.xml") as manifest:
            elements(manifest, take)
    if found:
        raise WorkbookError("is locked by a password: save it without one")


def _is_computed(archive: zipfile.ZipFile) -> bool:
    """Whether a program that computes formulas says that it wrote the file."""
    inside = ""
    pieces: list[str] = []

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal inside
        inside = local(name)

    def text(piece: str) -> None:
        if inside == "generator":
            pieces.append(piece)

    if "meta.xml" in archive.namelist():
        with archive.open("meta.xml") as meta:
            parse(meta, start, lambda _: start("", {}), text)
    return _COMPUTING.search("".join(pieces)) is not None


class _Reader:
    """The cells of the sheets, as they are parsed.

    Attributes:
        names: the names of the sheets so far.
        visible: those of the sheets that are not hidden.
        full: the sheets that have cells.
    """

    def __init__(self, wanted: str | None, rows: Rows, *, is_computed: bool) -> None:
        self.names: list[str] = []
        self.visible: list[str] = []
        self.full: set[str] = set()
        self._wanted, self._rows, self._is_computed = wanted, rows, is_computed
        self._only_look = Rows(None)
        self._style, self._hidden = "", set[str]()
        self._to = rows
        self._number = self._repeated = self._gap = 0
        self._cells: list[str] = []
        self._cell: dict[str, str] | None = None
        self._paragraphs: list[str] = []
        self._pieces: list[str] = []
        #: How many elements deep the parser is in what is no text of the cell.
        self._unshown = 0
        self._is_in_body = self._is_in_sheet = False
        #: How many elements deep the parser is in what is no part of a sheet.
        self._outside = 0

    def start(self, name: str, found: dict[str, str]) -> None:
        """Begin an element."""
        if self._cell is not None:
            if name == _PARAGRAPH and not self._unshown:
                self._pieces = []
            else:
                self._start_in_cell(name, found)
        elif self._outside:
            self._outside += 1
        elif self._is_in_sheet:
            self._start_in_sheet(name, found)
        elif name == _SHEET and self._is_in_body:
            self._begin_sheet(found)
        elif self._is_in_body:
            self._outside = 1  # Tracked changes, or the cells of a link.
        elif name == _BODY:
            self._is_in_body = True
        elif name == f"{_STYLE}style":
            self._style = found.get(f"{_STYLE}name", "")
        elif name == f"{_STYLE}table-properties" and found.get(f"{_TABLE}display") == "false":
            self._hidden.add(self._style)

    def end(self, name: str) -> None:
        """End an element."""
        if self._unshown:
            self._unshown -= 1
        elif name == _PARAGRAPH and self._cell is not None:
            self._paragraphs.append("".join(self._pieces))
        elif name in (_CELL, _COVERED) and self._cell is not None:
            self._end_cell(self._cell)
            self._cell = None
        elif self._outside:
            self._outside -= 1
        elif name == _ROW and self._is_in_sheet:
            self._end_row()
        elif name == _SHEET:
            self._is_in_sheet = False
        elif name == _BODY:
            self._is_in_body = False

    def text(self, text: str) -> None:
        """Take a piece of text."""
        if self._cell is not None and not self._unshown:
            self._pieces.append(text)

    def _start_in_sheet(self, name: str, found: dict[str, str]) -> None:
        if name in (_CELL, _COVERED):
            self._cell = found
            self._paragraphs = []
        elif name == _ROW:
            self._cells, self._gap = [], 0
            self._repeated = _count(found, f"{_TABLE}number-rows-repeated")
        elif name not in _ROW_GROUPS:
            self._outside = 1  # A shape may hold a table of its own.

    def _begin_sheet(self, found: dict[str, str]) -> None:
        name = found.get(f"{_TABLE}name", "")
        self.names.append(name)
        is_visible = found.get(f"{_TABLE}style-name") not in self._hidden
        if is_visible:
            self.visible.append(name)
        is_wanted = name == self._wanted
        if self._wanted is None:
            is_wanted = is_visible and self.full.isdisjoint(self.visible)
        self._to = self._rows if is_wanted else self._only_look
        self._number = 0
        self._is_in_sheet = True

    def _start_in_cell(self, name: str, found: dict[str, str]) -> None:
        if self._unshown:
            self._unshown += 1
        elif name in _SPACES:
            count = _count(found, f"{_TEXT}c", least=0)
            self._pieces.append(_SPACES[name] * min(count, MAX_COLUMNS))
        elif not name.startswith(_TEXT) or name in _UNSHOWN:
            # A comment, a picture, or a table.
            self._unshown = 1

    def _end_cell(self, found: dict[str, str]) -> None:
        cell = self._value(found)
        repeated = _count(found, _REPEATED)
        if cell == BLANK:
            # The last cells of a row are often one blank cell, repeated many times.
            self._gap += repeated
            return
        if self._to is self._rows and (_SPANS[0] in found or _SPANS[1] in found):
            self._merge(found, repeated)
        width = len(self._cells) + self._gap + repeated
        if width > WIDEST:
            if self._to is self._rows:
                self._to.check(self._number + 1, width)
            return
        self._cells += [BLANK] * self._gap + [cell] * repeated
        self._gap = 0

    def _merge(self, found: dict[str, str], repeated: int) -> None:
        rows, columns = (_count(found, name) for name in _SPANS)
        if rows == columns == 1:
            return
        first, left = self._number + 1, len(self._cells) + self._gap + 1
        for row in range(first, first + self._repeated):
            for column in range(left, left + repeated):
                self._to.merge(row, column, row + rows - 1, column + columns - 1)

    def _end_row(self) -> None:
        """Write a row as often as it is repeated."""
        if self._cells:
            self.full.add(self.names[-1])
            with contextlib.suppress(FoundError):
                for number in range(self._number + 1, self._number + self._repeated + 1):
                    self._to.add(number, self._cells.copy())
        self._number += self._repeated

    def _value(self, found: dict[str, str]) -> str:
        """The value of a cell, as JSON."""
        if not found and not self._paragraphs:
            return BLANK
        type_ = found.get(_TYPE, "")
        is_error = found.get(_ERROR) == "error"
        if type_ == "string" and not is_error and len(self._paragraphs) == 1:
            return self._to.text(self._paragraphs[0])  # This is faster, and most cells are so.
        shown = "\n".join(self._paragraphs)
        if is_error:
            return error_cell(self._to, shown)
        if not type_ and _FORMULA in found:
            if self._is_computed and self._paragraphs == [""]:
                return BLANK  # The formula gives an empty text.
            return open_formula_cell(self._to)
        value = found.get(_VALUES.get(type_, ""), "")
        if type_ in _NUMBERS:
            if _FORMULA in found and value in ("", "0") and not self._is_computed:
                return _zero_formula(self._to)
            if type_ == "float" and shown in _BOOLEANS.get(value, ()):
                return "true" if value == "1" else "false"
            return self._number_cell(value, shown if self._paragraphs else None, type_)
        if type_ == "boolean":
            return "true" if value == "true" else "false"
        if type_ == "date":
            return self._date_cell(value, shown)
        if type_ == "time":
            return self._to.typed({"time": _duration(value)})
        return self._to.text(shown if self._paragraphs else value)

    def _date_cell(self, text: str, shown: str) -> str:
        local = text.removesuffix("Z")
        if not (date := numbers.iso_date(local)):
            return self._to.wrong(text, "is not a date")
        if local != text and "date" in date and not _agrees(date["date"], shown):
            return self._to.wrong(text, f"{shows_as(shown)}{CURE}")
        if zone := numbers.shown_zone(shown):
            return self._to.with_zone(text, zone)
        return self._to.typed(date)

    def _number_cell(self, text: str, shown: str | None, type_: str) -> str:
        try:
            value = float(text)
        except ValueError:
            return self._to.wrong(text, "is not a number: enter it again")
        if type_ == "float" and (shown is None or (shown == text and len(text) < _EXACT)):
            return self._to.typed(value)
        return self._to.formatted(value, shown, type_)


def _agrees(date: str, shown: str) -> bool:
    """Whether a cell shows this local time, as far as its text tells.

    Some programs write Z behind a local time, and others behind the time in UTC.
    """
    figures = set(map(int, re.findall(r"\d+", shown)))
    found = dt.datetime.fromisoformat(date)
    if ":" in shown:
        return found.minute in figures and bool({found.hour, found.hour % 12 or 12} & figures)
    return not figures or found.day in figures


def _count(found: dict[str, str], name: str, least: int = 1) -> int:
    """How often something is repeated, or how many cells it covers: once if that is not given.

    Raises:
        WorkbookError: it is less than what is possible.
    """
    if name not in found:
        return 1
    if (count := int(found[name])) < least:
        raise WorkbookError(f"is broken: {local(name)} is {count}")
    return count


def _zero_formula(rows: Rows) -> str:
    return rows.wrong(
        "#VALUE! (a formula with the value 0)",
        "is a formula with the value 0, which some programs store for one that they don't compute,"
        " and the file does not name a program that does: enter the value itself, or open the file"
        " in LibreOffice and save it",
    )


def _duration(text: str) -> str:
    """A duration like `PT36H00M00S` as hours, minutes and seconds."""
    if not (found := _DURATION.fullmatch(text)):
        return text
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
    return f"{found[1]}{days * 24 + hours:02}:{minutes:02}:{seconds:02}"
