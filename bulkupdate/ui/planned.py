"""A plan for people: what would change, task by task, and what can't be known before."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, tzinfo
from functools import partial
from itertools import islice
from typing import Any, Literal

from bulkupdate.errors import count, setting
from bulkupdate.fields import shorten, shorten_both
from bulkupdate.lemlist.rate import LEMLIST_RATE, Rate, RateLimit
from bulkupdate.session.planrecord import Change, Plan
from bulkupdate.ui.messages import duration, printable
from bulkupdate.ui.values import value_text

#: Number of tasks whose changes are shown one by one.
SHOWN = 20

#: Most characters of a text that are shown.
_TEXT = 40

#: Fields whose values are texts of people.
_TEXTS = frozenset({"title", "message"})

#: What conflicts are about, in words.
_CONFLICTS = {
    "changed_since": "not as the row expects",
    "not_listed": "not listed",
    "not_pending": "not pending",
    "unknown": "not shown by the server",
    "conflict": "not to be sent",
}


def change_lines(plan: Plan) -> Iterator[str]:
    """The first changes, task by task. With accounts, those of each are below its numbers."""
    left = SHOWN
    for part in plan.accounts.values() or [plan]:
        if part.account:
            yield _numbers(part)
        for change in islice(part.changes(), left):
            left -= 1
            yield _change(change, part)
    if plan.tasks > SHOWN:
        yield f"  … and {count(plan.tasks - SHOWN, 'more task')}"


def _numbers(part: Plan) -> str:
    """The plan of an account in one line."""
    of = f", of {part.listed:,} listed" if part.is_whole else ""
    found = [f"{count(part.tasks, 'task')} would change{of}"]
    if part.already:
        found.append(f"{count(part.already, 'row')} already so")
    if conflicts := part.conflicts.total():
        found.append(f"{count(conflicts, 'row')} in conflict")
    if part.invalid_count:
        found.append(f"{count(part.invalid_count, 'row')} invalid")
    return f"{printable(part.account)}: {'; '.join(found)}"


def rule_lines(plan: Plan) -> Iterator[str]:
    """What each rule selects and changes, and who gets how many tasks from whom."""
    if (found := plan.evaluation) is None:
        return
    for name, number in found.selected.items():
        yield f"rule {name!r}: selects {count(number, 'task')}, changes {found.changed[name]:,}"
        for verb, people in (("get", found.got.get(name)), ("give", found.gave.get(name))):
            if people:
                shown = Counter(
                    {plan.people.shown(who) if who else "nobody": n for who, n in people.items()}
                )
                yield f"  {verb}: {_counts(shown)}"


def _change(change: Change, plan: Plan) -> str:
    title = f" {shorten(change.title, _TEXT)}" if change.title else ""
    parts = []
    for name, after in change.after.items():
        before = change.before.get(name)
        if name in _TEXTS and before and after:
            was, becomes = shorten_both(before, after, _TEXT)
        else:
            was = _shown(name, before, plan) if name in change.before else "?"
            becomes = _shown(name, after, plan)
        parts.append(f"{name} {was} → {becomes}")
    # Of rules, it would say again what they select.
    for name, value in change.expect.items() if plan.evaluation is None else ():
        if name not in change.after:
            parts.append(f"expects {name} {_shown(name, value, plan)}")
    return f"~ {change.id}{title}  {'  '.join(parts)}"


def _shown(name: str, value: Any, plan: Plan) -> str:
    """A value for people, in quotes where it is a text."""
    if name in _TEXTS and value:
        return shorten(value, _TEXT)
    moment = partial(_moment, zone=plan.zone)
    return value_text(name, value, plan.people.shown, moment) or "nothing"


def _moment(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%a %d %b %Y %H:%M}"


def total_lines(plan: Plan, rate: Rate) -> Iterator[str]:
    """The plan in numbers."""
    of = f", of {plan.listed:,} listed" if plan.is_whole else ""
    yield f"{count(plan.tasks, 'task')} would change{of}"
    if plan.fields:
        yield f"  fields: {_counts(plan.fields)}"
    if plan.owners:
        owners = Counter({plan.people.shown(who): number for who, number in plan.owners.items()})
        yield f"  new owners: {_counts(owners)}"
    if plan.already:
        yield f"  {count(plan.already, 'row')} already so: no request"
    if plan.unchanged:
        yield f"  {count(plan.unchanged, 'row')} with nothing to change"
    if plan.completes:
        yield f"  completes {count(plan.completes, 'task')}, which can't be taken back"
    if plan.clears:
        yield f"  clears: {_counts(plan.clears)}"
    if plan.unknown:
        yield f"  can't be taken back, as no task shows the field: {_counts(plan.unknown)}"
    if plan.requests:
        limit = LEMLIST_RATE if rate == "auto" else rate
        # The limit is that of each key.
        longest = max((part.requests for part in plan.accounts.values()), default=plan.requests)
        yield f"  {count(plan.requests, 'request')}{_time(longest, limit)}"


def _time(requests: int, limit: RateLimit | None) -> str:
    if limit is None:
        return ""
    return f", at least {duration(requests * limit.period / limit.requests)}"


def _counts(counts: "Counter[str]") -> str:
    shown = counts.most_common(SHOWN)
    more = ", …" if len(counts) > SHOWN else ""
    return ", ".join(f"{name} {number:,}" for name, number in shown) + more


def problem_lines(plan: Plan) -> Iterator[str]:
    """The rows that would not be sent, and why."""
    yield from _examples(plan, "invalid")
    if plan.invalid_count:
        yield f"{count(plan.invalid_count, 'row')} invalid: they name no member of the team"
    yield from _examples(plan, "examples")
    if total := plan.conflicts.total():
        named = Counter({_CONFLICTS.get(kind, kind): n for kind, n in plan.conflicts.items()})
        yield f"{count(total, 'row')} in conflict: {_counts(named)}"


def _examples(plan: Plan, kind: Literal["invalid", "examples"]) -> Iterator[str]:
    """The first rows that would not be sent, each with its account."""
    parts = plan.accounts.values() or [plan]
    rows = ((part.account, one) for part in parts for one in getattr(part, kind))
    for account, (row, task_id, why) in islice(rows, SHOWN):
        of = f"{printable(account)}: " if account else ""
        yield f"  row {row}, {of}{task_id}: {why}"


def unknown_lines(plan: Plan) -> Iterator[str]:
    """What a plan can't know."""
    what = "what others change from now on"
    if plan.completes:
        what += "; what completing a task sets off"
    yield f"a plan can't know {what}: run with {setting('compare')} judges each task again"
