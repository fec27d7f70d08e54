# ruff: noqa: RUF001 - some of the names are Greek or Russian
"""What other programs write where a cell has no value, or where its formula failed."""

import re
from unicodedata import category

#: What spreadsheets show for an error, without the sign before it and the mark after it. The names
#: are those of Excel, LibreOffice and Google Sheets, in the languages they come in.
_ERRORS = """
NULL NUL NULLO NULO LEEG SKÄRNING TYHJÄ ZERO NULLA ПУСТО BOŞ ΚΕΝΟ
DIV/0 DEEL/0 DIVISION/0 JAKO/0 DZIEL/0 ZÉRÓOSZTÓ ДЕЛ/0 SAYI/0 ΔΙΑΙΡ/0 DIVISJON/0 DĚLENÍ/0
VALUE WERT VALEUR VALOR VALORE WAARDE VÆRDI VÄRDEFEL VERDI ARVO ARG HODNOTA ÉRTÉK ЗНАЧ
DEĞER ΤΙΜΗ VALOARE
ПОСИЛАННЯ ДІЛ/0 ІМ'Я ІМ’Я ЗНАЧЕННЯ ЧИСЛО Н/Д
REF BEZUG RIF VERW REFERENCE REFERENS VIITTAUS ADR ODKAZ HIV ССЫЛКА BAŞV ΑΝΑΦ
NAME NOM NOMBRE NOME NAAM NAVN NAMN NIMI NAZWA NÁZEV NÁZOV NÉV ИМЯ AD ΟΝΟΜΑ
NUM ZAHL NÚM GETAL OGILTIGT LUKU LICZBA ČÍSLO SZÁM ЧИСЛО SAYI ΑΡΙΘ
N/A N/D N/B NV NA I/T SAKNAS PUUTTUU HIÁNYZIK Н/Д YOK Δ/Υ NENÍ_K_DISPOZICI
SPILL ÜBERLAUF PROPAGATION DESBORDAMIENTO ESPANSIONE DESPEJAR OVERLOOP OVERLØB ROZLANIE
CALC KALK FIELD FELD CHAMP CAMPO BLOCKED BLOCKIERT BLOQUÉ CONNECT VERBINDEN UNKNOWN
UNBEKANNT BUSY EXTERNAL PYTHON TIMEOUT GETTING_DATA DATEN_ABRUFEN ERROR ERR FEHLER ERREUR
"""
_ERROR_NAMES = frozenset(_ERRORS.split())

#: Those that are shown without a mark. Any other word behind a # may be a text of its own.
_NO_MARK = "N/A N/D N/B I/T Н/Д Δ/Υ NV NA YOK HIÁNYZIK NENÍ_K_DISPOZICI GETTING_DATA DATEN_ABRUFEN"
_UNMARKED = frozenset(_NO_MARK.split())

_MARKED = re.compile(r"#[¡¿]?([\w/'’]+)\s?([!?]?)")
#: LibreOffice and OpenOffice write most errors as a word and a number.
_NUMBERED = re.compile(
    r"(?:err|error|erro|errore|erreur|fehler|fout|fel|fejl|feil|virhe"
    r"|błąd|chyba|hiba|ошибка|помилка|грешка|hata|napaka|greška|klaida|kļūda|viga|eroare|σφάλμα"
    r"|שגיאה|エラー|오류|错误|錯誤)\s?[:：]\s?5\d\d",
    re.IGNORECASE,
)
#: A number that is wider than its column.
_TOO_WIDE = re.compile(r"#{3,}")

#: Texts for a missing value, as programs write them: pandas, R, databases, JavaScript and others.
#: `na` is a word of many languages, and `Nan`, `Nat` and `Nil` are names.
_MISSING = frozenset(
    {
        *("nan", "NaN", "NAN", "NaT", "NA", "<NA>", "null", "NULL", "Null", "nil", "NIL", "<nil>"),
        *("(null)", "(NULL)", "<null>", "<NULL>", "[null]", "[NULL]", "\\N", "undefined"),
        *("#null", "#NULL", "1.#QNAN", "-1.#IND", "(none)", "<none>"),
        # JavaScript, PowerShell, pivot tables, formulas that are not done, HTML, CSV in CSV.
        *("[object Object]", "System.Object[]", "System.String[]", "(blank)", "Loading..."),
        *("Loading…", "&nbsp;", '""'),
    }
)
#: Texts that can't be an id, though they may be a title.
_NO_ID = frozenset(
    {word.lower() for word in _MISSING}
    | {"none", "n/a", "n.a.", "false", "true", "unknown", "empty", "blank"}
)

#: Length of the longest of these texts that begin with a letter, in characters.
LONGEST = 15

#: Length of the longest of them that end with a letter too.
LONGEST_WORD = 9

#: Letters that show nothing: Braille without dots, and the fillers of Korean.
_EMPTY = "\u2800\u115f\u1160\u3164\uffa0"


def error(word: str) -> str:
    """The problem of a cell in which a spreadsheet shows an error; "" for other texts.

    Args:
        word: the text of the cell, without blanks around it.
    """
    if word[0] == "#":
        first = word.split(maxsplit=1)[0]
        if _is_error(word) or _is_error(first) or _TOO_WIDE.fullmatch(word):
            return "is what a spreadsheet shows for an error: fix the cell"
    elif word[-1].isdigit() and len(word) <= LONGEST and _NUMBERED.fullmatch(word):
        return "is what a spreadsheet shows for an error: fix the cell"
    return ""


def _is_error(word: str) -> bool:
    found = _MARKED.fullmatch(word)
    if not found:
        return False
    name, mark = found.groups()
    return name.upper() in _ERROR_NAMES and (bool(mark) or name in _UNMARKED)


def is_invisible(word: str) -> bool:
    """Whether a text shows nothing, as a zero-width space from a web page.

    Args:
        word: the text, without blanks around it.
    """
    return all(c in _EMPTY or c.isspace() or category(c) in ("Cf", "Mn") for c in word)


def missing(word: str, *, is_id: bool, is_text: bool = False) -> str:
    """The problem of a text that stands for a missing value; "" for other texts.

    Args:
        word: the text of the cell, without blanks around it.
        is_id: whether the cell is to hold an id.
        is_text: whether it is to hold a text. `none` may be one, but `None` is Python's.
    """
    if len(word) > LONGEST:
        return ""
    is_python = is_text and word == "None"
    is_no_id = is_id and word.lower() in _NO_ID
    if is_python or is_no_id or word in _MISSING:
        return "is how a program writes a missing value"
    return ""
