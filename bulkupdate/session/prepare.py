"""Preparation of a session: check the whole input, and prepare the run directory."""

import asyncio
import contextlib
import functools
from typing import NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.errors import ConfigError, InputError, count, setting
from bulkupdate.journal import DigestFile, Mode, RunDirectory, Summary
from bulkupdate.plan import Checked, Checking, Inspection, Preview, RowSet, inspect
from bulkupdate.reader import Input
from bulkupdate.session.check import has_digests, keep_check, recall_check
from bulkupdate.session.ending import first_summary
from bulkupdate.session.observer import Observer
from bulkupdate.session.resume import adopt_edited_input, is_same_input
from bulkupdate.session.settings import RunConfig
from bulkupdate.session.threads import in_thread
from bulkupdate.stop import Stop


class Session(NamedTuple):
    """A session: one start of a run, with its settings and resources.

    Attributes:
        config: the settings.
        directory: the run directory, locked.
        source: the input, open.
        stop: the stop of the run.
        observer: is called during the run.
        earlier: the summary of the previous session if the run is resumed, else None.
        started: when it began, UTC.
    """

    config: RunConfig
    directory: RunDirectory
    source: Input
    stop: Stop
    observer: Observer
    earlier: Summary | None
    started: str


class Prepared(NamedTuple):
    """The facts that are known before the first request.

    Attributes:
        preview: the effects of the input.
        first: the summary of the run before its first row.
        followed: rows that have a later row of the same task; None if rows are not merged.
        is_same: whether a run is resumed with an unchanged input.
    """

    preview: Preview
    first: Summary
    followed: RowSet | None
    is_same: bool


async def prepare(session: Session, checking: Checking) -> Prepared:
    """Check the whole input, and prepare the run directory.

    Args:
        session: the session.
        checking: is told of the progress of the check.

    Raises:
        InputError: the input can't be read to its end.
        RunDirectoryError: the input has been edited, and `changed_input` is not set.
        RunStoppedError: the stop was set.
        ConfigError: the input is in the run directory, which `overwrite` would empty.
        JournalError: the run directory can't be written or read.
    """
    config, directory, source, stop, observer, earlier, started = session
    info = await asyncio.to_thread(source.info, str(config.input))
    is_same = earlier is not None and is_same_input(earlier.input, info)
    checked = await asyncio.to_thread(recall_check, directory, info) if is_same else None
    is_intact = checked is not None and await asyncio.to_thread(has_digests, directory, checked)
    known = _known(session, checked) if checked is not None and is_intact else None
    followed = None
    if known is not None:
        preview = known
    else:
        inspection = await _inspect(session, checking)
        followed = inspection.followed() if config.merge_duplicates else None
        preview = inspection.preview(config.rate)
    if preview.expecting and not config.compare:
        rows = count(preview.expecting, "row")
        raise InputError(
            f"{source.name}: {rows} with expectations, which only {setting('compare')} judges: set"
            " it, or remove the columns expect.…"
        )
    info = replaced(info, rows=preview.rows)
    first = first_summary(config, info, earlier, started=started)
    if earlier is None:
        _begin(session, first)
    elif known is None and checked is not None:
        # The input is surely as it was, so that only the digests can be wrong.
        directory.adopt_digests()
        if not is_intact:
            observer.noted(f"{directory.files.digests} was damaged: it was made again")
    elif known is None:
        allowed = config.changed_input
        work = functools.partial(adopt_edited_input, directory, earlier, info, stop)
        for note in await in_thread(stop, work, is_allowed=allowed):
            observer.noted(note)
    if known is None:
        keep_check(directory, source, info, preview)
    if info.path == "-":
        directory.adopt_stdin(source.path, source.format)
    return Prepared(preview, first, followed, is_same)


def _known(session: Session, checked: Checked) -> Preview | None:
    """The preview from an earlier session with the same input; None if the input must be read.

    When rows are merged, the input must be read to find the rows of each task.
    """
    config = session.config
    if checked.preview.merged or config.merge_duplicates:
        return None
    session.source.places = checked.places
    return checked.preview.at(config.rate)


async def _inspect(session: Session, checking: Checking) -> Inspection:
    """Read the whole input, and let other tasks run meanwhile."""
    inspection, merge = Inspection(), session.config.merge_duplicates
    with contextlib.ExitStack() as stack:
        digests = DigestFile(session.directory.files.digests_part)
        stack.callback(digests.close)
        allow_empty = session.config.allow_empty
        for inspection in inspect(
            session.source, digests.add, merge=merge, allow_empty=allow_empty
        ):
            checking.rows = inspection.rows
            await asyncio.sleep(0)
            session.stop.check()
    return inspection


def _begin(session: Session, first: Summary) -> None:
    """Prepare the directory for a new run."""
    directory = session.directory
    is_begun_again = session.config.mode is not Mode.OVERWRITE
    if directory.holds(session.source.path) and not is_begun_again:
        raise ConfigError(
            f"{first.input.path} is in {directory.path}, which {setting('overwrite')} would"
            f" empty: name another directory with {setting('out')}"
        )
    # A run that has sent nothing may begin again with its own copy of standard input.
    for note in directory.clear(keep=session.source.path.resolve()):
        session.observer.noted(note)
    # The summary is written first: it marks the directory as a run directory.
    directory.write_summary(first)
    directory.adopt_digests()
