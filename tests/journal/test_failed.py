"""Tests of the file of unsuccessful rows, which a user can fix and run again."""

import codecs
import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkupdate.errors import JournalError
from bulkupdate.journal.failed import FailedFile
from bulkupdate.models import ErrorInfo, Outcome, Result
from bulkupdate.reader import Input
from bulkupdate.reader.options import Escapes, ReadOptions
from tests.support.fakes import open_files
from tests.support.texts import CHARACTERS

Write = Callable[..., Path]


def failed_of(path: Path, message: str = "Bad team", options: ReadOptions | None = None) -> Path:
    """The file of failed rows of an input in which all rows failed."""
    with Input.open(path, options=options) as source:
        failed_path = path.with_name(f"failed.{source.format.failed}")
        failed = FailedFile(failed_path, source)
        for row in source.rows():
            error = ErrorInfo("bad_request", message)
            result = Result(
                row=row.number, id=row.id, outcome=Outcome.FAILED, attempts=1, at="", error=error
            )
            failed.append(row, result)
        failed.finish(lambda: None)
        failed.close()
    return failed_path


@pytest.mark.parametrize(
    ("line", "escapes"),
    [
        ('opp_1\tsay "hi"\\n\\tC:\\\\x', "backslash"),
        ("opp_1\tC:\\new\\temp", "none"),
        ("opp_1\tplain", None),
    ],
)
def test_failed_rows_with_backslashes_read_back(
    write: Write, line: str, escapes: Escapes | None
) -> None:
    """The failed file of a tab-separated file reads back with the same flags."""
    options = ReadOptions(escapes=escapes)
    path = write("a.tsv", "id\ttitle", line)
    failed = failed_of(path, "Bad title 'a\\nb' in C:\\temp", options)
    with Input.open(path, options=options) as source, Input.open(failed, options=options) as again:
        assert [row.update for row in again.rows()] == [row.update for row in source.rows()]


def test_input_columns_come_first_unchanged(write: Write) -> None:
    """The failed file has the input's columns first and unchanged, then three added ones."""
    path = failed_of(write("a.csv", "id,title,priority", 'a,"x, ""y""",HIGH', "b,,"))
    assert list(csv.reader(path.read_text().splitlines())) == [
        ["id", "title", "priority", "bulkupdate_row", "bulkupdate_outcome", "bulkupdate_error"],
        ["a", 'x, "y"', "HIGH", "1", "failed", "Bad team"],
        ["b", "", "", "2", "failed", "Bad team"],
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_failing_twice_adds_the_columns_once(write: Write) -> None:
    """A row that fails again has the added columns once, with the new error."""
    once = failed_of(write("a.csv", "id,title", "a,b"))
    again = once.rename(once.with_name("again.csv"))
    twice = failed_of(again, "Other")
    assert twice.read_text().splitlines() == [
        "id,title,bulkupdate_row,bulkupdate_outcome,bulkupdate_error",
        "a,b,1,failed,Other",
    ]


def test_jsonl_objects_keep_keys_and_gain_three(write: Write) -> None:
    """A JSONL failed file keeps each object and adds three keys; a broken line stays."""
    path = failed_of(write("a.jsonl", {"id": "a", "title": "Zoé", "bulkupdate_row": 9}, "{broken"))
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first) == {
        "id": "a",
        "title": "Zoé",
        "bulkupdate_row": 1,
        "bulkupdate_outcome": "failed",
        "bulkupdate_error": "Bad team",
    }
    assert second == "{broken"


def test_byte_order_mark_and_tabs_are_kept(tmp_path: Path) -> None:
    """The failed file keeps the byte order mark and the tabs of the input."""
    path = tmp_path / "a.tsv"
    path.write_bytes(codecs.BOM_UTF8 + "id\ttitle\na\tZoé\n".encode())
    content = failed_of(path).read_bytes()
    assert content.startswith(codecs.BOM_UTF8 + b"id\ttitle\tbulkupdate_row")


@pytest.mark.parametrize("start", [*"=+-@＝＋－＠\t\n"])
def test_error_never_becomes_a_formula(write: Write, start: str) -> None:
    """An error that a spreadsheet would take for a formula gets an apostrophe before it."""
    path = failed_of(write("a.csv", "id,title", "a,=1+1"), f"{start}cmd")
    (row,) = csv.DictReader(path.read_text(encoding="utf-8").splitlines(keepends=True))
    assert row["bulkupdate_error"] == f"'{start}cmd"
    assert row["title"] == "=1+1"


def test_row_of_wrong_width_stays_wrong(write: Write) -> None:
    """A row with too few or too many cells stays wrong in the failed file."""
    path = write(
        "a.csv", "id,bulkupdate_row,bulkupdate_outcome,bulkupdate_error", "a", "b,c", "d,e,f"
    )
    with Input.open(failed_of(path)) as source:
        assert [bool(row.problems) for row in source.rows()] == [True, True, True]


CELL = st.text(
    CHARACTERS,
    max_size=8,
)


@settings(max_examples=80)
@given(st.lists(st.lists(CELL, max_size=6), max_size=5))
def test_failed_rows_read_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]
) -> None:
    """Every row of the failed file reads back as valid or as invalid as before."""
    path = tmp_path_factory.mktemp("failed") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "title", "priority"], *table])
    with Input.open(path) as source, Input.open(failed_of(path)) as again:
        before, after = list(source.rows()), list(again.rows())
    assert [row.update for row in after] == [row.update for row in before]


def test_unwritable_failed_file_raises_an_error(write: Write, tmp_path: Path) -> None:
    """A failed file that cannot be opened or written raises a journal error."""
    with (
        Input.open(write("a.csv", "id", "a")) as source,
        pytest.raises(JournalError, match="opened"),
    ):
        FailedFile(tmp_path / "none" / "failed.csv", source)
    with Input.open(write("a.csv", "id", "a")) as source:
        before = open_files()
        with pytest.raises(JournalError, match="written"):
            FailedFile(Path("/dev/full"), source)
        assert open_files() <= before
