"""Rows put aside on disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.engine.scratch import Scratch
from bulkupdate.errors import JournalError
from bulkupdate.models import Row, TaskUpdate
from tests.support.fakes import row


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    one = Scratch(tmp_path)
    yield one
    one.close()


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=60))
def test_each_task_has_its_rows_back_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str | None]
) -> None:
    """None takes a row from every task that has one."""
    scratch = Scratch(tmp_path_factory.mktemp("scratch"))
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
                assert scratch.take(id_) == rows.pop(0)
    assert not any(model.values())
    scratch.close()


def test_every_field_of_a_row_comes_back(scratch: Scratch) -> None:
    update = TaskUpdate(
        id="a", assigned_to="usr", due_date="2026-01-31T08:58:00Z", title="", message="x",
        priority="", done=False, images=("https://a.b/c.png",), videos=(),
    )  # fmt: skip
    for record in (("a", "b\n"), '{"id": "a"}'):
        one = Row(7, 9, "a", update, (), record)
        scratch.put(one)
        assert scratch.take("a") == one


def test_nothing_is_left_behind(scratch: Scratch, tmp_path: Path) -> None:
    scratch.put(row(1))
    assert list(tmp_path.iterdir()) == []


def test_room_is_used_again_once_all_is_taken(scratch: Scratch) -> None:
    lengths = set()
    for number in range(1, 100):
        scratch.put(row(number, "a"))
        lengths.add(scratch.length)
        scratch.take("a")
    assert max(lengths) < 200


def test_a_full_disk_is_an_error(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(JournalError, match="No space left"):
        scratch.put(row(1))


def test_a_disk_that_does_not_give_rows_back_is_an_error(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    scratch.put(row(1, "a"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", broken)
        with pytest.raises(JournalError, match="Input/output"):
            scratch.take("a")
        patched.setattr(os, "pread", lambda *_: b"")
        with pytest.raises(JournalError, match="cut off"):
            scratch.take("a")
    scratch.close()
    with pytest.raises(JournalError, match="gone"):
        scratch.take("a")
