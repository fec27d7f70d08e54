"""A sandbox with several accounts, and runs of `bulkupdate.run` against it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal.summary import Summary
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.sandbox import Sandbox, SandboxAccount, SandboxConfig, Team, Unknown
from bulkupdate.sandbox.server import Seen
from bulkupdate.session.observer import Observer
from bulkupdate.session.run import run
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

#: Names of accounts. None is part of another.
NAMES = ("acme", "globex", "initech")


def key_of(name: str) -> str:
    """The key of an account in the sandbox."""
    return f"key-of-{name}-0123456789"


class ManyBench:
    """A sandbox with an account for each name, and runs against it.

    Args:
        names: the names of the accounts.
        **settings: as for `SandboxConfig`.

    Attributes:
        sandbox: the sandbox.
        seen: the requests about tasks so far.
        asked: all others.
    """

    def __init__(self, names: Iterable[str] = NAMES, **settings: Any) -> None:
        self.seen: list[Seen] = []
        self.asked: list[Seen] = []
        config = SandboxConfig(**{"rate": None, "unknown": Unknown.CREATE, **settings})
        accounts = {name: SandboxAccount(key=key_of(name), team=Team(name=name)) for name in names}
        self.sandbox = Sandbox(config, accounts=accounts, watch=self._see)

    def _see(self, seen: Seen) -> None:
        (self.seen if seen.path.startswith("/api/tasks") else self.asked).append(seen)

    async def __aenter__(self) -> "ManyBench":
        await self.sandbox.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sandbox.close()

    def account(self, name: str) -> SandboxAccount:
        """An account of the sandbox. A test may change what its requests meet."""
        return self.sandbox.accounts[name]

    def accounts(self, *names: str, **keys: str) -> Accounts:
        """Accounts with the keys of the sandbox.

        Args:
            *names: their names; none for all of the sandbox.
            **keys: other keys than those of the sandbox, by name.
        """
        found = {name: key_of(name) for name in names or self.sandbox.accounts}
        return Accounts.of(
            {
                name: Endpoint(api_key=ApiKey(key), base_url=self.sandbox.base_url, timeout=5)
                for name, key in {**found, **keys}.items()
            }
        )

    def config(self, path: Path, **settings: Any) -> RunConfig:
        """The settings of a run: no limit, and short waits."""
        retry = RetryPolicy(
            max_throttles=2, first_backoff=0.001, longest_backoff=0.01, give_up_after=0.2
        )
        defaults = {"input": str(path), "rate": None, "retry": retry, "workers": 4}
        accounts = settings.pop("accounts", None) or self.accounts()
        return RunConfig(**{**defaults, "accounts": accounts, **settings})

    async def run(
        self,
        path: Path,
        observer: Observer | None = None,
        stop: Stop | None = None,
        **settings: Any,
    ) -> Summary:
        """A run of a file."""
        return await run(self.config(path, **settings), observer=observer, stop=stop)

    def sent(self, name: str) -> list[str]:
        """The ids of the tasks in the edits that one key has sent, in order."""
        return [
            seen.body["id"] for seen in self.seen if seen.account == name and seen.body is not None
        ]


def edits_of(names: Iterable[str], count: int) -> list[str]:
    """Lines of a file of edits: tasks with the same ids in each account, sorted by account."""
    return [f"{name},opp_{n},T{n} of {name}" for name in names for n in range(1, count + 1)]
