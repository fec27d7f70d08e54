"""Where every row of a run stands: five bytes each, so that a million rows are five megabytes."""

from array import array

from bulkupdate.errors import LANE_STOPPERS, REOPENED
from bulkupdate.models import SUCCESSES, Mark, Outcome, Result

_OUTCOMES = tuple(Outcome)
_CODES = {outcome: code for code, outcome in enumerate(_OUTCOMES, 1)}
_OUTCOME_BITS = 0x0F
_MISMATCH = 0x10
_UNSETTLED = 0x20
_SENT_AGAIN = 0x40


class Ledger:
    """The latest outcome of each row, by its number."""

    def __init__(self) -> None:
        self._codes = bytearray()
        self._lines = array("I")
        self._line_count = 0
        self._reopened = 0
        self._counts = [0] * 0x80

    def record(self, *results: Result | Mark) -> bool:
        """Take in the next lines of the log; each replaces an earlier one of the same row.

        Returns:
            Whether there was an earlier one of any of them.
        """
        has_replaced = False
        codes, lines, counts, number = self._codes, self._lines, self._counts, self._line_count
        size = len(codes)
        for result in results:
            code = _CODES[result.outcome]
            if result.mismatches:
                code |= _MISMATCH
            error = result.error
            if result.cut_short or (error is not None and error.type in LANE_STOPPERS):
                code |= _UNSETTLED
                if error is not None and error.type == REOPENED:
                    self._reopened += 1
            number += 1
            place = result.row - 1
            if place >= size:
                # Nearly always the next one.
                missing = place - size
                if missing:
                    codes.extend(bytes(missing))
                    lines.extend([0] * missing)
                codes.append(code)
                lines.append(number)
                size = place + 1
            else:
                if was := codes[place]:
                    code |= _SENT_AGAIN
                    has_replaced = True
                    counts[was] -= 1
                codes[place] = code
                lines[place] = number
            counts[code] += 1
        self._line_count = number
        return has_replaced

    @property
    def settlements(self) -> int:
        """How often a row was settled: one that was tried again counts again."""
        return self._line_count - self._reopened

    def line(self, row: int) -> int:
        """The number of the line of the log that counts for a row, from 1; 0 where it has none."""
        return self._lines[row - 1] if row <= len(self._lines) else 0

    def settling_line(self, row: int) -> int:
        """The line of the log that settles what a row said; 0 where none does.

        That a row is invalid is no such thing: it is judged anew.
        """
        is_judged = self.outcome(row) is Outcome.INVALID
        return self.line(row) if self.is_settled(row) and not is_judged else 0

    def was_sent_again(self, row: int) -> bool:
        """Whether a row has more than one line: the last may come after those of later rows."""
        return bool(self._code(row) & _SENT_AGAIN)

    def unsuccessful_lines(self) -> list[tuple[int, int]]:
        """The line of the log and the number of every row that did not succeed, by line."""
        failed = {_CODES[outcome] for outcome in _OUTCOMES if outcome not in SUCCESSES}
        return sorted(
            (self._lines[place], place + 1)
            for place, code in enumerate(self._codes)
            if code & _OUTCOME_BITS in failed
        )

    @property
    def last_row(self) -> int:
        """The highest number of a row that has an outcome, or had one."""
        return len(self._codes)

    def settled_prefix(self, *, retry_failed: bool) -> int:
        """How many rows at the beginning leave nothing to do, nor anything to keep an order with.

        Args:
            retry_failed: as in `is_settled`.
        """
        done = {_CODES[outcome] for outcome in (*SUCCESSES, Outcome.INVALID)}
        open_codes = bytes(
            not code & _OUTCOME_BITS
            or bool(code & (_UNSETTLED | _SENT_AGAIN))
            or (retry_failed and code & _OUTCOME_BITS not in done)
            for code in range(0x100)
        )
        place = self._codes.translate(open_codes).find(1)
        return len(self._codes) if place < 0 else place

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
        return sum(self._counts[1:])

    @property
    def unsettled(self) -> int:
        """How many rows have an outcome, and are sent again all the same when resuming."""
        return sum(n for code, n in enumerate(self._counts) if code & _UNSETTLED)

    @property
    def mismatches(self) -> int:
        """How many rows have a Task that came back with another value than was sent."""
        return sum(n for code, n in enumerate(self._counts) if code & _MISMATCH)

    @property
    def unsuccessful(self) -> int:
        """How many rows have an outcome that is no success."""
        return sum(self._count(outcome) for outcome in _OUTCOMES if outcome not in SUCCESSES)

    def counts(self, rows: int) -> dict[str, int]:
        """Rows by outcome, and `unprocessed`: they add up to `rows`."""
        counts = {outcome.value: self._count(outcome) for outcome in _OUTCOMES}
        return {**counts, "unprocessed": rows - self.settled}

    def _code(self, row: int) -> int:
        return self._codes[row - 1] if row <= len(self._codes) else 0

    def _count(self, outcome: Outcome) -> int:
        wanted = _CODES[outcome]
        return sum(n for code, n in enumerate(self._counts) if code & _OUTCOME_BITS == wanted)
