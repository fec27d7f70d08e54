"""`compare`: how long a reading counts, and what it leaves unknown."""

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.engine.limiter import LocalPermit, NoLimiter
from bulkupdate.journal.directory import Mode
from bulkupdate.models import Reason, Result, Row
from bulkupdate.reader import Input
from bulkupdate.sandbox.team import Team
from bulkupdate.session.compare import Comparison
from tests.session.test_compare import RUN, bench_of, compared, images, last, patches
from tests.session.test_compare_more import lose_answers
from tests.support.bench import Bench

Write = Callable[..., Path]


def pages(bench: Bench) -> int:
    """Number of pages that were asked for."""
    return sum(seen.method == "GET" for seen in bench.seen)


async def test_reading_and_sending_share_one_limit(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages, edits and what is asked of the team take their permits from the same limiter."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New")
    permits: list[int] = []

    class Counting(NoLimiter):
        def __init__(self) -> None:
            super().__init__()
            self.number = len(permits)
            permits.append(0)

        def permit(self) -> LocalPermit:
            permits[self.number] += 1
            return super().permit()

    monkeypatch.setattr("bulkupdate.session.parts.limiter_for", lambda _: Counting())
    async with bench_of() as bench:
        await compared(bench, path)
        assert permits == [len(bench.seen) + len(bench.asked)]


@pytest.mark.parametrize(
    ("settings", "took", "passed", "readings"),
    [
        ({}, 1.0, 1790, 1),
        ({}, 1.0, 1810, 2),
        ({"max_age": 1.0}, 100.0, 990, 1),
        ({"max_age": 1.0}, 100.0, 1010, 2),
    ],
)
async def test_reading_counts_for_half_an_hour_or_ten_times_what_it_took(
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    took: float,
    passed: float,
    readings: int,
) -> None:
    """An older one is repeated. A long reading is not repeated again and again."""
    path = write("edits.csv", "id,title", "opp_1,New")
    settle = Comparison.begin

    async def settle_and_wait(comparison: Comparison, *given: Any) -> None:
        await settle(comparison, *given)
        at = time.time() + passed
        comparison._took = took
        monkeypatch.setattr(time, "time", lambda: at)

    monkeypatch.setattr(Comparison, "begin", settle_and_wait)
    async with bench_of() as bench:
        await compared(bench, path, **settings)
        assert pages(bench) == readings


async def test_answer_with_few_fields_erases_nothing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an answer leaves out of a task is as the reading showed it."""
    path = write(
        "edits.csv", "id,title,priority,expect.message", "opp_1,New,,Text", "opp_1,,high,Text"
    )
    update = Team.update

    def short(team: Team, body: dict[str, Any]) -> dict[str, Any]:
        return {"_id": update(team, body)["_id"]}

    monkeypatch.setattr(Team, "update", short)
    async with bench_of() as bench:
        bench.sandbox.team.tasks["opp_1"]["content"] = "Text"
        summary = await compared(bench, path)
        assert len(patches(bench)) == 2
    assert summary.exit_code == 0


async def test_field_that_only_answers_show_stays_unknown(write: Write) -> None:
    """An answer tells of its own task alone: nothing is taken for empty because of it."""
    path = write("edits.csv", "id,title,message", "opp_1,New,", "opp_2,,<clear>")
    async with bench_of(hidden=("content",)) as bench:
        await compared(bench, path, workers=1)
        assert patches(bench)[1:] == [{"id": "opp_2", "message": ""}]


async def test_field_that_a_later_reading_hides_is_unknown(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is empty and what is unknown is told by one reading, not by an earlier one."""
    path = write("edits.csv", "id,message", "opp_1,Text", "opp_2,<clear>")
    read = Comparison._read
    async with bench_of() as bench:

        async def read_less(comparison: Comparison, source: Input) -> None:
            await read(comparison, source)
            for task in bench.sandbox.team.tasks.values():
                task.pop("content", None)

        bench.sandbox.team.tasks["opp_2"]["content"] = "Old"
        monkeypatch.setattr(Comparison, "_read", read_less)
        settle = Comparison.begin

        async def grow_old(comparison: Comparison, *given: Any) -> None:
            await settle(comparison, *given)
            comparison._read_at_wall -= 7200

        monkeypatch.setattr(Comparison, "begin", grow_old)
        await compared(bench, path, workers=1)
        assert {"id": "opp_2", "message": ""} in patches(bench)
    assert images()[0]["before"] == {}


def shift_back(seconds: float) -> None:
    """Make everything that the run has written down older."""
    for name in ("results.jsonl", "before.jsonl"):
        lines = [json.loads(line) for line in (RUN / name).read_text().splitlines()]
        for line in lines:
            at = datetime.fromisoformat(line["at"]) - timedelta(seconds=seconds)
            line["at"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        (RUN / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(("seconds", "outcome"), [(100, "updated"), (140, "conflict")])
async def test_list_may_be_two_minutes_late(write: Write, seconds: int, outcome: str) -> None:
    """The value before a write of ours is that of a late list for so long, then it is a change."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,A")
    async with bench_of(lag=60.0) as bench:
        await compared(bench, path, first=1)
        shift_back(seconds)
        await compared(bench, path, mode=Mode.RESUME)
    assert last()[2]["outcome"] == outcome


async def test_other_value_soon_after_a_write_is_a_change(write: Write) -> None:
    """A list that shows neither our value nor the one before it is not late."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,A")
    async with bench_of() as bench:
        await compared(bench, path, first=1)
        bench.sandbox.team.tasks["opp_1"]["title"] = "by Anna"
        await compared(bench, path, mode=Mode.RESUME)
        assert len(patches(bench)) == 1
    assert last()[2]["error"]["found"] == "by Anna"


async def test_field_that_a_lost_answer_touched_is_unknown(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be expected of it, and it is never already right."""
    rows = ["opp_1,A,,", "opp_1,,Text,T1", "opp_1,T1,,"]
    path = write("edits.csv", "id,title,message,expect.title", *rows)
    lose_answers(monkeypatch, "A")
    async with bench_of() as bench:
        await compared(bench, path)
        assert patches(bench)[-1] == {"id": "opp_1", "title": "T1"}
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "T1"
    assert (last()[1]["outcome"], last()[2]["error"]["type"]) == ("unconfirmed", "unknown")


async def test_next_reading_shows_what_a_lost_answer_left(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The field is known again, and is judged as it is."""
    path = write("edits.csv", "id,title,message,expect.title", "opp_1,A,,", "opp_1,,Text,A")
    lose_answers(monkeypatch, "A")
    settled = Comparison.settled

    def grow_old(comparison: Comparison, row: Row, result: Result) -> Result:
        comparison._read_at_wall -= 7200
        return settled(comparison, row, result)

    monkeypatch.setattr(Comparison, "settled", grow_old)
    async with bench_of() as bench:
        await compared(bench, path)
        assert patches(bench)[-1] == {"id": "opp_1", "message": "Text"}
    assert [last()[row]["outcome"] for row in (1, 2)] == ["unconfirmed", "updated"]


@pytest.mark.parametrize("hidden", [(), ("status", "createdAt", "completedAt")])
async def test_status_that_no_task_shows_is_unknown(write: Write, hidden: tuple[str, ...]) -> None:
    """A listed task is pending if some task shows a status; else `done` is sent either way."""
    path = write("edits.csv", "id,done", "opp_1,true", "opp_2,false")
    async with bench_of(hidden=hidden) as bench:
        await compared(bench, path)
        sent = sorted(body["id"] for body in patches(bench))
    assert sent == (["opp_1", "opp_2"] if hidden else ["opp_1"])
    assert images()[0]["before"] == ({} if hidden else {"done": False})


async def test_list_may_be_empty_once_the_run_has_completed_all(write: Write) -> None:
    """No task is left because of the run itself: that is no broken server."""
    path = write("edits.csv", "id,done", "opp_1,true", "opp_2,true", "opp_9,true")
    async with bench_of(2) as bench:
        await compared(bench, path, unlisted="send", first=2)
        summary = await compared(bench, path, mode=Mode.RESUME)
    assert (summary.exit_code, summary.counts["conflict"]) == (1, 1)


async def test_input_that_changes_while_tasks_are_read_settles_no_row(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that was not checked is not compared either."""
    path = write("edits.csv", "id,title", "opp_1,New", "opp_2,New")
    begin = Comparison.begin

    async def begin_and_edit(comparison: Comparison) -> None:
        await begin(comparison)
        write("edits.csv", "id,title", "opp_3,T3", "opp_2,New")

    monkeypatch.setattr(Comparison, "begin", begin_and_edit)
    async with bench_of() as bench:
        summary = await compared(bench, path)
        assert patches(bench) == []
    assert (summary.exit_code, summary.stopped_by) == (3, Reason.INPUT_CHANGED)
    assert last() == {}
