"""Jobs and chunks: whose a job is, which rows are next, and which of them may have been sent."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, JournalError, RunDirectoryError
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
    queue,
    retry,
    runs_of,
    submit,
)
from bulkupdate.fleet.chunks import MOST_TRIES, Chunk, ResultsTable, next_chunk
from bulkupdate.fleet.queue import Lease, Queue, queue_of
from bulkupdate.fleet.records import UPDATES, FleetSettings
from bulkupdate.fleet.teams import NO_KEY, note_members
from bulkupdate.journal import Mode
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.models import Outcome, Reason, Row, State, unsent
from bulkupdate.sandbox import Team
from bulkupdate.sandbox.server import Seen
from bulkupdate.session.run import run
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop
from tests.executors.executors import ended
from tests.fleet.working import FAST, config_of, died_at, rows_of, working
from tests.support.accounts import ManyAccounts
from tests.support.postgres import Postgres

Write = Callable[..., Path]

#: Each test waits for a worker, and some for a database.
pytestmark = pytest.mark.slow

TEAM = "bulkupdate-team"


async def taken(jobs: Queue, queue: str = TEAM) -> Lease:
    """The job of a team, taken by a new worker."""
    worker = await jobs.register("one", 30.0)
    job = await jobs.fetch([queue], worker)
    assert job is not None
    assert job.id is not None
    return Lease(job.id, job.attempts, worker)


async def jobs_in(database: Database) -> list[tuple[str, str]]:
    """The queue and the status of each job."""
    return [
        (row[0], row[1])
        for row in await database.rows(
            "SELECT queue_name, status::text FROM procrastinate_jobs ORDER BY id"
        )
    ]


async def test_job_of_another_worker_is_not_ended(database: Database) -> None:
    """A worker that comes back ends no job that was put back, or that another one does."""
    jobs = Queue(database)
    await jobs.defer([TEAM])
    lost = await taken(jobs)
    assert await jobs.reap(lost.worker, [], 30.0)
    assert not await jobs.end(lost, TEAM)
    assert await jobs_in(database) == [(TEAM, "todo")]
    now = await taken(jobs)
    assert not await jobs.end(lost, TEAM)
    await jobs.postpone(lost, 30)
    assert await jobs_in(database) == [(TEAM, "doing")]
    assert await jobs.end(now, TEAM)
    assert await jobs_in(database) == []


@pytest.mark.parametrize(("own", "of_others", "is_lost"), [(0.5, 600.0, True), (600.0, 0.5, False)])
async def test_lease_of_a_job_is_its_workers(
    own: float, of_others: float, is_lost: bool, database: Database
) -> None:
    """A worker that others judge has told them its lease: theirs do not matter."""
    jobs = Queue(database)
    await jobs.defer([TEAM])
    silent = await jobs.register("silent", own)
    assert await jobs.fetch([TEAM], silent) is not None
    other = await jobs.register("other", of_others)
    await database.rows(
        "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 s' WHERE id = %s",
        [silent],
    )
    # The database was there for as long.
    await asyncio.sleep(0.6)
    assert await jobs.reap(other, [], of_others) is is_lost
    assert await jobs_in(database) == [(TEAM, "todo" if is_lost else "doing")]


async def test_lost_job_takes_no_chunk(database: Database, write: Write) -> None:
    """For a job that another worker has, nothing is taken, and nothing of the run is changed."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        await submit(config_of(many, path), database)
        queue = queue_of(many.sandbox.base_url, many["a"].team.id)
        jobs = Queue(database)
        lost = await taken(jobs, queue)
        assert await jobs.reap(lost.worker, [], 30.0)
        assert await next_chunk(database, queue, lost) is None
        assert await database.rows("SELECT lease FROM bulkupdate_parts WHERE rows > 0") == [(0,)]


async def test_team_without_a_job_gets_one(database: Database, write: Write) -> None:
    """If the job of a team with edits is gone, whatever the reason, the next heartbeat adds one."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        submitted = await submit(config_of(many, path), database)
        await database.rows("DELETE FROM procrastinate_jobs")
        async with working(database, many):
            await ended(database, submitted.run)
        assert len(many.titles()["a"]) == 3


@pytest.mark.parametrize(("concurrency", "jobs"), [(100, 2), (1, 6)])
async def test_job_takes_a_few_chunks_where_there_is_room(
    concurrency: int, jobs: int, database: Database, write: Write
) -> None:
    """Where no other team may wait for the place of a job, it goes on, for four chunks at most."""
    path = write("a.csv", *rows_of(5 * UPDATES))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many, concurrency=concurrency):
            submitted = await submit(config_of(many, path), database)
            await ended(database, submitted.run)
        assert len(many.titles()["a"]) == 5 * UPDATES
    assert await database.rows("SELECT last_value FROM procrastinate_jobs_id_seq") == [(jobs,)]


async def test_job_for_a_newer_version_waits_for_it(database: Database) -> None:
    """A job that is left to a newer version is in the queue all the time, and due later."""
    jobs = Queue(database)
    await jobs.defer([TEAM])
    lease = await taken(jobs)
    await jobs.postpone(lease, 30)
    assert await jobs_in(database) == [(TEAM, "todo")]
    assert await jobs.fetch([TEAM], lease.worker) is None
    await database.rows("UPDATE procrastinate_jobs SET scheduled_at = now()")
    assert await jobs.fetch([TEAM], lease.worker) is not None


async def test_rows_of_a_dead_worker_may_have_been_sent(database: Database, write: Write) -> None:
    """Each row that was given out without a result may have been sent, and no other one."""
    path = write("a.csv", *rows_of(30))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        await submit(config_of(many, path), database)
        queue = queue_of(many.sandbox.base_url, many["a"].team.id)
        first = await died_at(database, queue)
        table = ResultsTable(database, 1)
        await table.write(first, [unsent(first.rows[1], Outcome.UPDATED)])
        second = await died_at(database, queue)
        assert [row.number for row in second.rows] == [1, *range(3, 27)]
        assert second.sent_before == {1, *range(3, 26)}


async def test_old_comparison_of_a_row_that_was_sent_is_unconfirmed(
    database: Database, write: Write
) -> None:
    """A row that was in flight when its worker died is no conflict: its task may be changed."""
    path = write("a.csv", "account,id,title", "a,t1,New")
    async with ManyAccounts(["a"], rate=FAST) as many:
        many["a"].team.tasks["t1"] = {"_id": "t1", "title": "Old", "status": "pending"}
        async with working(database, many):
            pass
        submitted = await submit(config_of(many, path, compare=True), database)
        await died_at(database, queue_of(many.sandbox.base_url, many["a"].team.id))
        await database.rows("UPDATE bulkupdate_runs SET stale_after = now()")
        async with working(database, many):
            summary = await collect(database, submitted.run, "edits.run", follow=True)
    assert summary.counts["unconfirmed"] == 1
    assert '"before":{"title":"Old"}' in (Path("edits.run") / "before.jsonl").read_text()


async def test_run_has_ended_although_its_job_goes_on(database: Database, write: Write) -> None:
    """A job that has done one run may go on with the next one, and may be in trouble there."""
    one, two = write("a.csv", *rows_of(3)), write("b.csv", *rows_of(30))

    def watch(_: Seen) -> None:
        many.sandbox.is_down = len(many.titles()["a"]) >= 3

    async with ManyAccounts(["a"], rate=FAST, watch=watch) as many:
        async with working(database, many):
            pass
        first = await submit(config_of(many, one), database)
        await submit(config_of(many, two), database)
        async with working(database, many, drain_timeout=0.1):
            await ended(database, first.run)
            summary = await collect(database, first.run, "first.run")
    assert (summary.state, summary.counts["updated"]) == (State.FINISHED, 3)


async def refuse_results(database: Database) -> None:
    """Let the database refuse every result, as where a right was lost."""
    await database.rows(
        "CREATE FUNCTION refuse() RETURNS trigger AS"
        " $$ BEGIN RAISE EXCEPTION 'refused'; END $$ LANGUAGE plpgsql"
    )
    await database.rows(
        "CREATE TRIGGER refuse BEFORE INSERT ON bulkupdate_results FOR EACH ROW"
        " EXECUTE FUNCTION refuse()"
    )


async def test_rows_whose_results_are_refused_are_sent_a_few_times(
    database: Database, write: Write
) -> None:
    """Rows are not sent again and again, one attempt after the other, where nothing is written."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many, lease=0.5):
        await refuse_results(database)
        submitted = await submit(config_of(many, path), database)
        await asyncio.sleep(2)
        sent = Counter(one.body["id"] for one in many.seen if one.body is not None)
        await database.rows("DROP TRIGGER refuse ON bulkupdate_results")
        assert 1 <= max(sent.values()) <= MOST_TRIES
        async with asyncio.timeout(10):
            await ended(database, submitted.run)


async def test_stale_rows_that_can_not_be_written_end_no_worker(
    database: Database, write: Write
) -> None:
    """A worker whose results are refused goes on with its other accounts."""
    path = write("a.csv", *rows_of(1))
    async with ManyAccounts(["a"], rate=FAST) as many:
        many["a"].team.tasks["t0"] = {"_id": "t0", "title": "Old", "status": "pending"}
        async with working(database, many) as worker:
            await refuse_results(database)
            await submit(config_of(many, path, compare=True, max_age=0), database)
            await asyncio.sleep(1)
            assert not worker.done()


async def test_cancelled_run_is_kept_until_its_last_request_has_ended(
    database: Database, write: Write
) -> None:
    """What is in flight when a run is cancelled is collected before the run is forgotten."""
    path = write("a.csv", *rows_of(30))
    async with ManyAccounts(["a"], rate=FAST, latency=(300, 300)) as many:
        async with working(database, many):
            submitted = await submit(config_of(many, path), database)
            while not (await runs_of(database))[0].parts[0].began:
                await asyncio.sleep(0.01)
            # Its first request is in flight.
            await asyncio.sleep(0.3)
            await cancel(database, submitted.run)
            summary = await collect(database, submitted.run, "a.run", forget_it=True)
            assert summary.stopped_by is Reason.UNDER_WAY
            with pytest.raises(ConfigError, match="still under way"):
                await forget(database, submitted.run)
            summary = await collect(database, submitted.run, "a.run", forget_it=True, follow=True)
        assert summary.stopped_by is Reason.REQUESTED
        assert summary.counts["updated"] == len(many.titles()["a"]) > 0
    assert await runs_of(database) == []


async def test_queue_that_stands_still_counts_as_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that does not answer keeps no worker from ending, or from giving up."""
    jobs = Queue(database)
    worker = await jobs.register("one", 30.0)
    async with database.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE procrastinate_jobs")
        monkeypatch.setattr(queue, "LONGEST", 0.2)
        with pytest.raises(DatabaseError, match="does not answer") as caught:
            await jobs.fetch([TEAM], worker)
    assert caught.value.is_away


async def test_large_number_is_no_run(database: Database) -> None:
    """Any number that an id can have is looked for."""
    for work in (cancel(database, 2**40), retry(database, 2**40, failed=False)):
        with pytest.raises(ConfigError, match="there is no run"):
            await work
    await forget(database, 2**40)


async def test_drained_row_in_doubt_is_sent_by_another_worker(
    database: Database, write: Write
) -> None:
    """A row that may have been applied waits for its next attempt: that is another worker's."""
    path = write("a.csv", *rows_of(1))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            submitted = await submit(config_of(many, path), database)
            many.sandbox.is_down = True
            while not any(one.body is not None for one in many.seen):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        (run,) = await runs_of(database, submitted.run)
        assert run.counts["unprocessed"] == 1
        many.sandbox.is_down = False
        async with working(database, many):
            await ended(database, submitted.run)
        (run,) = await runs_of(database, submitted.run)
        assert run.counts["updated"] == 1


async def test_swapped_names_are_known_by_their_workers(database: Database, write: Write) -> None:
    """A name means the team that workers have under it now, whatever else they have."""
    path = write("a.csv", *rows_of(1))
    async with ManyAccounts(["a", "b"], rate=FAST) as many:
        async with working(database, many):
            pass
        ends = many.endpoints
        swapped = Accounts.of({"a": ends["b"], "b": ends["a"]})
        await database.rows("UPDATE bulkupdate_accounts SET seen = now() - interval '1 day'")
        stop = Stop()
        worker = Worker(database, swapped.values(), WorkerConfig(), stop)
        running = asyncio.create_task(worker.run())
        while len(worker._members) < 2:
            await asyncio.sleep(0.01)
        await note_members(database, worker._id, worker._members.values())
        nobodys = {name: replace(one, api_key=NO_KEY) for name, one in ends.items()}
        await submit(RunConfig(input=path, accounts=Accounts.of(nobodys)), database)
        await ended(database, 1)
        stop.set("the test has ended")
        await running
        assert many.titles() == {"a": {}, "b": {"t0": "T0"}}


async def test_two_accounts_of_one_team_are_refused(database: Database, write: Write) -> None:
    """Their parts are sent one after the other, so that rows of one task would go out of order."""
    path = write("a.csv", "account,id,title", "a,t1,A", "b,t1,B")
    team = Team()
    both = ManyAccounts(["a", "b"], rate=FAST, team_of=lambda _: team)
    async with both as many, working(database, many):
        with pytest.raises(ConfigError, match=r"a and b are one team .* same_team"):
            await submit(config_of(many, path), database)
        submitted = await submit(config_of(many, path, same_team=True), database)
        await ended(database, submitted.run)


async def test_run_that_has_begun_ends_first(database: Database, write: Write) -> None:
    """A run that was submitted earlier, but whose submission ended later, does not come between."""
    path = write("a.csv", *rows_of(30))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        for _ in range(2):
            await submit(config_of(many, path), database)
        queue = queue_of(many.sandbox.base_url, many["a"].team.id)
        await database.rows("UPDATE bulkupdate_runs SET place = 10 - place")
        assert (await died_at(database, queue)).run == 2
        await database.rows("UPDATE bulkupdate_runs SET place = 10 - place")
        assert (await died_at(database, queue)).run == 2


async def test_rows_that_are_sent_again_can_be_set_aside(database: Database, write: Write) -> None:
    """Rows that `retry --failed` sends again are set aside as others, if workers die at them."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            submitted = await submit(config_of(many, path), database)
            await ended(database, submitted.run)
        await database.rows("UPDATE bulkupdate_results SET outcome = 'failed'")
        await retry(database, submitted.run, failed=True)
        queue = queue_of(many.sandbox.base_url, many["a"].team.id)
        for _ in range(MOST_TRIES):
            await died_at(database, queue)
        async with working(database, many):
            await asyncio.wait_for(ended(database, submitted.run), 20)
        (found,) = await runs_of(database, submitted.run)
        assert found.counts["unprocessed"] == 3


async def test_bad_result_of_one_account_fails_no_others(database: Database) -> None:
    """If the results of one can't be written, those of others in the same statement can."""
    (row,) = await database.rows(
        "INSERT INTO bulkupdate_runs (format, version, input, rows, settings)"
        " VALUES (1, '', '', 2, '') RETURNING id"
    )
    (part,) = await database.rows(
        "INSERT INTO bulkupdate_parts (run, account, base_url) VALUES (%s, 'a', '') RETURNING id",
        [row[0]],
    )
    settings = FleetSettings(read={}, path="", name="")
    good = Chunk(part[0], row[0], "a", settings, [], 1, frozenset(), 0, False, 0, 0)
    forgotten = good._replace(part=part[0] + 1)
    table = ResultsTable(database, 1)
    result = unsent(Row(1, 1, "t1", None, (), ""), Outcome.UPDATED)
    older = good._replace(lease=0)
    found = await asyncio.gather(
        table.write(good, [result]),
        table.write(forgotten, [result]),
        table.write(older, [replaced_outcome(result)]),
        return_exceptions=True,
    )
    assert [type(one) for one in found] == [type(None), JournalError, type(None)]
    rows = await database.rows("SELECT part, outcome FROM bulkupdate_results")
    assert rows == [(part[0], "updated")]


def replaced_outcome(result: Any) -> Any:
    """The same result with another outcome."""
    from bulkupdate.codec import replaced

    return replaced(result, outcome=Outcome.FAILED)


async def test_key_file_that_is_replaced_changes_no_key(
    database: Database, write: Write, tmp_path: Path
) -> None:
    """A worker sends with the key whose team it has asked for, until it is started again."""
    path = write("a.csv", *rows_of(40))
    async with ManyAccounts(["a", "b"], rate=FAST) as many:
        key = tmp_path / "a.key"
        key.write_text(many["a"].key)
        key.chmod(0o600)
        file = tmp_path / "accounts.toml"
        file.write_text(f'[a]\napi_key_file = "{key}"\n')
        accounts = Accounts.load(file, environ={}, base_url=many.sandbox.base_url)
        config = RunConfig(input=path, accounts=accounts)

        class Only:
            """The same sandbox, with this file of accounts."""

            accounts = config.accounts

        async with working(database, Only()):  # type: ignore[arg-type]
            submitted = await submit(config, database)
            while not many.titles()["a"]:
                await asyncio.sleep(0.005)
            key.write_text(many["b"].key)
            await ended(database, submitted.run)
        assert len(many.titles()["a"]) == 40
        assert many.titles()["b"] == {}


async def test_directory_of_a_run_under_way_is_not_resumed(
    database: Database, write: Write
) -> None:
    """`run --resume` would send rows twice. After the end, it makes the run one of this machine."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many:
        async with working(database, many):
            pass
        submitted = await submit(config_of(many, path), database)
        summary = await collect(database, submitted.run, "edits.run")
        assert summary.stopped_by is Reason.UNDER_WAY
        again = replace(config_of(many, path), out="edits.run", mode=Mode.RESUME)
        with pytest.raises(RunDirectoryError, match="sent twice"):
            await run(again)
        assert await cancel(database, submitted.run)
        await collect(database, submitted.run, "edits.run")
        assert (await run(again)).counts["updated"] == 3
        # What the fleet knows is no longer all of it.
        with pytest.raises(RunDirectoryError, match="not made by a fleet"):
            await collect(database, submitted.run, "edits.run")


async def test_run_that_has_ended_is_not_cancelled(database: Database, write: Write) -> None:
    """A finished run stays finished."""
    path = write("a.csv", *rows_of(3))
    async with ManyAccounts(["a"], rate=FAST) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        await ended(database, submitted.run)
        with pytest.raises(ConfigError, match="has ended"):
            await cancel(database, submitted.run)
        assert (await runs_of(database, submitted.run))[0].state == "finished"


async def test_results_of_many_parts_are_read_a_few_at_a_time(
    database: Database, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many accounts have results, only some parts are read at once, and none is missed."""
    from bulkupdate.fleet import collection

    monkeypatch.setattr(collection, "_BATCH", 2)
    monkeypatch.setattr(collection, "_PARTS", 2)
    names = list("abcde")
    lines = [f"{name},t{n},T" for n in range(5) for name in names]
    path = write("a.csv", "account,id,title", *lines)
    async with ManyAccounts(names, rate=FAST) as many, working(database, many):
        submitted = await submit(config_of(many, path), database)
        await ended(database, submitted.run)
        summary = await collect(database, submitted.run, "edits.run")
    assert summary.counts["updated"] == 25
    assert len((Path("edits.run") / "results.jsonl").read_text().splitlines()) == 25


async def test_database_without_unicode_is_refused(postgres: Postgres) -> None:
    """A database whose encoding can't hold all text gets no tables."""
    async with Database(Dsn(postgres.dsn())) as database:
        await database.rows(
            "CREATE DATABASE sql_ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
        )
    async with Database(Dsn(postgres.dsn("sql_ascii"))) as database:
        with pytest.raises(ConfigError, match="UTF8"):
            await init(database)


async def test_rules_are_evaluated_by_the_submitter(database: Database, tmp_path: Path) -> None:
    """A file of rules becomes the edits of the tasks as they are, and goes out as others do."""
    from bulkupdate.sandbox import made_up_team

    rules = tmp_path / "nightly.toml"
    rules.write_text(
        'timezone = "UTC"\naccount = "a"\nmax_changes = 500\n\n[[rule]]\nname = "all high"\n'
        'select = { type = "phone" }\nset = { priority = "high" }\n'
    )
    async with ManyAccounts(["a"], team_of=made_up_team, rate=FAST) as many:
        async with working(database, many):
            submitted = await submit(RunConfig(input=rules, accounts=many.accounts), database)
            assert submitted.preview.rows > 10
            summary = await collect(database, submitted.run, "night.run", follow=True)
        phone = [one for one in many["a"].team.tasks.values() if one["type"] == "phone"]
    assert summary.exit_code == 0
    assert summary.counts["updated"] == submitted.preview.rows
    assert {task["priority"] for task in phone if task["status"] == "pending"} == {2}
    await forget(database, submitted.run)
