"""What is wrong with the rows of an input: each kind once, and all of it as a file."""

import csv
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from bulkupdate.codec import writable
from bulkupdate.errors import ConfigError, Problem
from bulkupdate.models import Row
from bulkupdate.reader import not_a_formula

#: Kinds of problems that are shown to a person.
SHOWN_PROBLEMS = 20

#: Kinds that are told apart, and examples that are kept of each.
_KINDS = 1000
_EXAMPLES = 5

_COLUMNS = ("row", "line", "id", "column", "field", "value", "problem")


class Example(msgspec.Struct, frozen=True):
    """A problem, and the row that has it."""

    row: int
    line: int
    id: str
    problem: Problem


class ProblemGroup(msgspec.Struct):
    """A kind of problem.

    Attributes:
        count: how many there are of it.
        examples: the first of them.
    """

    count: int
    examples: list[Example]


class Problems:
    """Takes in what is wrong with rows, and keeps a bounded part of it.

    Attributes:
        count: of the problems so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[tuple[str, str], ProblemGroup] = {}

    def add(self, row: Row) -> None:
        """Take in an invalid row."""
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
        """Each kind, in the order in which they were met first."""
        return list(self._groups.values())


class ProblemsFile:
    """A CSV file of every problem, which a spreadsheet opens.

    Args:
        path: where; what is there is replaced.

    Raises:
        ConfigError: it can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str]
        try:
            self._file = path.open("w", encoding="utf-8-sig", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow(_COLUMNS)
        except OSError as error:
            raise ConfigError(f"{path} can't be written: {error.strerror}") from None

    def add(self, row: Row) -> None:
        """Write down what is wrong with a row.

        Raises:
            ConfigError: it can't be written.
        """
        try:
            for problem in row.problems:
                place = (str(row.number or ""), str(row.line or ""), row.id)
                text = problem.message + problem.hint
                cells = (*place, problem.named, problem.field, problem.value, text)
                self._writer.writerow([not_a_formula(writable(cell)) for cell in cells])
        except OSError as error:
            raise ConfigError(f"{self._path} can't be written: {error.strerror}") from None

    def refuse(self, why: str) -> None:
        """Write down why the file as a whole is refused: what an earlier check wrote is gone.

        Raises:
            ConfigError: it can't be written.
        """
        for line in why.splitlines():
            self.add(Row(0, 0, "", None, (Problem("", "", line),), ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as failure:
            raise ConfigError(f"{self._path} can't be written: {failure.strerror}") from error
