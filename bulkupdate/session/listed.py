"""The number of tasks that the last run of an input has seen: a new reading is judged by it."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from bulkupdate.errors import ConfigError, RunDirectoryError, RunStoppedError, count, setting
from bulkupdate.journal import AccountSummary, RunFiles, Summary, read_summary
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.team import is_hash_of
from bulkupdate.models import Reason
from bulkupdate.plan import LiveTasks
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


def moved(live: LiveTasks) -> list[str]:
    """What is to be said of a list that moved while it was read; nothing of any other."""
    if not live.repeated:
        return []
    again = f"{count(live.repeated, 'task')} came again"
    return [f"the list of tasks moved while it was read ({again}): it may lack others"]


class Lister(Protocol):
    """An account whose tasks will be listed; see `bulkupdate.session.part.Part`."""

    listed: int | None

    @property
    def name(self) -> str:
        """The name of the account; "" in a run with one key."""

    @property
    def endpoint(self) -> Endpoint:
        """The server, and the key."""


def recall_listed(config: RunConfig, accounts: Iterable[Lister]) -> None:
    """Find the number of tasks that the last run of the same input and account has seen.

    Its directory is the run directory, or stands beside it, as those of a nightly job do.

    Args:
        config: the settings of the run that begins.
        accounts: the accounts for which it is not known. It stays so where there was no such run.
    """
    unknown = list(accounts)
    for directory in _newest(config.directory.parent)[:_MOST]:
        if not unknown:
            return
        with contextlib.suppress(RunDirectoryError):
            summary = read_summary(directory)
            if summary.input.path == config.input and summary.sandbox == config.sandbox:
                for one in unknown:
                    one.listed = _listed(summary, one)
                unknown = [one for one in unknown if one.listed is None]


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


def _listed(summary: Summary, one: Lister) -> int | None:
    """Number of tasks that an account listed in a run; None if it had another key, or no list."""
    known: Summary | AccountSummary | None = summary
    if one.name:
        known = summary.accounts.get(one.name)
    if known is None or known.listed is None or known.key_hash is None:
        return None
    try:
        endpoint = one.endpoint
    except ConfigError:
        return None  # It will stop for that, if it has rows left.
    is_here = server_of(known.base_url) == server_of(endpoint.base_url)
    is_same = is_here and is_hash_of(known.key_hash, endpoint.api_key.reveal())
    return known.listed if is_same else None
