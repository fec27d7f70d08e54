"""What the columns of a file, or the keys of an object, are called, and what they stand for."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from bulkupdate import fields
from bulkupdate.errors import ConfigError, setting
from bulkupdate.models import PYTHON_NAMES
from bulkupdate.reader.options import ReadOptions

#: Columns and keys that begin so are ours: they are in `failed.csv`, and are passed over.
OWN_PREFIX = "bulkupdate_"


_JSONL_ONLY = frozenset({"images", "videos"})
_FIELDS = tuple(PYTHON_NAMES)

#: Problems of a header that are named.
_SHOWN = 20

#: What no name of a column holds that was taken apart right.
_FOREIGN = frozenset(",;\t|\"'")

#: What people call a field, without case, blanks and punctuation → the field.
_COMMON_NAMES = {
    **{re.sub(r"\W|_", "", name).lower(): name for name in PYTHON_NAMES},
    **{re.sub(r"\W|_", "", name).lower(): field for name, field in fields.ALIASES.items()},
    "taskid": "id",
    "assignee": "assignedTo",
    "due": "dueDate",
}


class Column(NamedTuple):
    """A column that is sent.

    Attributes:
        position: of its cell in a record.
        field: that it stands for, by its name on the wire.
        name: as it was written.
    """

    position: int
    field: str
    name: str


class Layout(NamedTuple):
    """What a header says.

    Attributes:
        header: the names as they were written.
        width: cells of a record that mean something: nameless columns at the end are none.
        columns: that are sent.
        ignored: names of those that are not, except our own.
        kept: positions of all but our own.
    """

    header: tuple[str, ...]
    width: int
    columns: tuple[Column, ...]
    ignored: tuple[str, ...]
    kept: tuple[int, ...]

    @property
    def written(self) -> int:
        """Cells of the header, those of nameless columns too."""
        return len(self.header)


class Naming:
    """What a name stands for, by itself or because the user says so.

    Args:
        options: what the user says.

    Raises:
        ConfigError: it names a field that there is not, or says two things of one.
    """

    def __init__(self, options: ReadOptions) -> None:
        self._ignores_extra = options.ignore_extra
        self._mapping = {
            name.strip(): self._known_field(field, "mapping")
            for name, field in options.mapping.items()
        }
        self.constants: dict[str, str] = {}
        for name, text in options.constants.items():
            field = self._known_field(name, "constants")
            if field == "id":
                raise ConfigError(f"{setting('constants')} id: each row is about a task of its own")
            if field in self.constants:
                raise ConfigError(f"{setting('constants')} names {field!r} twice")
            if field in _JSONL_ONLY:
                raise ConfigError(
                    f"{setting('constants')} {field}: a list can only be given in JSONL"
                )
            self.constants[field] = text
        #: What `--only` names: names as they are written, and the fields they stand for.
        self._only = {name.strip(): self.meant(name) for name in options.only}
        self._only_fields = set(self._only.values()) - {None}

    def field(self, name: str) -> str | None:
        """The field that a column or key stands for; None if it is no field."""
        name = name.strip()
        if said := self._said(name):
            return self._mapping[said]
        field = _field_called(name)
        # A field that the user says another column stands for is nothing else's.
        return None if field in self._mapping.values() else field

    def meant(self, name: str) -> str | None:
        """The field that the user means by the name of a column, or by its own."""
        return self.field(name) or _field_called(name.strip())

    def _said(self, name: str) -> str | None:
        """By what name the user speaks of a column, if so."""
        if name in self._mapping:
            return name
        return next((said for said in self._mapping if _plain(said) == _plain(name)), None)

    def is_ignored(self, name: str) -> bool:
        """Whether a column or key is not read, whatever it holds."""
        name = name.strip()
        if name.startswith(OWN_PREFIX):
            return True
        field = self.field(name)
        if self._only and field != "id":
            is_named = name in self._only
            if not is_named and field not in self._only_fields:
                return True
        return self._ignores_extra and (field is None or not name)

    def problem(self, kind: str, name: str) -> str | None:
        """What is wrong with a name that is read; None if it is right."""
        field = self.field(name)
        if field is None:
            return _unknown(kind, name)
        if field in self.constants:
            return (
                f"{kind} {name!r} and {setting('constants')} {field} set the same field: leave one"
                f" out ({setting('only')} names the columns to send)"
            )
        return None

    def layout(self, header: tuple[str, ...]) -> tuple[Layout, list[str]]:
        """What a header says, and everything that is wrong with it."""
        names = [name.strip() for name in header]
        # A column of that very name is meant, before others that stand for the same field.
        exact = {self._only[name] for name in names if name in self._only}
        self._only_fields -= exact
        while names and not names[-1]:
            names.pop()
        columns: list[Column] = []
        problems: list[str] = []
        ignored = []
        for position, name in enumerate(names):
            if self.is_ignored(name):
                if name and not name.startswith(OWN_PREFIX):
                    ignored.append(name)
            elif not name:
                problems.append(
                    f"column {position + 1} has no name: name it, or ignore it with"
                    f" {setting('ignore_extra')}"
                )
            elif problem := self.problem("column", name):
                problems.append(problem)
            else:
                column = Column(position, self.field(name) or "", name)
                problems += _clashes(columns, column)
                columns.append(column)
        if not any(column.field == "id" for column in columns):
            problems.append(
                "there is no column 'id', which names the task of each row; if it has another name,"
                f" set {setting('mapping')} 'NAME=id'; if lines stand above the header, remove them"
            )
        problems += self.missing(names)
        if len(problems) > _SHOWN:
            problems[_SHOWN:] = [f"… and {len(problems) - _SHOWN:,} more problems of the header"]
        kept = tuple(n for n, name in enumerate(names) if not name.startswith(OWN_PREFIX))
        return Layout(header, len(names), tuple(columns), tuple(ignored), kept), problems

    def knows(self, header: Iterable[str]) -> int:
        """How many of these names stand for a field."""
        return sum(self.field(name) is not None for name in header)

    def missing(self, names: Iterable[str]) -> list[str]:
        """What is wrong where the user speaks of columns that are not among these."""
        there = {name.strip() for name in names}
        known = {self.field(name) for name in there}
        problems = [
            f"{setting('mapping')} {name!r}: there is no such column"
            + fields.suggestion(name, there)
            for name in self._mapping
            if name not in {self._said(other) for other in there}
        ]
        problems += [
            f"{setting('only')} {name!r}: there is no such column" + fields.suggestion(name, there)
            for name, field in self._only.items()
            if name not in there and (field is None or field not in known)
        ]
        return problems

    @staticmethod
    def _known_field(name: str, flag: str) -> str:
        field = _field_called(name.strip())
        if field is None:
            near = fields.suggestion(name, PYTHON_NAMES) or f": known are {', '.join(_FIELDS)}"
            raise ConfigError(f"{setting(flag)}: {name!r} is no field{near}")
        return field


def _field_called(name: str) -> str | None:
    """The field that a name stands for by itself."""
    # Quotes and delimiters in a name show that the file was not taken apart right.
    if set(name) & _FOREIGN:
        return None
    return fields.ALIASES.get(name) or _COMMON_NAMES.get(_plain(name))


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _clashes(columns: list[Column], column: Column) -> list[str]:
    """What is wrong with one more column beside those that were there before it."""
    if column.field in _JSONL_ONLY:
        return [f"column {column.name!r} can only be given in JSONL: it holds a list"]
    for other in columns:
        if other.name == column.name:
            return [f"column {column.name!r} is there twice: keep one, under a name of its own"]
        if other.field == column.field:
            return [
                f"columns {other.name!r} and {column.name!r} are one field: keep one"
                f" ({setting('only')} names the columns to send)"
            ]
    return []


def json_hint() -> str:
    """What to do with a file that holds JSON where a header should be."""
    return (
        "looks like JSON: put one object on each line, and name it .jsonl (or set"
        f" {setting('format')} jsonl)"
    )


def format_hint(header: tuple[str, ...]) -> str:
    """What the file rather seems to be, where its first record shows that it is no such header."""
    first = header[0].strip() if header else ""
    return json_hint() if first.startswith(("[", "{")) else ""


def _unknown(kind: str, name: str) -> str:
    """What to say of a column or key that is no field."""
    if name in fields.READ_ONLY:
        return (
            f"{kind} {name!r} can't be changed through the API: remove it, or set"
            f" {setting('ignore_extra')}"
        )
    near = fields.suggestion(name, (*PYTHON_NAMES, *fields.ALIASES))
    if near:
        return f"unknown {kind} {fields.shorten(name)}{near}"
    return (
        f"unknown {kind} {fields.shorten(name)}: known are {', '.join(_FIELDS)};"
        f" {setting('mapping')} '{fields.shorten(name)[1:-1]}=FIELD' names the field it stands for,"
        f" {setting('ignore_extra')} ignores columns that match no field"
    )
