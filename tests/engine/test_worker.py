"""One update → one result."""

from types import SimpleNamespace

import pytest

from bulkupdate.engine import call as call_module
from bulkupdate.engine.call import Caller
from bulkupdate.engine.health import Health
from bulkupdate.engine.limiter import NoLimiter
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.engine.worker import settle
from bulkupdate.errors import BadRequestError, ServerError
from bulkupdate.models import Level, Mismatch, Outcome, Result, Row, TaskUpdate
from bulkupdate.stop import Stop
from tests.support.clock import run_virtual
from tests.support.fakes import FakeServer, Script

UPDATE = TaskUpdate(id="opp_a", title="T")
ROW = Row(7, 8, UPDATE.id, UPDATE, (), "")


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that each look moves on: by 12.346 ms, then by a second more each time."""
    looks = iter(range(1000))

    def monotonic() -> float:
        look = next(looks)
        return look // 2 * 100 + look % 2 * (0.012346 + look // 2)

    monkeypatch.setattr(call_module, "time", SimpleNamespace(monotonic=monotonic))


def settled(script: Script | None = None) -> Result:
    """The result of row 7, whose attempts the script answers."""

    async def main() -> Result | None:
        stop = Stop()
        caller = Caller(NoLimiter(), Health(stop, 600), RetryPolicy(max_attempts=3), stop)
        with stop.until(Level.DRAIN) as scope:
            return await settle(caller, FakeServer(script), scope, ROW, UPDATE, lambda _: False)

    result = run_virtual(main())
    assert result is not None
    return result


@pytest.mark.usefixtures("_clock")
def test_result_tells_how_long_its_request_took() -> None:
    """The result of a row has the duration of its request, to a tenth of a millisecond."""
    result = settled()
    assert (result.row, result.id, result.outcome) == (7, "opp_a", Outcome.UPDATED)
    assert (result.ms, result.attempts, result.status) == (12.3, 1, 200)


@pytest.mark.usefixtures("_clock")
def test_duration_is_that_of_the_last_attempt() -> None:
    """The duration of a row that was tried again is that of its last request alone."""
    result = settled(lambda _, n: ServerError("down", 503) if n < 3 else None)
    assert (result.ms, result.attempts, result.outcome) == (2012.3, 3, Outcome.UPDATED)


@pytest.mark.usefixtures("_clock")
def test_refused_row_has_a_duration_too() -> None:
    """A row that was refused has the status, the error and the duration of its request."""
    result = settled(lambda *_: BadRequestError("no", 400))
    assert (result.ms, result.status, result.outcome) == (12.3, 400, Outcome.FAILED)
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("bad_request", "no")
    assert result.task is None
    assert result.mismatches is None


def test_answer_is_compared_with_the_update() -> None:
    """A result has the sent fields, the Task that came back, and their differences."""
    result = settled(lambda *_: {"title": "other", "x": 1})
    assert result.sent == {"title": "T"}
    assert result.task == {"_id": "opp_a", "title": "other", "x": 1}
    assert result.mismatches == {"title": Mismatch(sent="T", returned="other")}
    assert settled(lambda *_: {"title": "T"}).mismatches is None
