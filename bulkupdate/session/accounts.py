"""`accounts`: the team of each account, asked for side by side."""

from dataclasses import replace
from typing import NamedTuple

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.team import Team
from bulkupdate.session.reading import SIDE_ATTEMPTS, Known, LiveReader
from bulkupdate.session.sidebyside import Each, read_each
from bulkupdate.stop import Stop

_NOTHING = Known(None, None)


class Asked(NamedTuple):
    """What an account said of its team.

    Attributes:
        account: the account.
        known: its team and its members. There is no team where it can't be read.
        problem: why it can't be read; "" if it can.
    """

    account: Account
    known: Known
    problem: str = ""

    @property
    def team(self) -> Team | None:
        """The team; None where it can't be read."""
        return self.known.team


class Teams(NamedTuple):
    """The teams of some accounts.

    Attributes:
        asked: what each account said, in their order.
        same_key: the accounts that have the same key, in words, a line for each two; "" for none.
    """

    asked: list[Asked]
    same_key: str

    @property
    def shared(self) -> list[list[Asked]]:
        """The accounts that share their team with others, for each such team."""
        teams: dict[str, list[Asked]] = {}
        for one in self.asked:
            if one.team is not None:
                teams.setdefault(one.team.id, []).append(one)
        return [some for some in teams.values() if len(some) > 1]


async def ask_teams(
    accounts: Accounts, rate: Rate, policy: RetryPolicy, stop: Stop, *, is_patient: bool = True
) -> Teams:
    """Ask the server of each account for its team. One that is down keeps no other waiting.

    Args:
        accounts: the accounts.
        rate: the limit of the requests of each.
        policy: the backoff between attempts, and how long a server may be down.
        stop: ends the reading.
        is_patient: whether a server that is down is waited for.

    Raises:
        RunStoppedError: `stop` was set.
    """
    found, missing = _endpoints(accounts)
    # A server that never answers is given up after few attempts, each as long as the timeout.
    few = replace(policy, max_attempts=min(policy.max_attempts, SIDE_ATTEMPTS))

    async def ask(_: Account, reader: LiveReader, __: Stop) -> Known:
        return await reader.known(is_needed=is_patient)

    there = [account for name, account in accounts.items() if name in found]
    read = await read_each(there, found, rate, few, stop, ask)
    by_name = {one.account.name: _asked(one) for one in read}
    asked = [
        by_name.get(name) or Asked(account, _NOTHING, missing[name])
        for name, account in accounts.items()
    ]
    return Teams(asked, _same_key(accounts, found))


def _asked(one: Each[Known]) -> Asked:
    if one.value is None:
        return Asked(one.account, _NOTHING, one.problem)
    return Asked(one.account, one.value, "" if one.value.team else one.value.trouble)


def _endpoints(accounts: Accounts) -> tuple[dict[str, Endpoint], dict[str, str]]:
    """The endpoints by account, and why there is none for the others."""
    found: dict[str, Endpoint] = {}
    missing: dict[str, str] = {}
    for name, account in accounts.items():
        try:
            found[name] = account.endpoint()
        except ConfigError as error:
            missing[name] = str(error).removeprefix(f"{account.label}: ")
    return found, missing


def _same_key(accounts: Accounts, endpoints: dict[str, Endpoint]) -> str:
    try:
        accounts.refuse_shared_keys(endpoints)
    except ConfigError as error:
        return str(error)
    return ""
