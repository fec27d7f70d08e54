"""Tests of turning records into rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import InputError
from bulkupdate.models import Row
from bulkupdate.reader import Input, ReadOptions

Write = Callable[..., Path]


def rows_of(path: Path) -> list[Row]:
    with Input.open(path) as source:
        return list(source.rows())


@pytest.mark.parametrize("word", ["title", "assigned_to", "message"])
def test_id_may_be_the_name_of_a_column(write: Write, word: str) -> None:
    """A task whose id is the name of a column is an ordinary row."""
    first, second = rows_of(write("a.csv", "id,title", f"{word},Call Ben", "a,title"))
    assert (first.id, second.id) == (word, "a")
    assert first.problems == ()
    assert first.update is not None
    assert first.update.changes() == {"title": "Call Ben"}


@pytest.mark.parametrize(
    ("owner", "wrong"), [("anna@acme.example", ["title"]), (" ", ["assignedTo", "title"])]
)
def test_owner_that_is_named_hides_no_other_problem(
    tmp_path: Path, owner: str, wrong: list[str]
) -> None:
    """Where an owner need not be an id, every problem of an object is told all the same."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"id": "opp_1", "assignedTo": owner, "title": 5}))
    with Input.open(path, options=ReadOptions(people=True)) as source:
        (row,) = source.rows()
    assert [problem.field for problem in row.problems] == wrong


def test_key_of_another_name_hides_no_other_problem(tmp_path: Path) -> None:
    """Where a field is called otherwise than before, the keys after it are looked at too."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a", "title": "T"}\n{"id": "b", "Title": "U", "done": "perhaps"}\n')
    _, row = rows_of(path)
    assert "is called 'title' in row 1" in row.error
    assert "is neither true nor false" in row.error


@pytest.mark.parametrize(
    "again",
    ["id,title", "id, title ", " id , title ", "\ufeffid,title", "ID,Title", "Task ID,TITLE"],
)
def test_repeated_header_is_an_invalid_row(write: Write, again: str) -> None:
    """A record that repeats the header is invalid, and the rows around it are read."""
    first, header, last = rows_of(write("a.csv", "id,title", "a,T", again, "b,U"))
    assert "repeats the header" in header.error
    assert (first.id, last.id) == ("a", "b")
    assert (header.number, header.line) == (2, 3)


@pytest.mark.parametrize("record", ["T", "T,U", "T,U,a,b"])
def test_record_of_another_width_shows_its_id_if_it_has_one(tmp_path: Path, record: str) -> None:
    """A row with too few or too many cells is invalid, wherever its id would be."""
    path = tmp_path / "a.csv"
    path.write_text(f"title,message,id\nT,M,opp_1\n{record}\n")
    _, row = rows_of(path)
    assert row.update is None
    assert row.id == ("a" if record.count(",") > 1 else "")


def test_record_that_is_too_short_for_its_rule_has_none(tmp_path: Path) -> None:
    """A row of a failed file that has lost its last cell is invalid, and of no rule."""
    path = tmp_path / "a.csv"
    path.write_text("id,title,bulkupdate_rule\nopp_1,T,nightly\nopp_2,T\n")
    first, second = rows_of(path)
    assert (first.rule, second.rule) == ("nightly", None)
    assert second.update is None


def test_columns_that_two_delimiters_may_separate_are_asked_about(tmp_path: Path) -> None:
    """Where no delimiter is likelier than another, the user has to choose."""
    path = tmp_path / "a.csv"
    path.write_text("id;x\ttitle\nopp_1;x\tT\n")
    with pytest.raises(InputError, match=r"separated by ';' or '\\t': choose one with delimiter"):
        rows_of(path)


def test_repeated_header_is_known_with_ignored_columns(write: Write) -> None:
    """Names that are ignored may have another case too, and one may begin as ids do."""
    path = write("a.csv", "id,title,Notes", "opp_1,T,n", "ID,TITLE,notes", "opp_2,U,n")
    with Input.open(path, options=ReadOptions(ignore_extra=True)) as source:
        assert ["repeats the header" in row.error for row in source.rows()] == [False, True, False]
    path = write("a.csv", "opp_id,title", "opp_1,T", "opp_id,title", "opp_2,U")
    with Input.open(path, options=ReadOptions(mapping={"opp_id": "id"})) as source:
        assert ["repeats the header" in row.error for row in source.rows()] == [False, True, False]


@pytest.mark.parametrize("name", ["#", "№", "-"])
def test_row_without_an_id_is_no_header(write: Write, name: str) -> None:
    """Where the column of the id has a sign for a name, a line of totals is an invalid row."""
    path = write("a.csv", f"{name},title", "opp_1,T", ",Total")
    with Input.open(path, options=ReadOptions(mapping={name: "id"})) as source:
        _, total = source.rows()
    assert "is empty: enter the id of the task" in total.error


@pytest.mark.parametrize(
    ("header", "other", "options"),
    [
        ("id,title", "id,message", {}),
        ("id,title,message", "id,message,title", {}),
        ("id,title,message", "ID,Message,Title", {}),
        ("id,title,message", "Task ID,Text,Subject", {}),
        ("id,title,message", "title,id,message", {}),
        ("id,title,notes", "id,notes,title", {"ignore_extra": True}),
        ("id,title,notes", "ID,Notes,Title", {"ignore_extra": True}),
        ("Task,title", "Task,message", {"mapping": {"Task": "id"}}),
        ("id,title", "Notes,id", {"ignore_extra": True}),
        ("opp_id,title", "opp_id,message", {"mapping": {"opp_id": "id"}}),
        ("Task,title", "id,message", {"mapping": {"Task": "id"}}),
    ],
)
def test_other_header_refuses_the_file(
    write: Write, header: str, other: str, options: dict[str, Any]
) -> None:
    """A record that names other columns refuses the file: its cells have another meaning."""
    path = write("a.csv", header, "a,T,M"[: 2 * header.count(",") + 1], other, "b,U")
    with (
        Input.open(path, options=ReadOptions(**options)) as source,
        pytest.raises(InputError, match="line 3 is another header, with other columns"),
    ):
        list(source.rows())


def test_record_of_another_width_says_what_to_do(write: Write) -> None:
    """A record with too many or too few cells says how many it has, and what to do."""
    many, few = rows_of(write("a.csv", "id,title,done", "a,b,c,d", "e"))
    assert "has 4 cells where the header has 3: put text with a delimiter" in many.error
    assert "has 1 cell where the header has 3: add the missing cells" in few.error
