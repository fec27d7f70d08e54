"""Too many unsuccessful rows stop a run, or the part of one account."""

import pytest

from bulkupdate.codec import replaced
from bulkupdate.models import ErrorInfo, Outcome, Reason, Result, unsent
from bulkupdate.session.failures import Failures
from bulkupdate.session.settings import FailureLimit
from bulkupdate.stop import Stop
from tests.support.fakes import row


def sent(number: int, outcome: Outcome = Outcome.UPDATED) -> Result:
    """The result of a request."""
    return replaced(unsent(row(number), outcome), attempts=1, sent={"title": "T"})


def test_run_stops_once_as_many_failed() -> None:
    """Rows that succeed don't count, and an unconfirmed one counts as a failed one."""
    stop = Stop()
    failures = Failures(FailureLimit(rows=2), stop)
    for number, outcome in enumerate((Outcome.UPDATED, Outcome.FAILED, Outcome.UPDATED)):
        failures.count(row(number), sent(number, outcome))
    assert not stop.is_set
    failures.count(row(4), sent(4, Outcome.UNCONFIRMED))
    assert stop.reason is Reason.TOO_MANY_FAILURES
    assert stop.text == "2 of 4 rows did not go through: max_failures is 2"


def test_rows_of_a_merged_request_count_each() -> None:
    """Three rows did not go through, though one request was sent."""
    stop = Stop()
    failures = Failures(FailureLimit(rows=2), stop)
    merged = replaced(row(3, "a", title="T"), merged=(row(1, "a"), row(2, "a")))
    failures.count(merged, sent(3, Outcome.FAILED))
    assert stop.text == "3 of 3 rows did not go through: max_failures is 2"


@pytest.mark.parametrize("limit", [FailureLimit(rows=1), FailureLimit(percent=0)])
def test_conflicts_count_for_no_limit(limit: FailureLimit) -> None:
    """A conflict was not sent, so it neither reaches the limit nor dilutes a share."""
    stop = Stop()
    failures = Failures(limit, stop)
    error = ErrorInfo("not_pending", "the task is completed")
    for number in range(1, 201):
        failures.count(row(number), unsent(row(number), Outcome.CONFLICT, error))
    assert not stop.is_set
    for number in range(201, 300):
        failures.count(row(number), sent(number))
    failures.count(row(300), sent(300, Outcome.FAILED))
    assert (stop.text or "").startswith("1 of 100 rows")


def test_limit_is_named_as_the_user_knows_it() -> None:
    """The limit for all accounts has a name of its own."""
    stop = Stop()
    Failures(FailureLimit(rows=1), stop, "max_failures_total").count(
        row(1), sent(1, Outcome.FAILED)
    )
    assert "max_failures_total is 1" in (stop.text or "")
