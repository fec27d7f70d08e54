"""What many runs have done, for the page of many nights. Memory: a short record for each run.

::

    past_runs ──▶ Nights ──▶ months, with a cell for each day
                        ├──▶ people, rules, causes: added up as the runs are read
                        └──▶ a line for each of the newest runs
"""

import calendar
from collections import Counter
from collections.abc import Hashable, Iterable
from datetime import date
from itertools import groupby
from typing import NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.journal import OTHER_OWNERS, Cause, End, PastRun, Unread, kind_of
from bulkupdate.ui.past import Clock, Night, in_order, night_of

#: Largest number of runs that are shown one by one: the newest ones.
MAX_NIGHTS = 1000

#: Largest number of people, rules and causes that are counted one by one.
MAX_COUNTED = 1000

#: The name under which the rest is counted.
OTHERS = OTHER_OWNERS


class Person(NamedTuple):
    """What a person got and gave.

    Attributes:
        name: the person for people.
        got: number of tasks that became theirs.
        gave: number of tasks that were theirs.
        nights: number of runs in which this happened.
    """

    name: str
    got: int
    gave: int
    nights: int


class Why(NamedTuple):
    """A cause of rows that did not go through, in several runs.

    Attributes:
        cause: the cause, with the number of all its rows. The example is of the newest run read.
        nights: number of runs that had it.
        night: a run that had it.
    """

    cause: Cause
    nights: int
    night: Night


class Day(NamedTuple):
    """A day of a calendar.

    Attributes:
        day: the date.
        nights: the runs that began on it, in their order.
    """

    day: date
    nights: list[Night]

    @property
    def worst(self) -> End | None:
        """The worst end of its runs; None without a run."""
        return max((one.end for one in self.nights), key=lambda end: end.badness, default=None)


class Month(NamedTuple):
    """A month with runs.

    Attributes:
        name: as `November 2026`.
        weeks: its weeks from Monday to Sunday; None for days of other months.
        nights: its runs, in their order.
        missed: number of days without a run between the first and the last run of all.
    """

    name: str
    weeks: list[list[Day | None]]
    nights: list[Night]
    missed: int


class Nights:
    """What many runs have done.

    Args:
        runs: the runs, in any order.
        timezone: the time zone of all times; None for that of the newest run that has one.

    Attributes:
        all: the runs in the order of their beginnings.
        unread: the directories that hold no run, or a damaged one.
        clock: the time zone of all times.
        rules: number of rows by rule and outcome.

    Raises:
        ConfigError: there is no such time zone.
    """

    def __init__(self, runs: Iterable[PastRun | Unread], timezone: str | None = None) -> None:
        self.unread: list[Unread] = []
        self.rules: dict[str, dict[str, int]] = {}
        self._got, self._gave = Counter[str](), Counter[str]()
        self._nights_of = Counter[str]()
        self._names: dict[str, str] = {}
        self._causes: dict[Hashable, Why] = {}
        nights = []
        for run in runs:
            if isinstance(run, Unread):
                self.unread.append(run)
            else:
                nights.append(night_of(run))
                self._add(run, nights[-1])
        self.all = in_order(nights)
        self.clock = Clock.of(self.all, timezone)

    @property
    def causes(self) -> list[Why]:
        """Why rows did not go through, the most frequent first."""
        return sorted(self._causes.values(), key=lambda one: -one.cause.count)

    def people(self) -> list[Person]:
        """Who got tasks and who gave them, those with the most first, all others last."""
        found = [
            Person(self._names.get(one, one), self._got[one], self._gave[one], nights)
            for one, nights in self._nights_of.items()
        ]
        return sorted(found, key=lambda one: (one.name == OTHERS, -one.got - one.gave, one.name))

    def by_rule(self) -> dict[str, dict[str, int]]:
        """Number of rows by rule and outcome, the rules with the most first, all others last."""
        found = self.rules.items()
        return dict(sorted(found, key=lambda one: (one[0] == OTHERS, -sum(one[1].values()))))

    def stopped(self) -> list[tuple[End, str, list[Night]]]:
        """The runs that did not end well, by their end and reason, the newest end first."""
        found: dict[tuple[End, str], list[Night]] = {}
        for night in reversed(self.all):
            if night.end in (End.REFUSED, End.STOPPED, End.KILLED, End.ROWS_LEFT):
                why = "" if night.end in (End.KILLED, End.ROWS_LEFT) else night.why
                if (night.end, why) not in found and len(found) >= MAX_COUNTED:
                    why = ""
                found.setdefault((night.end, why), []).append(night)
        return [(end, why, nights) for (end, why), nights in found.items()]

    def months(self) -> list[Month]:
        """The months of the newest runs, the newest first."""
        shown = self.all[-MAX_NIGHTS:]
        days = {day: list(some) for day, some in groupby(shown, self._day)}
        if not days:
            return []
        first, last = min(days), max(days)
        months = {(day.year, day.month) for day in days}
        return [self._month(*one, days, first, last) for one in sorted(months, reverse=True)]

    def _day(self, night: Night) -> date:
        return night.began.astimezone(self.clock.zone).date()

    def _month(
        self, year: int, month: int, days: dict[date, list[Night]], first: date, last: date
    ) -> Month:
        weeks = [
            [Day(day, days.get(day, [])) if day.month == month else None for day in week]
            for week in calendar.Calendar().monthdatescalendar(year, month)
        ]
        shown = [day for week in weeks for day in week if day is not None]
        return Month(
            name=f"{date(year, month, 1):%B %Y}",
            weeks=weeks,
            nights=[night for day in shown for night in day.nights],
            missed=sum(not day.nights for day in shown if first < day.day < last),
        )

    def _add(self, run: PastRun, night: Night) -> None:
        summary = run.summary
        for rule, counts in run.rules.items():
            name = rule if rule in self.rules or len(self.rules) < MAX_COUNTED else OTHERS
            of_rule = self.rules.setdefault(name, {})
            for outcome, rows in counts.items():
                of_rule[outcome] = of_rule.get(outcome, 0) + rows
        self._add_people(summary.owners or {}, summary.givers or {}, summary.people)
        for cause in summary.problems:
            self._add_cause(cause, night)

    def _add_people(
        self, owners: dict[str, int], givers: dict[str, int], people: dict[str, str]
    ) -> None:
        known = {one: self._counted(one) for one in (*owners, *givers)}
        for one, tasks in owners.items():
            self._got[known[one]] += tasks
        for one, tasks in givers.items():
            self._gave[known[one]] += tasks
        self._nights_of.update({*known.values()})
        self._names.update((one, people[one]) for one in known.values() if one in people)

    def _counted(self, person: str) -> str:
        """The name under which a person is counted."""
        is_known = person in self._nights_of or len(self._nights_of) < MAX_COUNTED
        return person if is_known else OTHERS

    def _add_cause(self, cause: Cause, night: Night) -> None:
        kind = kind_of(cause)
        if kind not in self._causes and len(self._causes) >= MAX_COUNTED:
            kind = (cause.outcome, OTHERS)
        known = self._causes.get(kind)
        rows = cause.count + (known.cause.count if known else 0)
        nights = known.nights + (known.night is not night) if known else 1
        self._causes[kind] = Why(replaced(cause, count=rows), nights, night)
