"""One `PATCH /tasks`: an update in, a Task or a typed error out.

The one place that knows HTTP, with `request` for its small print. It never retries, never paces
and never follows a redirect; the key leaves only in the `Authorization` header of a request to the
base URL.
"""

import logging
import time
import zlib
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.hdrs import AUTHORIZATION, CONTENT_ENCODING
from multidict import CIMultiDict

from bulkupdate._version import __version__
from bulkupdate.codec import parse_json
from bulkupdate.config import Endpoint
from bulkupdate.errors import (
    BadRequestError,
    BadResponseError,
    CertificateError,
    ConnectError,
    ConnectionLostError,
    ForbiddenError,
    NotFoundError,
    PaymentRequiredError,
    RateLimitedError,
    RedirectError,
    RequestTimeoutError,
    ServerError,
    TaskError,
    UnauthorizedError,
)
from bulkupdate.fields import shorten
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.deadlines import Deadline, Deadlines
from bulkupdate.lemlist.redact import Redactor
from bulkupdate.lemlist.request import EncodedJson, ReadyRequest
from bulkupdate.models import Task, TaskUpdate

#: An answer is read so far and no further, in bytes. A Task has a few thousand.
MAX_BODY = 1 << 18

#: A Task that nests deeper than this is none: what reads it back may not go as deep.
MAX_DEPTH = 100

#: The server's own words are kept so far, in characters.
MAX_MESSAGE = 500

#: The server downloads images and videos before it answers, for up to 45 s
#: (`lemlist: update-task`): an update that has some gets so many seconds more.
MEDIA_TIMEOUT = 60.0

#: Node, which lemlist runs on, closes a connection that has been idle for 5 s. A request sent
#: into that moment is lost, so ours are closed before.
KEEP_ALIVE = 4.0

#: Seconds to connect in, at most.
CONNECT_TIMEOUT = 10.0

_BRACKET = ord("[")

_ERRORS: dict[int, type[TaskError]] = {
    401: UnauthorizedError,
    402: PaymentRequiredError,
    403: ForbiddenError,
    404: NotFoundError,
    408: RequestTimeoutError,
    429: RateLimitedError,
}

log = logging.getLogger(__name__)


class TaskClient:
    """A session with lemlist's API: `async with TaskClient(endpoint) as client`.

    It sends what it is told at once. A program that sends more than a few updates wants
    `bulkupdate.update_tasks`, which keeps the rate limit and retries.

    Args:
        endpoint: where to send, and with which key.
        connections: open at most.
    """

    def __init__(self, endpoint: Endpoint, *, connections: int = 16) -> None:
        self._endpoint = endpoint
        self._connections = connections
        self._url = f"{endpoint.base_url}/tasks"
        key = endpoint.api_key.reveal()
        authorization = aiohttp.encode_basic_auth("", key)
        self._redactor = Redactor(key, authorization.removeprefix("Basic "))
        # Said of each request: what a session says of all, aiohttp says to a proxy too.
        self._headers = CIMultiDict({AUTHORIZATION: authorization})
        self._session: aiohttp.ClientSession | None = None
        self._deadlines: Deadlines | None = None

    async def __aenter__(self) -> Self:
        self._deadlines = Deadlines()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Accept": "application/json",
                # A Task is short, and what is not squeezed can't burst.
                "Accept-Encoding": "identity",
                "User-Agent": f"bulkupdate/{__version__}",
            },
            timeout=aiohttp.ClientTimeout(
                total=None,  # see `send`
                # Its own, and shorter: what was never connected is known not to be applied.
                connect=min(CONNECT_TIMEOUT, self._endpoint.timeout / 2),
            ),
            auto_decompress=False,
            proxy=self._proxy(),
            request_class=ReadyRequest,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None and self._deadlines is not None:
            await self._session.close()
            self._deadlines.close()
            self._session = self._deadlines = None

    async def update(self, update: TaskUpdate) -> Task:
        """Send one update.

        Returns:
            The Task as the server says it is now.

        Raises:
            TaskError: it was refused, or not confirmed.
        """
        return (await self.send(update)).result()

    async def send(self, update: TaskUpdate) -> Answer:
        """Send one update.

        Returns:
            The server's answer, whatever it says.

        Raises:
            TaskError: there was no answer.
        """
        if self._session is None or self._deadlines is None:
            raise RuntimeError("use the client in 'async with'")
        started = time.monotonic() if log.isEnabledFor(logging.DEBUG) else None
        seconds = self._endpoint.timeout + MEDIA_TIMEOUT * update.has_media()
        failure: TaskError | None = None
        try:
            with Deadline(self._deadlines, seconds):
                response = await self._session.patch(
                    self._url,
                    data=EncodedJson(update.encode()),
                    headers=self._headers,
                    allow_redirects=False,
                )
                # A Task is short: nearly always all of it is there with the headers, and the
                # connection is free again.
                is_whole = response.closed
                body = response.content.read_nowait() if is_whole else await _read(response)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            failure = _without_answer(error, self._redactor)
        if failure is not None:
            # Not `from error`: aiohttp's exception carries the request's headers, the key too.
            log.debug("PATCH %s: %s: %s", shorten(update.id), failure.type, failure.message)
            raise failure
        body = self._redactor.body(_inflated(body, response.headers.get(CONTENT_ENCODING)))
        answer = _answer(update, response, body, self._redactor)
        if started is not None:
            ms = (time.monotonic() - started) * 1000
            log.debug("PATCH %s: %d in %.0f ms", shorten(update.id), answer.status, ms)
        return answer

    def _proxy(self) -> str | None:
        """The proxy that the environment names; never one for `http://`, which is this machine."""
        parts = urlsplit(self._endpoint.base_url)
        is_direct = parts.scheme != "https" or proxy_bypass(parts.hostname or "")
        if not self._endpoint.use_proxy or is_direct:
            return None
        proxies = getproxies()
        return proxies.get("https") or proxies.get("all")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, or a little more than `MAX_BODY` of it: more than that is nothing we can use."""
    content = response.content
    # A connection with more to come is closed.
    async with response:
        body = await content.read(MAX_BODY)
        while len(body) <= MAX_BODY and not content.at_eof():
            body += await content.read(MAX_BODY)
        return body


def _inflated(body: bytes, encoding: str | None) -> bytes:
    """A body's first `MAX_BODY + 1` bytes; so many too of one that was squeezed though unasked."""
    body = body[: MAX_BODY + 1]
    if encoding is None or encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, MAX_BODY + 1)
    except zlib.error:
        return body


def _without_answer(error: Exception, redactor: Redactor) -> TaskError:
    """The failure of ours that an exception of the HTTP library stands for."""
    said = _clean(redactor.text(str(error)))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CertificateError(f"the server's certificate was not accepted: {said}")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return ConnectError(f"no connection: {said}")
    if isinstance(error, TimeoutError):
        return RequestTimeoutError("no answer in time")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        status = f"{error.status} {_clean(redactor.text(error.message))}".rstrip()
        return ConnectError(f"no connection: the proxy answered {status}")
    if isinstance(error, aiohttp.ClientResponseError):
        return BadResponseError(f"not an HTTP answer: {_clean(redactor.text(error.message))}")
    return ConnectionLostError(f"the connection broke: {said or type(error).__name__}")


def _answer(
    update: TaskUpdate, response: aiohttp.ClientResponse, body: bytes, redactor: Redactor
) -> Answer:
    status = response.status
    task: Task | None = None
    error: TaskError | None = None
    if status == 200:
        try:
            task = _confirmed(update, body)
        except ValueError as why:
            error = BadResponseError(str(why), status)
    elif 300 <= status < 400:
        location = redactor.text(response.headers.get("Location", "nowhere"))
        target = _clean(location.partition("?")[0])
        error = RedirectError(f"redirected to {target}, which is not followed", status)
    else:
        reason = _clean(redactor.text(response.reason or ""))
        error = _refusal(status, _message(body) or reason)
    return Answer(status, response.headers, task, error)


def _confirmed(update: TaskUpdate, body: bytes) -> Task:
    """The Task in the body. ValueError: it is none, or not the one that was sent."""
    if len(body) > MAX_BODY:
        raise ValueError(f"a 200 that is longer than {MAX_BODY:,} bytes")
    try:
        value = parse_json(body)
    except ValueError:
        raise ValueError(f"a 200 that is not JSON: {_excerpt(body)}") from None
    if _nests_deeper(value, body):
        raise ValueError(f"a 200 that nests more than {MAX_DEPTH} deep")
    if not isinstance(value, dict) or "_id" not in value:
        raise ValueError(f"a 200 without a Task: {_excerpt(body)}")
    if value["_id"] != update.id:
        raise ValueError(f"a 200 with another Task: {shorten(value['_id'])}")
    return Task(value)


def _nests_deeper(value: Any, body: bytes) -> bool:
    """Whether a JSON value nests deeper than `MAX_DEPTH`. Nearly all are told by their brackets."""
    if _BRACKET not in body and body.rfind(b"{") <= 0:
        return False
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _refusal(status: int, message: str) -> TaskError:
    if status >= 500:
        kind: type[TaskError] = ServerError
    elif status >= 400:
        kind = _ERRORS.get(status, BadRequestError)
    else:
        kind = BadResponseError  # 201, 204 and their like: lemlist confirms with 200
    return kind(message or f"HTTP {status}", status)


def _message(body: bytes) -> str:
    """The server's own words: a sentence, or the message inside a JSON object."""
    try:
        value: Any = parse_json(body)
    except ValueError:
        return _excerpt(body)
    if isinstance(value, dict):
        words = [value[key] for key in ("error", "code", "message") if value.get(key)]
        if words and all(isinstance(word, str) for word in words):
            return _clean(": ".join(dict.fromkeys(words)))
    return _clean(value) if isinstance(value, str) else _excerpt(body)


def _excerpt(body: bytes) -> str:
    return _clean(body[: 4 * MAX_MESSAGE].decode("utf-8", errors="replace"))


def _clean(text: str) -> str:
    """One line of printable text, cut to a sane length."""
    text = text[: 4 * MAX_MESSAGE]
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
