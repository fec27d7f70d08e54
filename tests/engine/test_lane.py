"""Workers that share one key: rows in, results out, and when they stop."""

import asyncio
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.engine.limiter import NoLimiter
from bulkupdate.engine.permits import PermitWindow
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Outcome, Reason, TaskUpdate
from tests.support.course import Course
from tests.support.fakes import bad_request, row


def test_every_row_ends_in_a_result() -> None:
    course = Course()
    results = course.run(*(row(n, title=f"T{n}") for n in range(1, 101)))
    assert sorted(results) == list(range(1, 101))
    first = results[1]
    assert (first.outcome, first.status, first.attempts) == (Outcome.UPDATED, 200, 1)
    assert first.sent == {"title": "T1"}
    assert first.task == {"_id": "opp_1"}
    assert course.lane.traffic.requests == 100


def test_so_many_requests_are_in_flight_and_no_more() -> None:
    course = Course(lambda *_: 1.0)
    course.run(*(row(n) for n in range(1, 30)), workers=5)
    assert course.server.most_in_flight == 5


def test_a_refusal_is_a_failure_with_the_servers_words() -> None:
    result = Course(bad_request).run(row(1))[1]
    assert (result.outcome, result.status, result.attempts) == (Outcome.FAILED, 400, 1)
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("bad_request", "Bad team")


def test_what_clears_up_is_an_update_and_counts_its_attempts() -> None:
    course = Course(lambda _, n: errors.ServerError("x", 500) if n < 3 else None)
    result = course.run(row(1))[1]
    assert (result.outcome, result.attempts) == (Outcome.UPDATED, 3)
    assert (course.lane.traffic.requests, course.lane.traffic.retries) == (3, 2)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.ServerError("x", 500), Outcome.UNCONFIRMED),
        (errors.RequestTimeoutError("x"), Outcome.UNCONFIRMED),
        (errors.ConnectionLostError("x"), Outcome.UNCONFIRMED),
        (errors.BadResponseError("x", 200), Outcome.UNCONFIRMED),
        (errors.ConnectError("x"), Outcome.FAILED),
        (errors.NotFoundError("x", 404), Outcome.FAILED),
    ],
)
def test_what_may_have_been_applied_is_unconfirmed_and_nothing_else(
    error: errors.TaskError, outcome: Outcome
) -> None:
    assert Course(lambda *_: error, max_attempts=2).run(row(1))[1].outcome is outcome


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (errors.ConnectError("x"), Outcome.UNCONFIRMED),
        (errors.UnauthorizedError("x", 401), Outcome.UNCONFIRMED),
        (errors.BadRequestError("x", 400), Outcome.FAILED),
    ],
)
def test_one_ambiguous_attempt_stays_in_doubt_unless_the_update_itself_is_refused(
    last: errors.TaskError, outcome: Outcome
) -> None:
    def script(_: object, n: int) -> errors.TaskError:
        return errors.RequestTimeoutError("x") if n == 1 else last

    assert Course(script, max_attempts=2).run(row(1))[1].outcome is outcome


def test_a_wrong_key_costs_one_request_however_many_workers_there_are() -> None:
    course = Course(lambda *_: errors.UnauthorizedError("wrong", 401))
    results = course.run(*(row(n) for n in range(1, 50)), workers=16)
    assert course.server.sent == ["opp_1"]
    assert results[1].outcome is Outcome.FAILED
    assert len(results) == 1
    assert "401 wrong" in (course.stop.text or "")


def test_rows_go_one_by_one_until_an_answer_shows_that_the_key_is_good() -> None:
    alone: list[int] = []
    course = Course(max_attempts=3)

    def script(*_: object) -> errors.TaskError | float:
        alone.append(course.server.in_flight)
        if len(alone) < 5:
            return errors.ServerError("x", 503)
        return 1.0

    course.server.script = script
    course.run(*(row(n) for n in range(1, 20)), workers=4)
    assert alone[:5] == [1] * 5
    assert course.server.most_in_flight == 4


def test_a_key_that_is_refused_in_the_middle_stops_the_lane() -> None:
    def script(*_: object) -> errors.TaskError | float:
        return errors.ForbiddenError("blocked", 403) if len(course.server.sent) > 20 else 0.1

    course = Course(script)
    course.run(*(row(n) for n in range(1, 200)), workers=4)
    assert 20 < len(course.server.sent) <= 28
    assert course.stop.reason is Reason.KEY_REFUSED


def test_edits_of_one_task_are_sent_in_their_order_through_failures_and_retries() -> None:
    log: list[object] = []

    def script(update: object, n: int) -> errors.TaskError | float | None:
        title = getattr(update, "title", None)
        if title in ("3", "7") and n < 3:
            return errors.ConnectionLostError("x")
        log.append(title)
        return bad_request() if title == "5" else 0.2

    course = Course(script)
    rows = [row(n, "same", title=str(n)) for n in range(1, 11)]
    others = [row(n, title=str(n)) for n in range(11, 40)]
    results = course.run(*rows, *others)
    assert [t for t in log if int(str(t)) <= 10] == [str(n) for n in range(1, 11)]
    assert results[5].outcome is Outcome.FAILED
    assert results[6].outcome is Outcome.UPDATED


def test_being_throttled_is_no_failure_of_the_row() -> None:
    course = Course(lambda _, n: errors.RateLimitedError("x", 429) if n < 10 else None)
    result = course.run(row(1))[1]
    assert (result.outcome, result.attempts) == (Outcome.UPDATED, 10)
    assert course.lane.traffic.rate_limited == 9


def test_a_row_that_is_throttled_for_ever_stops_the_lane_and_stays_unprocessed() -> None:
    course = Course(lambda *_: errors.RateLimitedError("slow down", 429), max_throttles=5)
    assert course.run(row(1), row(2)) == {}
    assert "still rate limited after 5 attempts" in (course.stop.text or "")


def test_rows_that_are_refused_one_by_one_are_no_outage() -> None:
    course = Course(bad_request)
    assert len(course.run(*(row(n) for n in range(1, 100)))) == 99
    assert not course.stop.is_set


def test_a_stop_lets_what_is_in_flight_end_and_starts_nothing_more() -> None:
    course = Course(lambda *_: 1.0)
    course.stop_after = 1
    results = course.run(*(row(n) for n in range(1, 100)), workers=4)
    started = len(course.server.sent)
    assert len(results) == started
    assert started <= 5


def test_a_stop_does_not_wait_for_a_backoff_or_lose_a_result_on_its_way() -> None:
    def script(update: object, _: int) -> errors.TaskError | float:
        return errors.ServerError("x", 500) if getattr(update, "id", "") == "opp_2" else 0.5

    course = Course(script, max_attempts=50)
    course.slow_writer = 0.3
    course.stop_after = 3
    results = course.run(*(row(n) for n in range(1, 100)), workers=4)
    assert results[2].cut_short
    assert results[2].outcome is Outcome.UNCONFIRMED
    assert len(results) == len(set(course.server.sent))


def test_a_request_that_does_not_end_is_left_behind_after_the_drain_timeout() -> None:
    course = Course(lambda update, _: 1e6 if update.id == "opp_2" else 0.1)
    course.drain_timeout = 2.0
    course.stop_after = 5
    results = course.run(*(row(n) for n in range(1, 100)), workers=3)
    assert 2 not in results


def test_a_stop_does_not_wait_for_the_limiter() -> None:
    course = Course(lambda *_: 0.1)
    course.make_limiter = lambda: PermitWindow(RateLimit(1, 600))  # type: ignore[method-assign]
    course.stop_after = 1
    assert len(course.run(*(row(n) for n in range(1, 20)), workers=4)) == 1
    assert course.seconds < 1


def test_a_stop_does_not_wait_for_rows_that_are_parked() -> None:
    def script(*_: object) -> errors.TaskError | float:
        return errors.ServerError("x", 500) if len(course.server.sent) > 2 else 0.5

    course = Course(script)
    course.stop_after = 1
    course.drain_timeout = 100.0
    course.run(*(row(n, "same", title=str(n)) for n in range(1, 20)), workers=4)
    assert course.seconds < 50


def test_a_result_that_waits_to_be_taken_is_not_thrown_away() -> None:
    course = Course(lambda *_: 0.1)
    course.slow_writer = 60.0
    course.drain_timeout = 1.0
    course.stop_after = 1
    results = course.run(*(row(n) for n in range(1, 20)), workers=4)
    assert len(results) == len(course.server.sent)


def test_the_limiter_hears_of_every_answer_and_of_none() -> None:
    heard: list[tuple[int, float | None] | None] = []

    class Hearing(NoLimiter):
        def end(self, started: float, answer: Answer[Any] | None) -> None:
            heard.append((answer.status, answer.quota.retry_after) if answer else None)
            super().end(started, answer)

    def script(_: object, n: int) -> errors.TaskError | None:
        if n == 1:
            return errors.RateLimitedError("x", 429)
        return errors.RequestTimeoutError("x") if n == 2 else None

    course = Course(script)
    course.make_limiter = Hearing  # type: ignore[method-assign]
    course.run(row(1))
    assert heard == [(429, 0.0), None, (200, None)]


def test_a_429_that_asks_for_an_hour_stops_the_lane_and_says_when_to_come_back() -> None:
    course = Course(lambda *_: errors.RateLimitedError("x", 429))
    course.server.retry_after = 3600.0
    assert course.run(row(1), row(2)) == {}
    assert "come back at 2" in (course.stop.text or "")
    assert course.stop.reason is Reason.RATE_LIMITED


def test_one_task_that_always_fails_is_no_outage() -> None:
    def script(update: TaskUpdate, _: int) -> errors.TaskError | None:
        return errors.ServerError("x", 500) if update.id == "bad" else None

    course = Course(script, max_attempts=1)
    rows = [row(n, "bad", title=str(n)) for n in range(1, 30)]
    assert len(course.run(*rows, *(row(n) for n in range(30, 60)))) == 59


def test_failures_here_and_there_are_no_outage() -> None:
    course = Course(lambda u, _: errors.ServerError("x", 500) if u.id.endswith("7") else None,
                    max_attempts=1)  # fmt: skip
    assert len(course.run(*(row(n) for n in range(1, 400)))) == 399
    assert not course.stop.is_set


def test_values_that_came_back_otherwise_are_in_the_result() -> None:
    course = Course(lambda *_: {"userId": "usr_z", "title": "T"})
    result = course.run(row(1, assigned_to="usr_b", title="T"))[1]
    assert result.outcome is Outcome.UPDATED
    assert result.mismatches is not None
    assert result.mismatches["userId"].returned == "usr_z"


def test_a_task_that_holds_half_of_the_rows_does_not_hold_up_the_others() -> None:
    finished: dict[str, float] = {}

    def script(update: TaskUpdate, _: int) -> float:
        finished[update.id] = asyncio.get_running_loop().time()
        return 0.1

    others = [row(n) for n in range(2, 2001, 2)]
    busy = [row(n, "busy", title=str(n)) for n in range(1, 2001, 2)]
    alone = Course(script)
    alone.run(*others, workers=16)
    begun = min(finished.values())
    alone_seconds = max(finished.values()) - begun
    finished.clear()
    both = Course(script)
    results = both.run(*sorted([*others, *busy], key=lambda one: one.number), workers=16)
    assert len(results) == 2000
    assert both.server.titles("busy") == [str(n) for n in range(1, 2001, 2)]
    del finished["busy"]
    assert max(finished.values()) - min(finished.values()) < 1.2 * alone_seconds
