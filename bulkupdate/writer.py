"""Settled rows on their way to the disk: a bounded queue, and the task that empties it."""

import asyncio
import logging
from collections.abc import Iterator
from typing import NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.config import FailureLimit
from bulkupdate.errors import JournalError
from bulkupdate.models import SUCCESSES, Result, Row
from bulkupdate.recorder import Recorder
from bulkupdate.stop import Stop

#: Settled rows that may wait for the writer, before the workers wait too.
RESULT_QUEUE = 256

#: Seconds between two times that the disk is asked to confirm the log.
SYNC_INTERVAL = 1.0

log = logging.getLogger(__name__)


class _Item(NamedTuple):
    """A settled row, and who waits for it to be written, if anybody does."""

    row: Row
    result: Result
    written: asyncio.Future[None] | None

    def tell(self, error: JournalError | None) -> None:
        """Say that it is written, or why it is not."""
        if self.written is None or self.written.done():
            return
        if error is None:
            self.written.set_result(None)
        else:
            self.written.set_exception(error)


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
        self._recorder = recorder
        self._stop = stop
        self._max_failures = max_failures
        self._sent = self._failures = 0
        self._said: set[str] = set()
        self._results: asyncio.Queue[_Item | None] = asyncio.Queue(RESULT_QUEUE)

    async def put(self, row: Row, result: Result) -> None:
        """Take a settled row, waiting for room. It is written down soon."""
        await self._results.put(_Item(row, result, None))

    async def write(self, row: Row, result: Result) -> None:
        """Take a settled row, and wait until it is in the log.

        Raises:
            JournalError: it is not.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._results.put(_Item(row, result, written))
        await written

    async def end(self) -> None:
        """Say that no further row comes."""
        await self._results.put(None)

    async def run(self) -> None:
        """Write results down, as many at once as there are, until the end is said."""
        batch: list[_Item] = []
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
        if str(error) not in self._said:
            self._said.add(str(error))
            log.error("%s", error)
        self._stop.set(str(error))

    def _record(self, batch: list[_Item]) -> None:
        settled = [pair for item in batch for pair in _each(item.row, item.result)]
        try:
            self._recorder.log(settled)
        except JournalError as error:
            self.stop_for(error)
            for _, result in settled:
                log.error("not written down: row %d, %r: %s", result.row, result.id, result.outcome)
            for item in batch:
                item.tell(error)
            return
        try:
            self._recorder.list_failed(settled)
        except JournalError as error:
            self.stop_for(error)
        for item in batch:
            item.tell(None)
            self._count(item.row, item.result)

    def _count(self, row: Row, result: Result) -> None:
        """Stop the run once too many of the rows that it sent went wrong."""
        if result.sent is None or self._stop.is_set:
            return
        rows = 1 + len(row.merged)
        self._sent += rows
        self._failures += rows * (result.outcome not in SUCCESSES)
        limit = self._max_failures
        if limit is not None and limit.is_reached(self._failures, self._sent):
            self._stop.set(
                f"{self._failures:,} of {self._sent:,} rows did not go through: --max-failures is"
                f" {limit}",
                unless_complete=True,
            )


def _each(row: Row, result: Result) -> Iterator[tuple[Row, Result]]:
    """What became of a row, after what became of those that went with it.

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
    if row.merged:
        result = replaced(result, merged=tuple(earlier.number for earlier in row.merged))
    yield row, result
