"""Tests of the user's options for an input."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, InputError
from bulkupdate.reader import Input
from bulkupdate.reader.options import Format, ReadOptions, moment, unpacked_name, zone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "klingon"}, "'klingon' is not an encoding: write it as utf-8"),
        ({"encoding": "base64"}, "is not an encoding"),
        ({"encoding": "hex"}, "is not an encoding"),
        ({"delimiter": ""}, "can't be a delimiter"),
        ({"delimiter": ";;"}, "can't be a delimiter: write one character"),
        ({"delimiter": '"'}, "can't be a delimiter"),
        ({"delimiter": "x"}, "can't be a delimiter"),
        ({"timezone": "Europe/Berlni"}, "'Europe/Berlni' is not a time zone: write it as"),
        ({"timezone": "../etc/passwd"}, "is not a time zone"),
        ({"timezone": ""}, "is not a time zone"),
        ({"timezone": "+25:00"}, "is not an offset from UTC"),
        ({"timezone": "+2 h"}, "is not an offset from UTC"),
        ({"time": "9 o'clock"}, "is not a time of day: write it as 09:00"),
        ({"time": "09:00+01:00"}, "is not a time of day"),
        ({"time": "09.30"}, "is not a time of day: write it as 09:00"),
        ({"timezone": "+02.30"}, "is not an offset from UTC"),
        ({"date_formats": ("%d/%m",)}, "lacks the day, the month or the year"),
        ({"date_formats": ("%d.%m.%Y %H:%M %p",)}, "%p needs the hour as %I, not %H"),
        ({"date_formats": ("%d.%m.%Y %I:%M",)}, "%I needs %p"),
        ({"date_formats": ("%x",)}, "%x depends on the language of the machine"),
        ({"date_formats": ("%d.%m.%Y %Q",)}, "is a bad directive"),
        ({"date_formats": ("%d.%m.%Y %H:%M %Z",)}, "%Z depends on the time zone of the machine"),
        ({"date_formats": ("%a %a %d.%m.%Y",)}, "redefinition of group name"),
        ({"only": "title"}, "only takes a list of texts: write it as ['title']"),
        ({"date_formats": "%d/%m/%Y"}, "date_formats takes a list of texts"),
        ({"clear_token": " "}, "clear_token must be a word"),
        ({"now": datetime(2026, 1, 1)}, "now has no offset from UTC"),  # noqa: DTZ001
        ({"now": "2026-01-01T00:00Z"}, "now takes a datetime, not '2026-01-01T00:00Z'"),
        ({"format": "json"}, "format 'json' is not one of csv, tsv, jsonl, xlsx"),
        ({"ignore_extra": "no"}, "ignore_extra takes True or False, not 'no'"),
        ({"only": [5]}, "only takes texts, not 5"),
        ({"format": 3}, "format 3 is not one of csv, tsv, jsonl, xlsx"),
    ],
)
def test_nonsensical_option_refusal_names_the_cure(options: dict[str, Any], message: str) -> None:
    """An option that makes no sense is refused, and the error explains how to write it."""
    with pytest.raises(ConfigError) as refused:
        ReadOptions(**options)
    assert message in str(refused.value)


def test_format_may_be_its_name() -> None:
    """A program may write the text."""
    options: dict[str, Any] = {"format": "jsonl"}
    assert ReadOptions(**options).format is Format.JSONL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapping": {"Owner": "asignee"}}, "mapping: 'asignee' is not a field"),
        ({"constants": {"asignedTo": "x"}}, "constants: 'asignedTo' is not a field: did you mean"),
        ({"constants": {"id": "x"}}, "constants id: each row needs an id of its own"),
        ({"constants": {"due": "x", "dueDate": "y"}}, "constants names 'dueDate' twice"),
        (
            {"constants": {"expect.due": "x", "expect.dueDate": "y"}},
            "constants names 'expect.dueDate' twice",
        ),
        ({"constants": {"images": "x"}}, "constants images: a list can only be given in JSONL"),
        ({"constants": {"priority": "hihg"}}, "constants priority 'hihg': is not a priority"),
        (
            {"constants": {"title": " "}},
            "constants title: is blank: to empty the field, write <clear>",
        ),
        ({"constants": {"done": "<clear>"}}, "constants done '<clear>': can't be cleared"),
        ({"value_map": Path("none.csv")}, "none.csv: there is no such file"),
    ],
)
def test_option_for_unknown_field_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    """An option that fits no field is refused before the first row is read."""
    (tmp_path / "a.csv").write_text("id,Owner\na,b\n")
    with pytest.raises((ConfigError, InputError)) as refused:
        Input.open(tmp_path / "a.csv", options=ReadOptions(**options))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("from,to\na,b\n", "a value map has the columns column, from, to, not from, to"),
        ("column,from,to\nOwner,a,b\n", "line 2: column 'Owner' is not a field"),
        ("column,from,to\nid,a,b\n", "line 2: column 'id' names the task: it can't be mapped"),
        ("column,from,to\nassignedTo,a,\n", "line 2: 'from' and 'to' can't be blank"),
        ("column,from,to\nassignedTo,a\n", "line 2: has 2 cells, and the header has 3"),
        (
            "column,from,to\nassignedTo,a,b\nassignedTo,A,c\n",
            "line 3: 'A' stands for two values",
        ),
        ('{"column": "assignedTo"}\n', "a value map is a file with the columns"),
        ("column,from,to\n", "the value map has a header but no lines"),
        ("column;from;to;note\nassignedTo;a;<clear>;x\n", "line 2: 'to': assignedTo '<clear>'"),
        ("column,from,to\nassignedTo,a,#N/A\n", "what a spreadsheet shows for an error"),
        ("column,from,to\npriority,a,hot\n", "line 2: 'to': priority 'hot': is not a priority"),
    ],
)
def test_wrong_value_map_is_refused_by_line(tmp_path: Path, content: str, message: str) -> None:
    """A wrong value map is refused with the line and the reason."""
    (tmp_path / "a.csv").write_text("id,assignedTo\na,b\n")
    (tmp_path / "map.csv" if content[0] != "{" else tmp_path / "map.jsonl").write_text(content)
    path = next(tmp_path.glob("map.*"))
    with pytest.raises(InputError) as refused:
        Input.open(tmp_path / "a.csv", options=ReadOptions(value_map=path))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("edits.csv", {"sheet": "Sheet1"}, "is text and has no sheets: leave out sheet"),
        ("edits.jsonl", {"sheet": "Sheet1"}, "is text and has no sheets: leave out sheet"),
        ("edits.jsonl", {"delimiter": ";"}, "is JSONL: leave out delimiter"),
        ("edits.jsonl", {"clear_token": "X"}, "empties a field: leave out clear_token"),
    ],
)
def test_option_for_another_format_is_refused(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    """An option that the format of the input has no use for is refused."""
    path = tmp_path / name
    path.write_text("id,title\na,b\n" if name.endswith("csv") else '{"id": "a", "title": "b"}\n')
    with pytest.raises(InputError, match=message):
        Input.open(path, options=ReadOptions(**options))


def test_lists_and_paths_may_have_any_type(tmp_path: Path) -> None:
    """A list stands for a tuple, and a text for a path."""
    path = tmp_path / "map.csv"
    options = ReadOptions(only=["title"], value_map=str(path))  # type: ignore[arg-type]
    assert (options.only, options.value_map) == (("title",), path)


def test_value_map_may_clear_and_repeat(tmp_path: Path) -> None:
    """A value map may clear a field and may repeat an equal line."""
    (tmp_path / "a.csv").write_text("id,priority\na,cold\nb,hot\nc,<clear>\nd,\n")
    (tmp_path / "map.tsv").write_text(
        "To\tcolumn\tFrom\n<clear>\tpriority\tCold\nhigh\tPriority\thot\nhigh\tpriority\tHOT\n"
    )
    options = ReadOptions(value_map=tmp_path / "map.tsv")
    with Input.open(tmp_path / "a.csv", options=options) as source:
        changes = [row.update and row.update.changes() for row in source.rows()]
    assert changes == [{"priority": ""}, {"priority": "2"}, {"priority": ""}, {}]


def test_moment_takes_given_time_zone() -> None:
    """A moment without an offset takes the time zone that the options give."""
    assert moment("2026-11-24T06:00:00Z", None) == datetime(2026, 11, 24, 6, tzinfo=UTC)
    assert moment("2026-11-24T06:00", "+02:00").utcoffset() == timedelta(hours=2)
    for text in ("noon", "2026-11-24T06.30Z", "2026-W48-2T06:00Z"):
        with pytest.raises(ConfigError, match=f"'{text}' is not a date-time"):
            moment(text, None)


def test_zone_is_name_or_offset() -> None:
    """A time zone is a name or an offset from UTC."""
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert summer.astimezone(zone("Europe/Paris")).utcoffset() == timedelta(hours=2)
    assert zone("utc").utcoffset(summer) == timedelta(0)
    assert zone("-03:30").utcoffset(summer) == -timedelta(hours=3, minutes=30)


def test_compressed_name_loses_its_suffix() -> None:
    """The name of a compressed file loses the suffix of its compression."""
    assert unpacked_name(Path("x/edits.csv.GZ")) == Path("x/edits.csv")
    assert unpacked_name(Path("edits.csv")) == Path("edits.csv")


def test_options_report_only_given_settings(tmp_path: Path) -> None:
    """The options report the settings that the user gave and leave out the others."""
    assert ReadOptions().said() == {}
    assert ReadOptions(format=Format.CSV).said() == {"format": "csv"}
    (tmp_path / "map.csv").write_text("column,from,to\n")
    options = ReadOptions(value_map=tmp_path / "map.csv", only=("title",), timezone="UTC").said()
    assert (options["only"], options["timezone"], len(options["value_map_sha256"])) == (
        ["title"],
        "UTC",
        64,
    )


def read_one(tmp_path: Path, text: str, **options: Any) -> Any:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with Input.open(tmp_path / "a.csv", options=ReadOptions(**options)) as source:
        (row,) = source.rows()
    return row.error if row.update is None else {"id": row.id, **row.update.changes()}


def test_relative_hours_ignore_clock_changes(tmp_path: Path) -> None:
    """A due date in hours from now counts elapsed hours when the clocks change."""
    now = moment("2026-10-25T01:30", "Europe/Paris")
    found = read_one(tmp_path, "id,dueDate\na,+3h\n", now=now, timezone="Europe/Paris")
    assert found == {"id": "a", "dueDate": "2026-10-25T02:30:00.000Z"}


def test_ambiguous_moment_needs_an_offset() -> None:
    """A moment that comes twice when the clocks change is refused without an offset."""
    with pytest.raises(
        ConfigError, match="happens twice or not at all in Europe/Paris: add its offset"
    ):
        moment("2026-10-25T02:30", "Europe/Paris")


def test_relative_day_in_skipped_hour_is_invalid(tmp_path: Path) -> None:
    """A relative day that ends in an hour which the clocks skip makes its row invalid."""
    now = datetime.fromisoformat("2026-03-28T02:30:00+01:00")
    error = read_one(tmp_path, "id,dueDate\na,+1d\n", now=now, timezone="Europe/Paris")
    assert "is skipped in Europe/Paris, where the clocks change" in error


def test_given_iso_like_format_is_exclusive(tmp_path: Path) -> None:
    """A given date format that looks like ISO is the only format that is read."""
    options = {"date_formats": ("%Y-%d-%m",), "timezone": "UTC", "time": "09:00"}
    right = read_one(tmp_path, "id,dueDate\na,2026-03-04\n", **options)
    assert right == {"id": "a", "dueDate": "2026-04-03T09:00:00.000Z"}
    wrong = read_one(tmp_path, "id,dueDate\na,2026-12-25\n", **options)
    assert "is not a date in the format of date_formats: '%Y-%d-%m'" in wrong


def test_own_clear_token_is_no_id(tmp_path: Path) -> None:
    """A row whose id is a clear token of the user's own is invalid, as its id is empty."""
    error = read_one(tmp_path, "id,title\nCLEARED,x\n", clear_token="cleared")
    assert error == "id: is empty: enter the id of the task"


def test_value_map_applies_to_json_too(tmp_path: Path) -> None:
    """A value map clears and translates the values of JSONL too."""
    (tmp_path / "map.csv").write_text("column,from,to\ntitle,old,<clear>\npriority,hot,high\n")
    (tmp_path / "a.jsonl").write_text('{"id": "a", "title": "OLD", "priority": "Hot"}\n')
    options = ReadOptions(value_map=tmp_path / "map.csv")
    with Input.open(tmp_path / "a.jsonl", options=options) as source:
        (row,) = source.rows()
    assert row.update is not None
    assert row.update.changes() == {"title": "", "priority": "2"}


def test_column_whose_field_is_mapped_is_named(tmp_path: Path) -> None:
    """A column whose own field the mapping gives to another is refused with that reason."""
    (tmp_path / "a.csv").write_text("id,title,message\na,T,M\n")
    with pytest.raises(InputError) as refused:
        Input.open(tmp_path / "a.csv", options=ReadOptions(mapping={"title": "message"}))
    assert str(refused.value).endswith(
        "column 'message' is not sent: mapping gives message to another column; remove it, or set"
        " ignore_extra"
    )
