"""A pool of connections: one client has it for itself, or the clients of many accounts share it.

Connections cost memory (TLS most of it), and each timer of the event loop costs CPU. So many
clients in a process share both. A pool knows no key: each client adds its own to its requests.
"""

import asyncio
import resource
import socket
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from bulkupdate._version import __version__
from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.connections import Connections, ThisMachine
from bulkupdate.lemlist.deadlines import Deadlines

#: Names that are looked up at the same time.
_LOOK_UPS = 3

#: Files of a program beside its connections.
_OWN = 64

#: Seconds that an idle connection stays open. lemlist runs on Node, which closes a connection after
#: 5 s without a request. A request at that moment is lost, so the client closes it before.
KEEP_ALIVE = 4.0


class ConnectionPool:
    """A pool of connections: `async with ConnectionPool() as pool`.

    An open pool is given to each client that uses it: `TaskClient(endpoint, pool=pool)`.

    Args:
        connections: most open connections, to all servers together. Each request in flight has one,
            and waits while all are in use. With many keys at lemlist's limit, one for each key is
            enough while round trips take less than 100 ms. Few are begun at the same time: see
            `connections.MOST_BEGUN`.
    """

    def __init__(self, *, connections: int = 16) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._deadlines: Deadlines | None = None
        self._connector: Connections | None = None
        self._names: _Names | None = None

    async def __aenter__(self) -> Self:
        self._deadlines = Deadlines()
        self._names = _Names()
        self._connector = Connections(
            limit=self._connections, keepalive_timeout=KEEP_ALIVE, resolver=self._names
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Accept": "application/json",
                # A Task is short. An uncompressed answer can't be a decompression bomb.
                "Accept-Encoding": "identity",
                "User-Agent": f"bulkupdate/{__version__}",
            },
            # Each request brings its own.
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None and self._deadlines is not None and self._names is not None:
            await self._session.close()
            await self._names.close()
            self._deadlines.close()
            self._session = self._connector = self._deadlines = self._names = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session of aiohttp.

        Raises:
            RuntimeError: the pool is not open.
        """
        if self._session is None:
            raise RuntimeError("use the pool in 'async with'")
        return self._session

    @property
    def connector(self) -> Connections:
        """The connections.

        Raises:
            RuntimeError: the pool is not open.
        """
        if self._connector is None:
            raise RuntimeError("use the pool in 'async with'")
        return self._connector

    @property
    def deadlines(self) -> Deadlines:
        """The open deadlines of the requests.

        Raises:
            RuntimeError: the pool is not open.
        """
        if self._deadlines is None:
            raise RuntimeError("use the pool in 'async with'")
        return self._deadlines


class _Names(AbstractResolver):
    """A resolver that takes `localhost` for this machine, and asks the system for other names."""

    def __init__(self) -> None:
        self._here = ThisMachine()
        # Threads look names up, and the files of a run are synced by the same few threads.
        self._turns = asyncio.Semaphore(_LOOK_UPS)
        self._others = aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        if host == "localhost":
            return await self._here.resolve(host, port, family)
        async with self._turns:
            return await self._others.resolve(host, port, family)

    async def close(self) -> None:
        """Close the resolver of the other names."""
        await self._others.close()


def connections(workers: int, lanes: int, *, files: int = 0) -> int:
    """Most open connections of some lanes: one for each request in flight, if the system allows.

    Args:
        workers: most requests in flight of a lane.
        lanes: number of lanes.
        files: most open files of a lane beside its connections.

    Raises:
        ConfigError: the system allows too few open files for a connection of each lane.
    """
    # One more for what each lane asks beside its rows.
    wanted = lanes * (workers + 1) or 1
    if lanes <= 1:
        return wanted
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return wanted
    left = allowed - _OWN - lanes * files
    if left < lanes:
        needed = _OWN + lanes * (files + 1)
        raise ConfigError(
            f"{lanes:,} accounts need {needed:,} open files, and {allowed:,} are allowed: set"
            f" ulimit -n {needed}"
        )
    return min(wanted, left)
