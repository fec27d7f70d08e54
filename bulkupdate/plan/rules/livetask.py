"""A live task as rules see it: little of it is kept, since a team may have very many."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bulkupdate import fields
from bulkupdate.lemlist.values import TASK_NAMES, is_pending, live_values
from bulkupdate.models import Task

#: Fields that no update sets and that rules look at, under lemlist's names.
FACTS = ("type", "campaignId", "leadId", "contactId", "createdAt")


@dataclass(frozen=True, slots=True)
class LiveTask:
    """A task as the last reading showed it.

    Attributes:
        id: the id of the task.
        values: the values of fields that an update sets, by their names there; "" for empty, and
            left out where no task shows the field.
        facts: the other fields that rules look at, under lemlist's names.
        due: the due date; None without one.
    """

    id: str
    values: Mapping[str, Any]
    facts: Mapping[str, str]
    due: datetime | None

    @property
    def owner(self) -> str:
        """The id of the owner; "" without one."""
        owner = self.values.get("assignedTo")
        return owner if isinstance(owner, str) else ""

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done."""
        return self.values.get("done") is not True

    @property
    def place(self) -> tuple[bool, datetime | None, str]:
        """The key of the order in which tasks are dealt: by due date, those without one first."""
        return self.due is not None, self.due, self.id

    def after(self, changes: Mapping[str, Any]) -> "LiveTask":
        """The task as it would be after an update.

        Args:
            changes: the fields of the update, as it sends them.
        """
        # Images and videos can't be compared, so that they stay unknown.
        known = {name: value for name, value in changes.items() if name not in fields.MEDIA}
        values = {**self.values, **known}
        return LiveTask(self.id, values, self.facts, moment_of(values.get("dueDate")))


@dataclass(frozen=True, slots=True)
class Lens:
    """What rules see of tasks.

    Attributes:
        needed: the fields of an update that rules look at or set.
        shown: the names of all fields that some task of the reading has, under lemlist's names.
    """

    needed: Collection[str]
    shown: Collection[str]

    def task(self, task: Task) -> LiveTask | None:
        """A task as rules see it; None if it is not pending, so that no rule may change it."""
        found = task.fields
        if not is_pending(found):
            return None
        values = {
            name: value
            for name, value in live_values(found).items()
            if name in self.needed and TASK_NAMES[name] in self.shown
        }
        if "status" in self.shown:
            # A task that is listed and pending is not done.
            values["done"] = False
        facts = {name: text for name in FACTS if isinstance(text := found.get(name), str)}
        return LiveTask(task.id, values, facts, moment_of(values.get("dueDate")))


def moment_of(value: object) -> datetime | None:
    """The moment of a due date; None for an empty one, and for one that can't be read."""
    try:
        return datetime.fromisoformat(fields.due_date(value))
    except ValueError:
        return None
