"""Tasks to list, and clients of a sandbox that lists them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.sandbox import Sandbox, SandboxConfig, Team

DUE = "2026-03-02T09:00:00.000Z"

#: Retries that keep no test waiting.
AT_ONCE = RetryPolicy(first_backoff=0.001, longest_backoff=0.002, give_up_after=0.2)


def tasks(number: int, **fields: Any) -> list[dict[str, Any]]:
    """Pending tasks with the ids opp_0, opp_1 and so on."""
    return [
        {"_id": f"opp_{n}", "type": "manual", "title": f"Call {n} back", "dueDate": DUE, **fields}
        for n in range(number)
    ]


def endpoint_of(sandbox: Sandbox, key: str | None = None) -> Endpoint:
    """The endpoint for a client of a sandbox, with the right key or another one."""
    return Endpoint(api_key=ApiKey(key or sandbox.config.key), base_url=sandbox.base_url, timeout=5)


@asynccontextmanager
async def listing(
    team: Team | list[dict[str, Any]], **settings: Any
) -> AsyncIterator[tuple[Sandbox, TaskClient]]:
    """A sandbox without a limit that lists these tasks, and a client of it."""
    team = team if isinstance(team, Team) else Team(team)
    async with (
        Sandbox(SandboxConfig(**{"rate": None, **settings}), team=team) as sandbox,
        TaskClient(endpoint_of(sandbox), connections=1) as client,
    ):
        yield sandbox, client
