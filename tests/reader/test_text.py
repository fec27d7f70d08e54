"""Tests of detecting the encoding of a text."""

import codecs
import io
import time

import pytest

from bulkupdate.errors import InputError
from bulkupdate.reader.text import (
    KEEP_BYTES,
    MAX_LINE,
    Encoding,
    encoding_of,
    text_of,
    undecodable,
)

WORDS = [
    "Relancer Zoé", "Ça va être génial à Noël", "Jürgen Müller", "Grüße aus Zürich", "Straße 5",
    "Llamar a Señor Núñez mañana ¿qué? ¡Hola!", "Don’t call – “urgent” €5", "Reunião às João",
    "Ring til Søren på Ærø", "l’été – « bonjour »", "ÅÄÖ", "„Angebot“ senden", "MÜLLER GRÖßE",
    "È vero, perché", "© 2026 Acme®", "n° 12 à 20 °C", "naïve café — really", "5 € … ™",
]  # fmt: skip


def detected(text: bytes) -> Encoding:
    return encoding_of(io.BytesIO(text), None, "a.csv")


@pytest.mark.parametrize("codec", ["cp1252", "mac-roman"])
@pytest.mark.parametrize("word", WORDS)
def test_both_western_encodings_are_recognised(word: str, codec: str) -> None:
    """The reader tells Windows-1252 and Mac Roman apart by the words of a file."""
    text = f"id,title\nopp_1,{word}\n".encode(codec)
    found = detected(text)
    assert text.decode(found.codec) == text.decode(codec)
    assert found.examples


@pytest.mark.parametrize("codec", ["cp1252", "mac-roman"])
@pytest.mark.parametrize("word", ["ÉCOLE", "Éric", "…weiter", "No. 5ª planta", "Œuvre", "ü"])
def test_word_valid_in_both_is_never_misread(word: str, codec: str) -> None:
    """A word that is plausible in both encodings is read right or refused with both names."""
    text = f"id,title\nopp_1,{word}\n".encode(codec)
    try:
        found = detected(text)
    except InputError as asked:
        assert f"encoding {codec} (which reads" in str(asked)  # noqa: PT017 - either is right
    else:
        assert text.decode(found.codec) == text.decode(codec)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Zadzwoń do Łukasz Święty źle proszę zapłać", "cp1250"),
        ("Příliš žluťoučký kůň", "cp1250"),
        ("Позвонить завтра", "cp1251"),
        ("Καλημέρα κόσμε", "cp1253"),
        ("電話してください", "cp932"),
    ],
)
def test_other_encodings_are_refused_with_suggestion(text: str, codec: str) -> None:
    """A file in another encoding is refused, and the message suggests the right encoding."""
    with pytest.raises(InputError) as asked:
        detected(f"id,title\nopp_1,{text}\n".encode(codec))
    assert "its encoding is not certain: set encoding cp1252 (which" in str(asked.value)
    assert f"encoding {codec} (which reads {text.split()[0]!r}" in str(asked.value)


def test_encoding_is_judged_from_whole_file() -> None:
    """The reader judges the encoding from the whole file and not only its beginning."""
    start = b"id,title\n" + b"opp_1,plain words\n" * 200_000
    assert detected(start + "opp_2,Zoé\n".encode()).codec == "utf-8"
    assert detected(start + "opp_2,Zoé\n".encode("cp1252")).codec == "cp1252"
    broken = detected(start + "opp_2,Zoé\n".encode() + "opp_2,Zoé\n".encode("cp1252"))
    assert (broken.codec, broken.is_clean) == ("utf-8", False)


@pytest.mark.parametrize("shift", range(4))
def test_character_across_read_border_is_whole(shift: int) -> None:
    """A character that crosses the border of two reads stays whole."""
    text = b"x" * shift + b"id,title\n" + "opp_1,ééééé \n".encode() * 200_000
    assert detected(text) == Encoding("utf-8", is_clean=True)


@pytest.mark.parametrize("end", ["\n", "", ",x\n", ",é\n" * 800_000])
@pytest.mark.parametrize("plain", [0, 200_000])
def test_file_with_a_lost_character_is_not_clean(plain: int, end: str) -> None:
    """A file that holds U+FFFD anywhere is not clean, so each of its cells is looked at."""
    start = "id,title\n" + "opp_1,é words\n" * plain
    assert detected(f"{start}opp_2,Zo\ufffd{end}".encode()) == Encoding("utf-8")
    assert detected(f"{start}opp_2,Zoé{end}".encode()) == Encoding("utf-8", is_clean=True)


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


def test_long_word_takes_no_extra_time() -> None:
    """A long run of characters without a blank takes less than two seconds to judge."""
    text = b"id,title\nopp_1," + b"x" * 900_000 + b" Zo\xe9\n"
    begin = time.process_time()
    assert detected(text).codec == "cp1252"
    assert time.process_time() - begin < 2


def test_only_header_names_failed_file_encoding() -> None:
    """The header of a failed file names its encoding, and the same words in a row do not."""
    header = b"id,title,bulkupdate_encoding=mac-roman\n"
    assert detected(header + "a,Éric,\n".encode("mac-roman")).codec == "mac-roman"
    other = b"id,title\na,x\nb,bulkupdate_encoding=mac-roman\nc,Zo\xe9\n"
    assert detected(other).codec == "cp1252"


def test_late_nul_byte_refuses_the_file() -> None:
    """A NUL far into a file refuses the file as not text."""
    with pytest.raises(InputError, match="is not a text file"):
        detected(b"id,title\n" + b"opp_1,plain words\n" * 200_000 + b"a,\0\n")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("before", [0, 1, 5000])
def test_line_beyond_the_bound_is_refused(before: int, end: bytes) -> None:
    """A line that is too long is refused by its number, however many reads it takes."""
    start = b"".join(b"opp_%d,x" % number + end for number in range(before))
    close = MAX_LINE - 10
    for line in (b"x" * close, (b"x" * close + end) * 3):
        assert list(text_of(io.BytesIO(start + line), Encoding("utf-8"), "a.csv"))
    with pytest.raises(InputError) as refused:
        list(text_of(io.BytesIO(start + b"x" * (MAX_LINE + 40_000)), Encoding("utf-8"), "a.csv"))
    assert f"a.csv: line {before + 1} is longer than 1,048,576 bytes" in str(refused.value)


@pytest.mark.parametrize("word", ["dům", "stůl", "vůz", "průvodce", "Ústí důl", "můj účet"])
def test_czech_word_is_not_read_as_italian(word: str) -> None:
    """A word whose only foreign letter is ů, which Windows-1252 reads as ù, is refused."""
    with pytest.raises(InputError, match="is not certain"):
        detected(f"id,title\na,{word}\n".encode("cp1250"))


@pytest.mark.parametrize("word", ["più", "virtù", "Corfù Gesù"])
def test_italian_word_with_the_same_letter_is_read(word: str) -> None:
    """A word that ends in ù is read as Italian."""
    assert detected(f"id,title\na,{word}\n".encode("cp1252")).codec == "cp1252"


@pytest.mark.parametrize("name", ["Dvořák", "Jiří"])
def test_central_european_names_are_refused_as_uncertain(name: str) -> None:
    """Names that no western language writes are refused as an uncertain encoding."""
    with pytest.raises(InputError, match="is not certain"):
        detected(f"id,title\na,{name}\n".encode("cp1250"))
