"""The progress of a run: sums over its lanes, and its pace."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from bulkupdate.journal import Ledger, Sample
from bulkupdate.models import RETRIED, SUCCESSES, Reason, Result, Traffic, now
from bulkupdate.plan import Preview

#: Number of samples for the recent pace. They cover about the last minute.
_PACE_SAMPLES = 14


class AccountProgress(NamedTuple):
    """The present state of the part of one account.

    Attributes:
        name: the account.
        rows: number of its rows.
        counts: number of these by outcome, and `unprocessed`.
        traffic: counts of its requests in this session.
        used_rate: requests per second in this session, up to its last row.
        allowed_rate: requests per second that its limiter allows now; None for any number.
        paused: seconds for which 429s have paused it.
        waiting_for: why it starts no request now, in words; None if it may.
        reason: why it has stopped before its end, in words; None if it has not.
        stopped_by: the same as one of the known reasons.
        has_ended: whether it has nothing more to do in this session, or has stopped.
    """

    name: str
    rows: int
    counts: dict[str, int]
    traffic: Traffic
    used_rate: float
    allowed_rate: float | None
    paused: float
    waiting_for: str | None
    reason: str | None
    stopped_by: Reason | None
    has_ended: bool

    @property
    def done(self) -> int:
        """Number of its rows with an outcome."""
        return self.rows - self.counts["unprocessed"]

    @property
    def share(self) -> float:
        """The share of its rows with an outcome, from 0 to 1."""
        return self.done / self.rows if self.rows else 1.0


class Pace(Protocol):
    """What progress reads of a limiter; see `bulkupdate.engine.limiter.Limiter`."""

    @property
    def allowed(self) -> float | None:
        """Requests per second that are allowed now; None for no limit."""

    @property
    def paused(self) -> float:
        """Seconds for which 429s have paused all requests, so far."""


class Sender(Protocol):
    """What progress reads of a lane; see `bulkupdate.engine.lane.Lane`."""

    @property
    def traffic(self) -> Traffic:
        """Counts of the requests so far."""

    @property
    def limiter(self) -> Pace:
        """The limiter."""

    @property
    def has_ended(self) -> bool:
        """Whether it sends nothing more."""

    @property
    def waiting_for(self) -> str | None:
        """A message that says why no request starts now; None if requests may start."""


class AccountPart(Protocol):
    """What progress reads of the part of an account; see `bulkupdate.session.part.Part`."""

    rows: int
    seconds: float | None

    @property
    def lane(self) -> Sender | None:
        """What sends its rows; None where nothing does."""

    @property
    def name(self) -> str:
        """The name of the account."""

    @property
    def why_stopped(self) -> tuple[str, Reason] | None:
        """Why it has stopped before its end: in words, and as one of the known reasons."""


class Progress:
    """The present state of a run. Observers read it at any time; it sends no notifications.

    Args:
        preview: the content of the input.
        ledger: the outcome of each row so far.
        lanes: the lanes of the run.
        parts: the part of each account that has rows; empty in a run with one key.
        target: the base URL that the edits are sent to.
        recent: the results of the last rows that did not succeed, the latest last.
        first: most rows that are sent; None for all.
        retry_failed: whether failed, unconfirmed and conflicting rows are tried again.
        seconds: tells for how long rows are sent, where others send them; None for this session.

    Attributes:
        preview: the content of the input.
        ledger: the outcome of each row so far.
        target: the base URL that the edits are sent to.
        recent: the results of the last rows that did not succeed. The recorder changes this list.
        goal: the number of settled rows at the end of this session, if it is not stopped.
    """

    def __init__(
        self,
        preview: Preview,
        ledger: Ledger,
        lanes: Sequence[Sender],
        *,
        parts: Sequence[AccountPart] = (),
        target: str = "",
        recent: Sequence[Result] = (),
        first: int | None = None,
        retry_failed: bool = False,
        seconds: Callable[[], float] | None = None,
    ) -> None:
        self._seconds = seconds
        self.preview = preview
        self.ledger = ledger
        self.target = target
        self.recent = recent
        self._lanes = lanes
        self._parts = parts
        again = ledger.unsettled
        if retry_failed:
            counts = ledger.counts(preview.rows)
            again = sum(counts[outcome] for outcome in RETRIED)
        self._done_before = ledger.settled - again
        self._settlements_before = ledger.settlements
        self.goal = preview.rows
        if first is not None:
            self.goal = min(preview.rows, self._done_before + first)
        self._started = time.monotonic()
        self._last = self._now()
        self._paces = deque([self._last], _PACE_SAMPLES)

    @property
    def requests(self) -> int:
        """Requests sent in this session, including retries."""
        return sum(lane.traffic.requests for lane in self._lanes)

    @property
    def retries(self) -> int:
        """Requests of this session that were not the first of their row."""
        return sum(lane.traffic.retries for lane in self._lanes)

    @property
    def rate_limited(self) -> int:
        """Answers with status 429 in this session."""
        return sum(lane.traffic.rate_limited for lane in self._lanes)

    @property
    def allowed_rate(self) -> float | None:
        """Requests per second that the limiters allow now; None for no limit."""
        # At the end, of all lanes; until then, of those that still send.
        going = [lane for lane in self._lanes if not lane.has_ended] or self._lanes
        allowed = [lane.limiter.allowed for lane in going]
        known = [rate for rate in allowed if rate is not None]
        return sum(known) if len(known) == len(allowed) else None

    @property
    def paused(self) -> float:
        """Seconds for which 429s have paused a lane: the maximum over all lanes."""
        return max((lane.limiter.paused for lane in self._lanes), default=0.0)

    @property
    def waiting_for(self) -> str | None:
        """A message that says why no request starts now; None if requests may start."""
        waiting = [lane.waiting_for for lane in self._lanes if not lane.has_ended]
        return waiting[0] if waiting and all(waiting) else None

    @property
    def accounts(self) -> list[AccountProgress]:
        """The present state of each account that has rows; empty in a run with one key."""
        return [self._of(part) for part in self._parts]

    def _of(self, part: AccountPart) -> AccountProgress:
        lane, why = part.lane, part.why_stopped
        traffic = lane.traffic if lane is not None else Traffic()
        seconds = self.elapsed if part.seconds is None else part.seconds
        return AccountProgress(
            part.name,
            part.rows,
            self.ledger.of_account(part.name, part.rows),
            traffic,
            round(_pace(traffic.requests, seconds), 2),
            lane.limiter.allowed if lane is not None else None,
            round(lane.limiter.paused, 3) if lane is not None else 0.0,
            None if lane is None or lane.has_ended else lane.waiting_for,
            why[0] if why else None,
            why[1] if why else None,
            lane is None or part.seconds is not None,
        )

    def _now(self) -> tuple[float, int, int, int, int]:
        sent = (self.requests, self.retries, self.rate_limited)
        return time.monotonic(), self.ledger.settlements, *sent

    def sample(self) -> Sample:
        """Take a sample: the changes since the last one. The recent pace comes from samples too."""
        before, self._last = self._last, self._now()
        self._paces.append(self._last)
        seconds, rows, requests, retries, rate_limited = (
            later - earlier for earlier, later in zip(before, self._last, strict=True)
        )
        return Sample(
            at=now(),
            seconds=round(seconds, 3),
            rows=int(rows),
            requests=int(requests),
            retries=int(retries),
            rate_limited=int(rate_limited),
            allowed_rate=self.allowed_rate,
            waiting_for=self.waiting_for,
        )

    @property
    def done(self) -> int:
        """Settled rows, without those that this session has to try again."""
        return min(self.preview.rows, self._done_before + self._settled_now)

    @property
    def _settled_now(self) -> int:
        return self.ledger.settlements - self._settlements_before

    @property
    def elapsed(self) -> float:
        """Seconds since the session began to send."""
        if self._seconds is not None:
            return self._seconds()
        return time.monotonic() - self._started

    @property
    def rows_per_second(self) -> float:
        """Rows settled per second, on average over this session."""
        return _pace(self._settled_now, self.elapsed)

    @property
    def requests_per_second(self) -> float:
        """Requests sent per second, on average over this session."""
        return _pace(self.requests, self.elapsed)

    @property
    def recent_rows_per_second(self) -> float:
        """Rows settled per second, in about the last minute."""
        began, settled, *_ = self._paces[0]
        return _pace(self.ledger.settlements - settled, time.monotonic() - began)

    @property
    def recent_requests_per_second(self) -> float:
        """Requests sent per second, in about the last minute."""
        began, _, requests, *_ = self._paces[0]
        return _pace(self.requests - requests, time.monotonic() - began)

    @property
    def seconds_left(self) -> float | None:
        """Seconds for the remaining rows at the recent pace; None if no row was settled recently.

        An outage that is over soon stops having an effect. During an outage there is no estimate.
        """
        pace = self.recent_rows_per_second
        return max(0, self.goal - self.done) / pace if pace else None

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows by outcome, and of `unprocessed` rows."""
        return self.ledger.counts(self.preview.rows)

    @property
    def unsuccessful(self) -> dict[str, int]:
        """The number of rows by outcome, for the unsuccessful outcomes with at least one row."""
        counts = self.counts
        del counts["unprocessed"]
        return {name: n for name, n in counts.items() if n and name not in SUCCESSES}


def _pace(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
