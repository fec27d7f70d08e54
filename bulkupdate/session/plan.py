"""`plan`: what a file of edits would change in the live tasks, as they are now. Nothing is sent."""

import asyncio
import contextlib
import tempfile
from collections.abc import (
    AsyncIterator,
    Callable,
)
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import ConfigError, InputError, RunStoppedError, check_flags, setting
from bulkupdate.journal import published
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.plan import LiveTasks, inspect
from bulkupdate.plan.rules import Rules
from bulkupdate.reader import Format, Input, ReadOptions, format_to_write, is_rules
from bulkupdate.session.manyplans import PlansOfAccounts, reading_of
from bulkupdate.session.night import (
    load_rules,
    rules_by_account,
)
from bulkupdate.session.planfile import write_plan
from bulkupdate.session.planning import (
    How,
    OnConflict,
    edits_of,
    evaluated_plan,
    judge_all,
    read_plan,
)
from bulkupdate.session.planrecord import Plan
from bulkupdate.session.reading import Limiters, live_reader
from bulkupdate.session.settings import ChangeLimit, check_kinds
from bulkupdate.stop import Stop


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
    on_conflict: OnConflict | None = None,
    limiters: Limiters | None = None,
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
        on_conflict: is called with each row that conflicts, and why, in the order of the rows of
            each account.
        limiters: makes the limiter of each account, as `bulkupdate.fleet.SharedLimits` does for a
            limit that other machines share; None for limiters of this process alone, with `rate`.

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
    check_flags(overwrite=overwrite, renew=renew, skip_invalid=skip_invalid, allow_few=allow_few)
    check_kinds(unlisted=unlisted, max_changes=max_changes, rate=rate)
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
            on_conflict=on_conflict,
            limiters=limiters,
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
    on_conflict: OnConflict | None = None,
    limiters: Limiters | None = None,
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
        on_conflict: is called with each row that conflicts, and why.
        limiters: makes the limiter of each account; None for limiters of this process alone.

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
    how = How(sends_unlisted, renew, merge, allow_few, needs_all)
    if on_conflict is not None:
        how = how._replace(on_conflict=on_conflict)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkupdate-")))
        if isinstance(whose, Accounts):
            reading = reading_of(whose, rate, policy, stop, limiters)
            if isinstance(source, Input):
                parts = PlansOfAccounts(directory, source.options.zone or UTC, how, on_page)
                yield await parts.of_rows(source, whose, reading, stop)
            else:
                parts = PlansOfAccounts(directory, source.zone, how, on_page)
                rules = rules_by_account(source, whose, account)
                yield await parts.of_rules(rules, whose, reading, now)
            return
        if not isinstance(source, Input):
            rules_by_account(source, None, None)
        live = stack.enter_context(contextlib.closing(LiveTasks(directory / "live")))
        limiter = limiters(Account.only(whose)) if limiters is not None else None
        async with live_reader(whose, rate, policy, stop, limiter) as reader:
            if isinstance(source, Input):
                rows_of = source
                zone = source.options.zone or UTC
                plan = await read_plan(source, zone, reader, live, stop, on_page, how)
            else:
                plan = await evaluated_plan(
                    source, reader, live, now, stop, on_page, allow_few=allow_few
                )
        if plan.evaluation is not None:
            edits = directory / "edits.jsonl"
            rows_of = stack.enter_context(await edits_of(plan, plan.evaluation, edits))
        plan.reading = reader.traffic.requests
        await judge_all(plan, rows_of, live, stop, how)
        yield plan
