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
        self._readings = [
            (position, PYTHON_NAMES[name], _reading(name)) for position, name in columns(header)
        ]

    def update(self, cells: list[str]) -> CheckedUpdate | None:
        """The update that a row makes; None where anything is wrong with it."""
        if len(cells) != self._width:
            return None
        values = {}
        try:
            for position, name, reading in self._readings:
                if cell := cells[position]:
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


def _reading(name: str) -> Reading:
    """How the cells of a column are read."""
    rule = fields.RULES[name]
    is_clearable = name in fields.CLEARABLE

    def read(cell: str) -> Any:
        word = cell.strip()
        if not word:
            return BLANK
        if word[0] == "<" and word.lower() == CLEAR:
            if not is_clearable:
                raise ValueError("can't be cleared")
            return ""
        return rule(cell)

    if name == "id":
        # Each is another one, and nearly all are plain words.
        return lambda cell: cell if cell.isidentifier() else read(cell)
    return read if rule is fields.text else _Memory(read).__getitem__
