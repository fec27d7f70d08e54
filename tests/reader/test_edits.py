"""Tests of files of edits: what is written reads back as it was, or is left blank and named."""

import csv
import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.errors import ConfigError, InputError
from bulkupdate.reader import Edit, EditsFile, Format, Input, LeftOut, ReadOptions, format_to_write
from tests.support.texts import CHARACTERS

#: A row as a tuple.
Plain = tuple[str, dict[str, Any], dict[str, str]]

NAMES = ("assignedTo", "dueDate", "title", "message", "priority")
FORMATS = [Format.CSV, Format.JSONL, Format.XLSX]
TABLES = [Format.CSV, Format.XLSX]

#: Titles that a spreadsheet takes for a number, a date, a time or a truth value in a CSV file.
CONVERTED = (
    *("5", "-5", "1.5", "1,5", "1,000.00", "1e5", "5%", "$5", "5 €", "(5)", "00123", "+1"),
    *("1/2", "2026-01-31", "31.1.2026", "1-2", "9:30", "9:30 PM", "5pm", "TRUE", "false"),
    *("Jan 5", "5 Jan", "5-jan-26", "March 2026", "1. May", "2026-03-02T09:00"),
    *("5 mai", "1. März 2026", "3 août", "5dic", "2 Okt.", "1 fév 26", "12 mei", "1" * 501),
)
#: Titles that it leaves alone.
KEPT = (
    *(
        "Call",
        "Call 5 times",
        "x",
        " x ",
        "5 calls",
        "may call",
        "é\u2028x",
        "a\nb",
        "a\tb",
        "true?",
    ),
    *(
        'say "hi", now',
        "1/2 done",
        "9:30 call",
        "Mars 5b",
        "#5",
        "50% off",
        "_x000D_",
        "a'",
        "1 " * 15_000 + "x",
    ),
)
#: Titles that no cell holds.
NEVER = (
    *("=1+1", "+33 call", "-20% off", "@home", "＝1", "\ta", "\nb", "'quoted", "a\rb", "a\r\nb"),
    *(
        "NULL",
        "<clear>",
        "  <CLEAR> ",
        "#N/A",
        "#VALUE!",
        "Caf\ufffd",
        "x\x07",
        "   ",
        "x" * 32_768,
    ),
)


def written(path: Path, edits: Sequence[Plain], **options: Any) -> EditsFile:
    """Write edits to a file in the format of its suffix, and read it back."""
    file = EditsFile(format_to_write(path), options.pop("names", NAMES), **options)
    with path.open("wb") as to:
        file.write(to, [Edit(*one) for one in edits])
    file.read_back(path)
    return file


def read(path: Path) -> dict[str, Mapping[str, Any]]:
    """The values that a run would send, by id."""
    with Input.open(path, options=ReadOptions()) as source:
        rows = [*source.rows()]
    assert not any(row.problems for row in rows)
    return {row.id: row.update.changes() if row.update else {} for row in rows}


def path_of(format_: Format, tmp_path: Path) -> Path:
    return tmp_path / f"edits.{format_.value}"


@pytest.mark.parametrize("format_", FORMATS)
def test_ordinary_values_read_back_the_same(format_: Format, tmp_path: Path) -> None:
    """What the file holds is what a run sends. Empty values set nothing."""
    values = {
        "assignedTo": "usr_a",
        "dueDate": "2026-03-02T09:58:57.169Z",
        "title": "Call",
        "message": 'Zoé said "hi",\nand left\n',
        "priority": "2",
    }
    path = path_of(format_, tmp_path)
    file = written(path, [("opp_a", values, {}), ("opp_b", {"title": "T", "message": ""}, {})])
    assert read(path) == {"opp_a": values, "opp_b": {"title": "T"}}
    assert (file.rows, file.left_out.counts.total()) == (2, 0)


def titles(path: Path, texts: Sequence[str]) -> tuple[list[str | None], LeftOut]:
    """The titles that a file holds, of these that are written to it, and what is left out."""
    edits: list[Plain] = [
        (f"opp_{n}", {"title": text, "priority": "1"}, {}) for n, text in enumerate(texts)
    ]
    left_out = written(path, edits).left_out
    found = read(path)
    assert len(found) == len(texts)
    return [values.get("title") for values in found.values()], left_out


@pytest.mark.parametrize("format_", TABLES)
def test_what_a_cell_can_not_hold_is_left_blank(format_: Format, tmp_path: Path) -> None:
    """A formula, a mark of the reader, a line end that changes: the cell is blank, and named."""
    found, left_out = titles(path_of(format_, tmp_path), NEVER)
    assert dict(zip(NEVER, found, strict=True)) == dict.fromkeys(NEVER)
    assert left_out.counts == {"title": len(NEVER)}
    assert left_out.named == [f"opp_{n} title" for n in range(10)]


def test_text_that_a_spreadsheet_converts_is_left_blank_in_csv(tmp_path: Path) -> None:
    """A title that looks like a number or a date is blank in a CSV file."""
    found, left_out = titles(path_of(Format.CSV, tmp_path), CONVERTED)
    assert dict(zip(CONVERTED, found, strict=True)) == dict.fromkeys(CONVERTED)
    assert left_out.counts == {"title": len(CONVERTED)}


def test_workbook_keeps_what_a_spreadsheet_would_convert(tmp_path: Path) -> None:
    """In a workbook, a cell says itself that it is a text. A formula is none there either."""
    found, _ = titles(path_of(Format.XLSX, tmp_path), CONVERTED)
    kept = [None if text.startswith(("-", "+")) else text for text in CONVERTED]
    assert found == kept


@pytest.mark.parametrize("format_", FORMATS)
def test_text_that_only_looks_odd_is_kept(format_: Format, tmp_path: Path) -> None:
    """A text with digits, blanks, quotes or line feeds in it is kept, a long one quickly."""
    found, left_out = titles(path_of(format_, tmp_path), KEPT)
    assert found == [*KEPT]
    assert not left_out.counts


def test_jsonl_holds_all_but_what_no_update_sends(tmp_path: Path) -> None:
    """JSON keeps any text that an update may hold: not a control or a lost character."""
    texts = [*CONVERTED, *KEPT, *NEVER]
    found, left_out = titles(path_of(Format.JSONL, tmp_path), texts)
    lost = ("Caf\ufffd", "x\x07")
    assert found == [None if text in lost else text for text in texts]
    assert left_out.counts == {"title": 2}


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "title": st.text(CHARACTERS, max_size=20),
                "message": st.text(max_size=20),
                "priority": st.sampled_from(["", "0", "1", "2", "9", 1, None, True]),
                "assignedTo": st.one_of(st.text(max_size=9), st.integers(), st.just("none")),
                "dueDate": st.one_of(
                    st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z"),
                    st.text(max_size=9),
                ),
            },
        ),
        max_size=4,
    ),
    st.sampled_from([Format.CSV, Format.JSONL]),
)
def test_any_value_reads_back_or_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, edits: list[dict[str, Any]], format_: Format
) -> None:
    """Whatever tasks hold, the file reads back: each value is the same, empty, or counted."""
    path = path_of(format_, tmp_path_factory.mktemp("edits"))
    rows: list[Plain] = [(f"opp_{n}", values, {}) for n, values in enumerate(edits)]
    file = written(path, rows)
    found = read(path) if rows else {}
    kept = sum(map(len, found.values()))
    filled = sum(value not in ("", None) for values in edits for value in values.values())
    assert kept + file.left_out.counts.total() == filled
    for id_, values, _ in rows:
        assert found[id_].items() <= values.items()


@pytest.mark.parametrize("format_", FORMATS)
def test_task_that_shows_no_value_is_a_row_all_the_same(format_: Format, tmp_path: Path) -> None:
    """A row for each task: people fill in what they want to set."""
    path = path_of(format_, tmp_path)
    file = written(path, [("opp_a", {}, {"type": "phone"}), ("opp_b", {"title": "T"}, {})])
    assert file.rows == 2
    assert b"opp_a" in path.read_bytes() or format_ is Format.XLSX


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("id_", ["=1+1", "a b", "usr_a", "NULL", "none", "#N/A", "x,y"])
def test_task_whose_id_would_not_read_back_is_left_out(
    format_: Format, id_: str, tmp_path: Path
) -> None:
    """Without its id, a row would be of no task. It is counted under `id`."""
    path = path_of(format_, tmp_path)
    file = written(path, [(id_, {"title": "T"}, {}), ("opp_a", {"title": "T"}, {})])
    assert read(path) == {"opp_a": {"title": "T"}}
    assert (file.rows, file.left_out.counts) == (1, {"id": 1})


@pytest.mark.parametrize("format_", TABLES)
def test_due_dates_are_texts_with_the_offset_of_the_zone(format_: Format, tmp_path: Path) -> None:
    """The hour that a clock shows twice has two offsets, and milliseconds are kept."""
    path = path_of(format_, tmp_path)
    dates = ["2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z", "2026-03-02T09:58:57.169Z"]
    edits: list[Plain] = [(f"opp_{n}", {"dueDate": due}, {}) for n, due in enumerate(dates)]
    file = written(path, edits, names=("dueDate",), zone=ZoneInfo("Europe/Paris"))
    assert [values["dueDate"] for values in read(path).values()] == dates
    assert not file.left_out.counts
    if format_ is Format.CSV:
        cells = [
            line["dueDate"] for line in csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))
        ]
        assert cells == [
            "2026-10-25T02:30:00.000+02:00",
            "2026-10-25T02:30:00.000+01:00",
            "2026-03-02T10:58:57.169+01:00",
        ]


@pytest.mark.parametrize("value", ["soon", "1999-12-31T00:00:00.000Z", 5, ["x"], {"a": 1}, True])
@pytest.mark.parametrize("format_", FORMATS)
def test_value_that_no_update_could_send_is_left_out(
    format_: Format, value: object, tmp_path: Path
) -> None:
    """A due date or a title that the server shows in another shape is left out and counted."""
    path = path_of(format_, tmp_path)
    for zone in (None, ZoneInfo("Europe/Paris")):
        edits: list[Plain] = [("opp_a", {"dueDate": value, "priority": "1"}, {})]
        file = written(path, edits, zone=zone)
        assert read(path) == {"opp_a": {"priority": "1"}}
        assert file.left_out.counts == {"dueDate": 1}


@pytest.mark.parametrize("format_", FORMATS)
def test_columns_for_people_are_never_read(format_: Format, tmp_path: Path) -> None:
    """Context stands in columns that a run ignores, on one line, and runs in no spreadsheet."""
    own = {"due": "Mon 02 Mar", "type": "=cmd()", "lead": "a\nb\x07c\ufffd"}
    path = path_of(format_, tmp_path)
    written(path, [("opp_a", {"title": "T"}, own)], own=("due", "type", "lead"))
    assert read(path) == {"opp_a": {"title": "T"}}
    with Input.open(path, options=ReadOptions()) as source:
        (row,) = source.rows()
    if isinstance(row.record, str):
        found = json.loads(row.record)
        shown = [found.get(f"bulkupdate_{name}") for name in own]
    else:
        shown = [*row.record[-3:]]
    assert shown == ["Mon 02 Mar", "", "a b c?"]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("values", [None, {}, {"title": "T", "priority": "1"}, {"title": "U"}])
def test_file_that_was_changed_does_not_read_back(
    format_: Format, values: dict[str, str] | None, tmp_path: Path
) -> None:
    """What the disk holds is compared with what was written to it: a row less, or other values."""
    path = path_of(format_, tmp_path)
    first: Plain = ("opp_a", {"title": "T"}, {})
    file = EditsFile(format_, NAMES)
    with path.open("wb") as to:
        file.write(to, [Edit(*first), Edit("opp_b", {"title": "T"})])
    changed = [first] if values is None else [first, ("opp_b", values, {})]
    other = written(path.with_name(f"other.{format_.value}"), changed)
    assert other.rows == len(changed)
    path.with_name(f"other.{format_.value}").replace(path)
    with pytest.raises(InputError, match="it holds other values"):
        file.read_back(path)


def test_row_that_became_wrong_does_not_read_back(tmp_path: Path) -> None:
    """A value that the reader refuses is told with its row."""
    path = path_of(Format.CSV, tmp_path)
    file = EditsFile(Format.CSV, NAMES)
    with path.open("wb") as to:
        file.write(to, [Edit("opp_a", {"title": "T"}), Edit("opp_b", {"priority": "1"})])
    path.write_bytes(path.read_bytes().replace(b",1\r\n", b",9\r\n"))
    with pytest.raises(InputError, match="row 2: priority '9'"):
        file.read_back(path)


def test_csv_for_people_begins_with_a_mark(tmp_path: Path) -> None:
    """Without a byte order mark, Excel does not read a CSV file as UTF-8. A pipe needs none."""
    path = path_of(Format.CSV, tmp_path)
    written(path, [("opp_a", {"title": "é"}, {})])
    assert path.read_bytes().startswith(b"\xef\xbb\xbfid,")
    written(path, [("opp_a", {"title": "é"}, {})], has_mark=False)
    assert path.read_bytes().startswith(b"id,")


def test_left_out_values_are_counted_and_the_first_ones_named(tmp_path: Path) -> None:
    """A message names ten values, and counts all by field."""
    path = path_of(Format.CSV, tmp_path)
    edits: list[Plain] = [(f"opp_{n}", {"title": "=1", "message": "@x"}, {}) for n in range(1500)]
    left_out = written(path, edits).left_out
    assert str(left_out).startswith("title 1,500, message 1,500 (opp_0 title, opp_0 message, ")
    assert str(left_out).endswith("opp_4 message, …)")
    assert len(left_out.named) == 10
    left_out = written(path, edits[:5]).left_out
    assert str(left_out).endswith("opp_4 title, opp_4 message)")


def test_workbook_without_its_libraries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra `excel`, the message says how to install it, before anything is read."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != "xlsxwriter")
    with pytest.raises(ConfigError, match="run pip install xlrd xlsxwriter to write it"):
        format_to_write(Path("a.xlsx"))
    assert format_to_write(Path("a.csv")) is Format.CSV


def test_suffix_decides_the_format() -> None:
    """A file is written by its suffix, in any case. Another one is refused, and all are named."""
    assert format_to_write(Path("a.CSV")) is Format.CSV
    assert format_to_write(Path("a.b/c.jsonl")) is Format.JSONL
    assert format_to_write(Path("a.xlsx")) is Format.XLSX
    for name in ("a.txt", "a", "a.csv.gz", "a.xls", "a.json"):
        with pytest.raises(ConfigError, match=r"give it one of the suffixes .csv, .jsonl, .xlsx"):
            format_to_write(Path(name))


@pytest.mark.parametrize("format_", [Format.CSV, Format.JSONL, Format.XLSX])
def test_rows_of_accounts_read_back(tmp_path: Path, format_: Format) -> None:
    """The account stands beside the id, and the file says so to a reader without accounts."""
    file = EditsFile(format_, ("title",), ("rule",), has_accounts=True)
    edits = [
        Edit("opp_1", {"title": name}, {"rule": "R"}, account=name) for name in ("acme", "globex")
    ]
    path = tmp_path / f"edits.{format_}"
    with path.open("wb") as to:
        file.write(to, edits)
    file.read_back(path)
    options = ReadOptions(accounts=("acme", "globex"))
    with Input.open(path, options=options) as source:
        found = [(row.account, row.id, row.update and row.update.title) for row in source.rows()]
    assert found == [("acme", "opp_1", "acme"), ("globex", "opp_1", "globex")]
    with pytest.raises(InputError, match="is of a run with accounts"), Input.open(path) as source:
        list(source.rows())
