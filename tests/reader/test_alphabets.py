"""Tests of the letters of languages."""

import pytest

from bulkupdate.reader.alphabets import LANGUAGES, languages_of


@pytest.mark.parametrize(
    ("word", "codec", "language"),
    [
        ("Größe", "cp1252", "de"), ("l’été", "cp1252", "fr"), ("Anna’s", "cp1252", "fr"),
        ("«Ça", "mac-roman", "fr"), ("¿Qué", "cp1252", "es"), ("GRÖßE", "cp1252", "de"),
        ("3ª", "cp1252", "es"), ("Řeřicha", "cp1250", "cs"), ("Łódź", "cp1250", "pl"),
        ("İzmir", "cp1254", "tr"), ("ışık", "cp1254", "tr"), ("Žodį", "cp1257", "lt"),
        ("Ёлка", "cp1251", "ru"), ("і", "cp1251", "uk"), ("שלום", "cp1255", "he"),
    ],
)  # fmt: skip
def test_word_looks_right_in_its_language(word: str, codec: str, language: str) -> None:
    """A word looks right in the language that it is of."""
    assert language in languages_of(word, codec)


@pytest.mark.parametrize(
    ("word", "codec"),
    [
        ("Mar’a", "cp1252"), ("r’xime", "cp1252"), ("ZoÃ©", "cp1252"), ("schˆn", "mac-roman"),
        ("GrºÃe", "mac-roman"), ("Dvořńk", "cp1250"), ("Zoй", "cp1251"), ("пОЗВОНИТЬ", "koi8-r"),
        ("Èlan", "cp1252"), ("Mamiæ", "cp1252"), ("dùm", "cp1252"), ("espaÑa", "cp1252"),
        ("Köln“Süd", "cp1252"), ("12é", "cp1252"), ("ñ", "cp1252"), ("èñäðà", "cp1252"),
        ("Größe", "cp1254"), ("5€c", "cp1252"), ("a¿b", "cp1252"), ("Acme®x", "cp1252"),
    ],
)  # fmt: skip
def test_word_decoded_wrongly_looks_wrong(word: str, codec: str) -> None:
    """A word that was decoded in a wrong encoding looks right in no language."""
    assert languages_of(word, codec) == ()


def test_every_encoding_is_one_of_python() -> None:
    """Every encoding decodes, and each of its languages has letters in it."""
    for codec, languages in LANGUAGES.items():
        assert bytes(range(0x80, 0x100)).decode(codec, "replace")
        assert languages
