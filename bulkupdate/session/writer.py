"""The writer: it collects settled rows for a few turns of the event loop, and writes a batch."""

import asyncio
import logging
from collections.abc import Iterator

from bulkupdate.codec import replaced
from bulkupdate.errors import JournalError
from bulkupdate.journal import Recorder
from bulkupdate.models import Reason, Result, Row
from bulkupdate.stop import Stop

#: Settled rows that may wait to be written before `put` waits too.
BATCH = 256

#: Seconds between two syncs of the log to the disk.
SYNC_INTERVAL = 1.0

log = logging.getLogger(__name__)


class _Batch:
    """A batch of settled rows that are written together.

    Attributes:
        rows: the rows with their results, in the order of arrival.
        waiting: futures of the callers that wait for the batch.
        is_over: whether the write has succeeded or failed.
        error: the error if the write has failed, else None.
    """

    __slots__ = ("error", "is_over", "rows", "waiting")

    def __init__(self) -> None:
        self.rows: list[tuple[Row, Result]] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.is_over = False
        self.error: JournalError | None = None

    def end(self, error: JournalError | None = None) -> None:
        """Mark the write as done or failed, and wake the waiting callers."""
        self.is_over, self.error = True, error
        for waiting in self.waiting:
            if not waiting.done():
                waiting.set_result(None)


class Writer:
    """The writer of results.

    Args:
        recorder: holds the result files.
        stop: is set if a file can't be written.
    """

    def __init__(self, recorder: Recorder, stop: Stop) -> None:
        self._loop = asyncio.get_running_loop()
        self._recorder = recorder
        self._stop = stop
        self._logged: set[str] = set()
        self._batch = _Batch()
        #: The future that `run` waits for when there is no row. An Event would cost twice as much.
        self._waiting: asyncio.Future[None] | None = None
        self._has_ended = False

    async def put(self, row: Row, result: Result) -> None:
        """Add a settled row, which is written within a few turns of the event loop.

        If a whole batch waits to be written, the caller waits too.
        """
        self._take(row, result)
        if len(self._batch.rows) >= BATCH:
            await asyncio.sleep(0)

    async def write(self, row: Row, result: Result) -> None:
        """Add a settled row, and wait until it is in the log.

        Raises:
            JournalError: the row could not be written.
        """
        batch = self._take(row, result)
        if not batch.is_over:
            written = self._loop.create_future()
            batch.waiting.append(written)
            await written
        if batch.error is not None:
            raise batch.error

    def end(self) -> None:
        """End `run`. A row that comes later is written at once."""
        self._has_ended = True
        self._wake()

    async def run(self) -> None:
        """Write results in batches until `end` is called."""
        try:
            while not self._has_ended:
                if not self._batch.rows:
                    self._waiting = self._loop.create_future()
                    await self._waiting
                # Wait as long as every turn brings more rows. Rows that are written together, and
                # whose workers then send together, cost 8 % less. The wait ends when all
                # workers have brought a row, or the batch is full.
                size = 0
                while size < len(self._batch.rows) < BATCH:
                    size = len(self._batch.rows)
                    await asyncio.sleep(0)
                self._record()
        finally:
            # After a cancellation too, every settled row is written, now or when it comes.
            self._has_ended = True
            self._record()

    async def sync_regularly(self) -> None:
        """Sync the log to the disk once a second, until cancelled."""
        while True:
            await asyncio.sleep(SYNC_INTERVAL)
            try:
                await asyncio.to_thread(self._recorder.sync)
            except JournalError as error:
                self.stop_for(error)

    def stop_for(self, error: JournalError) -> None:
        """Stop the run because a file can't be written."""
        if str(error) not in self._logged:
            self._logged.add(str(error))
            log.error("%s", error)
        self._stop.set(str(error), Reason.NOT_WRITTEN)

    def _take(self, row: Row, result: Result) -> "_Batch":
        batch = self._batch
        batch.rows.append((row, result))
        if self._has_ended:
            self._record()
        elif len(batch.rows) == 1:
            self._wake()
        return batch

    def _wake(self) -> None:
        """Wake `run`, so that it writes in the next turn of the event loop."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _record(self) -> None:
        batch, self._batch = self._batch, _Batch()
        settled: list[tuple[Row, Result]] = []
        for row, result in batch.rows:
            if row.merged:
                settled.extend(each_result(row, result))
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
                log.error("result not written: row %d, %r: %s", row.number, row.id, result.outcome)
            return
        batch.end()
        try:
            self._recorder.list_failed(settled)
        except JournalError as error:
            self.stop_for(error)


def each_result(row: Row, result: Result) -> Iterator[tuple[Row, Result]]:
    """The results of the rows in one merged request, with the last row at the end.

    So the line of a task's last row comes last in the log, as it does without merging.
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
                rule=earlier.rule,
            ),
        )
    yield row, replaced(result, merged=tuple(earlier.number for earlier in row.merged))
