"""Tests of reading a file of edits as rows."""

import codecs
import csv
import io
import json
import os
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkupdate.errors import InputError, RunStoppedError
from bulkupdate.models import Row, TaskUpdate
from bulkupdate.plan.preview import inspect
from bulkupdate.reader import Input, columns, text
from bulkupdate.reader.encoding import encoding_of
from bulkupdate.reader.options import Format, ReadOptions
from tests.support.fakes import SetAfter
from tests.support.texts import CHARACTERS, is_value

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


def test_csv_row_becomes_an_edit(write: Write) -> None:
    """A CSV row becomes an edit with the value of every field."""
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


def test_blank_cell_changes_no_field(write: Write) -> None:
    """A blank cell leaves its field unchanged."""
    (row,) = rows(write("a.csv", "id,title,message,done", "a,,  ,"))
    assert changes(row) == {}


def test_clear_token_empties_a_field(write: Write) -> None:
    """A cell with `<clear>` empties its field."""
    path = write("a.csv", "id,title,message,priority", "a,<clear>, <CLEAR> ,<clear>", "b,,,none")
    first, second = rows(path)
    assert changes(first) == {"title": "", "message": "", "priority": ""}
    assert changes(second) == {"priority": ""}


@pytest.mark.parametrize("name", ["assignedTo", "dueDate", "done"])
def test_field_that_cannot_be_cleared_reports_it(write: Write, name: str) -> None:
    """A row that clears a field which can't be cleared is invalid and names the field."""
    (row,) = rows(write("a.csv", f"id,{name}", "a,<clear>"))
    assert name in row.error
    assert "can't be cleared" in row.error


def test_cleared_id_counts_as_missing(write: Write) -> None:
    """A row whose id is `<clear>` is invalid, because its id is empty."""
    (row,) = rows(write("a.csv", "id,title", "<clear>,x"))
    assert row.error == "id: is empty: enter the id of the task"


def test_lone_surrogate_in_id_is_escaped(write: Write) -> None:
    """A row shows half of a character in its id as an escape, and is invalid."""
    (row,) = rows(write("a.jsonl", '{"id": "opp_\\udfff", "done": true}'))
    assert row.id == "opp_\\udfff"
    assert row.id.encode()
    assert row.problems


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", '{"id": "a"}', "looks like JSON"),
        ("a.csv", '[{"id": "a"}]', "looks like JSON"),
        ("a.jsonl", '[\n{"id": "a"},\n{"id": "b"}\n]', "looks like JSON"),
        ("a.jsonl", '[{"id": "a"},\n{"id": "b"}]', "looks like JSON"),
        ("a.jsonl", '[{"id": "a"}, {"id": "b"}]', "jq -c '.[]'"),
        ("a.csv", '"id;title"\n"opp_1;call"', "each line of the file stands in quotes, as one"),
        ("a.csv", '"id,title"\n"opp_1,call"', "each line of the file stands in quotes, as one"),
        ("a.csv", "#TYPE System.Object\nid,title", "let Export-Csv write it with -NoType"),
        ("a.csv", "<Error><Code>AccessDenied</Code></Error>", "is a web page, or XML"),
        ("a.csv", "<!-- saved from url --><html>", "is a web page, or XML"),
        ("a.csv", "<head><title>Log in</title></head>", "is a web page, or XML"),
        ("a.csv", "PK\x03\x04 and so on", "can't be read as a spreadsheet"),
    ],
)
def test_file_of_another_kind_is_refused(write: Write, name: str, content: str, says: str) -> None:
    """A file whose content does not fit its name is refused with what it looks like."""
    assert says in refusal(write(name, content))


@pytest.mark.parametrize(("columns", "last"), [(20, "unknown column 'x19'"), (21, "and 1 more")])
def test_problems_of_a_header_are_listed_up_to_twenty(
    write: Write, columns: int, last: str
) -> None:
    """A file of something else names its first columns, and how many more there are."""
    lines = refusal(write("a.csv", ",".join(["id", *(f"x{n}" for n in range(columns))]))).split(
        "\n"
    )
    assert len(lines) == min(columns, 21)
    assert last in lines[-1]


def test_named_pipe_refusal_names_standard_input(tmp_path: Path) -> None:
    """A named pipe is refused with the advice to pipe it into `-`."""
    os.mkfifo(tmp_path / "pipe.csv")
    assert "pipe it into '-'" in refusal(tmp_path / "pipe.csv")


def test_rows_and_lines_count_separately(write: Write) -> None:
    """A row keeps its own number and its line number, whatever blank lines are between."""
    path = write("a.csv", "id,message", 'a,"1', '2"', "", ",", "b,x")
    assert [(row.number, row.line, row.id) for row in rows(path)] == [(1, 2, "a"), (2, 6, "b")]


def test_every_problem_of_row_is_reported(write: Write) -> None:
    """An invalid row reports the problems of all its fields."""
    (row,) = rows(write("a.csv", "id,dueDate,priority,done", ",tomorrow,urgent,maybe"))
    assert [problem.field for problem in row.problems] == ["id", "dueDate", "priority", "done"]
    assert row.update is None


def test_row_with_wrong_cell_count_is_invalid(
    write: Write,
) -> None:
    """A row with too few or too many cells is invalid and reports no other problem."""
    short, long = rows(write("a.csv", "id,title,done", "a,b", "c,d,e,f"))
    assert short.error == "has 2 cells where the header has 3: add the missing cells"
    assert long.error.startswith("has 4 cells where the header has 3")
    assert (short.id, long.id) == ("a", "c")


def test_exported_names_are_accepted_as_input(write: Write) -> None:
    """A row accepts the field names that the API exports."""
    (row,) = rows(write("a.csv", "_id,userId,content", "a,u,m"))
    assert changes(row) == {"assignedTo": "u", "message": "m"}
    (row,) = rows(write("a.jsonl", {"_id": "a", "userId": "u", "content": "m", "priority": 1}))
    assert changes(row) == {"assignedTo": "u", "message": "m", "priority": "1"}


def test_bulkupdate_columns_are_ignored_on_input(write: Write) -> None:
    """The reader ignores the columns and keys that begin with `bulkupdate_`."""
    path = write("a.csv", "id,bulkupdate_row,done,bulkupdate_error", "a,7,yes,whatever")
    assert changes(rows(path)[0]) == {"done": True}
    path = write("a.jsonl", {"id": "a", "done": True, "bulkupdate_row": 7})
    assert changes(rows(path)[0]) == {"done": True}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("id,asignedTo", "unknown column 'asignedTo': did you mean 'assignedTo'?"),
        (
            "id,Owner",
            "if it is the field assignedTo, and no other column is, set mapping 'Owner=assignedTo'",
        ),
        ("id,Due_on", "set mapping 'Due_on=dueDate'; ignore_extra ignores it"),
        ('id,"Owner="', "unknown column 'Owner=': the fields are id"),
        ("id,qqq", "unknown column 'qqq': the fields are id, assignedTo"),
        ("id,leadId", "'leadId' can't be changed through the API"),
        ("id,title,title", "'title' appears twice"),
        ("id,message,content", "'message' and 'content' stand for the same field"),
        ("id,images", "'images' can only be given in JSONL"),
        ("id,,title", "column 2 has no name"),
        ("title", "no column 'id'"),
    ],
)
def test_wrong_header_refusal_names_the_cure(write: Write, header: str, says: str) -> None:
    """A wrong header is refused, and the message names what would be right."""
    assert says in refusal(write("a.csv", header, "a,b,c"))


@pytest.mark.parametrize(("name", "field"), columns._PROBABLE_NAMES.items())
def test_advice_for_a_probable_name_is_right(write: Write, name: str, field: str) -> None:
    """A column is never taken for a field by such a name; with the flag of the message it is."""
    path = write("a.csv", f"id,{name}", "opp_1,")
    assert f"set mapping '{name}={field}'" in refusal(path)
    with Input.open(path, options=ReadOptions(mapping={name: field})) as source:
        assert source.layout is not None
        assert [column.field for column in source.layout.columns] == ["id", field]


def test_header_problems_are_reported_once(write: Write) -> None:
    """The reader reports each problem of a header once, however many rows follow."""
    message = refusal(write("a.csv", "foo,bar", *["x,y"] * 50))
    assert len(message.splitlines()) == 3


def test_jsonl_distinguishes_null_missing_and_empty(write: Write) -> None:
    """JSONL leaves a field alone if it is null or missing, and clears it if it is empty."""
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
        ('{"id": "a", "assignedTo": ""}', "an id is needed; leave it out to leave the field"),
        ('{"id": 5}', "id 5: is not text"),
        ('{"title": "x"}', "id: is empty"),
        ('{"id": "a", "asignedTo": "u"}', "unknown key 'asignedTo': did you mean 'assignedTo'?"),
        ('{"id": "a", "id": "b"}', "has the key 'id' twice"),
        ('{"id": "a", "images": "x"}', "images 'x': is not a list"),
        ('{"id": "a"', "is not JSON"),
        ('["a"]', "is not a JSON object"),
        ('{"id": NaN}', "NaN is not a JSON value"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"id": "a", "dueDate": 1796112000}', "is a number: write a date as text"),
        ('{"id": "a", "dueDate": ""}', "leave it out to leave the field unchanged"),
        ('{"id": "a", "done": ""}', "leave it out to leave the field unchanged"),
        ('{"id": "a", "title": "\\ud800"}', "surrogate"),
        ('{"id": "a", "message": "x", "content": "y"}', "use one name throughout"),
    ],
)
def test_wrong_json_row_names_its_problem(write: Write, line: str, says: str) -> None:
    """A wrong row of JSONL is invalid, and its error names what is wrong."""
    (row,) = rows(write("a.jsonl", line))
    assert says in row.error


def test_two_names_for_field_are_refused(write: Write) -> None:
    """A row that gives a field another name than an earlier row does is invalid."""
    first, second = rows(write("a.jsonl", {"id": "a"}, {"_id": "b"}))
    assert first.problems == ()
    assert "is called 'id' in row 1" in second.error


def test_unreadable_json_row_leaves_others_readable(write: Write) -> None:
    """An unreadable row of JSONL is invalid and leaves the next row readable."""
    first, second = rows(write("a.jsonl", "{", "", '{"id": "b", "done": true}'))
    assert first.problems
    assert (second.number, second.line, second.id) == (2, 3, "b")


def test_byte_order_mark_is_not_in_header(tmp_path: Path) -> None:
    """The reader takes a byte order mark as encoding, not as part of the first column name."""
    path = tmp_path / "a.csv"
    path.write_bytes(codecs.BOM_UTF8 + "id,title\na,Zoé\n".encode())
    with Input.open(path) as source:
        assert source.info("a.csv").encoding == "utf-8-sig"
        assert changes(next(source.rows())) == {"title": "Zoé"}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_is_accepted(tmp_path: Path, ending: str) -> None:
    """The reader accepts each of the three usual line endings."""
    path = tmp_path / "a.csv"
    path.write_bytes(ending.join(["id,title", "a,b", 'c,"d"', ""]).encode())
    assert [row.id for row in rows(path)] == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
        (b"PK\x03\x04\x00\x00", "can't be read as a spreadsheet"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
        (b'id,title\na,"open\n', "begins on line 2"),
        (b'id,title\na,"b" c\n', "begins on line 2"),
        (b'"id,title\n', "begins on line 1"),
        (b"id,title\na," + b"x" * 200_000 + b"\n", "begins on line 2"),
    ],
)
def test_unreadable_file_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    """An unreadable file is refused with a message of one line."""
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    message = refusal(path)
    assert says in message
    assert "\n" not in message


def test_missing_file_and_directory_are_refused(tmp_path: Path) -> None:
    """A missing file, a directory and a path that can't be read are refused."""
    assert "there is no such file" in refusal(tmp_path / "none.csv")
    assert "is a directory" in refusal(tmp_path)
    assert "can't be read: Not a directory" in refusal(Path("/dev/null/x"))


def test_overlong_line_is_refused_by_number(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is longer than the limit is refused with its number."""
    monkeypatch.setattr(text, "MAX_LINE", 100)
    assert "line 2 is longer than" in refusal(write("a.jsonl", '{"id": "a"}', "x" * 50_000))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_long_line_ends_the_search_for_an_encoding(write: Write, end: str) -> None:
    """A file whose words do not say how it is encoded is not searched beyond such a line."""
    rows = end.join(["id,title", *["opp_1,x"] * 200_000, "x" * (4 << 20)])
    found = refusal(path := write("a.csv", rows))
    assert "a.csv: line 200002 is longer than 1,048,576 bytes" in found
    with path.open("rb") as content, pytest.raises(InputError, match="line 200002 is longer"):
        encoding_of(content, None, "a.csv")


def test_overlong_cell_is_refused_by_its_record(write: Write) -> None:
    """A cell beyond the bound of the csv module is refused in words that say what is wrong."""
    path = write("a.csv", "id,title", "opp_1,x", f'opp_2,"{"y" * 131_073}"')
    why = "a cell in the record that begins on line 3 is longer than 131,072 characters: is a"
    assert why in refusal(path)


def test_format_follows_name_or_first_character(write: Write) -> None:
    """The reader finds the format by the file name or by the first character."""
    assert rows(write("a.tsv", "id\ttitle", "a\tb"))[0].id == "a"
    assert rows(write("a.ndjson", {"id": "a"}))[0].id == "a"
    assert rows(write("a.txt", {"id": "a"}))[0].id == "a"
    assert rows(write("b.txt", "id,title", "a,b"))[0].id == "a"
    assert rows(write("c.csv", "[id],[title]", "a,b"))[0].id == "a", "brackets of SQL Server"
    assert rows(write("c.txt", "id\ttitle", "a\tb"), Format.TSV)[0].id == "a"


def test_file_can_be_reread_and_shows_changes(write: Write) -> None:
    """A file reads twice the same, and reports when it has changed."""
    path = write("a.csv", "id,title", "a,b")
    with Input.open(path) as source:
        assert list(source.rows()) == list(source.rows())
        digest = source.sha256()
        assert not source.has_changed()
        with path.open("a") as file:
            file.write("c,d\n")
        assert source.has_changed()
        assert source.sha256() != digest


TEXT = st.text(
    CHARACTERS,
    min_size=1,
)
WORD = st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)
UPDATES = st.builds(
    TaskUpdate,
    id=WORD,
    assigned_to=WORD,
    title=TEXT.filter(is_value),
    message=TEXT.filter(is_value),
    priority=st.sampled_from(["0", "1", "2"]),
    done=st.booleans(),
)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(UPDATES, min_size=1, max_size=5))
def test_any_edits_read_back_from_csv_or_jsonl(
    tmp_path_factory: pytest.TempPathFactory, updates: list[TaskUpdate]
) -> None:
    """Any edits that are written as CSV or JSONL read back equal."""
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
def test_any_bytes_raise_only_input_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    """Any bytes become rows or problems, or raise InputError and nothing else."""
    path = tmp_path_factory.mktemp("raw") / f"a.{suffix}"
    path.write_bytes(b"id,title\n" * (suffix != "jsonl") + content)
    try:
        read = rows(path)
    except InputError:
        read = []
    assert all((row.update is None) == bool(row.problems) for row in read)


def test_json_from_python_is_readable(write: Write) -> None:
    """The reader accepts JSON that Python writes, with escapes or without."""
    record = {"id": "a", "title": "Zoé \u2028 \U0001f600"}
    (row,) = rows(write("a.jsonl", json.dumps(record), json.dumps(record, ensure_ascii=False)))[:1]
    assert changes(row) == {"title": record["title"]}


def test_rows_of_only_blanks_are_skipped(write: Callable[..., Path]) -> None:
    """The reader skips rows of any blank characters and does not count them."""
    path = write("a.csv", "id,title", "a,x", "\u00a0,\u3000", " ,\t", "b,y")
    assert [(row.number, row.id) for row in rows(path)] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("name", ["edits.csv", "edits.jsonl", "edits.xlsx"])
def test_reading_can_skip_first_rows(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading after a number of rows gives exactly the rows that follow, in any format."""
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
def test_reading_starts_at_noted_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, line_end: str
) -> None:
    """Reading after a row starts at a position that the check noted, and gives equal rows."""
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
        # The reader does not look at the rows before.
        assert list(other.rows(after=9)) == whole[9:]


def test_mapped_key_in_skipped_row_is_known(tmp_path: Path) -> None:
    """A mapped key is known even if only a skipped row contains it."""
    path = tmp_path / "edits.jsonl"
    path.write_text('{"id": "a", "Owner": "usr_a"}\n{"id": "b", "title": "T"}\n')
    with Input.open(path, options=ReadOptions(mapping={"Owner": "assignedTo"})) as source:
        assert [row.id for row in source.rows(after=1)] == ["b"]


def test_skipping_rows_ends_when_stopped(tmp_path: Path) -> None:
    """A stop ends the skipping of rows with RunStoppedError."""
    path = tmp_path / "edits.csv"
    path.write_text("id,title\na,T\nb,T\n")
    with Input.open(path, stop=SetAfter(0)) as source:
        assert len(list(source.rows())) == 2
        with pytest.raises(RunStoppedError):
            list(source.rows(after=1))


def test_skipping_checks_stop_between_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader checks for a stop every few rows while it skips."""
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


@pytest.mark.parametrize(
    "message",
    ["Hi Anna,\n--\nBob", "Title\n=====\nBob", "\n\n----------\nBob", "|a|b|\n|---|---|\n|1|2|"],
)
def test_ruler_in_a_message_is_part_of_it(write: Write, message: str) -> None:
    """A signature or a ruled line in a message is text: no table was drawn."""
    path = write("a.csv", "id,message", f'opp_1,"{message}"')
    assert [changes(row) for row in rows(path)] == [{"message": message}]
    path = write("b.csv", '"id","a note\n---","message"', f'opp_1,,"{message}"')
    with Input.open(path, options=ReadOptions(ignore_extra=True)) as source:
        assert [changes(row) for row in source.rows()] == [{"message": message}]
    path = write("a.jsonl", {"id": "opp_1", "message": message})
    assert [changes(row) for row in rows(path)] == [{"message": message}]


@pytest.mark.parametrize("year", [1990, 2100])
def test_moment_of_another_century_is_no_bug(write: Write, year: int) -> None:
    """Relative dates may count from any moment; only what is sent must lie in this century."""
    path = write("a.csv", "id,dueDate", "opp_1,+1d", "opp_2,2026-12-01T09:00Z")
    options = ReadOptions(now=datetime(year, 1, 1, tzinfo=UTC))
    with Input.open(path, options=options) as source:
        *_, inspection = inspect(source)
        assert inspection.preview(None).invalid == 1
        assert source.info("a.csv").now == f"{year}-01-01T00:00:00.000Z"


@pytest.mark.parametrize("word", ["null", "none", "NA", "N/A", "undefined"])
def test_missing_value_is_no_id_in_json_either(write: Write, word: str) -> None:
    """In JSONL too, an id that a program writes for a missing value is none."""
    path = write("a.jsonl", {"id": word, "title": "x"}, {"id": "opp_1", "assignedTo": word})
    for row in rows(path):
        assert "is how a program writes a missing value" in row.error
