"""The key is taken out of whatever a server says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.codec import parse_json
from bulkupdate.lemlist.redact import REDACTED, Redactor

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20)


@given(KEYS, st.text(max_size=9), st.booleans())
def test_a_key_is_found_in_json_however_it_is_spelt(key: str, around: str, escapes: bool) -> None:
    spelt = "".join(f"\\u{ord(c):04x}" for c in key) if escapes else json.dumps(key)[1:-1]
    body = f'{{"a": [{json.dumps(around)}, "x{spelt}y"], "{spelt}": 1}}'.encode()
    found = parse_json(Redactor(key).body(body))
    assert key not in found
    assert all(key not in text for text in found["a"])


@given(KEYS)
def test_a_key_is_found_in_what_is_no_json(key: str) -> None:
    spelt = "".join(f"\\u{ord(c):04x}" for c in key)
    assert Redactor(key).body(f"<p>{key}</p>".encode()) == f"<p>{REDACTED}</p>".encode()
    assert key not in Redactor(key).body(f'{{"a": "{spelt}"'.encode()).decode()


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1.5, "b": [null, true, 123456]}', b"what", b"", b'{"n": 123456}', b"[" * 500,
     b'{"t": "a \\"quote\\" and \\n"}', b"\xff\\u00e9"],
)  # fmt: skip
def test_what_holds_no_key_says_what_it_said(body: bytes) -> None:
    redacted = Redactor("123456").body(body)
    try:
        assert parse_json(redacted) == parse_json(body)
    except ValueError:
        assert redacted == body or b"\\" in body


@pytest.mark.parametrize("escape", [r"\\n", r"\\\"", r"\\\\", r"\\t"])
def test_a_body_with_common_escapes_is_left_as_it_is(escape: str) -> None:
    body = f'{{"a":  "x{escape}y", "b": 1e2}}'.encode()
    assert Redactor("123456").body(body) is body


def test_what_nests_too_deep_is_looked_at_as_text() -> None:
    body = b'["\\u0061bcdef", ' + b"[" * 300 + b"]" * 300 + b"]"
    assert b"abcdef" not in Redactor("abcdef").body(body)


def test_a_short_secret_stands_in_any_text_and_is_left() -> None:
    assert Redactor("key").text("a key") == "a key"
