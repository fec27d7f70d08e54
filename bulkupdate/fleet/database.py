"""The database: a few connections to PostgreSQL, and its errors as ours."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, LiteralString, Self

import psycopg
import psycopg_pool
from psycopg.rows import TupleRow

from bulkupdate.errors import BulkUpdateError
from bulkupdate.fleet.dsn import Dsn

#: Connections of a process. A statement takes about a millisecond, so a few serve many lanes.
CONNECTIONS = 4

#: Seconds that a statement may take. A network that is cut says nothing.
LONGEST = 15.0

#: Seconds that looking at the connections may take.
_LONGEST_CHECK = 1.0

#: Seconds that a statement waits for a connection.
_LONGEST_WAIT = 2.0

#: When the server began to have what it has: its start, or its recovery after one of its processes
#: had crashed. What nobody had waited for on the disk may be lost. A recovery leaves the start as
#: it is, but not the statistics. Before version 15, asking for these takes milliseconds.
SERVER_BEGIN: LiteralString = """
greatest(
    pg_postmaster_start_time(),
    CASE WHEN current_setting('server_version_num')::int >= 150000
         THEN pg_stat_get_bgwriter_stat_reset_time() END
)
"""

#: What a server says that will not let us in, however often it is asked.
_REFUSALS = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist"
    r"|permission denied|invalid connection option",
    re.IGNORECASE,
)

log = logging.getLogger(__name__)

# The pool's own log quotes what the server says, once a second while it is away. We say it.
logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)


class DatabaseError(BulkUpdateError):
    """A statement failed, or the database can't be reached.

    The message never contains the DSN's password.

    Attributes:
        is_away: whether it may be there again later.
        is_refused: whether the server lets nobody in with this DSN.
    """

    def __init__(self, text: str, *, is_away: bool = False, is_refused: bool = False) -> None:
        super().__init__(text)
        self.is_away = is_away
        self.is_refused = is_refused


class Absence:
    """The time in which the database is away. Its beginning and its end are logged."""

    def __init__(self) -> None:
        self._since: float | None = None

    def note(self, error: DatabaseError) -> float:
        """Note an error of the database. Return the seconds since the first one."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            log.warning("%s: waiting for it", error)
        return now - self._since

    def end(self) -> None:
        """Note that the database has answered."""
        if self._since is not None:
            log.warning("the database is there again")
        self._since = None


async def _commit_each(connection: psycopg.AsyncConnection[TupleRow]) -> None:
    await connection.set_autocommit(True)


class Database:
    """A database, for an `async with`. It need not be there yet when the block is entered.

    Args:
        dsn: where it is.
        connections: most connections at the same time.

    Attributes:
        dsn: where it is.
        pool: the connections, for procrastinate.
    """

    pool: psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]

    def __init__(self, dsn: Dsn, *, connections: int = CONNECTIONS) -> None:
        self.dsn = dsn
        self._connections = connections

    async def __aenter__(self) -> Self:
        self.pool = psycopg_pool.AsyncConnectionPool(
            self.dsn.reveal(),
            # Not among the arguments of connections: procrastinate passes it itself for one.
            configure=_commit_each,
            min_size=1,
            max_size=self._connections,
            timeout=_LONGEST_WAIT,
            # Without it, the pool would wait longer and longer before it tries again.
            reconnect_timeout=1.0,
            open=False,
        )
        await self.pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close(timeout=1.0)

    async def greet(self) -> None:
        """Connect once, without waiting as the pool does.

        Raises:
            DatabaseError: the database can't be reached, or lets nobody in.
        """
        try:
            async with await psycopg.AsyncConnection.connect(self.dsn.reveal()):
                pass
        except psycopg.Error as error:
            raise self.error_of(error) from None

    async def rows(
        self, query: LiteralString, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> list[TupleRow]:
        """The rows of a statement, which is a transaction of its own.

        Raises:
            DatabaseError: it failed. If the database is away, it may have been carried out.
        """
        async with self.connection() as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall() if cursor.description else []

    async def row(
        self, query: LiteralString, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> TupleRow | None:
        """The first row of a statement; None without any. See `rows`."""
        found = await self.rows(query, values)
        return found[0] if found else None

    @contextlib.asynccontextmanager
    async def connection(
        self, seconds: float | None = LONGEST
    ) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        """A connection, whose errors become ours. Each statement is a transaction of its own.

        Args:
            seconds: most seconds for the block; None for any number.

        Raises:
            DatabaseError: a statement failed.
        """
        try:
            async with asyncio.timeout(seconds), self.pool.connection() as connection:
                yield connection
        except psycopg_pool.PoolTimeout:
            raise await self._why_away() from None
        except TimeoutError:
            raise self.no_answer() from None
        except (psycopg.Error, psycopg_pool.PoolClosed) as error:
            if isinstance(error, psycopg.OperationalError):
                await self._check()
            raise self.error_of(error) from None

    async def _check(self) -> None:
        """Drop the other connections that broke too: each would fail one more statement."""
        with contextlib.suppress(TimeoutError, psycopg.Error):
            async with asyncio.timeout(_LONGEST_CHECK):
                await self.pool.check()

    async def _why_away(self) -> DatabaseError:
        """Why no connection could be made: the pool tells only that it waited."""
        try:
            await self.greet()
        except DatabaseError as error:
            return error
        return DatabaseError(
            f"the database at {self.dsn.where} has no free connection", is_away=True
        )

    def no_answer(self) -> DatabaseError:
        """The error of a statement that has taken too long."""
        return DatabaseError(f"the database at {self.dsn.where} does not answer", is_away=True)

    def error_of(self, error: BaseException) -> DatabaseError:
        """Our error for one of psycopg's, whose text may hold the DSN or customers' data."""
        text = self.dsn.redacted(str(error)).strip().split("\n")[0]
        if isinstance(
            error, psycopg.OperationalError | psycopg.InterfaceError | psycopg_pool.PoolTimeout
        ):
            is_refused = bool(_REFUSALS.search(text))
            return DatabaseError(
                f"the database at {self.dsn.where} can't be used: {text}",
                is_away=not is_refused,
                is_refused=is_refused,
            )
        if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            return DatabaseError(
                f"the database at {self.dsn.where} has no tables of this version: run 'bulkupdate"
                " fleet init'"
            )
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return DatabaseError(
                f"the database at {self.dsn.where} lets this user not do that: 'fleet init' needs"
                " the right to make tables, and all else to use them and their sequences",
                is_refused=True,
            )
        # Other messages may quote values.
        kind = type(error).__name__
        return DatabaseError(f"the database at {self.dsn.where} refused a statement: {kind}")
