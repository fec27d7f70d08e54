"""The stop: two levels, a lane's inside a run's, for tasks and for threads."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from bulkupdate.errors import RunStoppedError
from bulkupdate.models import Level, Reason, State
from bulkupdate.stop import Stop, StoppedError, cancel_all
from tests.support.clock import run_virtual


def test_first_reason_of_a_stop_counts() -> None:
    """A second reason does not replace the first."""
    stop = Stop()
    stop.set("disk full", Reason.NOT_WRITTEN)
    stop.set("SIGTERM", Reason.SIGNAL, signal=15)
    assert (stop.text, stop.reason, stop.signal) == ("disk full", Reason.NOT_WRITTEN, None)
    assert stop.state is State.STOPPED


def test_own_reason_counts_more_than_signal() -> None:
    """A reason of the run's own replaces a signal before it."""
    stop = Stop()
    stop.set("SIGINT", Reason.SIGNAL, signal=2)
    assert (stop.state, stop.counts_when_complete) == (State.INTERRUPTED, False)
    stop.set("disk full", Reason.NOT_WRITTEN)
    assert (stop.state, stop.counts_when_complete) == (State.STOPPED, True)
    assert stop.signal is None


def test_run_stops_with_its_last_lane() -> None:
    """A lane that stops leaves the others alone; the last to stop stops the run."""
    run = Stop()
    first, second = run.child(), run.child()
    first.set("key refused", Reason.KEY_REFUSED)
    assert (first.is_set, second.is_set, run.is_set) == (True, False, False)
    second.set("server down", Reason.SERVER_DOWN)
    assert (run.text, run.reason) == ("server down", Reason.SERVER_DOWN)


def test_only_lane_gives_its_reason_at_once() -> None:
    """What comes after the reason of the only lane does not replace it."""
    run = Stop()
    lane = run.child()
    lane.set("key refused", Reason.KEY_REFUSED)
    run.set("too many failures", Reason.TOO_MANY_FAILURES)
    assert run.reason is Reason.KEY_REFUSED


def test_run_stop_reaches_every_lane() -> None:
    """A lane that the run stops has no reason of its own."""
    run = Stop()
    lane = run.child()
    run.abort("enough")
    assert (lane.level, lane.reason, run.text) == (Level.ABORT, None, "enough")
    assert run.child().level is Level.ABORT


def test_forgotten_lane_is_no_lane_any_more() -> None:
    """A lane that has ended does not keep the run from stopping with the others."""
    run = Stop()
    ended, other = run.child(), run.child()
    run.forget(ended)
    other.set("server down", Reason.SERVER_DOWN)
    assert run.reason is Reason.SERVER_DOWN


def test_abort_without_a_reason_has_one() -> None:
    """A stop that is aborted at once counts as stopped."""
    stop = Stop()
    stop.abort()
    assert (stop.state, stop.reason, stop.text) == (State.STOPPED, Reason.REQUESTED, "stopped")
    stop.abort("again", Reason.NOT_WRITTEN)
    assert stop.reason is Reason.REQUESTED


def test_check_raises_from_its_level_on() -> None:
    """A thread that prepares leaves at drain, and one that closes only at abort."""
    stop = Stop()
    stop.check()
    stop.set("enough")
    stop.check(Level.ABORT)
    with pytest.raises(RunStoppedError, match="enough: nothing was sent"):
        stop.check()
    stop.abort()
    with pytest.raises(RunStoppedError, match=r"^enough$"):
        stop.check(Level.ABORT)


def test_scope_is_interrupted_at_its_level() -> None:
    """Drain interrupts a task that waits, and abort one that has a request in flight."""

    async def work(stop: Stop, level: Level, seconds: float) -> str:
        try:
            with stop.until(level):
                await asyncio.sleep(seconds)
        except StoppedError:
            return "stopped"
        return "done"

    async def main() -> list[str]:
        stop = Stop()
        tasks = [
            asyncio.create_task(work(stop, Level.DRAIN, 10)),
            asyncio.create_task(work(stop, Level.ABORT, 10)),
            asyncio.create_task(work(stop, Level.ABORT, 3)),
            asyncio.create_task(work(stop, Level.NEVER, 10)),
        ]
        await asyncio.sleep(1)
        stop.set("enough")
        await asyncio.sleep(1)
        first = [task.done() for task in tasks]
        assert first == [True, False, False, False]
        await asyncio.sleep(2)
        stop.abort()
        return [await task for task in tasks]

    assert run_virtual(main()) == ["stopped", "stopped", "done", "done"]


def test_scope_of_a_set_stop_is_not_entered() -> None:
    """A block that begins after the stop does not run."""

    async def main() -> None:
        stop = Stop()
        stop.set("enough")
        with stop.until(Level.DRAIN):
            raise AssertionError("not reached")

    with pytest.raises(StoppedError):
        run_virtual(main())


def test_scope_can_change_its_level() -> None:
    """A block that lets drain interrupt it again notices a drain that came before."""

    async def main() -> bool:
        stop = Stop()
        with stop.until(Level.DRAIN) as scope:
            scope.change(Level.ABORT)
            stop.set("enough")
            await asyncio.sleep(1)
            with pytest.raises(StoppedError):
                scope.change(Level.DRAIN)
            return scope.took_back()

    assert run_virtual(main()) is False


def test_cancelled_task_stays_cancelled_in_a_scope() -> None:
    """Where a task is cancelled as well as stopped, the cancellation wins."""

    async def work(stop: Stop) -> None:
        with stop.until(Level.DRAIN):
            await asyncio.sleep(10)

    async def main() -> bool:
        stop = Stop()
        task = asyncio.create_task(work(stop))
        await asyncio.sleep(1)
        stop.set("enough")
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_virtual(main())


def test_drain_and_abort_at_once_are_one_stop() -> None:
    """A task that is interrupted twice before it can leave is stopped, and not cancelled."""

    async def work(stop: Stop) -> str:
        try:
            with stop.until(Level.DRAIN):
                await asyncio.sleep(10)
        except StoppedError:
            return "stopped"
        return "done"

    async def main() -> tuple[str, int]:
        stop = Stop()
        task = asyncio.create_task(work(stop))
        await asyncio.sleep(1)
        stop.set("enough")
        stop.abort()
        return await task, task.cancelling()

    assert run_virtual(main()) == ("stopped", 0)


def test_request_is_not_started_after_drain() -> None:
    """A block that has missed its interruption notices it when it changes its level."""

    async def main() -> None:
        stop = Stop()
        with stop.until(Level.DRAIN) as scope:
            stop.set("enough")
            scope.change(Level.ABORT)
            raise AssertionError("not reached")

    with pytest.raises(StoppedError):
        run_virtual(main())


def test_shielded_block_is_not_interrupted() -> None:
    """A block that is shielded ends by itself, and notices the stop after that."""

    async def main() -> str:
        stop = Stop()
        with stop.until(Level.DRAIN) as scope:
            scope.shield()
            stop.abort()
            await asyncio.sleep(1)
            with pytest.raises(StoppedError):
                scope.change(Level.DRAIN)
        return "ended"

    assert run_virtual(main()) == "ended"


def test_task_that_stops_itself_is_not_interrupted() -> None:
    """The task that sets the stop goes on to its next look at it."""

    async def main() -> str:
        stop = Stop()
        with stop.until(Level.DRAIN):
            stop.set("enough")
            await asyncio.sleep(1)
            return "went on"

    assert run_virtual(main()) == "went on"


def test_wait_returns_once_it_is_set() -> None:
    """Whatever waits for the stop is woken, before or after it is set."""

    async def main() -> float:
        stop = Stop()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        loop.call_later(5, stop.set, "enough")
        await stop.wait()
        await stop.wait()
        return loop.time() - begun

    assert run_virtual(main()) == pytest.approx(5, abs=0.01)


def test_stop_that_is_set_again_interrupts_nothing_anew() -> None:
    """A task that leaves its block may clean up, and one that has set the stop goes on."""

    async def leaves(stop: Stop, done: list[str]) -> None:
        with contextlib.suppress(StoppedError), stop.until(Level.DRAIN):
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(1)
                done.append("cleaned up")

    async def sets(stop: Stop, done: list[str]) -> None:
        with contextlib.suppress(StoppedError), stop.until(Level.DRAIN):
            await asyncio.sleep(1)
            stop.set("enough")
            await asyncio.sleep(1)
            done.append("went on")

    async def main() -> list[str]:
        stop, done = Stop(), list[str]()
        async with asyncio.TaskGroup() as group:
            group.create_task(leaves(stop, done))
            group.create_task(sets(stop, done))
            await asyncio.sleep(1.5)
            stop.set("once more")
        return sorted(done)

    assert run_virtual(main()) == ["cleaned up", "went on"]


async def test_only_a_task_can_be_interrupted() -> None:
    """A block that belongs to no task is refused, rather than never interrupted."""
    refused: list[str] = []

    def enter() -> None:
        try:
            Stop().until(Level.DRAIN).__enter__()
        except RuntimeError as error:
            refused.append(str(error))

    asyncio.get_running_loop().call_soon(enter)
    await asyncio.sleep(0)
    assert refused == ["only a task can be interrupted"]


async def test_block_that_ends_before_its_deadline_does_not_wait_for_it() -> None:
    """A deadline is forgotten once its block is over."""
    stop = Stop()
    async with asyncio.timeout(5), stop.at(datetime.now(UTC) + timedelta(hours=1), "too late"):
        await asyncio.sleep(0.01)
    assert not stop.is_set


async def test_deadline_that_fails_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of what waits for the deadline reaches the block's end."""
    stop = Stop()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stop, "set", fail)
    with pytest.raises(ZeroDivisionError):
        async with stop.at(datetime.now(UTC) - timedelta(seconds=1), "too late"):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_tasks_are_cancelled_until_they_have_ended(lost: int) -> None:
    """A library may lose a cancellation, and even several."""

    async def deaf() -> None:
        for _ in range(lost):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    async def main() -> None:
        task, ended = asyncio.create_task(deaf()), asyncio.create_task(asyncio.sleep(0))
        await ended
        begun = asyncio.get_running_loop().time()
        await cancel_all([task, ended])
        assert task.cancelled()
        assert asyncio.get_running_loop().time() - begun < 1

    run_virtual(main())
