"""The number of tasks that the last run of an input has seen: a new reading is judged by it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bulkupdate.errors import RunDirectoryError, RunStoppedError, count, setting
from bulkupdate.journal import RunFiles, Summary, read_summary
from bulkupdate.lemlist.team import is_hash_of
from bulkupdate.models import Reason
from bulkupdate.session.resume import server_of
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

#: Most summaries that are read: a year of nights.
_MOST = 400


def refuse_few(listed: int, before: int | None, stop: Stop) -> None:
    """Refuse a list that is more likely broken than right.

    Args:
        listed: number of tasks in the list.
        before: number of tasks in the last one, without those completed since; None if unknown.
        stop: is set where it is refused.

    Raises:
        RunStoppedError: it has no task, or less than half of what the last one had.
    """
    is_few = (not listed and before != 0) or 2 * listed < (before or 0)
    if not is_few:
        return
    was = f", and listed {before:,} before" if before else ""
    text = (
        f"the server lists {count(listed, 'task')}{was}: if this is right, {setting('allow_few')}"
        " accepts it"
    )
    stop.set(text, Reason.SERVER_DOWN)
    raise RunStoppedError(text)


def listed_before(config: RunConfig) -> int | None:
    """Number of tasks that the last run of the same input and account has seen; None without one.

    Its directory is the run directory, or stands beside it, as those of a nightly job do.

    Args:
        config: the settings of the run that begins.
    """
    for directory in _newest(config.directory.parent)[:_MOST]:
        try:
            summary = read_summary(directory)
        except RunDirectoryError:
            continue
        if summary.listed is not None and _is_of_the_same(summary, config):
            return summary.listed
    return None


def _newest(folder: Path) -> list[Path]:
    """The run directories in a folder, those used last first."""
    found = sorted(_used(folder), reverse=True)
    return [directory for _, directory in found]


def _used(folder: Path) -> Iterator[tuple[int, Path]]:
    """Each run directory in a folder, after the time of its last use."""
    # What runs before have seen is a help, and stops no run that can't look for it.
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                yield RunFiles(path).summary.stat().st_mtime_ns, path


def _is_of_the_same(summary: Summary, config: RunConfig) -> bool:
    """Whether a run had the same input and the same key."""
    is_here = server_of(summary.base_url) == server_of(config.endpoint.base_url)
    key, hash_ = config.endpoint.api_key.reveal(), summary.key_hash
    is_input = summary.input.path == config.input and summary.sandbox == config.sandbox
    return is_here and is_input and hash_ is not None and is_hash_of(hash_, key)
