"""What is still to be done, read from the ledger."""

from bulkupdate.journal.ledger import Ledger
from bulkupdate.models import Outcome, Result
from bulkupdate.session.remaining import Remaining
from tests.support.fakes import row


def ledger(*outcomes: tuple[int, Outcome]) -> Ledger:
    """A ledger of these rows, in the order of the log."""
    made = Ledger()
    for number, outcome in outcomes:
        made.record(Result(row=number, id="a", outcome=outcome, attempts=1, at=""))
    return made


def test_rows_without_an_outcome_remain() -> None:
    """A row that the log has no line of is to be sent."""
    remaining = Remaining(ledger((1, Outcome.UPDATED)), retry_failed=False)
    assert [remaining.includes(row(n)) for n in (1, 2)] == [False, True]
    assert remaining.settled_prefix == 1


def test_failed_rows_remain_on_request() -> None:
    """A failed row is settled, unless failed rows are retried."""
    failed = ledger((1, Outcome.FAILED), (2, Outcome.UNCONFIRMED))
    assert not any(Remaining(failed, retry_failed=False).includes(row(n)) for n in (1, 2))
    assert all(Remaining(failed, retry_failed=True).includes(row(n)) for n in (1, 2))


def test_later_rows_of_a_retried_task_remain() -> None:
    """The last edit of a task is sent again after an earlier one that is retried."""
    settled = ledger((1, Outcome.FAILED), (2, Outcome.UPDATED), (3, Outcome.UPDATED))
    remaining = Remaining(settled, retry_failed=True)
    rows = [row(1, "same", title="1"), row(2, "other"), row(3, "same", title="3")]
    assert [remaining.includes(one) for one in rows] == [True, False, True]


def test_row_owed_by_an_earlier_session_remains() -> None:
    """A session that retried a row, and ended, owes the later rows of its task."""
    settled = ledger((1, Outcome.FAILED), (2, Outcome.UPDATED), (1, Outcome.UPDATED))
    remaining = Remaining(settled, retry_failed=False)
    rows = [row(1, "same", title="1"), row(2, "same", title="2")]
    assert [remaining.includes(one) for one in rows] == [False, True]


def test_only_failed_rows_are_reopened() -> None:
    """The log is told before a row that it calls failed is sent again, and only then."""
    remaining = Remaining(ledger((1, Outcome.FAILED), (2, Outcome.UPDATED)), retry_failed=True)
    assert [one.number for one in remaining.to_reopen(row(1))] == [1]
    assert list(remaining.to_reopen(row(2))) == []
    assert list(remaining.to_reopen(row(3))) == []


def test_conflicts_remain_on_request() -> None:
    """A row in conflict is settled, unless rows that did not go through are retried."""
    settled = ledger((1, Outcome.CONFLICT), (2, Outcome.UNCHANGED))
    assert not any(Remaining(settled, retry_failed=False).includes(row(n)) for n in (1, 2))
    retried = Remaining(settled, retry_failed=True)
    assert [retried.includes(row(n)) for n in (1, 2)] == [True, False]


def test_conflict_makes_no_later_row_owed() -> None:
    """A row that conflicts when it is retried was not sent, so later rows of its task stay."""
    rows = [row(1, "same", title="1"), row(2, "same", title="2")]
    settled = ledger((1, Outcome.FAILED), (2, Outcome.UPDATED), (1, Outcome.CONFLICT))
    remaining = Remaining(settled, retry_failed=False)
    assert [remaining.includes(one) for one in rows] == [False, False]
    sent = ledger(
        (1, Outcome.FAILED), (2, Outcome.UPDATED), (1, Outcome.UNCONFIRMED), (1, Outcome.CONFLICT)
    )
    remaining = Remaining(sent, retry_failed=False)
    assert [remaining.includes(one) for one in rows] == [False, True]


def test_doubt_outlives_a_conflict() -> None:
    """A row that may have been applied before it conflicted is still in doubt when retried."""
    settled = ledger(
        (1, Outcome.UNCONFIRMED), (1, Outcome.CONFLICT), (2, Outcome.CONFLICT), (3, Outcome.FAILED)
    )
    remaining = Remaining(settled, retry_failed=True)
    assert [one.number for n in (1, 2, 3) for one in remaining.to_reopen(row(n))] == [1, 2, 3]
    assert [remaining.was_sent(row(n)) for n in (1, 2, 3)] == [True, False, False]
