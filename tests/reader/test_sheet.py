"""Tests of spreadsheets, and of limits for hostile ones."""

import datetime as dt
import io
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bulkupdate.errors import InputError, RunStoppedError
from bulkupdate.reader import Input, sheet
from bulkupdate.reader.options import Format, ReadOptions
from tests.reader.test_corpus import CORPUS
from tests.support.books import read
from tests.support.fakes import SetAfter


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        Input.open(path)
    return str(refused.value)


def rewritten(name: str | Path, old: bytes, new: bytes) -> bytes:
    """A workbook of the corpus with a replacement in its sheet."""
    target = io.BytesIO()
    with zipfile.ZipFile(CORPUS / name) as source, zipfile.ZipFile(target, "w") as copy:
        for item in source.namelist():
            content = source.read(item)
            if item.startswith("xl/worksheets/"):
                assert old in content
                content = content.replace(old, new)
            copy.writestr(item, content)
    return target.getvalue()


def test_distant_cell_is_named(tmp_path: Path) -> None:
    """A spreadsheet with one cell far away is refused, and the message names the cell."""
    for far in ("A1048577", "XFD2", "XFE2"):
        path = tmp_path / "far.xlsx"
        row = far.lstrip("AXFDE").encode()
        content = rewritten("hidden-sheet.xlsx", b'row r="2"', b'row r="%s"' % row)
        path.write_bytes(content)
        path.write_bytes(rewritten(path, b'r="A2"', f'r="{far}"'.encode()))
        assert f"cell {far}" in refusal(path)


def test_slow_spreadsheet_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader gives up a spreadsheet that takes longer than the limit."""
    monkeypatch.setattr(sheet, "_LONGEST", 0.005)
    monkeypatch.setattr(sheet, "_POLL", 0.001)
    assert "a spreadsheet that is broken or too large" in refusal(CORPUS / "pandas.xlsx")


@pytest.mark.parametrize("missing", ["xlrd", "xlsxwriter"])
def test_missing_extra_error_shows_install_command(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """A missing extra is an error of one line that shows how to install it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != missing or None)
    message = refusal(CORPUS / "pandas.xlsx")
    assert "pip install xlrd xlsxwriter" in message
    assert "\n" not in message


def test_missing_sheet_error_lists_existing_sheets() -> None:
    """A sheet that does not exist is refused with the names of those that do."""
    with pytest.raises(InputError, match="no sheet 'edits': the sheets are 'Edits', 'More'"):
        Input.open(CORPUS / "two-sheets.xlsx", options=ReadOptions(sheet="edits"))


def test_text_options_are_refused_for_spreadsheet() -> None:
    """A spreadsheet refuses the options that fit only text files."""
    for options, flag in (
        (ReadOptions(encoding="utf-8"), "encoding"),
        (ReadOptions(delimiter=";"), "delimiter"),
        (ReadOptions(format=Format.CSV), "format"),
    ):
        with pytest.raises(InputError, match=f"leave out {flag}"):
            Input.open(CORPUS / "pandas.xlsx", options=options)


def test_spreadsheet_rows_can_be_reread() -> None:
    """The rows of a spreadsheet can be read twice, and its format and sheet are known."""
    options = ReadOptions(timezone="UTC")
    with Input.open(CORPUS / "pandas.ods", options=options) as source:
        assert list(source.rows()) == list(source.rows())
        info = source.info("x.ods")
    assert (info.format, info.sheet, info.encoding, info.delimiter) == ("ods", "Sheet1", None, None)


def test_process_reports_facts_and_rows(tmp_path: Path) -> None:
    """The process writes the facts about a sheet and its rows, or an error."""
    book = openpyxl.Workbook()
    book.active.append(["id", None, 2.5])
    book.save(tmp_path / "a.xlsx")
    content = (tmp_path / "a.xlsx").read_bytes()
    facts, rows = read(content)
    assert facts == {
        "format": "xlsx", "sheet": "Sheet", "first": 0, "width": 3, "merged": [], "is_plain": True,
    }  # fmt: skip
    assert rows == [[1, ["id", "", 2.5]]]
    assert read(b"nothing")[0]["error"].startswith("can't be read as a spreadsheet")
    assert read(content, "None")[0]["error"] == "there is no sheet 'None': the sheets are 'Sheet'"


def rows_of(tmp_path: Path, *rows: list[Any], **options: Any) -> list[str]:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    with Input.open(tmp_path / "a.xlsx", options=ReadOptions(**options)) as source:
        return [row.error for row in source.rows()]


def test_date_id_and_number_text_are_invalid(tmp_path: Path) -> None:
    """A date as an id and a number as text make a row invalid."""
    day = dt.datetime(2026, 3, 1)  # noqa: DTZ001 - a spreadsheet knows no time zones
    first, second, third = rows_of(
        tmp_path,
        ["id", "assignedTo", "title"],
        [day, None, None],
        ["opp_1", day, None],
        ["opp_2", None, 0.15],
    )
    assert "id '2026-03-01': is a date: format the cell as text" in first
    assert "assignedTo '2026-03-01': is a date" in second
    assert "title '0.15': is a number: format the cell as text" in third


def test_number_is_distinct_from_equal_text(tmp_path: Path) -> None:
    """A number of too many digits is invalid even where the text of equal digits is valid."""
    digits = "1234567890123456"
    rows: list[list[Any]] = [
        ["id", "assignedTo"],
        ["opp_1", digits],
        ["opp_2", int(digits)],
        ["opp_3", digits],
    ]
    right, wrong, again = rows_of(tmp_path, *rows)
    assert (right, again) == ("", "")
    assert "is a number of more than 15 digits" in wrong


def test_formula_without_value_is_not_blank(tmp_path: Path) -> None:
    """A formula without a computed value is an error and not a blank cell."""
    (error,) = rows_of(tmp_path, ["id", "title"], ["opp_1", '="Call "&"Ben"'])
    assert (
        "'#VALUE! (a formula without a value)': is a formula that no program has computed" in error
    )


def test_stop_ends_wait_for_spreadsheet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stop ends the wait for a spreadsheet before anything is sent."""
    monkeypatch.setattr(sheet, "_POLL", 0.001)
    with pytest.raises(RunStoppedError, match="nothing was sent"):
        Input.open(CORPUS / "pandas.xlsx", stop=SetAfter(0))


def test_spreadsheet_process_does_not_get_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process that reads the spreadsheet does not get the key in its environment."""
    given: dict[str, str] = {}
    popen = subprocess.Popen

    def noted(*arguments: Any, **settings: Any) -> Any:
        given.update(settings["env"])
        return popen(*arguments, **settings)

    monkeypatch.setenv("LEMLIST_API_KEY", "secret")
    monkeypatch.setattr(subprocess, "Popen", noted)
    Input.open(CORPUS / "hidden-sheet.xlsx").close()
    assert "PATH" in given
    assert "secret" not in given.values()
