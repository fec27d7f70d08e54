"""Run directories that version 0.1.0 of 2026-11-25 (bf4a5fe) wrote are resumed by this one.

`earlier/` holds them: a run of 30 rows that SIGINT ended, one in which four rows failed, and one
whose input was edited and then resumed for a few rows.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.journal.directory import Mode
from bulkupdate.models import State
from tests.conftest import TESTS
from tests.support.bench import Bench, Notes, results_in

EARLIER = TESTS / "session" / "earlier"


@pytest.fixture
def earlier(request: pytest.FixtureRequest) -> Path:
    """The input of an earlier run, whose directory stands beside it."""
    shutil.copytree(EARLIER / request.param / "run_directory", "edits.run")
    shutil.copy(EARLIER / request.param / "edits.csv", "edits.csv")
    return Path("edits.csv")


def unsettled() -> set[str]:
    """The ids of the rows that the log has no line of."""
    ids = [line.partition(",")[0] for line in Path("edits.csv").read_text().splitlines()[1:]]
    return set(ids) - {result["id"] for result in results_in(Path("edits.run"))}


def sent(bench: Bench) -> set[str]:
    """The ids of the tasks that requests were sent for."""
    return {str(seen.body["id"]) for seen in bench.seen if seen.body}


@pytest.mark.parametrize("earlier", ["interrupted", "edited"], indirect=True)
async def test_earlier_run_resumes_with_unlogged_rows(earlier: Path) -> None:
    """An earlier run is resumed: only rows without a line in the log are sent."""
    left = unsettled()
    assert 10 < len(left) < 20
    async with Bench() as bench:
        summary = await bench.run(earlier, mode=Mode.RESUME)
    assert summary.state is State.FINISHED
    assert sent(bench) == left
    assert summary.counts["unprocessed"] == 0
    assert summary.counts["failed"] == 2


@pytest.mark.parametrize("earlier", ["failed"], indirect=True)
async def test_earlier_failed_rows_are_retried_alone(earlier: Path) -> None:
    """Only the rows that failed in the earlier version are sent again."""
    failed = {r["id"] for r in results_in(Path("edits.run")) if r["outcome"] == "failed"}
    async with Bench() as bench:
        summary = await bench.run(earlier, mode=Mode.RESUME, retry_failed=True)
    assert sent(bench) == failed
    assert summary.counts["updated"] == 30


@pytest.mark.parametrize("earlier", ["interrupted", "failed", "edited"], indirect=True)
async def test_edited_input_of_earlier_run_is_noticed(earlier: Path) -> None:
    """The digests of the earlier version tell which rows differ."""
    lines = earlier.read_text().splitlines(keepends=True)
    settled = {r["id"] for r in results_in(Path("edits.run")) if r["outcome"] == "updated"}
    number = next(n for n, line in enumerate(lines) if line.partition(",")[0] in settled)
    lines[number] = lines[number].replace("title", "another title")
    left = unsettled() | {lines[number].partition(",")[0]}
    earlier.write_text("".join(lines))
    notes = Notes()
    async with Bench() as bench:
        with pytest.raises(errors.RunDirectoryError, match="1 row changed"):
            await bench.run(earlier, mode=Mode.RESUME)
        await bench.run(earlier, notes, mode=Mode.RESUME, changed_input=True)
    assert sent(bench) == left
    assert any("1 row changed" in note for note in notes.said)


@pytest.mark.parametrize("earlier", ["interrupted"], indirect=True)
async def test_edited_earlier_failed_file_is_kept(earlier: Path) -> None:
    """The checksum in the earlier summary shows that the failed file was edited."""
    Path("edits.run/failed.csv").write_text("id,title\nopp_007,fixed\n")
    notes = Notes()
    async with Bench() as bench:
        await bench.run(earlier, notes, mode=Mode.RESUME)
    assert Path("edits.run/failed.1.csv").read_text() == "id,title\nopp_007,fixed\n"
    assert any("has been edited: kept as" in note for note in notes.said)


@pytest.mark.parametrize("earlier", ["failed"], indirect=True)
async def test_earlier_run_is_overwritten_completely(earlier: Path) -> None:
    """Overwriting leaves nothing of the earlier run but its run directory."""
    async with Bench() as bench:
        summary: Any = await bench.run(earlier, mode=Mode.OVERWRITE)
    assert summary.counts["updated"] == 30
    assert len(results_in(Path("edits.run"))) == 30
