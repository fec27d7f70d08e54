"""The accounts of a sandbox that accepts several keys."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox.config import Fault
from bulkupdate.sandbox.team import Team


@dataclass(slots=True, kw_only=True, eq=False)
class SandboxAccount:
    """One key that a sandbox accepts, and what its requests meet.

    Each account has its own limit, its own chance of faults, and outages that count from its own
    first request. A test may change all attributes but the key and the team at any time.

    Attributes:
        key: the API key.
        team: its tasks and members. Two accounts with the same `Team` are two keys of one team.
        rate: requests per period; None for that of the sandbox.
        faults: the probability of each fault; None for those of the sandbox.
        outages: begin and length of each outage, in seconds; None for those of the sandbox.
        refused: whether each request gets a 401, as with a key that was revoked.
        throttled: whether each request gets a 429 that asks to wait for a period.
        is_down: whether each request gets a 503.
        requests: number of requests for tasks by status. Requests without a response are under
            "none".
    """

    key: str = field(repr=False)
    team: Team
    rate: RateLimit | None = None
    faults: Mapping[Fault, float] | None = None
    outages: tuple[tuple[float, float], ...] | None = None
    refused: bool = False
    throttled: bool = False
    is_down: bool = False
    requests: Counter[str] = field(default_factory=Counter, init=False)


def sandbox_accounts(accounts: Accounts, teams: Mapping[str, Team]) -> dict[str, SandboxAccount]:
    """The accounts of a file of accounts, for a sandbox that accepts their keys.

    Args:
        accounts: the accounts.
        teams: name → the team of the account.

    Raises:
        ConfigError: a key is missing, or two accounts have the same one. The message names all of
            these accounts, and no key.
    """
    endpoints, problems = dict[str, Endpoint](), list[str]()
    for name, account in accounts.items():
        try:
            endpoints[name] = account.endpoint()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    accounts.refuse_shared_keys(endpoints)
    return {
        name: SandboxAccount(key=one.api_key.reveal(), team=teams[name])
        for name, one in endpoints.items()
    }


def check_accounts(accounts: Mapping[str, SandboxAccount]) -> None:
    """Check that the key of a request tells its account.

    Raises:
        ConfigError: there is no account, one has no name, or two have the same key.
    """
    if not accounts or "" in accounts:
        raise ConfigError("accounts must be one or more, each with a name")
    by_key: dict[str, str] = {}
    for name, account in accounts.items():
        if (other := by_key.setdefault(account.key, name)) != name:
            raise ConfigError(f"the accounts {other} and {name} have the same key")
