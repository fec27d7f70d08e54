"""Spreadsheets: what a file of a few bytes can't do to us."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest

from bulkupdate.errors import InputError
from bulkupdate.read_options import Format, ReadOptions
from bulkupdate.reader import Input, sheet, workbook
from tests.test_corpus import CORPUS


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        Input(path)
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
    monkeypatch.setattr(sheet, "_LONGEST", 0.001)
    assert "too large a spreadsheet" in refusal(CORPUS / "pandas.xlsx")


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    message = refusal(CORPUS / "pandas.xlsx")
    assert "pip install 'bulkupdate[excel]'" in message
    assert "\n" not in message


def test_a_sheet_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match="no sheet 'edits': there are 'Edits', 'More'"):
        Input(CORPUS / "two-sheets.xlsx", options=ReadOptions(sheet="edits"))


def test_flags_of_text_are_refused_for_a_spreadsheet() -> None:
    for said, flag in (
        (ReadOptions(encoding="utf-8"), "--encoding"),
        (ReadOptions(delimiter=";"), "--delimiter"),
        (ReadOptions(format=Format.CSV), "--format"),
    ):
        with pytest.raises(InputError, match=f"leave out {flag}"):
            Input(CORPUS / "pandas.xlsx", options=said)


def test_rows_of_a_spreadsheet_can_be_read_again() -> None:
    options = ReadOptions(timezone="UTC")
    with Input(CORPUS / "pandas.ods", options=options) as source:
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
