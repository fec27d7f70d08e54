"""Bytes → text: which encoding they are in, and their lines.

What UTF-8 can't be is told by how it reads. Windows-1252 and Mac Roman are the two that
spreadsheets still write in the West; of any other, the user is asked.
"""

import codecs
import io
import re
from typing import IO, Literal, NamedTuple, cast
from unicodedata import category

from bulkupdate.errors import InputError, setting

#: The longest line, in bytes. A longer one is a file that is no text, or has an open quote.
MAX_LINE = 1 << 20

#: What stands for a character that could not be read.
_LOST = "\ufffd"

#: The name of our way to decode what can't be: see `_keep_bytes`.
KEEP_BYTES = "bulkupdate.keep-bytes"

#: Where a byte that can't be decoded goes: half of a character, which no text holds.
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
#: What charset-normalizer is asked about where it is neither: its names.
_OTHERS = (
    *("cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("cp932", "gb18030", "big5", "euc_kr", "koi8_r"),
)
#: Letters beyond ASCII that are a word by themselves.
_WORDS = "àèéòóíåäöüæøÀÈÉÒÓÍÅÄÖÜÆØ"
#: Letters and signs of these two encodings that are seldom meant.
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

#: Words with letters beyond ASCII that are judged, and shown.
_JUDGED_WORDS = 2000
_SHOWN_WORDS = 4

#: The share of such words that may look wrong in a reading that is taken all the same.
_MAX_ODD = 0.1

#: A column by which a file of failed rows says what its input was taken for: it may
#: have too few words to tell.
_HINT = re.compile(rb"bulkupdate_encoding=([a-z0-9-]+)")

_CHUNK = 1 << 20
#: Bytes that are decoded at once.
_READ = 1 << 14
_WORD = re.compile(rb"[^\x00-\x20,;|\"]+")


class Encoding(NamedTuple):
    """The encoding of a file.

    Attributes:
        codec: Python's name for it.
        mark: the byte order mark at the beginning of the file; empty without one.
        is_clean: whether all of the file is known to decode, and to have lost no character before.
        examples: words that tell whether it was guessed well; empty where nothing was guessed.
    """

    codec: str
    mark: bytes = b""
    is_clean: bool = False
    examples: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Python's name for it with its byte order mark."""
        return "utf-8-sig" if self.codec == "utf-8" and self.mark else self.codec

    @property
    def safe_mark(self) -> bytes:
        """The mark without which a few lines of it may be taken for something else."""
        if self.codec == "utf-8" and self.is_clean:
            return self.mark
        return next((mark for mark, codec in _BOMS if codec == self.codec), b"")

    @property
    def shown(self) -> str:
        """Its name for people."""
        shown = _SHOWN.get(self.codec, self.codec)
        return f"{shown} with a byte order mark" if self.name == "utf-8-sig" else shown


def encoding_of(content: IO[bytes], said: str | None, name: str) -> Encoding:
    """Find out the encoding of a file, reading all of it where need be.

    Args:
        content: the file, at its beginning.
        said: the encoding that its user names, or None.
        name: of the file, for messages.

    Raises:
        InputError: it can't be told.
    """
    head = content.read(4)
    mark, marked = next(((m, codec) for m, codec in _BOMS if head.startswith(m)), (b"", ""))
    if said is not None:
        codec = _normal(said)
        if codec in ("utf-16", "utf-32"):
            unmarked = _wide(head + content.read(60)) or f"{codec}-le"
            codec = marked if marked.startswith(codec) else unmarked
        return Encoding(codec, mark if codec == marked else b"")
    if marked and marked != "utf-8":
        return Encoding(marked, mark)
    start = head + content.read(_CHUNK)
    if codec := _wide(start):
        return Encoding(codec)
    decodes, has_utf8, has_lost, words = _survey(start, content, name)
    if decodes or has_utf8 or mark:
        return Encoding("utf-8", mark, is_clean=decodes and not has_lost)
    head_lines = b"".join(start.splitlines(keepends=True)[:2])
    if (hint := _HINT.search(head_lines)) and (codec := hint[1].decode()) in _WESTERN:
        return Encoding(codec, examples=_examples(words, codec))
    return _western(words, name)


def text_of(content: IO[bytes], encoding: Encoding, name: str) -> io.TextIOWrapper:
    """The text of a file, as its lines with their ends, whatever these are.

    Bytes that can't be decoded come as half characters, which `undecodable` finds.

    Raises:
        InputError: while it is read: a line is too long, or the file is no text.
    """
    content.read(len(encoding.mark))
    errors = "strict" if encoding.is_clean else KEEP_BYTES
    bounded = cast("io.BufferedReader", _Bounded(content, name))
    return io.TextIOWrapper(bounded, encoding.codec, errors, newline="")


class _Bounded(io.BufferedIOBase):
    """Bytes that are passed on as long as lines end among them now and then."""

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
    """What is wrong with the characters of a text; "" where all are as they were written."""
    if text.isascii():
        return ""
    if wrong := undecodable(text):
        found = " ".join(f"{byte:02x}" for byte in wrong[:8])
        return f"holds bytes that can't be decoded ({found}): write it again, and save it as UTF-8"
    if _LOST in text:
        return f"holds {_LOST!r}, in place of a character that another program has lost"
    return ""


def undecodable(text: str) -> bytes:
    """The bytes in a text that could not be decoded; empty where all could."""
    if text.isascii():
        return b""
    return bytes(ord(c) - _ESCAPES for c in _HALVES.findall(text))


def _keep_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Decode each byte that can't be to half a character, and encode such halves to the byte.

    What an encoding lacks is spelt out.
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
    """A byte that could not be decoded; as wide as a character, where all are, and as wrong."""
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
    """UTF-16 without a byte order mark, as a header of ASCII letters looks in it; else ""."""
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
    """What is found in all of a file.

    Returns:
        Whether it is UTF-8; whether any of it that is not ASCII is; whether it holds a U+FFFD;
        words that are not UTF-8.

    Raises:
        InputError: it holds a NUL, as no text does.
    """
    decodes, has_utf8, has_lost = True, False, False
    words: list[bytes] = []
    rest, chunk = b"", start
    while chunk:
        if b"\0" in chunk:
            raise InputError(f"{name}: is not a text file: save it as CSV, UTF-8")
        if not chunk.isascii() or rest:
            data = rest + chunk
            # Whole words and characters: up to the last byte that ends either.
            end = max(data.rfind(b"\n"), data.rfind(b"\r"), data.rfind(b" "), data.rfind(b",")) + 1
            end = end if end > 0 and len(data) - end < _CHUNK else len(data)
            data, rest = data[:end], data[end:]
            has_lost = has_lost or _LOST.encode() in data
            decodes, has_utf8 = _survey_part(data, decodes, has_utf8, words)
        chunk = content.read(_CHUNK)
    decodes, has_utf8 = _survey_part(rest, decodes, has_utf8, words)
    return decodes, has_utf8, has_lost or _LOST.encode() in rest, words


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


# --- what the bytes of the West mean -----------------------------------------------------


def _western(words: list[bytes], name: str) -> Encoding:
    """The encoding in which these words look like words.

    Raises:
        InputError: none, or several in which they read differently.
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
    """The first words as they read in an encoding."""
    return tuple(dict.fromkeys(_decoded(word, codec) for word in words))[:_SHOWN_WORDS]


def _library_guess(words: list[bytes]) -> dict[str, list[str]]:
    """What charset-normalizer takes the words for, of the encodings of the rest of the world."""
    from charset_normalizer import from_bytes

    found = from_bytes(b" ".join(words), cp_isolation=list(_OTHERS)).best()
    if found is None:
        return {}
    return {found.encoding: [_decoded(word, found.encoding) for word in words]}


def _decoded(word: bytes, codec: str) -> str:
    return word.decode(codec, "replace")


def _is_odd(word: str) -> bool:
    """Whether a word that is not ASCII looks like one that was read in a wrong encoding."""
    letters = [c for c in word if c.isalpha()]
    is_capital = len(letters) > 1 and letters[0].isupper() and letters[1].isupper()
    if is_capital and not letters[0].isascii() and any(c.islower() for c in letters):
        return True  # as „Angebot“ does where it is read as ÑAngebotì
    if len(letters) > 3 and sum(not c.isascii() for c in letters) > len(letters) / 2:
        return True
    if set(word) & set("øæå") and set(word) & set("áíúýÁÍÚ"):
        return True  # of no language in the West: Dvořák and Jiří, read as Windows-1252
    padded = f" {word} "
    return any(
        _is_odd_there(padded[place - 1], character, padded[place + 1])
        for place, character in enumerate(padded)
        if not character.isascii()
    )


def _is_odd_there(before: str, character: str, after: str) -> bool:
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
        # Which quotation mark opens and which closes differs from country to country.
        return before.isalnum() and after.isalnum()
    if character in "¿¡":
        return before.isalnum()
    if character in "™®ªº":
        return after.isalpha() or (before.isdigit() and character in "™®")
    return kind != "Zs" and (before.isalpha() or after.isalpha())
