"""A file of edits → rows."""

import codecs
import csv
import io
import json
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkupdate.errors import InputError, RunStoppedError
from bulkupdate.models import Row, TaskUpdate
from bulkupdate.plan.preview import inspect
from bulkupdate.reader import Input, text
from bulkupdate.reader.options import Format, ReadOptions
from tests.support.fakes import SetAfter

Write = Callable[..., Path]


def rows(path: Path, format_: Format | None = None) -> list[Row]:
    with Input.open(path, options=ReadOptions(format=format_)) as source:
        return list(source.rows())


def changes(row: Row) -> dict[str, Any]:
    assert row.update is not None, row.error
    return row.update.changes()


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        rows(path)
    return str(caught.value)


def test_a_csv_row_becomes_an_update(write: Write) -> None:
    path = write(
        "a.csv",
        "id,assignedTo,dueDate,title,message,priority,done",
        'opp_a,usr_b,2026-01-31T07:58:00Z,"Call, now","two',
        'lines ""quoted""",High,YES',
    )
    (row,) = rows(path)
    assert (row.number, row.line, row.id) == (1, 2, "opp_a")
    assert changes(row) == {
        "assignedTo": "usr_b",
        "dueDate": "2026-01-31T07:58:00.000Z",
        "title": "Call, now",
        "message": 'two\nlines "quoted"',
        "priority": "2",
        "done": True,
    }


def test_a_blank_cell_changes_nothing(write: Write) -> None:
    (row,) = rows(write("a.csv", "id,title,message,done", "a,,  ,"))
    assert changes(row) == {}


def test_clearing_takes_the_word(write: Write) -> None:
    path = write("a.csv", "id,title,message,priority", "a,<clear>, <CLEAR> ,<clear>", "b,,,none")
    first, second = rows(path)
    assert changes(first) == {"title": "", "message": "", "priority": ""}
    assert changes(second) == {"priority": ""}


@pytest.mark.parametrize("name", ["assignedTo", "dueDate", "done"])
def test_what_cannot_be_cleared_says_so(write: Write, name: str) -> None:
    (row,) = rows(write("a.csv", f"id,{name}", "a,<clear>"))
    assert name in row.error
    assert "can't be cleared" in row.error


def test_an_id_that_is_cleared_is_missing(write: Write) -> None:
    (row,) = rows(write("a.csv", "id,title", "<clear>,x"))
    assert row.error == "id: is empty: say what task this row is about"


def test_half_a_character_in_an_id_is_spelt_out(write: Write) -> None:
    (row,) = rows(write("a.jsonl", '{"id": "opp_\\udfff", "done": true}'))
    assert row.id == "opp_\\udfff"
    assert row.id.encode()
    assert row.problems


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", '{"id": "a"}', "looks like JSON"),
        ("a.csv", '[{"id": "a"}]', "looks like JSON"),
        ("a.csv", "PK\x03\x04 and so on", "is no spreadsheet that can be read"),
    ],
)
def test_a_file_of_another_kind_is_recognised(
    write: Write, name: str, content: str, says: str
) -> None:
    assert says in refusal(write(name, content))


def test_a_pipe_is_refused_with_the_way_to_read_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "pipe it into '-'" in refusal(tmp_path / "pipe.csv")


def test_rows_and_lines_are_counted_apart(write: Write) -> None:
    path = write("a.csv", "id,message", 'a,"1', '2"', "", ",", "b,x")
    assert [(row.number, row.line, row.id) for row in rows(path)] == [(1, 2, "a"), (2, 6, "b")]


def test_every_problem_of_a_row_is_reported(write: Write) -> None:
    (row,) = rows(write("a.csv", "id,dueDate,priority,done", ",tomorrow,urgent,maybe"))
    assert [problem.field for problem in row.problems] == ["id", "dueDate", "priority", "done"]
    assert row.update is None


def test_a_row_of_another_width_is_invalid_and_nothing_is_guessed_of_its_cells(
    write: Write,
) -> None:
    short, long = rows(write("a.csv", "id,title,done", "a,b", "c,d,e,f"))
    assert short.error == "has 2 cells where the header has 3: add the rest"
    assert long.error.startswith("has 4 cells where the header has 3")
    assert (short.id, long.id) == ("a", "c")


def test_an_export_can_be_sent_back(write: Write) -> None:
    (row,) = rows(write("a.csv", "_id,userId,content", "a,u,m"))
    assert changes(row) == {"assignedTo": "u", "message": "m"}
    (row,) = rows(write("a.jsonl", {"_id": "a", "userId": "u", "content": "m", "priority": 1}))
    assert changes(row) == {"assignedTo": "u", "message": "m", "priority": "1"}


def test_our_own_columns_are_ignored(write: Write) -> None:
    path = write("a.csv", "id,bulkupdate_row,done,bulkupdate_error", "a,7,yes,whatever")
    assert changes(rows(path)[0]) == {"done": True}
    path = write("a.jsonl", {"id": "a", "done": True, "bulkupdate_row": 7})
    assert changes(rows(path)[0]) == {"done": True}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("id,asignedTo", "unknown column 'asignedTo': did you mean 'assignedTo'?"),
        ("id,qqq", "unknown column 'qqq': known are id, assignedTo"),
        ("id,leadId", "'leadId' can't be changed through the API"),
        ("id,title,title", "'title' is there twice"),
        ("id,message,content", "'message' and 'content' are one field"),
        ("id,images", "'images' can only be given in JSONL"),
        ("id,,title", "column 2 has no name"),
        ("title", "no column 'id'"),
    ],
)
def test_a_wrong_header_is_refused_with_what_would_be_right(
    write: Write, header: str, says: str
) -> None:
    assert says in refusal(write("a.csv", header, "a,b,c"))


def test_every_problem_of_a_header_is_said_once(write: Write) -> None:
    message = refusal(write("a.csv", "foo,bar", *["x,y"] * 50))
    assert len(message.splitlines()) == 3


def test_jsonl_knows_null_missing_and_empty_apart(write: Write) -> None:
    path = write(
        "a.jsonl",
        {"id": "a", "title": None},
        {"id": "a", "title": "", "priority": "", "images": []},
        {"id": "a", "title": "<clear>", "done": False, "priority": 2},
    )
    assert [changes(row) for row in rows(path)] == [
        {},
        {"title": "", "priority": "", "images": ()},
        {"title": "<clear>", "done": False, "priority": "2"},
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "a", "title": 5}', "title 5: is not text"),
        ('{"id": "a", "assignedTo": ""}', "assignedTo '': is empty"),
        ('{"id": 5}', "id 5: is not text"),
        ('{"title": "x"}', "id: is empty"),
        ('{"id": "a", "asignedTo": "u"}', "unknown key 'asignedTo': did you mean 'assignedTo'?"),
        ('{"id": "a", "id": "b"}', "has the key 'id' twice"),
        ('{"id": "a", "images": "x"}', "images 'x': is not a list"),
        ('{"id": "a"', "is not JSON"),
        ('["a"]', "is not a JSON object"),
        ('{"id": NaN}', "NaN is no JSON value"),
        ("[" * 100_000, "nested too deeply"),
        ('{"id": "a", "title": "\\ud800"}', "surrogate"),
        ('{"id": "a", "message": "x", "content": "y"}', "use one name in one file"),
    ],
)
def test_a_wrong_json_row_says_what_is_wrong(write: Write, line: str, says: str) -> None:
    (row,) = rows(write("a.jsonl", line))
    assert says in row.error


def test_one_field_has_one_name_in_one_file(write: Write) -> None:
    first, second = rows(write("a.jsonl", {"id": "a"}, {"_id": "b"}))
    assert first.problems == ()
    assert "is called 'id' in row 1" in second.error


def test_an_unreadable_json_row_leaves_the_others_alone(write: Write) -> None:
    first, second = rows(write("a.jsonl", "{", "", '{"id": "b", "done": true}'))
    assert first.problems
    assert (second.number, second.line, second.id) == (2, 3, "b")


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(codecs.BOM_UTF8 + "id,title\na,Zoé\n".encode())
    with Input.open(path) as source:
        assert source.info("a.csv").encoding == "utf-8-sig"
        assert changes(next(source.rows())) == {"title": "Zoé"}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_is_understood(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(ending.join(["id,title", "a,b", 'c,"d"', ""]).encode())
    assert [row.id for row in rows(path)] == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
        (b"PK\x03\x04\x00\x00", "is no spreadsheet that can be read"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
        (b'id,title\na,"open\n', "begins on line 2"),
        (b'id,title\na,"b" c\n', "begins on line 2"),
        (b'"id,title\n', "begins on line 1"),
        (b"id,title\na," + b"x" * 200_000 + b"\n", "begins on line 2"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    message = refusal(path)
    assert says in message
    assert "\n" not in message


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "none.csv")
    assert "is a directory" in refusal(tmp_path)
    assert "can't be read: Not a directory" in refusal(Path("/dev/null/x"))


def test_a_line_without_end_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_LINE", 100)
    assert "line 2 is longer than" in refusal(write("a.jsonl", '{"id": "a"}', "x" * 50_000))


def test_tabs_and_json_are_told_by_the_name_or_the_first_character(write: Write) -> None:
    assert rows(write("a.tsv", "id\ttitle", "a\tb"))[0].id == "a"
    assert rows(write("a.ndjson", {"id": "a"}))[0].id == "a"
    assert rows(write("a.txt", {"id": "a"}))[0].id == "a"
    assert rows(write("b.txt", "id,title", "a,b"))[0].id == "a"
    assert rows(write("c.txt", "id\ttitle", "a\tb"), Format.TSV)[0].id == "a"


def test_a_file_can_be_read_again_and_tells_when_it_was_written_to(write: Write) -> None:
    path = write("a.csv", "id,title", "a,b")
    with Input.open(path) as source:
        assert list(source.rows()) == list(source.rows())
        digest = source.sha256()
        assert not source.has_changed()
        with path.open("a") as file:
            file.write("c,d\n")
        assert source.has_changed()
        assert source.sha256() != digest


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
WORD = st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)
UPDATES = st.builds(
    TaskUpdate,
    id=WORD,
    assigned_to=WORD,
    title=TEXT.filter(lambda t: t.strip() and t.strip().lower() != "<clear>"),
    message=TEXT.filter(lambda t: t.strip() and t.strip().lower() != "<clear>"),
    priority=st.sampled_from(["0", "1", "2"]),
    done=st.booleans(),
)


@settings(max_examples=60)
@given(st.lists(UPDATES, min_size=1, max_size=5))
def test_any_updates_written_as_csv_or_jsonl_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, updates: list[TaskUpdate]
) -> None:
    directory = tmp_path_factory.mktemp("round")
    names = ["id", "assignedTo", "title", "message", "priority", "done"]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(names)
    for update in updates:
        values = {"id": update.id, **update.changes()}
        writer.writerow([values[name] for name in names])
    (directory / "a.csv").write_text(table.getvalue(), encoding="utf-8", newline="")
    lines = "".join(f"{update.encode().decode()}\n" for update in updates)
    (directory / "a.jsonl").write_text(lines, encoding="utf-8", newline="")
    bodies = [update.encode() for update in updates]
    for name in ("a.csv", "a.jsonl"):
        assert [row.update and row.update.encode() for row in rows(directory / name)] == bodies


@settings(max_examples=150)
@given(st.binary(max_size=200), st.sampled_from(["csv", "tsv", "jsonl"]))
def test_no_bytes_bring_up_anything_but_our_own_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("raw") / f"a.{suffix}"
    path.write_bytes(b"id,title\n" * (suffix != "jsonl") + content)
    try:
        read = rows(path)
    except InputError:
        read = []
    assert all((row.update is None) == bool(row.problems) for row in read)


def test_json_that_python_writes_is_read(write: Write) -> None:
    record = {"id": "a", "title": "Zoé \u2028 \U0001f600"}
    (row,) = rows(write("a.jsonl", json.dumps(record), json.dumps(record, ensure_ascii=False)))[:1]
    assert changes(row) == {"title": record["title"]}


def test_rows_of_blanks_of_any_kind_are_passed_over(write: Callable[..., Path]) -> None:
    path = write("a.csv", "id,title", "a,x", "\u00a0,\u3000", " ,\t", "b,y")
    assert [(row.number, row.id) for row in rows(path)] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("name", ["edits.csv", "edits.jsonl", "edits.xlsx"])
def test_rows_may_be_passed_over(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    rows = [("opp_1", "a"), ("opp_2", 'b\n"c"'), ("", "no id"), ("opp_4", "é"), ("opp_5", "")]
    if name.endswith("csv"):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("id", "title"), *rows[:2], ("", ""), *rows[2:], ("x",)])
    elif name.endswith("jsonl"):
        lines = [json.dumps({"id": id_, "title": title}) for id_, title in rows]
        path.write_text("\n".join([*lines[:2], "", *lines[2:], "{"]))
    else:
        book = openpyxl.Workbook()
        for cells in (("id", "title"), *rows):
            book.active.append(cells)
        book.save(path)
    with Input.open(path) as source:
        whole = list(source.rows())
        assert len(whole) >= 5
        monkeypatch.setattr("bulkupdate.reader.input._LOOK_UP", 2)
        for after in range(len(whole) + 2):
            assert list(source.rows(after=after)) == whole[after:]


@pytest.mark.parametrize("start", ["", "sep=,\r\n"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_reading_begins_where_the_check_has_found_a_row_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, line_end: str
) -> None:
    path = tmp_path / "edits.csv"
    with path.open("w", newline="", encoding="utf-16") as file:
        file.write(f"{start}id,title{line_end}")
        for number in range(1, 41):
            title = f'"of{line_end}two ""lines"""' if number % 3 else f"é{number}"
            blank = f"{line_end},{line_end}" if number % 4 == 0 else ""
            file.write(f"opp_{number},{title}{line_end}{blank}")
    monkeypatch.setattr("bulkupdate.plan.preview.INSPECT_BATCH", 4)
    monkeypatch.setattr("bulkupdate.plan.preview.PLACE_BATCHES", 2)
    with Input.open(path) as source:
        whole = list(source.rows())
        deque(inspect(source), maxlen=0)
        assert [before for before, _ in source.places] == [8, 16, 24, 32]
        for after in range(42):
            assert list(source.rows(after=after)) == whole[after:]
    cell, broken = (text.encode("utf-16-le") for text in ("opp_1,", '"opp_1'))
    path.write_bytes(path.read_bytes().replace(cell, broken, 1))
    with Input.open(path) as other:
        other.places = source.places
        # What comes before is not looked at.
        assert list(other.rows(after=9)) == whole[9:]


def test_a_key_that_only_rows_passed_over_have_is_known(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_text('{"id": "a", "Owner": "usr_a"}\n{"id": "b", "title": "T"}\n')
    with Input.open(path, options=ReadOptions(mapping={"Owner": "assignedTo"})) as source:
        assert [row.id for row in source.rows(after=1)] == ["b"]


def test_rows_are_passed_over_no_longer_than_wanted(tmp_path: Path) -> None:
    path = tmp_path / "edits.csv"
    path.write_text("id,title\na,T\nb,T\n")
    with Input.open(path, stop=SetAfter(0)) as source:
        assert len(list(source.rows())) == 2
        with pytest.raises(RunStoppedError):
            list(source.rows(after=1))


def test_rows_are_passed_over_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edits.csv"
    path.write_text("id,title\n" + "a,T\n" * 9)
    monkeypatch.setattr("bulkupdate.reader.input._LOOK_UP", 2)
    stop = SetAfter(2)
    with (
        Input.open(path, stop=stop) as source,
        pytest.raises(RunStoppedError),
    ):
        list(source.rows(after=8))
    assert stop.looks == -1
