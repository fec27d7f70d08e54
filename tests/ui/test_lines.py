"""What a person watches, and what a log collects."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from bulkupdate.codec import replaced
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.limiter import NoLimiter
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal import Cause, read_summary
from bulkupdate.journal.ledger import Ledger
from bulkupdate.models import ErrorInfo, Outcome, Result, unsent
from bulkupdate.plan import Checking
from bulkupdate.plan.preview import Inspection
from bulkupdate.reader import Input
from bulkupdate.session.observer import Observer, Observers, watched
from bulkupdate.session.progress import Progress
from bulkupdate.stop import Stop
from bulkupdate.ui import messages
from bulkupdate.ui.lines import JsonProgress, TextProgress
from tests.support.clock import run_virtual
from tests.support.fakes import FakeServer, answered, row
from tests.support.runs import run_directory


async def _take(*_: object) -> None:
    return


def progress() -> Progress:
    """A run of 100 rows, 3 of them settled, one of these failed, with a pause under way."""
    inspection = Inspection()
    for number in range(1, 101):
        inspection.add([row(number)])
    limiter = NoLimiter()
    lane = Lane(
        FakeServer(),
        limiter,
        RetryPolicy(),
        workers=1,
        drain_timeout=1,
        stop=Stop(),
        on_result=_take,
    )
    going = Progress(inspection.preview(None), Ledger(), [lane])
    for number, outcome in enumerate((Outcome.UPDATED, Outcome.UPDATED, Outcome.FAILED), 1):
        error = ErrorInfo("bad_request", "x") if outcome is Outcome.FAILED else None
        going.ledger.record(
            Result(row=number, id="a", outcome=outcome, attempts=1, at="", error=error)
        )
    lane.traffic.requests, lane.traffic.retries, lane.traffic.rate_limited = 9, 5, 2
    limiter.end(0.0, answered(retry_after=90, throttled=True))
    return going


def lines_of(make: Callable[[Callable[[str], None]], Observer], seconds: float) -> list[str]:
    """The lines that an observer writes in so many seconds."""
    lines: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(make(lines.append).watch(progress()))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait([task])

    run_virtual(main())
    return lines


def test_long_check_writes_a_line_now_and_then() -> None:
    """A check that takes long writes a line after five seconds, and one every ten."""

    async def main(observer: Observer) -> None:
        async with watched(observer.watch_check(Checking("edits.csv"))):
            await asyncio.sleep(26)

    lines: list[str] = []
    run_virtual(main(TextProgress(lines.append)))
    assert len(lines) == 3
    assert all(line.startswith("reading edits.csv: ") for line in lines)
    events: list[str] = []
    run_virtual(main(JsonProgress(events.append)))
    assert [json.loads(event)["event"] for event in events] == ["checking"] * 3


def test_short_check_writes_nothing() -> None:
    """A check of less than five seconds writes nothing, and leaves no task behind."""
    lines: list[str] = []

    async def main() -> None:
        observer = Observers([TextProgress(lines.append)])
        async with watched(observer.watch_check(Checking("edits.csv"))):
            await asyncio.sleep(4.9)
        await asyncio.sleep(60)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())
    assert lines == []


async def watched_by(
    observer: Observer, going: Progress, *, seconds: tuple[float, ...]
) -> AsyncIterator[None]:
    """Let an observer watch, and look up after so many seconds, and so many more."""
    task = asyncio.create_task(observer.watch(going))
    for wait in seconds:
        await asyncio.sleep(wait)
        yield
    task.cancel()
    await asyncio.wait([task])


def test_line_every_ten_seconds_shows_progress() -> None:
    """The text output writes a line of progress every ten seconds."""
    lines = lines_of(TextProgress, 25)
    assert len(lines) == 2
    for said in ("3 of 100 rows", "rows/s", "left, until ", "1 failed", "5 retries",
                 "2 rate-limited (429)",
                 "rate limited: continuing in 8"):  # fmt: skip
        assert said in lines[0]


def test_json_lines_show_the_same_progress() -> None:
    """The JSON output writes the same progress for a program."""
    first = json.loads(lines_of(JsonProgress, 15)[0])
    assert first["event"] == "progress"
    assert first["rows"] == 100
    assert first["counts"]["failed"] == 1
    assert (first["requests"], first["retries"], first["rate_limited"]) == (9, 5, 2)
    assert "rate limited" in first["waiting_for"]


def test_input_is_described_before_sending(write: Callable[..., Path]) -> None:
    """The output describes the input and its problems before anything is sent."""
    path = write("a.csv", "id,title,done", "a,<clear>,", "a,x,yes", "b,,maybe", "c,,")
    inspection = Inspection()
    lines: list[str] = []
    with Input.open(path) as source:
        for one in source.rows():
            inspection.add([one])
        TextProgress(lines.append).input_checked(source, inspection.preview(None))
        text = "\n".join(lines)
        JsonProgress(lines.append).input_checked(source, inspection.preview(None))
    for said in (
        "CSV, UTF-8, comma",
        "4 rows, 2 tasks, 1 with no field to change, 1 invalid",
        "sets: title 1, done 1",
        "CLEARS: title 1",
        "1 task has several rows, applied in their order (rows 1, 2)",
        "row 3 (line 4, 'b'): done 'maybe'",
        "1 problem in 1 row of 4",
    ):
        assert said in text
    assert json.loads(lines[-1])["preview"]["clears"] == {"title": 1}


def test_end_of_compared_run_shows_what_was_changed(tmp_path: Path) -> None:
    """The end of a compared run has a line for the fields, and one for the new owners by name."""
    counted: dict[str, Any] = {
        "compared": True,
        "changed": {"assignedTo": 1200, "title": 3},
        "owners": {"usr_1": 700, "usr_2": 499, "usr_3": 1},
        "people": {"usr_1": "Anna", "usr_2": "Anna", "usr_9": "Carl"},
    }
    lines = ending(tmp_path / "a.run", **counted)
    assert "changed: assignedTo 1,200, title 3" in lines
    assert "new owners: Anna 700, Anna 499, usr_3 1" in lines
    many = {f"usr_{number}": 1 for number in range(30)}
    [owners] = [
        line
        for line in ending(tmp_path / "b.run", **{**counted, "owners": many})
        if line.startswith("new owners: ")
    ]
    assert owners.endswith(", usr_25 1, …")


def test_end_of_other_runs_shows_no_changes(tmp_path: Path) -> None:
    """Without a comparison, with none counted, or of an older version, there is no such line."""
    uncounted: list[dict[str, Any]] = [
        {"changed": {"title": 3}, "owners": {"usr_1": 3}},
        {"compared": True, "changed": {}},
        {},
    ]
    for number, counted in enumerate(uncounted):
        text = "\n".join(ending(tmp_path / f"{number}.run", **counted))
        assert "changed" not in text
        assert "owners" not in text


@pytest.mark.parametrize(
    ("requests", "allowed", "said"),
    [
        (200, 10.0, ["rate: 9.5 requests/s of 10.0 allowed"]),
        (199, 10.0, []),
        (4999, 250.0, []),
        (5000, 250.0, ["rate: 9.5 requests/s of 250.0 allowed"]),
        (100, 2.5, []),
        (9999, None, []),
    ],
)
def test_rate_is_told_where_a_run_lasted_long_enough(
    tmp_path: Path, requests: int, allowed: float | None, said: list[str]
) -> None:
    """The first requests find an empty window, so that a short run may be faster than allowed."""
    lines = ending(tmp_path / "a.run", requests=requests, used_rate=9.5, allowed_rate=allowed)
    assert [line for line in lines if "allowed" in line] == said


def ending(directory: Path, **changes: Any) -> list[str]:
    """The lines at the end of a run with this summary."""
    summary = read_summary(run_directory(directory, [], **changes))
    return [*messages.summary_lines(summary)]


def test_notes_reach_both_outputs() -> None:
    """A note appears in the text output and in the JSON output."""
    lines: list[str] = []
    TextProgress(lines.append).noted("mended")
    JsonProgress(lines.append).noted("mended")
    assert lines == ["note: mended", '{"event":"note","message":"mended"}']


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 m 00 s"),
        (3599, "59 m 59 s"),
        (10_000, "2 h 46 m"),
    ],
)
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    """Durations are shown as people write them."""
    assert messages.duration(seconds) == text


def test_session_without_pace_estimates_nothing() -> None:
    """A session without a pace gives no estimate of the time left."""

    async def main() -> float | None:
        going = progress()
        fresh = Progress(going.preview, Ledger(), going._lanes)
        return fresh.seconds_left

    assert run_virtual(main()) is None


def test_retried_rows_count_in_the_bar() -> None:
    """A session that retries rows counts each as done once its retry is settled."""

    async def main() -> tuple[int, int, int]:
        ledger = progress().ledger
        for number in range(4, 101):
            ledger.record(Result(row=number, id="a", outcome=Outcome.UPDATED, attempts=1, at=""))
        going = Progress(progress().preview, ledger, progress()._lanes, retry_failed=True)
        before = going.done
        reopened = ErrorInfo("sent_again", "x")
        ledger.record(
            Result(
                row=3, id="a", outcome=Outcome.UNCONFIRMED, attempts=0, at="", error=reopened,
                cut_short=True,
            )
        )  # fmt: skip
        between = going.done
        ledger.record(Result(row=3, id="a", outcome=Outcome.UPDATED, attempts=1, at=""))
        return before, between, going.done

    assert run_virtual(main()) == (99, 99, 100)


def test_failing_watcher_does_not_end_run(caplog: pytest.LogCaptureFixture) -> None:
    """A watcher that fails is logged and does not end the run."""

    class Broken(Observer):
        async def watch(self, progress: Progress) -> None:
            raise ZeroDivisionError

    lines: list[str] = []
    both = Observers([Broken(), TextProgress(lines.append)])

    async def main() -> None:
        async for _ in watched_by(both, progress(), seconds=(15,)):
            pass

    run_virtual(main())
    assert "Broken has failed, the run continues: ZeroDivisionError" in caplog.text
    assert len(lines) == 1


def compared() -> Progress:
    """A run of 100 rows, of which three conflict and one is as its task."""
    going = progress()
    error = ErrorInfo("not_listed", "the task is not listed")
    for number in range(4, 7):
        going.ledger.record(unsent(row(number), Outcome.CONFLICT, error))
    going.ledger.record(replaced(unsent(row(7), Outcome.UNCHANGED), reason="already"))
    return going


def test_conflicts_are_counted_in_both_outputs() -> None:
    """A line of progress, and its event, count the conflicts."""

    async def main() -> tuple[str, dict[str, object]]:
        going = compared()
        return messages.progress_line(going), messages.progress_event(going)

    line, event = run_virtual(main())
    assert "7 of 100 rows" in line
    assert "1 failed, 3 conflict" in line
    counts = {name: n for name, n in cast("dict[str, int]", event["counts"]).items() if n}
    assert counts == {
        "updated": 2, "unchanged": 1, "failed": 1, "conflict": 3, "unprocessed": 93,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "listed"),
    [
        ({"updated": 8, "conflict": 2}, "to look at: edits.run/failed.csv (2 rows)"),
        (
            {"updated": 7, "failed": 1, "conflict": 2},
            "to fix and run again: edits.run/failed.csv (3 rows)",
        ),
        ({"updated": 7, "invalid": 3}, "to fix and run again: edits.run/failed.csv (3 rows)"),
    ],
)
def test_ending_says_whether_rows_are_to_fix_or_to_look_at(
    tmp_path: Path, counts: dict[str, int], listed: str
) -> None:
    """At the end, the failed file counts conflicts; of conflicts alone, none is to be fixed."""
    directory = run_directory(
        tmp_path / "edits.run", [], rows=10,
        counts={**dict.fromkeys([*Outcome, "unprocessed"], 0), **counts},
        problems=[
            Cause(outcome=Outcome.CONFLICT, type="changed_since", status=None, count=2, row=4,
                  id="opp_4", message="title is X now")
        ],
    )  # fmt: skip
    lines = list(messages.summary_lines(read_summary(directory)))
    assert lines[0].endswith(", ".join(f"{n} {name}" for name, n in counts.items()))
    assert "  2 conflict: changed_since: title is X now (row 4, 'opp_4')" in lines
    assert lines[-1] == listed
