"""Tests of the names of columns, and what they stand for."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkupdate.errors import InputError
from bulkupdate.reader import Input
from bulkupdate.reader.columns import Naming
from bulkupdate.reader.options import ReadOptions

Write = Callable[..., Path]


def problems(*header: str, **options: object) -> list[str]:
    """The problems of a header."""
    return Naming(ReadOptions(**options)).layout(header)[1]  # type: ignore[arg-type]


def rows_of(path: Path, **options: object) -> int:
    """The number of rows of a file."""
    read = ReadOptions(**options)  # type: ignore[arg-type]
    with Input.open(path, options=read) as source:
        return len(list(source.rows()))


@pytest.mark.parametrize("header", [(), ("",), (" ", "\t", ""), ("",) * 30])
def test_header_of_blanks_has_no_id(header: tuple[str, ...]) -> None:
    """A header that holds no name at all lacks the column of the ids, and has no other problem."""
    (problem,) = problems(*header)
    assert problem.startswith("there is no column 'id'")


def test_line_of_blank_cells_is_no_header(write: Write) -> None:
    """A header is the first record that is not blank."""
    assert rows_of(write("a.csv", ", ,", "id,title,", "a,T,")) == 1


@pytest.mark.parametrize("text", ["sep=,", "sep=,\n", "sep=;\r\n", '"sep=,"\n', "sep=,\n\n , \n"])
def test_lone_sep_line_has_no_header(tmp_path: Path, text: str) -> None:
    """A file that holds nothing but Excel's line with the delimiter has no column of the ids."""
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        rows_of(path)
    assert str(refused.value).startswith(f"{path}: there is no column 'id'")


def test_nameless_column_between_others_is_a_problem() -> None:
    """A column without a name is refused unless it is the last, or extra columns are ignored."""
    assert problems("id", "", "title") == [
        "column 2 has no name: name it, or ignore it with ignore_extra"
    ]
    assert problems("id", "title", "", " ") == []
    assert problems("id", "", "title", ignore_extra=True) == []


def test_ignored_columns_are_named_without_our_own() -> None:
    """The layout names the columns that are ignored, but not those that bulkupdate added."""
    naming = Naming(ReadOptions(ignore_extra=True))
    layout, wrong = naming.layout(("id", "Phone", "", "title", "bulkupdate_row", "type"))
    assert wrong == []
    assert layout.ignored == ("Phone", "type")
    assert [(column.position, column.field) for column in layout.columns] == [
        (0, "id"),
        (3, "title"),
    ]
    assert layout.kept == (0, 1, 2, 3, 5)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("only", [("title",), ("Subject",)])
def test_columns_that_only_does_not_name_are_not_sent(
    write: Write, name: str, only: tuple[str, ...]
) -> None:
    """With columns to send, all others are ignored but the ids, whether they are right or not."""
    table = ["id,Subject,message,Phone", "a,T,M,1"]
    objects = [{"id": "a", "Subject": "T", "message": "M", "Phone": "1"}]
    path = write(name, *(table if name.endswith("csv") else objects))
    options = ReadOptions(mapping={"Subject": "title"}, only=only)
    with Input.open(path, options=options) as source:
        (row,) = source.rows()
        assert row.update is not None, row.error
        assert row.update.changes() == {"title": "T"}
        assert source.layout is None or source.layout.ignored == ("message", "Phone")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mapping": {"Owner": "assignedTo"}}, "mapping 'Owner': there is no such column"),
        ({"only": ("titel",)}, "only 'titel': there is no such column: did you mean 'title'?"),
        ({"only": ("message",)}, "only 'message': there is no such column"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_option_with_a_name_that_no_row_has_is_refused(
    write: Write, name: str, options: dict[str, object], says: str
) -> None:
    """An option that names a column or a key which the whole file lacks refuses the file."""
    table = ["id,title", "a,T", "b,U"]
    objects = [{"id": "a", "title": "T"}, {"id": "b", "title": "U"}]
    path = write(name, *(table if name.endswith("csv") else objects))
    with pytest.raises(InputError) as refused:
        rows_of(path, **options)
    assert f"{path}: {says}" in str(refused.value)
    assert rows_of(path, only=("title",)) == 2


def test_key_of_the_last_object_alone_is_known(write: Write) -> None:
    """A key that only the last object of a file has is one that the options may name."""
    path = write("a.jsonl", {"id": "a"}, {"id": "b", "Owner": "usr"})
    assert rows_of(path, mapping={"Owner": "assignedTo"}, only=("Owner",)) == 2


def test_failed_objects_need_not_hold_every_key(write: Write) -> None:
    """A file of failed objects is read with the options of its input, whichever keys it has."""
    path = write("a.jsonl", {"id": "a", "title": "T", "bulkupdate_row": 1})
    assert rows_of(path, mapping={"Owner": "assignedTo"}) == 1


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("id^title", "opp_1^T"), r"holds the names of several columns: set delimiter '\^'$"),
        (("id~title", "opp_1~T"), r"holds the names of several columns: set delimiter '~'$"),
        (("sep=,", "id;title", "opp_1;T"), "or, if there are none, set delimiter ';'$"),
        (('"id;title"', '"opp_1;T"'), "stands in quotes, as one cell: save the file again without"),
    ],
)
def test_header_with_another_delimiter_says_which(
    write: Write, lines: tuple[str, ...], says: str
) -> None:
    """The names of the columns show it."""
    with pytest.raises(InputError) as refused:
        rows_of(write("a.csv", *lines))
    assert re.search(says, str(refused.value), re.MULTILINE)


def test_delimiter_that_is_suggested_reads_the_file(write: Write) -> None:
    """The advice can be followed."""
    assert rows_of(write("a.csv", "id^title", "opp_1^T"), delimiter="^") == 1
    assert rows_of(write("b.csv", "sep=,", "id;title", "opp_1;T"), delimiter=";") == 1
