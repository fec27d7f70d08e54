"""A team, its tasks and its rules, for tests of rules."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bulkupdate.lemlist.team import Member
from bulkupdate.models import Task
from bulkupdate.plan import People
from bulkupdate.plan.rules import Evaluation, evaluate, read_rules

PARIS = ZoneInfo("Europe/Paris")

#: A Wednesday, at two in the morning.
NOW = datetime(2026, 3, 11, 2, tzinfo=PARIS)

ANNA, BEN, CARL = "usr_anna", "usr_ben", "usr_carl"
TEAM = (
    Member(ANNA, "Anna Martin", "anna@acme.example"),
    Member(BEN, "Ben Keller", "ben@acme.example"),
    Member(CARL, "Carl Roux", "carl@acme.example"),
)

#: The beginning of a file of rules. Most tests select more than half of their few tasks.
HEAD = 'timezone = "Europe/Paris"\nmax_changes = "100%"\n'


def due(text: str) -> str:
    """A due date as lemlist shows it, from a local date and time, as `2026-03-10 09:00`."""
    moment = datetime.fromisoformat(text).replace(tzinfo=PARIS)
    return moment.astimezone(ZoneInfo("UTC")).isoformat(timespec="milliseconds")[:-6] + "Z"


def local(text: str) -> str:
    """A due date in Paris, from one that is sent."""
    return f"{datetime.fromisoformat(text).astimezone(PARIS):%Y-%m-%d %H:%M}"


def task(number: int, owner: str = BEN, at: str = "2026-03-10 09:00", **shown: Any) -> Task:
    """A listed task: overdue, of Ben's, unless the test says otherwise; "" has no due date."""
    when = {"dueDate": due(at)} if at else {}
    known = {"type": "phone", "title": f"Call {number}", "content": "", "priority": 1}
    return Task({"_id": f"opp_{number:03}", "userId": owner, **when, **known, **shown})


def rule(text: str, name: str = "rule") -> str:
    """A rule with a name."""
    return f'[[rule]]\nname = "{name}"\n{text}\n'


def night(
    rules: str,
    tasks: Iterable[Task],
    now: datetime = NOW,
    *,
    head: str = HEAD,
    team: Sequence[Member] | None = TEAM,
    accept_many: bool = False,
) -> Evaluation:
    """What rules would change in tasks. Rules that are a single one need no name."""
    listed = [*tasks]
    text = head + (rules if "[[rule]]" in rules else rule(rules))
    read = read_rules("rules.toml", text.encode())
    if accept_many:
        return evaluate(read, lambda: listed, People(team), now, accept_many=True)
    return evaluate(read, lambda: listed, People(team), now)


def changed(evaluation: Evaluation) -> dict[int, dict[str, Any]]:
    """The changes by the number of the task. Due dates are local, as `2026-03-10 09:00`."""
    found = {}
    for edit in evaluation.edits:
        changes = dict(edit.changes)
        if "dueDate" in changes:
            changes["dueDate"] = local(changes["dueDate"])
        found[int(edit.id[4:])] = changes
    return found
