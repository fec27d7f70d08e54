"""Tests of a selection: what the server is asked for, and what is taken of what it lists."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.errors import ConfigError, InputError
from bulkupdate.lemlist.team import Member
from bulkupdate.models import Task
from bulkupdate.plan import People, Selection

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
MARCH_2 = date(2026, 3, 2)


def task(due: object = "2026-03-02T09:00:00.000Z", **fields: Any) -> Task:
    base = {"_id": "opp_a", "userId": "usr_a", "type": "phone", "campaignId": "cam_a"}
    return Task({**base, "dueDate": due, **fields})


def takes(selection: Selection, one: Task, owners: Sequence[str] = ()) -> bool:
    return [*selection.chosen([one], owners, NOW)] == [one]


def test_selection_without_conditions_takes_everything() -> None:
    """Without a condition, any task is taken, and the server is asked for all of them."""
    everything = Selection()
    assert everything.filters([], NOW) == []
    assert takes(everything, Task({"_id": "opp_a"}))
    assert everything.unseen(set()) == ""


@pytest.mark.parametrize(
    ("selection", "field", "wrong"),
    [
        (Selection(types=["phone", "manual"]), "type", "email"),
        (Selection(campaigns=["cam_a"]), "campaignId", "cam_b"),
        (Selection(due_from=MARCH_2), "dueDate", "2026-03-01T23:59:59.999Z"),
        (Selection(due_to=MARCH_2), "dueDate", "2026-03-03T00:00:00.000Z"),
        (Selection(overdue=True), "dueDate", "2026-03-10T12:00:00.000Z"),
    ],
)
def test_each_condition_is_judged_here(selection: Selection, field: str, wrong: str) -> None:
    """A server may ignore a filter: a task that does not meet a condition is not taken."""
    assert takes(selection, task())
    assert not takes(selection, task(**{field: wrong}) if field != "dueDate" else task(wrong))
    assert not takes(selection, task(**{field: None}) if field != "dueDate" else task(None))
    assert selection.unseen({"_id"}) == field
    assert selection.unseen({field}) == ""


def test_owners_are_judged_by_their_ids() -> None:
    """Of several owners, any will do."""
    selection = Selection(assigned_to=["a", "b"])
    assert takes(selection, task(), owners=["usr_b", "usr_a"])
    assert not takes(selection, task(), owners=["usr_b"])
    assert not takes(selection, task(userId=None), owners=["usr_b"])


def test_every_condition_has_to_hold() -> None:
    """Conditions of several kinds are joined by and."""
    selection = Selection(types=["phone"], campaigns=["cam_b"])
    assert not takes(selection, task())
    assert takes(selection, task(campaignId="cam_b"))


@pytest.mark.parametrize(
    ("due", "zone", "is_in"),
    [
        ("2026-03-02T00:00:00.000Z", UTC, True),
        ("2026-03-02T23:59:59.999Z", UTC, True),
        ("2026-03-03T00:00:00.000Z", UTC, False),
        ("2026-03-01T23:00:00.000Z", PARIS, True),
        ("2026-03-01T22:59:59.999Z", PARIS, False),
        ("2026-03-02T22:59:59.999Z", PARIS, True),
        ("2026-03-02T23:00:00.000Z", PARIS, False),
        ("2026-03-02T23:30:00.000+01:00", PARIS, True),
    ],
)
def test_days_are_those_of_the_time_zone(due: str, zone: Any, is_in: bool) -> None:
    """The first and the last day are included, from midnight to midnight in the time zone."""
    assert takes(Selection(due_from=MARCH_2, due_to=MARCH_2, zone=zone), task(due)) is is_in
    if zone is UTC:
        assert takes(Selection(due_from=MARCH_2, due_to=MARCH_2), task(due)) is is_in


@pytest.mark.parametrize("due", ["", "tomorrow", "2026-03-02", 5, "2026-03-02T09:00:00"])
def test_task_without_a_readable_due_date_has_none(due: object) -> None:
    """A due date that can't be read is neither overdue nor on any day."""
    assert not takes(Selection(overdue=True), task(due))
    assert not takes(Selection(due_to=date(2099, 12, 31)), task(due))


@given(st.integers(0, 525_600), st.integers(-12, 14))
def test_server_is_asked_for_more_than_is_meant(minutes: int, hours: int) -> None:
    """No task that is meant is filtered out, in whatever zone the server counts its days.

    Its bounds may also be exclusive.
    """
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    local = moment.astimezone(ZoneInfo("Pacific/Kiritimati")).date()
    selection = Selection(due_from=local, due_to=local, zone=ZoneInfo("Pacific/Kiritimati"))
    assert takes(selection, task(moment.isoformat()))
    (asked,) = selection.filters([], NOW)
    day = (moment + timedelta(hours=hours)).date().isoformat()
    assert asked["from"] < day < asked["to"]


def test_server_is_asked_for_owners_and_campaigns_but_no_type() -> None:
    """The server's list of types lacks some that there are."""
    selection = Selection(assigned_to=["x"], campaigns=["cam_a"], types=["linkedin"])
    assert selection.filters(["usr_a"], NOW) == [
        {"filterId": "assignedTo", "in": ["usr_a"], "out": []},
        {"filterId": "campaignId", "in": ["cam_a"], "out": []},
    ]
    assert Selection(types=["phone"]).filters([], NOW) == []


def test_overdue_asks_for_days_until_after_today() -> None:
    """Overdue is asked for with a last day alone, whatever later one is given."""
    for selection in (Selection(overdue=True), Selection(overdue=True, due_to=date(2027, 1, 1))):
        (asked,) = selection.filters([], NOW)
        assert asked == {"filterId": "dueDate", "from": "1999-12-28", "to": "2026-03-12"}


@pytest.mark.parametrize(
    "selection",
    [
        Selection(due_from=date.min),
        Selection(due_to=date.max),
        Selection(due_from=date.min, due_to=date.max, zone=ZoneInfo("Asia/Tokyo")),
    ],
)
def test_days_at_the_ends_of_the_calendar_take_everything(selection: Selection) -> None:
    """A day before or after all due dates is a bound like any other."""
    assert takes(selection, task())
    (asked,) = selection.filters([], NOW)
    assert asked["from"] < "2000-01-01"
    assert asked["to"] > "2099-12-31"


@pytest.mark.parametrize("zone", [ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Etc/GMT+12"), None])
def test_side_without_a_bound_is_open(zone: ZoneInfo | None) -> None:
    """The earliest and the latest due date that there can be are on that side, in any zone."""
    assert takes(Selection(due_from=MARCH_2, zone=zone), task("2099-12-31T23:59:59.999Z"))
    assert takes(Selection(due_to=MARCH_2, zone=zone), task("2000-01-01T00:00:00.000Z"))


@pytest.mark.parametrize(
    "selection",
    [
        Selection(due_from=date.max),
        Selection(due_to=date.min),
        Selection(due_from=date(2100, 6, 1)),
    ],
)
def test_days_without_any_due_date_take_nothing(selection: Selection) -> None:
    """A bound beyond all due dates selects no task."""
    assert not takes(selection, task())
    assert selection.filters([], NOW)


def test_first_day_after_the_last_is_refused() -> None:
    """Days in the wrong order select nothing: it is a mistake."""
    with pytest.raises(ConfigError, match="due_from is after due_to"):
        Selection(due_from=MARCH_2, due_to=date(2026, 3, 1))
    assert Selection(due_from=MARCH_2, due_to=MARCH_2).due_to == MARCH_2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"types": "phone"}, r"^types takes a list of texts: write it as \['phone'\]$"),
        ({"assigned_to": "usr_ben"}, "^assigned_to takes a list of texts"),
        ({"campaigns": "cam_a"}, "^campaigns takes a list of texts"),
        ({"due_from": "2026-03-02"}, "^due_from takes a date, not '2026-03-02'$"),
        ({"due_to": NOW}, "^due_to takes a date, not datetime"),
        ({"types": [5]}, "^types takes texts, not 5$"),
        ({"overdue": "no"}, "^overdue takes True or False, not 'no'$"),
        ({"zone": "Europe/Paris"}, "^zone takes a tzinfo, not 'Europe/Paris'$"),
    ],
)
def test_condition_of_another_type_is_refused(settings: dict[str, Any], message: str) -> None:
    """The letters of a text would be the values, and no task would meet them."""
    with pytest.raises(ConfigError, match=message):
        Selection(**settings)


def test_task_that_is_not_pending_is_not_taken() -> None:
    """A server may list it: no update reaches it."""
    for fields in ({"status": "completed"}, {"status": "ignored"}, {"completedAt": "2026-03-01"}):
        assert not takes(Selection(), task(**fields))
    assert takes(Selection(), task(status="pending", completedAt=None))


def test_owner_is_found_or_refused_by_name() -> None:
    """An owner by e-mail address becomes an id. The message names the text that is wrong."""
    people = People([Member("usr_ben", "Ben", "ben@acme.example")])
    selection = Selection(assigned_to=["ben@acme.example", "usr_left"])
    assert selection.owners(people) == ["usr_ben", "usr_left"]
    with pytest.raises(InputError) as caught:
        Selection(assigned_to=["bem@acme.example"]).owners(people)
    assert str(caught.value) == (
        "assigned_to 'bem@acme.example' is no member of the team:"
        " did you mean Ben ben@acme.example (usr_ben)?"
    )
