"""Who gets which task, and on which day: distribution, and the most tasks of a person on a day.

::

    fixed   the owner and the day do not depend on other tasks: they are counted first
    kept    the owner is among the targets and keeps the task; a limit decides on the day
    dealt   the targets get it in turn, or the one with the fewest open tasks

A second evaluation of the result finds every task kept, and at its place: those of a rule with a
larger limit are placed first, and of one rule those that are due earlier, so that each finds the
days before its own as full as the first time, and room on its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from bulkupdate.plan.rules.livetask import LiveTask
from bulkupdate.plan.rules.rule import Distribution, Rule
from bulkupdate.plan.rules.workdays import Calendar

#: Days after the wanted one on which a task may find its place.
HORIZON = timedelta(days=366)

#: An owner and a day.
Place = tuple[str, date]


@dataclass(frozen=True, slots=True, eq=False)
class ActiveRule:
    """A rule that holds, with the people whom it names.

    Attributes:
        rule: the rule.
        calendar: its days.
        targets: the ids of the people who get its tasks; empty leaves the owner unchanged.
        sources: the ids of the owners that it selects; "" for no owner.
    """

    rule: Rule
    calendar: Calendar
    targets: tuple[str, ...] = ()
    sources: frozenset[str] = frozenset()

    @property
    def givers(self) -> frozenset[str]:
        """The ids of the owners whose tasks go to others. A target keeps the tasks it has."""
        return self.sources - {"", *self.targets} if self.targets else frozenset()


@dataclass(slots=True, eq=False)
class Job:
    """A selected task, and what becomes of it.

    Attributes:
        task: the task.
        active: the rule that has selected it.
        wanted: its due date, if there is room; None without one.
        is_undated: whether the rule sets a due date that counts from one that the task lacks.
        owner: the id of its owner in the end.
        due: its due date in the end.
        is_later: whether it is due on a later day than wanted, since nobody had room.
        is_left: whether it is left as it is, since nobody has room within a year.
    """

    task: LiveTask
    active: ActiveRule
    wanted: datetime | None
    is_undated: bool = False
    owner: str = ""
    due: datetime | None = None
    is_later: bool = False
    is_left: bool = False

    @property
    def keeps(self) -> bool:
        """Whether the task keeps its owner."""
        return not self.active.targets or self.task.owner in self.active.targets

    @property
    def is_fixed(self) -> bool:
        """Whether neither its owner nor its day depends on other tasks."""
        if not self.keeps:
            return False
        # A limit is one of a person, and of a day.
        if self.wanted is None or self.limit is None or not self.task.owner:
            return True
        day, due = self.active.calendar.day, self.task.due
        return due is not None and day(due) == day(self.wanted)

    @property
    def limit(self) -> int | None:
        """The most tasks of a person on a day. A task that is done needs no room."""
        return None if self.active.rule.set.completes else self.active.rule.limit


class Dealing:
    """A night's dealing.

    Args:
        today: the day of the night. What is overdue has to be done on it.
        open_: the open tasks that no rule selects, by owner.
        due: these by owner and day.
    """

    def __init__(self, today: date, open_: Counter[str], due: Counter[Place]) -> None:
        self._today = today
        self._open = Counter(open_)
        self._loads: Counter[Place] = Counter()
        for (owner, day), number in due.items():
            self._loads[owner, max(day, today)] += number

    def deal(self, jobs: Sequence[Job]) -> None:
        """Decide on the owner and the due date of each task.

        Args:
            jobs: the selected tasks, in the order in which they are dealt.
        """
        waiting: dict[ActiveRule, list[Job]] = {}
        for job in jobs:
            if job.keeps:
                self._open[job.task.owner] += not job.active.rule.set.completes
            if job.is_fixed:
                self._settle(job, job.task.owner, job.wanted)
            else:
                waiting.setdefault(job.active, []).append(job)
        for active in sorted(waiting, key=_turn):
            room = _Room(self._loads, active)
            mine = waiting[active]
            for job in (job for job in mine if job.keeps):
                self._place(job, (job.task.owner,), room)
            self._deal_out(active, [job for job in mine if not job.keeps], room)

    def _deal_out(self, active: ActiveRule, jobs: Iterable[Job], room: "_Room") -> None:
        targets = active.targets
        number = {target: place for place, target in enumerate(targets)}
        if active.rule.distribute is Distribution.EVEN:
            # The turn begins with the one who has the fewest open tasks.
            first = min(number.values(), key=lambda place: self._open[targets[place]], default=0)
            number = {target: (place - first) % len(targets) for target, place in number.items()}
            counts: Counter[str] = Counter()
        else:
            counts = self._open
        for job in jobs:
            self._place(job, targets, room, lambda target: (counts[target], number[target]))
            self._open[job.owner] += not active.rule.set.completes
            if counts is not self._open and not job.is_left:
                counts[job.owner] += 1

    def _place(
        self,
        job: Job,
        people: tuple[str, ...],
        room: "_Room",
        order: Callable[[str], tuple[int, int]] | None = None,
    ) -> None:
        """Give a task to the first of some people who have room on the first day with room."""
        wanted = job.wanted
        if wanted is None or job.limit is None:
            self._settle(job, min(people, key=order) if order else people[0], wanted)
            return
        first = max(job.active.calendar.day(wanted), self._today)
        day = room.day(people, first)
        if day is None:
            job.is_left = True
            self._settle(job, job.task.owner, job.task.due)
            return
        having = [person for person in people if room.is_on(person, day)]
        owner = min(having, key=order) if order else having[0]
        if day != first:
            job.is_later = True
            wanted = job.active.calendar.at(day, job.active.calendar.time_of_day(wanted))
        self._settle(job, owner, wanted)

    def _settle(self, job: Job, owner: str, due: datetime | None) -> None:
        job.owner, job.due = owner, due
        if due is not None and not job.active.rule.set.completes:
            self._loads[owner, max(job.active.calendar.day(due), self._today)] += 1


def _turn(active: ActiveRule) -> tuple[float, int]:
    """The key of the order of rules: no rule may break the limit of one before it."""
    limit = active.rule.limit
    return -float("inf" if limit is None else limit), active.rule.number


class _Room:
    """The room that a limit leaves.

    Args:
        loads: the number of tasks, by owner and day.
        active: the rule of the limit.
    """

    def __init__(self, loads: Counter[Place], active: ActiveRule) -> None:
        self._loads = loads
        self._limit = active.rule.limit or 0
        self._calendar = active.calendar
        #: Where the last search for some people from some day has ended. Days only fill up.
        self._reached: dict[tuple[tuple[str, ...], date], date] = {}

    def is_on(self, person: str, day: date) -> bool:
        """Whether a person has room on a day."""
        return self._loads[person, day] < self._limit

    def day(self, people: tuple[str, ...], first: date) -> date | None:
        """The first day on which one of some people has room: a given day, or a later workday."""
        day = self._reached.get((people, first), first)
        last = first + HORIZON
        while day <= last and not any(self.is_on(person, day) for person in people):
            day = self._calendar.workday(day, 1)
        self._reached[people, first] = day
        return day if day <= last else None
