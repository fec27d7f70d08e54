"""Trials of mutants: each in a copy of the project, against the tests that should notice it."""

import contextlib
import enum
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from tests.mutation.mutants import Mutant

ROOT = Path(__file__).parent.parent.parent

#: Seconds that one test, and one run of tests, may take. A mutant that hangs is killed.
TEST_LIMIT = 30
RUN_LIMIT = 240

#: Most memory of a run of tests, in bytes. A mutant may fill a list for ever.
MEMORY = 6 << 30

#: Tests of a whole run, which see most of what breaks. They are the slowest, so they come last.
_OF_RUNS = (("tests/session",), ("tests/cli",))

#: Package → tests that should notice a mutant of it, those of the package itself first. A suite
#: runs only if the suites before it have not noticed the mutant.
Suites = Mapping[str, tuple[tuple[str, ...], ...]]
SUITES: Suites = {
    "engine": (("tests/engine",), *_OF_RUNS),
    "journal": (("tests/journal",), *_OF_RUNS),
    "lemlist": (("tests/lemlist",), *_OF_RUNS),
    "plan": (("tests/plan",), *_OF_RUNS),
    "reader": (("tests/reader",), *_OF_RUNS),
    "session": _OF_RUNS,
    "": (
        ("tests/test_fields.py", "tests/test_models.py", "tests/test_stop.py"),
        *(("tests/reader",), ("tests/lemlist",), ("tests/engine",), *_OF_RUNS),
    ),
}

#: Exit codes of pytest: all tests passed, and no test was found. The others kill a mutant.
_PASSED, _NO_TESTS = 0, 5


class Outcome(enum.StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    """A test failed."""

    HUNG = "hung"
    """The tests did not end in time."""

    SURVIVED = "survived"
    """All tests passed."""


class Copy:
    """A copy of a project, in which one module at a time is broken.

    Args:
        root: the project.
        path: the path of the copy.
        suites: the tests of each package, those of the package itself first.
    """

    def __init__(self, root: Path, path: Path, suites: Suites) -> None:
        self._path = path
        self._suites = suites
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "site")
        shutil.copytree(root, path, ignore=ignored, symlinks=True)
        # Commands that tests start find the copy too, before the project itself.
        on_the_path = path / "tests" / "without_uvloop"
        on_the_path.mkdir(exist_ok=True)
        (on_the_path / "bulkupdate").symlink_to(path / "bulkupdate")

    def try_mutant(self, mutant: Mutant) -> Outcome:
        """Run the tests of a mutant until one fails."""
        package, _, name = mutant.module.rpartition("/")
        own = Path("tests", package, f"test_{name}.py")
        # The tests of the module itself go first. pytest runs a file once.
        first = (str(own),) if (self._path / own).exists() else ()
        with self._broken(mutant):
            for suite in self._suites[package]:
                if (outcome := self.run((*first, *suite))) is not Outcome.SURVIVED:
                    return outcome
                first = ()
        return Outcome.SURVIVED

    def run(self, suite: tuple[str, ...]) -> Outcome:
        """Run tests until one fails.

        Raises:
            RuntimeError: there are no such tests.
        """
        options = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow")
        limits = ("-o", f"timeout={TEST_LIMIT}")
        running = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *limits, *suite],
            cwd=self._path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if "LEMLIST" not in name},
            process_group=0,
            preexec_fn=_limit_memory,
        )
        try:
            code = running.wait(RUN_LIMIT)
        except subprocess.TimeoutExpired:
            return Outcome.HUNG
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        if code == _NO_TESTS:
            raise RuntimeError(f"there are no tests in {', '.join(suite)}")
        return Outcome.SURVIVED if code == _PASSED else Outcome.KILLED

    @contextmanager
    def _broken(self, mutant: Mutant) -> Iterator[None]:
        path = self._path / "bulkupdate" / f"{mutant.module}.py"
        whole = path.read_text()
        path.write_text(mutant.code(whole))
        try:
            yield
        finally:
            path.write_text(whole)


def tried(
    sample: Sequence[Mutant], jobs: int, root: Path = ROOT, suites: Suites = SUITES
) -> Iterator[tuple[Mutant, Outcome]]:
    """Try mutants, several at once, and yield each when its outcome is known.

    Args:
        sample: the mutants.
        jobs: the number of mutants to try at once.
        root: the project.
        suites: the tests of each package, those of the package itself first.

    Raises:
        RuntimeError: a test fails without any mutant.
    """
    with tempfile.TemporaryDirectory(prefix="mutation-") as place, ThreadPoolExecutor(jobs) as pool:
        copies: queue.Queue[Copy] = queue.Queue()
        for number in range(jobs):
            copies.put(Copy(root, Path(place) / str(number), suites))

        def try_one(mutant: Mutant) -> Outcome:
            with _taken(copies) as copy:
                return copy.try_mutant(mutant)

        def run(suite: tuple[str, ...]) -> Outcome:
            with _taken(copies) as copy:
                return copy.run(suite)

        packages = {mutant.module.rpartition("/")[0] for mutant in sample}
        wanted = sorted({suite for package in packages for suite in suites[package]})
        for suite, outcome in zip(wanted, pool.map(run, wanted), strict=True):
            if outcome is not Outcome.SURVIVED:
                raise RuntimeError(f"fails without any mutant: {' '.join(suite)}")
        trials = {pool.submit(try_one, mutant): mutant for mutant in sample}
        for trial in as_completed(trials):
            yield trials[trial], trial.result()


@contextmanager
def _taken(copies: "queue.Queue[Copy]") -> Iterator[Copy]:
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
