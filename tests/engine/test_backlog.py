"""Rows on their way to the workers."""

import asyncio
from pathlib import Path

import pytest

from bulkupdate.engine.backlog import READ_AHEAD, Backlog
from bulkupdate.models import Row, TaskUpdate


def row(number: int, task: str) -> Row:
    return Row(number, number, task, TaskUpdate(id=task, title=str(number)), (), ("x", "é"))


async def test_two_rows_of_one_task_never_overlap() -> None:
    """The backlog hands out the next row of a task once the earlier row is done."""
    backlog = Backlog(64)
    first, second, other = row(1, "a"), row(2, "a"), row(3, "b")
    for one in (first, second, other):
        await backlog.put(one)
    assert await backlog.get() is first
    assert await backlog.get() is other
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(backlog.get(), 0.01)
    backlog.done(first)
    assert await backlog.get() is second


async def test_parked_early_row_precedes_later_rows() -> None:
    """A row parked behind its task is handed out before rows that were read later."""
    backlog = Backlog(64)
    first, second = row(1, "a"), row(2, "a")
    await backlog.put(first)
    await backlog.put(second)
    assert await backlog.get() is first
    for number in range(3, 50):
        await backlog.put(row(number, f"t{number}"))
    backlog.done(first)
    assert await backlog.get() is second


async def test_full_backlog_makes_reader_wait_for_room() -> None:
    """A full backlog makes the reader wait until half of its rows are done."""
    backlog = Backlog(READ_AHEAD)
    rows = [row(number, f"t{number}") for number in range(1, READ_AHEAD + 2)]
    for one in rows[:READ_AHEAD]:
        await backlog.put(one)
    putting = asyncio.create_task(backlog.put(rows[-1]))
    for one in rows[: READ_AHEAD // 2]:
        await asyncio.sleep(0.001)
        assert not putting.done()
        backlog.done(one)
    await asyncio.wait_for(putting, 1)


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_small_backlog_makes_room_with_one_row(size: int) -> None:
    """A backlog of very few rows goes on as soon as one of them is done."""
    backlog = Backlog(size)
    rows = [row(number, f"t{number}") for number in range(1, size + 2)]
    for one in rows[:size]:
        await backlog.put(one)
    putting = asyncio.create_task(backlog.put(rows[-1]))
    await asyncio.sleep(0)
    assert not putting.done()
    backlog.done(rows[0])
    await asyncio.wait_for(putting, 1)


async def test_waiting_workers_get_rows_in_arrival_order() -> None:
    """Workers that wait for a row get the rows in the order in which they arrived."""
    backlog = Backlog(64)
    getting = [asyncio.create_task(backlog.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for number in (1, 2, 3):
        await backlog.put(row(number, f"t{number}"))
    found = await asyncio.gather(*getting)
    assert [one.number for one in found if one] == [1, 2, 3]


async def test_row_for_cancelled_worker_reaches_the_next() -> None:
    """A row that wakes a cancelled worker goes to the next worker that waits."""
    backlog = Backlog(64)
    gone, woken, left = (asyncio.create_task(backlog.get()) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await backlog.put(row(1, "a"))  # wakes the second, who goes before it can take it
    woken.cancel()
    found = await asyncio.wait_for(left, 1)
    assert found is not None
    assert gone.cancelled()
    assert woken.cancelled()
    getting = [asyncio.create_task(backlog.get()) for _ in range(2)]
    await asyncio.sleep(0)
    backlog.close()
    backlog.done(found)
    assert await asyncio.gather(*getting) == [None, None]


async def test_parked_rows_wait_for_room_without_disk() -> None:
    """Without a scratch file, a row of a busy task waits until there is room to park it."""
    backlog = Backlog(64, parked=1)
    first, second, third = (row(number, "a") for number in (1, 2, 3))
    await backlog.put(first)
    await backlog.put(second)
    putting = asyncio.create_task(backlog.put(third))
    await asyncio.sleep(0)
    assert not putting.done()
    backlog.done(first)
    await putting
    backlog.done(second)
    assert [await backlog.get() for _ in range(3)] == [first, second, third]


async def test_row_behind_its_task_gets_room_eventually() -> None:
    """A row that waits to be parked behind its task gets in once other rows are done."""
    backlog = Backlog(64, parked=1)
    first, second, other = row(1, "a"), row(2, "a"), row(3, "b")
    late = row(4, "b")
    for one in (first, second, other):
        await backlog.put(one)
    putting = asyncio.create_task(backlog.put(late))
    await asyncio.sleep(0)
    backlog.done(other)
    backlog.done(first)
    await asyncio.wait_for(putting, 1)
    backlog.done(second)
    backlog.close()
    assert [await backlog.get() for _ in range(4)] == [first, second, other, late]
    backlog.done(late)
    assert await backlog.get() is None


async def test_huge_task_never_delays_other_tasks(
    tmp_path: Path,
) -> None:
    """A task with very many rows delays no row of another task and keeps its own order."""
    with Backlog(4, parked=2, scratch=tmp_path / "parked") as backlog:
        rows = [row(n, "hot" if n % 2 else f"t{n}") for n in range(1, 200)]
        putting = asyncio.create_task(_put_all(backlog, rows))
        seen: list[Row] = []
        held: Row | None = None
        while len(seen) < 99:
            one = await backlog.get()
            assert one is not None
            if one.id == "hot":
                held = one  # and is not done for as long as the others last
                continue
            seen.append(one)
            backlog.done(one)
        await putting
        assert [one.number for one in seen] == list(range(2, 200, 2))
        hot = []
        while held is not None:
            hot.append(held)
            backlog.done(held)
            held = await backlog.get()
        assert [_content(one) for one in hot] == [_content(one) for one in rows[::2]]
        assert list(tmp_path.iterdir()) == []


def _content(row: Row) -> tuple[int, bytes, object]:
    assert row.update is not None
    return row.number, row.update.encode(), row.record


async def _put_all(backlog: Backlog, rows: list[Row]) -> None:
    for one in rows:
        await backlog.put(one)
    backlog.close()


async def test_closed_backlog_ends_after_its_last_row() -> None:
    """A closed backlog ends for every worker once each of its rows is done."""
    backlog = Backlog(64)
    first, second = row(1, "a"), row(2, "a")
    await backlog.put(first)
    await backlog.put(second)
    assert await backlog.get() is first
    backlog.close()
    waiting = [asyncio.create_task(backlog.get()) for _ in range(3)]
    await asyncio.sleep(0)
    backlog.done(first)
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result() for task in done} == {second}
    backlog.done(second)
    assert await asyncio.gather(*waiting) in ([second, None, None], [None, second, None])


async def test_empty_closed_backlog_ends_at_once() -> None:
    """A backlog that is closed while empty gives every worker None at once."""
    backlog = Backlog(64)
    backlog.close()
    assert await backlog.get() is None
    assert await backlog.get() is None


async def test_room_to_park_is_given_back() -> None:
    """A parked row that leaves makes room for one more row to park, again and again."""
    backlog = Backlog(64, parked=2)
    rows = [row(number, "a") for number in range(1, 40)]
    for one in rows[:3]:
        await backlog.put(one)
    for index, one in enumerate(rows[3:]):
        putting = asyncio.create_task(backlog.put(one))
        await asyncio.sleep(0)
        assert not putting.done(), "more rows are parked than may be"
        first = await backlog.get()
        assert first is rows[index]
        backlog.done(first)
        await asyncio.wait_for(putting, 1)


async def test_room_in_memory_is_used_before_the_disk(tmp_path: Path) -> None:
    """Rows are parked on disk only while the room in memory is taken."""
    with Backlog(64, parked=2, scratch=tmp_path / "parked") as backlog:
        for begin in range(1, 100, 3):
            rows = [row(number, f"t{begin}") for number in range(begin, begin + 3)]
            for one in rows:
                await backlog.put(one)
            for one in rows:
                assert await backlog.get() is one
                backlog.done(one)
        assert backlog._scratch is not None
        assert backlog._scratch._database is None
        rows = [row(number, "a") for number in range(100, 104)]
        for one in rows:
            await backlog.put(one)
        assert "a" in backlog._scratch
    assert backlog._scratch._database is None, "the database is still open"
