"""The HTTP server of the sandbox."""

import asyncio
import base64
import contextlib
import math
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from aiohttp import web

from bulkupdate.codec import to_json
from bulkupdate.models import now
from bulkupdate.sandbox.callers import Callers
from bulkupdate.sandbox.config import Fault, SandboxConfig
from bulkupdate.sandbox.routes import APPLIED, Routes, json_object, web_app
from bulkupdate.sandbox.team import Team, made_up_team
from bulkupdate.sandbox.windows import RateWindow, Verdict, window

#: Connections that the kernel keeps until they are accepted.
_BACKLOG = 128

#: Largest number of keys whose windows are kept.
_MAX_KEYS = 1000

#: What the paths begin with that need the key.
_KEYED = ("/api/tasks", "/api/team", "/api/users")

#: Facts about a request, for the log.
_ARRIVED = web.RequestKey("arrived", float)
_FAULT = web.RequestKey("fault", Fault)
_BODY = web.RequestKey("body", dict[str, Any])

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    """One request that reached the sandbox.

    Attributes:
        at: time of arrival, in seconds on the clock of the sandbox, the monotonic one by default.
        method: its method.
        path: its path.
        status: the status of the response, or None without a response.
        fault: the fault that the sandbox applied, or None.
        body: the body of a PATCH, or None.
        applied: the body of a PATCH that was applied, or None.
        query: its query, as in `filters=[]&page=2`, decoded; "" without one.
    """

    at: float
    method: str
    path: str
    status: int | None
    fault: str | None
    body: dict[str, Any] | None
    applied: dict[str, Any] | None
    query: str = ""


class Sandbox:
    """A server that behaves like lemlist's tasks API, as far as its behaviour is known.

    Use it as `async with Sandbox() as sandbox`. The base URL for clients is `sandbox.base_url`.

    Args:
        config: its settings.
        team: its tasks; None for made-up ones.
        watch: a function to call with every request after its response.
        clock: the time in seconds, which never goes back. A test may pass one that it moves.

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config or SandboxConfig()
        self.team = team if team is not None else made_up_team()
        self.requests: Counter[str] = Counter()
        self.is_down = False
        self._callers = Callers(self.config.host)
        self._first_request = math.inf
        self._watch = watch
        self._clock = clock
        self._random = random.Random(self.config.seed)  # noqa: S311 - faults, not secrets
        self._routes = Routes(self.config, self.team, self._random, clock)
        self._windows: dict[str, RateWindow] = {}
        self._closing = asyncio.Event()
        self._log: IO[bytes] | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._address = "", 0

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._middleware])
        app.router.add_get("/sandbox", self._state)
        app.router.add_get("/sandbox/tasks", self._all_tasks)
        app.router.add_route("*", "/api/team", self._team)
        self._routes.add_to(app.router)
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
        request[_ARRIVED] = self._clock()
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
        if not request.path.startswith(_KEYED):
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
            request[_BODY] = await json_object(request) or {}
        fault = Fault.UNAVAILABLE if self._is_out(request[_ARRIVED]) else self._fault()
        if fault is not None:
            request[_FAULT] = fault
        if fault in (Fault.INTERNAL_ERROR, Fault.UNAVAILABLE):
            return web.Response(status=int(fault), text="Something went wrong")
        if fault is Fault.HTML:
            return web_app()
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
            applied=request.get(APPLIED),
            query=request.rel_url.query_string,
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
        return self._windows[key].take(self._clock())

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

    async def _team(self, request: web.Request) -> web.StreamResponse:
        return await self._routes.team_of_key(request)

    # --- outside the API -------------------------------------------------------------------

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
