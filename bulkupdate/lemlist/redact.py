"""Keeping the key out of what a server says: it may quote what it was sent, in its own spelling."""

import json
import re
from typing import Any

from bulkupdate.codec import parse_json, to_json

#: What stands where the key stood.
REDACTED = "[redacted]"

#: A secret that is shorter stands in any text, and is left.
SHORTEST_SECRET = 6

#: A value that nests deeper than this is looked at as text.
_MAX_DEPTH = 100

_BACKSLASH = ord("\\")

#: Of all that JSON may escape, only these have another spelling than ours.
_SPELT_OTHERWISE = re.compile(rb"\\[u/]")

_ESCAPES = re.compile(r"\\u([0-9a-fA-F]{4})|\\([/\"\\])")


class Redactor:
    """Takes secrets out of texts and bodies.

    Args:
        secrets: to take out, as they are and as JSON spells them.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
        self._quoted = [
            spelt.encode()
            for secret in self._secrets
            for spelt in {secret, json.dumps(secret)[1:-1]}
        ]

    def text(self, text: str) -> str:
        """`text` without them."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def body(self, body: bytes) -> bytes:
        """A body without them: JSON stays JSON, and says the same otherwise."""
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
        for secret in self._quoted:  # noqa: SIM110 - once for each row: a generator takes longer
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
