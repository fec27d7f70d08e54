"""Accounts that are read side by side: each under its own limit, and in nobody's way.

::

    accounts ─▶ at most 32 at once ─▶ limiter, health, stop of each ─▶ one pool of connections
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from bulkupdate.codec import parse_json, to_json
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import ConfigError, JournalError, RunStoppedError
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.team import Team
from bulkupdate.session.reading import Limiters, LiveReader, live_reader
from bulkupdate.stop import Stop

Value = TypeVar("Value")

#: Most accounts that are read at once. Each has a connection, and its tasks in a file of its own.
AT_ONCE = 32

#: Bytes that are written at once.
_BATCH = 1 << 16


class Each(NamedTuple, Generic[Value]):
    """What came of an account.

    Attributes:
        account: the account.
        value: what was read; None where it can't be.
        problem: why it can't be read; "" if it can.
    """

    account: Account
    value: Value | None
    problem: str = ""


async def read_each(
    accounts: Iterable[Account],
    endpoints: Mapping[str, Endpoint],
    rate: Rate,
    policy: RetryPolicy,
    stop: Stop,
    read: Callable[[Account, LiveReader, Stop], Awaitable[Value]],
    *,
    needs_all: bool = False,
    limiters: Limiters | None = None,
) -> list[Each[Value]]:
    """Read accounts side by side. One that is down keeps no other waiting.

    Args:
        accounts: the accounts.
        endpoints: the server and the key of each, by name.
        rate: the limit of the requests of each.
        policy: the backoff between attempts, and how long a server may be down.
        stop: ends all readings.
        read: reads an account, with its own stop. Where it raises `RunStoppedError`, the account
            can't be read; any other error ends all readings.
        needs_all: whether all readings end where an account can't be read.
        limiters: makes the limiter of each account; None for one of its own, with this rate.

    Returns:
        What came of each account, in their order.

    Raises:
        RunStoppedError: `stop` was set; or an account can't be read, and all are needed.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(account: Account, pool: ConnectionPool) -> Each[Value]:
        async with turns:
            # A stop of its own: accounts that all fail do not stop the command.
            own = stop.child(ends_parent=False)
            try:
                endpoint = endpoints[account.name]
                limiter = limiters(account) if limiters is not None else None
                async with live_reader(endpoint, rate, policy, own, limiter, pool) as reader:
                    return Each(account, await read(account, reader, own))
            except RunStoppedError as error:
                if needs_all and not stop.is_set:
                    raise RunStoppedError(of(account, str(error))) from error
                return Each(account, None, str(error))
            finally:
                stop.forget(own)

    async with ConnectionPool(connections=AT_ONCE) as pool:
        found = await _all(one(account, pool) for account in accounts)
    if stop.is_set:
        raise RunStoppedError(stop.text or "stopped")
    return found


def of(account: Account, text: str) -> str:
    """A message about an account. That of a program with one key is not named."""
    return f"{account.label}: {text}" if account.name else text


async def _all(work: Iterable[Awaitable[Value]]) -> list[Value]:
    """The values of some work. The first error cancels the rest, and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def endpoints_of(accounts: Accounts, names: Iterable[str]) -> dict[str, Endpoint]:
    """The server and the key of accounts that are to be read.

    Args:
        accounts: the accounts.
        names: the names of those.

    Raises:
        ConfigError: keys are missing, or two accounts have the same one. The message has a line for
            each of them.
    """
    found, problems = {}, []
    for name in names:
        try:
            found[name] = accounts[name].endpoint()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    accounts.refuse_shared_keys(found)
    return found


def shared_teams(teams: Mapping[str, Team | None]) -> Iterator[str]:
    """The accounts that are of one team, in words, for each such team.

    Args:
        teams: name of an account → its team, as far as it is known.
    """
    names: dict[str, list[str]] = {}
    for name, team in teams.items():
        if team is not None:
            names.setdefault(team.id, []).append(name)
    for team_id, (first, *others) in names.items():
        if others:
            yield f"{', '.join([first, *others[:-1]])} and {others[-1]} are one team ({team_id})"


class Lines:
    """Values as JSON in a file, a line for each. They can be read again and again.

    It keeps what was read of one account, while its tasks are no longer there.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, values: Iterable[object]) -> None:
        """Write the values.

        Raises:
            JournalError: they can't be stored.
        """
        with _errors("stored on disk"), self._path.open("wb", buffering=_BATCH) as file:
            for value in values:
                file.write(to_json(value) + b"\n")

    def __iter__(self) -> Iterator[Any]:
        """The values, in their order; none where nothing was written.

        Raises:
            JournalError: they can't be read.
        """
        with _errors("read back from disk"):
            if self._path.exists():
                with self._path.open("rb", buffering=_BATCH) as file:
                    yield from map(parse_json, file)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"tasks can't be {what}: {error.strerror or error}") from error
