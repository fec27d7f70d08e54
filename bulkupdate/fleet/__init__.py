"""The same over several machines, through PostgreSQL: a shared limit, and a queue of jobs.

::

    submit ──▶ edits, jobs ──▶ worker ──▶ Lane ──▶ results ──▶ collect ──▶ run directory
                               worker     permits of one limit

It needs the extra [fleet]. A program can do what the commands do::

    async with Database(Dsn("postgresql://…")) as database:
        submitted = await submit(config, database)
        summary = await collect(database, submitted.run, "edits.run", follow=True)

    async with Database(dsn) as database:
        await run(config, limiters=SharedLimits(database).limiter)
"""

from bulkupdate.fleet.collection import collect
from bulkupdate.fleet.database import Database, DatabaseError
from bulkupdate.fleet.dsn import Dsn
from bulkupdate.fleet.limiter import LeaseLostError, SharedLimits
from bulkupdate.fleet.runs import (
    PartStatus,
    RunStatus,
    WorkerStatus,
    cancel,
    forget,
    retry,
    runs_of,
    workers_of,
)
from bulkupdate.fleet.schema import init
from bulkupdate.fleet.submission import Submitted, submit
from bulkupdate.fleet.worker import Worker, WorkerConfig

__all__ = [
    "Database",
    "DatabaseError",
    "Dsn",
    "LeaseLostError",
    "PartStatus",
    "RunStatus",
    "SharedLimits",
    "Submitted",
    "Worker",
    "WorkerConfig",
    "WorkerStatus",
    "cancel",
    "collect",
    "forget",
    "init",
    "retry",
    "runs_of",
    "submit",
    "workers_of",
]
