"""The schema of a fleet's database: made by `fleet init`, and looked at by all others."""

import secrets
from importlib import resources

import psycopg
from psycopg.rows import TupleRow

from bulkupdate.errors import ConfigError
from bulkupdate.fleet.database import Database
from bulkupdate.fleet.queue import schema

#: The version of the tables. A program works with its own only.
VERSION = 2

#: Number of the lock that one `fleet init` at a time holds.
_LOCK = 7_250_112_233

_SALT = 32

#: Seconds since its last heartbeat after which a worker counts as gone, for `fleet init`.
GONE = 60.0

_ALIVE = """
SELECT w.name FROM bulkupdate_workers w JOIN procrastinate_workers p USING (id)
WHERE p.last_heartbeat > now() - %s * interval '1 s' ORDER BY w.id
"""


async def init(database: Database) -> bool:
    """Make the tables. Those of another version are left as they are, and named.

    Returns:
        Whether anything was to be done.

    Raises:
        ConfigError: the tables are of another version, or the database holds no Unicode.
        DatabaseError: the database can't be reached, or refused.
    """
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        encoding = await (await connection.execute("SHOW server_encoding")).fetchone()
        if encoding is None or encoding[0] != "UTF8":
            raise ConfigError(
                f"the database at {database.dsn.where} has the encoding {encoding and encoding[0]}:"
                " make one with UTF8 (createdb -E UTF8 -T template0)"
            )
        found = await _found(connection)
        if found == VERSION:
            return False
        if found is not None and found > VERSION:
            raise ConfigError(_mismatch(database, found))
        if found is not None:
            cursor = await connection.execute(_ALIVE, [GONE])
            if alive := [row[0] for row in await cursor.fetchall()]:
                raise ConfigError(
                    f"workers of an older version are alive ({', '.join(alive[:3])}): stop them"
                    " first, and run 'bulkupdate fleet init' again"
                )
            raise ConfigError(_mismatch(database, found))
        row = await (
            await connection.execute("SELECT to_regclass('procrastinate_jobs') IS NULL")
        ).fetchone()
        if row is not None and row[0]:
            await connection.execute(schema())
        await connection.execute(resources.files(__package__).joinpath("schema.sql").read_bytes())
        await connection.execute(
            "INSERT INTO bulkupdate_schema VALUES (%s, %s)", [VERSION, secrets.token_bytes(_SALT)]
        )
    return True


async def check(database: Database) -> None:
    """Check that the tables are there, and of this version.

    Raises:
        ConfigError: they are not.
        DatabaseError: the database can't be reached.
    """
    async with database.connection() as connection:
        found = await _found(connection)
    if found is None:
        raise ConfigError(
            f"the database at {database.dsn.where} has no tables of bulkupdate yet: run"
            " 'bulkupdate fleet init'"
        )
    if found != VERSION:
        raise ConfigError(_mismatch(database, found))


async def _found(connection: "psycopg.AsyncConnection[TupleRow]") -> int | None:
    """The version of the tables; None without any."""
    cursor = await connection.execute("SELECT to_regclass('bulkupdate_schema') IS NOT NULL")
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return None
    row = await (await connection.execute("SELECT version FROM bulkupdate_schema")).fetchone()
    return None if row is None else int(row[0])


def _mismatch(database: Database, found: int) -> str:
    what = "newer" if found > VERSION else "older"
    return (
        f"the tables in {database.dsn.where} are of a {what} version of bulkupdate ({found}, and"
        f" this one works with {VERSION})"
    )
