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
from importlib.util import cache_from_source
from pathlib import Path, PurePath
from typing import Self

from coverage import CoverageData

from tests.mutation.mutants import Mutant
from tests.support.variables import unwanted

ROOT = Path(__file__).parent.parent.parent

#: Seconds that one test, and one run of tests, may take. A mutant that hangs is killed.
TEST_LIMIT = 30
RUN_LIMIT = 300

#: Most memory of a run of tests, in bytes. A mutant may fill a list for ever.
MEMORY = 6 << 30

#: Tests that should notice mutants. Tests of the command line see most, and come last.
TESTS = (
    *("tests/test_fields.py", "tests/test_models.py", "tests/test_stop.py", "tests/test_toml.py"),
    *("tests/reader", "tests/lemlist", "tests/plan", "tests/engine", "tests/journal"),
    *("tests/session", "tests/cli"),
)

#: Tests that start commands. Which lines these reach is not known, so they try every mutant that
#: the other tests let live.
COMMANDS = ("tests/cli", "tests/lemlist/test_hostile.py")

_OPTIONS = ("-q", "-p", "no:cacheprovider", "-m", "not slow", "-o", f"timeout={TEST_LIMIT}")

#: Exit code of pytest if all tests passed. The others kill a mutant.
_PASSED = 0


class Outcome(enum.StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    """A test failed."""

    HUNG = "hung"
    """The tests did not end in time."""

    SURVIVED = "survived"
    """All tests passed."""


class Reach:
    """The tests that reach each line of a project, but for commands that they start.

    Args:
        contexts: module → number of a line → names of tests.
        tests: all tests.
    """

    def __init__(
        self, contexts: Mapping[str, Mapping[int, Sequence[str]]], tests: Sequence[str]
    ) -> None:
        self._contexts = contexts
        self._tests = tests

    @classmethod
    def read(cls, data: CoverageData, tests: Sequence[str]) -> Self:
        """The reach that coverage has measured."""
        contexts: dict[str, dict[int, list[str]]] = {}
        for file in data.measured_files():
            module = str(PurePath(file.rpartition("/bulkupdate/")[2]).with_suffix(""))
            contexts[module] = data.contexts_by_lineno(file)
        return cls(contexts, tests)

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests of a mutant: those of its module first, then those of its package."""
        lines = self._contexts.get(mutant.module, {})
        # A statement of several lines counts as reached where it begins.
        number = max((line for line in lines if line <= mutant.number), default=0)
        # The same function with other parameters is the same test here.
        reached = {context.partition("|")[0].partition("[")[0] for context in lines.get(number, ())}
        # A line that is reached when the module is imported belongs to no test, but to all.
        reached = (reached - {""}) or set(self._tests)
        package, _, name = mutant.module.rpartition("/")
        own, folder = str(PurePath("tests", package, f"test_{name}.py")), f"tests/{package}"

        def order(test: str) -> tuple[bool, bool, int, str]:
            at = next((at for at, one in enumerate(self._tests) if test.startswith(one)), 0)
            return not test.startswith(own), not (package and test.startswith(folder)), at, test

        return sorted(reached, key=order)


class Copy:
    """A copy of a project, in which one module at a time is broken.

    Args:
        root: the project.
        path: the path of the copy.
    """

    def __init__(self, root: Path, path: Path) -> None:
        self._path = path
        self._output = path / "output"
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "site")
        shutil.copytree(root, path, ignore=ignored, symlinks=True)
        # Commands that tests start find the copy too, before the project itself.
        on_the_path = path / "tests" / "without_uvloop"
        on_the_path.mkdir(exist_ok=True)
        (on_the_path / "bulkupdate").symlink_to(path / "bulkupdate")

    def reach(self, tests: Sequence[str], jobs: int) -> Reach:
        """Run tests without any mutant, and measure which lines each of them reaches.

        Raises:
            RuntimeError: a test fails.
        """
        settings = self._path / "reach.ini"
        settings.write_text("[run]\nsource = bulkupdate\n")
        cov = ("--cov", "--cov-report=", "--cov-context=test", f"--cov-config={settings}")
        workers = str(jobs if jobs > 1 else 0)
        if self.run(["-n", workers, *cov, *tests], 10 * RUN_LIMIT) is not Outcome.SURVIVED:
            end = "".join(self._output.read_text(errors="replace").splitlines(keepends=True)[-20:])
            raise RuntimeError(f"a test fails without any mutant:\n{end}")
        data = CoverageData(str(self._path / ".coverage"))
        data.read()
        return Reach.read(data, tests)

    def try_mutant(self, mutant: Mutant, reach: Reach, commands: Sequence[str]) -> Outcome:
        """Run the tests of a mutant until one fails."""
        with self._broken(mutant):
            for tests in (reach.tests(mutant), commands):
                if tests and (outcome := self.run(["-x", *tests])) is not Outcome.SURVIVED:
                    return outcome
        return Outcome.SURVIVED

    def run(self, arguments: Sequence[str], limit: float = RUN_LIMIT) -> Outcome:
        """Run pytest with some arguments, for at most `limit` seconds."""
        listed = self._path / "arguments"
        listed.write_text("\n".join(arguments))
        with self._output.open("w") as output:
            running = subprocess.Popen(
                [sys.executable, "-m", "pytest", *_OPTIONS, f"@{listed}"],
                cwd=self._path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if not unwanted(name)},
                process_group=0,
                preexec_fn=_limit_memory,
            )
        try:
            code = running.wait(limit)
        except subprocess.TimeoutExpired:
            return Outcome.HUNG
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        return Outcome.SURVIVED if code == _PASSED else Outcome.KILLED

    @contextmanager
    def _broken(self, mutant: Mutant) -> Iterator[None]:
        path = self._path / "bulkupdate" / f"{mutant.module}.py"
        whole = path.read_text()
        # Python tells bytecode that is old by the second, and by the size.
        compiled = Path(cache_from_source(str(path)))
        path.write_text(mutant.code(whole))
        compiled.unlink(missing_ok=True)
        try:
            yield
        finally:
            path.write_text(whole)
            compiled.unlink(missing_ok=True)


def tried(
    sample: Sequence[Mutant],
    jobs: int,
    root: Path = ROOT,
    tests: Sequence[str] = TESTS,
    commands: Sequence[str] = COMMANDS,
) -> Iterator[tuple[Mutant, Outcome]]:
    """Try mutants, several at once, and yield each when its outcome is known.

    Args:
        sample: the mutants.
        jobs: the number of mutants to try at once.
        root: the project.
        tests: the tests that may notice a mutant.
        commands: those of them that start commands.

    Raises:
        RuntimeError: a test fails without any mutant.
    """
    with tempfile.TemporaryDirectory(prefix="mutation-") as place, ThreadPoolExecutor(jobs) as pool:
        copies: queue.Queue[Copy] = queue.Queue()
        for number in range(jobs):
            copies.put(Copy(root, Path(place) / str(number)))
        with _taken(copies) as copy:
            reach = copy.reach(tests, jobs)

        def try_one(mutant: Mutant) -> Outcome:
            with _taken(copies) as copy:
                return copy.try_mutant(mutant, reach, commands)

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
