"""A simulation in virtual time: the real limiter, a network, and the sandbox's windows.

`python -m tests.simulation` prints the results for each window and latency.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bulkupdate.engine.limiter import Limiter
from bulkupdate.engine.permits import PermitWindow
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit
from bulkupdate.models import Task
from bulkupdate.sandbox.config import Window
from bulkupdate.sandbox.windows import RateWindow, Verdict, window
from tests.support.clock import VirtualLoop, run_virtual
from tests.support.fakes import answered
from tests.support.table import Table

#: Makes the answer of a server from its verdict.
Headers = Callable[[RateLimit, Verdict], Answer[Task]]

WORKERS = 16

#: The servers: the four of the sandbox, and one that counts refused requests too.
KINDS: dict[str, Window | Callable[[RateLimit], RateWindow]] = {
    **{str(kind): kind for kind in Window},
    "strict": Table,
}


def exact(rate: RateLimit, verdict: Verdict) -> Answer[Task]:
    """An answer like the sandbox's: limit, remaining, and `Retry-After` in milliseconds."""
    seconds = round(verdict.reset_after, 3)
    return answered(rate.requests, verdict.remaining, seconds, not verdict.allowed)


def whole(rate: RateLimit, verdict: Verdict) -> Answer[Task]:
    """An answer with a `Retry-After` in whole seconds, as in lemlist's documentation."""
    return exact(rate, verdict._replace(reset_after=math.ceil(verdict.reset_after)))


def mute(_: RateLimit, verdict: Verdict) -> Answer[Task]:
    """An answer without any header about the limit."""
    return answered(throttled=not verdict.allowed)


class Course(NamedTuple):
    """The result of a simulation.

    Attributes:
        percent: rows per second from the first to the last request, in percent of the allowed rate.
        refused: the number of 429s in 1,000 rows.
        ends: the time when each client's last row was settled, in seconds.
        arrivals: each request at the server: its time, and whether it was accepted.
        order: the rows in the order in which they were settled.
    """

    percent: float
    refused: float
    ends: list[float]
    arrivals: list[tuple[float, bool]]
    order: list[int]


class Simulation:
    """Clients of one key against one server.

    Args:
        kind: the way in which the server counts, or a maker of its counter.
        latency: shortest and longest time for one way, in milliseconds.
        tail: the part of the ways that take ten times as long.
        server: the true limit of the server.
        headers: makes the headers of an answer.
        ceiling: the ceiling of the limiter, or None.
        clients: the number of simulated clients, each with all the rows.
        other: requests per second of another client.
        used: requests of another client in the 0.2 seconds before the first one.
        lost: the part of the answers that never arrive.
        freeze: begin and length of a time in which the process is stopped, in seconds.
        seed: the seed of every latency.
    """

    def __init__(
        self,
        kind: Window | Callable[[RateLimit], RateWindow],
        latency: tuple[float, float] = (5, 50),
        *,
        tail: float = 0.0,
        server: RateLimit = LEMLIST_RATE,
        headers: Headers = exact,
        ceiling: RateLimit | None = None,
        clients: int = 1,
        other: float = 0.0,
        used: int = 0,
        lost: float = 0.0,
        freeze: tuple[float, float] | None = None,
        seed: int = 1,
    ) -> None:
        self.window = window(kind, server) if isinstance(kind, Window) else kind(server)
        self.latency = latency
        self.tail = tail
        self.server = server
        self.headers = headers
        self.ceiling = ceiling
        self.clients = clients
        self.other = other
        self.used = used
        self.lost = lost
        self.freeze = freeze
        self.random = random.Random(seed)
        self.arrivals: list[tuple[float, bool]] = []
        self.starts: list[float] = []
        self.order: list[int] = []

    def run(self, rows: int) -> Course:
        """Send a number of rows from each client."""
        ends = run_virtual(self._main(rows))
        seconds = self.starts[-1] - self.starts[0]
        total = rows * self.clients
        refused = sum(not accepted for _, accepted in self.arrivals)
        allowed = self.server.requests / self.server.period
        return Course(
            100 * total / seconds / allowed,
            1000 * refused / total,
            ends,
            self.arrivals,
            self.order,
        )

    async def _main(self, rows: int) -> list[float]:
        begun = asyncio.get_running_loop().time()
        for number in range(self.used):
            self.window.take(begun - 0.2 * (1 - number / self.used))
        meanwhile = [
            asyncio.create_task(self._other_client()),
            asyncio.create_task(self._stand_still()),
        ]
        ended = await asyncio.gather(*(self._client(rows) for _ in range(self.clients)))
        for task in meanwhile:
            task.cancel()
        return [end - begun for end in ended]

    async def _client(self, rows: int) -> float:
        limiter = PermitWindow(self.ceiling)
        numbers = iter(range(1, rows + 1))
        await asyncio.gather(*(self._worker(limiter, numbers) for _ in range(WORKERS)))
        return asyncio.get_running_loop().time()

    async def _worker(self, limiter: Limiter, numbers: Iterator[int]) -> None:
        for number in numbers:
            while not await self._request(limiter):
                pass
            self.order.append(number)

    async def _request(self, limiter: Limiter) -> bool:
        now = asyncio.get_running_loop().time
        async with limiter.permit() as permit:
            self.starts.append(now())
            arrives = await self._travel(now())
            verdict = self.window.take(arrives)
            self.arrivals.append((arrives, verdict.allowed))
            await self._travel(arrives)
            if self.random.random() < self.lost:
                return False
            permit.answered(self.headers(self.server, verdict))
        return verdict.allowed

    async def _travel(self, departure: float) -> float:
        """Wait for one way. Return the arrival, even if the process stood still then."""
        slow = 10 if self.random.random() < self.tail else 1
        arrival = departure + slow * self.random.uniform(*self.latency) / 1000
        await asyncio.sleep(max(0.0, arrival - asyncio.get_running_loop().time()))
        return arrival

    async def _stand_still(self) -> None:
        """Stop the whole process for a time, after which every timer is late."""
        loop = asyncio.get_running_loop()
        if self.freeze is not None and isinstance(loop, VirtualLoop):
            begin, length = self.freeze
            await asyncio.sleep(begin)
            loop.now += length

    async def _other_client(self) -> None:
        while self.other:
            await asyncio.sleep(self.random.uniform(0.9, 1.1) / self.other)
            self.window.take(asyncio.get_running_loop().time())


def main() -> None:
    """Print a table: % of the allowed rate / 429s in 1,000 rows."""
    logging.disable()
    cases: list[tuple[str, dict[str, object]]] = [
        ("alone, 5-50 ms", {}),
        ("alone, 20-200 ms", {"latency": (20, 200)}),
        ("a heavy tail", {"tail": 0.02}),
        ("another client uses half the quota", {"other": 5.0}),
        ("the same, 20-200 ms", {"other": 5.0, "latency": (20, 200)}),
        ("10 per 2 s", {"server": RateLimit(10, 2)}),
        ("40 per 2 s", {"server": RateLimit(40, 2)}),
        ("two clients, 400 rows each", {"clients": 2}),
        ("whole seconds, 10-100 ms", {"headers": whole, "latency": (10, 100)}),
        (
            "the same, 40 per 2 s",
            {"headers": whole, "latency": (10, 100), "server": RateLimit(40, 2)},
        ),
        ("no headers, 10-100 ms", {"headers": mute, "latency": (10, 100)}),
    ]
    print(f"{'':36}" + "".join(f"{name:>14}" for name in KINDS))
    for name, settings in cases:
        rows = 400 if "clients" in settings else 2000
        cells = [Simulation(kind, **settings).run(rows) for kind in KINDS.values()]  # type: ignore[arg-type]
        print(f"{name:36}" + "".join(f"{c.percent:8.1f} /{c.refused:4.1f}" for c in cells))


if __name__ == "__main__":
    main()
