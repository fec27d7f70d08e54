"""The facts about an input: its format, encoding, columns and options."""

from typing import Any

import msgspec


class InputInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The facts about an input, and how bulkupdate reads it.

    Attributes:
        path: the path that the user gave, or `-`.
        sha256: the SHA-256 of its bytes, in hexadecimal.
        rows: number of rows.
        format: `csv`, `tsv`, `jsonl`, `xlsx`, `xls` or `ods`.
        encoding: Python's name of the encoding, `utf-8-sig` with a byte order mark; None for a
            spreadsheet.
        encoding_words: words that show whether a guessed encoding is right, those first that
            another encoding would read otherwise; empty where nothing was guessed.
        delimiter: the delimiter between the cells of a row; None where the format has none.
        compression: `gzip`, `bzip2`, `xz` or None.
        sheet: the name of the sheet in a spreadsheet; None for other formats.
        columns: column → field that it stands for. Empty for JSONL.
        passed_over: columns that bulkupdate ignored.
        options: the user's options that decide which edits are sent.
        now: the time from which relative dates count, UTC.
    """

    path: str
    sha256: str
    rows: int
    format: str
    encoding: str | None
    encoding_words: tuple[str, ...] = ()
    delimiter: str | None
    compression: str | None = None
    sheet: str | None = None
    columns: dict[str, str] = {}
    passed_over: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    now: str | None = None

    @property
    def has_accounts(self) -> bool:
        """Whether its rows were read as those of accounts."""
        return self.options.get("accounts_sha256") is not None
