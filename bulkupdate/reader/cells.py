"""What a value that was written says: the text of a cell, or a value of a JSON object.

A spreadsheet has few distinct users, dates and priorities in very many rows, so what such a cell
says is remembered.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bulkupdate import fields
from bulkupdate.errors import ConfigError, InputError, Problem, setting
from bulkupdate.models import PYTHON_NAMES, CheckedUpdate, Row, problem_of
from bulkupdate.reader.columns import Layout
from bulkupdate.reader.dates import DateReader
from bulkupdate.reader.options import ReadOptions
from bulkupdate.reader.sheet import Cell
from bulkupdate.reader.text import damage
from bulkupdate.reader.valuemap import ValueMap

#: What a blank cell says.
BLANK = object()

#: Cells of one column that are remembered.
_REMEMBERED = 4096

#: What a spreadsheet shows where a formula went wrong; and what marks a cell as wrong in a file
#: of failed rows.
_WRONG = "#VALUE!"
_ERRORS = frozenset(
    f"#{name}" for name in ("N/A", "REF!", "VALUE!", "DIV/0!", "NAME?", "NULL!", "NUM!", "SPILL!")
)

#: What programs write for no value, where their user did not say otherwise.
_BLANKS = frozenset({"nan", "nat", "null", "\\n", "<na>"})
_LONGEST_BLANK = 4

#: Values of a map among which the nearest is looked for.
_SEARCHED = 500

#: Says what a cell says: a value on the wire, or `BLANK`. Raises `ValueError` where it is wrong.
Reading = Callable[[str], Any]


class Values:
    """What values say, by the rules of their fields and by what the user says of the input.

    Args:
        options: what the user says.
        now: what relative dates are counted from; aware.
        value_map: what the values of some columns stand for, or None.
        is_clean: whether the input is known to hold no undecodable bytes.

    Attributes:
        has_cleared: whether any cell so far has emptied a field.
    """

    def __init__(
        self,
        options: ReadOptions,
        now: datetime,
        value_map: ValueMap | None = None,
        *,
        is_clean: bool = True,
    ) -> None:
        self._dates = DateReader(options, now)
        self._dates_read = _Memory(self._dates.read)
        self._clear = options.clear_token.strip().lower()
        self._is_clean = is_clean
        #: No shorter cell says itself without being looked at.
        self.shortest = max(_LONGEST_BLANK, len(self._clear)) + 1
        self.has_cleared = False
        #: Field → what is written, in lower case → what is sent.
        self._mapped: dict[str, dict[str, Any]] = {}
        self._map_name = str(options.value_map)
        if value_map is not None:
            self._mapped = {field: self._checked(field, value_map) for field in value_map.fields}

    def _checked(self, field: str, value_map: ValueMap) -> dict[str, Any]:
        """What the values of a field stand for, as it is sent.

        Raises:
            InputError: one of them is wrong.
        """
        read = self.reading(field)
        checked = {}
        for value, (line, meant) in value_map.of(field).items():
            try:
                checked[value] = read(meant)
            except ValueError as error:
                problem = problem_of(field, meant, error)
                raise InputError(f"{self._map_name}, line {line}: 'to': {problem}") from None
        return checked

    def constants(self, said: dict[str, str]) -> dict[str, Any]:
        """What `--set` says of every row: values on the wire, by name in Python.

        Raises:
            ConfigError: a value is wrong.
        """
        constants = {}
        for field, text in said.items():
            try:
                value = self.reading(field)(text)
            except ValueError as error:
                raise ConfigError(
                    f"{setting('constants')} {problem_of(field, text, error)}"
                ) from None
            if value is BLANK:
                raise ConfigError(
                    f"{setting('constants')} {field}: is blank: to empty it, write {self._clear}"
                )
            constants[PYTHON_NAMES[field]] = value
        return constants

    def reading(self, field: str) -> Reading:
        """How the cells of a field are read. The same cell always says the same."""
        rule = self._dates.read if field == "dueDate" else fields.RULES[field]
        is_clearable = field in fields.CLEARABLE
        is_text = fields.RULES[field] is fields.text
        mapped = self._mapped.get(field)
        clear = self._clear

        def read(cell: str) -> Any:
            value = say(cell)
            self.has_cleared = self.has_cleared or value == ""
            return value

        def say(cell: str) -> Any:
            word = cell.strip()
            if not word:
                return BLANK
            if word.lower() == clear:
                if field == "id":
                    return BLANK  # and is then found missing
                if not is_clearable:
                    raise ValueError("can't be cleared: leave the cell blank to leave it as it is")
                return ""
            if mapped is not None:
                return _meant(word, mapped, self._map_name)
            if word[0] == "#" and word.split(maxsplit=1)[0].upper() in _ERRORS:
                raise ValueError("is what a spreadsheet shows for an error: fix the cell")
            if isinstance(cell, Cell) and (problem := _cell_problem(cell, field)):
                raise ValueError(problem)
            if wrong := damage(cell) or _artefact(cell, field):
                raise ValueError(wrong)
            return cell if is_text else rule(cell)

        return read

    def is_plain(self, field: str) -> bool:
        """Whether a cell of it that begins with a letter is a text that says itself."""
        # It is then neither blank, nor the word that clears, nor an error or a formula.
        is_text = fields.RULES[field] is fields.text
        return is_text and self._is_clean and self._clear[0] < "A" and field not in self._mapped

    def of_json(self, field: str, value: object) -> object:
        """What a value of a JSON object stands for; its field's own rule is not applied yet.

        Raises:
            ValueError: the user's maps and formats can't make anything of it.
        """
        if not isinstance(value, str) or not value:
            return value
        if (mapped := self._mapped.get(field)) is not None:
            return _meant(value.strip(), mapped, self._map_name)
        return self._dates_read[value] if field == "dueDate" else value


def _meant(word: str, mapped: dict[str, Any], name: str) -> Any:
    """What a value of a mapped field stands for.

    Raises:
        ValueError: the map lacks it.
    """
    word = word.casefold()
    if word not in mapped:
        # Looking for the nearest of very many takes long.
        near = fields.suggestion(word, mapped) if len(mapped) <= _SEARCHED else ""
        raise fields.WrongValueError(f"is not among the values of {name}", near)
    return mapped[word]


def _artefact(cell: str, field: str) -> str:
    """What is wrong with a cell that a program has written, and nobody meant so; else ""."""
    word = cell.strip()
    rule = fields.RULES[field]
    if word.lower() in _BLANKS and rule in (fields.text, fields.identifier):
        return "is what a program writes for no value: leave the cell blank"
    if rule is fields.identifier and word.lower() in ("none", "null", "n/a"):
        return "is what a program writes for no value: leave the cell blank"
    if word.startswith('="') and word.endswith('"'):
        return "is a formula that keeps a spreadsheet from reading a number: write it plainly"
    if cell[0] in " \t" and word[0] == '"' == word[-1]:
        return "is in quotes after a blank: leave no blank after the delimiter"
    return ""


def as_text(cell: str, field: str) -> str:
    """A cell as a CSV file can hold it: with what a spreadsheet knew to be wrong with it."""
    if isinstance(cell, Cell) and _cell_problem(cell, field):
        return f"{_WRONG} {cell}"
    return cell


def _cell_problem(cell: Cell, field: str) -> str:
    """What is wrong with a cell that was no text; "" if nothing is."""
    rule = fields.RULES[field]
    # Excel makes dates of ids that look like some.
    if rule is fields.text or (rule is fields.identifier and cell.kind != "number"):
        return f"is a {cell.kind}: format the cell as text, so that it reads as it is shown"
    return cell.problem


class CellReader:
    """Reads records of cells.

    Args:
        layout: what the header says.
        values: what cells say.
        constants: what every row says besides, by name in Python.
    """

    def __init__(self, layout: Layout, values: Values, constants: dict[str, Any]) -> None:
        self._columns = [(*column, values.reading(column.field)) for column in layout.columns]
        self._constants = constants
        self._values = values
        self._shortest = values.shortest
        #: Columns by how they are read: position, name in Python, and how.
        self._texts: list[tuple[int, str, Reading]] = []
        self._unplain: list[tuple[int, str, Reading]] = []
        self._others: list[tuple[int, str, dict[str, Any]]] = []
        for position, field, _, read in self._columns:
            name = PYTHON_NAMES[field]
            if field == "id":
                self._id, self._read_id = position, read
            elif values.is_plain(field):
                self._texts.append((position, name, read))
            elif fields.RULES[field] is fields.text:
                self._unplain.append((position, name, read))
            else:
                self._others.append((position, name, _Memory(read)))

    def row(self, number: int, line: int, cells: list[str]) -> Row | None:
        """The row that a record as wide as the header makes; None where anything is wrong."""
        id_ = cells[self._id]
        try:
            if not (id_.isidentifier() and len(id_) >= self._shortest):
                # Each is another one, and nearly all are plain words.
                id_ = self._read_id(id_)
            values = {"id": id_, **self._constants}
            for position, name, memory in self._others:
                if cell := cells[position]:
                    value = memory[cell]
                    if value is not BLANK:
                        values[name] = value
            for position, name, read in self._texts:
                if cell := cells[position]:
                    if "@" < cell[0] <= "~" and len(cell) >= self._shortest:
                        values[name] = cell
                    elif (value := read(cell)) is not BLANK:
                        values[name] = value
            for position, name, read in self._unplain:
                if (cell := cells[position]) and (value := read(cell)) is not BLANK:
                    values[name] = value
        except ValueError:
            return None
        if id_ is BLANK:
            return None
        update = CheckedUpdate(**values)
        clears = self._values.has_cleared and "" in values.values()
        shape = update.shape() if clears else tuple(values)
        return Row(number, line, id_, update, (), tuple(cells), (), shape)

    def problems(self, cells: list[str]) -> list[Problem]:
        """Everything that is wrong with such a record."""
        problems = []
        for position, field, name, read in self._columns:
            cell = cells[position]
            try:
                value = read(cell)
            except ValueError as error:
                problems.append(problem_of(field, cell, error, name))
                continue
            if field == "id" and value is BLANK:
                message = "is empty: say what task this row is about"
                problems.insert(0, Problem(field, "", message, "", name if name != field else ""))
        return problems

    def id(self, cells: list[str]) -> str:
        """The id that a record of any width holds, as it was written; "" where there is none."""
        return cells[self._id].strip() if self._id < len(cells) else ""


class _Memory(dict[str, Any]):
    """Cells of a column, and what they say."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._reading = reading

    def __missing__(self, cell: str) -> Any:
        value = self._reading(cell)
        if len(self) == _REMEMBERED:
            self.clear()
        self[cell] = value
        return value
