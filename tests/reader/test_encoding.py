"""Tests of finding out the encoding of a file."""

import codecs
import io
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from bulkupdate.errors import InputError, RunStoppedError
from bulkupdate.reader import Input
from bulkupdate.reader.encoding import Encoding, encoding_of
from bulkupdate.reader.guess import CODECS
from tests.support.fakes import SetAfter

#: Texts of the West that have one plausible reading.
WESTERN = [
    "Relancer Zoé", "Ça va être génial à Noël", "Jürgen Müller", "Grüße aus Zürich",
    "Llamar a Señor Núñez mañana ¿qué? ¡Hola!", "Reunião às João", "Ring til Søren på Ærø",
    "„Angebot“ senden für München", "Rappeler l’équipe à 9 h – « très urgent »",
]  # fmt: skip

#: Encodings with texts of too few words.
SHORT = [
    (("cp1252", "mac-roman"), (
        "Straße 5", "ÅÄÖ", "ÉCOLE", "Éric", "…weiter", "No. 5ª planta", "Œuvre", "ü", "5 € … ™",
        "più", "Don’t call Anna’s boss", "© 2026 Acme®", "È vero, perché", "naïve café", "språk",
        "ríxime", "skjønsemd", "Goñi",
    )),
    (("cp1252",), ("konar Þrælahald og þrælaverzlun",)),
    (("cp1251",), ("ДЕКЛАРАЦІЯ",)),
    (("cp850",), ("Vipperød", "Köln", "Grüße", "Noël", "São")),
    (("cp1250", "iso8859-2", "cp852"), (
        "Dvořák", "Jiří", "dům", "můj účet", "Bevezető", "člen", "Član", "Łódź", "të drejtën",
        "Kauzlarić",
    )),
    (("cp1254",), ("bankası", "Erdoğan", "kurtulmuş", "şeref", "İzmir")),
    (("cp1257",), ("Zālītefurt", "Narušis", "Tėvai", "į", "reliģijas")),
    (("cp1251", "koi8-r"), (
        "Позвонить", "ПРЕАМБУЛА", "ВСЕОБЩАЯ ДЕКЛАРАЦИЯ ПРАВ ЧЕЛОВЕКА", "привет", "и", "Ёлка",
    )),
    (("cp932",), ("電話", "山田")),
    (("gb18030",), ("洪磊", "刘瑜")),
    (("big5",), ("黃雅慧",)),
    (("cp949",), ("박영희", "김영식")),
]  # fmt: skip

#: Encodings with texts that are long enough to be certain.
OTHERS = [
    ("cp1250", "Zadzwoń do klienta i przedstaw ofertę na przyszły rok, proszę o odpowiedź"),
    ("cp1250", "Zavolat zákazníkovi kvůli smlouvě, příští týden předložit novou nabídku"),
    ("iso8859-2", "Zadzwoń do klienta w środę i wyślij ofertę, proszę o odpowiedź"),
    ("cp852", "Zavolat zákazníkovi kvůli smlouvě, příští týden předložit novou nabídku"),
    ("mac-latin2", "Zadzwoń do klienta i przedstaw ofertę na przyszły rok, proszę o odpowiedź"),
    ("cp1254", "Müşteriyi yarın arayıp yeni sözleşme için görüşme ayarlayın, teşekkürler"),
    ("cp1257", "Paskambinti klientui dėl sutarties ir išsiųsti naują pasiūlymą šią savaitę"),
    ("cp1251", "Позвонить клиенту завтра и обсудить новый договор"),
    ("koi8-r", "Позвонить клиенту завтра и обсудить новый договор"),
    ("cp850", "Rückruf vereinbaren und über die Verträge für nächstes Jahr sprechen"),
    ("cp932", "明日までにお客様へ電話してください。新しい契約について相談します"),
    ("gb18030", "请明天给客户打电话，讨论新的合同和价格问题"),
    ("cp950", "請明天打電話給客戶，討論新的合約和價格問題"),
    ("cp949", "내일 고객에게 전화해서 새로운 계약에 대해 이야기하십시오"),
]


def detected(text: bytes) -> Encoding:
    return encoding_of(io.BytesIO(text), None, "a.csv")


def file_of(*titles: str) -> str:
    return "id,title\n" + "".join(f"opp_{n},{title}\n" for n, title in enumerate(titles))


def refusal(content: bytes) -> str:
    with pytest.raises(InputError) as refused:
        detected(content)
    return str(refused.value)


@pytest.mark.parametrize("codec", ["cp1252", "mac-roman"])
@pytest.mark.parametrize("text", WESTERN)
def test_both_western_encodings_are_recognised(text: str, codec: str) -> None:
    """The reader tells Windows-1252 and Mac Roman apart by the words of a file."""
    content = file_of(text).encode(codec)
    assert content.decode(detected(content).codec) == file_of(text)


@pytest.mark.parametrize(("codec", "text"), OTHERS)
def test_other_encodings_are_read_where_certain(codec: str, text: str) -> None:
    """A file in another encoding is read if its text is certain."""
    content = file_of(text).encode(codec)
    found = detected(content)
    assert content.decode(found.codec) == file_of(text)
    assert found.examples


@pytest.mark.parametrize(
    ("codec", "text"),
    [(codec, text) for codecs, texts in SHORT for codec in codecs for text in texts],
)
def test_short_text_is_never_misread(codec: str, text: str) -> None:
    """A file with few words beyond ASCII is read right or refused, and the right text is named."""
    content = file_of(text).encode(codec)
    try:
        found = detected(content)
    except InputError as asked:
        assert "its encoding is not certain" in str(asked)  # noqa: PT017 - either is right
    else:
        assert content.decode(found.codec) == file_of(text)


def test_refusal_shows_the_words_that_differ_first() -> None:
    """The message that asks has each reading, its differing words before those that are alike."""
    message = refusal(file_of("Müller", "Kovařík").encode("cp1250"))
    assert message.startswith("a.csv: is not UTF-8, and its encoding is not certain: set encoding")
    assert "encoding cp1250 (which reads 'Kovařík', 'Müller')" in message
    assert message.endswith("or save it as UTF-8")


@pytest.mark.parametrize(
    ("codec", "text"), [("cp1253", "Καλημέρα κόσμε"), ("cp1255", "שלום עולם"), ("cp866", "Привет")]
)
def test_rare_encodings_are_named_only(codec: str, text: str) -> None:
    """A file in an encoding that few people have is refused, and the message names it."""
    assert f"encoding {codec} (which reads {text.split()[0]!r}" in refusal(
        file_of(text).encode(codec)
    )


def test_examples_begin_with_what_reads_otherwise() -> None:
    """The words that are shown of a guess are first those that another encoding reads otherwise."""
    same = ["Müller", "Köln", "Jürgen", "Größe"]
    content = file_of(*same, "Zadzwoń do Łukasza", "Święty i źle", "proszę zapłać").encode("cp1250")
    found = detected(content)
    assert found.codec == "cp1250"
    assert not set(found.examples[:2]) & set(same)


def test_encoding_is_judged_from_whole_file() -> None:
    """The reader judges the encoding from the whole file and not only its beginning."""
    start = b"id,title\n" + b"opp_1,plain words\n" * 200_000
    assert detected(start + "opp_2,Zoé\n".encode()).codec == "utf-8"
    assert detected(start + "opp_2,Zoé\n".encode("cp1252")).codec == "cp1252"
    broken = detected(start + "opp_2,Zoé\n".encode() + "opp_2,Zoé\n".encode("cp1252"))
    assert (broken.codec, broken.is_clean) == ("utf-8", False)


def test_sign_beyond_the_judged_words_counts() -> None:
    """A character that comes up only after hundreds of other words is judged too."""
    stems = (
        "form",
        "part",
        "cid",
        "clar",
        "mand",
        "port",
        "serv",
        "test",
        "tir",
        "vis",
        "pos",
        "fin",
    )
    ends = ("er", "é", "ée", "és", "ées", "ons", "ez", "ant", "ait", "aient", "erons", "eront", "a")
    words = [
        start + stem + end for start in ("dé", "ré", "pré", "é") for stem in stems for end in ends
    ]
    assert len(words) > 600
    assert detected(file_of(*words).encode("iso8859-15")).codec == "cp1252"
    content = file_of(*words, "cœur").encode("iso8859-15")
    assert content.decode(detected(content).codec).endswith("cœur\n")


@pytest.mark.parametrize(
    "titles",
    [
        ["Müller anrufen", "Angebot für Köln", "Viel Spaß…"],
        ["Größe prüfen", "Zürich", "schöne Grüße", "„Angebot“", "Spaß…"],
    ],
)
def test_word_that_is_utf8_by_chance_changes_nothing(titles: list[str]) -> None:
    """One word of another encoding that happens to be UTF-8 does not make the file UTF-8."""
    content = file_of(*titles).encode("cp1252")
    assert content.decode(detected(content).codec) == file_of(*titles)


def test_file_that_is_utf8_by_chance_is_asked_about() -> None:
    """A file in Mac Roman whose every word is UTF-8 by chance is not taken for either."""
    titles = ["Rappeler l’école", "Appeler l’équipe", "Voir l’état", "Demander l’âge"]
    content = file_of(*titles).encode("mac-roman")
    content.decode()
    with pytest.raises(InputError, match="is UTF-8, perhaps by chance") as asked:
        detected(content)
    assert "encoding mac-roman (which reads 'l’âge', 'l’école'" in str(asked.value)
    assert "encoding utf-8 (which reads 'lՉge'" in str(asked.value)


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        (Encoding("utf-8", is_clean=True), b""),
        (Encoding("utf-8", codecs.BOM_UTF8, is_clean=True), codecs.BOM_UTF8),
        (Encoding("utf-8"), codecs.BOM_UTF8),
        (Encoding("utf-16-le", is_clean=True), codecs.BOM_UTF16_LE),
        (Encoding("cp1252", is_clean=True), b""),
    ],
)
def test_short_file_has_a_mark_where_it_could_be_misread(encoding: Encoding, mark: bytes) -> None:
    """Only UTF-8 that is clean needs no byte order mark to be recognised in a few lines."""
    assert encoding.safe_mark == mark


def test_letter_of_no_common_language_is_no_sure_utf8() -> None:
    """Two characters of Windows-1252 that are one rare letter in UTF-8 are asked about."""
    content = file_of("BÆ’").encode("cp1252")
    assert content.decode() == file_of("Bƒ")
    with pytest.raises(InputError, match="is UTF-8, perhaps by chance"):
        detected(content)


@pytest.mark.parametrize(
    "text",
    [
        "Բարեւ",
        "Zoe\u0301",
        "naïve ʎ",
        "Ω5",
        "Zoë, Αθήνα",
        "ǎ ǐ",
        "Ștefan",
        "Əli",
        "Aµ",
        "Ȝ",
        "aԱ",
        "мир",
        "№",
    ],
)
def test_any_script_in_utf8_stays_utf8(text: str) -> None:
    """UTF-8 of any script is UTF-8, letters with combining accents too."""
    assert detected(file_of(text).encode()) == Encoding("utf-8", is_clean=True)


@pytest.mark.parametrize("word", ["ООО", "ЖЖЖЖ"])
def test_repeated_letters_are_sure_utf8(tmp_path: Path, word: str) -> None:
    """They begin the name of a Russian company. Only a pair of letters may be one of Chinese."""
    path = tmp_path / "a.csv"
    path.write_text(f"id,title\nopp_1,{word}\nopp_2,call\n")
    with Input.open(path) as source:
        assert [row.update.title for row in source.rows() if row.update] == [word, "call"]


def test_utf8_with_a_few_damaged_words_stays_utf8() -> None:
    """A few bytes that can't be decoded do not make a UTF-8 file anything else."""
    content = file_of("Zoé", "Jürgen", "Søren").encode() + b"opp_9,Zo\xe9\n"
    assert detected(content) == Encoding("utf-8")


def test_two_encodings_in_one_file_are_refused() -> None:
    """A file whose words are partly UTF-8, and mostly not, is refused with both."""
    content = file_of("Müller", "Köln", "Größe", "Jürgen").encode("cp1252")
    message = refusal(content + "opp_9,Zoé\n".encode())
    assert "a.csv: is UTF-8 in part ('Zoé') and in part not" in message


def test_one_word_of_utf8_is_never_sent_as_two_letters() -> None:
    """One word of UTF-8 among many of another encoding refuses the file."""
    words = ["Müller", "Köln", "Größe", "Jürgen", "Grüße", "schön", "Straße", "früh", "für", "süß",
             "Zürich", "über", "Bücher", "möglich", "Länder", "Kündigung"]  # fmt: skip
    content = file_of(*words).encode("cp1252")
    assert detected(content).codec == "cp1252"
    assert "is UTF-8 in part ('Zoé')" in refusal(content + "opp_99,Zoé\n".encode())


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [
        "id,title\r\nopp_1,Zoé\r\n", '"id","title"\n"opp_1","Позвонить Анне"\n', "x\n",
        "id;τίτλος\nopp_1;Καλημέρα\n", "id,заголовок\nа,б\n", "id,title\na,“x” …\n",
        "id\ttitle\nopp_1\t明日までにお客様へ電話\n", "编号,标题\n一,请明天给客户打电话\n",
        "id\n" + "日" * 3000 + "\n", "id,title\na,😀\n",
    ],
)  # fmt: skip
def test_utf16_without_a_mark_is_told_by_its_signs(text: str, codec: str) -> None:
    """UTF-16 without a byte order mark is recognised in every script."""
    assert detected(text.encode(codec)).codec == codec


@pytest.mark.parametrize(
    "content",
    [
        "id,title\na,\0\n".encode("utf-16-le"),
        b"PK\0\0id,title\n",
        b"id,title\na,\0b\0c\n",
        b"\0" * 64,
    ],
)
def test_binary_file_is_no_utf16(content: bytes) -> None:
    """A file with NULs that are no text in either kind of UTF-16 is refused."""
    assert "is not a text file" in refusal(content)


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_header_of_failed_file_names_any_encoding(codec: str) -> None:
    """The header of a failed file names its encoding, whichever was guessed."""
    if codec == "euc_jis_2004":
        return  # It is never guessed.
    header = f"id,title,bulkupdate_encoding={codec}\n".encode()
    assert detected(header + b"a,\xb0\xa1\xb0\xa1,\n").codec == codec


def test_only_header_names_failed_file_encoding() -> None:
    """The header of a failed file names its encoding, and the same words in a row do not."""
    header = b"id,title,bulkupdate_encoding=mac-roman\n"
    assert detected(header + "a,Éric,\n".encode("mac-roman")).codec == "mac-roman"
    other = b"id,title\na,x\nb,bulkupdate_encoding=mac-roman\nc,Zo\xe9\n"
    assert detected(other).codec == "cp1252"


def test_utf8_file_never_imports_chardet() -> None:
    """A check of a UTF-8 file does not import chardet."""
    program = (
        "import io, sys; from bulkupdate.reader.encoding import encoding_of;"
        "encoding_of(io.BytesIO('id,title\\na,Zoé\\n'.encode()), None, 'a'); "
        "sys.exit('chardet' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


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


def test_late_nul_byte_refuses_the_file() -> None:
    """A NUL far into a file refuses the file as not text."""
    with pytest.raises(InputError, match="is not a text file"):
        detected(b"id,title\n" + b"opp_1,plain words\n" * 200_000 + b"a,\0\n")


def test_long_word_takes_no_extra_time() -> None:
    """A long run of characters without a blank takes less than two seconds to judge."""
    text = b"id,title\nopp_1," + b"x" * 900_000 + b" Zo\xe9\n"
    begin = time.process_time()
    assert detected(text).codec == "cp1252"
    assert time.process_time() - begin < 2


def test_search_for_an_encoding_obeys_the_stop(tmp_path: Path) -> None:
    """A long file in another encoding is not searched to its end after a stop."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,title\n" + b"opp_1,M\xfcller\n" * 400_000)
    stop = SetAfter(2)
    with pytest.raises(RunStoppedError):
        Input.open(path, stop=stop)
    assert stop.looks < 0


@pytest.mark.slow
def test_words_are_judged_in_little_memory() -> None:
    """However many words a file has, few of them are kept."""
    content = file_of(*(f"déjà{number}" for number in range(4_000))).encode("cp1252")
    detected(content)  # What is imported for it stays.
    tracemalloc.start()
    try:
        detected(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_very_long_line_ends_the_search(tmp_path: Path) -> None:
    """A line of many megabytes is refused before its encoding is sought."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,title\nopp_1," + b"M\xfcller " * 1_000_000)
    with pytest.raises(InputError, match="longer than 1,048,576 bytes: is this a text file"):
        Input.open(path)


@pytest.mark.parametrize(
    "title",
    [
        *("IT部", "HR部", "TEL済", "A轮", "SMMщик", "ITшник", "Cрочно", "Aкт", "Aישראל", "ABΓ"),
        *("ΔT", "TNFα", "Сall", "CRMα", "Aθήνα", "IT팀", "ไทยland", "PRша", "ITР"),
    ],
)
def test_word_of_two_scripts_is_utf8(tmp_path: Path, title: str) -> None:
    """A file whose only word beyond ASCII mixes two scripts is UTF-8, as its bytes are."""
    path = tmp_path / "a.csv"
    path.write_text(f"id,title\nopp_1,Call back\nopp_2,{title}\n", encoding="utf-8")
    with Input.open(path) as source:
        *_, row = source.rows()
        assert row.update is not None
        assert row.update.title == title


def test_sure_word_behind_a_doubtful_one_makes_a_file_utf8(tmp_path: Path) -> None:
    """Each word counts, not only the first one."""
    path = tmp_path / "a.csv"
    path.write_text("id,title\nopp_2,HRק ITшник\n", encoding="utf-8")
    with Input.open(path) as source:
        (row,) = source.rows()
        assert row.update is not None
        assert row.update.title == "HRק ITшник"


@pytest.mark.parametrize("title", ["HRק", "HRքո", "הCRM", "l’école".encode("mac-roman").decode()])
def test_valid_utf8_is_never_read_otherwise(tmp_path: Path, title: str) -> None:
    """What decodes as UTF-8 is read so, or the user is asked."""
    path = tmp_path / "a.csv"
    path.write_text(f"id,title\nopp_2,{title}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"is UTF-8, perhaps by chance.*encoding utf-8"):
        Input.open(path)
