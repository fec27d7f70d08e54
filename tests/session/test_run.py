"""`run`: a file of edits in, a run directory out, over real HTTP."""

import asyncio
import csv
import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bulkupdate import errors
from bulkupdate.engine.limiter import Limiter, NoLimiter
from bulkupdate.engine.scratch import Scratch
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal.directory import Mode
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.journal.recorder import Recorder
from bulkupdate.lemlist.endpoint import DEFAULT_BASE_URL
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Level, Reason, Result, Row, State, now
from bulkupdate.plan.preview import Preview
from bulkupdate.reader import Input, file_lines
from bulkupdate.sandbox import Fault, Team, Unknown
from bulkupdate.sandbox.team import BadUpdateError
from bulkupdate.session import parts as parts_module
from bulkupdate.session import writer
from bulkupdate.session.observer import Observer
from bulkupdate.session.progress import Progress
from bulkupdate.session.resume import server_of
from bulkupdate.session.run import run
from bulkupdate.session.settings import FailureLimit
from bulkupdate.stop import Stop
from tests.support.bench import KEY, Bench, Notes, StopsAfter, check, edits, results_in

Write = Callable[..., Path]


async def test_every_row_is_sent_once_and_recorded(write: Write) -> None:
    """Every row is sent once, and the summary counts it."""
    async with Bench() as bench:
        summary = await bench.run(edits(write, 300))
        titles = {task["title"] for task in bench.sandbox.team.tasks.values()}
    assert summary.counts["updated"] == 300
    assert (summary.state, summary.exit_code, summary.requests) == (State.FINISHED, 0, 300)
    assert titles == {f"T{n}" for n in range(1, 301)}
    assert summary.input.rows == 300
    assert len(summary.input.sha256) == 64
    assert summary.directory == "edits.run"


async def test_invalid_row_refuses_the_whole_file(write: Write) -> None:
    """A file with an invalid row is refused, and nothing is sent."""
    path = write("edits.csv", "id,done", "opp_1,yes", "opp_2,maybe", ",yes")
    async with Bench() as bench:
        summary = await bench.run(path)
    assert bench.seen == []
    assert (summary.state, summary.exit_code) == (State.STOPPED, 2)
    assert (summary.counts["invalid"], summary.counts["unprocessed"]) == (2, 1)
    assert "2 invalid rows: nothing was sent" in (summary.reason or "")


async def test_valid_rows_are_sent_on_request(write: Write) -> None:
    """On request, the run sends the valid rows and records the invalid ones."""
    path = write("edits.csv", "id,done", "opp_1,yes", "opp_2,maybe", "opp_3,")
    async with Bench() as bench:
        summary = await bench.run(path, skip_invalid=True)
    assert summary.exit_code == 1
    assert summary.counts == {
        "updated": 1, "unchanged": 1, "invalid": 1, "failed": 0, "unconfirmed": 0,
        "conflict": 0, "unprocessed": 0,
    }  # fmt: skip
    invalid = next(r for r in results_in(Path("edits.run")) if r["outcome"] == "invalid")
    assert invalid["error"]["type"] == "invalid_row"
    assert "'maybe'" in invalid["error"]["message"]
    assert len(bench.seen) == 1


async def test_wrong_key_costs_one_request_then_resumes(write: Write) -> None:
    """A wrong key costs one request, and the right key resumes the run."""
    path = edits(write, 50)
    async with Bench() as bench:
        summary = await bench.run(path, key="wrong")
        assert (summary.exit_code, len(bench.seen)) == (3, 1)
        assert (summary.counts["failed"], summary.counts["unprocessed"]) == (1, 49)
        assert "unauthorized" in (summary.reason or "")
        again = await bench.run(path, mode=Mode.RESUME)
    assert (again.exit_code, again.counts["updated"], again.resumed) == (0, 50, True)
    assert Path("edits.run/failed.csv").read_text().count("\n") == 1


@pytest.mark.slow
async def test_faulty_server_still_gets_every_edit(write: Write) -> None:
    """A faulty server gets every edit all the same."""
    faults = {
        Fault.INTERNAL_ERROR: 0.1,
        Fault.UNAVAILABLE: 0.05,
        Fault.RESET_BEFORE: 0.05,
        Fault.RESET_AFTER: 0.05,
        Fault.CUT: 0.05,
        Fault.MALFORMED: 0.05,
        Fault.HTML: 0.05,
        Fault.HANG: 0.01,
    }
    path = edits(write, 500)
    async with Bench(faults=faults, seed=7) as bench:
        summary = await bench.run(path, timeout=0.2)
        titles = {id_: task["title"] for id_, task in bench.sandbox.team.tasks.items()}
    assert summary.counts["updated"] == 500
    assert summary.retries == summary.requests - 500 > 100
    assert titles == {f"opp_{n}": f"T{n}" for n in range(1, 501)}


async def test_last_row_of_task_always_wins(write: Write) -> None:
    """The last row of a task wins, whatever errors the server gives."""
    rows = [f"opp_{n % 7},{n}" for n in range(1, 400)]
    path = write("edits.csv", "id,title", *rows)
    async with Bench(faults={Fault.RESET_AFTER: 0.1, Fault.INTERNAL_ERROR: 0.1}) as bench:
        await bench.run(path)
        titles = {id_: task["title"] for id_, task in bench.sandbox.team.tasks.items()}
    assert titles == dict(row.split(",") for row in rows)
    for task in titles:
        applied = [
            int(s.applied["title"]) for s in bench.seen if s.applied and s.applied["id"] == task
        ]
        assert applied == sorted(applied)


async def test_failed_rows_can_be_sent_again(write: Write) -> None:
    """Rows that fail are in the failed file, which is an input for another run."""
    path = edits(write, 20)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        bench.sandbox.team.add("opp_3")
        summary = await bench.run(path)
        assert (summary.exit_code, summary.counts["failed"]) == (1, 19)
        for n in range(1, 21):
            bench.sandbox.team.add(f"opp_{n}")
        mended = await bench.run(Path("edits.run/failed.csv"), out=Path("mended.run"))
    assert (mended.exit_code, mended.counts["updated"]) == (0, 19)


async def test_resuming_sends_no_settled_row(write: Write) -> None:
    """A resumed run sends no settled row, and retries failed rows only on request."""
    path = edits(write, 20)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)
        sent = len(bench.seen)
        again = await bench.run(path, mode=Mode.RESUME)
        assert (len(bench.seen), again.requests, again.exit_code) == (sent, 0, 1)
        for n in range(1, 11):
            bench.sandbox.team.add(f"opp_{n}")
        retried = await bench.run(path, mode=Mode.RESUME, retry_failed=True)
    # A refusal on a connection that was used before is asked for again.
    assert 20 <= retried.requests <= 30
    assert (retried.counts["updated"], retried.counts["failed"]) == (10, 10)


async def test_overwriting_starts_the_run_again(write: Write) -> None:
    """An existing run is refused, and overwriting sends every row again."""
    path = edits(write, 5)
    async with Bench() as bench:
        await bench.run(path)
        with pytest.raises(errors.RunDirectoryError, match="holds a run already"):
            await bench.run(path)
        summary = await bench.run(path, mode=Mode.OVERWRITE)
    assert summary.requests == 5
    assert len(results_in(Path("edits.run"))) == 5


async def test_input_in_run_directory_is_never_overwritten(write: Write) -> None:
    """An input that overwriting would remove is refused and left unchanged."""
    path = edits(write, 5)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)
        failed = Path("edits.run/failed.csv")
        before = failed.read_bytes()
        with pytest.raises(errors.ConfigError, match="name another directory"):
            await bench.run(failed, out=Path("edits.run"), mode=Mode.OVERWRITE)
    assert failed.read_bytes() == before


async def test_different_input_is_refused_on_resume(write: Write) -> None:
    """An input that differs from the run's own is refused on resume."""
    async with Bench() as bench:
        await bench.run(edits(write, 5))
        with pytest.raises(
            errors.RunDirectoryError, match=r"since this run began: 1 row added .6."
        ):
            await bench.run(edits(write, 6), mode=Mode.RESUME)


async def test_torn_log_is_repaired_and_row_resent(write: Write) -> None:
    """A torn results log is repaired, and the row of its torn line is sent again."""
    path = edits(write, 10)
    notes = Notes()
    async with Bench() as bench:
        await bench.run(path)
        log = Path("edits.run/results.jsonl")
        log.write_bytes(log.read_bytes()[:-30])
        summary = await bench.run(path, observer=notes, mode=Mode.RESUME)
    assert (summary.requests, summary.counts["updated"]) == (1, 10)
    assert len(notes.said) == 1
    assert "incomplete" in notes.said[0]


async def test_missing_input_leaves_no_directory(tmp_path: Path) -> None:
    """A missing or empty input leaves no run directory."""
    async with Bench() as bench:
        with pytest.raises(errors.InputError):
            await bench.run(tmp_path / "none.csv")
        (tmp_path / "empty.csv").write_text("id,title\n")
        with pytest.raises(errors.InputError, match="no row"):
            await bench.run(tmp_path / "empty.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.csv"]


async def test_stop_leaves_the_rest_to_resume(write: Write) -> None:
    """A stop leaves the other rows unprocessed, and a resumed run sends them."""
    path = edits(write, 400)
    soon = StopsAfter(50)
    async with Bench(latency=(1, 3)) as bench:
        summary = await run(bench.config(path), stop=soon.stop, observer=soon)
        check(summary)
        assert (summary.state, summary.exit_code) == (State.INTERRUPTED, 130)
        assert 50 <= summary.counts["updated"] < 400
        assert summary.counts["updated"] == len(bench.seen)
        rest = await bench.run(path, mode=Mode.RESUME)
    assert rest.requests == summary.counts["unprocessed"]
    assert rest.counts["updated"] == 400


async def test_cancelled_run_keeps_settled_rows(write: Write) -> None:
    """A cancelled run keeps every settled row, and a resumed run sends the rest."""
    path = edits(write, 400)
    async with Bench(latency=(1, 3)) as bench:
        task = asyncio.create_task(run(bench.config(path)))
        while len(bench.seen) < 30:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        summary = json.loads(Path("edits.run/summary.json").read_text())
        settled = len(results_in(Path("edits.run")))
        assert (summary["state"], summary["exit_code"]) == ("interrupted", 130)
        assert summary["counts"]["updated"] == settled > 0
        rest = await bench.run(path, mode=Mode.RESUME)
    assert rest.requests == 400 - settled


async def test_run_that_is_cancelled_while_it_closes_loses_nothing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is cancelled after its last row is finished on the disk: nothing is left."""
    path, closing = edits(write, 40), Recorder.close
    begun, cancelled = threading.Event(), threading.Event()

    def close(recorder: Recorder) -> None:
        begun.set()
        cancelled.wait(5)
        closing(recorder)

    async with Bench() as bench:
        with monkeypatch.context() as slow:
            slow.setattr(Recorder, "close", close)
            task = asyncio.create_task(run(bench.config(path)))
            await asyncio.to_thread(begun.wait, 5)
            task.cancel()
            await asyncio.sleep(0)
            cancelled.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        summary = json.loads(Path("edits.run/summary.json").read_text())
        assert (summary["state"], summary["counts"]["updated"]) == ("finished", 40)
        rest = await bench.run(path, mode=Mode.RESUME)
    assert (rest.exit_code, rest.requests, len(bench.seen)) == (0, 0, 40)


async def test_stop_before_sending_sends_nothing(write: Write) -> None:
    """A stop before the first request sends nothing and leaves no run directory."""
    stop = Stop()
    stop.set("interrupted by SIGINT", Reason.SIGNAL, signal=2)
    async with Bench() as bench:
        with pytest.raises(errors.RunStoppedError, match="nothing was sent"):
            await run(bench.config(edits(write, 5)), stop=stop)
    assert bench.seen == []
    assert not Path("edits.run").exists()


async def test_input_written_during_run_stops_it(write: Write) -> None:
    """An input that is written to during the run stops it before an unchecked row."""
    path = edits(write, 3000)

    class Meddler(Observer):
        def input_checked(self, source: Input, preview: Preview) -> None:
            with path.open("a") as file:
                file.write("opp_x,not checked\n")

    async with Bench() as bench:
        summary = await run(bench.config(path), observer=Meddler())
    assert summary.exit_code == 3
    assert "written to while it was being sent" in (summary.reason or "")
    assert not any(s.applied and s.applied["id"] == "opp_x" for s in bench.seen)


async def test_full_disk_stops_the_run_resumably(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk lets no further row start, and the run resumes once there is room."""
    path = edits(write, 500)
    room = [100]
    real = AppendOnlyFile.write

    def write_while_there_is_room(self: AppendOnlyFile, data: bytes) -> None:
        if self._path.name != "rows.digest.part":
            room[0] -= data.count(b"\n")
        if room[0] < 0:
            raise errors.JournalError("results.jsonl can't be written: No space left on device")
        real(self, data)

    async with Bench(latency=(1, 2)) as bench:
        monkeypatch.setattr(AppendOnlyFile, "write", write_while_there_is_room)
        summary = await run(bench.config(path, workers=4))
        logged = summary.counts["updated"]
        assert (summary.exit_code, summary.state) == (3, State.STOPPED)
        assert "No space left" in (summary.reason or "")
        assert len(bench.seen) <= logged + 8
        assert caplog.text.count("result not written") == len(bench.seen) - logged
        monkeypatch.undo()
        os.chdir(path.parent)
        rest = await bench.run(path, mode=Mode.RESUME)
    assert rest.counts["updated"] == 500


async def test_failed_sync_stops_the_run(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that stops confirming what was written stops the run."""

    def broken(_: object) -> None:
        raise errors.JournalError("results.jsonl can't be written: Input/output error")

    monkeypatch.setattr(writer, "SYNC_INTERVAL", 0.01)
    monkeypatch.setattr(AppendOnlyFile, "sync", broken)
    async with Bench(latency=(2, 3)) as bench:
        summary = await run(bench.config(edits(write, 500), workers=2))
    assert summary.exit_code == 3
    assert "Input/output error" in (summary.reason or "")
    assert summary.counts["unprocessed"] > 0


async def test_unwritable_summary_ends_with_exit_3(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A summary that cannot be written is reported, and the run ends with exit code 3."""
    path = edits(write, 5)

    class FillsTheDisk(Observer):
        def input_checked(self, source: Input, preview: Preview) -> None:
            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "fsync", full)

    async with Bench() as bench:
        summary = await run(bench.config(path), observer=FillsTheDisk())
    assert (summary.exit_code, summary.counts["updated"]) == (3, 5)
    assert "summary.json can't be written: No space left" in caplog.text


async def test_internal_error_still_leaves_a_summary(write: Write) -> None:
    """An internal error still leaves a summary, with exit code 3."""

    class Broken(Observer):
        async def watch(self, progress: Progress) -> None:
            raise ZeroDivisionError

    async with Bench(latency=(1, 2)) as bench:
        with pytest.raises(ExceptionGroup):
            await run(bench.config(edits(write, 50)), observer=Broken())
    summary = json.loads(Path("edits.run/summary.json").read_text())
    assert (summary["state"], summary["exit_code"]) == ("stopped", 3)
    assert "internal error" in summary["reason"]


async def test_every_attempt_waits_for_the_limiter(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt takes one permit from the limiter before it starts."""
    rates: list[Any] = []
    leaves = 0

    class Counting(NoLimiter):
        async def start(self) -> float:
            nonlocal leaves
            leaves += 1
            return await super().start()

    def limiter_for(rate: Any) -> Limiter:
        rates.append(rate)
        return Counting()

    monkeypatch.setattr(parts_module, "limiter_for", limiter_for)
    async with Bench(faults={Fault.INTERNAL_ERROR: 0.3}) as bench:
        summary = await bench.run(edits(write, 40), rate=RateLimit(20, 2))
    assert rates == [RateLimit(20, 2)]
    assert summary.requests == len(bench.seen) > 40
    assert leaves == len(bench.seen) + len(bench.asked)


@pytest.mark.slow
async def test_throttling_delays_rows_and_fails_none(write: Write) -> None:
    """Answers with status 429 delay rows and fail none."""
    async with Bench(rate=RateLimit(10, 0.1)) as bench:
        summary = await bench.run(edits(write, 60))
    assert summary.counts["updated"] == 60
    assert summary.rate_limited > 0


async def test_mismatches_are_counted_in_the_summary(write: Write) -> None:
    """Values that came back different are counted, and each is in its row's result."""
    async with Bench() as bench:
        real = bench.sandbox.team.update

        def forgetful(update: dict[str, Any]) -> dict[str, Any]:
            return {**real(update), "title": "something else"}

        bench.sandbox.team.update = forgetful  # type: ignore[method-assign]
        summary = await bench.run(edits(write, 3))
    assert (summary.mismatches, summary.exit_code) == (3, 0)
    first = results_in(Path("edits.run"))[0]["mismatches"]
    assert first == {"title": {"sent": "T1", "returned": "something else"}}


async def test_key_appears_in_no_file(write: Write) -> None:
    """No file of a run contains the key, and only the owner can read them."""
    async with Bench(faults={Fault.INTERNAL_ERROR: 0.3}) as bench:
        await bench.run(edits(write, 50))
        await bench.run(edits(write, 50, "b.csv"), key="wr0ng-k3y")
    for path in [*Path("edits.run").iterdir(), *Path("b.run").iterdir()]:
        assert KEY not in path.read_text()
        assert "wr0ng-k3y" not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0


async def test_jsonl_run_has_jsonl_failed_file(write: Write) -> None:
    """A JSONL input gives a JSONL failed file, which is an input for another run."""
    path = write("edits.jsonl", {"id": "opp_1", "done": True}, {"id": "opp_2", "title": "x"})
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        bench.sandbox.team.add("opp_1")
        summary = await bench.run(path)
        assert summary.counts["failed"] == 1
        bench.sandbox.team.add("opp_2")
        mended = await bench.run(Path("edits.run/failed.jsonl"), out=Path("b.run"))
    assert mended.counts["updated"] == 1


async def test_config_names_server_and_directory(write: Write) -> None:
    """The configuration sets the server and the run directory, and the summary names both."""
    async with Bench() as bench:
        config = bench.config(edits(write, 2))
        summary = await run(replace(config, out=Path("named")))
        assert summary.base_url == bench.sandbox.base_url
        assert json.loads(Path("named/summary.json").read_text())["base_url"] == summary.base_url


async def test_retried_row_never_gets_last_word(write: Write) -> None:
    """A retried row is followed by the later rows of its task, so the last row wins."""
    path = write("edits.csv", "id,title", "opp_1,OLD", "opp_2,X", "opp_1,NEW", "opp_1,NEWEST")
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        bench.sandbox.team.add("opp_2")
        bench.sandbox.team.tasks["opp_1"] = None  # type: ignore[assignment]
        real = bench.sandbox.team.update

        def first_fails(update: dict[str, Any]) -> dict[str, Any]:
            if update.get("title") == "OLD" and bench.sandbox.team.tasks["opp_1"] is None:
                bench.sandbox.team.add("opp_1")
                raise BadUpdateError(400, "Bad team")
            return real(update)

        bench.sandbox.team.update = first_fails  # type: ignore[method-assign]
        first = await bench.run(path)
        assert first.counts["failed"] == 1
        again = await bench.run(path, mode=Mode.RESUME, retry_failed=True)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "NEWEST"
    assert (again.counts["updated"], again.requests) == (4, 3)


async def test_failed_file_has_the_rows_of_a_task_in_order(write: Write) -> None:
    """Invalid rows, which are settled first, stand in the failed file where the input has them."""
    lines = ("opp_9,first,1", "opp_1,x,1", "opp_9,last,urgent", "opp_8,y,2")
    path = write("edits.csv", "id,title,priority", *lines)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        bench.sandbox.team.add("opp_1")
        summary = await bench.run(path, skip_invalid=True)
    assert summary.counts["failed"] == 2
    text = Path("edits.run/failed.csv").read_text()
    assert [row[1] for row in csv.reader(text.splitlines())] == ["title", "first", "last", "y"]


async def test_run_resumes_at_its_own_server_only(write: Write) -> None:
    """A run is not resumed at another server; another local port is allowed."""
    path = edits(write, 5)
    async with Bench() as bench:
        await bench.run(path)
        config = bench.config(path, mode=Mode.RESUME)
        elsewhere = replace(config.only_account.endpoint(), base_url="https://api.example.com/api")
        with pytest.raises(errors.RunDirectoryError, match="used http://127"):
            await run(replace(config, endpoint=elsewhere))
        trial = replace(config, sandbox=True)
        with pytest.raises(errors.RunDirectoryError, match=r"used http://127.* uses the sandbox"):
            await run(trial)
        await run(replace(trial, mode=Mode.OVERWRITE))
        with pytest.raises(errors.RunDirectoryError, match=r"used the sandbox.* uses http://127"):
            await run(config)
        await run(replace(config, mode=Mode.OVERWRITE))
    async with Bench() as another_port:
        assert (await another_port.run(path, mode=Mode.RESUME)).exit_code == 0


def test_servers_are_compared_not_their_spelling() -> None:
    """A URL that an older directory has as it was typed is that of the same server."""
    assert server_of("HTTPS://API.lemlist.com:443/api") == server_of(DEFAULT_BASE_URL)
    assert server_of("https://API.lemlist.com:444/api") != server_of(DEFAULT_BASE_URL)
    assert server_of("http://127.0.0.1:1/api") == server_of("http://localhost:2")


async def test_unencodable_row_is_an_invalid_row(write: Write) -> None:
    """A row that no file could hold counts as an invalid row."""
    path = write("edits.jsonl", '{"id":"opp_1","done":true}', '{"id":"\\udfff","done":true}')
    async with Bench() as bench:
        summary = await bench.run(path, skip_invalid=True)
    assert (summary.counts["updated"], summary.counts["invalid"]) == (1, 1)


async def test_edited_failed_file_is_kept(write: Write) -> None:
    """A failed file that was edited in the run directory is kept under another name."""
    path = edits(write, 3)
    notes = Notes()
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)
        failed = Path("edits.run/failed.csv")
        await bench.run(path, mode=Mode.RESUME)
        assert not Path("edits.run/failed.1.csv").exists()
        mended = failed.read_text().replace("opp_1", "opp_9")
        failed.write_text(mended)
        await bench.run(path, observer=notes, mode=Mode.RESUME)
    assert Path("edits.run/failed.1.csv").read_text() == mended
    assert "has been edited: kept as" in notes.said[0]


class CopiesAfter(Observer):
    """An observer that copies the run directory once the log has a number of lines.

    The copy is what a session leaves that is killed at that moment.
    """

    def __init__(self, lines: int) -> None:
        self.lines = lines

    async def watch(self, progress: Progress) -> None:
        while len(results_in(Path("edits.run"))) < self.lines:
            await asyncio.sleep(0)
        shutil.copytree("edits.run", "killed.run")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "xlsx"])
@pytest.mark.parametrize("is_edited", [False, True])
async def test_failed_file_of_a_killed_session_is_not_called_edited(
    write: Write, suffix: str, *, is_edited: bool
) -> None:
    """It lists rows that have another outcome by now. It is kept, edited or not."""
    path = Path(f"edits.{suffix}")
    rows = [(f"opp_{number}", f"T{number}") for number in range(1, 10)]
    if suffix == "xlsx":
        table = openpyxl.Workbook()
        for cells in (("id", "title"), *rows):
            table.active.append(cells)
        table.save(path)
    elif suffix == "jsonl":
        write(path.name, *(json.dumps({"id": id_, "title": title}) for id_, title in rows))
    else:
        write(path.name, "id,title", *map(",".join, rows))
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path, first=6)
        for number in range(1, 5):
            bench.sandbox.team.tasks[f"opp_{number}"] = {"_id": f"opp_{number}", "title": "Old"}
        more = {"mode": Mode.RESUME, "retry_failed": True, "workers": 1}
        await bench.run(path, CopiesAfter(6 + 7), **more)
        failed = Path("killed.run") / f"failed.{suffix}"
        if is_edited:
            edit(failed)
        notes = Notes()
        await bench.run(path, notes, out=Path("killed.run"), mode=Mode.RESUME)
    kept = Path("killed.run") / f"failed.1.{suffix}"
    told = [f"{failed} may have been edited: kept as {kept}"]
    assert [note for note in notes.said if "edited" in note] == told
    assert ("Edited" in str(list(file_lines(kept)))) == is_edited
    with Input.open(failed) as listed:
        assert [row.id for row in listed.rows()] == [f"opp_{number}" for number in range(5, 10)]


def edit(failed: Path) -> None:
    """Change the last row of a file of failed rows."""
    if failed.suffix == ".xlsx":
        book = openpyxl.load_workbook(failed)
        book.active.cell(book.active.max_row, 2).value = "Edited"
        book.save(failed)
        return
    text = failed.read_text()
    assert "T6" in text
    failed.write_text(text.replace("T6", "Edited"))


async def test_edited_failed_file_survives_overwriting(
    write: Write,
) -> None:
    """A failed file that was edited in the run directory survives two overwritings."""
    path = write("edits.csv", "id,done", "a,maybe")
    async with Bench() as bench:
        await bench.run(path)
        failed = Path("edits.run/failed.csv")
        failed.write_text(failed.read_text().replace("maybe", "yes"))
        for _ in range(2):
            await bench.run(path, mode=Mode.OVERWRITE)
            assert "a,yes" in Path("edits.run/failed.1.csv").read_text()
    assert not Path("edits.run/failed.2.csv").exists()


async def test_unedited_failed_file_is_silently_rewritten(
    write: Write,
) -> None:
    """A failed file that nothing has edited is written again in order, without a note."""
    path = edits(write, 300)
    notes = Notes()
    async with Bench(unknown=Unknown.NOT_FOUND, latency=(0, 5)) as bench:
        await bench.run(path)
        failed = Path("edits.run/failed.csv")
        rows = failed.read_text().splitlines()
        assert rows[1:] != sorted(rows[1:], key=lambda line: int(line.split(",")[2]))
        # As after a crash that came before the rest.
        failed.write_bytes(b"".join(failed.read_bytes().splitlines(keepends=True)[:200]))
        await bench.run(path, observer=notes, mode=Mode.RESUME)
    assert notes.said == []
    rows = failed.read_text().splitlines()
    assert rows[1:] == sorted(rows[1:], key=lambda line: int(line.split(",")[2]))
    assert not Path("edits.run/failed.1.csv").exists()


async def test_stop_does_not_wait_for_the_reader(write: Write) -> None:
    """A stop in a long file does not wait until the reader reaches the end."""
    path = edits(write, 6000)
    stop = Stop()

    class StopsSoon(Observer):
        async def watch(self, progress: Progress) -> None:
            while not progress.ledger.settled:
                await asyncio.sleep(0.001)
            stop.set("enough")

    async with Bench(latency=(5, 6)) as bench:
        config = bench.config(path, workers=2, drain_timeout=20.0)
        summary = await asyncio.wait_for(run(config, stop=stop, observer=StopsSoon()), 10)
    assert summary.counts["unprocessed"] > 5900


async def test_input_changed_before_reading_sends_nothing(
    write: Write,
) -> None:
    """An input that changes before its first row is read sends nothing."""
    path = edits(write, 10)

    class Meddler(Observer):
        def input_checked(self, source: Input, preview: Preview) -> None:
            path.write_text(path.read_text().replace("opp_1,", "opp_EVIL,"))

    async with Bench() as bench:
        summary = await run(bench.config(path), observer=Meddler())
    assert bench.seen == []
    assert (summary.exit_code, summary.counts["unprocessed"]) == (3, 10)


async def test_late_disk_error_outranks_a_signal(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that fails at the end is reported, even after a signal."""
    stop = Stop()

    def broken(_: object) -> None:
        raise errors.JournalError("results.jsonl can't be written: Input/output error")

    class Signals(Observer):
        async def watch(self, progress: Progress) -> None:
            while not progress.ledger.settled:
                await asyncio.sleep(0)
            stop.set("interrupted by SIGINT", Reason.SIGNAL, signal=2)
            monkeypatch.setattr(AppendOnlyFile, "sync", broken)

    async with Bench() as bench:
        summary = await run(bench.config(edits(write, 200)), stop=stop, observer=Signals())
    assert (summary.exit_code, summary.state) == (3, State.STOPPED)
    assert "Input/output error" in caplog.text


async def test_unlogged_rows_never_exceed_the_workers(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash can repeat only rows sent and not yet logged, at most one for each worker."""
    open_rows: list[int] = []
    real = Recorder.record

    class Watching(Observer):
        progress: Progress

        async def watch(self, progress: Progress) -> None:
            self.progress = progress

    watching = Watching()

    def log(self: Recorder, settled: list[tuple[Row, Result]]) -> None:
        open_rows.append(watching.progress.requests - self.ledger.settled)
        real(self, settled)

    monkeypatch.setattr(Recorder, "record", log)
    async with Bench() as bench:
        await run(bench.config(edits(write, 300), workers=8), observer=watching)
    assert 1 < max(open_rows) <= 8


async def test_ended_run_has_its_log_on_disk(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole results log is on the disk when a run has ended."""
    synced: list[int] = []
    real = AppendOnlyFile.sync

    def counting(self: AppendOnlyFile) -> None:
        synced.append(Path("edits.run/results.jsonl").read_bytes().count(b"\n"))
        real(self)

    monkeypatch.setattr(AppendOnlyFile, "sync", counting)
    async with Bench() as bench:
        await bench.run(edits(write, 20))
    assert synced[-1] == 20


async def test_failed_file_rebuild_error_gives_exit_3(write: Write) -> None:
    """A failed file that cannot be written again ends the run with exit code 3."""
    path = edits(write, 5)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)

        class Meddler(Observer):
            async def watch(self, progress: Progress) -> None:
                while progress.requests < 5:
                    await asyncio.sleep(0.001)
                with path.open("a") as file:
                    file.write('"open quote\n')

        config = bench.config(path, mode=Mode.RESUME, retry_failed=True)
        summary = await run(config, observer=Meddler())
    assert summary.exit_code == 3
    assert "has changed" in (summary.reason or "")
    assert json.loads(Path("edits.run/summary.json").read_text())["state"] == "stopped"


async def test_edit_cut_short_is_recorded_unconfirmed(write: Write) -> None:
    """An edit that a stop cuts short is recorded as unconfirmed and sent again later."""
    path = edits(write, 3)
    stop = Stop()

    class StopsSoon(Observer):
        async def watch(self, progress: Progress) -> None:
            while not progress.requests:
                await asyncio.sleep(0.001)
            stop.set("enough")

    async with Bench(faults={Fault.RESET_AFTER: 1.0}, latency=(20, 21)) as bench:
        summary = await run(bench.config(path), stop=stop, observer=StopsSoon())
        check(summary)
    assert (summary.counts["unconfirmed"], summary.counts["unprocessed"]) == (1, 2)
    assert results_in(Path("edits.run"))[0]["cut_short"] is True
    async with Bench() as bench:
        again = await bench.run(path, mode=Mode.RESUME)
    assert (again.counts["updated"], again.requests) == (3, 3)


@pytest.mark.parametrize(("limit", "least"), [("20", 20), ("50%", 100)])
async def test_failure_limit_stops_the_run_early(write: Write, limit: str, least: int) -> None:
    """On request, a run stops early once the limit of failures is reached."""
    path = edits(write, 1000)
    limits = FailureLimit.parse(limit)
    async with Bench(unknown=Unknown.NOT_FOUND, latency=(1, 2)) as bench:
        summary = await bench.run(path, max_failures=limits)
        assert (summary.state, summary.exit_code) == (State.STOPPED, 3)
        assert f"max_failures is {limit}" in (summary.reason or "")
        assert least <= summary.counts["failed"] == len(bench.seen) <= least + 50
        assert summary.counts["unprocessed"] == 1000 - len(bench.seen)
        again = await bench.run(path, mode=Mode.RESUME, max_failures=limits)
        assert least <= again.counts["failed"] - summary.counts["failed"] <= least + 50


async def test_few_failures_do_not_stop_the_run(write: Write) -> None:
    """A share of failures below the limit does not stop the run."""
    path = edits(write, 300)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        for n in range(1, 301):
            if n % 25:
                bench.sandbox.team.add(f"opp_{n}")
        summary = await bench.run(path, max_failures=FailureLimit(percent=20))
    assert (summary.exit_code, summary.counts["failed"]) == (1, 12)


async def test_mismatches_are_errors_in_strict_mode(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values that came back different give exit code 1 in strict mode only."""
    real = Team.update

    def forgetful(self: Team, update: dict[str, Any]) -> dict[str, Any]:
        return {**real(self, update), "title": "something else"}

    monkeypatch.setattr(Team, "update", forgetful)
    async with Bench() as bench:
        summary = await bench.run(edits(write, 3), strict=True)
        lax = await bench.run(edits(write, 3), out=Path("lax.run"))
    assert (summary.exit_code, summary.counts["updated"], summary.mismatches) == (1, 3, 3)
    assert (lax.exit_code, lax.mismatches) == (0, 3)


@pytest.mark.slow
async def test_outage_costs_few_requests_and_no_row(write: Write) -> None:
    """An outage in the middle costs few requests and no row."""
    path = edits(write, 600)
    async with Bench(outages=((0.2, 1.5),), latency=(12, 16)) as bench:
        summary = await bench.run(path)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 600)
    assert 20 <= summary.retries < 100


@pytest.mark.slow
async def test_lasting_outage_ends_the_run_resumably(
    write: Write,
) -> None:
    """A server that stays down ends the run, and a resumed run sends the rest."""
    path = edits(write, 600)
    patient = RetryPolicy(first_backoff=0.01, longest_backoff=0.1, give_up_after=1.5)
    async with Bench(outages=((0.2, 1e6),), latency=(12, 16)) as bench:
        summary = await bench.run(path, retry=patient)
        assert (summary.state, summary.exit_code) == (State.STOPPED, 3)
        assert "no usable answer for" in (summary.reason or "")
        counts = summary.counts
        assert counts["failed"] == counts["invalid"] == 0
        assert counts["unconfirmed"] <= 16
        assert counts["unprocessed"] > 300
    async with Bench() as bench:
        rest = await bench.run(path, mode=Mode.RESUME)
    assert rest.counts["updated"] == 600
    assert rest.requests == 600 - counts["updated"]


@pytest.mark.slow
async def test_failing_scratch_file_stops_run_resumably(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scratch file that fails stops the run, which resumes in the order of its rows."""
    path = write("edits.csv", "id,title", *(f"opp_1,{n}" for n in range(1, 1500)))

    def full(*_: object) -> None:
        raise errors.JournalError("waiting rows can't be stored on disk: No space left on device")

    async with Bench() as bench:
        with monkeypatch.context() as patched:
            patched.setattr(Scratch, "put", full)
            summary = await bench.run(path)
        assert (summary.exit_code, summary.state) == (3, State.STOPPED)
        assert "stored on disk" in (summary.reason or "")
        with monkeypatch.context() as patched:
            patched.setattr(Scratch, "take", full)
            summary = await bench.run(path, mode=Mode.RESUME)
        assert (summary.exit_code, summary.state) == (3, State.STOPPED)
        rest = await bench.run(path, mode=Mode.RESUME)
        applied = [int(seen.applied["title"]) for seen in bench.seen if seen.applied]
    assert rest.counts["updated"] == 1499
    assert applied == list(range(1, 1500))


async def test_first_rows_go_before_the_rest(write: Write) -> None:
    """A run sends the first rows as requested, and resumed sessions send the rest."""
    path = write("edits.csv", "id,title", "opp_0,", *(f"opp_{n},T{n}" for n in range(1, 31)))
    async with Bench() as bench:
        few = await bench.run(path, first=5)
        assert (few.state, few.exit_code, few.requests) == (State.STOPPED, 0, 5)
        assert "the first 5 rows were sent" in (few.reason or "")
        more = await bench.run(path, first=10, mode=Mode.RESUME)
        assert (more.requests, more.counts["updated"], more.exit_code) == (10, 15, 0)
        rest = await bench.run(path, mode=Mode.RESUME)
        assert (rest.state, rest.requests, rest.counts["updated"]) == (State.FINISHED, 15, 30)
        titles = [seen.applied["title"] for seen in bench.seen if seen.applied]
    assert sorted(titles[:5]) == sorted(f"T{n}" for n in range(1, 6))


async def test_short_file_is_finished_by_first(write: Write) -> None:
    """A file with no more rows than the first ones requested is a finished run."""
    async with Bench() as bench:
        summary = await bench.run(edits(write, 5), first=5)
        assert (summary.state, summary.exit_code) == (State.FINISHED, 0)


async def test_failure_among_first_rows_sets_exit_code(write: Write) -> None:
    """A row that fails among the first ones gives exit code 1."""
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        summary = await bench.run(edits(write, 50), first=3)
    assert (summary.exit_code, summary.counts["failed"]) == (1, 3)
    assert summary.counts["unprocessed"] == 47


async def test_refused_key_is_the_reason_beside_a_failure_limit(write: Write) -> None:
    """A wrong key is named as the reason, though its row is one failure too many."""
    async with Bench() as bench:
        summary = await bench.run(edits(write, 5), key="wrong", max_failures=FailureLimit(rows=1))
    assert summary.stopped_by is Reason.KEY_REFUSED
    assert "every other row would fail too: unauthorized" in (summary.reason or "")
    assert summary.exit_code == 3


async def test_abort_ends_a_run_and_its_summary(write: Write) -> None:
    """A program that aborts a run gets its summary, and the rest can be resumed."""
    path, stop = edits(write, 500), Stop()

    class Aborting(Observer):
        async def watch(self, progress: Progress) -> None:
            while progress.ledger.settled < 5:
                await asyncio.sleep(0.001)
            stop.set("enough")
            stop.abort()

    async with Bench(latency=(5, 6)) as bench:
        summary = await run(bench.config(path), stop=stop, observer=Aborting())
        check(summary)
        assert (summary.state, summary.reason) == (State.STOPPED, "enough")
        assert summary.counts["unprocessed"] > 400
        again = await bench.run(path, mode=Mode.RESUME)
    assert again.counts["updated"] == 500


async def test_abort_ends_the_rebuild_of_the_failed_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An abort while the failed file is rebuilt still leaves a summary."""
    path, stop = edits(write, 20), Stop()
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)

        class Failing(Observer):
            async def watch(self, progress: Progress) -> None:
                del progress
                monkeypatch.setattr("bulkupdate.journal.rebuild._BATCH", 1)
                real = stop.check

                def check_and_abort(level: Level = Level.DRAIN) -> None:
                    stop.abort("enough")
                    real(level)

                monkeypatch.setattr(stop, "check", check_and_abort)

        config = bench.config(path, mode=Mode.RESUME, retry_failed=True)
        summary = await run(config, stop=stop, observer=Failing())
    assert summary.state is not State.RUNNING
    written = json.loads(Path("edits.run/summary.json").read_text())
    assert written["state"] == summary.state
    assert (written["counts"]["failed"], written["requests"]) == (20, 20)


async def test_session_starts_before_its_check(write: Write) -> None:
    """The summary counts the time that the check of the input takes."""
    began = now()
    async with Bench() as bench:
        summary = await bench.run(edits(write, 20_000), first=1)
    first = json.loads(Path("edits.run/traffic.jsonl").read_text().splitlines()[0])
    assert began <= summary.started < first["at"]
    lasted = datetime.fromisoformat(first["at"]) - datetime.fromisoformat(summary.started)
    assert lasted.total_seconds() > first["seconds"]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("edits.csv", "id,title", "a header but no row"),
        ("edits.jsonl", "", "no row"),
    ],
)
async def test_input_without_a_row_needs_a_flag(
    write: Write, name: str, text: str, what: str
) -> None:
    """A file that holds no edit is refused, unless it is expected: then the run is over at once."""
    path = write(name, text)
    async with Bench() as bench:
        with pytest.raises(errors.InputError, match=f"there is {what}: allow_empty accepts it"):
            await bench.run(path)
        for mode in (Mode.RESUME, Mode.RESUME):
            summary = await bench.run(path, mode=mode, allow_empty=True)
            assert (summary.exit_code, summary.input.rows, summary.state) == (0, 0, "finished")
    assert bench.seen == []


async def test_first_rows_of_a_resumed_run_are_further_ones(write: Write) -> None:
    """A session that continues says that it sends so many more rows."""
    path, notes = edits(write, 9), Notes()
    async with Bench() as bench:
        await bench.run(path, first=2, mode=Mode.RESUME)
        summary = await bench.run(path, first=3, mode=Mode.RESUME, observer=notes)
    assert summary.counts["updated"] == 5
    assert "first: this session sends 3 more rows" in notes.said


async def test_resuming_says_that_a_run_begins(write: Write) -> None:
    """Where there is nothing to continue, the user is told that a run begins."""
    path, notes = edits(write, 3), Notes()
    async with Bench() as bench:
        await bench.run(path, mode=Mode.RESUME, observer=notes)
    assert notes.said == ["edits.run: there is no run, so this one begins"]


async def test_unreadable_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that is gone, or a broken disk behind a redirection, is no bug."""

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("select.select", lambda *_: ([0], [], []))
    async with Bench() as bench:
        config = bench.config(Path("-"))
        monkeypatch.setattr("bulkupdate.session.source.os.read", broken)
        with pytest.raises(errors.InputError, match="stdin can't be read: Input/output error"):
            await run(config)
