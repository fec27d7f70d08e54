"""A fast server for benchmarks, with uvloop and httptools.

`python -m benchmarks.server` prints its base URL. It answers every PATCH with the Task of the
update, with lemlist's names and rate-limit headers, but without a limit. A request takes 10 to
20 µs of CPU. The sandbox checks each request and takes ten times as much. A GET of its base URL
returns the time of the first PATCH since the last such GET. `GET /tasks` lists a number of tasks
that no PATCH changes, with messages of two kilobytes, in pages of a hundred.
"""

import asyncio
import json
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httptools
import msgspec
import uvloop

_QUOTA = (
    b"X-RateLimit-Limit: 20\r\n"
    b"X-RateLimit-Remaining: 19\r\n"
    b"X-RateLimit-Reset: Tue Nov 24 2026 08:00:02 GMT+0000 (Coordinated Universal Time)\r\n"
    b"Retry-After: 1.237\r\n"
)
_ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: application/json; charset=utf-8\r\n"
    b"%s"
    b"Content-Length: %d\r\n\r\n%s"
)


#: Tasks in a page of the list.
_PAGE = 100

#: A task of the list, with the number of its id.
_LISTED = json.dumps(
    {
        "_id": "opp_%017x",
        "type": "manual",
        "userId": "usr_fffffffffffffffff",
        "title": "as it was",
        "content": "call back about the offer " * 80,
        "dueDate": "2026-01-30T07:58:00.000Z",
        "priority": None,
        "status": "pending",
        "leadId": "lea_00000000000000000",
        "campaignId": "cam_00000000000000000",
        "contactId": "ctc_00000000000000000",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "completedAt": None,
    }
)
_TEAM = b'{"_id": "tea_00000000000000000", "name": "Bench", "userIds": []}'


class Update(msgspec.Struct):
    """The fields of a request that are also in its Task, with other names."""

    id: str
    assignedTo: str | None = None  # noqa: N815 - lemlist's name
    dueDate: str | None = None  # noqa: N815 - lemlist's name
    title: str | None = None
    message: str | None = None
    priority: str | None = None
    done: bool | str | None = None


_PRIORITIES = {"0": 0, "1": 1, "2": 2, "low": 0, "medium": 1, "high": 2}
_decoder = msgspec.json.Decoder(Update)


class Protocol(asyncio.Protocol):
    """One connection. httptools calls the `on_` methods."""

    #: Time of the first PATCH, by the monotonic clock, which all processes share.
    first: float | None = None
    #: Number of tasks in the list.
    tasks = 0

    def connection_made(self, transport: Any) -> None:
        """Create the parser."""
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._body = self._url = b""

    def data_received(self, data: bytes) -> None:
        """Parse the data."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Keep the target of the request."""
        self._url = url

    def on_body(self, body: bytes) -> None:
        """Append a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer the request."""
        if self._parser.get_method() == b"GET":
            self.write(_read(self._url.decode()))
            return
        if Protocol.first is None:
            Protocol.first = time.monotonic()
        update = _decoder.decode(self._body)
        self._body = b""
        task = msgspec.json.encode(
            {
                "_id": update.id,
                "type": "manual",
                "userId": update.assignedTo or "usr_00000000000000000",
                "title": update.title or "",
                "content": update.message or "",
                "dueDate": update.dueDate or "2026-01-31T07:58:00.000Z",
                "priority": _PRIORITIES.get(update.priority or ""),
                "status": "completed" if update.done else "pending",
                "leadId": "lea_00000000000000000",
                "campaignId": "cam_00000000000000000",
                "contactId": "ctc_00000000000000000",
                "createdAt": "2026-01-01T00:00:00.000Z",
                "completedAt": None,
            }
        )
        self.write(task, _QUOTA)

    def write(self, body: bytes, quota: bytes = b"") -> None:
        """Write an answer with the headers of the rate limit."""
        self._transport.write(_ANSWER % (quota, len(body), body))


def _read(url: str) -> bytes:
    """The answer to a GET."""
    target = urlsplit(url)
    if target.path.endswith("/team"):
        return _TEAM
    if target.path.endswith("/tasks"):
        first = _PAGE * int(parse_qs(target.query)["page"][0])
        numbers = range(first, min(first + _PAGE, Protocol.tasks))
        listed = ",".join(_LISTED % n for n in numbers)
        return f'{{"results": [{listed}]}}'.encode()
    answer = msgspec.json.encode({"first": Protocol.first})
    Protocol.first = None
    return answer


async def main(tasks: int) -> None:
    """Serve on a free port of 127.0.0.1 until killed."""
    Protocol.tasks = tasks
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}/api", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
