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
from datetime import datetime
from pathlib import Path

from bulkupdate.codec import replaced
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.limiter import Limiter
from bulkupdate.engine.permits import limiter_for
from bulkupdate.errors import count, setting
from bulkupdate.journal import (
    Mode,
    Recorder,
    RunDirectory,
    Summary,
    forget_cached,
    read_summary,
)
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import hash_of
from bulkupdate.models import Level, Reason, State, now
from bulkupdate.plan import Checking
from bulkupdate.plan.rules import Rules
from bulkupdate.reader import RawFile
from bulkupdate.session import deadline
from bulkupdate.session.binding import Binding, check_team
from bulkupdate.session.close import close
from bulkupdate.session.compare import Comparison, Rows
from bulkupdate.session.ending import lost_results, summary_of, why_ended
from bulkupdate.session.listed import listed_before
from bulkupdate.session.night import begin_night, load_rules, night_of
from bulkupdate.session.observer import Observer, watched
from bulkupdate.session.prepare import Prepared, Session, begin, check
from bulkupdate.session.progress import Progress
from bulkupdate.session.question import Confirm, ask, needs_answer
from bulkupdate.session.reading import LiveReader
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


async def run(
    config: RunConfig,
    *,
    stop: Stop | None = None,
    observer: Observer | None = None,
    confirm: Confirm | None = None,
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
        earlier = _read_earlier(config, directory)
        # Before the summary of a run that begins again is replaced.
        listed = earlier.listed if earlier is not None else None
        if config.compare and listed is None:
            listed = await asyncio.to_thread(listed_before, config)
        limiter = limiter_for(config.rate)
        night = night_of(config, rules, directory, earlier) if rules is not None else None
        # A resumed run counts relative dates from the time when it began.
        counted_from = earlier.input.now if earlier is not None else None
        began = datetime.fromisoformat(counted_from) if counted_from else None
        async with stop.at(config.last_start, deadline.reason(config)):
            # Before anything is written: a key of another team leaves the directory as it is.
            binding = await check_team(Binding.of(earlier), config, limiter, stop)
            checking = Checking(str(config.input))
            with contextlib.ExitStack() as stack:
                async with contextlib.AsyncExitStack() as watching:
                    await watching.enter_async_context(watched(observer.watch_check(checking)))
                    if night is not None and earlier is None:
                        note = observer.noted
                        listed = await begin_night(
                            night, config, directory, limiter, stop, note, listed
                        )
                    opening = asyncio.to_thread(open_input, config, directory, stop, began, night)
                    source = stack.enter_context(await opening)
                    checking.opened(source)
                    started = now()
                    session = Session(config, directory, source, stop, observer, earlier, started)
                    found = await check(session, checking)
                    if is_asked := confirm is not None and needs_answer(session, found):
                        # The display of the check would hide the question.
                        await watching.aclose()
                        await ask(confirm, session, found.preview)
                    prepared = await begin(session, found, is_shown=is_asked)
                return await _send(session, prepared, limiter, binding, listed)


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


def _with_listed(first: Summary, config: RunConfig, listed: int | None) -> Summary:
    """A summary with the number of tasks that this key lists: the next run is judged by it."""
    key_hash = first.key_hash
    if listed is not None and key_hash is None:
        key_hash = hash_of(config.endpoint.api_key.reveal())
    return replaced(first, listed=listed, key_hash=key_hash)


async def _send(
    session: Session,
    prepared: Prepared,
    limiter: Limiter,
    binding: Binding,
    listed: int | None,
) -> Summary:
    """Send the remaining rows, and write all results, even after an error."""
    config, directory, source, stop, observer, earlier, _ = session
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
    cut_off = _was_cut_off(earlier)
    new_remaining = functools.partial(
        Remaining,
        recorder.ledger,
        retry_failed=config.retry_failed,
        was_cut_off=cut_off,
        names_people=config.compare,
    )
    remaining = new_remaining()
    writer = Writer(recorder, stop, config.max_failures)
    # One connection more than workers, for what is asked beside the rows.
    async with TaskClient(config.endpoint, connections=config.workers + 1) as client:
        lane = Lane(
            client,
            limiter,
            config.retry,
            workers=config.workers,
            drain_timeout=config.drain_timeout,
            stop=stop,
            on_result=writer.write,
            was_sent=remaining.was_sent,
        )
        comparison = None
        if config.compare:
            comparison = lane.preparation = Comparison(
                config,
                directory.files,
                LiveReader(client, limiter, lane.health, config.retry, lane.stop, lane.traffic),
                writer,
                recorder.ledger,
                Rows(source, prepared.preview.rows, prepared.followed, new_remaining),
                stop,
                listed,
                observer.noted,
            )
        progress = Progress(
            prepared.preview,
            recorder.ledger,
            [lane],
            target=config.endpoint.base_url,
            recent=recorder.recent,
            first=config.first,
            retry_failed=config.retry_failed,
        )
        sending = Sending(
            session, prepared, progress, remaining, writer, client, binding, comparison
        )
        try:
            running = summary_of(prepared.first, progress, stop, has_ended=False)
            directory.write_summary(running)
            if not prepared.is_shown:
                observer.input_checked(source, prepared.preview)
            if earlier is not None and config.first is not None:
                more = count(config.first, "more row")
                observer.noted(f"{setting('first')}: this session sends {more}")
            if limit := deadline.note(config, prepared.preview, recorder.ledger):
                observer.noted(limit)
            await sending.run(lane)
        except BaseException as error:
            stop.set(*why_ended(error))
            if isinstance(error, asyncio.CancelledError):
                stop.raise_to(Level.ABORT)
            raise
        finally:
            first = replaced(prepared.first, **sending.binding._asdict())
            if comparison is not None:
                first = _with_listed(first, config, comparison.listed)
            prepared = prepared._replace(first=first)
            try:
                if comparison is not None:
                    await comparison.close()
            finally:
                summary = await close(
                    session,
                    prepared,
                    progress,
                    recorder,
                    writer,
                    is_complete=sending.is_complete,
                    name_of=comparison.name_of if comparison is not None else str,
                )
    return summary
