"""Tests of the preview of a run."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.codec import replaced
from bulkupdate.errors import InputError, Problem
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Row, TaskUpdate
from bulkupdate.plan import preview as preview_module
from bulkupdate.plan.preview import Inspection, Preview, inspect
from bulkupdate.reader import Input
from tests.support.fakes import row


def preview_of(*rows: Row) -> Preview:
    inspection = Inspection()
    for one in rows:
        inspection.add([one])
    return inspection.preview(RateLimit(20, 2))


def test_preview_counts_edits_clears_and_requests() -> None:
    """The preview counts edits, clears, problems, unchanged rows and requests."""
    preview = preview_of(
        row(1, title="x", done=False),
        row(2, title="", priority="none"),
        Row(3, 4, "c", TaskUpdate(id="c"), (), ""),
        Row(4, 5, "", None, (Problem("id", "", "x"), Problem("done", "", "y")), ""),
    )
    assert (preview.rows, preview.invalid, preview.problems, preview.unchanged) == (4, 1, 2, 1)
    assert preview.edits == {"title": 1, "done": 1}
    assert preview.clears == {"title": 1, "priority": 1}
    assert (preview.requests, preview.tasks) == (2, 3)
    assert preview.seconds == pytest.approx(0.2)
    assert [(group.count, group.examples[0].row) for group in preview.problem_groups] == [
        (1, 4),
        (1, 4),
    ]


def test_preview_counts_rows_that_complete_or_clear_once() -> None:
    """A row that completes its task and clears two fields is one such row; `done: no` is none."""
    preview = preview_of(
        row(1, done=True),
        row(2, title="", message="", done=True),
        row(3, title="", done=False),
        row(4, title="x", done=False),
        row(5, title="x", images=[]),
        row(6, title="x"),
        Row(7, 8, "g", None, (Problem("done", "", "y"),), ""),
    )
    assert (preview.completes, preview.completes_or_clears) == (2, 4)
    assert preview.clears == {"title": 2, "message": 1, "images": 1}


@pytest.mark.parametrize(
    "lines",
    [
        ["id,title,done", "a,x,yes", "b,<clear>,true", "c,<clear>,", "d,x,no"],
        [
            '{"id": "a", "title": "x", "done": true}',
            '{"id": "b", "title": "", "done": "yes"}',
            '{"id": "c", "title": "", "done": null}',
            '{"id": "d", "title": "x", "done": false}',
        ],
    ],
    ids=["csv", "jsonl"],
)
def test_completed_rows_are_counted_in_each_format(tmp_path: Path, lines: list[str]) -> None:
    """Rows that complete or clear are counted alike in a table and in objects."""
    path = tmp_path / "edits"
    path.write_text("\n".join(lines) + "\n")
    with Input.open(path) as source:
        *_, inspection = inspect(source)
    preview = inspection.preview(None)
    assert (preview.completes, preview.completes_or_clears) == (2, 3)


@pytest.mark.parametrize(("merge", "requests"), [(False, 3), (True, 2)])
def test_rows_of_a_task_are_merged_only_where_that_is_asked(
    tmp_path: Path, merge: bool, requests: int
) -> None:
    """Each row is a request of its own, unless the rows of one task are to become one."""
    path = tmp_path / "edits.csv"
    path.write_text("id,title\nopp_1,A\nopp_2,B\nopp_1,C\n")
    with Input.open(path) as source:
        *_, inspection = inspect(source, merge=True) if merge else inspect(source)
    preview = inspection.preview(None)
    assert (preview.merged, preview.requests) == (merge, requests)


def test_preview_shows_few_examples_counts_all() -> None:
    """The preview counts every row but keeps a few examples of problems and bodies."""
    invalid = [Row(n, n, "", None, (Problem("id", "", "x"),), "") for n in range(1, 101)]
    preview = preview_of(*invalid, *(row(n) for n in range(101, 201)))
    (group,) = preview.problem_groups
    assert (preview.invalid, group.count, len(group.examples)) == (100, 100, 5)
    assert (preview.requests, len(preview.bodies)) == (100, 3)


def test_preview_names_first_repeated_tasks() -> None:
    """The preview counts tasks with several rows and names the rows of the first three."""
    tasks = ["a", "b", "a", "c", "b", "a", "d", "d", "e", "e"]
    preview = preview_of(*(row(n, task) for n, task in enumerate(tasks, 1)))
    assert (preview.tasks, preview.repeated) == (5, 4)
    assert preview.repeats == [[1, 3, 6], [2, 5], [7, 8]]


def test_rows_of_a_task_are_merged_on_request_only() -> None:
    """Each row is a request of its own, unless the rows of a task are to be merged."""
    rows = [row(1, "a", title="x"), row(2, "b"), row(3, "a", title="y"), row(4, "a", done=True)]
    plain = preview_of(*rows)
    assert (plain.merged, plain.requests, len(plain.bodies)) == (False, 4, 3)
    inspection = Inspection(merge=True)
    for one in rows:
        inspection.add([one])
    merged = inspection.preview("auto")
    assert (merged.merged, merged.requests) == (True, 2)
    assert merged.bodies == [{"id": "a", "title": "y", "done": True}, {"id": "b", "done": True}]
    assert [number in inspection.followed() for number in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        False,
    ]


def test_shown_body_has_what_later_rows_of_its_task_add() -> None:
    """Once the examples are complete, a later row of one of their tasks still changes it."""
    inspection = Inspection(merge=True)
    for number, task in enumerate("abcd", 1):
        inspection.add([row(number, task, title=task)])
    inspection.add([row(5, "a", title="later")])
    bodies = inspection.preview("auto").bodies
    assert [(body["id"], body["title"]) for body in bodies] == [
        ("a", "later"), ("b", "b"), ("c", "c"),
    ]  # fmt: skip


def test_rows_that_expect_something_are_counted() -> None:
    """Each row that expects something counts once, however much it expects."""
    expecting = replaced(row(1), expect={"title": "Old", "done": False})
    assert preview_of(expecting, row(2), replaced(row(3), expect={"title": ""})).expecting == 2


def test_row_without_a_change_follows_no_other() -> None:
    """A row that is not sent holds no earlier row of its task back."""
    inspection = Inspection(merge=True)
    for one in (row(1, "a"), Row(2, 3, "a", TaskUpdate(id="a"), (), ""), row(3, "a")):
        inspection.add([one])
    assert [number in inspection.followed() for number in (1, 2, 3)] == [True, False, False]


def test_invalid_rows_are_handed_on(tmp_path: Path) -> None:
    """The callback for invalid rows gets each of them, and no other row."""
    path = tmp_path / "edits.csv"
    path.write_text("id,done\na,yes\nb,perhaps\nc,no\n,yes\n")
    seen: list[int] = []
    with Input.open(path) as source:
        for _ in inspect(source, invalid=lambda row: seen.append(row.number)):
            pass
    assert seen == [2, 4]


def test_rows_of_a_task_that_can_not_be_merged_are_each_shown() -> None:
    """Where one task can't take two rows together, the preview shows both requests."""
    inspection = Inspection(merge=True)
    for field in ("images", "videos"):
        urls = [f"https://example.com/{field}{n}" for n in range(4)]
        inspection.add([row(1 + (field == "videos"), "a", **{field: urls})])
    first, second = inspection.preview("auto").bodies
    assert (len(first["images"]), len(second["videos"])) == (4, 4)


@given(st.lists(st.integers(0, 30)), st.integers(1, 10))
def test_task_count_is_independent_of_parts(ids: list[int], size: int) -> None:
    """The preview counts the tasks correctly, however many parts the count takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preview_module, "_PARTS", size)
        preview = preview_of(*(row(n, f"t{id_}") for n, id_ in enumerate(ids, 1)))
    assert preview.tasks == len(set(ids))
    assert preview.repeated == sum(ids.count(id_) > 1 for id_ in set(ids))


def test_header_without_any_row_is_refused(write: Callable[..., Path]) -> None:
    """A file with a header but without a row is refused."""
    with (
        Input.open(write("a.csv", "id,title")) as source,
        pytest.raises(InputError, match="no row"),
    ):
        list(inspect(source))


def test_inspecting_long_file_pauses_regularly(write: Callable[..., Path]) -> None:
    """Inspecting a long file pauses at least once every 128 rows."""
    with Input.open(write("a.csv", "id", *(f"t{n}" for n in range(1000)))) as source:
        pauses = [inspection.rows for inspection in inspect(source)]
    assert pauses[-1] == 1000
    assert max(b - a for a, b in pairwise(pauses)) <= 128


def test_accounts_send_side_by_side() -> None:
    """The time is that of the account with most requests. A row that sets nothing takes none."""
    inspection = Inspection(has_accounts=True)
    rows = [replaced(row(n), account="acme" if n % 3 else "globex") for n in range(1, 61)]
    idle = replaced(row(61), update=TaskUpdate(id="opp_61"), account="acme")
    inspection.add([*rows, idle, replaced(row(62), update=None, account="")])
    preview = inspection.preview("auto")
    assert preview.accounts == {"acme": 41, "globex": 20}
    assert (preview.requests, preview.longest, preview.seconds) == (60, 40, 4.0)
    assert preview.at(RateLimit(10, 1)).seconds == 4.0
    assert preview.tasks == 61


def test_same_id_in_two_accounts_is_two_tasks() -> None:
    """Neither repeats the other."""
    inspection = Inspection(merge=True, has_accounts=True)
    rows = [replaced(row(n, "opp_1"), account=name) for n, name in ((1, "a"), (2, "b"), (3, "a"))]
    inspection.add(rows)
    preview = inspection.preview("auto")
    assert (preview.tasks, preview.repeated, preview.repeats) == (2, 1, [[1, 3]])
    assert preview.requests == 2
    followed = inspection.followed()
    assert [n in followed for n in (1, 2, 3)] == [True, False, False]
