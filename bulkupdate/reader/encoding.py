"""Find out the encoding of a file.

A byte order mark says it. Without one, a file is UTF-8 if its words are; else `guess` looks at
them, and the user is asked where that is not certain.
"""

import codecs
import re
from typing import IO, TYPE_CHECKING, NamedTuple
from unicodedata import name as name_of

from bulkupdate.errors import InputError, setting
from bulkupdate.reader.guess import CODECS, LONGEST_WORD, Guess, Reading, Sample, decoded, guess

if TYPE_CHECKING:
    from bulkupdate.stop import Stop

#: The character that programs write for one that they could not read.
LOST = "\ufffd"

#: Control characters but for tab and line ends, as bytes; and in UTF-8 U+FFFD and those beyond
#: ASCII.
_CONTROL = frozenset({*range(32), 127}) - set(b"\t\n\r")
_UNTIDY = re.compile(rb"\xc2[\x80-\x9f]|\xef\xbf\xbd")

_BOMS = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SHOWN = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16 (LE)",
    "utf-16-be": "UTF-16 (BE)",
    "iso8859-1": "Latin-1",
    "iso8859-2": "Latin-2",
    "iso8859-15": "Latin-9",
    "mac-roman": "Mac Roman",
    "mac-latin2": "Mac Central European",
    "koi8-r": "KOI8-R",
    "cp437": "DOS 437",
    "cp850": "DOS 850",
    "cp852": "DOS 852",
    "cp866": "DOS 866",
    "cp932": "Shift JIS",
    "cp949": "EUC-KR",
    "cp950": "Big5",
    "gb18030": "GB 18030",
}

#: Column name by which a file of failed rows records the guessed encoding of its input: the file
#: may have too few words for another guess.
_HINT = re.compile(rb"bulkupdate_encoding=([a-z0-9-]+)")

#: The longest line, in bytes. A file with a longer one is not a text file of edits.
MAX_LINE = 1 << 20

_CHUNK = 1 << 20
#: Number of bytes that decide which kind of UTF-16 a file without a mark is.
_WIDE_START = 1 << 12

#: Number of words with characters beyond ASCII to judge, and of bytes around them.
_JUDGED_WORDS = 600
_CONTEXT = 1 << 14
#: Number of words to show of the encoding that was guessed; number of readings to choose from, and
#: of words to show in each.
_SHOWN_WORDS = 4
_SHOWN_READINGS = 4
#: The encoding that is offered in any case where it reads signs that no language has.
_COMMONEST = "cp1252"
_SIGNS = frozenset("°µ±§²³¹¼½¾·×÷€£¥©®™…–—•‰«»ºª")
_WORDS_OF_READING = 3

_WORD = re.compile(rb"[^\x00-\x20,;\"]+")
#: Characters of ids, dates and addresses, which are of no language.
_TECHNICAL = re.compile(rb"[0-9_@/]")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")

#: Number of bytes to search for a word that is UTF-8 beyond doubt, and number of words of which
#: not all can be so by chance.
_SEARCHED = 1 << 20
_MANY = 20
#: Scripts that words of other scripts stand beside, or within, by the names of their letters.
_COMMON_SCRIPTS = frozenset(
    {"CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI", "CJK", "HIRAGANA", "KATAKANA", "HANGUL"}
    | {"DEVANAGARI", "GEORGIAN"}
)
#: Letters between U+017F and U+0300 of languages that are written in Latin letters.
_LATIN = frozenset("ƏəƠơƯưȘșȚțǍǎǏǐǑǒǓǔǦǧǨǩǪǫǾǿẞ")


class Encoding(NamedTuple):
    """The encoding of a file.

    Attributes:
        codec: Python's name of the encoding.
        mark: the byte order mark at the beginning of the file; empty without one.
        is_clean: whether the whole file is known to decode, and to hold neither U+FFFD nor control
            characters.
        examples: words that show whether the guess is right, those first that read otherwise in
            another encoding; empty where nothing was guessed.
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
        if re.fullmatch(r"cp125\d", self.codec):
            shown = f"Windows-{self.codec[2:]}"
        return f"{shown} with a byte order mark" if self.name == "utf-8-sig" else shown


def encoding_of(
    content: IO[bytes], chosen: str | None, name: str, stop: "Stop | None" = None
) -> Encoding:
    """Find out the encoding of a file. This may read all of it.

    Args:
        content: the file, at its beginning.
        chosen: the encoding that the user chose, or None.
        name: the name of the file in messages.
        stop: the signal that ends a long search early.

    Raises:
        InputError: the encoding is not certain, or the file is not a text file.
        RunStoppedError: the stop was set.
    """
    head = content.read(4)
    mark, marked = next(((m, codec) for m, codec in _BOMS if head.startswith(m)), (b"", ""))
    if chosen is not None:
        codec = _normal(chosen)
        if codec in ("utf-16", "utf-32"):
            unmarked = _wide(head + content.read(_WIDE_START)) or f"{codec}-le"
            codec = marked if marked.startswith(codec) else unmarked
        return Encoding(codec, mark if codec == marked else b"")
    if marked and marked != "utf-8":
        return Encoding(marked, mark)
    start = head + content.read(_CHUNK)
    if codec := _wide(start):
        return Encoding(codec)
    survey = _Survey(name, stop)
    survey.read(start, content)
    utf8 = Encoding("utf-8", mark, is_clean=survey.decodes and survey.is_tidy)
    if survey.is_utf8 or mark:
        return utf8
    head_lines = b"".join(start.splitlines(keepends=True)[:2])
    if (hint := _HINT.search(head_lines)) and (codec := hint[1].decode()) in CODECS:
        texts = (word.decode(codec, "replace") for word in survey.sample.words)
        return Encoding(codec, examples=tuple(texts)[:_SHOWN_WORDS])
    guessed = guess(survey.sample)
    if survey.decodes and not guessed.is_plausible:
        return utf8
    if survey.decodes:
        # It may be UTF-8 after all, so another encoding is never more than likely.
        guessed = guessed._replace(is_certain=False)
    return _chosen(guessed, survey.sample, name)


def overlong_line(name: str, line: int) -> InputError:
    """The error for a line, by its number in the file, that is longer than `MAX_LINE`."""
    return InputError(
        f"{name}: line {line} is longer than {MAX_LINE:,} bytes: is this a text file of edits?"
    )


def _normal(name: str) -> str:
    codec = codecs.lookup(name).name
    return "utf-8" if codec == "utf-8-sig" else codec


def _wide(start: bytes) -> str:
    """The kind of UTF-16 of a file without a byte order mark; "" if it is neither."""
    first = start[:_WIDE_START]
    if b"\0" not in first:
        return ""
    signs = {codec: _wide_signs(first, codec) for codec in ("utf-16-le", "utf-16-be")}
    best = max(signs, key=lambda codec: signs[codec])
    return best if signs[best] else ""


def _wide_signs(first: bytes, codec: str) -> int:
    """The number of characters of ASCII in a text of this kind of UTF-16; 0 if it is none."""
    text = codecs.getincrementaldecoder(codec)("replace").decode(first)
    # Line ends are of ASCII in every language. A byte in the wrong place makes none of them.
    is_text = "\0" not in text and ("\n" in text or "\r" in text)
    return sum(map(str.isascii, text)) if is_text else 0


class _Survey:
    """A survey of the bytes of a file.

    Args:
        name: the name of the file in messages.
        stop: the signal that ends it early.

    Attributes:
        decodes: whether all of it is UTF-8.
        is_tidy: whether it holds neither U+FFFD nor control characters.
    """

    def __init__(self, name: str, stop: "Stop | None") -> None:
        self.decodes = True
        self.is_tidy = True
        self._name = name
        self._stop = stop
        self._right = self._wrong = 0
        self._searched = 0
        self._line, self._length = 1, 0
        self._words: dict[bytes, bool] = {}
        self._bytes: set[int] = set()
        self._context = bytearray()

    @property
    def is_utf8(self) -> bool:
        """Whether the file is UTF-8, even if some of its words are not."""
        if self.decodes:
            return self._right > 0 or not 0 < len(self._words) < _MANY
        return self._right >= self._wrong

    @property
    def sample(self) -> Sample:
        """Some of the words beyond ASCII, to guess their encoding."""
        utf8 = frozenset(word for word, is_utf8 in self._words.items() if is_utf8)
        words = tuple(self._words)
        return Sample(words, bytes(self._context) or b" ".join(words), utf8)

    def read(self, start: bytes, content: IO[bytes]) -> None:
        """Read the whole file.

        Raises:
            InputError: the file holds a NUL or an overlong line, so it is not a text file.
        """
        rest, chunk = b"", start
        while chunk:
            self._check_line(chunk)
            if b"\0" in chunk:
                raise InputError(f"{self._name}: is not a text file: save it as CSV, UTF-8")
            self.is_tidy = self.is_tidy and not any(map(chunk.__contains__, _CONTROL))
            if not chunk.isascii() or rest:
                data = rest + chunk
                # Take only whole words: up to the last blank, comma or line end.
                end = 1 + max(data.rfind(sign) for sign in (b"\n", b"\r", b" ", b","))
                end = end if end > 0 and len(data) - end < _CHUNK else len(data)
                data, rest = data[:end], data[end:]
                self._add(data)
            chunk = content.read(_CHUNK)
            if chunk and self._stop is not None:
                self._stop.check()
        self._add(rest)

    def _check_line(self, chunk: bytes) -> None:
        # The same bound is kept when the lines are read; here it ends a long search early.
        ends = chunk.count(b"\n") or chunk.count(b"\r")
        self._line += ends
        self._length = 0 if ends else self._length + len(chunk)
        if self._length > MAX_LINE:
            raise overlong_line(self._name, self._line)

    def _add(self, data: bytes) -> None:
        if data.isascii():
            return
        self.is_tidy = self.is_tidy and not _UNTIDY.search(data)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.decodes = False
            self._add_words(data)
            return
        is_sure = _is_surely_utf8(data) or _is_word_of_one_script(data)
        if self._right == 0 and self._searched < _SEARCHED and not is_sure:
            self._searched += len(data)
            self._add_words(data, decodes=True)
        else:
            # Each character beyond ASCII has one byte more, or two or three.
            self._right += len(data) - len(text)

    def _add_words(self, data: bytes, *, decodes: bool = False) -> None:
        for match in _WORD.finditer(data):
            word = match[0]
            if not word.isascii():
                self._add_word(word, _is_utf8(word) or (decodes and _is_word_of_one_script(word)))
        for line in data.splitlines() if len(self._context) < _CONTEXT else ():
            if not line.isascii() and len(self._context) < _CONTEXT:
                self._context += b" ".join((*filter(_is_language, _WORD.findall(line)), b""))
        del self._context[_CONTEXT:]

    def _add_word(self, word: bytes, is_utf8: bool) -> None:
        self._right += is_utf8
        self._wrong += not is_utf8
        if len(self._words) < _JUDGED_WORDS or not self._bytes.issuperset(word):
            self._words.setdefault(word[:LONGEST_WORD], is_utf8)
            self._bytes.update(word[:LONGEST_WORD])


def _is_language(word: bytes) -> bool:
    """Whether a word may say something about the language of a text."""
    return len(word) <= LONGEST_WORD and not _TECHNICAL.search(word)


def _is_utf8(word: bytes) -> bool:
    """Whether a word is UTF-8, and not by chance."""
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return _is_surely_utf8(word)


def _is_surely_utf8(data: bytes) -> bool:
    """Whether UTF-8 begins with a character that is not there by chance.

    `l’école` in Mac Roman is UTF-8 too, with an Armenian letter between Latin ones.
    """
    run = _BEYOND_ASCII.search(data)
    if run is None:
        return False
    around = data[max(run.start() - 1, 0) : run.end() + 1].decode()
    letters = [character for character in around if character.isalpha()]
    if len(letters) == 2 and letters[0] == letters[1]:
        return False  # A doubled letter is no word, but may be one of Chinese, in GBK.
    return len({*map(_script, letters)}) < 2


def _is_word_of_one_script(data: bytes) -> bool:
    """Whether UTF-8 begins with letters of one common script, which surely are no chance.

    This is asked only where all of a text is UTF-8: a few letters of a long text may look so.

    Two different letters are, as in `ITшник`, or one of three bytes, as in `IT部`. A single letter
    of two bytes is Greek, or Cyrillic with a second byte that is no letter in Mac Roman. One that
    is doubled may be a Chinese word in GBK.
    """
    found = _BEYOND_ASCII.search(data)
    run = found[0] if found else b""
    text = run.decode()
    scripts = {_script(character) for character in text if character.isalpha()}
    if len(scripts) != 1 or not scripts <= _COMMON_SCRIPTS:
        return False
    is_sure = len(text) > 2 or len({*text}) > 1 or text > "\u07ff" or "GREEK" in scripts
    is_letter = len(text) == 1 and "CYRILLIC" in scripts and run[1] > 0x9F
    return is_sure or is_letter


def _script(letter: str) -> str:
    """The script of a letter; "" for a Latin letter of no common language."""
    if letter < "\u0180" or letter in _LATIN:
        return "LATIN"
    if letter < "\u0300":
        return ""
    return name_of(letter, "").partition(" ")[0]


# --- ask the user ------------------------------------------------------------------------


def _chosen(guessed: Guess, sample: Sample, name: str) -> Encoding:
    """The encoding that is certain.

    Raises:
        InputError: no encoding fits, or several fit and give different words.
    """
    is_certain, readings = guessed
    if is_certain:
        shown = _shown_words(readings[:2], _SHOWN_WORDS)[0]
        return Encoding(readings[0].codec, examples=shown)
    readings = readings[:_SHOWN_READINGS]
    common = decoded(sample.words, _COMMONEST)
    signs = {sign for text in common or () for sign in text if not sign.isascii()}
    is_of_signs = common is not None and signs <= _SIGNS
    if common and is_of_signs and all(common != reading.texts for reading in readings):
        readings = [Reading(_COMMONEST, common), *readings[: _SHOWN_READINGS - 1]]
    if (texts := decoded(sample.words, "utf-8")) is not None:
        readings = [*readings, Reading("utf-8", texts)]
    ways = " or ".join(
        f"{setting('encoding')} {reading.codec} (which reads {', '.join(map(repr, words))})"
        for reading, words in zip(readings, _shown_words(readings, _WORDS_OF_READING), strict=True)
    )
    raise InputError(
        f"{name}: {_doubt(sample)}, and its encoding is not certain:"
        f" set {ways}, or save it as UTF-8"
    )


def _doubt(sample: Sample) -> str:
    if sample.utf8:
        words = ", ".join(repr(word.decode()) for word in sorted(sample.utf8)[:2])
        return f"is UTF-8 in part ({words}) and in part not"
    is_utf8 = decoded(sample.words, "utf-8") is not None
    return "is UTF-8, perhaps by chance" if is_utf8 else "is not UTF-8"


def _shown_words(readings: list[Reading], count: int) -> list[tuple[str, ...]]:
    """The same few words in each of the readings, those first that they read most differently."""
    versions = list(zip(*(reading.texts for reading in readings), strict=True))
    telling = sorted(range(len(versions)), key=lambda index: -len(set(versions[index])))
    return [tuple(reading.texts[index] for index in telling[:count]) for reading in readings]
