"""Which failures are tried again, when, and how often.

A repeat is harmless: an update holds absolute values, so sending it twice leaves the same task.
What is never repeated is an update that the server refused. Being throttled (429) is no failure
of the row: it has a budget of its own, and its wait is the limiter's, not ours.
"""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import (
    BadResponseError,
    CertificateError,
    ConnectError,
    ConnectionLostError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    TaskError,
)

T = TypeVar("T")

#: What another attempt may cure.
TRANSIENT = (
    RateLimitedError,
    ServerError,
    RequestTimeoutError,
    ConnectError,
    ConnectionLostError,
    BadResponseError,
)


def is_transient(error: TaskError) -> bool:
    """Whether another attempt may end otherwise."""
    return isinstance(error, TRANSIENT) and not isinstance(error, CertificateError)


class Attempts:
    """What has been tried for one row so far.

    Attributes:
        sent: requests, all of them.
        throttled: how many of them were answered 429.
        excused: how many of them failed while the server was down for everybody.
        in_doubt: the latest error that leaves open whether the update was applied, or None.
        last_ms: how long the last one took, in milliseconds.
    """

    __slots__ = ("excused", "in_doubt", "last_ms", "sent", "throttled")

    def __init__(self) -> None:
        self.sent = self.throttled = self.excused = 0
        self.in_doubt: TaskError | None = None
        self.last_ms = 0.0

    def note(self, error: TaskError, *, is_excused: bool = False) -> None:
        """Take in how an attempt failed, and whether that was nothing of the row's own."""
        if isinstance(error, RateLimitedError):
            self.throttled += 1
        elif is_excused:
            self.excused += 1
        if error.ambiguous:
            self.in_doubt = error

    @property
    def counted(self) -> int:
        """How many of them count against the policy."""
        return self.sent - self.throttled - self.excused


class Retrier:
    """Runs attempts of a row until one succeeds or the policy says enough.

    Args:
        policy: how often, and how long between.
        sleep: waits so many seconds between two attempts; may raise to give the row up.
    """

    def __init__(self, policy: RetryPolicy, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._policy = policy
        self._sleep = sleep

    async def proceed(
        self, first: TaskError, attempt: Callable[[], Awaitable[T]], attempts: Attempts
    ) -> T:
        """Go on after a first attempt that failed, until one returns.

        The first one is not made here: nearly every row ends with it, and is not to pay for those
        that don't.

        Args:
            first: how it failed.
            attempt: makes another, which counts itself in `attempts`.
            attempts: those so far.

        Raises:
            TaskError: of the last attempt, when no other may help or none is left.
        """
        failed: TaskError | None = first

        # tenacity only awaits what it can see is a coroutine function.
        async def once() -> T:
            nonlocal failed
            if failed is None:
                return await attempt()
            error, failed = failed, None
            raise error

        # One for each row: one shared by all would mix up their counts.
        retrying = AsyncRetrying(
            sleep=self._sleep,
            retry=_is_retried,
            stop=lambda state: self._is_spent(_error(state), attempts),
            wait=lambda state: self._backoff(_error(state), attempts),
            reraise=True,
        )
        return await retrying(once)

    def _is_spent(self, error: BaseException | None, attempts: Attempts) -> bool:
        if isinstance(error, RateLimitedError):
            return attempts.throttled >= self._policy.max_throttles
        return attempts.counted >= self._policy.max_attempts

    def _backoff(self, error: BaseException | None, attempts: Attempts) -> float:
        """Seconds to wait: exponential with full jitter, or none where the limiter waits."""
        if isinstance(error, RateLimitedError):
            return 0.0
        doublings = min(max(0, attempts.counted - 1), 32)
        longest = min(self._policy.longest_backoff, self._policy.first_backoff * 2**doublings)
        return random.uniform(0, longest)  # noqa: S311 - jitter, not a secret


def _is_retried(state: RetryCallState) -> bool:
    error = _error(state)
    return isinstance(error, TaskError) and is_transient(error)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
