"""Tests of finding the changes in an edited input."""

import errno
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.codec import parse_record, replaced, to_json
from bulkupdate.errors import JournalError
from bulkupdate.journal.comparison import Changes, compare
from bulkupdate.journal.digests import CheckedRows, DigestFile, Digests
from bulkupdate.models import ErrorInfo, LoggedRow, Outcome, Result, Row, TaskUpdate, unsent
from tests.support.fakes import row

Edits = list[tuple[str, str]]  # task and title


def digests(path: Path, *rows: Row) -> Digests:
    file = DigestFile(path)
    for one in rows:
        file.add(one)
    file.close()
    return Digests.read(path)


def compared(folder: Path, before: Edits, after: Edits, settled: set[int] | None = None) -> Changes:
    old, new = (
        digests(folder / name, *(row(n, task, title=t) for n, (task, t) in enumerate(edits, 1)))
        for name, edits in (("old", before), ("new", after))
    )
    return compare(old, new, lambda n: n if settled is None or n in settled else 0)


ABC = [("a", "1"), ("b", "1"), ("c", "1")]


def test_unchanged_rows_keep_their_results(tmp_path: Path) -> None:
    """Unchanged rows keep their results, and rows without a result stay unsettled."""
    assert compared(tmp_path, ABC, ABC)[:3] == ([], [], [])
    assert list(compared(tmp_path, ABC, ABC).kept) == [1, 2, 3]
    assert list(compared(tmp_path, ABC, ABC, {2}).kept) == [0, 2, 0]


def test_moved_row_keeps_its_result(tmp_path: Path) -> None:
    """A row that only moved keeps its result and does not count as changed."""
    changes = compared(tmp_path, ABC, [ABC[2], ABC[0], ABC[1]])
    assert changes[:3] == ([], [], [])
    assert list(changes.kept) == [3, 1, 2]


def test_rows_are_changed_added_or_removed(tmp_path: Path) -> None:
    """The comparison tells which rows changed, were added or were removed."""
    changes = compared(tmp_path, ABC, [("a", "2"), ("c", "1"), ("d", "1")])
    assert changes[:3] == ([1], [3], [2])
    assert list(changes.kept) == [0, 3, 0]


def test_changed_row_resends_its_whole_task(tmp_path: Path) -> None:
    """A changed row sends its whole task again, and a row added last sends only itself."""
    before = [("a", "1"), ("b", "1"), ("a", "2")]
    changed_first = [("a", "0"), ("b", "1"), ("a", "2")]
    assert list(compared(tmp_path, before, changed_first).kept) == [0, 2, 0]
    # The removed edit may have set a field that the new one does not.
    changed_last = [("a", "1"), ("b", "1"), ("a", "3")]
    assert list(compared(tmp_path, before, changed_last).kept) == [0, 2, 0]
    added_last = [*before, ("a", "3")]
    assert list(compared(tmp_path, before, added_last).kept) == [1, 2, 3, 0]


def test_swapped_rows_are_sent_in_new_order(
    tmp_path: Path,
) -> None:
    """Rows of one task that were swapped are sent in their new order."""
    before = [("a", "1"), ("a", "2"), ("b", "1")]
    changes = compared(tmp_path, before, [("a", "2"), ("a", "1"), ("b", "1")])
    assert changes[:3] == ([], [], [])
    assert list(changes.kept) == [2, 0, 3]


def test_equal_rows_keep_results_in_order(tmp_path: Path) -> None:
    """Among equal rows of a task, those whose results keep the order stay settled."""
    changes = compared(tmp_path, [("a", "1"), ("a", "2"), ("a", "1")], [("a", "2"), ("a", "1")])
    assert changes[:3] == ([], [], [1])
    assert list(changes.kept) == [2, 3]


def test_row_that_sends_nothing_resends_nothing(tmp_path: Path) -> None:
    """An invalid row or one without fields causes no later row of its task to be sent."""
    then = digests(tmp_path / "old", row(1, "a", title="1"))
    invalid = Row(1, 2, "a", None, (), ("a", "bad"))
    empty = Row(1, 2, "a", TaskUpdate(id="a"), (), ("a",))
    for name, first in (("invalid", invalid), ("empty", empty)):
        now = digests(tmp_path / name, first, row(2, "a", title="1"))
        assert list(compare(then, now, lambda n: n).kept) == [0, 1]


def test_rows_a_removed_row_overwrote_are_resent(tmp_path: Path) -> None:
    """A row is sent again where a removed later row of its task had overwritten it."""
    before = [("a", "1"), ("a", "2"), ("b", "1")]
    assert list(compared(tmp_path, before, [("a", "1"), ("b", "1")]).kept) == [0, 3]
    assert list(compared(tmp_path, before, [("a", "2"), ("b", "1")]).kept) == [2, 3]
    empty = Row(2, 3, "a", TaskUpdate(id="a"), (), ("a",))
    then = digests(tmp_path / "old", row(1, "a", title="1"), empty)
    now = digests(tmp_path / "new", row(1, "a", title="1"))
    assert list(compare(then, now, lambda n: n).kept) == [1]


def test_rows_follow_the_order_of_the_log(tmp_path: Path) -> None:
    """The comparison takes the order in which the log shows that rows were applied."""
    rows = [row(1, "a", title="1"), row(2, "a", title="2"), row(3, "b", title="1")]
    then, now = digests(tmp_path / "old", *rows), digests(tmp_path / "new", *rows)
    lines = {1: 9, 2: 4, 3: 5}
    assert list(compare(then, now, lambda n: lines[n]).kept) == [1, 0, 3]


def test_huge_task_is_compared_in_time(tmp_path: Path) -> None:
    """An input whose 20,000 rows are all of one task is compared in good time."""
    before = [("a", str(n % 5000)) for n in range(20000)]
    changes = compared(tmp_path, before, [*before, ("a", "new")])
    assert changes[:3] == ([], [20001], [])
    assert list(changes.kept) == [*range(1, 20001), 0]


EDITS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("12")), max_size=8)


@given(EDITS, EDITS, st.sets(st.integers(1, 8)))
def test_kept_rows_are_settled_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, before: Edits, after: Edits, settled: set[int]
) -> None:
    """A row that is kept was settled before, is equal and stays in the order of its task."""
    changes = compared(tmp_path_factory.mktemp("digests"), before, after, settled)
    kept = {now: was for now, was in enumerate(changes.kept, 1) if was}
    assert len(set(kept.values())) == len(kept)
    for now, was in kept.items():
        assert was in settled
        assert before[was - 1] == after[now - 1]
    for task in "ab":
        of_task = [now for now, (id_, _) in enumerate(after, 1) if id_ == task]
        was_kept = [now in kept for now in of_task]
        assert was_kept == sorted(was_kept, reverse=True)
        numbers = [kept[now] for now in of_task if now in kept]
        assert numbers == sorted(numbers)
    assert len(changes.changed) + len(changes.added) == len(after) - _matches(before, after)
    assert len(changes.changed) + len(changes.removed) == len(before) - _matches(before, after)


def _matches(before: Edits, after: Edits) -> int:
    return sum(min(before.count(edit), after.count(edit)) for edit in set(before))


def test_result_beyond_the_digests_makes_no_other_row_known(tmp_path: Path) -> None:
    """Rows between a torn file of digests and a row that the log has stay unknown."""
    last = Row(4, 5, "d", TaskUpdate(id="d"), (), ("d",))
    found = digests(tmp_path / "digests", row(1, "a", title="1"))
    found.correct(unsent(last, Outcome.UNCHANGED))
    assert [found.of(number) for number in (2, 3)] == [(0, 0)] * 2
    assert found.of(4) != (0, 0)


def test_link_in_the_place_of_digests_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's digests decide nothing."""
    digests(tmp_path / "others", row(1, "a", title="1"))
    (tmp_path / "digests").symlink_to(tmp_path / "others")
    with pytest.raises(JournalError, match="can't be read"):
        CheckedRows(tmp_path / "digests")


def test_log_overrides_digests_on_what_was_sent(tmp_path: Path) -> None:
    """The log decides what a row sent, also where the digests differ from it."""
    then = digests(tmp_path / "old", row(1, "a", title="1"), row(2, "b", title="1"))
    sent = Result(
        row=2, id="c", outcome=Outcome.FAILED, attempts=1, at="", sent={"title": "x"},
        error=ErrorInfo("not_found", ""),
    )  # fmt: skip
    then.correct(sent)
    then.correct(unsent(row(4, "d"), Outcome.INVALID))
    now = digests(tmp_path / "new", row(1, "c", title="x"), row(2, "b", title="1"))
    changes = compare(then, now, lambda n: n)
    assert list(changes.kept) == [2, 0]
    assert changes[:3] == ([], [2], [1])


def test_row_without_fields_matches_its_log_line(tmp_path: Path) -> None:
    """A row without fields has the same digest in the log and in the input."""
    empty = Row(1, 2, "a", TaskUpdate(id="a"), (), ("a",))
    then = digests(tmp_path / "none")
    then.correct(unsent(empty, Outcome.UNCHANGED))
    assert list(compare(then, digests(tmp_path / "new", empty), lambda n: n).kept) == [1]


def test_torn_digest_file_loses_one_row(tmp_path: Path) -> None:
    """A file of many digests that is cut in its last line loses only that row."""
    path = tmp_path / "many"
    whole = digests(path, *(row(n, f"t{n}") for n in range(1, 10001)))
    assert len(whole) == 10000
    assert path.stat().st_size == 340000
    path.write_bytes(path.read_bytes()[:-7])
    torn = Digests.read(path)
    assert len(torn) == 9999
    assert torn.of(9999) == whole.of(9999)


def test_unreadable_digests_raise_an_error(tmp_path: Path) -> None:
    """A digest file that cannot be read or has other content raises an error."""
    with pytest.raises(JournalError, match="can't be read"):
        Digests.read(tmp_path)
    (tmp_path / "other").write_text("something else, of some length" * 9)
    with pytest.raises(JournalError, match="was not written by bulkupdate"):
        Digests.read(tmp_path / "other")


def test_digest_line_matches_the_earlier_version(tmp_path: Path) -> None:
    """A digest line has the same bytes as in the version before."""
    digests(tmp_path / "digests", row(1, title="T"))
    assert (tmp_path / "digests").read_bytes() == b"1da12481992cb53d b65033fb2b7256b3\n"


def test_row_is_known_by_its_number_and_content(tmp_path: Path) -> None:
    """A row is the one of the file if task and content are those under its number."""
    path = tmp_path / "digests"
    rows = [row(number, title=f"T{number}") for number in range(1, 6)]
    digests(path, *rows)
    with CheckedRows(path) as checked:
        assert len(checked) == 5
        assert all(map(checked.holds, rows))
        assert not checked.holds(row(2, title="other"))
        assert not checked.holds(row(2, "opp_3", title="T2"))
        assert not checked.holds(row(3, "opp_2", title="T2"))
        assert not checked.holds(row(6, title="T6"))
        assert not checked.holds(row(10**15, title="T6"))
    with pytest.raises(JournalError, match="can't be read"):
        CheckedRows(tmp_path / "none")


def test_torn_line_of_digests_hides_no_other(tmp_path: Path) -> None:
    """After a crash, the rows before the incomplete last line are still known."""
    path = tmp_path / "digests"
    rows = [row(number, title=f"T{number}") for number in range(1, 4)]
    digests(path, *rows)
    path.write_bytes(path.read_bytes()[:-5])
    with CheckedRows(path) as checked:
        assert [checked.holds(one) for one in rows] == [True, True, False]


def test_digests_of_many_rows_are_written_as_they_come(tmp_path: Path) -> None:
    """However many rows there are, few of their digests are kept in memory."""
    file = DigestFile(tmp_path / "digests")
    for number in range(1, 10_001):
        file.add(row(number))
    assert (tmp_path / "digests").stat().st_size > 5_000 * 34
    file.close()
    assert len(Digests.read(tmp_path / "digests")) == 10_000


def test_forgotten_row_has_no_digests(tmp_path: Path) -> None:
    """A row that is to be sent again is like no other row."""
    found = digests(tmp_path / "digests", row(1), row(2))
    found.forget(1)
    assert found.of(1) == (0, 0)
    assert 0 not in found.of(2)


def test_rows_are_known_far_apart_too(tmp_path: Path) -> None:
    """Few parts of a long file of digests are kept in memory, in any order of the rows."""
    path = tmp_path / "digests"
    rows = [row(number, title=f"T{number}") for number in range(1, 20_001)]
    digests(path, *rows)
    with CheckedRows(path) as checked:
        for one in (*rows[::1500], *rows[::-1700], rows[-1], rows[0]):
            assert checked.holds(one)
            assert len(checked._parts) <= 4


def test_failed_digests_are_not_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests that failed to be written are not written when the file is closed."""
    file = DigestFile(tmp_path / "digests")
    file.add(row(1, title="T"))
    with monkeypatch.context() as full:
        full.setattr("os.write", _no_space)
        with pytest.raises(JournalError):
            file._flush()
    file.close()
    assert (tmp_path / "digests").read_bytes() == b""


def _no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("id_", "sent"),
    [
        (b'"opp_1"', b"\xff"),
        (b'"opp_1"', b"[1]"),
        (b'"opp_1"', b"7"),
        (b"{}", b'{"title":"T"}'),
        (b"\xff", b""),
        (b'"opp_2"', b""),
        (b'"opp_2"', b'{"title":"T"}'),
    ],
)
def test_nonsense_in_a_line_is_no_row(tmp_path: Path, id_: bytes, sent: bytes) -> None:
    """A line that holds no id, or no fields, is not a result of the row with its number."""
    digests(tmp_path / "digests", row(1, title="T"))
    with CheckedRows(tmp_path / "digests") as checked:
        line = LoggedRow(
            row=1, outcome=Outcome.UPDATED, id=msgspec.Raw(id_), sent=msgspec.Raw(sent)
        )
        right = LoggedRow(
            row=1, outcome=Outcome.UPDATED, id=msgspec.Raw(b'"opp_1"'),
            sent=msgspec.Raw(b'{"title":"T"}'),
        )  # fmt: skip
        assert not checked.fits(line)
        assert checked.fits(right)
        assert checked.fits(replaced(right, sent=msgspec.Raw()))
        assert checked.fits(
            replaced(right, sent=msgspec.Raw(b'{"title":"other"}'), was_merged=True)
        )


def test_unreadable_digests_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that can't read the digests is an error with their name."""
    digests(tmp_path / "digests", row(1, title="T"))

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with CheckedRows(tmp_path / "digests") as checked:
        monkeypatch.setattr("os.pread", broken)
        with pytest.raises(JournalError, match=r"digests can't be read: Input/output error"):
            checked.holds(row(1, title="T"))


#: Results of a row for which its task settled that nothing is sent.
COMPARED = [
    unsent(row(1, title="T"), Outcome.CONFLICT, ErrorInfo("not_listed", "x")),
    replaced(unsent(row(1, title="T"), Outcome.UNCHANGED), reason="already"),
]


@pytest.mark.parametrize("result", COMPARED, ids=["conflict", "already"])
def test_row_that_was_compared_and_not_sent_keeps_its_digest(
    tmp_path: Path, result: Result
) -> None:
    """A line without fields says nothing about the content of a row that sets fields."""
    then = digests(tmp_path / "old", row(1, title="T"))
    then.correct(result)
    assert list(compare(then, digests(tmp_path / "new", row(1, title="T")), lambda n: n).kept) == [
        1
    ]
    changed = compare(then, digests(tmp_path / "other", row(1, title="other")), lambda n: n)
    assert (list(changed.kept), changed.changed) == ([0], [1])


def test_line_of_another_edit_never_fits(tmp_path: Path) -> None:
    """All of a digest counts: of a thousand other edits of the task, none fits."""
    digests(tmp_path / "digests", row(1, title="T"))
    with CheckedRows(tmp_path / "digests") as checked:
        for number in range(1000):
            result = Result(
                row=1, id="opp_1", outcome=Outcome.UPDATED, attempts=1, at="",
                sent={"title": f"T{number}"},
            )  # fmt: skip
            assert not checked.fits(parse_record(to_json(result), LoggedRow))


@pytest.mark.parametrize("result", COMPARED, ids=["conflict", "already"])
def test_line_of_a_compared_row_fits_by_its_task(tmp_path: Path, result: Result) -> None:
    """A line without fields is a result of the row if it names the row's task."""
    digests(tmp_path / "digests", row(1, title="T"), row(2, title="T"))
    with CheckedRows(tmp_path / "digests") as checked:
        assert checked.fits(parse_record(to_json(result), LoggedRow))
        assert not checked.fits(parse_record(to_json(replaced(result, row=2)), LoggedRow))
