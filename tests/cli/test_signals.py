"""Tests of signals that come at the very beginning, or twice at once."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bulkupdate.cli.signals import Arrivals
from tests.support.commands import COMMAND, bulkupdate, environment, serving, summary_in

#: A `sitecustomize` that sends a signal to the program at the moment when it imports a module.
_SENDS = """
import os, signal, sys

class Sends:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), int(os.environ["NUMBER"]))

sys.meta_path.insert(0, Sends())
"""


@pytest.fixture(autouse=True)
def _edits() -> None:
    Path("edits.csv").write_text("".join(["id,done\n", *(f"opp_{n},yes\n" for n in range(200))]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("--help", "click"),
        ("run edits.csv --sandbox", "cloup"),
        ("run edits.csv --sandbox", "bulkupdate.session.settings"),
        ("run edits.csv --sandbox", "bulkupdate.session.run"),
        ("run edits.csv --sandbox", "aiohttp"),
        ("check edits.csv", "bulkupdate.plan"),
        ("sandbox --port 0", "aiohttp"),
        ("report edits.run", "matplotlib"),
    ],
)
def test_signal_during_imports_ends_quietly(
    command: str, module: str, number: signal.Signals, code: int
) -> None:
    """A signal during the first tenths of a second ends a command quietly, with its exit code."""
    Path("sitecustomize.py").write_text(_SENDS)
    done = bulkupdate(*command.split(), PYTHONPATH=".", AT=module, NUMBER=str(int(number)))
    assert done.returncode == code, done.stderr
    assert done.stderr in ("", "error: interrupted\n")
    assert not Path("edits.run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("either_loop")
def test_signal_sent_twice_at_once_counts_once() -> None:
    """A signal to the program and then its group, as by `timeout`, lets requests in flight end."""
    with serving("--rate", "none", "--unknown-id", "create", "--latency", "200") as server:
        process = subprocess.Popen(
            [*COMMAND, "run", "edits.csv", "--rate", "none"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**server.environment),
            start_new_session=True,
        )
        log = Path("edits.run/results.jsonl")
        while not log.exists() or not log.stat().st_size:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.02)  # until it has been received: two that wait are one for the kernel
        os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "ended at once" not in said
    assert said.count("stopping: requests in flight may end") == 1
    counts = summary_in()["counts"]
    assert counts["updated"] == summary_in()["requests"]


def test_repeat_of_a_signal_is_not_counted() -> None:
    """A signal within 0.2 s of the first is a repeat, of any kind; later ones count."""
    now = 100.0
    arrivals = Arrivals(lambda: now)
    assert [arrivals.count(signal.SIGTERM) for _ in range(3)] == [1, 0, 0]
    now = 100.3
    assert [arrivals.count(signal.SIGTERM) for _ in range(2)] == [2, 3]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs /proc")
def test_run_leaves_no_core_dump() -> None:
    """A run that holds a key has switched core dumps off, which would hold the key too."""
    with serving("--rate", "none", "--unknown-id", "create", "--latency", "200") as server:
        # The limits of this shell are those that the command begins with.
        process = subprocess.Popen(
            ["bash", "-c", 'ulimit -S -c unlimited; exec "$@"', "-", *COMMAND, "run", "edits.csv"],
            stderr=subprocess.DEVNULL,
            env=environment(**server.environment),
        )
        while not Path("edits.run/results.jsonl").exists():
            time.sleep(0.01)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.terminate()
        process.wait(20)
    [core] = [line.split()[4:6] for line in limits.splitlines() if "core file" in line]
    assert core == ["0", "0"]
