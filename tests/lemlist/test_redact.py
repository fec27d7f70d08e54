"""The key is taken out of whatever a server says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.codec import parse_json
from bulkupdate.lemlist.redact import REDACTED, Redactor

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20)


@given(KEYS, st.text(max_size=9), st.booleans())
def test_key_in_json_is_always_redacted(key: str, around: str, escapes: bool) -> None:
    """The redactor removes the key from JSON, whichever way the key is escaped."""
    spelt = "".join(f"\\u{ord(c):04x}" for c in key) if escapes else json.dumps(key)[1:-1]
    body = f'{{"a": [{json.dumps(around)}, "x{spelt}y"], "{spelt}": 1}}'.encode()
    found = parse_json(Redactor(key).body(body))
    assert key not in found
    assert all(key not in text for text in found["a"])


@given(KEYS)
def test_key_outside_json_is_redacted(key: str) -> None:
    """The redactor removes the key from text that is not JSON, escaped or not."""
    spelt = "".join(f"\\u{ord(c):04x}" for c in key)
    assert Redactor(key).body(f"<p>{key}</p>".encode()) == f"<p>{REDACTED}</p>".encode()
    assert key not in Redactor(key).body(f'{{"a": "{spelt}"'.encode()).decode()


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1.5, "b": [null, true, 123456]}', b"what", b"", b'{"n": 123456}', b"[" * 500,
     b'{"t": "a \\"quote\\" and \\n"}', b"\xff\\u00e9"],
)  # fmt: skip
def test_body_without_key_keeps_its_meaning(body: bytes) -> None:
    """The redactor keeps the meaning of a body that does not contain the key."""
    redacted = Redactor("123456").body(body)
    try:
        assert parse_json(redacted) == parse_json(body)
    except ValueError:
        assert redacted == body or b"\\" in body


@pytest.mark.parametrize("escape", [r"\\n", r"\\\"", r"\\\\", r"\\t"])
def test_body_with_common_escapes_stays_unchanged(escape: str) -> None:
    """The redactor returns a body with common escapes as the same object."""
    body = f'{{"a":  "x{escape}y", "b": 1e2}}'.encode()
    assert Redactor("123456").body(body) is body


def test_deeply_nested_body_is_still_redacted() -> None:
    """The redactor treats a body that nests too deep as text, and removes the key."""
    body = b'["\\u0061bcdef", ' + b"[" * 300 + b"]" * 300 + b"]"
    assert b"abcdef" not in Redactor("abcdef").body(body)


def test_very_short_secret_is_not_redacted() -> None:
    """The redactor leaves a very short secret alone, as it may occur in any text."""
    assert Redactor("key").text("a key") == "a key"
