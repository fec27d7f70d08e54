"""A relay between a client and a server, which can cut the network between them."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Self


class Relay:
    """A relay to a port of this machine, for an `async with`.

    Args:
        port: the port.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._is_cut = False
        self._joined: set[asyncio.Task[None]] = set()
        self._goes = asyncio.Event()
        self._goes.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._joined:
            task.cancel()
        await asyncio.gather(*self._joined, return_exceptions=True)

    def through(self, dsn: str) -> str:
        """A DSN that leads through the relay."""
        return dsn.replace(f":{self._to}/", f":{self.port}/")

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Let nothing through during a block. Connections stay open, as with a cut cable."""
        self._goes.clear()
        try:
            yield
        finally:
            self._goes.set()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._joined.add(task)
            task.add_done_callback(self._joined.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._goes.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, back))
                group.create_task(self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._goes.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
