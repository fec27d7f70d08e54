"""The client of lemlist's tasks: an update in, a Task or a typed error out; and what is there."""

from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Self

from bulkupdate.errors import BadResponseError
from bulkupdate.fields import shorten
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.http import HttpClient, Response, json_of
from bulkupdate.lemlist.listing import MAX_PAGE, Filter, page_of, pages, query
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.team import (
    MAX_TEAM,
    RUNNING,
    Member,
    Sender,
    Team,
    member_of,
    senders_of,
    team_of,
)
from bulkupdate.lemlist.verify import mismatches, shows_any
from bulkupdate.models import Mismatch, Task, TaskUpdate

#: Extra seconds for an update with images or videos. The server downloads them before it answers,
#: for up to 45 s (`lemlist: update-task`).
MEDIA_TIMEOUT = 60.0


class TaskClient:
    """A session with lemlist's tasks: `async with TaskClient(endpoint) as client`.

    The client sends each request at once. To send more than a few updates, use
    `bulkupdate.update_tasks`, which keeps the rate limit and retries.

    Args:
        endpoint: the server and the API key.
        connections: most open connections, unless a pool is given.
        pool: an open pool, which other clients may share; None for one of its own.
    """

    def __init__(
        self, endpoint: Endpoint, *, connections: int = 16, pool: ConnectionPool | None = None
    ) -> None:
        self._http = HttpClient(endpoint, connections=connections, pool=pool)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def update(self, update: TaskUpdate) -> Task:
        """Send one update.

        Returns:
            The Task that the server returned.

        Raises:
            TaskError: the update was refused or not confirmed.
        """
        return (await self.send(update)).result()

    async def send(self, update: TaskUpdate, *, anew: bool = False) -> Answer[Task]:
        """Send one update.

        Args:
            update: the update.
            anew: whether to use a new connection, as after an answer that was in question.

        Returns:
            The server's answer, with a Task or an error.

        Raises:
            TaskError: there was no answer.
        """
        return await self._http.call(
            "PATCH",
            "/tasks",
            partial(_confirmed, update),
            json=update.encode(),
            more_seconds=MEDIA_TIMEOUT * update.has_media(),
            subject=update.id,
            anew=anew,
            is_named=True,
        )

    async def team(self) -> Answer[Team]:
        """Ask for the team of the key (`lemlist: GET /team`), on a connection of its own.

        Returns:
            The server's answer, with the team or an error.

        Raises:
            TaskError: there was no answer.
        """
        return await self._http.call(
            "GET",
            "/team",
            team_of,
            params={"version": "v2"},
            subject="team",
            anew=True,
            most=MAX_TEAM,
        )

    async def user(self, user_id: str) -> Answer[Member]:
        """Ask for a user (`lemlist: GET /users/{id}`).

        Args:
            user_id: the id, for which `is_plain_id` holds.

        Returns:
            The server's answer, with the user or an error.

        Raises:
            TaskError: there was no answer.
        """
        return await self._http.call("GET", f"/users/{user_id}", member_of, subject=user_id)

    async def senders(self) -> Answer[list[Sender]]:
        """Ask for the senders of running campaigns (`lemlist: GET /team/senders`).

        Returns:
            The server's answer, with the senders or an error.

        Raises:
            TaskError: there was no answer.
        """
        return await self._http.call(
            "GET",
            "/team/senders",
            senders_of,
            params={"state": RUNNING},
            subject="senders",
            most=MAX_TEAM,
        )

    async def page(self, number: int, filters: Iterable[Filter] = ()) -> Answer[list[Task]]:
        """Ask for one page of the team's pending tasks (`lemlist: get-many-tasks`).

        Args:
            number: the number of the page, from 0.
            filters: what the server is asked to leave out. It may ignore a filter.

        Returns:
            The server's answer, with the tasks or an error.

        Raises:
            TaskError: there was no answer.
        """
        return await self._http.call(
            "GET",
            "/tasks",
            page_of,
            params=query(number, filters),
            subject=f"page {number}",
            most=MAX_PAGE,
        )

    async def tasks(self, filters: Iterable[Filter] = ()) -> AsyncIterator[Task]:
        """Every pending task of the team, once each, page after page.

        The client keeps no rate limit and tries nothing again: `bulkupdate.export_tasks` does.

        Args:
            filters: what the server is asked to leave out. It may ignore a filter.

        Raises:
            TaskError: a page can't be read, or the list has no end.
        """
        asked = [*filters]

        async def fetch(number: int) -> list[Task]:
            return (await self.page(number, asked)).result()

        async for page in pages(fetch):
            for task in page:
                yield task


def _confirmed(update: TaskUpdate, response: Response) -> tuple[Task, bool]:
    """The Task that confirms an update, and whether it holds what was sent.

    Raises:
        TaskError: the answer has no Task, or another one.
    """
    value = json_of(response, "a Task")
    if not isinstance(value, dict) or "_id" not in value:
        raise BadResponseError(f"a 200 without a Task: {response.excerpt()}", 200)
    if value["_id"] != update.id:
        other = shorten(response.redacted(value["_id"]))
        raise BadResponseError(f"a 200 with another Task: {other}", 200)
    if value.get("error") and not shows_any(update.changes(), value):
        raise BadResponseError(f"a 200 with an error: {response.excerpt()}", 200)
    # Compared before the redaction: the key may be part of one's own text.
    different = mismatches(update.changes(), value)
    if not different:
        return Task(response.redacted(value)), True
    shown = {
        name: Mismatch(sent=one.sent, returned=response.redacted(one.returned))
        for name, one in different.items()
    }
    return Task(response.redacted(value), shown), False
