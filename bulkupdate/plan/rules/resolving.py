"""The rules that hold on a day, with the people whom they name."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date

from bulkupdate import fields
from bulkupdate.errors import InputError, count
from bulkupdate.models import Task
from bulkupdate.plan.people import People
from bulkupdate.plan.rules.conditions import TYPES
from bulkupdate.plan.rules.dealing import ActiveRule
from bulkupdate.plan.rules.rule import Named, Rule, Rules
from bulkupdate.plan.rules.workdays import Calendar

#: Number of owners that a message names.
_SHOWN = 10


@dataclass(slots=True)
class Survey:
    """What the listed tasks show as a whole.

    Attributes:
        listed: number of tasks.
        owners: number of tasks by owner.
        shown: the names of all fields that some task has, under lemlist's names.
        types: the types of tasks.
    """

    listed: int = 0
    owners: Counter[str] = field(default_factory=Counter)
    shown: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> "Survey":
        """The survey of some tasks."""
        survey = cls()
        for task in tasks:
            survey.listed += 1
            survey.shown.update(task.fields)
            if isinstance(owner := task.assigned_to, str) and owner:
                survey.owners[owner] += 1
            if isinstance(kind := task.fields.get("type"), str):
                survey.types.add(kind)
        return survey


@dataclass(slots=True)
class Active:
    """The rules that hold on a day.

    Attributes:
        rules: these rules, but for those that look at a field that no task shows.
        idle: the other rules.
        remarks: what is odd, in words.
    """

    rules: list[ActiveRule] = field(default_factory=list)
    idle: list[Rule] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def active_rules(rules: Rules, survey: Survey, people: People, today: date) -> Active:
    """The rules that hold on a day.

    Args:
        rules: the file.
        survey: what the listed tasks show.
        people: the members of the team.
        today: the day.

    Raises:
        InputError: the team is unknown, or a person whom such a rule names.
    """
    if not people.is_known:
        raise InputError(f"{rules.name}: the team can't be read, and no rule holds without it")
    # An owner who has left the team is a source by any id.
    resolver = _Resolver(rules, People(people.members, survey.owners))
    active = Active()
    for rule in rules.rules:
        if rule.holds_on(today):
            resolved = resolver.resolved(rule)
            if not (odd := _unseen(rule, survey)):
                active.rules.append(resolved)
            active.remarks += [
                f"rule {rule.name!r}: {text}" for text in odd or _types(rule, survey)
            ]
        else:
            active.idle.append(rule)
    if resolver.problems:
        raise InputError("\n".join([*resolver.problems, _strangers(rules, survey, people)]))
    for rule in active.idle:
        if rule.since and rule.since > today:
            resolver.resolved(rule)
    active.remarks += resolver.problems
    return active


class _Resolver:
    """The people whom rules name.

    Args:
        rules: the file.
        people: the members of the team, and the owners of listed tasks.

    Attributes:
        problems: the people who are unknown, or are not the only ones of their name.
    """

    def __init__(self, rules: Rules, people: People) -> None:
        self.problems: list[str] = []
        self._rules = rules
        self._people = people

    def resolved(self, rule: Rule) -> ActiveRule:
        """A rule with the ids of its people. Problems are noted."""
        sources = [self._id(one, self._people.source) if one.text else "" for one in rule.sources]
        targets: list[str] = []
        for one in rule.set.targets:
            found = self._id(one, self._people.target)
            if found in targets:
                self._add(one, f"is named twice: {self._people.shown(found)}")
            elif found is not None:
                targets.append(found)
        calendar = Calendar(self._rules.zone, rule.holidays)
        known = frozenset(source for source in sources if source is not None)
        return ActiveRule(rule, calendar, tuple(targets), known)

    def _id(self, named: Named, resolve: Callable[[str], str]) -> str | None:
        try:
            return resolve(named.text)
        except ValueError as error:
            hint = error.hint if isinstance(error, fields.WrongValueError) else ""
            self._add(named, f"{error}{hint}")
            return None

    def _add(self, named: Named, message: str) -> None:
        text = fields.shorten(named.text)
        self.problems.append(f"{self._rules.name}, {named.where}: {text} {message}")


def _strangers(rules: Rules, survey: Survey, people: People) -> str:
    """The owners of listed tasks who are no members of the team, in words."""
    members = {member.id for member in people.members}
    counts = [(-number, owner) for owner, number in survey.owners.items() if owner not in members]
    named = [f"{owner} ({count(-number, 'task')})" for number, owner in sorted(counts)[:_SHOWN]]
    more = [f"and {len(counts) - _SHOWN:,} more"] if len(counts) > _SHOWN else []
    what = "owners of listed tasks who are no members"
    return f"{rules.name}: {what}: {', '.join([*named, *more]) or 'none'}"


def _unseen(rule: Rule, survey: Survey) -> list[str]:
    """The fields that a rule looks at and no task shows, in words."""
    names = [*rule.select.shown_as, *(["userId"] if rule.set.targets else [])]
    missing = dict.fromkeys(name for name in names if name not in survey.shown)
    return [
        f"no listed task shows its {name}: it selects none" for name in missing if survey.listed
    ]


def _types(rule: Rule, survey: Survey) -> list[str]:
    """The types that a rule selects and that are probably misspelt, in words."""
    known = {*TYPES, *survey.types}
    return [
        f"no listed task has the type {name!r}: did you mean {near!r}?"
        for name in rule.select.wanted.get("type", ())
        if name not in known and (near := fields.nearest(name, known))
    ]
