"""Which encoding a text is in."""

import codecs
import io
import time

import pytest

from bulkupdate.errors import InputError
from bulkupdate.reader.text import KEEP_BYTES, Encoding, encoding_of, text_of, undecodable

WORDS = [
    "Relancer Zoé", "Ça va être génial à Noël", "Jürgen Müller", "Grüße aus Zürich", "Straße 5",
    "Llamar a Señor Núñez mañana ¿qué? ¡Hola!", "Don’t call – “urgent” €5", "Reunião às João",
    "Ring til Søren på Ærø", "l’été – « bonjour »", "ÅÄÖ", "„Angebot“ senden", "MÜLLER GRÖßE",
    "È vero, perché", "© 2026 Acme®", "n° 12 à 20 °C", "naïve café — really", "5 € … ™",
]  # fmt: skip


def told(text: bytes) -> Encoding:
    return encoding_of(io.BytesIO(text), None, "a.csv")


@pytest.mark.parametrize("codec", ["cp1252", "mac-roman"])
@pytest.mark.parametrize("word", WORDS)
def test_the_two_encodings_of_western_spreadsheets_are_told_apart(word: str, codec: str) -> None:
    text = f"id,title\nopp_1,{word}\n".encode(codec)
    found = told(text)
    assert text.decode(found.codec) == text.decode(codec)
    assert found.examples


@pytest.mark.parametrize("codec", ["cp1252", "mac-roman"])
@pytest.mark.parametrize("word", ["ÉCOLE", "Éric", "…weiter", "No. 5ª planta", "Œuvre", "ü"])
def test_a_word_that_reads_well_in_both_is_asked_about_or_read_right(word: str, codec: str) -> None:
    text = f"id,title\nopp_1,{word}\n".encode(codec)
    try:
        found = told(text)
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
def test_what_comes_from_elsewhere_is_asked_about_and_the_right_name_is_offered(
    text: str, codec: str
) -> None:
    with pytest.raises(InputError) as asked:
        told(f"id,title\nopp_1,{text}\n".encode(codec))
    assert "its encoding is not certain: set encoding cp1252 (which" in str(asked.value)
    assert f"encoding {codec} (which reads {text.split()[0]!r}" in str(asked.value)


def test_the_whole_file_counts_not_only_its_beginning() -> None:
    start = b"id,title\n" + b"opp_1,plain words\n" * 200_000
    assert told(start + "opp_2,Zoé\n".encode()).codec == "utf-8"
    assert told(start + "opp_2,Zoé\n".encode("cp1252")).codec == "cp1252"
    broken = told(start + "opp_2,Zoé\n".encode() + "opp_2,Zoé\n".encode("cp1252"))
    assert (broken.codec, broken.is_clean) == ("utf-8", False)


@pytest.mark.parametrize("shift", range(4))
def test_a_character_on_the_border_of_what_is_read_at_once_is_whole(shift: int) -> None:
    text = b"x" * shift + b"id,title\n" + "opp_1,ééééé \n".encode() * 200_000
    assert told(text) == Encoding("utf-8", is_clean=True)


def test_what_cannot_be_decoded_keeps_its_bytes() -> None:
    assert b"Zo\xe9".decode("utf-8", KEEP_BYTES) == "Zo\udce9"
    assert undecodable("Zo\udce9 é") == b"\xe9"
    assert "Zo\udce9".encode("cp1252", KEEP_BYTES) == b"Zo\xe9"
    assert "日 €".encode("cp1252", KEEP_BYTES) == b"\\u65e5 \x80"
    wide = "a\udce9".encode("utf-16-le", KEEP_BYTES)
    assert undecodable(wide.decode("utf-16-le", KEEP_BYTES))


def test_an_encoding_that_is_said_is_taken_with_or_without_its_mark() -> None:
    for said, text in (
        ("utf-8", codecs.BOM_UTF8 + b"id\n"),
        ("utf-16", "id\n".encode("utf-16")),
        ("utf-16", "id\n".encode("utf-16-be")),
        ("utf-16-le", "id\n".encode("utf-16-le")),
        ("utf-32", "id\n".encode("utf-32")),
        ("latin-1", b"id\n"),
    ):
        content = io.BytesIO(text)
        found = encoding_of(content, said, "a.csv")
        content.seek(0)
        assert list(text_of(content, found, "a.csv")) == ["id\n"], said


def test_a_long_run_without_blanks_takes_no_longer_than_others() -> None:
    text = b"id,title\nopp_1," + b"x" * 900_000 + b" Zo\xe9\n"
    begin = time.process_time()
    assert told(text).codec == "cp1252"
    assert time.process_time() - begin < 2


def test_the_encoding_of_a_failed_file_is_named_in_its_header_alone() -> None:
    header = b"id,title,bulkupdate_encoding=mac-roman\n"
    assert told(header + "a,Éric,\n".encode("mac-roman")).codec == "mac-roman"
    other = b"id,title\na,x\nb,bulkupdate_encoding=mac-roman\nc,Zo\xe9\n"
    assert told(other).codec == "cp1252"


def test_a_nul_far_into_a_file_is_no_text() -> None:
    with pytest.raises(InputError, match="is not a text file"):
        told(b"id,title\n" + b"opp_1,plain words\n" * 200_000 + b"a,\0\n")


@pytest.mark.parametrize("name", ["Dvořák", "Jiří"])
def test_names_that_no_language_of_the_west_writes_are_asked_about(name: str) -> None:
    with pytest.raises(InputError, match="is not certain"):
        told(f"id,title\na,{name}\n".encode("cp1250"))
