"""Tests of workbooks of Excel 97 to 2003: each cell is what a person sees, or is refused."""

import io
import struct
from typing import Any

import pytest
import xlwt

from tests.support.books import cells, read


def saved(book: xlwt.Workbook) -> bytes:
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def sheet_of(*rows: list[Any], codes: dict[tuple[int, int], str] | None = None) -> xlwt.Workbook:
    """A workbook with these values, in these number formats."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("Edits")
    for number, values in enumerate(rows):
        for column, value in enumerate(values):
            code = (codes or {}).get((number, column), "General")
            if value is not None:
                sheet.write(number, column, value, xlwt.easyxf(num_format_str=code))
    return book


def test_number_formats_are_seen() -> None:
    """A number shows as its format says, and is a date by its format."""
    codes = {(0, 0): "00000000", (0, 1): "0%", (0, 2): "[h]:mm", (0, 3): "DD/MM/YYYY HH:MM",
             (0, 4): '"usr_"@'}  # fmt: skip
    padded, percent, time, date, text, plain = cells(
        saved(sheet_of([123, 0.5, 1.5, 46357.375, "42", 7], codes=codes))
    )[0]
    assert padded == {
        "number": 123.0,
        "shown": "shows as '00000123' by its number format",
        "is_same": True,
    }
    assert percent == {
        "number": 0.5,
        "shown": "shows as '50%' by its number format",
        "is_same": False,
    }
    assert (time, date) == ({"time": "36:00:00"}, {"date": "2026-12-01T09:00:00"})
    assert "shows as 'usr_42'" in text["wrong"]
    assert plain == 7


def test_merged_cells_are_reported() -> None:
    """The facts hold each merged cell by its corners."""
    book = sheet_of(["id"], ["a", None, 5])
    book.get_sheet(0).write_merge(1, 2, 1, 1, "x")
    facts, _ = read(saved(book))
    assert facts["merged"] == [(2, 2, 3, 2)]


def test_error_and_formula_are_wrong() -> None:
    """An error cell is wrong with its text; a formula that may not be computed is wrong too."""
    book = sheet_of(["id"])
    sheet = book.get_sheet(0)
    sheet.row(1).set_cell_error(0, 0x2A)
    sheet.write(1, 1, xlwt.Formula("1+1"))
    error, formula = cells(saved(book))[1]
    assert error == {"wrong": "is what a spreadsheet shows for an error: fix the cell",
                     "text": "#N/A"}  # fmt: skip
    assert "stand for a formula that no program has computed" in formula["wrong"]


def test_stored_zero_of_a_formula_is_wrong() -> None:
    """A formula with the value 0 is wrong: Perl's writer stores it where it computes nothing."""
    book = sheet_of(["id"])
    book.get_sheet(0).write(1, 0, xlwt.Formula("1+1"))
    content = saved(book)
    empty = struct.pack("<Q", 0xFFFF000000000003)
    assert content.count(empty) == 1
    zero = read(content.replace(empty, bytes(8)))[1]
    assert "may stand for" in zero[1][1][0]["wrong"]
    two = cells(content.replace(empty, struct.pack("<d", 2.0)))
    assert two == [["id"], [2.0]]


def test_emoji_over_the_end_of_a_record_is_whole() -> None:
    """An emoji whose halves stand in two records is one character."""
    for length in range(4_080, 4_120):
        text = "ü" * length + "\U0001f600" * 3
        assert cells(saved(sheet_of(["id"], [text]))) == [["id"], [text]]


def test_sheets_are_chosen_as_in_other_formats() -> None:
    """The only visible sheet with cells is read; several are refused with their names."""
    book = sheet_of(["a"])
    book.add_sheet("Empty")
    hidden = book.add_sheet("More")
    hidden.write(0, 0, "b")
    assert "choose one with {sheet}: 'Edits', 'More'" in read(saved(book))[0]["error"]
    hidden.visibility = 1
    assert read(saved(book))[1] == [[1, ["a"]]]
    assert read(saved(book), "More")[1] == [[1, ["b"]]]
    book.get_sheet(0).visibility = 1
    assert (
        "only on hidden sheets: choose one with {sheet}: 'Edits', 'More'"
        in (read(saved(book))[0]["error"])
    )
    assert "there is no sheet 'x'" in read(saved(book), "x")[0]["error"]


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("EncryptedPackage", "is locked by a password: save it without one"),
        ("WordDocument", "can't be read as a spreadsheet: it is another kind of document"),
    ],
)
def test_other_document_is_refused_by_what_it_is(stream: str, message: str) -> None:
    """A locked .xlsx, which looks like an .xls from outside, and a text are refused."""
    content = saved(sheet_of(["id"]))
    name = "Workbook".encode("utf-16-le")
    at = content.index(name)
    entry = stream.encode("utf-16-le")
    other = content[:at] + entry + bytes(64 - len(entry)) + b"\x22\0" + content[at + 66 :]
    assert read(other)[0]["error"] == message


def test_locked_workbook_is_named() -> None:
    """A workbook with a record of encryption is refused as locked."""
    content = saved(sheet_of(["id"]))
    # The code page's record becomes the one of a password.
    assert content.count(b"\x42\0\2\0\xb0\4") == 1
    locked = content.replace(b"\x42\0\2\0\xb0\4", b"\x2f\0\2\0\1\0")
    assert read(locked)[0]["error"] == "is locked by a password: save it without one"
