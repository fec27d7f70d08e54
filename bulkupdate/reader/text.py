"""Detect the encoding of a file, and decode its lines.

The reader guesses the encoding of a file that is not UTF-8 from its words. Spreadsheets in the West
still write Windows-1252 and Mac Roman. For any other encoding, a message asks the user.
"""

import codecs
import io
import re
from typing import IO, Literal, NamedTuple, cast
from unicodedata import category

from bulkupdate.errors import InputError, setting

#: The longest line, in bytes. A file with a longer one is not a text file of edits.
MAX_LINE = 1 << 20

#: The character that programs write for one that they could not read.
_LOST = "\ufffd"

#: Control characters but for tab and line ends, as bytes; and in UTF-8 U+FFFD and those beyond
#: ASCII.
_CONTROL = frozenset({*range(32), 127}) - set(b"\t\n\r")
_UNTIDY = re.compile(rb"\xc2[\x80-\x9f]|\xef\xbf\xbd")

#: Name of the error handler that keeps bytes that can't be decoded: see `_keep_bytes`.
KEEP_BYTES = "bulkupdate.keep-bytes"

#: First of the characters for bytes that can't be decoded: surrogates, which no text holds.
_ESCAPES = 0xDC00

_BOMS = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WESTERN = ("cp1252", "mac-roman")
#: Encodings that charset-normalizer may guess where the file is neither, by its own names.
_OTHERS = (
    *("cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("cp932", "gb18030", "big5", "euc_kr", "koi8_r"),
)
#: Letters beyond ASCII that can be a word by themselves.
_WORDS = "àèéòóíåäöüæøÀÈÉÒÓÍÅÄÖÜÆØ"
#: Letters and signs of these two encodings that people seldom write.
_RARE = "ƒŸΩπıﬁﬂˆ˜¯˘˙˚¸˝˛ˇ¨´◊‹›†‡¶¦¬þÞðÐýÝ¤\ufffd"
_SHOWN = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16 (LE)",
    "utf-16-be": "UTF-16 (BE)",
    "cp1252": "Windows-1252",
    "iso8859-1": "Latin-1",
    "mac-roman": "Mac Roman",
}

_HALVES = re.compile("[\udc00-\udcff]")

#: Number of words with letters beyond ASCII to judge, and to show in messages.
_JUDGED_WORDS = 2000
_SHOWN_WORDS = 4

#: Largest share of such words that may look wrong in an encoding that is still accepted.
_MAX_ODD = 0.1

#: Column name by which a file of failed rows records the guessed encoding of its input: the file
#: may have too few words for another guess.
_HINT = re.compile(rb"bulkupdate_encoding=([a-z0-9-]+)")

_CHUNK = 1 << 20
#: Number of bytes to decode at once.
_READ = 1 << 14
_WORD = re.compile(rb"[^\x00-\x20,;|\"]+")


class Encoding(NamedTuple):
    """The encoding of a file.

    Attributes:
        codec: Python's name of the encoding.
        mark: the byte order mark at the beginning of the file; empty without one.
        is_clean: whether the whole file is known to decode, and to hold neither U+FFFD nor control
            characters.
        examples: words that show whether the guess is right; empty where nothing was guessed.
    """

    codec: str
    mark: bytes = b""
    is_clean: bool = False
    examples: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Python's name of the encoding, with its byte order mark."""
        return "utf-8-sig" if self.codec == "utf-8" and self.mark else self.codec

    @property
    def safe_mark(self) -> bytes:
        """The byte order mark that a file of a few lines needs, so that it is decoded right."""
        if self.codec == "utf-8" and self.is_clean:
            return self.mark
        return next((mark for mark, codec in _BOMS if codec == self.codec), b"")

    @property
    def shown(self) -> str:
        """The name of the encoding for people."""
        shown = _SHOWN.get(self.codec, self.codec)
        return f"{shown} with a byte order mark" if self.name == "utf-8-sig" else shown


def encoding_of(content: IO[bytes], chosen: str | None, name: str) -> Encoding:
    """Find out the encoding of a file. This may read all of it.

    Args:
        content: the file, at its beginning.
        chosen: the encoding that the user chose, or None.
        name: the name of the file in messages.

    Raises:
        InputError: the encoding is not certain, or the file is not a text file.
    """
    head = content.read(4)
    mark, marked = next(((m, codec) for m, codec in _BOMS if head.startswith(m)), (b"", ""))
    if chosen is not None:
        codec = _normal(chosen)
        if codec in ("utf-16", "utf-32"):
            unmarked = _wide(head + content.read(60)) or f"{codec}-le"
            codec = marked if marked.startswith(codec) else unmarked
        return Encoding(codec, mark if codec == marked else b"")
    if marked and marked != "utf-8":
        return Encoding(marked, mark)
    start = head + content.read(_CHUNK)
    if codec := _wide(start):
        return Encoding(codec)
    decodes, has_utf8, is_tidy, words = _survey(start, content, name)
    if decodes or has_utf8 or mark:
        return Encoding("utf-8", mark, is_clean=decodes and is_tidy)
    head_lines = b"".join(start.splitlines(keepends=True)[:2])
    if (hint := _HINT.search(head_lines)) and (codec := hint[1].decode()) in _WESTERN:
        return Encoding(codec, examples=_examples(words, codec))
    return _western(words, name)


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
        data = self._content.read(max(size, _READ))
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        if end >= 0:
            self._line += data.count(b"\n") or data.count(b"\r")
            self._length = len(data) - end
        else:
            self._length += len(data)
        if self._length > MAX_LINE:
            raise InputError(
                f"{self._name}: line {self._line} is longer than {MAX_LINE:,} bytes:"
                " is this a text file of edits?"
            )
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        return self.read1(_READ if size is None else size)


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
    if _LOST in text:
        return (
            f"holds {_LOST!r} instead of a character that another program lost: enter the text"
            " again"
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


def _normal(name: str) -> str:
    codec = codecs.lookup(name).name
    if codec == "utf-8-sig":
        return "utf-8"
    return codec


def _wide(start: bytes) -> str:
    """The kind of UTF-16 of a header in ASCII letters without a byte order mark; else ""."""
    first = start[:64]
    if len(first) < 4:
        return ""
    odd, even = first[1::2], first[::2]
    if not any(odd) and all(even):
        return "utf-16-le"
    if not any(even) and all(odd):
        return "utf-16-be"
    return ""


def _survey(start: bytes, content: IO[bytes], name: str) -> tuple[bool, bool, bool, list[bytes]]:
    """Survey the bytes of a whole file.

    Returns:
        Whether all of it is UTF-8; whether any word beyond ASCII is UTF-8; whether it holds neither
        U+FFFD nor control characters; words that are not UTF-8.

    Raises:
        InputError: the file holds a NUL, so it is not a text file.
    """
    decodes, has_utf8, is_tidy = True, False, True
    words: list[bytes] = []
    rest, chunk = b"", start
    while chunk:
        if b"\0" in chunk:
            raise InputError(f"{name}: is not a text file: save it as CSV, UTF-8")
        is_tidy = is_tidy and not any(map(chunk.__contains__, _CONTROL))
        if not chunk.isascii() or rest:
            data = rest + chunk
            # Take only whole words: up to the last blank, comma or line end.
            end = max(data.rfind(b"\n"), data.rfind(b"\r"), data.rfind(b" "), data.rfind(b",")) + 1
            end = end if end > 0 and len(data) - end < _CHUNK else len(data)
            data, rest = data[:end], data[end:]
            is_tidy = is_tidy and not _UNTIDY.search(data)
            decodes, has_utf8 = _survey_part(data, decodes, has_utf8, words)
        chunk = content.read(_CHUNK)
    decodes, has_utf8 = _survey_part(rest, decodes, has_utf8, words)
    return decodes, has_utf8, is_tidy and not _UNTIDY.search(rest), words


def _survey_part(
    data: bytes, decodes: bool, has_utf8: bool, words: list[bytes]
) -> tuple[bool, bool]:
    if data.isascii():
        return decodes, has_utf8
    try:
        data.decode()
    except UnicodeDecodeError:
        for match in _WORD.finditer(data):
            word = match[0]
            if word.isascii():
                continue
            try:
                word.decode()
            except UnicodeDecodeError:
                if len(words) < _JUDGED_WORDS:
                    words.append(word[:60])
            else:
                has_utf8 = True
        return False, has_utf8
    return decodes, True


# --- guess between the encodings of the West ---------------------------------------------


def _western(words: list[bytes], name: str) -> Encoding:
    """The encoding in which these words look like words.

    Raises:
        InputError: no encoding fits, or several fit and give different words.
    """
    readings = {codec: [_decoded(word, codec) for word in words] for codec in _WESTERN}
    oddness = {codec: sum(map(_is_odd, texts)) for codec, texts in readings.items()}
    best, other = sorted(_WESTERN, key=lambda codec: oddness[codec])
    is_plausible = oddness[best] <= _MAX_ODD * len(words)
    is_sure = oddness[best] < oddness[other] or readings[best] == readings[other]
    if is_plausible and is_sure:
        return Encoding(best, examples=_examples(words, best))
    if not is_plausible:
        guess = _library_guess(words)
        if is_sure and list(guess.values()) == [readings[best]]:
            return Encoding(best, examples=_examples(words, best))
        readings |= guess
    shown = " or ".join(
        f"{setting('encoding')} {codec} (which reads {_shown(texts)})"
        for codec, texts in readings.items()
    )
    raise InputError(
        f"{name}: is not UTF-8, and its encoding is not certain: set {shown}, or save it as UTF-8"
    )


def _shown(texts: list[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(texts[:3])))


def _examples(words: list[bytes], codec: str) -> tuple[str, ...]:
    """The first words, decoded in an encoding."""
    return tuple(dict.fromkeys(_decoded(word, codec) for word in words))[:_SHOWN_WORDS]


def _library_guess(words: list[bytes]) -> dict[str, list[str]]:
    """The guess of charset-normalizer among other encodings, with the words in it."""
    from charset_normalizer import from_bytes

    found = from_bytes(b" ".join(words), cp_isolation=list(_OTHERS)).best()
    if found is None:
        return {}
    return {found.encoding: [_decoded(word, found.encoding) for word in words]}


def _decoded(word: bytes, codec: str) -> str:
    return word.decode(codec, "replace")


def _is_odd(word: str) -> bool:
    """Whether a word beyond ASCII looks like one that was decoded in a wrong encoding."""
    letters = [c for c in word if c.isalpha()]
    is_capital = len(letters) > 1 and letters[0].isupper() and letters[1].isupper()
    if is_capital and not letters[0].isascii() and any(c.islower() for c in letters):
        return True  # „Angebot“ becomes ÑAngebotì.
    if len(letters) > 3 and sum(not c.isascii() for c in letters) > len(letters) / 2:
        return True
    if set(word) & set("øæå") and set(word) & set("áíúýÁÍÚ"):
        return True  # Dvořák and Jiří become such words in Windows-1252.
    padded = f" {word} "
    return any(
        _is_odd_between(padded[index - 1], character, padded[index + 1])
        for index, character in enumerate(padded)
        if not character.isascii()
    )


def _is_odd_between(before: str, character: str, after: str) -> bool:
    """Whether people seldom write this character between these two."""
    kind = category(character)
    if kind[0] == "C" or kind == "Sm" or character in _RARE:
        return True
    is_lone = not before.isalpha() and not after.isalpha() and character not in _WORDS
    if kind == "Lu":
        is_inside = before.islower() or (before.isalpha() and after.islower() and after != "ß")
        return is_inside or is_lone or before.isdigit() or after.isdigit()
    if character == "ñ" and not after.isalpha():
        return True
    if character == "ù" and after.isalpha():
        return True
    if kind == "Ll":
        return is_lone or before.isdigit() or (after.isupper() and character != "ß")
    if kind == "Pd":
        return before.islower() and after.islower()
    if character == "’":
        return False
    if character == "°":
        return before.isalpha() and before not in "nN"
    if kind in ("Pi", "Pf", "Ps") or character == "…":
        # Opening and closing quotation marks differ between countries.
        return before.isalnum() and after.isalnum()
    if character in "¿¡":
        return before.isalnum()
    if character in "™®ªº":
        return after.isalpha() or (before.isdigit() and character in "™®")
    return kind != "Zs" and (before.isalpha() or after.isalpha())
