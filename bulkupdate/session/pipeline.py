"""`run`: a file of edits in, a run directory out.

::

    Input ──▶ Feeder ──▶ Backlog ──▶ Lane (workers) ──▶ Writer ──▶ Recorder ──▶ RunDirectory
              rows       bounded     limiter, retry     batches    journal      results.jsonl
                                     client                        ledger       failed.csv

Data flows one way. What must be known early (a refused key, a signal, a full disk) is a `Stop`
that the lane obeys and this module owns: nothing more is started, what is in flight drains, and
everything is written down.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from bulkupdate.codec import replaced
from bulkupdate.config import Mode, RunConfig
from bulkupdate.engine.backlog import READ_AHEAD, Backlog
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.permits import limiter_for
from bulkupdate.errors import (
    ConfigError,
    JournalError,
    RunStoppedError,
)
from bulkupdate.journal.digests import DigestFile, is_row_of
from bulkupdate.journal.directory import RunDirectory
from bulkupdate.journal.recorder import Recorder
from bulkupdate.journal.summary import InputInfo, State, Summary
from bulkupdate.journal.traffic import TrafficLog, sample_length
from bulkupdate.lemlist.client import TaskClient
from bulkupdate.models import now
from bulkupdate.plan.preview import Inspection, Preview, inspect
from bulkupdate.reader import Input
from bulkupdate.reader.raw import RawFile
from bulkupdate.session import deadline as schedule
from bulkupdate.session.ending import first_summary, lost_results, summary_of, why_ended
from bulkupdate.session.feeder import Feeder
from bulkupdate.session.merger import Merger, RowSet
from bulkupdate.session.observer import Observer, Progress
from bulkupdate.session.resume import (
    adopt_edited_input,
    check_server,
    is_same_input,
    keep_check,
    recall_check,
)
from bulkupdate.session.source import open_input
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop

Kind = TypeVar("Kind")


async def run(
    config: RunConfig, *, stop: Stop | None = None, observer: Observer | None = None
) -> Summary:
    """Send the edits of a file, and write down what became of every row.

    Args:
        config: what to send, where, and how.
        stop: set it to end the run early: what is in flight drains, the rest is left
            unprocessed and can be resumed.
        observer: is told how it goes.

    Returns:
        The summary, as it was written to the run directory.

    Raises:
        InputError: the input can't be used; nothing was sent.
        RunDirectoryError: the run directory can't be used; nothing was sent or removed.
        JournalError: the run directory can't be written to or read; nothing was sent.
        RunStoppedError: `stop` was set before anything was sent.
        ConfigError: the input lies where `overwrite` would remove it; nothing was sent.
    """
    observer = observer or Observer()
    if config.input != "-":
        # Before a directory is made for it: most wrong names are wrong here.
        await asyncio.to_thread(_check_input, config)
    stop = stop or Stop()
    schedule.refuse_a_late_start(config)
    with RunDirectory(config.directory, config.mode) as directory:
        earlier = _read_earlier(config, directory)
        # A run that is gone on with means what it meant when it began.
        began = earlier.input.now if earlier is not None else None
        now = datetime.fromisoformat(began) if began else None
        async with stop.at(config.last_start, schedule.reason(config)):
            with await asyncio.to_thread(open_input, config, directory, stop, now) as source:
                return await _Session(config, directory, source, stop, observer, earlier).run()


def _check_input(config: RunConfig) -> None:
    RawFile(Path(config.input), config.input).close()


def _read_earlier(config: RunConfig, directory: RunDirectory) -> Summary | None:
    """The summary of the run that is gone on with, or None for one that begins."""
    if config.mode is not Mode.RESUME:
        return None
    earlier = directory.read_summary()
    check_server(directory, earlier, config)
    return earlier


class _Session:
    """One run of the command: from an open input to a summary."""

    def __init__(
        self,
        config: RunConfig,
        directory: RunDirectory,
        source: Input,
        stop: Stop,
        observer: Observer,
        earlier: Summary | None,
    ) -> None:
        self._config = config
        self._earlier = earlier
        self._directory = directory
        self._source = source
        self._stop = stop
        self._observer = observer
        self._started = now()
        self._followed: RowSet | None = None
        self._is_complete = False
        self._has_begun = False
        self._is_cancelled = False

    async def run(self) -> Summary:
        """Check everything, send what is left to send, and write the summary."""
        info = await asyncio.to_thread(self._source.info, self._config.input)
        is_same = self._earlier is not None and is_same_input(self._earlier.input, info)
        known = await self._recall(info) if is_same else None
        preview = known or await self._check(with_digests=not is_same)
        info = replaced(info, rows=preview.rows)
        first = first_summary(self._config, info, started=self._started)
        if self._earlier is None:
            self._prepare_directory(first)
        elif not is_same:
            await self._adopt_edited_input(self._earlier, info)
        if known is None:
            keep_check(self._directory, self._source, info, preview)
        if info.path == "-":
            self._directory.adopt_stdin(self._source.path, self._source.format)
        recorder = await self._in_thread(
            Recorder,
            self._directory,
            self._source,
            self._is_to_leave,
            self._earlier.failed_sha256 if self._earlier else None,
        )
        self._has_begun = True
        for note in recorder.notes:
            self._observer.noted(note)
        lost = lost_results(self._earlier, recorder.ledger) if is_same else 0
        if lost > 1 or (lost and not recorder.notes):
            self._observer.noted(
                f"{self._directory.results} has lost the results of {lost:,} rows: they are sent"
                " again"
            )
        writer = Writer(recorder, self._stop, self._config.max_failures)
        async with TaskClient(self._config.endpoint, connections=self._config.workers) as client:
            progress = Progress(
                preview,
                recorder.ledger,
                self._lane(client, writer),
                target=self._config.endpoint.base_url,
                recent=recorder.recent,
                first=self._config.first,
                retry_failed=self._config.retry_failed,
            )
            try:
                so_far = summary_of(first, progress, self._stop, has_ended=False)
                self._directory.write_summary(so_far)
                self._observer.input_checked(self._source, preview)
                if limit := schedule.note(self._config, preview, recorder.ledger):
                    self._observer.noted(limit)
                await self._send(progress, writer)
            except BaseException as error:
                self._is_cancelled = isinstance(error, asyncio.CancelledError)
                reason, state, code = why_ended(error)
                self._stop.set(reason, state=state, exit_code=code)
                raise
            finally:
                summary = await self._finish(first, progress, recorder, writer)
        return summary

    async def _recall(self, info: InputInfo) -> Preview | None:
        """What a session before has found out of the same input, if that is all there is to know.

        Which rows are sent as one is only told by all of them.
        """
        known = await asyncio.to_thread(recall_check, self._directory, info)
        if known is None or known.preview.merged or self._config.merge_duplicates:
            return None
        self._source.places = known.places
        return known.preview.at(self._config.rate)

    async def _check(self, *, with_digests: bool) -> Preview:
        """Read all of the input, and tell what it would do."""
        inspection = await self._inspect(with_digests=with_digests)
        self._followed = inspection.followed() if self._config.merge_duplicates else None
        return inspection.preview(self._config.rate)

    async def _inspect(self, *, with_digests: bool) -> Inspection:
        inspection = Inspection()
        with contextlib.ExitStack() as stack:
            add = None
            if with_digests:
                digests = DigestFile(self._directory.digests_part)
                stack.callback(digests.close)
                add = digests.add
            merge = self._config.merge_duplicates
            for inspection in inspect(self._source, add, merge=merge):  # noqa: B007 - the last one
                await asyncio.sleep(0)
                if self._stop.is_set:
                    raise RunStoppedError(f"{self._stop.reason}: nothing was sent")
        return inspection

    def _prepare_directory(self, first: Summary) -> None:
        if self._directory.holds(self._source.path):
            raise ConfigError(
                f"{first.input.path} lies in {self._directory.path}, which --overwrite would"
                " empty: name another directory with --out"
            )
        for note in self._directory.clear():
            self._observer.noted(note)
        # First of all files: it is what makes the directory known as a run's.
        self._directory.write_summary(first)
        self._directory.adopt_digests()

    async def _adopt_edited_input(self, earlier: Summary, info: InputInfo) -> None:
        adopt = functools.partial(
            adopt_edited_input,
            is_allowed=self._config.changed_input,
            is_to_leave=self._is_to_leave,
        )
        for note in await self._in_thread(adopt, self._directory, earlier, info):
            self._observer.noted(note)

    def _lane(self, client: TaskClient, writer: Writer) -> Lane:
        return Lane(
            client,
            limiter_for(self._config.rate),
            self._config.retry,
            workers=self._config.workers,
            drain_timeout=self._config.drain_timeout,
            stop=self._stop,
            on_result=writer.write,
        )

    async def _send(self, progress: Progress, writer: Writer) -> None:
        refused = progress.preview.invalid and not self._config.skip_invalid
        with contextlib.ExitStack() as stack:
            backlog = stack.enter_context(
                Backlog(READ_AHEAD * self._config.workers, directory=self._directory.path)
            )
            merger = None
            if self._followed is not None:
                merger = stack.enter_context(Merger(self._followed, self._directory.path))
            feeder = Feeder(
                self._source,
                progress.ledger,
                writer,
                self._stop,
                retry_failed=self._config.retry_failed,
                first=self._config.first,
                merger=merger,
                rows=progress.preview.rows,
                may_be_invalid=self._config.skip_invalid,
                is_known=functools.partial(is_row_of, self._directory.digests),
            )
            await self._work_off(backlog, feeder, progress, writer, send=not refused)
            if feeder.is_otherwise:
                self._directory.forget_check()
            self._is_complete = (
                feeder.has_ended and backlog.is_empty and not progress.ledger.unsettled
            )
        if feeder.sent == self._config.first and not feeder.has_ended:
            noun = "request" if self._followed else "row"
            sent = f"{feeder.sent:,} {noun}s were" if feeder.sent > 1 else f"{noun} was"
            self._stop.set(
                f"the first {sent} sent (--first)",
                exit_code=1 if progress.ledger.unsuccessful else 0,
            )
        if refused:
            count = progress.preview.invalid
            rows = "1 invalid row" if count == 1 else f"{count:,} invalid rows"
            self._stop.set(f"{rows}: nothing was sent", exit_code=2)

    async def _work_off(
        self, backlog: Backlog, feeder: Feeder, progress: Progress, writer: Writer, *, send: bool
    ) -> None:
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(writer.sync_regularly()),
                group.create_task(self._observer.watch(progress)),
                group.create_task(self._sample_regularly(progress)),
            ]
            writing = group.create_task(writer.run())
            feeding = group.create_task(feeder.feed(backlog, send=send))
            background.append(group.create_task(self._cancel_when_stopped(feeding)))
            await progress.lane.run(backlog)
            await asyncio.wait([feeding])
            writer.end()
            await writing
            for task in background:
                task.cancel()

    async def _sample_regularly(self, progress: Progress) -> None:
        """Write down how much was sent every few seconds; the rest of it when cancelled."""
        with TrafficLog(self._directory.traffic) as traffic:
            while True:
                try:
                    await asyncio.sleep(sample_length(progress.elapsed))
                finally:
                    traffic.append(progress.sample())

    async def _cancel_when_stopped(self, feeding: asyncio.Task[None]) -> None:
        await self._stop.wait()
        feeding.cancel()

    async def _finish(
        self, first: Summary, progress: Progress, recorder: Recorder, writer: Writer
    ) -> Summary:
        """Close what is open and write the summary, whatever has happened."""
        said = len(recorder.notes)
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._in_thread(recorder.close)
        except JournalError as error:
            writer.stop_for(error)
        except asyncio.CancelledError as error:
            self._stop.set("cancelled", state=State.INTERRUPTED, exit_code=130)
            cancelled = error
        for note in recorder.notes[said:]:
            self._observer.noted(note)

        def end() -> Summary:
            return summary_of(
                replaced(first, failed_sha256=recorder.failed_sha256, problems=recorder.causes),
                progress,
                self._stop,
                is_complete=self._is_complete,
                strict=self._config.strict,
            )

        summary = end()
        try:
            self._directory.write_summary(summary)
        except JournalError as error:
            writer.stop_for(error)
            summary = end()
        if cancelled is not None:
            raise cancelled
        return summary

    def _is_to_leave(self) -> bool:
        """Whether whoever works in a thread is to drop everything."""
        return self._is_cancelled or (self._stop.is_set and not self._has_begun)

    async def _in_thread(self, work: Callable[..., Kind], *arguments: object) -> Kind:
        """What `work` returns. Where we are cancelled, it is told to leave, and waited for."""
        working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            self._is_cancelled = True
            while not working.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([working])
            working.exception()
            raise
