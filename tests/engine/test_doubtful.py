"""Answers that may belong to another request, and a server that says how long it is away."""

import asyncio
from collections.abc import Callable

import pytest

from bulkupdate import errors
from bulkupdate.models import Outcome, Reason, TaskUpdate
from tests.support.course import Course
from tests.support.fakes import Script, row


def in_question(error: errors.TaskError) -> errors.TaskError:
    error.question()
    return error


def answers(*script: errors.TaskError | None) -> Script:
    """The answers to the requests of a row, the last one to all further ones."""
    return lambda _, n: script[min(n, len(script)) - 1]


REFUSALS: list[Callable[[], errors.TaskError]] = [
    lambda: errors.BadRequestError("Bad team", 400),
    lambda: errors.NotFoundError("gone", 404),
    lambda: errors.BlockedError("page", 403),
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusal_in_question_is_asked_again_at_once(
    refusal: Callable[[], errors.TaskError],
) -> None:
    """A refusal that comes again, for certain, fails the row. Only the second counts."""
    course = Course(answers(in_question(refusal()), refusal()), max_attempts=1)
    result = course.run(row(1))[1]
    assert (result.outcome, result.attempts) == (Outcome.FAILED, 2)
    assert course.seconds < 0.01


@pytest.mark.parametrize(
    "stray", [errors.BadRequestError("x", 400), errors.UnauthorizedError("x", 401),
              errors.RateLimitedError("x", 429), errors.RedirectError("x", 308)],
)  # fmt: skip
def test_stray_refusal_changes_no_outcome(stray: errors.TaskError) -> None:
    """A refusal of another request stops nothing, and its row is updated."""
    course = Course(answers(in_question(stray), None))
    results = course.run(row(1), row(2))
    assert {result.outcome for result in results.values()} == {Outcome.UPDATED}
    assert not course.stop.is_set


def test_row_behind_a_stray_refusal_may_have_been_applied() -> None:
    """If the server is not reached again, the row is unconfirmed, not failed."""
    stray = in_question(errors.RateLimitedError("x", 429))
    course = Course(answers(stray, errors.ConnectError("refused")), max_attempts=2)
    assert course.run(row(1))[1].outcome is Outcome.UNCONFIRMED


def test_stop_leaves_a_row_in_question_unprocessed() -> None:
    """An answer in question says no more about a row than no answer."""
    course = Course(lambda *_: in_question(errors.BadRequestError("x", 400)))

    async def stop() -> None:
        course.stop.set("enough")

    course.meanwhile = stop
    assert course.run(row(1)) == {}


def test_real_doubt_is_not_replaced_by_a_question() -> None:
    """A row that may have been applied stays in doubt when a stop comes."""

    def script(_: TaskUpdate, n: int) -> errors.TaskError:
        if n == 2:
            course.stop.set("enough")
        return (
            errors.ServerError("x", 500) if n == 1 else in_question(errors.NotFoundError("x", 404))
        )

    course = Course(script, first_backoff=0, longest_backoff=0)
    result = course.run(row(1))[1]
    assert (result.outcome, result.cut_short) == (Outcome.UNCONFIRMED, True)
    assert result.error is not None
    assert result.error.type == "server_error"


def away(seconds: float) -> errors.ServerError:
    error = errors.ServerError("Service Unavailable", 503)
    error.retry_after = seconds
    return error


def test_retry_waits_as_long_as_the_server_is_away() -> None:
    """The `Retry-After` of a 503 is waited for before the row is tried again."""
    course = Course(answers(away(40), away(20), None))
    assert course.run(row(1))[1].outcome is Outcome.UPDATED
    assert 60 <= course.seconds <= 62


@pytest.mark.parametrize("those_that_tell", [1, 2])
def test_no_probe_goes_out_before_the_server_is_back(those_that_tell: int) -> None:
    """While the server counts as down, its `Retry-After` delays the probes of all rows."""
    probes: list[float] = []

    def script(update: TaskUpdate, _: int) -> errors.TaskError | float:
        now = asyncio.get_running_loop().time() - 1000
        if course.lane.health.is_down:
            probes.append(now)
        if not 5 <= now < 100:
            return 0.1
        tells = int(update.id[4:]) % those_that_tell == 0
        return away(100 - now) if tells else errors.ServerError("down", 503)

    course = Course(script)
    results = course.run(*(row(n) for n in range(1, 2001)), workers=25)
    assert {result.outcome for result in results.values()} == {Outcome.UPDATED}
    assert min(probes) >= 100


def test_server_away_for_long_stops_the_lane() -> None:
    """More than five minutes are not waited for. The reason says when to come back."""
    course = Course(answers(away(3600)))
    result = course.run(row(1))[1]
    assert (result.outcome, result.cut_short) == (Outcome.UNCONFIRMED, True)
    assert course.stop.reason is Reason.RATE_LIMITED
    assert "asks to wait for 3600 s: come back at" in (course.stop.text or "")


def test_outage_is_not_waited_out_beyond_giving_up() -> None:
    """A long `Retry-After` does not keep a run that would give up before."""
    course = Course(lambda *_: away(290) if _now() >= 5 else 0.1, give_up_after=60)
    course.run(*(row(n) for n in range(1, 2001)), workers=25)
    assert course.stop.reason is Reason.SERVER_DOWN
    assert 60 <= course.seconds <= 70


def test_wait_of_an_earlier_outage_is_forgotten() -> None:
    """What the server asked for in one outage does not delay the probes of the next."""
    probes: list[float] = []

    def script(*_: object) -> errors.TaskError | float:
        if course.lane.health.is_down:
            probes.append(_now())
        if 5 <= _now() < 6:
            return away(20)
        return errors.ServerError("down", 503) if 30 <= _now() < 40 else 0.1

    course = Course(script)
    course.run(*(row(n) for n in range(1, 4001)), workers=25)
    assert any(30 < at < 33 for at in probes)


def test_firewall_that_blocks_everything_stops_the_lane() -> None:
    """A few blocked rows are theirs. Twenty in a row, and all others would fail too."""
    blocked = errors.BlockedError("<html>", 403)
    course = Course(lambda *_: blocked)
    results = course.run(*(row(n) for n in range(1, 501)))
    assert 20 <= len(results) < 40
    assert course.stop.reason is Reason.SERVER_DOWN
    assert "blocked 20 requests in a row" in (course.stop.text or "")
    some = Course(lambda update, _: blocked if int(update.id[4:]) % 3 else None)
    assert len(some.run(*(row(n) for n in range(1, 201)))) == 200
    assert not some.stop.is_set


def _now() -> float:
    return asyncio.get_running_loop().time() - 1000
