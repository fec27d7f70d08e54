"""`run`: a file of edits in, a run directory out, over real HTTP."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.engine.limiter import Limiter, NoLimiter
from bulkupdate.engine.scratch import Scratch
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal.directory import Mode
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.journal.recorder import Recorder
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Reason, Result, Row, State
from bulkupdate.plan.preview import Preview
from bulkupdate.reader import Input
from bulkupdate.sandbox import Fault, Team, Unknown
from bulkupdate.sandbox.team import BadUpdateError
from bulkupdate.session import run as run_module
from bulkupdate.session import writer
from bulkupdate.session.observer import Observer
from bulkupdate.session.progress import Progress
from bulkupdate.session.run import run
from bulkupdate.session.settings import FailureLimit
from bulkupdate.stop import Stop
from tests.support.bench import KEY, Bench, Notes, StopsAfter, check, edits, results_in

Write = Callable[..., Path]


async def test_every_row_is_sent_once_and_written_down(write: Write) -> None:
    async with Bench() as bench:
        summary = await bench.run(edits(write, 300))
        titles = {task["title"] for task in bench.sandbox.team.tasks.values()}
    assert summary.counts["updated"] == 300
    assert (summary.state, summary.exit_code, summary.requests) == (State.FINISHED, 0, 300)
    assert titles == {f"T{n}" for n in range(1, 301)}
    assert summary.input.rows == 300
    assert len(summary.input.sha256) == 64
    assert summary.directory == "edits.run"


async def test_a_file_with_a_wrong_row_is_refused_and_nothing_is_sent(write: Write) -> None:
    path = write("edits.csv", "id,done", "opp_1,yes", "opp_2,maybe", ",yes")
    async with Bench() as bench:
        summary = await bench.run(path)
    assert bench.seen == []
    assert (summary.state, summary.exit_code) == (State.STOPPED, 2)
    assert (summary.counts["invalid"], summary.counts["unprocessed"]) == (2, 1)
    assert "2 invalid rows: nothing was sent" in (summary.reason or "")


async def test_the_valid_rows_of_such_a_file_are_sent_on_demand(write: Write) -> None:
    path = write("edits.csv", "id,done", "opp_1,yes", "opp_2,maybe", "opp_3,")
    async with Bench() as bench:
        summary = await bench.run(path, skip_invalid=True)
    assert summary.exit_code == 1
    assert summary.counts == {
        "updated": 1, "unchanged": 1, "invalid": 1, "failed": 0, "unconfirmed": 0,
        "unprocessed": 0,
    }  # fmt: skip
    invalid = next(r for r in results_in(Path("edits.run")) if r["outcome"] == "invalid")
    assert invalid["error"]["type"] == "invalid_row"
    assert "'maybe'" in invalid["error"]["message"]
    assert len(bench.seen) == 1


async def test_a_wrong_key_costs_one_request_and_the_right_one_goes_on(write: Write) -> None:
    path = edits(write, 50)
    async with Bench() as bench:
        summary = await bench.run(path, key="wrong")
        assert (summary.exit_code, len(bench.seen)) == (3, 1)
        assert (summary.counts["failed"], summary.counts["unprocessed"]) == (1, 49)
        assert "unauthorized" in (summary.reason or "")
        again = await bench.run(path, mode=Mode.RESUME)
    assert (again.exit_code, again.counts["updated"], again.resumed) == (0, 50, True)
    assert Path("edits.run/failed.csv").read_text().count("\n") == 1


async def test_a_faulty_server_gets_every_edit_all_the_same(write: Write) -> None:
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


async def test_the_last_row_of_a_task_wins_whatever_goes_wrong(write: Write) -> None:
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


async def test_what_fails_is_in_the_failed_file_and_goes_in_again(write: Write) -> None:
    path = edits(write, 20)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        bench.sandbox.team.add("opp_3")
        summary = await bench.run(path)
        assert (summary.exit_code, summary.counts["failed"]) == (1, 19)
        for n in range(1, 21):
            bench.sandbox.team.add(f"opp_{n}")
        mended = await bench.run(Path("edits.run/failed.csv"), out=Path("mended.run"))
    assert (mended.exit_code, mended.counts["updated"]) == (0, 19)


async def test_resuming_sends_nothing_that_is_settled(write: Write) -> None:
    path = edits(write, 20)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)
        sent = len(bench.seen)
        again = await bench.run(path, mode=Mode.RESUME)
        assert (len(bench.seen), again.requests, again.exit_code) == (sent, 0, 1)
        for n in range(1, 11):
            bench.sandbox.team.add(f"opp_{n}")
        retried = await bench.run(path, mode=Mode.RESUME, retry_failed=True)
    assert retried.requests == 20
    assert (retried.counts["updated"], retried.counts["failed"]) == (10, 10)


async def test_overwriting_starts_again(write: Write) -> None:
    path = edits(write, 5)
    async with Bench() as bench:
        await bench.run(path)
        with pytest.raises(errors.RunDirectoryError, match="holds a run already"):
            await bench.run(path)
        summary = await bench.run(path, mode=Mode.OVERWRITE)
    assert summary.requests == 5
    assert len(results_in(Path("edits.run"))) == 5


async def test_an_input_that_overwriting_would_remove_is_left_alone(write: Write) -> None:
    path = edits(write, 5)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)
        failed = Path("edits.run/failed.csv")
        before = failed.read_bytes()
        with pytest.raises(errors.ConfigError, match="name another directory"):
            await bench.run(failed, out=Path("edits.run"), mode=Mode.OVERWRITE)
    assert failed.read_bytes() == before


async def test_another_input_is_not_taken_for_the_run_that_is_there(write: Write) -> None:
    async with Bench() as bench:
        await bench.run(edits(write, 5))
        with pytest.raises(
            errors.RunDirectoryError, match=r"since this run began: 1 row added .6."
        ):
            await bench.run(edits(write, 6), mode=Mode.RESUME)


async def test_a_torn_log_is_mended_and_its_row_sent_again(write: Write) -> None:
    path = edits(write, 10)
    notes = Notes()
    async with Bench() as bench:
        await bench.run(path)
        log = Path("edits.run/results.jsonl")
        log.write_bytes(log.read_bytes()[:-30])
        summary = await bench.run(path, observer=notes, mode=Mode.RESUME)
    assert (summary.requests, summary.counts["updated"]) == (1, 10)
    assert len(notes.said) == 1
    assert "torn" in notes.said[0]


async def test_a_missing_input_leaves_no_directory_behind(tmp_path: Path) -> None:
    async with Bench() as bench:
        with pytest.raises(errors.InputError):
            await bench.run(tmp_path / "none.csv")
        (tmp_path / "empty.csv").write_text("id,title\n")
        with pytest.raises(errors.InputError, match="no row"):
            await bench.run(tmp_path / "empty.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.csv"]


async def test_a_stop_leaves_the_rest_unprocessed_and_resumable(write: Write) -> None:
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


async def test_a_cancelled_run_keeps_what_was_settled(write: Write) -> None:
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


async def test_a_stop_before_anything_was_sent_sends_nothing(write: Write) -> None:
    stop = Stop()
    stop.set("interrupted by SIGINT", Reason.SIGNAL, signal=2)
    async with Bench() as bench:
        with pytest.raises(errors.RunStoppedError, match="nothing was sent"):
            await run(bench.config(edits(write, 5)), stop=stop)
    assert bench.seen == []
    assert not Path("edits.run").exists()


async def test_an_input_that_is_written_to_meanwhile_stops_the_run(write: Write) -> None:
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


async def test_a_full_disk_starts_nothing_more_and_the_run_can_go_on(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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


async def test_a_disk_that_stops_confirming_stops_the_run(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise errors.JournalError("results.jsonl can't be written: Input/output error")

    monkeypatch.setattr(writer, "SYNC_INTERVAL", 0.01)
    monkeypatch.setattr(AppendOnlyFile, "sync", broken)
    async with Bench(latency=(2, 3)) as bench:
        summary = await run(bench.config(edits(write, 500), workers=2))
    assert summary.exit_code == 3
    assert "Input/output error" in (summary.reason or "")
    assert summary.counts["unprocessed"] > 0


async def test_a_summary_that_cannot_be_written_is_said_and_stops_with_3(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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


async def test_a_bug_still_leaves_a_summary(write: Write) -> None:
    class Broken(Observer):
        async def watch(self, progress: Progress) -> None:
            raise ZeroDivisionError

    async with Bench(latency=(1, 2)) as bench:
        with pytest.raises(ExceptionGroup):
            await run(bench.config(edits(write, 50)), observer=Broken())
    summary = json.loads(Path("edits.run/summary.json").read_text())
    assert (summary["state"], summary["exit_code"]) == ("stopped", 3)
    assert "internal error" in summary["reason"]


async def test_no_attempt_starts_without_the_limiters_leave(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
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

    monkeypatch.setattr(run_module, "limiter_for", limiter_for)
    async with Bench(faults={Fault.INTERNAL_ERROR: 0.3}) as bench:
        summary = await bench.run(edits(write, 40), rate=RateLimit(20, 2))
    assert rates == [RateLimit(20, 2)]
    assert leaves == summary.requests == len(bench.seen) > 40


async def test_going_over_the_limit_delays_rows_and_fails_none(write: Write) -> None:
    async with Bench(rate=RateLimit(10, 0.1)) as bench:
        summary = await bench.run(edits(write, 60))
    assert summary.counts["updated"] == 60
    assert summary.rate_limited > 0


async def test_mismatches_are_counted(write: Write) -> None:
    async with Bench() as bench:
        real = bench.sandbox.team.update

        def forgetful(update: dict[str, Any]) -> dict[str, Any]:
            return {**real(update), "title": "something else"}

        bench.sandbox.team.update = forgetful  # type: ignore[method-assign]
        summary = await bench.run(edits(write, 3))
    assert (summary.mismatches, summary.exit_code) == (3, 0)
    first = results_in(Path("edits.run"))[0]["mismatches"]
    assert first == {"title": {"sent": "T1", "returned": "something else"}}


async def test_the_key_is_in_no_file(write: Write) -> None:
    async with Bench(faults={Fault.INTERNAL_ERROR: 0.3}) as bench:
        await bench.run(edits(write, 50))
        await bench.run(edits(write, 50, "b.csv"), key="wr0ng-k3y")
    for path in [*Path("edits.run").iterdir(), *Path("b.run").iterdir()]:
        assert KEY not in path.read_text()
        assert "wr0ng-k3y" not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0


async def test_a_run_of_jsonl_has_a_failed_file_of_jsonl(write: Write) -> None:
    path = write("edits.jsonl", {"id": "opp_1", "done": True}, {"id": "opp_2", "title": "x"})
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        bench.sandbox.team.add("opp_1")
        summary = await bench.run(path)
        assert summary.counts["failed"] == 1
        bench.sandbox.team.add("opp_2")
        mended = await bench.run(Path("edits.run/failed.jsonl"), out=Path("b.run"))
    assert mended.counts["updated"] == 1


async def test_a_config_says_where_it_sends(write: Write) -> None:
    async with Bench() as bench:
        config = bench.config(edits(write, 2))
        summary = await run(replace(config, out=Path("named")))
        assert summary.base_url == bench.sandbox.base_url
        assert json.loads(Path("named/summary.json").read_text())["base_url"] == summary.base_url


async def test_a_row_that_is_tried_again_does_not_get_the_last_word(write: Write) -> None:
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


async def test_a_run_does_not_go_on_at_another_server(write: Write) -> None:
    path = edits(write, 5)
    async with Bench() as bench:
        await bench.run(path)
        config = bench.config(path, mode=Mode.RESUME)
        elsewhere = replace(config.endpoint, base_url="https://api.example.com/api")
        with pytest.raises(errors.RunDirectoryError, match="used http://127"):
            await run(replace(config, endpoint=elsewhere))
    async with Bench() as another_port:
        assert (await another_port.run(path, mode=Mode.RESUME)).exit_code == 0


async def test_a_row_that_no_file_could_hold_is_an_invalid_row(write: Write) -> None:
    path = write("edits.jsonl", '{"id":"opp_1","done":true}', '{"id":"\\udfff","done":true}')
    async with Bench() as bench:
        summary = await bench.run(path, skip_invalid=True)
    assert (summary.counts["updated"], summary.counts["invalid"]) == (1, 1)


async def test_a_failed_file_that_was_mended_in_place_is_kept(write: Write) -> None:
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


async def test_a_failed_file_that_was_mended_in_place_outlives_a_run_that_begins_again(
    write: Write,
) -> None:
    path = write("edits.csv", "id,done", "a,maybe")
    async with Bench() as bench:
        await bench.run(path)
        failed = Path("edits.run/failed.csv")
        failed.write_text(failed.read_text().replace("maybe", "yes"))
        for _ in range(2):
            await bench.run(path, mode=Mode.OVERWRITE)
            assert "a,yes" in Path("edits.run/failed.1.csv").read_text()
    assert not Path("edits.run/failed.2.csv").exists()


async def test_a_failed_file_that_is_as_it_was_left_is_made_again_without_a_word(
    write: Write,
) -> None:
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


async def test_a_stop_in_a_long_file_does_not_wait_for_its_reader(write: Write) -> None:
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


async def test_an_input_that_changes_before_its_first_row_is_read_sends_nothing(
    write: Write,
) -> None:
    path = edits(write, 10)

    class Meddler(Observer):
        def input_checked(self, source: Input, preview: Preview) -> None:
            path.write_text(path.read_text().replace("opp_1,", "opp_EVIL,"))

    async with Bench() as bench:
        summary = await run(bench.config(path), observer=Meddler())
    assert bench.seen == []
    assert (summary.exit_code, summary.counts["unprocessed"]) == (3, 10)


async def test_a_disk_that_fails_at_the_end_is_said_even_after_a_signal(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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


async def test_no_more_rows_are_sent_and_not_in_the_log_than_there_are_workers(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are what a crash can cause to be sent twice."""
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


async def test_the_log_is_on_the_disk_when_a_run_has_ended(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = AppendOnlyFile.sync

    def counting(self: AppendOnlyFile) -> None:
        synced.append(Path("edits.run/results.jsonl").read_bytes().count(b"\n"))
        real(self)

    monkeypatch.setattr(AppendOnlyFile, "sync", counting)
    async with Bench() as bench:
        await bench.run(edits(write, 20))
    assert synced[-1] == 20


async def test_a_failed_file_that_cannot_be_made_again_stops_with_3(write: Write) -> None:
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
    assert "was written to" in (summary.reason or "")
    assert json.loads(Path("edits.run/summary.json").read_text())["state"] == "stopped"


async def test_an_edit_in_doubt_is_written_down_when_a_stop_cuts_it_short(write: Write) -> None:
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
async def test_a_wrong_file_is_stopped_early_on_demand(
    write: Write, limit: str, least: int
) -> None:
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


async def test_a_few_failures_are_no_reason_to_stop(write: Write) -> None:
    path = edits(write, 300)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        for n in range(1, 301):
            if n % 25:
                bench.sandbox.team.add(f"opp_{n}")
        summary = await bench.run(path, max_failures=FailureLimit(percent=20))
    assert (summary.exit_code, summary.counts["failed"]) == (1, 12)


async def test_other_values_that_came_back_are_an_error_if_one_is_strict(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Team.update

    def forgetful(self: Team, update: dict[str, Any]) -> dict[str, Any]:
        return {**real(self, update), "title": "something else"}

    monkeypatch.setattr(Team, "update", forgetful)
    async with Bench() as bench:
        summary = await bench.run(edits(write, 3), strict=True)
        lax = await bench.run(edits(write, 3), out=Path("lax.run"))
    assert (summary.exit_code, summary.counts["updated"], summary.mismatches) == (1, 3, 3)
    assert (lax.exit_code, lax.mismatches) == (0, 3)


async def test_an_outage_in_the_middle_costs_few_requests_and_no_row(write: Write) -> None:
    path = edits(write, 600)
    async with Bench(outages=((0.2, 1.5),), latency=(12, 16)) as bench:
        summary = await bench.run(path)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 600)
    assert 20 <= summary.retries < 100


async def test_a_server_that_stays_down_is_given_up_and_the_rest_goes_on_later(
    write: Write,
) -> None:
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


async def test_rows_that_cannot_be_put_aside_stop_the_run_and_it_can_go_on(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_a_few_rows_first_and_then_the_rest(write: Write) -> None:
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


async def test_no_more_rows_than_there_are_first_is_the_whole_run(write: Write) -> None:
    async with Bench() as bench:
        summary = await bench.run(edits(write, 5), first=5)
        assert (summary.state, summary.exit_code) == (State.FINISHED, 0)


async def test_a_row_that_failed_among_the_first_is_seen_in_the_exit_code(write: Write) -> None:
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        summary = await bench.run(edits(write, 50), first=3)
    assert (summary.exit_code, summary.counts["failed"]) == (1, 3)
    assert summary.counts["unprocessed"] == 47
