"""Sending: rows to the lane and results to the writer, until all is done or the run stops."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from bulkupdate.codec import replaced
from bulkupdate.engine.backlog import READ_AHEAD, Backlog
from bulkupdate.engine.lane import Lane
from bulkupdate.errors import InputError, JournalError, RunStoppedError, count, setting
from bulkupdate.journal import CheckedRows, TrafficLog, sample_length
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import Reason, Row
from bulkupdate.session.binding import LONGEST_END, Binding, bind
from bulkupdate.session.compare import Comparison
from bulkupdate.session.ending import summary_of
from bulkupdate.session.feeder import Feeder
from bulkupdate.session.merger import Merger
from bulkupdate.session.prepare import Prepared, Session
from bulkupdate.session.progress import Progress
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.writer import Writer


class Sending:
    """The part of a session that sends requests.

    Args:
        session: the session.
        prepared: the facts about its input.
        progress: is sampled for the traffic log.
        remaining: decides which rows have to be settled.
        writer: receives the results.
        client: asks for the team of the key.
        binding: the team and the key that the run is bound to.
        comparison: compares rows with the live tasks; None sends all of them.

    Attributes:
        is_complete: whether nothing is left to do.
        binding: the same; after the first row that was updated, with this session's key.
    """

    def __init__(
        self,
        session: Session,
        prepared: Prepared,
        progress: Progress,
        remaining: Remaining,
        writer: Writer,
        client: TaskClient,
        binding: Binding,
        comparison: Comparison | None = None,
    ) -> None:
        self._comparison = comparison
        self.is_complete = False
        self.binding = binding
        self._client = client
        self._remaining = remaining
        self._session = session
        self._prepared = prepared
        self._progress = progress
        self._writer = writer

    async def run(self, lane: Lane) -> None:
        """Send the remaining rows."""
        config, directory, source, stop, *_ = self._session
        preview, ledger = self._prepared.preview, self._progress.ledger
        is_refused = bool(preview.invalid) and not config.skip_invalid
        parked = directory.files.parked
        with contextlib.ExitStack() as stack:
            backlog = stack.enter_context(Backlog(READ_AHEAD * config.workers, scratch=parked))
            merger = None
            if self._prepared.followed is not None:
                merger = stack.enter_context(Merger(self._prepared.followed, parked))
            comparison = self._comparison
            is_known = stack.enter_context(CheckedRows(directory.files.digests)).holds
            feeder = Feeder(
                source,
                self._remaining,
                self._writer,
                stop,
                first=config.first,
                merger=merger,
                rows=preview.rows,
                may_be_invalid=config.skip_invalid,
                is_known=is_known,
                settle=comparison.settle_now if comparison and config.first is not None else None,
                is_done=comparison.is_settled if comparison is not None else _never,
                coming=comparison.bring_near if comparison is not None else _ignore,
            )
            feeding = self._feed(feeder, backlog, send=not is_refused)
            await self._work_off(backlog, feeding, lane)
            if feeder.is_otherwise:
                directory.forget_check()
            self.is_complete = feeder.has_ended and backlog.is_empty and not ledger.unsettled
        if feeder.sent == config.first and not feeder.has_ended:
            noun = "request" if self._prepared.followed else "row"
            sent = f"{count(feeder.sent, noun)} were" if feeder.sent > 1 else f"{noun} was"
            stop.set(f"the first {sent} sent ({setting('first')})", Reason.FIRST_ROWS)
        if is_refused:
            rows = count(preview.invalid, "invalid row")
            when = " in this session" if self._session.earlier is not None else ""
            stop.set(f"{rows}: nothing was sent{when}", Reason.INVALID_ROWS)

    async def _feed(self, feeder: Feeder, backlog: Backlog, *, send: bool) -> None:
        """Hand out the rows; with a comparison, those that need no request first."""
        try:
            if self._comparison is not None and send:
                await self._comparison.begin()
        except (RunStoppedError, InputError, JournalError) as error:
            reason = Reason.INPUT_CHANGED if isinstance(error, InputError) else Reason.NOT_WRITTEN
            if not self._session.stop.is_set:
                self._session.stop.set(str(error), reason)
            backlog.close()
            return
        except BaseException:
            backlog.close()
            raise
        await feeder.feed(backlog, send=send)

    async def _work_off(
        self, backlog: Backlog, feed: Coroutine[Any, Any, None], lane: Lane
    ) -> None:
        writer, observer, config = self._writer, self._session.observer, self._session.config
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(writer.sync_regularly()),
                group.create_task(observer.watch(self._progress)),
                group.create_task(self._sample_regularly()),
            ]
            writing = group.create_task(writer.run())
            feeding = group.create_task(feed)
            background.append(group.create_task(_cancel_when_stopped(feeding, lane)))
            binding = group.create_task(self._bind(lane))
            background.append(binding)
            await lane.run(backlog)
            await asyncio.wait([feeding])
            if lane.confirmed.is_set() and not lane.stop.is_set:
                await asyncio.wait([binding], timeout=min(LONGEST_END, config.drain_timeout))
            self._session.stop.forget(lane.stop)
            writer.end()
            await writing
            for task in background:
                task.cancel()

    async def _bind(self, lane: Lane) -> None:
        await bind(self.binding, self._session.config, self._client, lane, self._keep)

    def _keep(self, binding: Binding) -> None:
        """Write down at once what the run is bound to."""
        self.binding = binding
        first = replaced(self._prepared.first, **binding._asdict())
        running = summary_of(first, self._progress, self._session.stop, has_ended=False)
        # `close` writes it again, and stops the run if it can't.
        with contextlib.suppress(JournalError):
            self._session.directory.write_summary(running)

    async def _sample_regularly(self) -> None:
        """Append a sample to the traffic log every few seconds, and a last one when cancelled."""
        progress = self._progress
        with TrafficLog(self._session.directory.files.traffic) as traffic:
            while True:
                try:
                    await asyncio.sleep(sample_length(progress.elapsed))
                finally:
                    traffic.append(progress.sample())


def _never(_: int) -> bool:
    return False


def _ignore(_: list[Row]) -> None:
    pass


async def _cancel_when_stopped(feeding: "asyncio.Task[None]", lane: Lane) -> None:
    await lane.stop.wait()
    feeding.cancel()
