"""Tests of spreadsheets, and of limits for hostile ones."""

import datetime as dt
import gzip
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bulkupdate.errors import InputError, RunStoppedError
from bulkupdate.reader import Input, sheet
from bulkupdate.reader.options import Format, ReadOptions
from tests.reader.test_corpus import CORPUS
from tests.support.books import MAIN, read, text, xlsx
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


def test_cells_on_a_hidden_sheet_alone_are_named(tmp_path: Path) -> None:
    """A file whose visible sheet is empty is refused with the name of the sheet to choose."""
    book = openpyxl.Workbook()
    sheet_ = book.create_sheet("Edits")
    sheet_.append(["id"])
    sheet_.sheet_state = "hidden"
    book.save(tmp_path / "a.xlsx")
    message = refusal(tmp_path / "a.xlsx")
    assert "has cells only on hidden sheets: choose one with sheet: 'Edits'" in message


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this signal")
def test_process_ends_with_the_one_that_waits() -> None:
    """The process that reads a spreadsheet is killed when the one that waits for it dies."""
    program = (
        "import ctypes, sys; sys.path.append(sys.argv.pop(1)); sys.argv.insert(1, '1');"
        "from workbook import __main__; sys.stdout = sys.stderr; __main__.main();"
        "found = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(found));"
        "print(found.value, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, Path(sheet.__file__).parent],
        stdin=subprocess.DEVNULL, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stderr.rpartition(b"}")[2].strip() == b"9"


def errors_of(path: Path, **options: Any) -> list[str]:
    """The problems of each row of a file; "" for a valid one."""
    with Input.open(path, options=ReadOptions(**options)) as source:
        return [row.error for row in source.rows()]


def workbook_of(tmp_path: Path, *rows: Sequence[Any], merged: tuple[str, ...] = ()) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for range_ in merged:
        book.active.merge_cells(range_)
    book.save(tmp_path / "a.xlsx")
    return tmp_path / "a.xlsx"


def test_rows_inside_a_merged_cell_are_invalid(tmp_path: Path) -> None:
    """Each row that a merged cell covers is invalid, whatever its text and its column."""
    rows: list[list[Any]] = [
        ["id", "assignedTo", "title"],
        ["opp_1", "usr_7087fd30fef190087", "a long title"],
        ["opp_2", None, "b"],
        ["opp_3", "usr_b", "another title"],
        [None, None, None],
        ["opp_5", "usr_c", "c"],
    ]
    path = workbook_of(tmp_path, *rows, merged=("B2:B3", "C4:C5", "A4:A5"))
    first, second, third, last = errors_of(path)
    for error in (first, second):
        assert "assignedTo 'usr_7087fd30fef190087': is merged over B2:B3: split" in error
    assert "id 'opp_3': is merged over A4:A5" in third
    assert "title 'another title': is merged over C4:C5" in third
    assert last == ""


@pytest.mark.parametrize("merged", ["A2:A3", "B2:B3", "B2:C2"])
def test_merged_text_that_looks_plain_is_invalid(tmp_path: Path, merged: str) -> None:
    """A merged cell is found where it is the only problem, and its text looks like any other."""
    rows: list[list[Any]] = [["id", "title", "message"], ["opp_1234567", "a long title", None]]
    path = workbook_of(tmp_path, *rows, merged=(merged,))
    assert f"is merged over {merged}" in errors_of(path)[0]


def test_name_merged_over_columns_counts_once(tmp_path: Path) -> None:
    """A name that is merged over two columns names the first of them."""
    rows: list[list[Any]] = [["id", "title", None, "done"], ["opp_1", "a", None, True]]
    path = workbook_of(tmp_path, *rows, merged=("B1:C1",))
    with Input.open(path, options=ReadOptions(ignore_extra=True)) as source:
        assert source.info("").columns == {"id": "id", "title": "title", "done": "done"}
        assert [row.error for row in source.rows()] == [""]


def test_text_under_a_number_format_is_invalid(tmp_path: Path) -> None:
    """A text that shows as another is invalid in a column of texts too."""
    book = openpyxl.Workbook()
    for row in (["id", "title"], ["opp_1", "a long title"]):
        book.active.append(row)
    book.active["B2"].number_format = '"Re: "@'
    book.save(tmp_path / "a.xlsx")
    (error,) = errors_of(tmp_path / "a.xlsx")
    assert "title 'a long title': shows as 'Re: a long title' by its number format" in error


def test_merged_cell_of_a_value_map_is_refused(tmp_path: Path) -> None:
    """A value map in which a merged cell stands for several values is refused."""
    rows: list[list[Any]] = [
        ["column", "from", "to"],
        ["assignedTo", "anna", "usr_a"],
        ["assignedTo", None, "usr_b"],
    ]
    path = workbook_of(tmp_path, *rows, merged=("B2:B3",))
    with pytest.raises(InputError, match="line 2: 'from' 'anna' is merged over B2:B3: split"):
        Input.open(CORPUS / "plain.csv", options=ReadOptions(value_map=path))


def test_merged_cells_beside_the_columns_matter_not(tmp_path: Path) -> None:
    """Merged names of columns, blank merged cells and merged cells of no column are valid."""
    rows: list[list[Any]] = [
        ["id", "title", "Notes"],
        [None, None, None],
        ["opp_1", "a", "n"],
        ["opp_2", "b", None],
    ]
    path = workbook_of(tmp_path, *rows, merged=("A1:A2", "B1:B2", "C1:C2", "C3:C4", "E3:E4"))
    assert errors_of(path, ignore_extra=True) == ["", ""]


def test_row_under_a_merged_name_is_invalid(tmp_path: Path) -> None:
    """A second line of names of columns, under a merged name, is no row."""
    rows: list[list[Any]] = [["id", "title"], [None, "in French"], ["opp_1", "a"]]
    wrong, right = errors_of(workbook_of(tmp_path, *rows, merged=("A1:A2",)))
    assert "is merged over A1:A2" in wrong
    assert right == ""


@pytest.mark.parametrize("first", ["date", "text"])
def test_dates_of_two_kinds_refuse_the_file(tmp_path: Path, first: str) -> None:
    """Where a spreadsheet took days for months, it made dates of some and left others as text."""
    day, text = dt.datetime(2026, 3, 12, 9), "24/12/2026 09:00"  # noqa: DTZ001
    values = [day, text] if first == "date" else [text, day]
    rows: list[list[Any]] = [["id", "dueDate"], *([f"opp_{n}", v] for n, v in enumerate(values))]
    path = workbook_of(tmp_path, *rows)
    options = ReadOptions(date_formats=("%d/%m/%Y %H:%M",), timezone="UTC")
    with (
        Input.open(path, options=options) as source,
        pytest.raises(InputError, match=r"a.xlsx: some due dates are dates of the spreadsheet"),
    ):
        list(source.rows())
    path = workbook_of(tmp_path, ["id", "dueDate"], ["opp_1", day], ["opp_2", "2026-12-24T09:00Z"])
    assert errors_of(path, timezone="UTC", date_formats=("%d/%m/%Y %H:%M",)) == ["", ""]
    formats = ("%d %B %Y",)
    path = workbook_of(tmp_path, ["id", "dueDate"], ["opp_1", day], ["opp_2", "24 December 2026"])
    assert errors_of(path, timezone="UTC", time="09:00", date_formats=formats) == ["", ""]
    rows = [["id", "dueDate", "expect.dueDate"], ["opp_1", text, day], ["opp_2", text, day]]
    path = workbook_of(tmp_path, *rows)
    assert errors_of(path, timezone="UTC", date_formats=("%d/%m/%Y %H:%M",)) == ["", ""]


def formatted(tmp_path: Path, field: str, value: Any, code: str) -> str:
    """The problem of a cell of a column in a number format."""
    book = openpyxl.Workbook()
    book.active.append(["id" if field == "id" else "", field] if field != "id" else ["id"])
    if field == "id":
        book.active.append([value])
        book.active["A2"].number_format = code
    else:
        book.active["A1"] = "id"
        book.active.append(["opp_1", value])
        book.active["B2"].number_format = code
    book.save(tmp_path / "a.xlsx")
    (error,) = errors_of(tmp_path / "a.xlsx", timezone="UTC")
    return error


@pytest.mark.parametrize("field", ["id", "assignedTo"])
@pytest.mark.parametrize(("code", "shown"), [
    ("00000000", "'00000123'"), ('"usr_"000', "'usr_123'"), ("0%", "'12300%'"),
    ("0.00", "'123.00'"), ("#,##0 €", "'123 €'"), (";;;", "''"),
])  # fmt: skip
def test_id_is_what_it_shows(tmp_path: Path, field: str, code: str, shown: str) -> None:
    """An id that shows other digits than it holds is invalid, and the message shows them."""
    error = formatted(tmp_path, field, 123, code)
    assert f"shows as {shown} by its number format: format the column as text, and" in error


def test_format_that_is_not_known_is_named(tmp_path: Path) -> None:
    """An id in a number format that is not understood is invalid, and the message names it."""
    error = formatted(tmp_path, "id", 123, "0.0E+0")
    assert "has the number format '0.0E+0', which may show other text: format the col" in error


@pytest.mark.parametrize("stray", ["see mail", 7, True, "#N/A"])
def test_stray_cell_is_named(tmp_path: Path, stray: object) -> None:
    """A cell to the right of the named columns is refused by its name in the sheet."""
    path = workbook_of(tmp_path, [None, "id", "title"], [None, "opp_1", "a", None, None, stray])
    (error,) = errors_of(path)
    assert error == (
        "holds text in cell F2, whose column has no name: clear the cell, or name the column"
    )


@pytest.mark.parametrize("code", ["#", "#,###", "#.##", "0;-0;"])
@pytest.mark.parametrize("field", ["priority", "done"])
def test_zero_that_shows_as_nothing_is_invalid(tmp_path: Path, field: str, code: str) -> None:
    """A 0 that its format hides is refused: the cell looks blank."""
    assert "shows as '" in formatted(tmp_path, field, 0, code)


@pytest.mark.parametrize("code", ["00000000", "0.0E+0", "#,##0", '"usr_"0', "General"])
def test_digits_that_are_lost_matter_more_than_the_format(tmp_path: Path, code: str) -> None:
    """What a long id shows is wrong too, so the message does not ask to enter it."""
    error = formatted(tmp_path, "id", 1234567890123456789, code)
    assert "is a number of more than 15 digits" in error


def test_empty_date_is_named(tmp_path: Path) -> None:
    """A 0 in a date format shows as 1900-01-00; in a time format, it is midnight."""
    assert "is an empty date, stored as 0" in formatted(tmp_path, "dueDate", 0, "dd/mm/yyyy hh:mm")
    assert "is a time or a duration" in formatted(tmp_path, "dueDate", 0, "h:mm")


def test_date_that_shows_a_time_zone_is_invalid(tmp_path: Path) -> None:
    """A date is a local time: one whose format shows a time zone is refused with the zone."""
    moment = dt.datetime(2026, 12, 1, 9, 30)  # noqa: DTZ001 - a cell has no time zone
    error = formatted(tmp_path, "dueDate", moment, 'yyyy-mm-dd"T"hh:mm:ss"Z"')
    assert "shows as '…Z' by its number format: format the column as text, and enter" in error


@pytest.mark.parametrize("code", ["General", "0", "@", "#", "#,##0", "0_ ;[Red]-0 "])
def test_id_that_shows_its_digits_is_valid(tmp_path: Path, code: str) -> None:
    """A number format that shows the digits alone leaves an id valid."""
    assert formatted(tmp_path, "id", 123, code) == ""


@pytest.mark.parametrize(("code", "is_valid"), [
    ("0.00", True), ("00", True), ("#,##0.0", True), ("0%", False), ('0" €"', False),
    ('"high"', False), ("0.0E+0", False),
])  # fmt: skip
def test_priority_may_have_decimals_only(tmp_path: Path, code: str, is_valid: bool) -> None:
    """A priority is valid where its format shows the same number, and invalid elsewhere."""
    error = formatted(tmp_path, "priority", 2, code)
    assert (error == "") is is_valid
    assert is_valid or ": set the format to General, and check the number" in error


def test_odd_characters_of_long_texts_are_found(tmp_path: Path) -> None:
    """A lost character is found in a text of any length, in any kind of spreadsheet."""
    path = workbook_of(tmp_path, ["id", "title"], ["opp_1", "Caf\ufffd at midday"])
    (error,) = errors_of(path)
    assert "instead of a character that another program lost" in error


def test_check_box_is_never_a_text(tmp_path: Path) -> None:
    """A check box in a column of texts is invalid with a short clear token too."""
    path = workbook_of(tmp_path, ["id", "title"], ["opp_1", False])
    (error,) = errors_of(path, clear_token="-")
    assert "is a check box" in error


def test_spreadsheet_is_known_by_its_content(tmp_path: Path) -> None:
    """The content decides the format: in a compressed file, and where the type comes late."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress((CORPUS / "hidden-sheet.xlsx").read_bytes()))
    with Input.open(path) as source:
        assert (source.format, source.info("").compression) == (Format.XLSX, "gzip")
    late = tmp_path / "late.xlsx"
    with zipfile.ZipFile(CORPUS / "pandas.ods") as found, zipfile.ZipFile(late, "w") as copy:
        for name in reversed(found.namelist()):
            copy.writestr(name, found.read(name))
    with Input.open(late, options=ReadOptions(timezone="UTC")) as source:
        assert source.format is Format.ODS


@pytest.mark.parametrize("is_compressed", [False, True])
def test_full_disk_is_not_a_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_compressed: bool
) -> None:
    """A full directory for temporary files is named, and not taken for a broken file."""
    path = tmp_path / "a.xlsx"
    content = (CORPUS / "hidden-sheet.xlsx").read_bytes()
    path.write_bytes(gzip.compress(content) if is_compressed else content)

    def full(*_: Any, **__: Any) -> Any:
        return open("/dev/full", "r+b", buffering=0)  # noqa: PTH123 - the reader closes it

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    message = refusal(path)
    assert "find no room in the directory for temporary files (/" in message
    assert "set TMPDIR to another directory" in message


def bomb(sheet: str, times: int, end: str = "") -> bytes:
    """A workbook whose sheet repeats a text very often."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(xlsx("<?"))) as found,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy,
    ):
        for name in found.namelist():
            if not name.endswith("sheet1.xml"):
                copy.writestr(name, found.read(name))
        with copy.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
            begin, _, piece = sheet.partition("|")
            part.write(f'<worksheet xmlns="{MAIN}"><sheetData>{begin}'.encode())
            chunk = piece.encode() * (1 + (1 << 20) // len(piece))
            for _ in range(times):
                part.write(chunk)
            part.write(f"{end}</sheetData></worksheet>".encode())
    return target.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sheet", "end", "message"),
    [
        ('<row r="1"><c t="inlineStr"><is><t>|aaaaaaaa', "</t></is></c></row>", "a text of more"),
        ('<row r="1">|<c t="b"><v>1</v></c>', "</row>", "more than 16,384 cells in row 1"),
        ('<row r="1"><c t="|aaaaaaaa', '"/></row>', "a tag of very many characters"),
    ],
    ids=["text", "cells", "attribute"],
)
def test_bomb_ends_within_its_memory(tmp_path: Path, sheet: str, end: str, message: str) -> None:
    """A small file that asks for much memory is refused, and soon."""
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(bomb(sheet, 50, end))
    assert message in refusal(path)


@pytest.mark.slow
def test_process_dies_alone_at_its_limit(tmp_path: Path) -> None:
    """A text that needs more than the memory of the process is refused by this message."""
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(bomb("<row><c t='inlineStr'><is><t>|aaaaaaaa", 600, "</t></is></c></row>"))
    assert "takes too much memory: split it into several files" in refusal(path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a program")
def test_memory_of_a_sheet_does_not_grow_with_rows(tmp_path: Path) -> None:
    """The process that reads a sheet takes less than 40 MB for 100,000 rows."""
    path = tmp_path / "many.xlsx"
    cells = "".join(text(f"a text of a cell {n}") for n in range(7))
    path.write_bytes(bomb(f"|<row>{cells}</row>", 40))
    program = (
        "import sys; sys.path.append(sys.argv.pop(1)); sys.argv.insert(1, '1');"
        "from workbook import __main__; sys.stdout = sys.stderr; __main__.main();"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], file=sys.stderr)"
    )
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, Path(sheet.__file__).parent],
            stdin=file, capture_output=True, check=True,
        )  # fmt: skip
    assert done.stdout.count(b"\n") > 60_000
    assert int(done.stderr.rpartition(b"}")[2]) < 40_000
