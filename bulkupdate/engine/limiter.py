"""The interface of limiters, and a limiter that waits only when the server asks for it.

The limiter that keeps a rate limit is `bulkupdate.engine.permits.PermitWindow`.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, Self, TypeVar

from bulkupdate.context import CONNECT_LATE, PermitExpiredError
from bulkupdate.errors import WaitTooLongError
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.rate import LEMLIST_RATE

Value = TypeVar("Value")

#: The longest wait in seconds that a run accepts from the server. A longer wait ends the run.
LONGEST_WAIT = 300.0

#: Seconds by which a request may be late where it is known that its connection is slow.
SLOW_CONNECTION = 1.0

#: The shortest pause doubles at most this number of times.
_DOUBLINGS = 6


class Permit(Protocol):
    """The permission for one request."""

    def answered(self, answer: Answer[Any]) -> None:
        """Record the answer. Only its quota matters, and whether it is a 429.

        A permit that ends without this call belongs to a request without an answer.
        """


class Limiter(Protocol):
    """Gives each request its permit, and learns from the answers."""

    def permit(self) -> AbstractAsyncContextManager[Permit]:
        """The permission for one request, from its start to its answer.

        Entering it waits until the request may start, in the order of arrival. A permit may set
        `START_UNTIL` and `CONNECT_LATE` of `bulkupdate.context`: see `permitted`.

        Raises:
            WaitTooLongError: entering would wait for more than `LONGEST_WAIT` seconds.
            NoPermitError: the limiter can't be reached any more, or gives this caller no permit.
        """

    @property
    def allowed(self) -> float | None:
        """Requests per second that the limiter allows now; None for no limit."""

    @property
    def waiting_for(self) -> str | None:
        """A message that says why no request starts now; None if requests may start."""

    @property
    def paused(self) -> float:
        """Seconds for which 429s have paused all requests, so far."""


async def permitted(
    limiter: Limiter,
    use: Callable[[Permit], Awaitable[Value]],
    on_expired: Callable[[], object] = lambda: None,
) -> Value:
    """Make a request with a permit.

    A permit may expire before its request starts, as while a connection is made. Then another one
    is needed, for which the connection is there. Where a connection must be made for that one too,
    the request may start late by a second, with a third permit by two, and so on: where connections
    are that slow, it would never start.

    Args:
        limiter: gives the permits.
        use: makes the request.
        on_expired: is called before waiting for another permit.

    Returns:
        What `use` returns.

    Raises:
        WaitTooLongError: see `Limiter.permit`.
        NoPermitError: likewise.
    """
    late, before = 0.0, CONNECT_LATE.get()
    if before:
        # The task was started from within another request, which may be late.
        CONNECT_LATE.set(late)
    try:
        while True:
            try:
                async with limiter.permit() as permit:
                    return await use(permit)
            except PermitExpiredError:
                late = max(SLOW_CONNECTION, 2 * late)
                CONNECT_LATE.set(late)
            on_expired()
    finally:
        if late or before:
            CONNECT_LATE.set(before)


class Pause:
    """A time in which no request starts. Each 429 may make it longer."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self.until = -math.inf
        self._held = 0.0
        self._began = -math.inf
        self._in_a_row = 0
        #: When the first of the 429s in a row came.
        self._first = -math.inf

    def hold(self, started: float, asked: float, shortest: float) -> None:
        """Pause all requests after a 429.

        Args:
            started: the start of the refused request, in seconds of the event loop's clock.
            asked: the wait that the answer asks for, in seconds.
            shortest: the shortest wait, in seconds. It doubles with each further 429 without a
                success between them. Requests that were in flight when the pause began don't count
                as further 429s.
        """
        if started > self._began:
            self._began = self._now()
            self._in_a_row += 1
            if self._in_a_row == 1:
                self._first = self._began
            asked = max(asked, shortest * 2 ** min(self._in_a_row - 1, _DOUBLINGS))
        until = self._now() + asked
        self._held += max(0.0, until - max(self.until, self._now()))
        self.until = max(self.until, until)

    def succeeded(self) -> None:
        """Record an answer that is not a 429."""
        self._in_a_row = 0

    @property
    def total(self) -> float:
        """Seconds for which all requests were paused, so far."""
        return self._held - max(0.0, self.until - self._now())

    @property
    def too_long(self) -> WaitTooLongError | None:
        """An error if the pause is too long.

        That is, if the rest of it is longer than `LONGEST_WAIT`, or the whole of it with those
        before it, between which no request was accepted.
        """
        left = self.until - self._now()
        if left > LONGEST_WAIT:
            return WaitTooLongError(left)
        if self._in_a_row > 1 and self.until - self._first > LONGEST_WAIT:
            return WaitTooLongError(
                left, f"no request was accepted for {self._now() - self._first:.0f} s"
            )
        return None

    def check(self) -> None:
        """Raise `WaitTooLongError` if the rest of the pause is longer than `LONGEST_WAIT`."""
        if error := self.too_long:
            raise error

    def __str__(self) -> str:
        return f"rate limited: continuing in {self.until - self._now():.1f} s"

    def __bool__(self) -> bool:
        return self.until > self._now()


class LocalLimiter(ABC):
    """A limiter of one process. It pauses for as long as a 429 asks."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._pause = Pause()

    def permit(self) -> "LocalPermit":
        """The permission for one request; see `Limiter`."""
        return LocalPermit(self)

    @abstractmethod
    async def start(self) -> float:
        """Wait until a request may start. Return the start, by the event loop's clock."""

    @abstractmethod
    def end(self, started: float, answer: Answer[Any] | None) -> None:
        """Record the end of a request, with its answer or None."""

    @property
    def waiting_for(self) -> str | None:
        """A message about the pause that the server asked for; None if there is none."""
        return str(self._pause) if self._pause else None

    @property
    def paused(self) -> float:
        """Seconds for which 429s have paused all requests, so far."""
        return self._pause.total


class Starter(Protocol):
    """A limiter that gives a request its start."""

    async def start(self) -> float:
        """Wait until a request may start. Return the start, by the event loop's clock."""


class StartedPermit:
    """A permit that waits for its start, and keeps the answer.

    Args:
        limiter: gives it the start.
    """

    __slots__ = ("_answer", "_started", "_starter")

    def __init__(self, limiter: Starter) -> None:
        self._starter = limiter
        self._answer: Answer[Any] | None = None

    def answered(self, answer: Answer[Any]) -> None:
        """Record the answer; see `Permit`."""
        self._answer = answer

    async def __aenter__(self) -> Self:
        self._started = await self._starter.start()
        return self


class LocalPermit(StartedPermit):
    """A permit from a limiter of this process."""

    __slots__ = ()

    _starter: LocalLimiter

    async def __aexit__(self, *_: object) -> None:
        self._starter.end(self._started, self._answer)


class NoLimiter(LocalLimiter):
    """A limiter without a rate limit: requests start at once. A 429 still pauses all of them."""

    #: Seconds to wait after a 429 without `Retry-After`, and the shortest wait after any 429.
    DEFAULT_PAUSE = LEMLIST_RATE.period
    SHORTEST_PAUSE = 0.25

    async def start(self) -> float:
        """Wait until the pause that the server asked for is over."""
        while (now := self._now()) < self._pause.until:
            self._pause.check()
            await asyncio.sleep(self._pause.until - now)
        return now

    def end(self, started: float, answer: Answer[Any] | None) -> None:
        """Record the end of a request. A 429 pauses all requests for as long as it asks."""
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
        """None: there is no limit."""
        return None
