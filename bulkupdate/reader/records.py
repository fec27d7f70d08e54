"""Lines → records: the cells of a CSV file, in whatever dialect it is written."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from bulkupdate.errors import InputError, setting

#: What may stand between cells, the likeliest first.
DELIMITERS = (",", ";", "\t", "|")

#: Excel's own first line, which names the delimiter.
_SEP = re.compile(r'"?sep=([^\w\s"]|\t)"?', re.IGNORECASE)

#: Lines that a header may spread over.
_HEADER_LINES = 50

#: A record: the line it begins on, from 1, and its cells.
Record = tuple[int, list[str]]


class Dialect(NamedTuple):
    """How a CSV file is written.

    Attributes:
        delimiter: between the cells.
        line_end: after a record.
        has_sep_line: whether the first line is `sep=` and the delimiter.
    """

    delimiter: str
    line_end: str = "\r\n"
    has_sep_line: bool = False


def dialect_of(
    lines: Iterable[str],
    said: str | None,
    likely: str,
    knows: Callable[[list[str]], int],
    name: str,
) -> Dialect:
    """Find out how a file is written.

    Args:
        lines: of the file, from its beginning.
        said: the delimiter that its user names, or None.
        likely: the delimiter where nothing speaks for another.
        knows: how many of these cells are columns that mean something.
        name: of the file, for messages.

    Raises:
        InputError: it can't be told.
    """
    start = list(islice(lines, _HEADER_LINES))
    first = start[0] if start else ""
    line_end = first[len(first.rstrip("\r\n")) :] or "\r\n"
    if sep := _SEP.fullmatch(first.rstrip("\r\n")):
        return Dialect(said or sep[1], line_end, has_sep_line=True)
    if said is not None:
        return Dialect(said, line_end)
    known = {delimiter: knows(_first_record(start, delimiter)) for delimiter in DELIMITERS}
    most = max(known.values())
    best = [delimiter for delimiter in DELIMITERS if known[delimiter] == most]
    if likely in best or most == 0:
        return Dialect(likely, line_end)
    if len(best) > 1:
        shown = " or ".join(map(repr, best))
        raise InputError(
            f"{name}: its columns are separated by {shown}: say which with {setting('delimiter')}"
        )
    return Dialect(best[0], line_end)


def records(lines: Iterator[str], dialect: Dialect, line: int = 1) -> Iterator[Record]:
    """The records of a file that are not blank.

    Args:
        lines: of the file.
        dialect: how it is written.
        line: which of the file's lines is the first of these; a record begins there.

    Raises:
        csv.Error: from here on no record can be told from the next.
    """
    if dialect.has_sep_line and line == 1:
        next(lines)
        line = 2
    skipped = line - 1
    parsed = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
    try:
        for cells in parsed:
            # A spreadsheet leaves rows of empty cells behind: they say as little as no line.
            if cells and ("!" < cells[0] <= "~" or any(map(str.strip, cells))):
                yield line, cells
            line = parsed.line_num + 1 + skipped
    except csv.Error as error:
        raise csv.Error(f" in the record that begins on line {line}: {error}") from None


def broken(error: csv.Error, name: str) -> InputError:
    """What to say of a file whose records can't be told apart."""
    if "field limit" in str(error):
        return InputError(f"{name}: the CSV is broken{error} characters: is a quote left open?")
    return InputError(
        f"{name}: the CSV is broken{error}. A quote inside a quoted cell is written twice; is one"
        " left open?"
    )


def _first_record(start: list[str], delimiter: str) -> list[str]:
    """The cells of the first record, as far as they can be told."""
    try:
        return next((cells for _, cells in records(iter(start), Dialect(delimiter))), [])
    except csv.Error:
        return []
