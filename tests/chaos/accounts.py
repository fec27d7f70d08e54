"""A run with many accounts that is crashed many times, while single accounts are in trouble too.

All accounts have a few task ids in common, and two have all of them. What each key carried is seen
at the server: a row must never reach another account than its own.
"""

import asyncio
import tempfile
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from bulkupdate.models import task_of
from bulkupdate.sandbox import Sandbox, SandboxAccount
from tests.chaos.audit import Findings
from tests.chaos.rig import FAULTS, Rig
from tests.support.accounts import ManyAccounts, names_of

#: Task ids that all accounts have, from the first.
_COMMON = 3


class AccountsRig(Rig):
    """One input with the rows of many accounts, one server, and a command that is crashed.

    Args:
        folder: the folder of all files.
        rows: the number of rows of the input.
        seed: the seed of everything.
        accounts: the number of accounts.
    """

    workers = 2

    def __init__(self, folder: Path, rows: int, seed: int, accounts: int) -> None:
        self.names = names_of(accounts)
        super().__init__(folder, rows, seed)
        self.flags = ("--accounts", str(self.many.write(folder)))

    def _task(self, rows: int, busy: float) -> str:
        name = self.random.choice(self.names)
        number = self.random.randrange(max(_COMMON + 1, rows * 2 // 3 // len(self.names)))
        # The first two accounts have the same ids, and some other account's are never theirs.
        is_common = number < _COMMON or name in self.names[:2]
        return task_of(name, f"opp_{number}" if is_common else f"opp_{name}_{number}")

    def _lines(self) -> str:
        if self.random.random() < 0.5:
            # Sorted by account: its rows are one block.
            by_account = sorted(self.tasks.values(), key=lambda task: task.partition("\0")[0])
            self.tasks = dict(enumerate(by_account, 1))
            self.events["sorted files"] += 1
        lines = []
        for number, task in self.tasks.items():
            name, _, id_ = task.partition("\0")
            lines.append(f"{name},{id_},row {number}\n")
        return "account,id,title\n" + "".join(lines)

    def _sandbox(self, seed: int) -> Sandbox:
        self.many = ManyAccounts(
            self.names, watch=self.audit.saw, latency=(5, 40), faults=FAULTS, seed=seed
        )
        return self.many.sandbox

    def _environment(self) -> dict[str, str]:
        return self.many.environment

    async def _until_event(self, process: Process) -> None:
        if self.random.random() < 0.2:
            await super()._until_event(process)
            return
        # Most of the time of a session that is short goes by before its first request.
        requests = len(self.many.seen) + self.random.randint(1, len(self.tasks) // 2)
        while process.returncode is None and len(self.many.seen) < requests:
            await asyncio.sleep(0.001)

    async def _kill(self, process: Process) -> None:
        await super()._kill(process)
        self.events["killed while sending"] += self.audit.is_sending

    def _event(self) -> Callable[[Process], Awaitable[None]]:
        own = (self._take_one_down, self._refuse_some, self._throttle_some)
        return self.random.choice(own) if self.random.random() < 0.3 else super()._event()

    def _some(self) -> list[SandboxAccount]:
        number = self.random.randint(1, max(1, len(self.names) // 4))
        return self.random.sample([*self.sandbox.accounts.values()], number)

    async def _take_one_down(self, process: Process) -> None:
        """Take the server of one account down for a while, and perhaps crash the command."""
        account = self._some()[0]
        account.is_down = True
        self.events["outage of an account"] += 1
        await self._wait_and_kill(process)
        account.is_down = False

    async def _refuse_some(self, process: Process) -> None:
        """Refuse the keys of some accounts until the command has ended."""
        refused = self._some()
        for account in refused:
            account.refused = True
        self.events["refused keys"] += len(refused)
        await self._wait_and_kill(process)
        await asyncio.wait_for(process.wait(), 60)
        for account in refused:
            account.refused = False

    async def _throttle_some(self, process: Process) -> None:
        """Answer nothing but 429 to some accounts for a while."""
        throttled = self._some()
        for account in throttled:
            account.throttled = True
        self.events["throttled accounts"] += len(throttled)
        await self._wait_and_kill(process)
        for account in throttled:
            account.throttled = False

    async def _wait_and_kill(self, process: Process) -> None:
        await asyncio.sleep(self.random.uniform(0, 1.0))
        if process.returncode is None and self.random.random() < 0.7:
            await self._kill(process)


async def chaos_of_accounts(
    crashes: int, seed: int, rows: int, accounts: int
) -> tuple[Findings, Counter[str]]:
    """Run files one after the other, until the command has crashed often enough."""
    findings = Findings(0, 0, 0, 0, 0)
    events: Counter[str] = Counter()
    while crashes > events["kill -9"]:
        with tempfile.TemporaryDirectory() as folder:
            rig = AccountsRig(Path(folder), rows, seed * 1000 + events["files"], accounts)
            await rig.run(crashes - events["kill -9"])
            findings = findings.plus(rig.audit.findings())
        events += rig.events
        events["files"] += 1
    return findings, events
