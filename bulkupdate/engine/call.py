"""A call: a request of any kind, under the rate limit, with retries until it has an outcome.

::

    call ──▶ health ──▶ limiter ──▶ request ──▶ answer ──▶ value
              ▲ probe    permit                    │ error that a retry may fix
              └────────────── backoff ◀────────────┘

All calls of a lane share its limit, its health and its stop.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bulkupdate.context import PermitExpiredError
from bulkupdate.engine.health import Health
from bulkupdate.engine.limiter import LONGEST_WAIT, Limiter, Permit, permitted
from bulkupdate.engine.retry import Attempts, Retrier
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import NoPermitError, RateLimitedError, TaskError, WaitTooLongError
from bulkupdate.lemlist.answer import Answer
from bulkupdate.models import Level, Reason, Traffic, now
from bulkupdate.stop import Scope, Stop, StoppedError

Value = TypeVar("Value")

#: Sends one request, once. Returns the answer, or raises `TaskError` if there is none.
Request = Callable[[], Awaitable[Answer[Value]]]

log = logging.getLogger(__name__)


class NotDueError(Exception):
    """A call is not made any more: it has waited too long for its first permit."""


class _HeldBackError(Exception):
    """The server has gone down while an attempt waited for its permit."""


class Caller:
    """The maker of all calls with one key.

    Args:
        limiter: gives each attempt its permit.
        health: records every answer, and holds requests back while the server is down.
        policy: the number of attempts and the backoff between them.
        stop: at drain, no further attempt starts; at abort, attempts in flight are given up. A call
            sets it if the server limits the call for longer than a run waits.
        on_start: is called when the first attempt of a call starts: it waits for nothing any more.

    Attributes:
        traffic: counts of the requests so far.
        in_flight: the number of requests without an answer yet.
    """

    def __init__(
        self,
        limiter: Limiter,
        health: Health,
        policy: RetryPolicy,
        stop: Stop,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        self.traffic = Traffic()
        self.in_flight = 0
        self._limiter = limiter
        self._health = health
        self._policy = policy
        self._stop = stop
        self._on_start = on_start

    async def call(
        self,
        request: Request[Value],
        attempts: Attempts,
        scope: Scope,
        *,
        subject: str,
        is_due: Callable[[], bool] = lambda: True,
    ) -> Value:
        """Make a call.

        Args:
            request: sends the request once.
            attempts: counts the attempts. The caller may read it after an error too.
            scope: the block in which the call is made, at drain. Drain interrupts an attempt that
                waits. Only abort interrupts an attempt in flight.
            subject: the id of the task, for the log and for `Health`; "" if it is about none.
            is_due: whether the first attempt may still start, once it has its permit. It may have
                waited long.

        Returns:
            The value in the answer.

        Raises:
            NotDueError: it may not, and nothing was sent.
            TaskError: the last attempt failed, and no retry may help or none is left.
            StoppedError: a stop came first.
        """
        try:
            try:
                return await self._attempt(request, attempts, scope, subject, is_due)
            except TaskError as error:
                # Nearly every call ends with its first attempt. Only the rest pay for the retrier.
                return await self._retrier(scope).proceed(
                    error, lambda: self._attempt(request, attempts, scope, subject), attempts
                )
        except asyncio.CancelledError:
            if scope.took_back():
                raise StoppedError from None
            raise
        except WaitTooLongError as wait:
            text = f"{wait}: come back at {now(after=wait.seconds)}"
            self._stop.set(text, Reason.RATE_LIMITED)
            raise StoppedError from wait
        except NoPermitError as error:
            self._stop.set(str(error), Reason.NO_PERMIT)
            raise StoppedError from error
        except RateLimitedError as error:
            text = f"still rate limited after {attempts.throttled} attempts for one row: {error}"
            self._stop.set(text, Reason.RATE_LIMITED)
            raise StoppedError from error

    async def _attempt(
        self,
        request: Request[Value],
        attempts: Attempts,
        scope: Scope,
        subject: str,
        is_due: Callable[[], bool] = lambda: True,
    ) -> Value:
        def send(permit: Permit) -> Awaitable[Value]:
            if not is_due():
                raise NotDueError
            if self._health.is_down and not is_probe:
                raise _HeldBackError
            scope.change(Level.ABORT)
            return self._send(request, permit, attempts, subject)

        while True:
            is_probe = self._health.is_down and await self._health.wait()
            try:
                return await permitted(self._limiter, send, lambda: scope.change(Level.DRAIN))
            except _HeldBackError:
                continue
            finally:
                if is_probe:
                    self._health.end_probe()

    def _retrier(self, scope: Scope) -> Retrier:
        async def sleep(seconds: float) -> None:
            scope.change(Level.DRAIN)
            if seconds:
                await asyncio.sleep(seconds)

        return Retrier(self._policy, sleep)

    async def _send(
        self, request: Request[Value], permit: Permit, attempts: Attempts, subject: str
    ) -> Value:
        attempts.sent += 1
        self.traffic.requests += 1
        if attempts.sent > 1:
            self.traffic.retries += 1
        elif not attempts.has_started:
            attempts.has_started = True
            self._on_start()
        self.in_flight += 1
        started = time.monotonic()
        try:
            answer = await request()
            permit.answered(answer)
            value = answer.result()
        except PermitExpiredError:
            # Nothing was sent.
            attempts.sent -= 1
            self.traffic.requests -= 1
            self.traffic.retries -= attempts.sent > 0
            raise
        except TaskError as error:
            self._health.note(subject, error)
            attempts.note(error, is_excused=self._health.is_down)
            self.traffic.rate_limited += isinstance(error, RateLimitedError)
            log.info("%r, attempt %d: %s: %s", subject, attempts.sent, error.type, error.message)
            if (error.retry_after or 0.0) > LONGEST_WAIT:
                raise WaitTooLongError(error.retry_after or 0.0) from error
            raise
        finally:
            self.in_flight -= 1
            attempts.last_ms = (time.monotonic() - started) * 1000
        self._health.note(subject, None)
        return value
