"""The values of a live task, as an update would send them. lemlist's answers have other names."""

from collections.abc import Mapping
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


def live_values(task: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a task shows, by their names in an update.

    Absent, null and empty are the same: `""`. A value that no update could send stays as it is.

    Args:
        task: the fields of the Task, under lemlist's names.
    """
    return {name: _value(name, task.get(shown_as)) for name, shown_as in TASK_NAMES.items()}


def _value(name: str, value: Any) -> Any:
    if value is None or value == "":
        return ""
    try:
        return fields.RULES[name](value)
    except ValueError:
        return value
