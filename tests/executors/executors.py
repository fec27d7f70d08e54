"""The executors: each runs a file of edits to its end, and leaves a run directory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from bulkupdate.fleet import (
    Database,
    Dsn,
    Worker,
    WorkerConfig,
    collect,
    retry,
    runs_of,
    submit,
)
from bulkupdate.journal import Mode, Summary
from bulkupdate.session.run import run
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

#: Seconds after which a worker's jobs go to others.
LEASE = 1.0


class Executor(Protocol):
    """What runs a file of edits."""

    async def run(self, config: RunConfig) -> Summary:
        """Run it to its end."""

    async def go_on(self, config: RunConfig, *, retry_failed: bool) -> Summary:
        """Go on with a run that has ended, with what is left."""


class Local:
    """`bulkupdate run`."""

    async def run(self, config: RunConfig) -> Summary:
        return await run(config)

    async def go_on(self, config: RunConfig, *, retry_failed: bool) -> Summary:
        return await run(replace(config, mode=Mode.RESUME, retry_failed=retry_failed))


class Fleet:
    """`bulkupdate fleet submit`, some workers, and `bulkupdate fleet collect`.

    Args:
        dsn: the DSN of its database.
        workers: how many workers.
    """

    def __init__(self, dsn: Dsn, workers: int = 2) -> None:
        self._dsn = dsn
        self._workers = workers
        self._runs: dict[Path, int] = {}

    async def run(self, config: RunConfig) -> Summary:
        async with Database(self._dsn) as database, self._working(database, config):
            submitted = await submit(config, database)
            self._runs[config.directory] = submitted.run
            return await collect(database, submitted.run, config.directory, follow=True)

    async def go_on(self, config: RunConfig, *, retry_failed: bool) -> Summary:
        number = self._runs[config.directory]
        async with Database(self._dsn) as database, self._working(database, config):
            await retry(database, number, failed=retry_failed)
            return await collect(database, number, config.directory, follow=True)

    @contextlib.asynccontextmanager
    async def _working(self, database: Database, config: RunConfig) -> AsyncIterator[None]:
        accounts = [*config.by_name.values()]
        stop = Stop()
        settings = WorkerConfig(lease=LEASE, drain_timeout=1)
        workers = [Worker(database, accounts, settings, stop) for _ in range(self._workers)]
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(worker.run()) for worker in workers]
            await registered(database, len(accounts), running)
            try:
                yield
            finally:
                stop.set("the test has ended")


async def registered(
    database: Database, accounts: int, running: "list[asyncio.Task[None]]"
) -> None:
    """Wait until the teams of all accounts are known."""
    while True:
        rows = await database.rows("SELECT count(*) FROM bulkupdate_accounts")
        if rows[0][0] >= accounts or any(task.done() for task in running):
            return
        await asyncio.sleep(0.01)


async def ended(database: Database, run: int) -> None:
    """Wait until a run of the fleet has ended."""
    while not (await runs_of(database, run))[0].has_ended:
        await asyncio.sleep(0.02)
