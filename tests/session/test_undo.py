"""The file of edits that takes runs back."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, JournalError, RunDirectoryError, RunInUseError
from bulkupdate.journal import RunDirectory
from bulkupdate.journal.directory import Mode
from bulkupdate.reader import Format, Input, ReadOptions
from bulkupdate.session.overwritten import Obstacle
from bulkupdate.session.plan import made_plan
from bulkupdate.session.planfile import write_plan
from bulkupdate.session.run import run as run_edits
from bulkupdate.session.undo import Undone, undo_run
from tests.support.bench import Bench
from tests.support.overwriting import Overwriting, answer

#: A task before a run, and after it.
OLD = {"assignedTo": "usr_ben", "title": "Old"}
NEW = {"assignedTo": "usr_anna", "title": "New"}


def taken_back(*runs: Overwriting | Path) -> tuple[list[dict[str, Any]], Undone]:
    """The rows of the file that takes runs back, and what is told of it."""
    paths = [run if isinstance(run, Path) else run.save() for run in runs]
    undone = undo_run(paths, "undo.jsonl", overwrite=True)
    return [json.loads(line) for line in Path("undo.jsonl").read_text().splitlines()], undone


def row(values: dict[str, Any], expect: dict[str, Any], id_: str = "opp_1") -> dict[str, Any]:
    return {"id": id_, **values, "expect": expect}


def left_out(undone: Undone) -> dict[Obstacle, list[str]]:
    return {obstacle: found.named for obstacle, found in undone.left_out.items()}


def test_each_field_goes_back_to_its_image() -> None:
    """A row sets what stood before the run, and expects what the run has left."""
    run = Overwriting()
    run.write(1, "opp_1", OLD, NEW)
    run.write(2, "opp_2", {"priority": "1"}, {"priority": "2"})
    rows, undone = taken_back(run)
    assert rows == [row(OLD, NEW), row({"priority": "1"}, {"priority": "2"}, "opp_2")]
    assert (undone.tasks, undone.counts) == (2, {"assignedTo": 1, "title": 1, "priority": 1})
    assert not undone.left_out
    assert not undone.rows_left


def test_value_of_the_answer_is_expected() -> None:
    """What the answer shows is expected; where it does not show a field, what was sent."""
    run = Overwriting()
    sent = {"title": " New ", "message": "M", "priority": "2"}
    task = {"_id": "opp_1", "title": "New", "priority": 2}
    run.write(1, "opp_1", {"title": "Old", "message": "O", "priority": "0"}, sent, task=task)
    rows, _ = taken_back(run)
    assert rows[0]["expect"] == {"title": "New", "message": "M", "priority": "2"}


def test_answer_that_shows_an_empty_field_is_expected_empty() -> None:
    """A server that emptied a field has left it empty, whatever was sent."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, task={"_id": "opp_1", "title": None})
    rows, _ = taken_back(run)
    assert rows == [row({"title": "Old"}, {"title": ""})]


def test_field_that_the_server_left_alone_does_not_go_back() -> None:
    """An answer with the value from before shows that nothing is to be taken back."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, task=answer("opp_1", OLD))
    assert taken_back(run)[0] == []


def test_unconfirmed_row_goes_back() -> None:
    """A row that may have been applied is taken back, and expects what it sent."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, "unconfirmed", cut_short=True)
    assert taken_back(run)[0] == [row({"title": "Old"}, {"title": "New"})]


def test_undo_in_doubt_is_no_undo() -> None:
    """Where a run and an undo of it in doubt are taken back, what the run has left is expected."""
    run, undo = Overwriting("1.run"), Overwriting("2.run")
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    undo.write(1, "opp_1", {"title": "New"}, {"title": "Old"}, "unconfirmed")
    assert taken_back(run, undo)[0] == [row({"title": "Old"}, {"title": "New"})]


def test_row_in_doubt_that_restores_is_no_undo() -> None:
    """A later row of the same run, in doubt, may have restored the value, and may not."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.result(2, "opp_1", "unconfirmed", sent={"title": "Old"})
    assert taken_back(run)[0] == [row({"title": "Old"}, {"title": "New"})]


@pytest.mark.parametrize(("title", "conflicts"), [("Newer", 0), ("New", 1)])
async def test_row_in_doubt_over_another_one_is_named(title: str, conflicts: int) -> None:
    """A row expects one value. If the last request was not applied, the row is planned anew."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.write(2, "opp_1", {}, {"title": "Newer"}, "unconfirmed")
    run.write(3, "opp_2", {"title": "Old"}, {"title": "New"}, "unconfirmed")
    run.write(4, "opp_3", {"title": "Old"}, {"title": "New"})
    run.write(5, "opp_3", {}, {"title": "Old"}, "unconfirmed")
    rows, undone = taken_back(run)
    assert rows[0] == row({"title": "Old"}, {"title": "Newer"})
    assert (undone.doubtful.counts, undone.doubtful.named) == ({"title": 1}, ["opp_1 title"])
    async with Bench() as bench:
        for id_, now in (("opp_1", title), ("opp_2", "Old"), ("opp_3", "New")):
            bench.sandbox.team.add(id_)["title"] = now
        summary = await run_edits(bench.config(Path("undo.jsonl"), compare=True))
        assert summary.counts["conflict"] == conflicts
        if conflicts:
            endpoint = bench.config(Path("undo.jsonl")).only_account.endpoint()
            with Input.open(Path("undo.jsonl"), options=ReadOptions(people=True)) as source:
                async with made_plan(source, endpoint, rate=None, renew=True) as plan:
                    await write_plan(plan, Path("again.jsonl"), Format.JSONL, has_mark=False)
            again = await run_edits(bench.config(Path("again.jsonl"), compare=True))
            assert again.counts["updated"] == 1
        assert {bench.sandbox.team.tasks[one["id"]]["title"] for one in rows} == {"Old"}


def test_write_that_a_reading_has_shown_is_in_no_doubt() -> None:
    """What a run has seen before its write stands there, if that write was not applied."""
    runs = [Overwriting(f"{number}.run") for number in (1, 2, 3)]
    runs[0].write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    runs[1].write(1, "opp_1", {"title": "New"}, {"title": "Newer"}, "unconfirmed")
    runs[2].write(1, "opp_1", {"title": "Newer"}, {"title": "Old"}, "unconfirmed")
    rows, undone = taken_back(*runs)
    assert rows == [row({"title": "Old"}, {"title": "Newer"})]
    assert not undone.doubtful.counts


def test_several_requests_in_doubt_over_a_certain_one_are_named() -> None:
    """Either value may stand there: the row expects the certain one, and is named."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.result(2, "opp_1", "unconfirmed", sent={"title": "Newer"})
    run.result(3, "opp_1", "unconfirmed", sent={"title": "Old"})
    rows, undone = taken_back(run)
    assert rows == [row({"title": "Old"}, {"title": "New"})]
    assert undone.doubtful.named == ["opp_1 title"]


def test_no_value_below_a_certain_one_is_expected() -> None:
    """What an older row has left was overwritten for certain."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.result(2, "opp_1", sent={"title": "Newer"})
    run.result(3, "opp_1", "unconfirmed", sent={"title": "Old"})
    rows, undone = taken_back(run)
    assert rows == [row({"title": "Old"}, {"title": "Newer"})]
    assert not undone.doubtful.counts


def test_confirmed_row_that_restores_leaves_nothing_to_take_back() -> None:
    """A field that the run itself has put back is as before."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.result(2, "opp_1", sent={"title": "Old"})
    assert taken_back(run)[0] == []


@pytest.mark.parametrize("outcome", [None, "unchanged", "conflict"])
def test_request_without_a_result_goes_back(outcome: str | None) -> None:
    """An image shows a request that may have been applied, whatever a later session found."""
    run = Overwriting()
    run.image(1, "opp_1", {"title": "Old"}, {"title": "New"})
    if outcome is not None:
        run.result(1, "opp_1", outcome)
    assert taken_back(run)[0] == [row({"title": "Old"}, {"title": "New"})]


def test_refused_row_does_not_go_back() -> None:
    """A row that the server refused has changed nothing."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, "failed")
    assert taken_back(run)[0] == []


def test_image_of_a_refused_row_serves_a_later_one() -> None:
    """What stood before a refused request stands before the next one too."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, "failed")
    run.result(2, "opp_1", sent={"title": "Newer"})
    assert taken_back(run)[0] == [row({"title": "Old"}, {"title": "Newer"})]


def test_earlier_update_counts_whatever_came_last() -> None:
    """A row that was updated, and refused as it was sent again, has changed its task."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.result(1, "opp_1", "failed", {"title": "New"})
    assert taken_back(run)[0] == [row({"title": "Old"}, {"title": "New"})]


def test_request_after_a_refused_one_may_have_been_applied() -> None:
    """A row that was refused, and in flight when a later session was killed, is taken back."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, "failed")
    run.image(1, "opp_1", {"title": "Old"}, {"title": "New"})
    assert taken_back(run)[0] == [row({"title": "Old"}, {"title": "New"})]


def test_rows_of_a_task_become_one() -> None:
    """A task gets one row: from what the last row left to what stood before the first."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.write(2, "opp_2", {"title": "2"}, {"title": "New"})
    run.result(3, "opp_1", sent={"title": "Newer"})
    run.write(4, "opp_1", {"priority": None}, {"priority": "2", "title": "Newest"})
    first, second = taken_back(run)[0]
    assert first == row({"title": "Old", "priority": ""}, {"title": "Newest", "priority": "2"})
    assert second["id"] == "opp_2"


def test_field_goes_back_to_its_newest_image() -> None:
    """A change by another hand between two sessions is what the last session has overwritten."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.write(2, "opp_1", {"title": "Of another"}, {"title": "Newer"})
    rows, undone = taken_back(run)
    assert rows == [row({"title": "Of another"}, {"title": "Newer"})]
    assert undone.changed.named == ["opp_1 title"]


def test_same_image_again_is_no_change_by_another_hand() -> None:
    """A session that finds the value from before writes an image again; nobody has changed it."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, "unconfirmed")
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    rows, undone = taken_back(run)
    assert rows == [row({"title": "Old"}, {"title": "New"})]
    assert not undone.changed.counts


def chain(*values: str, outcome: str = "updated") -> list[Overwriting]:
    """Runs of which each overwrites what the one before it has left."""
    runs = [Overwriting(f"{number}.run") for number in range(1, len(values))]
    for run, before, after in zip(runs, values, values[1:], strict=False):
        run.write(1, "opp_1", {"title": before}, {"title": after}, outcome)
    return runs


@pytest.mark.parametrize("outcome", ["updated", "unconfirmed"])
def test_several_runs_go_back_before_the_first(outcome: str) -> None:
    """If each run found what the one before it had left, fields go back before the first one."""
    runs = chain("A", "B", "C", "D", outcome=outcome)
    rows, undone = taken_back(*reversed(runs))
    assert rows == [row({"title": "A"}, {"title": "D"})]
    assert not undone.changed.counts


def test_change_between_runs_is_not_taken_back() -> None:
    """Where another hand wrote between two runs, a field goes back to that, and it is named."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", OLD, NEW)
    second.write(1, "opp_1", {"title": "Of another"}, {"title": "Newer"})
    rows, undone = taken_back(first, second)
    assert rows == [
        row(
            {"assignedTo": "usr_ben", "title": "Of another"},
            {"assignedTo": "usr_anna", "title": "Newer"},
        )
    ]
    assert undone.changed.named == ["opp_1 title"]


def test_value_put_back_between_runs_is_no_change() -> None:
    """Where another hand has put the first value back, the second run leads to the same."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    second.write(1, "opp_1", {"title": "Old"}, {"title": "Newer"})
    rows, undone = taken_back(first, second)
    assert rows == [row({"title": "Old"}, {"title": "Newer"})]
    assert not undone.changed.counts


def test_several_rows_of_a_run_are_one_link() -> None:
    """A run whose later row overwrote its earlier one hangs together with the run before it."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", {"title": "A"}, {"title": "B"})
    second.write(1, "opp_1", {"title": "B"}, {"title": "C"})
    second.result(2, "opp_1", sent={"title": "D"})
    assert taken_back(first, second)[0] == [row({"title": "A"}, {"title": "D"})]


def test_no_run_before_a_change_is_taken_back() -> None:
    """Behind a change by another hand no link is sought, even if an older run left that value."""
    first, second, third = chain("A", "B", "C", "D")
    third.images[0]["before"] = {"title": "B"}
    rows, undone = taken_back(first, second, third)
    assert rows == [row({"title": "B"}, {"title": "D"})]
    assert undone.changed.named == ["opp_1 title"]


def test_change_before_any_write_is_none_between_writes() -> None:
    """A run whose rows were refused has written nothing that a change could come after."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", {"title": "Older"}, {"title": "New"}, "failed")
    second.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    rows, undone = taken_back(first, second)
    assert rows == [row({"title": "Old"}, {"title": "New"})]
    assert not undone.changed.counts


def test_link_goes_around_a_write_in_doubt() -> None:
    """A request that was never applied breaks no chain of runs."""
    first, second, third = (Overwriting(f"{number}.run") for number in range(3))
    first.write(1, "opp_1", {"title": "A"}, {"title": "B"})
    second.write(1, "opp_1", {"title": "B"}, {"title": "C"}, "unconfirmed")
    third.write(1, "opp_1", {"title": "B"}, {"title": "D"})
    rows, undone = taken_back(first, second, third)
    assert rows == [row({"title": "A"}, {"title": "D"})]
    assert not undone.changed.counts


def test_runs_between_the_sessions_of_another_are_in_order() -> None:
    """The order of requests counts, also where one run was resumed after another had ended."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", {"title": "A"}, {"title": "B"})
    second.write(1, "opp_1", {"title": "B"}, {"title": "C"})
    first.write(2, "opp_1", {"title": "C"}, {"title": "D"})
    assert taken_back(first, second)[0] == [row({"title": "A"}, {"title": "D"})]


def test_next_row_of_the_same_millisecond_is_the_newer_one() -> None:
    """The next row of a task may begin in the millisecond in which its row before was settled."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old", "message": "Text"}, {"title": "A", "message": "B"})
    run.image(2, "opp_1", {}, {"title": "New"})
    run.images[-1]["at"] = run.results[-1]["at"]
    # Its answer was lost, and the task was found as it asks when the run was resumed.
    run.result(2, "opp_1", "unchanged", reason="already")
    rows, undone = taken_back(run)
    before, after = {"title": "Old", "message": "Text"}, {"title": "New", "message": "B"}
    assert rows == [row(before, after)]
    assert undone.doubtful.named == ["opp_1 title"]


def test_resumed_run_needs_no_image_of_what_it_knows() -> None:
    """A run that was taken back and resumed finds its image again, and writes no other."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", {"title": "A"}, {"title": "B"})
    second.write(1, "opp_1", {"title": "B"}, {"title": "A"})
    first.result(1, "opp_1", sent={"title": "B"})
    assert taken_back(first, second)[0] == [row({"title": "A"}, {"title": "B"})]


def test_run_that_was_taken_back_needs_nothing() -> None:
    """A run and its undo together have changed nothing."""
    rows, undone = taken_back(*chain("A", "B", "A"))
    assert (rows, undone.tasks) == ([], 0)


def test_chain_with_an_unknown_beginning_is_left_out() -> None:
    """Where no reading showed what stood before the first run, nothing is restored halfway."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", {}, {"title": "B"})
    second.write(1, "opp_1", {"title": "B"}, {"title": "C"})
    rows, undone = taken_back(first, second)
    assert rows == []
    assert left_out(undone) == {Obstacle.UNKNOWN: ["opp_1 title"]}


def test_image_of_another_run_stands_for_no_unknown_value() -> None:
    """What one run overwrote unseen may be another value than an earlier run had left."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", {"title": "A"}, {"title": "B"})
    second.write(1, "opp_1", {}, {"title": "C"})
    rows, undone = taken_back(first, second)
    assert rows == []
    assert left_out(undone) == {Obstacle.UNKNOWN: ["opp_1 title"]}


def test_completed_task_is_left_out_whole() -> None:
    """No update reaches a completed task: it is named, and none of its fields is in the file."""
    run = Overwriting()
    run.write(1, "opp_1", {**OLD, "done": False}, {**NEW, "done": True})
    rows, undone = taken_back(run)
    assert rows == []
    assert left_out(undone) == {Obstacle.COMPLETED: ["opp_1 done"]}


def test_task_that_may_be_completed_keeps_its_other_fields() -> None:
    """If the completion is in doubt, the rest goes back where the task is still there."""
    run = Overwriting()
    run.write(1, "opp_1", {**OLD, "done": False}, {**NEW, "done": True}, "unconfirmed")
    rows, undone = taken_back(run)
    assert rows == [row(OLD, NEW)]
    assert left_out(undone) == {Obstacle.COMPLETED: ["opp_1 done"]}


def test_task_that_was_left_pending_is_not_completed() -> None:
    """`done: false` on a pending task is nothing to take back."""
    run = Overwriting()
    run.write(1, "opp_1", {**OLD, "done": False}, {**NEW, "done": False})
    rows, undone = taken_back(run)
    assert (rows, left_out(undone)) == ([row(OLD, NEW)], {})


@pytest.mark.parametrize(
    ("before", "obstacle"), [({"done": True}, Obstacle.COMPLETED), ({}, Obstacle.UNKNOWN)]
)
def test_reopened_task_is_not_completed_again(before: dict[str, Any], obstacle: Obstacle) -> None:
    """`done` never stands in the file: a task that was reopened is named."""
    run = Overwriting()
    run.write(1, "opp_1", {**OLD, **before}, {**NEW, "done": False})
    rows, undone = taken_back(run)
    assert rows == [row(OLD, NEW)]
    assert left_out(undone) == {obstacle: ["opp_1 done"]}


def test_images_and_videos_are_left_out() -> None:
    """The server keeps copies of media: they are named, and the other fields go back."""
    run = Overwriting()
    media = {"images": ["https://a.example/1.png"], "videos": []}
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New", **media})
    rows, undone = taken_back(run)
    assert rows == [row({"title": "Old"}, {"title": "New"})]
    assert left_out(undone) == {Obstacle.MEDIA: ["opp_1 images", "opp_1 videos"]}


def test_unlisted_task_is_left_out() -> None:
    """A task that was not listed before has no known value."""
    run = Overwriting()
    run.write(1, "opp_1", None, {"title": "New"})
    run.image(2, "opp_2", None, {"priority": "2"})
    rows, undone = taken_back(run)
    assert rows == []
    assert left_out(undone) == {Obstacle.UNLISTED: ["opp_1 title", "opp_2 priority"]}


def test_empty_field_goes_back_where_an_update_can_empty_it() -> None:
    """A title, message and priority are cleared; an empty due date or owner is named."""
    run = Overwriting()
    before = dict.fromkeys(["assignedTo", "dueDate", "title", "message", "priority"])
    sent = {
        "assignedTo": "usr_anna",
        "dueDate": "2026-12-01T08:00:00.000Z",
        "title": "T",
        "message": "M",
        "priority": "1",
    }
    run.write(1, "opp_1", before, sent)
    rows, undone = taken_back(run)
    expect = {name: sent[name] for name in ("title", "message", "priority")}
    assert rows == [row(dict.fromkeys(expect, ""), expect)]
    assert left_out(undone) == {Obstacle.EMPTY: ["opp_1 assignedTo", "opp_1 dueDate"]}


@pytest.mark.parametrize("before", [{"priority": 7}, {"dueDate": "soon"}, {"title": ["a", "b"]}])
def test_value_that_no_update_can_set_is_left_out(before: dict[str, Any]) -> None:
    """A live value that breaks the rules of its field is named."""
    (name,) = before
    sent = {"priority": "2", "dueDate": "2026-12-01T08:00:00.000Z", "title": "New"}[name]
    run = Overwriting()
    run.write(1, "opp_1", before, {name: sent})
    rows, undone = taken_back(run)
    assert rows == []
    assert left_out(undone) == {Obstacle.UNSENDABLE: [f"opp_1 {name}"]}


def test_logs_of_earlier_inputs_count() -> None:
    """A log that was kept as the input was edited tells what was sent, too."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, "failed")
    path = run.save()
    later = answer("opp_1", {"title": "From the answer"})
    line = {"row": 4, "id": "opp_1", "outcome": "updated", "attempts": 1, "sent": {"title": "X"}}
    line |= {"at": "2026-11-24T15:00:00.000Z", "task": later}
    (path / "results.1.jsonl").write_text(f"{json.dumps(line)}\n")
    assert taken_back(path)[0] == [row({"title": "Old"}, {"title": "From the answer"})]


def test_incomplete_last_lines_are_no_error() -> None:
    """A torn line, which a killed session may leave, is ignored."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    path = run.save(rows=2)
    for name in ("before.jsonl", "results.jsonl"):
        with (path / name).open("a") as file:
            file.write('{"row":2,"id":"opp_2"')
    rows, undone = taken_back(path)
    assert rows == [row({"title": "Old"}, {"title": "New"})]
    assert undone.rows_left == {"edits.run": 1}


@pytest.mark.parametrize("name", ["before.jsonl", "results.jsonl"])
def test_damaged_line_is_named(name: str) -> None:
    """A line in the middle that can't be read ends it: a change could be missed."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    path = run.save()
    (path / name).write_text("{}\n" + (path / name).read_text())
    with pytest.raises(JournalError, match=f"{name}, line 1, is not"):
        undo_run(path, "undo.jsonl")
    assert not Path("undo.jsonl").exists()


def test_rows_of_an_unfinished_run_are_counted() -> None:
    """Rows without a result, and those that a stop cut short, are still to be sent by the run."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.write(2, "opp_2", {"title": "Old"}, {"title": "New"}, "unconfirmed", cut_short=True)
    path = run.save(rows=10)
    assert taken_back(path)[1].rows_left == {"edits.run": 9}


def test_run_without_compare_is_refused() -> None:
    """A run that kept no images can't be taken back, and the flag is named."""
    run = Overwriting()
    run.result(1, "opp_1", sent={"title": "New"})
    path = run.save(compared=False)
    (path / "before.jsonl").unlink()
    with pytest.raises(RunDirectoryError, match="made without compare"):
        undo_run(path, "undo.jsonl")


def test_compared_run_that_changed_nothing_has_nothing_to_take_back() -> None:
    """A run whose tasks were already as wanted needs no file of images."""
    run = Overwriting()
    run.result(1, "opp_1", "unchanged", reason="already")
    path = run.save()
    (path / "before.jsonl").unlink()
    assert taken_back(path)[0] == []


def test_run_on_a_sandbox_that_ended_is_refused() -> None:
    """Its values are made up: they must not reach the real tasks."""
    run = Overwriting()
    run.write(1, "opp_1", OLD, NEW)
    with pytest.raises(RunDirectoryError, match="its sandbox ended with the run"):
        undo_run(run.save(sandbox=True), "undo.jsonl")


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ({"team": "tea_a"}, {"team": "tea_b"}, r"more than one team: 1.run \(tea_a\), 2.run"),
        (
            {"base_url": "https://api.lemlist.com/api"},
            {"base_url": "http://127.0.0.1:8080/api"},
            "more than one server: 1.run",
        ),
    ],
)
def test_runs_of_different_teams_or_servers_are_refused(
    first: dict[str, Any], second: dict[str, Any], what: str
) -> None:
    """One file can't be sent to two teams."""
    runs = chain("A", "B", "C")
    paths = [runs[0].save(**first), runs[1].save(**second)]
    with pytest.raises(RunDirectoryError, match=what):
        undo_run(paths, "undo.jsonl")


@pytest.mark.parametrize("team", ["tea_a", None])
def test_runs_of_one_team_go_back_together(team: str | None) -> None:
    """A team that could not be read is no other team; sandboxes here are one server."""
    runs = chain("A", "B", "C")
    first = runs[0].save(team="tea_a", base_url="http://127.0.0.1:8080/api")
    second = runs[1].save(team=team, base_url="http://localhost:9090/api")
    assert taken_back(first, second)[0] == [row({"title": "A"}, {"title": "C"})]


def test_run_in_use_is_refused() -> None:
    """While a run goes on, it can't be taken back; afterwards it can."""
    run = Overwriting()
    run.write(1, "opp_1", OLD, NEW)
    path = run.save()
    with (
        RunDirectory.open(path, Mode.RESUME),
        pytest.raises(RunInUseError, match="by a run: try"),
    ):
        undo_run(path, "undo.jsonl")
    assert not Path("undo.jsonl").exists()
    assert taken_back(path)[1].tasks == 1


def test_run_can_not_begin_while_it_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is locked as long as its files are read; two undos may read it at once."""
    run = Overwriting()
    run.write(1, "opp_1", OLD, NEW)
    path = run.save()
    lock = os.open(path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    assert taken_back(path)[1].tasks == 1
    with pytest.raises(RunInUseError):
        RunDirectory.open(path, Mode.RESUME)
    os.close(lock)
    seen = []

    def read(_: Path) -> Iterable[Any]:
        with pytest.raises(RunInUseError) as caught:
            RunDirectory.open(path, Mode.RESUME)
        seen.append(caught)
        return []

    monkeypatch.setattr("bulkupdate.session.undo.read_images", read)
    undo_run(path, "again.jsonl")
    assert seen


def test_directory_is_left_as_it_was() -> None:
    """Taking a run back changes no file of it, so that it can be done again."""
    run = Overwriting()
    run.write(1, "opp_1", OLD, NEW)
    path = run.save()
    shutil.copytree(path, "copy")
    path.chmod(0o500)
    first = taken_back(path, path, path.resolve())[0]
    assert first == taken_back(path)[0] == [row(OLD, NEW)]
    files = {file.name: file.read_bytes() for file in path.iterdir()}
    assert files == {file.name: file.read_bytes() for file in Path("copy").iterdir()}


@pytest.mark.parametrize("directories", [[], "none.run", Path("file")])
def test_what_is_no_run_is_refused(directories: Any) -> None:
    """No directory, a missing one and a file are refused, and nothing is written."""
    Path("file").touch()
    with pytest.raises((ConfigError, RunDirectoryError)):
        undo_run(directories, "undo.jsonl")
    assert not Path("undo.jsonl").exists()


def test_existing_file_is_kept() -> None:
    """A file is replaced only where that is asked for; its suffix names its format."""
    run = Overwriting()
    run.write(1, "opp_1", OLD, NEW)
    path = run.save()
    Path("undo.csv").write_text("kept")
    with pytest.raises(ConfigError, match="overwrite=True replaces it"):
        undo_run(str(path), "undo.csv")
    with pytest.raises(ConfigError, match="give it one of the suffixes"):
        undo_run(path, "undo.txt")
    assert Path("undo.csv").read_text() == "kept"
    undo_run(path, "undo.csv", overwrite=True)
    assert Path("undo.csv").read_text() != "kept"


@pytest.mark.parametrize("name", ["undo.csv", "undo.xlsx", "undo.jsonl"])
def test_every_format_holds_the_same_rows(name: str) -> None:
    """Each format has the columns that are needed, and reads back as what was meant."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": None, "priority": "0"}, {"title": "New", "priority": "2"})
    run.write(2, "opp_2", {"title": "Old"}, {"title": ""}, task={"_id": "opp_2", "title": ""})
    undo_run(run.save(), name)
    # Without a mark, Excel does not read CSV as UTF-8.
    assert Path(name).read_bytes().startswith(b"\xef\xbb\xbf") is (name == "undo.csv")
    with Input.open(Path(name)) as source:
        found = [(one.id, one.update and one.update.changes(), one.expect) for one in source.rows()]
        columns = source.layout.header if source.layout else ()
    assert found == [
        ("opp_1", {"title": "", "priority": "0"}, {"title": "New", "priority": "2"}),
        ("opp_2", {"title": "Old"}, {"title": ""}),
    ]
    if name != "undo.jsonl":
        assert columns == ("id", "title", "priority", "expect.title", "expect.priority")


@pytest.mark.parametrize(
    ("before", "sent"),
    [
        ({"title": "NULL"}, {"title": "New"}),
        ({"title": "<clear>"}, {"title": "New"}),
        ({"title": "Old"}, {"title": "=1+1"}),
        ({"title": "Old"}, {"title": "2026"}),
        ({"message": "a\r\nb"}, {"message": "New"}),
    ],
)
def test_task_that_a_table_can_not_hold_is_left_out_whole(
    before: dict[str, Any], sent: dict[str, Any]
) -> None:
    """If a cell can't hold a value, its task is left out and named; a JSONL file holds it."""
    (name,) = before
    run = Overwriting()
    run.write(1, "opp_1", {**before, "priority": "0"}, {**sent, "priority": "1"})
    run.write(2, "opp_2", {"priority": "0"}, {"priority": "1"})
    path = run.save()
    undone = undo_run(path, "undo.csv")
    assert (undone.tasks, undone.counts) == (1, {"priority": 1})
    assert undone.only_jsonl.counts == {name if before[name] != "Old" else f"expect.{name}": 1}
    assert "opp_1" not in Path("undo.csv").read_text()
    rows, undone = taken_back(path)
    expected = row({**before, "priority": "0"}, {**sent, "priority": "1"})
    assert (rows[0], undone.only_jsonl.counts) == (expected, {})


@pytest.mark.parametrize("name", ["undo.csv", "undo.jsonl"])
def test_value_that_no_file_holds_leaves_its_task_out(name: str) -> None:
    """A character that was lost is refused by the reader of any file: its task is named."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Caf\ufffd"}, {"title": "New"})
    undone = undo_run(run.save(), name)
    assert (undone.tasks, undone.unwritable.named) == (0, ["opp_1 title"])
    assert not undone.only_jsonl.counts


async def test_real_run_is_taken_back_and_made_again() -> None:
    """What a run overwrote is there again, as far as it can be; an undo of that is the run."""
    async with Bench() as bench:
        team = bench.sandbox.team
        ids = [f"opp_{number}" for number in range(12)]
        before = {id_: dict(team.add(id_)) for id_ in ids}
        path = edits_of(ids, next(iter(team.users)))
        assert (await run_edits(bench.config(path, compare=True))).counts["updated"] == 14
        after = {id_: dict(team.tasks[id_]) for id_ in ids}
        undone = undo_run("edits.run", "undo.csv")
        assert (undone.tasks, left_out(undone)) == (11, {Obstacle.COMPLETED: ["opp_1 done"]})
        team.tasks["opp_2"]["title"] = "Changed since"

        summary = await run_edits(bench.config(Path("undo.csv"), compare=True))
        assert (summary.counts["updated"], summary.counts["conflict"]) == (10, 1)
        restored = [id_ for id_ in ids if shown(team.tasks[id_]) == shown(before[id_])]
        assert restored == ["opp_0", *ids[3:]]
        assert team.tasks["opp_2"] == {**after["opp_2"], "title": "Changed since"}

        undo_run("undo.run", "again.csv")
        assert (await run_edits(bench.config(Path("again.csv"), compare=True))).exit_code == 0
        tasks = team.tasks
        assert [shown(tasks[id_]) for id_ in restored] == [shown(after[id_]) for id_ in restored]


def edits_of(ids: list[str], owner: str) -> Path:
    """A file of edits for these tasks: the first gets two rows, and the second is completed."""
    lines: list[dict[str, Any]] = [
        {"id": id_, "assignedTo": owner, "title": f"New {number}", "message": "M"}
        for number, id_ in enumerate(ids)
    ]
    lines += [{"id": ids[0], "title": "Newer", "priority": ""}, {"id": ids[1], "done": True}]
    path = Path("edits.jsonl")
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def shown(task: dict[str, Any]) -> dict[str, Any]:
    """A task as lemlist shows it, in which nothing is the same as an empty text."""
    return {name: value or "" for name, value in task.items()}
