"""The signal to start nothing more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from bulkupdate.journal.summary import State

#: Seconds between two looks at the clock on the wall.
_LOOK_INTERVAL = 10.0


class Stop:
    """Set once, by the first who has a reason; what is in flight then drains.

    Attributes:
        is_set: whether anybody has stopped it.
        state: how the run ends because of it, or None while nobody has stopped it.
        reason: why, for a person to read.
        exit_code: what the command line exits with because of it.
        unless_complete: whether it is no reason where all is done all the same.
    """

    def __init__(self) -> None:
        self.is_set = False
        self.state: State | None = None
        self.reason: str | None = None
        self.exit_code: int | None = None
        self.unless_complete = False
        self._event = asyncio.Event()

    def set(
        self,
        reason: str,
        *,
        state: State = State.STOPPED,
        exit_code: int = 3,
        unless_complete: bool = False,
    ) -> None:
        """Stop. The first reason counts; but a signal is no reason where another comes after it."""
        is_first = self.state is None
        if is_first or (self.state is State.INTERRUPTED and state is State.STOPPED):
            self.state, self.reason, self.exit_code = state, reason, exit_code
            self.unless_complete = unless_complete or state is State.INTERRUPTED
            self.is_set = True
            self._event.set()

    @contextlib.asynccontextmanager
    async def at(self, moment: datetime | None, reason: str) -> AsyncIterator[None]:
        """Stop at a moment by the clock on the wall, if it comes before the block ends.

        It is no reason where all is done all the same.

        Args:
            moment: when, aware; None for never.
            reason: why, for a person to read.
        """
        if moment is None:
            yield
            return
        waiting = asyncio.create_task(self._wait_until(moment, reason))
        try:
            yield
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])
            if not waiting.cancelled():
                waiting.result()

    async def _wait_until(
        self,
        moment: datetime,
        reason: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Stop once the clock says so: one that was set, or asleep, counts."""
        while (left := (moment - now()).total_seconds()) > 0:  # noqa: ASYNC110 - it is the clock's
            await asyncio.sleep(min(left, _LOOK_INTERVAL))
        if not self.is_set:
            # One that drains already ends for the reason that it has.
            self.set(reason, unless_complete=True)

    async def wait(self) -> None:
        """Wait until somebody stops it."""
        await self._event.wait()
