"""Rows from the input to where they belong: the workers' backlog, or straight to the writer."""

import asyncio
import itertools
from collections.abc import Callable, Iterator

from bulkupdate.codec import replaced
from bulkupdate.engine.backlog import Backlog
from bulkupdate.errors import REOPENED, InputError, JournalError, RunStoppedError
from bulkupdate.journal.ledger import Ledger
from bulkupdate.models import SUCCESSES, ErrorInfo, Outcome, Row, unsent
from bulkupdate.reader import Input
from bulkupdate.session.merger import Merger
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop

#: Rows read between two looks at the rest of the program: less than a millisecond.
READ_BATCH = 32


class Feeder:
    """Reads an input that has been checked, and hands out every row that is not settled yet.

    Args:
        source: the input.
        ledger: what is settled.
        writer: takes the rows that need no request.
        stop: is set where the input is no more what was checked, or can't be put aside.
        retry_failed: whether what failed or stayed unconfirmed is tried again.
        first: so many rows are handed out to be sent, and no more; None for all.
        merger: makes one row of several of one task; None to send each.
        rows: how many rows it was found to have when it was checked, perhaps by another session;
            None for any number.
        may_be_invalid: whether there may be invalid ones among those that are sent.
        is_known: tells whether a row is known to be the one that was checked under its number.

    Attributes:
        has_ended: whether every row has been handed out.
        is_otherwise: whether a row was met that the check can't have seen so.
        sent: rows handed out to be sent.
    """

    def __init__(
        self,
        source: Input,
        ledger: Ledger,
        writer: Writer,
        stop: Stop,
        *,
        retry_failed: bool,
        first: int | None = None,
        merger: Merger | None = None,
        rows: int | None = None,
        may_be_invalid: bool = True,
        is_known: Callable[[Row], bool] = lambda _: False,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._writer = writer
        self._stop = stop
        self._retry_failed = retry_failed
        self._first = first
        self._merger = merger
        #: Tasks of which a row that comes before a settled one is sent now.
        self._sent_now: set[str] = set()
        #: Tasks of which a row was sent after a later one: the line of the log that says so.
        self._sent_late: dict[str, int] = {}
        self._rows_checked = rows
        self._rows_read = 0
        self._may_be_invalid = may_be_invalid
        self._is_known = is_known
        self.has_ended = False
        self.is_otherwise = False
        self.sent = 0

    async def feed(self, backlog: Backlog, *, send: bool) -> None:
        """Put every row that is not settled yet where it belongs.

        Args:
            backlog: takes the rows to send; closed at the end.
            send: whether anything is to be sent; if not, only the invalid rows are written down.
        """
        try:
            for batch in self._batches(await self._rows()):
                # Reading a local file is quick, and never waits: give way.
                await asyncio.sleep(0)
                last = self._ledger.last_row
                for row in batch:
                    if row.number <= last and self._is_settled(row):
                        continue
                    if row.update is None:
                        if send and not self._may_be_invalid:
                            raise self._unexpected(row, row.error)
                        error = ErrorInfo("invalid_row", row.error)
                        await self._writer.put(row, unsent(row, Outcome.INVALID, error))
                    elif send and row.is_sent:
                        for ready in self._merger.add(row) if self._merger else (row,):
                            if not await self._may_hand_out(ready):
                                return
                            await backlog.put(ready)
                    elif send:
                        await self._writer.put(row, unsent(row, Outcome.UNCHANGED))
            for ready in self._merger.rest() if self._merger else ():
                if not await self._may_hand_out(ready):
                    return
                await backlog.put(ready)
            self.has_ended = True
        except (InputError, JournalError) as error:
            self._stop.set(str(error))
        except RunStoppedError:
            return  # Whoever stopped the run has said why.
        finally:
            backlog.close()

    def _unexpected(self, row: Row, why: str) -> InputError:
        """What to say of a row that was checked as another: other libraries may read it so."""
        self.is_otherwise = True
        return InputError(f"{self._source.name}: row {row.number} is not as it was checked: {why}")

    async def _rows(self) -> Iterator[Row]:
        """The rows, but for those at the beginning that a session before has settled."""
        settled = self._ledger.settled_prefix(retry_failed=self._retry_failed)
        self._rows_read = settled
        if settled == self._rows_checked:
            return iter(())
        rows = self._source.rows(after=settled)
        if not settled:
            return rows
        # Passing over a million may take seconds.
        first = await asyncio.to_thread(next, rows, None)
        if self._source.places and not (first and self._is_known(first)):
            # Where a row begins was found out by another session: look for it ourselves.
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

    async def _may_hand_out(self, row: Row) -> bool:
        """Count a row that is about to be sent; False where it would be one too many."""
        if self.sent == self._first:
            return False
        self.sent += 1
        if row.merged or row.number <= self._ledger.last_row:
            for one in (*row.merged, row):
                if self._ledger.is_settled(one.number):
                    await self._reopen(replaced(one, merged=()))
        return True

    async def _reopen(self, row: Row) -> None:
        """Have the log say that a row which it calls failed is about to be sent again.

        Whenever the program ends, it is known then that it may have been applied.
        """
        if self._ledger.outcome(row.number) not in SUCCESSES:
            error = ErrorInfo(REOPENED, "was being sent again when the session ended")
            result = unsent(row, Outcome.UNCONFIRMED, error)
            await self._writer.write(row, replaced(result, cut_short=True))

    def _is_settled(self, row: Row) -> bool:
        """Whether there is nothing to send for a row.

        Where a row is sent now, or was sent again by a session that ended soon after, the later
        ones of its task are sent again after it: or else the older edit would have the last word.
        What is still owed shows in the log: the line of the later row comes before.
        """
        ledger, number = self._ledger, row.number
        line = ledger.line(number)
        settled = ledger.is_settled(number, retry_failed=self._retry_failed)
        if not row.is_sent:
            return settled
        if row.id in self._sent_now or line < self._sent_late.get(row.id, 0):
            settled = False
        if not settled:
            self._sent_now.add(row.id)
        elif ledger.was_sent_again(number):
            self._sent_late[row.id] = line
        return settled

    def _check_unchanged(self) -> None:
        if self._source.has_changed():
            raise InputError(f"{self._source.name} was written to while it was being sent")
