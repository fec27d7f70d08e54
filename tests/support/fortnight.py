"""Fourteen nights of one file of rules, in virtual time, and what people do between them.

::

    work(night)   calls are made or are not, campaigns make new tasks, a person leaves
    run(night)    the rules, as of the moment of the night
"""

import asyncio
import enum
import random
import tomllib
from asyncio.subprocess import DEVNULL
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.fields import due_date
from bulkupdate.journal import Summary, read_summary
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.reader import ReadOptions
from bulkupdate.sandbox import Sandbox, SandboxConfig, Team
from bulkupdate.sandbox.members import Member
from bulkupdate.sandbox.server import Seen
from bulkupdate.session.observer import Observer
from bulkupdate.session.run import run
from bulkupdate.session.settings import RunConfig
from tests.support.commands import COMMAND, environment

PARIS = ZoneInfo("Europe/Paris")
ANNA, BEN, CARL, DORA, LEFT = "usr_anna", "usr_ben", "usr_carl", "usr_dora", "usr_left"

#: The file of rules, and the names of the rules in their order.
RULES = Path(__file__).with_suffix(".toml").read_text()
NAMES: list[str] = [rule["name"] for rule in tomllib.loads(RULES)["rule"]]
BEN_AWAY, DORA_AWAY, LEAVER, OVERDUE, GERMAN, FRENCH = NAMES

_MEMBERS = (
    Member(ANNA, "Anna", "Martin", "anna@acme.example", "admin"),
    Member(BEN, "Ben", "Keller", "ben@acme.example"),
    Member(CARL, "Carl", "Roux", "carl@acme.example"),
    Member(DORA, "Dora", "Vogel", "dora@acme.example"),
)

#: Number of requests that write before a night is killed, or the server goes down.
_MIDDLE = 3

#: Days on which campaigns make no tasks, so that the night after them has nothing to do.
_QUIET = (date(2027, 3, 26), date(2027, 3, 28))

_PATIENCE = 60


class Way(enum.Enum):
    """The way in which a night goes."""

    WELL = "well"
    CONFLICTS = "another hand edits between the reading and the first request"
    DOWN = "the server goes down in the middle"
    KILLED = "it is killed in the middle, and resumed in the morning"


class Night(NamedTuple):
    """One night.

    Attributes:
        at: its moment.
        way: the way in which it goes.
    """

    at: datetime
    way: Way = Way.WELL

    @property
    def day(self) -> date:
        """Its day in Paris."""
        return self.at.date()

    @property
    def morning(self) -> datetime:
        """The moment at which it is resumed, if it was killed."""
        return self.at.replace(hour=7, minute=30)

    @property
    def directory(self) -> str:
        """The name of its run directory."""
        return f"{self.day}.run"


def _nights() -> list[Night]:
    # At 02:30 on the 28th, the clocks have skipped that time.
    times = {24: time(23, 50), 25: time(0, 10), 28: time(2, 30)}
    ways = {18: Way.CONFLICTS, 19: Way.DOWN, 23: Way.KILLED}
    return [
        Night(
            datetime.combine(date(2027, 3, day), times.get(day, time(2)), PARIS),
            ways.get(day, Way.WELL),
        )
        for day in range(17, 31)
    ]


NIGHTS = _nights()


class _Noted(Observer):
    """An observer that does something once the rules have been evaluated."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self._is_done = False

    def noted(self, note: str) -> None:
        if not self._is_done:
            self._is_done = True
            self._then()


class Fortnight:
    """A team, its tasks and its nights. Use it as `async with Fortnight(folder) as fortnight`.

    Args:
        folder: gets the file of rules and a run directory for each night.
        give_up_after: seconds after which a night gives up a server that is down.

    Attributes:
        folder: likewise.
        rules: the file of rules.
        sandbox: the server.
        sent: the requests that write, of all nights.
        edited: the tasks that another hand has edited in the middle of the last night.
    """

    def __init__(self, folder: Path, give_up_after: float = 0.1) -> None:
        self.folder = folder
        self.rules = folder / "nightly.toml"
        self.sent: list[Seen] = []
        self.edited: list[str] = []
        team = Team(users=_MEMBERS)
        settings = SandboxConfig(key="sandbox", rate=None, page_size=40)
        self.sandbox = Sandbox(settings, team, watch=self._watch)
        self._retry = RetryPolicy(
            first_backoff=0.001, longest_backoff=0.01, give_up_after=give_up_after
        )
        self._random = random.Random(14)
        self._now = NIGHTS[0].at - timedelta(days=1)
        self._on_write: Callable[[int], None] | None = None
        self._writes = 0
        for number in range(60):
            self._add("manual", _MEMBERS[number % 4].id, self._now + timedelta(days=40))

    async def __aenter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self.rules.write_text(RULES)
        await self.sandbox.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sandbox.close()

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Copies of all tasks, by id."""
        return {id_: dict(task) for id_, task in self.sandbox.team.tasks.items()}

    @property
    def endpoint(self) -> Endpoint:
        """Where requests go."""
        return Endpoint(api_key=ApiKey("sandbox"), base_url=self.sandbox.base_url, timeout=5)

    def work(self, night: Night) -> None:
        """Let people and campaigns do what they do between the last night and this one."""
        while self._now + timedelta(hours=12) < night.at:
            self._work_on(self._now.date())
            self._now += timedelta(days=1)

    def _work_on(self, day: date) -> None:
        for task in self._open("phone"):
            # Half of the calls are made.
            if _is_due(task, day) and self._random.random() < 0.5:
                task.update(status="completed", completedAt=task["dueDate"])
        if day in _QUIET:
            return
        for number in range(0 if day.weekday() > 4 else 12):
            self._add("phone", _MEMBERS[number % 4].id, _at(day, 10 + number % 6))
        for offset in (1, 2):
            self._add("email", BEN, _at(day + timedelta(offset), 11))
            self._add("linkedinSend", ANNA, _at(day + timedelta(offset), 16))
        if day.weekday() < 5:
            self._add("manual", LEFT, _at(day + timedelta(9), 9))

    def _open(self, kind: str) -> list[dict[str, Any]]:
        tasks = self.sandbox.team.tasks.values()
        return [one for one in tasks if one["type"] == kind and one["status"] == "pending"]

    def _add(self, kind: str, owner: str, due: datetime) -> None:
        id_ = f"opp_{len(self.sandbox.team.tasks):04}"
        task = self.sandbox.team.add(id_, kind)
        task.update(userId=owner, dueDate=due_date(due), title=f"{kind} {id_[4:]}")

    async def run(self, night: Night) -> Summary:
        """Run a night in its way."""
        self.edited = []
        ways = {Way.CONFLICTS: self._edited, Way.DOWN: self._down, Way.KILLED: self._killed}
        return await ways.get(night.way, self._well)(night)

    async def _well(self, night: Night, observer: Observer | None = None) -> Summary:
        return await run(self.config(night), observer=observer)

    def config(self, night: Night) -> RunConfig:
        """The settings of the run of a night."""
        return RunConfig(
            input=str(self.rules),
            endpoint=self.endpoint,
            rate=None,
            retry=self._retry,
            workers=1,
            out=str(self.folder / night.directory),
            read=ReadOptions(now=night.at.astimezone(UTC)),
        )

    async def _edited(self, night: Night) -> Summary:
        return await self._well(night, _Noted(lambda: self._edit(night)))

    def _edit(self, night: Night) -> None:
        """Let another hand take over two overdue calls: Dora makes them at noon."""
        overdue = [one for one in self._open("phone") if _moment(one["dueDate"]) < night.at]
        for task in overdue[:2]:
            task.update(userId=DORA, dueDate=due_date(_at(night.day, 12)))
            self.edited.append(task["_id"])

    async def _down(self, night: Night) -> Summary:
        def goes_down(writes: int) -> None:
            self.sandbox.is_down = writes >= _MIDDLE

        self._after_writes(goes_down)
        try:
            return await self._well(night)
        finally:
            self._on_write, self.sandbox.is_down = None, False

    async def _killed(self, night: Night) -> Summary:
        process = await self._command(night)

        def kill(writes: int) -> None:
            if writes == _MIDDLE:
                process.kill()

        self._after_writes(kill)
        code = await asyncio.wait_for(process.wait(), _PATIENCE)
        self._on_write = None
        if code != -9:
            raise AssertionError(f"the night was not killed: {code}")
        process = await self._command(night._replace(at=night.morning), "--resume")
        await asyncio.wait_for(process.wait(), _PATIENCE)
        return read_summary(self.folder / night.directory)

    def _after_writes(self, do: Callable[[int], None]) -> None:
        self._writes, self._on_write = 0, do

    async def _command(self, night: Night, *more: str) -> asyncio.subprocess.Process:
        """Start the real command."""
        now = f"{night.at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
        out = self.folder / night.directory
        flags = ("--out", str(out), "--now", now, "--rate", "none", "--workers", "1", *more)
        return await asyncio.create_subprocess_exec(
            *COMMAND, "run", str(self.rules), *flags,
            stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
            env=environment(LEMLIST_BASE_URL=self.sandbox.base_url, LEMLIST_API_KEY="sandbox"),
        )  # fmt: skip

    def _watch(self, seen: Seen) -> None:
        if seen.method != "PATCH":
            return
        self.sent.append(seen)
        if seen.applied is not None:
            self._writes += 1
            if self._on_write is not None:
                self._on_write(self._writes)


async def fortnight(folder: Path, give_up_after: float = 0.1) -> None:
    """Run all nights; see `Fortnight`."""
    async with Fortnight(folder, give_up_after) as story:
        for night in NIGHTS:
            story.work(night)
            await story.run(night)


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), PARIS)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_due(task: dict[str, Any], day: date) -> bool:
    return _moment(task["dueDate"]).astimezone(PARIS).date() == day
