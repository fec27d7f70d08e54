"""A connection is used again only where it is certain whose answer comes next."""

import asyncio
import base64
import contextlib
import json
import math
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import trustme

from bulkupdate import errors
from bulkupdate.context import CONNECT_LATE, START_UNTIL, PermitExpiredError
from bulkupdate.engine.limiter import NoLimiter, permitted
from bulkupdate.lemlist import connections
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import Task, TaskUpdate

REFUSED = b"HTTP/1.1 400 No\r\nContent-Length: 8\r\n\r\nBad team"


def task(id_: str, **more: str) -> bytes:
    text = json.dumps({"_id": id_, **more})
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def header(head: bytes, name: bytes) -> bytes:
    """The value of a header, or nothing."""
    at = head.lower().find(b"\r\n" + name) + 2
    return head[at + len(name) :].partition(b"\r\n")[0] if at > 1 else b""


class Server:
    """A server whose answers are scripted.

    Attributes:
        requests: the number of the connection of each request, and its task (of a GET: its path).
        keys: the key of each request.
        most: most connections that were open at once.
        pause: seconds before each answer.
        open: the writers of the open connections.
    """

    def __init__(self, answer: Callable[[str], bytes]) -> None:
        self.answer = answer
        self.requests: list[tuple[int, str]] = []
        self.keys: list[str] = []
        self.open: list[asyncio.StreamWriter] = []
        self.most = 0
        self.pause = 0.0
        self._numbers: Iterator[int] = iter(range(1, 10_000))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        self.open.append(writer)
        self.most = max(self.most, len(self.open))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.keys.append(
                    base64.b64decode(header(head, b"authorization: basic ")).decode()[1:]
                )
                if length := int(header(head, b"content-length:") or 0):
                    subject = json.loads(await reader.readexactly(length))["id"]
                else:
                    subject = head.split()[1].decode()
                self.requests.append((number, subject))
                await asyncio.sleep(self.pause)
                writer.write(self.answer(subject))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.open.remove(writer)


@asynccontextmanager
async def client_of(
    answer: Callable[[str], bytes], connections: int = 1
) -> AsyncIterator[tuple[TaskClient, Server]]:
    async with (
        serving(answer) as (url, server),
        TaskClient(endpoint(url), connections=connections) as client,
    ):
        yield client, server


@asynccontextmanager
async def sharing(
    answer: Callable[[str], bytes], connections: int = 1, timeout: float = 5
) -> AsyncIterator[tuple[TaskClient, TaskClient, Server]]:
    """Two clients with a key each, the second with this timeout, that share a pool."""
    async with (
        serving(answer) as (url, server),
        ConnectionPool(connections=connections) as pool,
        TaskClient(endpoint(url, "k3y-of-acme"), pool=pool) as acme,
        TaskClient(endpoint(url, "k3y-of-globex", timeout), pool=pool) as globex,
    ):
        yield acme, globex, server


def endpoint(url: str, key: str = "s3cr3t-k3y", timeout: float = 5) -> Endpoint:
    return Endpoint(api_key=ApiKey(key), base_url=url, timeout=timeout)


@asynccontextmanager
async def serving(answer: Callable[[str], bytes]) -> AsyncIterator[tuple[str, Server]]:
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", server
        # A connection that was just made may not have reached the server's code yet.
        await asyncio.sleep(0.005)
        while server.open:
            await asyncio.sleep(0.001)


async def ask(client: TaskClient, id_: str, *, anew: bool = False) -> Answer[Task]:
    return await client.send(TaskUpdate(id=id_, title="T"), anew=anew)


def failure(answer: Answer[Task]) -> errors.TaskError:
    assert answer.error is not None
    return answer.error


async def test_confirming_answers_share_a_connection() -> None:
    """Updates of different tasks, each confirmed, need one connection."""
    async with client_of(task) as (client, server):
        for id_ in ("a", "b", "c"):
            assert (await ask(client, id_)).value is not None
    assert server.requests == [(1, "a"), (1, "b"), (1, "c")]


async def test_updates_of_one_task_never_share_a_connection() -> None:
    """A second answer to an earlier update of a task would confirm a later one."""
    async with client_of(task, connections=2) as (client, server):
        for id_ in ("a", "b", "a", "b", "c"):
            await ask(client, id_)
    assert server.requests == [(1, "a"), (1, "b"), (2, "a"), (2, "b"), (1, "c")]


def connecting_late(patch: pytest.MonkeyPatch) -> None:
    """Let a permit expire while a connection is made."""
    connect = aiohttp.TCPConnector._create_connection

    async def slow(*arguments: Any) -> Any:
        made = await connect(*arguments)
        START_UNTIL.set(0.0)
        return made

    patch.setattr(aiohttp.TCPConnector, "_create_connection", slow)


async def anew(client: TaskClient) -> object:
    return await ask(client, "a", anew=True)


@pytest.mark.parametrize("first", [anew, TaskClient.team])
async def test_expired_permit_sends_nothing(
    first: Callable[[TaskClient], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose permit has expired is not sent, over a new connection or an idle one.

    A connection that took too long is there for the next request.
    """
    async with client_of(task, connections=2) as (client, server):
        with monkeypatch.context() as patch:
            connecting_late(patch)
            with pytest.raises(PermitExpiredError):
                await first(client)
        for use in (ask(client, "a"), client.team()):
            with pytest.raises(PermitExpiredError):
                await use
        START_UNTIL.set(time.monotonic() + 60)
        await first(client)
        await ask(client, "b")
        START_UNTIL.set(0.0)
        with pytest.raises(PermitExpiredError):
            await ask(client, "c")
    assert len(server.requests) == 2
    assert server.requests[0][0] == 1


async def test_request_is_late_only_where_its_connection_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With another permit, a connection may take as long as it does. An idle one may not wait."""
    connecting_late(monkeypatch)
    async with client_of(task, connections=2) as (client, server):
        CONNECT_LATE.set(math.inf)
        START_UNTIL.set(time.monotonic() + 60)
        await ask(client, "a")
        with pytest.raises(PermitExpiredError):
            await ask(client, "b")
    assert [id_ for _, id_ in server.requests] == ["a"]


@pytest.mark.parametrize("earlier", [[], ["0"]])
async def test_request_that_expires_in_a_full_pool_lets_the_next_one_go(earlier: list[str]) -> None:
    """A connection that becomes free goes to a request that may still use it."""

    async def asked(id_: str, until: float) -> object:
        START_UNTIL.set(time.monotonic() + until)
        return await ask(client, id_)

    async with client_of(task, connections=1) as (client, server):
        for id_ in earlier:
            await asked(id_, 60)
        server.pause = 0.3
        first = asyncio.create_task(asked("a", 60))
        await asyncio.sleep(0.05)
        expired = [asyncio.create_task(asked(id_, 0.05)) for id_ in ("b", "c", "d")]
        last = asyncio.create_task(asked("e", 60))
        for one in expired:
            with pytest.raises(PermitExpiredError):
                await one
        async with asyncio.timeout(3):
            await asyncio.gather(first, last)
    assert [id_ for _, id_ in server.requests] == [*earlier, "a", "e"]


@pytest.mark.parametrize("earlier", [[], ["0"]])
async def test_request_may_wait_in_a_full_pool_for_as_long_as_it_may_be_late(
    earlier: list[str],
) -> None:
    """With another permit, a request may wait until a connection is left."""
    async with client_of(task, connections=1) as (client, server):
        for id_ in earlier:
            await ask(client, id_)
        server.pause = 0.2
        first = asyncio.create_task(ask(client, "a"))
        await asyncio.sleep(0.05)
        START_UNTIL.set(time.monotonic() + 0.05)
        CONNECT_LATE.set(60.0)
        assert (await ask(client, "b")).error is None
        await first


async def test_idle_connections_take_turns() -> None:
    """Those that a peak needed stay in use, and so stay open for the next peak."""
    async with client_of(task, connections=4) as (client, server):
        await asyncio.gather(*(ask(client, f"peak{n}") for n in range(4)))
        for n in range(8):
            await ask(client, f"later{n}")
    assert len({number for number, _ in server.requests[:4]}) == 4
    assert sorted(number for number, _ in server.requests[4:]) == [1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(REFUSED, id="a refusal"),
        pytest.param(task("other"), id="another task"),
        pytest.param(task("a", title="not T"), id="a different value"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", id="no task"),
        pytest.param(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", id="an error"),
        pytest.param(task("a") + REFUSED, id="two answers"),
    ],
)
async def test_any_other_answer_closes_its_connection(answer: bytes) -> None:
    """Only an answer that confirms, alone, leaves its connection for the next request."""
    async with client_of(lambda id_: answer if id_ == "a" else task(id_)) as (client, server):
        await ask(client, "a")
        await asyncio.sleep(0.01)
        assert (await ask(client, "b")).value is not None
    assert server.requests == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("late", [task("a"), REFUSED, b"H"], ids=["task", "refusal", "a byte"])
async def test_byte_on_an_idle_connection_closes_it(late: bytes) -> None:
    """What arrives while nothing was asked is not taken for the next answer."""
    async with client_of(task) as (client, server):
        await ask(client, "a")
        server.open[0].write(late)
        await asyncio.sleep(0.02)
        assert (await ask(client, "b")).value is not None
    assert server.requests == [(1, "a"), (2, "b")]


async def test_refusal_on_a_used_connection_is_in_question() -> None:
    """A refusal names no task, so it counts only as the first answer of its connection."""
    async with client_of(lambda id_: REFUSED if id_ == "b" else task(id_)) as (client, server):
        await ask(client, "a")
        doubtful = failure(await ask(client, "b"))
        certain = failure(await ask(client, "b", anew=True))
    assert (type(doubtful), doubtful.is_in_question, doubtful.ambiguous) == (
        errors.BadRequestError, True, True,
    )  # fmt: skip
    assert (certain.is_in_question, certain.ambiguous) == (False, False)
    assert server.requests == [(1, "a"), (1, "b"), (2, "b")]


async def test_answer_of_an_earlier_request_is_never_the_next_ones() -> None:
    """An answer too many that comes after the next request is another task's, or in question."""
    late = iter([b"", task("a"), REFUSED])
    async with client_of(lambda id_: next(late) + task(id_)) as (client, _):
        await ask(client, "a")
        assert "another Task: 'a'" in failure(await ask(client, "b")).message
        # A first answer: the connection is new.
        assert not failure(await ask(client, "c")).is_in_question


async def test_rest_of_a_cut_answer_is_nobodys() -> None:
    """The rest of an answer too many, whose beginning came before, is no answer."""
    answers = iter([task("a") + REFUSED[:9], REFUSED[9:] + task("b")])
    async with client_of(lambda _: next(answers)) as (client, _):
        await ask(client, "a")
        with pytest.raises(errors.BadResponseError, match="not an HTTP answer"):
            await ask(client, "b")


async def test_request_anew_uses_no_connection_again() -> None:
    """An attempt after a doubtful one goes on a connection that carried nothing."""
    async with client_of(task, connections=3) as (client, server):
        await ask(client, "a")
        await ask(client, "b", anew=True)
    assert server.requests == [(1, "a"), (2, "b")]


async def test_rows_of_one_task_keep_no_more_connections_open() -> None:
    """A new connection takes the place of an idle one."""
    async with client_of(task, connections=4) as (client, server):
        for _ in range(40):
            await ask(client, "a")
            await asyncio.sleep(0.001)
    assert len({number for number, _ in server.requests}) == 40
    assert server.most <= 5  # one may still be closing


async def test_connection_carries_a_bounded_number_of_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ids that a connection remembers are bounded."""
    monkeypatch.setattr(connections, "MAX_REQUESTS", 3)
    async with client_of(task) as (client, server):
        for n in range(7):
            await ask(client, f"opp_{n}")
    assert [number for number, _ in server.requests] == [1, 1, 1, 2, 2, 2, 3]


async def test_cancelled_request_closes_its_connection() -> None:
    """The answer to a request that was given up is never read as another's."""
    async with client_of(lambda id_: b"" if id_ == "a" else task(id_)) as (client, server):
        asking = asyncio.ensure_future(ask(client, "a"))
        while not server.requests:
            await asyncio.sleep(0.001)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        assert (await ask(client, "b")).value is not None
    assert server.requests == [(1, "a"), (2, "b")]


async def test_request_without_a_connection_was_not_sent() -> None:
    """A request that waited for a connection until its time was over has changed nothing."""
    async with client_of(lambda _: b"", connections=1) as (client, server):
        base_url = client._http._endpoint.base_url
        first = asyncio.ensure_future(ask(client, "a"))
        while not server.requests:
            await asyncio.sleep(0.001)
        client._http._endpoint = Endpoint(api_key="s3cr3t-k3y", base_url=base_url, timeout=0.1)
        with pytest.raises(errors.ConnectError, match="no connection in time") as caught:
            await ask(client, "b")
        first.cancel()
        await asyncio.wait([first])
    assert not caught.value.ambiguous
    assert server.requests == [(1, "a")]


async def test_url_that_no_request_can_be_made_for_was_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the HTTP library refuses before it sends is no doubt about the row."""

    async def refuse(*_: object, **__: object) -> None:
        raise aiohttp.InvalidURL("https://x y")

    monkeypatch.setattr(aiohttp.ClientSession, "_request", refuse)
    async with TaskClient(Endpoint(api_key="s3cr3t-k3y")) as client:
        with pytest.raises(errors.ConnectError, match="no request can be made") as caught:
            await ask(client, "a")
    assert not caught.value.ambiguous


PAGE = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"results": []}\n'


def task_or_page(subject: str) -> bytes:
    return PAGE if subject.startswith("/") else task(subject)


async def test_accounts_share_connections_and_keep_their_keys() -> None:
    """Updates with several keys go over one connection, each with its own key."""
    async with sharing(task) as (acme, globex, server):
        for client, id_ in ((acme, "a"), (globex, "b"), (acme, "c")):
            assert (await ask(client, id_)).value is not None
    assert server.requests == [(1, "a"), (1, "b"), (1, "c")]
    assert server.keys == ["k3y-of-acme", "k3y-of-globex", "k3y-of-acme"]


async def test_one_task_of_two_accounts_never_shares_a_connection() -> None:
    """A second answer to an update of one account would confirm that of the other."""
    async with sharing(task, connections=2) as (acme, globex, server):
        for client in (acme, globex):
            await ask(client, "a")
    assert server.requests == [(1, "a"), (2, "a")]


async def test_page_shares_no_connection_with_another_account() -> None:
    """A second answer to a page of one account would be taken for the other's tasks."""
    async with sharing(task_or_page, connections=4) as (acme, globex, server):
        await acme.page(0)
        await acme.page(1)
        await ask(globex, "a")  # its answer names the task
        await globex.page(2)
        await globex.page(3)
        await acme.page(4)
    assert [number for number, _ in server.requests] == [1, 1, 1, 2, 2, 3]


async def test_shared_pool_outlives_its_clients() -> None:
    """A client that ends leaves the connections to the others, and a closed pool sends nothing."""
    async with serving(task) as (url, server):
        async with ConnectionPool() as pool:
            for id_ in ("a", "b"):
                async with TaskClient(endpoint(url), pool=pool) as client:
                    await ask(client, id_)
        with pytest.raises(RuntimeError, match="async with"):
            await ask(client, "c")
    assert server.requests == [(1, "a"), (1, "b")]


async def test_clients_of_a_pool_keep_their_own_timeouts() -> None:
    """An account that gets no answer in its time takes no time from another account."""
    async with sharing(lambda _: b"", 2, timeout=0.3) as (acme, globex, server):
        patient = asyncio.ensure_future(ask(acme, "a"))
        with pytest.raises(errors.RequestTimeoutError):
            await ask(globex, "b")
        assert not patient.done()
        for writer in server.open:
            writer.write(task("a"))
        assert (await patient).value is not None


class Paused(asyncio.Transport):
    """A transport that knows whether it reads."""

    is_reading_now = True

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True


async def test_long_answer_is_taken_in_parts() -> None:
    """A connection that brings more than is taken from it is paused, and goes on after that."""
    loop = asyncio.get_running_loop()
    channel, transport = connections._Channel(loop), Paused()
    channel.connection_made(transport)
    channel.set_response_params(timer=aiohttp.helpers.TimerNoop(), read_until_eof=True)
    part = 1 << 20
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {2 * part}\r\n\r\n"
    channel.data_received(head.encode() + b"x" * part)
    _, body = await channel.read()
    assert not transport.is_reading_now
    taken = await body.read(part)
    while len(taken) < part:
        taken += await body.read(part)
    assert transport.is_reading_now
    channel.data_received(b"y" * part)
    assert await body.read() == b"y" * part


class Making:
    """The making of connections, which waits while the gate is closed.

    Attributes:
        gate: lets connections be made.
        now: number of connections in the making.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, beginning: float = 60.0) -> None:
        monkeypatch.setattr(connections, "BEGINNING", beginning)
        self.gate = asyncio.Event()
        self.now = 0
        make = aiohttp.TCPConnector._create_connection

        async def waiting(connector: Any, *arguments: Any) -> Any:
            self.now += 1
            try:
                await self.gate.wait()
                return await make(connector, *arguments)
            finally:
                self.now -= 1

        monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", waiting)


@pytest.mark.slow
async def test_few_connections_are_made_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is late makes no connection for each request: the others wait their turn."""
    making = Making(monkeypatch)
    async with client_of(task, connections=200) as (client, server):
        server.pause = 2.0
        asked = [asyncio.create_task(ask(client, f"opp_{n}")) for n in range(100)]
        await asyncio.sleep(0.05)
        assert making.now == connections.MOST_BEGUN
        making.gate.set()
        # No connection is left meanwhile: one that is made lets the next one be made.
        async with asyncio.timeout(1.9):
            while len(server.open) < 100:
                await asyncio.sleep(0.001)
        assert all(answer.error is None for answer in await asyncio.gather(*asked))
        assert len(server.requests) == 100


async def test_connection_that_waits_for_the_network_delays_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where connecting takes long, all that are needed are made side by side."""
    making = Making(monkeypatch, connections.BEGINNING)
    async with client_of(task, connections=200) as (client, _):
        asked = [asyncio.create_task(ask(client, f"opp_{n}")) for n in range(100)]
        async with asyncio.timeout(2):
            while making.now < 100:
                await asyncio.sleep(0.001)
        making.gate.set()
        assert all(answer.error is None for answer in await asyncio.gather(*asked))


@pytest.mark.parametrize("cancelled", [1, 3])
async def test_request_that_is_cancelled_as_it_is_woken_wakes_the_next(cancelled: int) -> None:
    """A connection that is left for a request that goes away is there for the next one."""
    async with client_of(task) as (client, server):
        await ask(client, "opp_0")
        server.pause = 0.1
        gone: list[asyncio.Task[Answer[Task]]] = []

        async def first() -> None:
            await ask(client, "opp_first")
            # In the same turn of the event loop, they have been woken, and have not gone on.
            for one in gone:
                one.cancel()

        waking = asyncio.create_task(first())
        await asyncio.sleep(0.02)
        gone += [asyncio.create_task(ask(client, f"opp_{n}")) for n in range(1, cancelled + 1)]
        await asyncio.sleep(0.01)
        last = asyncio.create_task(ask(client, "opp_last"))
        async with asyncio.timeout(1):
            await waking
            assert (await last).error is None


async def test_waiting_and_connecting_take_half_of_the_time_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request that waited for a connection has only the rest of its time to make one."""
    async with sharing(task, connections=1, timeout=1.6) as (acme, globex, server):
        await ask(acme, "opp_a")
        await ask(globex, "opp_b")
        server.pause = 0.5
        server.answer = lambda id_: REFUSED if id_ == "opp_c" else task(id_)
        closed = asyncio.create_task(ask(acme, "opp_c"))
        await asyncio.sleep(0.01)
        Making(monkeypatch)
        began = time.monotonic()
        with pytest.raises(errors.ConnectError):
            await ask(globex, "opp_d")
        assert time.monotonic() - began < 1.2
        await closed


async def test_first_permit_of_a_task_is_not_late() -> None:
    """A task that was started within a request that may be late has no such request itself."""
    CONNECT_LATE.set(5.0)
    late: list[float] = []

    async def use(_: object) -> None:
        late.append(CONNECT_LATE.get())

    await permitted(NoLimiter(), use)
    assert late == [0.0]


@pytest.mark.parametrize("before", [[], ["opp_again"]])
async def test_request_takes_a_connection_that_is_left_while_others_are_made(
    before: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that would make one too many takes the first one that becomes idle instead.

    One that waits before it and needs a new connection does not keep it from that.
    """
    async with client_of(task, connections=200) as (client, server):
        server.pause = 0.1
        first = asyncio.create_task(ask(client, "opp_first"))
        await asyncio.sleep(0.05)
        making = Making(monkeypatch)
        others = [
            asyncio.create_task(ask(client, f"opp_{n}")) for n in range(connections.MOST_BEGUN)
        ]
        await asyncio.sleep(0)
        others += [asyncio.create_task(ask(client, id_, anew=True)) for id_ in before]
        await asyncio.sleep(0)
        last = asyncio.create_task(ask(client, "opp_last"))
        await first
        async with asyncio.timeout(1):
            assert (await last).error is None
        assert server.requests == [(1, "opp_first"), (1, "opp_last")]
        making.gate.set()
        await asyncio.gather(*others)


async def test_request_waits_for_no_connection_to_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server to which no connection can be made keeps nobody from the others."""
    making = Making(monkeypatch)
    async with serving(task) as (url, _), ConnectionPool(connections=200) as pool:
        here = url.replace("127.0.0.1", "localhost")
        async with (
            TaskClient(endpoint(url), pool=pool) as slow,
            TaskClient(endpoint(here), pool=pool) as quick,
        ):
            waiting = [asyncio.create_task(ask(slow, f"opp_{n}")) for n in range(50)]
            await asyncio.sleep(0.01)
            other = asyncio.create_task(ask(quick, "opp_other"))
            await asyncio.sleep(0.01)
            assert making.now == connections.MOST_BEGUN + 1
            making.gate.set()
            await asyncio.gather(other, *waiting)


async def test_connection_that_fails_lets_the_next_one_be_made() -> None:
    """Where no connection can be made, each request says so."""
    async with serving(task) as (url, _):
        pass
    async with TaskClient(endpoint(url), connections=200) as client:
        asked = [ask(client, f"opp_{n}") for n in range(100)]
        found = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert {type(error) for error in found} == {errors.ConnectError}


async def test_request_that_waits_in_vain_was_not_sent() -> None:
    """A request that gets no connection in half of its time says so: nothing was applied."""
    async with sharing(task, timeout=1.0) as (acme, globex, server):
        await ask(acme, "opp_a")
        await ask(globex, "opp_b")
        server.pause = 1.0
        long = asyncio.create_task(ask(acme, "opp_c"))
        await asyncio.sleep(0.01)
        async with asyncio.timeout(0.9):
            with pytest.raises(errors.ConnectError, match="no connection in time"):
                await ask(globex, "opp_d")
        await long
        assert [subject for _, subject in server.requests] == ["opp_a", "opp_b", "opp_c"]


async def test_answer_of_very_many_chunks_is_read_whole() -> None:
    """A connection is paused where chunks are too many, and goes on once they are taken."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(header(head, b"content-length:"))
                subject = json.loads(await reader.readexactly(length))["id"]
                body = json.dumps({"_id": subject, "pad": "x" * 16_500}).encode()
                # One more than aiohttp takes before it pauses.
                many, rest = body[:16_385], body[16_385:]
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b"".join(b"1\r\n%c\r\n" % byte for byte in many))
                await writer.drain()
                await asyncio.sleep(0.3)
                writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, TaskClient(endpoint(url, timeout=2), connections=1) as client:
        for id_ in ("opp_a", "opp_b"):
            assert (await ask(client, id_)).error is None


class Tunnels:
    """A proxy that makes tunnels to one port of this machine, for a user with a password.

    Attributes:
        heads: the head of each request for a tunnel.
    """

    def __init__(self, port: int) -> None:
        self.heads: list[bytes] = []
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._copy(reader, back))
            group.create_task(self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        writer.close()


async def test_tunnel_of_a_proxy_carries_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests through a proxy go over a tunnel that is idle, and tell only the server the key."""
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("a.example").configure_cert(theirs)
    # aiohttp makes it once, when it is imported.
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ours)
    made, request = list[str](), aiohttp.ClientSession.request

    def counted(*arguments: Any, **options: Any) -> Any:
        made.append(arguments[1])
        return request(*arguments, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "request", counted)
    server = Server(lambda id_: REFUSED if id_ == "opp_2" else task(id_))
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=theirs) as listener:
        tunnels = Tunnels(listener.sockets[0].getsockname()[1])
        async with await asyncio.start_server(tunnels.serve, "127.0.0.1", 0) as proxy:
            port = proxy.sockets[0].getsockname()[1]
            monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{port}")
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            through = replace(endpoint("https://a.example"), use_proxy=True)
            async with TaskClient(through, connections=2) as client:
                found = [await ask(client, f"opp_{n}") for n in range(5)]
                together = await asyncio.gather(*(ask(client, f"opp_1{n}") for n in range(6)))
    assert [answer.status for answer in found] == [200, 200, 400, 200, 200]
    assert [answer.value and answer.value.id for answer in together] == [
        f"opp_1{n}" for n in range(6)
    ]
    # The refusal closed its tunnel, and a second one was made for those together.
    assert [number for number, _ in server.requests[:5]] == [1, 1, 1, 2, 2]
    assert {number for number, _ in server.requests[5:]} == {2, 3}
    assert len(tunnels.heads) == 3
    # Only what needs a new one is left to aiohttp.
    assert made == ["PATCH"] * 3
    assert {header(head, b"proxy-authorization: basic ") for head in tunnels.heads} == {
        base64.b64encode(b"user:pass")
    }
    assert not any(header(head, b"authorization: basic ") for head in tunnels.heads)
    assert set(server.keys) == {"s3cr3t-k3y"}
