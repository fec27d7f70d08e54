"""Remove old runs: those that ended well, and of which nothing is left to do."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bulkupdate.errors import ConfigError, RunDirectoryError, RunInUseError, setting
from bulkupdate.journal.directory import alone_in
from bulkupdate.journal.files import sha256
from bulkupdate.journal.past import End, PastRun, past_runs, read_past
from bulkupdate.journal.runfiles import RunFiles, is_edited_failed, is_known
from bulkupdate.reader import Format

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}

#: Why a run is kept, by its end.
_KEPT = {
    End.IN_USE: "is in use",
    End.ROWS_LEFT: "has rows left",
    End.UNSUCCESSFUL: "has rows that did not go through",
    End.REFUSED: "has rows left: its input was refused",
    End.KILLED: "was killed: rows may be left",
    End.STOPPED: "has rows left",
}


class Removed(NamedTuple):
    """An old run, and what became of it.

    Attributes:
        path: its run directory.
        ended: when it ended, or began if its end is not known; None if it can't be read.
        kept: why it is kept; "" if it was removed, or would be.
        has_failed: whether it was to be removed, and could not be.
    """

    path: Path
    ended: datetime | None
    kept: str = ""
    has_failed: bool = False


def age(text: str) -> timedelta:
    """The age that the text of `--remove-older-than` stands for: `30d`, `12h`, `4w`.

    Raises:
        ConfigError: the text has another form.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not an age: write it as 30d, 12h or 4w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def remove_runs(
    folders: str | Path | Iterable[str | Path], older_than: timedelta, *, dry_run: bool = False
) -> Iterator[Removed]:
    """Remove the runs that ended with exit code 0 before a time, one at a time.

    A run that has rows left, has rows that did not go through, is in use or can't be read is kept,
    and so is a directory that holds other files, or is a link. A removed run can't be undone.

    Args:
        folders: folders of run directories, or run directories.
        older_than: how long ago a run ended at least.
        dry_run: whether nothing is removed.

    Yields:
        Each run that is old enough, and each directory with files of a run that can't be read.

    Raises:
        ConfigError: the age is not positive.
        RunDirectoryError: a folder can't be read.
    """
    if older_than <= timedelta():
        raise ConfigError(f"{setting('remove_older_than')} must be more than nothing")
    before = datetime.now(UTC) - older_than
    for run in past_runs(folders):
        if not isinstance(run, PastRun):
            if not run.is_foreign:
                yield Removed(run.path, None, run.why)
            continue
        ended = _ended(run)
        if ended < before:
            yield _removed(run, ended, dry_run=dry_run)


def _ended(run: PastRun) -> datetime:
    return datetime.fromisoformat(run.summary.ended or run.summary.started)


def _removed(run: PastRun, ended: datetime, *, dry_run: bool) -> Removed:
    if why := _KEPT.get(run.end):
        return Removed(run.path, ended, why)
    if run.path.is_symlink():
        return Removed(run.path, ended, "is a link")
    try:
        with alone_in(run.path) as descriptor:
            return Removed(run.path, ended, _remove(run, descriptor, dry_run=dry_run))
    except RunInUseError:
        return Removed(run.path, ended, _KEPT[End.IN_USE])
    except (RunDirectoryError, OSError) as error:
        why = f"can't be removed: {getattr(error, 'strerror', None) or error}"
        return Removed(run.path, ended, why, has_failed=True)


def _remove(run: PastRun, descriptor: int, *, dry_run: bool) -> str:
    """Remove a run that this process holds. Returns why it is kept; "" if it is not."""
    now = read_past(run.path)
    if not isinstance(now, PastRun) or now.summary != run.summary:
        return "has changed"
    names = os.listdir(descriptor)
    for name in sorted(names):
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
        if not is_known(name) or not stat.S_ISREG(mode):
            return f"holds {name}, which is not of a run"
        if is_edited_failed(name):
            return f"holds {name}, which was edited"
    failed = RunFiles(run.path).failed(Format(run.summary.input.format))
    if failed.exists() and sha256(failed) != run.summary.failed_sha256:
        return f"holds {failed.name}, which was edited"
    if not dry_run:
        # The summary last: by it, what is left of the run after a crash is removed the next time.
        last = RunFiles(run.path).summary.name
        for name in sorted(names, key=lambda one: one == last):
            os.unlink(name, dir_fd=descriptor)
        run.path.rmdir()
    return ""
