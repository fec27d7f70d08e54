"""The conditions of a rule: which live tasks it selects."""

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.plan.rules.livetask import LiveTask, moment_of
from bulkupdate.plan.rules.moments import DueTest
from bulkupdate.plan.rules.workdays import Calendar

#: The one word that `owner` takes.
NOT_IN_TEAM = "not in team"

#: Types that lemlist names (`lemlist: get-many-tasks`). There are others.
TYPES = (
    "manual",
    "phone",
    "linkedin",
    "linkedinInvite",
    "linkedinSend",
    "linkedinVoiceNote",
    "emailsReplied",
    "opportunityReplied",
    "linkedinReplied",
    "opportunityClicked",
    "email",
    "whatsappMessage",
)

#: Key of `select` → the field that it looks at, under lemlist's names.
LOOKED_AT = {
    "id": "_id",
    "assignedTo": "userId",
    "owner": "userId",
    "type": "type",
    "campaign": "campaignId",
    "leadId": "leadId",
    "contactId": "contactId",
    "priority": "priority",
    "title": "title",
    "message": "content",
    "due": "dueDate",
    "created": "createdAt",
}

#: Key of `select` → the field of a task that holds one word for it.
_FACTS = {"type": "type", "campaign": "campaignId", "leadId": "leadId", "contactId": "contactId"}
_UPDATE_NAMES = {shown_as: name for name, shown_as in TASK_NAMES.items()}

#: A condition on a task.
Test = Callable[[LiveTask], bool]


@dataclass(frozen=True, slots=True)
class TextTest:
    """A condition on a title or a message.

    Attributes:
        part: a text that it contains, in any case; "" for an empty one.
        pattern: a pattern of which a part of it is an example; None for a text.
    """

    part: str = ""
    pattern: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, text: str) -> "TextTest":
        """The condition that a text stands for: `a part of it`, or `/a regular expression/`.

        Raises:
            ValueError: the regular expression is wrong.
        """
        if len(text) < 3 or not (text.startswith("/") and text.endswith("/")):
            return cls(_folded(text))
        try:
            return cls(pattern=re.compile(text[1:-1], re.IGNORECASE))
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None

    def holds(self, text: str) -> bool:
        """Whether a text meets the condition."""
        if self.pattern is not None:
            return self.pattern.search(text) is not None
        return self.part in _folded(text) if self.part else not text


def _folded(text: str) -> str:
    """A text without the difference between cases, and between ways to write an accent."""
    return unicodedata.normalize("NFC", text).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the conditions of a rule depend on, beside the task.

    Attributes:
        now: the moment of the night.
        calendar: the days of the rule.
        sources: the ids of the owners that `assignedTo` names; "" for no owner.
        members: the ids of the members of the team.
    """

    now: datetime
    calendar: Calendar
    sources: Collection[str]
    members: Collection[str]


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a rule, as the file has them: key → what one of has to hold.

    Attributes:
        wanted: ids, words and priorities as texts; `TextTest`s for title and message; `DueTest`s
            for `due` and `created`.
    """

    wanted: dict[str, tuple[Any, ...]]

    @property
    def shown_as(self) -> list[str]:
        """The fields that they look at, under lemlist's names."""
        return [LOOKED_AT[key] for key in self.wanted]

    @property
    def expectable(self) -> set[str]:
        """The fields that they look at, by their names in an update, if it can set them."""
        return {_UPDATE_NAMES[name] for name in self.shown_as if name in _UPDATE_NAMES}

    def tests(self, view: View) -> list[Test]:
        """The conditions, each of which a task has to meet.

        Args:
            view: what they depend on.
        """
        return [_test(key, wanted, view) for key, wanted in self.wanted.items()]


def _test(key: str, wanted: tuple[Any, ...], view: View) -> Test:
    if key == "id":
        return lambda task: task.id in wanted
    if key == "owner":
        return lambda task: task.owner != "" and task.owner not in view.members
    if key == "assignedTo":
        return lambda task: task.owner in view.sources
    if key == "priority":
        return lambda task: task.values.get("priority", "") in wanted
    if key in _FACTS:
        fact = _FACTS[key]
        return lambda task: task.facts.get(fact, "") in wanted
    if key in ("title", "message"):
        return lambda task: _any_text(wanted, task.values.get(key, ""))
    return lambda task: _any_moment(wanted, _moment(key, task), view)


def _any_text(wanted: tuple[TextTest, ...], text: object) -> bool:
    return isinstance(text, str) and any(test.holds(text) for test in wanted)


def _any_moment(wanted: tuple[DueTest, ...], moment: datetime | None, view: View) -> bool:
    return any(test.holds(moment, view.now, view.calendar) for test in wanted)


def _moment(key: str, task: LiveTask) -> datetime | None:
    return task.due if key == "due" else moment_of(task.facts.get("createdAt"))
