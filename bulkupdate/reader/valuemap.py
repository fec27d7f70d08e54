"""A file that maps the values of a column to others: `column,from,to`."""

from collections.abc import Iterable
from pathlib import Path

from bulkupdate.errors import InputError
from bulkupdate.reader.columns import Naming
from bulkupdate.reader.records import Record
from bulkupdate.reader.sheet import WRONG, Cell

#: Largest number of lines in a value map.
MAX_ENTRIES = 1_000_000

_HEADER = ("column", "from", "to")


def columns_known(header: list[str]) -> int:
    """Number of these names that are columns of a value map."""
    return len({name.strip().lower() for name in header} & set(_HEADER))


class ValueMap:
    """A map from values of some columns to others. Case and blanks around don't matter.

    Args:
        path: the path of the file, for messages.
        header: the header of the file.
        records: the records of the file after its header.
        naming: the fields that columns stand for.

    Raises:
        InputError: the file is not a value map, or one of its lines is wrong.
    """

    def __init__(
        self, path: Path, header: tuple[str, ...], records: Iterable[Record], naming: Naming
    ) -> None:
        self._path = path
        self._entries: dict[str, dict[str, tuple[int, str]]] = {}
        names = [name.strip().lower() for name in header]
        if sorted(name for name in names if name in _HEADER) != sorted(_HEADER):
            found = ", ".join(header)
            raise InputError(f"{path}: a value map has the columns column, from, to, not {found}")
        indexes = [names.index(name) for name in _HEADER]
        for count, (line, cells) in enumerate(records, 1):
            if count > MAX_ENTRIES:
                raise InputError(f"{path}: a value map has at most {MAX_ENTRIES:,} lines")
            if len(cells) != len(header):
                raise InputError(
                    f"{path}, line {line}: has {len(cells)} cells, and the header has {len(header)}"
                )
            self._add(line, *(cells[index] for index in indexes), naming=naming)
        if not self._entries:
            raise InputError(f"{path}: the value map has a header but no lines")

    @property
    def fields(self) -> list[str]:
        """The fields that are mapped."""
        return list(self._entries)

    def of(self, field: str) -> dict[str, tuple[int, str]]:
        """The mapped values of a field: value, in lower case → line number and new value."""
        return self._entries[field]

    def _add(self, line: int, column: str, value: str, meant: str, *, naming: Naming) -> None:
        field = naming.meant(column)
        if field is None or field == "id":
            why = "is not a field" if field is None else "names the task: it can't be mapped"
            raise InputError(f"{self._path}, line {line}: column {column!r} {why}")
        if isinstance(value, Cell) and value.kind == WRONG:
            raise InputError(f"{self._path}, line {line}: 'from' {value!r} {value.problem}")
        value = value.strip()
        if not value or not meant.strip():
            raise InputError(f"{self._path}, line {line}: 'from' and 'to' can't be blank")
        known = self._entries.setdefault(field, {})
        if known.setdefault(value.casefold(), (line, meant))[1] != meant:
            raise InputError(f"{self._path}, line {line}: {value!r} stands for two values")
