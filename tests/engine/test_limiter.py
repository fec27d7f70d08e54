"""When the next request may start, in virtual time: hours of it."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkupdate.engine.limiter import Limiter, LocalPermit, NoLimiter, Pause, Permit
from bulkupdate.engine.permits import PermitWindow, delay_of, limiter_for
from bulkupdate.errors import WaitTooLongError
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Task
from bulkupdate.sandbox.config import Window
from bulkupdate.sandbox.windows import Verdict
from tests.simulation import Course, Headers, Simulation, exact, mute, whole
from tests.support.clock import run_virtual
from tests.support.fakes import answered
from tests.support.steps import StepBucket
from tests.support.table import Table


async def started(limiter: Limiter) -> AbstractAsyncContextManager[Permit]:
    """A permit that was taken: a request is under way."""
    permit = limiter.permit()
    await permit.__aenter__()
    return permit


async def ended(taken: AbstractAsyncContextManager[Permit], answer: Answer[Task]) -> None:
    """Give a permit back, with an answer."""
    assert isinstance(taken, LocalPermit)
    taken.answered(answer)
    await taken.__aexit__(None, None, None)


SHORT, LONG = (5.0, 50.0), (20.0, 200.0)

#: One more than fill whole windows: the time that a window takes counts for each of them.
ROWS = 601


@pytest.mark.parametrize(
    ("latency", "kind", "percent"),
    [
        (SHORT, Window.FIXED, 98), (SHORT, Window.CLOCK, 98),
        (SHORT, Window.SLIDING, 97), (SHORT, Window.BUCKET, 98),
        (LONG, Window.FIXED, 95.5), (LONG, Window.CLOCK, 97),
        (LONG, Window.SLIDING, 90), (LONG, Window.BUCKET, 94),
    ],
)  # fmt: skip
def test_lone_client_stays_close_below_limit(
    latency: tuple[float, float], kind: Window, percent: float
) -> None:
    """A lone client comes close to the limit and is never refused."""
    course = Simulation(kind, latency).run(ROWS)
    assert course.refused == 0
    assert course.percent >= percent


def always_two(rate: RateLimit, verdict: Verdict) -> Answer[Task]:
    return exact(rate, verdict._replace(reset_after=2.0))


@pytest.mark.parametrize("headers", [whole, always_two])
@pytest.mark.parametrize(
    ("limit", "latency", "percent"),
    [(20, (10, 100), 97.2), (40, (10, 100), 97.2), (20, LONG, 95.2), (40, LONG, 94.8)],
)
def test_whole_seconds_cost_no_speed(
    headers: Headers, limit: int, latency: tuple[float, float], percent: float
) -> None:
    """A `Retry-After` in whole seconds is as good as a fractional one, or nearly so."""
    server = RateLimit(limit, 2)
    course = Simulation(Window.FIXED, latency, server=server, headers=headers).run(ROWS)
    assert course.refused == 0
    assert course.percent >= percent


def tenths(rate: RateLimit, verdict: Verdict) -> Answer[Task]:
    """An answer whose `Retry-After` is rounded to tenths of a second."""
    return exact(rate, verdict._replace(reset_after=round(verdict.reset_after, 1)))


def test_rounded_fraction_brings_no_refusal() -> None:
    """The round trip makes up for what is rounded off."""
    course = Simulation(Window.FIXED, (40, 45), headers=tenths).run(ROWS)
    assert course.refused == 0


@pytest.mark.parametrize("seed", range(1, 6))
def test_bucket_that_is_filled_in_steps_refuses_once(seed: int) -> None:
    """It looks like a window until then, and no burst for a window follows."""
    course = Simulation(StepBucket, LONG, headers=whole, seed=seed).run(2000)
    assert sum(not accepted for _, accepted in course.arrivals) <= 1
    assert course.percent >= 96


@pytest.mark.parametrize("headers", [mute, exact, whole])
@pytest.mark.parametrize("latency", [(0.0, 1.0), SHORT])
def test_strict_server_refuses_once(headers: Headers, latency: tuple[float, float]) -> None:
    """A server that counts a burst more than once refuses one request, and no other."""
    course = Simulation(Table, latency, headers=headers).run(600)
    assert sum(not accepted for _, accepted in course.arrivals) == 1
    assert course.percent >= 90


def test_high_limit_is_used() -> None:
    """A limit of hundreds of requests per second is followed, and used at once."""
    server = RateLimit(2000, 2)
    course = Simulation(Window.FIXED, (0, 1), server=server).run(6000)
    assert course.refused == 0
    assert course.percent >= 95


@settings(max_examples=40)
@given(
    st.sampled_from(Window),
    st.tuples(st.floats(0, 100), st.floats(0, 300)),
    st.sampled_from([5, 10, 20, 40]),
    st.booleans(),
    st.integers(0, 1000),
)
def test_lone_client_meets_no_refusal(
    kind: Window, latency: tuple[float, float], limit: int, integer: bool, seed: int
) -> None:
    """A lone client meets no refusal at any kind of server, and sends every row."""
    low, more = latency
    headers = whole if integer else exact
    server = RateLimit(limit, 2)
    course = Simulation(kind, (low, low + more), server=server, headers=headers, seed=seed).run(150)
    # Until the first answer says otherwise, the limit is the documented one.
    late = [accepted for at, accepted in course.arrivals if at > course.arrivals[0][0] + 4]
    assert all(late) if limit < 20 else course.refused == 0
    assert sorted(course.order) == list(range(1, 151))


@pytest.mark.parametrize("kind", [Window.FIXED, Window.CLOCK, Window.BUCKET])
@pytest.mark.parametrize("used", [1, 8, 12])
def test_key_that_was_just_used_brings_no_refusal(kind: Window, used: int) -> None:
    """What a run before this one has left of the limit is not exceeded.

    A sliding log may refuse a request: it does not tell when the others come back.
    """
    for seed in range(1, 6):
        assert Simulation(kind, SHORT, used=used, seed=seed).run(60).refused == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Window.FIXED, Window.CLOCK, Window.BUCKET, Window.SLIDING])
@pytest.mark.parametrize("latency", [SHORT, LONG])
def test_limiter_shares_fairly_with_another_client(
    kind: Window, latency: tuple[float, float]
) -> None:
    """Beside another client the limiter gets its share and causes few refusals."""
    course = Simulation(kind, latency, other=5.0).run(1000)
    least, most = (35, 30) if kind is Window.SLIDING else (43, 17)
    assert course.percent >= least
    assert course.refused <= most


@pytest.mark.parametrize("kind", [Window.FIXED, Window.CLOCK])
def test_two_runs_share_one_key(kind: Window) -> None:
    """Two runs with one key share the limit fairly and cause few refusals."""
    course = Simulation(kind, clients=2).run(400)
    assert course.percent >= 90
    assert course.refused <= 15
    assert max(course.ends) <= 1.3 * min(course.ends)


@pytest.mark.parametrize("limit", [10, 40])
@pytest.mark.parametrize("kind", list(Window))
def test_limiter_follows_the_announced_limit(kind: Window, limit: int) -> None:
    """The limiter follows the limit that the server announces, without a refusal."""
    course = Simulation(kind, server=RateLimit(limit, 2)).run(1000)
    assert course.percent >= 96
    assert course.refused == 0


def silent(_: RateLimit, verdict: Verdict) -> Answer[Task]:
    return answered(retry_after=verdict.reset_after, throttled=not verdict.allowed)


def absurd(_: RateLimit, verdict: Verdict) -> Answer[Task]:
    return answered(1e9, 1e9, 0.001, not verdict.allowed)


def far_too_high(_: RateLimit, verdict: Verdict) -> Answer[Task]:
    return answered(50_000, verdict.remaining, round(verdict.reset_after, 3), not verdict.allowed)


def too_high(_: RateLimit, verdict: Verdict) -> Answer[Task]:
    return answered(1000, verdict.remaining, round(verdict.reset_after, 3), not verdict.allowed)


def flapping(rate: RateLimit, verdict: Verdict) -> Answer[Task]:
    return exact(replace(rate, requests=rate.requests * (1 + verdict.remaining % 2)), verdict)


def zero(rate: RateLimit, verdict: Verdict) -> Answer[Task]:
    return answered(rate.requests, 0, 0.0, not verdict.allowed)


@pytest.mark.parametrize("headers", [silent, mute, absurd, too_high, far_too_high, zero, flapping])
@pytest.mark.parametrize("kind", list(Window))
@pytest.mark.parametrize("limit", [8, 20])
def test_bad_headers_cost_speed_but_no_row(headers: Headers, limit: int, kind: Window) -> None:
    """Missing or wrong headers cost some speed and lose no row."""
    course = Simulation(kind, server=RateLimit(limit, 2), headers=headers).run(300)
    assert sorted(course.order) == list(range(1, 301))
    assert course.percent > 50
    assert course.refused < 60


@pytest.mark.parametrize("kind", list(Window))
def test_lost_answers_leak_no_permit(kind: Window) -> None:
    """Attempts without an answer give their permits back, and every row is sent."""
    course = Simulation(kind, lost=0.2).run(400)
    assert course.refused == 0
    assert sorted(course.order) == list(range(1, 401))
    assert course.percent > 70


@pytest.mark.parametrize("announced", [7, 9, 20, 40])
@pytest.mark.parametrize("ceiling", [RateLimit(5, 1), RateLimit(1, 0.3), RateLimit(12, 3)])
def test_ceiling_holds_in_every_period(ceiling: RateLimit, announced: int) -> None:
    """The limiter never exceeds a ceiling in any period of its length."""
    server = RateLimit(announced, 2)
    course = Simulation(Window.FIXED, (0, 1), server=server, ceiling=ceiling).run(200)
    starts = [at for at, _ in course.arrivals]
    assert course.refused == 0
    several = zip(starts, starts[ceiling.requests :], strict=False)
    assert all(later - first > ceiling.period - 0.002 for first, later in several)


@pytest.mark.parametrize("kind", list(Window))
@pytest.mark.parametrize("ceiling", [RateLimit(100, 60), RateLimit(600, 60), RateLimit(100, 10)])
def test_long_ceiling_keeps_servers_short_limit(kind: Window, ceiling: RateLimit) -> None:
    """A ceiling over a long period also keeps the server's limit over its short one."""
    course = Simulation(kind, ceiling=ceiling).run(300)
    assert course.refused == 0
    assert course.percent > 5


def test_high_ceiling_suits_a_custom_server() -> None:
    """A ceiling above the documented limit works with a server that allows as much."""
    server = RateLimit(200, 2)
    course = Simulation(Window.SLIDING, server=server, headers=mute, ceiling=server).run(600)
    assert course.refused == 0
    assert course.percent > 50


def test_server_lowers_but_never_raises_ceiling() -> None:
    """The server's announced limit can lower a ceiling and never raises it."""
    lowered = Simulation(Window.FIXED, server=RateLimit(5, 2), ceiling=RateLimit(20, 2)).run(200)
    assert sum(not accepted for _, accepted in lowered.arrivals) == 0
    raised = Simulation(Window.FIXED, server=RateLimit(40, 2), ceiling=RateLimit(20, 2)).run(300)
    assert raised.percent <= 51


@pytest.mark.parametrize("kind", list(Window))
@pytest.mark.parametrize("tenths", range(0, 20, 3))
def test_frozen_process_lets_no_burst_out(kind: Window, tenths: int) -> None:
    """A process that stood still sends no burst afterwards, whatever answers it finds then."""
    course = Simulation(kind, freeze=(20 + tenths / 10, 30)).run(300)
    assert course.refused == 0


def test_occasional_slow_answers_cause_no_refusals() -> None:
    """Slow answers now and then cost little speed and cause no refusals."""
    for kind in Window:
        course = Simulation(kind, tail=0.03).run(600)
        assert course.refused == 0
        assert course.percent > 85


def test_refusals_in_flight_keep_the_pause() -> None:
    """Refusals of requests that were already in flight do not lengthen the pause."""

    async def main() -> float:
        limiter = PermitWindow()
        await ended(await started(limiter), answered(20, 19, 2.0))
        leaves = [await started(limiter) for row in range(8)]
        begun = asyncio.get_running_loop().time()
        for leave in leaves:
            await ended(leave, answered(20, 0, 0.5, throttled=True))
        await started(limiter)
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) < 1


def test_repeated_refusals_lengthen_the_pause() -> None:
    """Each repeated refusal makes the limiter wait longer before the next request."""

    async def main(limiter: Limiter) -> list[float]:
        moments = []
        for _ in range(6):
            leave = await started(limiter)
            moments.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.01)
            await ended(leave, answered(20, 0, 0.0, throttled=True))
        return moments

    async def each() -> list[list[float]]:
        return [await main(NoLimiter()), await main(PermitWindow())]

    for moments in run_virtual(each()):
        gaps = [later - first for first, later in pairwise(moments)]
        assert all(later > 1.5 * first for first, later in pairwise(gaps))


def test_answer_wakes_a_waiting_row() -> None:
    """An answer to a request in flight wakes a row that waits for a permit."""

    async def main() -> float:
        limiter = PermitWindow(RateLimit(1, 1))
        leave = await started(limiter)
        waiting = asyncio.create_task(started(limiter))
        await asyncio.sleep(5)
        assert not waiting.done()
        await ended(leave, answered(20, 19, 2.0))
        begun = asyncio.get_running_loop().time()
        await waiting
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) == pytest.approx(1, abs=0.01)


def test_refusal_ends_what_earlier_answers_allowed() -> None:
    """After a 429, room that an earlier answer has told of is not believed any more."""

    async def main() -> int:
        limiter, now = PermitWindow(), asyncio.get_running_loop().time
        begun, moments = now(), list[float]()

        async def start() -> AbstractAsyncContextManager[Permit]:
            permit = await started(limiter)
            moments.append(now())
            return permit

        for n in range(10):
            await ended(await start(), answered(20, 19 - n, 2.0))
        await ended(await started(limiter), answered(20, 0, 0.01, throttled=True))
        waiting = [asyncio.create_task(start()) for _ in range(20)]
        await asyncio.sleep(5)
        for task in waiting:
            task.cancel()
        return sum(moment < begun + 1.99 for moment in moments)

    # 15 % less than the limit of 20.
    assert run_virtual(main()) == 17


def test_turn_that_is_given_back_counts_for_no_ceiling() -> None:
    """A request that is cancelled as its turn comes leaves the rate of the user to the next one."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = PermitWindow(RateLimit(1, 2.0))
        await ended(await started(limiter), answered(20, 19, 2.0))
        turn = loop.time() + 2
        first = asyncio.create_task(started(limiter))
        # Together with the timer of its turn, and before the task goes on.
        loop.call_at(turn + 1e-9, first.cancel)
        await asyncio.wait([first])
        assert first.cancelled()
        await asyncio.wait_for(started(limiter), 10)
        return loop.time() - turn

    assert run_virtual(main()) < 2.1


@pytest.mark.parametrize(
    ("remaining", "retry_after", "wait"),
    [(0, 1.5, 1.5), (0, 3.0, 2.0), (0, 3.1, 0.0), (1, 1.5, 1.5), (2, 1.5, 0.0), (19, 1.5, 0.0)],
)
def test_limit_that_is_used_up_is_waited_for(
    remaining: int, retry_after: float, wait: float
) -> None:
    """A run that finds its key just used starts what is left, and waits until there is more.

    Two requests are started here. A `Retry-After` beyond the period, rounded up, says nothing.
    """

    async def main() -> float:
        limiter = PermitWindow()
        await ended(await started(limiter), answered(20, remaining, retry_after))
        begun = asyncio.get_running_loop().time()
        for _ in range(2):
            await started(limiter)
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) == pytest.approx(wait, abs=0.1)


@pytest.mark.parametrize(
    ("seconds", "remaining", "is_left"),
    [(0.0, 1, True), (0.0, 2, False), (0.2, 2, True), (0.2, 3, False)],
)
def test_last_request_of_a_shared_key_is_left_to_others(
    seconds: float, remaining: int, is_left: bool
) -> None:
    """Where another client uses the key, it gets the last request of the limit.

    Where answers take longer than the limit's interval, it gets the last two.
    """

    async def main() -> float:
        limiter = PermitWindow()
        await ended(await started(limiter), answered(20, 0, 0.01, throttled=True))
        for left in (10, remaining):
            taken = await started(limiter)
            await asyncio.sleep(seconds)
            await ended(taken, answered(20, left, 1.5))
            await asyncio.sleep(0.2)
        begun = asyncio.get_running_loop().time()
        await started(limiter)
        return asyncio.get_running_loop().time() - begun

    assert (run_virtual(main()) > 1) is is_left


def test_limit_changes_are_followed_both_ways() -> None:
    """The limiter follows a limit that the server lowers and raises midway."""

    async def main() -> list[float | None]:
        limiter, allowed = PermitWindow(RateLimit(20, 2)), []
        for limit in (20, 5, 20, 20):
            for _ in range(5):
                await ended(await started(limiter), answered(limit, 1, 1.5))
                await asyncio.sleep(1)
            allowed.append(limiter.allowed)
        return allowed

    assert run_virtual(main()) == [10, 2.5, 10, 10]


def test_permits_go_out_in_turn() -> None:
    """Rows that wait for a permit get it in the order in which they asked."""

    async def main() -> list[int]:
        limiter, order = PermitWindow(), list[int]()

        async def attempt(row: int) -> None:
            permit = await started(limiter)
            order.append(row)
            await ended(permit, answered(20, 20, 2.0))

        await asyncio.gather(*(attempt(row) for row in [9, 4, 7, 1, 8]))
        return order

    assert run_virtual(main()) == [9, 4, 7, 1, 8]


def test_cancelled_row_delays_no_other() -> None:
    """A cancelled row that waited for a permit holds up no other row."""

    async def main() -> list[int]:
        limiter = PermitWindow()
        tasks = [asyncio.create_task(started(limiter)) for row in range(40)]
        await asyncio.sleep(0.01)
        for task in tasks[2:30]:
            task.cancel()
        await asyncio.sleep(10)
        return [row for row, task in enumerate(tasks) if task.done() and not task.cancelled()]

    assert run_virtual(main()) == [0, 1, *range(30, 40)]


@pytest.mark.parametrize("rate", ["auto", None, RateLimit(20, 2)])
def test_limiter_waits_as_long_as_429_asks(rate: "RateLimit | None") -> None:
    """A 429 holds back every row for the time that it asks for."""

    async def main() -> tuple[float, str | None, str | None, float]:
        limiter = limiter_for(rate)
        leave = await started(limiter)
        before = limiter.waiting_for
        begun = asyncio.get_running_loop().time()
        await ended(leave, answered(20, 0, 7.25, throttled=True))
        during = limiter.waiting_for
        await asyncio.gather(*(started(limiter) for row in range(5)))
        return asyncio.get_running_loop().time() - begun, before, during, limiter.paused

    waited, before, during, paused = run_virtual(main())
    assert 7.25 <= waited < 8.5
    assert before is None
    assert during is not None
    assert "rate limited: continuing in 7.2" in during or "7.3" in during
    assert paused == pytest.approx(7.25, abs=0.01)
    # The server may have rounded down, so it is never less.
    assert paused >= 7.25 - 1e-6


@pytest.mark.parametrize("rate", ["auto", None])
def test_hour_long_wait_raises_an_error(rate: "RateLimit | None") -> None:
    """A 429 that asks for an hour raises an error for every row that waits."""

    async def main() -> None:
        limiter = limiter_for(rate)
        waiting = asyncio.create_task(started(limiter))
        leave = await started(limiter)
        await ended(leave, answered(20, 0, 3600.0, throttled=True))
        await asyncio.gather(waiting, started(limiter))

    with pytest.raises(WaitTooLongError, match="3600"):
        run_virtual(main())


def test_bare_429_pauses_for_one_period() -> None:
    """A 429 that gives no time pauses the limiter for one period."""

    async def main(limiter: type[NoLimiter] | type[PermitWindow]) -> float:
        one = limiter()
        leave = await started(one)
        begun = asyncio.get_running_loop().time()
        await ended(leave, answered(throttled=True))
        await started(one)
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main(NoLimiter)) == pytest.approx(2, abs=0.01)
    assert run_virtual(main(PermitWindow)) == pytest.approx(2, abs=0.2)


def test_retry_after_on_200_is_ignored() -> None:
    """A Retry-After header on a 200 causes no pause."""

    async def main() -> float:
        limiter = NoLimiter()
        begun = asyncio.get_running_loop().time()
        await ended(await started(limiter), answered(limit=20, remaining=0, retry_after=1.9))
        await started(limiter)
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) < 0.01


def test_each_odd_header_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """The limiter logs each missing or wrong header once."""
    caplog.set_level("WARNING", "bulkupdate")

    async def main() -> None:
        limiter = PermitWindow()
        for answer in [answered(), answered(1e9, 5, 1.5), answered(0, 5), answered(20, 500)] * 3:
            await ended(await started(limiter), answer)

    run_virtual(main())
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "answers do not name the limit: keeping to 20/2s",
        "X-RateLimit-Limit is 1000000000: more than 100,000: keeping to 20/2s",
        "X-RateLimit-Remaining is 500: more than 20: ignored",
    ]


def test_limiter_shows_its_allowed_rate() -> None:
    """The limiter shows the rate that it allows now, or None where it has no limit."""

    async def main() -> list[float | None]:
        limiter = PermitWindow()
        allowed = [NoLimiter().allowed, limiter.allowed]
        await ended(await started(limiter), answered(40, 39, 1.5))
        allowed.append(limiter.allowed)
        await ended(await started(limiter), answered(40, 0, 1.5, throttled=True))
        return [*allowed, limiter.allowed, PermitWindow(RateLimit(5, 1)).allowed]

    assert run_virtual(main()) == [None, 10, 20, 10, 5]


def test_simulation_of_minutes_takes_seconds() -> None:
    """A simulated run of 5000 rows takes more than 490 virtual seconds and meets no refusal."""
    course: Course = Simulation(Window.FIXED).run(5000)
    assert course.ends[0] > 490
    assert course.refused == 0


def test_pauses_between_successes_do_not_grow() -> None:
    """Without a limit too, only 429s in a row make the pauses longer: a success ends the row."""

    async def main() -> list[float]:
        limiter, pauses = NoLimiter(), []
        for _ in range(6):
            async with limiter.permit() as permit:
                permit.answered(answered(throttled=True, retry_after=0))
            before = asyncio.get_running_loop().time()
            async with limiter.permit() as permit:
                pauses.append(asyncio.get_running_loop().time() - before)
                permit.answered(answered())
        return pauses

    assert run_virtual(main()) == pytest.approx([NoLimiter.SHORTEST_PAUSE] * 6, abs=0.01)


def test_pauses_after_429s_in_a_row_double() -> None:
    """Without a limit, each further 429 without a success between them doubles the pause."""

    async def main() -> list[float]:
        limiter, starts = NoLimiter(), []
        for _ in range(10):
            async with limiter.permit() as permit:
                starts.append(asyncio.get_running_loop().time())
                permit.answered(answered(throttled=True, retry_after=0))
        return [b - a for a, b in pairwise(starts)]

    expected = [0.25, 0.5, 1, 2, 4, 8, 16, 16, 16]
    assert run_virtual(main()) == pytest.approx(expected, abs=0.01)


def test_shorter_pause_inside_a_longer_one_adds_nothing() -> None:
    """The seconds of all pauses are those in which nothing started: overlaps count once."""

    async def main() -> float:
        loop, pause = asyncio.get_running_loop(), Pause()
        pause.hold(loop.time(), 10, 0)
        await asyncio.sleep(1)
        pause.hold(loop.time() - 5, 2, 0)  # It was in flight when the pause began.
        await asyncio.sleep(20)
        assert not pause
        return pause.total

    assert run_virtual(main()) == pytest.approx(10)


def test_requests_of_one_moment_lengthen_a_pause_once() -> None:
    """The 429 of a request that started just as a pause began does not double the pause."""

    async def main() -> float:
        loop, pause = asyncio.get_running_loop(), Pause()
        for _ in range(3):
            pause.hold(loop.time(), 1, 1)
        return pause.until - loop.time()

    assert run_virtual(main()) == pytest.approx(1)


def test_first_request_waits_for_its_delay() -> None:
    """A limiter with a delay starts its first request then, and keeps its pace from there."""

    async def main() -> list[float]:
        limiter = limiter_for("auto", delay=1.5)
        starts = []
        for _ in range(3):
            await started(limiter)
            starts.append(asyncio.get_running_loop().time() - 1000)
        return starts

    assert run_virtual(main()) == pytest.approx([1.5, 1.5, 1.57], abs=0.01)


def test_ceiling_is_spread_over_its_period() -> None:
    """Requests below a low ceiling are not sent in a row at the beginning of its period."""

    async def main() -> list[float]:
        limiter, now = PermitWindow(RateLimit(10, 10)), asyncio.get_running_loop().time
        begun, starts = now(), list[float]()
        for _ in range(5):
            await started(limiter)
            starts.append(now() - begun)
        return starts

    assert run_virtual(main()) == pytest.approx([0, 0, 0.7, 1.4, 2.1], abs=0.02)


def test_limiter_without_a_delay_starts_at_once() -> None:
    """Without a delay, the first request starts at once."""

    async def main() -> float:
        begun = asyncio.get_running_loop().time()
        await started(limiter_for("auto"))
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) == pytest.approx(0)


@pytest.mark.parametrize("count", [100, 137, 500])
def test_limiters_that_begin_together_are_spread_over_a_period(count: int) -> None:
    """The first one has no delay, and no gap between neighbours is three times the even one."""
    delays = sorted(delay_of(number, count) for number in range(count))
    gaps = [after - before for before, after in pairwise([*delays, 2.0])]
    assert delays[0] == 0
    assert max(gaps) < 3 * 2.0 / count
    assert delays[-1] < 2


def test_a_few_limiters_need_not_wait() -> None:
    """The process is fast enough for their peak."""
    assert {delay_of(number, 99) for number in range(99)} == {0.0}


def test_second_pause_counts_with_the_first() -> None:
    """Each is short enough, and both together are not."""

    async def main() -> None:
        loop, pause = asyncio.get_running_loop(), Pause()
        pause.hold(loop.time(), 290.0, 0.0)
        assert pause.too_long is None
        await asyncio.sleep(290.0)
        pause.hold(loop.time(), 20.0, 0.0)
        assert "no request was accepted for 290 s" in str(pause.too_long)

    run_virtual(main())


@pytest.mark.parametrize(("room", "grown"), [(0, 0.08), (19, 2.36)])
def test_room_that_answers_show_lets_the_share_grow(room: int, grown: float) -> None:
    """Some periods after a 429, more of the limit is used where the server has room left."""

    async def main() -> None:
        limiter = PermitWindow()
        await ended(await started(limiter), answered(20, 0, 0.1, throttled=True))
        before = limiter.allowed
        for _ in range(4):
            await asyncio.sleep(2.1)
            await ended(await started(limiter), answered(20, room, 0.1))
        assert before is not None
        assert limiter.allowed is not None
        assert 2 * (limiter.allowed - before) == pytest.approx(grown)

    run_virtual(main())


def test_server_that_never_accepts_a_request_is_given_up() -> None:
    """Pauses that follow each other without a success count as one. A success ends the row."""

    async def main() -> None:
        loop, pause = asyncio.get_running_loop(), Pause()
        for seconds in (100.0, 100.0):
            pause.hold(loop.time(), seconds, 0.0)
            assert pause.too_long is None
            await asyncio.sleep(seconds)
        pause.hold(loop.time(), 99.0, 0.0)
        assert pause.too_long is None
        await asyncio.sleep(99.0)
        pause.hold(loop.time(), 2.0, 0.0)
        assert "no request was accepted for 299 s" in str(pause.too_long)
        pause.succeeded()
        await asyncio.sleep(2.0)
        pause.hold(loop.time(), 2.0, 0.0)
        assert pause.too_long is None

    run_virtual(main())
