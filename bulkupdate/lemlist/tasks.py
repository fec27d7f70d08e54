"""The client of lemlist's tasks: an update in, a Task or a typed error out."""

from typing import Self

from bulkupdate.errors import BadResponseError, TaskError
from bulkupdate.fields import shorten
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.http import HttpClient, Response, excerpt, json_of
from bulkupdate.models import Task, TaskUpdate

#: Extra seconds for an update with images or videos. The server downloads them before it answers,
#: for up to 45 s (`lemlist: update-task`).
MEDIA_TIMEOUT = 60.0


class TaskClient:
    """A session with lemlist's tasks: `async with TaskClient(endpoint) as client`.

    The client sends each request at once. To send more than a few updates, use
    `bulkupdate.update_tasks`, which keeps the rate limit and retries.

    Args:
        endpoint: the server and the API key.
        connections: most open connections.
    """

    def __init__(self, endpoint: Endpoint, *, connections: int = 16) -> None:
        self._http = HttpClient(endpoint, connections=connections)

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

    async def send(self, update: TaskUpdate) -> Answer[Task]:
        """Send one update.

        Returns:
            The server's answer, with a Task or an error.

        Raises:
            TaskError: there was no answer.
        """
        response = await self._http.request(
            "PATCH",
            "/tasks",
            json=update.encode(),
            more_seconds=MEDIA_TIMEOUT * update.has_media(),
            subject=update.id,
        )
        try:
            return Answer(response.status, response.headers, _confirmed(update, response))
        except TaskError as error:
            return Answer(response.status, response.headers, error=error)


def _confirmed(update: TaskUpdate, response: Response) -> Task:
    """The Task that confirms an update.

    Raises:
        TaskError: the answer has no Task, or another one.
    """
    value = json_of(response, "a Task")
    if not isinstance(value, dict) or "_id" not in value:
        raise BadResponseError(f"a 200 without a Task: {excerpt(response.body)}", 200)
    if value["_id"] != update.id:
        raise BadResponseError(f"a 200 with another Task: {shorten(value['_id'])}", 200)
    return Task(value)
