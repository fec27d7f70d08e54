"""Turns: who waits, who starts, and how many wake-ups that takes."""

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from bulkupdate.engine.turns import Turns
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
