"""Teams of a sandbox whose tasks are those of a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bulkupdate.errors import InputError
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.reader import Input, parse_object
from bulkupdate.sandbox.members import Member, made_up_id, members_of
from bulkupdate.sandbox.team import Team, is_id, is_on_the_wire, made_up_task


def team_of(path: str | Path) -> Team:
    """The team with the tasks in a file of edits, or of tasks as the API returns them.

    Its members are the owners of these tasks, and the users to whom the edits assign them.

    Raises:
        InputError: the file can't be read, or a row names no task.
    """
    team = Team()
    assigned: dict[str, None] = {}
    with Input.open(Path(path)) as source:
        for row in source.rows():
            task = parse_object(row.record) if isinstance(row.record, str) else {}
            if "type" in task and is_id(task.get("_id")):
                team.tasks[task["_id"]] = {**made_up_task(task["_id"], "manual", 0), **task}
            elif not row.id:
                raise InputError(f"{source.name}: row {row.number} names no task: {row.error}")
            else:
                changes = row.update.changes() if row.update is not None else {}
                _take_up(team, {"id": row.id, **changes})
                if "assignedTo" in changes:
                    assigned[changes["assignedTo"]] = None
    owners = [
        task["userId"]
        for task in team.tasks.values()
        if is_on_the_wire("assignedTo", task.get("userId"))
    ]
    team.users = {member.id: member for member in members_of([*owners, *assigned])}
    return team


def team_for(source: Input) -> Team:
    """The team in which every edit of an input can be made, as a rehearsal of it.

    Its tasks hold what the first row of each expects. Its members are the people whom rows name, by
    id, e-mail address or name.

    Args:
        source: the input.

    Raises:
        InputError: it can't be read.
    """
    team, people = Team(), dict[str, Member]()
    known = {text: one for one in team.users.values() for text in (one.id, one.email, one.name)}
    for row in source.rows():
        if row.update is None:
            continue
        changes, is_new = row.update.changes(), row.id not in team.tasks
        _take_up(team, {"id": row.id, **changes})
        for owner in (changes.get("assignedTo"), (row.expect or {}).get("assignedTo")):
            if owner:
                people.setdefault(owner, known.get(owner) or _person(owner, len(people)))
        for name, value in (row.expect or {}).items() if is_new else ():
            if name in TASK_NAMES:
                team.tasks[row.id][TASK_NAMES[name]] = _as_shown(name, value, people)
    team.users |= {person.id: person for person in people.values()}
    return team


def _person(text: str, number: int) -> Member:
    """A member who is called so."""
    if text.startswith("usr_"):
        return members_of([text])[0]
    id_ = made_up_id("usr", 1000 + number)
    return Member(id_, email=text) if "@" in text else Member(id_, first_name=text)


def _as_shown(name: str, value: Any, people: Mapping[str, Member]) -> Any:
    """A value of an update as a task shows it."""
    if name == "assignedTo" and value in people:
        return people[value].id
    return int(value) if name == "priority" and value else value


def _take_up(team: Team, update: dict[str, Any]) -> None:
    """Give a team the task that an edit needs."""
    if update["id"] not in team.tasks:
        team.add(update["id"])
    team.suit(update)
