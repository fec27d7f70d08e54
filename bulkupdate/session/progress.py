"""How a run stands: the sums over its lanes, and its pace."""

import time
from collections import deque
from collections.abc import Sequence

from bulkupdate.engine.lane import Lane
from bulkupdate.journal import Ledger, Sample
from bulkupdate.models import SUCCESSES, Outcome, Result, now
from bulkupdate.plan import Preview

#: Samples that the pace of a run is taken from: the last minute or so.
_PACE_SAMPLES = 14


class Progress:
    """A run at this moment. Observers sample it; it notifies nobody.

    Args:
        preview: what the input holds.
        ledger: the outcome of each row so far.
        lanes: the lanes at work.
        target: where the edits go, a URL.
        recent: the results of the last few rows that did not succeed, the latest last.
        first: rows that are sent at most; None for all.
        retry_failed: whether rows that failed are tried again.

    Attributes:
        preview: as given.
        ledger: as given.
        target: as given.
        recent: as given; it is the recorder's own, and changes.
        goal: how many rows will be settled once this session has done all that it is to do.
    """

    def __init__(
        self,
        preview: Preview,
        ledger: Ledger,
        lanes: Sequence[Lane],
        *,
        target: str = "",
        recent: Sequence[Result] = (),
        first: int | None = None,
        retry_failed: bool = False,
    ) -> None:
        self.preview = preview
        self.ledger = ledger
        self.target = target
        self.recent = recent
        self._lanes = lanes
        again = ledger.unsettled
        if retry_failed:
            counts = ledger.counts(preview.rows)
            again = counts[Outcome.FAILED] + counts[Outcome.UNCONFIRMED]
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
        """Requests sent in this session, retries included."""
        return sum(lane.traffic.requests for lane in self._lanes)

    @property
    def retries(self) -> int:
        """Requests of this session that were not their row's first."""
        return sum(lane.traffic.retries for lane in self._lanes)

    @property
    def rate_limited(self) -> int:
        """Answers of this session that were a 429."""
        return sum(lane.traffic.rate_limited for lane in self._lanes)

    @property
    def allowed_rate(self) -> float | None:
        """Requests per second that the limiters allow at present; None for any number."""
        allowed = [lane.limiter.allowed for lane in self._lanes]
        known = [rate for rate in allowed if rate is not None]
        return sum(known) if len(known) == len(allowed) else None

    @property
    def paused(self) -> float:
        """Seconds that 429s have held a lane back, of the lane that was held back longest."""
        return max(lane.limiter.paused for lane in self._lanes)

    @property
    def waiting_for(self) -> str | None:
        """Why nothing starts at the moment, for a person to read; None when something may."""
        waiting = [lane.waiting_for for lane in self._lanes]
        return waiting[0] if all(waiting) else None

    def _now(self) -> tuple[float, int, int, int, int]:
        sent = (self.requests, self.retries, self.rate_limited)
        return time.monotonic(), self.ledger.settlements, *sent

    def sample(self) -> Sample:
        """What has happened since the last sample was taken. The pace is taken from samples too."""
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
        """Rows that are settled, those left out that this session is to try again."""
        return min(self.preview.rows, self._done_before + self._settled_now)

    @property
    def _settled_now(self) -> int:
        return self.ledger.settlements - self._settlements_before

    @property
    def elapsed(self) -> float:
        """Seconds that this session has lasted."""
        return time.monotonic() - self._started

    @property
    def rows_per_second(self) -> float:
        """Rows settled by this session, over its length so far."""
        return _pace(self._settled_now, self.elapsed)

    @property
    def requests_per_second(self) -> float:
        """Requests sent by this session, over its length so far."""
        return _pace(self.requests, self.elapsed)

    @property
    def recent_rows_per_second(self) -> float:
        """Rows settled in the last minute, over its length."""
        began, settled, *_ = self._paces[0]
        return _pace(self.ledger.settlements - settled, time.monotonic() - began)

    @property
    def recent_requests_per_second(self) -> float:
        """Requests sent in the last minute, over its length."""
        began, _, requests, *_ = self._paces[0]
        return _pace(self.requests - requests, time.monotonic() - began)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace of the last minute; None while there is none.

        An outage that is over doesn't make it longer; in one, nobody can tell.
        """
        pace = self.recent_rows_per_second
        return max(0, self.goal - self.done) / pace if pace else None

    @property
    def counts(self) -> dict[str, int]:
        """Rows by outcome, and `unprocessed`."""
        return self.ledger.counts(self.preview.rows)

    @property
    def unsuccessful(self) -> dict[str, int]:
        """Rows by outcome, those outcomes that are no success and have any."""
        counts = self.counts
        del counts["unprocessed"]
        return {name: n for name, n in counts.items() if n and name not in SUCCESSES}


def _pace(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
