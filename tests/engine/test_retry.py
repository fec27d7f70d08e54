"""Which failures are tried again, when, and how often."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

import pytest

from bulkupdate import errors
from bulkupdate.engine.retry import TRANSIENT, Attempts, Retrier, is_transient
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import (
    BadRequestError,
    CertificateError,
    ConfigError,
    ConnectError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TaskError,
)


async def try_all(
    retrier: Retrier, attempt: Callable[[Attempts], Awaitable[None]], attempts: Attempts
) -> None:
    """A first attempt, and those that follow where it fails."""
    try:
        await attempt(attempts)
    except TaskError as first:
        await retrier.proceed(first, functools.partial(attempt, attempts), attempts)


async def run(
    *script: TaskError | None, policy: RetryPolicy | None = None
) -> tuple[int, list[float]]:
    """How many attempts this script of failures takes, and the waits between them."""
    waits: list[float] = []
    attempts = Attempts()
    failures = iter(script)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def attempt(attempts: Attempts) -> None:
        attempts.sent += 1
        failure = next(failures)
        if isinstance(failure, RateLimitedError):
            attempts.throttled += 1
        if failure:
            raise failure

    try:
        await try_all(Retrier(policy or RetryPolicy(), sleep), attempt, attempts)
    except TaskError:
        return attempts.sent, waits
    assert next(failures, "end") == "end"
    return attempts.sent, waits


@pytest.mark.parametrize("kind", TRANSIENT)
async def test_transient_failure_is_tried_again(kind: type[TaskError]) -> None:
    """Each kind of transient failure is tried again after a wait."""
    sent, waits = await run(kind("x"), None)
    assert (sent, len(waits)) == (2, 1)


@pytest.mark.parametrize("kind", [BadRequestError, NotFoundError, CertificateError,
                                  errors.UnauthorizedError, errors.RedirectError])  # fmt: skip
async def test_refusal_is_not_tried_again(kind: type[TaskError]) -> None:
    """A refusal takes one attempt and is not tried again."""
    assert not is_transient(kind("x"))
    assert await run(kind("x"), None) == (1, [])


async def test_row_ends_after_its_last_attempt() -> None:
    """A row gets no attempt beyond the maximum that the policy sets."""
    sent, waits = await run(*[ServerError("x")] * 9, policy=RetryPolicy(max_attempts=3))
    assert (sent, len(waits)) == (3, 2)


async def test_last_attempts_error_is_raised() -> None:
    """The retrier raises the error of the last attempt."""
    attempts = Attempts()

    async def attempt(attempts: Attempts) -> None:
        attempts.sent += 1
        raise ConnectError(f"attempt {attempts.sent}")

    async def sleep(_: float) -> None:
        return

    with pytest.raises(ConnectError, match="attempt 2"):
        await try_all(Retrier(RetryPolicy(max_attempts=2), sleep), attempt, attempts)


def test_excused_attempt_counts_for_nothing() -> None:
    """An attempt that failed because the server was down leaves as many as before."""
    attempts = Attempts()
    for _ in range(3):
        attempts.sent += 1
        attempts.note(ServerError("x"), is_excused=attempts.sent < 3)
    assert attempts.counted == 1


async def test_throttled_attempts_wait_in_the_limiter() -> None:
    """A throttled attempt is not counted, and the limiter does the waiting for it."""
    script = [RateLimitedError("x")] * 10 + [ServerError("x"), None]
    sent, waits = await run(*script, policy=RetryPolicy(max_attempts=2))
    assert sent == 12
    assert waits[:10] == [0.0] * 10
    assert waits[10] > 0


async def test_throttled_attempts_have_their_own_budget() -> None:
    """Throttled attempts count against a maximum of their own."""
    policy = RetryPolicy(max_attempts=1, max_throttles=4)
    assert (await run(*[RateLimitedError("x")] * 9, policy=policy))[0] == 4


async def test_backoff_doubles_up_to_its_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The backoff doubles up to its longest, with full jitter."""
    monkeypatch.setattr("random.uniform", lambda low, high: (low, high)[1])
    policy = RetryPolicy(max_attempts=7, first_backoff=0.5, longest_backoff=4)
    _, waits = await run(*[ServerError("x")] * 7, policy=policy)
    assert waits == [0.5, 1, 2, 4, 4, 4]


async def test_retrier_survives_thousands_of_attempts() -> None:
    """A row can fail 1500 times and still succeed at the next attempt."""
    sent, _ = await run(*[ServerError("x")] * 1500, None, policy=RetryPolicy(max_attempts=2000))
    assert sent == 1501


async def test_cancellation_is_never_retried() -> None:
    """A cancelled attempt is never tried again."""
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    async def sleep(_: float) -> None:
        return

    with pytest.raises(asyncio.CancelledError):
        await Retrier(RetryPolicy(), sleep).proceed(ServerError("x"), attempt, Attempts())
    assert calls == 1


@pytest.mark.parametrize("name", ["max_attempts", "max_throttles"])
def test_policy_makes_one_attempt_at_least(name: str) -> None:
    """A policy may allow a single attempt, and no fewer."""
    assert getattr(RetryPolicy(**{name: 1}), name) == 1
    with pytest.raises(ConfigError, match="must be 1 or more"):
        RetryPolicy(**{name: 0})
