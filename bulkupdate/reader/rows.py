"""Turn records into rows. Each row is valid or carries its own problems."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bulkupdate import fields
from bulkupdate.codec import replaced, writable
from bulkupdate.errors import InputError, InvalidUpdateError, Problem
from bulkupdate.models import PYTHON_NAMES, UNSET, CheckedUpdate, Row, TaskUpdate, problem_of
from bulkupdate.reader.accounts import ACCOUNT, is_mark
from bulkupdate.reader.cells import CellReader, Values
from bulkupdate.reader.columns import (
    EXPECT,
    EXPECTABLE,
    OWN_PREFIX,
    RULE,
    Layout,
    Naming,
    is_expectation,
    rule_name,
)
from bulkupdate.reader.records import Record
from bulkupdate.reader.sheet import WRONG, Cell
from bulkupdate.reader.text import damage

#: Characters of the longest cell that may be the name of a column.
_LONGEST_NAME = 100


def table_rows(
    records: Iterator[Record],
    layout: Layout,
    reader: CellReader,
    naming: Naming,
    name: str,
    number: int = 0,
) -> Iterator[Row]:
    """The rows of a file in columns.

    Args:
        records: the records after the header, or after row `number`.
        layout: the meaning of the header.
        reader: the reader of the cells.
        naming: the fields that names stand for.
        name: the name of the file in messages.
        number: the number of the row before the first record.

    Yields:
        Each row, valid or with its problems.

    Raises:
        InputError: another header follows: its cells have another meaning.
    """
    width, written = layout.width, layout.written
    prefix, length, read = fields.TASK_PREFIX, len(fields.TASK_PREFIX), reader.row
    if any(name.strip().startswith(prefix) for name in layout.header):
        prefix = ""  # An id may be the name of a column.
    for line, cells in records:
        number += 1
        if len(cells) != written:
            # Which cell belongs to which column is unknown, so only the width is a problem.
            problems = [_wrong_width(len(cells), written)]
        elif width < written and any(map(str.strip, cells[width:])):
            # Some programs write delimiters after each record: they make nameless columns.
            message = (
                f"holds text in column {width + 1}, which has no name: put text with a delimiter in"
                " quotes, or name the column"
            )
            stray = next(filter(str.strip, cells[width:]))
            problems = [Problem("", "", stray.problem if isinstance(stray, Cell) else message)]
        elif (row := read(number, line, cells)) and row.id[:length] == prefix:
            yield row
            continue
        elif _names_a_column(cells, layout, naming) and _is_header(
            cells, layout, naming, f"{name}: line {line}"
        ):
            message = "repeats the header, as in a file made of two files: remove this line"
            problems = [Problem("", "", message)]
        elif row:
            yield row
            continue
        else:
            problems = reader.problems(cells)
        id_shown = "" if _is_of(problems, "id") else writable(reader.id(cells))
        yield Row(
            number,
            line,
            id_shown,
            None,
            tuple(problems),
            tuple(cells),
            rule=reader.rule(cells),
            account=reader.account(cells),
        )


def _names_a_column(cells: list[str], layout: Layout, naming: Naming) -> bool:
    """Whether the cell of the id is the name of a column, or another one is that of the id."""
    for column in layout.used:
        meant = _meant(cells[column.position], naming)
        if meant is not None and "id" in (meant, column.field):
            return True
    return False


def _is_header(cells: list[str], layout: Layout, naming: Naming, where: str) -> bool:
    """Whether a record repeats the names of the columns, without those that bulkupdate added.

    Raises:
        InputError: the record names other columns.
    """
    header = {position: layout.header[position].strip() for position in layout.kept}
    names = {position: _name(cells[position]) for position in layout.kept}
    if all(
        names[position].lower() == name.lower()
        or (field and field == naming.meant(names[position]))
        for position, name in header.items()
        for field in (naming.meant(name),)
    ):
        return True
    # A column that is ignored may come to stand in the place of one that is sent.
    known = {*header.values()}
    used = [names[column.position] for column in layout.used]
    meant = [_meant(cells[column.position], naming) for column in layout.used]
    is_known = [bool(one) or name in known for one, name in zip(meant, used, strict=True)]
    if "id" in meant or all(is_known):
        raise InputError(
            f"{where} is another header, with other columns, as in a file made of two files:"
            " run each file separately"
        )
    return False


def _meant(cell: str, naming: Naming) -> str | None:
    """The field that a cell stands for as the name of a column; None if it is no such name."""
    if len(cell) > _LONGEST_NAME or (isinstance(cell, Cell) and cell.kind == WRONG):
        return None
    return naming.meant(name) if (name := _name(cell)) else None


def _name(cell: str) -> str:
    """A cell as the name of a column. Joined files have a byte order mark inside."""
    return cell.lstrip("\ufeff").strip()


def _is_of(problems: list[Problem], field: str) -> bool:
    return any(problem.field == field and not problem.value for problem in problems)


def _wrong_width(found: int, expected: int) -> Problem:
    cure = "add the missing cells"
    if found > expected:
        cure = "put text with a delimiter or a line end in quotes"
    if found == expected + 1:
        cure += "; or if each row has one more, name its column"
    cells = "1 cell" if found == 1 else f"{found} cells"
    return Problem("", "", f"has {cells} where the header has {expected}: {cure}")


def json_rows(
    lines: Iterator[str],
    naming: Naming,
    values: Values,
    constants: dict[str, Any],
    expected: dict[str, Any],
    name: str,
) -> Iterator[Row]:
    """The rows of a file of JSON objects, one in each line.

    Args:
        lines: the lines of the file.
        naming: the fields that keys stand for.
        values: the meaning of values.
        constants: values that every row gets in addition, by name in Python.
        expected: what every row expects in addition, by field.
        name: the name of the file in messages.

    Yields:
        Each row, valid or with its problems.

    Raises:
        InputError: at the end, if the options name keys that no row has.
    """
    keys = _Keys(naming)
    number = 0
    for line_number, line in enumerate(lines, 1):
        record = line.strip()
        # A byte order mark inside the file comes from joining files.
        if not (text := record.lstrip("\ufeff")):
            continue
        number += 1
        try:
            pairs = parse_object(text)
        except ValueError as error:
            problem = Problem("", fields.shorten(record), str(error))
            yield Row(number, line_number, "", None, (problem,), record)
            continue
        if (mark := next(filter(is_mark, pairs), None)) and (why := naming.marked([mark])):
            raise InputError(f"{name}: line {line_number}: {why[0]}")
        account, no_account = keys.account(pairs, values)
        given = [pairs.pop(key) for key in [*pairs] if key.strip().lower() == _EXPECT]
        found, problems = keys.values(pairs, values, number)
        expect, wrong = _expectations(given, naming, values)
        found, expect = {**found, **constants}, {**expected, **expect}
        row = _row(
            number,
            line_number,
            found,
            [*problems, *wrong, *no_account],
            record,
            expect or None,
            values.rule,
        )
        rule = rule_name(pairs.get(RULE))
        yield replaced(row, rule=rule, account=account) if rule or account else row
    # A file of failed rows need not hold every key that its input held.
    is_failed = any(key.startswith(OWN_PREFIX) for key in keys.seen)
    if not is_failed and (problems_of_file := naming.missing(keys.seen)):
        raise InputError("\n".join(f"{name}: {problem}" for problem in problems_of_file))


#: The key of an object that holds the expectations.
_EXPECT = EXPECT.removesuffix(".")


def _expectations(
    given: list[Any], naming: Naming, values: Values
) -> tuple[dict[str, Any], list[Problem]]:
    """The expectations of an object by field, and their problems. Null expects nothing.

    Args:
        given: what stands under `expect`, which may be there in upper and in lower case.
        naming: the fields that keys stand for.
        values: the meaning of values.
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    if wrong := [one for one in given if not isinstance(one, dict | None)]:
        message = 'is not an object: write {"expect": {"assignedTo": "usr_…"}}'
        return found, [Problem(_EXPECT, fields.shorten(wrong[0]), message)]
    for key, value in [pair for one in given for pair in (one or {}).items()]:
        field = naming.meant(key)
        if problem := field and naming.expected_twice("key", f"{EXPECT}{key}", EXPECT + field):
            problems.append(Problem("", "", problem))
            continue
        if field not in EXPECTABLE or field in found:
            why = "is there twice" if field in found else f"is none of {', '.join(EXPECTABLE)}"
            problems.append(Problem("", "", f"the key {EXPECT}{fields.shorten(key)[1:-1]} {why}"))
            continue
        if value is None:
            continue
        try:
            of_json = values.of_json(field, value)
            found[field] = "" if of_json == "" else values.rule(field)(of_json)
        except ValueError as error:
            problems.append(problem_of(field, value, error, f"{EXPECT}{key}"))
    return found, problems


def parse_object(record: str) -> dict[str, Any]:
    """The JSON object on a line.

    Raises:
        ValueError: the line is not a JSON object, or has a key twice.
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
    raise ValueError(f"is not JSON: {name} is not a JSON value")


_JSON = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_no_constant)

#: Number of keys of a file whose meaning is remembered.
_MAX_KEYS = 1000


class _Keys:
    """The keys of a file of JSON objects, and the fields they stand for."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        #: Field → its first key, and the row of that key.
        self._called: dict[str, tuple[str, int]] = {}
        #: Key → the field it stands for, and its problem; both empty where it is ignored.
        self._known: dict[str, tuple[str, str]] = {}

    def values(
        self, pairs: Mapping[str, Any], values: Values, number: int
    ) -> tuple[dict[str, Any], list[Problem]]:
        """The values of one object, by name in Python, and its problems."""
        found: dict[str, Any] = {}
        problems = []
        for key, value in pairs.items():
            field, wrong = self._known.get(key) or self._look_up(key)
            if wrong:
                problems.append(Problem("", "", wrong))
            if not field:
                continue
            if is_expectation(field):
                message = f'write {{"{_EXPECT}": {{"{field.removeprefix(EXPECT)}": …}}}}'
                problems.append(Problem("", "", f"the key {fields.shorten(key)}: {message}"))
                continue
            first_key, first_row = self._called.setdefault(field, (key, number))
            if first_key != key:
                message = f"is called {first_key!r} in row {first_row}: use one name throughout"
                problems.append(Problem(writable(key), "", message))
            if value is None:
                continue
            try:
                found[PYTHON_NAMES[field]] = values.of_json(field, value)
            except ValueError as error:
                problems.append(problem_of(field, value, error, key))
        return found, problems

    def account(self, pairs: dict[str, Any], values: Values) -> tuple[str, list[Problem]]:
        """Take the account out of an object, and the problems with it; "" without accounts."""
        if not self._naming.has_accounts:
            return "", []
        named = [key for key in pairs if (self._known.get(key) or self._look_up(key))[0] == ACCOUNT]
        wrong = [self._naming.problem("key", key) or "" for key in named]
        if problems := [Problem("", "", problem) for problem in wrong if problem]:
            return "", problems
        if len(named) > 1:
            return "", [Problem("", "", f"has two keys for the account: {', '.join(named)}")]
        value = pairs.pop(named[0]) if named else None
        if value is None:
            missing = self._naming.without_account("key")
            return values.account, [Problem("", "", missing)] if missing else []
        try:
            if not isinstance(value, str):
                raise ValueError("is no text: write the name of the account")  # noqa: TRY301
            return str(values.accounts[value]), []
        except ValueError as error:
            return "", [problem_of(ACCOUNT, value, error, named[0])]

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
    number: int,
    line: int,
    values: dict[str, Any],
    problems: list[Problem],
    record: str,
    expect: dict[str, Any] | None,
    rule: Callable[[str], Callable[[object], Any]],
) -> Row:
    """The row for the values of an object, with all problems of the values and their keys."""
    task_id = values.get("id")
    id_shown = writable(task_id).strip() if isinstance(task_id, str) else ""
    if task_id is None and not _is_of(problems, "id"):
        problems.append(Problem("id", "", "is empty: enter the id of the task"))
    update = None
    try:
        # Where the id is missing, a valid one stands in for it, to check the other fields.
        update = _update({"id": "missing", **values}, rule)
    except InvalidUpdateError as error:
        problems.extend(error.problems)
    if problems:
        return Row(number, line, id_shown, None, tuple(problems), record)
    return Row(number, line, id_shown, update, (), record, expect=expect)


def _update(values: dict[str, Any], rule: Callable[[str], Callable[[object], Any]]) -> TaskUpdate:
    """The update of these values. An owner is checked by the rule that the options ask for.

    Raises:
        InvalidUpdateError: a value breaks a rule.
    """
    owner = values.get("assigned_to")
    if owner is None or rule("assignedTo") is fields.RULES["assignedTo"]:
        return TaskUpdate(**values)
    problems: tuple[Problem, ...] = ()
    try:
        owner = rule("assignedTo")(owner)
    except ValueError as error:
        problems = (problem_of("assignedTo", owner, error),)
    try:
        rest = TaskUpdate(**{**values, "assigned_to": UNSET})
    except InvalidUpdateError as error:
        problems = (*problems, *error.problems)
    if problems:
        raise InvalidUpdateError(problems)
    named = {PYTHON_NAMES[name]: value for name, value in rest.changes().items()}
    return CheckedUpdate(id=rest.id, assigned_to=owner, **named)
