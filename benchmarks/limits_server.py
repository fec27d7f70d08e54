"""A fast server with a rate limit, for `benchmarks.limits`.

`python -m benchmarks.limits_server --rate 1000/2s` prints its base URL. It is `benchmarks.server`
with one of the sandbox's windows: cheap enough that it never slows a client down. A GET returns the
counts since the last GET.
"""

import argparse
import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import msgspec
import uvloop

from benchmarks import server
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit
from bulkupdate.sandbox import Window
from bulkupdate.sandbox.windows import Verdict, window

_REFUSED = b"HTTP/1.1 429 Too Many Requests\r\n%sContent-Length: 0\r\n\r\n"
_QUOTA = b"X-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\nRetry-After: %s\r\n"


@dataclass
class Counts:
    """The requests since the last GET.

    Attributes:
        first: the time of the first request, in seconds of the monotonic clock.
        last: the time of the last request.
        accepted: the number of accepted requests.
        refused: the number of 429s.
    """

    first: float = 0.0
    last: float = 0.0
    accepted: int = 0
    refused: int = 0


class Limited(server.Protocol):
    """One connection to the server with a limit."""

    limit: RateLimit
    take: Callable[[float], Verdict]
    latency: tuple[float, float]
    is_whole: bool
    is_silent: bool
    counts = Counts()

    def on_message_complete(self) -> None:
        """Count and answer the request, each after the latency of one way."""
        if self._parser.get_method() == b"GET":
            self.write(msgspec.json.encode(asdict(Limited.counts)))
            Limited.counts = Counts()
        elif self.latency[1]:
            self._later(self._count)
        else:
            self._count()

    def _later(self, call: Callable[[], None]) -> None:
        # A client that waits for its answer has one request on a connection.
        delay = random.uniform(*self.latency) / 1000  # noqa: S311 - not a secret
        asyncio.get_running_loop().call_later(delay, call)

    def _count(self) -> None:
        now, counts = time.monotonic(), Limited.counts
        self._verdict = self.take(now)
        counts.first, counts.last = counts.first or now, now
        if self._verdict.allowed:
            counts.accepted += 1
        else:
            counts.refused += 1
        if self.latency[1]:
            self._later(self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if self._verdict.allowed:
            super().on_message_complete()
        else:
            self._body = b""
            self._transport.write(_REFUSED % self._quota())

    def write(self, body: bytes, quota: bytes = b"") -> None:
        """Write an answer with the limit that the server has."""
        super().write(body, quota and self._quota())

    def _quota(self) -> bytes:
        if self.is_silent:
            return b""
        wait = self._verdict.reset_after
        text = str(math.ceil(wait)) if self.is_whole else f"{wait:.3f}"
        return _QUOTA % (self.limit.requests, self._verdict.remaining, text.encode())


async def main() -> None:
    """Serve on a port of 127.0.0.1 until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=RateLimit.parse, default=LEMLIST_RATE)
    parser.add_argument("--window", type=Window, default=Window.FIXED)
    parser.add_argument("--port", type=int, default=0, help="[default: a free one]")
    parser.add_argument("--latency", type=float, nargs=2, default=(0.0, 0.0), help="ms, each way")
    parser.add_argument("--whole", action="store_true", help="Retry-After in whole seconds")
    parser.add_argument("--silent", action="store_true", help="no headers about the limit")
    given = parser.parse_args()
    Limited.limit, Limited.latency = given.rate, given.latency
    Limited.take = window(given.window, given.rate).take
    Limited.is_whole, Limited.is_silent = given.whole, given.silent
    bound = await asyncio.get_running_loop().create_server(Limited, "127.0.0.1", given.port)
    host, port = bound.sockets[0].getsockname()
    print(f"http://{host}:{port}/api", flush=True)
    await bound.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
