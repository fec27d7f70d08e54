"""Read a sheet of a spreadsheet in a separate process: `python workbook.py [SHEET] < FILE`.

The file may come from anywhere, and a few of its bytes can ask for any amount of memory. So the
process has a memory limit, and only this process dies when it reaches the limit. It runs as a
script and imports nothing from bulkupdate. It writes a line of JSON that names the sheet to stdout,
then one line for each row::

    {"sheet": "Edits"}
    [2, ["opp_1", 2.0, true, {"date": "2026-12-01T09:00:00"}, {"time": "09:00:00"}, ""]]

or one line with an error: `{"error": …}`.
"""

import contextlib
import datetime as dt
import io
import json
import re
import resource
import sys
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

_BOOK, _LINKS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_CELL = re.compile(rb"<c\b([^>]*[^/>])>(.*?)</c>", re.DOTALL)
_IS_ERROR = re.compile(rb"""\bt=["']e["']""")
_REFERENCE = re.compile(rb"""\br=["']([A-Z]{1,3})(\d{1,7})["']""")
_VALUE = re.compile(rb"<v>([^<]+)</v>")

#: Memory limit of this process, in bytes. A million rows of ten columns take a quarter of it.
MEMORY = 2 << 30


def lines(file: bytes, wanted: str | None) -> Iterator[Any]:
    """The lines to write, as JSON values."""
    import python_calamine

    try:
        workbook = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file))
        name, error = _chosen(workbook, wanted)
        if error:
            yield {"error": error}
            return
        sheet = workbook.get_sheet_by_name(name)
        errors = _error_cells(file, name) if zipfile.is_zipfile(io.BytesIO(file)) else {}
    except python_calamine.PasswordError:
        yield {"error": "is locked by a password: save it without one"}
        return
    except (python_calamine.CalamineError, python_calamine.ZipError) as error:
        yield {
            "error": f"can't be read as a spreadsheet ({error}): if it is an archive, unpack it"
            " first"
        }
        return
    yield {"sheet": name}
    # The rows start with the first row of the sheet, the cells with the first filled column.
    first = sheet.start[1] if sheet.start is not None else 0
    for number, values in enumerate(sheet.iter_rows(), 1):
        cells = [_plain(value) for value in values]
        for column, text in errors.get(number, ()):
            cells[column - first :] = [text, *cells[column - first + 1 :]]
        if any(cell != "" for cell in cells):
            yield number, cells


def _error_cells(file: bytes, name: str) -> dict[int, list[tuple[int, str]]]:
    """The cells of an .xlsx sheet that hold an error: row, from 1 → columns and texts.

    A formula that no spreadsheet has calculated counts as an error too. The library reads both as
    blank, and a blank cell would leave its field unchanged without a message.
    """
    errors: dict[int, list[tuple[int, str]]] = {}
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        part = _part_of(archive, name)
        content = archive.read(part) if part in archive.namelist() else b""
    is_suspect = b"<f" in content or _IS_ERROR.search(content)
    for attributes, inside in _CELL.findall(content) if is_suspect else ():
        reference = _REFERENCE.search(attributes)
        is_open = b"<f" in inside and not _VALUE.search(inside) and b'"str"' not in attributes
        if reference and (is_open or _IS_ERROR.search(attributes)):
            column = 0
            for letter in reference[1]:
                column = column * 26 + letter - 64
            found = _VALUE.search(inside)
            text = found[1].decode() if found else "#VALUE! (a formula without a value)"
            errors.setdefault(int(reference[2]), []).append((column - 1, text))
    return errors


def _part_of(archive: zipfile.ZipFile, name: str) -> str:
    """The name of the file that holds a sheet in an .xlsx archive; "" without one."""
    names = set(archive.namelist())
    if not {_BOOK, _LINKS} <= names:
        return ""
    links = {
        link.get("Id"): link.get("Target", "")
        for link in ElementTree.fromstring(archive.read(_LINKS))  # noqa: S314 - memory is limited
    }
    for sheet in ElementTree.fromstring(archive.read(_BOOK)).iter(f"{_MAIN}sheet"):  # noqa: S314
        if sheet.get("name") == name:
            target = links.get(sheet.get(f"{_RELATION}id"), "")
            return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    return ""


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date):
        return {"date": value.isoformat()}
    if isinstance(value, dt.time | dt.timedelta):
        return {"time": str(value)}
    return "" if value is None else value


def _chosen(workbook: "CalamineWorkbook", wanted: str | None) -> tuple[str, str]:
    """The name of the sheet to read, and the error if there is none to read."""
    import python_calamine

    sheets = [
        sheet
        for sheet in workbook.sheets_metadata
        if sheet.typ is python_calamine.SheetTypeEnum.WorkSheet
    ]
    if wanted is not None:
        names = ", ".join(repr(sheet.name) for sheet in sheets)
        exists = any(sheet.name == wanted for sheet in sheets)
        return wanted, "" if exists else f"there is no sheet {wanted!r}: the sheets are {names}"
    full = [
        sheet.name
        for sheet in sheets
        if sheet.visible is python_calamine.SheetVisibleEnum.Visible
        and workbook.get_sheet_by_name(sheet.name).height > 0
    ]
    if len(full) > 1:
        names = ", ".join(map(repr, full))
        return "", f"has several sheets: choose one with {{sheet}}: {names}"
    return (full[0], "") if full else ("", "the file is empty")


def main() -> None:
    """Read a spreadsheet from stdin and write its rows to stdout."""
    with contextlib.suppress(ValueError, OSError):
        # Not every system has this limit.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    file = sys.stdin.buffer.read()
    for line in lines(file, sys.argv[1] if len(sys.argv) > 1 else None):
        sys.stdout.write(f"{json.dumps(line)}\n")


if __name__ == "__main__":
    main()
