"""Planning with one key: a checked input, or rules, and the live tasks → a plan."""

import asyncio
import itertools
from collections.abc import (
    AsyncIterator,
    Callable,
)
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.models import ErrorInfo, Row
from bulkupdate.plan import Judge, Kind, LiveTasks, People, judged_fields
from bulkupdate.plan.rules import Evaluation, Rules, refusal
from bulkupdate.reader import Format, Input, ReadOptions
from bulkupdate.session.feeder import RowSource
from bulkupdate.session.listed import moved, refuse_few
from bulkupdate.session.night import (
    evaluated,
    not_written,
    write_night,
)
from bulkupdate.session.planrecord import EXAMPLES, Plan
from bulkupdate.session.reading import LiveReader
from bulkupdate.stop import Stop

#: Rows that are judged before other tasks may run.
_BATCH = 64


#: Is called with each row that conflicts, and why.
OnConflict = Callable[[Row, ErrorInfo], object]


def _ignore(_: Row, __: ErrorInfo) -> None:
    pass


class How(NamedTuple):
    """How rows are planned; see `made_plan`."""

    sends_unlisted: bool
    renew: bool
    merge: bool
    allow_few: bool
    needs_all: bool
    on_conflict: OnConflict = _ignore


async def read_plan(
    source: RowSource,
    zone: tzinfo,
    reader: LiveReader,
    live: LiveTasks,
    stop: Stop,
    on_page: Callable[[int], object],
    how: How,
) -> Plan:
    """Read the team, and the tasks that the rows are about.

    Raises:
        RunStoppedError: they can't be read whole.
    """
    known = await reader.known()
    fields: set[str] = set()
    async for rows in batches(source, stop):
        live.choose([row.id for row in rows if row.is_sent])
        fields.update(judged_fields(rows))
    async for _ in reader.tasks(live, fields=fields, needs_all=how.needs_all):
        on_page(live.listed)
    if live.is_whole and not how.allow_few:
        refuse_few(live.listed, None, stop)
    plan = Plan(People(known.members, live.owners), zone, _team=known.team)
    plan.notes += [*([known.note] if known.note else []), *moved(live)]
    return plan


async def judge_all(plan: Plan, source: RowSource, live: LiveTasks, stop: Stop, how: How) -> None:
    """Judge all rows, one after another, and sum up."""
    plan.listed, plan.is_whole = live.listed, live.is_whole
    judge = Judge(live, sends_unlisted=how.sends_unlisted)
    plan._live = live  # noqa: SLF001 - its own
    async for rows in batches(source, stop):
        for row in rows:
            _judge(plan, live, judge, row, how)
    plan._sum_up()  # noqa: SLF001
    plan.touched = live.changed
    plan.requests = plan.tasks if how.merge else plan.requests


async def edits_of(plan: Plan, evaluation: Evaluation | None, path: Path) -> Input:
    """The rows that rules have made, from a file that is written for them."""
    if evaluation is None:
        raise AssertionError("only rules make rows")
    plan.notes += not_written(await asyncio.to_thread(write_night, {"": evaluation}, path))
    return Input.open(path, options=ReadOptions(format=Format.JSONL))


async def evaluated_plan(
    rules: Rules,
    reader: LiveReader,
    live: LiveTasks,
    now: datetime | None,
    stop: Stop,
    on_page: Callable[[int], object],
    *,
    allow_few: bool,
) -> Plan:
    """Evaluate rules. One that selects too many tasks is no error: the plan shows that."""
    now = now or datetime.now(UTC)
    evaluation, people = await evaluated(
        rules,
        reader,
        live,
        now,
        stop,
        listed=None,
        allow_few=allow_few,
        accept_many=True,
        on_page=on_page,
    )
    plan = Plan(people, rules.zone, evaluation=evaluation)
    plan.notes += evaluation.notes
    plan.refused = refusal(rules, evaluation)
    return plan


async def batches(source: RowSource, stop: Stop) -> AsyncIterator[list[Row]]:
    """The rows of an input, a few at a time.

    Raises:
        RunStoppedError: the stop was set.
        InputError: the input can't be read.
    """
    rows = source.rows()
    while batch := list(itertools.islice(rows, _BATCH)):
        await asyncio.sleep(0)
        stop.check()
        yield batch


def _judge(plan: Plan, live: LiveTasks, judge: Judge, row: Row, how: How) -> None:
    """Judge a row, and apply it to the tasks on the disk, where the next row finds it."""
    plan.rows += 1
    if row.update is None or not row.is_sent:
        plan.unchanged += row.update is not None
        return
    expected, known = row.expect or {}, live.find(row.id)
    try:
        meant = replaced(row, expect=None) if how.renew else row
        row = plan.people.resolved(meant, lambda _: known.owner)
    except ValueError as error:
        plan.invalid_count += 1
        if len(plan.invalid) < EXAMPLES:
            plan.invalid.append((row.number, row.id, str(error)))
        return
    if row.update is None:
        raise AssertionError("a resolved row has an update")
    verdict = judge.judge(row, row.update, known)
    if verdict.update is None:
        plan.already += verdict.kind is Kind.ALREADY
        if verdict.kind is not Kind.ALREADY:
            found = verdict.error or ErrorInfo("conflict", "")
            plan.conflicts[found.type] += 1
            how.on_conflict(row, found)
            if len(plan.examples) < EXAMPLES:
                plan.examples.append((row.number, row.id, plan.people.named(found).message))
        return
    plan.requests += 1
    changes = verdict.update.changes()
    if expected:
        # What the row expects of other fields is expected of the task as it is at the beginning.
        before = judge.found(known)
        others = {*expected} & {*before} - {*changes} - {*known.written}
        left = {name: before[name] for name in others}
        live.wrote(row.id, left, left, 1.0)
    live.wrote(row.id, verdict.before or {}, changes, 1.0)
    live.apply(row.id, changes)
