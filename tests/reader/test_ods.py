"""Tests of OpenDocument spreadsheets: each cell is what a person sees, or is refused."""

import pytest

from tests.support.books import cells, ods, paragraph, read, table


def test_blanks_of_a_text_are_kept() -> None:
    """Tabs, line breaks, blanks of any form and several paragraphs are part of a text."""
    inside = 'a<text:tab/>b<text:line-break/>c<text:s text:c="2"/>d<text:s/>  e\n'
    inside += " <text:span> f </text:span>"
    two = paragraph("one</text:p><text:p/><text:p>  - two  x")
    assert cells(ods(table(paragraph(inside) + two))) == [
        ["a\tb\nc  d   e\n  f ", "one\n\n  - two  x"]
    ]


def test_only_the_text_of_a_cell_is_read() -> None:
    """A comment, a picture's text and a reading above the text are not the text of a cell."""
    note = "<office:annotation><text:p>a comment</text:p></office:annotation>"
    frame = "<draw:frame><draw:text-box><text:p>box</text:p></draw:text-box></draw:frame>"
    ruby = "<text:ruby-base>x</text:ruby-base><text:ruby-text>y</text:ruby-text>"
    inside = f"{note}<text:p>a{frame}<text:ruby>{ruby}</text:ruby></text:p>"
    cell = f"<table:table-cell office:value-type='string'>{inside}</table:table-cell>"
    assert cells(ods(table(cell))) == [["ax"]]


def test_error_in_any_form_is_wrong() -> None:
    """A cell that says it holds an error is wrong, with what it shows."""
    error = 'office:value-type="string" office:string-value="" calcext:value-type="error"'
    [[found]] = cells(ods(table(paragraph("Err:502", error))))
    assert found == {"wrong": "is what a spreadsheet shows for an error: fix the cell",
                     "text": "Err:502"}  # fmt: skip


def test_formula_without_value_is_wrong() -> None:
    """A formula without a value is wrong; one with a value gives it."""
    formula = 'table:formula="of:=1+1"'
    [[open_, right, empty]] = cells(
        ods(
            table(
                f"<table:table-cell {formula}/>"
                + paragraph("2", f'{formula} office:value-type="float" office:value="2"')
                + paragraph("x", f'{formula} office:value-type="string"')
            )
        )
    )
    assert "no program has computed" in open_["wrong"]
    assert (right, empty) == (2, "x")


ZERO = table(paragraph("0", 'table:formula="of:=1-1" office:value-type="float" office:value="0"'))


@pytest.mark.parametrize("program", ["SheetJS 0.18.5", "", "ODFPY/1.4.1"])
def test_stored_zero_of_an_unknown_program_is_wrong(program: str) -> None:
    """A formula with the value 0 is wrong, if no program that computes says that it wrote it."""
    [[found]] = cells(ods(ZERO, program=program))
    assert "enter the value itself, or open the file in LibreOffice" in found["wrong"]


@pytest.mark.parametrize(
    "program",
    [
        "LibreOffice/24.8$Linux", "MicrosoftOffice/16.0 MicrosoftExcel", "ONLYOFFICE/8.1.0",
        "gnumeric/1.12.55", "WPS Office", "Collabora_Office/24.4", "Calligra Sheets 3.2",
    ],
)  # fmt: skip
def test_stored_zero_of_a_program_that_computes_is_its_value(program: str) -> None:
    """A formula with the value 0 is 0, if a program that computes says that it wrote it."""
    assert cells(ods(ZERO, program=program)) == [[0]]


def test_only_the_program_counts_and_no_title() -> None:
    """A title that names a program does not say that this program wrote the file."""
    named = "SheetJS</generator><title>LibreOffice</title><generator>"
    assert "wrong" in cells(ods(ZERO, program=named))[0][0]


def test_formula_with_an_empty_result_is_blank_only_if_computed() -> None:
    """An empty text is a result where a program that computes wrote the file."""
    sheet = table(paragraph("id") + paragraph("", 'table:formula="of:=IF(1;&quot;&quot;;2)"'))
    assert cells(ods(sheet, program="LibreOffice/24.8$Linux")) == [["id"]]
    assert "no program has computed" in cells(ods(sheet))[0][1]["wrong"]


@pytest.mark.parametrize(
    ("value", "shown", "expected"),
    [("1", "TRUE", True), ("0", "FALSE", False), ("1", "WAHR", True), ("0", "FAUX", False)],
)
def test_computed_check_box_is_true_or_false(value: str, shown: str, expected: bool) -> None:
    """LibreOffice stores a computed check box as 1 or 0, and shows a word of its language."""
    formula = f'table:formula="of:=1=1" office:value-type="float" office:value="{value}"'
    sheet = table(paragraph(shown, formula))
    [[found]] = cells(ods(sheet, program="LibreOffice/24.8$Linux"))
    assert found is expected


@pytest.mark.parametrize(("value", "shown"), [("0", "TRUE"), ("2", "TRUE"), ("1", "high")])
def test_number_that_shows_another_word_is_no_check_box(value: str, shown: str) -> None:
    """A number that shows another word than true or false stays a number with a format."""
    cell = paragraph(shown, f'office:value-type="float" office:value="{value}"')
    assert cells(ods(table(cell)))[0][0]["is_same"] is False


@pytest.mark.parametrize(
    ("attributes", "shown", "expected"),
    [
        ('office:value-type="float" office:value="2"', "2", 2),
        ('office:value-type="float" office:value="2.5"', "2,5",
         {"number": 2.5, "shown": "shows as '2,5' by its number format", "is_same": True}),
        ('office:value-type="float" office:value="123"', "00123",
         {"number": 123.0, "shown": "shows as '00123' by its number format", "is_same": True}),
        ('office:value-type="percentage" office:value="0.5"', "50 %",
         {"number": 0.5, "shown": "shows as '50 %' by its number format", "is_same": False}),
        ('office:value-type="float" office:value="0"', "Err:502",
         {"number": 0.0, "shown": "shows as 'Err:502' by its number format", "is_same": False}),
        ('office:value-type="float" office:value="0"', "",
         {"number": 0.0, "shown": "shows as '' by its number format", "is_same": False}),
        ('office:value-type="date" office:date-value="2026-12-01T09:00:00"', "1.12.26 9:00",
         {"date": "2026-12-01T09:00:00"}),
        ('office:value-type="date" office:date-value="2026-12-01"', "x", {"date": "2026-12-01"}),
        ('office:value-type="time" office:time-value="PT36H00M00S"', "36:00", {"time": "36:00:00"}),
        ('office:value-type="boolean" office:boolean-value="true"', "WAHR", True),
        ('office:value-type="string" office:string-value="hidden"', "shown", "shown"),
    ],
)  # fmt: skip
def test_cell_is_its_value_by_type(attributes: str, shown: str, expected: object) -> None:
    """A cell is its value by its type, beside what it shows."""
    assert cells(ods(table(paragraph(shown, attributes)))) == [[expected]]


@pytest.mark.parametrize(
    ("stored", "shown", "is_local"),
    [
        ("2026-12-01T09:30:00.000Z", "2026-12-01 09:30", True),
        ("2026-12-01T21:30:00Z", "1.12.26 9:30 PM", True),
        ("2026-12-01T09:30:00Z", "1. Dez", True),
        ("2026-12-01T09:30:00Z", "", True),
        ("2026-12-01T08:30:00Z", "2026-12-01 09:30", False),
        ("2026-11-30T23:00:00Z", "01.12.26", False),
    ],
)
def test_date_with_z_is_the_local_time_that_it_shows(
    stored: str, shown: str, is_local: bool
) -> None:
    """A stored Z means no time zone; a cell that shows another time is refused."""
    cell = paragraph(shown, f'office:value-type="date" office:date-value="{stored}"')
    [[found]] = cells(ods(table(cell)))
    if is_local:
        assert found == {"date": stored[:19]}
    else:
        assert f"shows as {shown!r}" in found["wrong"]


def test_number_without_a_text_is_its_value() -> None:
    """Some programs store the value of a number alone, without what it shows."""
    cell = '<table:table-cell office:value-type="float" office:value="0"/>'
    assert cells(ods(table(cell))) == [[0]]


def test_date_that_shows_a_time_zone_is_wrong() -> None:
    """A date is a local time: one that shows a time zone is refused."""
    date = 'office:value-type="date" office:date-value="2026-12-01T09:30:00"'
    [[found]] = cells(ods(table(paragraph("2026-12-01 09:30 UTC", date))))
    assert "shows as '…UTC'" in found["wrong"]


def test_merged_and_repeated_cells_keep_their_places() -> None:
    """Merged cells are reported; repeated cells and rows stand where they belong."""
    spanned = paragraph(
        "a", 'table:number-rows-spanned="2" table:number-columns-spanned="2"'
             ' office:value-type="string"'
    )  # fmt: skip
    blanks = '<table:table-cell table:number-columns-repeated="2"/>'
    twice = paragraph("x", 'office:value-type="string" table:number-columns-repeated="2"')
    facts, rows = read(
        ods(
            table(
                f'<table:table-row table:number-rows-repeated="2">{twice}</table:table-row>',
                f"{blanks}{spanned}",
                f"{blanks}<table:covered-table-cell/>{twice}",
            )
        )
    )
    assert rows == [[1, ["x", "x"]], [2, ["x", "x"]], [3, ["", "", "a"]],
                    [4, ["", "", "", "x", "x"]]]  # fmt: skip
    assert [tuple(found) for found in facts["merged"]] == [(3, 3, 4, 4)]


@pytest.mark.parametrize("count", [0, -2])
@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("number-rows-repeated", "row"), ("number-columns-repeated", "cell"),
        ("number-rows-spanned", "cell"), ("number-columns-spanned", "cell"),
    ],
)  # fmt: skip
def test_count_below_one_is_refused(count: int, name: str, of: str) -> None:
    """A row or cell that is there less than once, which would move others, is refused."""
    given = f' table:{name}="{count}"'
    cell = paragraph("x", f'office:value-type="string"{given if of == "cell" else ""}')
    row = f"<table:table-row{given if of == 'row' else ''}>{cell}</table:table-row>"
    assert read(ods(table(row)))[0]["error"] == f"is broken: {name} is {count}"


def test_negative_number_of_blanks_is_refused() -> None:
    """A text that holds less than no blanks is refused; one may hold none."""
    assert cells(ods(table(paragraph('a<text:s text:c="0"/>b')))) == [["ab"]]
    negative = ods(table(paragraph('a<text:s text:c="-1"/>b')))
    assert read(negative)[0]["error"] == "is broken: c is -1"


OTHER = f"<table:table><table:table-row>{paragraph('5')}</table:table-row></table:table>"


@pytest.mark.parametrize(
    "around", ["<table:dde-links><table:dde-link>|</table:dde-link></table:dde-links>",
               "<table:tracked-changes>|</table:tracked-changes>"],
)  # fmt: skip
def test_table_that_is_no_sheet_is_not_read(around: str) -> None:
    """The table of a link, or of tracked changes, is neither a sheet nor a part of one."""
    other = around.replace("|", OTHER)
    for tables in ((table(paragraph("a")), other), (other, table(paragraph("a")))):
        facts, rows = read(ods(*tables))
        assert (facts.get("sheet"), rows) == ("Edits", [[1, ["a"]]])


def test_table_in_a_shape_is_not_read() -> None:
    """The rows of a table in a shape are no rows of the sheet; those of groups are."""
    shape = f"<table:shapes><draw:frame>{OTHER}</draw:frame></table:shapes>"
    row = f"<table:table-row>{paragraph('a')}</table:table-row>"
    inside = (
        f"<table:table-columns><table:table-column/></table:table-columns>"
        f"<table:table-header-rows>{row}</table:table-header-rows>"
        f"<table:table-row-group><table:table-rows>{row}</table:table-rows>"
        f"</table:table-row-group><text:soft-page-break/>{row}"
    )
    sheet = f'<table:table table:name="Edits">{shape}{inside}</table:table>'
    assert read(ods(sheet))[1] == [[1, ["a"]], [2, ["a"]], [3, ["a"]]]


def test_merged_cell_is_merged_wherever_it_is_repeated() -> None:
    """A merged cell that is repeated, or whose row is, is merged in each place."""
    given = 'office:value-type="string" table:number-{}-spanned="2" table:number-{}-repeated="{}"'
    wide = paragraph("x", given.format("columns", "columns", 1))
    tall = paragraph("x", given.format("rows", "columns", 2))
    twice = '<table:table-row table:number-rows-repeated="2">'
    facts, _ = read(ods(table(f"{twice}{wide}<table:covered-table-cell/></table:table-row>", tall)))
    assert facts["merged"] == [(1, 1, 1, 2), (2, 1, 2, 2), (3, 1, 4, 1), (3, 2, 4, 2)]


def test_blank_merged_cells_cost_nothing() -> None:
    """A million rows of blank merged cells are no merged cells."""
    blank = '<table:table-cell table:number-columns-spanned="2"/><table:covered-table-cell/>'
    rest = f'<table:table-row table:number-rows-repeated="1048575">{blank}</table:table-row>'
    facts, rows = read(ods(table(paragraph("id"), rest)))
    assert (facts.get("merged"), rows) == ([], [[1, ["id"]]])


def test_blank_rest_of_a_sheet_costs_nothing() -> None:
    """A million repeated blank rows of 16,384 blank cells add nothing."""
    blank = '<table:table-cell table:number-columns-repeated="16384"/>'
    rest = f'<table:table-row table:number-rows-repeated="1048575">{blank}</table:table-row>'
    facts, rows = read(ods(table(f"{paragraph('id')}{blank}", rest)))
    assert (rows, facts["width"]) == ([[1, ["id"]]], 1)


def test_distant_text_is_named() -> None:
    """A text far to the right or far below is refused by the name of its cell."""
    gap = '<table:table-cell table:number-columns-repeated="16383"/>'
    assert "has text in cell XFD1" in read(ods(table(f"{gap}{paragraph('x')}")))[0]["error"]
    blank = '<table:table-row table:number-rows-repeated="1048576"><table:table-cell/>'
    far = f"{blank}</table:table-row><table:table-row>{paragraph('x')}</table:table-row>"
    assert "has text in cell A1048577" in read(ods(table(far)))[0]["error"]


def test_text_in_too_many_rows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is repeated in more rows than a sheet has is refused by the name of its cell."""
    monkeypatch.setattr("bulkupdate.reader.workbook.rows.MAX_ROWS", 1000)
    rows = f'<table:table-row table:number-rows-repeated="1001">{paragraph("x")}'
    told = read(ods(table(f"{rows}</table:table-row>")))[0]["error"]
    assert "has text in cell A1001, far from all edits: clear the cells beyond row 1,000" in told


def test_hidden_sheet_is_not_read() -> None:
    """The only visible sheet with cells is read; several are refused with their names."""
    properties = '<style:table-properties table:display="false"/>'
    hidden = f'<style:style style:name="ta2">{properties}</style:style>'
    first, second = table(paragraph("a")), table(paragraph("b"), name="More", style="ta2")
    assert read(ods(table(name="Empty"), first, second, styles=hidden))[0]["sheet"] == "Edits"
    assert read(ods(second, first, styles=hidden))[0]["sheet"] == "Edits"
    assert (
        "only on hidden sheets: choose one with {sheet}: 'More'"
        in (read(ods(table(name="Empty"), second, styles=hidden))[0]["error"])
    )
    assert "choose one with {sheet}: 'Edits', 'More'" in read(ods(first, second))[0]["error"]
    facts, rows = read(ods(first, second), "More")
    assert (facts["sheet"], rows) == ("More", [[1, ["b"]]])


def test_locked_or_other_document_is_refused() -> None:
    """A document that needs a password, and one that is no spreadsheet, are refused."""
    locked = ods(table(paragraph("a")), manifest="<file-entry><encryption-data/></file-entry>")
    assert read(locked)[0]["error"] == "is locked by a password: save it without one"
    assert "another kind of document" in read(ods())[0]["error"]
