"""Tests of TOML: what is no TOML, and the line of each key and of each element of a list."""

import tomllib
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.toml import Path, Places, TomlError, parse

TEXT = '''# [not] = "a table"
top = "a # that begins no comment"
"quoted key" = 1
dotted.key . 'inner' = 2026-01-01 09:00:00
long = """
[[rule]]
name = "in a text" \\"""
"""
literal = \'\'\'
''x' = 1\'\'\'
[[rule]]
name = 'one'
list = [ "a",  # a comment, with ]
  "b", [1,
  2], { deep = 3 },
]
select = { du = "x", in = { ner = ["{", "}"] } }
[rule.set]
title = ""
[[rule]]
[ rule . "set" ]
title = "]"
[[rule.part]]
x = 1
[[rule.part]]
x = 2
'''

PLACES: dict[Path, int] = {
    ("top",): 2,
    ("quoted key",): 3,
    ("dotted", "key", "inner"): 4,
    ("long",): 5,
    ("literal",): 9,
    ("rule", 0): 11,
    ("rule", 0, "name"): 12,
    ("rule", 0, "list", 0): 13,
    ("rule", 0, "list", 1): 14,
    ("rule", 0, "list", 2, 0): 14,
    ("rule", 0, "list", 2, 1): 15,
    ("rule", 0, "list", 3, "deep"): 15,
    ("rule", 0, "select", "du"): 17,
    ("rule", 0, "select", "in", "ner", 1): 17,
    ("rule", 0, "set"): 18,
    ("rule", 0, "set", "title"): 19,
    ("rule", 1): 20,
    ("rule", 1, "set", "title"): 22,
    ("rule", 1, "part", 0, "x"): 24,
    ("rule", 1, "part", 1, "x"): 26,
}


def test_each_key_has_the_line_on_which_it_stands() -> None:
    """Texts, comments, lists, inline tables and tables of tables are told apart."""
    assert tomllib.loads(TEXT)
    for text in (TEXT, TEXT.replace("\n", "\r\n")):
        places = Places(text)
        assert {path: places.line(path) for path in PLACES} == PLACES


def test_a_place_that_is_missing_has_the_line_around_it() -> None:
    """A key that is missing is reported where its table begins, and else on the first line."""
    places = Places(TEXT)
    assert places.line(("rule", 1, "name")) == 20
    assert places.line(("timezone",)) == 1


def test_byte_order_mark_is_no_part_of_the_text() -> None:
    """An editor may write one."""
    assert parse(b"\xef\xbb\xbfa = 1\r\n") == ("a = 1\r\n", {"a": 1})


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        (b"a = 1\nb = = 2\n", (2, 5), ""),
        (b"a = 1\nb = [\n\n", (2, None), ""),
        (b"[a]\n[b]\n[a]\n", (3, 3), ": a name or a key is there twice"),
        (b"a = 1\na = 2\n", (2, 6), ": a name or a key is there twice"),
        (b"a = {b = 1, b = 2}", (1, 18), ": a name or a key is there twice"),
        (b"[a]\nb = 1\n[a.b]\n", (3, 5), ": a name or a key is there twice"),
        (b"a = " + b"[" * 5_000, (1, None), " that can be read: it nests too deep"),
        (b"\na = " + b"9" * 5_000, (1, None), " that can be read: a number is too long"),
    ],
)
def test_text_that_is_no_toml_has_a_place(
    data: bytes, where: tuple[int, int | None], what: str
) -> None:
    """Whatever Python's reader raises is one error, with its line and where possible its column."""
    with pytest.raises(TomlError) as refused:
        parse(data)
    assert (refused.value.line, refused.value.column) == where
    assert refused.value.discreet == f"is not TOML{what}"
    assert refused.value.what.startswith("is not TOML")


def test_text_in_another_encoding_has_a_line() -> None:
    """TOML is UTF-8."""
    with pytest.raises(TomlError, match="is not UTF-8: save the file as UTF-8") as refused:
        parse('a = "1"\nb = "é"\n'.encode("latin-1"))
    assert (refused.value.line, refused.value.column) == (2, None)


_WORDS = st.text("ab\"'#[]{}=,.\\\n ", max_size=5)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.booleans() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=8,
)


def written(value: Any) -> str:
    """A value as TOML, in which each element of a list stands on a line of its own."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)} = {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + "".join(f"{written(one)}, # ] }}\n" for one in value) + "]"
    return str(value)


def paths(value: Any, path: Path = ()) -> list[Path]:
    """The place of each key and of each element."""
    pairs: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        pairs = enumerate(value)
    return [p for key, one in pairs for p in ((*path, key), *paths(one, (*path, key)))]


@given(st.dictionaries(_WORDS, _VALUES, max_size=4))
def test_no_text_hides_a_key(content: dict[str, Any]) -> None:
    """Whatever the keys and the texts hold, each place is found, in the order of the text."""
    text = "".join(f"{written(key)} = {written(value)}\n" for key, value in content.items())
    assert tomllib.loads(text) == content
    places = Places(text)
    lines = [places.line(path) for path in paths(content)]
    assert set(paths(content)) == set(places._lines)
    assert lines == sorted(lines)
    starts = [places.line((key,)) for key in content]
    ends = [written(value).count("\n") + 1 for value in content.values()]
    assert starts == [1 + sum(ends[:number]) for number in range(len(content))]
