"""The ledger: the latest outcome of every row, in five bytes (five megabytes for a million)."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

from bulkupdate.errors import LANE_STOPPERS, REOPENED
from bulkupdate.journal.rules import RulesOfRows
from bulkupdate.models import RETRIED, SUCCESSES, Mark, Outcome, Result

_OUTCOMES = tuple(Outcome)
_CODES = {outcome: code for code, outcome in enumerate(_OUTCOMES, 1)}
_OUTCOME_BITS = 0x0F
_MISMATCH = 0x10
_UNSETTLED = 0x20
_SENT_AGAIN = 0x40
_IN_DOUBT = 0x80

#: Outcomes in lines that no request led to. An earlier line of the row may be about one.
_NOT_SENT = frozenset({Outcome.UNCHANGED, Outcome.INVALID, Outcome.CONFLICT})


class Ledger:
    """The latest outcome and line of each row, by the number of the row."""

    def __init__(self) -> None:
        self._codes = bytearray()
        self._lines = array("I")
        self._line_count = 0
        self._reopened = 0
        self._counts = [0] * 0x100
        self._rules = RulesOfRows()
        #: Account → number of its rows by code.
        self._accounts: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def record(self, *results: Result | Mark) -> bool:
        """Add the next lines of the log. Each replaces an earlier line of the same row.

        Returns:
            Whether any of these rows had an earlier line.
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
            if result.rule is not None:
                self._rules.add(result.row, result.rule)
            of_account = None
            if result.account is not None:
                of_account = self._accounts[result.account]
            number += 1
            index = result.row - 1
            if index >= size:
                # Nearly always the next row.
                missing = index - size
                if missing:
                    codes.extend(bytes(missing))
                    lines.extend([0] * missing)
                codes.append(code)
                lines.append(number)
                size = index + 1
            else:
                if was := codes[index]:
                    code |= _kept(was, result.outcome)
                    has_replaced = True
                    counts[was] -= 1
                    if of_account is not None:
                        of_account[was] -= 1
                codes[index] = code
                lines[index] = number
            counts[code] += 1
            if of_account is not None:
                of_account[code] += 1
        self._line_count = number
        return has_replaced

    @property
    def settlements(self) -> int:
        """Number of times that a row was settled. A row that was sent again counts again."""
        return self._line_count - self._reopened

    def line(self, row: int) -> int:
        """The number of the latest line of the log for a row, from 1; 0 without one."""
        return self._lines[row - 1] if row <= len(self._lines) else 0

    def settling_line(self, row: int) -> int:
        """The number of the line of the log that settles a row; 0 without one.

        The line of an invalid row does not settle it: the row is checked again.
        """
        is_invalid = self.outcome(row) is Outcome.INVALID
        return self.line(row) if self.is_settled(row) and not is_invalid else 0

    def was_sent_again(self, row: int) -> bool:
        """Whether a row was sent again. Its last line may then follow lines of later rows."""
        return bool(self._code(row) & _SENT_AGAIN)

    def unsuccessful_lines(self) -> list[tuple[int, int]]:
        """The line of the log and the number of every unsuccessful row, in the order of the log."""
        failed = {_CODES[outcome] for outcome in _OUTCOMES if outcome not in SUCCESSES}
        return sorted(
            (self._lines[index], index + 1)
            for index, code in enumerate(self._codes)
            if code & _OUTCOME_BITS in failed
        )

    @property
    def last_row(self) -> int:
        """The highest number of a row with an outcome."""
        return len(self._codes)

    def settled_prefix(self, *, retry_failed: bool, retry_invalid: bool = False) -> int:
        """Number of rows at the beginning that are settled, and that no later row must wait for.

        Args:
            retry_failed: whether failed, unconfirmed and conflicting rows are tried again.
            retry_invalid: whether invalid rows are looked at again.
        """
        retried = {_CODES[outcome] for outcome in RETRIED}
        invalid = _CODES[Outcome.INVALID]
        open_codes = bytes(
            not code & _OUTCOME_BITS
            or bool(code & (_UNSETTLED | _SENT_AGAIN))
            or (retry_failed and code & _OUTCOME_BITS in retried)
            or (retry_invalid and code & _OUTCOME_BITS == invalid)
            for code in range(0x100)
        )
        index = self._codes.translate(open_codes).find(1)
        return len(self._codes) if index < 0 else index

    def outcome(self, row: int) -> Outcome | None:
        """The outcome of a row, or None without one."""
        code = self._code(row)
        return _OUTCOMES[(code & _OUTCOME_BITS) - 1] if code else None

    def is_in_doubt(self, row: int) -> bool:
        """Whether a request for a row may have been applied, and none of its lines says so.

        A conflict leaves a row in the doubt of its earlier lines: nothing was sent since.
        """
        return self.outcome(row) is Outcome.UNCONFIRMED or bool(self._code(row) & _IN_DOUBT)

    def is_settled(self, row: int, *, retry_failed: bool = False) -> bool:
        """Whether nothing is left to do for a row.

        A row that failed because of a refused key is not settled: the key was wrong, not the row.
        A row whose attempts a stop cut short is not settled either.

        Args:
            row: the number of the row.
            retry_failed: whether failed, unconfirmed and conflicting rows are tried again.
        """
        code = self._code(row)
        if not code or code & _UNSETTLED:
            return False
        return not retry_failed or self.outcome(row) not in RETRIED

    @property
    def settled(self) -> int:
        """Number of rows with an outcome."""
        return sum(self._counts[1:])

    @property
    def unsettled(self) -> int:
        """Number of rows with an outcome that a resumed run still sends again."""
        return sum(n for code, n in enumerate(self._counts) if code & _UNSETTLED)

    @property
    def mismatches(self) -> int:
        """Number of rows whose Task came back with another value than was sent."""
        return sum(n for code, n in enumerate(self._counts) if code & _MISMATCH)

    @property
    def unsuccessful(self) -> int:
        """Number of rows with an outcome that is not a success."""
        return sum(self._count(outcome) for outcome in _OUTCOMES if outcome not in SUCCESSES)

    def counts(self, rows: int) -> dict[str, int]:
        """Number of rows by outcome, and `unprocessed`. The sum is `rows`."""
        return _by_outcome(enumerate(self._counts), rows)

    def of_account(self, account: str, rows: int) -> dict[str, int]:
        """The same for the rows of an account.

        Args:
            account: the name of the account.
            rows: number of its rows in the input.
        """
        return _by_outcome(self._accounts[account].items(), rows)

    def rules(self) -> dict[str, dict[str, int]]:
        """Number of rows with an outcome by rule and outcome; empty where no row is of a rule."""
        names = ["", *(outcome.value for outcome in _OUTCOMES)]
        return self._rules.counts(names[code & _OUTCOME_BITS] for code in self._codes)

    def _code(self, row: int) -> int:
        return self._codes[row - 1] if row <= len(self._codes) else 0

    def _count(self, outcome: Outcome) -> int:
        wanted = _CODES[outcome]
        return sum(n for code, n in enumerate(self._counts) if code & _OUTCOME_BITS == wanted)


def _by_outcome(codes: Iterable[tuple[int, int]], rows: int) -> dict[str, int]:
    """Number of rows by outcome, and `unprocessed`, from the number of rows by code."""
    counts = dict.fromkeys((*_OUTCOMES, "unprocessed"), 0)
    for code, n in codes:
        if n and code:
            counts[_OUTCOMES[(code & _OUTCOME_BITS) - 1]] += n
    counts["unprocessed"] = rows - sum(counts.values())
    return {str(name): n for name, n in counts.items()}


def _kept(was: int, outcome: Outcome) -> int:
    """The bits of a row with an earlier line: what that line leaves true, and what this one adds.

    Args:
        was: the code of the earlier line.
        outcome: the outcome in the new line.
    """
    if outcome not in _NOT_SENT:
        return _SENT_AGAIN
    kept = was & _SENT_AGAIN
    if outcome is Outcome.CONFLICT:
        kept |= was & _IN_DOUBT
        if was & _OUTCOME_BITS == _CODES[Outcome.UNCONFIRMED]:
            kept |= _IN_DOUBT
    return kept
