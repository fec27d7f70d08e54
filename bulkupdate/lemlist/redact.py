"""Removal of secrets from texts. A server may repeat the key, in another spelling."""

import base64
import functools
import html
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

#: The text that replaces a secret.
REDACTED = "[redacted]"

#: Shortest secret that is removed, in characters. A shorter one occurs in ordinary text.
SHORTEST_SECRET = 6

# A run of backslashes is bounded, here and below: it would be searched from each of its places.
_JSON_ESCAPE = re.compile(r"\\{1,8}(?:u00|x)([0-9a-fA-F]{2})|\\{1,8}([/\"\\])")

#: A number that names no character. Python refuses to convert one of thousands of digits.
_LONG_NUMBER = re.compile(r"&#[0-9]{8,}")

#: Longest text in which an escaped secret is replaced. A longer one is replaced as a whole.
_LONGEST = 20_000

#: The signs that an escape of JSON, URLs or HTML begins with.
_BACKSLASH, _PERCENT, _AMPERSAND = rb"\%&"


class Redactor:
    """A filter that removes secrets.

    It knows a secret as it is, within base64 and in hex, and each of these with the escapes of
    JSON, URLs and HTML.

    Args:
        secrets: the secrets to remove.
    """

    def __init__(self, *secrets: str) -> None:
        plain = {text for secret in secrets for text in (secret, *_base64(secret))}
        in_hex = {text.encode().hex() for text in plain}
        spelt = plain | in_hex | {text.upper() for text in in_hex}
        #: Longest first: a shorter one may be a part of it.
        self._secrets = sorted((text for text in spelt if len(text) >= SHORTEST_SECRET), key=len)
        self._secrets.reverse()
        # What begins the escapes of JSON, URLs and HTML. Most bodies have a quote that is escaped.
        signs = "".join(sorted({c for text in plain for c in text} & {"/", '"', "\\"}))
        self._escapes = re.compile(
            rb"\\[ux" + re.escape(signs.encode()) + rb"]|%[0-9A-Fa-f]{2}|&[#A-Za-z]"
        )
        self._plain = _shortest(plain)
        self._hex = _shortest(in_hex)

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
        """Whether a body may contain a secret. It is much quicker than `text`."""
        # Called for each row, so without a loop in Python. Of bytes, `in` makes an exception first.
        if max(map(body.find, self._plain), default=-1) >= 0:
            return True
        if max(map(body.lower().find, self._hex), default=-1) >= 0:
            return True
        if not (_BACKSLASH in body or _PERCENT in body or _AMPERSAND in body):
            return False
        return self._escapes.search(body) is not None and self._is_in(body.decode(errors="replace"))

    def _is_in(self, text: str) -> bool:
        plain = _without_escapes(text)
        if not text.isprintable() or " " in text:
            # A long text may be broken into lines. UTF-16 that is read as UTF-8 is full of NULs.
            plain += "\n" + "".join(c for c in text if c.isprintable() and c != " ")
        return any(secret in text or secret in plain for secret in self._secrets)


def _shortest(texts: Iterable[str]) -> list[bytes]:
    """The texts that contain no other of them: the others need not be looked for."""
    texts = [text for text in texts if len(text) >= SHORTEST_SECRET]
    return [
        text.encode()
        for text in texts
        if not any(other in text for other in texts if other != text)
    ]


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
    return "\n".join((json, once, twice, html.unescape(_LONG_NUMBER.sub("", twice))))


@functools.lru_cache(maxsize=64)
def _in_any_escape(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_any_escape, secret)))


def _any_escape(character: str) -> str:
    """A pattern for a character, as it is or escaped."""
    number = ord(character)
    digits = "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{number:02x}")
    backslashes = r"\\{0,8}" if character in '"/\\' else ""
    return (
        rf"(?:{backslashes}{re.escape(character)}|%{digits}|\\{{1,8}}u00{digits}|\\{{1,8}}x{digits}"
        rf"|&#0{{0,8}}{number};|&#[xX]0{{0,8}}{digits};|{re.escape(html.escape(character))})"
    )


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]
