"""Retries: which failures are tried again, when, and how often.

A repeated update is harmless: it holds absolute values, so sending it twice leaves the same task.
An update that the server refused is never repeated. A 429 is not a failure of the row: it has its
own budget, and the limiter waits for it.
"""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import (
    BadResponseError,
    ConnectError,
    ConnectionLostError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    TaskError,
)

T = TypeVar("T")

#: Errors after which a retry may succeed.
TRANSIENT = (
    RateLimitedError,
    ServerError,
    RequestTimeoutError,
    ConnectError,
    ConnectionLostError,
    BadResponseError,
)


def is_transient(error: TaskError) -> bool:
    """Whether a retry may succeed."""
    return error.is_in_question or (isinstance(error, TRANSIENT) and not error.stops_lane)


class Attempts:
    """The attempts for one row so far.

    Attributes:
        sent: the number of requests.
        throttled: the number of them with the answer 429.
        excused: the number of them that failed while the server was down for every row, or whose
            answer was in question.
        in_doubt: the latest error after which the update may have been applied, or None.
        last_ms: the duration of the last request, in milliseconds.
        has_started: whether the first attempt has had a permit.
    """

    __slots__ = ("excused", "has_started", "in_doubt", "last_ms", "sent", "throttled")

    def __init__(self) -> None:
        self.has_started = False
        self.sent = self.throttled = self.excused = 0
        self.in_doubt: TaskError | None = None
        self.last_ms = 0.0

    def note(self, error: TaskError, *, is_excused: bool = False) -> None:
        """Record a failed attempt.

        Args:
            error: the error of the attempt.
            is_excused: whether the server was down, so that the attempt doesn't count.
        """
        if isinstance(error, RateLimitedError):
            self.throttled += 1
        elif is_excused or error.is_in_question:
            self.excused += 1
        if error.ambiguous and not (error.is_in_question and self.in_doubt):
            self.in_doubt = error
        elif not error.ambiguous and self._was_answer_to_this(error):
            self.in_doubt = None

    def _was_answer_to_this(self, error: TaskError) -> bool:
        """Whether the doubt was an answer in question, which has now come again for certain."""
        doubt = self.in_doubt
        return doubt is not None and doubt.is_in_question and type(doubt) is type(error)

    @property
    def counted(self) -> int:
        """The number of attempts that count against `RetryPolicy.max_attempts`."""
        return self.sent - self.throttled - self.excused


class Retrier:
    """A loop of attempts for one row, until one succeeds or the policy allows no more.

    Args:
        policy: the number of attempts and the backoff between them.
        sleep: waits for the backoff, in seconds. It may raise to give the row up.
    """

    def __init__(self, policy: RetryPolicy, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._policy = policy
        self._sleep = sleep

    async def proceed(
        self, first: TaskError, attempt: Callable[[], Awaitable[T]], attempts: Attempts
    ) -> T:
        """Make further attempts after a failed first one, until one succeeds.

        The caller makes the first attempt itself. Nearly every row ends with it, and then needs no
        retrier.

        Args:
            first: the error of the first attempt.
            attempt: makes one attempt, and counts it in `attempts`.
            attempts: the attempts so far.

        Returns:
            The value of the attempt that succeeded.

        Raises:
            TaskError: the last attempt failed, and no retry may help or none is left.
        """
        failed: TaskError | None = first

        # tenacity awaits only functions that it recognises as coroutine functions.
        async def once() -> T:
            nonlocal failed
            if failed is None:
                return await attempt()
            error, failed = failed, None
            raise error

        # One object for each row: rows that share one would mix up their counts.
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
        """The backoff in seconds: exponential with full jitter, after what the server asks for.

        It is 0 if the limiter waits, or if the answer was in question.
        """
        if not isinstance(error, TaskError):
            raise AssertionError("only a TaskError is retried")
        if isinstance(error, RateLimitedError) or error.is_in_question:
            return 0.0
        doublings = min(max(0, attempts.counted - 1), 32)
        longest = min(self._policy.longest_backoff, self._policy.first_backoff * 2**doublings)
        asked = min(error.retry_after or 0.0, self._policy.give_up_after)
        return asked + random.uniform(0, longest)  # noqa: S311 - jitter, not a secret


def _is_retried(state: RetryCallState) -> bool:
    error = _error(state)
    return isinstance(error, TaskError) and is_transient(error)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
