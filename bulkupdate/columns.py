"""What the columns of a file, or the keys of an object, are called, and what is wrong with that."""

from bulkupdate import fields
from bulkupdate.models import PYTHON_NAMES

#: Columns and keys that begin so are ours: they are in `failed.csv`, and are ignored.
OWN_PREFIX = "bulkupdate_"

#: What a file is told that holds JSON where a header should be.
JSON_HINT = "looks like JSON: put one object on each line, and name it .jsonl (or --format jsonl)"

_JSONL_ONLY = frozenset({"images", "videos"})
_FIELDS = tuple(PYTHON_NAMES)


def header_problems(header: tuple[str, ...]) -> list[str]:
    """Everything that is wrong with the header of a CSV file; nothing where it is right."""
    problems, seen = [], dict[str, str]()
    for position, column in enumerate(map(str.strip, header), 1):
        if column.startswith(OWN_PREFIX):
            continue
        name = fields.ALIASES.get(column, column)
        if not column:
            problems.append(f"column {position} has no name")
        elif name in _JSONL_ONLY:
            problems.append(f"column {column!r} can only be given in JSONL: it holds a list")
        elif name not in PYTHON_NAMES:
            problems.append(unknown("column", column))
        elif name in seen and seen[name] == column:
            problems.append(f"column {column!r} is there twice")
        elif name in seen:
            problems.append(f"columns {seen[name]!r} and {column!r} are one field: keep one")
        seen.setdefault(name, column)
    if "id" not in seen:
        problems.append("there is no column 'id', which says what task a row is about")
    return problems


def format_hint(header: tuple[str, ...]) -> str:
    """What the file rather seems to be, where its first record shows that it is no such header."""
    first = header[0].strip() if header else ""
    if first.startswith("["):
        return JSON_HINT
    if len(header) == 1 and (found := [mark for mark in ";\t|" if mark in first]):
        cure = "give --format tsv" if found[0] == "\t" else "save it with commas"
        return f"its columns seem to be separated by {found[0]!r}: {cure}"
    return ""


def unknown(kind: str, name: str) -> str:
    """What to say of a column or key that is no field."""
    if name in fields.READ_ONLY:
        return f"{kind} {name!r} can't be changed through the API: remove it"
    near = fields.suggestion(name, (*PYTHON_NAMES, *fields.ALIASES))
    if near:
        return f"unknown {kind} {fields.shorten(name)}{near}"
    return f"unknown {kind} {fields.shorten(name)}: known are {', '.join(_FIELDS)}"


def columns(header: tuple[str, ...]) -> list[tuple[int, str]]:
    """Where in a record each field stands: position, name on the wire."""
    return [
        (position, fields.ALIASES.get(column.strip(), column.strip()))
        for position, column in enumerate(header)
        if not column.strip().startswith(OWN_PREFIX)
    ]
