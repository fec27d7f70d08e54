"""Spreadsheets: what a file of a few bytes can't do to us."""

import datetime as dt
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bulkupdate.errors import InputError, RunStoppedError
from bulkupdate.reader import Input, sheet, workbook
from bulkupdate.reader.options import Format, ReadOptions
from tests.reader.test_corpus import CORPUS
from tests.support.fakes import SetAfter


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        Input.open(path)
    return str(refused.value)


def rewritten(name: str, old: bytes, new: bytes) -> bytes:
    """A workbook of the corpus with something replaced in its sheet."""
    target = io.BytesIO()
    with zipfile.ZipFile(CORPUS / name) as source, zipfile.ZipFile(target, "w") as copy:
        for item in source.namelist():
            content = source.read(item)
            if item.startswith("xl/worksheets/"):
                assert old in content
                content = content.replace(old, new)
            copy.writestr(item, content)
    return target.getvalue()


def test_a_cell_far_away_takes_no_memory_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "far.xlsx"
    path.write_bytes(rewritten("hidden-sheet.xlsx", b'r="A2"', b'r="XFD1048576"'))
    assert "is broken, or too large a spreadsheet to be read: save it as CSV" in refusal(path)


def test_a_spreadsheet_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "_LONGEST", 0.005)
    monkeypatch.setattr(sheet, "_POLL", 0.001)
    assert "too large a spreadsheet" in refusal(CORPUS / "pandas.xlsx")


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    message = refusal(CORPUS / "pandas.xlsx")
    assert "pip install 'bulkupdate[excel]'" in message
    assert "\n" not in message


def test_a_sheet_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match="no sheet 'edits': there are 'Edits', 'More'"):
        Input.open(CORPUS / "two-sheets.xlsx", options=ReadOptions(sheet="edits"))


def test_flags_of_text_are_refused_for_a_spreadsheet() -> None:
    for said, flag in (
        (ReadOptions(encoding="utf-8"), "encoding"),
        (ReadOptions(delimiter=";"), "delimiter"),
        (ReadOptions(format=Format.CSV), "format"),
    ):
        with pytest.raises(InputError, match=f"leave out {flag}"):
            Input.open(CORPUS / "pandas.xlsx", options=said)


def test_rows_of_a_spreadsheet_can_be_read_again() -> None:
    options = ReadOptions(timezone="UTC")
    with Input.open(CORPUS / "pandas.ods", options=options) as source:
        assert list(source.rows()) == list(source.rows())
        info = source.info("x.ods")
    assert (info.format, info.sheet, info.encoding, info.delimiter) == ("ods", "Sheet1", None, None)


def test_the_script_says_what_it_found_line_by_line(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", None, 2.5])
    book.save(tmp_path / "a.xlsx")
    found = list(workbook.lines((tmp_path / "a.xlsx").read_bytes(), None))
    assert found == [{"sheet": "Sheet"}, (1, ["id", "", 2.5])]
    assert next(iter(workbook.lines(b"nothing", None)))["error"].startswith("is no spreadsheet")
    done = subprocess.run(
        [sys.executable, "-P", workbook.__file__, "None"],
        input=(tmp_path / "a.xlsx").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert b"there is no sheet 'None': there are 'Sheet'" in done.stdout


def rows_of(tmp_path: Path, *rows: list[Any], **said: Any) -> list[str]:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    with Input.open(tmp_path / "a.xlsx", options=ReadOptions(**said)) as source:
        return [row.error for row in source.rows()]


def test_a_date_is_no_id_and_a_number_is_no_text(tmp_path: Path) -> None:
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


def test_a_number_is_not_taken_for_the_text_that_looks_like_it(tmp_path: Path) -> None:
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


def test_a_formula_that_nobody_has_worked_out_is_no_blank(tmp_path: Path) -> None:
    (error,) = rows_of(tmp_path, ["id", "title"], ["opp_1", '="Call "&"Ben"'])
    assert "title '#VALUE! (a formula without a value)': is what a spreadsheet shows" in error


def test_whoever_is_in_a_hurry_does_not_wait_for_a_spreadsheet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sheet, "_POLL", 0.001)
    with pytest.raises(RunStoppedError, match="nothing was sent"):
        Input.open(CORPUS / "pandas.xlsx", stop=SetAfter(0))


def test_the_key_is_not_handed_to_whoever_reads_the_spreadsheet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
