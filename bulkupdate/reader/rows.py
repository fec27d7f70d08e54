"""Records → rows, each valid or carrying its own problems."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bulkupdate import fields
from bulkupdate.codec import writable
from bulkupdate.errors import InputError, InvalidUpdateError, Problem
from bulkupdate.models import PYTHON_NAMES, Row, TaskUpdate, problem_of
from bulkupdate.reader.cells import CellReader, Values
from bulkupdate.reader.columns import OWN_PREFIX, Layout, Naming
from bulkupdate.reader.records import Record
from bulkupdate.reader.text import damage


def table_rows(
    records: Iterator[Record],
    layout: Layout,
    reader: CellReader,
    naming: Naming,
    name: str,
    number: int = 0,
) -> Iterator[Row]:
    """The rows of a file in columns, from the records after its header, or after row `number`.

    Raises:
        InputError: another header comes: from here on the cells mean something else.
    """
    width, written = layout.width, layout.written
    id_place = next(column.position for column in layout.columns if column.field == "id")
    names = {*layout.header, *PYTHON_NAMES, *fields.ALIASES}
    names |= {f"\ufeff{name}" for name in names}
    for line, cells in records:
        number += 1
        if len(cells) != written:
            # No telling which cell is which, so nothing is said of any but the id.
            problems = [_wrong_width(len(cells), written)]
        elif cells[id_place] in names and _is_header(cells, layout, naming, f"{name}: line {line}"):
            message = "is the header again: two files seem to be put together, remove this line"
            problems = [Problem("", "", message)]
        elif width < written and any(map(str.strip, cells[width:])):
            # Nameless columns at the end are delimiters that a program writes after each record.
            message = (
                f"holds text in column {width + 1}, which has no name: put text with a delimiter in"
                " quotes, or name the column"
            )
            problems = [Problem("", "", message)]
        elif row := reader.row(number, line, cells):
            yield row
            continue
        else:
            problems = reader.problems(cells)
        id_shown = "" if _is_of(problems, "id") else writable(reader.id(cells))
        yield Row(number, line, id_shown, None, tuple(problems), tuple(cells))


def _is_header(cells: list[str], layout: Layout, naming: Naming, where: str) -> bool:
    """Whether a record repeats the names of the columns, but for our own.

    Raises:
        InputError: it names columns, and not these.
    """
    header = layout.header
    said = [cells[place].lstrip("\ufeff").strip() for place in layout.kept]
    if said == [header[place].strip() for place in layout.kept]:
        return True
    if len(said) > 1 and all(name and naming.field(name) for name in said):
        raise InputError(
            f"{where} is another header: two files seem to be put together, whose columns differ:"
            " give each to a run of its own"
        )
    return False


def _is_of(problems: list[Problem], field: str) -> bool:
    return any(problem.field == field and not problem.value for problem in problems)


def _wrong_width(found: int, expected: int) -> Problem:
    cure = (
        "put text with a delimiter or a line end in quotes" if found > expected else "add the rest"
    )
    cells = "1 cell" if found == 1 else f"{found} cells"
    return Problem("", "", f"has {cells} where the header has {expected}: {cure}")


def json_rows(
    lines: Iterator[str], naming: Naming, values: Values, constants: dict[str, Any], name: str
) -> Iterator[Row]:
    """The rows of a file of JSON objects, one a line.

    Raises:
        InputError: at the end, where the user speaks of keys that no row has.
    """
    keys = _Keys(naming)
    number = 0
    for line_number, line in enumerate(lines, 1):
        record = line.strip()
        # A byte order mark inside comes of files that were put together.
        if not (said := record.lstrip("\ufeff")):
            continue
        number += 1
        try:
            pairs = parse_object(said)
        except ValueError as error:
            problem = Problem("", fields.shorten(record), str(error))
            yield Row(number, line_number, "", None, (problem,), record)
            continue
        found, problems = keys.values(pairs, values, number)
        yield _row(number, line_number, {**found, **constants}, problems, record)
    # A file of failed rows need not hold every key that its input held.
    is_failed = any(key.startswith(OWN_PREFIX) for key in keys.seen)
    if not is_failed and (problems_of_file := naming.missing(keys.seen)):
        raise InputError("\n".join(f"{name}: {problem}" for problem in problems_of_file))


def parse_object(record: str) -> dict[str, Any]:
    """The JSON object on a line.

    Raises:
        ValueError: it is no JSON object, or has a key twice.
    """
    if wrong := damage(record):
        raise ValueError(wrong)
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

#: Keys of a file that are remembered.
_MAX_KEYS = 1000


class _Keys:
    """The keys of a file of JSON objects, and what they stand for."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        #: By what name each field went first, and in which row.
        self._called: dict[str, tuple[str, int]] = {}
        #: Key → the field it stands for, and what is wrong with it; neither where it is not read.
        self._known: dict[str, tuple[str, str]] = {}

    def values(
        self, pairs: Mapping[str, Any], values: Values, number: int
    ) -> tuple[dict[str, Any], list[Problem]]:
        """The values of one object, by name in Python, and what is wrong with it."""
        found: dict[str, Any] = {}
        problems = []
        for key, value in pairs.items():
            field, wrong = self._known.get(key) or self._look_up(key)
            if wrong:
                problems.append(Problem("", "", wrong))
            if not field:
                continue
            first_key, first_row = self._called.setdefault(field, (key, number))
            if first_key != key:
                message = f"is called {first_key!r} in row {first_row}: use one name in one file"
                problems.append(Problem(writable(key), "", message))
            if value is None:
                continue
            try:
                found[PYTHON_NAMES[field]] = values.of_json(field, value)
            except ValueError as error:
                problems.append(problem_of(field, value, error, key))
        return found, problems

    @property
    def seen(self) -> Iterable[str]:
        """The keys so far."""
        return self._known

    def _look_up(self, key: str) -> tuple[str, str]:
        field, wrong = "", ""
        if not self._naming.is_ignored(key):
            wrong = self._naming.problem("key", key) or ""
            field = "" if wrong else self._naming.field(key) or ""
        if len(self._known) < _MAX_KEYS:
            self._known[key] = field, wrong
        return field, wrong


def _row(
    number: int, line: int, values: dict[str, Any], problems: list[Problem], record: str
) -> Row:
    """The row that the values of an object make, with every problem they or their names have."""
    task_id = values.get("id")
    id_shown = writable(task_id).strip() if isinstance(task_id, str) else ""
    if task_id is None and not _is_of(problems, "id"):
        problems.append(Problem("id", "", "is empty: say what task this row is about"))
    update = None
    try:
        # Without an id the other fields are still judged, under one that can't be wrong.
        update = TaskUpdate(**{"id": "missing", **values})
    except InvalidUpdateError as error:
        problems.extend(error.problems)
    if problems:
        return Row(number, line, id_shown, None, tuple(problems), record)
    return Row(number, line, id_shown, update, (), record)
