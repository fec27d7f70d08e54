"""Makes the spreadsheets of the corpus, by the programs that people make them with.

`pip install -e '.[corpus]'`, and `python -m tests.corpus.spreadsheets` writes them again. Those of
other languages need their programs: from Debian `gnumeric`, `libexcel-writer-xlsx-perl` and
`libspreadsheet-writeexcel-perl`, and from npm, in the folder in NODE_PATH, `xlsx@0.18.5` and
`exceljs@4`. `python -m tests.corpus.spreadsheets NAME…` calls single functions.
"""

import datetime as dt
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import msoffcrypto.format.ooxml
import odf.opendocument
import odf.table
import odf.text
import openpyxl
import openpyxl.cell.rich_text as rich
import pandas as pd
import pyexcelerate
import xlsxwriter
import xlwt

from tests.support import books

HERE = Path(__file__).parent


def by_openpyxl() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Edits"
    nine = dt.datetime(2026, 12, 1, 9, 0)
    for row in (
        [],
        ["Task ID", "Due Date", "title", "priority", "done"],
        ["opp_1", nine, "Zoé", 2.0, True],
        [],
        ["opp_2", dt.date(2026, 12, 2), None, 0, False],
        [123456, None, None, None, None],
        [None, None, " ", None, None],
        ["opp_3", dt.time(9, 0), None, None, None],
        ["opp_4", None, dt.date(2026, 12, 1), None, None],
        [123456789012345678, None, None, None, None],
    ):
        sheet.append(row)
    book.create_sheet("Empty")
    book.save(HERE / "openpyxl.xlsx")

    book = openpyxl.Workbook()
    book.active.title = "Edits"
    book.active.append(["id", "dueDate"])
    book.active.append(["opp_1", nine])
    book.save(HERE / "openpyxl-no-zone.xlsx")


def of_errors() -> None:
    book = openpyxl.Workbook()
    book.create_sheet("Edits")
    del book["Sheet"]
    for row in (
        [None, "id", "assignedTo", "title"],
        [None, "opp_1", "#N/A", "x"],
        [None, "opp_2", "usr_a", "#REF!"],
        [None, "opp_3", "usr_a", "fine"],
    ):
        book["Edits"].append(row)
    book.save(HERE / "errors.xlsx")


def of_several_sheets() -> None:
    for name, state in (
        ("two-sheets", "visible"),
        ("two-sheets-said", "visible"),
        ("hidden-sheet", "hidden"),
    ):
        book = openpyxl.Workbook()
        book.active.title = "Edits"
        more = book.create_sheet("More")
        more.sheet_state = state
        for sheet, task in ((book.active, "opp_1"), (more, "opp_2")):
            sheet.append(["id", "done"])
            sheet.append([task, True])
        book.save(HERE / f"{name}.xlsx")
    openpyxl.Workbook().save(HERE / "empty-workbook.xlsx")


def by_pandas() -> None:
    frame = pd.DataFrame(
        {
            "id": ["opp_1", "opp_2"],
            "dueDate": [dt.datetime(2026, 12, 1, 9, 30), None],
            "priority": [1.0, 2.0],
        }
    )
    frame.to_excel(HERE / "pandas.xlsx", index=False)
    frame.to_excel(HERE / "pandas.ods", index=False, engine="odf")
    frame.assign(priority=frame.priority.astype(int)).to_csv(HERE / "pandas.csv", index=False)


def by_xlwt() -> None:
    book = xlwt.Workbook(encoding="utf-8")
    sheet = book.add_sheet("Tâches")
    for column, name in enumerate(["id", "dueDate", "title", "done"]):
        sheet.write(0, column, name)
    sheet.write(1, 0, "opp_1")
    sheet.write(1, 1, dt.datetime(2026, 12, 1, 9), xlwt.easyxf(num_format_str="DD/MM/YYYY HH:MM"))
    sheet.write(1, 2, "Zoé")
    sheet.write(1, 3, True)
    book.save(HERE / "xlwt.xls")


def archive() -> None:
    with zipfile.ZipFile(HERE / "zip-of-a-csv.zip", "w") as packed:
        packed.writestr("edits.csv", "id,done\nopp_1,yes\n")


def by_xlsxwriter() -> None:
    book = xlsxwriter.Workbook(HERE / "xlsxwriter.xlsx")
    sheet = book.add_worksheet("Edits")
    sheet.write_row(0, 0, ["id", "title", "dueDate", "priority", "done"])
    date = book.add_format({"num_format": "dd/mm/yyyy hh:mm"})
    sheet.write_row(1, 0, ["opp_1", "Zoé 😀"])
    sheet.write_datetime(1, 2, dt.datetime(2026, 12, 1, 9), date)
    sheet.write_row(1, 3, [2, True])
    # It computes no formula, and stores 0 unless it is given a value.
    sheet.write_row(2, 0, ["opp_2", "formulas", None, "=1+1", "=1=1"])
    sheet.write_string(3, 0, "opp_3")
    sheet.write_formula(3, 3, "=1+1", None, 2)
    sheet.write_number(4, 0, 42, book.add_format({"num_format": '"usr_"000'}))
    sheet.write_row(5, 0, ["opp_5", "percent", None])
    sheet.write_number(5, 3, 2, book.add_format({"num_format": "0%"}))
    sheet.write_row(6, 0, ["opp_6", "decimals", None])
    sheet.write_number(6, 3, 2, book.add_format({"num_format": "0.00"}))
    book.close()


def of_openpyxl_cells() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Edits"
    bold = rich.TextBlock(rich.InlineFont(b=True), "bold")
    for row in (
        ["id", "title", "message"],
        ["opp_1", rich.CellRichText("Call ", bold), "wide"],
        ["opp_2", "one\ntwo\tthree", None],
        ["opp_3", "over two rows", None],
        ["opp_4", None, "below"],
    ):
        sheet.append(row)
    sheet.merge_cells("B4:B5")
    sheet.merge_cells("C2:D2")
    book.save(HERE / "openpyxl-merged.xlsx")


def by_pyexcelerate() -> None:
    nine = dt.datetime(2026, 12, 1, 9)
    rows = [
        ["id", "title", "dueDate", "priority", "done"],
        ["opp_1", "Zoé 😀", nine, 2, True],
        ["opp_2", "a, b", None, 1.0, False],
    ]
    book = pyexcelerate.Workbook()
    book.new_sheet("Edits", data=rows)
    book.save(str(HERE / "pyexcelerate.xlsx"))


def by_odfpy() -> None:
    book = odf.opendocument.OpenDocumentSpreadsheet()
    sheet = odf.table.Table(name="Edits")
    for values in (
        ["id", "title", "priority"],
        ["opp_1", "Zoé 😀", 2],
        ["opp_2", "formula", None],
    ):
        row = odf.table.TableRow()
        for value in values:
            if isinstance(value, int):
                row.addElement(odf.table.TableCell(valuetype="float", value=value))
            elif value is None:
                row.addElement(odf.table.TableCell(formula="of:=1+1"))
            else:
                cell = odf.table.TableCell(valuetype="string")
                cell.addElement(odf.text.P(text=value))
                row.addElement(cell)
        sheet.addElement(row)
    book.spreadsheet.addElement(sheet)
    book.save(HERE / "odfpy.ods")


def of_xlwt_cells() -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Edits")
    for column, name in enumerate(["id", "title", "priority"]):
        sheet.write(0, column, name)
    # An emoji stands over the border of two records of the file.
    long = "ü" * 4_105 + "😀" * 3
    for number, (task, title) in enumerate(
        [("opp_1", long), ("opp_2", "formula"), ("opp_3", "error"), ("opp_4", None)], 1
    ):
        sheet.write(number, 0, task)
        if title:
            sheet.write(number, 1, title)
    sheet.write(2, 2, xlwt.Formula("1+1"))
    sheet.row(3).set_cell_error(2, 0x07)
    sheet.write_merge(4, 5, 1, 1, "merged")
    sheet.write(5, 0, "opp_5")
    sheet.write(6, 0, 123, xlwt.easyxf(num_format_str="00000000"))
    book.save(HERE / "xlwt-cells.xls")


def by_msoffcrypto() -> None:
    plain = io.BytesIO((HERE / "hidden-sheet.xlsx").read_bytes())
    with (HERE / "locked.xlsx").open("wb") as locked:
        msoffcrypto.format.ooxml.OOXMLFile(plain).encrypt("secret", locked)


def of_strict_form() -> None:
    row = "<row>{}</row>".format
    cells = (
        *(books.text(name) for name in ("id", "dueDate", "title")),
        books.text("opp_1"), '<c t="d"><v>2026-12-01T09:00:00</v></c>', books.text("a_x000D_b"),
        books.text("opp_2"), '<c t="e"><v>#N/A</v></c>', books.text("b"),
    )  # fmt: skip
    rows = "".join(row("".join(cells[at : at + 3])) for at in (0, 3, 6))
    (HERE / "strict.xlsx").write_bytes(books.xlsx(rows, main=books.STRICT))


def by_perl() -> None:
    subprocess.run(["perl", HERE / "programs" / "write.pl"], cwd=HERE, check=True)


def by_node() -> None:
    subprocess.run(["node", HERE / "programs" / "write.cjs"], cwd=HERE, check=True)


def by_gnumeric() -> None:
    for kind, suffix in (("Gnumeric_Excel:xlsx2", "xlsx"), ("Gnumeric_Excel:excel_biff8", "xls"),
                         ("Gnumeric_Excel:excel_biff7", "95.xls"),
                         ("Gnumeric_OpenCalc:odf", "ods")):  # fmt: skip
        command = ["ssconvert", "-T", kind, "exceljs.xlsx", f"gnumeric.{suffix}"]
        subprocess.run(command, cwd=HERE, check=True)


if __name__ == "__main__":
    made = [
        *(by_openpyxl, of_errors, of_several_sheets, by_pandas, by_xlwt, archive, by_xlsxwriter),
        *(of_openpyxl_cells, by_pyexcelerate, by_odfpy, of_xlwt_cells, by_msoffcrypto),
        *(of_strict_form, by_perl, by_node, by_gnumeric),
    ]
    for make in made:
        if len(sys.argv) == 1 or make.__name__ in sys.argv:
            make()
