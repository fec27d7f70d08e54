"""Fourteen nights of rules, each against a small model of what the rules mean."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from bulkupdate.journal import Summary
from bulkupdate.reader import ReadOptions
from bulkupdate.session.plan import plan_edits
from tests.support.bench import check
from tests.support.fortnight import (
    ANNA,
    BEN,
    BEN_AWAY,
    CARL,
    DORA,
    DORA_AWAY,
    FRENCH,
    GERMAN,
    LEAVER,
    LEFT,
    NIGHTS,
    OVERDUE,
    PARIS,
    Fortnight,
    Night,
    Way,
)

pytestmark = pytest.mark.slow

FRANCE = {date(2027, 3, 29)}
GERMANY = {date(2027, 3, 26), date(2027, 3, 29)}
LIMITS = {BEN_AWAY: 8, OVERDUE: 6}


class Task(NamedTuple):
    """A pending task, as far as rules look at it."""

    kind: str
    owner: str
    due: datetime


Tasks = Mapping[str, Task]


class Change(NamedTuple):
    """What a night makes of a task."""

    rule: str
    task: Task


# The model.


def is_off(day: date, holidays: set[date]) -> bool:
    return day.weekday() > 4 or day in holidays


def workday(day: date, holidays: set[date]) -> date:
    """The first workday from a day on."""
    while is_off(day, holidays):
        day += timedelta(days=1)
    return day


def at(day: date, moment: time) -> datetime:
    return datetime.combine(day, moment, PARIS)


def rule_of(task: Task, now: datetime) -> str:
    """The rule that selects a task, or ""."""
    today, day = now.date(), task.due.date()
    if task.kind == "phone" and task.due < now:
        is_away = date(2027, 3, 18) <= today <= date(2027, 3, 24)
        return BEN_AWAY if task.owner == BEN and is_away else OVERDUE
    if task.kind == "manual" and task.owner == DORA:
        return DORA_AWAY if date(2027, 3, 25) <= today <= date(2027, 3, 29) else ""
    if task.kind == "manual" and task.owner == LEFT:
        return LEAVER
    if task.kind == "email" and is_off(day, GERMANY):
        return GERMAN
    return FRENCH if task.kind == "linkedinSend" and is_off(day, FRANCE) else ""


class Model:
    """What a night makes of tasks.

    Args:
        tasks: the pending tasks.
        now: the moment of the night, in Paris.

    Attributes:
        changes: the changes, by task.
    """

    def __init__(self, tasks: Tasks, now: datetime) -> None:
        self.changes: dict[str, Change] = {}
        self._now = now
        self._open = Counter[str]()
        self._loads = Counter[tuple[str, date]]()
        self._selected: dict[str, list[tuple[str, Task]]] = {}
        for id_, task in sorted(tasks.items(), key=lambda one: (one[1].due, one[0])):
            if rule := rule_of(task, now):
                self._selected.setdefault(rule, []).append((id_, task))
            else:
                self._count(task)
        self._pushed(GERMAN, GERMANY)
        self._pushed(FRENCH, FRANCE)
        self._open.update(task.owner for _, task in self._selected.get(OVERDUE, ()))
        self._given(DORA_AWAY, [BEN])
        turn = [ANNA, CARL] if self._open[ANNA] <= self._open[CARL] else [CARL, ANNA]
        self._given(LEAVER, turn)
        self._called(BEN_AWAY, lambda _: [ANNA, CARL])
        self._called(OVERDUE, lambda task: [task.owner])

    def _count(self, task: Task) -> None:
        self._open[task.owner] += 1
        # What is overdue has to be done today.
        self._loads[task.owner, max(task.due.date(), self._now.date())] += 1

    def _change(self, rule: str, id_: str, task: Task) -> None:
        self.changes[id_] = Change(rule, task)
        self._count(task)

    def _pushed(self, rule: str, holidays: set[date]) -> None:
        """The tasks that keep their time of day, on the first workday."""
        for id_, task in self._selected.get(rule, ()):
            due = at(workday(task.due.date(), holidays), task.due.time())
            self._change(rule, id_, task._replace(due=due))

    def _given(self, rule: str, turn: list[str]) -> None:
        """The tasks that keep their due date, and go to people in turn."""
        for number, (id_, task) in enumerate(self._selected.get(rule, ())):
            self._change(rule, id_, task._replace(owner=turn[number % len(turn)]))

    def _called(self, rule: str, people: Callable[[Task], list[str]]) -> None:
        """The calls, which go to the one with the fewest tasks among those with room."""
        first = self._now.date() + timedelta(days=self._now.time() >= time(9))
        for id_, task in self._selected.get(rule, ()):
            day = workday(first, FRANCE | GERMANY)
            while not (having := [one for one in people(task) if self._has_room(rule, one, day)]):
                day = workday(day + timedelta(days=1), FRANCE | GERMANY)
            owner = min(having, key=lambda one: self._open[one])
            self._change(rule, id_, Task(task.kind, owner, at(day, time(9))))
            # They were counted with their owner.
            self._open[task.owner] -= rule == OVERDUE

    def _has_room(self, rule: str, person: str, day: date) -> bool:
        return self._loads[person, day] < LIMITS[rule]


# What the nights leave.


def pending(story: Fortnight) -> dict[str, Task]:
    """The pending tasks at the server."""
    return {
        id_: Task(
            task["type"],
            task["userId"],
            datetime.fromisoformat(task["dueDate"]).astimezone(PARIS),
        )
        for id_, task in story.tasks.items()
        if task["status"] == "pending"
    }


def meant(before: Tasks, changes: Mapping[str, Change], story: Fortnight, night: Night) -> Tasks:
    """The tasks as a night is to leave them, which has sent what it has sent."""
    noon = at(night.day, time(12))
    others = {id_: before[id_]._replace(owner=DORA, due=noon) for id_ in story.edited}
    sent = {one.body["id"] for one in story.sent if one.body and one.applied}
    ours = {id_: change.task for id_, change in changes.items() if id_ in sent}
    return {**before, **ours, **others}


async def still_planned(story: Fortnight, night: Night) -> set[str]:
    """The tasks that the same rules would change at the same moment."""
    read = ReadOptions(now=night.at)
    async with plan_edits(story.rules, story.endpoint, read=read, rate=None) as plan:
        return {change.id for change in plan.changes()}


def check_rows(summary: Summary, changes: Mapping[str, Change], story: Fortnight) -> None:
    """Check that the rows of a run are the changes of its night, rule by rule."""
    path = story.folder / Path(summary.directory).name / "edits.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["id"]: row["bulkupdate_rule"] for row in rows} == {
        id_: change.rule for id_, change in changes.items()
    }
    if not summary.counts["unprocessed"]:
        by_rule = {name: sum(counts.values()) for name, counts in summary.rules.items()}
        assert by_rule == Counter(change.rule for change in changes.values())


def check_end(summary: Summary, night: Night, changes: int) -> None:
    """Check how a run ended."""
    counts = Counter({name: number for name, number in summary.counts.items() if number})
    if night.way is Way.DOWN:
        assert (summary.exit_code, counts["updated"]) == (3, 3)
        assert counts["unconfirmed"] + counts["unprocessed"] == changes - 3
    elif night.way is Way.CONFLICTS:
        assert (summary.exit_code, counts) == (1, {"conflict": 2, "updated": changes - 2})
    else:
        assert (summary.exit_code, counts["updated"] + counts["unchanged"]) == (0, changes)
        assert summary.resumed == (night.way is Way.KILLED)


async def test_fourteen_nights_leave_what_the_rules_mean(tmp_path: Path) -> None:
    """Each night changes each task that the rules select once, and comes to rest."""
    changed = Counter[str]()
    async with Fortnight(tmp_path / "nights") as story:
        for night in NIGHTS:
            story.work(night)
            story.sent.clear()
            before = pending(story)
            changes = Model(before, night.at).changes
            changed.update(change.rule for change in changes.values())
            summary = await story.run(night)
            check(summary)
            check_end(summary, night, len(changes))
            check_rows(summary, changes, story)
            assert pending(story) == meant(before, changes, story, night)
            # Nothing is sent twice, and nothing but what is still to be done is left.
            applied = [one.body["id"] for one in story.sent if one.body and one.applied]
            assert len(set(applied)) == len(applied)
            left = {*changes} - {*applied} - {*story.edited}
            assert await still_planned(story, night) == left
            assert bool(left) == (night.way is Way.DOWN)
    assert changed.keys() == {BEN_AWAY, DORA_AWAY, LEAVER, OVERDUE, GERMAN, FRENCH}
