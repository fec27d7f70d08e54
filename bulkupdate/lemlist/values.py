"""The values of a live task, as an update would send them. lemlist's answers have other names."""

from collections.abc import Iterable, Mapping
from typing import Any

from bulkupdate import fields

#: Field of an update → the name of its value in a Task (`lemlist: update-task`).
TASK_NAMES = {
    "assignedTo": "userId",
    "dueDate": "dueDate",
    "title": "title",
    "message": "content",
    "priority": "priority",
}

_TEXTS = {"title", "message"}


def live_values(task: Mapping[str, Any], names: Iterable[str] = TASK_NAMES) -> dict[str, Any]:
    """The values that a task shows, by their names in an update.

    Absent, null and empty are the same: `""`. A value that no update could send stays as it is.

    Args:
        task: the fields of the Task, under lemlist's names.
        names: the fields that are wanted, by their names in an update.
    """
    return {name: _value(name, task.get(TASK_NAMES[name])) for name in names}


def is_pending(task: Mapping[str, Any]) -> bool:
    """Whether a task is pending, as far as it shows.

    Args:
        task: the fields of the Task, under lemlist's names.
    """
    return task.get("status") in (None, "pending") and not task.get("completedAt")


def left_values(sent: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """The values that an update has left: those of the answer, else those that were sent.

    Args:
        sent: the fields of the update.
        task: the fields of the Task in the answer, under lemlist's names.
    """
    left = dict(sent)
    for name in sent.keys() & TASK_NAMES.keys():
        shown = _value(name, task.get(TASK_NAMES[name]))
        left[name] = sent[name] if shown == "" else shown
    return left


def _value(name: str, value: Any) -> Any:
    if value is None or value == "":
        return ""
    # The rules of texts and ids refuse some, and change no more than blanks around an id.
    if name in _TEXTS or (name == "assignedTo" and isinstance(value, str) and value.isidentifier()):
        return value
    try:
        return fields.RULES[name](value)
    except ValueError:
        return value
