"""A sandbox with several accounts, and what a command or a program needs to use them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.sandbox import Sandbox, SandboxAccount, SandboxConfig, Team, Unknown
from bulkupdate.sandbox.server import Seen


def names_of(count: int) -> list[str]:
    """Names of as many accounts."""
    return [f"account-{number:03}" for number in range(1, count + 1)]


class ManyAccounts:
    """A sandbox with accounts, each of which has its key in a variable.

    Without a limit, and with every id as the id of a task, unless settings say otherwise.

    Args:
        names: the names of the accounts.
        team_of: name → the team of the account. Where it returns one team for two names, these are
            two keys of it.
        watch: a function to call with every request after its response.
        settings: settings of the sandbox.

    Attributes:
        sandbox: the sandbox.
        seen: the requests so far.
    """

    def __init__(
        self,
        names: Iterable[str],
        team_of: Callable[[str], Team] | None = None,
        watch: Callable[[Seen], None] | None = None,
        **settings: Any,
    ) -> None:
        self.seen: list[Seen] = []
        self._watch = watch
        accounts = {
            name: SandboxAccount(
                key=f"key-{number}", team=team_of(name) if team_of else Team(name=name)
            )
            for number, name in enumerate(names, 1)
        }
        self._variables = {name: f"KEY_{number}" for number, name in enumerate(accounts, 1)}
        config = SandboxConfig(**{"rate": None, "unknown": Unknown.CREATE, **settings})
        self.sandbox = Sandbox(config, accounts=accounts, watch=self._saw)

    def _saw(self, seen: Seen) -> None:
        self.seen.append(seen)
        if self._watch is not None:
            self._watch(seen)

    async def __aenter__(self) -> Self:
        await self.sandbox.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sandbox.close()

    def __getitem__(self, name: str) -> SandboxAccount:
        return self.sandbox.accounts[name]

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """The server with the key of each account."""
        url = self.sandbox.base_url
        return {
            name: Endpoint(api_key=ApiKey(account.key), base_url=url, timeout=5)
            for name, account in self.sandbox.accounts.items()
        }

    @property
    def accounts(self) -> Accounts:
        """The accounts for a program."""
        return Accounts.of(self.endpoints)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables for a command: the base URL, and a key for each account."""
        keys = {self._variables[name]: one.key for name, one in self.sandbox.accounts.items()}
        return {"LEMLIST_BASE_URL": self.sandbox.base_url, **keys}

    def write(self, folder: Path) -> Path:
        """Write a file of accounts, which names the variables of `environment`."""
        path = folder / "accounts.toml"
        tables = [f'["{name}"]\napi_key_env = "{one}"' for name, one in self._variables.items()]
        path.write_text("\n\n".join(tables) + "\n")
        return path

    def titles(self) -> dict[str, dict[str, str]]:
        """The titles of the tasks: account → id → title."""
        return {
            name: {id_: task["title"] for id_, task in account.team.tasks.items()}
            for name, account in self.sandbox.accounts.items()
        }
