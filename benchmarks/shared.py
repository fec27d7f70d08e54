"""The benchmark of a limit that several hosts share: `python -m benchmarks.shared`.

Three processes of the real command, each with its own file, send with one key to a sandbox in
another process, against each way of counting. It prints a Markdown table for docs/benchmarks.md:

- % of the limit, while all of them send;
- 429s, counted by the server;
- the requests of the process with the most, divided by those of the one with the least.

`--stopped S` stops one of them for S seconds in the middle.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bulkupdate.lemlist.rate import LEMLIST_RATE
from bulkupdate.sandbox import Sandbox, SandboxConfig, Team, Unknown, Window
from bulkupdate.sandbox.server import Seen
from tests.support.postgres import Postgres, found_programs, running

KEY = "benchmark-of-a-shared-limit"


class Cell:
    """One row of the table.

    Args:
        window: how the server counts.
        latency: milliseconds each way, from and to.
        processes: how many share the limit.
        rows: rows for each of them.
        stopped: seconds for which one is stopped.
    """

    def __init__(
        self,
        window: Window,
        latency: tuple[float, float],
        processes: int,
        rows: int,
        stopped: float,
    ) -> None:
        self.window = window
        self._latency = latency
        self._processes = processes
        self._rows = rows
        self._stopped = stopped
        self._seen: list[tuple[float, str, int]] = []
        self._first_end = 0.0

    async def run(self, dsn: str) -> str:
        """Run the processes, and return the row."""
        config = SandboxConfig(
            key=KEY,
            rate=LEMLIST_RATE,
            window=self.window,
            latency=self._latency,
            unknown=Unknown.CREATE,
        )
        with tempfile.TemporaryDirectory() as directory:
            async with Sandbox(config, Team(), watch=self._note) as sandbox:
                environ = {
                    **os.environ,
                    "LEMLIST_BASE_URL": sandbox.base_url,
                    "LEMLIST_API_KEY": KEY,
                    "BULKUPDATE_FLEET_DSN": dsn,
                }
                async with asyncio.TaskGroup() as group:
                    for number in range(self._processes):
                        group.create_task(self._one(Path(directory), number, environ))
        return self._row()

    async def _one(self, directory: Path, number: int, environ: dict[str, str]) -> None:
        path = directory / f"{number}.csv"
        rows = "".join(f"opp_{number}x{n},T{n}\n" for n in range(self._rows))
        path.write_text(f"id,title\n{rows}")
        command = [sys.executable, "-m", "bulkupdate", "run", str(path), "-q", "--shared-limit"]
        process = await asyncio.create_subprocess_exec(*command, env=environ, cwd=directory)
        if self._stopped and not number:
            await asyncio.sleep(12)
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(self._stopped)
            process.send_signal(signal.SIGCONT)
        if code := await process.wait():
            print(f"process {number} ended with {code}", file=sys.stderr)
        if not self._first_end:
            self._first_end = self._seen[-1][0]

    def _note(self, seen: Seen) -> None:
        if seen.body is not None:
            self._seen.append((seen.at, str(seen.body["id"]), seen.status or 0))

    def _row(self) -> str:
        began: dict[str, float] = {}
        for at, id_, _ in self._seen:
            began.setdefault(id_.split("x")[0], at)
        # From when all of them send until the first has ended.
        first, last = max(began.values()), self._first_end
        within = [one for one in self._seen if first <= one[0] <= last]
        accepted = sum(status != 429 for *_, status in within)
        percent = 100 * (accepted - 1) / (last - first) / LEMLIST_RATE.per_second
        refused = sum(status == 429 for *_, status in self._seen)
        each = Counter(id_.split("x")[0] for _, id_, _ in within)
        share = max(each.values()) / min(each.values())
        low, high = (2 * one for one in self._latency)
        name = f"{self.window} | {low:g} to {high:g} ms"
        return f"| {name} | {percent:.1f} | {refused} | {share:.2f} |"


async def initialised(dsn: str) -> str:
    """The DSN, after `fleet init`."""
    from bulkupdate.fleet.database import Database
    from bulkupdate.fleet.dsn import Dsn
    from bulkupdate.fleet.schema import init

    async with Database(Dsn(dsn)) as database:
        await init(database)
    return dsn


async def main(server: Postgres) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--rows", type=int, default=250, help="for each process")
    parser.add_argument("--latency", type=float, nargs=2, default=(10, 40), help="ms, each way")
    parser.add_argument("--stopped", type=float, default=0.0, help="seconds")
    parser.add_argument("--window", choices=[*Window], help="only this way of counting")
    given = parser.parse_args()
    cells = [
        Cell(window, tuple(given.latency), given.processes, given.rows, given.stopped)
        for window in Window
        if given.window in (None, window)
    ]
    print("| window | round trips | % of the limit | 429s | most by least |")
    print("| --- | --- | --- | --- | --- |")
    for cell in cells:
        print(await cell.run(await initialised(server.new())), flush=True)


if __name__ == "__main__":
    programs = found_programs()
    if programs is None:
        sys.exit("PostgreSQL is not installed")
    with running(programs) as found:
        asyncio.run(main(found))
