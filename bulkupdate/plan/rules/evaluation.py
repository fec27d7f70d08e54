"""The evaluation of rules: what a night would change in the live tasks, and what it expects."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress
from typing import Any

from bulkupdate import fields
from bulkupdate.errors import InputError, count, setting
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.models import Task
from bulkupdate.plan.people import People
from bulkupdate.plan.rules.conditions import View
from bulkupdate.plan.rules.dealing import ActiveRule, Dealing, Job, Place
from bulkupdate.plan.rules.livetask import Lens, LiveTask
from bulkupdate.plan.rules.resolving import Survey, active_rules
from bulkupdate.plan.rules.rule import Rule, Rules

#: The place of a value that is not known, and so is always set.
_UNKNOWN = object()


@dataclass(frozen=True, slots=True)
class RuleEdit:
    """What a rule changes in a task.

    Attributes:
        id: the id of the task.
        rule: the name of the rule.
        changes: the values to set, as they are sent, by field.
        expect: the values that the task must have, by field; "" for empty: those that the rule has
            looked at, and those that it changes.
    """

    id: str
    rule: str
    changes: dict[str, Any]
    expect: dict[str, Any]


#: The numbers by rule.
_COUNTED = ("selected", "changed", "later", "left", "undated", "nightly")


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """What a night would change.

    Attributes:
        listed: number of listed tasks.
        edits: what changes, rule by rule, in the order of the due dates.
        selected: number of selected tasks, by rule.
        changed: number of tasks that change, by rule.
        got: number of tasks by their new owner, by rule.
        gave: number of tasks by their old owner, "" for none, by rule.
        later: number of tasks that are due on a later workday, since nobody had room, by rule.
        left: number of tasks that stay as they are, since nobody has room within a year, by rule.
        undated: number of tasks that get no due date, since theirs is missing, by rule.
        nightly: number of tasks that would change again on the next workday, by rule.
        givers: the ids of the owners whose tasks go to others, by rule, where it names them.
        idle: the rules that do not hold today.
        remarks: what else is odd, in words.
    """

    listed: int
    edits: list[RuleEdit] = field(default_factory=list)
    selected: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    got: dict[str, Counter[str]] = field(default_factory=dict)
    gave: dict[str, Counter[str]] = field(default_factory=dict)
    later: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    undated: Counter[str] = field(default_factory=Counter)
    nightly: Counter[str] = field(default_factory=Counter)
    givers: dict[str, frozenset[str]] = field(default_factory=dict)
    idle: list[Rule] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, other: "Evaluation") -> None:
        """Add what the same rules select and change in another account, but for the edits."""
        self.listed += other.listed
        for name in _COUNTED:
            getattr(self, name).update(getattr(other, name))
        for mine, theirs in ((self.got, other.got), (self.gave, other.gave)):
            for rule, people in theirs.items():
                mine.setdefault(rule, Counter()).update(people)

    @property
    def notes(self) -> list[str]:
        """What people should know, in words."""
        counted = (
            (self.later, "{} due on a later workday: nobody had room"),
            (self.left, "{} left as they are: nobody has room within a year"),
            (self.undated, "{} without a due date, from which another could count: it is not set"),
            (self.nightly, "{} would be pushed every night"),
        )
        notes = [f"rule {rule.name!r} does not hold today: {_days(rule)}" for rule in self.idle]
        for counter, words in counted:
            for name, number in counter.items():
                notes.append(f"rule {name!r}: {words.format(count(number, 'task'))}")
        return notes + self.remarks


def evaluate(
    rules: Rules,
    tasks: Callable[[], Iterable[Task]],
    people: People,
    now: datetime,
    *,
    accept_many: bool = False,
) -> Evaluation:
    """Evaluate rules on the live tasks. Nothing depends on the order of the tasks.

    Args:
        rules: the rules.
        tasks: gives the listed tasks, each time from the first on.
        people: the members of the team.
        now: the moment of the night; aware.
        accept_many: whether a rule may select more than half of the listed tasks, although the file
            has no `max_changes`.

    Raises:
        InputError: the team is unknown, or a person whom a rule names; a rule selects too many
            tasks, or too many would change; or the rules do not settle.
    """
    survey = Survey.of(tasks())
    found = active_rules(rules, survey, people, rules.calendar.day(now))
    evaluation = Evaluation(listed=survey.listed, idle=found.idle, remarks=found.remarks)
    evaluation.givers = {one.rule.name: givers for one in found.rules if (givers := one.givers)}
    members = frozenset(member.id for member in people.members)
    night = _Night(rules, found.rules, members, now)
    lens = Lens(_needed(found.rules), survey.shown)
    for task in tasks():
        if live := lens.task(task):
            night.add(live)
    evaluation.selected.update(dict.fromkeys((one.rule.name for one in found.rules), 0))
    evaluation.selected.update(job.active.rule.name for job in night.jobs)
    if not accept_many and (why := refusal(rules, evaluation)):
        raise InputError(why)
    night.deal()
    changed = [(job, changes) for job in night.jobs if (changes := _changes(job))]
    if rules.max_changes and not rules.max_changes.allows(len(changed), survey.listed):
        raise InputError(
            f"{rules.name}: {count(len(changed), 'task')} of {survey.listed:,} would change, and"
            f" max_changes is {rules.max_changes}"
        )
    _check_settled(rules, night, changed)
    _sum_up(evaluation, night, changed)
    return evaluation


class _Night:
    """The evaluation of rules at one moment.

    Args:
        rules: the file.
        active: the rules of it that hold.
        members: the ids of the members of the team.
        now: the moment.

    Attributes:
        jobs: the selected tasks, in the order of their rules' turn.
    """

    def __init__(
        self,
        rules: Rules,
        active: Sequence[ActiveRule],
        members: frozenset[str],
        now: datetime,
    ) -> None:
        self.jobs: list[Job] = []
        self._rules = rules
        self._active = active
        self._members = members
        self._calendar = rules.calendar
        self._now = now
        self._open: Counter[str] = Counter()
        self._due: Counter[Place] = Counter()
        self._tests = [
            (
                one,
                one.rule.select.tests(
                    View(now=now, calendar=one.calendar, sources=one.sources, members=members)
                ),
            )
            for one in active
        ]

    def add(self, task: LiveTask) -> None:
        """Add a listed task. One that no rule selects is only counted."""
        for active, tests in self._tests:
            if all(test(task) for test in tests):
                self.jobs.append(self._job(task, active))
                return
        self._open[task.owner] += 1
        if task.due is not None:
            self._due[task.owner, self._calendar.day(task.due)] += 1

    def deal(self) -> None:
        """Decide on the owner and the due date of each selected task."""
        self.jobs.sort(key=lambda job: job.task.place)
        dealing = Dealing(self._calendar.day(self._now), self._open, self._due)
        dealing.deal(self.jobs)
        self.jobs.sort(key=lambda job: job.active.rule.number)

    def again(self, tasks: Iterable[LiveTask], now: datetime | None = None) -> "_Night":
        """The same rules on what this night has left, at the same moment or at another one.

        Args:
            tasks: the selected tasks, as they would be.
            now: the moment; None for the same.
        """
        now = now or self._now
        active = [one for one in self._active if one.rule.holds_on(self._calendar.day(now))]
        night = _Night(self._rules, active, self._members, now)
        night._open, night._due = Counter(self._open), Counter(self._due)
        for task in tasks:
            if task.is_open:
                night.add(task)
        night.deal()
        return night

    def next_workday(self) -> datetime:
        """The same time of day, a workday later."""
        day = self._calendar.workday(self._calendar.day(self._now), 1)
        return self._calendar.at(day, self._calendar.time_of_day(self._now))

    def _job(self, task: LiveTask, active: ActiveRule) -> Job:
        word = active.rule.set.due
        if word is None:
            return Job(task, active, task.due)
        try:
            wanted = word.moment(task.due, self._now, active.calendar)
        except ValueError as error:
            place = f"{self._rules.name}: rule {active.rule.number}: set.dueDate"
            raise InputError(f"{place}: {error} (task {task.id})") from None
        if wanted is None:
            return Job(task, active, task.due, is_undated=True)
        return Job(task, active, wanted)


def _needed(active: Iterable[ActiveRule]) -> frozenset[str]:
    """The fields whose values are kept."""
    needed = {"assignedTo", "dueDate"}
    for one in active:
        needed |= one.rule.expectable | one.rule.set.names
    return frozenset(needed)


def _changes(job: Job) -> dict[str, Any]:
    """What an update of a task has to set."""
    if job.is_left:
        return {}
    wanted = dict(job.active.rule.set.values)
    if job.active.targets:
        wanted["assignedTo"] = job.owner
    if job.due is not None and job.due != job.task.due:
        wanted["dueDate"] = fields.in_utc(job.due)
    now = job.task.values
    return {
        name: wanted[name]
        for name in (*TASK_NAMES, "done", *fields.MEDIA)
        if name in wanted and now.get(name, _UNKNOWN) != wanted[name]
    }


def _edit(job: Job, changes: dict[str, Any]) -> RuleEdit:
    names = job.active.rule.expectable | changes.keys()
    now = job.task.values
    expect = {name: now[name] for name in (*TASK_NAMES, "done") if name in names and name in now}
    return RuleEdit(job.task.id, job.active.rule.name, changes, expect)


def refusal(rules: Rules, evaluation: Evaluation) -> str:
    """Why a run is refused unless its user accepts it: a rule selects very many tasks; else ""."""
    if rules.max_changes is not None:
        return ""
    for name, number in evaluation.selected.items():
        if 2 * number > evaluation.listed:
            return (
                f"{rules.name}: rule {name!r} selects {number:,} of"
                f" {count(evaluation.listed, 'listed task')}, more than half: if this is meant, set"
                f" max_changes in the file, or {setting('yes')}"
            )
    return ""


Changed = Sequence[tuple[Job, dict[str, Any]]]


def _left(night: _Night, changed: Changed) -> Iterator[LiveTask]:
    """The selected tasks as the night leaves them."""
    changes = {job.task.id: changes for job, changes in changed}
    for job in night.jobs:
        yield job.task.after(changes.get(job.task.id, {}))


def _check_settled(rules: Rules, night: _Night, changed: Changed) -> None:
    again = [
        (job, found) for job in night.again(_left(night, changed)).jobs if (found := _changes(job))
    ]
    if not again:
        return
    first = {job.task.id: (job.active.rule, found) for job, found in changed}
    job, found = min(again, key=lambda one: one[0].task.id)
    rule, (before, did) = job.active.rule, first.get(job.task.id, (None, {}))
    said = f"rule {before.name!r} sets {_worded(did)}, and then " if before else ""
    way_out = _way_out(before, rule, found)
    raise InputError(
        f"{rules.name}: the rules do not settle: of task {job.task.id} {said}rule {rule.name!r}"
        f" would set {_worded(found)} ({count(len(again), 'task')} in all). {way_out}"
    )


def _way_out(before: Rule | None, rule: Rule, found: Mapping[str, Any]) -> str:
    """What to do about a rule that would change what another one has left."""
    if before is None or before.number == rule.number:
        return "Let a rule select only what it has not changed"
    apart = "let one of them select no task of the other"
    if found.keys() & before.set.names:
        return f"{apart.capitalize()}, or try another order"
    also = " and ".join(found)
    return (
        f"One rule changes a task: write one before them that does what both want, let rule"
        f" {before.name!r} set {also} too, or {apart}"
    )


def _worded(changes: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} to {fields.shorten(value)}" for name, value in changes.items())


def _sum_up(evaluation: Evaluation, night: _Night, changed: Changed) -> None:
    for job in night.jobs:
        name = job.active.rule.name
        counters = (evaluation.later, evaluation.left, evaluation.undated)
        facts = (job.is_later, job.is_left, job.is_undated)
        for counter in compress(counters, facts):
            counter[name] += 1
    for job, changes in changed:
        name = job.active.rule.name
        evaluation.edits.append(_edit(job, changes))
        evaluation.changed[name] += 1
        if "assignedTo" in changes:
            evaluation.got.setdefault(name, Counter())[job.owner] += 1
            evaluation.gave.setdefault(name, Counter())[job.task.owner] += 1
    names = {job.task.id: job.active.rule.name for job, _ in changed}
    later = night.again(_left(night, changed), night.next_workday())
    evaluation.nightly.update(
        names[job.task.id] for job in later.jobs if job.task.id in names and _changes(job)
    )


def _days(rule: Rule) -> str:
    """The days on which a rule holds."""
    return " ".join(
        f"{word} {day}" for word, day in (("from", rule.since), ("until", rule.until)) if day
    )
