"""Tests of a night of rules: which tasks change, how, and what is refused."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bulkupdate.errors import InputError
from bulkupdate.lemlist.team import Member
from bulkupdate.models import Task
from bulkupdate.plan import People
from bulkupdate.plan.rules import evaluate, read_rules
from tests.plan.rules.office import (
    ANNA,
    BEN,
    CARL,
    HEAD,
    NOW,
    PARIS,
    TEAM,
    changed,
    due,
    night,
    rule,
    task,
)

TO_ANNA = 'set = { assignedTo = "anna@acme.example" }'
HIGH = 'set = { priority = "high" }'


def selected(select: str, *tasks: Task, now: datetime = NOW, head: str = HEAD) -> list[int]:
    """The numbers of the tasks that a condition selects."""
    return sorted(changed(night(f"select = {{ {select} }}\n{HIGH}", tasks, now, head=head)))


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        ("2026-12-19T23:59", False),
        ("2026-12-20T00:00", True),
        ("2027-01-04T23:59", True),
        ("2027-01-05T00:00", False),
    ],
)
def test_a_rule_holds_from_and_until_both_included_in_the_zone_of_the_file(
    now: str, holds: bool
) -> None:
    """The first and the last day belong to it, from midnight to midnight in `timezone`."""
    text = f"from = 2026-12-20\nuntil = 2027-01-04\nselect = {{}}\n{HIGH}"
    moment = datetime.fromisoformat(now).replace(tzinfo=PARIS).astimezone(UTC)
    found = night(text, [task(1)], moment)
    assert len(found.edits) == holds
    assert found.notes == (
        [] if holds else ["rule 'rule' does not hold today: from 2026-12-20 until 2027-01-04"]
    )


def test_keys_of_select_are_joined_by_and_lists_by_or() -> None:
    """A task meets every key, by one of its values."""
    select = 'assignedTo = ["ben@acme.example", "Carl Roux"], type = ["phone", "manual"]'
    tasks = (
        task(1),
        task(2, type="manual"),
        task(3, type="email"),
        task(4, CARL),
        task(5, ANNA),
    )
    assert selected(select, *tasks) == [1, 2, 4]


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ('"overdue"', [1, 2, 3]),
        ('"today"', [3, 4, 5]),
        ('"weekend"', [6, 7]),
        ('"holiday"', [8]),
        ('["weekend", "holiday"]', [6, 7, 8]),
        ('"before today"', [1, 2]),
        ('"before tomorrow"', [1, 2, 3, 4, 5]),
        ('"after today"', [6, 7, 8, 9]),
        ('"before +3d"', [1, 2, 3, 4, 5, 6]),
        ('"after +3d"', [7, 8, 9]),
        ('"before -1d"', [1]),
        ('"before 2026-03-15"', [1, 2, 3, 4, 5, 6]),
        ('"after 2026-03-15"', [8, 9]),
        ('"after 2026-03-15T22:00"', [7, 8, 9]),
        ('"after 2026-03-15T21:30Z"', [7, 8, 9]),
        ('["overdue", "after +30d"]', [1, 2, 3, 9]),
        ('""', [10]),
    ],
)
def test_due_is_a_word_or_a_bound(condition: str, numbers: list[int]) -> None:
    """Overdue is a moment before now; days, today and weekends are those of `timezone`."""
    tasks = (
        task(1, at="2026-03-09 09:00"),
        task(2, at="2026-03-10 23:59"),
        task(3, at="2026-03-11 01:59"),
        task(4, at="2026-03-11 02:00"),
        # Still Wednesday in Paris, and in UTC too; the one after is Wednesday in UTC alone.
        task(5, at="2026-03-11 23:59"),
        task(6, at="2026-03-14 00:30"),
        task(7, at="2026-03-15 23:30"),
        task(8, at="2026-04-06 09:00"),
        task(9, at="2026-05-20 09:00"),
        task(10, at=""),
    )
    assert selected(f"due = {condition}", *tasks, head=f'holidays = "FR"\n{HEAD}') == numbers


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ('title = "URGENT"', [1, 2]),
        ('title = "zoé"', [3]),
        ('title = ["urgent", "zoé"]', [1, 2, 3]),
        ('title = "/^urgent/"', [1]),
        ("title = '/(?-i:Urgent)/'", [1]),
        ("title = '/\\burgent\\b.*\\d$/'", [2]),
        ('title = ""', [4]),
        ('title = "/"', [5]),
        ('title = "d/"', [5]),
        ('title = "/o"', [5]),
        ('title = "/7/"', [2]),
        ('message = "call back"', [2]),
        ('message = ""', [1, 3, 4, 5]),
        ('message = "call", title = "urgent"', [2]),
    ],
)
def test_title_and_message_are_selected_by_text_or_pattern(
    condition: str, numbers: list[int]
) -> None:
    """A text is a part of it in any case; between slashes it is a regular expression."""
    tasks = (
        task(1, title="Urgent: offer"),
        task(2, title="not urgent 7", content="Please CALL BACK"),
        task(3, title="Call Zoe\u0301"),
        task(4, title=None),
        task(5, title="and/or"),
    )
    assert selected(condition, *tasks) == numbers


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ('id = ["opp_001", "opp_003"]', [1, 3]),
        ('campaign = "cam_1"', [1, 2]),
        ('campaign = ""', [3]),
        ('leadId = "lea_1"', [1]),
        ('contactId = "ctc_1"', [2]),
        ('priority = ["low", 0]', [1]),
        ('priority = "none"', [3]),
        ('status = "pending"', [1, 2, 3]),
        ('assignedTo = ""', [3]),
        ('created = "before 2026-02-01"', [1]),
    ],
)
def test_any_field_of_the_task_selects(condition: str, numbers: list[int]) -> None:
    """Each field that a Task shows has a key; "" stands for an empty one."""
    tasks = (
        task(1, campaignId="cam_1", leadId="lea_1", priority=0, createdAt="2026-01-01T00:00:00Z"),
        task(2, campaignId="cam_1", contactId="ctc_1", createdAt="2026-02-02T00:00:00Z"),
        task(3, owner="", priority=None),
    )
    assert selected(condition, *tasks) == numbers


def test_owner_who_is_not_in_the_team_is_selected() -> None:
    """It is anyone who is no member. A task without an owner has none who has left."""
    tasks = (task(1, "usr_left"), task(2, ANNA), task(3, ""), task(4, "left-long-ago"))
    assert selected('owner = "not in team"', *tasks) == [1, 4]


def test_only_pending_tasks_are_selected() -> None:
    """A listed task that is completed or ignored can't be changed."""
    done = task(1, status="completed"), task(2, completedAt="2026-03-01T00:00:00.000Z")
    assert selected("", *done, task(3, status="ignored"), task(4, status="pending")) == [4]


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("2026-04-01 10:30", "2026-03-10 09:00", "2026-04-01 10:30"),
        ("2026-04-01T10:30Z", "2026-03-10 09:00", "2026-04-01 12:30"),
        ("today 17:00", "2026-03-10 09:00", "2026-03-11 17:00"),
        ("tomorrow 08:00", "2026-03-10 09:00", "2026-03-12 08:00"),
        ("+3d 09:00", "2026-03-10 09:00", "2026-03-14 09:00"),
        ("+3d", "2026-03-10 09:00", "2026-03-14 02:00"),
        ("+90m", "2026-03-10 09:00", "2026-03-11 03:30"),
        ("+1w 09:00", "2026-03-10 09:00", "2026-03-18 09:00"),
        ("+3 workdays 09:00", "2026-03-10 09:00", "2026-03-16 09:00"),
        ("+1 workday", "2026-03-10 09:00", "2026-03-12 02:00"),
        ("next workday 09:00", "2026-03-10 09:00", "2026-03-11 09:00"),
        ("next workday 01:00", "2026-03-10 09:00", "2026-03-12 01:00"),
        ("next workday 02:00", "2026-03-10 09:00", "2026-03-12 02:00"),
        ("next workday", "2026-03-10 15:45", "2026-03-11 15:45"),
        ("Next  Workday 09:00", "2026-03-10 09:00", "2026-03-11 09:00"),
    ],
)
def test_due_date_is_set(text: str, at: str, expected: str) -> None:
    """It is absolute, or counts from now; the next workday is the first such moment after now."""
    found = night(
        f'select = {{ due = "overdue" }}\nset = {{ dueDate = "{text}" }}', [task(1, at=at)]
    )
    assert changed(found) == {1: {"dueDate": expected}}


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("due +1 workday", "2026-03-14 10:15", "2026-03-16 10:15"),
        ("due +1 workday 09:00", "2026-03-14 10:15", "2026-03-16 09:00"),
        ("due +0 workdays", "2026-03-14 10:15", "2026-03-16 10:15"),
        ("due +2d", "2026-03-14 10:15", "2026-03-16 10:15"),
        ("due +48h", "2026-03-14 10:15", "2026-03-16 10:15"),
        # The clocks change on 29 March.
        ("due +2d", "2026-03-28 10:15", "2026-03-30 10:15"),
        ("due +48h", "2026-03-28 10:15", "2026-03-30 11:15"),
    ],
)
def test_due_date_counts_from_the_tasks_own(text: str, at: str, expected: str) -> None:
    """Days are those of the calendar, so that the time of day stays the same."""
    found = night(
        f'select = {{ due = "weekend" }}\nset = {{ dueDate = "{text}" }}', [task(1, at=at)]
    )
    assert changed(found) == {1: {"dueDate": expected}}


def test_holidays_are_no_workdays_and_a_rule_may_have_its_own() -> None:
    """Those of the file are a union of countries, parts and days; those of a rule replace them."""
    head = f'holidays = ["FR", "DE-BY", 2026-04-07]\n{HEAD}'
    good_friday = datetime(2026, 4, 2, 12, tzinfo=PARIS)
    text = 'select = {{ type = "{}" }}\nset = {{ dueDate = "next workday 09:00" }}\n{}'
    rules = rule(text.format("phone", "")) + "".join(
        rule(text.format(kind, own), kind)
        for kind, own in (("email", 'holidays = "FR"'), ("manual", "holidays = []"))
    )
    tasks = [task(1), task(2, type="email"), task(3, type="manual")]
    found = changed(night(rules, tasks, good_friday, head=head))
    # Good Friday is none in France, Easter Monday is one in both, Tuesday is a day of the file.
    assert [found[number]["dueDate"][5:10] for number in (1, 2, 3)] == ["04-08", "04-03", "04-03"]


def test_clock_change_neither_skips_nor_doubles_a_due_date() -> None:
    """A time that the clocks skip is as much later; of one that they show twice it is the first."""
    text = 'select = {{ due = "overdue" }}\nset = {{ dueDate = "{}" }}'
    spring = datetime(2026, 3, 28, 2, 30, tzinfo=PARIS)
    assert changed(night(text.format("+1d"), [task(1)], spring))[1]["dueDate"] == "2026-03-29 03:30"
    autumn = datetime(2026, 10, 24, 2, 30, tzinfo=PARIS)
    [edit] = night(text.format("+1d"), [task(1)], autumn).edits
    assert edit.changes["dueDate"] == "2026-10-25T00:30:00.000Z"


def test_any_field_of_an_update_is_set_and_only_what_differs() -> None:
    """A field that is as the rule wants it is not in the edit, and a task that is so has none."""
    text = (
        'select = { type = "phone" }\nirreversible = true\nset = { title = "Call", message = "",'
        ' priority = "none", assignedTo = "Anna Martin", done = true }'
    )
    tasks = (
        task(1, content="Old", status="pending"),
        task(2, ANNA, title="Call", priority=None, status="pending"),
    )
    assert changed(night(text, tasks)) == {
        1: {"assignedTo": ANNA, "title": "Call", "message": "", "priority": "", "done": True},
        2: {"done": True},
    }
    assert night('select = {}\nset = { title = "Call 1", priority = 1 }', [task(1)]).edits == []


def test_media_are_set_where_the_rule_does_not_select_the_task_again() -> None:
    """They can't be compared: a rule that still selects its tasks would send them every night."""
    media = 'images = ["https://x.example/1.png"]'
    text = f'select = {{ priority = 1 }}\nset = {{ {media}, priority = "high" }}'
    assert changed(night(text, [task(1)])) == {
        1: {"priority": "2", "images": ("https://x.example/1.png",)}
    }
    with pytest.raises(InputError, match="do not settle"):
        night(f"select = {{}}\nset = {{ {media} }}", [task(1)])


def test_first_rule_that_selects_a_task_wins() -> None:
    """A later rule never gets the task."""
    rules = rule('select = { title = "1" }\nset = { priority = 2 }', "first")
    rules += rule('select = { title = "call" }\nset = { priority = 0 }', "second")
    found = night(rules, [task(1), task(2)])
    assert changed(found) == {1: {"priority": "2"}, 2: {"priority": "0"}}
    assert [edit.rule for edit in found.edits] == ["first", "second"]
    assert found.selected == found.changed == {"first": 1, "second": 1}


def test_edits_come_rule_by_rule_and_by_due_date() -> None:
    """The order does not depend on the pages: tasks without a due date first, then by due date."""
    text = 'select = {{ type = "{0}" }}\nset = {{ priority = 2 }}'
    rules = rule(text.format("phone"), "one") + rule(text.format("email"), "two")
    tasks = [
        task(1, at="2026-03-02 09:00", type="email"),
        task(2, at="2026-03-09 09:00"),
        task(3, at="2026-03-01 09:00", type="email"),
        task(4, at="2026-03-08 09:00"),
        task(6, at=""),
        task(5, at=""),
    ]
    assert [*changed(night(rules, tasks))] == [5, 6, 4, 2, 3, 1]


def test_edits_expect_what_the_rule_looked_at_and_what_it_changes() -> None:
    """A task that another person has changed since is then a conflict, and stays as it is."""
    text = f'select = {{ due = "overdue", title = "call", type = "phone" }}\n{TO_ANNA}'
    [edit] = night(text, [task(1)]).edits
    assert edit.changes == {"assignedTo": ANNA}
    assert edit.expect == {
        "assignedTo": BEN,
        "dueDate": due("2026-03-10 09:00"),
        "title": "Call 1",
    }
    [edit] = night(f'select = {{ type = "phone" }}\n{HIGH}', [task(1)]).edits
    assert edit.expect == {"priority": "1"}
    [edit] = night(
        'select = { due = "weekend" }\nset = { dueDate = "due +2d" }',
        [task(1, at="2026-03-14 09:00")],
    ).edits
    assert edit.expect == {"dueDate": due("2026-03-14 09:00")}


def test_completing_expects_a_task_that_is_not_done() -> None:
    """A listed task that is pending is not done, if any task shows its status."""
    text = "select = {}\nirreversible = true\nset = { done = %s }"
    shown = task(1, status="pending")
    [edit] = night(text % "true", [shown]).edits
    assert (edit.changes, edit.expect) == ({"done": True}, {"done": False})
    assert night(text % "false", [shown]).edits == []
    [edit] = night(text % "true", [task(1)]).edits
    assert (edit.changes, edit.expect) == ({"done": True}, {})


def test_moment_of_a_bound_is_neither_before_nor_after_it() -> None:
    """It is between the two."""
    at = task(1, at="2026-03-20 09:00")
    assert selected('due = "before 2026-03-20T09:00"', at) == []
    assert selected('due = "after 2026-03-20T09:00"', at) == []
    assert selected('due = "overdue"', task(1, at="2026-03-11 02:00")) == []


def test_empty_value_is_expected_where_some_task_shows_the_field() -> None:
    """A field that no task shows is unknown: nothing is expected of it, and it is always set."""
    text = 'select = { type = "phone" }\nset = { priority = 2, title = "T" }'
    bare = Task({"_id": "opp_001", "userId": BEN, "type": "phone"})
    [edit] = night(text, [bare]).edits
    assert (edit.changes, edit.expect) == ({"title": "T", "priority": "2"}, {})
    [edit] = [one for one in night(text, [bare, task(2, priority=2)]).edits if one.id == "opp_001"]
    assert edit.expect == {"title": "", "priority": ""}


def test_rule_that_looks_at_a_field_no_task_shows_selects_none() -> None:
    """What is unknown is never taken for empty. People are told."""
    bare = [Task({"_id": f"opp_{n:03}", "userId": BEN}) for n in range(3)]
    found = night(f'select = {{ title = "" }}\n{HIGH}', bare)
    assert found.edits == []
    assert found.notes == ["rule 'rule': no listed task shows its title: it selects none"]
    found = night(f"select = {{}}\n{TO_ANNA}", [Task({"_id": "opp_001", "title": "T"})])
    assert found.notes == ["rule 'rule': no listed task shows its userId: it selects none"]


def test_misspelt_type_is_pointed_out() -> None:
    """A type that no task has may be right; one that is near to a known one is probably not."""
    tasks = [task(1), task(2, type="visit"), task(3, type="phoned"), task(4, type=None)]
    found = night(
        f'select = {{ type = ["phnoe", "fax", "email", "vist", "phoned"] }}\n{HIGH}', tasks
    )
    assert found.notes == [
        "rule 'rule': no listed task has the type 'phnoe': did you mean 'phone'?",
        "rule 'rule': no listed task has the type 'vist': did you mean 'visit'?",
    ]


def test_task_without_due_date_gets_none_that_counts_from_it() -> None:
    """The rest of the rule goes on, and people are told."""
    text = 'select = {}\nset = { dueDate = "due +0 workdays", priority = 2 }'
    found = night(text, [task(1, at=""), task(2)])
    assert changed(found) == {1: {"priority": "2"}, 2: {"priority": "2"}}
    assert found.notes == [
        "rule 'rule': 1 task without a due date, from which another could count: it is not set"
    ]


def test_due_date_out_of_range_names_the_task() -> None:
    """A due date lies in the years that lemlist takes."""
    far = [task(1, at="2099-12-31 09:00")]
    text = 'select = { due = "after today" }\nset = { dueDate = "due +5w" }'
    with pytest.raises(InputError) as refused:
        night(text, far)
    assert str(refused.value) == (
        "rules.toml: rule 1: set.dueDate: is in the year 2100: a due date lies between 2000 and"
        " 2099 (task opp_001)"
    )


# People.


def test_unknown_person_stops_everything_and_strangers_are_listed() -> None:
    """The message names each such person, and the owners of listed tasks who are no members."""
    rules = rule(f'select = {{ assignedTo = ["carl@old.example", "Ann"] }}\n{TO_ANNA}')
    rules += rule('select = { assignedTo = "usr_left" }\nset = { assignedTo = "usr_left" }', "two")
    tasks = [task(1, "usr_left"), task(2, "usr_left"), task(3, "left-long-ago"), task(4)]
    with pytest.raises(InputError) as refused:
        night(rules, tasks)
    assert str(refused.value).splitlines() == [
        "rules.toml, line 5: rule 1: select.assignedTo: 'carl@old.example' is no member of the"
        " team: did you mean Carl Roux carl@acme.example (usr_carl)?",
        "rules.toml, line 5: rule 1: select.assignedTo: 'Ann' is no member of the team: did you"
        " mean Anna Martin anna@acme.example (usr_anna)?",
        "rules.toml, line 10: rule 2: set.assignedTo: 'usr_left' is no member of the team: did you"
        " mean Ben Keller ben@acme.example (usr_ben) or Carl Roux carl@acme.example (usr_carl) or"
        " Anna Martin anna@acme.example (usr_anna)?",
        "rules.toml: owners of listed tasks who are no members: usr_left (2 tasks), left-long-ago"
        " (1 task)",
    ]


@pytest.mark.parametrize(("number", "end"), [(10, "usr_09 (1 task)"), (12, "and 2 more")])
def test_only_the_first_strangers_are_named(number: int, end: str) -> None:
    """Those with the most tasks come first. A task without an owner is of no stranger."""
    tasks = [task(n, f"usr_{n:02}") for n in range(number)] + [task(90, ""), task(91, "usr_03")]
    text = 'select = { assignedTo = "bob@x.example" }\nset = { priority = 2 }'
    with pytest.raises(InputError) as refused:
        night(text, tasks)
    said = str(refused.value).splitlines()[-1]
    start = (
        "rules.toml: owners of listed tasks who are no members: usr_03 (2 tasks), usr_00 (1 task)"
    )
    assert said.startswith(start)
    assert said.endswith(f", {end}")
    assert said.count("task)") == 9


def test_any_user_id_is_a_source_and_so_is_an_owner_who_has_left() -> None:
    """Someone who has left may still own tasks."""
    text = f'select = {{ assignedTo = ["usr_left", "usr_unseen", "left-long-ago"] }}\n{TO_ANNA}'
    tasks = [task(1, "usr_left"), task(2, "left-long-ago"), task(3)]
    assert changed(night(text, tasks)) == {1: {"assignedTo": ANNA}, 2: {"assignedTo": ANNA}}


def test_ambiguous_name_stops_everything() -> None:
    """Nobody is guessed."""
    team = (*TEAM, Member("usr_anna2", "Anna Martin", "anna2@acme.example"))
    with pytest.raises(InputError, match="'Anna Martin' stands for Anna Martin anna@acme"):
        night('select = {}\nset = { assignedTo = "Anna Martin" }', [task(1)], team=team)


def test_person_named_twice_is_refused() -> None:
    """She would get twice the share of the others."""
    text = 'select = {}\nset = { assignedTo = ["usr_anna", "anna@acme.example"] }'
    with pytest.raises(
        InputError, match=r"'anna@acme\.example' is named twice: anna@acme\.example"
    ):
        night(text, [task(1)])


def test_no_team_no_rules() -> None:
    """Without the members, nobody knows who has left."""
    with pytest.raises(InputError, match="the team can't be read, and no rule holds without it"):
        night(f"select = {{}}\n{HIGH}", [task(1)], team=None)


def test_people_of_a_rule_that_does_not_hold_stop_nothing() -> None:
    """Someone of a past rule may have left since. Someone of a coming one may still join."""
    past = f'until = 2026-03-01\nselect = {{ assignedTo = "bob@x.example" }}\n{TO_ANNA}'
    coming = f'from = 2026-04-01\nselect = {{ assignedTo = "zoe@x.example" }}\n{TO_ANNA}'
    found = night(rule(past, "past") + rule(coming, "coming"), [task(1)])
    assert found.edits == []
    assert found.notes == [
        "rule 'past' does not hold today: until 2026-03-01",
        "rule 'coming' does not hold today: from 2026-04-01",
        "rules.toml, line 11: rule 2: select.assignedTo: 'zoe@x.example' is no member of the team:"
        " it has 3 members (bulkupdate team lists them)",
    ]


# Thresholds.


def test_rule_that_selects_more_than_half_is_refused() -> None:
    """Unless the file sets `max_changes`, or the caller accepts it."""
    head = 'timezone = "Europe/Paris"\n'
    text = f'select = {{ assignedTo = "usr_ben" }}\n{HIGH}'
    tasks = [task(1), task(2), task(3, ANNA), task(4, ANNA)]
    assert len(night(text, tasks, head=head).edits) == 2
    tasks[2] = task(3)
    with pytest.raises(InputError) as refused:
        night(text, tasks, head=head)
    assert str(refused.value) == (
        "rules.toml: rule 'rule' selects 3 of 4 listed tasks, more than half: if this is meant, set"
        " max_changes in the file, or yes"
    )
    assert len(night(text, tasks, head=head, accept_many=True).edits) == 3
    assert len(night(text, tasks, head=head + "max_changes = 3\n").edits) == 3


@pytest.mark.parametrize(("limit", "is_refused"), [("1", True), ("2", False), ('"60%"', True)])
def test_more_changes_than_max_changes_are_refused(limit: str, is_refused: bool) -> None:
    """Tasks that are as they should be do not count. A share is one of the listed tasks."""
    head = f'timezone = "Europe/Paris"\nmax_changes = {limit}\n'
    tasks = [task(1), task(2), task(3, priority=2)]
    if not is_refused:
        assert len(night(f"select = {{}}\n{HIGH}", tasks, head=head).edits) == 2
        return
    with pytest.raises(InputError, match=r"2 tasks of 3 would change, and max_changes is (1|60%)$"):
        night(f"select = {{}}\n{HIGH}", tasks, head=head, accept_many=True)


# Settling.


def test_rules_that_change_a_task_to_and_fro_are_refused() -> None:
    """The message names the task and both rules."""
    rules = rule('select = { assignedTo = "usr_ben" }\nset = { assignedTo = "usr_anna" }', "one")
    rules += rule('select = { assignedTo = "usr_anna" }\nset = { assignedTo = "usr_ben" }', "two")
    with pytest.raises(InputError) as refused:
        night(rules, [task(1), task(2)])
    assert str(refused.value) == (
        "rules.toml: the rules do not settle: of task opp_001 rule 'one' sets assignedTo to"
        " 'usr_anna', and then rule 'two' would set assignedTo to 'usr_ben' (2 tasks in all)."
        " Let one of them select no task of the other, or try another order"
    )


AWAY = 'select = { assignedTo = "usr_ben" }\nset = { assignedTo = "usr_anna" }'


def test_rules_that_need_the_same_task_are_told_the_way_out() -> None:
    """Where a second rule would set what the first leaves, the first has to set it too."""
    overdue = 'select = { due = "overdue" }\nset = { dueDate = "next workday 09:00" }'
    with pytest.raises(InputError, match="let rule 'Away' set dueDate too, or let one of them"):
        night(rule(AWAY, "Away") + rule(overdue, "Overdue"), [task(1)])
    both = AWAY.replace(
        " }\nset = {", ', due = "overdue" }\nset = { dueDate = "next workday 09:00",'
    )
    found = night(rule(both, "Away") + rule(overdue, "Overdue"), [task(1)])
    assert changed(found) == {1: {"assignedTo": ANNA, "dueDate": "2026-03-11 09:00"}}


def test_rules_that_give_the_same_task_are_told_the_way_out() -> None:
    """Where a second rule would give a task to somebody else, it has to stand first."""
    campaign = 'select = { campaign = "cam_1" }\nset = { assignedTo = "usr_carl" }'
    away, winter = rule(AWAY, "Away"), rule(campaign, "Winter")
    with pytest.raises(InputError, match=r"\. Let one of them .* or try another order$"):
        night(away + winter, [task(1, campaignId="cam_1")])
    assert changed(night(winter + away, [task(1, campaignId="cam_1")])) == {1: {"assignedTo": CARL}}


def test_rule_that_pushes_without_an_end_is_refused() -> None:
    """A due date that counts from itself never comes to rest."""
    with pytest.raises(InputError, match="rule 'rule' would set dueDate to"):
        night('select = {}\nset = { dueDate = "due +1 workday" }', [task(1)])


def test_tasks_that_would_be_pushed_every_night_are_a_note() -> None:
    """With the same moment they settle, and a workday later they would change again."""
    text = 'select = { due = "overdue" }\nset = { dueDate = "next workday 09:00" }'
    found = night(text, [task(1), task(2, at="2026-03-20 09:00")])
    assert changed(found) == {1: {"dueDate": "2026-03-11 09:00"}}
    assert found.notes == ["rule 'rule': 1 task would be pushed every night"]
    assert night(f"select = {{}}\n{HIGH}", [task(1)]).notes == []


def test_rule_that_ends_tonight_pushes_nothing_tomorrow() -> None:
    """The note looks at the rules of the next workday."""
    text = (
        'until = 2026-03-11\nselect = { due = "overdue" }\nset = { dueDate = "next workday 09:00" }'
    )
    assert night(text, [task(1)]).notes == []


def test_nothing_listed_changes_nothing() -> None:
    """A night with nothing to do is one."""
    found = night(f'select = {{ type = "phone" }}\n{TO_ANNA}', [], head='timezone = "UTC"\n')
    assert (found.edits, found.notes, found.listed) == ([], [], 0)


def test_who_got_and_who_gave_is_counted() -> None:
    """The numbers are by rule and by person."""
    text = f'select = {{ owner = "not in team" }}\n{TO_ANNA}'
    found = night(text, [task(1, "usr_left"), task(2, "usr_gone"), task(3, "usr_left"), task(4)])
    assert found.got == {"rule": {ANNA: 3}}
    assert found.gave == {"rule": {"usr_left": 2, "usr_gone": 1}}


def test_time_zone_decides_on_the_day() -> None:
    """At 23:30 in Paris, what is due an hour later is due tomorrow, though not in UTC."""
    now = datetime(2026, 7, 1, 23, 30, tzinfo=PARIS)
    soon: dict[str, Any] = {"at": "2026-07-02 00:30"}
    assert selected('due = "today"', task(1, **soon), now=now.astimezone(UTC)) == []
    later = now + timedelta(hours=1)
    assert selected('due = "today"', task(1, **soon), now=later.astimezone(UTC)) == [1]


@pytest.mark.slow
def test_tasks_that_no_rule_selects_take_no_memory() -> None:
    """A team may have very many. Only their numbers by owner and day are kept."""

    def tasks() -> Iterator[Task]:
        for number in range(5_000):
            yield task(number, ANNA, content=f"{number} " * 500)

    text = HEAD + rule(f'select = {{ message = "/never/", assignedTo = "usr_anna" }}\n{HIGH}')
    rules = read_rules("rules.toml", text.encode())
    tracemalloc.start()
    try:
        assert evaluate(rules, tasks, People(TEAM), NOW).listed == 5_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
