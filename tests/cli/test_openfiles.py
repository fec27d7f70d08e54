"""Tests of commands that may open few files: a clear error, or one message and on."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import COMMAND, bulkupdate, environment, serving, summary_in


@pytest.fixture(autouse=True)
def _edits() -> None:
    Path("edits.csv").write_text("".join(["id,done\n", *(f"opp_{n},yes\n" for n in range(100))]))


def limited(limit: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a shell with another limit of open files."""
    return subprocess.run(
        ["bash", "-c", f'ulimit {limit}; exec "$@"', "-", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "arguments", "says"),
    [
        (
            "-n 20",
            "run edits.csv --sandbox",
            "--workers 16 needs 64 open files, and 20 are allowed",
        ),
        ("-n 60", "run edits.csv --sandbox", "set --workers 14, or ulimit -n 64"),
        ("-n 64", "run edits.csv --sandbox --workers 17", "--workers 17 needs 66 open files"),
        ("-n 40", "sandbox --port 0", "40 open files are allowed, too few to serve clients"),
    ],
)
def test_too_few_open_files_are_refused_first(limit: str, arguments: str, says: str) -> None:
    """A command that can't open enough files says so in one line, and has done nothing yet."""
    done = limited(limit, *arguments.split())
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("edits.run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["-n 64", "-S -n 20"])
@pytest.mark.usefixtures("either_loop")
def test_run_takes_as_many_files_as_it_may(limit: str) -> None:
    """A run with just enough files sends every row, and raises a limit that it may raise."""
    done = limited(limit, "run", "edits.csv", "--sandbox", "--rate", "none", "-vv")
    assert done.returncode == 0, done.stderr
    assert summary_in()["counts"]["updated"] == 100
    assert "open files" not in done.stderr


#: A client that opens connections and keeps them.
_CROWD = """
import socket, sys, time
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(100)]
print("held", flush=True)
time.sleep(1.5)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
@pytest.mark.usefixtures("either_loop")
def test_crowded_sandbox_says_so_once_and_goes_on() -> None:
    """A sandbox that can accept no more says it in a line, and serves again when others leave."""
    with serving("--rate", "none", "--unknown-id", "create") as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        port = server.url.split(":")[2].removesuffix("/api")
        crowd = subprocess.run([sys.executable, "-c", _CROWD, port], timeout=60, check=False)
        assert crowd.returncode == 0
        done = bulkupdate("run", "edits.csv", "--rate", "none", **server.environment)
        assert done.returncode == 0, done.stderr
        server.process.terminate()
        said = server.process.stderr.read() if server.process.stderr else ""
    complaints = [line for line in said.splitlines() if "open files" in line]
    assert len(complaints) <= 1
    assert len(said.splitlines()) <= 3
