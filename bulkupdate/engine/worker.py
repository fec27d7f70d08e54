"""One row → one result: the limiter inside every attempt, the retrier around them."""

import asyncio
import functools
import logging
import time
from typing import Protocol

from bulkupdate.config import RetryPolicy
from bulkupdate.engine.health import Health
from bulkupdate.engine.limiter import Limiter
from bulkupdate.engine.retry import Attempts, Retrier
from bulkupdate.errors import (
    BadRequestError,
    NotFoundError,
    RateLimitedError,
    RedirectError,
    TaskError,
    WaitTooLongError,
)
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.verify import mismatches
from bulkupdate.models import ErrorInfo, Outcome, Result, Task, TaskUpdate, Traffic, now
from bulkupdate.stop import Stop

#: Errors that speak of the update itself. After one of them it is plain that the same update,
#: sent before, was not applied either.
CONCLUSIVE = (BadRequestError, NotFoundError, RedirectError)

log = logging.getLogger(__name__)


class Sender(Protocol):
    """Sends one update, once."""

    async def send(self, update: TaskUpdate) -> Answer:
        """The server's answer; raises `TaskError` where there was none."""


class AbandonedError(Exception):
    """The run is stopping, and the row is not settled: it stays unprocessed."""


class Worker:
    """Settles one row at a time.

    Args:
        client: sends an update.
        limiter: says when.
        policy: how often.
        stop: once set, no further attempt is started.
        traffic: is told of every request.
        health: is told of every answer, and holds requests back while the server is down.

    Attributes:
        idle: whether it only waits, so that cancelling it now loses nothing.
        abandoned: whether it is cancelled because the run stops: an update in doubt then still has
            its result.
        sending: whether a request is out.
    """

    def __init__(
        self,
        client: Sender,
        limiter: Limiter,
        policy: RetryPolicy,
        stop: Stop,
        traffic: Traffic,
        health: Health,
    ) -> None:
        self._client = client
        self._limiter = limiter
        self._retrier = Retrier(policy, self._sleep)
        self._stop = stop
        self._traffic = traffic
        self._health = health
        self.idle = True
        self.abandoned = False
        self.sending = False

    async def settle(self, number: int, update: TaskUpdate) -> Result:
        """Send the update of row `number` until it has an outcome.

        Raises:
            AbandonedError: the run stopped first, and the task is as it was; or was stopped by this
                row, which was throttled more often than its budget allows, or for longer than
                anybody would wait.
        """
        attempts = Attempts()
        task: Task | None = None
        error: TaskError | None = None
        cut_short = False
        try:
            try:
                task = await self._attempt(number, update, attempts)
            except TaskError as first:
                again = functools.partial(self._attempt, number, update, attempts)
                task = await self._retrier.go_on(first, again, attempts)
        except WaitTooLongError as wait:
            self._stop.set(f"rate limited: {wait}: come back at {now(after=wait.seconds)}")
            raise AbandonedError from wait
        except RateLimitedError as throttled:
            reason = f"still rate limited after {attempts.throttled} tries of one row: {throttled}"
            self._stop.set(reason)
            raise AbandonedError from throttled
        except AbandonedError:
            if attempts.in_doubt is None:
                raise
            error, cut_short = attempts.in_doubt, True
        except asyncio.CancelledError:
            running = asyncio.current_task()
            if not self.abandoned or attempts.in_doubt is None or running is None:
                raise
            running.uncancel()
            error, cut_short = attempts.in_doubt, True
        except TaskError as failure:
            error = failure
        sent = update.changes()
        return Result(
            row=number,
            id=update.id,
            outcome=_outcome(error, attempts),
            status=error.status if error else 200,
            attempts=attempts.sent,
            at=now(),
            ms=round(10 * attempts.last_ms) / 10,
            sent=sent,
            task=task.fields if task else None,
            mismatches=mismatches(sent, task.fields) or None if task else None,
            error=ErrorInfo(error.type, error.message) if error else None,
            cut_short=cut_short,
        )

    async def _attempt(self, number: int, update: TaskUpdate, attempts: Attempts) -> Task:
        while True:
            is_probe = self._health.is_down and await self._health.wait()
            try:
                leave = await self._limiter.acquire(number)
                if self._stop.is_set:
                    self._limiter.release(leave, None)
                    raise AbandonedError
                if is_probe or not self._health.is_down:
                    return await self._send(update, leave, attempts)
                # The server went down while this waited for leave.
                self._limiter.release(leave, None)
            finally:
                if is_probe:
                    self._health.end_probe()

    async def _send(self, update: TaskUpdate, leave: float, attempts: Attempts) -> Task:
        attempts.sent += 1
        self._traffic.requests += 1
        if attempts.sent > 1:
            self._traffic.retries += 1
        started = time.monotonic()
        self.idle, self.sending = False, True
        answer: Answer | None = None
        try:
            answer = await self._client.send(update)
            task = answer.result()
        except TaskError as error:
            self._health.heard(update.id, error)
            attempts.note(error, is_excused=self._health.is_down)
            self._traffic.rate_limited += isinstance(error, RateLimitedError)
            log.info("%r, attempt %d: %s: %s", update.id, attempts.sent, error.type, error.message)
            raise
        finally:
            self.sending = False
            attempts.last_ms = (time.monotonic() - started) * 1000
            self._limiter.release(leave, answer)
        self._health.heard(update.id, None)
        return task

    async def _sleep(self, seconds: float) -> None:
        """Wait before the next attempt. Called after every failed one, by the retrier."""
        if self._stop.is_set:
            raise AbandonedError
        self.idle = True
        if seconds:
            await asyncio.sleep(seconds)


def _outcome(error: TaskError | None, attempts: Attempts) -> Outcome:
    if error is None:
        return Outcome.UPDATED
    if error.ambiguous or (attempts.in_doubt and not isinstance(error, CONCLUSIVE)):
        return Outcome.UNCONFIRMED
    return Outcome.FAILED
