"""Tests that edits and failed files read back equal in any dialect, encoding and format."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkupdate.models import TaskUpdate
from bulkupdate.reader import Input
from bulkupdate.reader.options import Escapes, ReadOptions
from tests.journal.test_failed import failed_of
from tests.support.texts import CHARACTERS, is_value

NAMES = ["id", "assignedTo", "dueDate", "title", "message", "priority", "done"]

#: Characters that people write, and that each of these encodings has.
LETTERS = "abcXYZ 019,;|\t\"'\n.:-_/éèüöñçßÉÖ"
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "cp1252",
    "latin-1",
    "mac-roman",
]

WORD = st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)


def texts(alphabet: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts for a cell that are their own value."""
    return st.text(alphabet, min_size=1, max_size=20).filter(is_value)


def updates(alphabet: st.SearchStrategy[str]) -> st.SearchStrategy[list[TaskUpdate]]:
    """Lists of edits with any of their fields."""
    some: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {"id": WORD},
        optional={
            "assigned_to": WORD,
            "due_date": st.datetimes(
                datetime(2000, 1, 1),  # noqa: DTZ001
                datetime(2099, 12, 31),  # noqa: DTZ001
                timezones=st.just(UTC),
            ),
            "title": texts(alphabet),
            "message": texts(alphabet) | st.just(""),
            "priority": st.sampled_from(["0", "1", "2", ""]),
            "done": st.booleans(),
        },
    )
    return st.lists(some.map(lambda values: TaskUpdate(**values)), min_size=1, max_size=5)


def cells(update: TaskUpdate) -> list[str]:
    """The cells for an edit."""
    values: dict[str, Any] = {"id": update.id, **update.changes()}
    return ["<clear>" if values.get(name) == "" else str(values.get(name, "")) for name in NAMES]


def table(rows: list[TaskUpdate], delimiter: str, line_end: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([NAMES, *map(cells, rows)])
    return text.getvalue() if line_end == "\r\n" else with_line_end(text.getvalue(), line_end)


def with_line_end(text: str, line_end: str) -> str:
    """A table with other line ends after its records. Its cells are unchanged."""
    pieces = text.split('"')
    pieces[::2] = [piece.replace("\r\n", line_end) for piece in pieces[::2]]
    return '"'.join(pieces)


def bodies(path: Path, **options: Any) -> list[bytes | str]:
    with Input.open(path, options=ReadOptions(**options)) as source:
        return [row.error if row.update is None else row.update.encode() for row in source.rows()]


@pytest.mark.slow
@settings(max_examples=80)
@given(
    updates(st.sampled_from(LETTERS)),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\r\n", "\n", "\r"]),
    st.sampled_from(ENCODINGS),
    st.sampled_from([bytes, gzip.compress, bz2.compress, lzma.compress]),
)
def test_any_dialect_and_encoding_reads_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[TaskUpdate],
    delimiter: str,
    line_end: str,
    encoding: str,
    pack: Callable[[bytes], bytes],
) -> None:
    """Edits in any dialect, encoding and compression read back equal, failed file included."""
    path = tmp_path_factory.mktemp("formats") / "a.csv"
    content = table(rows, delimiter, line_end).encode(encoding)
    path.write_bytes(pack(content))
    chosen = encoding if encoding in ("cp1252", "latin-1", "mac-roman") else None
    escapes: Escapes | None = "none" if delimiter == "\t" else None
    wanted = [row.encode() for row in rows]
    assert bodies(path, encoding=chosen, escapes=escapes) == wanted
    options = ReadOptions(encoding=chosen, escapes=escapes)
    failed = failed_of(path, "Nicht gefunden: «日本»", options)
    assert bodies(failed, encoding=chosen, escapes=escapes) == wanted


@pytest.mark.slow
@settings(max_examples=80)
@given(
    updates(CHARACTERS),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(ENCODINGS[:5]),
)
def test_any_character_reads_back_from_unicode(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[TaskUpdate],
    delimiter: str,
    encoding: str,
) -> None:
    """Edits with any character read back equal from every Unicode encoding."""
    path = tmp_path_factory.mktemp("unicode") / "a.csv"
    path.write_bytes(table(rows, delimiter, "\r\n").encode(encoding))
    escapes: Escapes | None = "none" if delimiter == "\t" else None
    wanted = [row.encode() for row in rows]
    assert bodies(path, escapes=escapes) == wanted
    failed = failed_of(path, options=ReadOptions(escapes=escapes))
    assert bodies(failed, escapes=escapes) == wanted


CELL = st.one_of(
    st.sampled_from(
        ["", "a", " ", "x;y", "x,y", '"', "\r", "\n", "<clear>", "2", "ü", "#N/A", "="]
    ),
    st.text(st.sampled_from(LETTERS), max_size=6),
)


@settings(max_examples=80)
@given(
    st.lists(st.lists(CELL, min_size=1, max_size=6), max_size=5),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.booleans(),
    st.booleans(),
)
def test_failed_file_reads_back_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    delimiter: str,
    encoding: str,
    has_sep_line: bool,
    is_trailing: bool,
) -> None:
    """The failed file of any CSV file reads back to the same edits and format."""
    path = tmp_path_factory.mktemp("failed") / "a.csv"
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    header = ["id", "title", "priority", *[""] * is_trailing]
    writer.writerows([header, *rows])
    sep = f"sep={delimiter}\r\n" * has_sep_line
    path.write_bytes((sep + text.getvalue()).encode(encoding))
    options = ReadOptions(
        encoding=encoding if encoding == "cp1252" else None,
        escapes="none" if delimiter == "\t" else None,
    )
    failed = failed_of(path, options=options)
    with Input.open(path, options=options) as source, Input.open(failed, options=options) as again:
        before, after = list(source.rows()), list(again.rows())
        assert again.info("").encoding == source.info("").encoding
        assert again.info("").delimiter == source.info("").delimiter == delimiter
    assert [row.update for row in after] == [row.update for row in before]


def test_six_formats_make_the_same_bodies(tmp_path: Path) -> None:
    """The same rows in six formats make the same bodies."""
    rows = [
        TaskUpdate(
            id=f"opp_{n:05}",
            assigned_to=f"usr_{n % 7}",
            due_date=f"2026-12-{n % 28 + 1:02}T09:00:00Z",
            title=f"Relancer Zoé – n° {n}",
            priority=str(n % 3),
            done=n % 2 == 0,
        )
        for n in range(300)
    ]
    write_six(tmp_path, rows)
    wanted = [row.encode() for row in rows]
    for path in sorted(tmp_path.iterdir()):
        assert bodies(path) == wanted, path.name


def write_six(directory: Path, rows: list[TaskUpdate]) -> None:
    """The same rows as CSV in several ways, as a spreadsheet, and as JSONL."""
    plain = table(rows, ",", "\n")
    (directory / "utf8.csv").write_bytes(plain.encode())
    (directory / "utf16.csv").write_bytes(plain.encode("utf-16"))
    (directory / "windows.csv").write_bytes(table(rows, ";", "\r\n").encode("cp1252"))
    (directory / "packed.csv.gz").write_bytes(gzip.compress(plain.encode()))
    (directory / "lines.jsonl").write_bytes(b"".join(row.encode() + b"\n" for row in rows))
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Edits")
    sheet.append(NAMES)
    for row in rows:
        values = json.loads(row.encode())
        if values.get("priority"):
            values["priority"] = float(values["priority"])
        sheet.append(["<clear>" if values.get(name) == "" else values.get(name) for name in NAMES])
    book.save(directory / "book.xlsx")
