"""An input: its format, and its rows."""

import contextlib
import csv
import io
import itertools
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bulkupdate import fields
from bulkupdate.codec import writable
from bulkupdate.errors import InputError, setting
from bulkupdate.models import Row
from bulkupdate.reader import records as table
from bulkupdate.reader.cells import CellReader, Values
from bulkupdate.reader.columns import Layout, Naming, begins_as_json, format_hint, json_hint
from bulkupdate.reader.encoding import Encoding, encoding_of
from bulkupdate.reader.info import InputInfo
from bulkupdate.reader.options import CLEAR, Format, ReadOptions, unpacked_name
from bulkupdate.reader.raw import RawFile
from bulkupdate.reader.records import Dialect, Record, dialect_of, is_ruler
from bulkupdate.reader.rows import json_rows, table_rows
from bulkupdate.reader.sheet import SheetTable, format_of
from bulkupdate.reader.text import text_of
from bulkupdate.reader.valuemap import ValueMap, columns_known

if TYPE_CHECKING:
    from bulkupdate.stop import Stop

_FORMATS = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}


#: Number of rows to skip between two checks of the stop.
_LOOK_UP = 4096

#: Number of characters that decide the format of a text file.
_START = 4096


class TextFile:
    """A text file or a spreadsheet as records, without the meaning of their cells.

    Create one with `TextFile.open`.

    Args:
        raw: the bytes of the file.
        name: the name of the file in messages.
        stop: the signal that ends a long read early.

    Attributes:
        raw: the bytes of the file.
        name: the name of the file in messages.
        format: the format of the file.
        encoding: the encoding of its text; None for a spreadsheet.
        dialect: the dialect of a CSV file; None for other formats.
        sheet: the name of the sheet in a spreadsheet; None for other formats.
        is_plain: whether no cell of a spreadsheet is wrong or odd; True for other formats.
    """

    format: Format

    def __init__(self, raw: RawFile, name: str, stop: "Stop | None" = None) -> None:
        self.raw = raw
        self.name = name
        self.encoding: Encoding | None = None
        self.dialect: Dialect | None = None
        self.sheet: str | None = None
        self.is_plain = True
        self._sheet: SheetTable | None = None
        self._stop = stop

    @classmethod
    def open(
        cls,
        path: Path,
        name: str,
        options: ReadOptions,
        knows: Callable[[list[str]], int],
        stop: "Stop | None" = None,
    ) -> Self:
        """Open a file, and find out its format.

        Args:
            path: the file.
            name: the name of the file in messages.
            options: the user's options for the file.
            knows: the function that counts known column names among some cells.
            stop: the signal that ends a long read early.

        Raises:
            InputError: it can't be read.
        """
        file = cls(RawFile.open(path, name), name, stop)
        try:
            suffix = unpacked_name(path).suffix.lower()
            if spreadsheet := format_of(file.raw.head()):
                file._open_sheet(spreadsheet, options)
            else:
                file._open_text(options, options.format or _FORMATS.get(suffix), knows)
        except BaseException:
            file.close()
            raise
        return file

    def lines(self) -> Generator[str]:
        """The lines of a text file."""
        with self._text() as text:
            yield from text

    @contextlib.contextmanager
    def _text(self) -> Iterator[io.TextIOWrapper]:
        if self.encoding is None:
            raise AssertionError("a spreadsheet has no lines")
        with (
            self.raw.content() as content,
            text_of(content, self.encoding, self.name) as text,
        ):
            yield text

    def records(self, line: int = 1) -> Generator[Record]:
        """The records of a file in columns, its header first.

        Args:
            line: the line of a text file to begin at. A record must begin there.

        Raises:
            InputError: the CSV is broken from here on.
            RunStoppedError: the stop was set while lines were skipped.
        """
        if self._sheet is not None:
            yield from self._sheet.records()
            return
        if self.dialect is None:
            raise AssertionError("a file of JSON objects has no columns")
        try:
            with self._text() as text:
                _skip(text, line - 1, self._stop)
                yield from table.records(text, self.dialect, line)
        except csv.Error as error:
            raise table.broken(error, self.name) from None

    def header(self) -> tuple[str, ...]:
        """The names of the columns."""
        with contextlib.closing(self.records()) as records:
            return next((tuple(cells) for _, cells in records), ())

    @property
    def share_read(self) -> float | None:
        """The share that this pass has read, from 0 to 1; None between passes, or for a sheet."""
        return self.raw.share_read if self._sheet is None else None

    def close(self) -> None:
        """Close the file."""
        if self._sheet is not None:
            self._sheet.close()
        self.raw.close()

    def _open_sheet(self, found: Format, options: ReadOptions) -> None:
        if options.format is not None and options.format is not found:
            raise InputError(
                f"{self.name}: is a spreadsheet ({found}), not {options.format}: leave out"
                f" {setting('format')}"
            )
        for flag in ("encoding", "delimiter", "escapes"):
            if getattr(options, flag) is not None:
                # The file of failed rows is CSV, which a retry would read with the same flags.
                raise InputError(f"{self.name}: is a spreadsheet: leave out {setting(flag)}")
        self._sheet = SheetTable.read(self.raw, options.sheet, self._stop)
        self.format = self._sheet.format
        self.is_plain = self._sheet.is_plain
        self.sheet = self._sheet.sheet

    def _open_text(
        self, options: ReadOptions, named: Format | None, knows: Callable[[list[str]], int]
    ) -> None:
        with self.raw.content() as content:
            self.encoding = encoding_of(content, options.encoding, self.name, self._stop)
        start = self._start()
        # An empty file of JSON lines has no line. Whether that is accepted, the check says.
        if not start.strip() and named is Format.JSONL:
            self.format = Format.JSONL
            return
        if not start.strip():
            raise InputError(f"{self.name}: the file is empty")
        if "\0" in start:
            raise InputError(f"{self.name}: is not a text file: save it as CSV, UTF-8")
        is_json = start.lstrip().startswith("{")
        if is_json and _is_laid_out(start):
            raise InputError(f"{self.name}: {json_hint()}")
        is_list = begins_as_json(start) and not is_json
        if is_list and named is Format.JSONL:
            # Any other list on a line is a row that is wrong.
            is_list = re.match(r"\s*\[\s*(?:\{|$)", start) is not None
        if is_list or (named not in (None, Format.JSONL) and is_json):
            raise InputError(f"{self.name}: {json_hint()}")
        if re.match(r"\s*<[a-z!?/]", start, re.IGNORECASE):
            raise InputError(
                f"{self.name}: is a web page, or XML: a download that failed looks so. Some files"
                " named .xls are web pages: open such a file in a spreadsheet, save it as CSV"
            )
        if not is_json and _is_drawn(start):
            raise InputError(
                f"{self.name}: is a table that was drawn to look at: let the program that made it"
                " write CSV (sqlite3 -csv -header; psql --csv; mysql --batch)"
            )
        if named is not None and named.is_spreadsheet:
            raise InputError(
                f"{self.name}: is not a spreadsheet: leave out {setting('format')} {named}"
            )
        if options.sheet is not None:
            raise InputError(
                f"{self.name}: is text and has no sheets: leave out {setting('sheet')}"
            )
        self.format = named or (Format.JSONL if is_json else Format.CSV)
        if self.format is Format.JSONL:
            for flag in ("delimiter", "escapes"):
                if getattr(options, flag) is not None:
                    raise InputError(f"{self.name}: is JSONL: leave out {setting(flag)}")
            if options.clear_token != CLEAR:
                raise InputError(
                    f'{self.name}: is JSONL, where "" empties a field: leave out'
                    f" {setting('clear_token')}"
                )
            return
        likely = "\t" if self.format is Format.TSV else ","
        delimiter = options.delimiter or ("\t" if options.format is Format.TSV else None)
        with contextlib.closing(self.lines()) as start_lines:
            dialect = dialect_of(start_lines, delimiter, likely, knows, self.name)
        if options.escapes == "backslash" and dialect.delimiter != "\t":
            raise InputError(
                f"{self.name}: its columns are separated by {dialect.delimiter!r}, not by tabs:"
                f" leave out {setting('escapes')}"
            )
        self.dialect = dialect._replace(escapes=options.escapes)

    def _start(self) -> str:
        """The first few lines that are not blank."""
        start = ""
        with contextlib.closing(self.lines()) as start_lines:
            for line in start_lines:
                start += line if line.strip() else ""
                if len(start) > _START:
                    break
        return start


class Input:
    """An input that can be read more than once, with the same rows each time.

    Create one with `Input.open`.

    Args:
        path: the file.
        name: the name of the file in messages.
        options: the user's options for the file.
        now: the time from which relative dates count, UTC.
        stop: the signal that ends a long read early.

    Attributes:
        path: the file.
        name: the name of the file in messages.
        options: the user's options for the file.
        file: the file as records.
        format: the format of the file.
        layout: the meaning of its header; None for JSONL.
        now: the time from which relative dates count, UTC.
        places: known positions of rows, in their order: the number of rows before, and the line.
    """

    file: TextFile
    format: Format

    def __init__(
        self, path: Path, name: str, options: ReadOptions, now: datetime, stop: "Stop | None" = None
    ) -> None:
        self.path = path
        self.name = name
        self.options = options
        self.now = now
        self.places: list[tuple[int, int]] = []
        self.layout: Layout | None = None
        self._naming = Naming(options)
        self._reader: CellReader | None = None
        self._stop = stop

    @classmethod
    def open(
        cls,
        path: Path,
        name: str | None = None,
        options: ReadOptions | None = None,
        stop: "Stop | None" = None,
    ) -> Self:
        """Open a file of edits, and find out its format.

        Args:
            path: the file.
            name: the name of the file in messages; None for its path.
            options: the user's options for the file.
            stop: the signal that ends a long read early.

        Raises:
            InputError: the file can't be read, is empty, or its header is wrong.
            ConfigError: one of the options is wrong.
            RunStoppedError: the stop was set.
        """
        options = options or ReadOptions()
        now = (options.now or datetime.now(UTC)).astimezone(UTC)
        shown = (name or str(path)).replace("\n", "\\n")
        source = cls(path, shown, options, now, stop)
        naming = source._naming
        value_map = _value_map(Path(options.value_map), naming) if options.value_map else None
        source.file = TextFile.open(path, shown, options, naming.knows, stop)
        try:
            source._open(value_map)
        except BaseException:
            source.close()
            raise
        return source

    def _open(self, value_map: ValueMap | None) -> None:
        self.format = self.file.format
        encoding = self.file.encoding
        is_clean = encoding.is_clean if encoding else self.file.is_plain
        self._values = Values(self.options, self.now, value_map, is_clean=is_clean, name=self.name)
        self._constants = self._values.constants(self._naming.constants)
        self._expected = self._values.expectations(self._naming.expected)
        if self.format is not Format.JSONL:
            self.layout = self._layout(self.file.header())

    def again(self) -> "Input":
        """The same input, opened once more: its rows can be read beside those of this one.

        Raises:
            InputError: the file can't be read any more.
            RunStoppedError: the stop was set.
        """
        options = replace(self.options, now=self.now)
        return Input.open(self.path, self.name, options, self._stop)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def share_read(self) -> float | None:
        """The share that this pass has read, from 0 to 1; None between passes, or for a sheet."""
        return self.file.share_read

    def sha256(self) -> str:
        """The SHA-256 of its bytes, in hexadecimal."""
        return self.file.raw.sha256()

    def info(self, path: str) -> InputInfo:
        """The facts about the input. Its rows are not counted.

        Args:
            path: the path that the user gave.

        Raises:
            ConfigError: the value map can't be read any more.
        """
        layout, encoding, dialect = self.layout, self.file.encoding, self.file.dialect
        return InputInfo(
            path=writable(path),
            sha256=self.sha256(),
            rows=0,
            format=self.format,
            encoding=encoding.name if encoding else None,
            encoding_words=tuple(map(writable, encoding.examples)) if encoding else (),
            delimiter=dialect.delimiter if dialect else None,
            compression=self.file.raw.compression,
            sheet=self.file.sheet,
            columns={writable(c.name): c.field for c in layout.used} if layout else {},
            passed_over=tuple(map(writable, layout.ignored)) if layout else (),
            options=self.options.said(),
            now=fields.in_utc(self.now),
        )

    def has_changed(self) -> bool:
        """Whether the file has changed since it was opened."""
        return self.file.raw.has_changed()

    def rows(self, after: int = 0) -> Generator[Row]:
        """Every row of the file. Only one such iterator may be in use at a time.

        Args:
            after: number of rows to skip at the beginning. In a file in columns, their cells are
                not read. Their lines up to the last of the `places` are not parsed.

        Raises:
            InputError: the file is broken from here on.
            RunStoppedError: the stop was set while rows were skipped.
        """
        if self.layout is None:
            values, constants = self._values, self._constants
            with contextlib.closing(self.file.lines()) as found:
                rows = json_rows(found, self._naming, values, constants, self._expected, self.name)
                # A check at the end needs the keys of all rows.
                _skip(rows, after, self._stop)
                yield from rows
            return
        before, line = self._position(after)
        with contextlib.closing(self.file.records(line)) as records:
            if line == 1:
                next(records)
            _skip(records, after - before, self._stop)
            if self._reader is None:
                # The reader keeps the meaning of cells from one pass to the next.
                self._reader = CellReader(
                    self.layout, self._values, self._constants, self._expected
                )
            yield from table_rows(
                records, self.layout, self._reader, self._naming, self.name, after
            )

    @property
    def expects(self) -> bool:
        """Whether the rows may expect something of their tasks, as far as the header tells."""
        return bool(self._expected or (self.layout is not None and self.layout.expected))

    def remember_place(self, before: int, line: int) -> None:
        """Remember the position of a row, if the file can be read from there on."""
        if self.file.dialect is not None:
            self.places.append((before, line))

    def _position(self, after: int) -> tuple[int, int]:
        """The last known position with at most `after` rows before it."""
        positions = [position for position in self.places if position[0] <= after]
        return positions[-1] if positions else (0, 1)

    def _layout(self, header: tuple[str, ...]) -> Layout:
        if hint := format_hint(header):
            raise InputError(f"{self.name}: {hint}")
        layout, problems = self._naming.layout(header)
        if problems:
            raise InputError("\n".join(f"{self.name}: {problem}" for problem in problems))
        return layout


def _skip(found: Iterator[object], count: int, stop: "Stop | None") -> None:
    """Skip a number of items.

    Raises:
        RunStoppedError: the stop was set.
    """
    for start in range(0, count, _LOOK_UP):
        if stop is not None:
            stop.check()
        deque(itertools.islice(found, min(_LOOK_UP, count - start)), maxlen=0)


def _is_drawn(start: str) -> bool:
    """Whether a table is drawn: a ruler stands above its header, or below it."""
    first, *others = [line for line in start.splitlines() if line.strip()]
    # A message in quotes may hold such a line too.
    is_below = bool(others) and first.count('"') % 2 == 0 and is_ruler(others[0])
    return is_ruler(first) or is_below


def _is_laid_out(start: str) -> bool:
    """Whether a JSON object takes several lines: the first line is open, and a key follows it."""
    first, *others = [line.strip() for line in start.splitlines() if line.strip()]
    return first[-1] in "{[,:" and bool(others) and others[0][0] in '"}]'


def _value_map(path: Path, naming: Naming) -> ValueMap:
    file = TextFile.open(path, str(path), ReadOptions(), columns_known)
    try:
        if file.format is Format.JSONL:
            raise InputError(f"{path}: a value map is a file with the columns column, from, to")
        with contextlib.closing(file.records()) as records:
            _, header = next(records, (0, []))
            return ValueMap(path, tuple(header), records, naming)
    finally:
        file.close()
