"""Removal of the key from answers. A server may repeat it, in another spelling."""

import json
import re
from typing import Any

from bulkupdate.codec import parse_json, to_json

#: The text that replaces the key.
REDACTED = "[redacted]"

#: Shortest secret that is removed, in characters. A shorter one occurs in ordinary text.
SHORTEST_SECRET = 6

#: Deepest nesting of a JSON value. A deeper value is searched as text.
_MAX_DEPTH = 100

_BACKSLASH = ord("\\")

#: Escapes that `json.dumps` never writes. Other escapes have only one spelling.
_SPELT_OTHERWISE = re.compile(rb"\\[u/]")

_ESCAPES = re.compile(r"\\u([0-9a-fA-F]{4})|\\([/\"\\])")


class Redactor:
    """A filter that removes secrets from texts and bodies.

    Args:
        secrets: the secrets to remove, also in their JSON spelling.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
        self._quoted = [
            spelt.encode()
            for secret in self._secrets
            for spelt in {secret, json.dumps(secret)[1:-1]}
        ]

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def body(self, body: bytes) -> bytes:
        """A body without the secrets. JSON stays JSON, otherwise with the same value."""
        if not self._may_hold_secret(body):
            return body
        try:
            return to_json(self._value(parse_json(body), 0))
        except ValueError:
            text = self.text(body.decode("utf-8", errors="replace"))
            return self.text(_ESCAPES.sub(_unescaped, text)).encode("utf-8", errors="replace")

    def _may_hold_secret(self, body: bytes) -> bool:
        if _BACKSLASH in body and _SPELT_OTHERWISE.search(body):
            return True
        for secret in self._quoted:  # noqa: SIM110 - called for each row: a generator takes longer
            if secret in body:
                return True
        return False

    def _value(self, value: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("nests too deep")
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self._value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, depth + 1) for item in value]
        return value


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]
