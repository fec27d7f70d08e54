"""Measurement of commands: time, CPU and memory from the kernel."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

Command = Sequence[str | Path]

#: The command in asyncio's own event loop, as most users run it, although uvloop is installed.
PLAIN = (
    "-c",
    "import sys; sys.modules['uvloop'] = None; import bulkupdate.__main__ as m; m.main()",
)

#: Rows of a run that takes little more than its start. Its cost is subtracted from larger runs.
FEW = 100


class MeasureError(Exception):
    """A command failed, so there is no measurement."""


class Usage(NamedTuple):
    """The resources of a process, from its start to its end.

    Attributes:
        wall: elapsed seconds.
        cpu: CPU seconds, user and system.
        peak: highest resident memory in bytes. The kernel includes the memory of the parent at the
            start, so the parent is kept small.
    """

    wall: float
    cpu: float
    peak: int


def measure(command: Command, variables: Mapping[str, str] | None = None) -> Usage:
    """Run a Python command to its end.

    Raises:
        MeasureError: the command failed. The message has its stderr.
    """
    began = time.perf_counter()
    process = start(command, variables)
    try:
        stderr = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        shown = " ".join(map(str, command))
        raise MeasureError(f"{shown}: exit code {process.returncode}\n{stderr.decode().strip()}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Usage(wall, usage.ru_utime + usage.ru_stime, peak)


def start(
    command: Command, variables: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start `python` with these arguments, in the project's directory.

    Compiled modules are cached, as for an installed program.
    """
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@contextmanager
def serving(module: str = "benchmarks.server", *options: str) -> Iterator[str]:
    """The base URL of a server for benchmarks, until the block ends.

    Args:
        module: its module.
        options: its options.

    Raises:
        MeasureError: the server does not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        base_url = process.stdout.readline().strip() if process.stdout else ""
        if not base_url:
            raise MeasureError("the server did not start: pip install -e '.[bench]'")
        yield base_url
    finally:
        process.kill()
        process.communicate()


def alternate(
    commands: Mapping[str, Callable[[], Usage]], rounds: int, say: Callable[[str], None]
) -> dict[str, list[Usage]]:
    """Measure commands in turn for some rounds, so that a disturbance affects all of them."""
    found: dict[str, list[Usage]] = {name: [] for name in commands}
    for number in range(1, rounds + 1):
        for name, run in commands.items():
            say(f"{name}, {number} of {rounds}")
            found[name].append(run())
    return found


def ratio(some: Sequence[Usage], others: Sequence[Usage], value: Callable[[Usage], float]) -> float:
    """The ratio of a value to that of the others: the median over the rounds."""
    return statistics.median(
        value(one) / value(other) for one, other in zip(some, others, strict=True)
    )
