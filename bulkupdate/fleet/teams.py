"""Teams: which team each account of a fleet is of, as its workers have found out.

A job is for a team. A worker asks for the team of each key, and takes the jobs of these teams only.
So a row never goes to another team, whatever an account is called on another machine.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import LiteralString, NamedTuple

from bulkupdate.engine.limiter import Limiter
from bulkupdate.errors import (
    ConfigError,
    KeyRefusedError,
    NoPermitError,
    RunStoppedError,
    TaskError,
    count,
)
from bulkupdate.fleet.database import Database
from bulkupdate.fleet.limiter import Course, SharedLimiter, SharedLimits
from bulkupdate.fleet.queue import ALIVE, queue_of
from bulkupdate.lemlist.accounts import Account
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import Team, hash_of, is_hash_of
from bulkupdate.session.binding import ask_team
from bulkupdate.stop import Stop, StoppedError

#: A key for a submitter that has none.
NO_KEY = ApiKey("none")

#: Prefix of what stands for a team whose route is closed: a hash of the key.
_OF_KEY = "key-"

#: Accounts that a message names.
_NAMED = 5

#: Seconds after the last news of a team under a name, in which others of this name count too.
_RECENT = 600.0

_REGISTER = """
WITH account AS (
    INSERT INTO bulkupdate_accounts (base_url, name, team, team_name, queue, key_hash)
    VALUES (%(base_url)s, %(name)s, %(team)s, %(team_name)s, %(queue)s, %(key_hash)s)
    ON CONFLICT (base_url, name, team) DO UPDATE SET
        team_name = EXCLUDED.team_name, key_hash = EXCLUDED.key_hash, trouble = NULL, seen = now()
    RETURNING queue
)
INSERT INTO bulkupdate_members SELECT w.id, queue FROM bulkupdate_workers w, account
WHERE w.id = %(worker)s ON CONFLICT DO NOTHING
"""

#: A worker that the others had forgotten has another id since.
_NOTE_MEMBERS = """
WITH mine AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) AS mine (base_url, name, queue)
), seen AS (
    UPDATE bulkupdate_accounts a SET seen = now(), trouble = NULL FROM mine
    WHERE (a.base_url, a.name, a.queue) = (mine.base_url, mine.name, mine.queue)
)
INSERT INTO bulkupdate_members SELECT DISTINCT w.id, queue FROM bulkupdate_workers w, mine
WHERE w.id = %s ON CONFLICT DO NOTHING
"""

#: Another worker may have a key of it that is good.
_TROUBLE: LiteralString = """
UPDATE bulkupdate_accounts a SET trouble = %s
WHERE base_url = %s AND name = %s AND NOT EXISTS (
    SELECT FROM bulkupdate_members m
    WHERE m.queue = a.queue AND m.worker IN (SELECT w.id FROM {alive})
)
""".replace("{alive}", ALIVE)

_KNOWN = """
SELECT name, base_url, team, key_hash FROM bulkupdate_accounts a
WHERE name = ANY(%(names)s) AND seen > (
    SELECT max(seen) FROM bulkupdate_accounts b WHERE b.base_url = a.base_url AND b.name = a.name
) - %(recent)s * interval '1 s'
"""


class Member(NamedTuple):
    """An account of a worker, whose team is known.

    Attributes:
        account: the account.
        endpoint: the server, and the key whose team was asked for. Another key that comes into its
            place may be another team's.
        course: what is known of the limit of its key.
        queue: the queue of its team.
    """

    account: Account
    endpoint: Endpoint
    course: Course
    queue: str


class TeamRow(NamedTuple):
    """The team of an account, as it is registered.

    Attributes:
        team: what stands for the team.
        key_hash: a salted hash of the key; None if it is not known.
    """

    team: str
    key_hash: str | None


def is_of_key(team: str) -> bool:
    """Whether a key stands for a team, whose route is closed."""
    return team.startswith(_OF_KEY)


class UnreadTeamError(ConfigError):
    """The team of a key can't be told now. It may be told later."""


async def register(
    database: Database,
    account: Account,
    worker: int,
    limits: SharedLimits,
    pool: ConnectionPool,
    stop: Stop,
) -> Member:
    """Find the team of an account of a worker, and register it.

    Raises:
        UnreadTeamError: its team can't be told now.
        ConfigError: there is no key, or it is refused.
        NoPermitError: the database can't be reached.
        StoppedError: the stop was set.
    """
    endpoint, course = account.endpoint(), Course(limits.clock)
    limiter = SharedLimiter(limits, account, course)
    async with TaskClient(endpoint, pool=pool) as client:
        found = await _team_of(account, client, limiter, stop)
    if found is None:
        # This route is closed. The key itself stands for the team.
        name, team = "", _OF_KEY + (await limits.key_of(account)).hex()
    else:
        name, team = found.name, found.id
    queue = queue_of(endpoint.base_url, team)
    await database.rows(
        _REGISTER,
        {
            "base_url": endpoint.base_url,
            "name": account.name,
            "team": team,
            "team_name": name,
            "queue": queue,
            "key_hash": hash_of(endpoint.api_key.reveal()),
            "worker": worker,
        },
    )
    return Member(account, endpoint, course, queue)


async def note_members(database: Database, worker: int, members: Collection[Member]) -> None:
    """Note that a worker has the keys of these accounts.

    Raises:
        DatabaseError: the database can't be reached.
    """
    base_urls = [member.endpoint.base_url for member in members]
    names = [member.account.name for member in members]
    queues = [member.queue for member in members]
    await database.rows(_NOTE_MEMBERS, [base_urls, names, queues, worker])


async def note_trouble(database: Database, account: Account, why: str) -> None:
    """Note why a worker can't work for an account, unless another one can.

    Raises:
        DatabaseError: the database can't be reached.
    """
    await database.rows(_TROUBLE, [why, account.base_url, account.name])


async def _team_of(
    account: Account, client: TaskClient, limiter: Limiter, stop: Stop
) -> Team | None:
    label = account.label if account.name else "the key"
    try:
        return await ask_team(client, limiter, stop, is_sure=True)
    except KeyRefusedError as error:
        raise ConfigError(f"{label} is refused: {error}") from None
    except TaskError as error:
        raise UnreadTeamError(f"{label}: its team can't be told: {error}") from None


async def teams_of(
    limits: SharedLimits,
    accounts: Mapping[str, Account],
    names: Iterable[str],
    stop: Stop,
    *,
    has_keys: bool,
) -> dict[str, TeamRow]:
    """The teams of accounts, as workers have registered them.

    Where a name means several teams, the submitter's own key decides.

    Args:
        limits: the limits that workers share, and their database.
        accounts: the accounts by name.
        names: the names of those that are wanted.
        stop: ends it early.
        has_keys: whether the submitter has the keys of these accounts. They are asked for their
            teams then.

    Raises:
        ConfigError: no worker has had the key of one of them yet, or it is not known whose team is
            meant.
        DatabaseError: the database can't be reached.
        RunStoppedError: the stop was set, or the database is away while a key is asked for its
            team.
    """
    wanted = {name: accounts[name].base_url for name in names}
    rows = await limits.database.rows(_KNOWN, {"names": [*wanted], "recent": _RECENT})
    known: dict[str, dict[str, TeamRow]] = {name: {} for name in wanted}
    for name, base_url, team, key_hash in rows:
        if wanted[name] == base_url:
            known[name][team] = TeamRow(team, key_hash)
    missing = [name for name, teams in known.items() if not teams]
    if missing:
        if missing == [""]:
            what = f"no worker has had a key for {wanted['']} yet"
        else:
            named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
            what = f"no worker has had the key of {count(len(missing), 'account')} yet ({named})"
        raise ConfigError(f"{what}: start 'bulkupdate fleet worker' with it first")
    found = {}
    async with ConnectionPool() as pool:
        for name, teams in known.items():
            # The key of a run with one key was given for it.
            if has_keys or len(teams) > 1 or (not name and has_key(accounts[name])):
                found[name] = await _own(accounts[name], teams, limits, pool, stop)
            else:
                (found[name],) = teams.values()
    return found


def has_key(account: Account) -> bool:
    """Whether the submitter has the key of an account."""
    try:
        return account.endpoint().api_key.reveal() != NO_KEY.reveal()
    except ConfigError:
        return False


async def _own(
    account: Account,
    teams: Mapping[str, TeamRow],
    limits: SharedLimits,
    pool: ConnectionPool,
    stop: Stop,
) -> TeamRow:
    """The team of the submitter's own key, if workers have it."""
    label = account.label if account.name else "this server"
    listed = ", ".join([*teams][:_NAMED])
    if not has_key(account):
        raise ConfigError(
            f"{label} means several teams to workers ({listed}): give the key of the one that is"
            " meant, or name accounts in a file of accounts"
        )
    endpoint = account.endpoint()
    async with TaskClient(endpoint, pool=pool) as client:
        try:
            team = await _team_of(account, client, limits.limiter(account), stop)
        except StoppedError:
            raise RunStoppedError(stop.text or "stopped") from None
        except NoPermitError as error:
            raise RunStoppedError(str(error)) from None
    if team is not None and team.id in teams:
        return teams[team.id]
    if team is not None:
        whose = f"{team.id} ({team.name})"
        raise ConfigError(
            f"{label}: its key is of {whose}, and workers have that of {listed} under this name"
        )
    # This route is closed. The same key is of the same team.
    key = endpoint.api_key.reveal()
    for row in teams.values():
        if row.key_hash is not None and is_hash_of(row.key_hash, key):
            return row
    raise ConfigError(
        f"{label}: the team of its key can't be told, and workers have another key under this name:"
        " give the key that they have"
    )
