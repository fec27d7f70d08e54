"""A plain HTTP client of a sandbox, and a clock for it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from bulkupdate.sandbox import Sandbox, SandboxConfig


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Caller:
    """A plain HTTP client."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self._session = session

    async def __call__(
        self, method: str, path: str = "/tasks", body: Any = None, key: str | None = "sandbox",
        **options: Any,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        """Status, body and headers of one request."""
        if key is not None:
            options["headers"] = {"Authorization": aiohttp.encode_basic_auth("", key)}
        url = self.sandbox.base_url + path
        async with self._session.request(method, url, json=body, **options) as response:
            text = await response.text()
            try:
                return response.status, json.loads(text), response.headers
            except ValueError:
                return response.status, text, response.headers


@asynccontextmanager
async def calling(config: SandboxConfig | None = None, **given: Any) -> AsyncIterator[Caller]:
    """A sandbox without a limit, and a client of it."""
    async with (
        Sandbox(config or SandboxConfig(rate=None), **given) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield Caller(sandbox, session)
