"""Tests of the meaning of cells."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bulkupdate import fields
from bulkupdate.reader import artefacts
from bulkupdate.reader import cells as cells_module
from bulkupdate.reader.cells import CellReader, Values
from bulkupdate.reader.columns import Naming
from bulkupdate.reader.options import ReadOptions

HEADER = ("id", "assignedTo", "dueDate", "title", "message", "priority", "done", "bulkupdate_row")

DAYS = ("today", "tomorrow")

CELLS = st.one_of(
    st.sampled_from([
        "", " ", "\t", "a", " a ", "a b", "é", "opp_1", "1a", "-", "_id", "<clear>", " <CLEAR> ",
        "NaN", "null", "None", "n/a",
        "<x", "0", "2", "3", "low", " High", "none", "yes", "No", "true", "1", "x\u2028y", "\x00",
        "2026-01-31T07:58:00Z", "2026-01-31T07:58:00.000Z", "2026-01-31T07:58:00.123Z",
        "2026-01-31T24:00:00.000Z", "2026-13-31T07:58:00.000Z", "2026-01-31T07:58:00,000Z",
        "2026-W05-6T07:58:00.000Z", "2026-01-31t07:58:00.000Z", "2026-01-31T08:58:00.000+01:00",
        "2026-01-31", "2026-01-31T07:58", "0000-01-31T07:58:00.000Z", "9999-12-31T23:59:59.999Z",
    ]),
    st.text(max_size=12).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)),
)  # fmt: skip


def reader_of(header: tuple[str, ...]) -> CellReader:
    layout, problems = Naming(ReadOptions()).layout(header)
    assert problems == []
    return CellReader(layout, Values(ReadOptions(), datetime.now(UTC)), {})


def plainly(row: list[str]) -> dict[str, Any] | None:
    """The edit of a row by the rules of its fields alone; None if the row is wrong."""
    found: dict[str, Any] = {}
    for name, cell in zip(HEADER, row, strict=True):
        word = cell.strip()
        if not word or name == "bulkupdate_row":
            continue
        rule = fields.RULES[name]
        if artefacts.error(word) or artefacts.missing(
            word, is_id=name in fields.IDS, is_text=rule is fields.text
        ):
            return None
        try:
            is_clear = word.lower() == "<clear>" and name in fields.CLEARABLE
            found[name] = "" if is_clear else rule(cell)
        except ValueError:
            return None
    return found if "id" in found and found["id"].lower() != "<clear>" else None


@given(st.lists(CELLS, min_size=8, max_size=8))
@example(["opp_1", "usr", "", "", "", "", "", "x"])
def test_row_follows_rules_of_its_fields(row: list[str]) -> None:
    # Other forms of dates, and the clear token in other fields, have tests of their own.
    """A row becomes the edit that the rules of its fields give, or is invalid."""
    assume(not row[2].strip().startswith("+") and row[2].strip().lower() not in DAYS)
    assume(not any(row[n].strip().lower() == "<clear>" for n in (1, 2, 6)))
    assume(not any(cell.strip().startswith(('="', '"')) or "\ufffd" in cell for cell in row))
    reader = reader_of(HEADER)
    read = reader.row(1, 2, row)
    assert (read is None) == bool(reader.problems(row))
    update = read.update if read is not None else None
    expected = plainly(row)
    assert (update is None) == (expected is None)
    if update is not None and expected is not None:
        assert {"id": update.id, **update.changes()} == expected
        assert read is not None
        assert sorted(read.shape) == sorted(update.shape())


@pytest.mark.parametrize(
    "word",
    [
        *("NA", "undefined", "(null)", "nil", "NULL", "NaN", r"\N", "<nil>", "[object Object]"),
        *("System.Object[]", "(blank)", "Loading...", "&nbsp;", '""'),
    ],
)
@pytest.mark.parametrize("field", ["assignedTo", "title", "message", "priority", "done", "dueDate"])
def test_missing_value_of_a_program_is_no_value(word: str, field: str) -> None:
    """What a program writes for a missing value makes the row invalid, in any field."""
    (problem,) = reader_of(("id", field)).problems(["opp_1", word])
    assert "how a program writes a missing value: leave the cell blank" in problem.message


@pytest.mark.parametrize(
    "cell", ["\u200b", "\ufeff\u200b", "\u00ad", " \u2800 ", "\u3164", "\u200e"]
)
@pytest.mark.parametrize("field", ["assignedTo", "title", "message", "priority", "done", "dueDate"])
def test_cell_that_shows_nothing_is_blank(cell: str, field: str) -> None:
    """What a web page leaves in an empty cell overwrites nothing. A text may hold such signs."""
    row = reader_of(("id", field)).row(1, 2, ["opp_1", cell])
    assert row is not None
    assert row.update is not None
    assert row.update.changes() == {}
    row = reader_of(("id", "title")).row(1, 2, ["opp_1", f"a{cell}b"])
    assert row is not None
    assert row.update is not None
    assert row.update.changes() == {"title": f"a{cell}b"}


@pytest.mark.parametrize("cell", ["< clear >", "<Clear>.", "<CLEAR> ;", "<cle ar>"])
def test_cell_that_is_nearly_the_word_for_empty_is_refused(cell: str) -> None:
    """It was to empty the field, and would be a title."""
    (problem,) = reader_of(("id", "title")).problems(["opp_1", cell])
    assert problem.message == "is nearly <clear>: write <clear> to empty the field"


@pytest.mark.parametrize(
    ("name", "cell", "title"),
    [
        (" title", " Call  Ben ", "Call  Ben "),
        ("title  ", " Call Ben   ", " Call Ben"),
        (" title ", " Call Ben ", "Call Ben"),
        (" title ", " Call\n\nBen\n ", "Call\n\nBen\n"),
        ("title", " Call Ben ", " Call Ben "),
    ],
)
def test_padding_of_a_column_is_no_text(name: str, cell: str, title: str) -> None:
    """Blanks beside the name of a column are there in its cells too, and nobody means them."""
    row = reader_of(("id", name)).row(1, 2, ["opp_1", cell])
    assert row is not None
    assert row.update is not None
    assert row.update.changes() == {"title": title}


@pytest.mark.parametrize(
    "word", ["none", "None", " NONE ", "null", "N/A", "NaN", "<NA>", r"\N", "undefined", "nil"]
)
@pytest.mark.parametrize("field", ["id", "assignedTo"])
def test_missing_value_of_a_program_is_no_id(word: str, field: str) -> None:
    """An id or a user that a program writes for a missing value makes the row invalid."""
    reader = reader_of(("id", "assignedTo"))
    cells = [word, "usr_1"] if field == "id" else ["opp_1", word]
    assert reader.row(1, 2, cells) is None
    (problem,) = reader.problems(cells)
    assert problem.field == field
    cure = "enter the id" if field == "id" else "leave the cell blank"
    assert f"how a program writes a missing value: {cure}" in problem.message


@pytest.mark.parametrize(
    "word",
    [
        *("#N/A", " #ref!", "#VALUE! 5", "#DIV/0!", "#spill!", "#CALC!", "#DIV/0 !", "########"),
        *("#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "Fehler:502", "Fehler:522"),
        *(
            "#VALEUR\u00a0!",
            "#NOM\u202f?",
            "#VALEUR!",
            "#NOM?",
            "#N/D",
            "#¡VALOR!",
            "#¿NOMBRE?",
            "#VALORE!",
            "#RIF!",
            "#NÚM!",
        ),
        *("#WAARDE!", "#NAAM?", "#VÆRDI!", "#I/T", "#VÄRDEFEL!", "#SAKNAS!", "#ARVO!", "Virhe:502"),
        *(
            "#ARG!",
            "#ADR!",
            "#HODNOTA!",
            "#ÉRTÉK!",
            "#HIÁNYZIK",
            "#ЗНАЧ!",
            "#Н/Д",
            "#YOK",
            "#DEĞER!",
        ),
        *("Err:502", "Err :508", "Erro:504", "#ERROR!", "#GETTING_DATA"),
        *("Erreur:502", "Błąd:502", "Ошибка:502", "Помилка:502", "エラー:502", "Σφάλμα:502"),
        *("Greška:508", "Грешка:502", "Eroare:504", "Kļūda:502", "Klaida:502", "Napaka:502"),
        *("Err\u00a0:502", "Err\u202f:508", "Err : 502", "Помилка : 502"),
        *("Viga:502", "שגיאה:502", "오류:502", "错误:522", "錯誤：502"),
    ],
)
def test_error_of_a_spreadsheet_is_no_value(word: str) -> None:
    """A cell that shows where a formula failed makes the row invalid, in any field."""
    for field in ("title", "assignedTo", "priority"):
        (problem,) = reader_of(("id", field)).problems(["opp_1", word])
        assert "is what a spreadsheet shows for an error" in problem.message


@pytest.mark.parametrize(
    "word",
    [
        *("#", "#1 lead", "#N/A/B", "call #3", "N/A in May", "#CALC", "#urgent!", "#busy", "##"),
        *(
            "Room:502",
            "Err:502 again",
            "Error 502",
            "Fehler:12",
            "Nathan",
            "undefined term",
            "na",
            "Na",
            "Nan",
            "Nat",
            "Nil",
        ),
    ],
)
def test_other_text_with_a_hash_is_a_value(word: str) -> None:
    """A text may begin with a hash, or hold the words of an error."""
    row = reader_of(("id", "title")).row(1, 2, ["opp_1", word])
    assert row is not None
    assert row.update is not None
    assert row.update.title == word


def test_none_is_a_text_and_a_priority() -> None:
    """The word none is an ordinary title, and as a priority it clears the field."""
    row = reader_of(("id", "title", "priority")).row(1, 2, ["opp_1", "none", "none"])
    assert row is not None
    assert row.update is not None
    assert row.update.changes() == {"title": "none", "priority": ""}


def test_remembered_cells_stay_bounded_and_correct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader remembers a bounded number of cells and still reads each correctly."""
    monkeypatch.setattr(cells_module, "_REMEMBERED", 3)
    reader = reader_of(("id", "assignedTo"))
    for number in [*range(10), *range(10)]:
        row = reader.row(1, 2, [f"opp_{number}", f" usr_{number} "])
        assert row is not None
        assert row.update is not None
        assert (row.id, row.update.assigned_to) == (f"opp_{number}", f"usr_{number}")
    assert [len(memory) <= 3 for _, _, memory in reader._others] == [True]


@pytest.mark.parametrize("cell", ["<clear>", " <CLEAR> "])
def test_row_that_clears_has_the_shape_of_its_update(cell: str) -> None:
    """A row that empties a field says so, so that the preview counts it."""
    reader = reader_of(("id", "title", "priority"))
    for number in (1, 2):
        row = reader.row(number, number + 1, ["opp_1", cell, "none"])
        assert row is not None
        assert row.update is not None
        assert set(row.shape) == set(row.update.shape()) == {"id", "-title", "-priority"}


@pytest.mark.parametrize(
    "word", [*sorted(artefacts._MISSING), "erreur: 502", "Err: 502", "Ошибка: 502", "σφάλμα: 502"]
)
def test_no_word_of_a_program_is_taken_for_a_plain_text(word: str) -> None:
    """The quick look at a text lets none of them pass, however long it is and whatever ends it."""
    assert reader_of(("id", "title")).row(1, 2, ["opp_1", word]) is None


@pytest.mark.parametrize("token", ["leave it empty", "Leave Empty"])
def test_clear_token_is_no_plain_text(token: str) -> None:
    """A clear token that ends with a letter empties the field, in any case of its letters."""
    layout, _ = Naming(ReadOptions(clear_token=token)).layout(("id", "title"))
    reader = CellReader(layout, Values(ReadOptions(clear_token=token), datetime.now(UTC)), {})
    row = reader.row(1, 2, ["opp_1", token.upper()[0] + token[1:]])
    assert row is not None
    assert row.update is not None
    assert row.update.title == ""
