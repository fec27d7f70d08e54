"""`run`: a file of edits in, a run directory out.

::

    prepare                 send                                                  close
    ───────                 ────                                                  ─────
    Input ─▶ check ─▶ Feeder ─▶ Backlog ─▶ Lane ─▶ Writer ─▶ Recorder ─▶ summary
             preview  rows      bounded    calls   batches   log, ledger
                                by task                      failed file

Data flows one way. A refused key, a signal or a full disk sets a `Stop` that every part obeys: no
more requests start, requests in flight drain, and all results are written.
"""

import asyncio
import contextlib
import functools
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from bulkupdate.engine.spool import Spool
from bulkupdate.errors import (
    JournalError,
    RunDirectoryError,
    RunStoppedError,
    count,
    setting,
)
from bulkupdate.journal import (
    Mode,
    Recorder,
    RunDirectory,
    Summary,
    forget_cached,
    read_summary,
)
from bulkupdate.models import Level, Reason, State, now
from bulkupdate.plan import Checking
from bulkupdate.plan.rules import Rules
from bulkupdate.reader import RawFile
from bulkupdate.session import deadline
from bulkupdate.session.binding import check_team
from bulkupdate.session.close import close
from bulkupdate.session.ending import lost_results, why_ended
from bulkupdate.session.listed import recall_listed
from bulkupdate.session.night import (
    Night,
    begin_night,
    load_rules,
    night_of,
    rules_by_account,
)
from bulkupdate.session.observer import Observer, watched
from bulkupdate.session.part import Part
from bulkupdate.session.parts import find_keys, parts_of
from bulkupdate.session.prepare import Found, Prepared, Session, begin, check
from bulkupdate.session.question import Confirm, ask, needs_answer
from bulkupdate.session.reading import Limiters
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.resume import check_server
from bulkupdate.session.send import Sending
from bulkupdate.session.settings import RunConfig
from bulkupdate.session.source import open_input
from bulkupdate.session.threads import in_thread
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop

#: Ends after which lines may be shown that are not on the disk.
_UNSURE_ENDS = ((State.RUNNING, None), (State.STOPPED, Reason.NOT_WRITTEN))


#: States of a run of a fleet that was not collected to its end.
_UNDER_WAY = (State.RUNNING, State.INTERRUPTED)

_LEFT_FLEET = (
    "held a run of a fleet, and holds one of this machine from now on: 'fleet retry' would send"
    " rows of it again"
)


async def run(
    config: RunConfig,
    *,
    stop: Stop | None = None,
    observer: Observer | None = None,
    confirm: Confirm | None = None,
    limiters: Limiters | None = None,
) -> Summary:
    """Send the edits of a file, and write the result of every row to the run directory.

    Args:
        config: the settings of the run.
        stop: ends the run early when you set it. Requests in flight drain. The other rows stay
            unprocessed, and the run can be resumed.
        observer: is called during the run.
        confirm: is awaited with the preview before a run that completes tasks or empties fields
            has written or sent anything; when resuming, only if the input was changed. False ends
            the run. None sends without a question.
        limiters: makes the limiter of each account, as `bulkupdate.fleet.SharedLimits` does for a
            limit that other machines share; None for limiters of this process alone.

    Returns:
        The summary, which is also in the run directory.

    Raises:
        InputError: the input can't be used; nothing was sent.
        RunDirectoryError: the run directory can't be used; nothing was sent or removed.
        JournalError: the run directory can't be written to or read; nothing was sent.
        RunStoppedError: `stop` was set before anything was sent, or another key than before is
            refused.
        ConfigError: the input is in the directory that `overwrite` would empty; nothing was sent.
        DeclinedError: `confirm` returned False; nothing was sent, and the run directory is as it
            was.
    """
    observer, stop = observer or Observer(), stop or Stop()
    # Before the run directory is created: a wrong name is a common mistake.
    rules = await asyncio.to_thread(_checked_input, config)
    deadline.refuse_a_late_start(config)
    with RunDirectory.open(config.directory, config.mode) as directory:
        if config.mode is Mode.RESUME and directory.mode is not Mode.RESUME:
            observer.noted(_why_not_resumed(directory))
        if directory.files.fleet.exists():
            _refuse_under_way(directory)
        earlier = _read_earlier(config, directory)
        if directory.leave_fleet():
            observer.noted(f"{directory.path} {_LEFT_FLEET}")
        parts = parts_of(config, stop, earlier, limiters)
        night = night_of(config, rules, directory, earlier) if rules is not None else None
        is_new_night = night is not None and earlier is None
        of_rules = _of_rules(config, night, parts) if night is not None and is_new_night else {}
        # A resumed run counts relative dates from the time when it began.
        counted_from = earlier.input.now if earlier is not None else None
        began = datetime.fromisoformat(counted_from) if counted_from else None
        async with stop.at(config.last_start, deadline.reason(config)):
            if (only := parts.get("")) is not None:
                # Before anything is written: a key of another team leaves the directory as it is.
                only.binding = await check_team(
                    only.binding, only.endpoint, config, only.limiter, stop
                )
            checking = Checking(str(config.input))
            with contextlib.ExitStack() as stack:
                async with contextlib.AsyncExitStack() as watching:
                    await watching.enter_async_context(watched(observer.watch_check(checking)))
                    if night is not None and is_new_night:
                        await _recall_lists(config, of_rules.values())
                        await begin_night(night, config, directory, of_rules, stop, observer.noted)
                    opening = asyncio.to_thread(open_input, config, directory, stop, began, night)
                    source = stack.enter_context(await opening)
                    checking.opened(source)
                    spool: Spool | None = None
                    if config.accounts is not None:
                        spool = stack.enter_context(Spool(directory.files.spool))
                    session = Session(
                        config, directory, source, stop, observer, earlier, now(), spool
                    )
                    found = await check(session, checking)
                    _take_part(config, parts, found, is_new=earlier is None)
                    # The summary of a run that begins again is still there.
                    taking = [one for one in parts.values() if one.rows and not one.stop.is_set]
                    await _recall_lists(config, taking)
                    if is_asked := confirm is not None and needs_answer(session, found):
                        # The display of the check would hide the question.
                        await watching.aclose()
                        session.observer.input_checked(session.source, found.preview)
                        await ask(confirm, found.preview, session.source.name, stop)
                    prepared = await begin(session, found, is_shown=is_asked)
                return await _send(session, prepared, parts)


def _checked_input(config: RunConfig) -> Rules | None:
    """Check that the input can be read. Return the rules, if it has some."""
    if config.has_rules:
        return load_rules(Path(config.input))
    if config.input != "-":
        RawFile.open(Path(config.input), str(config.input)).close()
    return None


def _why_not_resumed(directory: RunDirectory) -> str:
    why = "there is no run" if directory.mode is Mode.NEW else "the run there has sent nothing"
    return f"{directory.path}: {why}, so this one begins"


def _refuse_under_way(directory: RunDirectory) -> None:
    """Check that no fleet sends the rows of a directory.

    Raises:
        RunDirectoryError: it may do so.
    """
    found = read_summary(directory.path)
    if found.stopped_by is Reason.UNDER_WAY or found.state in _UNDER_WAY:
        raise RunDirectoryError(
            f"{directory.path} holds a run of a fleet that may be under way: rows could be sent"
            " twice. Collect it to its end first (bulkupdate fleet collect … --wait), or cancel it"
        )


def _read_earlier(config: RunConfig, directory: RunDirectory) -> Summary | None:
    """The summary of the run that is resumed; None for a new run."""
    if directory.mode is not Mode.RESUME:
        return None
    earlier = read_summary(directory.path)
    check_server(directory, earlier, config)
    return earlier


def _was_cut_off(earlier: Summary | None) -> bool:
    """Whether the last session may have ended with requests in flight."""
    if earlier is None or earlier.state is State.FINISHED:
        return False
    return earlier.stopped_by not in (Reason.FIRST_ROWS, Reason.INVALID_ROWS)


def _of_rules(config: RunConfig, night: Night, parts: dict[str, Part]) -> dict[str, Part]:
    """The parts that rules are about, with their keys.

    Raises:
        InputError: the rules name other accounts than there are.
        ConfigError: a key is missing, or two accounts have the same key.
    """
    names = rules_by_account(night.rules, config.accounts, config.account)
    found = {name: parts[name] for name in names}
    if config.accounts is not None:
        find_keys(config, found.values(), is_new=True)
    return found


async def _recall_lists(config: RunConfig, parts: Iterable[Part]) -> None:
    """Find the number of tasks that each account has listed before, where it is not known."""
    unknown = [part for part in parts if part.listed is None]
    if config.compare and unknown:
        await asyncio.to_thread(recall_listed, config, unknown)


def _take_part(config: RunConfig, parts: dict[str, Part], found: Found, *, is_new: bool) -> None:
    """Note how many rows each part has, and find the keys of those that have some.

    Raises:
        ConfigError: a key is missing, or two accounts have the same key.
    """
    for name, part in parts.items():
        part.rows = found.preview.accounts.get(name, 0) if name else found.preview.rows
    is_refused = bool(found.preview.invalid) and not config.skip_invalid
    if config.accounts is not None and is_new and not is_refused:
        find_keys(config, [part for part in parts.values() if part.rows], is_new=True)


async def _send(session: Session, prepared: Prepared, parts: dict[str, Part]) -> Summary:
    """Send the remaining rows, and write all results, even after an error."""
    config, directory, source, stop, observer, earlier, *_ = session
    left = earlier.failed_sha256 if earlier else None
    if earlier is not None and (earlier.state, earlier.stopped_by) in _UNSURE_ENDS:
        await asyncio.to_thread(forget_cached, directory.files.results)
    recorder = await in_thread(stop, Recorder.open, directory, source, stop, left)
    notes = list(recorder.notes)
    if prepared.is_same:
        notes += lost_results(
            directory, earlier, recorder.ledger, was_repaired=recorder.was_repaired
        )
    for note in notes:
        observer.noted(note)
    writer = Writer(recorder, stop)
    new_remaining = functools.partial(
        Remaining,
        recorder.ledger,
        retry_failed=config.retry_failed,
        was_cut_off=_was_cut_off(earlier),
        names_people=config.compare,
    )
    async with contextlib.AsyncExitStack() as stack:
        sending = Sending(session, prepared, recorder, writer, new_remaining, parts)
        try:
            await stack.enter_async_context(sending)
        except BaseException:
            with contextlib.suppress(JournalError, RunStoppedError):
                await in_thread(stop, recorder.close)
            raise
        try:
            directory.write_summary(sending.summary())
            if not prepared.is_shown:
                observer.input_checked(source, prepared.preview)
            if earlier is not None and config.first is not None:
                more = count(config.first, "more row")
                more += " of each account" if config.accounts is not None else ""
                observer.noted(f"{setting('first')}: this session sends {more}")
            if limit := deadline.note(config, prepared.preview, recorder.ledger):
                observer.noted(limit)
            await sending.run()
        except BaseException as error:
            stop.set(*why_ended(error))
            if isinstance(error, asyncio.CancelledError):
                stop.raise_to(Level.ABORT)
            raise
        finally:
            try:
                await sending.close()
            finally:
                summary = await close(
                    session,
                    prepared._replace(first=sending.first),
                    sending.progress,
                    recorder,
                    writer,
                    is_complete=sending.is_complete,
                    name_of=sending.name_of,
                )
    return summary
