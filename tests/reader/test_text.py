"""Tests of the text of a file."""

import codecs
import contextlib
import io

import pytest

from bulkupdate.errors import InputError
from bulkupdate.reader.encoding import MAX_LINE, Encoding, encoding_of
from bulkupdate.reader.text import KEEP_BYTES, READ, text_of, undecodable


def test_undecodable_bytes_are_kept_for_writing() -> None:
    """The reader keeps bytes that it can't decode, and writes them back unchanged."""
    assert b"Zo\xe9".decode("utf-8", KEEP_BYTES) == "Zo\udce9"
    assert undecodable("Zo\udce9 é") == b"\xe9"
    assert "Zo\udce9".encode("cp1252", KEEP_BYTES) == b"Zo\xe9"
    assert "日 €".encode("cp1252", KEEP_BYTES) == b"\\u65e5 \x80"
    wide = "a\udce9".encode("utf-16-le", KEEP_BYTES)
    assert undecodable(wide.decode("utf-16-le", KEEP_BYTES))


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_undecodable_byte_is_as_wide_as_a_character(codec: str) -> None:
    """A byte that could not be decoded leaves the characters around it whole in a wide encoding."""
    wide = "a\udce9b".encode(codec, KEEP_BYTES)
    assert len(wide) == len("abc".encode(codec))
    found = wide.decode(codec, KEEP_BYTES)
    assert (found[0], found[-1]) == ("a", "b")
    assert undecodable(found)


def test_given_encoding_works_without_its_mark() -> None:
    """A given encoding is used with or without a byte order mark."""
    for chosen, text in (
        ("utf-8", codecs.BOM_UTF8 + b"id\n"),
        ("utf-16", "id\n".encode("utf-16")),
        ("utf-16", "id\n".encode("utf-16-be")),
        ("utf-16-le", "id\n".encode("utf-16-le")),
        ("utf-32", "id\n".encode("utf-32")),
        ("latin-1", b"id\n"),
    ):
        content = io.BytesIO(text)
        found = encoding_of(content, chosen, "a.csv")
        content.seek(0)
        assert list(text_of(content, found, "a.csv")) == ["id\n"], chosen


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("before", [0, 1, 5000])
def test_line_beyond_the_bound_is_refused(before: int, end: bytes) -> None:
    """A line that is too long is refused by its number, however many reads it takes."""
    start = b"".join(b"opp_%d,x" % number + end for number in range(before))
    for line in (b"x" * MAX_LINE, (b"x" * MAX_LINE + end) * 3):
        assert list(text_of(io.BytesIO(start + line), Encoding("utf-8"), "a.csv"))
    with pytest.raises(InputError) as refused:
        list(text_of(io.BytesIO(start + b"x" * (MAX_LINE + 40_000)), Encoding("utf-8"), "a.csv"))
    assert f"a.csv: line {before + 1} is longer than 1,048,576 bytes" in str(refused.value)


@pytest.mark.parametrize("after", [b"", b"\n", b"\r\nopp_2,x\n"])
@pytest.mark.parametrize("before", [0, 5, READ - 2, READ])
def test_line_is_refused_from_one_byte_on(before: int, after: bytes) -> None:
    """The bound holds to the byte, wherever a read of the file ends."""
    start = b"x" * before + b"\n"
    for length in (MAX_LINE, MAX_LINE + 1):
        content = io.BytesIO(start + b"x" * length + after)
        with pytest.raises(InputError) if length > MAX_LINE else contextlib.nullcontext():
            assert len([*text_of(content, Encoding("utf-8"), "a.csv")]) == 2 + (len(after) > 2)
