"""`--deadline`: over in time, and the rest can be resumed."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, RunStoppedError
from bulkupdate.journal import Ledger, Mode
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.models import Outcome, Reason, Result, Row, TaskUpdate
from bulkupdate.plan.preview import Inspection
from bulkupdate.session.deadline import deadline, note
from bulkupdate.session.run import run
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop
from tests.support.clock import run_virtual
from tests.support.commands import bulkupdate, serving, summary_in
from tests.support.fakes import row


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is set twice a year."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NIGHT = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)  # 0:00 in Berlin; at 2:00 it becomes 3:00


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("06:00", "2026-03-29T06:00:00+02:00"),  # five hours later, not six
        ("23:59", "2026-03-29T23:59:00+02:00"),
        ("6:00", "2026-03-29T06:00:00+02:00"),
        ("06:00:30", "2026-03-29T06:00:30+02:00"),
        ("00:00", "2026-03-30T00:00:00+02:00"),
        ("+2h", "2026-03-29T03:00:00+02:00"),
        ("+90m", "2026-03-29T01:30:00+01:00"),
        ("2026-03-29T05:00Z", "2026-03-29T07:00:00+02:00"),
        ("2026-03-29T05:00", "2026-03-29T05:00:00+02:00"),
        ("2026-03-28T05:00", "2026-03-28T05:00:00+01:00"),
    ],
)
def test_deadline_is_the_next_such_time(text: str, moment: str) -> None:
    """A deadline is the next moment at which the clock shows its time."""
    assert deadline(text, NIGHT).isoformat() == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "6",
        "6am",
        "25:00",
        "6:60",
        "06.00",
        "2026-03-29T05:00.30Z",
        "2h",
        "+2d",
        "+2 h",
        "+１h",
        "2026-W48-3T06:00",
        "tomorrow",
    ],
)
def test_text_that_is_no_deadline_is_refused(text: str) -> None:
    """Text that is no deadline is refused, with an example of how to write one."""
    with pytest.raises(ConfigError, match="write it as 06:00"):
        deadline(text)


def test_wall_clock_decides_even_when_set() -> None:
    """The wall clock decides when a deadline has come, even where it is set meanwhile."""
    stop, clock = Stop(), [datetime(2026, 1, 1, 5, 0, tzinfo=UTC)]
    looks = []

    def now() -> datetime:
        looks.append(clock[0])
        clock[0] += timedelta(minutes=20)  # between two looks, whatever the loop's clock says
        return looks[-1]

    run_virtual(stop._wait_until(datetime(2026, 1, 1, 6, 0, tzinfo=UTC), "it is six", now))
    assert (stop.text, stop.reason) == ("it is six", Reason.DEADLINE)
    assert len(looks) == 4


def test_deadline_during_drain_changes_no_reason() -> None:
    """A deadline that comes while a stopped run drains leaves the first reason."""
    stop = Stop()
    stop.set("SIGINT", Reason.SIGNAL, signal=2)
    run_virtual(stop._wait_until(datetime(2026, 1, 1, tzinfo=UTC), "it is six"))
    assert (stop.text, stop.reason) == ("SIGINT", Reason.SIGNAL)


@pytest.mark.slow
def test_time_estimate_counts_rows_left_to_send() -> None:
    """The estimate of what the time allows counts only the rows that are left to send."""
    rows = "".join(f"opp_{n},x\n" for n in range(50)) + "opp_x,\n" * 30
    Path("edits.csv").write_text(f"id,title\n{rows}")
    flags = ("run", "edits.csv", "--drain-timeout", "0", "--deadline", "+4s")
    with serving("--unknown-id", "create") as sandbox:
        first = bulkupdate(*flags, "--first", "3", **sandbox.environment)
        rest = bulkupdate(*flags, "--resume", **sandbox.environment)
    assert ": there is time for" not in first.stderr
    assert re.search(r": there is time for about \d\d of 47 requests\n", rest.stderr)


@pytest.mark.slow
def test_run_ends_by_deadline_and_resumes() -> None:
    """A run ends by its deadline, and a resumed run does the rest."""
    rows = "".join(f"opp_{n},x\n" for n in range(60))
    Path("edits.csv").write_text(f"id,title\n{rows}")
    with serving("--unknown-id", "create") as sandbox:
        by = datetime.now(UTC) + timedelta(seconds=3)
        done = bulkupdate(
            "run", "edits.csv", "--deadline", by.isoformat(), "--drain-timeout", "0.3",
            **sandbox.environment,
        )  # fmt: skip
        assert datetime.fromisoformat(summary_in()["ended"]) <= by
        rest = bulkupdate(
            "run", "edits.csv", "--resume", "--deadline", "+2h", **sandbox.environment
        )
    assert done.returncode == 3, done.stderr
    assert "note: no request starts after" in done.stderr
    assert ": there is time for about" in done.stderr
    assert "stopped: the deadline, " in done.stderr
    assert (
        "continue with: bulkupdate run edits.csv --drain-timeout 0.3 --out edits.run --resume\n"
        in (done.stderr)
    )
    assert rest.returncode == 0, rest.stderr
    assert ": there is time for" not in rest.stderr
    assert summary_in()["counts"]["updated"] == 60


async def test_deadline_without_time_sends_nothing(tmp_path: Path) -> None:
    """A deadline that leaves no time is refused before anything is sent."""
    edits = tmp_path / "edits.csv"
    edits.write_text("id,done\nopp_1,yes\n")
    endpoint = Endpoint(api_key=ApiKey("x"), base_url="http://127.0.0.1:9")
    soon = datetime.now(UTC) + timedelta(seconds=29)
    with pytest.raises(RunStoppedError, match=r"is too close.*30 s.*nothing was sent"):
        await run(RunConfig(input=str(edits), endpoint=endpoint, deadline=soon))
    assert not Path("edits.run").exists()
    with pytest.raises(ConfigError, match="offset"):
        RunConfig(input=str(edits), endpoint=endpoint, deadline=datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("+1s", 1), ("+90s", 90), (" +5m", 300), ("+2h", 7200), ("+999999s", 999_999)],
)
def test_deadline_may_be_counted_from_now(text: str, seconds: int) -> None:
    """A deadline in seconds, minutes or hours is counted from now."""
    assert deadline(text, NIGHT) == NIGHT + timedelta(seconds=seconds)


def note_of(seconds: float | None, rows: int = 1000, **settings: Any) -> str | None:
    """The note about a deadline in so many seconds, of rows of which 100 are updated, 50 failed."""
    inspection = Inspection()
    ledger = Ledger()
    for number in range(1, rows + 1):
        inspection.add([row(number, title="T")])
    for number in range(1, 151):
        outcome = Outcome.UPDATED if number <= 100 else Outcome.FAILED
        ledger.record(Result(row=number, id="a", outcome=outcome, attempts=1, at=""))
    config = RunConfig(
        input="a.csv",
        endpoint=Endpoint(api_key=ApiKey("secret-key"), base_url="http://127.0.0.1:1"),
        deadline=None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds),
        drain_timeout=10,
        **settings,
    )
    return note(config, inspection.preview("auto"), ledger)


@pytest.mark.parametrize(
    ("seconds", "settings", "says"),
    [
        (30.5, {}, "there is time for about 20. of 850 requests"),
        (
            30.5,
            {"retry_failed": True, "mode": Mode.RESUME},
            "there is time for about 20. of 900 req",
        ),
        (30.5, {"first": 500}, "there is time for about 20. of 500 requests"),
        (10, {}, "there is time for about 0 of 850 requests"),
        (90, {}, r"\(deadline\): there is time for about 79\d of 850 requests"),
        (110, {}, r"\(deadline\)$"),
        (30.5, {"first": 200}, r"\(deadline\)$"),
    ],
)
def test_note_tells_how_many_requests_fit(
    seconds: float, settings: dict[str, Any], says: str
) -> None:
    """At the start, a note tells how many of the requests left fit before the deadline."""
    said = note_of(seconds, **settings) or ""
    assert said.startswith("no request starts after 20")
    assert re.search(says, said), said


def test_run_without_deadline_needs_no_note() -> None:
    """Without a deadline there is nothing to tell."""
    assert note_of(None) is None


@pytest.mark.parametrize(
    ("settings", "left"), [({}, 5), ({"retry_failed": True, "mode": Mode.RESUME}, 7)]
)
def test_rows_that_need_no_request_take_no_time(settings: dict[str, Any], left: int) -> None:
    """Conflicts, and rows whose task is as they ask, are not among the requests that are left."""
    inspection, ledger = Inspection(), Ledger()
    for number in range(1, 11):
        inspection.add([row(number, title="T")])
    for number in (11, 12):
        inspection.add([Row(number, 2, "a", TaskUpdate(id="a"), (), ("a",))])
    outcomes = [Outcome.CONFLICT] * 2 + [Outcome.UNCHANGED] * 3
    for number, outcome in [*enumerate(outcomes, 1), (11, Outcome.UNCHANGED), (12, outcomes[-1])]:
        ledger.record(Result(row=number, id="a", outcome=outcome, attempts=0, at=""))
    config = RunConfig(
        input="a.csv",
        endpoint=Endpoint(api_key=ApiKey("secret-key"), base_url="http://127.0.0.1:1"),
        deadline=datetime.now(UTC),
        drain_timeout=0,
        **settings,
    )
    assert f"about 0 of {left} requests" in (note(config, inspection.preview("auto"), ledger) or "")
