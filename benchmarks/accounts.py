"""The benchmark of many accounts: what a row costs, and how near each account comes to its limit.

`python -m benchmarks.accounts --lanes-only` runs a lane for each key side by side in one process,
against a compiled server on this machine (`benchmarks/accounts_server.c`, which needs a C
compiler). Rows are made as they are needed and results are dropped, so that the engine alone is
measured. Without `--lanes-only` it is the command: `bulkupdate run --accounts`.

- CPU is that of the sending process, user and system, without its start.
- An account's rate is counted by the server over the whole periods after the first, in percent of
  the limit.
"""

import argparse
import asyncio
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import ROOT, MeasureError, measure
from bulkupdate.__main__ import collect_rarely
from bulkupdate.cli import eventloop
from bulkupdate.engine.backlog import READ_AHEAD, Backlog
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.limiter import Limiter
from bulkupdate.engine.permits import delay_of, limiter_for
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.engine.turns import Alarms
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import CheckedUpdate, Result, Row
from bulkupdate.stop import Stop

SERVER = Path(__file__).with_name("accounts_server.c")

#: Names of a C compiler, in the order in which they are tried.
_COMPILERS = ("cc", "gcc", "clang")

#: Connections for each account. At its limit an account has half a request in flight, on average.
_CONNECTIONS = 2


class Usage(NamedTuple):
    """What the sending process used.

    Attributes:
        cpu: seconds of CPU for all rows.
        wall: seconds from the first row to the last.
        peak: the highest resident memory, in bytes.
    """

    cpu: float
    wall: float
    peak: int


class Account(NamedTuple):
    """What the server counted of one key.

    Attributes:
        accepted: the number of requests within the limit.
        refused: the number of 429s.
        first: the time of the first request, in seconds.
        last: the time of the last request.
        in_period: accepted requests in each period since the first request.
    """

    accepted: int
    refused: int
    first: float
    last: float
    in_period: list[int]

    def percent(self, limit: RateLimit) -> float:
        """The rate over the whole periods after the first, in percent of the limit."""
        whole = self.in_period[1:-1]
        return 100 * statistics.mean(whole) / limit.requests if whole else 0.0


# --- the server -------------------------------------------------------------------------------


@contextmanager
def serving(window: str, limit: RateLimit, latency: tuple[float, float]) -> Iterator[str]:
    """The base URL of a server with a limit for each key, until the block ends.

    Raises:
        MeasureError: there is no C compiler, or it fails.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise MeasureError("the server is written in C: install a compiler (cc, gcc or clang)")
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "accounts_server"
        built = subprocess.run(
            [compiler, "-O2", "-o", program, SERVER], capture_output=True, text=True, check=False
        )
        if built.returncode:
            raise MeasureError(f"{compiler} can't compile {SERVER.name}:\n{built.stderr}")
        numbers = map(str, (limit.requests, limit.period, *latency))
        process = subprocess.Popen([program, window, *numbers], stdout=subprocess.PIPE, text=True)
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.kill()
            process.communicate()


def counted(base_url: str) -> list[Account]:
    """What the server has counted of each key."""
    with urllib.request.urlopen(base_url.removesuffix("/api") + "/stats") as answer:  # noqa: S310
        return [Account(**of) for of in json.load(answer).values()]


# --- the engine alone -------------------------------------------------------------------------


async def lanes(base_url: str, accounts: int, rows: int, workers: int) -> Usage:
    """Run a lane for each account, all at once."""
    stop = Stop()
    async with AsyncExitStack() as stack:
        connections = max(workers, _CONNECTIONS * accounts)
        pool = await stack.enter_async_context(ConnectionPool(connections=connections))
        made, alarms = [], Alarms()
        for number in range(accounts):
            endpoint = Endpoint(api_key=f"key-of-account-{number}", base_url=base_url)
            client = await stack.enter_async_context(TaskClient(endpoint, pool=pool))
            limiter = limiter_for("auto", delay=delay_of(number, accounts), alarms=alarms)
            made.append(_lane(client, limiter, stop, workers))
        cpu, wall = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, lane in enumerate(made):
                backlog = Backlog(READ_AHEAD * workers)
                group.create_task(_feed(backlog, number, rows))
                group.create_task(lane.run(backlog))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if stop.is_set or any(lane.stop.is_set for lane in made):
        raise MeasureError(f"a lane has stopped: {[lane.stop.text for lane in made][:3]}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Usage(cpu, wall, peak * (1 if sys.platform == "darwin" else 1024))


def _lane(client: TaskClient, limiter: Limiter, stop: Stop, workers: int) -> Lane:
    return Lane(
        client,
        limiter,
        RetryPolicy(),
        workers=workers,
        drain_timeout=30,
        stop=stop,
        on_result=_drop,
    )


async def _drop(row: Row, result: Result) -> None:
    """Take a result."""


async def _feed(backlog: Backlog, account: int, rows: int) -> None:
    for number in range(1, rows + 1):
        id_ = f"opp_{account:08d}{number:09d}"
        # As rows come from the spool: they were checked before.
        update = CheckedUpdate(
            id=id_, assigned_to="usr_fffffffffffffffff", title="Call back", message=f"offer {id_}"
        )
        await backlog.put(Row(number, number, id_, update, (), ""))
    backlog.close()


def lanes_only(base_url: str, given: argparse.Namespace) -> Usage:
    """Run the lanes in a process of their own."""
    numbers = map(str, (given.accounts, given.rows, given.workers))
    program = (sys.executable, "-m", "benchmarks.accounts", "--inside", base_url, *numbers)
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasureError(done.stderr)
    return Usage(*json.loads(done.stdout))


# --- the command ------------------------------------------------------------------------------


def command(base_url: str, given: argparse.Namespace) -> Usage:
    """Run `bulkupdate run --accounts`. A run of one row for each account is its start."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        with serving(given.window, given.rate, given.latency) as other_url:
            few = _run(Path(name), other_url, given, 1)
        many = _run(Path(name), base_url, given, given.rows)
    return Usage(many.cpu - few.cpu, many.wall - few.wall, many.peak)


def _run(directory: Path, base_url: str, given: argparse.Namespace, rows: int) -> Usage:
    edits, accounts = directory / f"edits{rows}.csv", directory / "accounts.toml"
    names = [f"account-{number}" for number in range(given.accounts)]
    accounts.write_text("".join(f'[{one}]\napi_key_env = "{_variable(one)}"\n' for one in names))
    lines = [f"{one},opp_{one}-{row},Call back\n" for one in names for row in range(rows)]
    if not given.sorted:
        random.Random(1).shuffle(lines)  # noqa: S311 - not a secret
    edits.write_text("account,id,title\n" + "".join(lines))
    out = edits.with_suffix(".run")
    usage = measure(
        ("-m", "bulkupdate", "run", edits, "--accounts", accounts, "--out", out, "-q"),
        {"LEMLIST_BASE_URL": base_url, **{_variable(one): f"key-of-{one}" for one in names}},
    )
    return Usage(usage.cpu, usage.wall, usage.peak)


def _variable(account: str) -> str:
    return f"KEY_OF_{account.upper().replace('-', '_')}"


# --- the report -------------------------------------------------------------------------------


def report(usage: Usage, found: list[Account], limit: RateLimit, rows: int) -> str:
    """The numbers, in a line."""
    rates = sorted(account.percent(limit) for account in found)
    refused = sum(account.refused for account in found)
    return (
        f"{1e6 * usage.cpu / rows:.0f} µs/row, {100 * usage.cpu / usage.wall:.0f} % of a core,"
        f" {usage.peak / 1e6:.0f} MB, rate min {rates[0]:.1f} % median"
        f" {statistics.median(rates):.1f} %, {1000 * refused / rows:.2f} 429s per 1,000,"
        f" {usage.wall:.1f} s"
    )


def main() -> None:
    """Measure once, and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=500, help="[default: 500]")
    parser.add_argument("--rows", type=int, default=200, help="rows for each [default: 200]")
    parser.add_argument("--workers", type=int, default=16, help="for each [default: 16]")
    parser.add_argument("--sorted", action="store_true", help="a file that is sorted by account")
    parser.add_argument("--lanes-only", action="store_true", help="the engine alone")
    parser.add_argument("--window", choices=("fixed", "sliding"), default="sliding")
    parser.add_argument("--rate", type=RateLimit.parse, default=LEMLIST_RATE)
    parser.add_argument(
        "--latency", type=float, nargs=2, default=(20.0, 80.0), help="ms, both ways"
    )
    given = parser.parse_args()
    try:
        with serving(given.window, given.rate, given.latency) as base_url:
            usage = (lanes_only if given.lanes_only else command)(base_url, given)
            found = counted(base_url)
    except MeasureError as error:
        sys.exit(str(error))
    print(report(usage, found, given.rate, given.accounts * given.rows))


def inside(base_url: str, *numbers: str) -> None:
    """Run the lanes in this process, and print what they used."""
    accounts, rows, workers = map(int, numbers)
    collect_rarely()
    print(json.dumps(eventloop.run(lanes(base_url, accounts, rows, workers))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(*sys.argv[2:])
    else:
        main()
