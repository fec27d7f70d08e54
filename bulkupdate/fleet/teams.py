"""Teams: which team each account of a fleet is of, as its workers have found out.

A job is for a team. A worker asks for the team of each key, and takes the jobs of these teams only.
So a row never goes to another team, whatever an account is called on another machine.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bulkupdate.errors import ConfigError, TaskError, count
from bulkupdate.fleet.database import Database
from bulkupdate.fleet.limiter import Course, SharedLimiter, SharedLimits
from bulkupdate.fleet.queue import queue_of
from bulkupdate.lemlist.accounts import Account
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import hash_of
from bulkupdate.session.binding import ask_team
from bulkupdate.stop import Stop

#: Prefix of what stands for a team whose route is closed: a hash of the key.
_OF_KEY = "key-"

#: Accounts that a message names.
_NAMED = 5

#: A name is one team's. Another team gets it only if nothing is left of the first one's.
_REGISTER = """
INSERT INTO bulkupdate_accounts AS a (base_url, name, team, team_name, key_hash)
VALUES (%(base_url)s, %(name)s, %(team)s, %(team_name)s, %(key_hash)s)
ON CONFLICT (base_url, name) DO UPDATE SET
    team = EXCLUDED.team, team_name = EXCLUDED.team_name, key_hash = EXCLUDED.key_hash,
    trouble = NULL, registered = now()
WHERE a.team = EXCLUDED.team OR NOT EXISTS (
    SELECT FROM bulkupdate_parts p JOIN bulkupdate_runs r ON r.id = p.run
    WHERE p.base_url = a.base_url AND p.account = a.name AND p.team = a.team
      AND p.ended IS NULL AND p.stopped_by IS NULL AND r.cancelled IS NULL
)
RETURNING team
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


async def register(
    database: Database, account: Account, limits: SharedLimits, pool: ConnectionPool, stop: Stop
) -> Member:
    """Find the team of an account of this worker, and register it.

    Raises:
        ConfigError: there is no key, it is refused, its team can't be told now, or the name is
            another team's, of which rows are left.
        NoPermitError: the database can't be reached.
        StoppedError: the stop was set.
    """
    endpoint, course = account.endpoint(), Course()
    limiter = SharedLimiter(limits, account, course)
    label = account.label if account.name else "the key"
    async with TaskClient(endpoint, pool=pool) as client:
        try:
            team = await ask_team(client, limiter, stop, is_sure=True)
        except TaskError as error:
            raise ConfigError(f"{label}: its team can't be told: {error}") from None
    key_hash = hash_of(endpoint.api_key.reveal())
    if team is None:
        # This route is closed. The key itself stands for the team.
        name, stands = "", _OF_KEY + (await limits.key_of(account)).hex()
    else:
        name, stands = team.name, team.id
    row = await database.row(
        _REGISTER,
        {
            "base_url": endpoint.base_url,
            "name": account.name,
            "team": stands,
            "team_name": name,
            "key_hash": key_hash,
        },
    )
    if row is None:
        raise ConfigError(
            f"{label}: workers know it as another team, of which rows are left: use that team's"
            " key, or cancel these runs with 'bulkupdate fleet cancel'"
        )
    return Member(account, endpoint, course, queue_of(endpoint.base_url, stands))


async def teams_of(
    database: Database, accounts: Mapping[str, Account], names: Iterable[str]
) -> dict[str, TeamRow]:
    """The teams of accounts, as workers have registered them.

    Args:
        database: the database.
        accounts: the accounts by name.
        names: the names of those that are wanted.

    Raises:
        ConfigError: no worker has had the key of one of them yet.
        DatabaseError: the database can't be reached.
    """
    wanted = {name: accounts[name].base_url for name in names}
    rows = await database.rows(
        "SELECT name, base_url, team, key_hash FROM bulkupdate_accounts WHERE name = ANY(%s)",
        [list(wanted)],
    )
    found = {row[0]: TeamRow(row[2], row[3]) for row in rows if wanted[row[0]] == row[1]}
    missing = [name for name in wanted if name not in found]
    if missing:
        if missing == [""]:
            what = f"no worker has had a key for {wanted['']} yet"
        else:
            named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
            what = f"no worker has had the key of {count(len(missing), 'account')} yet ({named})"
        raise ConfigError(f"{what}: start 'bulkupdate fleet worker' with it first")
    return found
