"""Submitting, working and collecting: what a fleet does beyond what every executor does."""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bulkupdate.errors import ConfigError, InputError, RunDirectoryError, RunStoppedError
from bulkupdate.fleet import (
    Database,
    DatabaseError,
    Dsn,
    Worker,
    WorkerConfig,
    cancel,
    collect,
    forget,
    init,
    retry,
    runs_of,
    submit,
    teams,
    workers_of,
)
from bulkupdate.fleet.chunks import MOST_TRIES
from bulkupdate.fleet.lines import run_lines, status_lines, waiting_lines
from bulkupdate.fleet.queue import Queue, queue_of
from bulkupdate.fleet.teams import NO_KEY, note_members
from bulkupdate.journal import RunFiles
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.endpoint import ApiKey
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Reason
from bulkupdate.plan import Preview
from bulkupdate.reader import ReadOptions
from bulkupdate.report.changes import changed_tasks
from bulkupdate.sandbox import Member, Unknown
from bulkupdate.sandbox.server import Seen
from bulkupdate.session.observer import Observer
from bulkupdate.session.settings import ChangeLimit, RunConfig
from bulkupdate.session.undo import undo_run
from bulkupdate.stop import Stop
from tests.executors.executors import ended, registered
from tests.fleet.working import FAST, config_of, died_at, rows_of, working
from tests.support.accounts import ManyAccounts
from tests.support.postgres import Postgres

Write = Callable[..., Path]

#: Each test waits for a worker, and some for a database.
pytestmark = pytest.mark.slow

# --- submitting -------------------------------------------------------------------------------


async def test_nothing_is_submitted_for_an_unknown_account(
    database: Database, write: Write
) -> None:
    """An account whose key no worker has had is refused, with what to do; nothing is left."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many:
        with pytest.raises(ConfigError, match="no worker has had the key of 1 account yet"):
            await submit(config_of(many, path), database)
    assert await runs_of(database) == []
    assert await database.rows("SELECT 1 FROM bulkupdate_runs") == []


async def test_invalid_rows_refuse_a_file(database: Database, write: Write) -> None:
    """As `run` does, a file with an invalid row is refused before anything is written."""
    path = write("a.csv", "account,id,priority", "a,t1,high", "a,t2,enormous")
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        with pytest.raises(InputError, match="1 invalid row: nothing was submitted"):
            await submit(config_of(many, path), database)
    assert await runs_of(database) == []


async def test_expectations_without_compare_are_refused(database: Database, write: Write) -> None:
    """A file with expectations needs `compare`, as with `run`."""
    path = write("a.csv", "account,id,title,expect.title", "a,t1,A,B")
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        with pytest.raises(InputError, match="compare"):
            await submit(config_of(many, path), database)


async def test_run_of_a_killed_submitter_does_not_count(database: Database, write: Write) -> None:
    """What a submitter leaves that was killed in the middle is nobody's work, and is removed."""
    await database.rows(
        "INSERT INTO bulkupdate_runs (format, version, input, rows, settings)"
        " VALUES (1, '', 'left.csv', 1, '')"
    )
    assert await runs_of(database) == []
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        await ended(database, submitted.run)
    rows = await database.rows("SELECT input FROM bulkupdate_runs")
    assert [Path(row[0]).name for row in rows] == ["a.csv"]


async def test_run_that_is_being_submitted_is_left_alone(database: Database, write: Write) -> None:
    """Another submitter that still writes keeps its run."""
    path = write("a.csv", *rows_of(3))
    async with Database(database.dsn) as other, other.connection(None) as connection:
        await connection.execute(
            "WITH run AS (INSERT INTO bulkupdate_runs (format, version, input, rows, settings)"
            " VALUES (1, '', 'under way', 1, '') RETURNING id)"
            " SELECT pg_advisory_lock(7250113, hashint8(id)) FROM run"
        )
        async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
            await submit(config_of(many, path), database)
        assert len(await database.rows("SELECT 1 FROM bulkupdate_runs")) == 2


async def test_input_that_is_edited_meanwhile_is_refused(
    database: Database, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is written to while it is submitted leaves nothing in the database."""
    path = write("a.csv", *rows_of(3))
    from bulkupdate.fleet import submission as module

    real = module._Writing.write_rows

    async def edited(self: Any, *args: Any, **kwargs: Any) -> None:
        await real(self, *args, **kwargs)
        path.write_text(path.read_text() + "a,t9,T9\n")

    monkeypatch.setattr(module._Writing, "write_rows", edited)
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        with pytest.raises(InputError, match="written to"):
            await submit(config_of(many, path), database)
    assert await database.rows("SELECT 1 FROM bulkupdate_runs") == []


# --- working ----------------------------------------------------------------------------------


async def test_runs_of_a_team_are_sent_one_after_the_other(
    database: Database, write: Write
) -> None:
    """A run that was submitted later is sent later, as far as a team is concerned."""
    first, second = write("a.csv", *rows_of(40)), write("b.csv", *rows_of(40))
    second.write_text(second.read_text().replace(",T", ",U"))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass  # Its teams are known now.
        runs = [await submit(config_of(many, path), database) for path in (first, second)]
        waiting = [run.parts[0].why_waiting for run in await runs_of(database)]
        assert waiting == ["no worker is there"] * 2
        await Queue(database).register("another", 600.0)
        first_run, _ = await runs_of(database)
        assert first_run.parts[0].why_waiting == "no worker has its key now"
        await database.rows(
            "INSERT INTO bulkupdate_members SELECT id, queue"
            " FROM bulkupdate_workers, bulkupdate_accounts"
        )
        first_run, other = await runs_of(database)
        why = f"run {first_run.id} is of the same team, and comes first"
        assert [run.parts[0].why_waiting for run in (first_run, other)] == [None, why]
        assert [*status_lines([first_run, other], [])][2].endswith(f"queued: a: {why}")
        assert [*run_lines(other)][-1].endswith(why)
        async with working(database, many), working(database, many):
            for one in runs:
                await ended(database, one.run)
        titles = [seen.applied["title"] for seen in many.seen if seen.applied]
    assert [title[0] for title in titles] == ["T"] * 40 + ["U"] * 40


async def test_closed_route_of_the_team_is_no_obstacle(database: Database, write: Write) -> None:
    """Where the team can't be read, the key stands for it; another key gets no job."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST, closed={"team": 402}) as many:
        async with working(database, many):
            submitted = await submit(config_of(many, path), database)
            await ended(database, submitted.run)
        summary = await collect(database, submitted.run, "edits.run")
    assert summary.counts["updated"] == 3
    assert summary.accounts["a"].team is None
    rows = await database.rows("SELECT team FROM bulkupdate_accounts")
    assert rows[0][0].startswith("key-")


async def test_another_team_under_a_name_gets_no_job(database: Database, write: Write) -> None:
    """A worker that knows an account's name as another team's takes no row of the first one."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        submitted = await submit(config_of(many, path), database)
        first = many["a"].team.id
        many["a"].team.id = "tea_another"
        async with working(database, many):
            while len(await database.rows("SELECT 1 FROM bulkupdate_accounts")) < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            (run,) = await runs_of(database, submitted.run)
            assert run.counts["unprocessed"] == 3
            (run,) = await runs_of(database, submitted.run)
            assert run.parts[0].trouble == "no worker has its key now"
        many["a"].team.id = first
        async with working(database, many):
            await ended(database, submitted.run)
        assert len(many.titles()["a"]) == 3


async def test_name_of_several_teams_needs_the_key(database: Database, write: Write) -> None:
    """Where workers know a name as two teams, the submitter's key says which one is meant."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a", "b"], rate=FAST) as many:
        for name in ("a", "b"):
            endpoint = many.endpoints[name]
            stop = Stop()
            worker = Worker(
                database, Accounts.of({"a": endpoint}).values(), WorkerConfig(lease=1), stop
            )
            running = asyncio.create_task(worker.run())
            wanted = 1 if name == "a" else 2
            while len(await database.rows("SELECT 1 FROM bulkupdate_accounts")) < wanted:
                await asyncio.sleep(0.01)
            stop.set("known")
            await running
        nobody = Accounts.of({"a": replace(many.endpoints["a"], api_key=NO_KEY)})
        with pytest.raises(ConfigError, match="means several teams"):
            await submit(RunConfig(input=path, accounts=nobody), database)
        submitted = await submit(config_of(many, path), database)
        (part,) = (await runs_of(database, submitted.run))[0].parts[:1]
        assert part.team == many["a"].team.id


@pytest.mark.parametrize("closed", [{}, {"team": 402}], ids=["open", "closed"])
async def test_submitter_with_the_key_of_another_team_is_refused(
    database: Database, write: Write, closed: dict[str, int]
) -> None:
    """What a key of one team is given for never goes out with the key of another one."""
    path = write("a.csv", "id,title", "t1,T1")
    async with ManyAccounts(["a", "b"], rate=FAST, closed=closed) as many:
        stop = Stop()
        own = Account.only(many.endpoints["a"])
        worker = Worker(database, [own], WorkerConfig(lease=1), stop)
        running = asyncio.create_task(worker.run())
        await registered(database, 1, [running])
        says = "can't be told, and workers have another key" if closed else "its key is of tea_"
        with pytest.raises(ConfigError, match=says):
            await submit(RunConfig(input=path, endpoint=many.endpoints["b"]), database)
        submitted = await submit(RunConfig(input=path, endpoint=many.endpoints["a"]), database)
        await ended(database, submitted.run)
        stop.set("the test has ended")
        await running
        assert (list(many.titles()["a"]), list(many.titles()["b"])) == (["t1"], [])


async def test_read_only_account_is_refused(database: Database, write: Write) -> None:
    """As `run` does, an account that may only be read in the submitter's file is refused."""
    path = write("a.csv", *rows_of(3))
    file = write("accounts.toml", "[a]", 'api_key_env = "A"', "read_only = true")
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        accounts = Accounts.load(file, environ={}, base_url=many.sandbox.base_url)
        with pytest.raises(ConfigError, match="read_only"):
            await submit(RunConfig(input=path, accounts=accounts), database)


async def test_account_of_all_rows(database: Database, write: Write) -> None:
    """Rows of a file without a column `account` are of the account that is given."""
    path = write("a.csv", "id,title", "t1,A")
    async with ManyAccounts(["a", "b"], rate=FAST) as many, working(database, many):
        submitted = await submit(config_of(many, path, account="b"), database)
        summary = await collect(database, submitted.run, "edits.run", follow=True)
        assert many.titles() == {"a": {}, "b": {"t1": "A"}}
    assert summary.accounts["b"].counts["updated"] == 1


async def test_finished_run_has_nothing_to_retry(database: Database, write: Write) -> None:
    """A run of which nothing is left stays as it is."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        await ended(database, submitted.run)
        for failed in (False, True):
            with pytest.raises(ConfigError, match="nothing of it is left"):
                await retry(database, submitted.run, failed=failed)
        assert (await runs_of(database, submitted.run))[0].state == "finished"


async def logged(caplog: pytest.LogCaptureFixture, end: str) -> None:
    """Wait for a message that ends so."""
    while not any(record.getMessage().endswith(end) for record in caplog.records):
        await asyncio.sleep(0.01)


async def test_database_that_restarts_is_waited_for(
    postgres: Postgres, database: Database, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Workers and those who wait for results go on when the database is there again, and say so."""
    path = write("a.csv", *rows_of(60))
    async with ManyAccounts(["a"], rate=RateLimit(100, 2.0)) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        collecting = asyncio.create_task(collect(database, submitted.run, "edits.run", follow=True))
        while len(many.titles()["a"]) < 5:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(postgres.stop)
        await logged(caplog, ": waiting for it")
        await asyncio.to_thread(postgres.start)
        await logged(caplog, "the database is there again")
        summary = await collecting
    assert summary.counts["updated"] == 60


async def test_worker_gives_up_a_database_that_stays_away(
    postgres: Postgres, database: Database
) -> None:
    """A worker that can't reach its database for too long ends, and says why."""
    async with ManyAccounts(["a"], rate=FAST) as many:
        config = WorkerConfig(lease=0.5, give_up_after=0.2, drain_timeout=1)
        worker = Worker(database, many.accounts.values(), config, Stop())
        running = asyncio.create_task(worker.run())
        await registered(database, 1, [running])
        await asyncio.to_thread(postgres.stop)
        try:
            with pytest.raises(DatabaseError, match="database"):
                async with asyncio.timeout(20):
                    await running
        finally:
            await asyncio.to_thread(postgres.start)


async def test_read_only_accounts_are_not_worked_for(database: Database, tmp_path: Path) -> None:
    """A worker sends nothing for an account that may only be read."""
    path = tmp_path / "accounts.toml"
    path.write_text('[a]\napi_key_env = "A"\nread_only = true\n')
    accounts = Accounts.load(path, environ={"A": "key-of-a"})
    worker = Worker(database, accounts.values(), WorkerConfig(), Stop())
    with pytest.raises(ConfigError, match="read_only"):
        await worker.run()


async def test_worker_that_is_silent_is_named(database: Database, write: Write) -> None:
    """A run whose worker was killed is not shown as under way, whatever that had said last."""
    path = write("a.csv", *rows_of(60))
    async with ManyAccounts(["a"], rate=RateLimit(20, 2.0)) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        while len(many.seen) < 5:
            await asyncio.sleep(0.01)
        (run,) = await runs_of(database)
        assert run.parts[0].is_worked_on
        assert run.parts[0].why_waiting is None
        async with asyncio.timeout(10):
            # It lives, and may give a heartbeat in between. After 20 leases it would be forgotten.
            while run.parts[0].silent is None:
                await database.rows(
                    "WITH silent AS (UPDATE procrastinate_workers"
                    " SET last_heartbeat = now() - interval '10 s')"
                    " UPDATE bulkupdate_parts SET waiting_for = 'the server'"
                )
                (run,) = await runs_of(database)
        assert (run.parts[0].why_waiting or "").startswith("its worker is silent for 1")
        assert "its worker is silent" in [*status_lines([run], [])][1]
        await ended(database, submitted.run)


async def test_run_without_any_worker_says_so(
    database: Database, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether its workers have drained or were killed, a run that nobody can go on with says so."""
    path = write("a.csv", *rows_of(60))
    async with ManyAccounts(["a"], rate=RateLimit(20, 2.0)) as many:
        async with working(database, many):
            submitted = await submit(config_of(many, path), database)
            while len(many.seen) < 5:
                await asyncio.sleep(0.01)
        for change in (None, "UPDATE procrastinate_workers SET last_heartbeat = '2026-01-01'"):
            if change is not None:
                await Queue(database).register("killed", 0.01)
                await database.rows(change)
            (run,) = await runs_of(database, submitted.run)
            assert run.parts[0].why_waiting == "no worker is there"
            lines = [*status_lines([run], await workers_of(database))]
            assert lines[1].endswith("running: a: no worker is there")
            assert lines[2] == "no worker is there: bulkupdate fleet worker"
        stop = Stop()
        collecting = asyncio.create_task(
            collect(database, submitted.run, "edits.run", follow=True, stop=stop)
        )
        while "waits" not in caplog.text:
            await asyncio.sleep(0.01)
        stop.set("enough")
        with contextlib.suppress(RunStoppedError):  # Nothing may have been written yet.
            await collecting
        assert f"run {submitted.run} waits: a: no worker is there" in caplog.text


async def test_stopped_worker_gives_its_jobs_back(database: Database, write: Write) -> None:
    """SIGTERM drains: what is in flight ends, another worker goes on, and no row is sent twice."""
    path = write("a.csv", *rows_of(60))
    async with ManyAccounts(["a"], rate=RateLimit(200, 2.0)) as many:
        async with working(database, many):
            submitted = await submit(config_of(many, path), database)
            while sum(seen.applied is not None for seen in many.seen) < 10:
                await asyncio.sleep(0.005)
        sent = sum(seen.applied is not None for seen in many.seen)
        assert 10 <= sent < 60
        assert await workers_of(database) == []
        (run,) = await runs_of(database, submitted.run)
        assert run.counts["updated"] == sent
        async with working(database, many):
            await ended(database, submitted.run)
        assert sum(seen.applied is not None for seen in many.seen) == 60


async def test_worker_that_was_forgotten_registers_again(database: Database, write: Write) -> None:
    """A worker that was silent for very long is a new one to the others, with the same keys."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        await database.rows("DELETE FROM procrastinate_workers")
        async with asyncio.timeout(10):
            while not await database.rows("SELECT 1 FROM bulkupdate_members"):
                await asyncio.sleep(0.02)
        assert len(await workers_of(database)) == 1
        submitted = await submit(config_of(many, path), database)
        await ended(database, submitted.run)


async def test_worker_that_is_forgotten_while_it_asks_has_its_keys(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team that is told after the worker has got another id is that worker's too."""
    real = teams.register

    async def late(*arguments: Any) -> Any:
        await database.rows("DELETE FROM procrastinate_workers")
        while not await workers_of(database):
            await asyncio.sleep(0.02)
        return await real(*arguments)

    monkeypatch.setattr("bulkupdate.fleet.worker.register", late)
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        async with asyncio.timeout(10):
            while not (found := await database.rows("SELECT worker FROM bulkupdate_members")):
                await asyncio.sleep(0.02)
        assert found == await database.rows("SELECT id FROM bulkupdate_workers")


async def test_keys_of_a_dead_worker_are_missed_at_once(database: Database, write: Write) -> None:
    """Where another worker lives, a run whose key has gone says so, and with which account."""
    path = write("edits.csv", "account,id,title", "a,t1,A", "b,t1,B", "a,t2,A")
    async with ManyAccounts(["a", "b"], rate=FAST) as many:
        async with working(database, many):
            pass
        lone = Accounts.of({"b": many.endpoints["b"]})
        stop = Stop()
        worker = Worker(database, lone.values(), WorkerConfig(), stop)
        running = asyncio.create_task(worker.run())
        while not await database.rows("SELECT 1 FROM bulkupdate_members"):
            await asyncio.sleep(0.01)
        submitted = await submit(config_of(many, path), database)
        (run,) = await runs_of(database, submitted.run)
        assert [*waiting_lines(run)] == ["run 1 waits: no worker has its key now (a)"]
        async with working(database, many):
            await ended(database, submitted.run)
        stop.set("the test has ended")
        await running


async def test_chunk_at_which_workers_die_is_set_aside(database: Database, write: Write) -> None:
    """A chunk that was given out three times without a result waits for somebody to look."""
    path = write("a.csv", *rows_of(30), "a,t1,again", "a,x1,other")
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        submitted = await submit(config_of(many, path), database)
        queue = queue_of(many.sandbox.base_url, many["a"].team.id)
        for number in range(MOST_TRIES):
            chunk = await died_at(database, queue)
            assert [row.number for row in chunk.rows] == [*range(1, 26)]
            assert len(chunk.sent_before) == (25 if number else 0)
        async with working(database, many):
            await ended(database, submitted.run)
        (run,) = await runs_of(database, submitted.run)
        assert run.state == "stopped"
        # The later row of a task of which a row was set aside waits too.
        assert run.counts["unprocessed"] == 26
        assert run.counts["updated"] == 6
        summary = await collect(database, submitted.run, "edits.run")
        assert summary.stopped_by is Reason.SET_ASIDE
        assert summary.exit_code == 3
        assert await retry(database, submitted.run, failed=False) == 26
        async with working(database, many):
            await ended(database, submitted.run)
        assert many.titles()["a"]["t1"] == "again"
        again = await collect(database, submitted.run, "edits.run")
        assert again.exit_code == 0


async def test_stopped_account_is_shown_with_what_to_do(database: Database, write: Write) -> None:
    """The line of an account that has stopped says so, and the last line how the run goes on."""
    path = write("edits.csv", "account,id,title", "a,t1,A", "b,t1,B", "b,t2,B")
    async with ManyAccounts(["a", "b"], rate=FAST) as many, working(database, many):
        many["b"].refused = True
        submitted = await submit(config_of(many, path), database)
        await ended(database, submitted.run)
    (run,) = await runs_of(database, submitted.run)
    *_, done, stopped, last = run_lines(run)
    assert done.split()[-1] == "done"
    assert "  stopped: every other row would fail too: " in stopped
    assert last == "next: remove the cause, then bulkupdate fleet retry 1"


async def test_rows_of_a_newer_version_stay_in_the_queue(
    database: Database, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker leaves edits alone whose format it does not know, and says so."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        submitted = await submit(config_of(many, path), database)
        await database.rows("UPDATE bulkupdate_runs SET format = 2")
        async with working(database, many):
            while "newer version" not in caplog.text:
                await asyncio.sleep(0.01)
        (run,) = await runs_of(database, submitted.run)
        assert run.counts["unprocessed"] == 3
        assert len(many.titles()["a"]) == 0


async def test_cancelled_run_sends_nothing_more(database: Database, write: Write) -> None:
    """A cancelled run ends within its requests in flight, is collected with 3, and can go on."""
    path = write("a.csv", *rows_of(60))
    async with ManyAccounts(["a"], rate=RateLimit(100, 2.0)) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        while sum(seen.applied is not None for seen in many.seen) < 5:
            await asyncio.sleep(0.005)
        assert await cancel(database, submitted.run)
        assert not await cancel(database, submitted.run)
        await ended(database, submitted.run)
        sent = sum(seen.applied is not None for seen in many.seen)
        summary = await collect(database, submitted.run, "edits.run")
        assert sent < 30
        assert summary.exit_code == 3
        assert summary.counts["updated"] == sent
        assert await retry(database, submitted.run, failed=False) == 60 - sent
        await ended(database, submitted.run)
    assert sum(seen.applied is not None for seen in many.seen) == 60


async def test_run_under_way_is_not_retried(database: Database, write: Write) -> None:
    """`retry` is for what has ended; and there must be such a run."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        submitted = await submit(config_of(many, path), database)
        with pytest.raises(ConfigError, match="still under way"):
            await retry(database, submitted.run, failed=True)
        with pytest.raises(ConfigError, match="there is no run 77"):
            await retry(database, 77, failed=True)


async def test_lane_that_waits_holds_no_slot(database: Database, write: Write) -> None:
    """With room for one job, an account whose server waits keeps no other from being sent."""
    lines = [*rows_of(3), *rows_of(3, "b")[1:]]
    path = write("a.csv", *lines)
    async with ManyAccounts(["a", "b"], rate=FAST) as many:
        async with working(database, many, concurrency=1):
            many["a"].throttled = True
            submitted = await submit(config_of(many, path), database)
            while len(many.titles()["b"]) < 3:
                await asyncio.sleep(0.01)
            waiting: str | None = None
            while not waiting:
                await asyncio.sleep(0.02)
                (run,) = await runs_of(database, submitted.run)
                waiting = next(one.waiting_for for one in run.parts if one.account == "a")
            assert "rate limited" in waiting
            many["a"].throttled = False
            await ended(database, submitted.run)
        assert len(many.titles()["a"]) == 3


async def test_health_file_is_touched(database: Database, tmp_path: Path) -> None:
    """A probe sees by the file that the worker reaches its database."""
    health = tmp_path / "health"
    async with (
        ManyAccounts(["a"], rate=FAST) as many,
        working(database, many, health_file=health),
    ):
        while not health.exists():
            await asyncio.sleep(0.01)
        os.utime(health, (0, 0))
        while not (touched := health.stat().st_mtime):
            await asyncio.sleep(0.02)
    assert touched > 0


# --- collecting -------------------------------------------------------------------------------


async def test_collected_run_equals_a_local_one(database: Database, write: Write) -> None:
    """The files are those of a local run of the same file, but for times and the counts of pace."""
    from bulkupdate.session.run import run

    path = write("a.csv", "account;id;title;prio", "a;t1;A;high", "a;t2;;low", "a;t1;B;", "b;t9;C;")
    options = ReadOptions(mapping={"prio": "priority"})
    async with ManyAccounts(["a", "b"], rate=FAST) as many, working(database, many):
        config = config_of(many, path, read=options)
        submitted = await submit(config, database)
        remote = await collect(database, submitted.run, "remote.run", follow=True)
        local = await run(
            RunConfig(input=path, accounts=many.accounts, read=options, out="local.run")
        )
    assert sorted(p.name for p in Path("remote.run").iterdir()) == sorted(
        [*(p.name for p in Path("local.run").iterdir()), "fleet.json"]
    )
    assert _lines("remote.run") == _lines("local.run")
    for name in ("failed.csv", "rows.digest"):
        assert (Path("remote.run") / name).read_bytes() == (Path("local.run") / name).read_bytes()
    assert remote.counts == local.counts
    assert remote.changed == local.changed
    assert {n: a.team for n, a in remote.accounts.items()} == {
        n: a.team for n, a in local.accounts.items()
    }


def _lines(directory: str) -> list[dict[str, Any]]:
    text = (Path(directory) / "results.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        line.pop("at")
        line.pop("ms", None)
    return sorted(lines, key=lambda line: int(line["row"]))


async def test_collecting_goes_on_where_it_was(database: Database, write: Write) -> None:
    """A run under way is collected with 3, and again later; no line comes twice."""
    path = write("a.csv", *rows_of(60))
    async with ManyAccounts(["a"], rate=RateLimit(200, 2.0)) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        while sum(seen.applied is not None for seen in many.seen) < 20:
            await asyncio.sleep(0.005)
        summary = await collect(database, submitted.run, "edits.run")
        assert summary.stopped_by is Reason.UNDER_WAY
        assert summary.exit_code == 3
        await ended(database, submitted.run)
        summary = await collect(database, submitted.run, "edits.run")
    assert summary.exit_code == 0
    assert len(_lines("edits.run")) == 60


async def test_failed_rows_are_sent_again_with_those_after_them(
    database: Database, write: Write
) -> None:
    """`retry --failed` sends failed rows, and later rows of their tasks after them."""
    path = write("a.csv", "account,id,title", "a,t1,A", "a,t2,B", "a,t1,C", "a,t3,D")
    async with ManyAccounts(["a"], rate=FAST, unknown=Unknown.NOT_FOUND) as many:
        many["a"].team.tasks["t2"] = {"_id": "t2"}
        async with working(database, many):
            submitted = await submit(config_of(many, path), database)
            await ended(database, submitted.run)
            first = await collect(database, submitted.run, "edits.run")
            assert first.counts["failed"] == 3
            many["a"].team.tasks |= {"t1": {"_id": "t1"}, "t3": {"_id": "t3"}}
            before = len(many.seen)
            assert await retry(database, submitted.run, failed=True) == 3
            await ended(database, submitted.run)
            again = await collect(database, submitted.run, "edits.run")
        bodies = [seen.body for seen in many.seen[before:] if seen.body]
    assert sorted(body["title"] for body in bodies) == ["A", "C", "D"]
    assert [body["title"] for body in bodies if body["id"] == "t1"] == ["A", "C"]
    assert again.exit_code == 0
    assert again.counts["updated"] == 4
    assert len((Path("edits.run") / "failed.csv").read_text().splitlines()) == 1


async def test_another_runs_directory_is_refused(database: Database, write: Write) -> None:
    """A directory with another run, of a fleet or a local one, stays as it is."""
    from bulkupdate.session.run import run

    path = write("a.csv", *rows_of(2))
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        first = await submit(config_of(many, path), database)
        second = await submit(config_of(many, path), database)
        await collect(database, first.run, "first.run", follow=True)
        await run(RunConfig(input=path, accounts=many.accounts, out="local.run"))
        for directory in ("first.run", "local.run"):
            with pytest.raises(RunDirectoryError):
                await collect(database, second.run, directory, follow=True)


async def test_forgotten_run_leaves_nothing(database: Database, write: Write) -> None:
    """With `forget_it`, the database keeps nothing of a run that has ended and is on disk."""
    path = write("a.csv", *rows_of(30))
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        await collect(database, submitted.run, "early.run", forget_it=True)
        assert await runs_of(database)
        await collect(database, submitted.run, "edits.run", follow=True, forget_it=True)
    assert await runs_of(database) == []
    for table in ("files", "parts", "edits", "results"):
        assert await database.rows(f"SELECT 1 FROM bulkupdate_{table}") == []  # noqa: S608
    assert len(_lines("edits.run")) == 30
    await forget(database, submitted.run)


async def test_collecting_needs_no_file_of_the_submitter(database: Database, write: Write) -> None:
    """The input and the file of values come from the database: another machine may collect."""
    values = write("owners.csv", "column,from,to", "priority,urgent,high", "priority,low,low")
    path = write("a.csv", "account,id,priority", "a,t1,urgent", "a,t2,low")
    options = ReadOptions(value_map=values)
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        submitted = await submit(config_of(many, path, read=options), database)
        await ended(database, submitted.run)
        path.unlink()
        values.unlink()
        summary = await collect(database, submitted.run, "edits.run")
    assert summary.counts["updated"] == 2
    assert [line["sent"]["priority"] for line in _lines("edits.run")] == ["2", "0"]


# --- comparing --------------------------------------------------------------------------------


async def test_comparing_submits_only_what_differs(database: Database, write: Write) -> None:
    """The submitter plans: what is so already is not submitted, and what was sent can be undone."""
    path = write("a.csv", "account,id,title", "a,t1,New", "a,t2,Same", "a,gone,X")
    async with ManyAccounts(["a"], rate=FAST) as many:
        team = many["a"].team
        team.tasks |= _tasks({"t1": "Old", "t2": "Same"})
        async with working(database, many):
            submitted = await submit(config_of(many, path, compare=True), database)
            assert submitted.conflicts == 1
            summary = await collect(database, submitted.run, "edits.run", follow=True)
            assert summary.compared
            assert summary.counts["updated"] == 1
            # What conflicts has its result, and a place in the failed file.
            assert summary.counts["conflict"] == 1
            assert summary.exit_code == 1
            assert '"gone"' in (Path("edits.run") / "failed.jsonl").read_text()
            assert _lines("edits.run")[1]["error"]["type"] == "not_listed"
            assert many.titles()["a"] == {"t1": "New", "t2": "Same"}
            undone = undo_run("edits.run", "back.csv")
            assert undone.tasks == 1
            back = await submit(config_of(many, Path("back.csv"), compare=True), database)
            await ended(database, back.run)
        assert many.titles()["a"] == {"t1": "Old", "t2": "Same"}


RULES = """
timezone = "Europe/Paris"
[[rule]]
name = "Calls go to Zoé"
select = { type = "phone" }
set = { assignedTo = "zoe@example.com", dueDate = "2026-04-01 09:00" }
"""


async def test_night_in_a_fleet_tells_what_a_local_one_does(
    database: Database, write: Write
) -> None:
    """Its rules, its moment and time zone, and the names of people."""
    path, told = write("night.toml", RULES), list[str]()
    zoe, ben = (
        Member("usr_zoe", "Zoé", "", "zoe@example.com"),
        Member("usr_ben", email="b@x.example"),
    )
    async with ManyAccounts(["a"], rate=FAST) as many:
        team = many["a"].team
        team.users = {member.id: member for member in (zoe, ben)}
        due = {"dueDate": "2026-03-01T08:00:00.000Z", "userId": "usr_ben"}
        team.tasks |= {
            one: {"_id": one, "title": "T", "type": kind, "status": "pending", **due}
            for one, kind in (("t1", "phone"), ("t2", "email"), ("t3", "email"))
        }

        class Told(Observer):
            def noted(self, text: str) -> None:
                told.append(text)

        now = datetime(2026, 3, 11, 2, tzinfo=UTC)
        config = config_of(many, path, account="a", compare=True, read=ReadOptions(now=now))
        async with working(database, many):
            submitted = await submit(config, database, observer=Told())
            summary = await collect(database, submitted.run, "night.run", follow=True)
    assert told[0] == "rule 'Calls go to Zoé': selects 1 task of 1 account, changes 1"
    assert summary.input.now == "2026-03-11T02:00:00.000Z"
    assert summary.input.options["timezone"] == "Europe/Paris"
    assert summary.people == {"usr_zoe": "zoe@example.com", "usr_ben": "b@x.example"}
    assert (summary.owners, summary.givers) == ({"usr_zoe": 1}, {"usr_ben": 1})


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_undo_knows_when_a_run_has_written_whenever_it_is_collected(
    database: Database, write: Write, order: str
) -> None:
    """What a person has changed between two runs of the fleet is what an undo goes back to."""
    to_x, by_hand = write("x.csv", "account,id,title", "a,t1,X"), "By hand"
    async with ManyAccounts(["a"], rate=FAST) as many:
        team = many["a"].team
        team.tasks |= _tasks({"t1": "Old"})
        async with working(database, many):
            runs = {}
            for name in "ab":
                submitted = await submit(config_of(many, to_x, compare=True), database)
                await ended(database, submitted.run)
                runs[name] = submitted.run
                if name == "a":
                    team.tasks["t1"]["title"] = by_hand
            for name in order:
                summary = await collect(database, runs[name], f"{name}.run")
                (changed,) = changed_tasks(RunFiles(Path(f"{name}.run")))
                assert changed.change.before == {"title": "Old" if name == "a" else by_hand}
                assert summary.changed == {"title": 1}
                await asyncio.sleep(0.01)
    undone = undo_run(["a.run", "b.run"], "back.jsonl")
    assert not undone.doubtful.counts
    back = json.loads(Path("back.jsonl").read_text())
    assert (back["title"], back["expect"]) == (by_hand, {"title": "X"})


async def test_row_that_no_plan_can_hold_is_a_conflict(database: Database, write: Write) -> None:
    """What is there now can't be expected where it is a broken character: the row has a result."""
    path = write("a.csv", "account,id,title", "a,t1,New", "a,t2,New")
    async with ManyAccounts(["a"], rate=FAST) as many:
        many["a"].team.tasks |= _tasks({"t1": "Old \ufffd", "t2": "Old"})
        async with working(database, many):
            submitted = await submit(config_of(many, path, compare=True), database)
            assert submitted.conflicts == 1
            summary = await collect(database, submitted.run, "edits.run", follow=True)
        assert many.titles()["a"] == {"t1": "Old \ufffd", "t2": "New"}
    assert (summary.counts["updated"], summary.counts["conflict"]) == (1, 1)
    assert summary.exit_code == 1
    message = _lines("edits.run")[1]["error"]["message"]
    assert message == "no file of edits can hold its expect.title: change it in lemlist"


def _tasks(titles: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {
        id_: {"_id": id_, "title": title, "status": "pending", "userId": "usr_1"}
        for id_, title in titles.items()
    }


async def test_comparison_is_as_old_as_its_reading(database: Database, write: Write) -> None:
    """The time until somebody has confirmed a submission counts too."""
    path = write("a.csv", "account,id,done", "a,t1,true")

    async def confirm(_: Preview) -> bool:
        await asyncio.sleep(0.6)
        return True

    async with ManyAccounts(["a"], rate=FAST) as many:
        many["a"].team.tasks |= _tasks({"t1": "Old"})
        async with working(database, many):
            config = config_of(many, path, compare=True, max_age=0.5)
            submitted = await submit(config, database, confirm=confirm)
            await ended(database, submitted.run)
        (run,) = await runs_of(database, submitted.run)
    assert run.counts["conflict"] == 1


async def test_plan_that_is_refused_names_no_file(database: Database, write: Write) -> None:
    """What is planned for a submission stands in a file that the user has never seen."""
    path = write("a.csv", "account,id,title", "a,t1,New")
    async with ManyAccounts(["a"], rate=FAST) as many:
        many["a"].team.tasks |= _tasks({"t1": "Old"})
        async with working(database, many):
            config = config_of(many, path, compare=True, max_changes=ChangeLimit(tasks=0))
            with pytest.raises(InputError, match="nothing was submitted: "):
                await submit(config, database)
    assert await runs_of(database) == []


async def test_slow_connections_are_no_obstacle(
    database: Database, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a connection takes longer than a request may be late, all is sent: also what is read.

    A new connection is made for each task, as one carries a task once.
    """
    connect = aiohttp.TCPConnector._create_connection

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(0.2)
        return await connect(*arguments)

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", slow)
    path = write("a.csv", "account,id,title", *[f"a,t1,T{n}" for n in range(4)])
    async with ManyAccounts(["a"]) as many:
        many["a"].team.tasks |= _tasks({"t1": "Old"})
        async with asyncio.timeout(30), working(database, many):
            submitted = await submit(config_of(many, path, compare=True), database)
            await ended(database, submitted.run)
        assert many.titles()["a"] == {"t1": "T3"}


@pytest.mark.parametrize("compare", [False, True])
async def test_submitter_reads_within_the_shared_limit(
    compare: bool, database: Database, write: Write
) -> None:
    """What a submitter asks of an account keeps the limit that workers share.

    It asks for the tasks, or for the team of a key whose name means several teams.
    """
    path = write("a.csv", "account,id,title", "a,t1,New")
    seen: list[Seen] = []
    async with ManyAccounts(["a"], rate=FAST, watch=seen.append) as many:
        many["a"].team.tasks |= _tasks({"t1": "Old"})
        async with working(database, many):
            pass
        await database.rows(
            "INSERT INTO bulkupdate_accounts (base_url, name, team, team_name, queue)"
            " SELECT base_url, name, 'tea_other', '', 'other' FROM bulkupdate_accounts"
        )
        await database.rows("UPDATE bulkupdate_limits SET held_until = now() + interval '1 h'")
        seen.clear()
        with pytest.raises(RunStoppedError, match="asks to wait for 3600 s"):
            await submit(config_of(many, path, compare=compare), database)
        assert not seen


async def test_old_comparison_is_a_conflict(database: Database, write: Write) -> None:
    """Rows that waited for longer than `max_age` are not sent: the tasks may have changed."""
    path = write("a.csv", "account,id,title", "a,t1,New")
    async with ManyAccounts(["a"], rate=FAST) as many:
        many["a"].team.tasks |= _tasks({"t1": "Old"})
        async with working(database, many):
            pass
        submitted = await submit(config_of(many, path, compare=True, max_age=0), database)
        async with working(database, many):
            summary = await collect(database, submitted.run, "edits.run", follow=True)
        assert many.titles()["a"] == {"t1": "Old"}
    assert summary.counts["conflict"] == 1
    assert summary.exit_code == 1
    assert "older than 0 s" in _lines("edits.run")[0]["error"]["message"]
    with pytest.raises(ConfigError, match="submit them again"):
        await retry(database, submitted.run, failed=True)


async def test_trouble_of_one_worker_is_not_that_of_another(database: Database) -> None:
    """An account that one worker can send for is in no trouble, whatever key another one has."""
    async with ManyAccounts(["a"], rate=FAST) as many:
        stop = Stop()
        good = Worker(database, many.accounts.values(), WorkerConfig(), stop)
        running = asyncio.create_task(good.run())
        while not good._members:
            await asyncio.sleep(0.01)
        wrong = {"a": replace(many.endpoints["a"], api_key=ApiKey("key-of-nobody"))}
        worker = Worker(database, Accounts.of(wrong).values(), WorkerConfig(), Stop())
        with pytest.raises(ConfigError, match="refused"):
            await worker.run()
        rows = await database.rows("SELECT trouble FROM bulkupdate_accounts")
        assert rows == [(None,)]
        await database.rows(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 h'"
        )
        worker = Worker(database, Accounts.of(wrong).values(), WorkerConfig(), Stop())
        with pytest.raises(ConfigError, match="refused"):
            await worker.run()
        ((trouble,),) = await database.rows("SELECT trouble FROM bulkupdate_accounts")
        assert "refused" in trouble
        await note_members(database, good._id, good._members.values())
        assert await database.rows("SELECT trouble FROM bulkupdate_accounts") == [(None,)]
        stop.set("the test has ended")
        await running


# --- the schema -------------------------------------------------------------------------------


async def test_init_may_be_run_again(postgres: Postgres) -> None:
    """The tables are made once. Those of a newer version are refused."""
    async with Database(Dsn(postgres.new())) as database:
        assert await init(database)
        assert not await init(database)
        await database.rows("UPDATE bulkupdate_schema SET version = 99")
        with pytest.raises(ConfigError, match="newer version"):
            await init(database)


async def test_init_beside_another_one_makes_the_tables_once(postgres: Postgres) -> None:
    """Two hosts that start at once do not disturb each other."""
    dsn = Dsn(postgres.new())
    async with Database(dsn) as one, Database(dsn) as other:
        assert sorted(await asyncio.gather(init(one), init(other))) == [False, True]


async def test_init_refuses_while_older_workers_are_alive(database: Database) -> None:
    """Tables of an older version are left alone while workers of it may use them."""
    await Queue(database).register("old-worker:1", 30.0)
    await database.rows("UPDATE bulkupdate_schema SET version = 0")
    with pytest.raises(ConfigError, match="old-worker:1"):
        await init(database)
