"""How a run lets itself be watched."""

import time

from bulkupdate.lane import Lane
from bulkupdate.ledger import Ledger
from bulkupdate.models import SUCCESSES
from bulkupdate.preview import Preview
from bulkupdate.reader import Input


class Progress:
    """A run as it stands: sampled by whoever watches, and told to nobody.

    Attributes:
        preview: what the input holds.
        ledger: the outcome of each row so far.
        lane: the lane at work.
    """

    def __init__(self, preview: Preview, ledger: Ledger, lane: Lane) -> None:
        self.preview = preview
        self.ledger = ledger
        self.lane = lane
        self._settled_before = ledger.settled
        self._started = time.monotonic()

    @property
    def rows_per_second(self) -> float:
        """Rows settled by this session, over its length so far."""
        elapsed = time.monotonic() - self._started
        return (self.ledger.settled - self._settled_before) / elapsed if elapsed > 0 else 0.0

    @property
    def requests_per_second(self) -> float:
        """Requests sent by this session, over its length so far."""
        elapsed = time.monotonic() - self._started
        return self.lane.traffic.requests / elapsed if elapsed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace so far; None before there is one."""
        pace = self.rows_per_second
        return (self.preview.rows - self.ledger.settled) / pace if pace else None

    @property
    def unsuccessful(self) -> dict[str, int]:
        """Rows by outcome, those outcomes that are no success and have any."""
        counts = self.ledger.counts(self.preview.rows)
        del counts["unprocessed"]
        return {name: n for name, n in counts.items() if n and name not in SUCCESSES}


class Observer:
    """Is told how a run goes. This one ignores it all: override what you need."""

    def input_checked(self, source: Input, preview: Preview) -> None:
        """The whole input was read and judged; nothing has been sent yet."""

    def noted(self, note: str) -> None:
        """Something happened that a person should know."""

    async def watch(self, progress: Progress) -> None:
        """Called once, when rows begin to flow; cancelled when the last one is settled."""
