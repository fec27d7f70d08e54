"""Rows on their way to the workers."""

import asyncio

import pytest

from bulkupdate.backlog import Backlog
from bulkupdate.models import Row, TaskUpdate


def row(number: int, task: str) -> Row:
    return Row(number, number, task, TaskUpdate(id=task), (), "")


async def test_two_rows_of_one_task_are_never_out_together() -> None:
    backlog = Backlog()
    first, second, other = row(1, "a"), row(2, "a"), row(3, "b")
    for one in (first, second, other):
        await backlog.put(one)
    assert await backlog.get() is first
    assert await backlog.get() is other
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(backlog.get(), 0.01)
    backlog.done(first)
    assert await backlog.get() is second


async def test_an_early_row_that_was_parked_goes_before_later_ones() -> None:
    backlog = Backlog()
    first, second = row(1, "a"), row(2, "a")
    await backlog.put(first)
    await backlog.put(second)
    assert await backlog.get() is first
    for number in range(3, 50):
        await backlog.put(row(number, f"t{number}"))
    backlog.done(first)
    assert await backlog.get() is second


async def test_it_holds_so_many_rows_and_then_makes_the_reader_wait() -> None:
    backlog = Backlog(read_ahead=2)
    first = row(1, "a")
    await backlog.put(first)
    await backlog.put(row(2, "a"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(backlog.put(row(3, "b")), 0.01)
    backlog.done(first)
    await asyncio.wait_for(backlog.put(row(3, "b")), 1)


async def test_it_ends_when_it_is_closed_and_every_row_is_done() -> None:
    backlog = Backlog()
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


async def test_an_empty_backlog_ends_at_once() -> None:
    backlog = Backlog()
    backlog.close()
    assert await backlog.get() is None
    assert await backlog.get() is None
