"""Spacing: how closely requests follow each other, in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from bulkupdate.engine.spacing import GROUP, Spacing
from tests.support.clock import VirtualLoop, run_virtual


def starts(interval: float, burst: int, count: int) -> list[float]:
    """The times of requests that start as soon as they may."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        spacing, times = Spacing(), list[float]()
        spacing.change(interval, burst)
        while len(times) < count:
            if (free := spacing.free_at(loop.now)) > loop.now:
                loop.now = free
            else:
                spacing.take(loop.now)
                times.append(loop.now - 1000)
        return times

    return run_virtual(main())


def test_requests_follow_each_other_at_the_interval() -> None:
    """Without a burst, one request starts per interval."""
    times = starts(0.1, 1, 30)
    assert all(later - first == pytest.approx(0.1, abs=1e-4) for first, later in pairwise(times))


def test_burst_starts_at_once_and_no_more() -> None:
    """A burst starts at once, and the interval holds on average after it."""
    times = starts(0.1, 5, 25)
    assert times[4] == pytest.approx(0, abs=1e-4)
    assert times[5] == pytest.approx(0.1, abs=1e-4)
    assert times[24] == pytest.approx(2.0, abs=1e-3)


def test_close_requests_start_in_groups() -> None:
    """Requests that would follow each other in milliseconds share a wake-up."""
    times = starts(0.001, 1, 1000)
    assert len(set(times)) == pytest.approx(1 / GROUP, rel=0.05)
    assert times[-1] == pytest.approx(1, rel=0.05)


def test_request_before_its_time_is_an_error() -> None:
    """A request that starts without having asked is a mistake of the program."""

    async def main() -> None:
        spacing = Spacing()
        spacing.change(1.0, 1)
        for _ in range(2):
            spacing.take(asyncio.get_running_loop().time())

    with pytest.raises(RuntimeError, match="before its time"):
        run_virtual(main())
