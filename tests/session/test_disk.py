"""A disk that fills up, or files that vanish, under a run."""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import (
    COMMAND,
    Serving,
    bulkupdate,
    environment,
    serving,
    start,
    summary_in,
    wait_for_results,
)

pytestmark = pytest.mark.slow

Write = Callable[..., Path]
WORKERS = 4
LOG = Path("edits.run/results.jsonl")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Serving]:
    log = tmp_path / "requests.jsonl"
    flags = ("--rate", "none", "--latency", "1:3", "--unknown-id", "create", "--log", log)
    with serving(*flags) as running:
        yield running


def edits(write: Write, count: int) -> None:
    write("edits.csv", "id,title", *(f"opp_{n},T{n}" for n in range(1, count + 1)))


def requests(tmp_path: Path) -> int:
    """The number of requests for rows."""
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    return sum('"PATCH"' in line for line in lines)


def settled() -> Counter[int]:
    return Counter(json.loads(line)["row"] for line in LOG.read_text().splitlines())


def finish(sandbox: Serving, rows: int) -> None:
    """Go on with the run, and see that it ends with each row settled once."""
    flags = ("--rate", "none", "--resume")
    done = bulkupdate("run", "edits.csv", *flags, **sandbox.environment)
    assert done.returncode == 0, done.stderr
    assert summary_in()["counts"]["updated"] == rows
    assert settled() == Counter(range(1, rows + 1))


def test_full_disk_stops_a_resumable_run(write: Write, sandbox: Serving, tmp_path: Path) -> None:
    """A full disk stops the run, which resumes once there is room."""
    edits(write, 2000)
    flags = f"--rate none --workers {WORKERS} -q"
    # No file of this process may be larger than 200 KiB: the log is, before it ends.
    limited = f"ulimit -f 200; exec {' '.join(COMMAND)} run edits.csv {flags}"
    done = subprocess.run(
        ["bash", "-c", limited],
        capture_output=True,
        text=True,
        check=False,
        env=environment(**sandbox.environment),
    )
    logged = len(settled())
    assert done.returncode == 3
    assert 300 < logged < 1500
    first = done.stderr.splitlines()[0]
    assert "edits.run/results.jsonl can't be written: File too large" in first
    lost = done.stderr.count("result not written: row")
    # What was in flight has drained, and nothing was started any more.
    assert requests(tmp_path) == logged + lost
    assert lost <= 2 * WORKERS
    assert summary_in()["state"] == "stopped"
    finish(sandbox, 2000)
    assert requests(tmp_path) == 2000 + lost


def test_deleted_log_stops_run_and_is_noticed(write: Write, sandbox: Serving) -> None:
    """A deleted results log stops the run, and the next session notices the loss."""
    edits(write, 2000)
    process = start("run", "edits.csv", "--rate", "none", "-q", **sandbox.environment)
    wait_for_results(100)
    LOG.unlink()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "results.jsonl can't be written: it was deleted or replaced" in said
    flags = ("--rate", "none", "--resume")
    done = bulkupdate("run", "edits.csv", *flags, **sandbox.environment)
    assert "has lost the results of" in done.stderr
    assert (done.returncode, settled()) == (0, Counter(range(1, 2001)))


@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "cut"])
def test_moved_or_cut_log_stops_the_run(write: Write, sandbox: Serving, *, is_moved: bool) -> None:
    """A results log that is moved or cut during the run stops it."""
    edits(write, 2000)
    flags = ("--rate", "400/1s", "-q")
    process = start("run", "edits.csv", *flags, **sandbox.environment)
    wait_for_results(100)
    if is_moved:
        LOG.rename("elsewhere.jsonl")
    else:
        LOG.write_bytes(b"")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 3
    assert ("moved or replaced" if is_moved else "another program has written to it") in said


def test_deleted_run_directory_stops_the_run(write: Write, sandbox: Serving) -> None:
    """A run directory that is deleted during the run stops it with a clear error."""
    edits(write, 2000)
    process = start("run", "edits.csv", "--rate", "none", "-q", **sandbox.environment)
    wait_for_results(100)
    shutil.rmtree("edits.run", ignore_errors=True)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "results.jsonl can't be written" in said
    assert "edits.run can't be written: it was moved or replaced" in said
    assert "Traceback" not in said


def test_failed_file_saved_meanwhile_stops_nothing(write: Write, tmp_path: Path) -> None:
    """A failed file that an editor saves during the run stops nothing and is kept."""
    edits(write, 400)
    with serving("--rate", "none", "--latency", "5:10") as sandbox:
        process = start("run", "edits.csv", "--rate", "none", "-q", **sandbox.environment)
        wait_for_results(50)
        mended = tmp_path / "mended.csv"
        mended.write_text("id,title\nopp_1,mended\n")
        mended.replace("edits.run/failed.csv")
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert Path("edits.run/failed.csv").read_text().count("\n") == 401
    assert Path("edits.run/failed.1.csv").read_text() == "id,title\nopp_1,mended\n"
