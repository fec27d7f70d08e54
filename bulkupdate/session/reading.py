"""Readings: the members and the tasks of a team, asked for under the limit of all other requests.

A reading changes nothing, so it is tried again for as long as a run waits for its server. It ends
whole or with an error: half a list is never taken for the whole.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

from bulkupdate.engine.call import Caller
from bulkupdate.engine.health import Health
from bulkupdate.engine.limiter import Limiter
from bulkupdate.engine.permits import limiter_for
from bulkupdate.engine.retry import Attempts, is_transient
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import (
    BadListError,
    BadResponseError,
    KeyRefusedError,
    NotFoundError,
    RunStoppedError,
    TaskError,
)
from bulkupdate.lemlist.accounts import Account
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.listing import Filter, pages
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import Member, Sender, Team, is_plain_id
from bulkupdate.models import Level, Reason, Task, Traffic
from bulkupdate.plan import LiveTasks
from bulkupdate.stop import Stop, StoppedError

Value = TypeVar("Value")

log = logging.getLogger(__name__)

#: Answers without a list after which a page is given up. Another attempt may bring one.
MOST_BAD = 4

#: Attempts for the team and its users: names are decoration.
SIDE_ATTEMPTS = 3

#: Most members who are asked for one by one, where the team does not name them.
MOST_ASKED = 500

#: What is said where the members are not known, with why.
_NO_TEAM = "the team can't be read: only ids of users work ({})"

#: Seconds without an answer until it is told that a reading waits.
_TOLD_AFTER = 5.0

#: Least number of backoffs for which a server that is down is waited for.
_BACKOFFS = 4


class _GivenUpError(Exception):
    """A server has been down for longer than it is waited for.

    Attributes:
        error: the last error.
    """

    def __init__(self, error: TaskError) -> None:
        super().__init__(str(error))
        self.error = error


class Known(NamedTuple):
    """What could be read of a team.

    Attributes:
        team: the team; None where its route is closed.
        members: its members; None where they could not be read.
        note: what could not be read, in words; "" if all could.
        why: why the members could not be read, in words; "" if they could.
    """

    team: Team | None
    members: tuple[Member, ...] | None
    note: str = ""
    why: str = ""

    @property
    def trouble(self) -> str:
        """That the members could not be read, and why, where they alone were asked for."""
        return f"the team can't be read ({self.why})"


class LiveReader:
    """A reader of a team and its tasks.

    Args:
        client: sends the requests.
        limiter: gives each request its permit.
        health: the health of the server.
        policy: the backoff between attempts.
        stop: at drain, the reading ends.
        traffic: counts the requests too; None for counts of its own.

    Attributes:
        traffic: counts of the requests so far.
    """

    def __init__(
        self,
        client: TaskClient,
        limiter: Limiter,
        health: Health,
        policy: RetryPolicy,
        stop: Stop,
        traffic: Traffic | None = None,
    ) -> None:
        self._client = client
        self._limiter = limiter
        self._stop = stop
        self._patience = policy.give_up_after
        # A backoff must not be longer than the patience.
        longest = min(policy.longest_backoff, self._patience / _BACKOFFS)
        patient = replace(
            policy,
            longest_backoff=longest,
            first_backoff=min(policy.first_backoff, longest),
        )
        self._caller = Caller(limiter, health, patient, stop)
        self._few = replace(policy, max_attempts=min(policy.max_attempts, SIDE_ATTEMPTS))
        self._side = Caller(limiter, health, self._few, stop)
        self._side.traffic = self._caller.traffic = traffic or Traffic()

    @property
    def traffic(self) -> Traffic:
        """Counts of the requests so far."""
        return self._caller.traffic

    async def known(self, *, is_needed: bool = False) -> Known:
        """The team and its members, as far as they can be read.

        Args:
            is_needed: whether nothing can be done without them. A server that is down is then
                waited for, as for the tasks.

        Raises:
            RunStoppedError: the key is refused, the server does not answer, or a stop came.
        """
        try:
            team = await self._about(self._client.team, is_needed=is_needed)
        except TaskError as error:
            if isinstance(error, KeyRefusedError) or (is_needed and is_transient(error)):
                raise self._stopped(error, "the team") from error
            # Names are decoration: tasks can be read and edited without them.
            return Known(None, None, _NO_TEAM.format(error), str(error))
        if team.members is not None:
            return Known(team, team.members)
        return await self._asked(team, is_needed=is_needed)

    async def _about(
        self, request: Callable[[], Awaitable[Answer[Value]]], *, is_needed: bool
    ) -> Value:
        """Make a call about the team: again and again where it is needed."""
        return await (self._patiently(request) if is_needed else self._call(request, self._side))

    async def _asked(self, team: Team, *, is_needed: bool) -> Known:
        """The members of a team that tells only their ids, asked for one by one."""
        members: list[Member] = []
        note = ""
        for user_id in team.user_ids:
            if not note and len(members) == MOST_ASKED:
                note = f"only the first {MOST_ASKED} users have been asked for: of others, ids work"
            member = Member(user_id)
            if not note and is_plain_id(user_id):
                try:
                    member = await self._user(user_id, is_needed=is_needed)
                except TaskError as error:
                    if is_needed and is_transient(error):
                        raise self._stopped(error, "the team") from error
                    note = f"names of users can't be read: only their ids work ({error})"
            members.append(member)
        if not members:
            why = "it tells no member"
            return Known(team, None, _NO_TEAM.format(why), why)
        if not (note or any(one.name or one.email for one in members)):
            note = "names of users can't be read: only their ids work"
        return Known(team, tuple(members), note)

    async def _user(self, user_id: str, *, is_needed: bool) -> Member:
        """A user who is asked for; without a name where there is none of this id any more.

        Raises:
            RunStoppedError: the key is refused, the server does not answer, or a stop came.
            TaskError: no user can be asked for.
        """
        try:
            about = partial(self._client.user, user_id)
            member = await self._about(about, is_needed=is_needed)
        except KeyRefusedError as error:
            raise self._stopped(error) from error
        except NotFoundError:
            return Member(user_id)
        # The answer of another user would give a wrong name.
        return member if member.id == user_id else Member(user_id)

    async def senders(self) -> tuple[list[Sender], str]:
        """The senders of running campaigns, as far as they can be read.

        Returns:
            The senders, and what could not be read, in words; "" if all could.

        Raises:
            RunStoppedError: a stop came.
        """
        # Nothing depends on it: whatever this route answers says nothing about the others.
        aside = Stop()
        caller = Caller(self._limiter, Health(aside, self._patience), self._few, aside)
        caller.traffic = self.traffic
        try:
            return await self._call(self._client.senders, caller), ""
        except TaskError as error:
            why = str(error)
        except RunStoppedError:
            if self._stop.is_set:
                raise
            why = aside.text or ""
        return [], f"the campaigns that go on making tasks can't be read ({why})"

    async def tasks(
        self,
        live: LiveTasks,
        filters: Iterable[Filter] = (),
        *,
        fields: Collection[str] = (),
        needs_all: bool = False,
    ) -> AsyncIterator[LiveTasks]:
        """Read the pages of the team's pending tasks, until all chosen ones are there.

        Args:
            live: gets the tasks.
            filters: what the server is asked to leave out.
            fields: the fields that the reading is to judge, under lemlist's names. A task that
                lacks one is empty there only if another task shows it, so that the reading goes on
                until it has seen each of them.
            needs_all: whether the list is read to its end although some tasks were chosen.

        Yields:
            The tasks so far, after each page.

        Raises:
            RunStoppedError: a page can't be read, the list has no end, or a stop came.
            JournalError: the tasks can't be stored.
        """
        asked = [*filters]

        async def fetch(number: int) -> list[Task]:
            return await self._patiently(lambda: self._client.page(number, asked))

        try:
            async for page in pages(fetch, repeated=live.note_repeated):
                live.put(page)
                yield live
                if live.has_all_chosen and live.shown.issuperset(fields) and not needs_all:
                    return
            live.is_whole = True
        except TaskError as error:
            raise self._stopped(error) from error

    async def _patiently(self, request: Callable[[], Awaitable[Answer[Value]]]) -> Value:
        """Make a call again and again, for as long as a run waits for a server that is down."""
        now = asyncio.get_running_loop().time
        began = now()
        last: TaskError | None = None
        is_told = False

        async def within_time() -> Answer[Value]:
            nonlocal last, is_told
            if last is not None and now() - began >= self._patience:
                raise _GivenUpError(last)
            try:
                answer = await request()
            except TaskError as error:
                last = error
                waited = now() - began
                if waited >= _TOLD_AFTER and is_transient(error) and not is_told:
                    is_told = True
                    left = max(0, round(self._patience - waited))
                    log.warning("%s: trying again for up to %d s", error, left)
                raise
            # A 429 is no sign that the server is down.
            last = None if answer.is_throttled else answer.error
            return answer

        while True:
            try:
                return await self._call(within_time, self._caller)
            except _GivenUpError as given_up:
                raise given_up.error from None
            except TaskError as error:
                if not is_transient(error) or now() - began >= self._patience:
                    raise

    async def _call(self, request: Callable[[], Awaitable[Answer[Value]]], caller: Caller) -> Value:
        bad = 0

        async def once() -> Answer[Value]:
            nonlocal bad
            answer = await request()
            if isinstance(answer.error, BadResponseError):
                bad += 1
                if bad == MOST_BAD:
                    answer.error = BadListError(f"{bad} times: {answer.error}", answer.status)
            return answer

        try:
            with self._stop.until(Level.DRAIN) as scope:
                return await caller.call(once, Attempts(), scope, subject="")
        except StoppedError:
            raise RunStoppedError(self._stop.text or "stopped") from None

    def _stopped(self, error: TaskError, read: str = "tasks") -> RunStoppedError:
        """The end of a reading because of an error."""
        is_key = isinstance(error, KeyRefusedError)
        what = "the key is refused" if is_key else f"{read} can't be read"
        status = f"{error.status} " if error.status else ""
        text = f"{what}: {error.type}: {status}{error.message}"
        if not self._stop.is_set:
            self._stop.set(text, Reason.KEY_REFUSED if is_key else Reason.SERVER_DOWN)
        # What the lane says of such an error is about rows.
        return RunStoppedError(text if error.stops_lane else self._stop.text or text)


#: Makes the limiter of an account. It may ask for its key later, as not every account needs one.
Limiters = Callable[[Account], Limiter]


@contextlib.asynccontextmanager
async def live_reader(
    endpoint: Endpoint,
    rate: Rate,
    policy: RetryPolicy,
    stop: Stop,
    limiter: Limiter | None = None,
    pool: ConnectionPool | None = None,
) -> AsyncIterator[LiveReader]:
    """A reader with a session of its own.

    Args:
        endpoint: the server and the API key.
        rate: "auto" follows the server; a rate is a ceiling; None means no limit.
        policy: the backoff between attempts, and how long the server may be down.
        stop: ends the reading.
        limiter: gives each request its permit; None for one of its own, with this rate.
        pool: the connections, which other readers share; None for one of its own.
    """
    async with TaskClient(endpoint, connections=1, pool=pool) as client:
        health = Health(stop, policy.give_up_after)
        yield LiveReader(client, limiter or limiter_for(rate), health, policy, stop)
