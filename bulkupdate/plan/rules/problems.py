"""The problems of a file of rules, each with its line and what would be right."""

from collections.abc import Collection, Iterable

from bulkupdate import fields
from bulkupdate.errors import InputError
from bulkupdate.toml import Path, Places

#: Keys that mean another one → that one.
_ALIASES = {
    **fields.ALIASES,
    "rules": "rule",
    "campaignId": "campaign",
    "createdAt": "created",
    "due": "dueDate",
    "dueDate": "due",
    "since": "from",
    "to": "until",
}


class Problems:
    """The problems found so far.

    Args:
        name: the name of the file.
        places: the lines of its keys.
    """

    def __init__(self, name: str, places: Places) -> None:
        self._name = name
        self._places = places
        self._found: list[tuple[int, str]] = []

    def where(self, path: Path) -> str:
        """A place for messages: `line 7: rule 2: select.due`."""
        return ": ".join(filter(None, (f"line {self._places.line(path)}", _label(path))))

    def add(self, path: Path, message: str) -> None:
        """Add a problem of a place."""
        self._found.append((self._places.line(path), f"{self.where(path)}: {message}"))

    def add_error(self, path: Path, value: object, error: ValueError) -> None:
        """Add what a rule has found wrong with a value."""
        hint = error.hint if isinstance(error, fields.WrongValueError) else ""
        self.add(path, f"{fields.shorten(shown(value))} {error}{hint}")

    def add_unknown(self, path: Path, known: Collection[str]) -> None:
        """Add a key that is none."""
        key = str(path[-1])
        near = alias if (alias := _ALIASES.get(key)) in known else fields.nearest(key, known)
        hint = f"did you mean {near}?" if near else f"accepted: {', '.join(known)}"
        self.add(path, f"no such key; {hint}")

    def check_keys(self, path: Path, keys: Iterable[str], known: Collection[str]) -> None:
        """Add each key of a table that is none."""
        for key in keys:
            if key not in known:
                self.add_unknown((*path, key), known)

    def stop(self) -> None:
        """Stop where there is a problem.

        Raises:
            InputError: there is one at least. The message holds all, a line for each.
        """
        if self._found:
            lines = (f"{self._name}, {message}" for _, message in sorted(self._found))
            raise InputError("\n".join(lines))


def shown(value: object) -> object:
    """A value as TOML writes it, as far as it differs from Python."""
    if isinstance(value, bool):
        return _Plain(str(value).lower())
    return value if isinstance(value, str) else _Plain(str(value))


class _Plain:
    """A text that is shown without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def _label(path: Path) -> str:
    """The keys of a place, as a person writes them."""
    rule = ""
    if path[:1] == ("rule",) and len(path) > 1 and isinstance(path[1], int):
        rule, path = f"rule {path[1] + 1}", path[2:]
    keys = ".".join(part for part in path if isinstance(part, str))
    return ": ".join(filter(None, (rule, keys)))
