"""When the next request may start, in virtual time."""

import asyncio
import random

import pytest

from bulkupdate.config import RateLimit
from bulkupdate.limiter import DEFAULT_PAUSE, Limiter, NoLimiter, PacedLimiter, limiter_for
from bulkupdate.models import Quota
from bulkupdate.sandbox.config import Window
from bulkupdate.sandbox.windows import RateWindow, window
from tests.clock import run_virtual

RATE = RateLimit(20, 2.0)


async def starts(limiter: Limiter, count: int) -> list[float]:
    """When each of so many attempts may start, all waiting at once."""
    now = asyncio.get_running_loop().time
    moments = []

    async def attempt() -> None:
        await limiter.acquire()
        moments.append(now())
        limiter.release(None)

    await asyncio.gather(*(attempt() for _ in range(count)))
    return moments


def test_no_period_holds_more_starts_than_the_limit() -> None:
    async def main() -> list[float]:
        return await starts(PacedLimiter(RATE), 200)

    moments = run_virtual(main())
    assert all(
        later - first > RATE.period for first, later in zip(moments, moments[20:], strict=False)
    )
    assert moments[-1] - moments[0] < 200 / 10 * 1.03


@pytest.mark.parametrize("kind", list(Window))
@pytest.mark.parametrize("latency", [0.0, 0.035])
def test_no_server_ever_refuses(kind: Window, latency: float) -> None:
    async def main() -> list[bool]:
        limiter, server = PacedLimiter(RATE), window(kind, RATE)
        jitter = random.Random(1)
        verdicts: list[bool] = []

        async def worker() -> None:
            for _ in range(25):
                await limiter.acquire()
                await asyncio.sleep(jitter.uniform(0, latency))
                verdicts.append(server.take(asyncio.get_running_loop().time()).allowed)
                limiter.release(None)

        await asyncio.gather(*(worker() for _ in range(16)))
        return verdicts

    verdicts = run_virtual(main())
    assert len(verdicts) == 400
    assert all(verdicts)


def test_a_bucket_of_the_limits_size_would_be_refused() -> None:
    """The obvious limiter goes over, so the test above can fail."""
    from aiolimiter import AsyncLimiter

    async def main() -> list[bool]:
        limiter = AsyncLimiter(20, 2)
        server: RateWindow = window(Window.SLIDING, RATE)
        verdicts = []
        for _ in range(60):
            await limiter.acquire()
            verdicts.append(server.take(asyncio.get_running_loop().time()).allowed)
        return verdicts

    assert not all(run_virtual(main()))


@pytest.mark.parametrize("rate", [RATE, None])
def test_a_429_holds_everyone_back_for_as_long_as_it_says(rate: RateLimit | None) -> None:
    async def main() -> tuple[float, list[float], str | None, str | None]:
        limiter = limiter_for(rate)
        waiting = asyncio.create_task(starts(limiter, 40))
        await asyncio.sleep(0)
        paused = asyncio.get_running_loop().time()
        before = limiter.waiting_for
        limiter.release(Quota(retry_after=7.25, throttled=True))
        during = limiter.waiting_for
        await starts(limiter, 5)
        return paused, await waiting, before, during

    paused, moments, before, during = run_virtual(main())
    allowed = [moment for moment in moments if moment > paused + 0.001]
    assert len(allowed) >= 39 or rate is None
    assert all(moment >= paused + 7.25 for moment in allowed)
    assert before is None
    assert during is not None
    assert "7.2" in during


def test_nothing_bursts_out_when_a_pause_ends() -> None:
    async def main() -> list[float]:
        limiter = PacedLimiter(RATE)
        limiter.release(Quota(retry_after=3, throttled=True))
        return await starts(limiter, 30)

    moments = run_virtual(main())
    assert all(
        later - first > RATE.period for first, later in zip(moments, moments[20:], strict=False)
    )


def test_a_429_that_does_not_say_how_long_pauses_for_one_period() -> None:
    async def main() -> float:
        limiter = NoLimiter()
        begun = asyncio.get_running_loop().time()
        limiter.release(Quota(throttled=True))
        await limiter.acquire()
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) == pytest.approx(DEFAULT_PAUSE, abs=0.01)


def test_a_retry_after_on_a_200_does_not_mean_wait() -> None:
    async def main() -> float:
        limiter = NoLimiter()
        begun = asyncio.get_running_loop().time()
        limiter.release(Quota(limit=20, remaining=0, retry_after=1.9))
        await limiter.acquire()
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) < 0.01
