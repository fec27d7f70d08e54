"""Settled rows on their way to the disk: those of turns that follow each other go at once."""

import asyncio
import logging
from collections.abc import Iterator

from bulkupdate.codec import replaced
from bulkupdate.errors import JournalError, setting
from bulkupdate.journal import Recorder
from bulkupdate.models import SUCCESSES, Reason, Result, Row
from bulkupdate.session.settings import FailureLimit
from bulkupdate.stop import Stop

#: Settled rows that may wait to be written, before those who bring more wait too.
BATCH = 256

#: Seconds between two times that the disk is asked to confirm the log.
SYNC_INTERVAL = 1.0

log = logging.getLogger(__name__)


class _Batch:
    """Settled rows that are written at once.

    Attributes:
        rows: in the order in which they came.
        waiting: whom to tell that it is over.
        is_over: whether it has been tried to write them.
        error: why they are not in the log, if they aren't.
    """

    __slots__ = ("error", "is_over", "rows", "waiting")

    def __init__(self) -> None:
        self.rows: list[tuple[Row, Result]] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.is_over = False
        self.error: JournalError | None = None

    def end(self, error: JournalError | None = None) -> None:
        """Tell everybody who waits that it has been tried to write them."""
        self.is_over, self.error = True, error
        for waiting in self.waiting:
            if not waiting.done():
                waiting.set_result(None)


class Writer:
    """Writes results down as they come.

    Args:
        recorder: where to.
        stop: is set where something can't be written, or too many rows go wrong.
        max_failures: how many rows may fail or stay unconfirmed; None for any number.
    """

    def __init__(
        self, recorder: Recorder, stop: Stop, max_failures: FailureLimit | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._recorder = recorder
        self._stop = stop
        self._max_failures = max_failures
        self._sent = self._failures = 0
        self._logged: set[str] = set()
        self._batch = _Batch()
        #: What `run` waits for when there is no row. (An Event costs twice as much, in every turn.)
        self._waiting: asyncio.Future[None] | None = None
        self._has_ended = False

    async def put(self, row: Row, result: Result) -> None:
        """Take a settled row, to be written soon: within a few turns of the event loop.

        Where a whole batch waits to be written, so does the caller.
        """
        self._take(row, result)
        if len(self._batch.rows) >= BATCH:
            await asyncio.sleep(0)

    async def write(self, row: Row, result: Result) -> None:
        """Take a settled row, and wait until it is in the log.

        Raises:
            JournalError: it is not.
        """
        batch = self._take(row, result)
        if not batch.is_over:
            written = self._loop.create_future()
            batch.waiting.append(written)
            await written
        if batch.error is not None:
            raise batch.error

    def end(self) -> None:
        """Say that no further row comes; one that does is written at once."""
        self._has_ended = True
        self._wake()

    async def run(self) -> None:
        """Write results down, as many at once as there are, until the end is said."""
        try:
            while not self._has_ended:
                if not self._batch.rows:
                    self._waiting = self._loop.create_future()
                    await self._waiting
                # As long as every turn brings more: what is written together, and then sent
                # together, costs a seventh less. It ends with the last worker, or a whole batch.
                size = 0
                while size < len(self._batch.rows) < BATCH:
                    size = len(self._batch.rows)
                    await asyncio.sleep(0)
                self._record()
        finally:
            # Cancelled: nothing that is settled is left behind, now or later.
            self._has_ended = True
            self._record()

    async def sync_regularly(self) -> None:
        """Have the disk confirm the log once a second, until cancelled."""
        while True:
            await asyncio.sleep(SYNC_INTERVAL)
            try:
                await asyncio.to_thread(self._recorder.sync)
            except JournalError as error:
                self.stop_for(error)

    def stop_for(self, error: JournalError) -> None:
        """Stop the run because something can't be written."""
        if str(error) not in self._logged:
            self._logged.add(str(error))
            log.error("%s", error)
        self._stop.set(str(error), Reason.NOT_WRITTEN)

    def _take(self, row: Row, result: Result) -> "_Batch":
        self._count(row, result)
        batch = self._batch
        batch.rows.append((row, result))
        if self._has_ended:
            self._record()
        elif len(batch.rows) == 1:
            self._wake()
        return batch

    def _wake(self) -> None:
        """Have `run` write down what there is, in the next turn."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _record(self) -> None:
        batch, self._batch = self._batch, _Batch()
        settled: list[tuple[Row, Result]] = []
        for row, result in batch.rows:
            if row.merged:
                settled.extend(_each(row, result))
            else:
                settled.append((row, result))
        if not settled:
            return
        try:
            self._recorder.record(settled)
        except JournalError as error:
            batch.end(error)
            self.stop_for(error)
            for row, result in settled:
                log.error("not written down: row %d, %r: %s", row.number, row.id, result.outcome)
            return
        batch.end()
        try:
            self._recorder.list_failed(settled)
        except JournalError as error:
            self.stop_for(error)

    def _count(self, row: Row, result: Result) -> None:
        """Stop the run once too many of the rows that it sent went wrong."""
        limit = self._max_failures
        if limit is None or result.sent is None or self._stop.is_set:
            return
        rows = 1 + len(row.merged)
        self._sent += rows
        self._failures += rows * (result.outcome not in SUCCESSES)
        if limit.is_reached(self._failures, self._sent):
            self._stop.set(
                f"{self._failures:,} of {self._sent:,} rows did not go through:"
                f" {setting('max_failures')} is {limit}",
                Reason.TOO_MANY_FAILURES,
            )


def _each(row: Row, result: Result) -> Iterator[tuple[Row, Result]]:
    """What became of a row that took others along, after what became of those that went with it.

    In this order: the line of a task's last row comes last, as where each is sent by itself.
    """
    for earlier in row.merged:
        yield (
            earlier,
            replaced(
                result,
                row=earlier.number,
                attempts=0,
                ms=None,
                sent=None,
                task=None,
                mismatches=None,
                sent_with=row.number,
            ),
        )
    yield row, replaced(result, merged=tuple(earlier.number for earlier in row.merged))
