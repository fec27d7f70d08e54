"""The queue: procrastinate's jobs, of which each is for the next updates of one team.

A job has the name of its team's queue as its lock too: one at a time is done. procrastinate has the
tables, the order, the locks, the workers' heartbeats and the notifications. The rest of a job's
life is in `bulkupdate.fleet.worker`.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Any, LiteralString, NamedTuple

import procrastinate
import psycopg_pool
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.psycopg_connector import PsycopgConnector

from bulkupdate._version import __version__
from bulkupdate.fleet.database import LONGEST, SERVER_BEGIN, Database

#: The format of jobs and edits. A worker leaves those of a newer one in the queue.
FORMAT = 1

#: The name of procrastinate's task.
_TASK = "bulkupdate"

#: Seconds for which news of the queue are gathered: each job that is queued is one.
_GATHER = 0.2

#: Jobs go back to the queue whose worker gave no heartbeat for the length of its lease, and those
#: that this worker has left, or never learned of.
_REAP: LiteralString = """
SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM (
    SELECT j.id FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    LEFT JOIN bulkupdate_workers b ON b.id = w.id
    CROSS JOIN LATERAL (
        SELECT now() - coalesce(b.lease, %(lease)s::float8) * interval '1 s' AS last
    ) AS beat
    WHERE j.status = 'doing' AND j.task_name = %(task)s
      AND (w.id IS NULL
           -- While the database was away, nobody could give a heartbeat.
           OR (w.last_heartbeat < beat.last AND {begin} < beat.last)
           OR (w.id = %(me)s AND NOT j.id = ANY(%(mine)s::bigint[])))
    FOR UPDATE OF j SKIP LOCKED
) AS stalled
""".replace("{begin}", SERVER_BEGIN)

#: A job that is still done by a worker, in its attempt.
_HELD: LiteralString = """
    id = %(job)s AND status = 'doing' AND attempts = %(attempt)s AND worker_id = %(worker)s
"""

_END: LiteralString = "DELETE FROM procrastinate_jobs WHERE {held} RETURNING id".replace(
    "{held}", _HELD
)

#: Back to the queue, for some seconds.
_POSTPONE: LiteralString = """
SELECT procrastinate_retry_job_v2(
    id, now() + %(seconds)s::float8 * interval '1 s', NULL, NULL, NULL
) FROM (SELECT id FROM procrastinate_jobs WHERE {held} FOR UPDATE) AS held
""".replace("{held}", _HELD)

#: The parts of runs that have edits left.
OPEN_PARTS: LiteralString = """
bulkupdate_parts p JOIN bulkupdate_runs r ON r.id = p.run
WHERE p.stopped_by IS NULL AND p.ended IS NULL AND p.queue IS NOT NULL
  AND r.submitted IS NOT NULL AND r.cancelled IS NULL
"""

#: Which of them comes first. A run that has begun ends before another one of its team begins. Where
#: several have begun, as after a retry, the one that was submitted first does.
PART_ORDER: LiteralString = "p.began IS NULL, r.place, p.id"

_HAS_MORE: LiteralString = """
SELECT EXISTS (SELECT FROM {open} AND p.queue = %(queue)s) AND NOT EXISTS (
    SELECT FROM procrastinate_jobs WHERE queue_name = %(queue)s AND status = 'todo'
)
""".replace("{open}", OPEN_PARTS)

#: Teams that have edits left, and no job. There are none, unless something has gone wrong.
_FORGOTTEN: LiteralString = """
SELECT DISTINCT p.queue FROM {open} AND NOT EXISTS (
    SELECT FROM procrastinate_jobs j
    WHERE j.queue_name = p.queue AND j.status IN ('todo', 'doing')
)
""".replace("{open}", OPEN_PARTS)

#: The workers that were heard of within their lease. While the database was away, none could be.
ALIVE: LiteralString = """
procrastinate_workers w JOIN bulkupdate_workers b USING (id)
WHERE greatest(w.last_heartbeat, {begin}) >= now() - interval '1 s' * b.lease
""".replace("{begin}", SERVER_BEGIN)

#: Workers without a heartbeat for many leases are forgotten.
_FORGET = """
DELETE FROM procrastinate_workers w WHERE last_heartbeat < now() - 20 * interval '1 s' * coalesce(
    (SELECT lease FROM bulkupdate_workers b WHERE b.id = w.id), %s::float8
)
"""

_BEAT = """
UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s RETURNING id
"""

_REGISTER = """
INSERT INTO bulkupdate_workers (id, name, version, format, lease) VALUES (%s, %s, %s, %s, %s)
"""

logging.getLogger("procrastinate").setLevel(logging.WARNING)


class Lease(NamedTuple):
    """What shows that a job is still being done by this worker, in this attempt.

    Attributes:
        job: the job's id.
        attempt: the number of the attempt, from 0.
        worker: the id of the worker.
    """

    job: int
    attempt: int
    worker: int


def queue_of(base_url: str, team: str) -> str:
    """The name of the queue of a team.

    Args:
        base_url: the URL of the API.
        team: what stands for the team.
    """
    # PostgreSQL allows 63 characters for the channel of a queue, and 23 are procrastinate's.
    digest = hashlib.sha256(f"{base_url}\0{team}".encode()).hexdigest()[:29]
    return f"bulkupdate-{digest}"


def schema() -> bytes:
    """Procrastinate's tables, as SQL."""
    return procrastinate.App(connector=PsycopgConnector()).schema_manager.get_schema().encode()


class Queue:
    """The queue in a database.

    Args:
        database: the database, open.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        connector = PsycopgConnector()
        # It opens no pool of its own: it has the connections of the database.
        connector._async_pool, connector._pool_externally_set = database.pool, True  # noqa: SLF001
        self._jobs = procrastinate.App(connector=connector).job_manager

    @contextlib.asynccontextmanager
    async def _errors(self, *, is_endless: bool = False) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(None if is_endless else LONGEST):
                yield
        except TimeoutError:
            raise self._database.no_answer() from None
        except ConnectorException as error:
            # Their text is in the cause. It may hold what the DSN does.
            raise self._database.error_of(error.__cause__ or error) from None
        except psycopg_pool.PoolTimeout as error:
            raise self._database.error_of(error) from None

    async def defer(self, queues: Iterable[str], connection: Any | None = None) -> None:
        """Add a job for each of these teams.

        Args:
            queues: the names of their queues.
            connection: a connection with the transaction that it belongs to, or None.

        Raises:
            DatabaseError: the database can't be reached.
        """
        jobs = [
            Job(
                id=None,
                queue=queue,
                lock=queue,
                # Not `queueing_lock`: procrastinate's issues 1408, 1446 and 1543.
                queueing_lock=None,
                task_name=_TASK,
                task_kwargs={"format": FORMAT},
                priority=0,
            )
            for queue in queues
        ]
        if jobs:
            async with self._errors():
                await self._jobs.batch_defer_jobs_async(jobs, connection=connection)

    async def fetch(self, queues: Collection[str], worker: int) -> Job | None:
        """Take a job of one of these teams, of which none is being done; None if there is none.

        Raises:
            DatabaseError: the database can't be reached. A job may have been taken.
        """
        async with self._errors():
            return await self._jobs.fetch_job([*queues], worker)

    async def end(self, lease: Lease, queue: str) -> bool:
        """End a job, and add the next one of its team, if edits of it are left.

        Args:
            lease: the job.
            queue: the queue of its team.

        Returns:
            Whether it was still this worker's. If not, nothing was done.

        Raises:
            DatabaseError: the database can't be reached.
        """
        async with self._database.connection() as connection, connection.transaction():
            ended = await connection.execute(_END, lease._asdict())
            if not await ended.fetchall():
                return False
            more = await (await connection.execute(_HAS_MORE, {"queue": queue})).fetchone()
            if more is not None and more[0]:
                await self.defer([queue], connection)
        return True

    async def postpone(self, lease: Lease, seconds: float) -> None:
        """Put a job back into the queue, from which nobody takes it for some seconds.

        Raises:
            DatabaseError: the database can't be reached.
        """
        await self._database.rows(_POSTPONE, {**lease._asdict(), "seconds": seconds})

    async def register(self, name: str, lease: float) -> int:
        """Register a worker. Return its id.

        Args:
            name: its name.
            lease: seconds without a heartbeat after which its jobs go to others.

        Raises:
            DatabaseError: the database can't be reached.
        """
        async with self._errors():
            worker = await self._jobs.register_worker()
        await self._database.rows(_REGISTER, [worker, name, __version__, FORMAT, lease])
        return worker

    async def unregister(self, worker: int) -> None:
        """Forget a worker.

        Raises:
            DatabaseError: the database can't be reached.
        """
        async with self._errors():
            await self._jobs.unregister_worker(worker)

    async def beat(self, worker: int) -> bool:
        """Give a heartbeat. Return whether the worker is known: one that was silent is forgotten.

        Raises:
            DatabaseError: the database can't be reached.
        """
        return await self._database.row(_BEAT, [worker]) is not None

    async def reap(self, worker: int, mine: Iterable[int], lease: float) -> bool:
        """Put jobs back that nobody works on, and add those that are missing.

        Return whether there were some.

        Args:
            worker: the id of this worker.
            mine: the ids of the jobs that it works on.
            lease: the lease of a worker that has not told its own yet.

        Raises:
            DatabaseError: the database can't be reached.
        """
        values = {"lease": lease, "task": _TASK, "me": worker, "mine": [*mine]}
        found = await self._database.rows(_REAP, values)
        await self._database.rows(_FORGET, [lease])
        forgotten = [row[0] for row in await self._database.rows(_FORGOTTEN)]
        await self.defer(forgotten)
        return bool(found or forgotten)

    async def listen(self, on_news: Callable[[], object]) -> None:
        """Call a function soon after something was queued, until cancelled.

        Raises:
            DatabaseError: the connection has broken.
        """
        loop = asyncio.get_running_loop()
        due: asyncio.TimerHandle | None = None

        async def was_queued(*, channel: str, notification: object) -> None:  # noqa: ARG001
            # Another one may follow at once: several jobs are taken then.
            nonlocal due
            if due is None or due.when() < loop.time():
                due = loop.call_later(_GATHER, on_news)

        async with self._errors(is_endless=True):
            await self._jobs.listen_for_jobs(on_notification=was_queued, queues=None)
