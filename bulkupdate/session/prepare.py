"""Preparation of a session: check the whole input, and prepare the run directory."""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.engine.spool import Spool
from bulkupdate.errors import ConfigError, InputError, count, setting
from bulkupdate.journal import DigestFile, Mode, RunDirectory, Summary
from bulkupdate.models import Row
from bulkupdate.plan import Checked, Checking, Inspection, Preview, RowSet, inspect
from bulkupdate.reader import Input, InputInfo
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
        spool: receives the rows of each account as they are checked; None in a run with one key.
    """

    config: RunConfig
    directory: RunDirectory
    source: Input
    stop: Stop
    observer: Observer
    earlier: Summary | None
    started: str
    spool: Spool | None = None


class Prepared(NamedTuple):
    """The facts that are known before the first request.

    Attributes:
        preview: the effects of the input.
        first: the summary of the run before its first row.
        followed: rows that have a later row of the same task; None if rows are not merged.
        is_same: whether a run is resumed with an unchanged input.
        is_shown: whether the observer has seen the preview already.
        is_known: whether an earlier check was enough, so that the input was not read again.
    """

    preview: Preview
    first: Summary
    followed: RowSet | None
    is_same: bool
    is_shown: bool
    is_known: bool


class Found(NamedTuple):
    """The whole input, checked. Nothing has been written that stays.

    Attributes:
        preview: the effects of the input.
        info: the facts about it.
        followed: rows that have a later row of the same task; None if rows are not merged.
        is_same: whether a run is resumed with an unchanged input.
        checked: what is kept of an earlier check of the same input; None without any.
        is_intact: whether the digests of that check are still there.
        is_known: whether that check was enough, so that the input was not read again.
    """

    preview: Preview
    info: InputInfo
    followed: RowSet | None
    is_same: bool
    checked: Checked | None
    is_intact: bool
    is_known: bool


async def check(session: Session, checking: Checking) -> Found:
    """Check the whole input.

    Args:
        session: the session.
        checking: is told of the progress of the check.

    Raises:
        InputError: the input can't be read to its end.
        RunStoppedError: the stop was set.
        ConfigError: the input is in the run directory, which `overwrite` would empty.
    """
    config, directory, source, _, _, earlier, _, _ = session
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
    if earlier is None:
        _refuse_own_input(session, info)
    info = replaced(info, rows=preview.rows)
    return Found(preview, info, followed, is_same, checked, is_intact, known is not None)


async def begin(session: Session, found: Found, *, is_shown: bool) -> Prepared:
    """Prepare the run directory for an input that was checked.

    Args:
        session: the session.
        found: the facts about its input.
        is_shown: whether the observer has seen the preview already.

    Raises:
        RunDirectoryError: the input has been edited, and `changed_input` is not set.
        RunStoppedError: the stop was set.
        JournalError: the run directory can't be written or read.
    """
    config, directory, source, stop, observer, earlier, started, _ = session
    info = found.info
    first = first_summary(config, info, earlier, started=started)
    if earlier is None:
        _begin(session, first)
    elif not found.is_known and found.checked is not None:
        # The input is surely as it was, so that only the digests can be wrong.
        directory.adopt_digests()
        if not found.is_intact:
            observer.noted(f"{directory.files.digests} was damaged: it was made again")
    elif not found.is_known:
        allowed = config.changed_input
        work = functools.partial(adopt_edited_input, directory, earlier, info, stop)
        for note in await in_thread(stop, work, is_allowed=allowed):
            observer.noted(note)
    if not found.is_known:
        keep_check(directory, source, info, found.preview)
    if info.path == "-":
        source.path = directory.adopt_stdin(source.path, source.format)
    elif source.path == directory.files.edits_part:
        source.path = directory.adopt_edits(source.path)
    return Prepared(found.preview, first, found.followed, found.is_same, is_shown, found.is_known)


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
        also = digests.add if session.spool is None else _both(digests.add, session.spool.add)
        for inspection in inspect(session.source, also, merge=merge, allow_empty=allow_empty):
            checking.rows = inspection.rows
            await asyncio.sleep(0)
            session.stop.check()
    return inspection


def _both(first: Callable[[Row], None], then: Callable[[Row], None]) -> Callable[[Row], None]:
    def call(row: Row) -> None:
        first(row)
        then(row)

    return call


def _refuse_own_input(session: Session, info: InputInfo) -> None:
    """Check that a new run does not remove its own input.

    Raises:
        ConfigError: it would.
    """
    directory = session.directory
    is_begun_again = session.config.mode is not Mode.OVERWRITE
    if directory.holds(session.source.path) and not is_begun_again:
        raise ConfigError(
            f"{info.path} is in {directory.path}, which {setting('overwrite')} would"
            f" empty: name another directory with {setting('out')}"
        )


def _begin(session: Session, first: Summary) -> None:
    """Prepare the directory for a new run."""
    directory = session.directory
    # A run that has sent nothing may begin again with its own copy of standard input.
    for note in directory.clear(keep=session.source.path.resolve()):
        session.observer.noted(note)
    # The summary is written first: it marks the directory as a run directory.
    directory.write_summary(first)
    directory.adopt_digests()
