"""Removal of secrets from texts. A server may repeat the key, in another spelling."""

import base64
import functools
import html
import html.entities
import re
import string
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

#: The text that replaces a secret.
REDACTED = "[redacted]"

#: Keys that are no secrets, and words of ordinary texts: that of the sandbox.
_NO_SECRETS = frozenset({"sandbox"})

#: Shortest secret that is removed, in characters. A shorter one occurs in ordinary text.
SHORTEST_SECRET = 6

# A run of backslashes is bounded, here and below: it would be searched from each of its places.
_JSON_ESCAPE = re.compile(r"\\{1,8}(?:u00|x)([0-9a-fA-F]{2})|\\{1,8}([/\"\\])")

#: A number that names no character, and zeros before one. Python refuses to convert one that has
#: thousands of digits.
_LONG_NUMBER = re.compile(r"&#[0-9]{8,}")
_ZEROS = re.compile(r"(?<=&#)0+(?=[0-9])")

#: Longest text in which an escaped secret is replaced. A longer one is replaced as a whole.
_LONGEST = 20_000

#: Characters of the longest escape of one that is looked for.
_LONGEST_ESCAPE = 16

#: The signs that an escape of JSON, URLs or HTML begins with.
_BACKSLASH, _PERCENT, _AMPERSAND = rb"\%&"

#: The characters of an ordinary key, and of its base64.
_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)
_SIGNS = frozenset("+-./=_~")

#: An escape of any kind. `{signs}` are those that JSON may write after a backslash.
_ANY = r"\\[ux{signs}]|%[0-9A-Fa-f]{{2}}|&[#A-Za-z]"

#: Escapes that may hide a character of an ordinary key. Most texts have some that hide none, as
#: `&nbsp;`, `%20`, `\u00fc` and `&#8217;`. One may be within another: `%2541`, `\u0026#65;`. Each
#: pattern begins with signs that are always the same: that makes a search three times as fast.
_HIDING = (
    r"\\u00(?:{code}|25|26{entity})",
    r"\\x(?:{code}|25|26{entity})",
    r"%(?:25)?(?:{code}|26{entity})",
    r"&{entity}",
)

#: What stands after the ampersand of a character, unless its number is of none in a key.
_ENTITY = r"""(?x:
    \# (?! 0? (?: 9 | 1[03] | 3[2-9] | 4[0-24] | 5[89] | 6[0234]
                | 1[6-9]\d | [2-9]\d\d | [1-9]\d{{3}} | [1-4]\d{{4}} | 1[0-2]\d{{4}} ) (?! \d )
           | [xX] (?: 0? [9aAdD] | 2[0-9aAcC] | 3[a-cA-CeEfF] | [a-fA-F][\da-fA-F]
                    | 20 [\da-fA-F]{{2}} | 1[fF][0-9aA][\da-fA-F]{{2}} ) (?! [\da-fA-F] ) )
    | % (?:25)? 23 | \\{{1,8}} (?: u00 | x ) 23 | {names}
)"""

#: The codes of letters and digits, in hex.
_LETTERS = "3[0-9]|4[1-9a-fA-F]|5[0-9aA]|6[1-9a-fA-F]|7[0-9aA]"


class Redactor:
    """A filter that removes secrets.

    It knows a secret as it is, within base64 and in hex, and each of these with the escapes of
    JSON, URLs and HTML.

    Args:
        secrets: the secrets to remove.

    Attributes:
        longest: most characters that one secret takes in a text.
    """

    def __init__(self, *secrets: str) -> None:
        secrets = tuple(secret for secret in secrets if secret not in _NO_SECRETS)
        plain = {text for secret in secrets for text in (secret, *_base64(secret))}
        # A key may hold what looks like an escape, as %41: then it is looked for without it too.
        plain |= {form for text in plain for form in _without_escapes(text).split("\n")}
        in_hex = {text.encode().hex() for text in plain}
        spelt = plain | in_hex | {text.upper() for text in in_hex}
        #: Longest first: a shorter one may be a part of it.
        self._secrets = sorted((text for text in spelt if len(text) >= SHORTEST_SECRET), key=len)
        self._secrets.reverse()
        self.longest = _LONGEST_ESCAPE * len(self._secrets[0]) if self._secrets else 0
        self._plain = _shortest(plain)
        self._hex = _shortest(in_hex)
        characters = set(b"".join(self._plain).decode())
        self._escapes = _escapes("".join(sorted(characters - _ALPHANUMERIC)))

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        if not self._is_in(text):
            return text
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        if len(text) > _LONGEST and self._is_in(text):
            return REDACTED
        for secret in self._secrets:
            if secret in _without_escapes(text):
                text = _in_any_escape(secret).sub(REDACTED, text)
        # Escapes within escapes have no end.
        return REDACTED if self._is_in(text) else text

    def value(self, value: Any) -> Any:
        """A JSON value without the secrets, in its keys and in its texts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def may_be_in(self, body: bytes) -> bool:
        """Whether a body may contain a secret. It is much quicker than `text`.

        A secret that blanks break into pieces is looked for by `text` alone, in messages.
        """
        # Called for each row, so without a loop in Python. Of bytes, `in` makes an exception first.
        if max(map(body.find, self._plain), default=-1) >= 0:
            return True
        if max(map(body.lower().find, self._hex), default=-1) >= 0:
            return True
        if not (_BACKSLASH in body or _PERCENT in body or _AMPERSAND in body):
            return False
        return any(escape.search(body) for escape in self._escapes) and self._is_in(
            body.decode(errors="replace")
        )

    def _is_in(self, text: str) -> bool:
        plain = _without_escapes(text)
        if not text.isprintable() or " " in text:
            # A long text may be broken into lines. UTF-16 that is read as UTF-8 is full of NULs.
            joined = "".join(text.split()).replace("\0", "")
            if not joined.isprintable():
                joined = "".join(c for c in joined if c.isprintable())
            plain += "\n" + joined
        return any(secret in text or secret in plain for secret in self._secrets)


def _shortest(texts: Iterable[str]) -> list[bytes]:
    """The texts that contain no other of them: the others need not be looked for."""
    texts = [text for text in texts if len(text) >= SHORTEST_SECRET]
    return [
        text.encode()
        for text in texts
        if not any(other in text for other in texts if other != text)
    ]


@functools.lru_cache(maxsize=256)
def _escapes(signs: str) -> tuple[re.Pattern[bytes], ...]:
    """Patterns for escapes that may hide a letter, a digit, one of these signs, or a part of it."""
    # Most bodies have a quote that is escaped.
    after = re.escape("".join(sign for sign in signs if sign in '/"\\'))
    if not _SIGNS.issuperset(signs):
        return (re.compile(_ANY.format(signs=after).encode()),)
    codes = "|".join([_LETTERS, *(f"(?i:{ord(sign):02x})" for sign in signs)])
    hidden = _ALPHANUMERIC.union(signs)
    named = {name.rstrip(";") for name, text in html.entities.html5.items() if hidden & set(text)}
    entity = _ENTITY.format(names="|".join(sorted(named)))
    patterns = [one.format(code=f"(?:{codes})", entity=entity) for one in _HIDING]
    if after:
        patterns.append(rf"\\[{after}]")
    return tuple(re.compile(pattern.encode()) for pattern in patterns)


def _base64(secret: str) -> Iterator[str]:
    """The base64 of the secret, of `:` and the secret (Basic authorization), and of any other text.

    Of any other, it is the part that does not depend on what stands before and after the secret.
    """
    for before in range(3):
        padded = base64.b64encode(b":" * before + secret.encode()).decode()
        encoded = padded.rstrip("=")
        first = -(-8 * before // 6)
        after = len(encoded) - (1 if (before + len(secret)) % 3 else 0)
        for text in (padded, encoded, encoded[first:after]):
            yield from {text, text.translate(str.maketrans("+/", "-_"))}


def _without_escapes(text: str) -> str:
    """The text after each kind of escape is removed. One may hide what another shows."""
    json = _JSON_ESCAPE.sub(_unescaped, text)
    once = unquote(json)
    # A proxy may have escaped what was escaped.
    twice = unquote(once)
    return "\n".join(
        (json, once, twice, html.unescape(_LONG_NUMBER.sub("", _ZEROS.sub("", twice))))
    )


@functools.lru_cache(maxsize=64)
def _in_any_escape(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_any_escape, secret)))


def _any_escape(character: str) -> str:
    """A pattern for a character, as it is or escaped."""
    number = ord(character)
    digits = "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{number:02x}")
    backslashes = r"\\{0,8}" if character in '"/\\' else ""
    # Atomic, with the longest forms first: a search that may go back takes 2 to the power of its
    # length.
    return (
        rf"(?>%{digits}|\\{{1,8}}u00{digits}|\\{{1,8}}x{digits}|&#0{{0,8}}{number};"
        rf"|&#[xX]0{{0,8}}{digits};|{re.escape(html.escape(character))}"
        rf"|{backslashes}{re.escape(character)})"
    )


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]
