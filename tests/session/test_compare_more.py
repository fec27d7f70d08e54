"""`compare` where something goes wrong: refused and doubtful writes, late lists, edited inputs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.journal.directory import Mode, RunDirectory
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import Reason
from bulkupdate.plan import LiveTasks
from bulkupdate.plan.judge import LATE
from bulkupdate.sandbox.members import Member
from bulkupdate.sandbox.server import Seen
from bulkupdate.sandbox.team import BadUpdateError, Team
from bulkupdate.session.compare import Comparison
from bulkupdate.session.plan import plan_edits
from bulkupdate.session.run import run
from bulkupdate.session.settings import ChangeLimit
from tests.session.test_compare import RUN, bench_of, compared, images, last, patches
from tests.support.bench import Bench, results_in

Write = Callable[..., Path]


def refuse(monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    """Let the server refuse each update that sets this title."""
    update = Team.update

    def picky(team: Team, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("title") == title:
            raise BadUpdateError(400, "Bad params")
        return update(team, body)

    monkeypatch.setattr(Team, "update", picky)


def lose_answers(monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    """Lose the answer to each update that sets this title. The server applies it."""
    send = TaskClient.send

    async def losing(self: TaskClient, update: Any, **how: Any) -> Any:
        answer = await send(self, update, **how)
        if update.title == title:
            raise errors.RequestTimeoutError("no answer in time")
        return answer

    monkeypatch.setattr(TaskClient, "send", losing)


async def test_refused_write_meets_no_expectation(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that expects what a refused row would have left is a conflict."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,A", "opp_1,C,T1")
    async with bench_of() as bench:
        refuse(monkeypatch, "A")
        await compared(bench, path)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "C"
    outcomes = [last()[row]["outcome"] for row in (1, 2, 3)]
    assert outcomes == ["failed", "conflict", "updated"]


async def test_doubtful_write_becomes_no_image(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a write in doubt, the value before it stays the newest image of the field."""
    path = write("edits.csv", "id,title", "opp_1,A", "opp_1,B")
    lose_answers(monkeypatch, "A")
    async with bench_of() as bench:
        await compared(bench, path)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "B"
    assert last()[1]["outcome"] == "unconfirmed"
    assert [image["before"] for image in images()] == [{"title": "T1"}, {}]


async def test_late_list_is_judged_by_the_time_of_its_reading(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that was late when it was read does not become right while the rows are sent."""
    path = write("edits.csv", "id,title", "opp_1,A", "opp_2,X", "opp_1,T1")
    settle = Comparison.begin

    async def settle_and_wait(*given: Any) -> None:
        await settle(*given)
        passed = time.time() + 2 * LATE
        monkeypatch.setattr(time, "time", lambda: passed)

    async with bench_of(lag=60.0) as bench:
        await compared(bench, path, first=1)
        monkeypatch.setattr(Comparison, "begin", settle_and_wait)
        await compared(bench, path, mode=Mode.RESUME)
        sent = [body["title"] for body in patches(bench) if body["id"] == "opp_1"]
        assert sent == ["A", "T1"]


async def test_late_list_does_not_reopen_a_completed_task(write: Write) -> None:
    """A task that the run has completed gets no further request while the list shows it."""
    path = write("edits.csv", "id,title,done", "opp_1,,true", "opp_1,New,", "opp_2,New,")
    async with bench_of(lag=60.0) as bench:
        await compared(bench, path, first=1)
        await compared(bench, path, mode=Mode.RESUME)
        assert patches(bench) == [{"id": "opp_1", "done": True}, {"id": "opp_2", "title": "New"}]
    assert last()[2]["error"]["type"] == "not_pending"


async def test_rows_of_a_completed_task_are_judged_by_its_answer(write: Write) -> None:
    """What they expect must hold. What they want is there already, or can't be changed."""
    path = write(
        "edits.csv",
        "id,title,done,expect.title",
        "opp_1,,true,",
        "opp_1,,true,Other",
        "opp_1,T1,true,T1",
        "opp_1,New,true,T1",
    )
    async with bench_of() as bench:
        await compared(bench, path)
        assert len(patches(bench)) == 1
    assert last()[2]["error"]["type"] == "changed_since"
    assert last()[3]["reason"] == "already"
    assert last()[4]["error"]["type"] == "not_pending"


async def test_only_the_row_that_may_have_completed_a_task_is_unconfirmed(write: Write) -> None:
    """A later row of the task, of which nothing was sent, is a conflict."""
    path = write("edits.csv", "id,title,done", "opp_1,,true", "opp_1,New,")
    async with bench_of() as bench:
        await compared(bench, path, first=1)
        (RUN / "results.jsonl").write_text("")  # as after a crash between the answer and the log
        await compared(bench, path, mode=Mode.RESUME)
        assert len(patches(bench)) == 1
    assert [last()[row]["outcome"] for row in (1, 2)] == ["unconfirmed", "conflict"]


async def test_edited_input_forgets_no_write(write: Write) -> None:
    """What rows wrote that the input no longer has is still the run's: no image, no conflict."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,A", "opp_2,A,T2")
    async with bench_of() as bench:
        await compared(bench, path)
        write("edits.csv", "id,title,expect.title", "opp_2,A,T2", "opp_1,C,T1")
        await compared(bench, path, mode=Mode.RESUME, changed_input=True)
        write("edits.csv", "id,title,expect.title", "opp_2,A,T2", "opp_1,D,B")
        summary = await compared(bench, path, mode=Mode.RESUME, changed_input=True)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "D"
    assert summary.counts["updated"] == 2
    assert [image["before"] for image in images() if image["before"]] == [
        {"title": "T1"},
        {"title": "T2"},
    ]


async def test_refused_write_of_an_earlier_session_meets_no_expectation(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that the server refused from this run, and another hand set, is a change."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,T1")
    async with bench_of() as bench:
        refuse(monkeypatch, "A")
        await compared(bench, path, first=1)
        bench.sandbox.team.tasks["opp_1"]["title"] = "A"
        await compared(bench, path, mode=Mode.RESUME)
    assert [last()[row]["outcome"] for row in (1, 2)] == ["failed", "conflict"]


async def test_updated_row_is_not_sent_over_another_hand(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An updated row follows an earlier row that is tried again, but not over foreign values."""
    path = write(
        "edits.csv",
        "id,title,message,expect.title",
        "opp_1,A,,Other",
        "opp_1,,B,",
        "opp_2,A,,",
        "opp_2,B,B,",
    )
    async with bench_of() as bench:
        with monkeypatch.context() as patched:
            refuse(patched, "A")
            await compared(bench, path)
        tasks = bench.sandbox.team.tasks
        tasks["opp_1"]["content"] = tasks["opp_2"]["content"] = "by Anna"
        await compared(bench, path, mode=Mode.RESUME, retry_failed=True)
        assert tasks["opp_1"]["content"] == tasks["opp_2"]["content"] == "by Anna"
        assert tasks["opp_2"]["title"] == "B"
        assert patches(bench)[-2:] == [
            {"id": "opp_2", "title": "A"},
            {"id": "opp_2", "title": "B"},
        ]
    outcomes = [last()[row]["outcome"] for row in (1, 2, 3, 4)]
    assert outcomes == ["conflict", "updated", "updated", "updated"]


CARL = Member("usr_carl", "Carl", "Bauer", "carl@acme.example")


async def test_run_that_sent_nothing_begins_again(write: Write) -> None:
    """A reading is no update: a run of which no row was sent needs no flag to be repeated."""
    path = write("edits.csv", "id,assignedTo", "opp_1,usr_ben", "opp_2,carl@acme.example")
    async with bench_of() as bench:
        for _ in range(2):
            summary = await compared(bench, path)
            assert (summary.exit_code, summary.counts["invalid"]) == (2, 1)
        write("edits.csv", "id,assignedTo", "opp_1,usr_ben", "opp_2,usr_ben")
        summary = await compared(bench, path)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 2)


async def test_row_that_names_no_member_is_looked_at_in_each_session(write: Write) -> None:
    """It refuses each session, unless it is skipped; and is sent once its owner has joined."""
    path = write(
        "edits.csv", "id,assignedTo", "opp_1,carl@acme.example", "opp_2,usr_ben", "opp_3,usr_ben"
    )
    async with bench_of() as bench:
        await compared(bench, path, first=1, skip_invalid=True)
        summary = await compared(bench, path, mode=Mode.RESUME)
        assert (summary.exit_code, len(patches(bench))) == (2, 1)
        bench.sandbox.team.users[CARL.id] = CARL
        summary = await compared(bench, path, mode=Mode.RESUME)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 3)


async def test_updated_row_stays_updated_when_its_owner_leaves(write: Write) -> None:
    """Such a row is not invalid in a later session, and stops nothing."""
    path = write(
        "edits.csv", "id,assignedTo,title", "opp_1,,A", "opp_1,carl@acme.example,", "opp_2,,A"
    )
    async with bench_of() as bench:
        team = bench.sandbox.team
        team.users[CARL.id] = CARL
        del team.tasks["opp_2"]
        await compared(bench, path)
        del team.users[CARL.id]
        lines = (RUN / "results.jsonl").read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith('{"row":1,')]
        (RUN / "results.jsonl").write_text("".join(kept))
        summary = await compared(bench, path, mode=Mode.RESUME)
    assert (summary.exit_code, summary.counts["invalid"]) == (1, 0)


async def test_merged_rows_count_as_a_change(write: Write) -> None:
    """`max_changes` counts a task of which only a later row changes something."""
    rows = [f"opp_{n},{title}" for n in (1, 2) for title in (f"T{n}", "New")]
    path = write("edits.csv", "id,title", *rows)
    async with bench_of() as bench:
        limit = ChangeLimit(tasks=1)
        summary = await compared(bench, path, merge_duplicates=True, max_changes=limit)
        assert patches(bench) == []
    assert "2 tasks would change" in (summary.reason or "")


async def test_list_may_be_shorter_by_what_the_run_completed(write: Write) -> None:
    """Most of the tasks may be completed by one session before the next one.

    They count among the tasks of which a share may be changed.
    """
    path = write("edits.csv", "id,done", *(f"opp_{n},true" for n in range(1, 11)))
    async with bench_of(10) as bench:
        share = ChangeLimit(percent=100)  # It needs the whole list.
        await compared(bench, path, first=6, max_changes=share)
        await compared(bench, path, mode=Mode.RESUME, first=3, max_changes=share)
        summary = await compared(bench, path, mode=Mode.RESUME, max_changes=share)
    assert (summary.exit_code, summary.counts["updated"], summary.listed) == (0, 10, 0)


async def test_result_is_logged_where_live_tasks_cannot_be_stored(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk stops the run. What was sent is in the log."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_1,Newer")

    def full(*_: object) -> None:
        raise errors.JournalError("tasks can't be stored on disk: it is full")

    monkeypatch.setattr(LiveTasks, "keep", full)
    async with bench_of() as bench:
        summary = await compared(bench, path)
        assert summary.counts["updated"] == len(patches(bench)) > 0
    assert (summary.exit_code, summary.stopped_by) == (3, Reason.NOT_WRITTEN)


async def test_reading_is_old_after_the_machine_was_asleep(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age of a reading is that of the wall clock too."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,New,T1")
    settle = Comparison.begin
    async with bench_of() as bench:

        async def sleep_before_sending(*given: Any) -> None:
            await settle(*given)
            woken = time.time() + 8 * 3600
            monkeypatch.setattr(time, "time", lambda: woken)
            bench.sandbox.team.tasks["opp_1"]["title"] = "by Anna"

        monkeypatch.setattr(Comparison, "begin", sleep_before_sending)
        await compared(bench, path)
        assert patches(bench) == []
    assert last()[1]["error"]["type"] == "changed_since"


async def test_crash_while_an_edited_input_is_adopted_loses_no_row(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has its new numbers, and the digests are the old ones: rows are compared anew."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New", "opp_4,New")
    async with bench_of() as bench:
        await compared(bench, path)
        write("edits.csv", "id,title", "opp_3,New", "opp_1,New", "opp_2,New")

        def crash(_: RunDirectory) -> None:
            raise KeyError("crash")

        with monkeypatch.context() as patched:
            patched.setattr(RunDirectory, "adopt_digests", crash)
            with pytest.raises(KeyError):
                await compared(bench, path, mode=Mode.RESUME, changed_input=True)
        summary = await compared(bench, path, mode=Mode.RESUME, changed_input=True)
        assert [body["id"] for body in patches(bench)[3:]] == ["opp_3"]
    assert (summary.exit_code, summary.counts["unprocessed"]) == (0, 0)


async def test_first_counts_no_row_that_is_right_after_another(write: Write) -> None:
    """A row that needs no request after an earlier row of its task is not counted by `first`."""
    rows = ["opp_1,A", "opp_1,A", "opp_1,A", "opp_2,B", "opp_3,C"]
    path = write("edits.csv", "id,title", *rows)
    async with bench_of() as bench:
        summary = await compared(bench, path, first=2)
        assert [body["id"] for body in patches(bench)] == ["opp_1", "opp_2"]
    assert (summary.counts["unchanged"], summary.counts["unprocessed"]) == (2, 1)


async def test_owner_of_a_task_is_expected_by_any_id(write: Write) -> None:
    """The id of someone who has left stands for itself where tasks still are theirs."""
    path = write("edits.csv", "id,assignedTo,expect.assignedTo", "opp_1,usr_ben,old-owner")
    async with bench_of() as bench:
        bench.sandbox.team.tasks["opp_1"]["userId"] = "old-owner"
        summary = await compared(bench, path)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 1)


async def test_conflict_holds_ids_and_names_people(write: Write) -> None:
    """Results and plans have the ids of owners; their messages name them for people too."""
    path = write("edits.csv", "id,title,expect.assignedTo", "opp_1,New,BEN@acme.example")
    says = "'anna@acme.example (usr_anna)', and 'ben@acme.example (usr_ben)' is expected"
    async with bench_of() as bench:
        await compared(bench, path)
        config = bench.config(path)
        async with plan_edits(
            path, config.only_account.endpoint(), rate=None, retry=config.retry
        ) as plan:
            assert says in plan.examples[0][2]
    error = last()[1]["error"]
    assert (error["expected"], error["found"]) == ("usr_ben", "usr_anna")
    assert says in error["message"]


async def test_write_that_no_log_knows_is_of_this_run(write: Write) -> None:
    """After a crash, what a second write to a field left is no change, and becomes no image."""
    rows = ["opp_1,A,T1", "opp_1,B,A", "opp_1,C,A"]
    path = write("edits.csv", "id,title,expect.title", *rows)
    async with bench_of() as bench:
        await compared(bench, path, first=2)
        lines = (RUN / "results.jsonl").read_text().splitlines(keepends=True)
        (RUN / "results.jsonl").write_text(lines[0])  # as after a crash between answer and log
        await compared(bench, path, mode=Mode.RESUME)
        assert [body["title"] for body in patches(bench)] == ["A", "B", "C"]
    assert last()[2]["reason"] == "already"
    assert [image["before"] for image in images()] == [{"title": "T1"}, {}, {}]


async def test_people_are_looked_up_after_the_tasks_are_read_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner who has left may keep a task, and gets none back that was given away meanwhile."""
    head = "id,title,assignedTo,expect.assignedTo"
    path = write(
        "edits.csv", head, "opp_1,New,usr_left,usr_left", "opp_2,New,usr_left,", "opp_3,New,,"
    )
    settle = Comparison.begin
    async with bench_of() as bench:
        tasks = bench.sandbox.team.tasks
        tasks["opp_1"]["userId"] = tasks["opp_2"]["userId"] = "usr_left"

        async def sleep_before_sending(*given: Any) -> None:
            await settle(*given)
            woken = time.time() + 8 * 3600
            monkeypatch.setattr(time, "time", lambda: woken)
            tasks["opp_2"]["userId"] = "usr_anna"

        monkeypatch.setattr(Comparison, "begin", sleep_before_sending)
        await compared(bench, path)
        assert tasks["opp_2"]["userId"] == "usr_anna"
    outcomes = [last()[row]["outcome"] for row in (1, 2, 3)]
    assert outcomes == ["updated", "invalid", "updated"]


def sleep_at_the_third(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]
) -> None:
    """Let the machine sleep for hours when the third PATCH arrives. Others work meanwhile."""
    see = bench.sandbox._watch

    def watch(seen: Seen) -> None:
        if see is not None:
            see(seen)
        if seen.method == "PATCH" and len(patches(bench)) == 3:
            woken = time.time() + 8 * 3600
            monkeypatch.setattr(time, "time", lambda: woken)
            meanwhile()

    bench.sandbox._watch = watch


async def test_all_rows_are_judged_at_once_after_each_reading(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that another hand has made right meanwhile wait for no request of earlier rows."""
    path = write("edits.csv", "id,title", *(f"opp_{n},New" for n in range(1, 101)))
    async with bench_of(100) as bench:

        def edit() -> None:
            for number in range(91, 101):
                bench.sandbox.team.tasks[f"opp_{number}"]["title"] = "New"

        sleep_at_the_third(bench, monkeypatch, edit)
        await compared(bench, path, workers=1)
        assert len(patches(bench)) == 90
    order = [result["row"] for result in results_in(RUN)]
    assert order == [1, 2, 3, *range(91, 101), *range(4, 91)]


async def test_input_that_is_gone_when_the_tasks_are_read_again_stops_the_run(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows can't be judged at once then, and nothing more is sent."""
    path = write("edits.csv", "id,title", *(f"opp_{n},New" for n in range(1, 101)))
    async with bench_of(100) as bench:
        sleep_at_the_third(bench, monkeypatch, path.unlink)
        summary = await run(bench.config(path, compare=True, workers=1))
        assert len(patches(bench)) == 3
    assert (summary.exit_code, summary.stopped_by) == (3, Reason.INPUT_CHANGED)


async def test_later_row_follows_a_retried_one_after_another_reading(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier edit that is sent now never gets the last word, whenever the tasks are read."""
    path = write("edits.csv", "id,title", "opp_1,A", "opp_1,B", *(f"opp_{n},C" for n in (2, 3, 4)))
    async with bench_of() as bench:
        with monkeypatch.context() as picky:
            refuse(picky, "A")
            await compared(bench, path)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "B"
        bench.seen.clear()
        retried = TaskClient.send

        async def grow_old(self: TaskClient, *given: Any, **named: Any) -> Any:
            answer = await retried(self, *given, **named)
            woken = time.time() + 8 * 3600
            monkeypatch.setattr(time, "time", lambda: woken)
            return answer

        monkeypatch.setattr(TaskClient, "send", grow_old)
        await compared(bench, path, mode=Mode.RESUME, retry_failed=True, workers=1)
        assert [body["title"] for body in patches(bench)] == ["A", "B"]
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "B"


async def test_refusal_takes_back_no_earlier_write_in_doubt(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a lost answer may have left is still of this run after its retry was refused."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,T1")
    async with bench_of() as bench:
        task = bench.sandbox.team.tasks["opp_1"]
        with monkeypatch.context() as lossy:
            lose_answers(lossy, "A")
            await compared(bench, path, first=1)
        assert (task["title"], last()[1]["outcome"]) == ("A", "unconfirmed")
        # The server is late: it lists the title from before, and applies the first attempt later.
        task["title"] = "T1"
        with monkeypatch.context() as picky:
            refuse(picky, "A")
            await compared(bench, path, first=1, mode=Mode.RESUME, retry_failed=True)
        assert last()[1]["outcome"] == "failed"
        task["title"] = "A"
        summary = await compared(bench, path, mode=Mode.RESUME)
        assert task["title"] == "B"
    assert summary.counts["updated"] == 1


async def test_row_that_waited_for_its_permit_is_judged_by_a_fresh_reading(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that grows old while a request waits for its permit is repeated first."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,New,T1")
    async with bench_of() as bench:
        keep = Comparison._keep

        async def wait(comparison: Comparison, *given: Any) -> None:
            await keep(comparison, *given)
            if not patches(bench) and bench.sandbox.team.tasks["opp_1"]["title"] == "T1":
                woken = time.time() + 8 * 3600
                monkeypatch.setattr(time, "time", lambda: woken)
                bench.sandbox.team.tasks["opp_1"]["title"] = "by Anna"

        monkeypatch.setattr(Comparison, "_keep", wait)
        summary = await compared(bench, path)
        assert patches(bench) == []
    assert (summary.exit_code, summary.counts["conflict"]) == (1, 1)
