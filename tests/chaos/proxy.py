"""A server behind a proxy that answers too often, too late, in another order, or by half.

Every row is either applied or refused, whatever the proxy makes of the answer. So each result can
be compared with what became of its row.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from bulkupdate.engine.stream import update_tasks
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.models import Outcome, TaskUpdate

#: Longest time that an answer is late, in seconds.
LATEST = 0.02

#: The part of the answers that the proxy spoils, in each of its ways.
SPOILT = 0.02

_STRAY = (
    b"HTTP/1.1 400 No\r\nContent-Length: 8\r\n\r\nBad team",
    b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nNot found",
    b"HTTP/1.1 401 No\r\nContent-Length: 4\r\n\r\nkey?",
    b"HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nUser",
    b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n",
    b"HTTP/1.1 308 No\r\nContent-Length: 0\r\nLocation: /\r\n\r\n",
    b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
)


class Verdicts(NamedTuple):
    """What became of the rows.

    Attributes:
        outcomes: rows by outcome.
        spoilt: answers by what the proxy did to them.
        wrongly_updated: rows called updated that the server had not applied.
        wrongly_failed: rows called failed that the server had applied.
    """

    outcomes: Counter[str]
    spoilt: Counter[str]
    wrongly_updated: int
    wrongly_failed: int


class Proxy:
    """The server and its proxy, in one.

    Args:
        seed: the seed of what it spoils.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.applied: set[int] = set()
        self.spoilt: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        before: list[bytes] = []
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                answer = self._answer(await _request(reader))
                self._send(writer, answer, before)
                before.append(answer)
                await writer.drain()
        writer.close()

    def _answer(self, body: dict[str, str]) -> bytes:
        row = int(body["title"].removeprefix("row "))
        if row % 3 == 0:
            return b"HTTP/1.1 400 No\r\nContent-Length: 8\r\n\r\nBad team"
        self.applied.add(row)
        text = json.dumps({"_id": body["id"], "title": body["title"]})
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()

    def _send(self, writer: asyncio.StreamWriter, answer: bytes, before: list[bytes]) -> None:
        """Send an answer, or what the proxy makes of it."""
        ways: dict[str, Callable[[], None]] = {
            "twice": lambda: writer.write(answer * 2),
            "twice, late": lambda: self._later(writer, answer, answer),
            "and another": lambda: writer.write(answer + self._stray()),
            "and another, late": lambda: self._later(writer, answer, self._stray()),
            "an earlier one first": lambda: writer.write(
                (before[-1] if before else answer) + answer
            ),
            "late": lambda: self._later(writer, b"", answer),
            "cut": lambda: self._cut(writer, answer),
        }
        if self.random.random() >= SPOILT * len(ways):
            writer.write(answer)
            return
        way = self.random.choice(sorted(ways))
        self.spoilt[way] += 1
        ways[way]()

    def _stray(self) -> bytes:
        return self.random.choice(_STRAY)

    def _cut(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        writer.write(answer[: self.random.randrange(len(answer))])
        writer.close()

    def _later(self, writer: asyncio.StreamWriter, now: bytes, later: bytes) -> None:
        def send() -> None:
            if not writer.is_closing():
                writer.write(later)

        writer.write(now)
        asyncio.get_running_loop().call_later(self.random.uniform(0, LATEST), send)


async def _request(reader: asyncio.StreamReader) -> dict[str, str]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    body: dict[str, str] = json.loads(await reader.readexactly(length))
    return body


async def verdicts(rows: int, seed: int, *, tasks: int) -> Verdicts:
    """Send rows through the proxy, and compare each result with what became of its row.

    Args:
        rows: the number of rows.
        seed: the seed of what is spoilt.
        tasks: the number of tasks that the rows belong to.
    """
    proxy = Proxy(seed)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    endpoint = Endpoint(api_key=ApiKey("sandbox"), base_url=url, timeout=5)
    updates = (TaskUpdate(id=f"opp_{n % tasks}", title=f"row {n}") for n in range(1, rows + 1))
    outcomes: dict[int, Outcome] = {}
    async with server:
        async for result in update_tasks(updates, endpoint, rate=None):
            outcomes[result.row] = result.outcome
    return Verdicts(
        Counter(outcomes.values()),
        proxy.spoilt,
        sum(one is Outcome.UPDATED and n not in proxy.applied for n, one in outcomes.items()),
        sum(one is Outcome.FAILED and n in proxy.applied for n, one in outcomes.items()),
    )
