"""A fleet in trouble: workers, submitters and the database die at any moment, and what came of it.

The workers and submitters are processes. Between them and the database stands a relay that can cut
the network. The server is in this process, so that it saw everything in order.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bulkupdate.fleet import Database, Dsn, collect, init, retry, runs_of
from bulkupdate.lemlist.rate import LEMLIST_RATE
from bulkupdate.sandbox import Window
from bulkupdate.sandbox.server import Seen
from bulkupdate.stop import cancel_all
from tests.executors.relay import Relay
from tests.support.accounts import ManyAccounts, names_of
from tests.support.postgres import Postgres

COMMAND = [sys.executable, "-m", "bulkupdate", "fleet"]

#: Seconds after which a worker's jobs go to others.
LEASE = 1.0

#: Seconds by which the server's process is late if it is told, and seconds before too many requests
#: of which is told what happened.
_LATE = 0.04
_BEFORE = 5.0

#: Tasks of an account, fewer than its rows.
_TASKS = 7

#: What happens, and how likely it is.
_EVENTS = {
    "worker killed": 10,
    "worker stopped": 4,
    "worker drained": 2,
    "database restarted": 2,
    "database crashed": 1,
    "network cut": 3,
    "submitter killed": 2,
}


@dataclass
class Findings:
    """What an audit has found.

    Attributes:
        lost: rows without a result, or whose edit is not in the task at the end.
        disordered: requests that were applied after a later row of their task.
        repeated: requests beyond the first of a row.
        most: the most requests of an account in any period, as far as the server's clock tells.
        refused: answers with status 429, but those of a server that was late and counted too many.
        foreign: requests with the key of another account than that of the row.
        events: what happened, and how often.
        excess: for each period with too many requests, what happened then.
    """

    lost: int = 0
    disordered: int = 0
    repeated: int = 0
    most: int = 0
    refused: int = 0
    foreign: int = 0
    events: Counter[str] = field(default_factory=Counter)
    excess: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept. Repeated requests are none."""
        is_within = self.most <= LEMLIST_RATE.requests and not self.refused
        return is_within and not (self.lost or self.disordered or self.foreign)

    def __str__(self) -> str:
        happened = ", ".join(f"{number} {name}" for name, number in sorted(self.events.items()))
        return (
            f"{self.lost} lost, {self.disordered} out of order, {self.repeated} repeated,"
            f" {self.foreign} with another key; at most {self.most} requests in"
            f" {LEMLIST_RATE.period:g} s, {self.refused} 429s\n  {happened}"
            + "".join(f"\n  {one}" for one in self.excess)
        )


class Trouble:
    """A fleet with many accounts, and what happens to it.

    Args:
        postgres: the server of its database, which is restarted.
        folder: an empty folder.
        seed: the seed of everything.
        accounts: number of accounts.
        workers: number of workers.
        rows: number of rows of each account.
    """

    def __init__(
        self,
        postgres: Postgres,
        folder: Path,
        seed: int,
        *,
        accounts: int = 10,
        workers: int = 3,
        rows: int = 60,
    ) -> None:
        self._postgres = postgres
        self._folder = folder
        self._random = random.Random(seed)
        self._names = names_of(accounts)
        self._workers_wanted = workers
        self._rows = rows
        self._workers: list[asyncio.subprocess.Process] = []
        self._written = 0
        self._findings = Findings()
        self._seen: list[Seen] = []
        #: When something happened or the server was late, and what.
        self._diary: list[tuple[float, str]] = []
        #: When the server was late, and for how long.
        self._lateness: list[tuple[float, float]] = []
        self._many = ManyAccounts(
            self._names,
            watch=self._seen.append,
            rate=LEMLIST_RATE,
            window=Window.SLIDING,
            latency=(1, 10),
            seed=seed,
        )

    async def run(self, events: int) -> Findings:
        """Let things happen until all rows are settled, and audit what became of them."""
        dsn = self._postgres.new()
        async with self._many, Relay(self._postgres.port) as self._relay:
            async with Database(Dsn(dsn)) as database:
                await init(database)
            self._dsn = dsn
            self._environment = {
                **os.environ,
                **self._many.environment,
                "BULKUPDATE_FLEET_DSN": self._relay.through(dsn),
            }
            accounts = str(self._many.write(self._folder))
            self._worker = [
                *COMMAND, "worker", "--accounts", accounts, "--lease", str(LEASE), "-q",
                "--drain-timeout", "5", "--give-up-after", "60",
            ]  # fmt: skip
            self._submit = [*COMMAND, "submit", "--accounts", accounts, "-q"]
            watching = asyncio.create_task(self._watch())
            try:
                for _ in range(self._workers_wanted):
                    await self._start()
                await self._registered()
                path = self._write("edits.csv")
                await self._submitted(path)
                for _ in range(events):
                    await self._happen()
                await self._settle()
            finally:
                await cancel_all([watching])
                for process in self._workers:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                await asyncio.gather(*(process.wait() for process in self._workers))
        return self._findings

    async def _watch(self) -> None:
        """Note when the server was late: what came meanwhile has the time of the end."""
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(_LATE / 2)
            if (late := clock() - before - _LATE / 2) > _LATE:
                self._diary.append((clock(), f"server late by {late:.2f} s"))
                self._lateness.append((clock(), late))

    def _write(self, name: str) -> Path:
        """A file with rows of all accounts, in which each task has several rows."""
        rows = [
            f"{account},opp_{self._random.randrange(_TASKS * (1 + number // 40))},"
            for account in self._names
            for number in range(self._rows)
        ]
        self._random.shuffle(rows)
        path = self._folder / name
        # The numbers go on from file to file: an edit of a later file is a later one.
        lines = [f"{row}row {number}\n" for number, row in enumerate(rows, self._written + 1)]
        self._written += len(rows)
        path.write_text("account,id,title\n" + "".join(lines))
        return path

    async def _start(self) -> None:
        log = (self._folder / "workers.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            *self._worker, env=self._environment, stdout=log, stderr=log
        )
        log.close()
        self._workers.append(process)

    async def _registered(self) -> None:
        async with Database(Dsn(self._dsn)) as database:
            while True:
                (found,) = await database.rows("SELECT count(*) FROM bulkupdate_accounts")
                if found[0] == len(self._names):
                    return
                await asyncio.sleep(0.05)

    async def _submitted(self, path: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._submit, str(path), env=self._environment
        )
        if await process.wait():
            raise AssertionError("the file was not submitted")

    async def _happen(self) -> None:
        await asyncio.sleep(self._random.uniform(0.1, 1.2))
        names, weights = zip(*_EVENTS.items(), strict=True)
        (name,) = self._random.choices(names, weights)
        happening: dict[str, Callable[[], Awaitable[object]]] = {
            "worker killed": self._kill,
            "worker stopped": self._stop,
            "worker drained": self._drain,
            "database restarted": self._restart,
            "database crashed": self._crash,
            "network cut": self._cut,
            "submitter killed": self._kill_submitter,
        }
        self._findings.events[name] += 1
        clock = asyncio.get_running_loop().time
        self._diary.append((clock(), name))
        await happening[name]()
        self._diary.append((clock(), f"after: {name}"))

    async def _kill(self) -> None:
        await self._replace(signal.SIGKILL)

    async def _drain(self) -> None:
        await self._replace(signal.SIGTERM)

    async def _replace(self, number: signal.Signals) -> None:
        process = self._workers.pop(self._random.randrange(len(self._workers)))
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        await process.wait()
        await self._start()

    async def _stop(self) -> None:
        """Stop a worker for longer than its lease."""
        process = self._random.choice(self._workers)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(LEASE * self._random.uniform(0.5, 3))
            process.send_signal(signal.SIGCONT)

    async def _restart(self) -> None:
        await asyncio.to_thread(self._postgres.restart)

    async def _crash(self) -> None:
        await asyncio.to_thread(self._postgres.crash)

    async def _cut(self) -> None:
        with self._relay.cut():
            await asyncio.sleep(self._random.uniform(0.2, 2.5))

    async def _kill_submitter(self) -> None:
        """Kill a submitter in the middle. What it had written must count as a whole, or not."""
        path = self._write(f"more-{self._written}.csv")
        process = await asyncio.create_subprocess_exec(
            *self._submit, str(path), env=self._environment, stderr=asyncio.subprocess.DEVNULL
        )
        await asyncio.sleep(self._random.uniform(0.3, 0.9))
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _settle(self) -> None:
        """Let the rest be sent, and audit all of it."""
        findings = self._findings
        async with Database(Dsn(self._dsn)) as database:
            while True:
                runs = await runs_of(database)
                if all(run.has_ended for run in runs):
                    # Rows may have been set aside, as workers died at them again and again.
                    left = [run for run in runs if run.counts["unprocessed"]]
                    if not left:
                        break
                    for run in left:
                        findings.events["set aside"] += run.counts["unprocessed"]
                        await retry(database, run.id, failed=False)
                for process in [*self._workers]:
                    if process.returncode is not None:
                        # It gave up: somebody starts it again, as systemd does.
                        self._workers.remove(process)
                        findings.events["worker started again"] += 1
                        await self._start()
                await asyncio.sleep(0.2)
            for run in runs:
                summary = await collect(database, run.id, self._folder / f"{run.id}.run")
                findings.lost += run.rows - summary.counts["updated"]
        self._audit([Path(run.input) for run in runs])

    def _audit(self, paths: list[Path]) -> None:
        """Look at what the server saw of the files that were submitted."""
        findings = self._findings
        account_of: dict[str, str] = {}
        last: dict[tuple[str, str], str] = {}
        for path in paths:
            for line in path.read_text().splitlines()[1:]:
                account, id_, title = line.split(",")
                account_of[title] = account
                last[account, id_] = title
        newest: dict[tuple[str, str], int] = {}
        requests: Counter[str] = Counter()
        times: defaultdict[str, list[float]] = defaultdict(list)
        refused: Counter[str] = Counter()
        for one in self._seen:
            times[one.account].append(one.at)
            refused[one.account] += one.status == 429
            if one.applied is None:
                continue
            title, task = one.applied["title"], (one.account, one.applied["id"])
            requests[title] += 1
            findings.foreign += account_of[title] != one.account
            number = int(title.removeprefix("row "))
            findings.disordered += number < newest.get(task, 0)
            newest[task] = max(number, newest.get(task, 0))
        findings.repeated = sum(number - 1 for number in requests.values())
        titles = self._many.titles()
        findings.lost += sum(titles[name].get(id_) != t for (name, id_), t in last.items())
        for account, found in times.items():
            found.sort()
            told, first = _most(found, found)
            # A server that was late has counted too many, and refused accordingly.
            most, _ = _most(found, [*map(self._earliest, found)])
            if told > LEMLIST_RATE.requests:
                findings.excess.append(self._around(account, found[first : first + told]))
            findings.most = max(findings.most, most)
            if not most <= LEMLIST_RATE.requests < told:
                findings.refused += refused[account]

    def _earliest(self, at: float) -> float:
        """When a request may have come that has this time: the server may have been late then."""
        late = (late for end, late in self._lateness if end - late <= at <= end + _LATE)
        return at - max(late, default=0.0)

    def _around(self, account: str, times: list[float]) -> str:
        """What happened around some requests of an account."""
        begin = times[0]
        requests = " ".join(f"{at - begin:.3f}" for at in times)
        around = [
            f"{at - begin:.2f} {what}"
            for at, what in self._diary
            if begin - _BEFORE < at < times[-1] + 1
        ]
        return f"{account}: {requests}; {', '.join(around)}"


def _most(times: list[float], earliest: list[float]) -> tuple[int, int]:
    """The most of these times surely within a period, and the index of the first of them.

    Args:
        times: the times that the server has noted, in order.
        earliest: for each, the time at which the request may have come.
    """
    most = first = begin = 0
    for index, at in enumerate(times):
        while at - earliest[first] >= LEMLIST_RATE.period:
            first += 1
        if index - first + 1 > most:
            most, begin = index - first + 1, first
    return most, begin
