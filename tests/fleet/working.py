"""What tests of a fleet share: a worker, a file's rows, and a worker that died."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bulkupdate.fleet import Database, Worker, WorkerConfig
from bulkupdate.fleet.chunks import Chunk, next_chunk
from bulkupdate.fleet.queue import Lease, Queue
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop
from tests.executors.executors import registered
from tests.support.accounts import ManyAccounts

#: A limit at which no test waits.
FAST = RateLimit(1000, 2.0)


@contextlib.asynccontextmanager
async def working(
    database: Database, many: ManyAccounts, **settings: Any
) -> AsyncIterator["asyncio.Task[None]"]:
    """A worker with the keys of all accounts, until the block ends."""
    stop = Stop()
    config = WorkerConfig(**{"lease": 1.0, "drain_timeout": 1, **settings})
    worker = Worker(database, many.accounts.values(), config, stop)
    running = asyncio.create_task(worker.run())
    try:
        await registered(database, len(many.accounts), [running])
        yield running
    finally:
        stop.set("the test has ended")
        await running


def config_of(many: ManyAccounts, path: Path, **settings: Any) -> RunConfig:
    """The settings of a run with all accounts."""
    return RunConfig(input=path, accounts=many.accounts, **settings)


def rows_of(number: int, account: str = "a") -> list[str]:
    """Lines of a file of edits, with a header."""
    return ["account,id,title", *[f"{account},t{n},T{n}" for n in range(number)]]


async def died_at(database: Database, queue: str) -> Chunk:
    """The chunk that a worker has taken which has died since."""
    jobs = Queue(database)
    worker = await jobs.register("dead", 30.0)
    job = await jobs.fetch([queue], worker)
    assert job is not None
    assert job.id is not None
    chunk = await next_chunk(database, queue, Lease(job.id, job.attempts, worker))
    assert chunk is not None
    assert await jobs.reap(worker, [], 30.0)
    await jobs.unregister(worker)
    return chunk
