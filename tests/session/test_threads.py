"""Threads that obey the stop of a run."""

import asyncio
import threading

import pytest

from bulkupdate.models import Level
from bulkupdate.session.threads import in_thread
from bulkupdate.stop import Stop


async def test_value_of_a_thread_is_returned() -> None:
    """Work in a thread takes arguments and gives its value, or its error."""
    assert await in_thread(Stop(), divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(Stop(), divmod, 7, 0)


@pytest.mark.parametrize("error", [None, OSError("full")])
async def test_cancelled_thread_is_told_and_waited_for(error: OSError | None) -> None:
    """A thread whose task is cancelled, however often, is told, and ends before the task."""
    stop, begun, may_end, events = Stop(), threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        begun.set()
        may_end.wait(5)
        events.append("end")
        if error:
            raise error

    working = asyncio.create_task(in_thread(stop, work))
    await asyncio.to_thread(begun.wait, 5)
    for _ in range(3):
        working.cancel()
        await asyncio.sleep(0)
        assert not working.done()
    assert stop.level is Level.ABORT
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert events == ["end"]
