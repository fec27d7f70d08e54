"""All checks of the project, or the fast ones: `python -m tests`, `python -m tests --fast`."""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.variables import unwanted

ROOT = Path(__file__).parent.parent

#: Directory of the programs in this Python's environment.
BIN = Path(sys.executable).parent

#: Bytes that the files of tests may need.
ROOM = 4 << 30

STATIC = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("lint-imports", "--no-logo"),
)
#: It takes a minute, so it runs beside the tests, which leave a core idle now and then.
TYPES = ("mypy",)
#: Tests wait for other programs now and then, so there is one process more than cores for the fast
#: ones, and two more for all.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WHOLE = ("pytest", "-q", "-n", str(CORES + 2), "--dist", "worksteal")
FAST = ("pytest", "-q", "-n", str(CORES + 1), "--dist", "worksteal", "-m", "not slow")

#: Python tells coverage of a line once only (PEP 669), which costs next to nothing. Before 3.12,
#: coverage is told of each line each time, which costs minutes: there, none is measured.
CAN_MEASURE = sys.version_info >= (3, 12)
MEASURING = {"COVERAGE_CORE": "sysmon"} if CAN_MEASURE else {}


def main() -> int:
    """Run checks, the first that fails last."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--fast", action="store_true", help="leave out what takes long")
    kind.add_argument("--only-tests", action="store_true", help="likewise, and no linters")
    parser.add_argument(
        "--covered", type=int, metavar="PERCENT", help="lines that the tests given must run"
    )
    given = parser.parse_args()
    with temporary_files() as directory:
        wanted = {name: value for name, value in os.environ.items() if not unwanted(name)}
        return run_checks({**wanted, **MEASURING, "TMPDIR": directory}, given)


@contextlib.contextmanager
def temporary_files() -> Iterator[str]:
    """A directory for the files of tests: in memory if there is room, since a run syncs its files.

    A disk takes milliseconds for that, and another program may keep it busy.
    """
    memory = Path("/dev/shm")  # noqa: S108 - the directory in it is new
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(dir=memory if has_room else None) as directory:
        yield directory


def run_checks(environment: dict[str, str], given: argparse.Namespace) -> int:
    """Run the checks that are given. Returns the exit code of the first that fails, or 0."""
    # Other versions of Python are given the same code, so it is linted once.
    if given.only_tests:
        return tested(environment, given)
    if failed := outcome(*((one, start(one, environment, subprocess.PIPE)) for one in STATIC)):
        return failed
    types = start(TYPES, environment, subprocess.PIPE)
    try:
        failed = tested(environment, given)
        return outcome((TYPES, types)) or failed
    finally:
        types.kill()


def tested(environment: dict[str, str], given: argparse.Namespace) -> int:
    """Run the tests. Returns the exit code of the first step that fails, or 0."""
    is_fast = given.fast or given.only_tests
    for check in steps(FAST if is_fast else WHOLE, given.covered, measures=not is_fast):
        print("$", *check, flush=True)
        if "pytest" in check:
            # Some programs take only so many characters of a path.
            check = (*check, f"--basetemp={environment['TMPDIR']}/t")
        if failed := start(check, environment).wait():
            return failed
    return 0


def steps(
    tests: tuple[str, ...], covered: int | None, *, measures: bool
) -> Iterator[tuple[str, ...]]:
    """The tests, and the coverage of lines where it is wanted and cheap.

    Args:
        tests: the program that runs the tests.
        covered: the lines that must be run, in percent; None for as many as all tests have to run.
        measures: whether the coverage is measured without a number too.
    """
    if not CAN_MEASURE or (covered is None and not measures):
        yield tests
        return
    yield "coverage", "erase"
    yield "coverage", "run", "-m", *tests
    yield "coverage", "combine", "-q"
    yield "coverage", "report", *([] if covered is None else [f"--fail-under={covered}"])


def outcome(*checks: "tuple[tuple[str, ...], subprocess.Popen[str]]") -> int:
    """Print what programs say. Returns the exit code of the first that fails, or 0."""
    for check, process in checks:
        said, _ = process.communicate()
        print("$", *check)
        print(said, end="", flush=True)
    return next((process.returncode for _, process in checks if process.returncode), 0)


def start(
    check: tuple[str, ...], environment: dict[str, str], stdout: int | None = None
) -> "subprocess.Popen[str]":
    """Start a program of this Python's environment."""
    name, *arguments = check
    return subprocess.Popen(
        [str(BIN / name), *arguments], cwd=ROOT, env=environment, stdout=stdout, text=True
    )


sys.exit(main())
