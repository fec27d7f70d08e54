"""`compare`: what expectations hold, and what of a run is kept for the next session."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.journal import images as images_module
from bulkupdate.journal.directory import Mode
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.session.settings import ChangeLimit
from bulkupdate.session.undo import undo_run
from tests.session.test_compare import RUN, bench_of, compared, images, last, patches

Write = Callable[..., Path]


async def test_own_write_meets_the_expectation_of_a_row_that_sets_another_field(
    write: Write,
) -> None:
    """A field that the row does not set may have the value that an earlier row has left."""
    path = write("edits.csv", "id,title,message,expect.title", "opp_1,A,,T1", "opp_1,,Text,T1")
    async with bench_of() as bench:
        summary = await compared(bench, path)
        assert patches(bench)[1] == {"id": "opp_1", "message": "Text"}
    assert summary.exit_code == 0


async def test_expectation_is_judged_before_what_is_already_so(write: Write) -> None:
    """A task that is as its row wants it is a conflict, if the row expects something else of it."""
    path = write("edits.csv", "id,title,expect.message", "opp_1,T1,Other")
    async with bench_of() as bench:
        summary = await compared(bench, path)
    assert (summary.counts["conflict"], last()[1]["error"]["field"]) == (1, "message")


async def test_merged_row_may_expect_what_an_earlier_one_sets(write: Write) -> None:
    """Such an expectation is not about the task as it is before the request."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,", "opp_1,B,A")
    async with bench_of() as bench:
        summary = await compared(bench, path, merge_duplicates=True)
        assert patches(bench) == [{"id": "opp_1", "title": "B"}]
    assert summary.counts["updated"] == 2


async def test_request_waits_until_the_disk_has_its_image(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values stand synced in the file when a request arrives, even if the disk is slow."""
    path = write("edits.csv", "id,title", *(f"opp_{n},New" for n in range(1, 6)))
    synced = ""
    missing = []

    class Slow(AppendOnlyFile):
        def sync(self) -> None:
            nonlocal synced
            before = (RUN / "before.jsonl").read_text()
            time.sleep(0.02)
            super().sync()
            synced = before

    monkeypatch.setattr(images_module, "AppendOnlyFile", Slow)
    async with bench_of() as bench:
        see = bench.sandbox._watch

        def watch(seen: Any) -> None:
            if see is not None:
                see(seen)
            if seen.method == "PATCH":
                missing.append(f'"{seen.body["id"]}"' not in synced)

        bench.sandbox._watch = watch
        await compared(bench, path)
    assert missing == [False] * 5


async def test_change_between_sessions_gets_an_image(write: Write) -> None:
    """What another hand left in the field that the run wrote is kept before it is overwritten."""
    path = write("edits.csv", "id,title", "opp_1,A", "opp_1,B")
    async with bench_of() as bench:
        await compared(bench, path, first=1)
        bench.sandbox.team.tasks["opp_1"]["title"] = "by Anna"
        await compared(bench, path, mode=Mode.RESUME)
    assert [image["before"] for image in images()] == [{"title": "T1"}, {"title": "by Anna"}]


async def test_plain_run_is_not_resumed_with_a_comparison(write: Write) -> None:
    """What such a run has overwritten is not known, so it goes on as it began."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New")
    async with bench_of() as bench:
        await bench.run(path, first=1)
        with pytest.raises(errors.RunDirectoryError, match="began without compare"):
            await compared(bench, path, mode=Mode.RESUME)
        assert len(patches(bench)) == 1


@pytest.mark.parametrize(("share", "sent"), [("20%", 2), ("19%", 0)])
async def test_share_of_changes_is_one_of_the_tasks_listed(
    write: Write, share: str, sent: int
) -> None:
    """A limit in percent is of all tasks that the server lists, not of those in the file."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New")
    async with bench_of(10) as bench:
        await compared(bench, path, max_changes=ChangeLimit.parse(share))
        assert len(patches(bench)) == sent


async def test_row_that_was_sent_before_a_crash_may_conflict_and_is_taken_back(
    write: Write,
) -> None:
    """The log lacks the row, and another hand came after it: the image tells that it was sent."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,New,T1", "opp_2,New,T2")
    async with bench_of() as bench:
        await compared(bench, path, first=1)
        (RUN / "results.jsonl").write_text("")  # as after a crash between the answer and the log
        bench.sandbox.team.tasks["opp_1"]["title"] = "by Anna"
        await compared(bench, path, mode=Mode.RESUME)
        assert last()[1]["error"]["found"] == "by Anna"
        undone = undo_run(RUN, "undo.csv")
        assert (undone.tasks, undone.rows_left) == (2, {})
        summary = await compared(bench, Path("undo.csv"), out="undo.run")
        titles = [bench.sandbox.team.tasks[task]["title"] for task in ("opp_1", "opp_2")]
    assert titles == ["by Anna", "T2"]
    assert (summary.counts["conflict"], summary.counts["updated"]) == (1, 1)


async def test_task_of_which_one_field_was_changed_since_is_not_taken_back(write: Write) -> None:
    """A run goes back whole for each task: half of it would be a state that never was."""
    path = write("edits.csv", "id,title,message", "opp_1,New,Text", "opp_2,New,Text")
    async with bench_of() as bench:
        await compared(bench, path)
        tasks = bench.sandbox.team.tasks
        tasks["opp_1"]["content"] = "by Anna"
        undo_run(RUN, "undo.csv")
        await compared(bench, Path("undo.csv"), out="undo.run")
        assert (tasks["opp_1"]["title"], tasks["opp_1"]["content"]) == ("New", "by Anna")
        assert (tasks["opp_2"]["title"], tasks["opp_2"]["content"]) == ("T2", "")
