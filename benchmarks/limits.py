"""The benchmark of the rate limit: the achieved rate and the 429s of the real command.

`python -m benchmarks.limits` runs `bulkupdate run` and the plain script, each against its own
sandbox. It prints Markdown tables for docs/benchmarks.md.

- % of the allowed rate: rows per second from the first to the last request, divided by the limit
  per second.
- 429s in 1,000 rows, counted by the server.

The cases of a group run at the same time, because they wait nearly all the time.
"""

import argparse
import asyncio
import json
import math
import os
import signal
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import aiohttp

from benchmarks.inputs import write_edits
from benchmarks.limits_real import real_limiters, run_against
from benchmarks.measure import FEW, PLAIN, Command, Usage, measure, serving
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit
from bulkupdate.sandbox import Sandbox, SandboxConfig, Team, Unknown, Window
from bulkupdate.sandbox.server import Seen
from bulkupdate.sandbox.windows import Verdict

KEY = "benchmark"
SHORT, MEDIUM, LONG = (5.0, 50.0), (10.0, 100.0), (20.0, 200.0)
SCRIPT = Path(__file__).parent / "plain_script.py"


class Rounding(Sandbox):
    """A sandbox that may round the seconds of `Retry-After`."""

    seconds_of: Callable[[float], float] | None = None

    def _quota_headers(self, rate: RateLimit, verdict: Verdict) -> dict[str, str]:
        if self.seconds_of is not None:
            verdict = verdict._replace(reset_after=self.seconds_of(verdict.reset_after))
        return super()._quota_headers(rate, verdict)


@dataclass
class Cell:
    """One cell of a table: one or two programs against one sandbox.

    Attributes:
        window: the way in which the sandbox counts requests.
        latency: milliseconds each way, from and to.
        rate: the limit of the sandbox.
        rows: rows for each program.
        programs: number of bulkupdate processes; 0 is the plain script.
        other: requests per second of another client with the same key.
        stopped: seconds for which the process is stopped in the middle.
        seconds_of: how the sandbox rounds the seconds of `Retry-After`, or None for milliseconds.
    """

    window: Window
    latency: tuple[float, float] = SHORT
    rate: RateLimit = LEMLIST_RATE
    rows: int = 600
    programs: int = 1
    other: float = 0.0
    stopped: float = 0.0
    seconds_of: Callable[[float], float] | None = None
    seen: list[Seen] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    async def run(self) -> "Cell":
        """Run the programs to their end."""
        config = SandboxConfig(
            key=KEY, rate=self.rate, window=self.window, latency=self.latency,
            unknown=Unknown.CREATE,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "edits.csv"
            rows = "".join(f"opp_{n},T{n}\n" for n in range(self.rows))
            path.write_text(f"id,title\n{rows}")
            async with Rounding(config, Team(), watch=self._note) as sandbox:
                sandbox.seconds_of = self.seconds_of
                other = asyncio.create_task(self._other_client(sandbox.base_url))
                count = max(1, self.programs)
                await asyncio.gather(*(self._program(sandbox, path, n) for n in range(count)))
                other.cancel()
                await asyncio.gather(other, return_exceptions=True)
        return self

    @property
    def percent(self) -> float:
        """The achieved rate, in percent of the allowed rate."""
        times = [seen.at for seen in self.seen]
        allowed = self.rate.requests / self.rate.period
        return 100 * len(self._accepted) / (max(times) - min(times)) / allowed

    @property
    def refused(self) -> float:
        """The number of 429s in 1,000 rows."""
        throttled = sum(seen.status == 429 for seen in self.seen)
        return 1000 * throttled / (self.rows * max(1, self.programs))

    @property
    def seconds(self) -> float:
        """Seconds until the last program ended."""
        return max(self.ends)

    @property
    def _accepted(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.applied is not None]

    def _note(self, seen: Seen) -> None:
        if seen.method == "PATCH":
            self.seen.append(seen)

    async def _program(self, sandbox: Sandbox, path: Path, number: int) -> None:
        out = path.with_name(f"{number}.run")
        ours = [sys.executable, "-m", "bulkupdate", "run", str(path), "-q", "--out", str(out)]
        command = (
            ours if self.programs else [sys.executable, str(SCRIPT), str(path), f"{out}.jsonl"]
        )
        environ = {**os.environ, "LEMLIST_BASE_URL": sandbox.base_url, "LEMLIST_API_KEY": KEY}
        begun = asyncio.get_running_loop().time()
        process = await asyncio.create_subprocess_exec(*command, env=environ)
        if self.stopped:
            await asyncio.sleep(15)
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(self.stopped)
            process.send_signal(signal.SIGCONT)
        self.codes.append(await process.wait())
        self.ends.append(asyncio.get_running_loop().time() - begun)

    async def _other_client(self, base_url: str) -> None:
        """Run another client with the same key, which lists tasks at an even pace."""
        headers = {"Authorization": aiohttp.encode_basic_auth("", KEY)}
        url = f"{base_url}/tasks?filters=[]&page=9"
        async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as group:
            while self.other:
                group.create_task(_get(session, url))
                await asyncio.sleep(1 / self.other)


async def _get(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as response:
        await response.read()


async def gathered(cells: Iterable[Cell]) -> list[Cell]:
    """Run cells at the same time."""
    return list(await asyncio.gather(*(cell.run() for cell in cells)))


def row(name: str, cells: Iterable[Cell]) -> None:
    """Print one row of a table."""
    shown = [f"{cell.percent:.1f} / {cell.refused:.1f} / {cell.seconds:.0f} s" for cell in cells]
    print(f"| {name} | " + " | ".join(shown) + " |", flush=True)


def head(title: str) -> None:
    """Print the head of a table."""
    print(f"\n### {title}\n\n| | {' | '.join(Window)} |\n| --- |" + " --- |" * len(Window))


async def alone(rows: int) -> None:
    """The command and the plain script, without another client."""
    for name, latency in (("10-100 ms", SHORT), ("40-400 ms", LONG)):
        head(f"Alone, round trips of {name}")
        programs = {"bulkupdate": 1, "plain script": 0}
        cells = await gathered(
            Cell(w, latency, rows=rows, programs=n) for n in programs.values() for w in Window
        )
        for number, program in enumerate(programs):
            row(program, cells[number * len(Window) :][: len(Window)])


async def shared(rows: int) -> None:
    """Another client uses the key."""
    head("A second client at half the quota (5 requests/s)")
    for name, latency in (("10-100 ms", SHORT), ("40-400 ms", LONG)):
        row(name, await gathered(Cell(w, latency, rows=rows, other=5.0) for w in Window))


async def announced(rows: int) -> None:
    """The server announces another limit."""
    head("Another limit, announced")
    for limit in (RateLimit(40, 2), RateLimit(10, 2)):
        row(str(limit), await gathered(Cell(w, rate=limit, rows=rows) for w in Window))


async def whole(rows: int) -> None:
    """`Retry-After` in whole seconds, as in lemlist's documentation."""
    head("Retry-After in whole seconds, round trips of 20-200 ms")
    for limit in (LEMLIST_RATE, RateLimit(40, 2)):
        cells = (Cell(w, MEDIUM, limit, rows=rows, seconds_of=math.ceil) for w in Window)
        row(str(limit), await gathered(cells))


async def high(rows: int) -> None:
    """High limits on loopback, and the CPU of a row with the limiter on and without."""
    print("\n### A high limit, announced, on loopback\n")
    print("| | % of the limit / 429s in 1,000 rows | CPU of a row | without a limit | ratio |")
    print("| --- | --- | --: | --: | --: |")
    for limit in (RateLimit(1000, 2), RateLimit(4000, 2)):
        paced, free = [], []
        for _ in range(3):
            free.append(await paid(limit, 20 * rows, "--rate", "none"))
            paced.append(await paid(limit, 20 * rows))
        cpu, without = (statistics.median(one.cpu for one in some) for some in (paced, free))
        ratio = statistics.median(p.cpu / f.cpu for p, f in zip(paced, free, strict=True))
        shown = ", ".join(f"{one.percent:.1f} / {one.refused:.1f}" for one in paced)
        print(f"| {limit} | {shown} | {cpu:.0f} µs | {without:.0f} µs | {ratio:.2f} |", flush=True)


class Paid(NamedTuple):
    """What a run on loopback achieved, and what it cost.

    Attributes:
        percent: the achieved rate, in percent of the allowed rate.
        refused: the number of 429s in 1,000 rows.
        cpu: microseconds of CPU for one row more.
    """

    percent: float
    refused: float
    cpu: float


async def paid(limit: RateLimit, rows: int, *options: str) -> Paid:
    """Run the command on loopback, in asyncio's own event loop as most users do.

    A server without a limit announces the same limit.
    """
    allowed = limit if not options else RateLimit(10**9, 2.0)
    with serving("benchmarks.limits_server", "--rate", str(allowed)) as base_url:
        few, _ = run_once(base_url, FEW, options)
        many, counts = run_once(base_url, rows, options)
    seconds = counts["last"] - counts["first"]
    return Paid(
        100 * counts["accepted"] / seconds / limit.per_second,
        1000 * counts["refused"] / rows,
        1e6 * (many.cpu - few.cpu) / (rows - FEW),
    )


def run_once(base_url: str, rows: int, options: Iterable[str]) -> tuple[Usage, dict[str, float]]:
    """Run the command. Return its usage, and the counts of the server."""
    with tempfile.TemporaryDirectory() as directory:
        edits = Path(directory) / "edits.csv"
        write_edits(edits, rows)
        command: Command = (*PLAIN, "run", edits, "-q", "--out", Path(directory) / "out", *options)
        variables = {"LEMLIST_BASE_URL": base_url, "LEMLIST_API_KEY": KEY}
        usage = measure(command, variables)
    with urllib.request.urlopen(base_url) as response:  # noqa: S310 - our own server
        return usage, json.load(response)


async def real(rows: int) -> None:
    """Real limiters, those that are installed."""
    print("\n### Real limiters on loopback, 20 in 2 s\n")
    print("| | % of the allowed rate | 429s |\n| --- | --: | --: |")
    for limiter in real_limiters():
        if not limiter.is_there:
            print(f"| {limiter.name} | not installed | |", flush=True)
            continue
        achieved = await asyncio.to_thread(run_against, limiter, rows)
        print(f"| {limiter.name} | {achieved.percent:.1f} | {achieved.refused} |", flush=True)


async def two(_: int) -> None:
    """Two runs at the same time."""
    head("Two runs at once with one key, 400 rows each")
    cells = await gathered(Cell(w, rows=400, programs=2) for w in Window)
    row("bulkupdate", cells)
    ratios = [max(cell.ends) / min(cell.ends) for cell in cells]
    print("| later end / earlier end | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")


async def stopped(_: int) -> None:
    """A process that is stopped for a while."""
    head("Stopped for 10 s in the middle (SIGSTOP, SIGCONT), 300 rows")
    row("bulkupdate", await gathered(Cell(w, rows=300, stopped=10) for w in Window))


SECTIONS = {
    section.__name__: section
    for section in (alone, whole, shared, announced, high, real, two, stopped)
}


async def main(rows: int, only: str | None) -> None:
    """Run everything and print the tables."""
    print(f"{date.today().isoformat()}, {os.cpu_count()} cores, {rows} rows in each cell.")  # noqa: DTZ011
    print("Each cell: % of the allowed rate / 429s in 1,000 rows / wall time.")
    for name, section in SECTIONS.items():
        if only in (None, name):
            await section(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600, help="rows in each cell [default: 600]")
    parser.add_argument("--only", choices=SECTIONS, help="table to print [default: all]")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rows, arguments.only))
