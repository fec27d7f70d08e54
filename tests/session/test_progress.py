"""Progress adds up over lanes."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bulkupdate.journal.ledger import Ledger
from bulkupdate.models import Outcome, Result
from bulkupdate.plan.preview import Inspection
from bulkupdate.session.progress import Progress
from tests.support.fakes import row


def lane(requests: int, allowed: float | None, paused: float, waiting: str | None) -> Any:
    """A lane as far as progress looks at it."""
    return SimpleNamespace(
        traffic=SimpleNamespace(requests=requests, retries=1, rate_limited=2),
        limiter=SimpleNamespace(allowed=allowed, paused=paused),
        waiting_for=waiting,
        has_ended=False,
    )


def progress(*lanes: Any) -> Progress:
    inspection = Inspection()
    inspection.add([row(1)])
    return Progress(inspection.preview(None), Ledger(), cast("Any", lanes))


def test_progress_sums_the_lanes() -> None:
    """Requests and rates are those of all lanes together."""
    both = progress(lane(5, 10.0, 1.0, None), lane(7, 2.5, 4.0, None))
    assert (both.requests, both.retries, both.rate_limited) == (12, 2, 4)
    assert both.allowed_rate == pytest.approx(12.5)
    assert both.paused == 4.0


def test_one_lane_without_limit_has_none_for_all() -> None:
    """Where one lane may send any number, so may the run."""
    assert progress(lane(5, 10.0, 0, None), lane(7, None, 0, None)).allowed_rate is None


def test_run_waits_only_where_every_lane_does() -> None:
    """A lane that waits does not make the run wait for it."""
    assert progress(lane(1, 1, 0, "server down"), lane(1, 1, 0, None)).waiting_for is None
    assert progress(lane(1, 1, 0, "server down"), lane(1, 1, 0, "x")).waiting_for == "server down"


def test_retried_conflicts_are_not_done_yet() -> None:
    """A session that retries rows has its conflicts still to do, and no others."""
    inspection, ledger = Inspection(), Ledger()
    for number, outcome in enumerate(Outcome, 1):
        inspection.add([row(number)])
        ledger.record(Result(row=number, id="a", outcome=outcome, attempts=0, at=""))
    preview, lanes = inspection.preview(None), [lane(0, None, 0.0, None)]
    assert Progress(preview, ledger, lanes).done == 6
    going = Progress(preview, ledger, lanes, retry_failed=True)
    assert going.done == 3
    assert going.unsuccessful == {"invalid": 1, "failed": 1, "unconfirmed": 1, "conflict": 1}
