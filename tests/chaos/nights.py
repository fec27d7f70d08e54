"""Nights of rules that are killed at random moments and resumed, while others edit and add tasks.

::

    reading ──▶ edits.jsonl.part ──▶ edits.jsonl ──▶ requests ──▶ end
       └─────────────────┴────────────────┴─────────────┴── killed, and resumed

Until the first request, a night may be evaluated again: the tasks that it has to change are those
of its last start. From then on its rows are fixed.
"""

import asyncio
import json
import random
import signal
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bulkupdate.sandbox import Member, Sandbox, SandboxConfig, Team
from bulkupdate.sandbox.server import Seen
from tests.chaos.audit import settled_rows
from tests.support.commands import COMMAND, environment

WORKERS = 4

#: Kills of one night, at most.
_KILLS = 6

_FIRST = datetime(2026, 11, 25, 2, tzinfo=UTC)
_PATIENCE = 120
_RULES = """
max_changes = "100%"
timezone = "UTC"

[[rule]]
name = "Urgent tasks are Ben's"
select = { assignedTo = "usr_anna", title = "urgent" }
set = { assignedTo = "usr_ben", priority = "high" }

[[rule]]
name = "Anna is away"
select = { assignedTo = "usr_anna" }
set = { assignedTo = ["usr_ben", "usr_carl"] }
distribute = "balance"
"""


class Moment(NamedTuple):
    """A moment at which a night is killed.

    Attributes:
        method: the method of the request after which it is killed, or "writing".
        number: the number of that request among those of its method, from 1.
    """

    method: str
    number: int


class NightOfCrashes:
    """One night: one run directory, one server, a command that is killed, and another hand.

    Args:
        folder: the folder of all files.
        tasks: number of tasks.
        seed: the seed of everything.
    """

    def __init__(self, folder: Path, tasks: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.run = folder / "night.run"
        self.events: Counter[str] = Counter()
        self.faults: list[str] = []
        self._folder = folder
        self._now = _FIRST + timedelta(days=seed % 1000)
        self._requests: Counter[str] = Counter()
        self._moment: Moment | None = None
        self._process: Process | None = None
        #: The tasks that the night has to change, if its last start has evaluated the rules.
        self._due: set[str] = set()
        self._edits = self._stamp("edits.jsonl")
        self._was_sent = False
        self._applied: Counter[str] = Counter()
        self._foreign: set[str] = set()
        team = Team(users=[Member(f"usr_{name}") for name in ("anna", "ben", "carl")])
        settings = SandboxConfig(rate=None, latency=(0, 3), page_size=50)
        self.sandbox = Sandbox(settings, team, watch=self._saw)
        for _ in range(tasks):
            self._add()
        (folder / "rules.toml").write_text(_RULES)

    def _add(self) -> None:
        number = len(self.sandbox.team.tasks)
        title = self.random.choice(("urgent", "call"))
        owner = self.random.choice(("usr_anna", "usr_anna", "usr_ben"))
        task = self.sandbox.team.add(f"opp_{number:04}")
        task.update(title=f"{title} {number}", userId=owner)

    def _saw(self, seen: Seen) -> None:
        if not seen.path.endswith("/tasks"):
            return
        self._requests[seen.method] += 1
        if seen.applied is not None:
            self._applied[seen.applied["id"]] += 1
        if self._moment == (seen.method, self._requests[seen.method]):
            self._kill()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def crash(self, kills: int) -> None:
        """Kill the night a number of times, and let it finish."""
        async with self.sandbox:
            kills = min(kills, self.random.randint(1, _KILLS))
            while self.events["kill -9"] < kills and await self._killed():
                self.events[self._part()] += 1
                self._others_edit()
            self._moment = None
            code = await self._ended(await self._start())
            if code not in (0, 1):
                text = (self._folder / "stderr").read_text()
                self.faults.append(f"the night ended with {code}: {text}")
        self._audit()

    async def _killed(self) -> bool:
        """Start the night, and kill it at some moment. Return whether it had not ended."""
        pages = 2 * (len(self.sandbox.team.tasks) // 50 + 2)
        method = self.random.choice(("GET", "PATCH", "writing", "PATCH"))
        number = self.random.randint(1, pages if method == "GET" else 30)
        self._requests.clear()
        self._moment = Moment(method, number)
        process = await self._start()
        if method == "writing":
            await self._kill_while_written(process)
        if await self._ended(process) != -signal.SIGKILL:
            return False
        self.events["kill -9"] += 1
        return True

    async def _kill_while_written(self, process: Process) -> None:
        """Kill the night as soon as a file of edits is written, or a little later."""
        names = ("edits.jsonl.part", "edits.jsonl")
        before = [*map(self._stamp, names)]
        while process.returncode is None and [*map(self._stamp, names)] == before:
            await asyncio.sleep(0.0005)
        await asyncio.sleep(self.random.choice((0, 0, 0.005, 0.02)))
        self._kill()

    def _stamp(self, name: str) -> tuple[int, int] | None:
        """What tells one version of a file from the next; None if there is none."""
        try:
            status = (self.run / name).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    async def _start(self) -> Process:
        self._was_sent = bool(self._applied)
        tasks = self.sandbox.team.tasks.values()
        self._due = {one["_id"] for one in tasks if one["userId"] == "usr_anna"}
        with (self._folder / "stderr").open("w") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND, "run", "rules.toml", "--out", self.run.name, "--resume",
                "--rate", "none", "--workers", str(WORKERS), "--now", f"{self._now:%FT%RZ}",
                cwd=self._folder, stdin=DEVNULL, stdout=DEVNULL, stderr=stderr,
                env=environment(
                    LEMLIST_BASE_URL=self.sandbox.base_url, LEMLIST_API_KEY=self.sandbox.config.key
                ),
            )  # fmt: skip
        return self._process

    async def _ended(self, process: Process) -> int:
        code = await asyncio.wait_for(process.wait(), _PATIENCE)
        # The server still applies what has reached it.
        await asyncio.sleep(0.05)
        self._look()
        return code

    def _look(self) -> None:
        """Look whether the last session has evaluated the rules, and whether it was allowed to."""
        if (edits := self._stamp("edits.jsonl")) != self._edits:
            self._edits = edits
            self.events["evaluations"] += 1
            if self._was_sent:
                self.faults.append("the rules were evaluated again after a request")
            if (rows := {row["id"] for row in self._rows()}) != self._due:
                self.faults.append(f"rows of other tasks than the rules select: {rows ^ self._due}")

    def _part(self) -> str:
        """The part of the night in which it was killed."""
        if self._applied:
            return "killed while sending"
        if self._edits is not None:
            return "killed before a request"
        return (
            f"killed {'while' if self._stamp('edits.jsonl.part') else 'before'} edits are written"
        )

    def _rows(self) -> list[dict[str, Any]]:
        text = (self.run / "edits.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def _others_edit(self) -> None:
        """Let another hand take two tasks of Anna, and let a campaign add one."""
        tasks = self.sandbox.team.tasks
        hers = [id_ for id_, task in tasks.items() if task["userId"] == "usr_anna"]
        for id_ in self.random.sample(hers, min(2, len(hers))):
            tasks[id_]["userId"] = "usr_dora"
            self._foreign.add(id_)
            self.events["edits by others"] += 1
        self._add()

    def _audit(self) -> None:
        """Note what is not as it must be in the end."""
        rows = self._rows()
        settled = settled_rows(self.run / "results.jsonl")
        for number, row in enumerate(rows, 1):
            task, sent = row["id"], self._applied.pop(row["id"], 0)
            if settled[number] != 1:
                self.faults.append(f"row {number}: settled {settled[number]} times")
            is_foreign = task in self._foreign
            owner = "usr_dora" if is_foreign else row["assignedTo"]
            if (found := self.sandbox.team.tasks[task]["userId"]) != owner:
                self.faults.append(f"{task}: {found} has it, and not {owner}")
            if sent != (not is_foreign):
                self.faults.append(f"{task}: changed {sent} times")
        self.faults += [f"{task}: changed by no row" for task in self._applied]


async def nights(kills: int, seed: int, tasks: int = 150) -> tuple[list[str], Counter[str]]:
    """Kill nights, one after the other, until the command was killed often enough."""
    faults: list[str] = []
    events: Counter[str] = Counter()
    while events["kill -9"] < kills:
        with tempfile.TemporaryDirectory() as folder:
            night = NightOfCrashes(Path(folder), tasks, seed * 1000 + events["nights"])
            await night.crash(kills - events["kill -9"])
            faults += [f"night {events['nights']}: {fault}" for fault in night.faults]
        events += night.events
        events["nights"] += 1
    return faults, events
