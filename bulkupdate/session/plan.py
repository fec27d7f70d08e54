"""`plan`: what a file of edits would change in the live tasks, as they are now. Nothing is sent."""

import asyncio
import contextlib
import itertools
import tempfile
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.engine.spool import Spool
from bulkupdate.errors import ConfigError, InputError, RunStoppedError, setting
from bulkupdate.journal import published
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.team import Team
from bulkupdate.models import ErrorInfo, Row
from bulkupdate.plan import Judge, Kind, LiveTasks, People, inspect, judged_fields
from bulkupdate.plan.rules import Evaluation, Rules, refusal
from bulkupdate.reader import Format, Input, ReadOptions, format_to_write, is_rules
from bulkupdate.session.feeder import RowSource
from bulkupdate.session.listed import refuse_few
from bulkupdate.session.night import (
    evaluated,
    load_rules,
    not_written,
    rules_by_account,
    write_night,
)
from bulkupdate.session.planfile import write_plan
from bulkupdate.session.reading import LiveReader, live_reader
from bulkupdate.session.settings import ChangeLimit
from bulkupdate.session.sidebyside import Each, Lines, endpoints_of, read_each, shared_teams
from bulkupdate.session.spooled import SpooledRows
from bulkupdate.session.threads import in_thread
from bulkupdate.stop import Stop

#: Number of conflicts that are kept as examples.
_EXAMPLES = 20

#: Number of accounts that a message names.
_NAMED = 5

#: What is added up over accounts.
_ADDED = (
    "rows",
    "listed",
    "tasks",
    "touched",
    "requests",
    "already",
    "unchanged",
    "invalid_count",
    "completes",
    "reading",
    "conflicts",
    "fields",
    "expected",
    "owners",
    "clears",
    "unknown",
)

_SAME_TEAM = ", so that rows of one task could go out of order: run refuses them without "

#: Rows that are judged before other tasks may run.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Change:
    """What would change in one task.

    Attributes:
        id: the id of the task.
        title: its title now.
        before: the values now, by field; "" for empty, and left out where no task shows the field.
        after: the values that the plan leaves.
        expect: the values that the task must have when the plan is sent: those that it overwrites,
            and what the rows expect of other fields.
        rule: the name of the rule that changes it; None for a file of edits.
        account: the name of its account; "" where there is only one.
    """

    id: str
    title: str
    before: dict[str, Any]
    after: dict[str, Any]
    expect: dict[str, Any]
    rule: str | None = None
    account: str = ""


@dataclass(slots=True)
class Plan:
    """A plan: what a file of edits would change.

    A plan of several accounts adds up what is known of each, which stands in `accounts`.

    Attributes:
        people: the members of the team.
        zone: the time zone for people.
        rows: number of rows.
        listed: number of tasks that the server lists, as far as the list was read.
        is_whole: whether the list was read to its end, as some task of the file was not in it.
        tasks: number of tasks that would change.
        touched: number of tasks that would get a request: some may be as before in the end.
        requests: number of requests that the file would take.
        already: number of rows whose task is as they want it.
        unchanged: number of rows that set nothing.
        conflicts: number of rows that would not be sent, by the kind of conflict.
        examples: the first of them: row, id and why.
        invalid: the first rows that name people who are no members: row, id and why.
        invalid_count: number of these rows.
        fields: number of tasks by the field that changes.
        expected: number of tasks by the field of which something is expected.
        owners: number of tasks by their new owner.
        clears: number of tasks by the field that is emptied.
        completes: number of tasks that would be completed.
        unknown: number of tasks by the field that no task shows, so that it can't be taken back.
        reading: number of requests that the reading took.
        notes: what could not be read, and what is odd about a night.
        evaluation: what the rules select and change; None for a file of edits.
        refused: why a run of the rules would be refused, unless its caller accepts it.
        account: the name of the account; "" where there is only one, or for several together.
        accounts: the plan of each account whose tasks could be read, in the order of their first
            rows; empty with one key.
        unread: why the tasks of the other accounts can't be read, by account.
        has_accounts: whether the rows are of accounts.
    """

    people: People
    zone: tzinfo
    rows: int = 0
    listed: int = 0
    is_whole: bool = True
    tasks: int = 0
    touched: int = 0
    requests: int = 0
    already: int = 0
    unchanged: int = 0
    conflicts: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str, str]] = field(default_factory=list)
    invalid: list[tuple[int, str, str]] = field(default_factory=list)
    invalid_count: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    owners: Counter[str] = field(default_factory=Counter)
    clears: Counter[str] = field(default_factory=Counter)
    completes: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    reading: int = 0
    notes: list[str] = field(default_factory=list)
    evaluation: Evaluation | None = None
    refused: str = ""
    account: str = ""
    accounts: dict[str, "Plan"] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    has_accounts: bool = False
    _team: Team | None = None
    _live: LiveTasks | None = None
    _kept: Lines | None = None

    def changes(self) -> Iterator[Change]:
        """What would change, task by task, in the order of the first rows of each account.

        Raises:
            JournalError: the live tasks can't be read.
        """
        for part in self.accounts.values():
            yield from part.changes()
        for kept in self._kept or ():
            after = {name: _sent(value) for name, value in kept["after"].items()}
            yield Change(**{**kept, "after": after})
        if self._live is not None:
            yield from self._live_changes(self._live)

    def _live_changes(self, live: LiveTasks) -> Iterator[Change]:
        edits = self.evaluation.edits if self.evaluation is not None else ()
        rules = {edit.id: edit.rule for edit in edits}
        for task_id, ours in live.written():
            known = {name: one for name, one in ours.items() if one.chain[0] != one.chain[-1]}
            if not known:
                continue
            task = live.find(task_id).task
            title = task.fields.get("title") if task is not None else None
            expect = {name: one.chain[0] for name, one in ours.items() if one.chain[0] is not None}
            before = {name: value for name, value in expect.items() if name in known}
            title = before.get("title", title)
            after = {name: _sent(one.chain[-1]) for name, one in known.items()}
            title = title if isinstance(title, str) else ""
            rule = rules.get(task_id)
            yield Change(task_id, title, before, after, expect, rule, self.account)

    def refusal(self, max_changes: ChangeLimit | None, *, skip_invalid: bool) -> str:
        """Why a run of the file would send nothing; "" if it would.

        Args:
            max_changes: the number or share of the listed tasks, of each account, that may change;
                None for any.
            skip_invalid: whether invalid rows are left out.
        """
        if self.accounts:
            parts = self.accounts.values()
            whys = [
                (one.account, one.refusal(max_changes, skip_invalid=skip_invalid)) for one in parts
            ]
            refused = [f"{name}: {why}" for name, why in whys if why]
            return "; ".join([*refused[:_NAMED], *["…"][: len(refused) > _NAMED]])
        if self.invalid_count and not skip_invalid:
            how = setting("skip_invalid")
            return f"enter members of the team, or leave such rows out with {how}"
        if max_changes is None:
            return ""
        return max_changes.refusal(self.touched, self.listed if self.is_whole else None)

    @property
    def why_unread(self) -> str:
        """Why the tasks of accounts can't be read, in words; "" if all can."""
        shown = [f"account {name}: {why}" for name, why in islice(self.unread.items(), _NAMED)]
        return "; ".join([*shown, *["…"][: len(self.unread) > _NAMED]])

    def _sum_up(self) -> None:
        for change in self.changes():
            self.tasks += 1
            self.fields.update(change.after.keys())
            self.expected.update(change.expect.keys())
            self.clears.update(name for name, value in change.after.items() if value in ("", ()))
            self.completes += change.after.get("done") is True
            self.unknown.update(name for name in change.after if name not in change.before)
            if owner := change.after.get("assignedTo"):
                self.owners[owner] += 1

    async def _keep(self, lines: Lines, stop: Stop) -> None:
        """Keep the changes when the live tasks are no longer there."""
        await in_thread(stop, lines.write, _until(stop, self.changes()))
        self._live, self._kept = None, lines

    def _add(self, part: "Plan") -> None:
        """Add the plan of an account to that of all."""
        self.accounts[part.account] = part
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(part, name))
        if part.evaluation is not None:
            self.evaluation = self.evaluation or Evaluation(listed=0)
            self.evaluation.add(part.evaluation)
        if part.refused:
            why = f"{part.account}: {part.refused}"
            self.refused = f"{self.refused}; {why}" if self.refused else why
        self.is_whole &= part.is_whole
        self.examples += part.examples[: _EXAMPLES - len(self.examples)]
        self.invalid += part.invalid[: _EXAMPLES - len(self.invalid)]
        self.notes += [f"{part.account}: {note}" for note in part.notes]


def _sent(value: Any) -> Any:
    """A value that was kept as JSON, as an update has it."""
    return tuple(value) if isinstance(value, list) else value


def _until(stop: Stop, changes: Iterable[Change]) -> Iterator[Change]:
    """Some changes, as long as no stop is set.

    Raises:
        RunStoppedError: it is set.
    """
    for change in changes:
        if stop.is_set:
            raise RunStoppedError(stop.text or "stopped")
        yield change


@contextlib.asynccontextmanager
async def plan_edits(
    path: str | Path,
    endpoint: Endpoint | None = None,
    *,
    accounts: Accounts | None = None,
    account: str | None = None,
    read: ReadOptions | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    renew: bool = False,
    skip_invalid: bool = False,
    unlisted: Literal["conflict", "send"] = "conflict",
    max_changes: ChangeLimit | None = None,
    allow_few: bool = False,
    rate: Rate = "auto",
    retry: RetryPolicy | None = None,
    stop: Stop | None = None,
) -> AsyncIterator[Plan]:
    """Plan what a file of edits would change in the tasks as they are, for an `async with`.

    Args:
        path: the file of edits.
        endpoint: the server and the API key; None with accounts.
        accounts: the accounts that rows may be of, which may be read-only. Each row is judged by
            the tasks of its own; None with an endpoint.
        account: the account of all rows; None where each row names its own.
        read: the options for reading the file.
        output: a file of edits to write, with what differs and what is there now: .csv, .jsonl or
            .xlsx; None writes none.
        overwrite: whether to replace a file that exists.
        renew: whether what is found takes the place of what the rows expect.
        skip_invalid: whether invalid rows are left out, and do not refuse the file.
        unlisted: what becomes of a row whose task is not listed.
        max_changes: the number or share of the listed tasks, of each account, that may change, if
            `output` is to be written; None for any.
        allow_few: whether a server that lists no task is no error.
        rate: "auto" follows the server; a rate is a ceiling; None means no limit.
        retry: the backoff between attempts, and how long the server may be down.
        stop: ends the reading.

    Yields:
        The plan. Its changes can be read until the block is left. Accounts whose tasks can't be
        read are in `unread`.

    Raises:
        InputError: the file can't be read, or a row of it is invalid; or `output` is not written,
            because rows name people who are no members, or too many tasks would change.
        ConfigError: an option is wrong, or the file to write exists; or a key is missing, or is
            that of two accounts.
        RunStoppedError: the tasks can't be read whole, or `stop` was set. With accounts, only if
            `output` was to be written, or for `stop`.
        JournalError: the live tasks can't be stored, or the file can't be written.
    """
    target = Path(output) if output is not None else None
    format_ = format_to_write(target) if target is not None else Format.CSV
    read = read or ReadOptions()
    whose = endpoint or accounts
    if whose is None or None not in (endpoint, accounts):
        raise ConfigError("a plan needs an endpoint or accounts, and not both")
    if account is not None and accounts is None:
        raise ConfigError(f"{setting('account')} needs {setting('accounts')}")
    with contextlib.ExitStack() as stack:
        source: Input | Rules
        if is_rules(path):
            read.refuse_for_rules()
            source = load_rules(Path(path))
        else:
            options = replace(read, people=True)
            if accounts is not None:
                options = replace(options, accounts=tuple(accounts), account=account)
            source = stack.enter_context(Input.open(Path(path), options=options))
            await _check(source, skip_invalid=skip_invalid)
        making = made_plan(
            source,
            whose,
            account=account,
            rate=rate,
            policy=retry,
            stop=stop,
            sends_unlisted=unlisted == "send",
            renew=renew,
            allow_few=allow_few,
            needs_all=max_changes is not None and max_changes.needs_all,
            now=read.now,
        )
        async with making as plan:
            if target is not None:
                if plan.unread:
                    raise RunStoppedError(f"{target} is not written: {plan.why_unread}")
                if why := plan.refusal(max_changes, skip_invalid=skip_invalid):
                    raise InputError(f"{target} is not written: {why}")
                with published(target, overwrite=overwrite) as part:
                    await write_plan(plan, part, format_)
            yield plan


async def _check(source: Input, *, skip_invalid: bool) -> None:
    """Check every row.

    Raises:
        InputError: a row is invalid, or the file can't be read to its end.
    """
    for inspection in inspect(source):
        await asyncio.sleep(0)
        if skip_invalid:
            continue
        if first := next((one.examples[0] for one in inspection.problem_groups), None):
            raise InputError(f"{source.name}: row {first.row}: {first.problem}")


@contextlib.asynccontextmanager
async def made_plan(
    source: Input | Rules,
    whose: Endpoint | Accounts,
    *,
    account: str | None = None,
    rate: Rate = "auto",
    policy: RetryPolicy | None = None,
    stop: Stop | None = None,
    sends_unlisted: bool = False,
    renew: bool = False,
    merge: bool = False,
    allow_few: bool = False,
    needs_all: bool = False,
    now: datetime | None = None,
    on_page: Callable[[int], object] = lambda _: None,
) -> AsyncIterator[Plan]:
    """Read the team and the tasks, and plan what a checked input would change.

    Args:
        source: the input, read with `people`; or rules.
        whose: the server and the API key; or the accounts that the input was read with.
        account: the account that rules are for; None where they name theirs.
        rate: the limit of the requests of each key.
        policy: the backoff between attempts, and how long the server may be down.
        stop: ends the reading.
        sends_unlisted: whether a row whose task is not listed would be sent.
        renew: whether what is found takes the place of what the rows expect.
        merge: whether the rows of one task go out as one request.
        allow_few: whether a server that lists no task is no error.
        needs_all: whether the list is read to its end although all tasks of the input were in it.
        now: the moment at which rules are evaluated; None for the present one.
        on_page: is called with the number of tasks so far, of all accounts, after each page.

    Yields:
        The plan. Its tasks are on disk until the block is left. Accounts whose tasks can't be read
        are in its `unread`.

    Raises:
        RunStoppedError: the tasks can't be read whole, where there is one key; or `stop` was set.
        ConfigError: the key of an account is missing, or is that of another one too.
        InputError: the input can't be read, or the rules can't be followed.
        JournalError: the live tasks can't be stored.
    """
    stop, policy = stop or Stop(), policy or RetryPolicy()
    how = _How(sends_unlisted, renew, merge, allow_few, needs_all)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkupdate-")))
        if isinstance(whose, Accounts):
            reading = _reading(whose, rate, policy, stop)
            if isinstance(source, Input):
                parts = _Parts(directory, source.options.zone or UTC, how, on_page)
                yield await parts.of_rows(source, whose, reading, stop)
            else:
                parts = _Parts(directory, source.zone, how, on_page)
                rules = rules_by_account(source, whose, account)
                yield await parts.of_rules(rules, whose, reading, now)
            return
        if not isinstance(source, Input):
            rules_by_account(source, None, None)
        live = stack.enter_context(contextlib.closing(LiveTasks(directory / "live")))
        async with live_reader(whose, rate, policy, stop) as reader:
            if isinstance(source, Input):
                rows_of = source
                zone = source.options.zone or UTC
                plan = await _read(source, zone, reader, live, stop, on_page, how)
            else:
                plan = await _evaluated(
                    source, reader, live, now, stop, on_page, allow_few=allow_few
                )
        if plan.evaluation is not None:
            edits = directory / "edits.jsonl"
            rows_of = stack.enter_context(await _edits_of(plan, plan.evaluation, edits))
        plan.reading = reader.traffic.requests
        await _judge_all(plan, rows_of, live, stop, how)
        yield plan


#: Reads some accounts side by side, each by a function.
ReadingEach = Callable[
    [list[Account], Callable[[Account, LiveReader, Stop], Awaitable[Plan]]],
    Awaitable[list[Each[Plan]]],
]


def _reading(accounts: Accounts, rate: Rate, policy: RetryPolicy, stop: Stop) -> ReadingEach:
    async def reading(
        some: list[Account], read: Callable[[Account, LiveReader, Stop], Awaitable[Plan]]
    ) -> list[Each[Plan]]:
        endpoints = endpoints_of(accounts, [account.name for account in some])
        return await read_each(some, endpoints, rate, policy, stop, read)

    return reading


class _How(NamedTuple):
    """How rows are planned; see `made_plan`."""

    sends_unlisted: bool
    renew: bool
    merge: bool
    allow_few: bool
    needs_all: bool


class _Parts:
    """The plans of accounts, made side by side. What each would change is on disk.

    Args:
        directory: for their files.
        zone: the time zone for people.
        how: how rows are planned.
        on_page: is called with the number of tasks so far, of all accounts, after each page.
    """

    def __init__(
        self, directory: Path, zone: tzinfo, how: _How, on_page: Callable[[int], object]
    ) -> None:
        self._directory = directory
        self._zone = zone
        self._how = how
        self._on_page = on_page
        self._numbers = itertools.count()
        #: Number of tasks so far, by account.
        self._listed: Counter[str] = Counter()

    async def of_rows(
        self, source: Input, accounts: Accounts, reading: ReadingEach, stop: Stop
    ) -> Plan:
        """Make the plan of all accounts that have rows.

        Args:
            source: the input.
            accounts: the accounts.
            reading: reads some accounts side by side.
            stop: ends it.

        Raises:
            ConfigError: the key of one is missing, or is that of another one too.
            InputError: the input can't be read.
            JournalError: rows or tasks can't be stored.
            RunStoppedError: `stop` was set.
        """
        with Spool(self._directory / "spool") as spool:
            unnamed = await self._fill(source, spool, stop)

            async def read(account: Account, reader: LiveReader, own: Stop) -> Plan:
                rows = SpooledRows(spool, account.name, source)
                return await self._planned(rows, account.name, reader, own)

            having_rows = [accounts[name] for name in spool.accounts if name]
            found = await reading(having_rows, read)
        return self._added_up(found, rows=unnamed)

    async def of_rules(
        self,
        rules: Mapping[str, Rules],
        accounts: Accounts,
        reading: ReadingEach,
        now: datetime | None,
    ) -> Plan:
        """Make the plan of all accounts that rules are about.

        Args:
            rules: the rules of each.
            accounts: the accounts.
            reading: reads some accounts side by side.
            now: the moment at which rules are evaluated; None for the present one.

        Raises:
            ConfigError: the key of one is missing, or is that of another one too.
            JournalError: rows or tasks can't be stored.
            RunStoppedError: a stop was set.
        """

        async def read(account: Account, reader: LiveReader, own: Stop) -> Plan:
            return await self._planned(rules[account.name], account.name, reader, own, now)

        return self._added_up(await reading([accounts[name] for name in rules], read))

    def _added_up(self, found: Sequence[Each[Plan]], rows: int = 0) -> Plan:
        """The plan of all accounts.

        Args:
            found: that of each.
            rows: number of rows that name no account.
        """
        parts = [one.value for one in found if one.value is not None]
        # Ids of users are the same in all teams.
        people = People([member for part in parts for member in part.people.members])
        plan = Plan(people, self._zone, rows=rows, has_accounts=True)
        for part in parts:
            plan._add(part)  # noqa: SLF001 - its own
        plan.unread = {one.account.name: one.problem for one in found if one.value is None}
        teams = {part.account: part._team for part in parts}  # noqa: SLF001
        plan.notes += [
            f"{shared}{_SAME_TEAM}{setting('same_team')}" for shared in shared_teams(teams)
        ]
        return plan

    async def _fill(self, source: Input, spool: Spool, stop: Stop) -> int:
        """Put the rows into a spool. Return the number of those that name no account."""
        unnamed = 0
        async for rows in _batches(source, stop):
            for row in rows:
                unnamed += not row.account
                spool.add(row)
        await asyncio.to_thread(spool.flush)
        return unnamed

    async def _planned(
        self,
        source: RowSource | Rules,
        account: str,
        reader: LiveReader,
        stop: Stop,
        now: datetime | None = None,
    ) -> Plan:
        """Make the plan of one account.

        Raises:
            RunStoppedError: its tasks can't be read, or its rules can't be followed.
        """
        path = self._directory / str(next(self._numbers))

        def told(listed: int) -> None:
            self._listed[account] = listed
            self._on_page(self._listed.total())

        with contextlib.ExitStack() as stack:
            live = stack.enter_context(contextlib.closing(LiveTasks(path)))
            if isinstance(source, Rules):
                few = self._how.allow_few
                try:
                    evaluating = _evaluated(source, reader, live, now, stop, told, allow_few=few)
                    plan = await evaluating
                except InputError as error:
                    raise RunStoppedError(str(error)) from error
                rows: RowSource = stack.enter_context(
                    await _edits_of(plan, plan.evaluation, path.with_suffix(".edits"))
                )
            else:
                rows = source
                plan = await _read(rows, self._zone, reader, live, stop, told, self._how)
            plan.account, plan.reading = account, reader.traffic.requests
            await _judge_all(plan, rows, live, stop, self._how)
            await plan._keep(Lines(path.with_suffix(".jsonl")), stop)  # noqa: SLF001 - its own
        return plan


async def _read(
    source: RowSource,
    zone: tzinfo,
    reader: LiveReader,
    live: LiveTasks,
    stop: Stop,
    on_page: Callable[[int], object],
    how: _How,
) -> Plan:
    """Read the team, and the tasks that the rows are about.

    Raises:
        RunStoppedError: they can't be read whole.
    """
    known = await reader.known()
    fields: set[str] = set()
    async for rows in _batches(source, stop):
        live.choose([row.id for row in rows if row.is_sent])
        fields.update(judged_fields(rows))
    async for _ in reader.tasks(live, fields=fields, needs_all=how.needs_all):
        on_page(live.listed)
    if live.is_whole and not how.allow_few:
        refuse_few(live.listed, None, stop)
    plan = Plan(People(known.members, live.owners), zone, _team=known.team)
    plan.notes += [known.note] if known.note else []
    return plan


async def _judge_all(plan: Plan, source: RowSource, live: LiveTasks, stop: Stop, how: _How) -> None:
    """Judge all rows, one after another, and sum up."""
    plan.listed, plan.is_whole = live.listed, live.is_whole
    judge = Judge(live, sends_unlisted=how.sends_unlisted)
    plan._live = live  # noqa: SLF001 - its own
    async for rows in _batches(source, stop):
        for row in rows:
            _judge(plan, live, judge, row, renew=how.renew)
    plan._sum_up()  # noqa: SLF001
    plan.touched = live.changed
    plan.requests = plan.tasks if how.merge else plan.requests


async def _edits_of(plan: Plan, evaluation: Evaluation | None, path: Path) -> Input:
    """The rows that rules have made, from a file that is written for them."""
    if evaluation is None:
        raise AssertionError("only rules make rows")
    plan.notes += not_written(await asyncio.to_thread(write_night, {"": evaluation}, path))
    return Input.open(path, options=ReadOptions(format=Format.JSONL))


async def _evaluated(
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


async def _batches(source: RowSource, stop: Stop) -> AsyncIterator[list[Row]]:
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


def _judge(plan: Plan, live: LiveTasks, judge: Judge, row: Row, *, renew: bool) -> None:
    """Judge a row, and apply it to the tasks on the disk, where the next row finds it."""
    plan.rows += 1
    if row.update is None or not row.is_sent:
        plan.unchanged += row.update is not None
        return
    expected, known = row.expect or {}, live.find(row.id)
    try:
        meant = replaced(row, expect=None) if renew else row
        row = plan.people.resolved(meant, lambda _: known.owner)
    except ValueError as error:
        plan.invalid_count += 1
        if len(plan.invalid) < _EXAMPLES:
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
            if len(plan.examples) < _EXAMPLES:
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
