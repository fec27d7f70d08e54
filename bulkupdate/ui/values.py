"""The values of tasks for people."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bulkupdate.errors import count

#: The names of priorities.
_PRIORITIES = {"0": "low", "1": "medium", "2": "high"}


def value_text(
    name: str, value: Any, who: Callable[[str], str], moment: Callable[[datetime], str]
) -> str:
    """A value of a field for people; "" for an empty one.

    Args:
        name: the field, by its name in an update.
        value: the value, as it is sent.
        who: a user for people, by id.
        moment: a date and time for people, from an aware one.
    """
    if value in ("", None) or value in ([], ()):
        return ""
    if name == "assignedTo":
        return who(str(value))
    if name == "priority":
        return _PRIORITIES.get(str(value), str(value))
    if name == "done":
        return "done" if value else "open"
    if name == "dueDate":
        at = _parsed(value)
        return str(value) if at is None else moment(at)
    return count(len(value), "file") if isinstance(value, list | tuple) else str(value)


def _parsed(value: Any) -> datetime | None:
    """The aware date and time in a text; None for any other value."""
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo is not None else None
