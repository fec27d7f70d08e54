"""The feeder: it sends the rows of the input to the backlog, or directly to the writer."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from bulkupdate.codec import replaced
from bulkupdate.engine.backlog import Backlog
from bulkupdate.errors import REOPENED, InputError, JournalError, RunStoppedError
from bulkupdate.models import ErrorInfo, Outcome, Reason, Row, unsent
from bulkupdate.session.merger import Merger
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop

#: Rows that are read before other tasks may run. Reading them takes less than a millisecond.
READ_BATCH = 32


class RowSource(Protocol):
    """Rows that can be read more than once: those of an input, or of one account in it.

    Attributes:
        name: the name of the input in messages.
        places: known positions of rows, as in `Input`.
    """

    name: str
    places: list[tuple[int, int]]

    def rows(self, after: int = 0) -> Generator[Row]:
        """Every row after a number of rows of the input."""

    def has_changed(self) -> bool:
        """Whether the input has changed since it was opened."""

    def again(self) -> AbstractContextManager["RowSource"]:
        """The same rows, opened once more: they can be read beside these."""


class Feeder:
    """A reader of a checked input. It hands out every remaining row.

    Args:
        source: the input.
        remaining: decides which rows have to be settled.
        writer: receives the rows that need no request.
        stop: is set if the input has changed since the check, or rows can't be parked on disk.
        first: most rows that are handed out to be sent; None for all.
        merger: merges the rows of one task into one; None sends each row.
        rows: the number of rows in the check, perhaps of another session; None for any number.
        may_be_invalid: whether invalid rows may occur although rows are sent.
        is_known: whether a row is the one that was checked under its number. No other is sent.
        settle: settles a row that needs no request, and returns whether it did; None for no row.
        is_done: whether a row is settled already in this session, by its number.
        coming: is told of rows before they are handed out.

    Attributes:
        has_ended: whether every row has been handed out.
        is_otherwise: whether a row differed from the row in the check.
        sent: the number of rows handed out to be sent.
    """

    def __init__(
        self,
        source: RowSource,
        remaining: Remaining,
        writer: Writer,
        stop: Stop,
        *,
        first: int | None = None,
        merger: Merger | None = None,
        rows: int | None = None,
        may_be_invalid: bool = True,
        is_known: Callable[[Row], bool] = lambda _: True,
        settle: Callable[[Row], Awaitable[bool]] | None = None,
        is_done: Callable[[int], bool] = lambda _: False,
        coming: Callable[[list[Row]], object] = lambda _: None,
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
        self._settle = settle
        self._is_done = is_done
        self._coming = coming
        self.has_ended = False
        self.is_otherwise = False
        self.sent = 0

    async def feed(self, backlog: Backlog, *, send: bool) -> None:
        """Hand out every remaining row.

        Args:
            backlog: receives the rows to send. It is closed at the end.
            send: whether rows are sent. If not, only the results of invalid rows are written.
        """
        try:
            for batch in self._batches(await self._rows()):
                # Reading a local file never awaits, so let other tasks run.
                await asyncio.sleep(0)
                self._coming(batch)
                for row in batch:
                    if not self._remaining.includes(row) or self._is_done(row.number):
                        continue
                    if not self._is_known(row):
                        raise self._unexpected(row, "its content differs")
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
            return  # The stop already has its reason.
        finally:
            backlog.close()

    async def _put_invalid(self, row: Row, *, send: bool) -> None:
        if send and not self._may_be_invalid:
            raise self._unexpected(row, row.error)
        error = ErrorInfo("invalid_row", row.error)
        await self._writer.put(row, unsent(row, Outcome.INVALID, error))

    async def _hand_out(self, rows: Iterable[Row], backlog: Backlog) -> bool:
        """Put rows into the backlog. Return False once `first` rows have been handed out.

        If the log calls a row failed and the row is about to be sent again, a line goes to the log
        first. It says that the update may have been applied, in case the program is killed.
        """
        for row in rows:
            if self.sent == self._first:
                return False
            if self._settle is not None and await self._settle(row):
                continue
            self.sent += 1
            for one in self._remaining.to_reopen(row):
                error = ErrorInfo(REOPENED, "was being sent again when the session ended")
                result = unsent(one, Outcome.UNCONFIRMED, error)
                await self._writer.write(one, replaced(result, cut_short=True))
            await backlog.put(row)
        return True

    def _unexpected(self, row: Row, why: str) -> InputError:
        """The error for a row that differs from the check, as with another version of a library."""
        self.is_otherwise = True
        return InputError(
            f"{self._source.name}: row {row.number} is not the one that was checked: {why}"
        )

    async def _rows(self) -> Iterator[Row]:
        """The rows, without those at the beginning that an earlier session has settled."""
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
            # The position of the row comes from another session and is wrong: read from the start.
            rows.close()
            self._source.places = []
            rows = self._source.rows(after=settled)
            first = await asyncio.to_thread(next, rows, None)
        return itertools.chain((first,) if first else (), rows)

    def _batches(self, rows: Iterator[Row]) -> Iterator[list[Row]]:
        """The rows in batches. No row is used that was read after the file changed."""
        checked = self._rows_checked
        while batch := list(itertools.islice(rows, READ_BATCH)):
            self._check_unchanged()
            self._rows_read = batch[-1].number
            if checked is not None and self._rows_read > checked:
                raise self._unexpected(batch[-1], "the check found no more rows")
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
