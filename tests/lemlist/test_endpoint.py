"""Where requests go, and with which key."""

import asyncio
import socket
from pathlib import Path

import pytest

from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.connections import ThisMachine
from bulkupdate.lemlist.endpoint import DEFAULT_BASE_URL, ApiKey, Endpoint, normal_url
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import TaskUpdate

KEY = "s3cr3t-k3y"


@pytest.mark.parametrize(
    "url",
    ["", "http://[::1]evil/", "https://a b.example", "https://a..b", "https://host:99999", "https:///x",
     "https://" + "a" * 64 + ".example", "https://-a.example", "https://x/a b", "https://x/\x00",
     "https://ex.com\\@evil", "https://x/?q", "https://x/#", "https://x?", "ftp://x", "lemlist.com",
     "http://127.1", "http://0x7f.1", "http://2130706433", "http://localhost.evil.example",
     "https://u:hunter22@x", "https://hunter22@x/", "http://u:hunter22@ho st:x/"],
)  # fmt: skip
def test_wrong_base_url_is_refused(url: str) -> None:
    """A URL that no request can be made for, or that means another machine, sends nothing."""
    with pytest.raises(ConfigError, match="base URL") as caught:
        Endpoint(api_key=KEY, base_url=url)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://api.lemlist.com/api", "https://exämple.com/", "https://10.0.0.1:8443/x/y", "http://[::1]:1",
     "http://localhost", "https://a_b.example", "https://[2001:db8::1]/api"],
)  # fmt: skip
def test_right_base_url_is_accepted(url: str) -> None:
    """Host names, addresses and paths are accepted. A slash at the end is removed."""
    assert Endpoint(api_key=KEY, base_url=url).base_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTP://LOCALHOST:80/api", "http://localhost/api"),
        ("https://API.lemlist.com:443/api", DEFAULT_BASE_URL),
        ("https://api.lemlist.com:/api//", DEFAULT_BASE_URL),
        ("https://a.example:08443", "https://a.example:8443"),
        ("https://a.example:80", "https://a.example:80"),
        ("https://a.example/Api", "https://a.example/Api"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]"),
        ("not a URL", "not a URL"),
    ],
)
def test_one_server_has_one_url(url: str, normal: str) -> None:
    """Ways of writing the same URL become one, so that hosts share the limit of a key there."""
    assert normal_url(url) == normal_url(normal) == normal
    if "://" in url:
        assert Endpoint(api_key=KEY, base_url=url).base_url == normal


def test_key_as_text_is_wrapped() -> None:
    """A key that is given as a text is shown nowhere."""
    endpoint = Endpoint(api_key=KEY)
    assert endpoint.api_key.reveal() == KEY
    assert KEY not in repr(endpoint)


@pytest.mark.parametrize("extra", [" ", "\n", "x"])
def test_file_longer_than_a_key_is_refused(tmp_path: Path, extra: str) -> None:
    """A key is not cut out of a long file, even if the rest is blank."""
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text("k" * 4096)
    assert ApiKey.find(file, {}).reveal() == "k" * 4096
    file.write_text("k" * 4096 + extra)
    with pytest.raises(ConfigError, match="longer than a key"):
        ApiKey.find(file, {})


@pytest.mark.parametrize(
    "url",
    ["http://u:hunter22@ho st:3128", "http://u:hunter22@proxy:port", "u:hunter22@proxy:3128",
     "socks5://u:hunter22@proxy:1080", "http://u:hunter22@", "http://u:hun/ter22@proxy"],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_wrong_proxy_is_refused_without_being_shown(
    url: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A malformed URL of a proxy may hold its password anywhere. It is named, not shown."""
    for name in ("https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigError, match=f"in {variable} is wrong") as caught:
        Endpoint(api_key=KEY, use_proxy=True)
    assert "ter22" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert Endpoint(api_key=KEY).proxy() is None


async def test_localhost_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hosts file can't send the key for `localhost` to another machine."""
    addresses: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"_id": "a"} ')
        writer.close()

    def hosts_file(*arguments: object, **_: object) -> list[object]:
        addresses.append(str(arguments[0]))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.1", 80))]

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr(socket, "getaddrinfo", hosts_file)
    endpoint = Endpoint(api_key=KEY, base_url=f"http://localhost:{port}", timeout=5)
    async with server, TaskClient(endpoint) as client:
        assert (await client.update(TaskUpdate(id="a", title="T"))).id == "a"
    assert "localhost" not in addresses


async def test_this_machine_has_two_addresses() -> None:
    """Each family of addresses has its own."""
    here = ThisMachine()
    found = [
        [one["host"] for one in await here.resolve("localhost", 1, family)]
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC)
    ]
    assert found == [["127.0.0.1"], ["::1"], ["127.0.0.1", "::1"]]
    await here.close()
