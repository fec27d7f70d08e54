"""The letters of languages, and the encodings that their programs write.

A byte beyond ASCII is another letter in each encoding. A reading is plausible where its words are
made of the letters of one language, each at a place where people write it.
"""

import re
from functools import cache
from string import ascii_letters
from typing import NamedTuple
from unicodedata import category


class _Language(NamedTuple):
    """The letters of a language.

    Attributes:
        letters: its lower-case letters beyond ASCII; all of them in another script.
        lacks: the letters of ASCII that its own words lack.
        is_latin: whether its script is Latin.
    """

    letters: str
    lacks: str = ""
    is_latin: bool = True


#: By ISO 639-1. Letters that only loan words have are left out where another language needs them.
_LANGUAGES = {
    "ca": _Language("àçèéíïòóúü", "w"),
    "cs": _Language("áčďéěíňóřšťúůýž", "qwx"),
    "da": _Language("æøåéèêóòâôöüä"),
    "de": _Language("äöüßé"),
    "es": _Language("áéíñóúü", "w"),
    "et": _Language("äõöüšž", "cqwxy"),
    "fi": _Language("äöåé"),
    "fo": _Language("áðíóúýæø", "cqwxz"),
    "fr": _Language("àâæçéèêëîïôœùûüÿ"),
    "ga": _Language("áéíóú"),
    "hr": _Language("čćđšž", "qwxy"),
    "hu": _Language("áéíóöőúüű", "qw"),
    "is": _Language("áéíóúýþæöð", "cqwz"),
    "it": _Language("àèéìíîòóù", "w"),
    "lt": _Language("ąčęėįšųūž", "qwx"),
    "lv": _Language("āčēģīķļņšūž", "qwxy"),
    "nl": _Language("áéëèíïóöúüêç"),
    "pl": _Language("ąćęłńóśźż", "qvx"),
    "pt": _Language("áàâãçéêíóôõúü", "w"),
    "ro": _Language("âăîşţ", "qwy"),
    "sk": _Language("áäčďéíĺľňóôŕšťúýž", "qwx"),
    "sl": _Language("čšž", "qwxy"),
    "sq": _Language("ëç", "w"),
    "sv": _Language("åäöéàü"),
    "tr": _Language("çğıöşüâîû", "qwx"),
    "be": _Language("абвгдеёжзійклмнопрстуўфхцчшыьэюя", is_latin=False),
    "bg": _Language("абвгдежзийклмнопрстуфхцчшщъьюя", is_latin=False),
    "el": _Language("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ", is_latin=False),
    "mk": _Language("абвгдѓежзѕијклљмнњопрстќуфхцчџш", is_latin=False),
    "ru": _Language("абвгдеёжзийклмнопрстуфхцчшщъыьэюя", is_latin=False),
    "sr": _Language("абвгдђежзијклљмнњопрстћуфхцчџш", is_latin=False),
    "uk": _Language("абвгґдеєжзиіїйклмнопрстуфхцчшщьюя", is_latin=False),
    "ar": _Language("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگک", is_latin=False),
    "he": _Language("אבגדהוזחטיךכלםמןנסעףפץצקרשת", is_latin=False),
    "th": _Language(
        "".join(map(chr, (*range(0x0E01, 0x0E3B), *range(0x0E3F, 0x0E5C)))), is_latin=False
    ),
    "vi": _Language("ăâđêôơưàáèéìíòóùúý\u0300\u0301\u0303\u0309\u0323"),
}
_WESTERN = ("fr", "de", "es", "it", "pt", "nl", "da", "sv", "fi", "is", "ca", "ga", "fo", "sq")
_CENTRAL = ("pl", "cs", "sk", "hu", "hr", "sl", "ro", "sq", "de")
_BALTIC = ("lt", "lv", "et")
_CYRILLIC = ("ru", "uk", "be", "bg", "sr", "mk")

#: Encodings of one byte a character → the languages that are written in them. Of two that read
#: a file alike, the first gives its name.
LANGUAGES: dict[str, tuple[str, ...]] = {
    "cp1252": _WESTERN,
    "mac-roman": _WESTERN,
    "cp1250": _CENTRAL,
    "cp1251": _CYRILLIC,
    "cp1253": ("el",),
    "cp1254": ("tr",),
    "cp1257": _BALTIC,
    "iso8859-15": (*_WESTERN, "et"),
    "iso8859-2": _CENTRAL,
    "iso8859-4": _BALTIC,
    "iso8859-5": _CYRILLIC,
    "iso8859-7": ("el",),
    "koi8-r": ("ru", "bg"),
    "koi8-u": ("uk",),
    "mac-latin2": (*_CENTRAL, *_BALTIC),
    "mac-cyrillic": _CYRILLIC,
    "mac-turkish": ("tr",),
    "cp850": _WESTERN,
    "cp858": _WESTERN,
    "cp437": _WESTERN,
    "cp860": ("pt",),
    "cp861": ("is", "fo"),
    "cp852": _CENTRAL,
    "cp775": _BALTIC,
    "cp857": ("tr",),
    "cp866": _CYRILLIC,
    "cp1255": ("he",),
    "cp1256": ("ar",),
    "cp1258": ("vi",),
    "cp874": ("th",),
}

#: An apostrophe between Latin letters, where a language has one: before a vowel (`l'été`), in names
#: (`O'Neill`), and before the endings of English (`don't`).
_APOSTROPHE = re.compile(
    r"(?i:(\b\w|qu|ll|un|nt|rd|st)’[aeiouyhàâáéèêíîóôûüœæ])|\b\w’[A-Z]"
    r"|’(?i:s|t|re|ve|ll|d|m|n|em)\b"
)
_BETWEEN = re.compile(r"\w’\w")

#: Letters beyond ASCII that can be a word by themselves.
_WORDS = frozenset(
    "àèéòóíåäöüæøáúőįÀÈÉÒÓÍÅÄÖÜÆØÁÚŐĮабвгдєжзиіїйкопстуўэюяќАБВГДЄЖЗИІЇЙКОПСТУЎЭЮЯЌήηοΉΗΟ"
)
#: Signs beyond ASCII that people write.
_SIGNS = frozenset("’‘‚“”„«»–—…•€£§°·©®™ªº¿¡²³½¼¾×µ№\u00a0")


def languages_of(word: str, codec: str) -> tuple[str, ...]:
    """The languages in which a word with characters beyond ASCII looks right.

    Args:
        word: the word.
        codec: the encoding in which it was decoded: one of `LANGUAGES`.
    """
    letters = [character for character in word if character.isalpha() or _is_mark(character)]
    used = frozenset(letters)
    languages = tuple(name for name in LANGUAGES[codec] if used <= _letters(name))
    is_latin = not languages or _LANGUAGES[languages[0]].is_latin
    # Letters of another script become a word of letters beyond ASCII only.
    if (
        is_latin
        and len(letters) > 3
        and sum(not c.isascii() for c in letters) > 0.75 * len(letters)
    ):
        return ()
    if is_latin and _BETWEEN.search(word) and not _APOSTROPHE.search(word):
        return ()
    padded = f" {word} "
    is_odd = any(
        _is_odd_between(padded[index - 1], character, padded[index + 1])
        for index, character in enumerate(padded)
        if not character.isascii()
    )
    return () if is_odd else languages


def _is_mark(character: str) -> bool:
    return not character.isascii() and category(character)[0] == "M"


@cache
def _letters(language: str) -> frozenset[str]:
    """All letters of the words of a language."""
    beyond, lacks, is_latin = _LANGUAGES[language]
    letters = {*beyond, *beyond.replace("ß", "").upper(), *"ªº"}
    if "ı" in beyond:
        letters.add("İ")
    if is_latin:
        letters.update(set(ascii_letters) - {*lacks, *lacks.upper()})
    return frozenset(letters)


def _is_odd_between(before: str, character: str, after: str) -> bool:
    """Whether people seldom write this character between these two."""
    kind = category(character)
    if character in "ªº":
        return after.isalpha()
    if kind == "Lo":
        return _is_lone(before, character, after)
    if kind[0] == "M":
        return not before.isalpha() and category(before)[0] != "M"
    if character == "ù":
        return after.isalpha()
    if character == "ñ":
        return not after.isalpha()
    if character in "æå" and before == "i":
        return True  # ć at the end of names, in Windows-1250 and DOS
    if character in "èÈ" and not before.isalpha() and after.isalpha():
        return after not in "rvxpt"  # č at the beginning of words, in Windows-1250
    if kind == "Lu":
        is_inside = before.islower() or (before.isalpha() and after.islower() and after != "ß")
        return is_inside or before.isdigit() or _is_lone(before, character, after)
    if kind == "Ll":
        is_before_capital = after.isupper() and character != "ß"
        return is_before_capital or before.isdigit() or _is_lone(before, character, after)
    return character not in _SIGNS or _is_odd_sign(before, character, after)


def _is_lone(before: str, character: str, after: str) -> bool:
    return not before.isalpha() and not after.isalpha() and character not in _WORDS


def _is_odd_sign(before: str, sign: str, after: str) -> bool:
    """Whether people seldom write this sign, which is no letter, between these two."""
    if sign == "’":
        return False
    if sign in "–—":
        return before.islower() and after.islower()
    if sign in "‚“”„«»…":
        # Opening and closing quotation marks differ between countries.
        return before.isalnum() and after.isalnum()
    if sign in "¿¡":
        return before.isalnum()
    if sign in "™®":
        return after.isalpha() or before.isdigit()
    if sign == "°":
        return before.isalpha() and before not in "nN"
    if sign == "·":
        return not (before in "lL" and after in "lL")
    return sign != "\u00a0" and (before.isalpha() or after.isalpha())
