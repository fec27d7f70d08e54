"""The HTTP client: one request in; a status, headers and a body out, or a typed error.

Only this module uses aiohttp and the key. It never retries, never paces and never follows a
redirect. The key is sent only in the `Authorization` header of a request to the base URL.
"""

import logging
import time
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.hdrs import AUTHORIZATION, CONTENT_ENCODING
from multidict import CIMultiDict

from bulkupdate._version import __version__
from bulkupdate.codec import parse_json
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
from bulkupdate.lemlist.deadlines import Deadline, Deadlines
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.redact import Redactor
from bulkupdate.lemlist.request import EncodedJson, ReadyRequest

#: Most bytes of an answer that are read. A Task has a few thousand.
MAX_BODY = 1 << 18

#: Deepest nesting of a JSON value. A deeper value is refused: the log's readers may not support it.
MAX_DEPTH = 100

#: Most characters of the server's message that are kept.
MAX_MESSAGE = 500

#: Seconds that an idle connection stays open. lemlist runs on Node, which closes a connection after
#: 5 s without a request. A request at that moment is lost, so the client closes it before.
KEEP_ALIVE = 4.0

#: Most seconds for connecting.
CONNECT_TIMEOUT = 10.0

_BRACKET = ord("[")
_JSON = "application/json"

_ERRORS: dict[int, type[TaskError]] = {
    401: UnauthorizedError,
    402: PaymentRequiredError,
    403: ForbiddenError,
    404: NotFoundError,
    408: RequestTimeoutError,
    429: RateLimitedError,
}

log = logging.getLogger(__name__)


class Response(NamedTuple):
    """An HTTP answer. Its body, reason and location never contain the key.

    Attributes:
        status: the HTTP status.
        headers: the headers by name, in any case.
        body: the first `MAX_BODY + 1` bytes of the body.
        reason: the reason phrase after the status.
        location: the target of a redirect, without its query.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str = ""
    location: str = ""


class HttpClient:
    """A session with lemlist's API: `async with HttpClient(endpoint) as http`.

    Args:
        endpoint: the server and the API key.
        connections: most open connections.
    """

    def __init__(self, endpoint: Endpoint, *, connections: int = 16) -> None:
        self._endpoint = endpoint
        self._connections = connections
        key = endpoint.api_key.reveal()
        authorization = aiohttp.encode_basic_auth("", key)
        self._redactor = Redactor(key, authorization.removeprefix("Basic "))
        # Sent with each request, because aiohttp sends the headers of a session to a proxy too.
        self._headers = CIMultiDict({AUTHORIZATION: authorization})
        self._session: aiohttp.ClientSession | None = None
        self._deadlines: Deadlines | None = None

    async def __aenter__(self) -> Self:
        self._deadlines = Deadlines()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Accept": _JSON,
                # A Task is short. An uncompressed answer can't be a decompression bomb.
                "Accept-Encoding": "identity",
                "User-Agent": f"bulkupdate/{__version__}",
            },
            timeout=aiohttp.ClientTimeout(
                total=None,  # see `request`
                # Shorter than the whole timeout: without a connection, nothing was applied.
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

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: bytes | None = None,
        params: Mapping[str, str] | None = None,
        more_seconds: float = 0.0,
        subject: str = "",
    ) -> Response:
        """Send one request.

        Args:
            method: the HTTP method.
            path: the path below the base URL, with a leading slash.
            json: the request body as JSON.
            params: the query.
            more_seconds: seconds to add to the endpoint's timeout.
            subject: the id of the task, for the log.

        Returns:
            The server's answer, whatever its status.

        Raises:
            TaskError: there was no answer.
        """
        if self._session is None or self._deadlines is None:
            raise RuntimeError("use the client in 'async with'")
        started = time.monotonic() if log.isEnabledFor(logging.DEBUG) else None
        failure: TaskError | None = None
        try:
            with Deadline(self._deadlines, self._endpoint.timeout + more_seconds):
                response = await self._session.request(
                    method,
                    f"{self._endpoint.base_url}{path}",
                    data=None if json is None else EncodedJson(json),
                    params=params,
                    headers=self._headers,
                    allow_redirects=False,
                )
                # A Task is short: nearly always it arrives together with the headers, and the
                # connection is free again.
                is_whole = response.closed
                body = response.content.read_nowait() if is_whole else await _read(response)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            failure = _without_answer(error, self._redactor)
        if failure is not None:
            # Not `from error`: aiohttp's exception contains the request's headers with the key.
            log.debug("%s %s: %s: %s", method, shorten(subject), failure.type, failure.message)
            raise failure
        if started is not None:
            ms = (time.monotonic() - started) * 1000
            log.debug("%s %s: %d in %.0f ms", method, shorten(subject), response.status, ms)
        return self._answer(response, body)

    def _answer(self, response: aiohttp.ClientResponse, body: bytes) -> Response:
        headers, redactor = response.headers, self._redactor
        body = redactor.body(_inflated(body, headers.get(CONTENT_ENCODING)))
        if response.status == 200:
            return Response(200, headers, body)
        location = redactor.text(headers.get("Location", "nowhere")).partition("?")[0]
        reason = redactor.text(response.reason or "")
        return Response(response.status, headers, body, reason, location)

    def _proxy(self) -> str | None:
        """The proxy from the environment; None for `http://`, which is only for this machine."""
        parts = urlsplit(self._endpoint.base_url)
        is_direct = parts.scheme != "https" or proxy_bypass(parts.hostname or "")
        if not self._endpoint.use_proxy or is_direct:
            return None
        proxies = getproxies()
        return proxies.get("https") or proxies.get("all")


def json_of(response: Response, what: str) -> Any:
    """The JSON value in an answer with status 200.

    Args:
        response: the answer.
        what: the expected value for messages, as in `a Task`.

    Raises:
        TaskError: the status is not 200, or the body is not an acceptable JSON value.
    """
    status, body = response.status, response.body
    if status != 200:
        raise _refusal(response)
    if len(body) > MAX_BODY:
        raise BadResponseError(f"a 200 that is longer than {MAX_BODY:,} bytes", status)
    try:
        value = parse_json(body)
    except ValueError:
        raise BadResponseError(f"a 200 that is not JSON: {excerpt(body)}", status) from None
    if _nests_deeper(value, body):
        raise BadResponseError(f"a 200 that nests more than {MAX_DEPTH} deep", status)
    if not isinstance(value, dict | list):
        raise BadResponseError(f"a 200 without {what}: {excerpt(body)}", status)
    return value


def _refusal(response: Response) -> TaskError:
    """The error for an answer with another status than 200."""
    status = response.status
    if 300 <= status < 400:
        target = _clean(response.location)
        return RedirectError(f"redirected to {target}, which is not followed", status)
    if status >= 500:
        kind: type[TaskError] = ServerError
    elif status >= 400:
        kind = _ERRORS.get(status, BadRequestError)
    else:
        kind = BadResponseError  # 201, 204 and others: lemlist confirms with 200
    return kind(_message(response.body) or _clean(response.reason) or f"HTTP {status}", status)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the body, but not much more than `MAX_BODY` bytes, because a longer one is refused."""
    content = response.content
    # Leaving the block closes a connection with unread bytes.
    async with response:
        body = await content.read(MAX_BODY)
        while len(body) <= MAX_BODY and not content.at_eof():
            body += await content.read(MAX_BODY)
        return body


def _inflated(body: bytes, encoding: str | None) -> bytes:
    """The first `MAX_BODY + 1` bytes of a body, decompressed if the server compressed it."""
    body = body[: MAX_BODY + 1]
    if encoding is None or encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, MAX_BODY + 1)
    except zlib.error:
        return body


def _without_answer(error: Exception, redactor: Redactor) -> TaskError:
    """The `TaskError` for an exception of the HTTP library."""
    text = _clean(redactor.text(str(error)))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CertificateError(f"the server's certificate was not accepted: {text}")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return ConnectError(f"no connection: {text}")
    if isinstance(error, TimeoutError):
        return RequestTimeoutError("no answer in time")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        status = f"{error.status} {_clean(redactor.text(error.message))}".rstrip()
        return ConnectError(f"no connection: the proxy answered {status}")
    if isinstance(error, aiohttp.ClientResponseError):
        return BadResponseError(f"not an HTTP answer: {_clean(redactor.text(error.message))}")
    return ConnectionLostError(f"the connection broke: {text or type(error).__name__}")


def _nests_deeper(value: Any, body: bytes) -> bool:
    """Whether a JSON value nests deeper than `MAX_DEPTH`. Counting brackets is usually enough."""
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


def _message(body: bytes) -> str:
    """The server's message: the text of the body, or the message in a JSON object."""
    try:
        value: Any = parse_json(body)
    except ValueError:
        return excerpt(body)
    if isinstance(value, dict):
        words = [value[key] for key in ("error", "code", "message") if value.get(key)]
        if words and all(isinstance(word, str) for word in words):
            return _clean(": ".join(dict.fromkeys(words)))
    return _clean(value) if isinstance(value, str) else excerpt(body)


def excerpt(body: bytes) -> str:
    """The beginning of a body, for a message."""
    return _clean(body[: 4 * MAX_MESSAGE].decode("utf-8", errors="replace"))


def _clean(text: str) -> str:
    """One line of printable text, cut to `MAX_MESSAGE` characters."""
    text = text[: 4 * MAX_MESSAGE]
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
