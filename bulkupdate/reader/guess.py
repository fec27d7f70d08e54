"""Guess the encoding of words that are not UTF-8.

Two judges must agree on the text, whatever they call its encoding. `alphabets` knows the letters of
each language, and where people write them. chardet knows the pairs of letters of each language. A
text is read if both find it the likeliest, and no other plausible one comes close. Otherwise, the
user has to choose. docs/benchmarks.md has what comes of it.
"""

import codecs
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from bulkupdate.reader.alphabets import LANGUAGES, languages_of

#: Encodings of two bytes a character → the ranges of its common characters.
_WIDE = {
    "cp932": ((0x8140, 0x81FC), (0x824F, 0x8396), (0x889F, 0x9872)),
    "gb18030": ((0xA1A1, 0xA3FE), (0xB0A1, 0xD7F9)),
    "cp950": ((0xA140, 0xA3BF), (0xA440, 0xC67E)),
    "cp949": ((0xA1A1, 0xA3FE), (0xB0A1, 0xC8FE)),
    "big5": ((0xA140, 0xA3BF), (0xA440, 0xC67E)),
    "big5hkscs": ((0xA140, 0xA3BF), (0xA440, 0xC67E)),
    "euc_jis_2004": ((0xA1A1, 0xA5FE), (0xB0A1, 0xCFD3)),
}
#: The encodings to guess between. Of those that read a file alike, the first gives its name.
CODECS = (*LANGUAGES, *_WIDE)

#: Encodings that are read without asking, if they are certain. The others are rare, or were never
#: measured: they are only named.
_READ = frozenset(
    {"cp1252", "mac-roman", "cp1250", "cp1251", "cp1254", "cp1257", "iso8859-15", "iso8859-2"}
    | {"koi8-r", "mac-latin2", "cp850", "cp437", "cp852", "cp932", "gb18030", "cp950", "cp949"}
)
#: Encodings that are so common that they need less evidence, and others more beside them.
_COMMON = frozenset({"cp1252", "iso8859-15"})
_COMMON_RIVALS = _COMMON | {"mac-roman"}
_DOS = frozenset({"cp437", "cp850", "cp858", "cp860", "cp861"})

#: The weight of chardet's scores for encodings that hardly any file has, and that would often be in
#: question beside common ones.
_WEIGHTS = dict.fromkeys(("cp775", "cp857", "cp858", "cp1258", "mac-cyrillic", "mac-turkish"), 0.3)

#: Encodings that chardet takes for another one.
_SCORED_AS = {"cp950": "big5hkscs", "big5": "big5hkscs"}
#: The name by which chardet says that none fits: an encoding without bytes beyond ASCII.
_NONE_FITS = "hz"

#: Number of bytes of a word to judge.
LONGEST_WORD = 120

#: Largest share of words that may look wrong in an encoding that is still plausible.
_MAX_ODD = 0.1
#: Largest share of words that may look wrong beyond those of another encoding.
_MAX_ODDER = 0.02
#: The same among the words that differ, of a text that has to be told from the chosen one.
_MAX_ODD_OF_DIFFERING = 0.5
#: The part of chardet's highest score that a text needs, if few of the words of the one with that
#: score look wrong.
_MIN_PART = 0.9
_FEW_ODD = 0.5
#: The part of the best score that puts the best reading in doubt, if all words of the other look
#: right and some of its own do not.
_PART_OF_BEST = 0.1
#: The score that a text needs beside another: this one, or less by the bytes that were judged. A
#: language that chardet does not know has a lower score in every encoding.
_MIN_SCORE = 0.15
_MIN_SCORE_OF_BYTE = _MIN_SCORE / 100
#: The score that a text needs that is not in a common encoding, where it differs by one letter from
#: one that is.
_MIN_SCORE_OF_LETTER = 0.06

#: Number of bytes that are too few for an encoding that is not common.
_MIN_BYTES = 6

#: How many times the score of another plausible text is needed: where one letter is read
#: otherwise, where two are, and so on; the last is for more. A single letter is weak evidence.
_MARGINS = (1.2, 1.2, 1.1, 1.02)
#: The same for a text that is not in a common encoding, beside one that is; for one in Mac Roman,
#: beside one of DOS, which is rarer; for one in a common encoding; for characters of two bytes.
_MARGINS_OVER_COMMON = (1.7, 1.3, 1.1, 1.02)
_MARGINS_OVER_DOS = (1.08, 1.08, 1.05, 1.02)
_MARGINS_OF_COMMON = (1.06, 1.06, 1.01)
#: By far the commonest sign: no weak evidence makes it a letter.
_APOSTROPHE = "’"
#: Letters for which Windows-1252 is not that common.
_ICELANDIC = frozenset("ÐðÞþÝý")
_MARGINS_OF_WIDE = (10.0, 10.0, 6.0, 2.0)


class Sample(NamedTuple):
    """The part of a file that is judged.

    Attributes:
        words: different words with bytes beyond ASCII, each up to `LONGEST_WORD`.
        context: such words among the words beside them.
        utf8: those of the words that are UTF-8.
    """

    words: tuple[bytes, ...]
    context: bytes
    utf8: frozenset[bytes] = frozenset()


class Reading(NamedTuple):
    """The words of a sample in an encoding.

    Attributes:
        codec: Python's name of the encoding.
        texts: the words.
        odd: the share of the words that look wrong in every language, from 0 to 1.
        foreign: the share of those that look wrong in the language that fits most of them.
        score: how well a model of chardet fits, from 0 to 1.
    """

    codec: str
    texts: tuple[str, ...]
    odd: float = 0.0
    foreign: float = 0.0
    score: float = 0.0


class Guess(NamedTuple):
    """The readings of a sample. Each has another text.

    Attributes:
        is_certain: whether the first is right beyond doubt.
        readings: the right one, and the others, those first that are most like it; or those that
            are in question, the likeliest first.
    """

    is_certain: bool
    readings: list[Reading]

    @property
    def is_plausible(self) -> bool:
        """Whether any of the readings that are not rare looks right."""
        return any(reading.odd <= _MAX_ODD and reading.codec in _READ for reading in self.readings)


def guess(sample: Sample) -> Guess:
    """The likeliest readings of a sample, and whether the first is certain."""
    readings = _readings(sample)
    plausible = [reading for reading in readings if reading.odd <= _MAX_ODD]
    if not _is_certain(plausible, readings, sample):
        return Guess(False, plausible or readings)
    best, *others = (plausible[0], *(other for other in readings if other is not plausible[0]))
    others.sort(key=lambda other: sum(map(str.__ne__, best.texts, other.texts)))
    return Guess(True, [best, *others])


def _is_certain(plausible: list[Reading], readings: list[Reading], sample: Sample) -> bool:
    """Whether both judges agree on the first of the plausible readings."""
    if not plausible or plausible[0].codec not in _READ:
        return False
    best, *others = plausible
    highest = max(reading.score for reading in readings if reading.odd <= _FEW_ODD)
    rivals = [other for other in others if _is_rival(other, best)]
    return (
        best.score >= _MIN_PART * highest > 0
        and not any(_fits_all(other, best) for other in others)
        and all(_is_far_above(best, rival, len(sample.context)) for rival in rivals)
        and not _has_odd_utf8(best, sample)
    )


def _fits_all(other: Reading, best: Reading) -> bool:
    """Whether another reading has words of one language alone, and the best one does not."""
    return other.foreign == 0 < best.foreign and other.score >= _PART_OF_BEST * best.score


def _is_rival(other: Reading, best: Reading) -> bool:
    """Whether only chardet can tell another reading from the best one."""
    odder = other.foreign - best.foreign
    differing = sum(map(str.__ne__, other.texts, best.texts)) / len(best.texts)
    return odder <= min(_MAX_ODDER, _MAX_ODD_OF_DIFFERING * differing)


def _is_far_above(best: Reading, rival: Reading, judged: int) -> bool:
    """Whether chardet finds a reading so much likelier than another that this is no chance."""
    changes = _changes(best.texts, rival.texts)
    mine, theirs = {change[0] for change in changes}, {change[1] for change in changes}
    if mine == {_APOSTROPHE}:
        return best.score > rival.score
    if theirs == {_APOSTROPHE} or not any(map(_is_known, mine)):
        return False
    if all(map(str.isupper, rival.texts)) and all(map(str.islower, best.texts)):
        # In KOI8-R, capitals have the places of small letters of Windows-1251.
        return best.score >= _MIN_SCORE
    margins = _margins(best.codec, rival.codec, mine)
    margin = margins[min(len(changes), len(margins)) - 1]
    return best.score >= max(_least_score(margins, margin, judged), margin * rival.score)


def _least_score(margins: tuple[float, ...], margin: float, judged: int) -> float:
    """The score that is needed beside any other text."""
    if margins is _MARGINS_OF_COMMON:
        return 0.0
    if judged < _MIN_BYTES:
        return 1.0
    least = min(_MIN_SCORE, judged * _MIN_SCORE_OF_BYTE)
    return max(least, _MIN_SCORE_OF_LETTER) if margin == _MARGINS_OVER_COMMON[0] else least


def _changes(mine: tuple[str, ...], theirs: tuple[str, ...]) -> set[tuple[str, str]]:
    """The pairs of characters at the same place of a word that differ between two readings."""
    texts = zip(mine, theirs, strict=True)
    return {pair for a, b in texts for pair in zip(a, b, strict=False) if pair[0] != pair[1]}


def _is_known(character: str) -> bool:
    """Whether chardet's models know where a character stands."""
    return character == _APOSTROPHE or (character.isalpha() and character not in "ªº")


def _margins(codec: str, other: str, letters: set[str]) -> tuple[float, ...]:
    if codec in _WIDE:
        return _MARGINS_OF_WIDE
    if codec in _COMMON:
        return _MARGINS_OVER_COMMON if letters & _ICELANDIC else _MARGINS_OF_COMMON
    if codec == "mac-roman":
        return _MARGINS_OVER_DOS if other in _DOS else _MARGINS
    return _MARGINS_OVER_COMMON if other in _COMMON_RIVALS else _MARGINS


def _has_odd_utf8(reading: Reading, sample: Sample) -> bool:
    """Whether a word looks wrong in this reading, and is UTF-8."""
    return any(
        word in sample.utf8 and _oddness((text,), reading.codec)[0] > 0
        for word, text in zip(sample.words, reading.texts, strict=True)
    )


def _readings(sample: Sample) -> list[Reading]:
    """The sample in every encoding that has its words, the likeliest first."""
    codecs_of = defaultdict(list)
    for codec in CODECS:
        if (texts := decoded(sample.words, codec)) is not None:
            codecs_of[texts].append(codec)
    scores = _scores(sample.context)
    found = [_judged(texts, names, scores) for texts, names in codecs_of.items()]
    return sorted(found, key=lambda reading: (-reading.score, reading.foreign))


def _judged(texts: tuple[str, ...], names: list[str], scores: dict[str, float]) -> Reading:
    odd, foreign = min(_oddness(texts, codec) for codec in names)
    score = max(
        _WEIGHTS.get(codec, 1.0) * scores.get(_SCORED_AS.get(codec, codec), 0.0) for codec in names
    )
    return Reading(names[0], texts, odd, foreign, score)


def decoded(words: Iterable[bytes], codec: str) -> tuple[str, ...] | None:
    """The words in an encoding; None if it lacks one of them."""
    try:
        return tuple(_decoded(word, codec) for word in words)
    except UnicodeDecodeError:
        return None


def _decoded(word: bytes, codec: str) -> str:
    if len(word) < LONGEST_WORD:
        return word.decode(codec)
    # The word may have been cut within a character.
    return codecs.getincrementaldecoder(codec)().decode(word)


def _scores(context: bytes) -> dict[str, float]:
    """How well chardet's models of each encoding fit."""
    from chardet import detect_all

    found = detect_all(
        context,
        ignore_threshold=True,
        compat_names=False,
        include_encodings=[*set(CODECS) - set(_SCORED_AS), _NONE_FITS],
        no_match_encoding=_NONE_FITS,
    )
    return {item["encoding"] or "": item["confidence"] for item in found}


def _oddness(texts: tuple[str, ...], codec: str) -> tuple[float, float]:
    """The shares of the words that look wrong: in every language, and in the best one."""
    if codec in _WIDE:
        rare = sum(_rareness(text, codec) for text in texts) / len(texts)
        return rare, rare
    odd = _odd_quotes(texts)
    languages = [() if odd & set(text) else languages_of(text, codec) for text in texts]
    counts = Counter(chain.from_iterable(languages))
    most = max(counts.values(), default=0)
    return languages.count(()) / len(texts), 1 - most / len(texts)


def _odd_quotes(texts: tuple[str, ...]) -> set[str]:
    """Those quotation marks of which the counterpart is missing."""
    found = {sign for text in texts for sign in "«»" if sign in text}
    return found if len(found) == 1 else set()


def _rareness(text: str, codec: str) -> float:
    """The share of wide characters that are rare, or that stand beside a small Latin letter."""
    padded = f" {text} "
    odd = [
        _is_rare(character, codec) or _is_small(padded[index - 1]) or _is_small(padded[index + 1])
        for index, character in enumerate(padded)
        if not character.isascii()
    ]
    return sum(odd) / max(len(odd), 1)


def _is_rare(character: str, codec: str) -> bool:
    code = int.from_bytes(character.encode(codec, "replace"), "big")
    return not any(first <= code <= last for first, last in _WIDE[codec])


def _is_small(character: str) -> bool:
    return character.isascii() and character.islower()
