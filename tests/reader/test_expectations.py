"""Expectations: what a task must be like for its row to be sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, InputError
from bulkupdate.models import Row
from bulkupdate.reader import Input, ReadOptions


def rows(text: str, tmp_path: Path, name: str = "edits.csv", **options: Any) -> list[Row]:
    """The rows of a file with this text."""
    path = tmp_path / name
    path.write_text(text)
    with Input.open(path, options=ReadOptions(**options)) as source:
        return [*source.rows()]


def test_columns_hold_expectations(tmp_path: Path) -> None:
    """A column of expectations is read by the rules of its field, and is not sent."""
    text = "id,title,expect.title,EXPECT.Due Date,expect.priority\n"
    text += "opp_1,New,Old,2026-01-31T08:58+01:00,high\n"
    (row,) = rows(text, tmp_path)
    assert row.update is not None
    assert row.update.changes() == {"title": "New"}
    assert row.expect == {"title": "Old", "dueDate": "2026-01-31T07:58:00.000Z", "priority": "2"}


def test_blank_expects_nothing_and_clear_expects_empty(tmp_path: Path) -> None:
    """A blank cell expects nothing; the clear token expects an empty field, also of a date."""
    text = "id,title,expect.title,expect.dueDate\nopp_1,New,,\nopp_2,New,<clear>,<CLEAR>\n"
    blank, empty = rows(text, tmp_path)
    assert blank.expect is None
    assert empty.expect == {"title": "", "dueDate": ""}


def test_wrong_expectation_makes_its_row_invalid(tmp_path: Path) -> None:
    """An expectation that breaks a rule is a problem that names its column."""
    (row,) = rows("id,title,expect.priority\nopp_1,New,urgent\n", tmp_path)
    assert row.update is None
    assert row.error.startswith("expect.priority 'urgent': is not a priority")


@pytest.mark.parametrize("options", [{}, {"ignore_extra": True}, {"only": ("title",)}])
@pytest.mark.parametrize("name", ["expect.titel", "Expect.foo", "expect.images", "expect.id"])
def test_expectation_of_no_field_is_refused(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """A column that begins with expect. and is of no field that a task shows is refused."""
    with pytest.raises(InputError, match=r"begins with expect\. and names none of the fields"):
        rows(f"id,title,{name}\nopp_1,New,Old\n", tmp_path, **options)


def test_no_option_drops_expectations(tmp_path: Path) -> None:
    """`only` and `ignore_extra` leave expectations as they are."""
    text = "id,title,message,expect.message\nopp_1,New,Text,Old\n"
    (row,) = rows(text, tmp_path, only=("title",), ignore_extra=True)
    assert row.update is not None
    assert row.update.changes() == {"title": "New"}
    assert row.expect == {"message": "Old"}


def test_options_apply_to_expectations(tmp_path: Path) -> None:
    """A mapping, a value map, the clear token and constants apply to expectations."""
    (tmp_path / "map.csv").write_text("column,from,to\nassignedTo,Ben,usr_1\n")
    (row,) = rows(
        "id,title,Was,expect.assignedTo\nopp_1,New,none,ben\n",
        tmp_path,
        mapping={"Was": "expect.title"},
        value_map=tmp_path / "map.csv",
        clear_token="none",
        constants={"expect.priority": "low"},
    )
    assert row.expect == {"title": "", "assignedTo": "usr_1", "priority": "0"}


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"expect.title": " "}, "is blank"),
        ({"expect.foo": "x"}, "is not a field"),
        ({"expect.priority": "urgent"}, "expect.priority 'urgent': is not a priority"),
    ],
)
def test_wrong_constant_expectation_is_refused(
    constants: dict[str, str], message: str, tmp_path: Path
) -> None:
    """A constant expectation that expects nothing, or breaks a rule, is a wrong setting."""
    with pytest.raises(ConfigError, match=message):
        rows("id,title\nopp_1,New\n", tmp_path, constants=constants)


def test_column_and_constant_of_one_expectation_are_refused(tmp_path: Path) -> None:
    """Two expectations of one field are refused, whichever way they are given."""
    with pytest.raises(InputError, match="expect something of the same field"):
        rows("id,title,expect.title\nopp_1,a,b\n", tmp_path, constants={"expect.title": "c"})
    with pytest.raises(InputError, match="stand for the same field"):
        rows("id,title,expect.title,expect.Title \nopp_1,a,b,c\n", tmp_path)


def test_objects_hold_expectations(tmp_path: Path) -> None:
    """In JSONL, the key expect holds an object; null expects nothing, and "" expects empty."""
    lines = [
        {
            "id": "opp_1",
            "title": "New",
            "expect": {"title": "", "userId": "usr_1", "message": None},
        },
        {"id": "opp_2", "title": "New", "expect": None},
        {"id": "opp_3", "title": "New", "expect": {"foo": 1}},
        {"id": "opp_4", "title": "New", "expect": "x"},
        {"id": "opp_5", "title": "New", "expect.title": "x"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    first, second, *wrong = rows(text, tmp_path, "edits.jsonl")
    assert first.expect == {"title": "", "assignedTo": "usr_1"}
    assert second.expect is None
    assert [row.update for row in wrong] == [None, None, None]
    assert "expect.foo is none of" in wrong[0].error
    assert "is not an object" in wrong[1].error
    assert 'write {"expect": {"title": …}}' in wrong[2].error


def test_object_and_constant_of_one_expectation_are_refused(tmp_path: Path) -> None:
    """An option and an object never expect two values of one field: neither is dropped."""
    text = json.dumps({"id": "opp_1", "title": "New", "expect": {"title": "Old"}})
    options = {"constants": {"expect.title": "Other", "expect.message": "Text"}}
    (row,) = rows(text, tmp_path, "edits.jsonl", **options)
    assert row.error.startswith("key 'expect.title' and constants expect.title expect something")
    (row,) = rows(text[:-2] + ', "foo": 1}}', tmp_path, "edits.jsonl", **options)
    assert "expect.foo is none of" in row.error


@pytest.mark.parametrize("key", ["Expect", "EXPECT", " expect"])
def test_expectations_of_objects_are_found_in_any_case(key: str, tmp_path: Path) -> None:
    """The key is recognised as a column is, so that `ignore_extra` drops no expectation."""
    text = json.dumps({"id": "opp_1", "title": "New", key: {"title": "Old"}})
    (row,) = rows(text, tmp_path, "edits.jsonl", ignore_extra=True)
    assert row.expect == {"title": "Old"}
    (row,) = rows(text[:-1] + ', "expect": {"title": "X"}}', tmp_path, "edits.jsonl")
    assert "is there twice" in row.error
