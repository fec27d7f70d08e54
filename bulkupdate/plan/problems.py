"""The problems of an input: each kind once with examples, and all of them as a file."""

import contextlib
import csv
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from bulkupdate.codec import writable
from bulkupdate.errors import ConfigError, InputError, Problem
from bulkupdate.models import Row
from bulkupdate.reader import not_a_formula

#: Number of kinds of problems to show to a person.
SHOWN_PROBLEMS = 20

#: Number of kinds to keep, and number of examples to keep of each.
_KINDS = 1000
_EXAMPLES = 5

_COLUMNS = ("row", "line", "id", "column", "field", "value", "problem")


class Example(msgspec.Struct, frozen=True):
    """A problem and its row."""

    row: int
    line: int
    id: str
    problem: Problem


class ProblemGroup(msgspec.Struct):
    """A kind of problem.

    Attributes:
        count: number of problems of this kind.
        examples: the first problems of this kind.
    """

    count: int
    examples: list[Example]


class Problems:
    """Collector of the problems of rows. It keeps a bounded number of them.

    Attributes:
        count: number of problems so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[tuple[str, str], ProblemGroup] = {}

    def add(self, row: Row) -> None:
        """Add the problems of an invalid row."""
        self.count += len(row.problems)
        for problem in row.problems:
            kind = problem.field, problem.message
            group = self._groups.get(kind)
            if group is None:
                if len(self._groups) == _KINDS:
                    continue
                group = self._groups[kind] = ProblemGroup(0, [])
            group.count += 1
            if len(group.examples) < _EXAMPLES:
                group.examples.append(Example(row.number, row.line, row.id, problem))

    @property
    def groups(self) -> list[ProblemGroup]:
        """All kinds of problems, in the order of their first row."""
        return list(self._groups.values())


class ProblemsFile:
    """A CSV file of every problem, which a spreadsheet opens. If it can't be whole, there is none.

    Args:
        path: the path of the file. An existing file is replaced.

    Raises:
        ConfigError: the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str]
        try:
            self._file = path.open("w", encoding="utf-8-sig", newline="")
        except OSError as error:
            raise ConfigError(f"{path} can't be written: {error.strerror}") from None
        self._writer = csv.writer(self._file)
        self._writer.writerow(_COLUMNS)

    def add(self, row: Row) -> None:
        """Write the problems of a row.

        Raises:
            ConfigError: the file can't be written.
        """
        try:
            for problem in row.problems:
                position = (str(row.number or ""), str(row.line or ""), row.id)
                text = problem.message + problem.hint
                cells = (*position, problem.named, problem.field, problem.value, text)
                self._writer.writerow([not_a_formula(writable(cell)) for cell in cells])
        except OSError as error:
            raise self._removed(error) from None

    def refuse(self, why: str) -> None:
        """Write why the input as a whole is refused.

        Raises:
            ConfigError: the file can't be written.
        """
        for line in why.splitlines():
            self.add(Row(0, 0, "", None, (Problem("", "", line),), ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, InputError):
            self._remove()
            return
        try:
            self._file.close()
        except OSError as failure:
            raise self._removed(failure) from error

    def _removed(self, error: OSError) -> ConfigError:
        """Remove the file, whose last lines are missing. Return the error to raise."""
        self._remove()
        return ConfigError(f"{self._path} can't be written: {error.strerror}")

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            # What could not be written is written again here, and fails again.
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
