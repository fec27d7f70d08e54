"""Rows from the input to where they belong: the workers' backlog, or straight to the writer."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator

from bulkupdate.codec import replaced
from bulkupdate.engine.backlog import Backlog
from bulkupdate.errors import REOPENED, InputError, JournalError, RunStoppedError
from bulkupdate.models import ErrorInfo, Outcome, Reason, Row, unsent
from bulkupdate.reader import Input
from bulkupdate.session.merger import Merger
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop

#: Rows read between two looks at the rest of the program: less than a millisecond.
READ_BATCH = 32


class Feeder:
    """A pump: reads an input that has been checked, and hands out every row that remains.

    Args:
        source: the input.
        remaining: which rows are still to be settled.
        writer: takes the rows that need no request.
        stop: is set where the input is no longer what was checked, or rows can't be put aside.
        first: so many rows are handed out to be sent, and no more; None for all.
        merger: makes one row of several of one task; None to send each.
        rows: how many rows the check found, perhaps in another session; None for any number.
        may_be_invalid: whether there may be invalid ones among those that are sent.
        is_known: whether a row is known to be the one that was checked under its number.

    Attributes:
        has_ended: whether every row has been handed out.
        is_otherwise: whether a row was met that the check can't have seen so.
        sent: rows handed out to be sent.
    """

    def __init__(
        self,
        source: Input,
        remaining: Remaining,
        writer: Writer,
        stop: Stop,
        *,
        first: int | None = None,
        merger: Merger | None = None,
        rows: int | None = None,
        may_be_invalid: bool = True,
        is_known: Callable[[Row], bool] = lambda _: False,
    ) -> None:
        self._source = source
        self._remaining = remaining
        self._writer = writer
        self._stop = stop
        self._first = first
        self._merger = merger
        self._rows_checked = rows
        self._rows_read = 0
        self._may_be_invalid = may_be_invalid
        self._is_known = is_known
        self.has_ended = False
        self.is_otherwise = False
        self.sent = 0

    async def feed(self, backlog: Backlog, *, send: bool) -> None:
        """Put every row that remains where it belongs.

        Args:
            backlog: takes the rows to send; closed at the end.
            send: whether anything is to be sent; if not, only the invalid rows are written down.
        """
        try:
            for batch in self._batches(await self._rows()):
                # Reading a local file is quick, and never waits: give way.
                await asyncio.sleep(0)
                for row in batch:
                    if not self._remaining.includes(row):
                        continue
                    if row.update is None:
                        await self._put_invalid(row, send=send)
                    elif send and row.is_sent:
                        ready = self._merger.add(row) if self._merger else [row]
                        if not await self._hand_out(ready, backlog):
                            return
                    elif send:
                        await self._writer.put(row, unsent(row, Outcome.UNCHANGED))
            if self._merger and not await self._hand_out(self._merger.rest(), backlog):
                return
            self.has_ended = True
        except InputError as error:
            self._stop.set(str(error), Reason.INPUT_CHANGED)
        except JournalError as error:
            self._stop.set(str(error), Reason.NOT_WRITTEN)
        except RunStoppedError:
            return  # The stop has its reason already.
        finally:
            backlog.close()

    async def _put_invalid(self, row: Row, *, send: bool) -> None:
        if send and not self._may_be_invalid:
            raise self._unexpected(row, row.error)
        error = ErrorInfo("invalid_row", row.error)
        await self._writer.put(row, unsent(row, Outcome.INVALID, error))

    async def _hand_out(self, rows: Iterable[Row], backlog: Backlog) -> bool:
        """Put rows into the backlog; False where one of them would be one too many.

        The log is told first of a row that it calls failed and that is about to be sent again:
        whenever the program ends, it is known then that the update may have been applied.
        """
        for row in rows:
            if self.sent == self._first:
                return False
            self.sent += 1
            for one in self._remaining.to_reopen(row):
                error = ErrorInfo(REOPENED, "was being sent again when the session ended")
                result = unsent(one, Outcome.UNCONFIRMED, error)
                await self._writer.write(one, replaced(result, cut_short=True))
            await backlog.put(row)
        return True

    def _unexpected(self, row: Row, why: str) -> InputError:
        """The error for a row that was checked as another: other libraries may read it so."""
        self.is_otherwise = True
        return InputError(
            f"{self._source.name}: row {row.number} is not the one that was checked: {why}"
        )

    async def _rows(self) -> Iterator[Row]:
        """The rows, except those at the beginning that an earlier session has settled."""
        settled = self._remaining.settled_prefix
        self._rows_read = settled
        if settled == self._rows_checked:
            return iter(())
        rows = self._source.rows(after=settled)
        if not settled:
            return rows
        # Skipping a million may take seconds.
        first = await asyncio.to_thread(next, rows, None)
        if self._source.places and not (first and self._is_known(first)):
            # Another session has noted where a row begins: look for it ourselves.
            rows.close()
            self._source.places = []
            rows = self._source.rows(after=settled)
            first = await asyncio.to_thread(next, rows, None)
        return itertools.chain((first,) if first else (), rows)

    def _batches(self, rows: Iterator[Row]) -> Iterator[list[Row]]:
        """The rows, some at a time. None that was read after somebody wrote to the file."""
        checked = self._rows_checked
        while batch := list(itertools.islice(rows, READ_BATCH)):
            self._check_unchanged()
            self._rows_read = batch[-1].number
            if checked is not None and self._rows_read > checked:
                raise self._unexpected(batch[-1], "is one too many")
            yield batch
        self._check_unchanged()
        if checked is not None and self._rows_read < checked:
            self.is_otherwise = True
            raise InputError(
                f"{self._source.name} has {self._rows_read:,} rows, and had {checked:,} when it was"
                " checked"
            )

    def _check_unchanged(self) -> None:
        if self._source.has_changed():
            raise InputError(f"{self._source.name} was written to while it was being sent")
