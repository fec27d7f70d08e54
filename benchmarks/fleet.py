"""The benchmark of a fleet: `python -m benchmarks.fleet`.

Worker processes, a PostgreSQL of its own, and the compiled server of `benchmarks.accounts`, all on
this machine. It prints:

- how long it takes to submit all rows, and the submitter's memory;
- how long all rows take after that, beside the time that the rows of one account take
  at the shared pace;
- the most requests of an account in a period, and the 429s, counted by the server;
- the CPU of workers for a row, and the size of the database.

`--submit-only` submits and does no more.
"""

import argparse
import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.accounts import counted, serving
from benchmarks.measure import MeasureError
from bulkupdate.fleet import Database, Dsn, init, runs_of
from bulkupdate.fleet.queue import queue_of
from bulkupdate.lemlist.rate import LEMLIST_RATE
from tests.support.postgres import found_programs, running

FLEET = [sys.executable, "-m", "bulkupdate", "fleet"]

#: How much slower than the limit the shared pace is.
_PACE = 1.05


class Done(NamedTuple):
    """What a run took.

    Attributes:
        submitting: seconds to submit it.
        memory: the submitter's peak memory, in bytes.
        sending: seconds from the end of that to the last request.
        cpu: seconds of CPU of all workers.
        size: bytes of the database at the end.
    """

    submitting: float
    memory: int
    sending: float
    cpu: float
    size: int


@contextmanager
def workers(number: int, accounts: Path, environ: dict[str, str]) -> Iterator[None]:
    """As many workers, until the block ends."""
    command = [*FLEET, "worker", "--accounts", str(accounts), "-q", "--concurrency", "1000"]
    started = [subprocess.Popen(command, env=environ) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait()


def run(given: argparse.Namespace, dsn: str, base_url: str) -> Done:
    """Submit a file, and let workers send it."""
    names = [f"account-{number}" for number in range(given.accounts)]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        accounts, edits = Path(directory) / "accounts.toml", Path(directory) / "edits.csv"
        accounts.write_text("".join(f'[{n}]\napi_key_env = "{_variable(n)}"\n' for n in names))
        chance = random.Random(1)  # noqa: S311 - not a secret
        # No list of all rows: what this process takes counts in the peak memory of its children.
        with edits.open("w") as file:
            file.write("account,id,title\n")
            for row in range(given.rows):
                file.writelines(
                    f"{n},opp_{n}-{row},Call back\n" for n in chance.sample(names, len(names))
                )
        environ = {
            **os.environ,
            **{_variable(name): f"key-of-{name}" for name in names},
            "BULKUPDATE_FLEET_DSN": dsn,
            "LEMLIST_BASE_URL": base_url,
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with workers(0 if given.submit_only else given.workers, accounts, environ):
            asyncio.run(_registered(dsn, base_url, names, only_named=given.submit_only))
            began = time.monotonic()
            memory = _submit(edits, accounts, environ)
            submitted = asyncio.run(_submitted(dsn))
            if not given.submit_only:
                asyncio.run(_ended(dsn))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = [] if given.submit_only else counted(base_url)
    # The first request of each key was for its team.
    sending = max((one.last for one in found), default=submitted) - submitted
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Done(submitted - began, memory, sending, cpu, asyncio.run(_size(dsn)))


def _submit(edits: Path, accounts: Path, environ: dict[str, str]) -> int:
    """Submit the file. Return the peak memory of the submitter, in bytes."""
    command = [*FLEET, "submit", str(edits), "--accounts", str(accounts), "-q"]
    process = subprocess.Popen(command, env=environ)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise MeasureError("the file was not submitted")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _variable(account: str) -> str:
    return f"KEY_OF_{account.upper().replace('-', '_')}"


async def _registered(dsn: str, base_url: str, names: list[str], *, only_named: bool) -> None:
    async with Database(Dsn(dsn)) as database:
        if only_named:
            for name in names:
                team = f"tea_{name}"
                await database.rows(
                    "INSERT INTO bulkupdate_accounts (base_url, name, team, team_name, queue)"
                    " VALUES (%s, %s, %s, '', %s)",
                    [base_url, name, team, queue_of(base_url, team)],
                )
        while (await database.rows("SELECT count(*) FROM bulkupdate_accounts"))[0][0] < len(names):
            await asyncio.sleep(0.1)


async def _submitted(dsn: str) -> float:
    """When the run counted, by the monotonic clock: the submitter takes a moment to end."""
    async with Database(Dsn(dsn)) as database:
        ((seconds,),) = await database.rows(
            "SELECT extract(epoch FROM clock_timestamp() - submitted)::float8 FROM bulkupdate_runs"
        )
        return time.monotonic() - float(seconds)


async def _ended(dsn: str) -> None:
    async with Database(Dsn(dsn)) as database:
        while not all(one.has_ended for one in await runs_of(database)):
            await asyncio.sleep(1)
        (one,) = await runs_of(database)
        if one.counts["updated"] != one.rows:
            raise MeasureError(f"not all rows were updated: {one.counts}")


async def _size(dsn: str) -> int:
    async with Database(Dsn(dsn)) as database:
        ((size,),) = await database.rows("SELECT pg_database_size(current_database())")
        return int(size)


async def _init(dsn: str) -> None:
    async with Database(Dsn(dsn)) as database:
        await init(database)


def main() -> None:
    """Measure once, and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4, help="[default: 4]")
    parser.add_argument("--accounts", type=int, default=200, help="[default: 200]")
    parser.add_argument("--rows", type=int, default=100, help="for each [default: 100]")
    parser.add_argument("--window", choices=("fixed", "sliding"), default="sliding")
    parser.add_argument("--submit-only", action="store_true", help="submit, and send nothing")
    parser.add_argument("--synced", action="store_true", help="a database that waits for the disk")
    parser.add_argument(
        "--latency", type=float, nargs=2, default=(20.0, 80.0), help="ms, both ways"
    )
    given = parser.parse_args()
    programs = found_programs()
    if programs is None:
        sys.exit("PostgreSQL is not installed")
    try:
        with (
            running(programs, is_synced=given.synced) as server,
            serving(given.window, LEMLIST_RATE, given.latency) as base_url,
        ):
            dsn = server.new()
            asyncio.run(_init(dsn))
            done = run(given, dsn, base_url)
            found = [] if given.submit_only else counted(base_url)
    except MeasureError as error:
        sys.exit(str(error))
    rows = given.accounts * given.rows
    print(
        f"{rows:,} rows submitted in {done.submitting:.1f} s, {done.memory / 1e6:.0f} MB;"
        f" database {done.size / 1e6:.0f} MB"
    )
    if found:
        alone = given.rows * _PACE * LEMLIST_RATE.period / LEMLIST_RATE.requests
        most = max(max(one.in_period) for one in found)
        refused = sum(one.refused for one in found)
        print(
            f"sent in {done.sending:.1f} s, {done.sending / alone:.2f} of an account alone"
            f" ({alone:.1f} s), {rows / done.sending:.0f} rows/s by {given.workers} workers,"
            f" {1e6 * done.cpu / rows:.0f} us of CPU a row; at most {most} in a period,"
            f" {refused} 429s"
        )


if __name__ == "__main__":
    main()
