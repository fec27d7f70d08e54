"""The text of a file: its lines, and what could not be decoded."""

import codecs
import io
import re
from typing import IO, Literal, cast

from bulkupdate.reader.encoding import LOST, MAX_LINE, Encoding, overlong_line

#: Name of the error handler that keeps bytes that can't be decoded: see `_keep_bytes`.
KEEP_BYTES = "bulkupdate.keep-bytes"

#: First of the characters for bytes that can't be decoded: surrogates, which no text holds.
_ESCAPES = 0xDC00

_HALVES = re.compile("[\udc00-\udcff]")

#: Number of bytes to decode at once.
READ = 1 << 14


def text_of(content: IO[bytes], encoding: Encoding, name: str) -> io.TextIOWrapper:
    """The text of a file, with its line ends unchanged.

    Bytes that can't be decoded become surrogates, which `undecodable` finds.

    Raises:
        InputError: during the read: a line is too long.
    """
    content.read(len(encoding.mark))
    errors = "strict" if encoding.is_clean else KEEP_BYTES
    bounded = cast("io.BufferedReader", _Bounded(content, name))
    return io.TextIOWrapper(bounded, encoding.codec, errors, newline="")


class _Bounded(io.BufferedIOBase):
    """The bytes of a file, with a limit on the length of a line."""

    def __init__(self, content: IO[bytes], name: str) -> None:
        self._content = content
        self._name = name
        self._line = 1
        self._length = 0

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        data = self._content.read(max(size, READ))
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        if end >= 0:
            first = min(at for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0)
            self._check(self._length + first)
            self._line += data.count(b"\n") or data.count(b"\r")
            self._length = len(data) - end - 1
        else:
            self._length += len(data)
        self._check(self._length)
        return data

    def _check(self, length: int) -> None:
        if length > MAX_LINE:
            raise overlong_line(self._name, self._line)

    def read(self, size: int | None = -1, /) -> bytes:
        return self.read1(READ if size is None else size)


def damage(text: str) -> str:
    """The problem of a text with damaged characters; "" without one."""
    if text.isascii():
        return ""
    if wrong := undecodable(text):
        found = " ".join(f"{byte:02x}" for byte in wrong[:8])
        return (
            f"holds bytes that can't be decoded ({found}): enter the text again, and save the file"
            " as UTF-8"
        )
    if LOST in text:
        return (
            f"holds {LOST!r} instead of a character that another program lost: enter the text again"
        )
    return ""


def undecodable(text: str) -> bytes:
    """The bytes of a text that could not be decoded; empty where all could."""
    if text.isascii():
        return b""
    return bytes(ord(c) - _ESCAPES for c in _HALVES.findall(text))


def _keep_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Decode each invalid byte to a surrogate, and encode such surrogates to the byte.

    A backslash escape replaces a character that the encoding lacks.
    """
    if isinstance(error, UnicodeDecodeError):
        wrong = error.object[error.start : error.end]
        return "".join(chr(_ESCAPES + byte) for byte in wrong), error.end
    if isinstance(error, UnicodeEncodeError):
        character = error.object[error.start]
        if kept := undecodable(character):
            return _again(kept[0], error.encoding), error.start + 1
        return character.encode("ascii", "backslashreplace").decode(), error.start + 1
    raise error


def _again(byte: int, encoding: str) -> bytes:
    """The encoded form of a byte that could not be decoded: as wide as a character, and invalid."""
    width = {"utf-16": 2, "utf-32": 4}.get(encoding[:6].replace("_", "-"), 1)
    order: Literal["big", "little"] = "big" if encoding.endswith("be") else "little"
    return byte.to_bytes(1, order) if width == 1 else (_ESCAPES + byte).to_bytes(width, order)


codecs.register_error(KEEP_BYTES, _keep_bytes)
