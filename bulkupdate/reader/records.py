"""Split the lines of a CSV file into records of cells, in any dialect."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from bulkupdate.errors import InputError, setting

#: Delimiters that the reader detects, the likeliest first.
DELIMITERS = (",", ";", "\t", "|")

#: First line that Excel understands: it names the delimiter.
_SEP = re.compile(r'"?sep=([^\w\s"]|\t)"?', re.IGNORECASE)

#: Number of lines that a header may take.
_HEADER_LINES = 50

#: A record: the line it begins on, from 1, and its cells.
Record = tuple[int, list[str]]


class Dialect(NamedTuple):
    """The dialect of a CSV file.

    Attributes:
        delimiter: the character between the cells.
        line_end: the characters after a record.
        has_sep_line: whether the first line is `sep=` and the delimiter.
    """

    delimiter: str
    line_end: str = "\r\n"
    has_sep_line: bool = False


def dialect_of(
    lines: Iterable[str],
    chosen: str | None,
    likely: str,
    knows: Callable[[list[str]], int],
    name: str,
) -> Dialect:
    """Find out how a file is written.

    Args:
        lines: the lines of the file, from its beginning.
        chosen: the delimiter that the user chose, or None.
        likely: the delimiter to use where the header gives no better one.
        knows: the function that counts known column names among some cells.
        name: the name of the file in messages.

    Raises:
        InputError: several delimiters are equally likely.
    """
    start = list(islice(lines, _HEADER_LINES))
    first = start[0] if start else ""
    line_end = first[len(first.rstrip("\r\n")) :] or "\r\n"
    if sep := _SEP.fullmatch(first.rstrip("\r\n")):
        return Dialect(chosen or sep[1], line_end, has_sep_line=True)
    if chosen is not None:
        return Dialect(chosen, line_end)
    known = {delimiter: knows(_first_record(start, delimiter)) for delimiter in DELIMITERS}
    most = max(known.values())
    best = [delimiter for delimiter in DELIMITERS if known[delimiter] == most]
    if likely in best or most == 0:
        return Dialect(likely, line_end)
    if len(best) > 1:
        shown = " or ".join(map(repr, best))
        raise InputError(
            f"{name}: its columns are separated by {shown}: choose one with {setting('delimiter')}"
        )
    return Dialect(best[0], line_end)


def records(lines: Iterator[str], dialect: Dialect, line: int = 1) -> Iterator[Record]:
    """The records of a file that are not blank.

    Args:
        lines: the lines of the file.
        dialect: the dialect of the file.
        line: the number of the first of these lines in the file. A record must begin there.

    Raises:
        csv.Error: the CSV is broken from here on.
    """
    if dialect.has_sep_line and line == 1:
        next(lines)
        line = 2
    skipped = line - 1
    parsed = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
    try:
        for cells in parsed:
            # A spreadsheet leaves rows of empty cells behind: they count as blank lines.
            if cells and ("!" < cells[0] <= "~" or any(map(str.strip, cells))):
                yield line, cells
            line = parsed.line_num + 1 + skipped
    except csv.Error as error:
        raise csv.Error(f" in the record that begins on line {line}: {error}") from None


def broken(error: csv.Error, name: str) -> InputError:
    """The error for a file whose CSV is broken."""
    if "field limit" in str(error):
        return InputError(
            f"{name}: the CSV is broken{error} characters: is a closing quote missing?"
        )
    return InputError(
        f"{name}: the CSV is broken{error}: write a quote inside a quoted cell twice; is a closing"
        " quote missing?"
    )


def _first_record(start: list[str], delimiter: str) -> list[str]:
    """The cells of the first record; none where the CSV is broken."""
    try:
        return next((cells for _, cells in records(iter(start), Dialect(delimiter))), [])
    except csv.Error:
        return []
