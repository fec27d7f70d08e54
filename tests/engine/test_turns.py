"""Turns: who waits, who starts, and how many wake-ups that takes."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from bulkupdate.engine.turns import TICK, Alarms, Turns
from bulkupdate.errors import WaitTooLongError
from tests.support.clock import run_virtual


class Gate:
    """A rule for starts: none before a time, and at most a number of them."""

    def __init__(self) -> None:
        self.opens = math.inf
        self.left = 100
        self.given_back = 0
        self.asked = 0
        self.turns = Turns(self.next_start, self.take, self.give_back)

    def next_start(self, now: float) -> float:
        self.asked += 1
        return max(now, self.opens) if self.left else math.inf

    def take(self, _: float) -> None:
        self.left -= 1

    def give_back(self) -> None:
        self.given_back += 1
        self.left += 1


def played(play: Callable[[Gate], Awaitable[None]]) -> Gate:
    """A gate after a play in virtual time."""

    async def main() -> Gate:
        gate = Gate()
        await play(gate)
        return gate

    return run_virtual(main())


async def waiting(gate: Gate, count: int) -> list["asyncio.Task[float]"]:
    """A number of requests that wait."""
    tasks = [asyncio.create_task(gate.turns.wait()) for _ in range(count)]
    await asyncio.sleep(0.001)
    return tasks


def test_open_gate_lets_a_request_start_at_once() -> None:
    """A request that may start does not wait for the event loop."""

    async def play(gate: Gate) -> None:
        gate.opens = 0
        coroutine = gate.turns.wait()
        with pytest.raises(StopIteration):
            coroutine.send(None)

    assert played(play).left == 99


def test_one_timer_starts_all_that_may_start() -> None:
    """Requests that wait for the same time start together, without a look in between."""

    async def play(gate: Gate) -> None:
        gate.opens = asyncio.get_running_loop().time() + 60
        tasks = await waiting(gate, 16)
        assert gate.asked == 1
        assert len(set(await asyncio.gather(*tasks))) <= 16
        assert gate.asked == 1 + 16

    played(play)


def test_earlier_start_wakes_those_who_wait() -> None:
    """What makes an earlier start possible also starts the requests that wait."""

    async def play(gate: Gate) -> None:
        tasks = await waiting(gate, 2)
        gate.opens = 0
        gate.turns.go_on()
        await asyncio.gather(*tasks)

    assert played(play).left == 98


def test_cancelled_request_gives_up_its_turn() -> None:
    """A cancelled request takes nothing, and the next one starts in its place."""

    async def play(gate: Gate) -> None:
        gate.left = 1
        first, second = await waiting(gate, 2)
        first.cancel()
        gate.opens = 0
        gate.turns.go_on()
        await asyncio.wait_for(second, 1)

    assert played(play).given_back == 0


def test_turn_in_the_moment_of_a_cancellation_is_given_back() -> None:
    """A request that is cancelled as its turn comes gives it to the next one."""

    async def play(gate: Gate) -> None:
        gate.left = 1
        first, second = await waiting(gate, 2)
        gate.opens = 0
        gate.turns.go_on()
        first.cancel()
        await asyncio.wait_for(second, 1)
        assert first.cancelled()

    assert played(play).given_back == 1


def test_error_reaches_every_request_that_waits() -> None:
    """An error ends all waits, and those of later requests are not affected."""

    async def play(gate: Gate) -> None:
        tasks = await waiting(gate, 3)
        tasks[1].cancel()
        gate.turns.fail(WaitTooLongError(3600))
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in ended] == [
            WaitTooLongError, asyncio.CancelledError, WaitTooLongError,
        ]  # fmt: skip
        gate.opens = 0
        await asyncio.wait_for(gate.turns.wait(), 1)

    assert played(play).left == 99


def test_alarms_of_a_tick_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alarm rings soon after its moment, and those that are close need one timer."""
    timers: list[float] = []

    async def main() -> list[float]:
        loop, alarms = asyncio.get_running_loop(), Alarms()
        real = loop.call_at
        begun, late = loop.time(), list[float]()

        def call_at(when: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return real(when, *rest, **more)

        def ring(moment: float) -> None:
            late.append(loop.time() - moment)

        monkeypatch.setattr(loop, "call_at", call_at)
        for n in range(100):
            moment = begun + 1 + n * TICK / 20
            alarms.call_at(moment, partial(ring, moment))
        await asyncio.sleep(2)
        assert alarms._ticks == {}
        return late

    late = run_virtual(main())
    assert len(late) == 100
    assert all(0 < one < 2 * TICK for one in late)
    assert len(timers) <= 6 + 1  # that of `sleep`


def test_alarm_that_was_taken_back_does_not_ring() -> None:
    """An alarm that is cancelled makes no call, and the others of its tick do."""

    async def main() -> list[str]:
        alarms, rung = Alarms(), list[str]()
        moment = asyncio.get_running_loop().time() + 1
        one, _ = (alarms.call_at(moment, partial(rung.append, n)) for n in ("one", "two"))
        one.cancel()
        await asyncio.sleep(2)
        return rung

    assert run_virtual(main()) == ["two"]


def test_alarm_that_fails_keeps_no_other_from_ringing() -> None:
    """An error of one account's alarm goes to the event loop, and the others ring."""

    async def main() -> tuple[list[str], list[str]]:
        loop, alarms, rung, failed = asyncio.get_running_loop(), Alarms(), [""], list[str]()
        loop.set_exception_handler(lambda _, context: failed.append(str(context["exception"])))
        moment = loop.time() + 1
        alarms.call_at(moment, lambda: rung.remove("not there"))
        alarms.call_at(moment, lambda: rung.append("two"))
        await asyncio.sleep(2)
        return rung, failed

    rung, failed = run_virtual(main())
    assert rung == ["", "two"]
    assert len(failed) == 1


def test_turns_that_share_alarms_keep_their_times() -> None:
    """Requests of several turns start at their own times, each within a tick."""

    async def main() -> list[tuple[float, float]]:
        loop, alarms = asyncio.get_running_loop(), Alarms()
        begun = loop.time()
        opens = [begun + 0.1 * n for n in range(1, 20)]
        turns = [Turns(partial(max, at), lambda _: None, lambda: None, alarms) for at in opens]
        return list(zip(await asyncio.gather(*(one.wait() for one in turns)), opens, strict=True))

    for started, opened in run_virtual(main()):
        assert opened <= started < opened + 2 * TICK
