"""Several rows of one task as one update."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkupdate.journal.directory import Mode
from bulkupdate.models import Row
from bulkupdate.plan.preview import Inspection
from bulkupdate.plan.rowset import RowSet
from bulkupdate.sandbox import Unknown
from bulkupdate.session import merger as merger_module
from bulkupdate.session.merger import Merger
from bulkupdate.session.run import run
from bulkupdate.session.settings import FailureLimit
from tests.support.bench import Bench, StopsAfter, results_in
from tests.support.fakes import open_files, row

Write = Callable[..., Path]


def merged(rows: list[Row], directory: Path) -> list[Row]:
    """What is sent of these rows, in its order."""
    inspection = Inspection(merge=True)
    for one in rows:
        inspection.add([one])
    with Merger(inspection.followed(), directory / "parked") as merger:
        sent = [ready for one in rows for ready in merger.add(one)]
        sent += merger.rest()
    assert inspection.preview(None).requests == len(sent)
    return sent


def test_later_cells_win_in_merged_row(tmp_path: Path) -> None:
    """In a merged row later cells win, and the last row carries the other cells."""
    rows = [
        row(1, "a", title="first", message="kept"),
        row(2, "b", title="b"),
        row(3, "a", title="last", priority="high"),
    ]
    second, first = merged(rows, tmp_path)
    assert (second.number, second.merged, second.update) == (2, (), rows[1].update)
    assert (first.number, [earlier.number for earlier in first.merged]) == (3, [1])
    assert first.update is not None
    assert first.update.changes() == {"title": "last", "message": "kept", "priority": "2"}


@pytest.mark.slow
def test_merger_leaves_no_file_open(tmp_path: Path) -> None:
    """The rows that are held back are closed with the merger."""
    followed, before = RowSet(2), open_files()
    followed.add(1)
    with Merger(followed, tmp_path / "parked") as merger:
        assert merger.add(row(1, "a", title="first")) == []
        assert not open_files() <= before
    assert open_files() <= before


def test_incompatible_rows_of_a_task_stay_separate(tmp_path: Path) -> None:
    """Rows that one task cannot take together are sent one after another."""
    urls = [f"https://example.com/{n}" for n in range(4)]
    rows = [row(1, "a", images=urls), row(2, "a", videos=urls), row(3, "a", title="x")]
    inspection = Inspection(merge=True)
    for one in rows:
        inspection.add([one])
    with Merger(inspection.followed(), tmp_path / "parked") as merger:
        sent = [ready for one in rows for ready in merger.add(one)]
    assert [ready.number for ready in sent] == [1, 3]
    assert sent[1].update is not None
    assert sent[1].update.changes() == {"title": "x", "videos": tuple(urls)}


@settings(max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 6))
def test_merged_rows_leave_the_same_task(
    tmp_path_factory: pytest.TempPathFactory, tasks: list[int], most: int
) -> None:
    """Merged rows leave each task as the same rows sent one by one would leave it."""
    names = ("title", "message", "priority")
    rows = [
        row(n, f"t{task}", **{names[n % 3]: "high" if n % 3 == 2 else f"v{n}"})
        for n, task in enumerate(tasks, 1)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merger_module, "MAX_MERGED", most)
        patch.setattr("bulkupdate.plan.preview.MAX_MERGED", most)
        sent = merged(rows, tmp_path_factory.mktemp("merge"))
    assert sorted(one.number for ready in sent for one in (*ready.merged, ready)) == [
        one.number for one in rows
    ]
    assert all(len(ready.merged) < most for ready in sent)
    assert state_after(sent) == state_after(rows)


def state_after(rows: list[Row]) -> dict[str, dict[str, Any]]:
    state: dict[str, dict[str, Any]] = {}
    for one in rows:
        assert one.update is not None
        state.setdefault(one.id, {}).update(one.update.changes())
    return state


def test_row_set_knows_its_members() -> None:
    """A set of rows contains exactly the numbers that were added."""
    rows = RowSet(100)
    for number in (1, 8, 63, 64, 100):
        rows.add(number)
    assert [n for n in range(101) if n in rows] == [1, 8, 63, 64, 100]


def merging(write: Write, lines: int = 30) -> Path:
    """Ten tasks, each in rows 1, 11, 21, …."""
    return write(
        "edits.csv", "id,title,message", *(f"opp_{n % 10},T{n},M{n // 10}" for n in range(lines))
    )


async def test_each_task_is_sent_once_when_merging(write: Write) -> None:
    """A merging run sends each task once, and every row has its line in the log."""
    async with Bench() as bench:
        summary = await bench.run(merging(write), merge_duplicates=True)
        titles = {id_: task["title"] for id_, task in bench.sandbox.team.tasks.items()}
    assert (summary.exit_code, summary.requests, summary.counts["updated"]) == (0, 10, 30)
    assert titles == {f"opp_{n % 10}": f"T{n}" for n in range(20, 30)}
    results = {result["row"]: result for result in results_in(Path("edits.run"))}
    assert [results[n].get("sent_with") for n in (1, 11, 21)] == [21, 21, None]
    assert results[21]["merged"] == [1, 11]
    assert results[21]["sent"] == {"title": "T20", "message": "M2"}
    assert "task" not in results[1]


async def test_refused_task_fails_each_merged_row(write: Write) -> None:
    """A refused task lists each of its merged rows in the failed file."""
    async with Bench(unknown=Unknown("404")) as bench:
        bench.sandbox.team.add("opp_1")
        path = write("edits.csv", "id,title,message", "opp_1,a,", "gone,b,", "opp_1,,c", "gone,,d")
        summary = await bench.run(path, merge_duplicates=True)
        assert (summary.counts["updated"], summary.counts["failed"]) == (2, 2)
        failed = Path("edits.run/failed.csv").read_text().splitlines()
        assert [line.split(",")[:4] for line in failed[1:]] == [
            ["gone", "b", "", "2"],
            ["gone", "", "d", "4"],
        ]
        bench.sandbox.team.add("gone")
        again = await bench.run(path, merge_duplicates=True, mode=Mode.RESUME, retry_failed=True)
        assert (again.requests, again.counts["updated"]) == (1, 4)
        task = bench.sandbox.team.tasks["gone"]
        assert (task["title"], task["content"]) == ("b", "d")


async def test_stopped_merging_run_resumes_to_the_end(write: Write) -> None:
    """A merging run that is stopped resumes, and sends no task twice."""
    path = merging(write, 200)
    soon = StopsAfter(60)
    async with Bench(latency=(1, 2)) as bench:
        config = bench.config(path, workers=1, merge_duplicates=True)
        before = await run(config, stop=soon.stop, observer=soon)
        assert 0 < before.counts["unprocessed"] < 200
        after = await bench.run(path, merge_duplicates=True, mode=Mode.RESUME)
        assert (after.exit_code, after.counts["updated"]) == (0, 200)
        assert before.requests + after.requests == 10
        titles = {id_: task["title"] for id_, task in bench.sandbox.team.tasks.items()}
    assert titles == {f"opp_{n % 10}": f"T{n}" for n in range(190, 200)}


async def test_first_counts_tasks_when_merging(write: Write) -> None:
    """With merging, a limit on the first rows counts tasks."""
    path = merging(write)
    async with Bench() as bench:
        first = await bench.run(path, merge_duplicates=True, first=3)
        assert (first.requests, first.counts["updated"], first.exit_code) == (3, 9, 0)
        rest = await bench.run(path, merge_duplicates=True, mode=Mode.RESUME)
        assert (rest.requests, rest.counts["updated"]) == (7, 30)


async def test_merged_rows_stay_settled_after_input_edit(write: Write) -> None:
    """Merged rows stay settled where a row is added to the input."""
    path = merging(write)
    async with Bench() as bench:
        await bench.run(path, merge_duplicates=True)
        with path.open("a") as file:
            file.write("new,x,y\n")
        more = await bench.run(path, merge_duplicates=True, mode=Mode.RESUME, changed_input=True)
        assert (more.requests, more.counts["updated"]) == (1, 31)


async def test_merged_rows_stay_settled_without_flag(write: Write) -> None:
    """Rows that were merged stay settled where a later session does not merge."""
    path = merging(write)
    async with Bench() as bench:
        await bench.run(path, merge_duplicates=True, first=4)
        rest = await bench.run(path, mode=Mode.RESUME)
    assert (rest.requests, rest.counts["updated"]) == (18, 30)


async def test_crash_during_adoption_loses_no_merged_row(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash while the run adopts an edited input loses no merged row."""
    lines = ["T1,a,", "T1,,b", "T2,c,"]
    path = write("edits.csv", "id,title,message", *lines)
    async with Bench() as bench:
        await bench.run(path, merge_duplicates=True, first=1)
        path = write("edits.csv", "id,title,message", "T9,z,", *lines)

        def crash(*_: object) -> None:
            raise OSError("out of luck")

        with monkeypatch.context() as patch:
            patch.setattr("bulkupdate.journal.directory.RunDirectory.adopt_digests", crash)
            with pytest.raises(OSError, match="out of luck"):
                await bench.run(path, merge_duplicates=True, mode=Mode.RESUME, changed_input=True)
        log = [(line["row"], line.get("sent_with"), line.get("merged")) for line in
               results_in(Path("edits.run"))]  # fmt: skip
        assert log == [(2, 3, None), (3, None, [2])]
        after = await bench.run(path, merge_duplicates=True, mode=Mode.RESUME, changed_input=True)
        tasks = bench.sandbox.team.tasks
    assert (after.exit_code, after.counts["updated"]) == (0, 4)
    assert (tasks["T1"]["title"], tasks["T1"]["content"]) == ("a", "b")
    assert (tasks["T2"]["title"], tasks["T9"]["title"]) == ("c", "z")
    assert {r["row"]: r["id"] for r in results_in(Path("edits.run"))} == {
        1: "T9", 2: "T1", 3: "T1", 4: "T2",
    }  # fmt: skip


async def test_each_merged_row_counts_as_failure(write: Write) -> None:
    """Each row of a merged update that fails counts towards the limit of failures."""
    path = write("edits.csv", "id,title", *(f"gone_{n % 2},T{n}" for n in range(40)), "late,x")
    async with Bench(unknown=Unknown("404")) as bench:
        summary = await bench.run(
            path, merge_duplicates=True, max_failures=FailureLimit(rows=3), workers=1
        )
    assert (summary.exit_code, summary.counts["failed"]) == (3, 20)
