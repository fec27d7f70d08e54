"""The values of tasks for people."""

from datetime import datetime
from typing import Any

import pytest

from bulkupdate.ui.values import value_text


def who(user: str) -> str:
    return {"usr_anna": "anna@acme.example"}.get(user, user)


def moment(at: datetime) -> str:
    return f"{at:%d %b}"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("assignedTo", "usr_anna", "anna@acme.example"),
        ("assignedTo", "usr_ben", "usr_ben"),
        ("dueDate", "2026-11-02T08:00:00.000Z", "02 Nov"),
        ("dueDate", "2026-11-02T08:00:00", "2026-11-02T08:00:00"),
        ("dueDate", "soon", "soon"),
        ("dueDate", 5, "5"),
        ("priority", "2", "high"),
        ("priority", 0, "low"),
        ("priority", "7", "7"),
        ("done", True, "done"),
        ("done", False, "open"),
        ("images", ["a", "b"], "2 files"),
        ("title", "2026-11-02T08:00:00.000Z", "2026-11-02T08:00:00.000Z"),
        ("title", "", ""),
        ("message", None, ""),
        ("videos", [], ""),
    ],
)
def test_value_is_shown_in_plain_words(name: str, value: Any, text: str) -> None:
    """People, dates, priorities and files have their own words; what is no such value stays."""
    assert value_text(name, value, who, moment) == text
