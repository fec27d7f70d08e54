"""A workbook in Office Open XML (.xlsx, .xlsm), in the transitional or the strict form.

The sheet is read in one pass, in small pieces. Only the shared texts stay in memory.
"""

import itertools
import posixpath
import re
import string
import zipfile
from collections.abc import Callable
from typing import IO, NamedTuple

from . import numbers
from .markup import elements, local, parse
from .naming import reference
from .rows import (
    BLANK,
    Rows,
    WorkbookError,
    checked_code,
    error_cell,
    joined,
    open_formula,
)

_NAMESPACES = frozenset(
    {
        "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
        "http://purl.oclc.org/ooxml/spreadsheetml/main",
    }
)

#: Characters that XML can't hold, or that look like this escape. (Part 1: 22.9.2.19)
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")

#: The letters of all columns of Excel. Those of the next one are none.
_COLUMNS = 16_384
_LETTERS = [
    "".join(letters)
    for length in (1, 2, 3)
    for letters in itertools.product(string.ascii_uppercase, repeat=length)
][:_COLUMNS]
_LETTERS.append("")

#: Programs that store 0 for a formula, and don't ask the next program to compute.
_NOT_COMPUTING = re.compile(r"\bN?POI\b")

_REMEMBERED = 10_000


class Sheet(NamedTuple):
    """A sheet of the workbook: its name, whether it is hidden, and the part that holds it."""

    name: str
    is_hidden: bool
    part: str


class Book:
    """A workbook.

    Args:
        archive: the archive of its parts.

    Attributes:
        sheets: its sheets that have cells.
        strings: its shared texts, as JSON.

    Raises:
        WorkbookError: it is no workbook that can be read.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.replace("\\", "/").lower(): name for name in archive.namelist()}
        self.sheets: list[Sheet] = []
        self.strings: list[str] = []
        self._is_1904 = self._is_open = False
        self._links: dict[str, tuple[str, str]] = {}
        self._is_open = self._is_by_poi()
        main = self._main()
        for kind, target in self._relations(main).values():
            if kind == "styles" and self._has(target):
                self._styles = _Styles(self._open(target))
        self._links = self._relations(main)
        elements(self._open(main), self._take)
        self._texts = [part for kind, part in self._links.values() if kind == "sharedStrings"]

    def _is_by_poi(self) -> bool:
        """Whether a program that computes nothing says that it wrote the file."""
        pieces: list[str] = []
        for kind, part in self._relations("").values():
            if kind == "extended-properties" and self._has(part):
                source = self._open(part)
                parse(source, lambda _name, _found: None, lambda _name: None, pieces.append)
        return _NOT_COMPUTING.search("".join(pieces)) is not None

    def _main(self) -> str:
        """The name of the part that names the sheets."""
        found = [
            part for kind, part in self._relations("").values() if kind == "officeDocument"
        ] or ["xl/workbook.xml"]
        if found[0].endswith(".bin"):
            raise WorkbookError("is a binary workbook (.xlsb): save it as .xlsx")
        if not self._has(found[0]):
            raise WorkbookError(
                "can't be read as a spreadsheet: if it is an archive, unpack it first"
            )
        return found[0]

    _styles: "_Styles | None" = None

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """The parts that a part names: id → kind and name."""
        folder, name = posixpath.split(part)
        relations: dict[str, tuple[str, str]] = {}

        def take(element: str, found: dict[str, str]) -> None:
            if local(element) == "Relationship" and found.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, found.get("Target", "")))
                kind = posixpath.basename(found.get("Type", ""))
                relations[found.get("Id", "")] = kind, target.lstrip("/")

        links = posixpath.join(folder, "_rels", f"{name}.rels")
        if self._has(links):
            elements(self._open(links), take)
        return relations

    def _has(self, part: str) -> bool:
        return part.lower() in self._names

    def _open(self, part: str) -> IO[bytes]:
        return self._archive.open(self._names[part.lower()])

    def _take(self, element: str, found: dict[str, str]) -> None:
        match local(element):
            case "workbookPr":
                self._is_1904 = _flag(found.get("date1904"))
            case "calcPr":
                self._is_open |= _flag(found.get("fullCalcOnLoad"))
            case "sheet":
                key = next((key for key in found if local(key) == "id"), "")
                kind, part = self._links.get(found.get(key, ""), ("", ""))
                if kind == "worksheet":
                    is_hidden = found.get("state", "visible") != "visible"
                    self.sheets.append(Sheet(found.get("name", ""), is_hidden, part))

    def read(self, sheet: Sheet, rows: Rows) -> None:
        """Read the rows of a sheet."""
        if self._texts and not self.strings:
            texts = _Texts(rows, self.strings)
            parse(self._open(self._texts[0]), texts.start, texts.end, texts.pieces.append)
        styles = self._styles or _Styles(None)
        reader = _SheetReader(self.strings, styles, rows, self._is_1904, self._is_open)
        parse(self._open(sheet.part), reader.start, reader.end, reader.pieces.append)


class _Styles:
    """The number formats of cells, by the number of a style."""

    def __init__(self, source: IO[bytes] | None) -> None:
        self._codes = dict(numbers.BUILTIN)
        self._ids: list[int] = []
        self._section = ""
        if source is not None:
            elements(source, self._take)
        # A book without styles shows all cells as they are.
        of = [self._codes.get(number, "General") for number in self._ids or [0]]
        self._of = list(map(checked_code, of))
        #: Styles whose whole numbers show as their digits.
        self.plain = {str(n) for n, code in enumerate(self._of) if numbers.is_plain(code)}
        #: Styles in which a text may show as another text.
        self.restyled = {
            str(n) for n, code in enumerate(self._of) if numbers.shown_text(code, "\0x") != "\0x"
        }

    def code(self, style: str) -> str:
        """The number format of a style."""
        return self._of[_index(style)]

    def _take(self, element: str, found: dict[str, str]) -> None:
        name = local(element)
        if name == "xf" and self._section == "cellXfs":
            self._ids.append(int(found.get("numFmtId", 0)))
        elif name == "numFmt" and self._section == "numFmts":
            self._codes[int(found["numFmtId"])] = found["formatCode"]
        elif name in ("numFmts", "cellXfs", "cellStyleXfs", "dxfs"):
            self._section = name


class _Texts:
    """The shared texts, as they are parsed."""

    def __init__(self, rows: Rows, texts: list[str]) -> None:
        self.pieces: list[str] = []
        self._rows = rows
        self._texts = texts
        self._text = ""
        self._is_phonetic = False
        self._item = self._part = ""

    def start(self, name: str, _: dict[str, str]) -> None:
        """Begin an element."""
        if not self._item:
            namespace = _namespace(name, "sst")
            self._item, self._part = f"{namespace} si", f"{namespace} t"
        self.pieces.clear()
        if name == self._item:
            self._text = ""
        elif name.endswith(" rPh"):
            self._is_phonetic = True

    def end(self, name: str) -> None:
        """End an element."""
        if name == self._part:
            if not self._is_phonetic:
                self._text += "".join(self.pieces)
        elif name == self._item:
            self._texts.append(self._rows.text(_unescaped(self._text)))
        elif name.endswith(" rPh"):
            self._is_phonetic = False


class _SheetReader:
    """The cells of a sheet, as they are parsed.

    A sheet has very many cells, so the methods that each of them needs are written for speed.
    """

    def __init__(
        self, strings: list[str], styles: _Styles, rows: Rows, is_1904: bool, is_open: bool
    ) -> None:
        self.pieces: list[str] = []
        self._strings, self._styles, self._rows = strings, styles, rows
        self._is_1904, self._is_open = is_1904, is_open
        self._plain, self._restyled = styles.plain, styles.restyled
        self._numbers: dict[tuple[str, str], str] = {}
        self._number, self._digits = 0, ""
        self._cells: list[str] = []
        self._type: str | None = None
        self._style = "0"
        self._value = ""
        self._is_formula = self._is_phonetic = False
        self._cell = self._inner = self._text = ""
        #: What to do where the other elements begin and end.
        self._starts: dict[str, Callable[[dict[str, str]], None]] = {}
        self._ends: dict[str, Callable[[], None]] = {}

    def start(self, name: str, found: dict[str, str]) -> None:
        """Begin an element."""
        if name == self._cell:
            reference_ = found.get("r")
            if reference_ and reference_ != _LETTERS[len(self._cells)] + self._digits:
                self._go_to(reference_)
            elif not reference_ and len(self._cells) == _COLUMNS:
                raise WorkbookError(f"has more than {_COLUMNS:,} cells in row {self._number}")
            self._type = found.get("t")
            self._style = found.get("s", "0")
            self._value = ""
            self._is_formula = False
            return
        self.pieces.clear()
        if name in self._starts:
            self._starts[name](found)
        elif not self._cell:
            self._begin(_namespace(name, "worksheet"))

    def end(self, name: str) -> None:
        """End an element."""
        if name == self._cell:
            if self._type == "s" and not (self._is_formula or self._restyled):
                self._cells.append(self._strings[_index(self._value)] if self._value else BLANK)
            else:
                self._cells.append(self._ended_cell())
        elif name == self._text or name == self._inner:
            if not self._is_phonetic:
                self._value += "".join(self.pieces)
        elif name in self._ends:
            self._ends[name]()

    def _begin(self, namespace: str) -> None:
        self._cell, self._inner, self._text = (f"{namespace} {name}" for name in ("c", "v", "t"))
        self._starts = {
            f"{namespace} row": self._begin_row,
            f"{namespace} f": self._note_formula,
            f"{namespace} rPh": self._begin_phonetic,
            f"{namespace} mergeCell": lambda found: self._rows.merge(*_corners(found["ref"])),
        }
        self._ends = {f"{namespace} row": self._end_row, f"{namespace} rPh": self._end_phonetic}

    def _note_formula(self, _: dict[str, str]) -> None:
        self._is_formula = True

    def _begin_phonetic(self, _: dict[str, str]) -> None:
        self._is_phonetic = True

    def _end_phonetic(self) -> None:
        self._is_phonetic = False

    def _begin_row(self, found: dict[str, str]) -> None:
        following = self._number + 1
        self._number = int(found.get("r", following))
        if self._number < following:
            raise WorkbookError(f"names row {self._number} after row {following - 1}")
        self._digits = str(self._number)
        self._cells = []

    def _end_row(self) -> None:
        self._rows.add(self._number, self._cells)

    def _go_to(self, name: str) -> None:
        """Fill up blank cells before the cell with this name."""
        row, column, *_ = _corners(name)
        gap = column - 1 - len(self._cells)
        if gap < 0 or row != self._number or column > _COLUMNS:
            here = reference(self._number, len(self._cells))
            raise WorkbookError(f"names cell {name[:20]} after cell {here}")
        self._cells += [BLANK] * gap

    def _ended_cell(self) -> str:
        value, type_ = self._value, self._type
        if self._is_formula and self._is_uncomputed(value, type_):
            return open_formula(self._rows)
        if type_ == "e":
            return error_cell(self._rows, value)
        if not value:
            return BLANK
        if type_ == "s":
            cell = self._strings[_index(value)]
        elif type_ is None or type_ == "n":
            return self._number_cell(value)
        elif type_ in ("inlineStr", "str"):
            cell = self._rows.text(_unescaped(value))
        elif type_ == "b":
            return "true" if value.strip() in ("1", "true") else "false"
        elif type_ == "d":
            return self._iso_date(value)
        else:
            raise WorkbookError(f"has a cell {self._here()} of an unknown type {type_[:20]!r}")
        return self._restyled_text(cell) if self._style in self._restyled else cell

    def _is_uncomputed(self, value: str, type_: str | None) -> bool:
        """Whether no program has computed a formula.

        Programs that can't compute store 0, and ask the next program to compute everything.
        """
        if self._is_open:
            return value in ("", "0", "0.0")
        return not value and type_ != "str"

    def _number_cell(self, value: str) -> str:
        style = self._style
        if style in self._plain and len(value) < 16 and value.isdecimal() and value.isascii():
            return value if value[0] != "0" else str(int(value))
        key = style, value
        if (cell := self._numbers.get(key)) is None:
            if len(self._numbers) > _REMEMBERED:
                self._numbers.clear()
            code = self._styles.code(style)
            cell = self._rows.number(_parsed(value), code, is_1904=self._is_1904)
            self._numbers[key] = cell
        return cell

    def _iso_date(self, value: str) -> str:
        # Spreadsheet programs show a Z as local time.
        found = numbers.iso_date(value.removesuffix("Z"))
        if found and (zone := numbers.zone(self._styles.code(self._style))):
            return self._rows.with_zone(value, zone)
        return self._rows.typed(found) if found else self._rows.wrong(value, "is not a date")

    def _restyled_text(self, cell: str) -> str:
        return self._rows.restyled(cell, self._styles.code(self._style))

    def _here(self) -> str:
        return reference(self._number, len(self._cells) + 1)


def _index(text: str) -> int:
    """The number of a shared text or of a style, from 0.

    Raises:
        WorkbookError: it is none.
    """
    digits = text.strip()
    if digits.isdecimal() and digits.isascii():
        return int(digits)
    raise WorkbookError(f"is broken: it names text or style {text[:20]!r}, which no book has")


def _parsed(text: str) -> float:
    """The number that a text stands for; not a number where it stands for none."""
    try:
        return float("nan" if "_" in text else text)
    except ValueError:
        return float("nan")


def _namespace(name: str, root: str) -> str:
    """The namespace of the first element of a part.

    Raises:
        WorkbookError: it is another element.
    """
    namespace, _, element = name.rpartition(" ")
    if namespace not in _NAMESPACES or element != root:
        raise WorkbookError(f"begins with {element[:40]!r} where {root!r} belongs")
    return namespace


def _corners(name: str) -> tuple[int, int, int, int]:
    """The corners of a range like `B2:B3`: row and column, from 1, of the first and the last."""
    found = re.fullmatch(r"\$?([A-Z]{1,3})\$?(\d{1,7})(?::\$?([A-Z]{1,3})\$?(\d{1,7}))?", name)
    if not found:
        raise WorkbookError(f"names cells {name[:40]!r}, which no sheet has")
    first = int(found[2]), _column_of(found[1])
    return *first, *((int(found[4]), _column_of(found[3])) if found[3] else first)


def _column_of(letters: str) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return column


def _flag(value: str | None) -> bool:
    return value in ("1", "true", "on")


def _unescaped(text: str) -> str:
    """A text without the escapes of Office Open XML."""
    if "_x" not in text:
        return text
    # Two escapes may be the halves of one character.
    return joined(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))
