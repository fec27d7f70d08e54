"""A file of edits → rows, one at a time, each valid or carrying its own problems.

::

    bytes ──▶ lines ──▶ records ──▶ named values ──▶ Row
    UTF-8     bounded   csv, json   field names      TaskUpdate, or problems

Memory does not grow with the file: a line, a cell and a record are bounded, and nothing is
kept but the names of the columns.
"""

import codecs
import csv
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from bulkupdate import fields
from bulkupdate.cells import CLEAR, CellReader
from bulkupdate.columns import JSON_HINT, OWN_PREFIX, columns, format_hint, header_problems, unknown
from bulkupdate.config import Format
from bulkupdate.errors import InputError, InvalidUpdateError, Problem
from bulkupdate.models import PYTHON_NAMES, Row, TaskUpdate

#: The longest line, in characters. A longer one is a file that is no text, or has an open quote.
MAX_LINE = 1 << 20

_FORMATS = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}
_DELIMITERS = {Format.CSV: ",", Format.TSV: "\t"}
_SNIFFED_BYTES = 8192


class Input:
    """An input that can be read more than once, and is the same each time.

    Args:
        path: the file.
        name: what to call it in messages; its path unless said otherwise.
        format: what it is, or None to tell by its suffix, else by its first character.

    Attributes:
        format: what it is.
        encoding: `utf-8`, or `utf-8-sig` with a byte order mark.
        delimiter: between the cells of a row, or None for JSONL.
        header: the column names of a CSV file as they were written; empty for JSONL.

    Raises:
        InputError: it is missing, a directory, empty, not text, or its header is wrong.
    """

    def __init__(self, path: Path, name: str | None = None, format: Format | None = None) -> None:  # noqa: A002
        self.path = path
        self.name = (name or str(path)).replace("\n", "\\n")
        try:
            _check_regular(path, self.name)
            # One descriptor for every pass: a file that is replaced meanwhile changes nothing.
            self._file = path.open("rb")
        except FileNotFoundError:
            raise InputError(f"{self.name}: there is no such file") from None
        except IsADirectoryError:
            raise InputError(f"{self.name}: is a directory, not a file") from None
        except OSError as error:
            raise InputError(f"{self.name}: can't be read: {error.strerror}") from None
        try:
            self._stamp = _stamp(self._file)
            start = self._file.read(_SNIFFED_BYTES)
            self._check_text(start, format or _FORMATS.get(path.suffix.lower()))
            has_bom = start.startswith(codecs.BOM_UTF8)
            self.encoding = "utf-8-sig" if has_bom else "utf-8"
            self.format = format or _FORMATS.get(path.suffix.lower()) or _sniff(start)
            self.delimiter = _DELIMITERS.get(self.format)
            self.header = self._read_header() if self.delimiter else ()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Input":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sha256(self) -> str:
        """The SHA-256 of its bytes, in hexadecimal."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def has_changed(self) -> bool:
        """Whether somebody has written to the file since it was opened."""
        return _stamp(self._file) != self._stamp

    def rows(self) -> Iterator[Row]:
        """Every row of the file, from its beginning. One such iterator may be in use at a time.

        Raises:
            InputError: from here on no row can be told from the next, or it is not text.
        """
        try:
            if self.delimiter:
                yield from _csv_rows(self._csv_records(), self.header)
            else:
                yield from _jsonl_rows(self._lines())
        except UnicodeDecodeError:
            raise InputError(self._undecodable()) from None
        except csv.Error as error:
            raise InputError(f"{self.name}: the CSV is broken{_csv_cure(error)}") from None
        except OSError as error:
            raise InputError(f"{self.name}: can't be read: {error.strerror}") from None

    def _check_text(self, start: bytes, said: Format | None) -> None:
        if not start.removeprefix(codecs.BOM_UTF8).strip():
            raise InputError(f"{self.name}: the file is empty")
        if b"\0" in start:
            raise InputError(f"{self.name}: is not a text file: save it as CSV, UTF-8")
        if said in _DELIMITERS and _sniff(start) is Format.JSONL:
            raise InputError(f"{self.name}: {JSON_HINT}")

    def _lines(self) -> Iterator[str]:
        self._file.seek(0)
        # A descriptor of its own, so that closing the text layer leaves ours open.
        with open(os.dup(self._file.fileno()), encoding=self.encoding, newline="") as text:  # noqa: PTH123
            number = 0
            while line := text.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE and line[-1] not in "\r\n":
                    raise InputError(
                        f"{self.name}: line {number} is longer than {MAX_LINE:,} characters:"
                        " is this a text file of edits?"
                    )
                yield line

    def _csv_records(self) -> Iterator[tuple[int, list[str]]]:
        """The cells of each record that is not blank, and the line it begins on."""
        records = csv.reader(self._lines(), delimiter=self.delimiter or ",", strict=True)
        line = 1
        try:
            for cells in records:
                # A spreadsheet leaves rows of empty cells behind: they say as little as no line.
                if cells and ("!" < cells[0] <= "~" or any(map(str.strip, cells))):
                    yield line, cells
                line = records.line_num + 1
        except csv.Error as error:
            raise csv.Error(f" in the record that begins on line {line}: {error}") from None

    def _read_header(self) -> tuple[str, ...]:
        try:
            header = next((tuple(cells) for _, cells in self._csv_records()), ())
        except UnicodeDecodeError:
            raise InputError(self._undecodable()) from None
        except csv.Error as error:
            raise InputError(f"{self.name}: the CSV is broken{_csv_cure(error)}") from None
        if hint := format_hint(header):
            raise InputError(f"{self.name}: {hint}")
        if problems := header_problems(header):
            raise InputError("\n".join(f"{self.name}: {problem}" for problem in problems))
        return header

    def _undecodable(self) -> str:
        self._file.seek(0)
        for number, line in enumerate(self._file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                found = " ".join(f"{byte:02x}" for byte in line[error.start : error.end])
                where = f"line {number}, byte {error.start + 1} ({found})"
                return f"{self.name}: is not UTF-8 text: {where}: save it as UTF-8"
        return f"{self.name}: is not UTF-8 text: save it as UTF-8"


def _check_regular(path: Path, name: str) -> None:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{name}: is no regular file: pipe it into '-' instead")


def _stamp(file: IO[bytes]) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_mtime_ns, status.st_size


def _sniff(start: bytes) -> Format:
    first = start.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    return Format.JSONL if first == b"{" else Format.CSV


def _csv_cure(error: csv.Error) -> str:
    return f"{error}. A quote inside a quoted cell is written twice; is one left open?"


# --- rows ----------------------------------------------------------------------------------


def _csv_rows(records: Iterator[tuple[int, list[str]]], header: tuple[str, ...]) -> Iterator[Row]:
    next(records)
    reader = CellReader(header)
    named = columns(header)
    number = 0
    for line, cells in records:
        number += 1
        update = reader.update(cells)
        if update is not None:
            yield Row(number, line, update.id, update, (), tuple(cells))
            continue
        values, problems = _cell_values(cells, named)
        if len(cells) != len(header):
            # No telling which cell is which, so nothing is said of any but the id.
            values = {"id": values["id"]} if "id" in values else {}
            problems = [_wrong_width(len(cells), len(named))]
        yield _row(number, line, values, problems, tuple(cells))


def _wrong_width(found: int, expected: int) -> Problem:
    cure = "put text with a comma or a line end in quotes" if found > expected else "add commas"
    cells = "1 cell" if found == 1 else f"{found} cells"
    return Problem("", "", f"has {cells} where the header has {expected}: {cure}")


def _cell_values(
    cells: list[str], columns: list[tuple[int, str]]
) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    problems = []
    for position, name in columns:
        cell = cells[position] if position < len(cells) else ""
        word = cell.strip()
        if not word:
            continue
        if word.lower() != CLEAR:
            values[name] = cell
        elif name in fields.CLEARABLE:
            values[name] = ""
        elif name == "id":
            continue  # and is then found missing
        else:
            problems.append(
                Problem(name, cell, "can't be cleared: leave the cell blank to leave it as it is")
            )
    return values, problems


def _jsonl_rows(lines: Iterator[str]) -> Iterator[Row]:
    called: dict[str, tuple[str, int]] = {}
    number = 0
    for line_number, line in enumerate(lines, 1):
        record = line.strip()
        if not record:
            continue
        number += 1
        try:
            pairs = parse_object(record)
        except ValueError as error:
            problem = Problem("", fields.shorten(record), str(error))
            yield _row(number, line_number, {}, [problem], record)
            continue
        values, problems = _key_values(pairs, called, number)
        yield _row(number, line_number, values, problems, record)


def parse_object(record: str) -> dict[str, Any]:
    """The JSON object on a line.

    Raises:
        ValueError: it is no JSON object, or has a key twice.
    """
    try:
        value = _JSON.decode(record)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    if not isinstance(value, dict):
        raise ValueError('is not a JSON object: write {"id": …} on each line')
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"has the key {fields.shorten(twice)} twice")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"is not JSON: {name} is no JSON value")


_JSON = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_no_constant)


def _key_values(
    pairs: Mapping[str, Any], called: dict[str, tuple[str, int]], number: int
) -> tuple[dict[str, Any], list[Problem]]:
    """The values of one object, by name on the wire.

    `called` remembers by what name each field went first, and in which row.
    """
    values: dict[str, Any] = {}
    problems = []
    for key, value in pairs.items():
        if key.startswith(OWN_PREFIX):
            continue
        name = fields.ALIASES.get(key, key)
        if name not in PYTHON_NAMES:
            problems.append(Problem("", "", unknown("key", key)))
            continue
        first_key, first_row = called.setdefault(name, (key, number))
        if first_key != key:
            message = f"is called {first_key!r} in row {first_row}: use one name in one file"
            problems.append(Problem(key, "", message))
        if value is not None:
            values[name] = value
    return values, problems


def _writable(text: str) -> str:
    """`text` with what UTF-8 can't hold (half of a character) spelt out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _row(
    number: int,
    line: int,
    values: dict[str, Any],
    problems: list[Problem],
    record: tuple[str, ...] | str,
) -> Row:
    """The row that these values make, with every problem that they or their names have."""
    task_id = values.get("id")
    id_shown = _writable(task_id).strip() if isinstance(task_id, str) else ""
    unreadable = bool(problems) and not values
    if task_id is None and not unreadable:
        problems.append(Problem("id", "", "is empty: say what task this row is about"))
    update = None
    try:
        # Without an id the other fields are still judged, under one that can't be wrong.
        named = {PYTHON_NAMES[name]: value for name, value in values.items()}
        update = TaskUpdate(**{"id": "missing", **named})
    except InvalidUpdateError as error:
        problems.extend(error.problems)
    if problems:
        return Row(number, line, id_shown, None, tuple(problems), record)
    return Row(number, line, id_shown, update, (), record)
