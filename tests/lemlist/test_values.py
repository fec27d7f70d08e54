"""Tests of the values of a live task, as an update would send them."""

from typing import Any

import pytest

from bulkupdate.lemlist.values import TASK_NAMES, left_values, live_values

EMPTY = dict.fromkeys(TASK_NAMES, "")


def test_values_have_the_names_of_an_update() -> None:
    """The answers of lemlist have other names than its updates."""
    task = {
        "_id": "opp_a",
        "userId": "usr_a",
        "dueDate": "2026-03-02T10:00:00+01:00",
        "title": "T",
        "content": "C",
        "priority": 2,
        "type": "phone",
    }
    assert live_values(task) == {
        "assignedTo": "usr_a",
        "dueDate": "2026-03-02T09:00:00.000Z",
        "title": "T",
        "message": "C",
        "priority": "2",
    }


@pytest.mark.parametrize("empty", [{}, dict.fromkeys(TASK_NAMES.values()),
                                   dict.fromkeys(TASK_NAMES.values(), "")])  # fmt: skip
def test_absent_null_and_empty_are_the_same(empty: dict[str, Any]) -> None:
    """A value that is not there is empty, in each of the three ways."""
    assert live_values(empty) == EMPTY


@pytest.mark.parametrize(
    ("name", "value"),
    [("priority", 7), ("priority", True), ("dueDate", "soon"), ("userId", 5), ("title", ["x"])],
)
def test_value_that_no_update_could_send_stays(name: str, value: object) -> None:
    """What the rule of a field refuses is shown as it came."""
    (field,) = [field for field, shown_as in TASK_NAMES.items() if shown_as == name]
    assert live_values({name: value}) == {**EMPTY, field: value}


def test_values_left_are_those_of_the_answer() -> None:
    """What an answer shows was left; where it shows nothing, what was sent."""
    sent = {"title": "T", "message": "C", "priority": "1", "dueDate": "x", "done": True}
    answer = {"title": "T, cut", "content": None, "priority": 2, "userId": "usr_a"}
    assert left_values(sent, answer) == {**sent, "title": "T, cut", "priority": "2"}
    assert left_values(sent, {}) == sent
