"""The binding of a run to a team: a run that began with one team is not continued with another.

It is made once an answer has shown that the key is good: the team's id, if it can be read, and a
salted hash of the key, by which the same key is known again without a request.
"""

import contextlib
from typing import NamedTuple

from bulkupdate.engine.lane import Lane
from bulkupdate.errors import RunDirectoryError, TaskError, setting
from bulkupdate.journal import Summary
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import Team, hash_of, is_hash_of
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import StoppedError

#: Most seconds that the end of a run waits for the team.
LONGEST_END = 10.0


class Binding(NamedTuple):
    """What a run is bound to.

    Attributes:
        team: the team's id; None if it could not be read.
        key_hash: a salted hash of the key; None before an answer has shown that it is good.
    """

    team: str | None = None
    key_hash: str | None = None

    @classmethod
    def of(cls, earlier: Summary | None) -> "Binding":
        """The binding of an earlier session, if there was one."""
        return cls(earlier.team, earlier.key_hash) if earlier is not None else cls()


async def check_team(
    binding: Binding, config: RunConfig, client: TaskClient, lane: Lane
) -> Binding:
    """Refuse a key of another team than the run began with.

    A request is sent only if the key is another one than before.

    Returns:
        The binding of this session.

    Raises:
        RunDirectoryError: the key is of another team; or that can't be told, and `changed_key` is
            not set. No row was sent.
        StoppedError: a stop came first: the key is refused, or the server does not answer.
    """
    key = config.endpoint.api_key.reveal()
    if binding.key_hash is None or is_hash_of(binding.key_hash, key):
        return binding
    where = f"the run in {config.directory} began with"
    if binding.team is None:
        if config.changed_key:
            return Binding()
        raise RunDirectoryError(
            f"{where} another key, and which team that was is not known: if both are of one team,"
            f" {setting('changed_key')} continues; {setting('out')} names another directory"
        )
    team = await _ask(client, lane)
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
    return Binding(binding.team, hash_of(key))


async def bind(binding: Binding, config: RunConfig, client: TaskClient, lane: Lane) -> Binding:
    """Bind a run to its team, once an answer has shown that the key is good.

    Returns:
        The binding: the team is None if it can't be read, or if a stop came first.
    """
    if binding.key_hash is not None:
        return binding
    await lane.confirmed.wait()
    team = None
    with contextlib.suppress(StoppedError):
        team = await _ask(client, lane)
    return Binding(team.id if team else None, hash_of(config.endpoint.api_key.reveal()))


async def _ask(client: TaskClient, lane: Lane) -> Team | None:
    """The team of the key; None if it can't be read."""
    try:
        return await lane.call(client.team, subject="team")
    except TaskError:
        return None
