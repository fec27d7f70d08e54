"""A call: any request under the limit, tried again until it has an outcome."""

import asyncio
from collections.abc import Callable

import pytest

from bulkupdate.context import CONNECT_LATE, START_UNTIL, PermitExpiredError
from bulkupdate.engine.call import Caller
from bulkupdate.engine.health import Health
from bulkupdate.engine.limiter import Limiter, NoLimiter, permitted
from bulkupdate.engine.retry import Attempts
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import (
    NoPermitError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
)
from bulkupdate.lemlist.answer import Answer
from bulkupdate.models import Level, Reason
from bulkupdate.stop import Stop, StoppedError
from tests.support.clock import run_virtual

Page = list[str]


def call(
    script: Callable[[int], Answer[Page]],
    stop_after: float | None = None,
    abort: bool = False,
    limiter: Callable[[], Limiter] = NoLimiter,
    on_start: Callable[[], None] = lambda: None,
) -> tuple[Page | BaseException, Attempts, Stop, Caller]:
    """Call for a page, whose attempts the script answers; each takes a second."""

    async def main() -> tuple[Page | BaseException, Attempts, Stop, Caller]:
        stop, attempts = Stop(), Attempts()
        caller = Caller(limiter(), Health(stop, 600), RetryPolicy(max_throttles=3), stop, on_start)

        async def request() -> Answer[Page]:
            await asyncio.sleep(1)
            return script(attempts.sent)

        if stop_after is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(stop_after, stop.set, "enough")
            if abort:
                loop.call_later(stop_after, stop.abort)
        value: Page | BaseException
        try:
            with stop.until(Level.DRAIN) as scope:
                value = await caller.call(request, attempts, scope, subject="page 0")
        except Exception as error:
            value = error
        return value, attempts, stop, caller

    return run_virtual(main())


def page(*ids: str) -> Answer[Page]:
    return Answer(200, {}, list(ids))


def test_call_returns_any_kind_of_value() -> None:
    """A page of tasks goes the same way as an update."""
    value, attempts, _, caller = call(lambda _: page("a", "b"))
    assert value == ["a", "b"]
    assert (attempts.sent, caller.traffic.requests, caller.in_flight) == (1, 1, 0)


def test_transient_failures_are_tried_again() -> None:
    """A 503 and a timeout cost attempts and no page."""

    def script(n: int) -> Answer[Page]:
        if n == 1:
            return Answer(503, {}, error=ServerError("down", 503))
        if n == 2:
            raise RequestTimeoutError("no answer in time")
        return page("a")

    value, attempts, _, caller = call(script)
    assert value == ["a"]
    assert (attempts.sent, caller.traffic.retries) == (3, 2)


def expiring(*outcomes: Answer[Page] | None) -> Callable[[int], Answer[Page]]:
    """A script of answers. None is a permit that has expired, if it can."""
    each = iter(outcomes)

    def script(_: int) -> Answer[Page]:
        answer = next(each)
        if answer is not None:
            return answer
        if CONNECT_LATE.get():
            return Answer(500, {}, error=ServerError("late", 500))
        raise PermitExpiredError

    return script


class Expiring(NoLimiter):
    """A limiter whose permits expire. The second one comes after some seconds."""

    def __init__(self, wait: float = 0.0) -> None:
        super().__init__()
        self.starts = 0
        self._wait = wait

    async def start(self) -> float:
        self.starts += 1
        if self.starts == 2:
            await asyncio.sleep(self._wait)
        START_UNTIL.set(0.0)
        return await super().start()


def test_expired_permit_costs_no_attempt() -> None:
    """A request that came too late for its permit was not sent: it gets another permit."""
    limiter: list[Expiring] = []

    def made() -> Expiring:
        limiter.append(Expiring())
        return limiter[0]

    starts: list[bool] = []
    value, attempts, stop, caller = call(
        expiring(None, page("a")), limiter=made, on_start=lambda: starts.append(True)
    )
    assert value == ["a"]
    assert starts == [True]
    assert limiter[0].starts == 2
    assert (attempts.sent, caller.traffic.requests, caller.traffic.retries) == (1, 1, 0)
    assert not stop.is_set


def test_limiter_that_gives_no_permit_stops_the_lane() -> None:
    """A limiter that can't be reached any more ends the lane, and says why."""

    class Away(NoLimiter):
        async def start(self) -> float:
            raise NoPermitError("the database is away")

    value, attempts, stop, _ = call(lambda _: page("a"), limiter=Away)
    assert isinstance(value, StoppedError)
    assert attempts.sent == 0
    assert (stop.reason, stop.text) == (Reason.NO_PERMIT, "the database is away")


async def test_each_expired_permit_doubles_what_the_next_one_allows() -> None:
    """Where connections are slow, a request gets more and more time to make one."""
    allowed: list[float] = []

    async def use(_: object) -> str:
        allowed.append(CONNECT_LATE.get())
        if len(allowed) < 6:
            raise PermitExpiredError
        return "sent"

    assert await permitted(NoLimiter(), use) == "sent"
    assert allowed == [0, 1, 2, 4, 8, 16]
    assert CONNECT_LATE.get() == 0


def test_expired_permit_of_a_retry_is_no_retry() -> None:
    """A retry that came too late for its permit counts once, when it is sent."""
    failed = Answer[Page](500, {}, error=ServerError("down", 500))
    value, attempts, _, caller = call(expiring(failed, None, page("a")), limiter=Expiring)
    assert value == ["a"]
    assert (attempts.sent, caller.traffic.requests, caller.traffic.retries) == (2, 2, 1)


def test_second_permit_is_for_a_connection_however_slow() -> None:
    """A request whose connections are slow every time is sent with its second permit."""
    value, attempts, _, _ = call(expiring(None, None, page("a")), limiter=Expiring)
    assert value == ["a"]
    assert attempts.sent == 2


def test_drain_ends_a_call_whose_permit_expired() -> None:
    """A call that needs another permit waits, and a drain does not wait for it."""
    value, attempts, _, _ = call(
        expiring(None, page("a")), stop_after=2.5, limiter=lambda: Expiring(60)
    )
    assert isinstance(value, StoppedError)
    assert attempts.sent == 0


def test_probe_whose_permit_expired_is_made_at_once() -> None:
    """A server that is back is found to be so, although a connection to it was slow."""
    down = [Answer[Page](503, {}, error=ServerError("down", 503))] * 6
    script, times = expiring(*down, None, page("a")), list[float]()

    def timed(number: int) -> Answer[Page]:
        times.append(asyncio.get_running_loop().time())
        return script(number)

    value, *_ = call(timed, limiter=Expiring)
    assert value == ["a"]
    # A request takes a second here, also one that is not sent.
    assert times[-1] - times[-2] == pytest.approx(1, abs=0.1)


def test_refusal_is_not_tried_again() -> None:
    """What the server refuses is raised after one attempt."""
    value, attempts, stop, _ = call(lambda _: Answer(404, {}, error=NotFoundError("no", 404)))
    assert isinstance(value, NotFoundError)
    assert (attempts.sent, stop.is_set) == (1, False)


def test_endless_throttling_sets_the_stop() -> None:
    """A call that is rate limited again and again stops its lane."""
    throttled = Answer[Page](429, {"Retry-After": "1"}, error=RateLimitedError("slow", 429))
    value, attempts, stop, caller = call(lambda _: throttled)
    assert isinstance(value, StoppedError)
    assert stop.reason is Reason.RATE_LIMITED
    assert attempts.throttled == caller.traffic.rate_limited == 3


def test_drain_lets_a_request_in_flight_end() -> None:
    """A request that is out when the drain comes still has its answer."""
    value, *_ = call(lambda _: page("a"), stop_after=0.5)
    assert value == ["a"]


def test_drain_ends_a_backoff() -> None:
    """A call that waits for its next attempt ends at drain."""
    down = Answer[Page](503, {}, error=ServerError("down", 503))
    value, attempts, *_ = call(lambda _: down, stop_after=3.3)
    assert isinstance(value, StoppedError)
    assert isinstance(attempts.in_doubt, ServerError)


def test_abort_gives_up_a_request_in_flight() -> None:
    """A request that is out when the abort comes is given up."""
    value, attempts, _, caller = call(lambda _: page("a"), stop_after=0.5, abort=True)
    assert isinstance(value, StoppedError)
    assert (attempts.sent, caller.in_flight) == (1, 0)


def test_attempts_are_logged_with_their_subject(caplog: pytest.LogCaptureFixture) -> None:
    """The log names what a failed attempt was about."""
    caplog.set_level("INFO", "bulkupdate")
    call(lambda n: page("a") if n > 1 else Answer(503, {}, error=ServerError("down", 503)))
    assert "'page 0', attempt 1: server_error: down" in caplog.text
