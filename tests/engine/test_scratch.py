"""Parked rows on disk."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.engine.scratch import Scratch
from bulkupdate.errors import JournalError
from bulkupdate.models import CheckedUpdate, Row, TaskUpdate
from tests.support.fakes import row


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    one = Scratch(tmp_path / "parked")
    yield one
    one.close()


def plain(one: Row) -> object:
    """A row without the types of its parts: an update comes back as one that was checked."""
    return msgspec.to_builtins(one)


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=60))
def test_each_task_gets_rows_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str | None]
) -> None:
    """A take from every task that has a row gives each task's rows back in order."""
    scratch = Scratch(tmp_path_factory.mktemp("scratch") / "parked")
    model: dict[str, list[Row]] = {"a": [], "b": [], "c": []}
    for number, task in enumerate([*steps, *[None] * 60], 1):
        if task is not None:
            one = row(number, task, title="é" * number)
            scratch.put(one)
            model[task].append(one)
            continue
        for id_, rows in model.items():
            assert (id_ in scratch) == bool(rows)
            if rows:
                assert plain(scratch.take(id_)) == plain(rows.pop(0))
    assert not any(model.values())
    scratch.close()


def test_every_field_of_row_comes_back(scratch: Scratch) -> None:
    """A row comes back from the scratch file with every field unchanged."""
    update = TaskUpdate(
        id="a", assigned_to="usr", due_date="2026-01-31T08:58:00Z", title="", message="x",
        priority="", done=False, images=("https://a.b/c.png",), videos=(),
    )  # fmt: skip
    for record in (("a", "b\n"), '{"id": "a"}'):
        one = Row(
            7, 9, "a", update, (), record, (row(3, "a"),), update.shape(), {"title": "Old"},
            "Ben is away", "acme",
        )  # fmt: skip
        scratch.put(one)
        assert plain(scratch.take("a")) == plain(one)


def test_owner_who_is_no_id_yet_comes_back(scratch: Scratch) -> None:
    """A name or an address of a person is resolved later, and is not checked again here."""
    update = CheckedUpdate(id="a", assigned_to="Ben Müller")
    scratch.put(Row(1, 2, "a", update, (), ("a", "Ben Müller")))
    assert scratch.take("a").update == update


def test_scratch_file_leaves_nothing_behind(scratch: Scratch, tmp_path: Path) -> None:
    """The scratch file is never visible in its directory."""
    scratch.put(row(1))
    assert list(tmp_path.iterdir()) == []


def test_taken_rows_leave_room_for_others(scratch: Scratch) -> None:
    """Rows that were taken leave room for other rows, so the scratch file stays small."""
    pages = set()
    for number in range(1, 100):
        scratch.put(row(number, "a", title="x" * 2000))
        assert scratch._database is not None
        pages.add(scratch._database.execute("PRAGMA page_count").fetchone()[0])
        scratch.take("a")
    assert max(pages) < 10


def test_full_disk_raises_an_error(scratch: Scratch) -> None:
    """A row that does not fit on a full disk raises a journal error."""
    scratch.put(row(1))
    assert scratch._database is not None
    scratch._database.execute("PRAGMA max_page_count = 4")
    with pytest.raises(JournalError, match="can't be stored on disk: database or disk is full"):
        scratch.put(row(2, title="x" * 100_000))


def test_missing_directory_raises_an_error(tmp_path: Path) -> None:
    """A scratch file in a missing directory raises a journal error."""
    with pytest.raises(JournalError, match="waiting rows can't be stored on disk: unable to open"):
        Scratch(tmp_path / "none" / "parked").put(row(1))


def test_taking_lost_rows_raises_an_error(scratch: Scratch) -> None:
    """A row that is gone from the scratch file raises a journal error."""
    scratch.put(row(1, "a"))
    scratch.close()
    with pytest.raises(JournalError, match=r"missing|no such table"):
        scratch.take("a")


@pytest.mark.parametrize("left", [b"", b"no database at all"])
def test_file_of_a_killed_session_is_replaced(tmp_path: Path, left: bytes) -> None:
    """A file that an earlier process left under this name is replaced by an empty database."""
    path = tmp_path / "parked"
    path.write_bytes(left)
    if not left:
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE parked (number INTEGER PRIMARY KEY)")
        database.close()
    scratch = Scratch(path)
    scratch.put(row(1, "a"))
    assert plain(scratch.take("a")) == plain(row(1, "a"))
    scratch.close()
    assert not path.exists()
