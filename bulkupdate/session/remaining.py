"""What is still to be done: a pure reading of the ledger, row by row."""

from collections.abc import Iterator

from bulkupdate.codec import replaced
from bulkupdate.journal import Ledger
from bulkupdate.models import SUCCESSES, Row


class Remaining:
    """The rows that a session still has to settle.

    Where a row is sent now, or was sent again by a session that ended soon after, the later ones of
    its task are sent again after it: or else the older edit would have the last word. The log shows
    what is still owed: the line of the later row comes before.

    Args:
        ledger: the outcomes so far.
        retry_failed: whether what failed or stayed unconfirmed is tried again.
    """

    def __init__(self, ledger: Ledger, *, retry_failed: bool) -> None:
        self._ledger = ledger
        self._retry_failed = retry_failed
        #: Tasks of which a row that comes before a settled one is sent now.
        self._sent_now: set[str] = set()
        #: Tasks of which a row was sent after a later one: the line of the log that shows it.
        self._sent_late: dict[str, int] = {}

    @property
    def settled_prefix(self) -> int:
        """Rows at the beginning of the input that can be skipped without a look at them."""
        return self._ledger.settled_prefix(retry_failed=self._retry_failed)

    def includes(self, row: Row) -> bool:
        """Whether a row is to be settled. Rows are asked about in their order, each once."""
        ledger, number = self._ledger, row.number
        if number > ledger.last_row:
            return True
        is_settled = ledger.is_settled(number, retry_failed=self._retry_failed)
        if not row.is_sent:
            return not is_settled
        line = ledger.line(number)
        if row.id in self._sent_now or line < self._sent_late.get(row.id, 0):
            is_settled = False
        if not is_settled:
            self._sent_now.add(row.id)
        elif ledger.was_sent_again(number):
            self._sent_late[row.id] = line
        return not is_settled

    def to_reopen(self, row: Row) -> Iterator[Row]:
        """The rows that the log calls failed and that are about to be sent again with this one."""
        if not row.merged and row.number > self._ledger.last_row:
            return
        for one in (*row.merged, row):
            is_settled = self._ledger.is_settled(one.number)
            if is_settled and self._ledger.outcome(one.number) not in SUCCESSES:
                yield replaced(one, merged=())
