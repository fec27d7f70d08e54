"""One PATCH: an update in, a Task or a typed error out."""

import asyncio
import base64
import contextlib
import functools
import gc
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bulkupdate import errors
from bulkupdate.lemlist import http as http_module
from bulkupdate.lemlist import tasks as tasks_module
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.request import EncodedJson
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import Mismatch, Task, TaskUpdate

KEY = "s3cr3t-k3y"
URL = "https://api.example.com/api"
#: A timeout whose half is enough for a connection on a busy machine.
SHORT = 0.4
UPDATE = TaskUpdate(id="opp_a", title="T")
OTHER = TaskUpdate(id="opp_b", title="T")
Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def endpoint(base_url: str = URL, timeout: float = 30) -> Endpoint:
    return Endpoint(api_key=ApiKey(KEY), base_url=base_url, timeout=timeout)


async def send(
    base_url: str = URL, update: TaskUpdate = UPDATE, timeout: float = 30
) -> Answer[Task]:
    async with TaskClient(endpoint(base_url, timeout)) as client:
        return await client.send(update)


async def refusal(http: Any, **answer: Any) -> errors.TaskError:
    """The error that a scripted answer becomes."""
    http.patch(f"{URL}/tasks", **answer)
    async with TaskClient(endpoint()) as client:
        with pytest.raises(errors.TaskError) as caught:
            await client.update(UPDATE)
    return caught.value


async def test_update_returns_the_confirmed_task(http: Any) -> None:
    """An update sends one body without following redirects, and returns the Task."""
    http.patch(f"{URL}/tasks", payload={"_id": "opp_a", "title": "T", "x": 1})
    async with TaskClient(endpoint()) as client:
        task = await client.update(UPDATE)
    assert task.fields == {"_id": "opp_a", "title": "T", "x": 1}
    ((_, calls),) = http.requests.items()
    assert json.loads(calls[0].kwargs["data"].decode()) == {"id": "opp_a", "title": "T"}
    assert calls[0].kwargs["allow_redirects"] is False


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequestError),
        (401, errors.UnauthorizedError),
        (402, errors.PaymentRequiredError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (405, errors.BadRequestError),
        (408, errors.RequestTimeoutError),
        (422, errors.BadRequestError),
        (429, errors.RateLimitedError),
        (500, errors.ServerError),
        (503, errors.ServerError),
        (599, errors.ServerError),
        (204, errors.BadResponseError),
        (302, errors.RedirectError),
        (307, errors.RedirectError),
        (303, errors.BadResponseError),
        (304, errors.BadResponseError),
    ],
)
async def test_every_status_raises_its_error_type(
    http: Any, status: int, kind: type[errors.TaskError]
) -> None:
    """Each HTTP status raises its own type of error."""
    error = await refusal(http, status=status, body="because")
    assert type(error) is kind
    assert error.status == status


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("Bad team", "Bad team"),
        ('{"error": "Malformed"}', "Malformed"),
        ('{"error": "E", "code": "C"}', "E: C"),
        ('{"error": "E", "message": "M"}', "E: M"),
        ('{"error": {"deep": 1}}', '{"error": {"deep": 1}}'),
        ('"words"', "words"),
        ("{ error: }", "{ error: }"),
        ("", "HTTP 400"),
        ("a\x1b[2J\nb\0", "a [2J b"),
        (f"a{1000 * ' '}b", "a b"),
    ],
)
async def test_error_keeps_the_server_message(http: Any, body: str, message: str) -> None:
    """An error keeps the message of the server, without its control characters."""
    error = await refusal(http, status=400, body=body, reason="")
    assert error.message == message


async def test_long_server_message_is_cut(http: Any) -> None:
    """An error cuts a long message of the server to the maximum length."""
    error = await refusal(http, status=500, body="x" * 100_000)
    assert len(error.message) == http_module.MAX_MESSAGE


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<!DOCTYPE html>", "not JSON: <!DOCTYPE html>"),
        ("", "not JSON"),
        ("{}", "without a Task"),
        ("[1]", "without a Task"),
        ('{"_id": "opp_b"}', "another Task: 'opp_b'"),
        ('{"_id": null}', "another Task: None"),
        ('{"_id": "opp_a", "error": "Task not found"}', "a 200 with an error: {"),
        ('{"_id": "opp_a", "error": {"code": 7}, "status": "x"}', "a 200 with an error: {"),
        (r"{\u0022_id\u0022: \u0022opp_a\u0022}", "not JSON"),
        (r'{"\u005fid": "opp_a\ud800"}', "another Task: 'opp_a\ufffd'"),
    ],
)
async def test_unconfirmed_200_answer_is_ambiguous(http: Any, body: str, says: str) -> None:
    """An answer with status 200 but without the right Task is an ambiguous error."""
    error = await refusal(http, status=200, body=body)
    assert type(error) is errors.BadResponseError
    assert error.ambiguous
    assert says in error.message


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b'\xef\xbb\xbf{"_id": "opp_a", "title": "T"}', "T"),
        (rb'{"_id": "opp_a", "title": "T\ud83d"}', "T\ufffd"),
        (rb'{"_id": "opp_a", "title": "\udc00\ud800T"}', "\ufffd\ufffdT"),
        (rb'{"_id": "opp_a", "title": "\ud83d\ude00"}', "\U0001f600"),
        (rb'{"_id": "opp_a", "title": "\\ud83d \ud83d"}', "\\ud83d \ufffd"),
        (rb'{"_\u0069d": "opp_\u0061", "title": "\u00e9"}', "\xe9"),
        (b'{"_id": "opp_a", "title": "T", "error": "no lead"}', "T"),
        (b'{"_id": "opp_a", "error": null}', None),
    ],
)
async def test_unusual_json_has_one_reading(http: Any, body: bytes, title: str | None) -> None:
    """A byte order mark is ignored, and half of a surrogate pair is U+FFFD. A Task may say more."""
    http.patch(f"{URL}/tasks", body=body)
    async with TaskClient(endpoint()) as client:
        assert (await client.update(UPDATE)).title == title


@pytest.mark.parametrize("body", ["<!DOCTYPE html><p>Blocked", " \n<html>", "<HEAD>"])
async def test_web_page_with_403_is_no_refused_key(http: Any, body: str) -> None:
    """A firewall's page refuses one request. It says nothing about the key."""
    error = await refusal(http, status=403, body=body, content_type="text/plain")
    assert type(error) is errors.BlockedError
    assert not error.stops_lane
    error = await refusal(http, status=403, body="Sorry", content_type="text/html")
    assert type(error) is errors.BlockedError


async def test_server_says_how_long_it_is_away(http: Any) -> None:
    """The `Retry-After` of a 503 is kept, and no other answer's is."""
    waits = []
    for status in (503, 500, 400, 403):
        error = await refusal(http, status=status, headers={"Retry-After": "7"})
        waits.append(error.retry_after)
    assert waits == [7.0, 7.0, None, None]


async def test_own_text_that_holds_the_key_is_no_mismatch(http: Any) -> None:
    """What came is compared, and what is shown is redacted."""
    update = TaskUpdate(id="opp_a", title=f"my {KEY}", message="M")
    payload = {"_id": "opp_a", "title": f"my {KEY}", "content": f"not {KEY}"}
    http.patch(f"{URL}/tasks", payload=payload)
    async with TaskClient(endpoint()) as client:
        task = await client.update(update)
    assert task.title == "my [redacted]"
    assert task.mismatches == {"content": Mismatch(sent="M", returned="not [redacted]")}


async def test_redirect_error_names_its_target(http: Any) -> None:
    """The error for a redirect names the URL that the redirect points to."""
    error = await refusal(http, status=307, headers={"Location": "https://evil.example/"})
    assert "https://evil.example/" in error.message


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        ({}, (None, None, None)),
        (
            {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "7", "Retry-After": "1.237"},
            (20, 7, 1.237),
        ),
        (
            {"X-RateLimit-Limit": "nan", "X-RateLimit-Remaining": "-1", "Retry-After": "soon"},
            (None, None, None),
        ),
        ({"X-RateLimit-Limit": "1e3", "Retry-After": "1_000"}, (None, None, None)),
        ({"X-RateLimit-Limit": "\u0662\u0660", "Retry-After": " 2. "}, (None, None, 2)),
        ({"Retry-After": "Sat, 12 Sep 2020 04:07:49 GMT"}, (None, None, 0)),
        ({"Retry-After": "1000000000"}, (None, None, 365 * 86_400)),
        ({"Retry-After": "Mon, 99999999999999999999 Jan 2026 00:00:00 GMT"}, (None, None, None)),
    ],
)
async def test_quota_is_read_from_answer_headers(
    http: Any, headers: dict[str, str], quota: tuple[float | None, ...]
) -> None:
    """The client reads the quota from the headers of an answer and ignores wrong values."""
    http.patch(f"{URL}/tasks", payload={"_id": "opp_a"}, headers=headers)
    answer = await send()
    found = answer.quota
    assert (found.limit, found.remaining, found.retry_after) == quota
    assert not answer.is_throttled
    assert "X-RateLimit" not in repr(answer)


async def test_429_answer_is_marked_as_throttled(http: Any) -> None:
    """An answer with status 429 is marked as throttled and keeps its `Retry-After`."""
    http.patch(f"{URL}/tasks", status=429, headers={"Retry-After": "0.5"})
    answer = await send()
    assert answer.is_throttled
    assert answer.quota.retry_after == 0.5


# --- over a real socket --------------------------------------------------------------------


@asynccontextmanager
async def raw_server(reply: Reply) -> AsyncIterator[str]:
    """A server that answers each connection as `reply` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await reply(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}"


async def failure(reply: Reply, timeout: float = 5) -> errors.TaskError:
    async with raw_server(reply) as url, TaskClient(endpoint(url, timeout)) as client:
        with pytest.raises(errors.TaskError) as caught:
            await client.update(UPDATE)
    return caught.value


async def received(update: TaskUpdate) -> tuple[Any, bytes]:
    """The headers and the body of the request for an update, as a server gets them."""
    seen: list[tuple[Any, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers, await request.read()))
        return web.json_response({"_id": update.id})

    app = web.Application()
    app.router.add_patch("/tasks", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await send(f"http://127.0.0.1:{runner.addresses[0][1]}", update)
    await runner.cleanup()
    (one,) = seen
    return one


async def test_key_is_sent_as_basic_authorization() -> None:
    """The client sends the key as Basic authorization with an empty user name."""
    headers, _ = await received(UPDATE)
    assert headers["Authorization"] == "Basic " + base64.b64encode(f":{KEY}".encode()).decode()


async def test_body_arrives_complete_as_json() -> None:
    """A large body arrives complete, with its length and the content type of JSON."""
    update = TaskUpdate(id="opp_a", title="Ünïcödé ✓", message="x" * 200_000)
    headers, body = await received(update)
    assert json.loads(body) == {"id": "opp_a", "title": "Ünïcödé ✓", "message": "x" * 200_000}
    assert headers["Content-Length"] == str(len(body))
    assert headers.getall("Content-Type") == ["application/json"]


async def test_our_request_equals_aiohttps_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives is what aiohttp's own classes send."""
    ours, our_body = await received(UPDATE)
    payload = functools.partial(aiohttp.BytesPayload, content_type="application/json")
    monkeypatch.setattr(http_module, "EncodedJson", payload)
    theirs, their_body = await received(UPDATE)
    port = re.compile(r":\d+$")
    assert len(ours) == 7
    assert [(name, port.sub("", value)) for name, value in ours.items()] == [
        (name, port.sub("", value)) for name, value in theirs.items()
    ]
    assert our_body == their_body


async def test_aiohttp_asks_for_what_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every method that our classes replace is one that aiohttp calls."""
    asked: set[str] = set()

    def spy(on: type, name: str) -> None:
        own = vars(on)[name]
        does: Callable[..., Any] = own.__get__ if isinstance(own, property) else own

        def call(*arguments: Any) -> Any:
            asked.add(name)
            return does(*arguments)

        monkeypatch.setattr(on, name, property(call) if isinstance(own, property) else call)

    for on, name in (
        (EncodedJson, "headers"),
        (EncodedJson, "size"),
        (EncodedJson, "write_with_length"),
    ):
        spy(on, name)
    await received(UPDATE)
    assert len(asked) == 3


async def test_refused_updates_leave_no_objects_behind(http: Any) -> None:
    """Refused updates leave no error objects in memory."""
    http.patch(f"{URL}/tasks", status=404, body="gone, and forgotten", repeat=True)
    async with TaskClient(endpoint()) as client:
        for _ in range(20):
            with pytest.raises(errors.NotFoundError):
                await client.update(UPDATE)
    gc.collect()
    left = [one for one in gc.get_objects() if isinstance(one, errors.NotFoundError)]
    assert "gone, and forgotten" not in {one.message for one in left}


async def test_early_answer_releases_its_connection() -> None:
    """An answer that comes before the body is read releases its connection."""

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    large = TaskUpdate(id="opp_a", message="x" * 5_000_000)
    async with raw_server(refuse) as url, TaskClient(endpoint(url, 5), connections=1) as client:
        for update in (large, large, UPDATE):
            with pytest.raises(errors.TaskError) as caught:
                await client.update(update)
            assert not isinstance(caught.value, (errors.RequestTimeoutError, errors.ConnectError))
            assert client._http._pool.session.connector is not None
            for _ in range(3):
                await asyncio.sleep(0)
            assert not client._http._pool.session.connector._acquired
    assert caught.value.status == 413


async def test_upgraded_connection_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An answer that upgrades its connection is an error and releases the connection."""

    async def upgrade(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)

    # Which would give it back too, where nothing else refers to the answer.
    monkeypatch.delattr(aiohttp.ClientResponse, "__del__")
    async with raw_server(upgrade) as url, TaskClient(endpoint(url, 5), connections=1) as client:
        for _ in range(2):
            with pytest.raises(errors.BadResponseError):
                await client.update(UPDATE)
            assert client._http._pool.session.connector is not None
            assert not client._http._pool.session.connector._acquired


async def test_proxy_never_receives_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy gets its own password, if it has one, and never the key."""
    heads: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    secret = base64.b64encode(f":{KEY}".encode())
    async with server:
        for user, said in (("", b""), ("u:p@", base64.b64encode(b"u:p"))):
            monkeypatch.setenv("https_proxy", f"http://{user}127.0.0.1:{port}")
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            one = Endpoint(api_key=ApiKey(KEY), base_url="https://a.example", use_proxy=True)
            async with TaskClient(one) as client:
                with pytest.raises(errors.ConnectError, match="502"):
                    await client.update(UPDATE)
            assert heads[-1].startswith(b"CONNECT a.example:443 ")
            assert secret not in heads[-1]
            assert (b"Proxy-Authorization: Basic " + said in heads[-1]) == bool(user)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"", "no connection through the proxy: the connection broke: "),
        (b"hello\r\n\r\n", "no connection through the proxy: "),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "no connection through the proxy: "),
        (b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "the proxy answered 503 Later"),
        (
            b"HTTP/1.1 407 Who\r\n\r\n",
            "the proxy refuses: it answered 407 Who: write user",
        ),
        (b"HTTP/1.1 403 No\r\n\r\n", "the proxy refuses: it answered 403 No$"),
    ],
)
async def test_nothing_was_sent_where_a_proxy_makes_no_connection(
    monkeypatch: pytest.MonkeyPatch, said: bytes, message: str
) -> None:
    """Whatever it answers, the request stayed here. One that refuses goes on to do so."""

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    one = Endpoint(api_key=ApiKey(KEY), base_url="https://a.example", use_proxy=True)
    async with server, TaskClient(one) as client:
        with pytest.raises(errors.ConnectError, match=message) as caught:
            await client.update(UPDATE)
    assert not caught.value.ambiguous
    assert caught.value.stops_lane == ("refuses" in message)
    assert (type(caught.value) is errors.ProxyRefusedError) == ("refuses" in message)


async def test_redirect_target_receives_no_request() -> None:
    """A redirect is an error, and its target gets no request and so no key."""
    visits: list[bytes] = []

    async def trap(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(b"visited")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with raw_server(trap) as elsewhere:

        async def redirect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            location = f"Location: {elsewhere}/x\r\n".encode()
            writer.write(b"HTTP/1.1 308 Gone\r\n" + location + b"Content-Length: 0\r\n\r\n")
            await writer.drain()

        error = await failure(redirect)
    assert type(error) is errors.RedirectError
    assert visits == []


async def test_missing_answer_is_an_ambiguous_timeout() -> None:
    """An answer that does not begin in time is an ambiguous timeout."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client closes the connection

    error = await failure(hang, timeout=SHORT)
    assert type(error) is errors.RequestTimeoutError
    assert error.ambiguous


async def test_unfinished_answer_ends_in_a_timeout() -> None:
    """An answer that begins in time but does not end is a timeout."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert type(await failure(drip, timeout=SHORT)) is errors.RequestTimeoutError


async def test_edit_with_media_gets_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit with images gets a longer timeout than an edit without images."""
    monkeypatch.setattr(tasks_module, "MEDIA_TIMEOUT", 20)

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.5 * SHORT)
        with contextlib.suppress(ConnectionError):
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"_id":"opp_a"}')
            await writer.drain()

    pictured = TaskUpdate(id="opp_a", images=("https://a.example/i",))
    async with raw_server(slow) as url:
        assert (await send(url, pictured, timeout=SHORT)).status == 200
        with pytest.raises(errors.RequestTimeoutError):
            await send(url, UPDATE, timeout=SHORT)


async def test_broken_connection_is_an_ambiguous_error() -> None:
    """A connection that breaks before the answer is complete is an ambiguous error."""

    async def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"_id')
        await writer.drain()

    for reply in (drop, half):
        error = await failure(reply)
        assert type(error) is errors.ConnectionLostError
        assert error.ambiguous


async def test_invalid_http_error_hides_the_key() -> None:
    """An answer that is not valid HTTP is a bad response, whose error hides the key."""

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()

    async def long_header(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n")
        await writer.drain()

    for reply in (nonsense, long_header):
        error = await failure(reply)
        assert type(error) is errors.BadResponseError
        assert error.__cause__ is None
        assert error.__context__ is None
        assert KEY not in repr(error)


async def test_refused_connection_is_not_ambiguous() -> None:
    """A refused connection is an error that is not ambiguous."""
    async with raw_server(lambda *_: asyncio.sleep(0)) as url:
        pass
    async with TaskClient(endpoint(url)) as client:
        with pytest.raises(errors.ConnectError) as caught:
            await client.update(UPDATE)
    assert not caught.value.ambiguous


async def test_endless_body_is_read_to_limit() -> None:
    """The client stops reading an endless body at a limit and raises a bad response."""
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < 1 << 28:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
            await writer.drain()

    error = await failure(endless)
    assert type(error) is errors.BadResponseError
    assert "longer than" in error.message
    assert sent < 1 << 25


async def test_untrusted_certificate_stops_the_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An untrusted certificate raises an error that stops the lane."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise aiohttp.ClientConnectorCertificateError(
            aiohttp.client_reqrep.ConnectionKey("x", 443, True, True, None, None, None),
            ssl_error(),
        )

    def ssl_error() -> Exception:
        return ssl.SSLCertVerificationError("self-signed certificate")

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", refuse)
    async with TaskClient(endpoint()) as client:
        with pytest.raises(errors.CertificateError) as caught:
            await client.update(UPDATE)
    assert caught.value.stops_lane


async def test_client_outside_async_with_is_refused() -> None:
    """A client that sends outside `async with` raises a RuntimeError."""
    with pytest.raises(RuntimeError, match="async with"):
        await TaskClient(endpoint()).send(UPDATE)


async def test_debug_log_does_not_contain_key(http: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The debug log names the request and does not contain the key."""
    caplog.set_level(logging.DEBUG)
    http.patch(f"{URL}/tasks", payload={"_id": "opp_a"})
    http.patch(f"{URL}/tasks", exception=aiohttp.ServerDisconnectedError())
    await send()
    with pytest.raises(errors.ConnectionLostError):
        await send()
    gc.collect()
    assert "PATCH 'opp_a'" in caplog.text
    assert KEY not in caplog.text
    assert base64.b64encode(f":{KEY}".encode()).decode() not in caplog.text


async def test_server_with_old_tls_stops_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that offers no TLS from 1.2 on is named as such. No retry can help."""
    old = ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version")
    old.reason = "TLSV1_ALERT_PROTOCOL_VERSION"

    async def refuse(*_: Any, **__: Any) -> None:
        key = aiohttp.client_reqrep.ConnectionKey("x", 443, True, True, None, None, None)
        raise aiohttp.ClientConnectorSSLError(key, old)

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", refuse)
    async with TaskClient(endpoint()) as client:
        with pytest.raises(
            errors.TlsVersionError, match=r"too old: it has to offer 1\.2"
        ) as caught:
            await client.update(UPDATE)
    assert (caught.value.stops_lane, caught.value.ambiguous) == (True, False)


@pytest.mark.slow
async def test_other_tls_error_does_not_stop_lane() -> None:
    """A TLS error that is not about the certificate does not stop the lane."""

    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async with raw_server(plain) as url:
        secure = url.replace("http:", "https:")
        async with TaskClient(endpoint(secure, 5)) as client:
            with pytest.raises(errors.ConnectError) as caught:
                await client.update(UPDATE)
    assert not caught.value.stops_lane


async def test_key_in_error_message_is_redacted(http: Any) -> None:
    """An error whose message quotes the key shows `[redacted]` instead."""
    encoded = base64.b64encode(f":{KEY}".encode()).decode()
    error = await refusal(http, status=400, body=f"your key {KEY} as {encoded}")
    assert error.message == "your key [redacted] as [redacted]"


async def test_client_sends_no_cookie_back() -> None:
    """The client sends no cookie back in its next request."""
    seen: list[bytes] = []

    async def baker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for update in (UPDATE, OTHER):
            await reader.readexactly(len(update.encode()))
            body = b'{"_id": "%s"}' % update.id.encode()
            head = f"Content-Length: {len(body)}\r\nSet-Cookie: a=b; Path=/\r\n\r\n".encode()
            writer.write(b"HTTP/1.1 200 OK\r\n" + head + body)
            await writer.drain()
            seen.append(await reader.readuntil(b"\r\n\r\n"))

    # aiohttp keeps no cookies of a host that is an IP address, whichever jar it has.
    async with (
        raw_server(baker) as url,
        TaskClient(endpoint(url.replace("127.0.0.1", "localhost"))) as client,
    ):
        await client.update(UPDATE)
        await client.update(OTHER)
    assert b"PATCH" in seen[0]
    assert b"cookie" not in seen[0].lower()


@pytest.mark.parametrize(
    ("base_url", "use_proxy", "proxy"),
    [
        ("https://api.example.com", True, "http://proxy.example:3128"),
        ("https://api.example.com", False, None),
        ("https://direct.example.com", True, None),
        ("http://127.0.0.1:1", True, None),
    ],
)
async def test_proxy_serves_only_https_on_demand(
    http: Any, monkeypatch: pytest.MonkeyPatch, base_url: str, use_proxy: bool, proxy: str | None
) -> None:
    """The client uses a proxy only on demand, only for HTTPS and not for excluded hosts."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "direct.example.com")
    http.patch(f"{base_url}/tasks", payload={"_id": "opp_a"})
    one = Endpoint(api_key=ApiKey(KEY), base_url=base_url, use_proxy=use_proxy)
    async with TaskClient(one) as client:
        await client.update(UPDATE)
    ((_, (sent,)),) = http.requests.items()
    assert sent.kwargs["proxy"] == proxy


async def test_connecting_has_its_own_shorter_timeout(http: Any) -> None:
    """The client limits the time to connect to less than the time for an answer."""
    for timeout, expected in ((30, http_module.CONNECT_TIMEOUT), (2, 1)):
        http.patch(f"{URL}/tasks", payload={"_id": "opp_a"})
        async with TaskClient(endpoint(timeout=timeout)) as client:
            await client.update(UPDATE)
        sent = next(iter(http.requests.values()))[-1]
        assert sent.kwargs["timeout"].connect == expected


async def test_idle_connections_close_before_server_does() -> None:
    """The client closes an idle connection within five seconds, before the server does."""
    async with TaskClient(endpoint()) as client:
        connector = client._http._pool.session.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        assert (connector._keepalive_timeout or 99) < 5
