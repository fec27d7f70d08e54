"""Write a table as CSV, as a workbook, or as lines of JSON."""

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from bulkupdate.errors import ConfigError
from bulkupdate.reader.book import write_book
from bulkupdate.reader.options import Format
from bulkupdate.reader.sheet import INSTALL, can_read_sheets

#: The formats that can be written, by suffix.
FORMATS = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".xlsx": Format.XLSX}

#: What a CSV file for people begins with: without it, Excel does not read it as UTF-8.
MARK = codecs.BOM_UTF8


def format_to_write(path: Path) -> Format:
    """The format of a file to write, by its suffix.

    Raises:
        ConfigError: there is none for this suffix, or its libraries are not installed.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ConfigError(f"{path}: give it one of the suffixes {', '.join(FORMATS)}")
    if found is Format.XLSX and not can_read_sheets():
        raise ConfigError(f"{path}: is a spreadsheet: run {INSTALL} to write it, or name it .csv")
    return found


def write_table(
    to: IO[bytes],
    format_: Format,
    name: str,
    rows: Iterable[Sequence[str]],
    *,
    has_mark: bool = True,
) -> None:
    """Write a table whose first row is its header.

    Args:
        to: gets the bytes.
        format_: CSV or XLSX.
        name: the name of the sheet in a workbook.
        rows: the cells of each row.
        has_mark: whether CSV begins with a byte order mark.

    Raises:
        OSError: it can't be written.
    """
    if format_ is Format.XLSX:
        write_book(to, name, rows, has_header=True)
        return
    to.write(MARK if has_mark else b"")
    for line in _csv_lines(rows):
        to.write(line)


def _csv_lines(rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    line = io.StringIO()
    writer = csv.writer(line)
    for cells in rows:
        writer.writerow(cells)
        yield line.getvalue().encode()
        line.seek(0)
        line.truncate()


def write_objects(to: IO[bytes], objects: Iterable[dict[str, Any]]) -> None:
    """Write JSON objects, one on each line.

    Raises:
        OSError: they can't be written.
    """
    for one in objects:
        to.write(json.dumps(one, ensure_ascii=False).encode() + b"\n")
