"""Fixtures for tests of a fleet: a PostgreSQL, and a new database in it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from bulkupdate.fleet.database import Database
from bulkupdate.fleet.dsn import Dsn
from bulkupdate.fleet.schema import init
from tests.support.postgres import Postgres, found_programs, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of these tests' own. Without its programs, tests are skipped, but fail in CI."""
    programs = found_programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("CI lacks PostgreSQL: .ci/run is to install it")
        pytest.skip("PostgreSQL is not installed")
    with running(programs) as server:
        yield server


@pytest.fixture
def dsn(postgres: Postgres) -> Dsn:
    """The DSN of a new database with the tables of a fleet."""
    new = Dsn(postgres.new())

    async def make() -> None:
        async with Database(new) as database:
            await init(database)

    asyncio.run(make())
    return new


@pytest.fixture
async def database(dsn: Dsn) -> AsyncIterator[Database]:
    """A new database with the tables of a fleet, open."""
    async with Database(dsn) as database:
        yield database
