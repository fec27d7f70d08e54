"""`run`: a file of edits in, a run directory out.

::

    Input ──▶ feeder ──▶ Backlog ──▶ Lane (workers) ──▶ queue ──▶ writer ──▶ RunDirectory
              rows       bounded     limiter, retry     bounded    Recorder   results.jsonl
                                     client                                   failed.csv

Data flows one way. What must be known early (a refused key, a signal, a full disk) is a `Stop`
that the lane obeys and this module owns: nothing more is started, what is in flight drains, and
everything is written down.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from bulkupdate._version import __version__
from bulkupdate.backlog import Backlog
from bulkupdate.client import TaskClient
from bulkupdate.config import Mode, RunConfig, is_loopback
from bulkupdate.directory import RunDirectory
from bulkupdate.errors import (
    ConfigError,
    InputError,
    JournalError,
    RunDirectoryError,
    RunStoppedError,
)
from bulkupdate.lane import Lane
from bulkupdate.ledger import Ledger
from bulkupdate.models import (
    ErrorInfo,
    InputInfo,
    Outcome,
    Result,
    Row,
    State,
    Summary,
    now,
    replaced,
    unsent,
)
from bulkupdate.observer import Observer, Progress
from bulkupdate.permits import limiter_for
from bulkupdate.preview import Inspection, Preview, inspect
from bulkupdate.reader import Input
from bulkupdate.recorder import Recorder
from bulkupdate.source import open_input
from bulkupdate.stop import Stop

#: Settled rows that may wait for the writer, before the workers wait too.
RESULT_QUEUE = 256

#: Rows read between two looks at the rest of the program: a millisecond or two.
READ_BATCH = 64

#: Seconds between two times that the disk is asked to confirm the log.
SYNC_INTERVAL = 1.0

Kind = TypeVar("Kind")

log = logging.getLogger(__name__)


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
        Input(Path(config.input), format=config.format).close()
    stop = stop or Stop()
    with (
        RunDirectory(config.directory, config.mode) as directory,
        await asyncio.to_thread(open_input, config, directory, stop) as source,
    ):
        return await _Session(config, directory, source, stop, observer).run()


class _Session:
    """One run of the command: from an open input to a summary."""

    def __init__(
        self,
        config: RunConfig,
        directory: RunDirectory,
        source: Input,
        stop: Stop,
        observer: Observer,
    ) -> None:
        self._config = config
        self._directory = directory
        self._source = source
        self._stop = stop
        self._observer = observer
        self._started = now()
        self._tried_again: set[str] = set()
        self._results: asyncio.Queue[tuple[Row, Result] | None] = asyncio.Queue(RESULT_QUEUE)

    async def run(self) -> Summary:
        """Check everything, send what is left to send, and write the summary."""
        sha256 = await asyncio.to_thread(self._source.sha256)
        preview = await self._inspect()
        info = InputInfo(
            path=self._config.input,
            sha256=sha256,
            rows=preview.rows,
            format=self._source.format,
            encoding=self._source.encoding,
            delimiter=self._source.delimiter,
        )
        self._prepare_directory(info)
        self._recorder = await _finished(Recorder, self._directory, self._source)
        for note in self._recorder.notes:
            self._observer.noted(note)
        async with TaskClient(self._config.endpoint, connections=self._config.workers) as client:
            lane = self._lane(client)
            progress = Progress(preview, self._recorder.ledger, lane)
            try:
                self._directory.write_summary(self._summary(info, progress, State.RUNNING))
                self._observer.input_checked(self._source, preview)
                await self._send(progress)
            except BaseException as error:
                reason, state, code = _why_ended(error)
                self._stop.set(reason, state=state, exit_code=code)
                raise
            finally:
                summary = self._finish(info, progress)
        return summary

    async def _inspect(self) -> Preview:
        inspection = Inspection()
        for inspection in inspect(self._source):  # noqa: B007 - the last one is the whole
            await asyncio.sleep(0)
            if self._stop.is_set:
                raise RunStoppedError(f"{self._stop.reason}: nothing was sent")
        return inspection.preview(self._config.rate)

    def _prepare_directory(self, info: InputInfo) -> None:
        if self._config.mode is Mode.RESUME:
            self._check_same(self._directory.read_summary(), info)
        else:
            if self._directory.holds(self._source.path):
                raise ConfigError(
                    f"{info.path} lies in {self._directory.path}, which --overwrite would"
                    " empty: name another directory with --out"
                )
            self._directory.clear()
            # First of all files: it is what makes the directory known as a run's.
            self._directory.write_summary(self._first_summary(info))
        if info.path == "-":
            self._directory.adopt_stdin(self._source.path, self._source.format)

    def _check_same(self, earlier: Summary, info: InputInfo) -> None:
        """Refuse to go on with a run of another input, or one that went elsewhere."""
        path, cure = self._directory.path, "--out names another directory"
        if earlier.input.sha256 != info.sha256:
            raise RunDirectoryError(
                f"{path} is a run of another input ({earlier.input.path}, {earlier.input.rows}"
                f" rows), or the file has been edited since: {cure}, --overwrite starts it again"
            )
        before, url = earlier.base_url, self._config.endpoint.base_url
        if _server(before) != _server(url):
            raise RunDirectoryError(
                f"{path} is a run that went to {before}, and this would go on at {url}: {cure}"
            )

    def _lane(self, client: TaskClient) -> Lane:
        return Lane(
            client,
            limiter_for(self._config.rate),
            self._config.retry,
            workers=self._config.workers,
            drain_timeout=self._config.drain_timeout,
            stop=self._stop,
            on_result=lambda row, result: self._results.put((row, result)),
        )

    async def _send(self, progress: Progress) -> None:
        refused = progress.preview.invalid and not self._config.skip_invalid
        backlog = Backlog()
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(self._sync_regularly()),
                group.create_task(self._observer.watch(progress)),
            ]
            writer = group.create_task(self._write())
            feeder = group.create_task(self._feed(backlog, send=not refused))
            background.append(group.create_task(self._cancel_when_stopped(feeder)))
            await progress.lane.run(backlog)
            await asyncio.wait([feeder])
            await self._results.put(None)
            await writer
            for task in background:
                task.cancel()
        if refused:
            self._stop.set(
                f"{progress.preview.invalid} invalid rows: nothing was sent", exit_code=2
            )

    async def _feed(self, backlog: Backlog, *, send: bool) -> None:
        """Put every row that is not settled yet where it belongs."""
        try:
            for row in self._source.rows():
                self._check_unchanged()
                if not row.number % READ_BATCH:
                    # Reading a local file is quick, and never waits: give way now and then.
                    await asyncio.sleep(0)
                if self._is_settled(row):
                    continue
                if row.update is None:
                    error = ErrorInfo("invalid_row", row.error)
                    await self._results.put((row, unsent(row, Outcome.INVALID, error)))
                elif send and row.update.changes():
                    await backlog.put(row)
                elif send:
                    await self._results.put((row, unsent(row, Outcome.UNCHANGED)))
            self._check_unchanged()
        except InputError as error:
            self._stop.set(str(error))
        finally:
            backlog.close()

    def _is_settled(self, row: Row) -> bool:
        """Whether there is nothing to send for a row.

        Where a row is tried again, the later ones of its task are sent again after it: or else the
        older edit would have the last word.
        """
        ledger = self._recorder.ledger
        was_tried = ledger.outcome(row.number) not in (None, Outcome.INVALID)
        if not ledger.is_settled(row.number, retry_failed=self._config.retry_failed):
            if was_tried:
                self._tried_again.add(row.id)
            return False
        return not (was_tried and row.id in self._tried_again)

    def _check_unchanged(self) -> None:
        if self._source.has_changed():
            raise InputError(f"{self._source.name} was written to while it was being sent")

    async def _write(self) -> None:
        """Write results down as they come, as many at once as there are."""
        batch: list[tuple[Row, Result]] = []
        try:
            while (item := await self._results.get()) is not None:
                batch.append(item)
                if self._results.empty():
                    self._record(batch)
                    batch = []
        finally:
            # Cancelled, or at the end: nothing that is settled is left behind.
            while not self._results.empty():
                if item := self._results.get_nowait():
                    batch.append(item)
            self._record(batch)

    def _record(self, batch: list[tuple[Row, Result]]) -> None:
        try:
            self._recorder.log(batch)
        except JournalError as error:
            self._stop_for(error)
            for _, result in batch:
                log.error("not written down: row %d, %r: %s", result.row, result.id, result.outcome)
            return
        try:
            self._recorder.list_failed(batch)
        except JournalError as error:
            self._stop_for(error)

    def _stop_for(self, error: JournalError) -> None:
        log.error("%s", error)
        self._stop.set(str(error))

    async def _sync_regularly(self) -> None:
        while True:
            await asyncio.sleep(SYNC_INTERVAL)
            try:
                await asyncio.to_thread(self._recorder.sync)
            except JournalError as error:
                self._stop_for(error)

    async def _cancel_when_stopped(self, feeder: asyncio.Task[None]) -> None:
        await self._stop.wait()
        feeder.cancel()

    def _finish(self, info: InputInfo, progress: Progress) -> Summary:
        """Close what is open and write the summary, whatever has happened."""
        try:
            self._recorder.close()
        except JournalError as error:
            self._stop_for(error)
        summary = self._summary(info, progress, self._end_state(progress))
        try:
            self._directory.write_summary(summary)
        except JournalError as error:
            self._stop_for(error)
            summary = self._summary(info, progress, self._end_state(progress))
        return summary

    def _first_summary(self, info: InputInfo) -> Summary:
        return Summary(
            version=__version__,
            input=info,
            directory=str(self._directory.path),
            base_url=self._config.endpoint.base_url,
            started=self._started,
            ended=None,
            state=State.RUNNING,
            reason=None,
            exit_code=None,
            counts=Ledger().counts(info.rows),
            mismatches=0,
            requests=0,
            retries=0,
            rate_limited=0,
            rows_per_second=0.0,
            allowed_rate=None,
            used_rate=0.0,
            paused=0.0,
            resumed=self._config.mode is Mode.RESUME,
        )

    def _end_state(self, progress: Progress) -> State:
        ledger = progress.ledger
        is_complete = ledger.settled == progress.preview.rows and not ledger.unsettled
        if self._stop.state is None or (self._stop.state is State.INTERRUPTED and is_complete):
            return State.FINISHED
        return self._stop.state

    def _summary(self, info: InputInfo, progress: Progress, state: State) -> Summary:
        ledger, traffic = progress.ledger, progress.lane.traffic
        exit_code = self._stop.exit_code
        if state is State.FINISHED:
            exit_code = 1 if ledger.unsuccessful else 0
        return replaced(
            self._first_summary(info),
            ended=None if state is State.RUNNING else now(),
            state=state,
            reason=self._stop.reason if state is not State.FINISHED else None,
            exit_code=exit_code,
            counts=ledger.counts(info.rows),
            mismatches=ledger.mismatches,
            requests=traffic.requests,
            retries=traffic.retries,
            rate_limited=traffic.rate_limited,
            rows_per_second=round(progress.rows_per_second, 2),
            allowed_rate=progress.lane.limiter.allowed,
            used_rate=round(progress.requests_per_second, 2),
            paused=round(progress.lane.limiter.paused, 3),
        )


async def _finished(make: Callable[..., Kind], *arguments: object) -> Kind:
    """What `make` returns, from a thread that is waited for even where we are cancelled."""
    making = asyncio.ensure_future(asyncio.to_thread(make, *arguments))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait([making])
        raise


def _server(base_url: str) -> str:
    """What tells one server from another: all sandboxes of this machine are one."""
    host = urlsplit(base_url).hostname or ""
    return "this machine" if is_loopback(host) else base_url


def _why_ended(error: BaseException) -> tuple[str, State, int]:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", State.INTERRUPTED, 130
    if isinstance(error, JournalError):
        return str(error), State.STOPPED, 3
    return f"internal error: {type(error).__name__}", State.STOPPED, 3
