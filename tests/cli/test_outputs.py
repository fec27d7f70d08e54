"""Tests of the files that flags name: what is refused, and that no pipe makes a command wait."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import bulkupdate, environment, serving

#: Flag → the command that has it, without the file.
WRITERS = {
    "--problems": "check edits.csv --problems",
    "--metrics-file": "run edits.csv --sandbox --out new.run --metrics-file",
    "--output": "report edits.run --output",
    "--log": "sandbox --port 0 --log",
}


@pytest.fixture(autouse=True)
def _run() -> None:
    Path("edits.csv").write_text("id,done\nopp_1,yes\n")
    assert bulkupdate("run", "edits.csv", "--sandbox").returncode == 0
    Path("target").write_text("kept")
    Path("to.prom").symlink_to("target")
    Path("nowhere.prom").symlink_to("none")
    os.link("target", "hard.prom")
    os.mkfifo("pipe.prom")
    Path("there.prom").mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("flag", WRITERS)
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("to.prom", "is a link"),
        ("nowhere.prom", "is a link"),
        ("hard.prom", "is a link"),
        ("pipe.prom", "is a pipe"),
        ("there.prom", "is a directory"),
        ("/dev/null", "is a device"),
        ("none/a.prom", "can't be written: check that none exists"),
        ("target/a.prom", "can't be written: Not a directory"),
    ],
)
def test_only_a_plain_file_is_written(flag: str, name: str, what: str) -> None:
    """A link, a pipe, a device or a directory is refused before anything is sent or written."""
    done = bulkupdate(*WRITERS[flag].split(), name)
    assert done.returncode == 2
    assert f"error: {flag} {name} {what}" in done.stderr
    assert Path("target").read_text() == "kept"
    assert not Path("new.run").exists()
    assert not Path("none").exists()


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--problems", "--output", "--log"])
@pytest.mark.parametrize(
    "name", ["results.jsonl", "summary.json", "failed.csv", "report.html", "failed.7.csv"]
)
def test_file_of_a_run_is_never_replaced(flag: str, name: str) -> None:
    """A file that belongs to a run is refused, whether it is there or not, under any path."""
    shutil.copytree("edits.run", "other.run")
    Path("link.run").symlink_to("other.run")
    before = {path.name: path.read_bytes() for path in Path("other.run").iterdir()}
    for directory in ("other.run", "link.run", "edits.run/../other.run"):
        done = bulkupdate(*WRITERS[flag].split(), f"{directory}/{name}")
        assert done.returncode == 2
        assert "is a file of a run" in done.stderr
    assert {path.name: path.read_bytes() for path in Path("other.run").iterdir()} == before


def test_file_beside_those_of_a_run_is_written() -> None:
    """A file with another name is written, even in a run directory; so is the run's own report."""
    assert bulkupdate("check", "edits.csv", "--problems", "edits.run/mine.csv").returncode == 0
    assert Path("edits.run/mine.csv").exists()
    assert bulkupdate("check", "edits.csv", "--problems", "failed.csv").returncode == 0
    done = bulkupdate("report", "edits.run", "--output", "edits.run/report.html")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("check pipe.prom", "is not a regular file"),
        ("check edits.csv --value-map pipe.prom", "is not a regular file"),
        ("run pipe.prom --sandbox", "is not a regular file"),
        ("run edits.csv --sandbox --overwrite --value-map pipe.prom", "is not a regular file"),
        (
            "run edits.csv --base-url http://127.0.0.1:1 --api-key-file pipe.prom",
            "is not a regular file",
        ),
        (
            "run edits.csv --base-url http://127.0.0.1:1 --api-key-file /dev/zero",
            "is not a regular file",
        ),
        ("run edits.csv --sandbox --out pipe.prom", "can't be used: Not a directory"),
        ("sandbox --port 0 --tasks pipe.prom", "is not a regular file"),
        ("report pipe.prom", "error: "),
    ],
)
def test_pipe_makes_no_command_wait(command: str, says: str) -> None:
    """A named pipe that no one writes or reads is refused wherever a file or directory is named."""
    done = bulkupdate(*command.split())
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.slow
def test_key_may_come_from_a_pipe_of_the_shell() -> None:
    """A key may come from a program, by bash's `<(…)`."""
    with serving("--unknown-id", "create") as sandbox:
        line = (
            "bulkupdate run edits.csv --overwrite --base-url"
            f" {sandbox.url} --api-key-file <(echo sandbox)"
        )
        done = subprocess.run(["bash", "-c", line], env=environment(), timeout=60, check=False)
    assert done.returncode == 0


def test_log_never_goes_to_the_file_of_tasks() -> None:
    """The sandbox does not append its log to the file that holds its tasks."""
    done = bulkupdate("sandbox", "--port", "0", "--tasks", "edits.csv", "--log", "edits.csv")
    assert done.returncode == 2
    assert "--log edits.csv is the file of --tasks" in done.stderr
    assert Path("edits.csv").read_text() == "id,done\nopp_1,yes\n"
