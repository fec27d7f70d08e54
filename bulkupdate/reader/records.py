"""Split the lines of a CSV file into records of cells, in any dialect."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from bulkupdate.errors import InputError, setting
from bulkupdate.reader.options import Escapes

#: Delimiters that the reader detects, the likeliest first.
DELIMITERS = (",", ";", "\t", "|")

#: First line that Excel understands: it names the delimiter.
_SEP = re.compile(r'"?sep=([^\w\s"]|\t)"?', re.IGNORECASE)

#: The character that DOS programs write at the end of a file.
_DOS_END = "\x1a"

#: Number of lines that a header may take.
_HEADER_LINES = 50

#: Number of lines to look at together.
_BATCH = 128

#: Escapes of tab-separated files, as jq, MySQL and PostgreSQL write them.
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_SOME_ESCAPE = re.compile(r"\\[nrt\\]")

#: A record: the line it begins on, from 1, and its cells.
Record = tuple[int, list[str]]


class Dialect(NamedTuple):
    """The dialect of a CSV file.

    Attributes:
        delimiter: the character between the cells.
        line_end: the characters after a record.
        has_sep_line: whether the first line is `sep=` and the delimiter.
        escapes: `backslash` where a backslash and n stand for a line break, and quotes are ordinary
            characters; `none` where a backslash is one; None if that is not known.
    """

    delimiter: str
    line_end: str = "\r\n"
    has_sep_line: bool = False
    escapes: Escapes | None = None


class DialectError(csv.Error):
    """A record that can be read in two ways. Its text says what to do."""


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
    has_escapes = dialect.escapes == "backslash"
    # Lines that hold a quote behind a backslash, by their number among these lines.
    suspects: dict[int, str] = {}
    parsed = _parsed(lines, dialect, suspects)
    try:
        for cells in parsed:
            if suspects:
                _check_quotes(suspects, line - skipped, parsed.line_num, dialect)
            # A spreadsheet leaves rows of empty cells behind: they count as blank lines.
            if cells and ("!" < cells[0] <= "~" or _is_filled(cells)):
                yield line, _unescaped(cells) if has_escapes else cells
            line = parsed.line_num + 1 + skipped
    except csv.Error as error:
        raise type(error)(f" in the record that begins on line {line}: {error}") from None


def _is_filled(cells: list[str]) -> bool:
    """Whether a record is neither blank nor the end-of-file mark of DOS."""
    return any(map(str.strip, cells)) and cells != [_DOS_END]


def escaped(text: str) -> str:
    """A text as a cell of a tab-separated file with escapes."""
    for character, sign in (("\\", "\\"), ("\n", "n"), ("\r", "r"), ("\t", "t")):
        text = text.replace(character, f"\\{sign}")
    return text


def is_ruler(line: str) -> bool:
    """Whether a line is only there to look at, as `|----|----|` in a table that was drawn."""
    signs = set(line.strip())
    is_drawn = all(sign in "|+-=: " or "\u2500" <= sign <= "\u257f" for sign in signs)
    return is_drawn and ("--" in line or "==" in line or any(s > "\u24ff" for s in signs))


def _parsed(lines: Iterator[str], dialect: Dialect, suspects: dict[int, str]) -> Any:
    """The `csv.reader` of these lines.

    Args:
        lines: the lines.
        dialect: the dialect of the file.
        suspects: receives the lines that hold a quote behind a backslash, before they are read.
    """
    if dialect.escapes == "backslash":
        return csv.reader(lines, delimiter=dialect.delimiter, quoting=csv.QUOTE_NONE, strict=True)
    certain = _certain(lines, dialect, suspects)
    return csv.reader(certain, delimiter=dialect.delimiter, strict=True)


def _certain(lines: Iterator[str], dialect: Dialect, suspects: dict[int, str]) -> Iterator[str]:
    """The lines, as long as each can be read in one way only.

    Raises:
        DialectError: a line can be read in two ways.
    """
    may_be_escaped = dialect.delimiter == "\t" and dialect.escapes is None
    delimiter = re.escape(dialect.delimiter)
    # The quotes of a cell stand beside a delimiter, those inside it beside each other. A text
    # begins right after its quote; after an inch, as in 24" screen, comes a blank.
    lone = re.compile(rf'"(?<=[^"\r\n{delimiter}]")[^"\s{delimiter}]')
    cell = _cell_of(dialect)
    opening = re.compile(rf'(?:^|{delimiter})"')
    may_be_asked = dialect.escapes is None
    passed = 0

    def certain(line: str) -> str:
        if '"' in line and lone.search(line) and _lacks_delimiter(cell.findall(line), lone):
            raise DialectError(
                "a cell without quotes holds a quote, and a later cell ends with one: is a"
                " delimiter missing before the first quote, or a blank in its place? Put each cell"
                " that holds a quote in quotes, and write the quote inside it twice"
            )
        if may_be_escaped and line.count('"') % 2 and opening.search(line):
            raise DialectError(
                f"a cell in quotes goes on in the next line: set {setting('escapes')} none if it"
                f" does, or {setting('escapes')} backslash if a quote is part of the text, as in"
                " files of jq and of databases"
            )
        if may_be_escaped and "\\" in line and (found := _SOME_ESCAPE.search(line)):
            raise DialectError(
                f"holds {found[0]}: set {setting('escapes')} backslash if this stands for another"
                f" character, as in files of jq and of databases, or {setting('escapes')} none if"
                " it is part of the text"
            )
        return line

    def checked(batch: list[str]) -> Iterable[str]:
        nonlocal passed
        first, passed = passed + 1, passed + len(batch)
        # Two searches, each for what begins with one sign, are six times as fast as one for both.
        text = "".join(batch)
        is_asked = may_be_asked and '\\"' in text
        if not (may_be_escaped or is_asked or lone.search(text)):
            return batch
        if is_asked:
            suspects.update((n, line) for n, line in enumerate(batch, first) if '\\"' in line)
        return map(certain, batch)

    # Few lines have a lone quote: to look for one in many lines at once costs a third.
    batches = iter(lambda: list(islice(lines, 1 if may_be_escaped else _BATCH)), [])
    return chain.from_iterable(map(checked, batches))


def _check_quotes(suspects: dict[int, str], first: int, last: int, dialect: Dialect) -> None:
    """Check the lines of a record that hold a quote behind a backslash, and forget them.

    In a cell that stands in quotes, a backslash may come before its last quote, or before one that
    is written twice. A record over several lines has such a cell.

    Args:
        suspects: such lines, by number.
        first: the number of the record's first line.
        last: that of its last line.
        dialect: the dialect of the file.

    Raises:
        DialectError: a cell without quotes holds such a quote.
    """
    lines = [suspects.pop(number) for number in [*suspects] if number <= last]
    if first == last and any(
        '\\"' in cell and not cell.startswith('"')
        for line in lines
        for cell in _cell_of(dialect).findall(line)
    ):
        raise DialectError(
            'holds \\": let the program that made the file write a cell that holds a quote in'
            " quotes, and the quote inside it twice, as spreadsheets do; or set"
            f" {setting('escapes')} none if the backslash is part of the text"
        )


def _cell_of(dialect: Dialect) -> re.Pattern[str]:
    """The pattern of a cell with what stands before it, in a line that is a record."""
    delimiter = re.escape(dialect.delimiter)
    return re.compile(
        rf'(?:^|{delimiter})("(?:[^"]|"")*"(?={delimiter}|\r?\n?$)|[^\r\n{delimiter}]*)'
    )


def _lacks_delimiter(cells: list[str], lone: re.Pattern[str]) -> bool:
    """Whether a cell without quotes has an odd quote inside, and a later one ends with another."""
    is_open = False
    for cell in cells:
        if cell.startswith('"') or not cell.count('"') % 2:
            continue
        if is_open and cell.rstrip().endswith('"'):
            return True
        is_open = is_open or lone.search(cell) is not None
    return False


def _unescaped(cells: list[str]) -> list[str]:
    """Cells with the characters that their escapes stand for.

    Raises:
        DialectError: there is no such escape.
    """
    return [_ESCAPE.sub(_character, cell) if "\\" in cell else cell for cell in cells]


def _character(found: re.Match[str]) -> str:
    # \N alone is a missing value. The rules of the cells refuse it.
    if found[1] == "N" and found[0] == found.string:
        return found[0]
    if found[1] not in _ESCAPES:
        known = " ".join(f"\\{sign}" for sign in _ESCAPES)
        raise DialectError(
            f"holds the escape {found[0]!r}: those that are known are {known}; let the program that"
            f" made the file write CSV, or set {setting('escapes')} none if it is text"
        )
    return _ESCAPES[found[1]]


def broken(error: csv.Error, name: str) -> InputError:
    """The error for a file whose CSV is broken."""
    if isinstance(error, DialectError):
        return InputError(f"{name}:{error}")
    if "field limit" in str(error):
        where = str(error).partition(":")[0]
        return InputError(
            f"{name}: a cell{where} is longer than {csv.field_size_limit():,} characters: is a"
            " closing quote missing?"
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
