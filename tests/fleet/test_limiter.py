"""The shared limiter: hosts that ask one database stay within one key's limit together."""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from bulkupdate.context import CONNECT_LATE, START_UNTIL, PermitExpiredError
from bulkupdate.errors import NoPermitError, WaitTooLongError
from bulkupdate.fleet import limiter
from bulkupdate.fleet.database import Database
from bulkupdate.fleet.dsn import Dsn
from bulkupdate.fleet.limiter import (
    Course,
    LeaseLostError,
    SharedLimiter,
    SharedLimits,
)
from bulkupdate.fleet.queue import Lease, Queue
from bulkupdate.lemlist.accounts import Account
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import RateLimit
from tests.support.postgres import Postgres

KEY = "key-of-the-tests-1"
ACCOUNT = Account.only(Endpoint(api_key=KEY, base_url="http://127.0.0.1:1/api"))

#: A limit of which no test waits for a slot.
FAST = 1000


def answer(status: int = 200, **headers: str) -> Answer[Any]:
    """An answer of the server with these headers."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        status, {"X-RateLimit-Limit": str(FAST), **names}, value="" if status < 400 else None
    )


def fast(clock: limiter.Clock | None = None) -> Course:
    """What is learned from an answer that announces a high limit."""
    course = Course(clock or limiter.Clock())
    course.share.follow(FAST, 0)
    return course


def limiter_in(
    database: Database, lease: Lease | None = None, run: int | None = None, **settings: Any
) -> SharedLimiter:
    """The limiter of another host."""
    limits = SharedLimits(database, **settings)
    return SharedLimiter(limits, ACCOUNT, fast(limits.clock), lease, run)


async def settled(database: Database) -> None:
    """Make the database one that was started long ago: the first slot of a key comes at once."""
    await limiter_in(database).start()


async def moved(database: Database, **columns: str) -> None:
    """Change the row of the key."""
    for name, value in columns.items():
        await database.rows(f"UPDATE bulkupdate_limits SET {name} = {value}")  # noqa: S608


async def taken(database: Database) -> float:
    """The time that the slots of the last statement take, in seconds."""
    ((seconds,),) = await database.rows(
        "SELECT extract(epoch FROM next - first)::float8 FROM bulkupdate_limits"
    )
    return float(seconds)


@pytest.mark.slow
async def test_slots_of_several_hosts_are_evenly_spread(database: Database) -> None:
    """Requests of three hosts start one after the other, 5 % slower than the limit."""
    await settled(database)
    hosts = [limiter_in(database) for _ in range(3)]
    starts: list[float] = []

    async def work(host: SharedLimiter) -> None:
        for _ in range(20):
            async with host.permit():
                starts.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(work(host) for host in hosts for _ in range(2)))
    step = (await hosts[0]._statement()).step
    assert step == pytest.approx(2.1 / FAST)
    # 120 requests take 119 steps at least. The first may come late: by 0.1 s at most.
    assert max(starts) - min(starts) >= 119 * step - 0.1


@pytest.mark.slow
async def test_host_that_knows_what_is_left_takes_a_few_slots(database: Database) -> None:
    """Where it is known how many requests are left, a statement takes four, and no more."""
    await settled(database)
    host = limiter_in(database)
    host.left = 6
    await host.start()
    assert await taken(database) == pytest.approx(4 * 2.1 / FAST, rel=0.01)
    for _ in range(5):
        await host.start()
    assert await taken(database) == pytest.approx(2 * 2.1 / FAST, rel=0.01)


async def test_host_that_is_in_time_takes_a_few_slots(database: Database) -> None:
    """One that has used each of its slots takes a few at once, although one request waits.

    Others that know how much is left for them do so too, and hosts share alike.
    """
    await settled(database)
    host = limiter_in(database)
    for _ in range(32):
        await host.start()
    assert await taken(database) == pytest.approx(host._step, abs=0.001)
    for _ in range(3):
        await host.start()
    assert await taken(database) == pytest.approx(4 * host._step, abs=0.001)


async def test_429_pauses_every_host(database: Database) -> None:
    """After a 429 of one host, another one waits too, and slots are wider."""
    await settled(database)
    one, other = limiter_in(database), limiter_in(database)
    before = await one._statement()
    await one.end(await one.start(), answer(429, Retry_After="1.5"))
    after = await other._statement()
    assert 1.2 < after.wait <= 1.5 + before.wait + 0.1
    assert after.step == pytest.approx(1.18 * before.step, rel=0.01)
    assert one.waiting_for is not None
    assert "rate limited" in one.waiting_for


async def test_second_429_of_a_period_widens_slots_no_further(database: Database) -> None:
    """Several 429s in one period have one cause, and count once."""
    await settled(database)
    hosts = [limiter_in(database) for _ in range(3)]
    for host in hosts:
        await host._statement()
        started = asyncio.get_running_loop().time()
        await host.end(started, answer(429, Retry_After="0.01"))
    (row,) = await database.rows("SELECT slowed FROM bulkupdate_limits")
    assert row[0] == pytest.approx(1.18, rel=0.01)


async def test_long_wait_ends_a_run(database: Database) -> None:
    """A wait of more than five minutes is given up, on the host that was told and on others."""
    await settled(database)
    one, other = limiter_in(database), limiter_in(database)
    await one._statement()
    await one.end(0.0, answer(429, Retry_After="400"))
    with pytest.raises(WaitTooLongError):
        await one.start()
    with pytest.raises(WaitTooLongError):
        await other.start()


async def test_late_slot_is_thrown_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped does not use the slots that it had: it asks again."""
    await settled(database)
    host = limiter_in(database)
    host.left = 4
    await host.start()
    held = [slot.at for slot in host._slots]
    assert len(held) == 3
    real = host._now
    late = host._course.late + 0.01
    monkeypatch.setattr(host, "_now", lambda: real() + late)
    asked = [slot.given for slot in host._slots]
    await host.start()
    assert all(slot.given > max(asked) for slot in host._slots)
    assert not {slot.at for slot in host._slots} & set(held)


async def test_request_may_be_late_by_a_part_of_the_margin() -> None:
    """How late a request may start, and how unequally requests arrive, fit into the margin."""
    course = fast()
    assert course.late == pytest.approx(0.1 / 2)
    course.trips.extend([0.02] * 30 + [0.08] * 34)
    assert course.late == pytest.approx(0.1 - 0.06)
    course.trips.extend([0.02] * 30 + [0.22] * 34)
    assert course.late == pytest.approx(0.03)
    assert course.step * FAST == pytest.approx(2 + 0.2 + 0.03)


async def test_permit_expires_when_its_request_would_be_late(database: Database) -> None:
    """A request that starts later than its slot allows is not sent, and needs another slot."""
    await settled(database)
    host = limiter_in(database)
    host.left = 1
    with contextlib.suppress(PermitExpiredError):
        async with host.permit():
            assert 0 < START_UNTIL.get() - time.monotonic() < host._course.late
            raise PermitExpiredError
    assert START_UNTIL.get() == math.inf
    assert host.left == 1


async def test_permit_of_a_far_slot_expires_too(database: Database) -> None:
    """A slot that was given long before is for a request that starts in time, as any other."""
    await settled(database)
    await moved(database, next="clock_timestamp() + interval '0.8 s'")
    host = limiter_in(database)
    async with host.permit():
        assert 0 < START_UNTIL.get() - time.monotonic() < host._course.late
        assert CONNECT_LATE.get() == 0


@pytest.mark.slow
async def test_connection_may_be_slow_where_none_stays_open(database: Database) -> None:
    """Where slots are farther apart than connections stay open, each request needs a new one."""
    await settled(database)
    await moved(database, next="clock_timestamp() + interval '4.2 s'")
    async with limiter_in(database).permit():
        assert CONNECT_LATE.get() == 1
    assert CONNECT_LATE.get() == 0


async def test_database_far_away_makes_slots_wider(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that can't be compared well needs room too. Requests start all the same."""
    await settled(database)
    near = database.row

    async def far(*arguments: Any) -> Any:
        await asyncio.sleep(0.1)
        found = await near(*arguments)
        await asyncio.sleep(0.1)
        return found

    monkeypatch.setattr(database, "row", far)
    host = limiter_in(database)
    async with asyncio.timeout(10):
        await host.start()
        await host.start()
    assert host._limits.clock.width == pytest.approx(0.2, abs=0.05)
    assert host._course.late == pytest.approx(0.03)
    assert host._course.step * FAST == pytest.approx(2 + 0.2 + 0.03, abs=0.05)


async def test_expired_permit_counts_in_no_ceiling(database: Database) -> None:
    """A host with a ceiling waits for it after a request, and not where none was sent."""
    await settled(database)
    host = limiter_in(database, rate=RateLimit(1, 60.0))
    permits = 0
    for _ in range(3):
        with contextlib.suppress(PermitExpiredError):
            async with asyncio.timeout(5), host.permit():
                permits += 1
                raise PermitExpiredError
    assert permits == 3


async def test_slots_that_come_late_are_not_used(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was held up tells of slots that are over, although nothing else tells when."""
    await settled(database)
    host, near, asked = limiter_in(database), database.row, list[int]()

    async def held_up(*arguments: Any) -> Any:
        found = await near(*arguments)
        if not asked:
            await asyncio.sleep(0.3)
        asked.append(1)
        return found

    host._course.key = await host._limits.key_of(ACCOUNT)
    monkeypatch.setattr(database, "row", held_up)
    await host.start()
    assert len(asked) == 2


async def test_slots_of_before_a_sleep_of_the_machine_are_not_used(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a laptop sleeps, the loop's clock stands still, and the other one goes on."""
    await settled(database)
    host = limiter_in(database)
    host.left = 4
    await host.start()
    held = {slot.at for slot in host._slots}
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 3600)
    await host.start()
    assert len(held) == 3
    assert not {slot.at for slot in host._slots} & held


def test_slow_statement_makes_no_slot_earlier_or_later() -> None:
    """The clocks are compared by statements that were fast: a slow one tells less."""
    clock = limiter.Clock()
    clock.note(10.0, 100.0, 10.002)
    clock.note(20.0, 110.001, 22.5)
    assert clock.earliest(120.0) == pytest.approx(30.0)
    assert clock.latest(120.0) == pytest.approx(30.002)
    # The database's clock was set an hour ahead.
    clock.note(40.0, 3730.0, 40.004)
    assert clock.earliest(3740.0) == pytest.approx(50.0)


@pytest.mark.slow
async def test_far_slot_is_confirmed_before_it_is_used(database: Database) -> None:
    """A slot that was given seconds before is not used if a 429 came in between."""
    await settled(database)
    await moved(database, next="clock_timestamp() + interval '1.5 s'")
    host = limiter_in(database)
    waiting = asyncio.create_task(host.start())
    while not host._wait:
        await asyncio.sleep(0.005)
    await moved(database, held_until="clock_timestamp() + interval '2 s'")
    began = asyncio.get_running_loop().time()
    await waiting
    assert asyncio.get_running_loop().time() - began > 1.8


async def test_slot_far_ahead_is_cut_back(database: Database) -> None:
    """A slot hours ahead does not count, as after a change of the server's clock."""
    await settled(database)
    await moved(database, next="now() + interval '3 hours'")
    assert (await limiter_in(database)._statement()).wait < 1
    await moved(database, next="now() + interval '50 s'")
    assert (await limiter_in(database)._statement()).wait > 49


async def test_429_far_ahead_is_kept(database: Database) -> None:
    """A 429 that asks for hours is no mistake of a clock."""
    await settled(database)
    await moved(database, held_until="now() + interval '3 hours'")
    found = [await limiter_in(database)._statement() for _ in range(2)]
    assert min(one.wait for one in found) > 10_000
    # Who comes later gets a later slot all the same.
    assert found[1].first > found[0].first


async def test_another_server_gives_its_first_slot_a_period_later(database: Database) -> None:
    """A database that was restarted may have lost slots: those no longer count by then."""
    await settled(database)
    await moved(database, server="server - interval '1 day'", next="now() - interval '1 hour'")
    assert (await limiter_in(database)._statement()).wait == pytest.approx(2.6, abs=0.1)
    assert (await limiter_in(database)._statement()).wait == pytest.approx(2.6, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [Postgres.restart, Postgres.crash])
async def test_restart_of_the_database_is_waited_for(
    trouble: Callable[[Postgres], None], postgres: Postgres, dsn: Dsn
) -> None:
    """While the database restarts, requests wait, and the first one comes a period after.

    So it is if one of its processes crashes, and it recovers.
    """
    async with Database(dsn) as database:
        host = limiter_in(database)
        await host.start()
        ((began,),) = await database.rows("SELECT clock_timestamp()")
        await asyncio.to_thread(trouble, postgres)
        await host.start()
        ((age,),) = await database.rows(
            "SELECT extract(epoch FROM clock_timestamp() - %s)::float8", [began]
        )
        assert age >= 2.6


@pytest.mark.slow
async def test_without_a_database_nobody_sends() -> None:
    """A database that is not there is waited for, as an outage is, and then there is no permit."""
    nowhere = Dsn("postgresql://tests:secret-password@127.0.0.1:1/none")
    async with Database(nowhere) as database:
        host = limiter_in(database, give_up_after=0.0)
        with pytest.raises(NoPermitError, match="no shared limit") as caught:
            await host.start()
        assert "secret-password" not in str(caught.value)
        assert host.waiting_for is not None


async def test_missing_tables_end_a_run(postgres: Postgres) -> None:
    """A database without tables is no outage: the message names the command that makes them."""
    async with Database(Dsn(postgres.new())) as database:
        with pytest.raises(NoPermitError, match="fleet init"):
            await limiter_in(database).start()


async def test_ceiling_holds_for_this_host(database: Database) -> None:
    """A host with a ceiling takes fewer slots than it could."""
    await settled(database)
    host = limiter_in(database, rate=RateLimit(50, 1.0))
    starts = [await host.start() for _ in range(4)]
    assert min(b - a for a, b in itertools.pairwise(starts)) >= 0.0199
    assert host.allowed == 50


async def test_keys_have_limits_of_their_own(database: Database) -> None:
    """Another key, and the same key at another server, have a limit of their own."""
    await settled(database)
    others = [
        Endpoint(api_key="another-key-2", base_url="http://127.0.0.1:1/api"),
        Endpoint(api_key=KEY, base_url="http://127.0.0.1:2/api"),
    ]
    for endpoint in others:
        limits = SharedLimits(database)
        await SharedLimiter(limits, Account.only(endpoint), fast()).start()
    keys = [bytes(row[0]) for row in await database.rows("SELECT key FROM bulkupdate_limits")]
    assert len(set(keys)) == 3
    assert not any(KEY.encode() in key for key in keys)


async def test_lower_limit_is_followed_by_the_host_that_is_told(database: Database) -> None:
    """A server that announces another limit has its slots at that distance."""
    await settled(database)
    host = limiter_in(database)
    await host.end(await host.start(), answer(X_RateLimit_Limit="10"))
    assert (await host._statement()).step == pytest.approx(2.1 / 10)


async def test_unequal_answers_widen_slots(database: Database) -> None:
    """Where requests take unequally long, more of them may arrive in one period than started."""
    host = limiter_in(database)
    for _ in range(30):
        await host.end(host._now() - 0.05, answer())
    narrow = host._course.step
    for _ in range(30):
        await host.end(host._now() - 0.4, answer())
    assert narrow == pytest.approx(2.1 / FAST, rel=0.01)
    assert host._course.step == pytest.approx(2.38 / FAST, rel=0.02)


async def test_job_of_another_worker_gets_no_slot(database: Database) -> None:
    """A worker whose job was given to another one has no permit any more."""
    await settled(database)
    queue = Queue(database)
    worker = await queue.register("one", 30.0)
    await queue.defer(["bulkupdate-team"])
    job = await queue.fetch(["bulkupdate-team"], worker)
    assert job is not None
    assert job.id is not None
    lease = Lease(job.id, job.attempts, worker)
    assert await limiter_in(database, lease).start()
    assert await queue.reap(worker, [], 30.0)
    with pytest.raises(LeaseLostError, match="another worker"):
        await limiter_in(database, lease).start()
    # It may be this very worker that takes it again: in another attempt.
    again = await queue.fetch(["bulkupdate-team"], worker)
    assert again is not None
    with pytest.raises(LeaseLostError, match="another worker"):
        await limiter_in(database, lease).start()
    assert await limiter_in(database, lease._replace(attempt=again.attempts)).start()


async def test_cancelled_run_gets_no_slot(database: Database) -> None:
    """The permit asks whether the run is cancelled, so that its requests end everywhere."""
    await settled(database)
    queue = Queue(database)
    worker = await queue.register("one", 30.0)
    await queue.defer(["bulkupdate-team"])
    job = await queue.fetch(["bulkupdate-team"], worker)
    assert job is not None
    (row,) = await database.rows(
        "INSERT INTO bulkupdate_runs (format, version, input, rows, settings, cancelled)"
        " VALUES (1, '', '', 1, '', now()) RETURNING id"
    )
    assert job.id is not None
    lease = Lease(job.id, job.attempts, worker)
    assert await limiter_in(database, lease).start()
    with pytest.raises(LeaseLostError, match="cancelled"):
        await limiter_in(database, lease, row[0]).start()


async def test_cancelled_waiter_blocks_no_other(database: Database) -> None:
    """A request that is cancelled while it waits leaves its turn to the next one."""
    await settled(database)
    await moved(database, held_until="clock_timestamp() + interval '0.05 s'")
    host = limiter_in(database)
    first = asyncio.create_task(host.start())
    second = asyncio.create_task(host.start())
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second
    assert first.cancelled()
