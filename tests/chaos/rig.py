"""A run that is crashed many times, by a random schedule from a seed."""

import asyncio
import random
import signal
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from bulkupdate.sandbox import Fault, Sandbox, SandboxConfig, Team, Unknown
from bulkupdate.sandbox.server import Seen
from tests.chaos.audit import Audit, Findings
from tests.support.commands import COMMAND, environment

WORKERS = 4
FAULTS = {
    Fault.INTERNAL_ERROR: 0.03,
    Fault.UNAVAILABLE: 0.02,
    Fault.RESET_BEFORE: 0.02,
    Fault.RESET_AFTER: 0.02,
    Fault.CUT: 0.02,
    Fault.MALFORMED: 0.02,
    Fault.HTML: 0.01,
    Fault.HANG: 0.002,
}

#: Allowed exit codes of a session: done, killed, stopped by a signal (even before the handler was
#: set), or stopped early.
#: Python itself ends with SIGINT where the signal came in the middle of an `exec` of a text.
#: asyncio tells 255 where a signal was sent to a command that had just ended: what sends the signal
#: takes the exit code first.
ENDS = (0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 3, 255)

#: Most seconds until a command has ended after a signal.
PATIENCE = 60


class Rig:
    """One input, one run directory, one server, and a command that is crashed.

    Args:
        folder: the folder of all files.
        rows: the number of rows of the input.
        seed: the seed of the input, the faults and the schedule.
        busy: the part of the rows that belong to one task.
    """

    #: More flags of the command.
    flags: tuple[str, ...] = ()

    #: Most requests in flight for a key.
    workers = WORKERS

    def __init__(self, folder: Path, rows: int, seed: int, busy: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.events: Counter[str] = Counter()
        self.tasks = {number: self._task(rows, busy) for number in range(1, rows + 1)}
        self.input = folder / "edits.csv"
        self.input.write_text(self._lines())
        self.audit = Audit(self.tasks, folder / "edits.run" / "results.jsonl")
        self.sandbox = self._sandbox(seed)

    def _task(self, rows: int, busy: float) -> str:
        """A task for a row, as `task_of` tells it."""
        if self.random.random() < busy:
            return "opp_busy"
        return f"opp_{self.random.randrange(rows * 2 // 3)}"

    def _lines(self) -> str:
        """The input."""
        lines = (f"{task},row {number}\n" for number, task in self.tasks.items())
        return "id,title\n" + "".join(lines)

    def _sandbox(self, seed: int) -> Sandbox:
        settings = SandboxConfig(
            rate=None, latency=(1, 8), faults=FAULTS, seed=seed, unknown=Unknown.CREATE
        )
        return Sandbox(settings, Team(), watch=self.audit.saw)

    def _environment(self) -> dict[str, str]:
        """The variables with the server and the key."""
        return {
            "LEMLIST_BASE_URL": self.sandbox.base_url,
            "LEMLIST_API_KEY": self.sandbox.config.key,
        }

    async def run(self, crashes: int) -> int:
        """Crash the command a number of times, or until it is done. Then let it finish.

        Returns:
            The number of crashes.
        """
        async with self.sandbox:
            while crashes > self.events["kill -9"]:
                if not await self._session():
                    break
            await self._finish()
        return self.events["kill -9"]

    async def _session(self) -> bool:
        """Start and disturb the command. Return whether rows are left."""
        process = await self._start()
        await self._until_event(process)
        event = self._event()
        if process.returncode is None:
            await event(process)
        code = await asyncio.wait_for(process.wait(), PATIENCE)
        if code not in ENDS:
            raise AssertionError(f"the command ended with {code}:\n{self._stderr()}")
        return code != 0

    async def _until_event(self, process: Process) -> None:
        """Wait for the moment at which something happens to the command."""
        await asyncio.sleep(self.random.choice((0.3, 1.0)) * self.random.uniform(0.0, 1.2))

    def _event(self) -> Callable[[Process], Awaitable[None]]:
        """What happens to the command in this session."""
        return self.random.choices(
            (self._kill, self._terminate, self._stop_and_kill, self._cut_off_and_kill),
            weights=(70, 12, 9, 9),
        )[0]

    async def _start(self) -> Process:
        self.audit.session_begins()
        has_begun = (self.folder / "edits.run" / "summary.json").exists()
        with (self.folder / "stderr").open("w") as stderr:
            return await asyncio.create_subprocess_exec(
                *COMMAND, "run", str(self.input), "--out", str(self.folder / "edits.run"),
                "--rate", "none", "--workers", str(self.workers), "--timeout", "0.5", *self.flags,
                *(["--resume"] if has_begun else []),
                stdin=DEVNULL, stdout=DEVNULL, stderr=stderr,
                env=environment(**self._environment()),
            )  # fmt: skip

    async def _kill(self, process: Process) -> None:
        process.kill()
        self.events["kill -9"] += 1

    async def _terminate(self, process: Process) -> None:
        process.terminate()
        self.events["SIGTERM"] += 1
        if self.random.random() < 0.3:
            await asyncio.sleep(self.random.uniform(0, 0.02))
            if process.returncode is None:
                await self._kill(process)

    async def _stop_and_kill(self, process: Process) -> None:
        process.send_signal(signal.SIGSTOP)
        self.events["SIGSTOP"] += 1
        await asyncio.sleep(self.random.uniform(0.1, 0.8))
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(self.random.uniform(0, 0.1))
        if process.returncode is None:
            await self._kill(process)

    async def _cut_off_and_kill(self, process: Process) -> None:
        """Take the server down for a while, and crash the command during or after it."""
        self.sandbox.is_down = True
        self.events["outage"] += 1
        await asyncio.sleep(self.random.uniform(0.1, 1.5))
        if self.random.random() < 0.5:
            self.sandbox.is_down = False
            await asyncio.sleep(self.random.uniform(0, 0.5))
        if process.returncode is None:
            await self._kill(process)
        self.sandbox.is_down = False

    async def _finish(self) -> None:
        process = await self._start()
        code = await asyncio.wait_for(process.wait(), 600)
        if code != 0:
            raise AssertionError(f"the run ended with {code}:\n{self._stderr()}")

    def _stderr(self) -> str:
        return (self.folder / "stderr").read_text()


async def chaos(
    crashes: int, seed: int, rows: int = 1500, busy: float = 0.0
) -> tuple[Findings, Counter[str]]:
    """Run files one after the other, until the command has crashed often enough."""
    findings = Findings(0, 0, 0, 0, 0)
    events: Counter[str] = Counter()
    while crashes > events["kill -9"]:
        with tempfile.TemporaryDirectory() as folder:
            rig = Rig(Path(folder), rows, seed * 1000 + events["files"], busy)
            await rig.run(crashes - events["kill -9"])
            findings = findings.plus(rig.audit.findings())
        events += rig.events
        events["files"] += 1
    return findings, events


async def seconds_of_the_others(*, busy: bool, rows: int = 4000) -> float:
    """Seconds for rows of different tasks, alone or with as many rows of one busy task."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        others = [f"opp_{n},row {n}\n" for n in range(rows)]
        both = [line for other in others for line in (f"opp_busy,{other.partition(',')[2]}", other)]
        path = folder / "edits.csv"
        path.write_text("id,title\n" + "".join(both if busy else others))
        last = 0.0

        def watch(seen: Seen) -> None:
            nonlocal last
            if seen.body and seen.body["id"] != "opp_busy":
                last = time.monotonic()

        settings = SandboxConfig(rate=None, latency=(5, 15), unknown=Unknown.CREATE)
        async with Sandbox(settings, Team(), watch=watch) as sandbox:
            begun = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *COMMAND, "run", str(path), "--out", str(folder / "r"), "--rate", "none", "-q",
                env=environment(
                    LEMLIST_BASE_URL=sandbox.base_url, LEMLIST_API_KEY=sandbox.config.key
                ),
            )  # fmt: skip
            if await process.wait():
                raise AssertionError("the command failed")
        return last - begun
