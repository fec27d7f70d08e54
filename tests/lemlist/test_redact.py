"""The key is taken out of everything that a server says."""

import base64
import html
import html.entities
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.codec import parse_json
from bulkupdate.errors import BadResponseError
from bulkupdate.lemlist.http import MAX_DEPTH, Response, json_of
from bulkupdate.lemlist.redact import REDACTED, SHORTEST_SECRET, Redactor

#: Keys that are no part of the text which replaces them.
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20).filter(
    lambda key: key not in REDACTED
)


def in_json(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


#: Each way to write a key down that a server may use.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda key: key,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON escapes": in_json,
    "JSON within JSON": lambda key: json.dumps(in_json(key)),
    "percent": lambda key: quote(key, safe=""),
    "percent, every character": lambda key: "".join(f"%{ord(c):02x}" for c in key),
    "HTML": html.escape,
    "HTML numbers": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "HTML hex numbers": lambda key: "".join(f"&#x{ord(c):X};" for c in key),
    "hex": lambda key: key.encode().hex(),
    "HEX": lambda key: key.encode().hex().upper(),
    "base64": encoded,
    "base64 without its end": lambda key: encoded(key).rstrip("="),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "Basic": lambda key: encoded(f":{key}"),
    "Basic without its end": lambda key: encoded(f":{key}").rstrip("="),
    "Basic, percent": lambda key: quote(encoded(f":{key}"), safe=""),
    "Basic in hex": lambda key: encoded(f":{key}").encode().hex(),
}


@given(KEYS, st.text(max_size=9), st.sampled_from(sorted(SPELLINGS)))
def test_key_is_redacted_in_every_spelling(key: str, around: str, spelling: str) -> None:
    """The redactor removes the key, however the server spells it, and says that it is there."""
    spelt = SPELLINGS[spelling](key)
    text = f"{around} {spelt} {around}"
    redactor = Redactor(key)
    assert redactor.may_be_in(text.encode())
    assert redactor.may_be_in(spelt.encode())
    assert spelt not in redactor.text(text)
    assert not redactor.may_be_in(redactor.text(text).encode())


#: Ways to write one character that a server's texts have, one within another too.
ESCAPES: list[Callable[[str], str]] = [
    lambda c: c,
    lambda c: f"\\u{ord(c):04x}",
    lambda c: f"\\\\u{ord(c):04X}",
    lambda c: f"\\x{ord(c):02x}",
    lambda c: f"%{ord(c):02X}",
    lambda c: f"&#{ord(c)};",
    lambda c: f"&#0{ord(c)}",
    lambda c: f"&#x{ord(c):x};",
    lambda c: f"&#X{ord(c):X}",
    lambda c: {"_": "&lowbar;", "/": "&sol;", "&": "&amp;"}.get(c, c),
    lambda c: f"&#1;{c}",
    lambda c: f"&#000000001;{c}",
]
ORDINARY = "abcdefXYZ0123456789-_/+=.~"


@given(st.data())
def test_what_is_taken_out_of_a_text_may_be_in_its_body(data: st.DataObject) -> None:
    """The quick search finds a key in escapes within escapes wherever the thorough one does."""
    key = data.draw(st.text(ORDINARY, min_size=6, max_size=9))
    spelt = key
    for _ in range(data.draw(st.integers(1, 3))):
        rare = st.sampled_from([ESCAPES[0]] * data.draw(st.sampled_from([1, 10, 40])) + ESCAPES)
        spelt = "".join(data.draw(rare)(c) for c in spelt)
    redactor = Redactor(key)
    if redactor.text(spelt) != spelt:
        assert redactor.may_be_in(spelt.encode())


#: Ways to write `a` by two escapes, one within the other.
NESTED = [
    "%2561", r"\u002561", r"\x2561", r"\u0025\u0036\u0031", "%%36%31", "&#%39%37;",
    "%26#97;", "%2526#97;", r"\u0026#97;", r"\x26#97;", r"\u0026\u002397;",
    "&%2397;", "&%252397;", r"&\u002397;", r"&\\\\u002397;", r"&\x2397;",
    "&#1;a", "&#31;a", "&#127;a", "&#64976;a", "&#xfdd0;a", "&#99999999a",
]  # fmt: skip


@pytest.mark.parametrize("escape", NESTED)
def test_escape_within_an_escape_may_hide_a_key(escape: str) -> None:
    """A letter of the key may be written in two ways at once, or stand behind what HTML drops."""
    redactor = Redactor("kawxyzk")
    assert redactor.text(f"x k{escape}wxyzk") != f"x k{escape}wxyzk"
    assert redactor.may_be_in(f"x k{escape}wxyzk".encode())


#: Each way to write one character, in capitals too.
ONE_ESCAPE = [
    r"\u00{:02x}", r"\u00{:02X}", r"\\u00{:02x}", r"\x{:02x}", r"\x{:02X}", "%{:02x}", "%{:02X}",
    "&#{};", "&#{}", "&#0{};", "&#000{};", "&#0000000000{};", "&#x{:x};", "&#X{:X};", "&#x00{:x};",
]  # fmt: skip


@pytest.mark.parametrize("character", sorted({*ORDINARY, *map(chr, range(33, 127))}))
def test_any_character_may_be_escaped(character: str) -> None:
    """Whichever character of a key is written with an escape, alone: the key is found."""
    redactor = Redactor(f"k{character}wxyzk")
    named = [f"&{name}" for name, text in html.entities.html5.items() if text == character]
    slash = [rf"\{character}", rf"\\{character}"] if character in '/"\\' else []
    for escape in (*(form.format(ord(character)) for form in ONE_ESCAPE), *named, *slash):
        spelt = f"x k{escape}wxyzk"
        assert redactor.may_be_in(spelt.encode()), spelt
        assert redactor.text(spelt) != spelt


@pytest.mark.parametrize(
    "text",
    [
        r"<p class=\"a\">call&nbsp;back &amp; ask<\/p>\n",
        "https://x.y/?u=https%3A%2F%2Fx.y%2Fa%20b%26c%3Dd%23e",
        r"r\u00fcckruf \u2013 \u003cb\u003e \u0026amp; \u0027",
        "it&#8217;s &#39;so&#039; &#160;&#x27;&#x2019;&#xA0;&#128512;&#10;",
    ],
)
def test_ordinary_escapes_need_no_thorough_search(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escapes of no character of a key cost little: a page of tasks is full of them."""

    def searched(*_: object) -> bool:
        raise AssertionError("searched for the key in every spelling")

    monkeypatch.setattr(Redactor, "_is_in", searched)
    assert not Redactor("a1b2c3d4e5f60718").may_be_in(text.encode())


@pytest.mark.parametrize("end", ["&#56", "&#x38"])
def test_key_in_an_unknown_escape_takes_its_text_along(end: str) -> None:
    """No spelling of a key's end makes the search of the others go back again and again."""
    key = "a1b2c3d4e5f60718a1b2c3d4e8"
    began = time.process_time()
    assert Redactor(key).text(f"the key {key[:-1]}{end}") == REDACTED
    assert time.process_time() - began < 2


@pytest.mark.parametrize("slash", ["/", r"\/", r"\\/", "%2F", "&#47;"])
def test_slash_of_a_key_may_be_escaped(slash: str) -> None:
    """JSON escapes a slash, and JSON in JSON does so twice. What stands around it stays."""
    shown = f"before key{slash}with{slash}slashes after"
    assert Redactor("key/with/slashes").text(shown) == f"before {REDACTED} after"


@pytest.mark.parametrize("mark", [" ", "\n", "\r\n ", "\0", "\t", "\1", "\u200b", "\xa0"])
def test_key_in_pieces_is_redacted(mark: str) -> None:
    """A key that is broken by blanks or by what is not shown is removed with all of the text."""
    key = "a1b2c3d4e5f60718"
    text = mark.join((key[:5], key[5:9], key[9:]))
    assert Redactor(key).text(text) == REDACTED
    assert Redactor(key).text(key[:5] + mark + key[9:]) != REDACTED


@given(KEYS, st.text(max_size=6), st.text(max_size=6))
def test_key_within_longer_base64_is_redacted(key: str, before: str, after: str) -> None:
    """Base64 of a text that contains the key loses all but the ends of the key."""
    text = encoded(f"{before}{key * 2}{after}")
    assert REDACTED in Redactor(key * 2).text(text)


@pytest.mark.parametrize("user", ["u", "us", "use", "user:"])
def test_end_of_base64_is_redacted_where_it_is_the_keys_alone(user: str) -> None:
    """Base64 that ends with the key, without padding, ends with what replaces it."""
    key = "a1b2c3d4e5f60718"
    key += (-len(user + key) % 3) * "9"
    assert Redactor(key).text(encoded(user + key)).endswith(REDACTED)


@given(KEYS)
def test_key_in_json_is_redacted_by_its_values(key: str) -> None:
    """A JSON value keeps its shape. Its keys and its texts lose the key."""
    value = {"a": [f"x{key}y", 1, None, True, {"b": key}], key: 1.5}
    redacted = Redactor(key).value(value)
    if key not in REDACTED:
        assert redacted == {
            "a": [f"x{REDACTED}y", 1, None, True, {"b": REDACTED}], REDACTED: 1.5,
        }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "what",
        r'{"t": "a \"quote\" \\ \u00e9 and \n"}',
        "100 %, 20%25 & more",
        "&amp;#1;",
        "a+b==",
    ],
)
def test_text_without_key_stays_as_it_is(text: str) -> None:
    """The redactor changes nothing where no key is."""
    redactor = Redactor("123456")
    assert redactor.text(text) == text
    assert not redactor.may_be_in(text.encode())


def test_escapes_within_escapes_hide_the_whole_text() -> None:
    """A key in an escape of a kind that is not replaced takes its whole text along."""
    assert Redactor("abcdef").text("x %26#97;bcdef") == REDACTED


#: How an answer that nests too deep is refused: by its depth, or by the parser of JSON.
DEEP = r"nests more than 100 deep|is not JSON"


@pytest.mark.parametrize("depth", [101, 480, 900, 5000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_answer_with_escapes_is_a_typed_error(depth: int, opening: str, closing: str) -> None:
    """An answer with escapes that nests far too deep ends in a typed error, and never recurses."""
    body = opening * depth + '"\\u0061bcdef"' + closing * depth
    response = Response(200, {}, body.encode(), redactor=Redactor("abcdef"))
    with pytest.raises(BadResponseError, match=DEEP):
        json_of(response, "a Task")
    assert "bcdef" not in response.excerpt()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_answer_of_the_deepest_nesting_is_redacted(opening: str, closing: str) -> None:
    """An answer that nests as deep as is accepted keeps its values, without the key."""
    body = opening * MAX_DEPTH + '"\\u0061bcdef \\u00e9 \\""' + closing * MAX_DEPTH
    expected = opening * MAX_DEPTH + '"[redacted] é \\""' + closing * MAX_DEPTH
    response = Response(200, {}, body.encode(), redactor=Redactor("abcdef"))
    assert response.redacted(json_of(response, "a Task")) == parse_json(expected)


@pytest.mark.parametrize("secret", ["abcdef", "abcde"])
def test_secret_of_six_characters_is_redacted(secret: str) -> None:
    """A secret is removed from six characters on."""
    expected = f"a {REDACTED}" if len(secret) == SHORTEST_SECRET else f"a {secret}"
    assert Redactor(secret).text(f"a {secret}") == expected


@pytest.mark.parametrize("key", ["a7/bQ+Cz&d%41e=f9xK", r"a7\u0041bQx&amp;9xK", "a7%2541bQx9%xK"])
def test_key_that_holds_what_looks_like_an_escape_is_redacted(key: str) -> None:
    """A search that undoes escapes undoes those of the key itself too."""
    redactor = Redactor(key)
    for spelt in (key, html.escape(key), quote(key, safe=""), in_json(key), f"&#97;{key[1:]}"):
        assert redactor.may_be_in(f"x {spelt} y".encode()), spelt
        assert spelt not in redactor.text(f"x {spelt} y")


def test_very_short_secret_is_not_redacted() -> None:
    """The redactor leaves a very short secret alone, as it may occur in any text."""
    assert Redactor("key").text("a key") == "a key"


@pytest.mark.parametrize(
    "text",
    ["&#" + "1" * 5000, "&#x" + "f" * 5000, "&#" + "0" * 5000 + "97;", "%" * 5000, "&" * 5000,
     "\\\\u00" * 5000],
)  # fmt: skip
def test_any_text_can_be_searched(text: str) -> None:
    """No text of a server's stops the redactor, nor takes it long."""
    redactor = Redactor("abcdef-12345")
    assert redactor.text(text) == text
    assert not redactor.may_be_in(text.encode())
    assert "bcdef-12345" not in redactor.text(f"{text}%61bcdef-12345{text}")


def test_escaped_key_in_a_long_text_takes_the_text_along() -> None:
    """Backslashes after a quoted key make no search that grows with their square."""
    text = r"\\u0061bcdef-12345 " + "\\\\" * 40_000
    began = time.process_time()
    assert Redactor("abcdef-12345").text(text) == REDACTED
    assert time.process_time() - began < 2


def test_named_escapes_hide_no_key() -> None:
    """The names that HTML has for signs are read too."""
    body = b'{"title": "key&lowbar;0123456"}'
    assert Redactor("key_0123456").may_be_in(body)


@pytest.mark.parametrize("length", [16, 500, 4096])
def test_half_of_a_secret_at_the_cut_is_not_shown(length: int) -> None:
    """Secrets that are taken out bring the end of the part that is searched near the beginning."""
    key = ("a1b2c3d4e5f60718" * 256)[:length]
    spelt = encoded(key).encode().hex()
    body = spelt.encode() * (200_000 // len(spelt) + 2)
    response = Response(200, {}, body, redactor=Redactor(key))
    assert not set(response.excerpt()) - set(REDACTED + "…")


def test_message_of_a_huge_answer_is_its_beginning() -> None:
    """An answer of any length makes its message quickly, without the key."""
    key = "a1b2c3d4e5f60718"
    response = Response(
        200, {}, f"<p>{in_json(key)}</p>".encode() * 150_000, redactor=Redactor(key)
    )
    began = time.process_time()
    assert response.excerpt() == REDACTED
    assert time.process_time() - began < 1
