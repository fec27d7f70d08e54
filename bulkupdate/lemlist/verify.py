"""Whether the Task that came back is the one that was asked for."""

from collections.abc import Callable, Mapping
from typing import Any

from bulkupdate import fields
from bulkupdate.models import Mismatch


def mismatches(update: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Mismatch]:
    """Compare what was sent with the Task that came back, through the names that change.

    A field that did not come back is not judged.

    Args:
        update: the fields that were sent, under their names on the wire.
        task: the Task, under its own.

    Returns:
        What differs, by its name in the Task.
    """
    differences = {}
    for name, sent in update.items():
        returned_as, same = _COMPARISONS[name]
        if returned_as not in task:
            continue
        returned = task[returned_as]
        # Nearly always it is the same text.
        is_plain = isinstance(returned, str) and sent == returned
        if not is_plain and not same(sent, returned):
            differences[returned_as] = Mismatch(sent=sent, returned=returned)
    return differences


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
    # The server re-hosts each file, so the URLs may differ: only how many there are is compared.
    return isinstance(returned, list) and len(sent) == len(returned)


#: Name on the wire of an update → name in a Task, and how the two compare (`lemlist: update-task`).
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
