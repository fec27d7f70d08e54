"""Where every row of a run stands: one byte each, so that a million rows are a megabyte."""

from bulkupdate.errors import LANE_STOPPERS
from bulkupdate.models import SUCCESSES, Outcome, Result

_OUTCOMES = tuple(Outcome)
_CODES = {outcome: code for code, outcome in enumerate(_OUTCOMES, 1)}
_OUTCOME_BITS = 0x0F
_MISMATCH = 0x10
_UNSETTLED = 0x20


class Ledger:
    """The latest outcome of each row, by its number.

    Attributes:
        mismatches: rows whose Task came back with another value than was sent.
        unsettled: rows that have an outcome, and are sent again all the same when resuming.
    """

    def __init__(self) -> None:
        self._codes = bytearray()
        self._counts = dict.fromkeys(Outcome, 0)
        self.mismatches = 0
        self.unsettled = 0

    def record(self, result: Result) -> None:
        """Take in a result; it replaces an earlier one of the same row."""
        if result.row > len(self._codes):
            self._codes.extend(bytes(result.row - len(self._codes)))
        self._count(self._codes[result.row - 1], -1)
        code = _CODES[result.outcome]
        code |= _MISMATCH if result.mismatches else 0
        was_stopped = result.error is not None and result.error.type in LANE_STOPPERS
        code |= _UNSETTLED if was_stopped or result.cut_short else 0
        self._codes[result.row - 1] = code
        self._count(code, 1)

    def outcome(self, row: int) -> Outcome | None:
        """The outcome of a row, or None while it has none."""
        code = self._code(row)
        return _OUTCOMES[(code & _OUTCOME_BITS) - 1] if code else None

    def is_settled(self, row: int, *, retry_failed: bool = False) -> bool:
        """Whether there is nothing left to do for a row.

        A row that went down with a refused key is not settled: it was the key, not the row. Nor
        is one whose attempts were cut short by a stop.

        Args:
            row: its number.
            retry_failed: whether what failed or stayed unconfirmed is to be tried again.
        """
        code = self._code(row)
        if not code or code & _UNSETTLED:
            return False
        return not retry_failed or self.outcome(row) in (*SUCCESSES, Outcome.INVALID)

    @property
    def settled(self) -> int:
        """How many rows have an outcome."""
        return sum(self._counts.values())

    @property
    def unsuccessful(self) -> int:
        """How many rows have an outcome that is no success."""
        return sum(n for outcome, n in self._counts.items() if outcome not in SUCCESSES)

    def counts(self, rows: int) -> dict[str, int]:
        """Rows by outcome, and `unprocessed`: they add up to `rows`."""
        counts = {str(outcome): count for outcome, count in self._counts.items()}
        return {**counts, "unprocessed": rows - self.settled}

    def _code(self, row: int) -> int:
        return self._codes[row - 1] if row <= len(self._codes) else 0

    def _count(self, code: int, change: int) -> None:
        if code:
            self._counts[_OUTCOMES[(code & _OUTCOME_BITS) - 1]] += change
            self.mismatches += change if code & _MISMATCH else 0
            self.unsettled += change if code & _UNSETTLED else 0
