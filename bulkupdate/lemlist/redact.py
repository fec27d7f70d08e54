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

#: What begins the escapes of JSON, URLs and HTML.
_ESCAPES = re.compile(rb"\\[ux/\"\\]|%[0-9A-Fa-f]{2}|&(?:#|quot;|amp;|lt;|gt;|apos;)")

_JSON_ESCAPE = re.compile(r"\\+(?:u00|x)([0-9a-fA-F]{2})|\\+([/\"\\])")


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
        self._plain = _shortest(plain)
        self._hex = _shortest(in_hex)

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        if not self._is_in(text):
            return text
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
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
        # Called for each row, so without a loop in Python.
        if any(map(body.__contains__, self._plain)):
            return True
        if any(map(body.lower().__contains__, self._hex)):
            return True
        if b"\\" not in body and b"%" not in body and b"&" not in body:
            return False
        return _ESCAPES.search(body) is not None and self._is_in(body.decode(errors="replace"))

    def _is_in(self, text: str) -> bool:
        plain = _without_escapes(text)
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
    return html.unescape(unquote(_JSON_ESCAPE.sub(_unescaped, text)))


@functools.lru_cache(maxsize=64)
def _in_any_escape(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_any_escape, secret)))


def _any_escape(character: str) -> str:
    """A pattern for a character, as it is or escaped."""
    number = ord(character)
    digits = "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{number:02x}")
    backslashes = r"\\*" if character in '"/\\' else ""
    return (
        rf"(?:{backslashes}{re.escape(character)}|%{digits}|\\+u00{digits}|\\+x{digits}"
        rf"|&#0*{number};|&#[xX]0*{digits};|{re.escape(html.escape(character))})"
    )


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]
