"""What a limiter is, and the one that only waits when it is told to.

The one that keeps a limit is `bulkupdate.engine.permits.PermitWindow`.
"""

import asyncio
import math
from typing import Protocol

from bulkupdate.config import LEMLIST_RATE
from bulkupdate.errors import WaitTooLongError
from bulkupdate.lemlist.answer import Answer

#: A longer wait than this, in seconds, is no wait but an end.
LONGEST_WAIT = 300.0


#: The shortest pause doubles so often at most.
_DOUBLINGS = 6


class Limiter(Protocol):
    """Gives each attempt leave to start, and hears of every answer."""

    async def acquire(self, row: int) -> float:
        """Wait until an attempt of row number `row` may start; earlier rows go first.

        Returns:
            The leave: each is given back by one `release`.

        Raises:
            WaitTooLongError: that would take more than `LONGEST_WAIT`.
        """

    def release(self, leave: float, answer: Answer | None) -> None:
        """Hear how an attempt ended: with an answer, or None where there was none."""

    @property
    def allowed(self) -> float | None:
        """Requests per second that it allows at present; None for any number."""

    @property
    def waiting_for(self) -> str | None:
        """Why nothing starts at the moment, for a person to read; None when something may."""

    @property
    def paused(self) -> float:
        """Seconds that 429s have held everything back, so far."""


class Pause:
    """Everything is held back until a moment. Each 429 may move it."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self.until = -math.inf
        self._held = 0.0
        self._began = -math.inf
        self._in_a_row = 0

    def hold(self, leave: float, asked: float, shortest: float) -> None:
        """Hold everything back, after a 429.

        Args:
            leave: when the request that was refused started.
            asked: how long the answer asks for, in seconds.
            shortest: how long at least; twice as long for each further 429 without a success
                between them. Requests that were out when the pause began don't count as such.
        """
        if leave > self._began:
            self._began = self._now()
            self._in_a_row += 1
            asked = max(asked, shortest * 2 ** min(self._in_a_row - 1, _DOUBLINGS))
        until = self._now() + asked
        self._held += max(0.0, until - max(self.until, self._now()))
        self.until = max(self.until, until)

    def succeeded(self) -> None:
        """Hear of an answer that was no 429."""
        self._in_a_row = 0

    @property
    def total(self) -> float:
        """Seconds that everything was held back, so far."""
        return self._held - max(0.0, self.until - self._now())

    def check(self) -> None:
        """Raise if it is too long to be waited for."""
        if (left := self.until - self._now()) > LONGEST_WAIT:
            raise WaitTooLongError(left)

    def __str__(self) -> str:
        return f"rate limited: going on in {self.until - self._now():.1f} s"

    def __bool__(self) -> bool:
        return self.until > self._now()


class Pausing:
    """What every limiter does: hold everything back for as long as a 429 asks."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._pause = Pause()

    @property
    def waiting_for(self) -> str | None:
        """The pause that the server asked for."""
        return str(self._pause) if self._pause else None

    @property
    def paused(self) -> float:
        """Seconds that 429s have held everything back, so far."""
        return self._pause.total


class NoLimiter(Pausing):
    """No limit: every attempt may start at once. A 429 still pauses all of them."""

    #: Seconds to wait after a 429 that doesn't say how long, and at least.
    DEFAULT_PAUSE = LEMLIST_RATE.period
    SHORTEST_PAUSE = 0.25

    async def acquire(self, row: int) -> float:  # noqa: ARG002 - nobody waits for a turn
        """Wait while the server has asked for a pause."""
        while (now := self._now()) < self._pause.until:
            self._pause.check()
            await asyncio.sleep(self._pause.until - now)
        return now

    def release(self, leave: float, answer: Answer | None) -> None:
        """After a 429, hold everything back for as long as it asks."""
        if answer is None:
            return
        if answer.is_throttled:
            asked = answer.quota.retry_after
            self._pause.hold(
                leave, self.DEFAULT_PAUSE if asked is None else asked, self.SHORTEST_PAUSE
            )
        else:
            self._pause.succeeded()

    @property
    def allowed(self) -> float | None:
        """Any number."""
        return None
