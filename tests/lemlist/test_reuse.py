"""A request over an idle connection is sent and read as one over a new connection."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bulkupdate import errors
from bulkupdate.lemlist.connections import Connections
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import TaskUpdate

OK = b"HTTP/1.1 200 OK\r\n"
TASK = b'{"_id": "opp_b", "title": "T"}'
WHOLE = OK + b"Content-Length: 30\r\n\r\n" + TASK


class Script:
    """A server that confirms the update of `opp_a`, and answers that of `opp_b` by these parts.

    Attributes:
        received: the requests, byte by byte.
        connections: the number of connections so far.
    """

    def __init__(self, *parts: bytes, ends: bool = False) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self._parts = parts
        self._ends = ends

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                self.received.append(head + await reader.readexactly(length))
                if b"opp_a" in self.received[-1]:
                    writer.write(WHOLE.replace(b"opp_b", b"opp_a"))
                    continue
                for part in self._parts:
                    writer.write(part)
                    await asyncio.sleep(0.002)
                if self._ends:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()


@asynccontextmanager
async def client_of(script: Script, timeout: float = 5) -> AsyncIterator[TaskClient]:
    listener = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/api"
    async with listener:
        async with TaskClient(Endpoint(api_key="s3cr3t", base_url=url, timeout=timeout)) as client:
            yield client
        await asyncio.sleep(0.01)


async def outcome(script: Script, *, is_reused: bool, timeout: float = 5) -> tuple[object, ...]:
    """What comes of the update of `opp_b`, over the connection of `opp_a` or over a new one."""
    async with client_of(script, timeout) as client:
        await client.update(TaskUpdate(id="opp_a", title="T"))
        try:
            answer = await client.send(TaskUpdate(id="opp_b", title="T"), anew=not is_reused)
        except errors.TaskError as error:
            found: tuple[object, ...] = type(error), error.message, error.status
        else:
            error_of, task = answer.error, answer.value
            found = (
                answer.status, answer.quota, task and (task.fields, task.mismatches),
                error_of and (type(error_of), error_of.message, error_of.retry_after),
            )  # fmt: skip
        connector = client._http._pool.connector
        assert isinstance(connector, Connections)
        await asyncio.sleep(0)
        assert not connector._acquired, "the connection was not given back"
    assert script.connections == (1 if is_reused else 2)
    return found


ANSWERS = {
    "a task": [WHOLE],
    "with a quota": [WHOLE.replace(b"OK\r\n", b"OK\r\nX-RateLimit-Remaining: 7\r\n")],
    "in parts": [WHOLE[:9], WHOLE[9:40], WHOLE[40:60], WHOLE[60:]],
    "chunked": [
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1e\r\n" + TASK + b"\r\n",
        b"0\r\n\r\n",
    ],
    "after others": [b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n", WHOLE],
    "compressed": [
        OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(TASK)
    ],
    "not as compressed as it says": [WHOLE.replace(b"OK\r\n", b"OK\r\nContent-Encoding: gzip\r\n")],
    "of another protocol": [b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc"],
    "without a body": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "throttled": [b"HTTP/1.1 429 Slow\r\nRetry-After: 1.5\r\nContent-Length: 0\r\n\r\n"],
    "a page": [b"HTTP/1.1 503 No\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"],
    "too long": [OK + b"Content-Length: 300000\r\n\r\n" + b" " * 300_000],
    "no HTTP": [b"SSH-2.0-OpenSSH\r\n"],
    "a header that is too long": [OK + b"X: " + b"x" * 9000 + b"\r\n\r\n"],
    "cut off in its head": [OK],
    "cut off in its body": [WHOLE[:-5]],
    "nothing": [],
}

ENDED = {"compressed", "cut off in its head", "cut off in its body", "nothing"}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answer_is_read_as_over_a_new_connection(name: str) -> None:
    """Each kind of answer has the same outcome, and its connection is given back."""
    ends = name in ENDED
    reused = await outcome(Script(*ANSWERS[name], ends=ends), is_reused=True)
    assert reused == await outcome(Script(*ANSWERS[name], ends=ends), is_reused=False)


async def test_answer_that_does_not_come_is_waited_for_as_long() -> None:
    """A request over an idle connection has the same time limit."""
    for is_reused in (True, False):
        # Half of it is for the connection, on a busy machine too.
        found = await outcome(Script(), is_reused=is_reused, timeout=0.4)
        assert found[0] is errors.RequestTimeoutError


async def test_every_request_is_sent_in_the_same_bytes() -> None:
    """What goes over an idle connection differs from aiohttp's own request in its body alone."""
    script = Script(WHOLE)
    async with client_of(script) as client:
        for id_ in ("opp_a", "opp_b"):
            await client.update(TaskUpdate(id=id_, title="T"))
    first, second = script.received
    assert script.connections == 1
    assert second == first.replace(b"opp_a", b"opp_b")


async def test_length_of_each_body_is_its_own() -> None:
    """A longer body over an idle connection arrives whole."""
    script = Script(WHOLE)
    async with client_of(script) as client:
        await client.update(TaskUpdate(id="opp_a", title="T"))
        await client.send(TaskUpdate(id="opp_b", title="T" * 200_000))
    assert script.received[1].endswith(b'T"}')
    assert len(script.received[1]) > 200_000


async def test_cancelled_request_gives_its_connection_back() -> None:
    """A request over an idle connection that is given up closes it."""
    script = Script()
    async with client_of(script) as client:
        await client.update(TaskUpdate(id="opp_a", title="T"))
        asking = asyncio.ensure_future(client.send(TaskUpdate(id="opp_b", title="T")))
        while len(script.received) < 2:
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.wait([asking])
        assert not client._http._pool.connector._acquired
        await client.update(TaskUpdate(id="opp_a", title="T"))
    assert script.connections == 2
