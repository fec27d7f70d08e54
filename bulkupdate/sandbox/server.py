"""The HTTP server of the sandbox."""

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from aiohttp import web

from bulkupdate.codec import to_json
from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit
from bulkupdate.models import now
from bulkupdate.sandbox.accounts import SandboxAccount, check_accounts
from bulkupdate.sandbox.callers import Callers
from bulkupdate.sandbox.config import Fault, SandboxConfig
from bulkupdate.sandbox.gate import Gate, key_in, quota_headers, travel
from bulkupdate.sandbox.routes import APPLIED, Routes, add_routes, json_object, web_app
from bulkupdate.sandbox.team import Team, made_up_team
from bulkupdate.sandbox.windows import Verdict

log = logging.getLogger(__name__)

#: Connections that the kernel keeps until they are accepted.
_BACKLOG = 128

#: What the paths begin with that need the key.
_KEYED = ("/api/tasks", "/api/team", "/api/users")

#: Facts about a request, for the log.
_ARRIVED = web.RequestKey("arrived", float)
_FAULT = web.RequestKey("fault", Fault)
_BODY = web.RequestKey("body", dict[str, Any])

#: The gate of the account whose key a request has.
_GATE = web.RequestKey("gate", Gate)

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
        account: the name of the account whose key it has; "" where there is none, or no accounts.
    """

    at: float
    method: str
    path: str
    status: int | None
    fault: str | None
    body: dict[str, Any] | None
    applied: dict[str, Any] | None
    query: str = ""
    account: str = ""


class Sandbox:
    """A server that behaves like lemlist's tasks API, as far as its behaviour is known.

    Use it as `async with Sandbox() as sandbox`. The base URL for clients is `sandbox.base_url`.

    Args:
        config: its settings.
        team: its tasks; None for made-up ones.
        watch: a function to call with every request after its response.
        clock: the time in seconds, which never goes back. A test may pass one that it moves.
        accounts: accounts by name, for a server with several keys. The key of the settings is then
            not accepted, and there is no `team`: each account has its own.

    Attributes:
        config: its settings.
        accounts: the accounts by name; none where the key of the settings is the only one.
        requests: number of requests by status. Requests without a response are under "none".
        is_down: whether the server answers 503 to every request. A caller may set it.

    Raises:
        ConfigError: the accounts can't be told from each other, or a team stands beside them.
    """

    def __init__(
        self,
        config: SandboxConfig | None = None,
        team: Team | None = None,
        watch: Callable[[Seen], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        accounts: Mapping[str, SandboxAccount] | None = None,
    ) -> None:
        self.config = config or SandboxConfig()
        self.accounts = dict(accounts or {})
        self.requests: Counter[str] = Counter()
        self.is_down = False
        self._callers = Callers(self.config.host)
        self._watch = watch
        self._clock = clock
        self._random = random.Random(self.config.seed)  # noqa: S311 - faults, not secrets
        self._only: Gate | None = None
        self._gates: dict[str, Gate] = {}
        if accounts is None:
            self._only = self._only_gate(team if team is not None else made_up_team())
        else:
            check_accounts(accounts)
            if team is not None:
                raise ConfigError("each account has a team: the sandbox needs no other")
            self._gates = {gate.account.key: gate for gate in self._all_gates()}
        self._closing = asyncio.Event()
        self._log: IO[bytes] | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._address = "", 0

    def _only_gate(self, team: Team) -> Gate:
        """The gate for the key of the settings."""
        account = SandboxAccount(key=self.config.key, team=team)
        routes = Routes(self.config, team, self._random, self._clock)
        return Gate("", account, self.config, routes, self._random)

    def _all_gates(self) -> Iterator[Gate]:
        """A gate for the key of each account."""
        routes: dict[int, Routes] = {}
        for name, account in self.accounts.items():
            # What happens to one account never depends on the requests of another.
            chance = random.Random(f"{self.config.seed} {name}")  # noqa: S311
            of_team = id(account.team)
            if of_team not in routes:
                config = replace(self.config, seed=chance.getrandbits(32))
                routes[of_team] = Routes(config, account.team, chance, self._clock)
            yield Gate(name, account, self.config, routes[of_team], chance)

    @property
    def team(self) -> Team:
        """The tasks, with all edits so far.

        Raises:
            RuntimeError: there are accounts, so there are several teams.
        """
        if self._only is None:
            raise RuntimeError("each account has a team of its own: sandbox.accounts[NAME].team")
        return self._only.account.team

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._middleware])
        app.router.add_get("/sandbox", self._state)
        app.router.add_get("/sandbox/tasks", self._all_tasks)
        app.router.add_route("*", "/api/team", self._team)
        add_routes(app.router, lambda request: request[_GATE].routes)
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
        return url_of(*self._address)

    # --- every request ---------------------------------------------------------------------

    @web.middleware
    async def _middleware(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if (refusal := self._callers.refusal(request)) is not None:
            return refusal
        if request.path.startswith("/sandbox"):
            return await handler(request)
        request[_ARRIVED] = self._clock()
        if (gate := self._gate_of(request)) is not None:
            request[_GATE] = gate
        response: web.StreamResponse | None = None
        try:
            await self._travel(gate)
            response = await self._guarded(request, handler)
            await self._travel(gate)
        finally:
            if request.get(_FAULT) is not Fault.HANG:
                self._note(request, response)
        return response

    def _gate_of(self, request: web.Request) -> Gate | None:
        """The gate for the key of a request; None without a key that is accepted."""
        key = key_in(request.headers.get("Authorization"))
        if self._only is not None:
            return self._only if key == self.config.key else None
        return None if key is None else self._gates.get(key)

    async def _travel(self, gate: Gate | None) -> None:
        if gate is not None:
            await gate.travel()
        else:
            await travel(self.config, self._random)

    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Authorise a request, count it against the limit, and answer it or apply a fault."""
        if not request.path.startswith(_KEYED):
            return await handler(request)
        if request.method == "PATCH":
            request[_BODY] = await json_object(request) or {}
        gate = request.get(_GATE)
        if gate is None or gate.account.refused:
            return _unauthorised(request)
        verdict = gate.count(self._clock())
        if verdict is not None and not verdict.allowed:
            # The body of lemlist's 429 is not known.
            response: web.StreamResponse = web.Response(status=429, text="Too many requests")
        else:
            response = await self._answer(request, gate, handler)
        if verdict is not None and not response.prepared:
            response.headers.update(self._quota_headers(gate.rate or LEMLIST_RATE, verdict))
        return response

    async def _answer(
        self, request: web.Request, gate: Gate, handler: _Handler
    ) -> web.StreamResponse:
        is_out = gate.is_out(request[_ARRIVED]) or self.is_down
        fault = Fault.UNAVAILABLE if is_out else gate.fault()
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
        fault, gate = request.get(_FAULT), request.get(_GATE)
        seen = Seen(
            at=request[_ARRIVED],
            method=request.method,
            path=request.path,
            status=None if fault in (Fault.HANG, *_RESETS) else status,
            fault=fault,
            body=request.get(_BODY),
            applied=request.get(APPLIED),
            query=request.rel_url.query_string,
            account="" if gate is None else gate.name,
        )
        if request.path.startswith("/api/tasks"):
            self.requests[str(seen.status or "none")] += 1
            if gate is not None:
                gate.account.requests[str(seen.status or "none")] += 1
        if self._log is not None:
            try:
                self._log.write(to_json({"time": now(), **seen._asdict()}) + b"\n")
            except OSError as error:
                # The requests are answered all the same.
                log.error("%s can't be written: %s: it ends here", self.config.log, error.strerror)
                self._log.close()
                self._log = None
        if self._watch is not None:
            self._watch(seen)

    async def _team(self, request: web.Request) -> web.StreamResponse:
        return await request[_GATE].routes.team_of_key(request)

    def _quota_headers(self, rate: RateLimit, verdict: Verdict) -> dict[str, str]:
        return quota_headers(rate, verdict)

    # --- outside the API -------------------------------------------------------------------

    async def _state(self, _: web.Request) -> web.Response:
        if self._only is not None:
            state = {"requests": dict(self.requests), "tasks": len(self.team.tasks)}
            return web.json_response(state)
        teams = {id(account.team): account.team for account in self.accounts.values()}
        by_account = {
            name: {"requests": dict(account.requests), "tasks": len(account.team.tasks)}
            for name, account in self.accounts.items()
        }
        tasks = sum(len(team.tasks) for team in teams.values())
        return web.json_response(
            {"requests": dict(self.requests), "tasks": tasks, "accounts": by_account}
        )

    async def _all_tasks(self, request: web.Request) -> web.Response:
        name = request.query.get("account")
        if name is None and self.accounts:
            return web.Response(status=400, text="Each account has its own tasks: ?account=NAME")
        if name is not None and name not in self.accounts:
            return web.Response(status=404, text="No such account")
        team = self.team if name is None else self.accounts[name].team
        lines = b"".join(to_json(task) + b"\n" for task in team.tasks.values())
        return web.Response(body=lines, content_type="application/jsonl")


def url_of(host: str, port: int) -> str:
    """The base URL of a sandbox that listens there."""
    return f"http://[{host}]:{port}/api" if ":" in host else f"http://{host}:{port}/api"


_RESETS = (Fault.RESET_BEFORE, Fault.RESET_AFTER)


def _unauthorised(request: web.Request) -> web.Response:
    """What a request without a key gets, or one with a key that is not accepted."""
    if key_in(request.headers.get("Authorization")) is None:
        return web.Response(status=400, text="no api key provided")
    return web.Response(status=401, text="The authentication you supplied is incorrect")


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
