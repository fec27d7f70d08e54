"""Tests of dealing: who gets which task, on which day; and that nothing moves a second time."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.errors import InputError
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.models import Task
from bulkupdate.plan.rules import Evaluation
from tests.plan.rules.office import ANNA, BEN, CARL, NOW, PARIS, changed, due, night, rule, task

BOTH = 'assignedTo = ["usr_anna", "usr_carl"]'
AWAY = 'select = { assignedTo = "usr_ben" }'


def owners(evaluation: Evaluation) -> dict[int, str]:
    """The new owners by the number of the task."""
    return {number: values["assignedTo"] for number, values in changed(evaluation).items()}


def days(evaluation: Evaluation) -> dict[int, tuple[str, str]]:
    """The new owner, "" for the old one, and the new day, by the number of the task."""
    return {
        number: (values.get("assignedTo", ""), values.get("dueDate", "")[5:10])
        for number, values in changed(evaluation).items()
    }


def mondays(number: int, count: int, owner: str = BEN, **shown: Any) -> list[Task]:
    """Tasks that were due on Monday, one a minute."""
    return [task(number + n, owner, f"2026-03-09 09:{n:02}", **shown) for n in range(count)]


def test_even_deals_in_turn_by_due_date() -> None:
    """The one that is due first goes to the first of the list."""
    tasks = [task(n, at=f"2026-03-{20 - n:02} 09:00") for n in range(1, 6)]
    found = night(f"{AWAY}\nset = {{ {BOTH} }}", tasks)
    assert owners(found) == {5: ANNA, 4: CARL, 3: ANNA, 2: CARL, 1: ANNA}


def test_turn_of_even_begins_with_fewest_open_tasks() -> None:
    """Nights of one task each do not give all of them to the first of the list."""
    text = f'{AWAY}\nset = {{ {BOTH} }}\ndistribute = "even"'
    assert owners(night(text, [task(1), task(2, ANNA)])) == {1: CARL}
    assert owners(night(text, [task(1), task(2, CARL)])) == {1: ANNA}
    found = night(text, [*mondays(1, 4), task(9, ANNA), task(10, ANNA)])
    assert owners(found) == {1: CARL, 2: ANNA, 3: CARL, 4: ANNA}


def test_balance_deals_to_fewest_open_tasks_of_all_listed_ones() -> None:
    """Tasks that no rule selects count too. At a tie, the first of the list gets the task."""
    text = f'{AWAY}\nset = {{ {BOTH} }}\ndistribute = "balance"'
    others = [task(n, ANNA, at="2026-05-01 09:00", type="email") for n in (90, 91)]
    assert owners(night(text, [*mondays(1, 5), *others])) == {
        1: CARL, 2: CARL, 3: ANNA, 4: CARL, 5: ANNA,
    }  # fmt: skip


def test_owner_among_the_targets_keeps_the_task_and_it_counts() -> None:
    """Only the tasks of others are dealt."""
    text = f'select = {{ type = "phone" }}\nset = {{ {BOTH} }}\ndistribute = "balance"'
    tasks = [task(1, ANNA), task(2, ANNA), *mondays(3, 2), task(5, CARL)]
    assert owners(night(text, tasks)) == {3: CARL, 4: ANNA}


def test_limit_tries_another_target_and_then_the_next_workday() -> None:
    """On Wednesday two each, on Thursday the rest; the time of day stays the same."""
    text = (
        f'{AWAY}\nset = {{ {BOTH}, dueDate = "next workday 09:00" }}\ndistribute = "balance"\n'
        "limit = { per_user_per_day = 2 }"
    )
    full = [task(n, ANNA, "2026-03-11 16:00") for n in (90, 91)]
    found = night(text, [*mondays(1, 3), *full])
    assert days(found) == {1: (CARL, "03-11"), 2: (CARL, "03-11"), 3: (ANNA, "03-12")}
    assert changed(found)[3]["dueDate"] == "2026-03-12 09:00"
    assert found.notes[0] == "rule 'rule': 1 task due on a later workday: nobody had room"


def test_next_workday_of_a_limit_skips_weekend_and_holidays() -> None:
    """Nobody gets a task on a day on which nobody works."""
    friday = datetime(2026, 4, 3, 2, tzinfo=PARIS)
    text = (
        'holidays = "FR"\nselect = { due = "overdue" }\nset = { dueDate = "next workday 09:00" }\n'
        "limit = { per_user_per_day = 1 }"
    )
    assert days(night(text, mondays(1, 2), friday)) == {1: ("", "04-03"), 2: ("", "04-07")}


def test_limit_without_targets_spreads_the_tasks_of_each_owner() -> None:
    """Who has the tasks keeps them; each owner's are spread over the workdays."""
    text = (
        'select = { due = "overdue" }\nset = { dueDate = "next workday 09:00" }\n'
        "limit = { per_user_per_day = 2 }"
    )
    found = night(text, [*mondays(1, 5), *mondays(6, 1, ANNA)])
    assert {number: day for number, (_, day) in days(found).items()} == {
        1: "03-11",
        2: "03-11",
        3: "03-12",
        4: "03-12",
        5: "03-13",
        6: "03-11",
    }


def test_person_over_the_limit_gets_none_and_loses_none() -> None:
    """What Anna has on that day stays hers, be it selected or not."""
    text = (
        f'select = {{ type = "phone" }}\nset = {{ {BOTH}, dueDate = "2026-03-12 09:00" }}\n'
        "limit = { per_user_per_day = 2 }"
    )
    hers = [task(n, ANNA, "2026-03-12 09:00") for n in (80, 81, 82)]
    hers += [task(n, ANNA, "2026-03-12 16:00", type="email") for n in (90, 91)]
    found = night(text, [*mondays(1, 2), *hers])
    assert days(found) == {1: (CARL, "03-12"), 2: (CARL, "03-12")}


def test_overdue_tasks_need_room_today() -> None:
    """They have to be done today, whatever day they were due on."""
    text = (
        f'{AWAY}\nset = {{ {BOTH}, dueDate = "next workday 09:00" }}\n'
        "limit = { per_user_per_day = 1 }"
    )
    # Carl has more open tasks, so that it is Anna's turn: she has no room.
    carls = [task(n, CARL, "2026-03-20 09:00") for n in (3, 4)]
    found = night(text, [task(1), task(2, ANNA, "2026-02-02 09:00"), *carls])
    assert days(found) == {1: (CARL, "03-11")}
    # A rule that sets no due date leaves it, where there is room today; else it is a later one.
    text = f"{AWAY}\nset = {{ {BOTH} }}\nlimit = {{ per_user_per_day = 1 }}"
    found = night(text, mondays(1, 3))
    assert days(found) == {1: (ANNA, ""), 2: (CARL, ""), 3: (ANNA, "03-12")}


def test_task_that_is_done_or_has_no_day_or_no_owner_needs_no_room() -> None:
    """A limit is one of a person on a day."""
    limit = "limit = { per_user_per_day = 1 }"
    done = f"select = {{ title = 'Call' }}\nirreversible = true\nset = {{ {BOTH}, done = true }}"
    assert len(night(f"{done}\n{limit}", mondays(1, 4)).edits) == 4
    undated = [task(n, at="") for n in (1, 2, 3)]
    found = night(f"{AWAY}\nset = {{ {BOTH} }}\n{limit}", undated)
    assert owners(found) == {1: ANNA, 2: CARL, 3: ANNA}
    text = f'select = {{ assignedTo = "" }}\nset = {{ dueDate = "2026-03-12 09:00" }}\n{limit}'
    assert {day for _, day in days(night(text, mondays(1, 3, ""))).values()} == {"03-12"}


def test_task_for_which_nobody_has_room_within_a_year_is_left() -> None:
    """It stays as it is, and people are told."""
    text = (
        f'{AWAY}\nset = {{ assignedTo = "usr_anna", dueDate = "2026-04-01 09:00" }}\n'
        "limit = { per_user_per_day = 1 }"
    )
    found = night(text, [task(n) for n in range(1, 301)])
    workdays = [
        day for n in range(367) if (day := date(2026, 4, 1) + timedelta(days=n)).weekday() < 5
    ]
    assert len(found.edits) == len(workdays)
    assert sorted({edit.changes["dueDate"][:10] for edit in found.edits}) == [
        day.isoformat() for day in workdays
    ]
    left = 300 - len(workdays)
    assert (
        f"rule 'rule': {left} tasks left as they are: nobody has room within a year" in found.notes
    )


def test_rule_with_a_larger_limit_is_dealt_first() -> None:
    """So no rule breaks the limit of another: together they put two tasks on Anna's Wednesday."""
    text = 'select = {{ type = "{}" }}\nset = {{ assignedTo = "usr_anna", dueDate = "{}" }}\n{}'
    wednesday = "next workday 09:00"
    rules = rule(text.format("email", wednesday, "limit = { per_user_per_day = 2 }"), "two")
    rules += rule(text.format("phone", wednesday, "limit = { per_user_per_day = 3 }"), "three")
    tasks = [*mondays(1, 2), *mondays(11, 2, type="email")]
    assert days(night(rules, tasks)) == {
        1: (ANNA, "03-11"),
        2: (ANNA, "03-11"),
        11: (ANNA, "03-12"),
        12: (ANNA, "03-12"),
    }


# What holds for any team, tasks and rules.

TYPES = ("phone", "email", "manual")
SINCE = datetime(2026, 3, 6, 9, tzinfo=PARIS)

task_lists = st.lists(
    st.tuples(
        st.sampled_from((ANNA, BEN, CARL, "usr_left", "")),
        st.sampled_from(TYPES),
        st.none() | st.integers(0, 12 * 8),
        st.integers(0, 2),
    ),
    max_size=24,
)
targets = st.lists(st.sampled_from((ANNA, BEN, CARL)), min_size=1, unique=True)


def listed(drawn: Iterable[tuple[str, str, int | None, int]]) -> list[Task]:
    """The drawn tasks: due from two workdays before the night to a week after it."""
    tasks = []
    for number, (owner, kind, hours, priority) in enumerate(drawn):
        moment = SINCE + timedelta(hours=3 * (hours or 0))
        at = "" if hours is None else f"{moment:%Y-%m-%d %H:%M}"
        tasks.append(task(number, owner, at, type=kind, priority=priority))
    return tasks


@st.composite
def rule_of(draw: st.DrawFn, kind: str, name: str = "") -> str:
    """A rule of tasks of one type. Its name ends with its limit, or with 0."""
    when = draw(st.sampled_from(("", ', due = "overdue"', ', due = ["weekend", "overdue"]')))
    who = draw(st.sampled_from(("", ', assignedTo = ["usr_ben", "usr_left"]')))
    people = draw(st.none() | targets)
    words = ["next workday 09:00", "+2 workdays 16:30", "+1d 09:00", "2026-03-13 09:00"]
    if when == "" or people is None:
        words.append("due +0 workdays")
    at = draw(st.none() | st.sampled_from(words))
    sets = [f"assignedTo = {people}".replace("'", '"')] if people else []
    sets += [f'dueDate = "{at}"'] if at else []
    sets += ["priority = 2"] if draw(st.booleans()) or not sets else []
    lines = [f'select = {{ type = "{kind}"{when}{who} }}', f"set = {{ {', '.join(sets)} }}"]
    if people and len(people) > 1:
        lines.append(f'distribute = "{draw(st.sampled_from(("even", "balance")))}"')
    if limit := draw(st.none() | st.integers(1, 4)) if people or at else None:
        lines.append(f"limit = {{ per_user_per_day = {limit} }}")
    return rule("\n".join(lines), f"{name or kind} {limit or 0}")


#: Rules of which none selects what another one has left.
rule_lists = st.permutations(TYPES).flatmap(lambda kinds: st.tuples(*map(rule_of, kinds)))


def after(tasks: Iterable[Task], found: Evaluation) -> list[Task]:
    """The tasks as a night leaves them."""
    changes = {edit.id: edit.changes for edit in found.edits}
    return [
        Task({**one.fields, **{TASK_NAMES[k]: v for k, v in changes.get(one.id, {}).items()}})
        for one in tasks
    ]


def loads(tasks: Iterable[Task]) -> Counter[tuple[str, date]]:
    """Number of tasks by owner and day. What is overdue has to be done today."""
    counts: Counter[tuple[str, date]] = Counter()
    for one in tasks:
        if one.due_date:
            moment = datetime.fromisoformat(one.due_date).astimezone(PARIS)
            counts[one.assigned_to or "", max(moment.date(), NOW.date())] += 1
    return counts


@given(task_lists, rule_lists, st.randoms(use_true_random=False))
def test_night_is_the_same_whatever_the_order_of_the_pages(
    drawn: list[Any], rules: tuple[str, ...], random: Any
) -> None:
    """The edits and their order depend on the tasks alone."""
    tasks = listed(drawn)
    shuffled = random.sample(tasks, len(tasks))
    assert night("".join(rules), tasks).edits == night("".join(rules), shuffled).edits


@given(task_lists, rule_lists)
def test_planning_the_result_changes_nothing(drawn: list[Any], rules: tuple[str, ...]) -> None:
    """Any rules that do not select each other's tasks settle, whatever they set and limit."""
    tasks = listed(drawn)
    found = night("".join(rules), tasks)
    assert night("".join(rules), after(tasks, found)).edits == []


@given(task_lists, st.tuples(*(st.sampled_from(TYPES[:2]) for _ in range(3))), st.data())
def test_rules_that_select_the_same_tasks_settle_or_are_refused(
    drawn: list[Any], kinds: tuple[str, ...], data: st.DataObject
) -> None:
    """Nothing is sent that the same rules would change again, as the server shows it afterwards."""
    tasks = listed(drawn)
    rules = "".join(data.draw(rule_of(kind, name)) for kind, name in zip(kinds, "abc", strict=True))
    try:
        left = after(tasks, night(rules, tasks))
    except InputError:
        with pytest.raises(InputError, match="the rules do not settle: of task opp_"):
            night(rules, tasks)
    else:
        assert night(rules, left).edits == []


@given(task_lists, rule_lists)
def test_what_changes_is_a_part_of_what_was_selected(
    drawn: list[Any], rules: tuple[str, ...]
) -> None:
    """Each task has one edit at most, of the rule that selected it, which sets what differs."""
    tasks = listed(drawn)
    found = night("".join(rules), tasks)
    by_id = {one.id: one for one in tasks}
    assert len({edit.id for edit in found.edits}) == len(found.edits)
    assert all(found.changed[name] <= found.selected[name] for name in found.changed)
    for edit in found.edits:
        shown = by_id[edit.id].fields
        assert edit.rule.startswith(shown["type"])
        assert edit.changes
        assert all(
            str(shown.get(TASK_NAMES[name], "")) != value for name, value in edit.changes.items()
        )
        known = {
            name
            for name, shown_as in TASK_NAMES.items()
            if any(shown_as in one.fields for one in tasks)
        }
        assert edit.changes.keys() & known <= edit.expect.keys() <= known
    assert sum(sum(one.values()) for one in found.got.values()) == sum(
        "assignedTo" in edit.changes for edit in found.edits
    )


#: Rules that may select the same tasks: a type or any, targets, distribution and limit of each.
overlapping = st.lists(
    st.tuples(
        st.sampled_from(("", *TYPES)),
        targets,
        st.sampled_from(("even", "balance")),
        st.none() | st.integers(1, 3),
    ),
    min_size=1,
    max_size=3,
)


@given(task_lists, overlapping)
def test_what_is_assigned_is_a_partition_of_what_was_selected(
    drawn: list[Any], rules: list[tuple[str, list[str], str, int | None]]
) -> None:
    """Each task that a rule selects first has one of its targets; no other task has moved."""
    text = ""
    for number, (kind, people, distribute, limit) in enumerate(rules):
        select = f"type = '{kind}'" if kind else ""
        lines = f"select = {{ {select} }}\nset = {{ assignedTo = {people} }}\n"
        lines += f'distribute = "{distribute}"\n' if len(people) > 1 else ""
        lines += f"limit = {{ per_user_per_day = {limit} }}\n" if limit else ""
        text += rule(lines.replace("'", '"'), str(number))
    tasks = listed(drawn)
    found = night(text, tasks)
    left = {one.id: one.assigned_to for one in after(tasks, found)}
    selected, moved = Counter[str](), dict[str, str]()
    for one in tasks:
        mine = [n for n, (kind, *_) in enumerate(rules) if kind in ("", one.fields["type"])]
        if not mine:
            assert left[one.id] == one.assigned_to
            continue
        selected[str(mine[0])] += 1
        assert left[one.id] in rules[mine[0]][1]
        if left[one.id] != one.assigned_to:
            moved[one.id] = str(mine[0])
    assert +found.selected == selected
    assert {name: sum(people.values()) for name, people in found.got.items()} == Counter(
        moved.values()
    )
    edits = [edit for edit in found.edits if "assignedTo" in edit.changes]
    assert sorted((edit.id, edit.rule) for edit in edits) == sorted(moved.items())


@given(task_lists, rule_lists)
def test_no_rule_exceeds_its_limit(drawn: list[Any], rules: tuple[str, ...]) -> None:
    """Where a rule gives a task to a person or moves it to a day, the limit holds in the end."""
    tasks = listed(drawn)
    found = night("".join(rules), tasks)
    left = after(tasks, found)
    counts, by_id = loads(left), {one.id: one for one in left}
    before: Mapping[str, Task] = {one.id: one for one in tasks}
    for edit in found.edits:
        limit = int(edit.rule.split()[1])
        old, new = loads([before[edit.id]]), loads([by_id[edit.id]])
        moved = [place for place in new if place not in old and place[0]]
        assert not limit or all(counts[place] <= limit for place in moved)


@given(task_lists, targets.filter(lambda people: len(people) > 1))
def test_shares_of_even_differ_by_at_most_one(drawn: list[Any], people: list[str]) -> None:
    """Of the tasks that are dealt anew. A person may already have more."""
    text = f"select = {{}}\nset = {{ assignedTo = {people} }}".replace("'", '"')
    got = night(text, listed(drawn)).got.get("rule", Counter())
    shares = [got[person] for person in people]
    assert max(shares) - min(shares) <= 1


@given(task_lists, targets.filter(lambda people: len(people) > 1))
def test_balance_ends_with_smallest_greatest_load(drawn: list[Any], people: list[str]) -> None:
    """Nobody has more than the even share of all, but who had more before."""
    tasks = listed(drawn)
    text = f'select = {{ type = "phone" }}\nset = {{ assignedTo = {people} }}'.replace("'", '"')
    found = night(f'{text}\ndistribute = "balance"', tasks)
    had = Counter(one.assigned_to for one in tasks)
    have = Counter(one.assigned_to for one in after(tasks, found))
    fair = math.ceil(sum(have[person] for person in people) / len(people))
    assert max(have[person] for person in people) == max(fair, *(had[person] for person in people))


@pytest.mark.parametrize("limit", [1, 3])
def test_second_night_moves_nothing_that_was_spread(limit: int) -> None:
    """What was put on later days is not overdue, so that it stays there."""
    text = (
        'select = { due = "overdue" }\nset = { dueDate = "next workday 09:00" }\n'
        f"limit = {{ per_user_per_day = {limit} }}"
    )
    tasks = mondays(1, 7)
    left = after(tasks, night(text, tasks))
    again = night(text, left, NOW + timedelta(hours=5))
    assert again.edits == []
    assert due("2026-03-11 09:00") in {one.due_date for one in left}
