"""Tests of a stdout that can't be written: a full disk, a closed descriptor, a reader that left."""

import subprocess
from pathlib import Path

import pytest

from tests.support.commands import COMMAND, bulkupdate, environment

COMMANDS = {
    "--help": "",
    "--version": "",
    "run --help": "",
    "completion bash": "",
    "check edits.csv --json": "2 rows",
    "run edits.csv --dry-run --json": "2 rows",
    "run edits.csv --sandbox --json": "2 updated",
    "report edits.run --json": "report: edits.run/report.html",
}


@pytest.fixture(autouse=True)
def _edits() -> None:
    Path("edits.csv").write_text("id,title\nopp_1,a\nopp_2,b\n")


def ended(command: str, to: str) -> tuple[int, str]:
    """The exit code and stderr of a command whose stdout goes somewhere, in bash."""
    if command.startswith("report"):
        assert bulkupdate("run", "edits.csv", "--sandbox").returncode == 0
    line = f"{' '.join(COMMAND)} {command} {to}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], stderr=subprocess.PIPE, text=True, env=environment(), check=False
    )
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("command", "says"), COMMANDS.items())
@pytest.mark.parametrize(
    ("to", "why"), [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
def test_unwritable_stdout_is_an_error(command: str, says: str, to: str, why: str) -> None:
    """A command whose output is lost exits with 3, and a line on stderr says why."""
    code, said = ended(command, to)
    assert code == 3
    assert said.count(f"error: stdout can't be written: {why}\n") == 1
    assert says in said
    assert "Traceback" not in said
    assert "Exception" not in said


@pytest.mark.slow
@pytest.mark.parametrize(("command", "says"), COMMANDS.items())
def test_reader_that_left_is_no_error(command: str, says: str) -> None:
    """A command whose reader has left exits as other tools do, 128 + SIGPIPE, and says nothing."""
    code, said = ended(command, "| true")
    # The reader may leave later than the command writes.
    assert code in (0, 141)
    assert "stdout" not in said
    assert "Traceback" not in said
    assert "Exception" not in said
    assert says in said


def test_closed_pipe_ends_as_by_sigpipe() -> None:
    """A pipe that is surely closed gives the exit code 141 and an empty stderr."""
    process = subprocess.Popen(
        [*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(20)) == ("", 141)
    process.stderr.close()


def test_lost_output_leaves_other_exit_codes() -> None:
    """An exit code other than 0 stays: it tells more than the lost output."""
    Path("edits.csv").write_text("id,title,done\nopp_1,a,maybe\n")
    code, said = ended("check edits.csv --json", "> /dev/full")
    assert code == 2
    assert "error: stdout can't be written: No space left on device" in said
