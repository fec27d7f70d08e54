"""The runs in a folder: how each of them ended.

::

    folder ──▶ directories ──▶ summary.json ──▶ PastRun: when it began, how it ended, its counts
                          └──▶ Unread: a directory that holds no run, or a damaged one
"""

import enum
import os
import stat
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bulkupdate.errors import JournalError, RunDirectoryError, RunInUseError
from bulkupdate.journal.directory import at_rest
from bulkupdate.journal.exitcodes import ExitCode
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.results import read_lines
from bulkupdate.journal.runfiles import RunFiles, is_known, is_scrap
from bulkupdate.journal.summary import Summary, read_summary
from bulkupdate.models import Mark, Outcome, State

#: The largest summary that is read, in bytes: many times what a run writes.
_LARGEST = 16 << 20


class End(enum.StrEnum):
    """How a run ended, from the best to the worst."""

    NOTHING_TO_DO = "nothing_to_do"
    """No task had to be changed: a success."""

    DONE = "done"
    """Every row is updated or unchanged."""

    IN_USE = "in_use"
    """A run is under way."""

    ROWS_LEFT = "rows_left"
    """It ended as it was asked to, and rows are left, as after `first`."""

    UNSUCCESSFUL = "unsuccessful"
    """It finished, and at least one row did not go through."""

    REFUSED = "refused"
    """The input was refused: nothing was sent."""

    KILLED = "killed"
    """It was killed, or its machine went down. Rows may be left."""

    STOPPED = "stopped"
    """It stopped early, and rows are left."""

    @property
    def is_success(self) -> bool:
        """Whether nothing is left to do."""
        return self in (End.NOTHING_TO_DO, End.DONE)

    @property
    def badness(self) -> int:
        """The place in the order from the best to the worst, from 0."""
        return [*End].index(self)


class PastRun(NamedTuple):
    """A run in a folder.

    Attributes:
        path: its run directory.
        began: when it began, or the moment that it was told to take for that time.
        end: how it ended.
        counts: number of rows by outcome, and `unprocessed`.
        rules: number of rows by rule and outcome.
        summary: the rest. The counts in it are those of the end of a session.
    """

    path: Path
    began: datetime
    end: End
    counts: dict[str, int]
    rules: dict[str, dict[str, int]]
    summary: Summary


class Unread(NamedTuple):
    """A directory that can't be read as a run.

    Attributes:
        path: the directory.
        why: what is wrong with it.
        is_foreign: whether nothing in it is of a run.
    """

    path: Path
    why: str
    is_foreign: bool = False


def past_runs(
    folders: str | Path | Iterable[str | Path],
) -> Iterator[PastRun | Unread]:
    """The runs in some folders, one at a time, each folder in the order of its names.

    Args:
        folders: folders that hold run directories, or run directories. The directories in a folder
            whose names begin with a dot are left out. A directory is read once.

    Yields:
        Each run, and each directory that holds no run or a damaged one.

    Raises:
        RunDirectoryError: a path is no directory, or can't be read.
    """
    seen = set[tuple[int, int]]()
    for path in map(Path, [folders] if isinstance(folders, str | Path) else folders):
        for directory in _directories(path):
            try:
                status = directory.stat()
            except FileNotFoundError:
                continue  # It was removed meanwhile.
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield read_past(directory)


def read_past(directory: Path) -> PastRun | Unread:
    """The run in a directory, or why it can't be read."""
    try:
        if not _holds_run(directory):
            return _without_summary(directory)
        _check_summary(RunFiles(directory).summary)
        return _past(directory, read_summary(directory))
    except (RunDirectoryError, JournalError) as error:
        # The path stands beside it.
        why = str(error).removeprefix(f"{directory}").lstrip(":/ ")
        return Unread(directory, why)
    except (OSError, ValueError) as error:
        return Unread(directory, f"can't be read: {getattr(error, 'strerror', None) or error}")


def holds_run(path: Path) -> bool:
    """Whether a path is a run directory, and no folder of run directories.

    A folder may hold a `summary.json` too: the output of `run --json`.
    """
    files = RunFiles(path)
    others = (files.results, files.check, files.digests)
    return _holds_run(path) and any(one.exists() for one in others)


def end_of(summary: Summary, counts: dict[str, int], *, is_in_use: bool) -> End:
    """How a run ended.

    Args:
        summary: its summary.
        counts: number of its rows by outcome.
        is_in_use: whether a process uses its directory.
    """
    if summary.state is State.RUNNING:
        return End.IN_USE if is_in_use else End.KILLED
    if summary.exit_code == ExitCode.REFUSED:
        return End.REFUSED
    if summary.exit_code == ExitCode.UNSUCCESSFUL:
        return End.UNSUCCESSFUL
    if summary.exit_code != ExitCode.DONE:
        return End.STOPPED
    if counts["unprocessed"]:
        return End.ROWS_LEFT
    return End.DONE if counts[Outcome.UPDATED] else End.NOTHING_TO_DO


def _directories(path: Path) -> Iterator[Path]:
    """The path itself if it is a run directory; else the directories in it."""
    try:
        if holds_run(path):
            yield path
            return
        children = sorted(path.iterdir())
        directories = [one for one in children if one.is_dir() and one.name[0] != "."]
    except NotADirectoryError:
        raise RunDirectoryError(f"{path} is a file: name a folder of run directories") from None
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be read: {error.strerror}") from error
    yield from directories


def _holds_run(directory: Path) -> bool:
    return os.path.lexists(RunFiles(directory).summary)


def _without_summary(directory: Path) -> Unread:
    """What is wrong with a directory that has no summary."""
    names = os.listdir(directory)  # noqa: PTH208 - names, not paths
    if not any(map(is_known, names)):
        return Unread(directory, "holds no run", is_foreign=True)
    if _is_in_use(directory):
        return Unread(directory, "a run is being prepared in it")
    if all(map(is_scrap, names)):
        return Unread(directory, "holds a run that was killed before it began", is_foreign=True)
    return Unread(directory, "has files of a run, and no summary.json")


def _check_summary(path: Path) -> None:
    """Check that reading a summary can neither wait for ever nor fill the memory.

    Raises:
        RunDirectoryError: it is no file, or too large.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise RunDirectoryError(f"{path} is no regular file")
    if status.st_size > _LARGEST:
        raise RunDirectoryError(f"{path} is too large for a summary")


def _past(directory: Path, summary: Summary) -> PastRun:
    counts, rules, is_in_use = summary.counts, summary.rules, False
    if summary.state is State.RUNNING:
        # What is in the summary was written when the session began.
        is_in_use = _is_in_use(directory)
        ledger = _ledger(RunFiles(directory).results)
        counts, rules = ledger.counts(summary.input.rows), ledger.rules()
    began = datetime.fromisoformat(summary.input.now or summary.started)
    if began.tzinfo is None:
        raise RunDirectoryError(f"{directory}/summary.json: its times have no offset from UTC")
    end = end_of(summary, counts, is_in_use=is_in_use)
    return PastRun(directory, began, end, counts, rules, summary)


def _ledger(results: Path) -> Ledger:
    ledger = Ledger()
    if results.exists():
        for marks in read_lines(results, Mark, whole_lines=True):
            ledger.record(*marks)
    return ledger


def _is_in_use(directory: Path) -> bool:
    try:
        # A run that starts at this very moment would find the directory in use: only where a
        # session may be under way is this asked.
        with at_rest(directory):
            return False
    except RunInUseError:
        return True
