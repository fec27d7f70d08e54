"""Tests of workbooks that are written: what is in a cell reads back as the same text."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkupdate.reader import file_lines, write_book
from tests.reader.test_corpus import CORPUS
from tests.support.books import cells, read

#: Texts that a spreadsheet, or a library, may take for something else.
TRAPS = ("_x000D_", "\r", "\r\n", " a ", "\n", "=1+1", "{=1}", "0000123", "http://x.de", "1",
         "#N/A", "<clear>", "_x0041", "_x005F_", "internal:x", "\t", "1E5", "TRUE",
         "_x005F_x0041_", "_x0041_x0042_x0043_", "<r>a & b</r>", "<r>", "_x_x0041_")  # fmt: skip
CELL = st.sampled_from(TRAPS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), max_size=12
)


def written(*rows: list[str], sheet: str = "Edits") -> bytes:
    target = io.BytesIO()
    write_book(target, sheet, rows)
    return target.getvalue()


@settings(max_examples=60)
@given(st.lists(st.lists(CELL, min_size=1, max_size=3), max_size=3))
def test_any_text_reads_back(rows: list[list[str]]) -> None:
    """Any text in a cell reads back as the same text."""
    found = cells(written(["id", "title", "message"], *rows))
    full = [list(row) for row in rows]
    for row in full:
        while row and not row[-1]:
            row.pop()
    assert found[1:] == [row for row in full if row]


def test_text_that_no_cell_can_hold_stays_wrong() -> None:
    """A text that the format can't hold becomes a cell that is wrong, and not another text."""
    [[_, long, odd]] = cells(written(["a", "b" * 32_768, "\uffff"]))
    assert long.startswith("#VALUE! (a text of 32,768 characters")
    assert odd == "\ufffd"


def test_limit_of_a_text_counts_an_emoji_twice() -> None:
    """A text of emoji is whole up to the limit, and wrong beyond it; it is never cut."""
    longest = "\U0001f600" * 16_383 + "a"
    assert cells(written(["a", longest])) == [["a", longest]]
    [[_, long]] = cells(written(["a", f"{longest}b"]))
    assert long.startswith("#VALUE! (a text of 32,768 characters")


def test_cell_beyond_the_sheet_is_an_error() -> None:
    """A row that is wider than a sheet is an error, and is not cut."""
    with pytest.raises(OSError, match="no room for row 1, column 16385"):
        written(["a"] * 16_385)


def test_abort_assembles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception among the rows ends at once: no workbook is built, and no file is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def rows() -> Iterator[list[str]]:
        yield ["id"]
        raise KeyboardInterrupt

    target = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        write_book(target, "Edits", rows())
    assert target.getvalue() == b""
    assert list(tmp_path.iterdir()) == []


def test_cells_are_formatted_as_text() -> None:
    """All cells, and the columns below them, keep what a person types: they are texts."""
    sheet = openpyxl.load_workbook(io.BytesIO(written(["id", "title"], ["0000123", "=1"])))["Edits"]
    found = [(cell.value, cell.data_type, cell.number_format) for cell in sheet[2]]
    assert found == [("0000123", "s", "@"), ("=1", "s", "@")]
    assert sheet.column_dimensions["A"].number_format == "@"


@pytest.mark.parametrize("name", ["Tâches", "a" * 31])
def test_sheet_keeps_its_name(name: str) -> None:
    """The sheet has the name of the input's, so that `--sheet` fits it."""
    assert read(written(["id"], sheet=name))[0]["sheet"] == name


@pytest.mark.parametrize("name", ["a" * 32, "a/b", "'a'", "", "History", "[x]"])
def test_name_that_excel_refuses_is_replaced(name: str) -> None:
    """A name that only other formats allow is replaced."""
    assert read(written(["id"], sheet=name))[0]["sheet"] == "Rows"


def test_lines_of_a_workbook_are_its_rows() -> None:
    """The lines of a file are its lines, or the rows of a workbook."""
    assert next(iter(file_lines(CORPUS / "plain.csv"))).startswith(b"id,")
    assert list(file_lines(CORPUS / "hidden-sheet.xlsx")) == [
        b'["id", "done"]', b'["opp_1", "true"]',
    ]  # fmt: skip
