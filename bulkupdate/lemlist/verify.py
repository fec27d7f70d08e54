"""The comparison of an update with the Task that the server returned."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bulkupdate import fields
from bulkupdate.models import Mismatch


def mismatches(update: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Mismatch]:
    """Compare the sent fields with the returned Task, whose fields have other names.

    A field that is missing in the Task is not compared.

    Args:
        update: the sent fields, by their names on the wire.
        task: the fields of the returned Task, by their names in the Task.

    Returns:
        The fields that differ, by their names in the Task.
    """
    differences = {}
    for name, sent in update.items():
        returned_as, same = _COMPARISONS[name]
        if returned_as not in task:
            continue
        returned = task[returned_as]
        # Shortcut: nearly always both are the same text.
        is_plain = isinstance(returned, str) and sent == returned
        if not is_plain and not same(sent, returned):
            differences[returned_as] = Mismatch(sent=sent, returned=returned)
    return differences


def shows_any(update: Iterable[str], task: Mapping[str, Any]) -> bool:
    """Whether a Task shows any of the sent fields, be its value as it was sent or not."""
    return any(_COMPARISONS[name][0] in task for name in update)


def _equal(sent: object, returned: object) -> bool:
    return sent == returned


def _same_text(sent: object, returned: object) -> bool:
    return sent == (returned or "")


def _same_priority(sent: object, returned: object) -> bool:
    return sent == ("" if returned is None else str(returned))


def _same_moment(sent: object, returned: object) -> bool:
    try:
        return sent == fields.due_date(returned)
    except ValueError:
        return False


def _same_completion(sent: object, returned: object) -> bool:
    return bool(sent) == (returned == "completed")


def _same_media(sent: Any, returned: Any) -> bool:
    # The server re-hosts each file, so the URLs may differ. Only their number is compared.
    return isinstance(returned, list) and len(sent) == len(returned)


#: Field name in an update → name in a Task, and the comparison (`lemlist: update-task`).
_COMPARISONS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "assignedTo": ("userId", _equal),
    "dueDate": ("dueDate", _same_moment),
    "title": ("title", _same_text),
    "message": ("content", _same_text),
    "priority": ("priority", _same_priority),
    "done": ("status", _same_completion),
    "images": ("images", _same_media),
    "videos": ("videos", _same_media),
}
