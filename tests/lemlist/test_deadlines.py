"""Time limits of many tasks on one timer, by a clock that is moved."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from bulkupdate.lemlist.deadlines import Deadline, Deadlines
from tests.support.clock import TICK, run_virtual


def now() -> float:
    return asyncio.get_running_loop().time()


async def work(deadlines: Deadlines, limit: float, seconds: float) -> float:
    """How long a work of so many seconds lasts under such a limit; negative where it was cut."""
    begun = now()
    try:
        with Deadline(deadlines, limit):
            await asyncio.sleep(seconds)
    except TimeoutError:
        return begun - now()
    return now() - begun


def test_only_work_over_its_limit_ends() -> None:
    """A deadline ends work that runs over its limit, and leaves shorter work alone."""

    async def main() -> list[float]:
        deadlines = Deadlines()
        cases = ((30, 20), (30, 31), (5, 40), (90, 80), (5, 4), (0, 1))
        return await asyncio.gather(*(work(deadlines, *case) for case in cases))

    lasted = run_virtual(main())
    assert lasted == pytest.approx([20, -30, -5, 80, 4, 0], abs=20 * TICK)


def test_timer_serves_later_deadlines_too() -> None:
    """The shared timer also ends work whose deadline starts later."""

    async def main() -> list[float]:
        deadlines = Deadlines()
        lasted = []
        for limit, seconds in ((30, 1), (30, 100), (10, 100), (30, 29), (30, 100)):
            lasted.append(await work(deadlines, limit, seconds))
        return lasted

    assert run_virtual(main()) == pytest.approx([1, -30, -10, 29, -30], abs=20 * TICK)


def test_cancelled_task_stays_cancelled_under_deadline() -> None:
    """A cancelled task raises CancelledError, even at the moment of its deadline."""

    async def main() -> None:
        deadlines = Deadlines()
        for before in (3.0, 5.0):  # before it is late, and at the same moment
            task = asyncio.create_task(work(deadlines, 5, 10))
            await asyncio.sleep(before)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run_virtual(main())


def test_deadline_lets_other_errors_through() -> None:
    """A deadline lets an error that its own work raises through unchanged."""

    async def main() -> None:
        with Deadline(Deadlines(), 5):
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        run_virtual(main())


def test_swallowed_interruption_leaves_no_pending_cancel() -> None:
    """Work that swallows the interruption is not counted as cancelled afterwards."""

    async def main() -> int:
        with Deadline(Deadlines(), 5), contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert run_virtual(main()) == 0


def test_nested_deadlines_end_at_own_limits() -> None:
    """Nested deadlines end their work each at its own limit, the inner one first."""

    async def main() -> list[str]:
        deadlines = Deadlines()
        said = []
        try:
            with Deadline(deadlines, 9):
                try:
                    with Deadline(deadlines, 3):
                        await asyncio.sleep(100)
                except TimeoutError:
                    said.append(f"inner at {now() - 1000:.0f}")
                await asyncio.sleep(100)
        except TimeoutError:
            said.append(f"outer at {now() - 1000:.0f}")
        return said

    assert run_virtual(main()) == ["inner at 3", "outer at 9"]


def test_closed_deadlines_leave_no_timer() -> None:
    """Finished deadlines leave nothing waiting, and closing them leaves no timer."""

    async def main() -> None:
        deadlines = Deadlines()
        await work(deadlines, 30, 1)
        assert deadlines.waiting == set()
        deadlines.close()

    loops: list[list[asyncio.TimerHandle]] = []

    async def watched(main: Coroutine[Any, Any, None]) -> None:
        await main
        loops.append([h for h in asyncio.get_running_loop()._scheduled if not h.cancelled()])  # type: ignore[attr-defined]

    run_virtual(watched(main()))
    assert loops == [[]]


def test_many_deadlines_share_one_timer_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred deadlines in turn set one timer of the event loop."""
    timers: list[float] = []

    async def main() -> None:
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        real = loop.call_at

        def call_at(when: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return real(when, *rest, **more)

        monkeypatch.setattr(loop, "call_at", call_at)
        for _ in range(100):
            with Deadline(deadlines, 30):
                await asyncio.sleep(0)
        deadlines.close()

    run_virtual(main())
    assert len(timers) == 1


def test_earlier_cancellation_does_not_hide_timeout() -> None:
    """A deadline raises TimeoutError even if its task was cancelled once before."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        assert task.cancelling() == 1
        with Deadline(Deadlines(), 5):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        run_virtual(main())


def test_deadline_outside_a_task_is_refused() -> None:
    """A deadline outside a task raises a RuntimeError that names the task."""

    async def main() -> None:
        raised = asyncio.get_running_loop().create_future()

        def outside() -> None:
            try:
                Deadline(Deadlines(), 1)
            except RuntimeError as error:
                raised.set_result(str(error))

        asyncio.get_running_loop().call_soon(outside)
        assert "task" in await raised

    run_virtual(main())
