"""Tests of workbooks in Office Open XML: each cell is what a person sees, or is refused."""

import io
import zipfile
from typing import Any

import pytest

from bulkupdate.reader.workbook import rows
from tests.support.books import MAIN, STRICT, archive, cells, read, text, xlsx


def row(*inside: str) -> str:
    return f"<row>{''.join(inside)}</row>"


def cell(content: bytes) -> Any:
    """The only cell of a workbook."""
    [[found]] = cells(content)
    return found


def error(content: bytes) -> str:
    return str(read(content)[0].get("error"))


@pytest.mark.parametrize(
    "formula", ["<f>1+1</f>", "<f/>", '<f t="shared" si="0"/>', "<f>1</f><v></v>", "<f>1</f><v/>"]
)
def test_formula_without_value_is_wrong(formula: str) -> None:
    """A formula that stores no value is wrong in every form."""
    found = cell(xlsx(row(f"<c>{formula}</c>")))
    assert "is a formula that no program has computed: open the file" in found["wrong"]


@pytest.mark.parametrize("stored", ["<c><f>A1</f><v>0</v></c>", '<c t="b"><f>A1</f><v>0</v></c>',
                                    '<c t="str"><f>A1</f><v></v></c>'])  # fmt: skip
def test_stored_zero_counts_only_if_computed(stored: str) -> None:
    """A stored 0 is wrong where the file asks the next program to compute everything."""
    computed = xlsx(row(text("id"), stored))
    assert cells(computed)[0][1:] in ([0], [False], [])
    uncomputed = xlsx(row(text("id"), stored), calc=' fullCalcOnLoad="1"')
    assert "no program has computed" in cells(uncomputed)[0][1]["wrong"]


@pytest.mark.parametrize("stored", ["0", "0.0"])
@pytest.mark.parametrize("program", ["Apache POI", "NPOI"])
def test_stored_zero_of_a_program_that_computes_nothing_is_wrong(program: str, stored: str) -> None:
    """Apache POI and NPOI store 0 for a formula, and don't ask for a new calculation."""
    sheet = row(text("id"), f"<c><f>1+1</f><v>{stored}</v></c>")
    assert cells(xlsx(sheet, program="Microsoft Excel")) == [["id", 0]]
    assert "no program has computed" in cells(xlsx(sheet, program=program))[0][1]["wrong"]


def test_computed_formula_gives_its_value() -> None:
    """A formula gives the value that a program has computed, and an empty text is blank."""
    sheet = row(text("id"), "<c><f>1+1</f><v>2</v></c>", '<c t="str"><f>A1</f><v>a b</v></c>')
    assert cells(xlsx(sheet, calc=' fullCalcOnLoad="1"')) == [["id", 2, "a b"]]
    assert cells(xlsx(row(text("id"), '<c t="str"><f>A1</f><v></v></c>'))) == [["id"]]


@pytest.mark.parametrize("shown", ["#N/A", "#CALC!", "#BLOCKED!", "", "#GETTING_DATA"])
def test_error_is_wrong_wherever_it_stands(shown: str) -> None:
    """An error cell is wrong with any text, reference, prefix and form of the file."""
    inside = f'<c t="e"><v>{shown}</v></c>'
    prefixed = inside.replace("<", "<x:").replace("<x:/", "</x:")
    for content in (
        xlsx(row(inside)),
        xlsx(row(inside), main=STRICT),
        xlsx(row(inside.replace("<c ", '<c r="A1" '))),
        xlsx(f'<x:row xmlns:x="{STRICT}">{prefixed}</x:row>', main=STRICT),
    ):
        found = cell(content)
        why = "is what a spreadsheet shows for an error: fix the cell"
        assert found == {"wrong": why, "text": shown or "#VALUE!"}


def test_formatted_text_is_its_text() -> None:
    """Rich text is its text without readings; `<f` inside it is no formula."""
    sheet = row(
        '<c t="inlineStr"><is><r><rPr><family val="2"/></rPr><t>Call </t></r><r><t>Anna</t></r>'
        '<rPh sb="0" eb="1"><t>kana</t></rPh></is></c>',
        '<c t="s"><v>0</v></c>',
    )
    shared = (
        '<si>\n<r><t>a&lt;f</t></r>\n<r><t xml:space="preserve"> b</t></r><rPh><t>x</t></rPh></si>'
    )
    assert cells(xlsx(sheet, strings=shared)) == [["Call Anna", "a<f b"]]


def test_escapes_of_excel_are_characters() -> None:
    """`_x000D_` is a line end, `_x005F_` a low line, and two halves are one character."""
    sheet = row(text("a_x000D_b"), text("_x005F_x"), text("_xD83D__xDE00_"), text("_x000G_"))
    assert cells(xlsx(sheet)) == [["a\rb", "_x", "\U0001f600", "_x000G_"]]
    facts, _ = read(xlsx(row(text("a_x0007_"))))
    assert not facts["is_plain"]
    assert cell(xlsx(row(text("_xD83D_")))) == "\ufffd"


def test_cells_without_references_follow_each_other() -> None:
    """A cell or a row without a reference follows the one before it."""
    sheet = f'<row>{text("a")}{text("c", "C1")}{text("d")}</row><row r="4">{text("e")}</row>'
    assert read(xlsx(sheet))[1] == [[1, ["a", "", "c", "d"]], [4, ["e"]]]


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (f'<row>{text("a", "B1")}{text("b", "B1")}</row>', "names cell B1 after cell B1"),
        (f'<row>{text("a", "B1")}{text("b", "A1")}</row>', "names cell A1 after cell B1"),
        (f'<row r="2">{text("a", "A3")}</row>', "names cell A3"),
        (f'<row r="2">{text("a")}</row><row r="2">{text("b")}</row>', "names row 2 after row 2"),
        (f'<row>{text("a", "A0B")}</row>', "names cells 'A0B', which no sheet has"),
        (f'<row>{text("a", "ZZZ1")}</row>', "names cell ZZZ1"),
        ('<row><c t="x"><v>1</v></c></row>', "has a cell A1 of an unknown type 'x'"),
        ('<row><c t="s"><v>7</v></c></row>', "is broken"),
        ('<row><c s="9"><v>7</v></c></row>', "is broken"),
        ('<row><c s="-1"><v>7</v></c></row>', "is broken: it names text or style '-1'"),
        ("<row><c><v>7</c></row>", "is broken (no XML"),
        ('<row/>|<mergeCells><mergeCell ref="7"/></mergeCells>', "names cells '7', which no"),
        ("", "the file is empty"),
    ],
)  # fmt: skip
def test_contradiction_refuses_the_file(sheet: str, message: str) -> None:
    """A sheet that names a cell twice, or contradicts itself, is refused with what is wrong."""
    assert message in error(xlsx(sheet))


def test_number_format_decides_what_a_number_is() -> None:
    """A number is a date, a duration or a number by its format; the calendar may begin in 1904."""
    codes = (
        "dd/mm/yyyy hh:mm",
        "[h]:mm",
        "0.00",
        "[$-407]d. mmmm yyyy;@",
        "h:mm",
        "&quot;d&quot;0",
    )
    sheet = row(*(f'<c s="{n}"><v>{v}</v></c>' for n, v in (
        (1, "46357.375"), (2, "1.5"), (3, "2"), (4, "46357"), (5, "0.375"), (6, "7"), (0, "7.50"),
    )))  # fmt: skip
    assert cells(xlsx(sheet, codes=codes)) == [[
        {"date": "2026-12-01T09:00:00"}, {"time": "36:00:00"},
        {"number": 2.0, "shown": "shows as '2.00' by its number format", "is_same": True},
        {"date": "2026-12-01"}, {"time": "09:00:00"},
        {"number": 7.0, "shown": "shows as 'd7' by its number format", "is_same": False}, 7.5,
    ]]  # fmt: skip
    since_1904 = xlsx(row('<c s="1"><v>44895.375</v></c>'), codes=codes, book=' date1904="1"')
    assert cells(since_1904) == [[{"date": "2026-12-01T09:00:00"}]]


@pytest.mark.parametrize("codes", [(), ("&quot;usr_&quot;@",)])
def test_negative_number_of_a_shared_text_is_refused(codes: tuple[str, ...]) -> None:
    """A negative number of a shared text does not count from the end."""
    sheet = row('<c t="s"><v>-1</v></c>')
    shared = "<si><t>first</t></si><si><t>last</t></si>"
    message = error(xlsx(sheet, strings=shared, codes=codes))
    assert message == "is broken: it names text or style '-1', which no book has"


@pytest.mark.parametrize(("code", "shown"), [("00000", "00123"), ("&quot;opp_&quot;0", "opp_123")])
def test_first_style_is_what_the_book_says(code: str, shown: str) -> None:
    """The style of cells that name none is the first of the book, which may be any."""
    formats = f'<numFmts><numFmt numFmtId="170" formatCode="{code}"/></numFmts>'
    styles = f'{formats}<cellXfs><xf numFmtId="170"/></cellXfs>'
    found = cell(restyled(xlsx(row("<c><v>123</v></c>")), styles))
    assert found["shown"] == f"shows as {shown!r} by its number format"
    assert cell(restyled(xlsx(row("<c><v>123</v></c>")), "")) == 123


def restyled(content: bytes, styles: str) -> bytes:
    """A workbook with other styles."""
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        parts = {name: found.read(name).decode() for name in found.namelist()}
    parts["xl/styles.xml"] = f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>'
    return archive(parts)


@pytest.mark.parametrize("value", ["60", "-1", "2958466"])
def test_number_that_is_no_date_is_wrong(value: str) -> None:
    """A number that is no day of the calendar is wrong in a cell of dates."""
    found = cell(xlsx(row(f'<c s="1"><v>{value}</v></c>'), codes=("yyyy-mm-dd",)))
    assert found["wrong"] == "shows as a date, and is none"


@pytest.mark.parametrize("value", ["abc", "1_000", "inf", "nan", "1e999"])
def test_number_that_is_none_is_wrong(value: str) -> None:
    """A number cell that holds no number is wrong."""
    assert "is not a number" in cell(xlsx(row(f"<c><v>{value}</v></c>")))["wrong"]


def test_text_under_a_number_format_is_wrong() -> None:
    """A text that its number format shows as another text is wrong."""
    sheet = row('<c s="1" t="inlineStr"><is><t>42</t></is></c>')
    found = cell(xlsx(sheet, codes=("&quot;usr_&quot;@",)))
    assert "shows as 'usr_42' by its number format" in found["wrong"]
    assert cell(xlsx(sheet, codes=("@",))) == "42"
    accounting = "_-* #,##0_-;-* #,##0_-;_-* &quot;-&quot;_-;_-@_-"
    assert cell(xlsx(sheet, codes=(accounting,))) == "42"


def test_very_long_number_format_is_refused() -> None:
    """A number format that is longer than those of Excel is refused."""
    sheet = row('<c s="1"><v>7</v></c>')
    assert cell(xlsx(sheet, codes=("0" * 255,)))["number"] == 7
    assert "a number format of more than 255 characters" in error(xlsx(sheet, codes=("0" * 256,)))


def test_date_in_iso_form_is_a_date() -> None:
    """A cell of type `d`, as strict files have, is a date or a time of day."""
    sheet = row(*(f'<c t="d"><v>{v}</v></c>' for v in ("2026-12-01T09:00:00", "T09:00:00", "soon")))
    date, time, wrong = cells(xlsx(sheet, main=STRICT))[0]
    assert (date, time) == ({"date": "2026-12-01T09:00:00"}, {"time": "09:00:00"})
    assert wrong == {"wrong": "is not a date", "text": "soon"}


def test_date_with_z_is_local_time() -> None:
    """A date of type `d` with a Z is a local time, as spreadsheet programs show it."""
    sheet = row('<c t="d"><v>2026-12-01T09:30:00.000Z</v></c>')
    assert cells(xlsx(sheet)) == [[{"date": "2026-12-01T09:30:00"}]]


def test_merged_cells_are_reported() -> None:
    """The facts hold each merged cell by its corners; one that covers one cell is none."""
    rest = '<mergeCells><mergeCell ref="B2:$C$3"/><mergeCell ref="A1"/></mergeCells>'
    facts, _ = read(xlsx(f"{row(text('id'))}|{rest}"))
    assert facts["merged"] == [(2, 2, 3, 3)]
    assert not facts["is_plain"]


def merging(*ranges: str) -> bytes:
    """A workbook with these merged cells."""
    inside = "".join(f'<mergeCell ref="{range_}"/>' for range_ in ranges)
    return xlsx(f"{row(text('id'))}|<mergeCells>{inside}</mergeCells>")


@pytest.mark.parametrize(
    ("ranges", "name"),
    [
        (("A2:B1048576", "A2:B1048576"), "A2:B1048576"),
        (("A2:C2", "B2:B3"), "B2:B3"),
        (("B2:B3", "A3:C3"), "A3:C3"),
        (("A1:A9", "C1:C9", "E1:E9", "B2:B3", "D5:E5"), "D5:E5"),
    ],
)
def test_merged_cells_that_overlap_are_refused(ranges: tuple[str, ...], name: str) -> None:
    """Merged cells that overlap, of which each row might have a million, are refused."""
    assert error(merging(*ranges)) == f"is broken: the merged cells {name} overlap others"


def test_merged_cells_side_by_side_are_reported() -> None:
    """Merged cells that only touch are reported, in any order."""
    ranges = ("D4:E9", "A2:C2", "A3:A4", "B3:C3", "A5:C5", "D2:D3", "A10:Z10")
    assert len(read(merging(*ranges))[0]["merged"]) == len(ranges)


def test_merged_cells_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Very many merged cells, and merged cells without a cell, are refused."""
    monkeypatch.setattr(rows, "MAX_MERGED", 2)
    assert error(merging("A1:A2", "B1:B2", "D1")) == "None"
    assert error(merging("A1:A2", "B1:B2", "C1:C2")) == "has more than 2 merged cells: split them"
    assert error(merging("B3:A4")) == "is broken: it merges the cells B3:A4, which are none"


@pytest.mark.parametrize("name", ["bulkupdate_row", "title"])
def test_only_columns_of_a_failed_file_may_be_beyond_the_limit(name: str) -> None:
    """Only a sheet with the columns that a failed file adds has room for them."""
    message = error(xlsx(row(text("id"), text(name, "AMJ1")) + row(text("x"), text("y", "AMK2"))))
    is_wider = name != "title"
    assert message == "None" if is_wider else "has text in cell AMK2" in message


def test_formatted_blank_cells_cost_nothing() -> None:
    """A row whose last thousand cells are only formatted is as wide as its text."""
    blank = "".join(f'<c r="{name}1" s="0"/>' for name in ("AAA", "XFD"))
    facts, _ = read(xlsx(f'<row r="1">{text("id", "B1")}{blank}</row>'))
    assert (facts["first"], facts["width"]) == (1, 2)


def test_bomb_of_entities_is_refused() -> None:
    """A document type, which holds the entities of a bomb, is refused."""
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    assert "holds a document type, which no spreadsheet program writes" in error(xlsx(bomb))


def test_too_much_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long text in a cell, and a short one in very many cells, are refused."""
    assert "a text of more than 131,072 characters" in error(xlsx(row(text("a" * 131_073))))
    monkeypatch.setattr(rows, "MAX_BYTES", 1000)
    sheet = row('<c t="s"><v>0</v></c>') * 100
    assert "holds too much text" in error(xlsx(sheet, strings=f"<si><t>{'a' * 50}</t></si>"))


def test_other_archives_are_refused_by_name() -> None:
    """A binary workbook, another archive and another part are refused by what they are."""
    link = '<Relationship Type="x/officeDocument" Target="xl/workbook.bin"/>'
    links = f"<Relationships>{link}</Relationships>"
    assert (
        error(archive({"_rels/.rels": links})) == "is a binary workbook (.xlsb): save it as .xlsx"
    )
    assert "if it is an archive, unpack it first" in error(archive({"a.csv": "id\n1\n"}))
    assert "begins with 'x' where 'worksheet' belongs" in error(xlsx("<?xml version='1.0'?><x/>"))
