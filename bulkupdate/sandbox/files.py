"""Teams of a sandbox whose tasks are those of a file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bulkupdate.errors import InputError
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.models import Row
from bulkupdate.reader import Input, ReadOptions, parse_object
from bulkupdate.sandbox.members import Member, made_up_id, members_of
from bulkupdate.sandbox.team import Team, is_id, is_on_the_wire, made_up_task


def team_of(path: str | Path) -> Team:
    """The team with the tasks in a file of edits, or of tasks as the API returns them.

    Its members are the owners of these tasks, and the users to whom the edits assign them.

    Raises:
        InputError: the file can't be read, or a row names no task.
    """
    with Input.open(Path(path)) as source:
        team = _HeldTeam("")
        for row in source.rows():
            team.hold(row, source.name)
    return team.complete()


def teams_of(path: str | Path, accounts: Collection[str]) -> dict[str, Team]:
    """The teams of accounts with the tasks in a file, whose rows name their accounts.

    Args:
        path: a file as for `team_of`, with a column or a key `account`.
        accounts: the names of the accounts. One without a row has a team without tasks.

    Raises:
        InputError: the file can't be read, or a row names no task, or none of the accounts.
    """
    teams = {name: _HeldTeam(name) for name in accounts}
    with Input.open(Path(path), options=ReadOptions(accounts=tuple(accounts))) as source:
        for row in source.rows():
            if row.account not in teams:
                raise InputError(f"{source.name}: row {row.number} has no account: {row.error}")
            teams[row.account].hold(row, source.name)
    return {name: team.complete() for name, team in teams.items()}


class _HeldTeam:
    """A team with the tasks of rows.

    Args:
        name: the name of the team.
    """

    def __init__(self, name: str) -> None:
        self._team = Team(name=name)
        self._assigned: dict[str, None] = {}

    def hold(self, row: Row, file: str) -> None:
        """Take up the task of a row.

        Raises:
            InputError: it names none.
        """
        task = parse_object(row.record) if isinstance(row.record, str) else {}
        if "type" in task and is_id(task.get("_id")):
            made_up = made_up_task(task["_id"], "manual", 0, self._team.name)
            task = {name: value for name, value in task.items() if name != "account"}
            self._team.tasks[task["_id"]] = {**made_up, **task}
        elif not row.id:
            raise InputError(f"{file}: row {row.number} names no task: {row.error}")
        else:
            changes = row.update.changes() if row.update is not None else {}
            _take_up(self._team, {"id": row.id, **changes})
            if "assignedTo" in changes:
                self._assigned[changes["assignedTo"]] = None

    def complete(self) -> Team:
        """The team, whose members are the people of its tasks and edits."""
        owners = [
            task["userId"]
            for task in self._team.tasks.values()
            if is_on_the_wire("assignedTo", task.get("userId"))
        ]
        members = members_of([*owners, *self._assigned], self._team.name)
        self._team.users = {member.id: member for member in members}
        return self._team


def team_for(source: Input) -> Team:
    """The team in which every edit of an input can be made, as a rehearsal of it.

    Its tasks hold what the first row of each expects. Its members are the people whom rows name, by
    id, e-mail address or name.

    Args:
        source: the input. Its rows name no accounts.

    Raises:
        InputError: it can't be read.
    """
    return teams_for(source).get("") or Team()


def teams_for(source: Input) -> dict[str, Team]:
    """The teams in which every edit of an input can be made, by account; see `team_for`.

    An account without a valid row has none.

    Args:
        source: the input. It was opened with the names of the accounts, if there are any.

    Raises:
        InputError: it can't be read.
    """
    teams: dict[str, _WantedTeam] = {}
    for row in source.rows():
        if row.update is None:
            continue
        if row.account not in teams:
            teams[row.account] = _WantedTeam(row.account)
        teams[row.account].hold(row.id, row.update.changes(), row.expect or {})
    return {name: team.complete() for name, team in teams.items()}


class _WantedTeam:
    """A team in which the edits of rows can be made.

    Args:
        name: the name of the team.
    """

    def __init__(self, name: str) -> None:
        self._team = Team(name=name)
        #: What a row calls a person → the person.
        self._people: dict[str, Member] = {}
        users = self._team.users.values()
        self._known = {text: one for one in users for text in (one.id, one.email, one.name)}

    def hold(self, id_: str, changes: dict[str, Any], expected: Mapping[str, Any]) -> None:
        """Take up the task of a row, and the people whom the row names."""
        is_new = id_ not in self._team.tasks
        _take_up(self._team, {"id": id_, **changes})
        for owner in (changes.get("assignedTo"), expected.get("assignedTo")):
            if owner and owner not in self._people:
                self._people[owner] = self._known.get(owner) or self._person(owner)
        for name, value in expected.items() if is_new else ():
            if name in TASK_NAMES:
                self._team.tasks[id_][TASK_NAMES[name]] = _as_shown(name, value, self._people)

    def _person(self, text: str) -> Member:
        """A member who is called so."""
        if text.startswith("usr_"):
            return members_of([text], self._team.name)[0]
        id_ = made_up_id("usr", 1000 + len(self._people), self._team.name)
        return Member(id_, email=text) if "@" in text else Member(id_, first_name=text)

    def complete(self) -> Team:
        """The team with its members."""
        self._team.users |= {person.id: person for person in self._people.values()}
        return self._team


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
