"""Tests of splitting lines into records of cells."""

import csv
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.reader.records import Dialect, DialectError, escaped, is_ruler, records

ESCAPED = Dialect("\t", "\n", escapes="backslash")


def cells_of(*lines: str, dialect: Dialect | None = None) -> list[list[str]]:
    return [cells for _, cells in records(iter(lines), dialect or Dialect(","))]


@pytest.mark.parametrize(
    "line",
    [
        'opp_1,usr_1"Anna, call her","soon"\n',
        'opp_1,usr_1"Anna, call her"\n',
        'opp_1, "Anna, call her",x\n',
        'opp_1,usr_1"Anna, ""call"" her"\r\n',
        'opp_1,"x, y",usr_1"Anna, call her"',
    ],
)
def test_lost_delimiter_before_a_quoted_cell_is_refused(line: str) -> None:
    """A quote in a cell without quotes, and one at the end of a later such cell, are refused."""
    with pytest.raises(DialectError, match=r"that begins on line 2: .* is a delimiter missing"):
        cells_of("id,title,message\n", line)


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('a,5" pipe,27" screen', ["a", '5" pipe', '27" screen']),
        ('a,"5"" pipe, cut","6"""', ["a", '5" pipe, cut', '6"']),
        ('a,say "hi", or not', ["a", 'say "hi"', " or not"]),
        ('a,"x"', ["a", "x"]),
        ('a,5",x', ["a", '5"', "x"]),
        ('a,5",the 7"er', ["a", '5"', 'the 7"er']),
        ('a,TV 24" black,size 24"', ["a", 'TV 24" black', 'size 24"']),
        ('a,Buy a 24" screen,and one of 27"', ["a", 'Buy a 24" screen', 'and one of 27"']),
    ],
)
def test_other_quotes_are_part_of_the_text(line: str, cells: list[str]) -> None:
    """Quotes that no quoted cell ends with are ordinary characters."""
    assert cells_of(line) == [cells]


@given(st.lists(st.text(alphabet='ab",\n ', max_size=8), min_size=1, max_size=5))
def test_quotes_that_csv_writes_are_never_in_doubt(cells: list[str]) -> None:
    """What a program writes as CSV is read, whatever quotes its cells hold."""
    lines: list[str] = []

    class Lines:
        def write(self, text: str) -> None:
            lines.extend(text.splitlines(keepends=True))

    csv.writer(Lines(), lineterminator="\n").writerow(["x", *cells])
    assert cells_of(*lines) == [["x", *cells]]


@pytest.mark.parametrize("sign", ["\\n", "\\t", "\\r", "\\\\"])
def test_backslash_in_a_tab_separated_file_is_asked_about(sign: str) -> None:
    """An escape in a tab-separated file is refused until a flag says what it is."""
    line = f"opp_1\ta{sign}b\n"
    with pytest.raises(DialectError, match=r"set escapes backslash if .* or escapes none if"):
        cells_of(line, dialect=Dialect("\t"))
    assert cells_of(line, dialect=Dialect("\t", escapes="none")) == [["opp_1", f"a{sign}b"]]
    assert cells_of(f"opp_1,a{sign}b\n") == [["opp_1", f"a{sign}b"]]


@pytest.mark.parametrize(
    "line", ['opp_1,Say \\"hi\\",q\n', 'opp_1,5\\" pipe\n', 'opp_1,"a",\\"b\\"']
)
def test_escaped_quote_is_asked_about(line: str) -> None:
    """MySQL, Spark and programs of people's own write it so; spreadsheets write a quote twice."""
    with pytest.raises(DialectError, match=r"holds .*: let the program .* or set escapes none if"):
        cells_of("id,title,message\n", line)
    (found,) = cells_of(line, dialect=Dialect(",", escapes="none"))
    assert '\\"' in "".join(found)


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('opp_1,"C:\\temp\\"\n', ["opp_1", "C:\\temp\\"]),
        ('opp_1,"C:\\","x"\n', ["opp_1", "C:\\", "x"]),
        ("opp_1,C:\\new\n", ["opp_1", "C:\\new"]),
        ('opp_1,"hi\nC:\\temp\\"\n', ["opp_1", "hi\nC:\\temp\\"]),
        ('opp_1,"hi\nsay \\""x\\"" ok"\n', ["opp_1", 'hi\nsay \\"x\\" ok']),
    ],
)
def test_backslash_at_the_end_of_a_cell_is_part_of_it(line: str, cells: list[str]) -> None:
    """A path may end with one, right before the quote that ends its cell, in any of its lines."""
    assert cells_of(*line.splitlines(keepends=True)) == [cells]


def test_quoted_cell_over_lines_in_a_tab_separated_file_is_asked_about() -> None:
    """A quote that is not closed in its line holds cells together, or is a part of the text."""
    lines = ('opp_1\t"Call\n', 'opp_2\tb"\n')
    with pytest.raises(DialectError, match=r"set escapes none if it does, or escapes backslash if"):
        cells_of(*lines, dialect=Dialect("\t"))
    together = [["opp_1", "Call\nopp_2\tb"]]
    assert cells_of(*lines, dialect=Dialect("\t", escapes="none")) == together
    assert cells_of(*lines, dialect=ESCAPED) == [["opp_1", '"Call'], ["opp_2", 'b"']]
    assert cells_of('a\t5" pipe\n', dialect=Dialect("\t")) == [["a", '5" pipe']]


def test_escapes_are_read_and_quotes_are_not() -> None:
    """With escapes, each is one character, and a quote is an ordinary one."""
    line = 'opp_1\t"a\\nb\\tc\\\\n"\t\\N\t"\n'
    assert cells_of(line, dialect=ESCAPED) == [["opp_1", '"a\nb\tc\\n"', "\\N", '"']]
    assert cells_of("\\t\t\\n\tx\\\\N\n", dialect=ESCAPED) == [["\t", "\n", "x\\N"]]
    with pytest.raises(DialectError, match=r"holds the escape '\\\\N'"):
        cells_of("opp_1\ta\\N\n", dialect=ESCAPED)
    with pytest.raises(DialectError, match=r"holds the escape '\\\\q': those that are known are"):
        cells_of("opp_1\ta\\q\n", dialect=ESCAPED)
    with pytest.raises(DialectError, match=r"holds the escape '\\\\':"):
        cells_of("opp_1\ta\\\n", dialect=ESCAPED)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_escaped_cells_read_back(cells: list[str]) -> None:
    """A cell with escapes reads back as itself."""
    line = "\t".join(map(escaped, ["x", *cells])) + "\n"
    assert cells_of(line, dialect=ESCAPED) == [["x", *cells]]


@pytest.mark.parametrize(
    "line", ["|----|---|", "+-----+----+", "|:--|--:|", "├──┼──┤", "====  ====", " --+-- ", "---"]
)
def test_ruler_of_a_drawn_table_is_known(line: str) -> None:
    """A line of dashes and corners is only there to look at."""
    assert is_ruler(line)


@pytest.mark.parametrize("line", ["", "|", "||||", "a--b", "id,title", "-", "+ -", "1--2", "--,--"])
def test_other_lines_are_no_rulers(line: str) -> None:
    """A line with any text is none, and neither is one of delimiters alone."""
    assert not is_ruler(line)


def test_record_is_numbered_by_the_line_it_begins_on() -> None:
    """A record that takes several lines is named by the first of them."""

    def lines() -> Iterator[str]:
        yield from ('a,"b\n', 'c"\n', "\n", "d,e\n")

    assert [line for line, _ in records(lines(), Dialect(","))] == [1, 4]


def test_end_of_file_mark_of_dos_is_no_record() -> None:
    """The mark that DOS programs write at the end of a file counts as a blank line."""
    assert cells_of("id,title\n", "a,b\n", "\x1a") == [["id", "title"], ["a", "b"]]
    assert cells_of("a,\x1a\n") == [["a", "\x1a"]]
