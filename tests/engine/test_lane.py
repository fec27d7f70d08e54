"""Workers that share one key: rows in, results out, and when they stop."""

import asyncio
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.engine.limiter import NoLimiter
from bulkupdate.engine.permits import PermitWindow
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Outcome, Reason, Result, Row, TaskUpdate
from tests.support.course import Course
from tests.support.fakes import bad_request, row


def test_every_row_ends_in_a_result() -> None:
    """Every row gets one result, with its status, attempts, sent fields and answer."""
    course = Course()
    results = course.run(*(row(n, title=f"T{n}") for n in range(1, 101)))
    assert sorted(results) == list(range(1, 101))
    first = results[1]
    assert (first.outcome, first.status, first.attempts) == (Outcome.UPDATED, 200, 1)
    assert first.sent == {"title": "T1"}
    assert first.task == {"_id": "opp_1"}
    assert course.lane.traffic.requests == 100


def test_requests_in_flight_equal_the_workers() -> None:
    """The lane has as many requests in flight as workers, and never more."""
    course = Course(lambda *_: 1.0)
    course.run(*(row(n) for n in range(1, 30)), workers=5)
    assert course.server.most_in_flight == 5


def test_lane_at_a_limit_starts_few_workers() -> None:
    """A worker starts only while all others are busy: most would only wait for a permit."""
    course = Course(lambda *_: 0.2)
    course.make_limiter = PermitWindow  # type: ignore[method-assign]
    course.run(*(row(n) for n in range(1, 80)), workers=16)
    assert course.server.most_in_flight >= 3
    assert len(course.lane._workers) == course.server.most_in_flight + 1


def test_retried_rows_keep_no_worker_from_starting() -> None:
    """Rows that are tried again occupy their workers, and the others still start."""

    def script(_: object, n: int) -> errors.TaskError | float:
        return errors.ServerError("x", 500) if n == 1 else 9.0

    course = Course(script)
    course.run(*(row(n) for n in range(1, 30)), workers=5)
    assert course.server.most_in_flight == 5


class Preparing:
    """A preparation that takes a second for each row, and puts off the first rows."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.put_off_rows: list[int] = []

    async def ready(self, row: Row) -> TaskUpdate | Result | None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(1.0)
        self.now -= 1
        return row.update

    def is_due(self) -> bool:
        return len(self.put_off_rows) >= 3

    def put_off(self, row: Row) -> None:
        self.put_off_rows.append(row.number)

    def settled(self, _: Row, result: Result) -> Result:
        return result


def test_rows_are_prepared_by_all_workers_at_once() -> None:
    """A row that is prepared keeps its worker busy, so that others prepare rows meanwhile."""
    course, preparing = Course(), Preparing()
    course.preparation = preparing
    course.run(*(row(n) for n in range(1, 40)), workers=6)
    assert preparing.most == 6
    assert len(preparing.put_off_rows) >= 3
    assert len(course.lane._workers) == 6


def test_refusal_fails_with_the_servers_words() -> None:
    """A refused row fails after one attempt and keeps the message of the server."""
    result = Course(bad_request).run(row(1))[1]
    assert (result.outcome, result.status, result.attempts) == (Outcome.FAILED, 400, 1)
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("bad_request", "Bad team")


def test_retried_row_ends_updated_and_counts_attempts() -> None:
    """A row whose server errors clear up is updated and counts each of its attempts."""
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
def test_only_possibly_applied_rows_are_unconfirmed(
    error: errors.TaskError, outcome: Outcome
) -> None:
    """Only a row whose edit the server may have applied ends unconfirmed."""
    assert Course(lambda *_: error, max_attempts=2).run(row(1))[1].outcome is outcome


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (errors.ConnectError("x"), Outcome.UNCONFIRMED),
        (errors.UnauthorizedError("x", 401), Outcome.UNCONFIRMED),
        (errors.BadRequestError("x", 400), Outcome.FAILED),
    ],
)
def test_ambiguous_attempt_stays_unconfirmed_unless_refused(
    last: errors.TaskError, outcome: Outcome
) -> None:
    """A row with one ambiguous attempt ends unconfirmed, unless its update is refused."""

    def script(_: object, n: int) -> errors.TaskError:
        return errors.RequestTimeoutError("x") if n == 1 else last

    assert Course(script, max_attempts=2).run(row(1))[1].outcome is outcome


def test_wrong_key_costs_a_single_request() -> None:
    """A wrong key costs one request, however many workers the lane has."""
    course = Course(lambda *_: errors.UnauthorizedError("wrong", 401))
    results = course.run(*(row(n) for n in range(1, 50)), workers=16)
    assert course.server.sent == ["opp_1"]
    assert results[1].outcome is Outcome.FAILED
    assert len(results) == 1
    assert "401 wrong" in (course.stop.text or "")


def test_rows_go_singly_until_key_works() -> None:
    """The lane sends one row at a time until an answer shows that the key is good."""
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


def test_key_refused_midway_stops_the_lane() -> None:
    """A key that is refused in the middle stops the lane after few more requests."""

    def script(*_: object) -> errors.TaskError | float:
        return errors.ForbiddenError("blocked", 403) if len(course.server.sent) > 20 else 0.1

    course = Course(script)
    course.run(*(row(n) for n in range(1, 200)), workers=4)
    assert 20 < len(course.server.sent) <= 28
    assert course.stop.reason is Reason.KEY_REFUSED


def test_edits_of_one_task_keep_order() -> None:
    """Edits of one task reach the server in order through failures and retries."""
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


def test_throttling_never_fails_a_row() -> None:
    """Answers with status 429 delay a row, and it is still updated."""
    course = Course(lambda _, n: errors.RateLimitedError("x", 429) if n < 10 else None)
    result = course.run(row(1))[1]
    assert (result.outcome, result.attempts) == (Outcome.UPDATED, 10)
    assert course.lane.traffic.rate_limited == 9


def test_endless_throttling_stops_lane_without_result() -> None:
    """A row that is throttled without end stops the lane and gets no result."""
    course = Course(lambda *_: errors.RateLimitedError("slow down", 429), max_throttles=5)
    assert course.run(row(1), row(2)) == {}
    assert "still rate limited after 5 attempts" in (course.stop.text or "")


def test_refused_rows_are_no_outage() -> None:
    """A file of rows that are all refused does not stop the lane."""
    course = Course(bad_request)
    assert len(course.run(*(row(n) for n in range(1, 100)))) == 99
    assert not course.stop.is_set


def test_stop_finishes_in_flight_requests_only() -> None:
    """A stop lets requests in flight end and starts no further request."""
    course = Course(lambda *_: 1.0)
    course.stop_after = 1
    results = course.run(*(row(n) for n in range(1, 100)), workers=4)
    started = len(course.server.sent)
    assert len(results) == started
    assert started <= 5


def test_stop_skips_backoff_and_keeps_results() -> None:
    """A stop cuts a backoff short and keeps every result that is on its way."""

    def script(update: object, _: int) -> errors.TaskError | float:
        return errors.ServerError("x", 500) if getattr(update, "id", "") == "opp_2" else 0.5

    course = Course(script, max_attempts=50)
    course.slow_writer = 0.3
    course.stop_after = 3
    results = course.run(*(row(n) for n in range(1, 100)), workers=4)
    assert results[2].cut_short
    assert results[2].outcome is Outcome.UNCONFIRMED
    assert len(results) == len(set(course.server.sent))


@pytest.mark.parametrize(("seconds", "said"), [(1e6, ["1 request"]), (1.0, [])])
def test_endless_request_is_abandoned_after_drain(
    seconds: float, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A stop abandons a request that is still without an answer at the drain timeout, and says so.

    One that is answered by then is not mentioned.
    """
    course = Course(lambda update, _: seconds if update.id == "opp_2" else 0.1)
    course.drain_timeout = 2.0
    course.stop_after = 5
    results = course.run(*(row(n) for n in range(1, 100)), workers=3)
    assert (2 in results) is not bool(said)
    late = [f"{one} in flight did not end in 2 s" for one in said]
    assert [record.getMessage() for record in caplog.records] == late


def test_stop_does_not_wait_for_limiter() -> None:
    """A stop ends the lane at once while rows wait for a permit."""
    course = Course(lambda *_: 0.1)
    course.make_limiter = lambda: PermitWindow(RateLimit(1, 600))  # type: ignore[method-assign]
    course.stop_after = 1
    assert len(course.run(*(row(n) for n in range(1, 20)), workers=4)) == 1
    assert course.seconds < 1


def test_stop_does_not_wait_for_parked_rows() -> None:
    """A stop ends the lane without waiting for rows that are parked behind their task."""

    def script(*_: object) -> errors.TaskError | float:
        return errors.ServerError("x", 500) if len(course.server.sent) > 2 else 0.5

    course = Course(script)
    course.stop_after = 1
    course.drain_timeout = 100.0
    course.run(*(row(n, "same", title=str(n)) for n in range(1, 20)), workers=4)
    assert course.seconds < 50


def test_untaken_result_survives_the_stop() -> None:
    """A stop keeps a result that waits for the writer, even past the drain timeout."""
    course = Course(lambda *_: 0.1)
    course.slow_writer = 60.0
    course.drain_timeout = 1.0
    course.stop_after = 1
    results = course.run(*(row(n) for n in range(1, 20)), workers=4)
    assert len(results) == len(course.server.sent)


def test_limiter_hears_how_every_attempt_ended() -> None:
    """The limiter learns of every answer, and also of each attempt without one."""
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


def test_hour_long_429_stops_the_lane() -> None:
    """A 429 that asks for an hour stops the lane and names the time to come back."""
    course = Course(lambda *_: errors.RateLimitedError("x", 429))
    course.server.retry_after = 3600.0
    assert course.run(row(1), row(2)) == {}
    assert "come back at 2" in (course.stop.text or "")
    assert course.stop.reason is Reason.RATE_LIMITED


def test_one_always_failing_task_is_no_outage() -> None:
    """One task whose attempts all fail does not stop the rows of other tasks."""

    def script(update: TaskUpdate, _: int) -> errors.TaskError | None:
        return errors.ServerError("x", 500) if update.id == "bad" else None

    course = Course(script, max_attempts=1)
    rows = [row(n, "bad", title=str(n)) for n in range(1, 30)]
    assert len(course.run(*rows, *(row(n) for n in range(30, 60)))) == 59


def test_scattered_failures_are_no_outage() -> None:
    """Server errors for every tenth row start no outage and do not stop the lane."""
    course = Course(lambda u, _: errors.ServerError("x", 500) if u.id.endswith("7") else None,
                    max_attempts=1)  # fmt: skip
    assert len(course.run(*(row(n) for n in range(1, 400)))) == 399
    assert not course.stop.is_set


def test_mismatched_values_are_in_the_result() -> None:
    """A result names each value that came back different from the value sent."""
    course = Course(lambda *_: {"userId": "usr_z", "title": "T"})
    result = course.run(row(1, assigned_to="usr_b", title="T"))[1]
    assert result.outcome is Outcome.UPDATED
    assert result.mismatches is not None
    assert result.mismatches["userId"].returned == "usr_z"


def test_busy_task_never_slows_the_others() -> None:
    """A task with half of the rows makes the other rows less than a fifth slower."""
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


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (errors.BadRequestError("Bad team", 400), Outcome.FAILED),
        (errors.BadRequestError("Bad params", 422), Outcome.FAILED),
        (errors.NotFoundError("gone", 404), Outcome.FAILED),
        (errors.BadRequestError("proxy", 407), Outcome.UNCONFIRMED),
        (errors.BadRequestError("conflict", 409), Outcome.UNCONFIRMED),
        (errors.BadRequestError("law", 451), Outcome.UNCONFIRMED),
        (errors.RedirectError("portal", 302), Outcome.UNCONFIRMED),
        (errors.BlockedError("page", 403), Outcome.UNCONFIRMED),
    ],
)
def test_only_a_verdict_on_the_update_ends_a_doubt(
    verdict: errors.TaskError, outcome: Outcome
) -> None:
    """What a proxy refuses says nothing about the attempt before, which may have been applied."""
    course = Course(lambda _, n: errors.ServerError("x", 500) if n == 1 else verdict)
    assert course.run(row(1))[1].outcome is outcome


def test_result_is_written_however_long_that_takes() -> None:
    """A row that has its answer is not interrupted any more, also after the drain timeout."""
    course = Course(lambda *_: 0.1)
    course.slow_writer, course.drain_timeout = 5.0, 1.0

    async def meanwhile() -> None:
        await asyncio.sleep(0.5)
        course.stop.set("enough")

    course.meanwhile = meanwhile
    results = course.run(*(row(n) for n in range(1, 100)))
    assert len(results) == len(course.server.sent) == 8
