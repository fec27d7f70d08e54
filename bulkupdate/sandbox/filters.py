"""The filters of `GET /tasks`.

Names, shapes and allowed values are those of lemlist's page (`lemlist: get-many-tasks`). What it
leaves open is a guess: a value is compared whole and in its own case, a day is one of UTC, and what
the page does not allow is refused.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bulkupdate import fields
from bulkupdate.codec import parse_json
from bulkupdate.sandbox.config import FILTERS, Bounds
from bulkupdate.sandbox.team import Team

Task = Mapping[str, Any]
Predicate = Callable[[Task], bool]

#: Filter on a text of the lead → the attribute of a `Lead`.
_OF_LEAD = {"fullName": "full_name", "email": "email", "phone": "phone", "linkedin": "linkedin"}

#: Filter on a list of values → the field of a Task, but for the state of the campaign.
_IN_LIST = {"campaignId": "campaignId", "campaignState": "", "type": "type", "assignedTo": "userId"}

#: Values that a filter allows, where they are documented.
_ALLOWED = {
    "campaignState": {"draft", "running", "ended", "paused", "errors", "archived"},
    "type": {
        *("manual", "phone", "linkedinInvite", "linkedinSend", "linkedinVoiceNote"),
        *("emailsReplied", "opportunityReplied", "linkedinReplied", "opportunityClicked"),
        *("email", "whatsappMessage"),
    },
}

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Filters:
    """Makes predicates of the parameter `filters`.

    Args:
        team: the team whose leads and campaigns are looked at.
        ignored: names of filters that have no effect; `all` ignores unknown and wrong ones too.
        bounds: whether the bounds of a range of due dates belong to it.
    """

    def __init__(
        self, team: Team, ignored: Collection[str] = (), bounds: Bounds = Bounds.INCLUSIVE
    ) -> None:
        self._team = team
        self._ignored = frozenset(ignored)
        self._bounds = bounds

    def parsed(self, text: str) -> list[Predicate]:
        """A predicate for each filter. A task is listed if it meets all of them.

        Raises:
            ValueError: the text is not a list of filters, or one of them is unknown or wrong.
        """
        filters = parse_json(text)
        if not isinstance(filters, list) or not all(isinstance(f, dict) for f in filters):
            raise ValueError("filters are a list of objects")
        if "all" in self._ignored:
            return []
        names = [one.get("filterId") for one in filters]
        if not all(isinstance(name, str) and name in FILTERS for name in names):
            raise ValueError("one of the filters is unknown")
        return [self._predicate(one) for one in filters if one["filterId"] not in self._ignored]

    def _predicate(self, wanted: dict[str, Any]) -> Predicate:
        name = wanted["filterId"]
        if name in _OF_LEAD:
            return self._of_lead(_OF_LEAD[name], wanted)
        if name in _IN_LIST:
            return _in_list(self._reading(name), wanted, _ALLOWED.get(name))
        return _due(wanted, self._bounds)

    def _of_lead(self, attribute: str, wanted: dict[str, Any]) -> Predicate:
        value, pattern = _texts(wanted, "value", "regex")
        try:
            regex = re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"wrong regex: {error}") from error

        def matches(task: Task) -> bool:
            lead = self._team.lead_of(task)
            found = getattr(lead, attribute) if lead else ""
            return bool(found) and value in (None, found) and bool(regex.search(found))

        return matches

    def _reading(self, name: str) -> Callable[[Task], object]:
        """The function that takes out of a task what a filter looks at."""
        field = _IN_LIST[name]
        return (lambda task: task.get(field)) if field else self._team.campaign_state_of


def _in_list(
    read: Callable[[Task], object], wanted: dict[str, Any], allowed: Collection[str] | None
) -> Predicate:
    lists = [wanted[name] for name in ("in", "out") if name in wanted]
    if not lists or not all(_is_list(values, allowed) for values in lists):
        raise ValueError("'in' and 'out' are lists of known texts")
    among, out = wanted.get("in"), wanted.get("out", [])

    def matches(task: Task) -> bool:
        value = read(task)
        return (among is None or value in among) and value not in out

    return matches


def _is_list(values: object, allowed: Collection[str] | None) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, str) and (allowed is None or value in allowed) for value in values
    )


def _due(wanted: dict[str, Any], bounds: Bounds) -> Predicate:
    begin, end = _texts(wanted, "from", "to")
    if not all(day is None or _is_day(day) for day in (begin, end)):
        raise ValueError("a day is written as 2026-01-31")
    outside = {begin, end} if bounds is Bounds.EXCLUSIVE else set()

    def matches(task: Task) -> bool:
        day = _due_day(task)
        if not day or day in outside:
            return False
        return (begin is None or begin <= day) and (end is None or day <= end)

    return matches


def _is_day(text: str) -> bool:
    return bool(_DAY.fullmatch(text)) and fields.iso_date(text) is not None


def _due_day(task: Task) -> str:
    """The day in UTC on which a task is due; "" without one."""
    try:
        return fields.due_date(task.get("dueDate"))[:10]
    except ValueError:
        return ""


def _texts(wanted: dict[str, Any], *names: str) -> list[str | None]:
    """Parameters of a filter, of which at least one is given."""
    given = [wanted.get(name) for name in names]
    if not any(name in wanted for name in names) or not all(
        isinstance(wanted.get(name, ""), str) for name in names
    ):
        raise ValueError(f"a filter has a text under {' or '.join(names)}")
    return given
