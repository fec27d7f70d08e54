"""The HTTP server of the sandbox."""

import asyncio
import base64
import contextlib
import json
import math
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from aiohttp import web

from bulkupdate.codec import parse_json, to_json
from bulkupdate.models import now
from bulkupdate.sandbox.callers import Callers
from bulkupdate.sandbox.config import Fault, SandboxConfig, Unknown
from bulkupdate.sandbox.team import BadUpdateError, Team, is_id, made_up_team
from bulkupdate.sandbox.windows import RateWindow, Verdict, window

#: Number of tasks on a page of `GET /tasks`. lemlist does not document its own number.
PAGE_SIZE = 100

#: Connections that the kernel keeps until they are accepted.
_BACKLOG = 128

#: Largest number of keys whose windows are kept.
_MAX_KEYS = 1000

_HTML = "<!DOCTYPE html><html><head><title>lemlist</title></head><body></body></html>"

#: Facts about a request, for the log.
_ARRIVED = web.RequestKey("arrived", float)
_FAULT = web.RequestKey("fault", Fault)
_BODY = web.RequestKey("body", dict[str, Any])
_APPLIED = web.RequestKey("applied", dict[str, Any])

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    """One request that reached the sandbox.

    Attributes:
        at: time of arrival, in seconds on the monotonic clock.
        method: its method.
        path: its path.
        status: the status of the response, or None without a response.
        fault: the fault that the sandbox applied, or None.
        body: the body of a PATCH, or None.
        applied: the body of a PATCH that was applied, or None.
    """

    at: float
    method: str
    path: str
    status: int | None
    fault: str | None
    body: dict[str, Any] | None
    applied: dict[str, Any] | None


class Sandbox:
    """A server that behaves like lemlist's tasks API, as far as its behaviour is known.

    Use it as `async with Sandbox() as sandbox`. The base URL for clients is `sandbox.base_url`.

    Args:
        config: its settings.
        team: its tasks; None for made-up ones.
        watch: a function to call with every request after its response.

    Attributes:
        config: its settings.
        team: the tasks, with all edits so far.
        requests: number of requests by status. Requests without a response are under "none".
        is_down: whether the server answers 503 to every request. A caller may set it.
    """

    def __init__(
        self,
        config: SandboxConfig | None = None,
        team: Team | None = None,
        watch: Callable[[Seen], None] | None = None,
    ) -> None:
        self.config = config or SandboxConfig()
        self.team = team if team is not None else made_up_team()
        self.requests: Counter[str] = Counter()
        self.is_down = False
        self._callers = Callers(self.config.host)
        self._first_request = math.inf
        self._watch = watch
        self._random = random.Random(self.config.seed)  # noqa: S311 - faults, not secrets
        self._windows: dict[str, RateWindow] = {}
        self._closing = asyncio.Event()
        self._log: IO[bytes] | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._address = "", 0

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._middleware])
        app.router.add_route("*", "/api/tasks", self._tasks)
        app.router.add_route("*", "/api/tasks/ignore", self._ignore)
        app.router.add_get("/api/team", self._team)
        app.router.add_get("/sandbox", self._state)
        app.router.add_get("/sandbox/tasks", self._all_tasks)
        app.router.add_route("*", "/{path:.*}", self._web_app)
        self._log = self._opened_log()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        try:
            await self._runner.setup()
            await self._listen(self._runner)
        except BaseException:
            await self.close()
            raise
        return self

    async def _listen(self, runner: web.AppRunner) -> None:
        """Accept connections, one in each round of the event loop.

        Where asyncio accepts several and no more files can be opened, it tries each of them again a
        second later, each time with several more, until it does nothing else.
        """
        if runner.server is None:
            raise AssertionError("the runner was set up")
        loop, config = asyncio.get_running_loop(), self.config
        self._server = await loop.create_server(runner.server, config.host, config.port, backlog=1)
        for sock in self._server.sockets:
            with socket.socket(fileno=os.dup(sock.fileno())) as same:
                same.listen(_BACKLOG)
        self._address = self._server.sockets[0].getsockname()[:2]

    def _opened_log(self) -> IO[bytes] | None:
        return None if self.config.log is None else Path(self.config.log).open("ab", buffering=0)

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the server, and end requests that hang."""
        self._closing.set()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._log is not None:
            self._log.close()

    @property
    def base_url(self) -> str:
        """The URL for clients instead of lemlist's `https://api.lemlist.com/api`."""
        if self._server is None:
            raise RuntimeError("use the sandbox in 'async with'")
        host, port = self._address
        return f"http://[{host}]:{port}/api" if ":" in host else f"http://{host}:{port}/api"

    # --- every request ---------------------------------------------------------------------

    @web.middleware
    async def _middleware(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if (refusal := self._callers.refusal(request)) is not None:
            return refusal
        if request.path.startswith("/sandbox"):
            return await handler(request)
        request[_ARRIVED] = time.monotonic()
        response: web.StreamResponse | None = None
        try:
            await self._travel()
            response = await self._guarded(request, handler)
            await self._travel()
        finally:
            if request.get(_FAULT) is not Fault.HANG:
                self._note(request, response)
        return response

    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Authorise a request, count it against the limit, and answer it or apply a fault."""
        if not request.path.startswith(("/api/tasks", "/api/team")):
            return await handler(request)
        key = _key(request.headers.get("Authorization"))
        if key is None:
            return web.Response(status=400, text="no api key provided")
        if key != self.config.key:
            return web.Response(status=401, text="The authentication you supplied is incorrect")
        verdict = self._count(key)
        if verdict is not None and not verdict.allowed:
            # The body of lemlist's 429 is not known.
            response: web.StreamResponse = web.Response(status=429, text="Too many requests")
        else:
            response = await self._answer(request, handler)
        if verdict is not None and not response.prepared:
            response.headers.update(self._quota_headers(verdict))
        return response

    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.method == "PATCH":
            request[_BODY] = await _json_object(request) or {}
        fault = Fault.UNAVAILABLE if self._is_out(request[_ARRIVED]) else self._fault()
        if fault is not None:
            request[_FAULT] = fault
        if fault in (Fault.INTERNAL_ERROR, Fault.UNAVAILABLE):
            return web.Response(status=int(fault), text="Something went wrong")
        if fault is Fault.HTML:
            return await self._web_app(request)
        if fault is Fault.HANG:
            self._note(request, None)
            await self._closing.wait()
        if fault in (Fault.HANG, Fault.RESET_BEFORE):
            return _reset(request)
        response = await handler(request)
        if fault is Fault.RESET_AFTER:
            return _reset(request)
        if fault is Fault.MALFORMED and isinstance(response, web.Response):
            response.text = (response.text or "")[:-1] + ", error: }"
        if fault is Fault.CUT and isinstance(response, web.Response):
            return await _cut(request, response)
        return response

    def _note(self, request: web.Request, response: web.StreamResponse | None) -> None:
        cut_off = response is None or request.transport is None
        status = None if cut_off or response is None else response.status
        fault = request.get(_FAULT)
        seen = Seen(
            at=request[_ARRIVED],
            method=request.method,
            path=request.path,
            status=None if fault in (Fault.HANG, *_RESETS) else status,
            fault=fault,
            body=request.get(_BODY),
            applied=request.get(_APPLIED),
        )
        if request.path.startswith("/api/tasks"):
            self.requests[str(seen.status or "none")] += 1
        if self._log is not None:
            self._log.write(to_json({"time": now(), **seen._asdict()}) + b"\n")
        if self._watch is not None:
            self._watch(seen)

    async def _travel(self) -> None:
        low, high = self.config.latency
        if high:
            await asyncio.sleep(self._random.uniform(low, high) / 1000)

    def _count(self, key: str) -> Verdict | None:
        if self.config.rate is None:
            return None
        if key not in self._windows:
            if len(self._windows) >= _MAX_KEYS:
                self._windows.clear()
            self._windows[key] = window(self.config.window, self.config.rate)
        return self._windows[key].take(time.monotonic())

    def _quota_headers(self, verdict: Verdict) -> dict[str, str]:
        limit = self.config.rate.requests if self.config.rate else 0
        reset = datetime.now().astimezone() + timedelta(seconds=verdict.reset_after)
        return {
            "Retry-After": f"{max(0.0, verdict.reset_after):.3f}".rstrip("0").rstrip("."),
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(verdict.remaining),
            # The format of JavaScript's `Date.toString()`.
            "X-RateLimit-Reset": f"{reset:%a %b %d %Y %H:%M:%S GMT%z} ({reset:%Z})",
        }

    def _is_out(self, now: float) -> bool:
        self._first_request = min(self._first_request, now)
        since = now - self._first_request
        outages = self.config.outages
        return self.is_down or any(begin <= since < begin + length for begin, length in outages)

    def _fault(self) -> Fault | None:
        point = self._random.random()
        for fault, probability in self.config.faults.items():
            if point < probability:
                return fault
            point -= probability
        return None

    # --- the routes ------------------------------------------------------------------------

    async def _tasks(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return self._list(request.query)
        if request.method == "POST":
            return await self._create(request)
        if request.method == "PATCH":
            return await self._patch(request)
        return web.Response(status=405, text="Method not allowed")

    async def _patch(self, request: web.Request) -> web.Response:
        update = await _json_object(request)
        if update is None or not is_id(update.get("id")):
            return web.Response(status=400, text="Bad params")
        if update["id"] not in self.team.tasks:
            if self.config.unknown is Unknown.NOT_FOUND:
                return web.Response(status=404, text="Task not found")
            if self.config.unknown is Unknown.BAD_TEAM:
                return web.Response(status=400, text="Bad team")
            self.team.add(update["id"])
        if self.config.unknown is Unknown.CREATE:
            self.team.suit(update)
        try:
            task = self.team.update(update)
        except BadUpdateError as error:
            return _refused(error)
        request[_APPLIED] = update
        return web.json_response(task)

    async def _create(self, request: web.Request) -> web.Response:
        body = await _json_object(request) or {}
        if not all(isinstance(body.get(name), str) for name in ("type", "assignedTo", "dueDate")):
            return web.Response(status=400, text="Bad params")
        id_ = f"opp_{self._random.randbytes(9).hex()[:17]}"
        self.team.add(id_, body.pop("type"))
        try:
            task = self.team.update({**body, "id": id_})
        except BadUpdateError as error:
            del self.team.tasks[id_]
            return _refused(error)
        return web.json_response(task)

    async def _ignore(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return web.Response(status=405, text="Method not allowed")
        body = await _json_object(request)
        ids = body.get("ids") if body else None
        if not isinstance(ids, list) or not all(map(is_id, ids)):
            return web.Response(status=400, text="Bad params")
        self.team.ignore(ids)
        return web.json_response({})

    def _list(self, query: Mapping[str, str]) -> web.Response:
        try:
            filters = _filters(query.get("filters"), required=self.config.filters_required)
            page = int(query.get("page", "0"))
        except ValueError:
            return web.json_response({"error": "Malformed filters"}, status=400)
        pending = list(self.team.pending(filters))
        results = pending[max(0, page) * PAGE_SIZE :][:PAGE_SIZE]
        return web.json_response({"results": results, "page": str(page)})

    async def _team(self, _: web.Request) -> web.Response:
        return web.json_response({"_id": self.team.id, "name": "Sandbox"})

    async def _web_app(self, _: web.Request) -> web.Response:
        return web.Response(text=_HTML, content_type="text/html")

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response({"requests": dict(self.requests), "tasks": len(self.team.tasks)})

    async def _all_tasks(self, _: web.Request) -> web.Response:
        lines = b"".join(to_json(task) + b"\n" for task in self.team.tasks.values())
        return web.Response(body=lines, content_type="application/jsonl")


_RESETS = (Fault.RESET_BEFORE, Fault.RESET_AFTER)


def _key(authorization: str | None) -> str | None:
    """The key in an `Authorization: Basic …` header: the text after the colon (no user name)."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, key = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return key if colon and not user else None


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _cut(request: web.Request, response: web.Response) -> web.StreamResponse:
    """Send half of a response, and close the connection."""
    body = response.body if isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers={"Content-Length": str(len(body))})
    half.content_type = response.content_type
    # The client may have closed the connection.
    with contextlib.suppress(ConnectionError):
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


def _refused(error: BadUpdateError) -> web.Response:
    if isinstance(error.body, str):
        return web.Response(status=error.status, text=error.body)
    return web.json_response(error.body, status=error.status)


async def _json_object(request: web.Request) -> dict[str, Any] | None:
    try:
        value = parse_json(await request.read())
    except (ValueError, ConnectionError):
        # The body is not JSON, or the client has closed the connection.
        return None
    return value if isinstance(value, dict) else None


def _filters(text: str | None, *, required: bool) -> list[dict[str, Any]]:
    """The filters of `GET /tasks`.

    Raises:
        ValueError: the filters are malformed, or missing and required.
    """
    if text is None:
        if required:
            raise ValueError("no filters")
        return []
    filters = json.loads(text)
    if not isinstance(filters, list) or not all(isinstance(f, dict) for f in filters):
        raise ValueError("filters are a list of objects")
    return filters
