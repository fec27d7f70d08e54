"""Tests of the ledger of outcomes."""

from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.errors import REOPENED
from bulkupdate.journal.ledger import Ledger
from bulkupdate.models import ErrorInfo, Mismatch, Outcome, Result


def result(row: int, outcome: Outcome, error: str | None = None, mismatch: bool = False) -> Result:
    return Result(
        row=row,
        id="a",
        outcome=outcome,
        attempts=1,
        at="",
        error=ErrorInfo(error, "x") if error else None,
        mismatches={"userId": Mismatch(1, 2)} if mismatch else None,
    )


@given(st.lists(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(Outcome), st.booleans()))))
def test_counts_add_up_with_last_outcomes(
    batches: list[list[tuple[int, Outcome, bool]]],
) -> None:
    """The counts add up to the number of rows, and the last outcome of a row counts."""
    ledger, model = Ledger(), dict[int, tuple[Outcome, bool]]()
    line, lines = 0, dict[int, int]()
    again = set[int]()
    for batch in batches:
        repeated = set[int]()
        for row, outcome, mismatch in batch:
            line += 1
            repeated |= {row} & set(model)
            model[row], lines[row] = (outcome, mismatch), line
        found = ledger.record(*(result(row, o, mismatch=m) for row, o, m in batch))
        assert found == bool(repeated)
        again |= repeated
    assert ledger.settlements == line
    for row in range(1, 60):
        assert ledger.line(row) == lines.get(row, 0)
        assert ledger.was_sent_again(row) == (row in again)
    assert ledger.last_row == max(model, default=0)
    counts = ledger.counts(60)
    assert sum(counts.values()) == 60
    assert counts["unprocessed"] == 60 - len(model)
    for outcome in Outcome:
        assert counts[outcome] == sum(o is outcome for o, _ in model.values())
    assert ledger.mismatches == sum(mismatch for _, mismatch in model.values())
    assert {row: ledger.outcome(row) for row in model} == {r: o for r, (o, _) in model.items()}


@given(
    st.lists(
        st.tuples(
            st.integers(1, 12), st.sampled_from(Outcome), st.sampled_from([None, "unauthorized"])
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_settled_prefix_leaves_nothing_to_do(
    written: list[tuple[int, Outcome, str | None]], retry_failed: bool
) -> None:
    """The settled prefix holds only rows with nothing to do, and the next row has some."""
    ledger = Ledger()
    for row, outcome, error in written:
        ledger.record(result(row, outcome, error=error))
    prefix = ledger.settled_prefix(retry_failed=retry_failed)

    def leaves_nothing(row: int) -> bool:
        is_settled = ledger.is_settled(row, retry_failed=retry_failed)
        return is_settled and not ledger.was_sent_again(row)

    assert all(leaves_nothing(row) for row in range(1, prefix + 1))
    assert not leaves_nothing(prefix + 1)


def test_settled_rows_are_retried_only_on_request() -> None:
    """A settled row is not tried again, unless it failed and a retry was asked for."""
    ledger = Ledger()
    for row, outcome in enumerate(Outcome, 1):
        ledger.record(result(row, outcome))
        assert ledger.is_settled(row)
        again = outcome in (Outcome.FAILED, Outcome.UNCONFIRMED, Outcome.CONFLICT)
        assert ledger.is_settled(row, retry_failed=True) is not again
    assert not ledger.is_settled(99)
    assert ledger.outcome(99) is None


def test_rows_failed_by_refused_key_are_unsettled() -> None:
    """A row that failed because the key was refused is not settled."""
    ledger = Ledger()
    for row, error in enumerate(("unauthorized", "payment_required", "forbidden"), 1):
        ledger.record(result(row, Outcome.FAILED, error))
        assert not ledger.is_settled(row)
    assert ledger.unsettled == 3
    ledger.record(result(1, Outcome.UPDATED))
    assert ledger.is_settled(1)
    assert ledger.unsettled == 2


def test_reopened_rows_are_no_settlements() -> None:
    """The line that reopens a row settles nothing; a line about a refused key does."""
    ledger = Ledger()
    for type_ in ("bad_request", "unauthorized", "forbidden", REOPENED):
        error = ErrorInfo(type_, "x")
        ledger.record(
            Result(row=1, id="a", outcome=Outcome.FAILED, attempts=1, at="", error=error,
                   cut_short=type_ == REOPENED)
        )  # fmt: skip
    assert ledger.settlements == 3
    ledger.record(Result(row=1, id="a", outcome=Outcome.UPDATED, attempts=1, at=""))
    assert ledger.settlements == 4
    assert ledger.line(1) == 5
