"""The meaning of a value in the input: the text of a cell, or a value of a JSON object.

A spreadsheet has few distinct users, dates and priorities in very many rows. So the reader
remembers the meaning of such a cell.
"""

import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bulkupdate import fields
from bulkupdate.errors import ConfigError, InputError, Problem, setting
from bulkupdate.fields import TASK_PREFIX
from bulkupdate.models import PYTHON_NAMES, CheckedUpdate, Row, problem_of
from bulkupdate.reader import artefacts
from bulkupdate.reader.accounts import ACCOUNT, account_of
from bulkupdate.reader.columns import EXPECT, Layout, rule_name
from bulkupdate.reader.dates import DateReader
from bulkupdate.reader.options import ReadOptions
from bulkupdate.reader.sheet import WRONG, Cell
from bulkupdate.reader.text import damage
from bulkupdate.reader.valuemap import ValueMap

#: The meaning of a blank cell.
BLANK = object()

#: Number of cells of one column whose meaning is remembered.
_REMEMBERED = 4096

#: The text that marks a cell as wrong in a file of failed rows: what a failed formula shows.
_WRONG = "#VALUE!"

#: Size of the largest map in which the reader looks for the nearest value.
_SEARCHED = 500

#: What pads a column.
_BLANKS = " \t\xa0\u3000"

#: Function that turns a cell into a value on the wire or `BLANK`. It raises `ValueError` where the
#: cell is wrong.
Reading = Callable[[str], Any]


class Values:
    """The meaning of values, by the rules of their fields and by the user's options.

    Args:
        options: the user's options for the input.
        now: the time from which relative dates count; aware.
        value_map: the values that replace the values of some columns, or None.
        is_clean: whether the input is known to hold no damaged and no control characters.
        name: the name of the input in messages.

    Attributes:
        account: the account of all rows; "" where each names its own, or where there are none.
        accounts: a cell that names an account → the account. It raises `ValueError`.
        has_cleared: whether any cell so far has emptied a field.
        shortest: the length from which a text cell needs no closer look.
        shortest_id: the same for the id of a task.
    """

    def __init__(
        self,
        options: ReadOptions,
        now: datetime,
        value_map: ValueMap | None = None,
        *,
        is_clean: bool = True,
        name: str = "",
    ) -> None:
        self._name = name
        self._dates = DateReader(options, now)
        self._dates_read = _Memory(self._dates.read)
        self._clear = options.clear_token.strip().lower()
        self._is_clean = is_clean
        self._people = options.people
        # A shorter one may be the clear token, an error, a check box, a word for a missing value.
        self.shortest = max(artefacts.LONGEST, len(self._clear)) + 1
        self.shortest_id = (
            len(self._clear if self._clear.startswith(TASK_PREFIX) else TASK_PREFIX) + 1
        )
        self.has_cleared = False
        self._account_names = frozenset(options.accounts or ())
        #: Account of all rows; "" where each names its own, or there are none.
        self.account = options.account or ""
        self.accounts = _Memory(self._account_in)
        #: Field → value in the input, in lower case → value to send.
        self._mapped: dict[str, dict[str, Any]] = {}
        self._map_name = str(options.value_map)
        if value_map is not None:
            self._mapped = {field: self._checked(field, value_map) for field in value_map.fields}

    def _checked(self, field: str, value_map: ValueMap) -> dict[str, Any]:
        """The mapped values of a field, as bulkupdate sends them.

        Raises:
            InputError: one of them is wrong.
        """
        read = self._account_read if field == ACCOUNT else self.reading(field)
        checked = {}
        for value, (line, meant) in value_map.of(field).items():
            try:
                checked[value] = read(meant)
            except ValueError as error:
                problem = problem_of(field, meant, error)
                raise InputError(f"{self._map_name}, line {line}: 'to': {problem}") from None
        return checked

    def _account_in(self, cell: str) -> str:
        """The account that a cell names, perhaps by a name of the user's own."""
        word = cell.strip()
        if isinstance(cell, Cell) and cell.kind == WRONG:
            raise ValueError(cell.problem)
        if word and (mapped := self._mapped.get(ACCOUNT)) is not None:
            return str(_meant(word, mapped, self._map_name))
        return self._account_read(word)

    def _account_read(self, word: str) -> str:
        return account_of(word.strip(), self._account_names)

    def constants(self, texts: dict[str, str]) -> dict[str, Any]:
        """The values that `--set` gives every row: values on the wire, by name in Python.

        Args:
            texts: field → value, as the user wrote it.

        Raises:
            ConfigError: a value is wrong.
        """
        constants = {}
        for field, text in texts.items():
            try:
                value = self.reading(field)(text)
            except ValueError as error:
                raise ConfigError(
                    f"{setting('constants')} {problem_of(field, text, error)}"
                ) from None
            if value is BLANK:
                raise ConfigError(
                    f"{setting('constants')} {field}: is blank: to empty the field, write"
                    f" {self._clear}"
                )
            constants[PYTHON_NAMES[field]] = value
        return constants

    def expecting(self, field: str) -> Reading:
        """The function that reads the cells of expectations on a field; "" is for empty."""
        read = self.reading(field)

        def expected(cell: str) -> Any:
            if cell.strip().lower() == self._clear:
                return ""
            return read(cell)

        return expected

    def expectations(self, texts: dict[str, str]) -> dict[str, Any]:
        """The expectations that `--set` gives every row, by field.

        Args:
            texts: `expect.` and the field → value, as the user wrote it.

        Raises:
            ConfigError: a value is wrong, or blank.
        """
        found = {}
        for name, text in texts.items():
            field = name.removeprefix(EXPECT)
            try:
                value = self.expecting(field)(text)
            except ValueError as error:
                raise ConfigError(
                    f"{setting('constants')} {problem_of(field, text, error, name)}"
                ) from None
            if value is BLANK:
                raise ConfigError(
                    f"{setting('constants')} {name}: is blank, and so expects nothing: to expect an"
                    f" empty field, write {self._clear}"
                )
            found[field] = value
        return found

    def reading(self, field: str) -> Reading:
        """The function that reads the cells of a field. Equal cells give equal values."""
        rule = self._dates.read if field == "dueDate" else self.rule(field)
        is_clearable = field in fields.CLEARABLE
        mapped = self._mapped.get(field)
        clear = self._clear
        # Kinds of due dates so far: a date of a spreadsheet, and text in which day and month may
        # change places → an example.
        kinds: dict[str, str] = {}

        def read(cell: str) -> Any:
            value = meaning(cell)
            self.has_cleared = self.has_cleared or value == ""
            return value

        def meaning(cell: str) -> Any:
            word = cell.strip()
            if not word or (not word.isascii() and artefacts.is_invisible(word)):
                return BLANK
            if word.lower() == clear:
                if field == "id":
                    return BLANK  # The caller then reports the id as missing.
                if not is_clearable:
                    raise ValueError(
                        "can't be cleared: leave the cell blank to leave the field unchanged"
                    )
                return ""
            if mapped is not None:
                return _meant(word, mapped, self._map_name)
            if is_clearable and word[0] == clear[0] and _is_nearly(word, clear):
                raise ValueError(f"is nearly {clear}: write {clear} to empty the field")
            if isinstance(cell, Cell) and (problem := _cell_problem(cell, field)):
                raise ValueError(problem)
            if wrong := artefacts.error(word):
                raise ValueError(wrong)
            if wrong := damage(cell) or _artefact(cell, field):
                raise ValueError(wrong)
            value = rule(cell)
            if field == "dueDate":
                self._note_kind(cell, kinds)
            return value

        return read

    def _note_kind(self, cell: str, kinds: dict[str, str]) -> None:
        """Note how a due date is written.

        Args:
            cell: the cell of the due date.
            kinds: the kinds so far in its column.

        Raises:
            InputError: others are written otherwise. A spreadsheet that is set to another language
                than a file takes 03/12 for a date of another month, and leaves 24/12 a text.
        """
        if isinstance(cell, Cell) and cell.kind == "date":
            kinds.setdefault("date", cell)
        elif not isinstance(cell, Cell) and self._dates.may_turn(cell):
            kinds.setdefault("text", cell)
        if len(kinds) > 1:
            date, text = kinds["date"], kinds["text"]
            raise InputError(
                f"{self._name}: some due dates are dates of the spreadsheet (as {date}) and others"
                f" are text (as {fields.shorten(text)}): a spreadsheet in another language has"
                " perhaps turned days and months around. Look at the dates, and make all of them"
                " dates, or all text"
            )

    def rule(self, field: str) -> Callable[[object], Any]:
        """The rule of a field. Where people may be named, an owner need not be an id."""
        return fields.person if self._people and field == "assignedTo" else fields.RULES[field]

    def is_plain(self, field: str) -> bool:
        """Whether a cell of this field that begins with a letter is the value itself."""
        # `CellReader` asks only about cells that are too long for an error or a missing value.
        is_text = fields.RULES[field] is fields.text
        return is_text and self._is_clean and self._clear[0] < "A" and field not in self._mapped

    def of_json(self, field: str, value: object) -> object:
        """The meaning of a value of a JSON object, before the rule of its field is applied.

        Raises:
            ValueError: the value is in no map, or fits no date format, of the user's.
        """
        if not isinstance(value, str) or not value:
            return value
        if field in fields.IDS and (wrong := artefacts.missing(value.strip(), is_id=True)):
            raise ValueError(f"{wrong}: enter the id")
        if (mapped := self._mapped.get(field)) is not None:
            return _meant(value.strip(), mapped, self._map_name)
        return self._dates_read[value] if field == "dueDate" else value


def _meant(word: str, mapped: dict[str, Any], name: str) -> Any:
    """The value that the map gives for a value of a mapped field.

    Raises:
        ValueError: the map lacks the value.
    """
    word = word.casefold()
    if word not in mapped:
        # The search for the nearest of very many values takes long.
        near = fields.suggestion(word, mapped) if len(mapped) <= _SEARCHED else ""
        raise fields.WrongValueError(f"is not in the 'from' column of {name}", near)
    return mapped[word]


def _is_nearly(word: str, other: str) -> bool:
    """Whether a word is another one but for blanks, case and a sign behind it."""
    return "".join(word.lower().split()).strip(".,;:") == other


def _unpadded(read: Reading, name: str | None) -> Reading:
    """The function that reads the cells of a column without its padding.

    Args:
        read: the function that reads them as they are.
        name: the name of the column with its own padding; None without any.
    """
    if not name:
        return read
    begin, end = name[:1].isspace(), name[-1:].isspace()

    def unpadded(cell: str) -> Any:
        bare = cell.strip(_BLANKS)
        # Quotes behind a blank are none, so that the cell may have been split inside them.
        if not isinstance(cell, Cell) and not (bare and bare[0] == '"' == bare[-1]):
            begun = cell.lstrip(_BLANKS) if begin else cell
            cell = begun.rstrip(_BLANKS) if end else begun
        return read(cell)

    return unpadded


def _artefact(cell: str, field: str) -> str:
    """The problem of a cell that holds an artefact of another program; "" without one."""
    word = cell.strip()
    is_text = fields.RULES[field] is fields.text
    if wrong := artefacts.missing(word, is_id=field in fields.IDS, is_text=is_text):
        return f"{wrong}: enter the id" if field == "id" else f"{wrong}: leave the cell blank"
    if word.startswith('="') and word.endswith('"'):
        return "is a formula around a text: write the text alone"
    if cell[0] in " \t" and len(word) > 1 and word[0] == '"' == word[-1]:
        return "has a blank before its quotes: remove the blank after the delimiter"
    return ""


def as_text(cell: str, field: str) -> str:
    """A cell as text for a CSV file. A mark keeps a problem that only the spreadsheet shows."""
    if isinstance(cell, Cell) and _cell_problem(cell, field):
        return f"{_WRONG} {cell}"
    return cell


def _cell_problem(cell: Cell, field: str) -> str:
    """The problem of a cell whose type is not text; "" without one."""
    is_text = fields.RULES[field] is fields.text
    if cell.kind == WRONG:
        return cell.problem
    if cell.shown and field in fields.IDS:
        return cell.shown
    # Excel turns ids that look like dates into dates.
    if is_text or (field in fields.IDS and cell.kind != "number"):
        return f"is a {cell.kind}: format the cell as text, so that it holds what you see"
    return cell.problem


class CellReader:
    """Reader of records of cells.

    Args:
        layout: the meaning of the header.
        values: the meaning of cells.
        constants: values that every row gets in addition, by name in Python.
        expected: what every row expects in addition, by field.
    """

    def __init__(
        self,
        layout: Layout,
        values: Values,
        constants: dict[str, Any],
        expected: dict[str, Any] | None = None,
    ) -> None:
        padded = {
            column.position: name
            for column in (*layout.columns, *layout.expected)
            if (name := layout.header[column.position]) != name.strip()
        }
        self._columns = [
            (*column, _unpadded(values.reading(column.field), padded.get(column.position)))
            for column in layout.columns
        ]
        self._constants = constants
        self._all_expect = expected or {}
        self._expected = [
            (
                position,
                field.removeprefix(EXPECT),
                name,
                _unpadded(values.expecting(field.removeprefix(EXPECT)), padded.get(position)),
            )
            for position, field, name in layout.expected
        ]
        self._expects = bool(self._expected or expected)
        self._rule = layout.rule
        self._account = layout.account
        self._of_all = values.account
        self._values = values
        self._shortest, self._shortest_word = values.shortest, artefacts.LONGEST_WORD + 1
        self._shortest_id = values.shortest_id
        #: Columns by the way to read them: position, name in Python, and function.
        self._texts: list[tuple[int, str, Reading]] = []
        self._unplain: list[tuple[int, str, Reading]] = []
        self._others: list[tuple[int, str, dict[str, Any]]] = []
        for position, field, _, read in self._columns:
            name = PYTHON_NAMES[field]
            if field == "id":
                self._id, self._read_id = position, read
            elif values.is_plain(field) and position not in padded:
                self._texts.append((position, name, read))
            elif fields.RULES[field] is fields.text:
                self._unplain.append((position, name, read))
            else:
                self._others.append((position, name, _Memory(read)))

    def row(self, number: int, line: int, cells: list[str]) -> Row | None:
        """The row for a record as wide as the header; None where anything is wrong."""
        id_ = cells[self._id]
        try:
            is_plain = id_.startswith(TASK_PREFIX) and id_.isidentifier() and id_.isascii()
            if not (is_plain and len(id_) >= self._shortest_id):
                # Remembering ids would not help: each is different, and nearly all are plain words.
                id_ = self._read_id(id_)
            values = {"id": id_, **self._constants}
            for position, name, memory in self._others:
                if cell := cells[position]:
                    value = memory[cell]
                    if value is not BLANK:
                        values[name] = value
            for position, name, read in self._texts:
                if cell := cells[position]:
                    if "A" <= cell < "~" and (
                        len(cell) >= self._shortest
                        or (len(cell) >= self._shortest_word and "a" <= cell[-1] <= "z")
                    ):
                        values[name] = cell
                    elif (value := read(cell)) is not BLANK:
                        values[name] = value
            for position, name, read in self._unplain:
                if (cell := cells[position]) and (value := read(cell)) is not BLANK:
                    values[name] = value
            expect = self._expectations(cells) if self._expects else None
            account = self._of_all
            if self._account is not None:
                account = self._values.accounts[cells[self._account.position]]
        except ValueError:
            return None
        if id_ is BLANK:
            return None
        update = CheckedUpdate(**values)
        clears = self._values.has_cleared and "" in values.values()
        shape = update.shape() if clears else tuple(values)
        rule = None if self._rule is None else rule_name(cells[self._rule])
        return Row(number, line, id_, update, (), tuple(cells), (), shape, expect, rule, account)

    def _expectations(self, cells: list[str]) -> dict[str, Any] | None:
        found = dict(self._all_expect)
        for position, field, _, read in self._expected:
            if (value := read(cells[position])) is not BLANK:
                found[field] = value
        return found or None

    def problems(self, cells: list[str]) -> list[Problem]:
        """All problems of a record as wide as the header."""
        problems = []
        for position, field, name, read in self._columns:
            cell = cells[position]
            try:
                value = read(cell)
            except ValueError as error:
                problems.append(problem_of(field, cell, error, name))
                continue
            if field == "id" and value is BLANK:
                message = "is empty: enter the id of the task"
                problems.insert(0, Problem(field, "", message, "", name if name != field else ""))
        for position, field, name, read in self._expected:
            try:
                read(cells[position])
            except ValueError as error:
                problems.append(problem_of(field, cells[position], error, name))
        if self._account is not None:
            position, field, name = self._account
            try:
                self._values.accounts[cells[position]]
            except ValueError as error:
                problems.append(problem_of(field, cells[position], error, name))
        return problems

    def account(self, cells: list[str]) -> str:
        """The account that a record of any width names; "" if it names none."""
        if self._account is None:
            return self._of_all
        has_cell = self._account.position < len(cells)
        with contextlib.suppress(ValueError):
            return str(self._values.accounts[cells[self._account.position]]) if has_cell else ""
        return ""

    def rule(self, cells: list[str]) -> str | None:
        """The name of the rule in a record of any width; None without one."""
        has_cell = self._rule is not None and self._rule < len(cells)
        return rule_name(cells[self._rule or 0]) if has_cell else None

    def id(self, cells: list[str]) -> str:
        """The id in a record of any width, as written in the file; "" without one."""
        return cells[self._id].strip() if self._id < len(cells) else ""


class _Memory(dict[str, Any]):
    """Cells of a column and their meaning."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._reading = reading

    def __missing__(self, cell: str) -> Any:
        value = self._reading(cell)
        if len(self) == _REMEMBERED:
            self.clear()
        self[cell] = value
        return value
