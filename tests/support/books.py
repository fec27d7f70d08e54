"""Spreadsheets made of XML, for cells that no library writes."""

import io
import json
import zipfile
from typing import Any

from bulkupdate.reader.workbook import __main__ as workbook

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"

_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_BOOK = (
    '<workbook xmlns="{main}" xmlns:r="{links}"><workbookPr{book}/><sheets>'
    '<sheet name="Edits" sheetId="1" r:id="rId1"/></sheets><calcPr{calc}/></workbook>'
)
_NAMESPACES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "table", "text", "style", "draw")
)
_CALCEXT = 'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'


def archive(parts: dict[str, str]) -> bytes:
    """An archive of these parts."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return target.getvalue()


def xlsx(
    sheet: str, *, codes: tuple[str, ...] = (), strings: str = "", book: str = "", calc: str = "",
    program: str = "", main: str = MAIN,
) -> bytes:  # fmt: skip
    """A workbook of one sheet.

    Args:
        sheet: the XML of its rows, and what follows them after a `|`.
        codes: the number formats of the styles from 1 on.
        strings: the XML of its shared texts.
        book: attributes of the workbook.
        calc: attributes of its calculation.
        program: the program that says that it wrote the file.
        main: the namespace.
    """
    rows, _, rest = sheet.partition("|")
    formats = "".join(
        f'<numFmt numFmtId="{170 + n}" formatCode="{code}"/>' for n, code in enumerate(codes)
    )
    styles = "".join(f'<xf numFmtId="{170 + n}"/>' for n in range(len(codes)))
    links = _LINKS if main == MAIN else "http://purl.oclc.org/ooxml/officeDocument/relationships"
    return archive(
        {
            "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
            f'Type="{links}/officeDocument" Target="xl/workbook.xml"/><Relationship Id="rId2" '
            f'Type="{links}/extended-properties" Target="docProps/app.xml"/></Relationships>',
            "docProps/app.xml": f"<Properties><Application>{program}</Application></Properties>",
            "xl/workbook.xml": _BOOK.format(main=main, links=links, book=book, calc=calc),
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">'
            + "".join(
                f'<Relationship Id="rId{n}" Type="{links}/{kind}" Target="{target}"/>'
                for n, (kind, target) in enumerate(
                    (
                        ("worksheet", "worksheets/sheet1.xml"),
                        ("styles", "styles.xml"),
                        ("sharedStrings", "/xl/sharedStrings.xml"),
                    ),
                    1,
                )
            )
            + "</Relationships>",
            "xl/styles.xml": f'<styleSheet xmlns="{main}"><numFmts>{formats}</numFmts>'
            f'<cellStyleXfs><xf numFmtId="9"/></cellStyleXfs><cellXfs><xf numFmtId="0"/>{styles}'
            "</cellXfs></styleSheet>",
            "xl/sharedStrings.xml": f'<sst xmlns="{main}">{strings}</sst>',
            "xl/worksheets/sheet1.xml": sheet
            if sheet.startswith("<?")
            else f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData>{rest}</worksheet>',
        }
    )


def text(value: str, name: str = "") -> str:
    """A cell that holds a text."""
    named = f' r="{name}"' if name else ""
    return f'<c{named} t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'


def ods(*tables: str, styles: str = "", manifest: str = "", program: str = "") -> bytes:
    """A spreadsheet in OpenDocument.

    Args:
        tables: the XML of each sheet.
        styles: the XML of its styles.
        manifest: the XML in its manifest.
        program: the program that says that it wrote the file.
    """
    return archive(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "META-INF/manifest.xml": f"<manifest>{manifest}</manifest>",
            "meta.xml": f"<meta><generator>{program}</generator></meta>",
            "content.xml": f"<office:document-content {_NAMESPACES} {_CALCEXT}>"
            f"<office:automatic-styles>{styles}</office:automatic-styles><office:body>"
            f"<office:spreadsheet>{''.join(tables)}</office:spreadsheet></office:body>"
            "</office:document-content>",
        }
    )


def table(*rows: str, name: str = "Edits", style: str = "ta1") -> str:
    """The XML of a sheet of these rows."""
    inside = "".join(
        row if row.startswith("<table:table-row") else f"<table:table-row>{row}</table:table-row>"
        for row in rows
    )
    return f'<table:table table:name="{name}" table:style-name="{style}">{inside}</table:table>'


def paragraph(inside: str, attributes: str = 'office:value-type="string"') -> str:
    """The XML of a cell that shows a text."""
    return f"<table:table-cell {attributes}><text:p>{inside}</text:p></table:table-cell>"


def read(content: bytes, wanted: str | None = None) -> tuple[dict[str, Any], list[Any]]:
    """The facts and the rows of a sheet, without a process of its own."""
    rows = io.BytesIO()
    facts = workbook.read(io.BytesIO(content), wanted, rows)
    return facts, [json.loads(line) for line in rows.getvalue().splitlines()]


def cells(content: bytes) -> list[Any]:
    """The cells of all rows. They are read without an error."""
    facts, rows = read(content)
    assert "error" not in facts, facts
    return [row for _, row in rows]
