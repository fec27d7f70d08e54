"""The tasks that a sandbox holds: a team's, from a file or made up."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bulkupdate import fields
from bulkupdate.errors import InputError
from bulkupdate.models import now
from bulkupdate.reader import Input, parse_object

#: Size of the made-up team.
USERS = 5
TASKS = 400

_TYPES = ("manual", "phone", "linkedinSend", "email")
_EPOCH = datetime(2026, 1, 5, 8, tzinfo=UTC)
_MEDIA = ("images", "videos")
_RENAMED = {name: alias for alias, name in fields.ALIASES.items()}


class BadUpdateError(Exception):
    """A body that the API would answer with a 4xx.

    Attributes:
        status: of the answer.
        body: of the answer: a sentence, or a JSON object.
    """

    def __init__(self, status: int, body: str | dict[str, str]) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


class Team:
    """Tasks by id, in the shape of the API's answers.

    Args:
        tasks: to begin with, each with an `_id`.
    """

    def __init__(self, tasks: Iterable[dict[str, Any]] = ()) -> None:
        self.tasks = {task["_id"]: task for task in tasks}

    def update(self, update: dict[str, Any]) -> dict[str, Any]:
        """Apply the body of a PATCH.

        Returns:
            The task as it is now.

        Raises:
            KeyError: the id is not there.
            BadUpdateError: the body is wrong. Nothing was applied.
        """
        task = self.tasks[update["id"]]
        changes = _changes(update)
        if any(changes.get(name) for name in _MEDIA) and not task["type"].startswith("linkedin"):
            # That this comes as JSON with a code is a guess.
            raise BadUpdateError(400, {"error": "LINKEDIN_MEDIA_INVALID_TYPE"})
        task.update(changes)
        return task

    def pending(self, filters: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The tasks that are pending and pass every filter of `GET /tasks`."""
        for task in self.tasks.values():
            if task["status"] == "pending" and all(_matches(task, one) for one in filters):
                yield task

    def ignore(self, ids: Iterable[str]) -> None:
        """Mark tasks as ignored; ids that are not there are passed over (a guess)."""
        for id_ in ids:
            if id_ in self.tasks:
                self.tasks[id_]["status"] = "ignored"

    def suit(self, update: dict[str, Any]) -> None:
        """Make the task of an update one that can take it: images and videos need LinkedIn."""
        if any(update.get(name) for name in _MEDIA):
            self.tasks[update["id"]]["type"] = "linkedinSend"

    def add(self, id_: str, type_: str = "manual") -> dict[str, Any]:
        """Make up a task with this id."""
        task = _made_up_task(id_, type_, len(self.tasks))
        self.tasks[id_] = task
        return task


def made_up_team() -> Team:
    """The same 400 tasks of 5 users every time."""
    team = Team()
    for number in range(TASKS):
        team.add(made_up_id("opp", number), _TYPES[number % len(_TYPES)])
    return team


def made_up_id(prefix: str, number: int) -> str:
    """An id in lemlist's style: a prefix and 17 alphanumerics. The same for the same number."""
    digest = hashlib.sha256(f"{prefix}{number}".encode()).hexdigest()
    return f"{prefix}_{digest[:17]}"


def team_of(path: Path) -> Team:
    """The tasks that a file names: Tasks as the API returns them, or edits as `run` takes them.

    Raises:
        InputError: it can't be read, or a row names no task.
    """
    team = Team()
    with Input.open(path) as source:
        for row in source.rows():
            task = parse_object(row.record) if isinstance(row.record, str) else {}
            if "type" in task and isinstance(task.get("_id"), str):
                team.tasks[task["_id"]] = {**_made_up_task(task["_id"], "manual", 0), **task}
            elif not row.id:
                raise InputError(f"{source.name}: row {row.number} names no task: {row.error}")
            else:
                if row.id not in team.tasks:
                    team.add(row.id)
                if row.update is not None:
                    team.suit({"id": row.id, **row.update.changes()})
    return team


def _made_up_task(id_: str, type_: str, number: int) -> dict[str, Any]:
    due = _EPOCH + timedelta(hours=number % 1000)
    return {
        "_id": id_,
        "type": type_,
        "title": f"Task {number + 1}",
        "content": "",
        "priority": 1,
        "dueDate": fields.due_date(due),
        "leadId": made_up_id("lea", number),
        "campaignId": made_up_id("cam", number % 3),
        "contactId": made_up_id("ctc", number),
        "userId": made_up_id("usr", number % USERS),
        "status": "pending",
        "createdAt": fields.due_date(_EPOCH),
    }


def _changes(update: dict[str, Any]) -> dict[str, Any]:
    """What the body of a PATCH changes in a task, under the task's own names."""
    changes: dict[str, Any] = {}
    for name, value in update.items():
        if name == "id" or name not in fields.RULES:
            continue
        if not _is_on_the_wire(name, value):
            raise BadUpdateError(400, "Bad params")
        if name == "priority":
            changes[name] = int(value) if value else ""
        elif name == "done":
            changes["status"] = "completed" if value else "pending"
            changes["completedAt"] = now() if value else None
        else:
            changes[_RENAMED.get(name, name)] = value
    if sum(len(changes.get(name, ())) for name in _MEDIA) > fields.MAX_MEDIA:
        # The status and the code are guesses.
        raise BadUpdateError(422, {"error": "LINKEDIN_MEDIA_TOO_MANY"})
    return changes


def _is_on_the_wire(name: str, value: Any) -> bool:
    """Whether the API takes a value: in its exact form, not all that a person may write."""
    if name in _MEDIA:
        return isinstance(value, list) and all(isinstance(url, str) for url in value)
    try:
        sent = fields.RULES[name](value)
    except ValueError:
        return False
    return type(value) is type(sent) and (value == sent or name == "dueDate")


_FILTERED_BY = {"assignedTo": "userId", "campaignId": "campaignId", "type": "type"}


def _matches(task: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a task passes one filter. A filter on what a sandbox's task hasn't got finds none."""
    kind = wanted.get("filterId")
    if kind == "dueDate":
        day = str(task["dueDate"])[:10]
        return str(wanted.get("from", "")) <= day <= str(wanted.get("to", "9999"))
    if kind not in _FILTERED_BY:
        return False
    value = task.get(_FILTERED_BY[kind])
    return value in wanted.get("in", [value]) and value not in wanted.get("out", [])
