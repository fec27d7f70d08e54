"""`compare`: rows are judged by the live tasks, only what differs is sent, and images are kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.journal.directory import Mode
from bulkupdate.journal.summary import Summary
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import Reason
from bulkupdate.reader import ReadOptions
from bulkupdate.sandbox import Unknown
from bulkupdate.sandbox.members import Member
from bulkupdate.session.run import run
from bulkupdate.session.settings import ChangeLimit, FailureLimit
from tests.support.bench import Bench, Notes, StopsAfter, results_in

Write = Callable[..., Path]

RUN = Path("edits.run")


def bench_of(tasks: int = 5, **settings: Any) -> Bench:
    """A sandbox with some pending tasks: `opp_1` with the title `T1`, and so on."""
    bench = Bench(**{"unknown": Unknown.NOT_FOUND, **settings})
    members = (
        Member("usr_anna", "Anna", "Martin", "anna@acme.example", "admin"),
        Member("usr_ben", "Ben", "Keller", "ben@acme.example"),
    )
    bench.sandbox.team.users = {member.id: member for member in members}
    for number in range(1, tasks + 1):
        task = bench.sandbox.team.add(f"opp_{number}")
        task.update(title=f"T{number}", userId="usr_anna", content="", priority=1)
    return bench


async def compared(bench: Bench, path: Path, **settings: Any) -> Summary:
    """A run with `compare`."""
    return await bench.run(path, compare=True, **settings)


def patches(bench: Bench) -> list[dict[str, Any]]:
    """The bodies of all PATCH requests so far."""
    return [seen.body or {} for seen in bench.seen if seen.method == "PATCH"]


def images() -> list[dict[str, Any]]:
    """The lines of `before.jsonl`, without what differs from run to run."""
    lines = map(json.loads, (RUN / "before.jsonl").read_text().splitlines())
    return [{name: line[name] for name in ("row", "id", "before")} for line in lines]


def last() -> dict[int, dict[str, Any]]:
    """The last line of the log for each row."""
    return {result["row"]: result for result in results_in(RUN)}


async def test_row_that_is_already_right_needs_no_request(write: Write) -> None:
    """A task that is as its row wants it is `unchanged`, already, and no request is sent."""
    path = write("edits.csv", "id,title,priority,message", "opp_1,T1,medium,<clear>")
    async with bench_of() as bench:
        summary = await compared(bench, path)
        assert patches(bench) == []
    assert (summary.exit_code, summary.counts["unchanged"]) == (0, 1)
    assert last()[1]["reason"] == "already"
    assert images() == []


async def test_only_what_differs_is_sent_and_its_image_kept(write: Write) -> None:
    """A request holds only the fields that differ. What they overwrite is in `before.jsonl`."""
    path = write("edits.csv", "id,title,assignedTo,message", "opp_1,New,usr_anna,Text")
    async with bench_of() as bench:
        await compared(bench, path)
        assert patches(bench) == [{"id": "opp_1", "title": "New", "message": "Text"}]
    assert images() == [{"row": 1, "id": "opp_1", "before": {"title": "T1", "message": None}}]
    assert last()[1]["sent"] == {"title": "New", "message": "Text"}


async def test_image_is_on_disk_before_the_request(write: Write) -> None:
    """When a request arrives, the values that it overwrites are in the file."""
    path = write("edits.csv", "id,title", *(f"opp_{n},New" for n in range(1, 6)))
    missing = []
    async with bench_of() as bench:
        see = bench.sandbox._watch

        def watch(seen: Any) -> None:
            if see is not None:
                see(seen)
            if seen.method == "PATCH":
                kept = {image["id"] for image in images()}
                missing.append((seen.body or {})["id"] not in kept)

        bench.sandbox._watch = watch
        await compared(bench, path)
    assert missing == [False] * 5


async def test_row_whose_expectation_does_not_hold_is_a_conflict(write: Write) -> None:
    """Nothing of such a row is sent. Its line says what was expected, and it can be retried."""
    path = write(
        "edits.csv", "id,title,message,expect.title", "opp_1,New,Text,Other", "opp_2,New,,T2"
    )
    async with bench_of() as bench:
        summary = await compared(bench, path)
        assert patches(bench) == [{"id": "opp_2", "title": "New"}]
        error = last()[1]["error"]
        assert (summary.exit_code, summary.counts["conflict"]) == (1, 1)
        assert (error["type"], error["field"]) == ("changed_since", "title")
        assert (error["expected"], error["found"]) == ("Other", "T1")
        assert "opp_1,New,Text,Other,1,conflict," in (RUN / "failed.csv").read_text()
        bench.sandbox.team.tasks["opp_1"]["title"] = "Other"
        again = await compared(bench, path, mode=Mode.RESUME, retry_failed=True)
    assert (again.exit_code, again.counts["updated"]) == (0, 2)


async def test_value_that_the_row_wants_meets_its_expectation(write: Write) -> None:
    """An expectation holds where the task has the wanted value already."""
    path = write("edits.csv", "id,title,message,expect.title", "opp_1,T1,Text,Old")
    async with bench_of() as bench:
        await compared(bench, path)
        assert patches(bench) == [{"id": "opp_1", "message": "Text"}]


async def test_expectation_of_a_field_that_is_not_set_is_judged(write: Write) -> None:
    """A row may expect something of a field that it does not set."""
    path = write(
        "edits.csv", "id,title,expect.assignedTo", "opp_1,New,usr_ben", "opp_2,New,usr_anna"
    )
    async with bench_of() as bench:
        await compared(bench, path)
        assert patches(bench) == [{"id": "opp_2", "title": "New"}]


async def test_own_write_does_not_break_the_expectation_of_a_later_row(write: Write) -> None:
    """Rows of one task that all expect the value at the beginning are all sent."""
    path = write(
        "edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,T1", "opp_1,C,A", "opp_1,D,X"
    )
    async with bench_of() as bench:
        await compared(bench, path)
        assert [body["title"] for body in patches(bench)] == ["A", "B", "C"]
    assert last()[4]["outcome"] == "conflict"
    # The other lines say what is sent.
    assert [image["before"] for image in images()] == [{"title": "T1"}, {}, {}]


@pytest.mark.parametrize("unlisted", ["conflict", "send"])
async def test_task_that_is_not_listed_is_never_right(write: Write, unlisted: str) -> None:
    """Such a row is a conflict; `unlisted` sends it, unless it expects something."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,New,", "opp_2,New,T2")
    async with bench_of(3) as bench:
        for task in ("opp_1", "opp_2"):
            bench.sandbox.team.tasks[task]["status"] = "ignored"
        summary = await compared(bench, path, unlisted=unlisted)
        sent = [{"id": "opp_1", "title": "New"}] if unlisted == "send" else []
        assert patches(bench) == sent
    assert summary.counts["conflict"] == 2 - len(sent)
    assert last()[2]["error"]["type"] == "not_listed"
    assert images() == ([{"row": 1, "id": "opp_1", "before": None}] if sent else [])


async def test_listed_task_that_is_not_pending_is_a_conflict(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may list tasks that are done. They are not changed."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New", "opp_3,New")
    async with bench_of(3) as bench:
        monkeypatch.setattr("bulkupdate.sandbox.listing._pending_of", list)
        team = bench.sandbox.team
        team.tasks["opp_1"]["status"] = "completed"
        team.tasks["opp_2"]["completedAt"] = "2026-01-01T00:00:00.000Z"
        await compared(bench, path)
        assert patches(bench) == [{"id": "opp_3", "title": "New"}]
    assert {last()[row]["error"]["type"] for row in (1, 2)} == {"not_pending"}


async def test_field_that_no_task_shows_is_unknown(write: Write) -> None:
    """A row that sets it is sent, and nothing can be expected of it. Its image leaves it out."""
    path = write(
        "edits.csv", "id,title,message,expect.message", "opp_1,T1,<clear>,", "opp_2,New,,Text"
    )
    async with bench_of(hidden=("content",)) as bench:
        await compared(bench, path)
        assert patches(bench) == [{"id": "opp_1", "message": ""}]
    assert images() == [{"row": 1, "id": "opp_1", "before": {}}]
    assert last()[2]["error"]["type"] == "unknown"


async def test_expectations_need_compare(write: Write) -> None:
    """A file with expectations is refused without `compare`, before anything is sent."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,New,T1")
    async with bench_of() as bench:
        with pytest.raises(errors.InputError, match="only compare judges"):
            await bench.run(path)
        assert bench.seen == []


async def test_run_is_resumed_as_it_began(write: Write) -> None:
    """A run that was compared is not continued without it, nor the other way round."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New")
    async with bench_of() as bench:
        await compared(bench, path, first=1)
        with pytest.raises(errors.RunDirectoryError, match="began with compare"):
            await bench.run(path, mode=Mode.RESUME)
        summary = await compared(bench, path, mode=Mode.RESUME)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 2)


async def test_updated_row_keeps_its_outcome(write: Write) -> None:
    """A later session gives an updated row no other outcome without a request."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_9,New")
    async with bench_of() as bench:
        await compared(bench, path)
        bench.sandbox.team.add("opp_9")
        summary = await compared(bench, path, mode=Mode.RESUME, retry_failed=True)
        assert len(patches(bench)) == 2
    assert (summary.exit_code, summary.counts["updated"]) == (0, 2)


async def test_too_many_changes_stop_before_the_first(write: Write) -> None:
    """More tasks than allowed, with those of earlier sessions: refused, with the numbers."""
    path = write("edits.csv", "id,title", *(f"opp_{n},New" for n in range(1, 5)), "opp_5,T5")
    async with bench_of() as bench:
        summary = await compared(bench, path, max_changes=ChangeLimit(tasks=3))
        assert (summary.exit_code, summary.stopped_by) == (2, Reason.TOO_MANY_CHANGES)
        assert "4 tasks would change: max_changes is 3" in (summary.reason or "")
        assert patches(bench) == []
        await compared(bench, path, mode=Mode.RESUME, first=1)
        limit = ChangeLimit.parse("60%")
        summary = await compared(bench, path, mode=Mode.RESUME, max_changes=limit)
        assert (summary.exit_code, len(patches(bench))) == (2, 1)
        summary = await compared(bench, path, mode=Mode.RESUME, max_changes=ChangeLimit(tasks=4))
    assert summary.exit_code == 0


async def test_run_with_images_is_not_overwritten(write: Write) -> None:
    """Where `before.jsonl` holds a line, the run can't be started again in its place."""
    path = write("edits.csv", "id,title", "opp_1,New")
    async with bench_of() as bench:
        await compared(bench, path)
        for is_compared in (True, False):
            with pytest.raises(errors.RunDirectoryError, match=r"undo edits\.run -o FILE.*out"):
                await bench.run(path, compare=is_compared, mode=Mode.OVERWRITE)
    assert len(images()) == 1


async def test_rehearsal_is_overwritten_by_the_run_that_follows(write: Write) -> None:
    """Its sandbox has ended with it, so that no undo could take back what it has overwritten."""
    path = write("edits.csv", "id,title", "opp_1,New")
    async with bench_of() as bench:
        await compared(bench, path, sandbox=True)
        assert len(images()) == 1
        with pytest.raises(errors.RunDirectoryError, match="holds a rehearsal"):
            await compared(bench, path)
        bench.sandbox.team.tasks["opp_1"]["title"] = "Old"
        await compared(bench, path, mode=Mode.OVERWRITE)
    assert images() == [{"row": 1, "id": "opp_1", "before": {"title": "Old"}}]


async def test_reading_of_too_few_tasks_is_an_error(write: Write) -> None:
    """No task, or less than half of the last reading: nothing is sent, unless it is allowed."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New")
    share = ChangeLimit(percent=100)  # It needs the whole list.
    async with bench_of() as bench:
        await compared(bench, path, first=1, max_changes=share)
        for task in ("opp_3", "opp_4", "opp_5"):
            del bench.sandbox.team.tasks[task]
        summary = await compared(bench, path, mode=Mode.RESUME, max_changes=share)
        assert (summary.exit_code, summary.counts["updated"]) == (3, 1)
        assert "lists 2 tasks, and listed 5 before" in (summary.reason or "")
        few = {"allow_few": True, "max_changes": share}
        summary = await compared(bench, path, mode=Mode.RESUME, **few)
        assert (summary.exit_code, summary.listed) == (0, 2)
    async with bench_of(0) as bench:
        summary = await compared(bench, path, out="other.run")
    assert (summary.exit_code, summary.counts["unprocessed"]) == (3, 2)


async def test_reading_ends_once_all_tasks_of_the_rows_are_there(write: Write) -> None:
    """Later pages are not asked for, unless a share of all tasks is, or a task was not seen."""
    path = write("edits.csv", "id,title", "opp_3,New", "opp_2,New", "opp_3,Newer")
    async with bench_of(10, page_size=2) as bench:
        await compared(bench, path)
        assert [seen.method for seen in bench.seen] == ["GET"] * 2 + ["PATCH"] * 3
        bench.seen.clear()
        share = ChangeLimit(percent=50)
        summary = await compared(bench, path, out="share.run", max_changes=share)
        assert [seen.method for seen in bench.seen].count("GET") == 6
        assert summary.listed == 10
        bench.seen.clear()
        await compared(bench, write("none.csv", "id,title", "opp_99,New"))
        assert [seen.method for seen in bench.seen] == ["GET"] * 6


async def test_reading_goes_on_until_it_has_seen_each_field(write: Write) -> None:
    """A field that the first tasks lack is empty in them, if a later one shows it."""
    path = write("edits.csv", "id,message,expect.priority", "opp_1,Text,<clear>")
    async with bench_of(10, page_size=2) as bench:
        for number in range(1, 10):
            task = bench.sandbox.team.tasks[f"opp_{number}"]
            del task["content"], task["priority"]
        summary = await compared(bench, path)
        assert [seen.method for seen in bench.seen] == ["GET"] * 5 + ["PATCH"]
    assert summary.exit_code == 0
    assert images()[0]["before"] == {"message": None}


async def test_people_are_members(write: Write) -> None:
    """An owner may be an e-mail address or a name. One who is no member makes an invalid row."""
    path = write(
        "edits.csv",
        "id,assignedTo,expect.assignedTo",
        "opp_1,BEN@acme.example,anna@acme.example",
        "opp_2,Anna Martin,",
        "opp_3,carl@acme.example,",
    )
    async with bench_of() as bench:
        summary = await compared(bench, path)
        assert (summary.exit_code, patches(bench)) == (2, [])
        assert "is no member of the team" in last()[3]["error"]["message"]
        summary = await compared(bench, path, mode=Mode.RESUME, skip_invalid=True)
        assert patches(bench) == [{"id": "opp_1", "assignedTo": "usr_ben"}]
    assert (summary.exit_code, summary.counts["invalid"], summary.counts["unchanged"]) == (1, 1, 1)


async def test_owner_who_has_left_may_keep_a_task(write: Write) -> None:
    """A row that sets the owner whom its task has is right, though that one is no member."""
    path = write("edits.csv", "id,assignedTo,title", "opp_1,usr_left,New", "opp_2,usr_left,")
    async with bench_of() as bench:
        bench.sandbox.team.tasks["opp_1"]["userId"] = "usr_left"
        summary = await compared(bench, path, skip_invalid=True)
        assert patches(bench) == [{"id": "opp_1", "title": "New"}]
    assert (summary.counts["updated"], summary.counts["invalid"]) == (1, 1)


async def test_team_that_cannot_be_read_leaves_ids(write: Write) -> None:
    """Without the team, ids work, and it is said."""
    path = write("edits.csv", "id,assignedTo", "opp_1,usr_ben")
    notes = Notes()
    async with bench_of(closed={"team": 402}) as bench:
        summary = await compared(bench, path, observer=notes)
    assert summary.exit_code == 0
    assert any("only ids of users work" in note for note in notes.said)


async def test_rows_of_a_task_are_merged(write: Write) -> None:
    """Merged rows expect what the first of them expects; contradicting rows are not merged."""
    path = write(
        "edits.csv",
        "id,title,message,expect.title",
        "opp_1,A,,T1",
        "opp_2,A,,T2",
        "opp_1,B,x,",
        "opp_2,B,x,A",
        "opp_2,C,,Z",
    )
    async with bench_of() as bench:
        summary = await compared(bench, path, merge_duplicates=True)
        sent = {body["id"]: body["title"] for body in patches(bench)}
        assert (len(patches(bench)), sent) == (2, {"opp_1": "B", "opp_2": "B"})
    assert (summary.counts["updated"], summary.counts["conflict"]) == (4, 1)


async def test_first_counts_requests(write: Write) -> None:
    """`first` counts rows for which a request goes out."""
    path = write("edits.csv", "id,title", "opp_1,T1", "opp_2,New", "opp_3,T3", "opp_4,New")
    async with bench_of() as bench:
        summary = await compared(bench, path, first=1)
        assert [body["id"] for body in patches(bench)] == ["opp_2"]
    assert (summary.counts["unchanged"], summary.counts["unprocessed"]) == (2, 1)


async def test_conflicts_are_no_failures(write: Write) -> None:
    """A conflict does not count for `max_failures`, and stops nothing."""
    path = write("edits.csv", "id,title,expect.title", *(f"opp_{n},N,X" for n in range(1, 6)))
    async with bench_of() as bench:
        summary = await compared(bench, path, max_failures=FailureLimit(rows=1))
    assert (summary.exit_code, summary.counts["conflict"]) == (1, 5)


async def test_changed_input_continues(write: Write) -> None:
    """An edited input continues: rows that are right are settled, and the new row is sent."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New")
    async with bench_of() as bench:
        await compared(bench, path, first=1)
        write("edits.csv", "id,title", "opp_3,New", "opp_1,New", "opp_2,New")
        summary = await compared(bench, path, mode=Mode.RESUME, changed_input=True)
        assert [body["id"] for body in patches(bench)] == ["opp_1", "opp_3", "opp_2"]
    assert summary.exit_code == 0
    assert summary.counts["unprocessed"] == 0


async def test_interrupted_run_is_resumed(write: Write) -> None:
    """A run that was stopped goes on with what differs."""
    rows = [f"opp_{n},New" for n in range(1, 41)]
    path = write("edits.csv", "id,title", *rows)
    async with bench_of(40, latency=(2.0, 5.0)) as bench:
        stopping = StopsAfter(10)
        config = bench.config(path, compare=True, workers=2)
        first = await run(config, stop=stopping.stop, observer=stopping)
        assert first.counts["unprocessed"] > 0
        summary = await compared(bench, path, mode=Mode.RESUME)
        assert len(patches(bench)) == 40
    assert (summary.exit_code, summary.counts["updated"]) == (0, 40)
    # A row that was stopped before its request has a second line, and no second image.
    assert sum(bool(image["before"]) for image in images()) == 40


async def test_old_reading_is_repeated_with_nothing_in_flight(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that is too old is repeated before it is relied on, and no PATCH is under way."""
    path = write("edits.csv", "id,title", *(f"opp_{n},New" for n in range(1, 31)))
    send, page = TaskClient.send, TaskClient.page
    in_flight, at_page = 0, []

    async def counted(self: TaskClient, *args: Any, **kwargs: Any) -> Any:
        nonlocal in_flight
        in_flight += 1
        try:
            return await send(self, *args, **kwargs)
        finally:
            in_flight -= 1

    async def looked(self: TaskClient, *args: Any) -> Any:
        at_page.append(in_flight)
        return await page(self, *args)

    monkeypatch.setattr(TaskClient, "send", counted)
    monkeypatch.setattr(TaskClient, "page", looked)
    monkeypatch.setattr("bulkupdate.session.compare._TIMES_TOOK", 1.0)
    async with bench_of(30, latency=(2.0, 5.0)) as bench:
        summary = await compared(bench, path, max_age=0.0, workers=4)
        assert len(patches(bench)) == 30
    assert summary.counts["updated"] == 30
    assert len(at_page) > 1
    assert set(at_page) == {0}


async def test_list_that_is_late_is_no_change(write: Write) -> None:
    """For a while after a write of ours, a list may still show the value before it."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,A")
    async with bench_of(lag=60.0) as bench:
        await compared(bench, path, first=1)
        summary = await compared(bench, path, mode=Mode.RESUME)
        assert [body["title"] for body in patches(bench)] == ["A", "B"]
    assert summary.exit_code == 0


async def test_task_that_this_run_completed_is_done(write: Write) -> None:
    """A later row of a task that the run has completed is judged by the answer."""
    path = write("edits.csv", "id,title,done", "opp_1,,true", "opp_1,,true", "opp_1,New,")
    async with bench_of() as bench:
        summary = await compared(bench, path)
        assert patches(bench) == [{"id": "opp_1", "done": True}]
    assert last()[2]["reason"] == "already"
    assert last()[3]["error"]["type"] == "not_pending"
    assert summary.exit_code == 1


async def test_completion_in_doubt_is_unconfirmed(write: Write) -> None:
    """If a request may have completed a task that is not listed now, its row is unconfirmed."""
    path = write("edits.csv", "id,done", "opp_1,true", "opp_2,true")
    async with bench_of() as bench:
        await compared(bench, path, first=1)
        log = RUN / "results.jsonl"
        log.write_text("")  # as after a crash between the answer and the log
        summary = await compared(bench, path, mode=Mode.RESUME)
        assert len(patches(bench)) == 2
    assert (last()[1]["outcome"], last()[2]["outcome"]) == ("unconfirmed", "updated")
    assert summary.exit_code == 1


async def test_settings_of_a_comparison_need_it(write: Write) -> None:
    """A setting that only `compare` uses is refused without it."""
    path = write("edits.csv", "id,title", "opp_1,New")
    async with bench_of() as bench:
        for settings in (
            {"unlisted": "send"},
            {"allow_few": True},
            {"max_changes": ChangeLimit(1)},
        ):
            with pytest.raises(errors.ConfigError, match="needs compare"):
                bench.config(path, **settings)


async def test_media_are_always_sent(write: Write) -> None:
    """Images can't be compared, so they are sent each time, and their image can't be kept."""
    path = write("edits.jsonl", '{"id": "opp_1", "images": ["https://a.example/1.png"]}')
    async with bench_of() as bench:
        bench.sandbox.team.tasks["opp_1"]["type"] = "linkedinSend"
        for number in (1, 2):
            await compared(bench, path, out=f"{number}.run", read=ReadOptions())
        assert len(patches(bench)) == 2
