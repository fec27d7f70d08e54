"""Rows from the input to where they belong: the workers' backlog, or straight to the writer."""

import asyncio

from bulkupdate.backlog import Backlog
from bulkupdate.errors import InputError, JournalError
from bulkupdate.ledger import Ledger
from bulkupdate.models import ErrorInfo, Outcome, Row, unsent
from bulkupdate.reader import Input
from bulkupdate.stop import Stop
from bulkupdate.writer import Writer

#: Rows read between two looks at the rest of the program: a millisecond or two.
READ_BATCH = 64


class Feeder:
    """Reads an input that has been checked, and hands out every row that is not settled yet.

    Args:
        source: the input.
        ledger: what is settled.
        writer: takes the rows that need no request.
        stop: is set where the input is no more what was checked, or can't be put aside.
        retry_failed: whether what failed or stayed unconfirmed is tried again.
    """

    def __init__(
        self, source: Input, ledger: Ledger, writer: Writer, stop: Stop, *, retry_failed: bool
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._writer = writer
        self._stop = stop
        self._retry_failed = retry_failed
        self._tried_again: set[str] = set()

    async def feed(self, backlog: Backlog, *, send: bool) -> None:
        """Put every row that is not settled yet where it belongs.

        Args:
            backlog: takes the rows to send; closed at the end.
            send: whether anything is to be sent; if not, only the invalid rows are written down.
        """
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
                    await self._writer.put(row, unsent(row, Outcome.INVALID, error))
                elif send and row.update.changes():
                    await backlog.put(row)
                elif send:
                    await self._writer.put(row, unsent(row, Outcome.UNCHANGED))
            self._check_unchanged()
        except (InputError, JournalError) as error:
            self._stop.set(str(error))
        finally:
            backlog.close()

    def _is_settled(self, row: Row) -> bool:
        """Whether there is nothing to send for a row.

        Where a row is tried again, the later ones of its task are sent again after it: or else the
        older edit would have the last word.
        """
        was_tried = self._ledger.outcome(row.number) not in (None, Outcome.INVALID)
        if not self._ledger.is_settled(row.number, retry_failed=self._retry_failed):
            if was_tried:
                self._tried_again.add(row.id)
            return False
        return not (was_tried and row.id in self._tried_again)

    def _check_unchanged(self) -> None:
        if self._source.has_changed():
            raise InputError(f"{self._source.name} was written to while it was being sent")
