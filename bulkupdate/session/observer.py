"""How a run lets itself be watched."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

from bulkupdate.engine.lane import Lane
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.traffic import Sample
from bulkupdate.models import SUCCESSES, Outcome, Result, now
from bulkupdate.plan.preview import Preview
from bulkupdate.reader import Input

log = logging.getLogger(__name__)

#: Samples that the pace of a run is taken from: the last minute or so.
_PACE_SAMPLES = 14


class Progress:
    """A run as it stands: sampled by whoever watches, and told to nobody.

    Attributes:
        preview: what the input holds.
        ledger: the outcome of each row so far.
        lane: the lane at work.
        target: where the edits go, a URL.
        recent: the results of the last few rows that did not succeed, the latest last.
            It is the recorder's own, and changes.
        goal: how many rows will be settled once this session has done all that it is to do.
    """

    def __init__(
        self,
        preview: Preview,
        ledger: Ledger,
        lane: Lane,
        *,
        target: str = "",
        recent: Sequence[Result] = (),
        first: int | None = None,
        retry_failed: bool = False,
    ) -> None:
        self.preview = preview
        self.ledger = ledger
        self.lane = lane
        self.target = target
        self.recent = recent
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

    def _now(self) -> tuple[float, int, int, int, int]:
        traffic = self.lane.traffic
        sent = (traffic.requests, traffic.retries, traffic.rate_limited)
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
            allowed_rate=self.lane.limiter.allowed,
            waiting_for=self.lane.waiting_for,
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
        return _pace(self.lane.traffic.requests, self.elapsed)

    @property
    def recent_rows_per_second(self) -> float:
        """Rows settled in the last minute, over its length."""
        began, settled, *_ = self._paces[0]
        return _pace(self.ledger.settlements - settled, time.monotonic() - began)

    @property
    def recent_requests_per_second(self) -> float:
        """Requests sent in the last minute, over its length."""
        began, _, requests, *_ = self._paces[0]
        return _pace(self.lane.traffic.requests - requests, time.monotonic() - began)

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


class Observer:
    """Is told how a run goes. This one ignores it all: override what you need."""

    def input_checked(self, source: Input, preview: Preview) -> None:
        """The whole input was read and judged; nothing has been sent yet."""

    def noted(self, note: str) -> None:
        """Something happened that a person should know."""

    async def watch(self, progress: Progress) -> None:
        """Called once, when rows begin to flow; cancelled when the last one is settled."""


class Observers(Observer):
    """Several observers as one. One that fails while it watches does not end the run."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.input_checked(source, preview)

    def noted(self, note: str) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.noted(note)

    async def watch(self, progress: Progress) -> None:
        """Let each of them watch, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for observer in self._observers:
                group.create_task(_watch(observer, progress))


async def _watch(observer: Observer, progress: Progress) -> None:
    try:
        await observer.watch(progress)
    except Exception as error:
        name, kind = type(observer).__name__, type(error).__name__
        log.warning("%s has failed, the run goes on: %s: %s", name, kind, error)
