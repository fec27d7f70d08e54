"""A file that says what the values of a column stand for: `column,from,to`."""

from collections.abc import Iterable
from pathlib import Path

from bulkupdate.errors import InputError
from bulkupdate.reader.columns import Naming
from bulkupdate.reader.records import Record

#: Lines that a value map may have.
MAX_ENTRIES = 1_000_000

_HEADER = ("column", "from", "to")


def columns_known(header: list[str]) -> int:
    """How many of these names are columns of a value map."""
    return len({name.strip().lower() for name in header} & set(_HEADER))


class ValueMap:
    """What the values of some columns stand for. Case doesn't matter, nor do blanks around.

    Args:
        path: of the file, for messages.
        header: of the file.
        records: of the file, after the header.
        naming: what columns stand for.

    Raises:
        InputError: it can't be used.
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
        places = [names.index(name) for name in _HEADER]
        for count, (line, cells) in enumerate(records, 1):
            if count > MAX_ENTRIES:
                raise InputError(f"{path}: a value map has at most {MAX_ENTRIES:,} lines")
            if len(cells) != len(header):
                raise InputError(
                    f"{path}, line {line}: has {len(cells)} cells and not {len(header)}"
                )
            self._add(line, *(cells[place] for place in places), naming=naming)
        if not self._entries:
            raise InputError(f"{path}: the value map has a header, but no line")

    @property
    def fields(self) -> list[str]:
        """The fields that are mapped."""
        return list(self._entries)

    def of(self, field: str) -> dict[str, tuple[int, str]]:
        """What values of a field stand for: value, in lower case → line, and what it means."""
        return self._entries[field]

    def _add(self, line: int, column: str, value: str, meant: str, *, naming: Naming) -> None:
        field = naming.meant(column)
        if field is None or field == "id":
            why = "is no field" if field is None else "is the task: it can't be mapped"
            raise InputError(f"{self._path}, line {line}: column {column!r} {why}")
        value = value.strip()
        if not value or not meant.strip():
            raise InputError(f"{self._path}, line {line}: 'from' and 'to' can't be blank")
        known = self._entries.setdefault(field, {})
        if known.setdefault(value.casefold(), (line, meant))[1] != meant:
            raise InputError(f"{self._path}, line {line}: {value!r} stands for two values")
