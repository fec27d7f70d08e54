"""Before anything is sent: the input is checked whole, and the run directory is made ready."""

import asyncio
import contextlib
from typing import NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.errors import ConfigError, setting
from bulkupdate.journal import DigestFile, RunDirectory, Summary
from bulkupdate.plan import Inspection, Preview, RowSet, inspect
from bulkupdate.reader import Input, InputInfo
from bulkupdate.session.check import keep_check, recall_check
from bulkupdate.session.ending import first_summary
from bulkupdate.session.observer import Observer
from bulkupdate.session.resume import adopt_edited_input, is_same_input
from bulkupdate.session.settings import RunConfig
from bulkupdate.session.threads import in_thread
from bulkupdate.stop import Stop


class Session(NamedTuple):
    """What one start of a run works with.

    Attributes:
        config: its settings.
        directory: the run directory, locked.
        source: the input, open.
        stop: of the run.
        observer: is called as the run proceeds.
        earlier: the summary of the session before, where a run is resumed.
    """

    config: RunConfig
    directory: RunDirectory
    source: Input
    stop: Stop
    observer: Observer
    earlier: Summary | None


class Prepared(NamedTuple):
    """What is known before anything is sent.

    Attributes:
        preview: what the input would do.
        first: the summary of the run before its first row.
        followed: rows that another one of the same task comes after, where such rows are merged.
        is_same: whether a run is resumed with the input that it had.
    """

    preview: Preview
    first: Summary
    followed: RowSet | None
    is_same: bool


async def prepare(session: Session) -> Prepared:
    """Check the whole input, and make the run directory ready for its rows.

    Raises:
        InputError: the input can't be read to its end.
        RunDirectoryError: the input was edited, and that is not allowed.
        RunStoppedError: the stop was set.
        ConfigError: the input lies where it would be removed.
        JournalError: the run directory can't be written or read.
    """
    config, directory, source, stop, observer, earlier = session
    info = await asyncio.to_thread(source.info, config.input)
    is_same = earlier is not None and is_same_input(earlier.input, info)
    known = await _recall(session, info) if is_same else None
    followed = None
    if known is not None:
        preview = known
    else:
        inspection = await _inspect(session, with_digests=not is_same)
        followed = inspection.followed() if config.merge_duplicates else None
        preview = inspection.preview(config.rate)
    info = replaced(info, rows=preview.rows)
    first = first_summary(config, info)
    if earlier is None:
        _begin(session, first)
    elif not is_same:
        is_allowed = config.changed_input
        for note in await in_thread(
            stop, adopt_edited_input, directory, earlier, info, stop, is_allowed=is_allowed
        ):
            observer.noted(note)
    if known is None:
        keep_check(directory, source, info, preview)
    if info.path == "-":
        directory.adopt_stdin(source.path, source.format)
    return Prepared(preview, first, followed, is_same)


async def _recall(session: Session, info: InputInfo) -> Preview | None:
    """What an earlier session found in the same input, if that is all there is to know.

    Only reading all of it tells which rows are sent as one.
    """
    config = session.config
    known = await asyncio.to_thread(recall_check, session.directory, info)
    if known is None or known.preview.merged or config.merge_duplicates:
        return None
    session.source.places = known.places
    return known.preview.at(config.rate)


async def _inspect(session: Session, *, with_digests: bool) -> Inspection:
    """Read all of the input, giving way to the rest of the program."""
    inspection, merge = Inspection(), session.config.merge_duplicates
    with contextlib.ExitStack() as stack:
        add = None
        if with_digests:
            digests = DigestFile(session.directory.files.digests_part)
            stack.callback(digests.close)
            add = digests.add
        for inspection in inspect(session.source, add, merge=merge):  # noqa: B007 - the last one
            await asyncio.sleep(0)
            session.stop.check()
    return inspection


def _begin(session: Session, first: Summary) -> None:
    """Make the directory that of a new run."""
    directory = session.directory
    if directory.holds(session.source.path):
        raise ConfigError(
            f"{first.input.path} lies in {directory.path}, which {setting('overwrite')} would"
            f" empty: name another directory with {setting('out')}"
        )
    for note in directory.clear():
        session.observer.noted(note)
    # First of all files: it is what makes the directory known as a run's.
    directory.write_summary(first)
    directory.adopt_digests()
