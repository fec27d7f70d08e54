"""What a session that ended at a bad moment leaves to the next one."""

import asyncio
import gzip
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bulkupdate import errors
from bulkupdate.codec import parse_record, replaced, to_json, to_lines
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal.directory import Mode, RunDirectory
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.journal.recorder import Recorder
from bulkupdate.models import Reason, State
from bulkupdate.plan.preview import Checked, Preview, inspect
from bulkupdate.reader import Input
from bulkupdate.reader.options import ReadOptions
from bulkupdate.sandbox import Fault, Unknown
from bulkupdate.sandbox.team import BadUpdateError
from bulkupdate.session import prepare
from bulkupdate.session import source as source_module
from bulkupdate.session.observer import Observer
from bulkupdate.session.progress import Progress
from bulkupdate.session.run import run
from bulkupdate.session.settings import FailureLimit
from bulkupdate.stop import Stop
from tests.support.bench import Bench, Notes, StopsAfter, edits, results_in
from tests.support.compared import ALREADY, CONFLICT, not_sent
from tests.support.fakes import SetAfter, open_files

Write = Callable[..., Path]


async def test_edited_input_resumes_with_changed_rows_only(
    write: Write,
) -> None:
    """An edited input is resumed only on request, and only rows that differ are sent."""
    path = edits(write, 20)
    soon = StopsAfter(8)
    async with Bench(latency=(1, 2)) as bench:
        before = await run(bench.config(path, workers=1), stop=soon.stop, observer=soon)
        settled = before.counts["updated"]
        assert 8 <= settled < 18
        rows = path.read_text().splitlines()
        edited = [rows[0], *rows[2:5], "opp_5,other", *rows[6:20], "opp_20,unsent", "opp_21,new"]
        path.write_text("".join(f"{line}\n" for line in edited))
        sent = len(bench.seen)
        with pytest.raises(errors.RunDirectoryError) as refused:
            await bench.run(path, mode=Mode.RESUME)
        assert (
            "2 rows changed (4, 19), 1 row added (20), 1 row removed (1, by their old numbers)"
            in str(refused.value)
        )
        assert "changed_input" in str(refused.value)
        assert len(bench.seen) == sent
        notes = Notes()
        again = await bench.run(path, notes, mode=Mode.RESUME, changed_input=True)
        titles = {id_: task["title"] for id_, task in bench.sandbox.team.tasks.items()}
    assert (again.exit_code, again.counts["updated"], again.input.rows) == (0, 20, 20)
    assert again.requests == 20 - (settled - 2)
    assert titles["opp_5"] == "other"
    assert (titles["opp_20"], titles["opp_21"]) == ("unsent", "new")
    results = {result["row"]: result["id"] for result in results_in(Path("edits.run"))}
    assert results == {n: line.split(",")[0] for n, line in enumerate(edited[1:], 1)}
    old_log = Path("edits.run/results.1.jsonl").read_text().splitlines()
    assert len(old_log) == settled
    assert "2 rows changed" in notes.said[0]


@pytest.mark.parametrize("edited", [2, 6, 100, 299])
async def test_edit_is_noticed_wherever_it_is(write: Write, edited: int) -> None:
    """Each byte of the input counts, also of a large one, and in a row that is settled."""
    rows = [f"opp_{n},{n:06} {'x' * 2_300}" for n in range(1, 301)]
    path = write("edits.csv", "id,title", *rows)
    async with Bench() as bench:
        await bench.run(path)
        rows[edited - 1] = f"opp_{edited},EDITED {'x' * 2_300}"
        write("edits.csv", "id,title", *rows)
        with pytest.raises(errors.RunDirectoryError, match=rf"1 row changed \({edited}\)"):
            await bench.run(path, mode=Mode.RESUME)
        again = await bench.run(path, mode=Mode.RESUME, changed_input=True)
        title = bench.sandbox.team.tasks[f"opp_{edited}"]["title"]
    assert (again.requests, title[:6]) == (1, "EDITED")


async def test_reordered_input_needs_nothing_sent(write: Write) -> None:
    """An input whose rows are only in another order is resumed without a request."""
    path = edits(write, 5)
    async with Bench() as bench:
        await bench.run(path)
        lines = path.read_text().splitlines()
        path.write_text("".join(f"{line}\n" for line in [lines[0], *reversed(lines[1:])]))
        with pytest.raises(errors.RunDirectoryError, match="the same rows"):
            await bench.run(path, mode=Mode.RESUME)
        again = await bench.run(path, mode=Mode.RESUME, changed_input=True)
        assert (again.requests, again.counts["updated"]) == (0, 5)
        assert (await bench.run(path, mode=Mode.RESUME)).requests == 0


@pytest.mark.parametrize("name", ["part.replace", "adopt_digests", "write_summary"])
async def test_crash_during_adoption_loses_no_result(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A crash at any step while the run adopts an edited input loses no result."""
    path = edits(write, 10)

    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    async with Bench() as bench:
        await bench.run(path)
        lines = path.read_text().splitlines()
        lines = [lines[0], *reversed(lines[2:]), "opp_0,first"]
        path.write_text("".join(f"{line}\n" for line in lines))
        with monkeypatch.context() as patched:
            if name == "part.replace":
                patched.setattr(os, "link", crash)
            else:
                patched.setattr(RunDirectory, name, crash)
            with pytest.raises((Crash, BaseExceptionGroup)):
                await run(bench.config(path, mode=Mode.RESUME, changed_input=True))
        again = await bench.run(path, mode=Mode.RESUME, changed_input=True)
    assert (again.requests, again.counts["updated"]) == (1, 10)
    ids = {result["row"]: result["id"] for result in results_in(Path("edits.run"))}
    assert ids == {n: line.split(",")[0] for n, line in enumerate(lines[1:], 1)}


class Crash(BaseException):
    """The process is gone."""


def crash(*_: object) -> None:
    raise Crash


@contextmanager
def refusing(bench: Bench, title: str) -> Iterator[None]:
    """The server refuses this title for now."""
    real = bench.sandbox.team.update

    def update(body: dict[str, Any]) -> dict[str, Any]:
        if body.get("title") == title:
            raise BadUpdateError(400, "not now")
        return real(body)

    bench.sandbox.team.update = update  # type: ignore[method-assign,assignment]
    yield
    bench.sandbox.team.update = real  # type: ignore[method-assign]


def stopping_at_the_first_request(bench: Bench) -> Stop:
    """A stop that is set once the server has seen a request."""
    stop = Stop()

    def watch(seen: Any) -> None:
        bench.seen.append(seen)
        stop.set("interrupted by SIGINT", Reason.SIGNAL, signal=2)

    bench.sandbox._watch = watch
    return stop


async def test_retried_row_leaves_later_rows_owed(
    write: Write,
) -> None:
    """A session that ends after a retried row leaves the task's later rows to be resent."""
    later = [f"opp_1,N{n}" for n in range(5)]
    path = write("edits.csv", "id,title", "opp_1,OLD", *later, "opp_2,x")
    async with Bench(latency=(5, 5)) as bench:
        with refusing(bench, "OLD"):
            await bench.run(path)
        stop = stopping_at_the_first_request(bench)
        config = bench.config(path, mode=Mode.RESUME, retry_failed=True)
        cut = await run(config, stop=stop)
        assert (cut.state, cut.exit_code) == (State.INTERRUPTED, 130)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "OLD"
        bench.sandbox._watch = bench.seen.append
        rest = await bench.run(path, mode=Mode.RESUME)
        assert (rest.requests, rest.exit_code) == (5, 0)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "N4"
        assert (await bench.run(path, mode=Mode.RESUME)).requests == 0


async def _interrupted(bench: Bench, path: Path, **more: Any) -> None:
    """A run that ends in its middle, and a look at how often its input is read from then on."""
    summary = await run(bench.config(path, **more), stop=stopping_at_the_first_request(bench))
    assert summary.state is State.INTERRUPTED
    bench.sandbox._watch = bench.seen.append


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Inputs that are checked from now on."""
    found: list[str] = []

    def counting(source: Input, *rest: Any, **more: Any) -> Any:
        found.append(source.name)
        return inspect(source, *rest, **more)

    monkeypatch.setattr(prepare, "inspect", counting)
    return found


async def test_next_session_skips_the_finished_check(write: Write, checks: list[str]) -> None:
    """A resumed session uses the finished check of the session before, also for its notes."""
    shown: list[Preview] = []

    class Watching(Observer):
        def input_checked(self, source: Input, preview: Preview) -> None:
            shown.append(preview)

    path = write("edits.csv", "id,title", *(f"opp_{n},T" for n in range(1, 101)))
    async with Bench() as bench:
        await _interrupted(bench, path)
        assert len(checks) == 1
        for _ in range(2):
            rest = await run(bench.config(path, mode=Mode.RESUME), observer=Watching())
            assert (rest.exit_code, rest.input.rows, rest.counts["updated"]) == (0, 100, 100)
        applied = [seen.applied["id"] for seen in bench.seen if seen.applied]
    assert len(checks) == 1
    assert sorted(applied) == sorted(f"opp_{n}" for n in range(1, 101))
    assert [(p.rows, p.requests, p.edits) for p in shown] == [(100, 100, {"title": 100})] * 2
    assert shown[0].bodies[0] == {"id": "opp_1", "title": "T"}


async def test_refused_file_needs_only_resume(write: Write, checks: list[str]) -> None:
    """A run that was refused has sent nothing, so that the same command begins it again."""
    path = write("edits.csv", "id,priority", "opp_1,high", "opp_2,urgent", "opp_3,low")
    async with Bench() as bench:
        refused = await bench.run(path)
        again = await bench.run(path, mode=Mode.RESUME)
        assert (refused.exit_code, again.exit_code, bench.seen) == (2, 2, [])
        passed_over = await bench.run(path, mode=Mode.RESUME, skip_invalid=True)
        write("edits.csv", "id,priority", "opp_1,high", "opp_2,low")
        edited = await bench.run(path, mode=Mode.OVERWRITE)
    assert (passed_over.counts["updated"], passed_over.counts["invalid"]) == (2, 1)
    assert (edited.exit_code, len(checks)) == (0, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed", ["garbled", "missing", "version", "input", "merged", "edited", "read otherwise"]
)
async def test_doubtful_check_is_done_again(write: Write, checks: list[str], changed: str) -> None:
    """An input is checked again unless a valid check of the same input and flags exists."""
    lines = [f"opp_{n % 50},T{n}" for n in range(100)]
    path = write("edits.csv", "id,title", *lines)
    async with Bench() as bench:
        await _interrupted(bench, path)
        check = Path("edits.run/check.json")
        text = check.read_text()
        more: dict[str, Any] = {}
        if changed == "garbled":
            check.write_text(text[:-30])
        elif changed == "missing":
            check.unlink()
        elif changed == "version":
            check.write_text(text.replace('"version": "', '"version": "9'))
        elif changed == "input":
            check.write_text(re.sub(r'"sha256": "..', '"sha256": "zz', text))
        elif changed == "merged":
            more["merge_duplicates"] = True
        elif changed == "edited":
            write("edits.csv", "id,title", *lines, "opp_new,T")
            more["changed_input"] = True
        else:
            more["read"] = ReadOptions(constants={"priority": "high"})
            more["changed_input"] = True
        rest = await bench.run(path, mode=Mode.RESUME, **more)
        assert rest.exit_code == 0
        assert len(checks) == 2
        # And what was found then is known from then on.
        assert (await bench.run(path, mode=Mode.RESUME, **more)).requests == 0
    assert len(checks) == (3 if changed == "merged" else 2)


@pytest.mark.parametrize("told", ['"invalid": 0', '"rows": 2', '"rows": 9'])
async def test_check_that_lies_is_made_again(write: Write, checks: list[str], told: str) -> None:
    """A check that was changed by hand, or by a fault, is not believed."""
    invalid = "urgent" if "invalid" in told else "low"
    path = write("edits.csv", "id,priority", "opp_1,high", "opp_2,low", f"opp_3,{invalid}")
    async with Bench() as bench:
        await bench.run(path, skip_invalid=True, first=1)
        check = Path("edits.run/check.json")
        check.write_text(re.sub(f"{told[:-1]}[0-9]", told, check.read_text()))
        again = await bench.run(path, mode=Mode.RESUME, skip_invalid=True)
    assert (again.counts["unprocessed"], len(checks)) == (0, 2)


async def test_check_of_fewer_rows_does_not_end_a_run(write: Write) -> None:
    """Rows that are not settled are sent, whatever the check and the digests say."""
    path = edits(write, 20)
    async with Bench() as bench:
        await bench.run(path, first=5)
        for name in ("check.json", "rows.digest"):
            file = Path("edits.run", name)
            text = file.read_text()
            text = re.sub('"rows": 20', '"rows": 5', text) if name == "check.json" else text[:170]
            file.write_text(text)
        with pytest.raises(errors.RunDirectoryError, match="15 rows added"):
            await bench.run(path, mode=Mode.RESUME)
        summary = await bench.run(path, mode=Mode.RESUME, changed_input=True)
    assert summary.counts["updated"] == 20


async def test_option_that_is_left_out_is_named(write: Write) -> None:
    """A run that began with an option says so where it is resumed without it, or the reverse."""
    path, options = edits(write, 3), ReadOptions(constants={"message": "M"})
    async with Bench() as bench:
        for before, after in ((options, ReadOptions()), (ReadOptions(), options)):
            await bench.run(path, first=1, mode=Mode.OVERWRITE, read=before)
            with pytest.raises(errors.RunDirectoryError, match=r"in another way \(constants\)"):
                await bench.run(path, mode=Mode.RESUME, read=after)


class EditsInPlace(Observer):
    """An observer that edits the input after the check, and leaves its size and times."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def input_checked(self, source: Input, preview: Preview) -> None:
        status = self.path.stat()
        with self.path.open("r+b") as file:
            text = file.read().replace(b",T4", b",X4")
            file.seek(0)
            file.write(text)
        os.utime(self.path, ns=(status.st_atime_ns, status.st_mtime_ns))


async def test_row_that_was_not_checked_is_not_sent(write: Write) -> None:
    """An edit in place that nothing but the content shows is noticed row by row.

    The next session checks the whole input anew.
    """
    path = edits(write, 300)
    async with Bench() as bench:
        summary = await bench.run(path, observer=EditsInPlace(path))
        sent = {seen.body["title"] for seen in bench.seen if seen.body}
        assert not Path("edits.run/check.json").exists()
        again = await bench.run(path, mode=Mode.RESUME)
        sent_again = {seen.body["title"] for seen in bench.seen if seen.body}
    assert (summary.exit_code, summary.stopped_by) == (3, Reason.INPUT_CHANGED)
    assert "row 4 is not the one that was checked" in (summary.reason or "")
    assert sent <= {"T1", "T2", "T3"}
    assert again.counts["updated"] == 300
    assert "X4" in sent_again


def _row(line: str, number: int) -> str:
    return line.replace('"row":1,', f'"row":{number},')


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [_row(lines[0], 4), *lines[1:]], "line 1, .* row 4: the row is another"),
        (lambda lines: [*lines, _row(lines[0], 9999)], "line 4, .* row 9,999: the input has 6"),
        (lambda lines: [*lines, _row(lines[0], 10**13)], "the input has 6 rows"),
        (lambda lines: [line.replace("opp_", "opp_x") for line in lines], "line 1, .* row 1: "),
        (lambda lines: [line.replace('":"T', '":"U') for line in lines], "line 1, .* row 1: "),
    ],
)  # fmt: skip
async def test_line_of_another_row_is_damage(
    write: Write, change: Callable[[list[str]], list[str]], says: str
) -> None:
    """A line of the log is believed only if it is about the row that has its number."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path, first=3)
        log = Path("edits.run/results.jsonl")
        lines = log.read_text().splitlines()
        log.write_text("".join(f"{line}\n" for line in change(lines)))
        with pytest.raises(errors.JournalError, match=says):
            await bench.run(path, mode=Mode.RESUME)
        log.write_text("".join(f"{line}\n" for line in lines[1:]))
        summary = await bench.run(path, mode=Mode.RESUME)
    assert summary.counts["updated"] == 6


async def test_line_in_another_layout_is_still_the_rows(write: Write) -> None:
    """A log that another program has written anew, with blanks and in another order, is read."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path, first=3)
        log = Path("edits.run/results.jsonl")
        anew = [
            json.dumps(json.loads(line), sort_keys=True) for line in log.read_text().splitlines()
        ]
        log.write_text("".join(f"{line}\n" for line in anew))
        summary = await bench.run(path, mode=Mode.RESUME)
    assert (summary.counts["updated"], summary.requests) == (6, 3)


@pytest.fixture
def many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a few rows has some places that are known."""
    monkeypatch.setattr("bulkupdate.plan.preview.INSPECT_BATCH", 2)
    monkeypatch.setattr("bulkupdate.plan.preview.PLACE_BATCHES", 4)


PLACES = [(8, 10), (16, 18), (24, 26)]


@pytest.mark.slow
@pytest.mark.usefixtures("many_places")
@pytest.mark.parametrize(
    ("places", "digests"),
    [
        (PLACES, "whole"),
        (PLACES, "missing"),
        (PLACES, "torn"),
        (PLACES, "garbled"),
        ([(8, 10), (16, 19), (24, 26)], "whole"),
        ([(8, 10), (17, 18), (24, 26)], "whole"),
        ([(16, 17)], "missing"),
        ([(16, 180)], "whole"),
        ([(16, 180)], "missing"),
    ],
)
async def test_wrong_offsets_still_send_the_rest(
    write: Write, checks: list[str], places: list[tuple[int, int]], digests: str
) -> None:
    """The rest is sent once, also where the offsets or digests of the check are wrong."""
    path = write("edits.csv", "id,title", *(f"opp_{n},T{n}" for n in range(1, 31)))
    async with Bench() as bench:
        await bench.run(path, first=20)
        check, of_rows = Path("edits.run/check.json"), Path("edits.run/rows.digest")
        checked = parse_record(check.read_bytes(), Checked)
        assert checked.places == PLACES
        check.write_bytes(to_json(replaced(checked, places=places).sealed()))
        if digests == "missing":
            of_rows.unlink()
        elif digests == "torn":
            os.truncate(of_rows, 100)
        elif digests == "garbled":
            of_rows.write_bytes(bytes(of_rows.stat().st_size))
        rest = await bench.run(path, mode=Mode.RESUME)
        rows = sorted(row["row"] for row in results_in(Path("edits.run")))
        assert rows == list(range(1, 31))
        again = await bench.run(path, mode=Mode.RESUME)
    assert (rest.exit_code, rest.requests, rest.counts["updated"]) == (0, 10, 30)
    assert (again.exit_code, again.requests) == (0, 0)
    assert len(checks) == (1 if digests == "whole" else 2)


@pytest.mark.usefixtures("many_places")
@pytest.mark.parametrize("name", ["edits.jsonl", "edits.xlsx", "edits.tsv.gz"])
async def test_every_input_format_resumes_correctly(tmp_path: Path, name: str) -> None:
    """An input of any format is resumed after the rows that were sent."""
    path = tmp_path / name
    rows = [(f"opp_{n}", f"T{n}") for n in range(1, 31)]
    if name.endswith("jsonl"):
        path.write_bytes(to_lines([{"id": id_, "title": title} for id_, title in rows]))
    elif name.endswith("xlsx"):
        book = openpyxl.Workbook()
        for cells in (("id", "title"), *rows):
            book.active.append(cells)
        book.save(path)
    else:
        text = "".join(f"{id_}\t{title}\n" for id_, title in [("id", "title"), *rows])
        path.write_bytes(gzip.compress(text.encode()))
    async with Bench() as bench:
        await run(bench.config(path, first=20))
        checked = parse_record(Path("edits.run/check.json").read_bytes(), Checked)
        assert checked.places == (PLACES if "tsv" in name else [])
        rest = await run(bench.config(path, mode=Mode.RESUME))
    assert (rest.exit_code, rest.requests, rest.counts["updated"]) == (0, 10, 30)
    assert {result["id"] for result in results_in(Path("edits.run"))} == {id_ for id_, _ in rows}


async def test_unencodable_field_name_is_refused(write: Write) -> None:
    """A field name that UTF-8 cannot encode makes its row invalid, without a crash."""
    path = write("edits.jsonl", '{"id": "a", "title": "x", "\\ud800title": 3}')
    async with Bench() as bench:
        refused = await bench.run(path)
    assert (refused.exit_code, refused.counts["invalid"]) == (2, 1)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
async def test_only_settled_first_rows_are_skipped(write: Write, suffix: str) -> None:
    """Resuming skips only settled first rows; a retry also resends its task's later rows."""
    rows = [(f"opp_{n % 30}", f"T{n}") for n in range(90)]
    if suffix == "csv":
        path = write("edits.csv", "id,title", *(",".join(row) for row in rows))
    else:
        path = write("edits.jsonl", *({"id": task, "title": title} for task, title in rows))
    async with Bench() as bench:
        with refusing(bench, "T40"):
            await bench.run(path, first=60)
        rest = await bench.run(path, mode=Mode.RESUME, first=10)
        assert (rest.counts["updated"], rest.counts["failed"]) == (69, 1)
        last = await bench.run(path, mode=Mode.RESUME, retry_failed=True)
        assert (last.exit_code, last.counts["updated"]) == (0, 90)
        tasks = bench.sandbox.team.tasks
        assert {t: tasks[t]["title"] for t, _ in rows} == dict(rows)


async def test_next_row_waits_for_earlier_log_line(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task's next row waits for the earlier row's log line, so no resend can follow it."""
    path = write("edits.csv", "id,title", "opp_0,x", "opp_1,OLD", "opp_1,NEW")
    real = AppendOnlyFile.write

    def write_all_but_one(self: AppendOnlyFile, data: bytes) -> None:
        if b'"OLD"' in data:
            raise errors.JournalError("No space left on device")
        real(self, data)

    for workers in (1, 16):
        async with Bench() as bench:
            with monkeypatch.context() as patched:
                patched.setattr(AppendOnlyFile, "write", write_all_but_one)
                config = bench.config(path, workers=workers, mode=Mode.OVERWRITE)
                assert (await run(config)).exit_code == 3
            await bench.run(path, mode=Mode.RESUME)
            titles = [seen.applied["title"] for seen in bench.seen if seen.applied]
        assert titles == ["x", "OLD", "OLD", "NEW"]


@pytest.mark.parametrize("name", ["adopt_digests", "write_summary"])
async def test_restored_input_is_recognised_after_crash(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An input restored after a crash is compared by its rows, and no row is sent again."""
    path = write("edits.csv", "id,title", "opp_a,A", "opp_b,B")
    original = path.read_text()
    async with Bench() as bench:
        await run(bench.config(path, workers=1), stop=stopping_at_the_first_request(bench))
        bench.sandbox._watch = bench.seen.append
        path.write_text("id,title\nopp_b,B\nopp_a,A\n")
        with monkeypatch.context() as patched:
            real = getattr(RunDirectory, name)
            calls = [0]

            def crash_later(self: RunDirectory, *arguments: object) -> None:
                calls[0] += 1
                if name == "write_summary" and calls[0] == 1:
                    real(self, *arguments)
                    return
                raise Crash

            patched.setattr(RunDirectory, name, crash_later)
            with pytest.raises((Crash, BaseExceptionGroup)):
                await run(bench.config(path, mode=Mode.RESUME, changed_input=True))
        path.write_text(original)
        with pytest.raises(errors.RunDirectoryError, match="has been edited"):
            await bench.run(path, mode=Mode.RESUME)
        rest = await bench.run(path, mode=Mode.RESUME, changed_input=True)
        applied = [seen.applied["id"] for seen in bench.seen if seen.applied]
    assert (applied, rest.counts["updated"]) == (["opp_a", "opp_b"], 2)


async def test_crash_during_adopted_insertion_resends_nothing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash while the run adopts an inserted row causes no row to be sent again."""
    path = write("edits.csv", "id,title", "opp_a,A", "opp_b,B")
    async with Bench() as bench:
        await bench.run(path)
        path.write_text("id,title\nopp_n,N\nopp_a,A\nopp_b,B\n")
        with monkeypatch.context() as patched:
            patched.setattr(RunDirectory, "adopt_digests", crash)
            with pytest.raises((Crash, BaseExceptionGroup)):
                await run(bench.config(path, mode=Mode.RESUME, changed_input=True))
        again = await bench.run(path, mode=Mode.RESUME, changed_input=True)
    assert (again.requests, again.counts["updated"]) == (1, 3)


async def test_removed_later_row_loses_last_word(write: Write) -> None:
    """A row is sent again where a removed later row of its task had overwritten it."""
    path = write("edits.csv", "id,title", "opp_1,first", "opp_1,second", "opp_2,x")
    async with Bench() as bench:
        await bench.run(path)
        path.write_text("id,title\nopp_1,first\nopp_2,x\n")
        again = await bench.run(path, mode=Mode.RESUME, changed_input=True)
        assert (again.requests, again.counts["updated"]) == (1, 2)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "first"


async def test_own_failed_file_never_counts_as_edited(write: Write) -> None:
    """A failed file that the run itself wrote never counts as edited."""
    path = edits(write, 3)
    notes = Notes()
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)
        failed = Path("edits.run/failed.csv")
        failed.write_text("id,title\nopp_1,mended\n")
        await bench.run(path, notes, mode=Mode.RESUME)
        for title in ("a", "b"):
            path.write_text(f"title,id\n{title},opp_1\n")
            await bench.run(path, notes, mode=Mode.RESUME, changed_input=True)
    assert len([note for note in notes.said if "kept as" in note]) == 1
    assert Path("edits.run/failed.1.csv").read_text() == "id,title\nopp_1,mended\n"


@pytest.mark.slow
async def test_stop_interrupts_the_start_of_resuming(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop during resuming interrupts the reading of the log and of the failed rows."""
    path = edits(write, 300)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        await bench.run(path)
    monkeypatch.setattr("bulkupdate.journal.rebuild._BATCH", 1)
    with RunDirectory.open(Path("edits.run"), Mode.RESUME) as directory, Input.open(path) as source:
        before = open_files()
        with pytest.raises(errors.RunStoppedError):
            Recorder.open(directory, source, SetAfter(0))
        with pytest.raises(errors.RunStoppedError):
            Recorder.open(directory, source, SetAfter(100))
        assert open_files() <= before
        recorder = Recorder.open(directory, source, Stop())
        recorder.close()
    assert recorder.failed_sha256 is not None


async def test_last_row_may_reach_failure_limit(write: Write) -> None:
    """A run that reaches the limit of failures at its last row counts as finished."""
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        limit = FailureLimit(rows=3)
        summary = await bench.run(edits(write, 3), max_failures=limit, workers=1)
        assert (summary.state, summary.exit_code) == (State.FINISHED, 1)
        more = await bench.run(edits(write, 9, "more.csv"), max_failures=limit, workers=1)
        assert (more.state, more.exit_code) == (State.STOPPED, 3)


@pytest.mark.slow
async def test_rows_cut_by_signal_are_no_failures(write: Write) -> None:
    """Rows that a signal cuts short do not count as failures."""
    path = edits(write, 200)
    soon = StopsAfter(50)
    async with Bench(latency=(5, 9), faults={Fault.INTERNAL_ERROR: 0.5}) as bench:
        slow = RetryPolicy(first_backoff=5, longest_backoff=9)
        config = bench.config(path, max_failures=FailureLimit(rows=1), retry=slow)
        summary = await run(config, stop=soon.stop, observer=soon)
    assert summary.counts["unconfirmed"] > 0
    assert (summary.state, summary.exit_code) == (State.INTERRUPTED, 130)


async def test_crashed_overwriting_can_be_repeated(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash while a run is overwritten leaves a run directory that can be overwritten."""
    path = edits(write, 3)
    real = Path.unlink
    async with Bench() as bench:
        await bench.run(path)
        for survived in range(4):
            count = [0]

            def unlink(self: Path, missing_ok: bool = False, *, count: list[int] = count) -> None:
                if self.parent.name == "edits.run":
                    count[0] += 1
                if self.parent.name == "edits.run" and count[0] == survived + 4:  # noqa: B023 - called in this turn only
                    raise Crash
                real(self, missing_ok=missing_ok)

            with monkeypatch.context() as patched:
                patched.setattr(Path, "unlink", unlink)
                with pytest.raises((Crash, BaseExceptionGroup)):
                    await run(bench.config(path, mode=Mode.OVERWRITE))
            assert (await bench.run(path, mode=Mode.OVERWRITE)).exit_code == 0


async def cut_off_while_a_row_is_tried_again(bench: Bench, path: Path) -> None:
    """The server has applied OLD again, and the program is gone before it could say so."""
    with refusing(bench, "OLD"):
        await bench.run(path)

    def seen(one: Any) -> None:
        bench.seen.append(one)
        running.cancel()

    bench.sandbox._watch = seen
    config = bench.config(path, mode=Mode.RESUME, retry_failed=True)
    running = asyncio.create_task(run(config))
    with pytest.raises(asyncio.CancelledError):
        await running
    bench.sandbox._watch = bench.seen.append
    assert bench.sandbox.team.tasks["opp_1"]["title"] == "OLD"


async def test_interrupted_retry_is_unconfirmed_and_resent(
    write: Write,
) -> None:
    """A retried row without an answer when the session ends is unconfirmed and resent."""
    path = write("edits.csv", "id,title", "opp_1,OLD", "opp_1,NEW", "opp_2,x")
    async with Bench(latency=(5, 5)) as bench:
        await cut_off_while_a_row_is_tried_again(bench, path)
        last = {result["row"]: result for result in results_in(Path("edits.run"))}
        assert (last[1]["outcome"], last[1]["cut_short"]) == ("unconfirmed", True)
        edited = path.read_text() + "opp_3,y\n"
        path.write_text(edited)
        with pytest.raises(errors.RunDirectoryError, match="began: 1 row added"):
            await bench.run(path, mode=Mode.RESUME)
        path.write_text(edited.removesuffix("opp_3,y\n"))
        rest = await bench.run(path, mode=Mode.RESUME)
        assert (rest.requests, rest.counts["updated"]) == (2, 3)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "NEW"


async def test_owed_rows_survive_an_input_edit(write: Write) -> None:
    """Rows that a session still owes are sent, also after the input was edited."""
    path = write("edits.csv", "id,title", "opp_1,OLD", "opp_1,NEW")
    async with Bench(latency=(5, 5)) as bench:
        with refusing(bench, "OLD"):
            await bench.run(path)
        stop = stopping_at_the_first_request(bench)
        await run(bench.config(path, mode=Mode.RESUME, retry_failed=True), stop=stop)
        bench.sandbox._watch = bench.seen.append
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "OLD"
        path.write_text(path.read_text() + "opp_2,x\n")
        rest = await bench.run(path, mode=Mode.RESUME, changed_input=True)
        assert (rest.requests, rest.counts["updated"]) == (2, 3)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "NEW"


async def test_invalid_row_never_settles_its_successor(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invalid row does not settle another row that later has the same number."""
    path = write("edits.csv", "id,priority", "opp_0,high", "opp_a,low", "opp_x,what")
    async with Bench(latency=(2, 2)) as bench:
        stop = stopping_at_the_first_request(bench)
        await run(bench.config(path, skip_invalid=True, workers=1), stop=stop)
        bench.sandbox._watch = bench.seen.append
        await bench.run(path, mode=Mode.RESUME)  # writes down the invalid row alone
        path.write_text("id,priority\nopp_0,high\nopp_x,what\nopp_a,low\n")
        again: dict[str, Any] = {
            "mode": Mode.RESUME,
            "changed_input": True,
            "skip_invalid": True,
        }
        with monkeypatch.context() as patched:
            patched.setattr(RunDirectory, "adopt_digests", crash)
            with pytest.raises((Crash, BaseExceptionGroup)):
                await run(bench.config(path, **again))
        rest = await bench.run(path, **again)
        assert (rest.counts["updated"], rest.counts["invalid"]) == (2, 1)
        assert "opp_a" in bench.sandbox.team.tasks


@pytest.mark.parametrize("in_place", [True, False])
async def test_failed_file_saved_midrun_is_kept(write: Write, *, in_place: bool) -> None:
    """A failed file that is edited during a run is kept by the next session."""
    path = edits(write, 100)
    mended = "id,title\nopp_1,mended\n"

    class Editor(Observer):
        async def watch(self, progress: Progress) -> None:
            while not progress.unsuccessful:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            failed = Path("edits.run/failed.csv")
            if not in_place:
                failed.rename("edits.run/backup~")
            failed.write_text(mended)

    async with Bench(unknown=Unknown.NOT_FOUND, latency=(1, 2)) as bench:
        for n in range(2, 101):
            bench.sandbox.team.add(f"opp_{n}")
        await run(bench.config(path, workers=2), observer=Editor())
        await bench.run(path, mode=Mode.RESUME)
    assert Path("edits.run/failed.1.csv").read_text() == mended


async def test_log_is_read_from_the_disk_after_a_failed_sync(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that a failed `fsync` lost are noticed: their rows are sent again."""
    path = edits(write, 20)
    dropped: list[str] = []
    real = os.posix_fadvise

    def advise(descriptor: int, offset: int, length: int, advice: int) -> None:
        dropped.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        # What the system shows after the cache is dropped: the last lines never arrived.
        os.truncate(dropped[-1], os.fstat(descriptor).st_size // 2)
        real(descriptor, offset, length, advice)

    async with Bench() as bench:
        with monkeypatch.context() as broken:
            broken.setattr(AppendOnlyFile, "sync", _failing)
            stopped = await run(bench.config(path))
        assert stopped.stopped_by is Reason.NOT_WRITTEN
        monkeypatch.setattr(os, "posix_fadvise", advise)
        summary = await bench.run(path, mode=Mode.RESUME)
    assert [Path(name).name for name in dropped] == ["results.jsonl"]
    assert (summary.exit_code, summary.counts["updated"]) == (0, 20)
    assert summary.requests > 0


def _failing(_: AppendOnlyFile) -> None:
    raise errors.JournalError("results.jsonl can't be written: Input/output error")


@pytest.mark.parametrize("retry_failed", [False, True])
async def test_doubt_outlives_its_session(write: Write, retry_failed: bool) -> None:
    """A row that may have been applied is not called failed because the server is away now."""
    path = edits(write, 3)
    async with Bench(faults={Fault.RESET_AFTER: 1.0}) as bench:
        first = await run(bench.config(path, retry=RetryPolicy(max_attempts=1)))
        assert first.counts["unconfirmed"] == 3
    if not retry_failed:
        # Killed before their lines were written.
        Path("edits.run/results.jsonl").write_text("")
        summary = Path("edits.run/summary.json")
        summary.write_text(re.sub('"state": "[a-z]+"', '"state": "running"', summary.read_text()))
    config = bench.config(
        path, mode=Mode.RESUME, retry_failed=retry_failed, retry=RetryPolicy(max_attempts=1)
    )
    away = await run(config)
    assert (away.counts["unconfirmed"], away.counts["failed"]) == (3, 0)
    assert {row["error"]["type"] for row in results_in(Path("edits.run"))} >= {"connection"}


async def test_failed_rows_fail_again_without_a_doubt(write: Write) -> None:
    """A row that the server refused was not applied, and still is not if the server is away."""
    path = edits(write, 3)
    async with Bench(unknown=Unknown.NOT_FOUND) as bench:
        assert (await bench.run(path)).counts["failed"] == 3
    config = bench.config(
        path, mode=Mode.RESUME, retry_failed=True, retry=RetryPolicy(max_attempts=1)
    )
    assert (await run(config)).counts["failed"] == 3


async def test_log_wins_over_a_summary_that_says_nothing_was_sent(write: Write) -> None:
    """A run is not begun again while its log holds rows that were sent."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path, first=3)
        file = Path("edits.run/summary.json")
        file.write_text(file.read_text().replace('"has_sent": true', '"has_sent": false'))
        summary = await bench.run(path, mode=Mode.RESUME)
    assert (summary.requests, summary.counts["updated"]) == (3, 6)


async def test_merged_row_keeps_its_line_when_its_others_are_gone(write: Write) -> None:
    """A row that carried an earlier one, which was removed since, is not sent again."""
    path = write("edits.csv", "id,title,message", "opp_1,T,", "opp_2,T,", "opp_1,,M")
    async with Bench() as bench:
        await bench.run(path, merge_duplicates=True)
        write("edits.csv", "id,title,message", "opp_2,T,", "opp_1,,M")
        more: dict[str, Any] = {"changed_input": True, "merge_duplicates": True}
        for _ in range(2):
            summary = await bench.run(path, mode=Mode.RESUME, **more)
            assert summary.counts["updated"] == 2


async def test_refused_standard_input_is_resumed_from_its_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The copy of standard input in a run that sent nothing is an input like any other."""
    text = b"id,title\nopp_1,T\n,no id\n"
    monkeypatch.setattr(source_module, "_stdin_chunks", lambda _: iter([text]))
    async with Bench() as bench:
        refused = await bench.run(Path("-"))
        assert (refused.exit_code, refused.has_sent) == (2, False)
        copy = Path("stdin.run/stdin.csv")
        summary = await bench.run(copy, out=Path("stdin.run"), mode=Mode.RESUME, skip_invalid=True)
    assert (summary.counts["updated"], summary.counts["invalid"]) == (1, 1)
    assert copy.read_bytes() == text


async def test_conflicts_are_tried_again_on_request_alone(write: Write) -> None:
    """A run with conflicts ends with 1, and only a retry of failed rows sends them."""
    path = edits(write, 5)
    async with Bench() as bench:
        await bench.run(path)
        not_sent({2: CONFLICT, 4: ALREADY})
        resumed = await bench.run(path, mode=Mode.RESUME)
        assert (resumed.exit_code, resumed.requests) == (1, 0)
        counts = {name: count for name, count in resumed.counts.items() if count}
        assert counts == {"updated": 3, "unchanged": 1, "conflict": 1}
        assert [(one.type, one.count) for one in resumed.problems] == [("changed_since", 1)]
        assert "opp_2,T2,2,conflict,title is X now" in Path("edits.run/failed.csv").read_text()
        retried = await bench.run(path, mode=Mode.RESUME, retry_failed=True)
    assert (retried.exit_code, retried.requests, retried.counts["conflict"]) == (0, 1, 0)


async def test_compared_rows_keep_their_lines_in_an_edited_input(write: Write) -> None:
    """Rows that were compared and not sent stay settled where the input is edited elsewhere."""
    path = edits(write, 5)
    async with Bench() as bench:
        await bench.run(path)
        not_sent({2: CONFLICT, 4: ALREADY})
        lines = path.read_text().splitlines()
        path.write_text("".join(f"{line}\n" for line in [lines[0], *lines[2:], "opp_9,new"]))
        again = await bench.run(path, mode=Mode.RESUME, changed_input=True)
    assert (again.requests, again.counts["conflict"], again.counts["unchanged"]) == (1, 1, 1)
    outcomes = {result["id"]: result["outcome"] for result in results_in(Path("edits.run"))}
    assert (outcomes["opp_2"], outcomes["opp_4"]) == ("conflict", "unchanged")


@pytest.mark.parametrize("line", [CONFLICT, ALREADY], ids=["conflict", "already"])
async def test_compared_row_is_not_mistaken_after_a_crash(
    write: Write, monkeypatch: pytest.MonkeyPatch, line: dict[str, Any]
) -> None:
    """After a crash, a line without fields is not taken for that of another row."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path)
        not_sent({3: line, 4: line})
        lines = path.read_text().splitlines()
        path.write_text("".join(f"{one}\n" for one in [lines[0], *reversed(lines[1:])]))
        with monkeypatch.context() as patched:
            patched.setattr(RunDirectory, "adopt_digests", crash)
            with pytest.raises((Crash, BaseExceptionGroup)):
                await run(bench.config(path, mode=Mode.RESUME, changed_input=True))
        again = await bench.run(path, mode=Mode.RESUME, changed_input=True)
        assert again.counts["unprocessed"] == 0
        assert (await bench.run(path, mode=Mode.RESUME)).requests == 0
    ids = {result["row"]: result["id"] for result in results_in(Path("edits.run"))}
    assert ids == {number: f"opp_{7 - number}" for number in range(1, 7)}


async def test_doubt_outlives_a_conflict_in_between(write: Write) -> None:
    """A row that may have been applied, and conflicts later, is not called failed after that."""
    path = edits(write, 3)
    async with Bench(faults={Fault.RESET_AFTER: 1.0}) as bench:
        first = await run(bench.config(path, retry=RetryPolicy(max_attempts=1)))
        assert first.counts["unconfirmed"] == 3
    log = Path("edits.run/results.jsonl")
    doubtful = log.read_text()
    not_sent({1: CONFLICT, 2: CONFLICT})
    log.write_text(doubtful + log.read_text())
    config = bench.config(
        path, mode=Mode.RESUME, retry_failed=True, retry=RetryPolicy(max_attempts=1)
    )
    away = await run(config)
    assert (away.counts["unconfirmed"], away.counts["failed"]) == (3, 0)
