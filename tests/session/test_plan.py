"""`plan`: what a file of edits would change in the live tasks. Nothing is sent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.models import Row
from bulkupdate.reader import Input, ReadOptions
from bulkupdate.sandbox import Order
from bulkupdate.session.plan import plan_edits
from bulkupdate.session.planrecord import Change, Plan
from bulkupdate.session.settings import ChangeLimit
from tests.session.test_compare import bench_of, compared, patches
from tests.support.bench import Bench

Write = Callable[..., Path]


async def planned(bench: Bench, path: Path, **settings: Any) -> tuple[Plan, list[Change]]:
    """The plan for a file, and its changes."""
    config = bench.config(path)
    making = plan_edits(
        path, config.only_account.endpoint(), rate=None, retry=config.retry, **settings
    )
    async with making as plan:
        return plan, [*plan.changes()]


def rows_of(path: Path) -> list[Row]:
    with Input.open(path, options=ReadOptions()) as source:
        return [*source.rows()]


async def test_plan_tells_old_and_new_and_sends_nothing(write: Write) -> None:
    """Each task that would change is there once, with the values now and after it."""
    path = write(
        "edits.csv",
        "id,title,message,assignedTo,priority",
        "opp_1,New,,ben@acme.example,",
        "opp_2,T2,,,medium",
        "opp_3,,Text,,<clear>",
        "opp_4,,,,",
    )
    async with bench_of() as bench:
        plan, changes = await planned(bench, path)
        assert patches(bench) == []
    first, second = changes
    assert (first.id, first.title, second.id) == ("opp_1", "T1", "opp_3")
    assert first.before == {"title": "T1", "assignedTo": "usr_anna"}
    assert first.after == {"title": "New", "assignedTo": "usr_ben"}
    assert second.before == {"message": "", "priority": "1"}
    assert second.after == {"message": "Text", "priority": ""}
    assert (plan.rows, plan.tasks, plan.already, plan.unchanged, plan.listed) == (4, 2, 1, 1, 5)
    assert plan.fields == {"title": 1, "assignedTo": 1, "message": 1, "priority": 1}
    assert (plan.owners, plan.clears) == ({"usr_ben": 1}, {"priority": 1})
    assert (plan.reading, plan.is_whole) == (2, False)


async def test_list_that_moved_is_told(write: Write) -> None:
    """A plan of a list that may lack tasks says so."""
    path = write("edits.csv", "id,title", *(f"opp_{number},New" for number in range(1, 41)))
    async with bench_of(40, page_size=10, order=Order.RANDOM, seed=1) as bench:
        plan, _ = await planned(bench, path)
    assert plan.conflicts["not_listed"] > 0
    assert any("moved while it was read" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("closed", "cure"), [({}, "enter members of the team,"), ({"team": 402}, "enter ids of users")]
)
async def test_cure_for_an_invalid_owner_is_one_that_works(
    write: Write, closed: dict[str, Any], cure: str
) -> None:
    """Where names and addresses can't be read, members are told by their ids alone."""
    path = write("edits.csv", "id,assignedTo", "opp_1,carl@acme.example")
    async with bench_of(closed=closed) as bench:
        plan, _ = await planned(bench, path)
    assert plan.refusal(None, skip_invalid=False).startswith(cure)


async def test_rows_of_a_task_are_folded(write: Write) -> None:
    """Rows of one task follow each other in the plan, as in the run. One change is left."""
    path = write(
        "edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,T1", "opp_2,A,", "opp_2,T2,"
    )
    async with bench_of() as bench:
        plan, changes = await planned(bench, path)
    assert changes == [Change("opp_1", "T1", {"title": "T1"}, {"title": "B"}, {"title": "T1"})]
    assert plan.tasks == 1


async def test_conflicts_are_counted_and_left_out(write: Write, tmp_path: Path) -> None:
    """A row whose task is not as expected, or not listed, is in no file of a plan."""
    path = write(
        "edits.csv", "id,title,expect.title", "opp_1,A,Other", "opp_9,A,", "opp_2,A,", "opp_3,A,T3"
    )
    async with bench_of() as bench:
        plan, _ = await planned(bench, path, output=tmp_path / "p.csv")
    assert plan.conflicts == {"changed_since": 1, "not_listed": 1}
    assert [row.id for row in rows_of(tmp_path / "p.csv")] == ["opp_2", "opp_3"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "xlsx"])
async def test_written_plan_is_exact(write: Write, tmp_path: Path, suffix: str) -> None:
    """The file holds what differs, and expects what is there now. A run of it changes just that."""
    path = write(
        "edits.csv", "id,title,message,priority,done", "opp_1,New,<clear>,low,", "opp_2,,,,true"
    )
    output = tmp_path / f"p.{suffix}"
    async with bench_of() as bench:
        bench.sandbox.team.tasks["opp_1"]["content"] = "Text"
        await planned(bench, path, output=output)
        first, second = rows_of(output)
        assert first.expect == {"title": "T1", "message": "Text", "priority": "1"}
        assert second.expect == {"done": False}
        summary = await compared(bench, output, out="p.run")
        assert patches(bench) == [
            {"id": "opp_1", "title": "New", "message": "", "priority": "0"},
            {"id": "opp_2", "done": True},
        ]
    assert (summary.exit_code, summary.counts["updated"]) == (0, 2)


async def test_tasks_that_changed_since_the_plan_are_conflicts(
    write: Write, tmp_path: Path
) -> None:
    """What others change between plan and run is found; the failed file is planned anew."""
    path = write("edits.csv", "id,title", *(f"opp_{n},New" for n in range(1, 6)))
    output, renewed = tmp_path / "p.csv", tmp_path / "again.csv"
    async with bench_of() as bench:
        await planned(bench, path, output=output)
        for task in ("opp_2", "opp_4"):
            bench.sandbox.team.tasks[task]["title"] = "By another hand"
        summary = await compared(bench, output, out="p.run")
        assert (summary.exit_code, summary.counts["conflict"]) == (1, 2)
        failed = Path("p.run/failed.csv")
        plan, changes = await planned(bench, failed, output=renewed, renew=True)
        assert not plan.conflicts
        assert [change.before["title"] for change in changes] == ["By another hand"] * 2
        summary = await compared(bench, renewed, out="again.run")
    assert (summary.exit_code, summary.counts["updated"]) == (0, 2)


async def test_owner_who_is_no_member_is_told(write: Write) -> None:
    """Such a row is invalid, and the nearest members are named."""
    path = write("edits.csv", "id,assignedTo", "opp_1,bne@acme.example")
    async with bench_of() as bench:
        plan, changes = await planned(bench, path)
    assert (plan.invalid_count, changes) == (1, [])
    assert "did you mean Ben Keller ben@acme.example (usr_ben)" in plan.invalid[0][2]


async def test_field_that_no_task_shows_is_named(write: Write, tmp_path: Path) -> None:
    """What can't be compared is sent, can't be taken back, and has no expectation."""
    path = write("edits.csv", "id,message", "opp_1,Text")
    async with bench_of(hidden=("content",)) as bench:
        plan, changes = await planned(bench, path, output=tmp_path / "p.jsonl")
    assert changes == [Change("opp_1", "T1", {}, {"message": "Text"}, {})]
    assert plan.unknown == {"message": 1}
    assert rows_of(tmp_path / "p.jsonl")[0].expect is None


async def test_invalid_row_is_refused_before_anything_is_read(write: Write) -> None:
    """The check without the server comes first."""
    path = write("edits.csv", "id,priority", "opp_1,urgent")
    async with bench_of() as bench:
        with pytest.raises(errors.InputError, match="row 1: priority 'urgent'"):
            await planned(bench, path)
        assert bench.seen == []


async def test_empty_reading_is_an_error(write: Write) -> None:
    """A server that lists no task shows no plan, unless this is allowed."""
    path = write("edits.csv", "id,title", "opp_1,New")
    async with bench_of(0) as bench:
        with pytest.raises(errors.RunStoppedError, match="lists 0 tasks"):
            await planned(bench, path)
        plan, _ = await planned(bench, path, allow_few=True)
    assert plan.conflicts == {"not_listed": 1}


async def test_requests_are_those_of_the_file(write: Write) -> None:
    """Each row that differs is a request, unless the rows of a task are merged."""
    path = write("edits.csv", "id,title", "opp_1,A", "opp_1,B", "opp_2,A", "opp_3,T3")
    async with bench_of() as bench:
        plan, _ = await planned(bench, path)
        await compared(bench, path)
        assert (plan.tasks, plan.requests) == (2, len(patches(bench)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "enter members of the team, or leave such rows out with skip_invalid"),
        ({"skip_invalid": True, "max_changes": ChangeLimit(1)}, "2 tasks would change"),
        ({"skip_invalid": True, "max_changes": ChangeLimit(2)}, None),
    ],
)
async def test_file_of_a_plan_is_refused_where_a_run_would_be(
    write: Write, settings: dict[str, Any], says: str | None
) -> None:
    """Rows are left out, and many changes allowed, only where the caller says so."""
    rows = ["opp_1,A,,", "opp_2,A,,", "opp_2,T2,,", "opp_3,A,bne@acme.example,"]
    rows += ["opp_4,A,,urgent"] if settings else []
    path = write("edits.csv", "id,title,assignedTo,priority", *rows)
    async with bench_of() as bench:
        if says is not None:
            with pytest.raises(errors.InputError, match=says):
                await planned(bench, path, output="p.csv", **settings)
            assert not Path("p.csv").exists()
            return
        plan, _ = await planned(bench, path, output="p.csv", **settings)
        assert (plan.touched, plan.tasks) == (2, 1)
    assert [row.id for row in rows_of(Path("p.csv"))] == ["opp_1"]


async def test_row_of_an_unlisted_task_is_planned_where_it_would_be_sent(write: Write) -> None:
    """What such a row overwrites is not known. With an expectation it is a conflict."""
    path = write("edits.csv", "id,title,expect.title", "opp_9,New,", "opp_8,New,T8")
    async with bench_of() as bench:
        plan, changes = await planned(bench, path, unlisted="send")
    assert changes == [Change("opp_9", "", {}, {"title": "New"}, {})]
    assert (plan.unknown, plan.conflicts) == ({"title": 1}, {"not_listed": 1})
