"""What each route of the API answers."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from aiohttp import web

from bulkupdate.codec import parse_json
from bulkupdate.sandbox.config import HTML, SandboxConfig, Unknown
from bulkupdate.sandbox.filters import Filters, Predicate
from bulkupdate.sandbox.listing import Listing
from bulkupdate.sandbox.team import BadUpdateError, Team, is_id

#: The body of a PATCH that was applied, for the log.
APPLIED = web.RequestKey("applied", dict[str, Any])

_HTML = "<!DOCTYPE html><html><head><title>lemlist</title></head><body></body></html>"


class Routes:
    """The routes of the API, for requests that have the key and are within the limit.

    Args:
        config: the settings of the sandbox.
        team: its tasks.
        chance: the source of random ids.
        clock: the time in seconds, which never goes back.
    """

    def __init__(
        self,
        config: SandboxConfig,
        team: Team,
        chance: random.Random,
        clock: Callable[[], float],
    ) -> None:
        self.config = config
        self.team = team
        self._random = chance
        self._filters = Filters(team, config.ignored_filters, config.due_bounds)
        self._listing = Listing(config, team, clock)

    async def tasks(self, request: web.Request) -> web.StreamResponse:
        """The answer to a request for tasks."""
        if request.method == "GET":
            return self._list(request.query)
        if request.method == "POST":
            return await self._create(request)
        if request.method == "PATCH":
            return await self._patch(request)
        return _not_allowed("GET, PATCH, POST")

    async def _patch(self, request: web.Request) -> web.Response:
        update = await json_object(request)
        if update is None or not is_id(update.get("id")):
            return web.Response(status=400, text="Bad params")
        if update["id"] not in self.team.tasks:
            if self.config.unknown is Unknown.NOT_FOUND:
                return web.Response(status=404, text="Task not found")
            if self.config.unknown is Unknown.BAD_TEAM:
                return web.Response(status=400, text="Bad team")
        try:
            with self._listing.change(update["id"]):
                task = self._updated(update)
        except BadUpdateError as error:
            return _refused(error)
        request[APPLIED] = update
        return web.json_response(self._listing.answered(task))

    def _updated(self, update: dict[str, Any]) -> dict[str, Any]:
        """The task after an update. It is created if it has to be.

        Raises:
            BadUpdateError: the update is wrong.
        """
        id_ = update["id"]
        if self.config.unknown is Unknown.CREATE:
            if id_ not in self.team.tasks:
                self.team.add(id_)
            self.team.suit(update)
        if not self.config.reopens and update.get("done") is False and self.team.is_completed(id_):
            update = {name: value for name, value in update.items() if name != "done"}
        return self.team.update(update)

    async def _create(self, request: web.Request) -> web.Response:
        body = await json_object(request) or {}
        if not all(isinstance(body.get(name), str) for name in ("type", "assignedTo", "dueDate")):
            return web.Response(status=400, text="Bad params")
        id_ = f"opp_{self._random.randbytes(9).hex()[:17]}"
        try:
            with self._listing.change(id_):
                self.team.add(id_, body.pop("type"))
                task = self.team.update({**body, "id": id_})
        except BadUpdateError as error:
            del self.team.tasks[id_]
            return _refused(error)
        return web.json_response(self._listing.answered(task))

    async def ignore(self, request: web.Request) -> web.StreamResponse:
        """The answer to a request to ignore tasks."""
        if request.method != "POST":
            return _not_allowed("POST")
        body = await json_object(request)
        ids = body.get("ids") if body else None
        if not isinstance(ids, list) or not all(map(is_id, ids)):
            return web.Response(status=400, text="Bad params")
        with self._listing.change(*ids):
            self.team.ignore(ids)
        return web.json_response({})

    def _list(self, query: Mapping[str, str]) -> web.Response:
        try:
            predicates = self._predicates(query.get("filters"))
            number = int(query.get("page", "0"))
        except ValueError:
            return web.json_response({"error": "Malformed filters"}, status=400)
        results = self._listing.page(max(0, number), predicates)
        if results is None:
            return web.Response(status=404, text="Page not found")
        return web.json_response({"results": results, "page": str(number)})

    def _predicates(self, filters: str | None) -> list[Predicate]:
        """The predicates of `filters`.

        Raises:
            ValueError: they are malformed, or missing and required.
        """
        if filters is None:
            if self.config.filters_required:
                raise ValueError("no filters")
            return []
        return self._filters.parsed(filters)

    async def team_of_key(self, request: web.Request) -> web.StreamResponse:
        """The answer to a request for the team."""
        if request.method != "GET":
            return _not_allowed("GET")
        if "team" in self.config.closed:
            return _closed(self.config.closed["team"])
        with_names = self.config.team_version > 1 and request.query.get("version") == "v2"
        return web.json_response(self.team.about(with_names=with_names))

    async def senders(self, request: web.Request) -> web.Response:
        """The answer to a request for the senders."""
        if request.method != "GET":
            return _not_allowed("GET")
        if "senders" in self.config.closed:
            return _closed(self.config.closed["senders"])
        return web.json_response(self.team.about_senders(request.query.get("state")))

    async def user(self, request: web.Request) -> web.Response:
        """The answer to a request for one member."""
        if request.method != "GET":
            return _not_allowed("GET")
        if "users" in self.config.closed:
            return _closed(self.config.closed["users"])
        member = self.team.users.get(request.match_info["id"])
        if member is None:
            return web.Response(status=404, text="User not found")
        return web.json_response(member.alone())


#: Each path of the API but that of the team, and what answers it.
_PATHS: dict[str, Callable[[Routes, web.Request], Awaitable[web.StreamResponse]]] = {
    "/api/tasks": Routes.tasks,
    "/api/tasks/ignore": Routes.ignore,
    "/api/team/senders": Routes.senders,
    "/api/users/{id}": Routes.user,
}


def add_routes(router: web.UrlDispatcher, routes_of: Callable[[web.Request], Routes]) -> None:
    """Add these paths, and one for every other path, which answers as the web app does.

    Args:
        router: what gets the paths.
        routes_of: the routes that answer a request, by its key.
    """
    for path, answer in _PATHS.items():
        router.add_route("*", path, _by(answer, routes_of))
    router.add_route("*", "/{path:.*}", _other)


def _by(
    answer: Callable[[Routes, web.Request], Awaitable[web.StreamResponse]],
    routes_of: Callable[[web.Request], Routes],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await answer(routes_of(request), request)

    return handler


async def _other(_: web.Request) -> web.Response:
    return web_app()


def web_app() -> web.Response:
    """The page of the web app, which an unknown path gets."""
    return web.Response(text=_HTML, content_type="text/html")


async def json_object(request: web.Request) -> dict[str, Any] | None:
    """The JSON object in the body of a request; None if there is none."""
    try:
        value = parse_json(await request.read())
    except (ValueError, ConnectionError):
        # The body is not JSON, or the client has closed the connection.
        return None
    return value if isinstance(value, dict) else None


def _closed(answer: int | Literal["html"]) -> web.Response:
    """What a closed route answers. The text beside a status is a guess."""
    if answer == HTML:
        return web_app()
    return web.Response(status=answer, text="Your plan does not include this route")


def _not_allowed(allowed: str) -> web.Response:
    return web.Response(status=405, text="Method not allowed", headers={"Allow": allowed})


def _refused(error: BadUpdateError) -> web.Response:
    if isinstance(error.body, str):
        return web.Response(status=error.status, text=error.body)
    return web.json_response(error.body, status=error.status)
