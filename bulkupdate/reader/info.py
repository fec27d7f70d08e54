"""What an input was found to be."""

from typing import Any

import msgspec


class InputInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, and how.

    Attributes:
        path: as it was given, or `-`.
        sha256: of its bytes, in hexadecimal.
        rows: how many it holds.
        format: `csv`, `tsv`, `jsonl`, `xlsx`, `xls` or `ods`.
        encoding: by Python's name, `utf-8-sig` with a byte order mark; None for a spreadsheet.
        delimiter: between the cells of a row; None where there is none.
        compression: `gzip`, `bzip2`, `xz` or None.
        sheet: of a spreadsheet.
        columns: what was read as which field: column → field. Empty for JSONL.
        passed_over: columns that were not read.
        options: what the user said of the input, as far as it decides what is sent.
        now: what relative dates were counted from, UTC.
    """

    path: str
    sha256: str
    rows: int
    format: str
    encoding: str | None
    delimiter: str | None
    compression: str | None = None
    sheet: str | None = None
    columns: dict[str, str] = {}
    passed_over: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    now: str | None = None
