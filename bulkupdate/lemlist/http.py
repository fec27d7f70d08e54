"""The HTTP client: one request in; a status, headers and a body out, or a typed error.

Only this module uses aiohttp and the key. It never retries, never paces and never follows a
redirect. The key is sent only in the `Authorization` header of a request to the base URL.
"""

import logging
import re
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp.hdrs import AUTHORIZATION, CONTENT_ENCODING
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from bulkupdate.codec import parse_json
from bulkupdate.errors import (
    BadRequestError,
    BadResponseError,
    BlockedError,
    CertificateError,
    ConnectError,
    ConnectionLostError,
    ForbiddenError,
    NotFoundError,
    PaymentRequiredError,
    ProxyRefusedError,
    RateLimitedError,
    RedirectError,
    RequestTimeoutError,
    ServerError,
    TaskError,
    TlsVersionError,
    UnauthorizedError,
)
from bulkupdate.fields import shorten
from bulkupdate.lemlist.answer import Answer, retry_after
from bulkupdate.lemlist.connections import Exchange, exchange
from bulkupdate.lemlist.deadlines import Deadline
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.redact import REDACTED, Redactor
from bulkupdate.lemlist.request import EncodedJson, Template

#: Most bytes of an answer that are read, unless a caller expects more. A Task has a few thousand.
MAX_BODY = 1 << 18

#: Deepest nesting of a JSON value. A deeper value is refused: the log's readers may not support it.
MAX_DEPTH = 100

#: Most characters of the server's message that are kept.
MAX_MESSAGE = 500

#: Length of the beginning of a text that a message is made of.
_SEARCHED = 1 << 16

#: Statuses with which a proxy refuses to connect, and goes on to do so.
_REFUSALS = frozenset(range(400, 500)) - {408, 425, 429}

#: Most seconds for connecting; and the fewest, as aiohttp takes 0 for no limit.
CONNECT_TIMEOUT = 10.0
_LEAST_TIMEOUT = 0.001

_BRACKET = ord("[")
_NESTING = frozenset({dict, list})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: Statuses that name another place (RFC 9110, 15.4). A 303 does so after it did what was asked.
_REDIRECTS = frozenset({301, 302, 307, 308})

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

#: A pair of surrogates, half of one, or another escape, so that `\\\\u` is not taken for a `\\u`.
_SURROGATES = re.compile(
    rb"(?P<whole>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|(?P<other>\\.)"
)
_ERRORS: dict[int, type[TaskError]] = {
    401: UnauthorizedError,
    402: PaymentRequiredError,
    403: ForbiddenError,
    404: NotFoundError,
    408: RequestTimeoutError,
    429: RateLimitedError,
}

log = logging.getLogger(__name__)

Value = TypeVar("Value")


class Response:
    """An HTTP answer, as it came. Only `excerpt` and `redacted` are free of secrets.

    Args:
        status: the HTTP status.
        headers: the headers by name, in any case.
        body: the beginning of the body: at least one byte more than is accepted.
        reason: the reason phrase after the status.
        redactor: removes the secrets from messages.
        key_redactor: removes the key from values, as a server knows no other secret; None for
            `redactor`.
    """

    __slots__ = (
        "_holds_secret",
        "_key_redactor",
        "_redactor",
        "body",
        "headers",
        "reason",
        "status",
    )

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        reason: str = "",
        redactor: Redactor | None = None,
        key_redactor: Redactor | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.reason = reason
        self._redactor = redactor or Redactor()
        self._key_redactor = key_redactor or self._redactor
        self._holds_secret: bool | None = None

    def excerpt(self, text: bytes | str | None = None) -> str:
        """The beginning of the body or of another text from the answer, for a message."""
        whole = self.body if text is None else text
        part = whole[:_SEARCHED]
        # Cut to a message after the redaction: half of a secret is not recognised.
        shown = part if isinstance(part, str) else part.decode("utf-8", errors="replace")
        shown = self._redactor.text(shown)
        if len(part) < len(whole) and shown != REDACTED:
            shown = shown[: max(0, len(shown) - self._redactor.longest)]
        return clean(shown)

    def redacted(self, value: Any) -> Any:
        """A JSON value from the body, to be written down."""
        if self._holds_secret is None:
            self._holds_secret = self._key_redactor.may_be_in(self.body)
        return self._key_redactor.value(value) if self._holds_secret else value

    @property
    def is_page(self) -> bool:
        """Whether the body is a web page."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        start = self.body[:200].lstrip(_BYTE_ORDER_MARK + b" \t\r\n").lower()
        return kind in ("text/html", "application/xhtml+xml") or start.startswith(
            (b"<!doctype html", b"<html", b"<head")
        )


class HttpClient:
    """A session with lemlist's API: `async with HttpClient(endpoint) as http`.

    Args:
        endpoint: the server and the API key.
        connections: most open connections, unless a pool is given.
        pool: an open pool, which other clients may share; None for one of its own.
    """

    def __init__(
        self, endpoint: Endpoint, *, connections: int = 16, pool: ConnectionPool | None = None
    ) -> None:
        self._endpoint = endpoint
        self._has_own_pool = pool is None
        self._pool = ConnectionPool(connections=connections) if pool is None else pool
        key = endpoint.api_key.reveal()
        authorization = aiohttp.encode_basic_auth("", key)
        self._proxy = endpoint.proxy()
        password = URL(self._proxy or "").password
        self._key_redactor = Redactor(key)
        self._redactor = Redactor(key, password) if password else self._key_redactor
        # Sent with each request, because aiohttp sends the headers of a session to a proxy too.
        self._headers = CIMultiDict({AUTHORIZATION: authorization})
        self._templates: dict[tuple[str, str], Template] = {}
        # Shorter than the whole timeout: without a connection, nothing was applied.
        self._connect_timeout = min(CONNECT_TIMEOUT, endpoint.timeout / 2)
        # For the whole one, see `call`.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_timeout)

    async def __aenter__(self) -> Self:
        if self._has_own_pool:
            await self._pool.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._has_own_pool:
            await self._pool.__aexit__()

    async def call(
        self,
        method: str,
        path: str,
        judge: Callable[[Response], tuple[Value, bool]],
        *,
        json: bytes | None = None,
        params: Mapping[str, str] | None = None,
        more_seconds: float = 0.0,
        subject: str = "",
        anew: bool = False,
        is_named: bool = False,
        most: int = MAX_BODY,
    ) -> Answer[Value]:
        """Send one request.

        Only an answer that `judge` accepts leaves its connection for other requests. A refusal is
        *in question* unless it is the first answer of its connection: it names no task, so it may
        be a second answer to an earlier request.

        Args:
            method: the HTTP method.
            path: the path below the base URL, with a leading slash.
            judge: returns the value in an answer, and whether the value is as expected. It raises
                `TaskError` if the answer has none.
            json: the request body as JSON.
            params: the query.
            more_seconds: seconds to add to the endpoint's timeout.
            subject: what the request is about, as the id of a task. No connection carries two
                requests of a subject.
            anew: whether to use a new connection, because the answer to an earlier attempt was in
                question.
            is_named: whether a right answer names its subject. Any other one could be the answer to
                a request of another account, so its connection carries requests of no other.
            most: most bytes of the answer's body that are accepted.

        Returns:
            The server's answer, whatever its status, with the value or the error.

        Raises:
            TaskError: there was no answer.
            PermitExpiredError: the request was not sent, as it came too late for its permit.
            RuntimeError: the client or its pool is not open.
        """
        current = Exchange(subject, self, is_named=is_named, anew=anew)
        started = time.monotonic() if log.isEnabledFor(logging.DEBUG) else None
        failure: TaskError | None = None
        is_kept = False
        try:
            with Deadline(self._pool.deadlines, self._endpoint.timeout + more_seconds):
                response = await self._on_idle(current, (method, path), json, most)
                if response is None:
                    response = await self._on_any(current, (method, path), json, params, most)
            answer, is_kept = _judged(response, judge, current)
        except (TimeoutError, aiohttp.ClientError, OSError, HttpProcessingError) as error:
            failure = _without_answer(
                error,
                self._redactor,
                is_sent=current.has_connection,
                by_proxy=self._proxy is not None,
            )
        finally:
            if is_kept:
                current.keep()
            else:
                current.close()
        if failure is not None:
            # Not `from error`: aiohttp's exception contains the request's headers with the key.
            log.debug("%s %s: %s: %s", method, shorten(subject), failure.type, failure.message)
            raise failure
        if started is not None:
            ms = (time.monotonic() - started) * 1000
            log.debug("%s %s: %d in %.0f ms", method, shorten(subject), answer.status, ms)
        return answer

    async def _on_idle(
        self, current: Exchange, what: tuple[str, str], json: bytes | None, most: int
    ) -> Response | None:
        """The answer to a request over an idle connection.

        None if the request was not sent: a connection may be made, or there was no such request
        yet. Where none may be made, it waits until one is left or may be made.
        """
        template = self._templates.get(what)
        if template is None or json is None:
            return None
        connector = self._pool.connector
        connection = connector.take_idle(template.route, current)
        if connection is None and not connector.has_room(template.route):
            began = time.monotonic()
            with Deadline(self._pool.deadlines, self._connect_timeout):
                connection = await connector.wait_for_idle(template.route, current)
            current.waited = time.monotonic() - began
        if connection is None:
            return None
        head, content = await current.ask(connection, template.request(json))
        # A Task is short: nearly always it arrives together with the headers.
        body = content.read_nowait() if content.is_eof() else await _read(content, most)
        return self._response(head.code, head.headers, body, head.reason, most)

    async def _on_any(
        self,
        current: Exchange,
        what: tuple[str, str],
        json: bytes | None,
        params: Mapping[str, str] | None,
        most: int,
    ) -> Response:
        """The answer to a request over any connection. A new one is made if needed."""
        method, path = what
        exchange.set(current)
        timeout = self._timeout
        if current.waited:
            left = max(_LEAST_TIMEOUT, self._connect_timeout - current.waited)
            timeout = aiohttp.ClientTimeout(total=None, connect=left)
        response = await self._pool.session.request(
            method,
            f"{self._endpoint.base_url}{path}",
            data=None if json is None else EncodedJson(json),
            params=params,
            headers=self._headers,
            allow_redirects=False,
            proxy=self._proxy,
            timeout=timeout,
        )
        content = response.content
        if response.closed:
            body = content.read_nowait()
        else:
            # Leaving the block closes a connection with unread bytes.
            async with response:
                body = await _read(content, most)
        if current.route is not None and json is not None and what not in self._templates:
            info = response.request_info
            self._templates[what] = Template(
                method, info.url.raw_path_qs, info.headers, current.route
            )
        return self._response(response.status, response.headers, body, response.reason, most)

    def _response(
        self, status: int, headers: Mapping[str, str], body: bytes, reason: str | None, most: int
    ) -> Response:
        body = _inflated(body, headers.get(CONTENT_ENCODING), most)
        return Response(status, headers, body, reason or "", self._redactor, self._key_redactor)


def _judged(
    response: Response, judge: Callable[[Response], tuple[Value, bool]], current: Exchange
) -> tuple[Answer[Value], bool]:
    """The answer, and whether its connection may be used again."""
    status, headers = response.status, response.headers
    try:
        value, is_as_expected = judge(response)
    except TaskError as error:
        if not (current.is_first or error.ambiguous):
            error.question()
        return Answer(status, headers, error=error), False
    return Answer(status, headers, value), is_as_expected


def json_of(response: Response, what: str, most: int = MAX_BODY) -> Any:
    """The JSON value in an answer with status 200, as it came.

    A byte order mark before it is ignored (RFC 8259, 8.1). Half of a surrogate pair, which no text
    can hold, becomes U+FFFD.

    Args:
        response: the answer.
        what: the expected value for messages, as in `a Task`.
        most: most bytes of the body.

    Raises:
        TaskError: the status is not 200, or the body is not an acceptable JSON value.
    """
    status, body = response.status, response.body
    if status != 200:
        raise _refusal(response)
    if len(body) > most:
        raise BadResponseError(f"a 200 that is longer than {most:,} bytes", status)
    try:
        value = _parsed(body)
    except ValueError:
        raise BadResponseError(f"a 200 that is not JSON: {response.excerpt()}", status) from None
    if _nests_deeper(value, body):
        raise BadResponseError(f"a 200 that nests more than {MAX_DEPTH} deep", status)
    if not isinstance(value, dict | list):
        raise BadResponseError(f"a 200 without {what}: {response.excerpt()}", status)
    return value


def _parsed(body: bytes) -> Any:
    body = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        return parse_json(body)
    except ValueError:
        if not _SURROGATE.search(body):
            raise
    # Halves are of no use to a text, but a pair of them is a character.
    return parse_json(_SURROGATES.sub(_without_halves, body))


def _without_halves(match: re.Match[bytes]) -> bytes:
    return match[0] if match["whole"] or match["other"] else rb"\ufffd"


def _refusal(response: Response) -> TaskError:
    """The error for an answer with another status than 200."""
    status = response.status
    if status in _REDIRECTS:
        target = response.headers.get("Location", "nowhere").partition("?")[0]
        text = f"redirected to {response.excerpt(target)}, which is not followed"
        return RedirectError(text, status)
    if status >= 500:
        kind: type[TaskError] = ServerError
    elif status == 403 and response.is_page:
        kind = BlockedError
    elif status >= 400:
        kind = _ERRORS.get(status, BadRequestError)
    else:
        kind = BadResponseError  # 201, 204, 304 and others: lemlist confirms with 200
    message = _message(response) or response.excerpt(response.reason) or f"HTTP {status}"
    error = kind(message, status)
    if error.ambiguous:
        error.retry_after = retry_after(response.headers)
    return error


async def _read(content: aiohttp.StreamReader, most: int) -> bytes:
    """Read the body, but not much more than `most` bytes, because a longer one is refused."""
    body = bytearray(await content.read(MAX_BODY))
    while len(body) <= most and not content.at_eof():
        body += await content.read(MAX_BODY)
    return bytes(body)


def _inflated(body: bytes, encoding: str | None, most: int) -> bytes:
    """The first `most + 1` bytes of a body, decompressed if the server compressed it."""
    body = body[: most + 1]
    if encoding is None or encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, most + 1)
    except zlib.error:
        return body


def _without_answer(
    error: Exception, redactor: Redactor, *, is_sent: bool, by_proxy: bool
) -> TaskError:
    """The `TaskError` for an exception of the HTTP library.

    Args:
        error: the exception.
        redactor: removes the key from its text.
        is_sent: whether there was a connection.
        by_proxy: whether a proxy is used.
    """
    how = "no connection through the proxy" if by_proxy else "no connection"
    text = clean(redactor.text(str(error)))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CertificateError(f"the server's certificate was not accepted: {text}")
    if isinstance(error, aiohttp.ClientConnectorSSLError) and _is_too_old(error):
        return TlsVersionError(f"the server's TLS is too old: it has to offer 1.2 or 1.3: {text}")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return ConnectError(f"{how}: {text}")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        status = f"{error.status} {clean(redactor.text(error.message))}".rstrip()
        if error.status not in _REFUSALS:
            return ConnectError(f"no connection: the proxy answered {status}")
        cure = ": write user and password into the URL in HTTPS_PROXY or ALL_PROXY"
        cure = cure if error.status == 407 else ""
        return ProxyRefusedError(f"the proxy refuses: it answered {status}{cure}")
    if isinstance(error, aiohttp.InvalidURL):
        return ConnectError(f"no request can be made: {text}")
    if isinstance(error, TimeoutError) and not is_sent:
        return ConnectError(f"{how} in time")
    if isinstance(error, TimeoutError):
        return RequestTimeoutError("no answer in time")
    # What broke before there was a connection was the talk with the proxy.
    is_lost = is_sent or not by_proxy
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        what = f"not an HTTP answer: {clean(redactor.text(error.message))}"
        return BadResponseError(what) if is_lost else ConnectError(f"{how}: {what}")
    broke = f"the connection broke: {text or type(error).__name__}"
    return ConnectionLostError(broke) if is_lost else ConnectError(f"{how}: {broke}")


def _is_too_old(error: aiohttp.ClientConnectorSSLError) -> bool:
    reason = getattr(error.os_error, "reason", None) or ""
    return any(sign in reason for sign in ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION"))


def _nests_deeper(value: Any, body: bytes) -> bool:
    """Whether a JSON value nests deeper than `MAX_DEPTH`. Counting brackets is usually enough."""
    if _BRACKET not in body and body.rfind(b"{") <= 0:
        return False
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        # A page has thousands of values, and JSON no subclasses.
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _NESTING
        ]
        if not level:
            return False
    return True


def _message(response: Response) -> str:
    """The server's message: the text of the body, or the message in a JSON object."""
    try:
        value: Any = _parsed(response.body)
    except ValueError:
        return response.excerpt()
    if isinstance(value, dict):
        words = [value[key] for key in ("error", "code", "message") if value.get(key)]
        if words and all(isinstance(word, str) for word in words):
            return response.excerpt(": ".join(dict.fromkeys(words)))
    return response.excerpt(value if isinstance(value, str) else None)


def clean(text: str) -> str:
    """One line of printable text, cut to `MAX_MESSAGE` characters."""
    text = text[: 4 * MAX_MESSAGE]
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
