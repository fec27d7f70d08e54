"""The signal to start nothing more."""

import asyncio

from bulkupdate.summary import State


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

    async def wait(self) -> None:
        """Wait until somebody stops it."""
        await self._event.wait()
