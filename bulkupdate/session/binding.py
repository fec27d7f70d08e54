"""The binding of a run to a team: a run that began with one team is not continued with another.

It is made once an answer has shown that the key is good: a salted hash of the key, by which the
same key is known again without a request, and the team's id, if it can be read. What is asked here
is beside the rows: it never stops a run that sends, and says nothing about the server's health.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from bulkupdate.engine.lane import Lane
from bulkupdate.engine.limiter import Limiter, Permit, permitted
from bulkupdate.errors import (
    BadResponseError,
    BlockedError,
    KeyRefusedError,
    NoPermitError,
    RedirectError,
    RefusedError,
    RunDirectoryError,
    RunStoppedError,
    TaskError,
    setting,
)
from bulkupdate.journal import AccountSummary, Summary
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import Team, hash_of, is_hash_of
from bulkupdate.models import Level, Reason
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop, StoppedError

Value = TypeVar("Value")

#: Most seconds that the end of a run waits for the team.
LONGEST_END = 5.0

#: Requests for the team, and the seconds between them.
_ATTEMPTS = 3
_BETWEEN = 1.0


class Binding(NamedTuple):
    """What a run is bound to.

    Attributes:
        team: the team's id; None if it could not be read.
        key_hash: a salted hash of the key; None before an answer has shown that it is good.
    """

    team: str | None = None
    key_hash: str | None = None

    @classmethod
    def of(cls, earlier: Summary | AccountSummary | None) -> "Binding":
        """The binding of an earlier session, if there was one."""
        return cls(earlier.team, earlier.key_hash) if earlier is not None else cls()

    def is_of(self, key: str) -> bool:
        """Whether the run is bound to this very key."""
        return self.key_hash is not None and is_hash_of(self.key_hash, key)


async def check_team(
    binding: Binding, endpoint: Endpoint, config: RunConfig, limiter: Limiter, stop: Stop
) -> Binding:
    """Refuse a key of another team than the run began with.

    A request is sent only if the key is another one than before.

    Args:
        binding: what the run, or its part, is bound to.
        endpoint: the server, and the key.
        config: the settings of the run.
        limiter: gives each request its permit.
        stop: is set where the key is refused, or the server does not answer.

    Returns:
        The binding. It stays as it was if only `changed_key` allows the key: the run is bound anew
        once a row was updated.

    Raises:
        RunDirectoryError: the key is of another team; or that can't be told, and `changed_key` is
            not set.
        RunStoppedError: the key is refused, the server does not answer, or `stop` was set.
    """
    key = endpoint.api_key.reveal()
    if binding.key_hash is None or binding.is_of(key):
        return binding
    where = f"the run in {config.directory} began with"
    if binding.team is None:
        if config.changed_key:
            return binding
        raise RunDirectoryError(
            f"{where} another key, and which team that was is not known: if both are of one team,"
            f" {setting('changed_key')} continues; {setting('out')} names another directory"
        )
    async with TaskClient(endpoint, connections=1) as client:
        try:
            team = await ask_team(client, limiter, stop)
        except StoppedError:
            raise RunStoppedError(stop.text or "stopped") from None
        except (TaskError, NoPermitError) as error:
            raise _not_told(error, stop) from error
    if team is None and not config.changed_key:
        raise RunDirectoryError(
            f"{where} another key, of team {binding.team}, and the team of this key can't be read:"
            f" if both are of one team, {setting('changed_key')} continues"
        )
    if team is not None and team.id != binding.team:
        raise RunDirectoryError(
            f"{where} team {binding.team}, and this key is of team {team.id} ({team.name}):"
            f" use the first team's key, or another directory with {setting('out')}"
        )
    return binding if team is None else Binding(team.id, hash_of(key))


async def bind(
    binding: Binding,
    key: str,
    client: TaskClient,
    lane: Lane,
    keep: Callable[[Binding], None],
) -> None:
    """Bind a run to its key once a row was updated, and to its team as soon as that is read.

    Args:
        binding: what the run is bound to.
        key: the key.
        client: asks for the team.
        lane: the lane of the key.
        keep: takes each new binding.
    """
    if binding.is_of(key):
        return
    await lane.confirmed.wait()
    bound = Binding(None, hash_of(key))
    keep(bound)
    try:
        team = await ask_team(client, lane.limiter, lane.stop)
    except (TaskError, StoppedError, NoPermitError):
        return
    if team is not None:
        keep(bound._replace(team=team.id))


def _not_told(error: TaskError | NoPermitError, stop: Stop) -> RunStoppedError:
    reason = Reason.KEY_REFUSED if isinstance(error, KeyRefusedError) else Reason.SERVER_DOWN
    stop.set(f"the team of the key can't be told: {error}", reason)
    return RunStoppedError(stop.text or "stopped")


async def ask_team(
    client: TaskClient,
    limiter: Limiter,
    stop: Stop,
    attempts: int = _ATTEMPTS,
    *,
    is_sure: bool = False,
) -> Team | None:
    """Ask for the team of the key.

    Args:
        client: sends the requests.
        limiter: gives each request its permit.
        stop: ends the asking.
        attempts: most requests. An answer that is about the route ends them.
        is_sure: whether an answer that is no refusal of the API itself is an error, like a page of
            a proxy.

    Returns:
        The team; None if this route does not tell it.

    Raises:
        TaskError: the key is refused, or no attempt got an answer.
        StoppedError: a stop came first.
        NoPermitError: the limiter gives none: the server asks for a longer wait than a run waits.
    """
    for attempt in range(1, attempts + 1):
        try:
            return await _until_drain(stop, lambda: _once(client, limiter))
        except KeyRefusedError:
            raise
        except (RefusedError, BadResponseError) as error:
            if is_sure and isinstance(error, BadResponseError | BlockedError | RedirectError):
                raise
            return None
        except TaskError:
            if attempt == attempts:
                raise
        await _until_drain(stop, lambda: asyncio.sleep(_BETWEEN))
    raise AssertionError("the last attempt ends it")


async def _once(client: TaskClient, limiter: Limiter) -> Team:
    async def ask(permit: Permit) -> Team:
        answer = await client.team()
        permit.answered(answer)
        return answer.result()

    return await permitted(limiter, ask)


async def _until_drain(stop: Stop, work: Callable[[], Awaitable[Value]]) -> Value:
    with stop.until(Level.DRAIN) as scope:
        try:
            return await work()
        except asyncio.CancelledError:
            if scope.took_back():
                raise StoppedError from None
            raise
