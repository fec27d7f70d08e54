"""What a lane does while its server is down: it waits, probes, and goes on or gives up."""

import asyncio
import itertools

import pytest

from bulkupdate import errors
from bulkupdate.engine.health import (
    BLOCKED_IN_A_ROW,
    FIRST_FAILURES,
    LONGEST_PROBE,
    OUTAGE_FAILURES,
    Health,
)
from bulkupdate.engine.permits import PermitWindow
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Outcome, Reason, TaskUpdate
from bulkupdate.stop import Stop
from tests.support.clock import run_virtual
from tests.support.course import Course
from tests.support.fakes import Script, row

DOWN = errors.ServerError("Service Unavailable", 503)
UNREACHED = errors.ConnectError("refused")


def now() -> float:
    """Virtual time, which begins at 1000."""
    return asyncio.get_running_loop().time() - 1000


def down_between(begin: float, end: float, error: errors.TaskError = DOWN) -> Script:
    """A server that takes 0.1 s for an answer, and gives none for a while."""
    return lambda *_: error if begin <= now() < end else 0.1


@pytest.mark.parametrize("error", [DOWN, UNREACHED, errors.RequestTimeoutError("no answer")])
@pytest.mark.parametrize("workers", [8, 16])
def test_outage_costs_time_but_no_row(error: errors.TaskError, workers: int) -> None:
    """An outage costs time and few extra requests, and every row is still updated."""
    course = Course(down_between(5, 65, error))
    results = course.run(*(row(n) for n in range(1, 1001)), workers=workers)
    assert {result.outcome for result in results.values()} == {Outcome.UPDATED}
    assert len(results) == 1000
    wasted = len(course.server.sent) - 1000
    assert OUTAGE_FAILURES <= wasted < OUTAGE_FAILURES + workers + 10
    assert course.seconds < 65 + LONGEST_PROBE + 0.1 * 1000 / workers


def test_outage_from_the_start_is_waited_out() -> None:
    """The lane waits for a server that is down from the start, and updates every row."""
    course = Course(down_between(0, 60))
    results = course.run(*(row(n) for n in range(1, 101)), workers=16)
    assert {result.outcome for result in results.values()} == {Outcome.UPDATED}
    assert len(course.server.sent) < 150


async def test_requests_that_are_blocked_in_a_row_stop_the_lane() -> None:
    """So many answers of a firewall stop it, from the first request on, and not one fewer."""
    stop, blocked = Stop(), errors.BlockedError("<html>", 403)
    health = Health(stop, 600)
    for _ in range(2):
        for number in range(BLOCKED_IN_A_ROW - 1):
            health.note(f"opp_{number}", blocked)
        assert not stop.is_set
        health.note("opp_x", None)
    for number in range(BLOCKED_IN_A_ROW):
        health.note(f"opp_{number}", blocked)
    assert stop.reason is Reason.SERVER_DOWN
    assert f"blocked {BLOCKED_IN_A_ROW} requests in a row" in (stop.text or "")


def test_probe_that_is_cancelled_leaves_its_turn() -> None:
    """A request that is cancelled while it waits for its probe keeps no other from probing."""

    async def main() -> None:
        health = Health(Stop(), 600)
        for number in range(OUTAGE_FAILURES):
            health.note(f"opp_{number}", DOWN)
        assert health.is_down
        waiting = asyncio.create_task(health.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(LONGEST_PROBE):
            assert await health.wait() is True

    run_virtual(main())


def test_late_answer_ends_an_outage_for_those_who_wait() -> None:
    """An answer from before an outage ends it, and the next outage is probed as the first was."""
    late = 25

    def script(update: TaskUpdate, _: int) -> errors.TaskError | float:
        if update.id == f"opp_{late}" and now() < 5:
            return 5.0
        return DOWN if 5 <= now() < 30 or 60 <= now() < 70 else 0.5

    course = Course(script)
    results = course.run(*(row(n) for n in range(1, 1001)), workers=25)
    assert {result.outcome for result in results.values()} == {Outcome.UPDATED}
    assert course.seconds < 120


def test_lane_gives_up_on_lasting_outage() -> None:
    """The lane gives up on a server that stays down, and leaves the rest unprocessed."""
    course = Course(down_between(5, 1e9), give_up_after=100)
    results = course.run(*(row(n) for n in range(1, 1001)), workers=10)
    updated = [r for r in results.values() if r.outcome is Outcome.UPDATED]
    in_doubt = [r for r in results.values() if r.outcome is Outcome.UNCONFIRMED]
    assert 400 < len(updated) < 600
    assert len(in_doubt) == 10
    assert all(result.cut_short for result in in_doubt)
    assert len(results) == len(updated) + len(in_doubt)
    assert course.stop.reason is Reason.SERVER_DOWN
    assert "no usable answer for 100 s: server_error: Service Unavailable" in (
        course.stop.text or ""
    )
    assert 104 < course.seconds < 110


def test_unreached_rows_get_no_result_after_outage() -> None:
    """Rows that never reached the server get no result when the lane gives it up."""
    course = Course(lambda *_: UNREACHED, give_up_after=20)
    assert course.run(*(row(n) for n in range(1, 1001))) == {}
    assert "no usable answer for 20 s: connection: refused" in (course.stop.text or "")


def test_giving_up_at_once_is_possible() -> None:
    """With a wait of 0 s the lane gives up at the first outage and settles no row."""
    course = Course(lambda *_: UNREACHED, give_up_after=0)
    assert course.run(*(row(n) for n in range(1, 1001))) == {}
    assert len(course.server.sent) <= OUTAGE_FAILURES + 16


def test_probes_go_singly_at_growing_intervals() -> None:
    """Probes go one at a time, at growing intervals, each with another row."""
    probes: list[tuple[float, str]] = []

    def script(update: TaskUpdate, _: int) -> errors.TaskError | float:
        if course.lane.health.is_down:
            assert course.server.in_flight == 1
            probes.append((now(), update.id))
        return DOWN if 5 <= now() < 400 else 0.1

    course = Course(script)
    course.run(*(row(n) for n in range(1, 1000)), workers=8)
    times = [at for at, _ in probes]
    gaps = [round(b - a) for a, b in itertools.pairwise(times)]
    assert gaps[:4] == [2, 4, 8, 16]
    assert set(gaps[4:]) == {30}
    assert len({task for _, task in probes[:8]}) > 5


def test_attempts_during_an_outage_are_excused() -> None:
    """An outage of 585 s takes more attempts than a row has, and still every row is updated."""
    course = Course(down_between(5, 590))
    results = course.run(*(row(n) for n in range(1, 301)), workers=5)
    assert {result.outcome for result in results.values()} == {Outcome.UPDATED}
    assert len(results) == 300
    attempts = [result.attempts for result in results.values()]
    assert max(attempts) > course.policy.max_attempts


@pytest.mark.parametrize(
    ("failures", "tasks", "is_down"),
    [(19, 5, False), (20, 5, True), (100, 4, False), (100, 5, True), (20, 20, True)],
)
def test_outage_is_twenty_failures_of_five_tasks(failures: int, tasks: int, is_down: bool) -> None:
    """The server counts as down after 20 failures in a row, if they are of five tasks or more."""

    async def main() -> bool:
        health = Health(Stop(), 600)
        for number in range(failures):
            assert not health.is_down or number >= OUTAGE_FAILURES
            health.note(f"opp_{number % tasks}", DOWN)
        return health.is_down

    assert run_virtual(main()) is is_down


def test_each_outage_needs_five_tasks_of_its_own() -> None:
    """The tasks that failed before the server answered again say nothing about a second outage."""

    async def main() -> list[bool]:
        health, downs = Health(Stop(), 600), list[bool]()
        for tasks in (5, 4, 5):
            for number in range(100):
                health.note(f"opp_{number % tasks}", DOWN)
            downs.append(health.is_down)
            health.note("opp_0", None)
        return downs

    assert run_virtual(main()) == [True, False, True]


@pytest.mark.slow
def test_second_outage_begins_with_short_intervals_again() -> None:
    """The intervals between the probes of a second outage do not go on from those of the first."""
    probes: list[float] = []

    def script(*_: object) -> errors.TaskError | float:
        if course.lane.health.is_down:
            probes.append(now())
        return DOWN if 5 <= now() < 200 or 300 <= now() < 400 else 0.1

    course = Course(script)
    course.run(*(row(n) for n in range(1, 20_000)), workers=8)
    for outage in ([at for at in probes if at < 250], [at for at in probes if at > 250]):
        gaps = [round(b - a) for a, b in itertools.pairwise(outage)]
        assert gaps[:4] == [2, 4, 8, 16]


def test_fifth_failure_of_the_first_row_starts_the_others() -> None:
    """The first row is tried alone until it has failed five times; then the other rows start."""
    course = Course(lambda u, _: DOWN if u.id == "opp_1" else 0.1)
    course.run(*(row(n) for n in range(1, 50)), workers=4)
    assert course.server.sent[:8] == ["opp_1"] * FIRST_FAILURES + ["opp_2", "opp_3", "opp_4"]


def test_lane_names_what_it_waits_for() -> None:
    """During an outage the lane names the error and how long the server has been down."""
    said: list[str | None] = []

    def script(*_: object) -> errors.TaskError | float:
        said.append(course.lane.waiting_for)
        return DOWN if now() < 60 else 0.1

    course = Course(script)
    course.run(*(row(n) for n in range(1, 50)))
    assert said[0] is None
    assert any("server down for" in (one or "") for one in said)
    assert any("server_error: Service Unavailable" in (one or "") for one in said)
    assert course.lane.waiting_for is None


def test_one_troublesome_task_is_no_outage() -> None:
    """One task that always gets a server error is no outage, and other rows are sent."""
    course = Course(lambda u, _: DOWN if u.id == "bad" else 0.1)
    results = course.run(row(1, "bad"), *(row(n) for n in range(2, 50)))
    assert results[1].outcome is Outcome.UNCONFIRMED
    assert results[1].attempts == 8
    assert len(results) == 49


def test_few_bad_last_rows_are_no_outage() -> None:
    """A few rows with server errors at the end of the file do not stop the lane."""
    course = Course(lambda u, _: DOWN if u.id.startswith("bad") else 0.1)
    rows = [*(row(n) for n in range(1, 50)), *(row(n, f"bad{n}") for n in range(50, 54))]
    results = course.run(*rows)
    assert len(results) == 53
    assert not course.stop.is_set


def test_failing_first_row_delays_no_other() -> None:
    """A first row that always gets a server error does not hold up the other rows."""
    course = Course(lambda u, _: DOWN if u.id == "opp_1" else 0.1)
    results = course.run(*(row(n) for n in range(1, 50)), workers=16)
    assert results[1].outcome is Outcome.UNCONFIRMED
    assert sum(result.outcome is Outcome.UPDATED for result in results.values()) == 48


def test_refused_key_ends_outage_and_run() -> None:
    """A refused key ends an outage and stops the lane after one such answer."""
    wrong = errors.UnauthorizedError("no", 401)
    course = Course(lambda *_: DOWN if now() < 60 else wrong)
    results = course.run(*(row(n) for n in range(1, 1001)), workers=16)
    assert "unauthorized" in (course.stop.text or "")
    assert sum(result.status == 401 for result in results.values()) == 1


def test_throttling_is_not_an_outage() -> None:
    """Many answers with status 429 start no outage, and every row gets its result."""
    course = Course(lambda _, n: errors.RateLimitedError("x", 429) if n < 3 else None)
    assert len(course.run(*(row(n) for n in range(1, 200)))) == 199
    assert course.lane.health.waiting_for is None


def test_stop_during_outage_skips_the_probe() -> None:
    """A stop during an outage ends the lane at once, without waiting for a probe."""
    course = Course(down_between(5, 1e9), give_up_after=1e6)

    async def stop_later() -> None:
        await asyncio.sleep(100)
        course.stop.set("enough")

    course.meanwhile = stop_later
    results = course.run(*(row(n) for n in range(1, 1001)), workers=6)
    assert 100 <= course.seconds < 101
    in_doubt = [r for r in results.values() if r.outcome is Outcome.UNCONFIRMED]
    assert len(in_doubt) == 6
    assert all(result.cut_short for result in in_doubt)


def test_requests_awaiting_permits_are_held_back_too() -> None:
    """An outage also holds back the requests that wait for a permit when it begins."""
    sent_while_down: list[float] = []

    def script(*_: object) -> errors.TaskError | float:
        if course.lane.health.is_down:
            sent_while_down.append(now())
        return DOWN if now() < 60 else 0.1

    course = Course(script)
    course.make_limiter = lambda: PermitWindow(RateLimit(10, 10))  # type: ignore[method-assign]
    course.run(*(row(n) for n in range(1, 40)), workers=16)
    gaps = [round(b - a) for a, b in itertools.pairwise(sent_while_down)]
    assert gaps
    assert min(gaps) >= 2


def test_recovery_wakes_every_waiting_row() -> None:
    """An answer to any request shows that the server is back and wakes every row that waits."""

    def script(update: TaskUpdate, _: int) -> errors.TaskError | float:
        if update.id == "opp_2":
            return 29.0
        return DOWN if 0 < now() < 28 and update.id != "opp_1" else 0.1

    course = Course(script)
    course.run(*(row(n) for n in range(1, 60)), workers=16)
    assert course.seconds < 30
