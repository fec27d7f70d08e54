"""The queue: procrastinate's jobs, of which each is for the next updates of one team.

All jobs of a team have one lock: one at a time is done. procrastinate has the
tables, the order, the locks, the workers' heartbeats and the notifications. The rest of a job's
life is in `bulkupdate.fleet.worker`.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import procrastinate
import psycopg_pool
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.psycopg_connector import PsycopgConnector

from bulkupdate._version import __version__
from bulkupdate.fleet.database import Database

#: The format of jobs and edits. A worker leaves those of a newer one in the queue.
FORMAT = 1

#: The name of procrastinate's task.
_TASK = "bulkupdate"

#: Seconds for which news of the queue are gathered: each job that is queued is one.
_GATHER = 0.2

#: Jobs go back to the queue whose worker gave no heartbeat for the length of a lease, and those
#: that this worker has left, or never learned of.
_REAP = """
SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM (
    SELECT j.id FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE j.status = 'doing' AND j.task_name = %(task)s
      AND (w.id IS NULL
           -- While the database was away, nobody could give a heartbeat.
           OR (w.last_heartbeat < now() - %(lease)s * interval '1 s'
               AND pg_postmaster_start_time() < now() - %(lease)s * interval '1 s')
           OR (w.id = %(me)s AND NOT j.id = ANY(%(mine)s::bigint[])))
    FOR UPDATE OF j SKIP LOCKED
) AS stalled
"""

#: Jobs of these teams whose format is another one.
_OTHER_FORMATS = """
SELECT DISTINCT queue_name FROM procrastinate_jobs
WHERE status = 'todo' AND lock = ANY(%(locks)s) AND NOT queue_name = ANY(%(queues)s)
"""

#: Workers without a heartbeat for many leases are forgotten.
_FORGET = """
DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - 20 * %s * interval '1 s'
"""

_BEAT = """
UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s RETURNING id
"""

_REGISTER = """
INSERT INTO bulkupdate_workers (id, name, version, format) VALUES (%s, %s, %s, %s)
"""

logging.getLogger("procrastinate").setLevel(logging.WARNING)


def queue_of(base_url: str, team: str, format_: int = FORMAT) -> str:
    """The name of the queue of a team.

    Args:
        base_url: the URL of the API.
        team: what stands for the team.
        format_: the format of its jobs.
    """
    # PostgreSQL allows 63 characters for the channel of a queue, and 23 are procrastinate's.
    digest = hashlib.sha256(f"{base_url}\0{team}".encode()).hexdigest()[:26]
    return f"bulkupdate-{format_}-{digest}"


def _lock_of(queue: str) -> str:
    """The lock of a team's jobs, whatever their format."""
    return queue.rpartition("-")[2]


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

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
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
                lock=_lock_of(queue),
                # Not `queueing_lock`: procrastinate's issues 1408, 1446 and 1543.
                queueing_lock=None,
                task_name=_TASK,
                task_kwargs={"format": FORMAT},
                priority=0,
            )
            for queue in queues
        ]
        if jobs:
            with self._errors():
                await self._jobs.batch_defer_jobs_async(jobs, connection=connection)

    async def fetch(self, queues: Collection[str], worker: int) -> Job | None:
        """Take a job of one of these teams, of which none is being done; None if there is none.

        Raises:
            DatabaseError: the database can't be reached. A job may have been taken.
        """
        with self._errors():
            return await self._jobs.fetch_job([*queues], worker)

    async def other_formats(self, queues: Collection[str]) -> set[str]:
        """The queues of these teams whose jobs are of another format, so that no job is taken.

        Raises:
            DatabaseError: the database can't be reached.
        """
        values = {"queues": [*queues], "locks": [_lock_of(queue) for queue in queues]}
        return {row[0] for row in await self._database.rows(_OTHER_FORMATS, values)}

    async def end(self, job: Job) -> None:
        """End a job, and remove it.

        Raises:
            DatabaseError: the database can't be reached, or another worker has the job.
        """
        with self._errors():
            await self._jobs.finish_job(job, Status.SUCCEEDED, delete_job=True)

    async def register(self, name: str) -> int:
        """Register a worker. Return its id.

        Raises:
            DatabaseError: the database can't be reached.
        """
        with self._errors():
            worker = await self._jobs.register_worker()
        await self._database.rows(_REGISTER, [worker, name, __version__, FORMAT])
        return worker

    async def unregister(self, worker: int) -> None:
        """Forget a worker.

        Raises:
            DatabaseError: the database can't be reached.
        """
        with self._errors():
            await self._jobs.unregister_worker(worker)

    async def beat(self, worker: int) -> bool:
        """Give a heartbeat. Return whether the worker is known: one that was silent is forgotten.

        Raises:
            DatabaseError: the database can't be reached.
        """
        return await self._database.row(_BEAT, [worker]) is not None

    async def reap(self, worker: int, mine: Iterable[int], lease: float) -> bool:
        """Put jobs back that nobody works on. Return whether there were some.

        Args:
            worker: the id of this worker.
            mine: the ids of the jobs that it works on.
            lease: seconds without a heartbeat after which a worker has none.

        Raises:
            DatabaseError: the database can't be reached.
        """
        values = {"lease": lease, "task": _TASK, "me": worker, "mine": [*mine]}
        found = await self._database.rows(_REAP, values)
        await self._database.rows(_FORGET, [lease])
        return bool(found)

    async def listen(self, on_news: Callable[[], object]) -> None:
        """Call a function soon after something was queued, until cancelled.

        Raises:
            DatabaseError: the connection has broken.
        """

        async def was_queued(*, channel: str, notification: object) -> None:  # noqa: ARG001
            # Another one may follow at once: several jobs are taken then.
            await asyncio.sleep(_GATHER)
            on_news()

        with self._errors():
            await self._jobs.listen_for_jobs(on_notification=was_queued, queues=None)
