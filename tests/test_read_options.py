"""What the user says of an input."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, InputError
from bulkupdate.read_options import Format, ReadOptions, moment, unpacked_name, zone
from bulkupdate.reader import Input


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"encoding": "klingon"}, "'klingon' is no encoding of text: write it as utf-8"),
        ({"encoding": "base64"}, "is no encoding of text"),
        ({"encoding": "hex"}, "is no encoding of text"),
        ({"delimiter": ""}, "can't be a delimiter"),
        ({"delimiter": ";;"}, "can't be a delimiter: it is one character"),
        ({"delimiter": '"'}, "can't be a delimiter"),
        ({"delimiter": "x"}, "can't be a delimiter"),
        ({"timezone": "Europe/Berlni"}, "'Europe/Berlni' is no time zone: write it as"),
        ({"timezone": "../etc/passwd"}, "is no time zone"),
        ({"timezone": ""}, "is no time zone"),
        ({"timezone": "+25:00"}, "is no offset from UTC"),
        ({"timezone": "+2 h"}, "is no offset from UTC"),
        ({"time": "9 o'clock"}, "is no time of day: write it as 09:00"),
        ({"time": "09:00+01:00"}, "is no time of day"),
        ({"date_formats": ("%d/%m",)}, "lacks the day, the month or the year"),
        ({"date_formats": ("%x",)}, "%x depends on the machine"),
        ({"date_formats": ("%d.%m.%Y %Q",)}, "is a bad directive"),
        ({"clear_token": " "}, "--clear-token is a word"),
        ({"now": datetime(2026, 1, 1)}, "--now has no offset from UTC"),  # noqa: DTZ001
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(said: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ReadOptions(**said)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"mapping": {"Owner": "asignee"}}, "--map: 'asignee' is no field"),
        ({"constants": {"asignedTo": "x"}}, "--set: 'asignedTo' is no field: did you mean"),
        ({"constants": {"id": "x"}}, "--set id: each row is about a task of its own"),
        ({"constants": {"due": "x", "dueDate": "y"}}, "--set says 'dueDate' twice"),
        ({"constants": {"images": "x"}}, "--set images: a list can only be given in JSONL"),
        ({"constants": {"priority": "hihg"}}, "--set priority 'hihg': is not a priority"),
        ({"constants": {"title": " "}}, "--set title: is blank: to empty it, say <clear>"),
        ({"constants": {"done": "<clear>"}}, "--set done '<clear>': can't be cleared"),
        ({"value_map": Path("none.csv")}, "none.csv: there is no such file"),
    ],
)
def test_what_fits_no_field_is_refused_before_a_row_is_read(
    tmp_path: Path, said: dict[str, Any], says: str
) -> None:
    (tmp_path / "a.csv").write_text("id,Owner\na,b\n")
    with pytest.raises((ConfigError, InputError)) as refused:
        Input(tmp_path / "a.csv", options=ReadOptions(**said))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("from,to\na,b\n", "a value map has the columns column, from, to, not from, to"),
        ("column,from,to\nOwner,a,b\n", "line 2: column 'Owner' is no field"),
        ("column,from,to\nid,a,b\n", "line 2: column 'id' is the task: it can't be mapped"),
        ("column,from,to\nassignedTo,a,\n", "line 2: 'from' and 'to' can't be blank"),
        ("column,from,to\nassignedTo,a\n", "line 2: has 2 cells and not 3"),
        (
            "column,from,to\nassignedTo,a,b\nassignedTo,A,c\n",
            "line 3: 'A' stands for two values",
        ),
        ('{"column": "assignedTo"}\n', "a value map is a file with the columns"),
    ],
)
def test_a_value_map_that_is_wrong_is_refused_with_its_line(
    tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / "a.csv").write_text("id,assignedTo\na,b\n")
    (tmp_path / "map.csv" if content[0] != "{" else tmp_path / "map.jsonl").write_text(content)
    path = next(tmp_path.glob("map.*"))
    with pytest.raises(InputError) as refused:
        Input(tmp_path / "a.csv", options=ReadOptions(value_map=path))
    assert says in str(refused.value)


def test_a_value_map_may_clear_and_may_repeat_itself(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,priority\na,cold\nb,hot\nc,<clear>\nd,\n")
    (tmp_path / "map.tsv").write_text(
        "To\tcolumn\tFrom\n<clear>\tpriority\tCold\nhigh\tPriority\thot\nhigh\tpriority\tHOT\n"
    )
    options = ReadOptions(value_map=tmp_path / "map.tsv")
    with Input(tmp_path / "a.csv", options=options) as source:
        changes = [row.update and row.update.changes() for row in source.rows()]
    assert changes == [{"priority": ""}, {"priority": "2"}, {"priority": ""}, {}]


def test_a_moment_takes_the_time_zone_where_it_has_none() -> None:
    assert moment("2026-11-24T06:00:00Z", None) == datetime(2026, 11, 24, 6, tzinfo=UTC)
    assert moment("2026-11-24T06:00", "+02:00").utcoffset() == timedelta(hours=2)
    with pytest.raises(ConfigError, match="'noon' is no date-time"):
        moment("noon", None)


def test_zones_are_names_or_offsets() -> None:
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert summer.astimezone(zone("Europe/Paris")).utcoffset() == timedelta(hours=2)
    assert zone("utc").utcoffset(summer) == timedelta(0)
    assert zone("-03:30").utcoffset(summer) == -timedelta(hours=3, minutes=30)


def test_the_name_of_a_compressed_file_is_the_one_inside() -> None:
    assert unpacked_name(Path("x/edits.csv.GZ")) == Path("x/edits.csv")
    assert unpacked_name(Path("edits.csv")) == Path("edits.csv")


def test_what_was_said_is_told_and_what_was_not_is_left_out(tmp_path: Path) -> None:
    assert ReadOptions().said() == {}
    assert ReadOptions(format=Format.CSV).said() == {"format": "csv"}
    (tmp_path / "map.csv").write_text("column,from,to\n")
    said = ReadOptions(value_map=tmp_path / "map.csv", only=("title",), timezone="UTC").said()
    assert (said["only"], said["timezone"], len(said["value_map_sha256"])) == (
        ["title"],
        "UTC",
        64,
    )
