"""What the text of a CSV cell says, column by column, quickly.

A spreadsheet has few distinct users, dates and priorities in very many rows, so what such a cell
says is remembered.
"""

from collections.abc import Callable
from typing import Any

from bulkupdate import fields
from bulkupdate.columns import columns
from bulkupdate.models import PYTHON_NAMES, CheckedUpdate

#: The word that empties a field: a blank cell leaves it alone.
CLEAR = "<clear>"

#: What a blank cell says.
BLANK = object()

#: Cells of one column that are remembered.
_REMEMBERED = 4096

#: Says what a cell says: a value on the wire, or `BLANK`. Raises `ValueError` where it is wrong.
Reading = Callable[[str], Any]


class CellReader:
    """Reads the cells of rows that are right. What is wrong with others is not its business.

    Args:
        header: the column names.
    """

    def __init__(self, header: tuple[str, ...]) -> None:
        self._width = len(header)
        self._names = [""] * self._width
        self._readings: list[Reading] = [_pass_over] * self._width
        for position, name in columns(header):
            self._names[position] = PYTHON_NAMES[name]
            self._readings[position] = _reading(name)

    def update(self, cells: list[str]) -> CheckedUpdate | None:
        """The update that a row makes; None where anything is wrong with it."""
        if len(cells) != self._width:
            return None
        values = {}
        try:
            for cell, name, reading in zip(cells, self._names, self._readings, strict=True):
                if cell:
                    value = reading(cell)
                    if value is not BLANK:
                        values[name] = value
        except ValueError:
            return None
        return CheckedUpdate(**values) if "id" in values else None


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


def _pass_over(_: str) -> Any:
    return BLANK


def _reading(name: str) -> Reading:
    """How the cells of a column are read."""
    rule = fields.RULES[name]
    is_clearable = name in fields.CLEARABLE
    is_text = rule is fields.text

    def read(cell: str) -> Any:
        word = cell.strip()
        if not word:
            return BLANK
        if word[0] == "<" and word.lower() == CLEAR:
            if not is_clearable:
                raise ValueError("can't be cleared")
            return ""
        # What UTF-8 was decoded to is text that can be sent.
        return cell if is_text else rule(cell)

    if name == "id":
        # Each is another one, and nearly all are plain words.
        return lambda cell: cell if cell.isidentifier() else read(cell)
    if is_text:
        # What begins with a letter is neither blank nor the word.
        return lambda cell: cell if "<" < cell[0] <= "~" else read(cell)
    return _Memory(read).__getitem__
