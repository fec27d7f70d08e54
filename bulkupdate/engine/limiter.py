"""What a limiter is, and the one that only waits when the server asks for it.

The limiter that keeps a limit is `bulkupdate.engine.permits.PermitWindow`.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, Self

from bulkupdate.errors import WaitTooLongError
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.rate import LEMLIST_RATE

#: Seconds that a run waits for the server at most; a longer wait ends it.
LONGEST_WAIT = 300.0

#: The shortest pause doubles so often at most.
_DOUBLINGS = 6


class Permit(Protocol):
    """The permission for one request."""

    def answered(self, answer: Answer[Any]) -> None:
        """Take in the answer, of which only the quota counts, and whether it is a 429.

        A permit that is given back without one stands for a request without an answer.
        """


class Limiter(Protocol):
    """Gives each request its permit, and learns from the answers."""

    def permit(self) -> AbstractAsyncContextManager[Permit]:
        """The permission for one request, from its start to its answer.

        Entering waits until the request may start; what came first goes first.

        Raises:
            WaitTooLongError: on entering: the wait would take more than `LONGEST_WAIT`.
        """

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
    """A time in which nothing starts. Each 429 may make it longer."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self.until = -math.inf
        self._held = 0.0
        self._began = -math.inf
        self._in_a_row = 0

    def hold(self, started: float, asked: float, shortest: float) -> None:
        """Hold everything back, after a 429.

        Args:
            started: when the refused request started.
            asked: the wait that the answer asks for, in seconds.
            shortest: the shortest wait; it doubles with each further 429 without a success between
                them. Requests that were in flight when the pause began don't count as such.
        """
        if started > self._began:
            self._began = self._now()
            self._in_a_row += 1
            asked = max(asked, shortest * 2 ** min(self._in_a_row - 1, _DOUBLINGS))
        until = self._now() + asked
        self._held += max(0.0, until - max(self.until, self._now()))
        self.until = max(self.until, until)

    def succeeded(self) -> None:
        """Take in an answer that was no 429."""
        self._in_a_row = 0

    @property
    def total(self) -> float:
        """Seconds that everything was held back, so far."""
        return self._held - max(0.0, self.until - self._now())

    def check(self) -> None:
        """Raise `WaitTooLongError` if it is too long to be waited for."""
        if (left := self.until - self._now()) > LONGEST_WAIT:
            raise WaitTooLongError(left)

    def __str__(self) -> str:
        return f"rate limited: continuing in {self.until - self._now():.1f} s"

    def __bool__(self) -> bool:
        return self.until > self._now()


class LocalLimiter(ABC):
    """A limiter of one process, which pauses for as long as a 429 asks."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._pause = Pause()

    def permit(self) -> "LocalPermit":
        """The permission for one request; see `Limiter`."""
        return LocalPermit(self)

    @abstractmethod
    async def start(self) -> float:
        """Wait until a request may start; returns when it did."""

    @abstractmethod
    def end(self, started: float, answer: Answer[Any] | None) -> None:
        """Take in how a request ended: with an answer, or without one."""

    @property
    def waiting_for(self) -> str | None:
        """The pause that the server asked for."""
        return str(self._pause) if self._pause else None

    @property
    def paused(self) -> float:
        """Seconds that 429s have held everything back, so far."""
        return self._pause.total


class LocalPermit:
    """The permission for one request from a limiter of this process."""

    __slots__ = ("_answer", "_limiter", "_started")

    def __init__(self, limiter: LocalLimiter) -> None:
        self._limiter = limiter
        self._answer: Answer[Any] | None = None

    def answered(self, answer: Answer[Any]) -> None:
        """Take in the answer; see `Permit`."""
        self._answer = answer

    async def __aenter__(self) -> Self:
        self._started = await self._limiter.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._limiter.end(self._started, self._answer)


class NoLimiter(LocalLimiter):
    """No limit: every request may start at once. A 429 still pauses all of them."""

    #: Seconds to wait after a 429 that names no time, and at least.
    DEFAULT_PAUSE = LEMLIST_RATE.period
    SHORTEST_PAUSE = 0.25

    async def start(self) -> float:
        """Wait while the server has asked for a pause."""
        while (now := self._now()) < self._pause.until:
            self._pause.check()
            await asyncio.sleep(self._pause.until - now)
        return now

    def end(self, started: float, answer: Answer[Any] | None) -> None:
        """After a 429, hold everything back for as long as it asks."""
        if answer is None:
            return
        if answer.is_throttled:
            asked = answer.quota.retry_after
            self._pause.hold(
                started, self.DEFAULT_PAUSE if asked is None else asked, self.SHORTEST_PAUSE
            )
        else:
            self._pause.succeeded()

    @property
    def allowed(self) -> float | None:
        """Any number."""
        return None
