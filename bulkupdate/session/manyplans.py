"""Planning for several accounts, side by side: a plan of each, and what they come to together."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import (
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from datetime import datetime, tzinfo
from pathlib import Path

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.engine.spool import Spool
from bulkupdate.errors import InputError, RunStoppedError, setting
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.rate import Rate
from bulkupdate.plan import LiveTasks, People
from bulkupdate.plan.rules import Rules
from bulkupdate.reader import Input
from bulkupdate.session.feeder import RowSource
from bulkupdate.session.planning import How, batches, edits_of, evaluated_plan, judge_all, read_plan
from bulkupdate.session.planrecord import Plan
from bulkupdate.session.reading import Limiters, LiveReader
from bulkupdate.session.sidebyside import Each, Lines, endpoints_of, read_each, shared_teams
from bulkupdate.session.spooled import SpooledRows
from bulkupdate.stop import Stop

_SAME_TEAM = ", so that rows of one task could go out of order: run refuses them without "

#: Reads some accounts side by side, each by a function.
ReadingEach = Callable[
    [list[Account], Callable[[Account, LiveReader, Stop], Awaitable[Plan]]],
    Awaitable[list[Each[Plan]]],
]


def reading_of(
    accounts: Accounts, rate: Rate, policy: RetryPolicy, stop: Stop, limiters: Limiters | None
) -> ReadingEach:
    """A function that reads some of the accounts side by side; see `read_each`."""

    async def reading(
        some: list[Account], read: Callable[[Account, LiveReader, Stop], Awaitable[Plan]]
    ) -> list[Each[Plan]]:
        endpoints = endpoints_of(accounts, [account.name for account in some])
        return await read_each(some, endpoints, rate, policy, stop, read, limiters=limiters)

    return reading


class PlansOfAccounts:
    """The plans of accounts, made side by side. What each would change is on disk.

    Args:
        directory: for their files.
        zone: the time zone for people.
        how: how rows are planned.
        on_page: is called with the number of tasks so far, of all accounts, after each page.
    """

    def __init__(
        self, directory: Path, zone: tzinfo, how: How, on_page: Callable[[int], object]
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
        async for rows in batches(source, stop):
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
                    plan = await evaluated_plan(
                        source, reader, live, now, stop, told, allow_few=few
                    )
                except InputError as error:
                    raise RunStoppedError(str(error)) from error
                rows: RowSource = stack.enter_context(
                    await edits_of(plan, plan.evaluation, path.with_suffix(".edits"))
                )
            else:
                rows = source
                plan = await read_plan(rows, self._zone, reader, live, stop, told, self._how)
            plan.account, plan.reading = account, reader.traffic.requests
            await judge_all(plan, rows, live, stop, self._how)
            await plan._keep(Lines(path.with_suffix(".jsonl")), stop)  # noqa: SLF001 - its own
        return plan
