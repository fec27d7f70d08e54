"""The file of images: on the disk before the request, and never half a line."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.errors import JournalError
from bulkupdate.journal import Image, ImagesFile, images, in_order, read_images
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import Outcome, Result
from tests.support.fakes import row


@pytest.mark.parametrize("turns", [0, 1, 9])
async def test_images_that_come_together_share_one_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """Twenty images cost one sync if each comes a few turns of the loop after the one before."""
    syncs = []
    sync = AppendOnlyFile.sync

    def counted(file: AppendOnlyFile) -> None:
        sync(file)
        syncs.append((tmp_path / "before.jsonl").read_bytes().count(b"\n"))

    monkeypatch.setattr(AppendOnlyFile, "sync", counted)
    monkeypatch.setattr(images, "_LONGEST_WAIT", 60.0)
    file = ImagesFile(tmp_path / "before.jsonl")
    async with asyncio.TaskGroup() as group:
        for n in range(20):
            group.create_task(file.keep(row(n, f"opp_{n}"), {"title": ""}, {"title": "New"}))
            for _ in range(turns):
                await asyncio.sleep(0)
        assert syncs == []
    assert syncs == [20]
    await file.close()


async def test_image_is_written_although_others_keep_coming(tmp_path: Path) -> None:
    """A loop that is never quiet, as with hundreds of accounts, delays a sync by moments only."""
    file = ImagesFile(tmp_path / "before.jsonl")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        first = group.create_task(file.keep(row(1, "opp_1"), {"title": ""}, {"title": "New"}))
        while not first.done():
            group.create_task(file.keep(row(2, "opp_2"), {"title": ""}, {"title": "New"}))
            await asyncio.sleep(0)
    await file.close()
    assert len([*read_images(tmp_path / "before.jsonl")]) > 10


async def test_torn_line_is_removed_before_the_next_one(tmp_path: Path) -> None:
    """A line that a crash cut off spoils no other line."""
    path = tmp_path / "before.jsonl"
    for number, torn in ((1, b'{"row": 9, "id": "op'), (2, b"")):
        file = ImagesFile(path)
        await file.keep(row(number, "opp_1"), {"title": "Old"}, {"title": "New"})
        await file.close()
        path.write_bytes(path.read_bytes() + torn)
    assert [image.row for image in read_images(path)] == [1, 2]


async def test_image_that_can_not_be_written_fails_its_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request whose image was in the batch is told."""

    def full(*_: Any) -> None:
        raise JournalError("before.jsonl can't be written: No space left on device")

    monkeypatch.setattr(AppendOnlyFile, "sync", full)
    file = ImagesFile(tmp_path / "before.jsonl")
    keeping = (file.keep(row(n, f"opp_{n}"), {}, {"title": "New"}) for n in range(3))
    found = await asyncio.gather(*keeping, return_exceptions=True)
    assert [type(one) for one in found] == [JournalError] * 3
    await file.close()


async def test_close_waits_for_the_sync_although_it_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No write outlives the file, and the cancellation is not lost."""
    is_syncing, may_end = threading.Event(), threading.Event()
    sync = AppendOnlyFile.sync

    def slow(file: AppendOnlyFile) -> None:
        is_syncing.set()
        may_end.wait()
        sync(file)

    monkeypatch.setattr(AppendOnlyFile, "sync", slow)
    file = ImagesFile(tmp_path / "before.jsonl")
    keeping = asyncio.create_task(file.keep(row(1, "opp_1"), {}, {"title": "New"}))
    await asyncio.to_thread(is_syncing.wait)
    closing = asyncio.create_task(file.close())
    for _ in range(2):
        await asyncio.sleep(0)
        closing.cancel()
    await asyncio.sleep(0)
    assert not closing.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await keeping
    assert [image.row for image in read_images(tmp_path / "before.jsonl")] == [1]


_TASKS = ("opp_a", "opp_b", "opp_c")


@given(
    st.lists(st.sampled_from(_TASKS), max_size=12),
    st.lists(st.tuples(st.sampled_from(_TASKS), st.integers(0, 1)), max_size=40),
)
def test_each_task_has_its_images_and_results_in_their_order(
    rows: list[str], steps: list[tuple[str, int]]
) -> None:
    """A row begins when the one before it is settled, perhaps within the same millisecond."""
    made: dict[str, list[Image | Result]] = {}
    for number, task in enumerate(rows, 1):
        image = Image(row=number, id=task, at="", before={}, sent={})
        result = Result(row=number, id=task, outcome=Outcome.UPDATED, attempts=1, at="")
        made.setdefault(task, []).extend((image, result))
    happened: list[Image | Result] = []
    left = {task: iter(of_it) for task, of_it in made.items()}
    milliseconds = 0
    for task, passed in steps:
        milliseconds += passed
        if one := next(left.get(task, iter(())), None):
            at = f"2026-11-24T14:00:00.{milliseconds:03}Z"
            happened.append(msgspec.structs.replace(one, at=at))
    found = in_order(
        (one for one in happened if isinstance(one, Image)),
        (one for one in happened if isinstance(one, Result)),
    )
    in_turn = [*found]
    assert len(in_turn) == len(happened)
    for task in _TASKS:
        assert [one for one in in_turn if one.id == task] == [
            one for one in happened if one.id == task
        ]


def test_images_of_one_moment_are_not_held() -> None:
    """What a fleet has overwritten has one time, and may be a million images."""
    made = []

    def images() -> Iterator[Image]:
        for number in range(1, 1001):
            made.append(number)
            yield Image(row=number, id=f"opp_{number}", at="2026-11-24", before={}, sent={})

    settled = Result(row=7, id="opp_7", outcome=Outcome.UPDATED, attempts=1, at="2026-11-25")
    found = in_order(images(), [settled])
    assert [next(found).row for _ in range(5)] == [1, 2, 3, 4, 5]
    assert len(made) == 5
    assert [*found][-1] == settled
