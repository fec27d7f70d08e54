"""TOML: its text and content, and the line of each key, which Python's own reader does not tell."""

import re
import tomllib
from bisect import bisect_left
from typing import Any

#: A key, or the number of an element of a list, from 0.
Part = str | int

#: The keys that lead to a place in a file.
Path = tuple[Part, ...]

_STRING = r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'"
_LONG_STRING = r"\"\"\"(?:[^\\]|\\.)*?\"\"\"\"{0,2}|'''.*?''''{0,2}"
_PART = rf"(?:[A-Za-z0-9_-]+|{_STRING})"
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_PARTS = re.compile(_PART)
_SCALAR = re.compile(rf"{_LONG_STRING}|{_STRING}|[^,\]}}#\r\n]+", re.DOTALL)
_BLANK = re.compile(r"(?:[\s,]|#[^\n]*)*")
_AT = re.compile(r"\(at line (\d+), column (\d+)\)")


class TomlError(ValueError):
    """A file is not TOML.

    Attributes:
        line: the line of the fault, from 1.
        column: its column, from 1; None at the end of the file, or where it is not known.
        what: the fault in words. It may quote the file.
        discreet: the fault in words that quote nothing, for a file that may hold secrets.
    """

    def __init__(self, line: int, column: int | None, what: str, discreet: str = "") -> None:
        super().__init__(what)
        self.line = line
        self.column = column
        self.what = what
        self.discreet = discreet or what


def parse(data: bytes) -> tuple[str, dict[str, Any]]:
    """The text and the content of a TOML file. A byte order mark before it is ignored.

    Args:
        data: the bytes of the file.

    Raises:
        TomlError: it is not UTF-8, or not TOML.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].count(b"\n")
        raise TomlError(line, None, "is not UTF-8: save the file as UTF-8") from None
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise TomlError(1, None, "is not TOML that can be read: it nests too deep") from None
    except tomllib.TOMLDecodeError as error:
        raise _fault(text, str(error)) from None
    except ValueError:
        raise TomlError(1, None, "is not TOML that can be read: a number is too long") from None


def _fault(text: str, message: str) -> TomlError:
    """The error for a message of `tomllib`."""
    found = _AT.search(message)
    line = int(found[1]) if found else 1 + text.rstrip("\n").count("\n")
    what = _AT.sub("", message).replace("(at end of document)", "").strip()
    is_twice = what.startswith(("Cannot", "Duplicate"))
    return TomlError(
        line,
        int(found[2]) if found else None,
        f"is not TOML: {what}",
        f"is not TOML{': a name or a key is there twice' if is_twice else ''}",
    )


class Places:
    """The line of each key and of each element of a list.

    Args:
        text: a text that `tomllib` has read.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._breaks = [found.start() for found in re.finditer("\n", text)]
        self._at = 0
        self._lines: dict[Path, int] = {}
        #: Arrays of tables, with the number of tables so far.
        self._tables: dict[Path, int] = {}
        self._read()

    def line(self, path: Path) -> int:
        """The line of a place, or of the nearest place around it that has a line; from 1."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _read(self) -> None:
        prefix: Path = ()
        while not self._is_over():
            if self._text[self._at] == "[":
                prefix = self._header()
            else:
                self._pair(prefix)

    def _is_over(self) -> bool:
        self._skip()
        return self._at >= len(self._text)

    def _skip(self) -> None:
        """Skip blanks, line breaks, comments, and the commas between elements."""
        if found := _BLANK.match(self._text, self._at):
            self._at = found.end()

    def _next_is(self, sign: str) -> bool:
        """Whether a sign comes next. If so, it is skipped."""
        self._skip()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _header(self) -> Path:
        """Read a header, and return the path of its table."""
        start = self._at
        is_array = self._next_is("[[") or not self._next_is("[")
        keys = self._key()
        self._at = self._text.index("]", self._at) + (2 if is_array else 1)
        path: Path = ()
        for key in keys:
            # A header goes on below the last table of an array.
            last = self._tables.get(path)
            path = (*path, key) if last is None else (*path, last - 1, key)
        self._note(path, start)
        if is_array:
            number = self._tables.get(path, 0)
            self._tables[path] = number + 1
            path = (*path, number)
            self._note(path, start)
        return path

    def _pair(self, prefix: Path) -> None:
        start = self._at
        path = prefix
        for key in self._key():
            path = (*path, key)
            self._note(path, start)
        self._at = self._text.index("=", self._at) + 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip()
        if self._next_is("["):
            number = 0
            while not self._next_is("]"):
                self._note((*path, number), self._at)
                self._value((*path, number))
                number += 1
        elif self._next_is("{"):
            while not self._next_is("}"):
                self._pair(path)
        elif found := _SCALAR.match(self._text, self._at):
            self._at = found.end()

    def _key(self) -> tuple[str, ...]:
        self._skip()
        found = _KEY.match(self._text, self._at)
        if found is None:
            raise AssertionError(f"no key at {self._at}: the text is not TOML")
        self._at = found.end()
        return tuple(map(_plain, _PARTS.findall(found[0])))

    def _note(self, path: Path, at: int) -> None:
        self._lines.setdefault(path, 1 + bisect_left(self._breaks, at))


def _plain(key: str) -> str:
    """A key without its quotes."""
    if key[0] not in "\"'":
        return key
    plain: str = tomllib.loads(f"key = {key}")["key"]
    return plain
