"""`undo`: a file of edits that takes runs back, made from their directories alone."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bulkupdate.errors import ConfigError, RunDirectoryError, setting
from bulkupdate.journal import (
    Ledger,
    RunFiles,
    Summary,
    at_rest,
    published,
    read_images,
    read_lines,
    read_summary,
)
from bulkupdate.reader import Edit, EditsFile, Format, LeftOut, format_to_write
from bulkupdate.session.editsfile import write_edits
from bulkupdate.session.overwritten import FIELDS, LoggedWrite, Obstacle, Overwritten, take_back
from bulkupdate.session.resume import server_of

_ONE_BY_ONE = "Take them back one by one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What a file takes back, and what it can't.

    Attributes:
        tasks: number of tasks in the file.
        counts: number of tasks by field.
        left_out: the fields that can't be taken back, by reason.
        changed: the fields that another hand changed between two writes of the runs. They go back
            to that change, and no further.
        only_jsonl: the values for which tasks were left out, and that a JSONL file holds.
        unwritable: the values for which tasks were left out, and that no file of edits holds.
        rows_left: the rows that an unfinished run still has, by its directory.
    """

    tasks: int
    counts: dict[str, int]
    left_out: dict[Obstacle, LeftOut]
    changed: LeftOut
    only_jsonl: LeftOut
    unwritable: LeftOut
    rows_left: dict[str, int]


def undo_run(
    directories: str | Path | Iterable[str | Path], path: str | Path, *, overwrite: bool = False
) -> Undone:
    """Write a file of edits that takes runs back.

    It sends nothing, and needs no key. `run` with `compare` sends the file: each row expects what
    the runs have left, so that a task that was changed since stays as it is.

    Args:
        directories: the directories of the runs, which were made with `compare`.
        path: the file: .csv, .jsonl or .xlsx.
        overwrite: whether to replace a file that exists.

    Raises:
        ConfigError: the file exists, can't be written, or has another suffix.
        RunDirectoryError: a directory holds no run, or one that can't be taken back; or the runs
            are of different servers or teams.
        RunInUseError: one of the runs is in progress.
        JournalError: a file of a run can't be read, or the new file can't be written.
    """
    names = [directories] if isinstance(directories, str | Path) else directories
    path, format_ = Path(path), format_to_write(Path(path))
    with published(path, overwrite=overwrite) as part:
        return undo_to(map(Path, names), part, format_)


def undo_to(
    directories: Iterable[Path], part: Path, format_: Format, *, has_mark: bool = True
) -> Undone:
    """Write the edits to a file that nobody else uses yet; see `undo_run`.

    Args:
        directories: the directories of the runs.
        part: the file.
        format_: CSV, JSONL or XLSX.
        has_mark: whether a CSV file begins with a byte order mark.
    """
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(at_rest(path)) for path in _different(directories)]
        runs = [_Run(files, read_summary(files.path)) for files in found]
        _check(runs)
        overwritten = stack.enter_context(contextlib.closing(Overwritten()))
        rows_left = {}
        for number, run in enumerate(runs):
            overwritten.add_images(number, read_images(run.files.images))
            if left := _add_results(overwritten, number, run):
                rows_left[str(run.files.path)] = left
        names, left_out, changed = _take_back(overwritten)
        file = EditsFile(format_, names, expected=names, is_whole=True, has_mark=has_mark)
        write_edits(file, part, overwritten.edits())
    return Undone(
        tasks=file.rows,
        counts={name: file.counts[name] for name in names if file.counts[name]},
        left_out=left_out,
        changed=changed,
        only_jsonl=file.left_out,
        unwritable=file.unwritable,
        rows_left=rows_left,
    )


class _Run(NamedTuple):
    files: RunFiles
    summary: Summary


def _different(directories: Iterable[Path]) -> Iterable[Path]:
    found = {path.resolve(): path for path in directories}
    if not found:
        raise ConfigError("name the directories of the runs to take back")
    return found.values()


def _check(runs: list[_Run]) -> None:
    """Check that runs can be taken back, and together.

    Raises:
        RunDirectoryError: they can't.
    """
    for files, summary in runs:
        if summary.sandbox:
            raise RunDirectoryError(
                f"{files.path}: its sandbox ended with the run: there is nothing to take back"
            )
        if not summary.compared and not files.images.exists():
            raise RunDirectoryError(
                f"{files.path}: the run was made without {setting('compare')}, so that it is not"
                " known what it has overwritten: it can't be taken back"
            )
    _check_same("server", [(run, server_of(run.summary.base_url)) for run in runs])
    _check_same("team", [(run, run.summary.team) for run in runs])


def _check_same(what: str, found: list[tuple[_Run, str | None]]) -> None:
    """Check that runs are of one server, or of one team as far as it is known."""
    first = {name: run.files.path for run, name in reversed(found) if name is not None}
    if len(first) > 1:
        named = ", ".join(f"{path} ({name})" for name, path in reversed(first.items()))
        raise RunDirectoryError(f"the runs are of more than one {what}: {named}. {_ONE_BY_ONE}")


def _add_results(overwritten: Overwritten, number: int, run: _Run) -> int:
    """Add what the logs of a run hold. Return the number of rows that the run still has."""
    ledger = Ledger()
    for log in run.files.logs():
        # A session that was killed may have left an incomplete last line.
        for results in read_lines(log, LoggedWrite, whole_lines=True):
            overwritten.add_results(number, results)
            if log == run.files.results:
                ledger.record(*results)
    return run.summary.input.rows - ledger.settled + ledger.unsettled


def _take_back(
    overwritten: Overwritten,
) -> tuple[tuple[str, ...], dict[Obstacle, LeftOut], LeftOut]:
    """Store the edit of each task. Return the fields, what is left out, and what was changed."""
    used: set[str] = set()
    left_out: defaultdict[Obstacle, LeftOut] = defaultdict(LeftOut)
    changed = LeftOut()
    for task_id, events in overwritten.tasks():
        found = take_back(events)
        for name, obstacle in found.left_out.items():
            left_out[obstacle].add(task_id, name)
        for name in found.changed:
            changed.add(task_id, name)
        if found.values:
            used.update(found.values)
            overwritten.keep(Edit(task_id, found.values, expect=found.expect))
    names = tuple(name for name in FIELDS if name in used)
    return names, {one: left_out[one] for one in Obstacle if one in left_out}, changed
