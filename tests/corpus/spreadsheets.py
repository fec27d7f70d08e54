"""Makes the spreadsheets of the corpus, by the libraries that people make them with.

`pip install -e '.[corpus]'`, and `python -m tests.corpus.spreadsheets` writes them again.
"""

import datetime as dt
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import xlwt

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


if __name__ == "__main__":
    by_openpyxl()
    of_errors()
    of_several_sheets()
    by_pandas()
    by_xlwt()
    archive()
