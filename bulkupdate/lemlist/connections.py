"""Connections that are used again only where it is certain whose answer comes next.

HTTP/1.1 has no number that ties an answer to its request: the next bytes on a connection *are* the
answer to the last request. A server or a proxy that answers one request twice puts every later
answer of that connection one place off. So:

- A connection is used again only after its last answer was *kept*: read whole, and found to
  confirm what was asked. Every other answer closes it.
- A byte that arrives while no request is out closes it.
- It carries at most one request of a subject (a task). Its late second answer would fit.
- A right answer that names no subject, such as a page of tasks, fits every account. So such a
  request goes over a connection without requests of other accounts.
- An answer that refuses names no task. It counts only as the first answer of a connection; else
  its request is made anew, on a new one (see `HttpClient.call`).
"""

import socket
import time
from collections import defaultdict
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from bulkupdate.context import CONNECT_LATE, START_UNTIL, PermitExpiredError

#: Most requests on one connection. It bounds the subjects that are remembered.
MAX_REQUESTS = 1000

#: Most connections to a server that are begun within `BEGINNING` seconds and not made by then. Each
#: costs as much CPU as several requests. In a process that was late, hundreds of requests would
#: each make one, and so make it later. Those that wait take what others leave meanwhile. While idle
#: connections fit nobody, this has no effect.
MOST_BEGUN = 16
BEGINNING = 0.01

#: The status of an answer after which a connection speaks another protocol.
_SWITCHING_PROTOCOLS = 101

#: Our own deadlines interrupt a request that is late.
_NO_TIMER = TimerNoop()

#: Stands for the accounts of a connection that has carried requests of more than one.
_SEVERAL = object()


class Exchange:
    """One request and its answer, on one connection.

    Args:
        subject: what the request is about, as the id of a task.
        account: what all requests with one key have in common, and no others.
        is_named: whether the right answer names the subject.
        anew: whether the request needs a connection that carried no other.

    Attributes:
        is_first: whether no other request was on the connection before.
        route: what aiohttp keeps its idle connections by; None before there was a connection.
        waited: seconds for which it has waited for a connection that was left.
    """

    __slots__ = (
        "_channel", "_connection", "account", "anew", "is_first", "is_named", "route", "subject",
        "waited",
    )  # fmt: skip

    def __init__(
        self, subject: str, account: object = None, *, is_named: bool = True, anew: bool = False
    ) -> None:
        self.subject = subject
        self.account = account
        self.is_named = is_named
        self.anew = anew
        self.is_first = True
        self.waited = 0.0
        self.route: ConnectionKey | None = None
        self._channel: _Channel | None = None
        self._connection: Connection | None = None

    @property
    def has_connection(self) -> bool:
        """Whether there was a connection. Without one, nothing was sent."""
        return self._channel is not None

    def begin(self, channel: "_Channel", route: ConnectionKey) -> None:
        """Take the connection."""
        self.route = route
        self.is_first = not channel.subjects
        if self.is_first:
            channel.account = self.account
        elif channel.account is not self.account:
            channel.account = _SEVERAL
        channel.subjects.add(hash(self.subject))
        channel.is_idle = channel.was_paused = False
        self._channel = channel

    async def ask(
        self, connection: Connection, request: bytes
    ) -> tuple[RawResponseMessage, StreamReader]:
        """Send a request over an idle connection that was taken for this exchange.

        aiohttp's own way makes a request, a writer, a task, a timer, a parser and a response for
        it, for a third of the CPU of a row. What is sent and how it is read is the same.

        Args:
            connection: the connection.
            request: the whole request.

        Returns:
            The head of the answer, and its body as far as it is there.
        """
        channel = self._channel
        if channel is None or channel.transport is None:
            raise aiohttp.ClientConnectionError("the connection is closed")
        self._connection = connection
        # A parser of its own for each answer: the one before may hold a part of an answer too many.
        channel.set_response_params(timer=_NO_TIMER, read_until_eof=True, auto_decompress=False)
        channel.transport.write(request)
        while True:
            head, body = await channel.read()
            if not 100 <= head.code < 200 or head.code == _SWITCHING_PROTOCOLS:
                return head, body

    def keep(self) -> None:
        """Leave the connection for other requests: the answer was the right one."""
        if self._channel is not None:
            self._channel.is_idle = True
        if self._connection is not None:
            self._connection.release()

    def close(self) -> None:
        """Close the connection: what comes next on it is not certain."""
        if self._channel is not None:
            self._channel.close()
        if self._connection is not None:
            self._connection.close()


#: The exchange for which the current task asks for a connection.
exchange: ContextVar[Exchange] = ContextVar("exchange")


class _Channel(ResponseHandler):
    """A connection, with the subjects of its requests.

    Attributes:
        subjects: the hashes of the subjects of the requests so far: they take half of the memory,
            and two that are equal cost a connection at most.
        account: the account of all of them, or `_SEVERAL`.
        is_idle: whether its last answer was kept, and no request is out.
        was_paused: whether it has been paused since the last request.
    """

    subjects: set[int]
    account: object = None
    is_idle = False
    was_paused = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.subjects = set()

    @property
    def is_used_up(self) -> bool:
        """Whether it must not carry another request."""
        return not self.is_connected() or self.should_close or len(self.subjects) >= MAX_REQUESTS

    def fits(self, wanted: Exchange) -> bool:
        """Whether it may carry a request, as far as its earlier ones are concerned."""
        return (
            (not wanted.anew or not self.subjects)
            and hash(wanted.subject) not in self.subjects
            and (wanted.is_named or not self.subjects or self.account is wanted.account)
        )

    def pause_reading(self) -> None:
        """Read no more until some of it is taken."""
        self.was_paused = True
        super().pause_reading()

    def resume_reading(self, *arguments: Any, **options: Any) -> None:
        """Go on reading. aiohttp calls it for each body that is taken, though it never paused.

        Once it has paused during an answer, its parser may hold more of it than it says.
        """
        if self.was_paused:
            super().resume_reading(*arguments, **options)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the server. Nobody waits for any on an idle connection."""
        if self.is_idle:
            self.close()
            return
        super().data_received(data)


def _check_permit(late: float = 0.0) -> None:
    """Check that the permit of the request that starts now has not expired.

    Args:
        late: seconds by which the request may start late.

    Raises:
        PermitExpiredError: it has.
    """
    if time.monotonic() > START_UNTIL.get() + late:
        raise PermitExpiredError("too late for a request")


class Connections(aiohttp.TCPConnector):
    """A pool of connections, for requests that have set `exchange`.

    Args:
        limit: most open connections.
        **options: as for `aiohttp.TCPConnector`.
    """

    def __init__(self, *, limit: int, **options: Any) -> None:
        super().__init__(limit=limit, **options)
        #: A mark for each connection that was just begun, by what aiohttp keeps its idle ones by.
        self._begun: defaultdict[ConnectionKey, set[object]] = defaultdict(set)
        loop = self._loop
        self._factory: Any = lambda: _Channel(loop)

    async def _create_connection(self, *arguments: Any) -> ResponseHandler:
        """A new connection for the current exchange.

        Raises:
            PermitExpiredError: it took too long. The connection is there for the next request.
        """
        # aiohttp adds a header for a proxy to it later. What is idle is looked for under this one.
        route = arguments[0].connection_key
        mark = object()
        self._begun[route].add(mark)
        # What takes longer waits for the network, which costs nothing.
        timer = self._loop.call_later(BEGINNING, self._forget_begun, route, mark)
        try:
            channel = await super()._create_connection(*arguments)
        finally:
            timer.cancel()
            self._forget_begun(route, mark)
        if not isinstance(channel, _Channel):
            raise AssertionError("aiohttp made a connection of another class")
        try:
            _check_permit(CONNECT_LATE.get())
        except PermitExpiredError:
            channel.is_idle = True
            self._release(route, channel)
            raise
        exchange.get().begin(channel, route)
        return channel

    def _available_connections(self, key: ConnectionKey) -> int:
        """Number of connections that may be taken or made; 0 or less where a request waits."""
        if len(self._begun[key]) >= MOST_BEGUN and not self._conns.get(key):
            return 0
        return super()._available_connections(key)

    def _forget_begun(self, route: ConnectionKey, mark: object) -> None:
        """Let another connection be begun. A second call for the same one does no harm."""
        self._begun[route].discard(mark)
        self._release_waiter()

    async def _wait_for_available_connection(self, *arguments: Any) -> None:
        """Wait for a connection that is left, or that may be made."""
        try:
            await super()._wait_for_available_connection(*arguments)
        except BaseException:
            # It may have been woken in the same moment.
            self._release_waiter()
            raise

    def _release(self, key: ConnectionKey, *arguments: Any, **options: Any) -> None:
        """Take a connection back. A request that waits may have it, if it is idle now."""
        super()._release(key, *arguments, **options)
        if self._waiters:
            self._release_waiter()

    async def _get(self, key: Any, traces: Any) -> Connection | None:  # noqa: ARG002 - none is set
        """An idle connection for the current exchange, or None.

        Raises:
            PermitExpiredError: it took too long until one was free.
        """
        self._check_wait()
        return self._idle_or_next(key, exchange.get())

    def take_idle(self, key: ConnectionKey, wanted: Exchange) -> Connection | None:
        """An idle connection for an exchange, or None.

        Raises:
            PermitExpiredError: it is too late for the request.
        """
        _check_permit()
        return self._idle(key, wanted)

    def has_room(self, key: ConnectionKey) -> bool:
        """Whether a request need not wait for a connection."""
        return self._available_connections(key) > 0

    async def wait_for_idle(self, key: ConnectionKey, wanted: Exchange) -> Connection | None:
        """An idle connection for an exchange, once there is one; None if one may be made instead.

        Raises:
            PermitExpiredError: it took too long.
        """
        await self._wait_for_available_connection(key, [])
        self._check_wait()
        return self._idle_or_next(key, wanted)

    def _idle_or_next(self, key: ConnectionKey, wanted: Exchange) -> Connection | None:
        """An idle connection for an exchange; if none fits it, another request is woken."""
        connection = self._idle(key, wanted)
        if connection is None and self._waiters and self._conns.get(key):
            self._release_waiter()
        return connection

    def _check_wait(self) -> None:
        """Check that the permit of a request that may have waited has not expired."""
        try:
            _check_permit(CONNECT_LATE.get())
        except PermitExpiredError:
            # What was free for this request is free for another one that waits.
            self._release_waiter()
            raise

    def _idle(self, key: ConnectionKey, wanted: Exchange) -> Connection | None:
        idle: Any = self._conns.get(key)
        if not idle:
            return None
        oldest = time.monotonic() - (self._keepalive_timeout or 0.0)
        # In turn, so that all that a peak needs stay open for the next one: in a process that is
        # late, new connections would make it later.
        for _ in range(len(idle)):
            channel, since = idle.popleft()
            if since < oldest or channel.is_used_up:
                channel.close()
            elif not (channel.is_idle and channel.fits(wanted)):
                idle.append((channel, since))
            else:
                wanted.begin(channel, key)
                self._acquired.add(channel)
                return Connection(self, key, channel, self._loop)
        if idle and len(idle) + len(self._acquired) >= self._limit:
            # A new connection takes the place of the one that has been idle for longest.
            idle.popleft()[0].close()
        return None


class ThisMachine(AbstractResolver):
    """A resolver for `http://localhost`: whatever a hosts file says, the key stays here."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The loopback addresses."""
        families = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=one, proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for one, address in families.items()
            if family in (one, socket.AF_UNSPEC)
        ]  # fmt: skip

    async def close(self) -> None:
        """Close nothing: it holds nothing."""
