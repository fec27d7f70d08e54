"""A team of a sandbox: its tasks, members and campaigns. It may be made up."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bulkupdate import fields
from bulkupdate.models import now
from bulkupdate.sandbox.leads import Lead, made_up_lead
from bulkupdate.sandbox.members import USERS, Member, made_up_id, made_up_members

#: Values of tasks that are easily changed or misread on the way to a file and back. `...` leaves
#: out a field.
_AWKWARD: tuple[dict[str, Any], ...] = (
    {"title": "NULL"},
    {"title": "<clear>"},
    {"title": "=1+1"},
    {"title": " x "},
    {"title": "First line\nsecond line", "content": "First line\nsecond line\n"},
    {"title": "First line\r\nsecond line", "content": "First line\r\nsecond line\r\n"},
    {"title": "Caf\ufffd"},
    {"dueDate": "2026-03-02T00:00:00.000Z"},
    {"dueDate": "2026-03-02T09:58:57.169Z"},
    # 02:30 in Paris, twice: an hour before the clocks are put back, and an hour later.
    {"dueDate": "2026-10-25T00:30:00.000Z"},
    {"dueDate": "2026-10-25T01:30:00.000Z"},
    {"priority": ...},
    {"priority": None},
    {"priority": ""},
    {"title": ...},
    {"content": ...},
)

#: Number of tasks in a made-up team: ordinary ones, then the awkward ones. The owner of the last
#: one has left the team.
ORDINARY = 400
TASKS = ORDINARY + len(_AWKWARD) + 1

#: URLs of the made-up team's webhooks. Such a URL is a secret: it is all that a caller needs.
WEBHOOKS = (
    "https://hooks.example.com/catch/1/not-a-real-secret",
    "https://hooks.example.com/catch/2/not-a-real-secret",
)

_TYPES = ("manual", "phone", "linkedinSend", "email")
#: States of the three made-up campaigns.
_STATES = ("running", "paused", "ended")
_EPOCH = datetime(2026, 1, 5, 8, tzinfo=UTC)
#: Fields of a task that hold lists of URLs.
MEDIA = ("images", "videos")
_RENAMED = {name: alias for alias, name in fields.ALIASES.items()}


class BadUpdateError(Exception):
    """A request body that the API would answer with a 4xx.

    Attributes:
        status: the status of the response.
        body: the body of the response: a sentence, or a JSON object.
    """

    def __init__(self, status: int, body: str | dict[str, str]) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


class Team:
    """Tasks by id, in the format of the API's responses, and members.

    Args:
        tasks: the tasks at the beginning, each with an `_id`.
        id_: the id of the team; None makes one up.
        users: the members; None makes up five.
        name: the name of the team. Whatever is made up depends on it.

    Attributes:
        name: as the argument.
        tasks: the tasks by id. A caller may change them at any time.
        id: the id of the team.
        users: the members by id.
        leads: leads by id. Other ones are made up from their ids.
        campaigns: the states of campaigns by id. Other ones are running.
        senders: the campaigns of each sender, by the id of the user: the name of each by its id.
    """

    def __init__(
        self,
        tasks: Iterable[dict[str, Any]] = (),
        id_: str | None = None,
        users: Iterable[Member] | None = None,
        name: str = "",
    ) -> None:
        self.name = name
        self.id = id_ or made_up_id("tea", 0, name)
        self.tasks = {task["_id"]: task for task in tasks}
        members = made_up_members(name) if users is None else users
        self.users = {member.id: member for member in members}
        self.leads: dict[str, Lead] = {}
        self.senders: dict[str, dict[str, str]] = {}
        self.campaigns = {made_up_id("cam", n, name): state for n, state in enumerate(_STATES)}

    def update(self, update: dict[str, Any]) -> dict[str, Any]:
        """Apply the body of a PATCH.

        Returns:
            The task after the edit.

        Raises:
            KeyError: the id is unknown.
            BadUpdateError: the body is wrong. The task is unchanged.
        """
        task = self.tasks[update["id"]]
        changes = _changes(update)
        if any(changes.get(name) for name in MEDIA) and not task["type"].startswith("linkedin"):
            # JSON with a code is a guess.
            raise BadUpdateError(400, {"error": "LINKEDIN_MEDIA_INVALID_TYPE"})
        task.update(changes)
        if update.get("done") is False:
            # The documentation knows no null here.
            task.pop("completedAt", None)
        return task

    def lead_of(self, task: Mapping[str, Any]) -> Lead | None:
        """The lead of a task; None if the task has none."""
        id_ = task.get("leadId")
        if not isinstance(id_, str):
            return None
        return self.leads.get(id_) or made_up_lead(id_)

    def campaign_state_of(self, task: Mapping[str, Any]) -> str | None:
        """The state of the campaign of a task; None if the task has no campaign."""
        id_ = task.get("campaignId")
        return self.campaigns.get(id_, "running") if isinstance(id_, str) else None

    def is_completed(self, id_: str) -> bool:
        """Whether the task with this id is completed."""
        return bool(self.tasks[id_].get("status") == "completed")

    def ignore(self, ids: Iterable[str]) -> None:
        """Mark tasks as ignored. Unknown ids are skipped (a guess)."""
        for id_ in ids:
            if id_ in self.tasks:
                self.tasks[id_]["status"] = "ignored"

    def about(self, *, with_names: bool) -> dict[str, Any]:
        """What `GET /team` tells. Most of it must never be kept: URLs of webhooks are secrets.

        Args:
            with_names: whether the members are listed with their names, as in its second version.
        """
        about = {
            "_id": self.id,
            "name": self.name or "Sandbox",
            "userIds": list(self.users),
            "createdBy": next(iter(self.users), None),
            "createdAt": fields.due_date(_EPOCH),
            "beta": [],
            "apps": [],
            "invitedUsers": [{"email": "invited@example.com", "role": "user"}],
            "hooks": [
                {"_id": made_up_id("hoo", n), "targetUrl": url} for n, url in enumerate(WEBHOOKS)
            ],
        }
        if with_names:
            about["users"] = [member.listed() for member in self.users.values()]
        return about

    def about_senders(self, state: str | None = None) -> list[dict[str, Any]]:
        """What `GET /team/senders` tells. That a sender without a campaign is left out is a guess.

        Args:
            state: the state of the campaigns; None for all.
        """
        told = []
        for user_id, names in self.senders.items():
            campaigns = [
                {"_id": id_, "name": name, "status": self.campaigns.get(id_, "running")}
                for id_, name in names.items()
            ]
            if found := [one for one in campaigns if state in (None, one["status"])]:
                told.append({"userId": user_id, "campaigns": found})
        return told

    def suit(self, update: dict[str, Any]) -> None:
        """Change the type of a task so that it accepts an edit: images and videos need LinkedIn."""
        if any(update.get(name) for name in MEDIA):
            self.tasks[update["id"]]["type"] = "linkedinSend"

    def add(self, id_: str, type_: str = "manual") -> dict[str, Any]:
        """Create a made-up task with this id."""
        task = made_up_task(id_, type_, len(self.tasks), self.name)
        self.tasks[id_] = task
        return task


def made_up_team(name: str = "", *, shared: int = 0) -> Team:
    """A team of 5 users with the same tasks every time; the last ones are awkward.

    The last user is the sender of a running campaign, and of a paused one.

    Args:
        name: the name of the team. Another name makes other ids and e-mail addresses.
        shared: the number of tasks, from the first, that have the ids of the team without a name.
            Two teams with names have so many ids in common.
    """
    team = Team(name=name)
    team.senders[made_up_id("usr", USERS - 1, name)] = {
        made_up_id("cam", number, name): campaign
        for number, campaign in enumerate(("Outreach Q1", "Outreach Q2"))
    }
    ids = [made_up_id("opp", number, name if number >= shared else "") for number in range(TASKS)]
    for number, id_ in enumerate(ids):
        team.add(id_, _TYPES[number % len(_TYPES)])
    former_owner = {"userId": made_up_id("usr", USERS, name)}
    for id_, values in zip(ids[ORDINARY:], (*_AWKWARD, former_owner), strict=True):
        team.tasks[id_] |= {key: value for key, value in values.items() if value is not ...}
        for key in [key for key, value in values.items() if value is ...]:
            del team.tasks[id_][key]
    return team


def is_id(value: object) -> bool:
    """Whether a value has the form of an id: a text of one printable word."""
    return is_on_the_wire("id", value)


def made_up_task(id_: str, type_: str, number: int, name: str = "") -> dict[str, Any]:
    """A task of the team with this name. Its number decides about its values."""
    due = _EPOCH + timedelta(hours=number % 1000)
    return {
        "_id": id_,
        "type": type_,
        "title": f"Task {number + 1}",
        "content": "",
        "priority": 1,
        "dueDate": fields.due_date(due),
        "leadId": made_up_id("lea", number, name),
        "campaignId": made_up_id("cam", number % len(_STATES), name),
        "contactId": made_up_id("ctc", number, name),
        "userId": made_up_id("usr", number % USERS, name),
        "status": "pending",
        "createdAt": fields.due_date(_EPOCH + timedelta(days=-1, minutes=number % 1000)),
    }


def _changes(update: dict[str, Any]) -> dict[str, Any]:
    """The changes in the body of a PATCH, under the names that a task uses."""
    changes: dict[str, Any] = {}
    for name, value in update.items():
        if name == "id" or name not in fields.RULES:
            continue
        if not is_on_the_wire(name, value):
            raise BadUpdateError(400, "Bad params")
        if name == "priority":
            changes[name] = int(value) if value else ""
        elif name == "done":
            changes["status"] = "completed" if value else "pending"
            if value:
                changes["completedAt"] = now()
        else:
            changes[_RENAMED.get(name, name)] = value
    if sum(len(changes.get(name, ())) for name in MEDIA) > fields.MAX_MEDIA:
        # The status and the code are guesses.
        raise BadUpdateError(422, {"error": "LINKEDIN_MEDIA_TOO_MANY"})
    return changes


def is_on_the_wire(name: str, value: Any) -> bool:
    """Whether the API accepts a value. It accepts only the exact form on the wire."""
    if name in MEDIA:
        return isinstance(value, list) and all(isinstance(url, str) for url in value)
    try:
        sent = fields.RULES[name](value)
    except ValueError:
        return False
    return type(value) is type(sent) and (value == sent or name == "dueDate")
