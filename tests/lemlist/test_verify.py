"""Whether the Task that came back is the one that was asked for."""

from typing import Any

import pytest

from bulkupdate.lemlist.verify import mismatches
from bulkupdate.models import Mismatch, TaskUpdate

SENT = TaskUpdate(
    id="a",
    assigned_to="usr_b",
    due_date="2026-01-31T07:58:00Z",
    title="T",
    message="",
    priority="2",
    done=True,
    images=("https://a.example/1",),
    videos=("https://a.example/2", "https://a.example/3"),
)
RETURNED: dict[str, Any] = {
    "_id": "a",
    "userId": "usr_b",
    "dueDate": "2026-01-31T08:58:00+01:00",
    "title": "T",
    "content": "",
    "priority": 2,
    "status": "completed",
    "images": ["https://cdn.example/9"],
    "videos": ["https://cdn.example/8", "https://cdn.example/7"],
}


def test_values_match_across_names_and_types() -> None:
    """Values match even where the API returns them under another name or type."""
    assert mismatches(SENT.changes(), RETURNED) == {}


def test_field_not_returned_is_not_judged() -> None:
    """A field that the answer leaves out is not a mismatch."""
    assert mismatches(SENT.changes(), {"_id": "a"}) == {}


@pytest.mark.parametrize("name", [name for name in RETURNED if name != "_id"])
def test_missing_field_does_not_end_the_comparison(name: str) -> None:
    """Every other field is compared if one field did not come back, whichever it is."""
    others = {other: "?" for other in RETURNED if other not in ("_id", name)}
    assert set(mismatches(SENT.changes(), others)) == set(others)


def test_cleared_field_may_return_as_null() -> None:
    """A cleared field may return as null or as empty text."""
    cleared = TaskUpdate(id="a", title="", message="", priority="none")
    assert mismatches(cleared.changes(), {"title": None, "content": "", "priority": None}) == {}
    assert mismatches(cleared.changes(), {"priority": ""}) == {}


@pytest.mark.parametrize(
    ("name", "returned"),
    [
        ("userId", "usr_c"),
        ("dueDate", "2026-01-31T07:58:01Z"),
        ("dueDate", None),
        ("title", "t"),
        ("content", "still here"),
        ("priority", 1),
        ("priority", None),
        ("status", "pending"),
        ("images", []),
        ("images", None),
        ("images", {"0": "https://cdn.example/9"}),
        ("videos", ["https://cdn.example/8"]),
        ("videos", ["https://cdn.example/8"] * 3),
        ("videos", None),
    ],
)
def test_different_value_is_a_named_mismatch(name: str, returned: object) -> None:
    """A different value is a mismatch under the name that the answer gives it."""
    found = mismatches(SENT.changes(), {**RETURNED, name: returned})
    assert list(found) == [name]
    assert isinstance(found[name], Mismatch)
    assert found[name].returned == returned
