"""The records of a file of rules."""

import enum
from dataclasses import dataclass, field, replace
from datetime import date, tzinfo
from typing import Any, NamedTuple

from bulkupdate.plan.rules.conditions import Conditions
from bulkupdate.plan.rules.moments import DueWord
from bulkupdate.plan.rules.workdays import Calendar, Holidays

#: The name that stands for all accounts.
EVERY = "*"


class Distribution(enum.StrEnum):
    """The way to deal the tasks of a rule to several people."""

    EVEN = "even"
    """In turn, by due date."""

    BALANCE = "balance"
    """Each to the one who has the fewest open tasks."""


class Named(NamedTuple):
    """A person or an account that a file of rules names.

    Attributes:
        text: an id, an e-mail address or a name.
        where: where it stands, for messages: `line 7: rule 2: select.assignedTo`.
    """

    text: str
    where: str


class MostChanges(NamedTuple):
    """The number or share of the listed tasks that a night may change.

    Attributes:
        tasks: the number of tasks, or None.
        percent: the share of the listed tasks, if there is no number.
    """

    tasks: int | None = None
    percent: float = 100.0

    def allows(self, changes: int, listed: int) -> bool:
        """Whether so many tasks of so many may change."""
        return changes <= (self.percent / 100 * listed if self.tasks is None else self.tasks)

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.tasks is None else f"{self.tasks:,}"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a rule sets.

    Attributes:
        targets: the people who get the tasks; empty leaves the owner unchanged.
        due: the due date; None leaves it unchanged.
        values: the values of other fields, by their names in an update, as it sends them.
    """

    targets: tuple[Named, ...] = ()
    due: DueWord | None = None
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def completes(self) -> bool:
        """Whether it completes tasks."""
        return self.values.get("done") is True

    @property
    def names(self) -> set[str]:
        """The fields that it sets, by their names in an update."""
        names = {*self.values}
        if self.targets:
            names.add("assignedTo")
        if self.due is not None:
            names.add("dueDate")
        return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule.

    Attributes:
        number: its number in the file, from 1.
        name: its name.
        select: the conditions on a task.
        sources: the owners that `select` names; one with an empty text stands for no owner.
        set: what it sets.
        since: the first day on which it holds; None for any.
        until: the last day on which it holds; None for any.
        distribute: the way to deal its tasks to several people.
        limit: the most tasks of a person on a day (`per_user_per_day`); None for any number.
        accounts: the accounts whose tasks it is about; `EVERY` among them is for all. None of them
            in a file that names no accounts.
        irreversible: whether it may do what can't be taken back.
        holidays: its own holidays, else those of the file.
    """

    number: int
    name: str
    select: Conditions
    sources: tuple[Named, ...]
    set: Setting
    since: date | None = None
    until: date | None = None
    distribute: Distribution = Distribution.EVEN
    limit: int | None = None
    accounts: tuple[Named, ...] = ()
    irreversible: bool = False
    holidays: Holidays

    def is_of(self, account: str) -> bool:
        """Whether it is about the tasks of an account."""
        return any(one.text in (account, EVERY) for one in self.accounts)

    def holds_on(self, day: date) -> bool:
        """Whether it holds on a day."""
        return (self.since is None or self.since <= day) and (
            self.until is None or day <= self.until
        )

    @property
    def expectable(self) -> frozenset[str]:
        """The fields on whose values it depends, by their names in an update."""
        names = self.select.expectable
        if self.set.targets or self.limit is not None:
            names.add("assignedTo")
        if self.limit is not None or (self.set.due is not None and self.set.due.looks_at_due):
            names.add("dueDate")
        return frozenset(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A file of rules.

    Attributes:
        name: the name of the file, for messages.
        timezone: the name of the time zone.
        zone: the time zone of its days.
        holidays: the days, beside Saturdays and Sundays, on which nobody works.
        max_changes: how many tasks a night may change; None for any number.
        rules: the rules. The first that selects a task wins.
    """

    name: str
    timezone: str
    zone: tzinfo
    holidays: Holidays
    max_changes: MostChanges | None
    rules: tuple[Rule, ...]

    def of(self, account: str) -> "Rules":
        """The rules that are about the tasks of an account."""
        return replace(self, rules=tuple(rule for rule in self.rules if rule.is_of(account)))

    @property
    def calendar(self) -> Calendar:
        """The days of the file. A rule may have its own holidays."""
        return Calendar(self.zone, self.holidays)
