"""Tests that a web page can't use the sandbox of the machine that shows it."""

from collections.abc import Mapping

import aiohttp
import pytest

from bulkupdate.sandbox import Sandbox, SandboxConfig

#: Paths whose answers need a key, or none, or are no part of the API.
PATHS = ("/api/tasks", "/sandbox", "/sandbox/tasks", "/nothing")


async def answers(
    sandbox: Sandbox, headers: Mapping[str, str], paths: tuple[str, ...] = PATHS
) -> set[int]:
    """The statuses of requests with the key, and with these headers."""
    key = {"Authorization": aiohttp.encode_basic_auth("", sandbox.config.key)}
    root = sandbox.base_url.removesuffix("/api").replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    statuses = set()
    async with aiohttp.ClientSession(headers={**key, **headers}) as session:
        for path in paths:
            async with session.get(root + path) as response:
                assert not [name for name in response.headers if "allow-origin" in name.lower()]
                statuses.add(response.status)
    return statuses


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("127.1.2.3:8025", 200),
        ("[::1]:8025", 200),
        ("rebound.example", 421),
        ("rebound.example:8025", 421),
        ("127.0.0.1.rebound.example", 421),
        ("localhost.rebound.example", 421),
        ("sandbox", 421),
        ("192.0.2.1:8025", 421),
        ("127.0.0.1@rebound.example", 421),
        ("", 421),
    ],
)
async def test_only_its_own_host_is_answered(host: str, status: int) -> None:
    """A request whose Host is not this machine gets a 421, on every path, and changes nothing."""
    async with Sandbox(SandboxConfig(rate=None)) as sandbox:
        assert await answers(sandbox, {"Host": host}) == {status}
        assert (sum(sandbox.requests.values()) > 0) is (status == 200)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("sandbox.example:8025", 200),
        ("192.0.2.1:8025", 200),
        ("[2001:db8::1]", 200),
        ("compose-service:80", 200),
        ("rebound.example", 421),
    ],
)
async def test_exposed_sandbox_answers_to_its_addresses(
    host: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exposed sandbox answers to addresses, names without a dot, and its machine's name."""
    monkeypatch.setattr("socket.gethostname", lambda: "Sandbox.example")
    config = SandboxConfig(host="0.0.0.0", exposed=True, rate=None)  # noqa: S104
    async with Sandbox(config) as sandbox:
        assert await answers(sandbox, {"Host": host}) == {status}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8025"}, 200),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://localhost:8025"}, 403),
        ({"Origin": "https://page.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_page_of_another_origin_is_refused(headers: dict[str, str], status: int) -> None:
    """A request that a browser makes for a page of another origin gets a 403, on every path."""
    async with Sandbox(SandboxConfig(rate=None)) as sandbox:
        assert await answers(sandbox, {"Host": "localhost:8025", **headers}) == {status}
