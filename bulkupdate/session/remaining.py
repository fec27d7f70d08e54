"""The rows that a session has to settle, according to the ledger."""

from collections.abc import Iterator

from bulkupdate.codec import replaced
from bulkupdate.journal import Ledger
from bulkupdate.models import SUCCESSES, Outcome, Row


class Remaining:
    """The rows that a session still has to settle.

    If a row is sent now, the later rows of its task are sent again after it. Otherwise the older
    edit would win. The same holds for a row that an earlier session sent again just before it
    ended. The log shows this: the line of the later row comes before the line of that row.

    Args:
        ledger: the outcomes so far.
        retry_failed: whether failed, unconfirmed and conflicting rows are tried again.
        was_cut_off: whether the last session may have ended with requests in flight.
        names_people: whether a row may be invalid because of the people it names. They may have
            joined the team since, so that such a row is looked at in each session.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        retry_failed: bool,
        was_cut_off: bool = False,
        names_people: bool = False,
    ) -> None:
        self._ledger = ledger
        self._names_people = names_people
        self._was_cut_off = was_cut_off
        #: Rows that are sent again, and that no earlier attempt had changed.
        self._refused_before: set[int] = set()
        self._retry_failed = retry_failed
        #: Tasks with a row that is sent now. Their later rows are sent again.
        self._sent_now: set[str] = set()
        #: Task with a row that was sent after a later row → the log line of that row.
        self._sent_late: dict[str, int] = {}

    @property
    def settled_prefix(self) -> int:
        """The number of rows at the beginning of the input that can be skipped unread."""
        return self._ledger.settled_prefix(
            retry_failed=self._retry_failed, retry_invalid=self._names_people
        )

    def includes(self, row: Row) -> bool:
        """Whether a row has to be settled. Call it once for each row, in the order of the input."""
        ledger, number = self._ledger, row.number
        if number > ledger.last_row:
            return True
        is_settled = ledger.is_settled(number, retry_failed=self._retry_failed)
        if not row.is_sent:
            return not is_settled
        if self._names_people and ledger.outcome(number) is Outcome.INVALID:
            is_settled = False
        line = ledger.line(number)
        if row.id in self._sent_now or line < self._sent_late.get(row.id, 0):
            is_settled = False
        if not is_settled:
            self._sent_now.add(row.id)
        elif ledger.was_sent_again(number):
            self._sent_late[row.id] = line
        return not is_settled

    def follow(self, row: Row) -> None:
        """Take a row that was settled in this session for one that is sent now."""
        self._sent_now.add(row.id)

    def was_sent(self, row: Row) -> bool:
        """Whether an earlier session may have sent a row, and its answer is not known."""
        return any(self._may_be_applied(one.number) for one in (*row.merged, row))

    def _may_be_applied(self, number: int) -> bool:
        if self._ledger.outcome(number) is None:
            return self._was_cut_off
        return self._ledger.is_in_doubt(number) and number not in self._refused_before

    def to_reopen(self, row: Row) -> Iterator[Row]:
        """The unsuccessful rows in the log that are about to be sent again with this row."""
        if not row.merged and row.number > self._ledger.last_row:
            return
        for one in (*row.merged, row):
            is_settled = self._ledger.is_settled(one.number)
            outcome = self._ledger.outcome(one.number)
            if is_settled and outcome not in SUCCESSES:
                if not self._ledger.is_in_doubt(one.number):
                    self._refused_before.add(one.number)
                yield replaced(one, merged=())
