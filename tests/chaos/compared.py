"""A run with `--compare` that is crashed many times while others edit, and is then undone.

The sandbox tells every edit that it applied. So the values that each hand has left are known, and
what every field must hold in the end.
"""

import asyncio
import csv
import json
import random
import signal
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from bulkupdate.sandbox import Fault, Sandbox, SandboxConfig, Team
from bulkupdate.sandbox.server import Seen
from tests.support.commands import COMMAND, environment

WORKERS = 4
FAULTS = {
    Fault.INTERNAL_ERROR: 0.02,
    Fault.RESET_BEFORE: 0.02,
    Fault.RESET_AFTER: 0.03,
    Fault.CUT: 0.03,
    Fault.MALFORMED: 0.02,
}

#: Field of an update → its name in a Task.
NAMES = {"title": "title", "message": "content", "priority": "priority"}


_PATIENCE = 120


class Write(NamedTuple):
    """One edit that was applied.

    Attributes:
        is_ours: whether the command made it.
        before: the value that it overwrote.
        after: the value that it left.
    """

    is_ours: bool
    before: Any
    after: Any


class Compared:
    """One input, one run directory, one server, a command that is crashed, and another hand.

    Args:
        folder: the folder of all files.
        tasks: number of tasks. Each has two rows.
        seed: the seed of everything.
    """

    def __init__(self, folder: Path, tasks: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.events: Counter[str] = Counter()
        self.original = {f"opp_{n}": self._values(n) for n in range(tasks)}
        #: Task and field → the edits, in the order of time.
        self.history: dict[tuple[str, str], list[Write]] = {
            (task, name): [] for task in self.original for name in NAMES
        }
        team = Team(_task(task, values) for task, values in self.original.items())
        settings = SandboxConfig(
            rate=None, latency=(0, 5), faults=FAULTS, seed=seed, lag=0.3, page_size=25
        )
        self.sandbox = Sandbox(settings, team, watch=self._saw)
        self._write_input()

    def _values(self, number: int) -> dict[str, str]:
        return {"title": f"Title {number}", "message": f"Text {number}", "priority": "1"}

    def _write_input(self) -> None:
        lines = [
            (task, f"row {part}", self.random.choice(("", "x")), self.random.choice(("", "0", "2")))
            for part in (1, 2)
            for task in self.random.sample(sorted(self.original), len(self.original))
        ]
        with (self.folder / "edits.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(("id", "title", "message", "priority", "expect.title"))
            for task, title, message, priority in lines:
                expected = self.original[task]["title"] if self.random.random() < 0.5 else ""
                out.writerow((task, title, message, priority, expected))

    def _saw(self, seen: Seen) -> None:
        for name, value in (seen.applied or {}).items():
            if name in NAMES and seen.applied is not None:
                self._note(seen.applied["id"], name, value, is_ours=True)

    def _note(self, task: str, name: str, value: Any, *, is_ours: bool) -> None:
        before = self.value(task, name)
        self.history[task, name].append(Write(is_ours, before, value))

    def value(self, task: str, name: str) -> Any:
        """The value of a field, by the edits so far."""
        history = self.history[task, name]
        return history[-1].after if history else self.original[task][name]

    def others_edit(self, number: int) -> None:
        """Let another hand edit some tasks."""
        for task in self.random.sample(sorted(self.original), number):
            name = self.random.choice(("title", "message"))
            value = f"other {self.events['others']}"
            self.events["others"] += 1
            self._note(task, name, value, is_ours=False)
            self.sandbox.team.tasks[task][NAMES[name]] = value

    async def run(self, crashes: int) -> None:
        """Crash the run a number of times, let it finish, and undo it."""
        async with self.sandbox:
            while self.events["kill -9"] < crashes and await self._crashed():
                # What the list does not show yet can't be told from what another hand left.
                await asyncio.sleep(0.35)
                self.others_edit(2)
                await asyncio.sleep(0.35)
            # Every row has its outcome, and what was in doubt is tried again.
            await self._finished("run", "edits.csv", "--out", "edits.run", *_COMPARE, "--resume")
            await asyncio.sleep(0.35)
            self.others_edit(3)
            await asyncio.sleep(0.35)
            await self._finished("undo", "edits.run", "-o", "undo.jsonl", "--overwrite")
            await self._finished("run", "undo.jsonl", *_COMPARE)

    async def _crashed(self) -> bool:
        """Start the run, and crash it. Return whether it had not finished."""
        process = await self._start(
            "run", "edits.csv", "--out", "edits.run", *_COMPARE, "--resume", "--retry-failed"
        )
        await asyncio.sleep(self.random.uniform(0.3, 1.6))
        if process.returncode is None:
            process.kill()
            self.events["kill -9"] += 1
        return await asyncio.wait_for(process.wait(), _PATIENCE) == -signal.SIGKILL

    async def _finished(self, *arguments: str) -> None:
        process = await self._start(*arguments)
        code = await asyncio.wait_for(process.wait(), _PATIENCE)
        if code not in (0, 1):
            said = (self.folder / "stderr").read_text()
            raise AssertionError(f"{arguments} ended with {code}:\n{said}")

    async def _start(self, *arguments: str) -> Process:
        with (self.folder / "stderr").open("w") as stderr:
            return await asyncio.create_subprocess_exec(
                *COMMAND,
                *arguments,
                cwd=self.folder,
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=stderr,
                env=environment(
                    LEMLIST_BASE_URL=self.sandbox.base_url, LEMLIST_API_KEY=self.sandbox.config.key
                ),
            )

    def faults(self) -> list[str]:
        """What is not as it must be, after the undo; empty where all is right."""
        return [*self._wrong_images(), *self._wrong_values()]

    def _wrong_images(self) -> list[str]:
        """Images that hold a value of ours."""
        wrong = []
        for line in (self.folder / "edits.run" / "before.jsonl").read_text().splitlines():
            image = json.loads(line)
            for name, value in (image["before"] or {}).items():
                written = self.history[image["id"], name]
                foreign = {one.after for one in written if not one.is_ours}
                if value not in foreign | {self.original[image["id"]][name]}:
                    wrong.append(f"{image['id']} {name}: {value!r} is an image and ours")
        return wrong

    def _wrong_values(self) -> list[str]:
        """Fields that do not hold what another hand left last, or what was there first."""
        wrong = []
        for task in self.original:
            is_changed_since = any(
                written and not written[-1].is_ours
                for written in (self.history[task, name] for name in NAMES)
            )
            for name in NAMES:
                history = self.history[task, name]
                foreign = [one.after for one in history if not one.is_ours]
                meant = foreign[-1] if foreign else self.original[task][name]
                found = self.value(task, name)
                # A task that another hand has edited since is left as it is, as a whole.
                is_left = is_changed_since and bool(history) and history[-1].is_ours
                if found != meant and not is_left:
                    wrong.append(f"{task} {name}: {found!r} and not {meant!r}: {history}")
        return wrong


_COMPARE = ("--compare", "--rate", "none", "--workers", str(WORKERS), "--timeout", "0.5")


def _task(task: str, values: dict[str, str]) -> dict[str, Any]:
    return {
        "_id": task,
        "type": "manual",
        "title": values["title"],
        "content": values["message"],
        "priority": int(values["priority"]),
        "dueDate": "2027-01-31T08:00:00.000Z",
        "userId": "usr_1",
        "status": "pending",
        "createdAt": "2026-01-31T08:00:00.000Z",
    }


async def compared(crashes: int, seed: int, tasks: int = 60) -> tuple[list[str], Counter[str]]:
    """Run files one after the other, until the command has crashed often enough."""
    faults: list[str] = []
    events: Counter[str] = Counter()
    while events["kill -9"] < crashes:
        with tempfile.TemporaryDirectory() as folder:
            rig = Compared(Path(folder), tasks, seed * 1000 + events["files"])
            await rig.run(min(10, crashes - events["kill -9"]))
            faults += rig.faults()
        events += rig.events
        events["files"] += 1
    return faults, events
