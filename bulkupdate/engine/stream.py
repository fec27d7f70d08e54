"""`update_tasks`: updates from a program instead of a file, with rate limit and retries."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Mapping
from typing import Any, overload

from bulkupdate.engine.backlog import READ_AHEAD, Backlog
from bulkupdate.engine.incoming import Reading, each, hand_out, no_update
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.manylanes import ManyLanes
from bulkupdate.engine.permits import limiter_for
from bulkupdate.engine.settings import MAX_WORKERS, RetryPolicy
from bulkupdate.errors import ConfigError, RunStoppedError
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.tasks import MEDIA_TIMEOUT, TaskClient
from bulkupdate.models import Result, Row, TaskUpdate
from bulkupdate.stop import Stop

#: Results that may wait for the caller before the workers wait too.
_RESULT_QUEUE = 64


@overload
def update_tasks(
    updates: Iterable[TaskUpdate] | AsyncIterable[TaskUpdate],
    endpoint: Endpoint,
    *,
    rate: Rate = ...,
    workers: int = ...,
    retry: RetryPolicy | None = ...,
) -> AsyncGenerator[Result, None]: ...


@overload
def update_tasks(
    updates: Iterable[tuple[str, TaskUpdate]] | AsyncIterable[tuple[str, TaskUpdate]],
    endpoint: Mapping[str, Endpoint],
    *,
    rate: Rate = ...,
    workers: int = ...,
    retry: RetryPolicy | None = ...,
) -> AsyncGenerator[Result, None]: ...


async def update_tasks(
    updates: Iterable[Any] | AsyncIterable[Any],
    endpoint: Endpoint | Mapping[str, Endpoint],
    *,
    rate: Rate = "auto",
    workers: int = 16,
    retry: RetryPolicy | None = None,
) -> AsyncGenerator[Result, None]:
    """Send updates under the rate limit, with retries, and yield the result of each.

    Updates of one task are applied in the given order. Results come in the order in which updates
    are settled. `Result.row` is the number of the update in `updates`, from 1. Only a few updates
    are read ahead. If the caller takes results slowly, the sending slows down too.

    If `updates` raises an error, every update before it is settled first. If the caller closes the
    generator early, requests in flight are aborted, and may have been applied.

    With several accounts, each has its own limit, and one that stops keeps no other waiting.
    Updates are read ahead to the disk for as long as any account is nearly out of work.

    Args:
        updates: the updates to send, or with several accounts pairs of an account's name and an
            update. They are taken one by one.
        endpoint: the server and the API key; or those of each account, by its name.
        rate: "auto" follows the server; a rate is a ceiling; None means no limit. With several
            accounts, it is that of each.
        workers: most requests in flight, of each account.
        retry: the attempts and the backoff for each update.

    Yields:
        One result for each update.

    Raises:
        ConfigError: `workers` is below 1 or above 1,000, or two accounts have the same key.
            Nothing was sent.
        InvalidUpdateError: an item is no update, or is of no known account. Every update before it
            has its result, and none after it was read.
        Exception: any that `updates` raised, likewise.
        JournalError: an update could not be kept on the disk, likewise.
        RunStoppedError: the key was refused, the server is down, or the disk is full. All settled
            results have been yielded. The other updates were not sent. With several accounts, one
            or more stopped so, and all updates of the others are settled. If `updates` raised an
            error too, it is the cause.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise ConfigError(f"workers must be a number from 1 to {MAX_WORKERS}")
    results: asyncio.Queue[Result] = asyncio.Queue(_RESULT_QUEUE)
    retry, stop = retry or RetryPolicy(), Stop()
    work: Coroutine[Any, Any, BaseException | None]
    if isinstance(endpoint, Mapping):
        work = ManyLanes(endpoint, rate, workers, retry, stop, results).send(updates)
    else:
        work = _send(updates, endpoint, rate, workers, retry, stop, results)
    sending = asyncio.create_task(work)
    try:
        while (result := await _next(results, sending)) is not None:
            yield result
        error = await sending
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    if stop.is_set:
        raise RunStoppedError(stop.text or "stopped") from error
    if error is not None:
        raise error


async def _next(results: asyncio.Queue[Result], sending: asyncio.Task[Any]) -> Result | None:
    """Return the next result; None once the sending has ended and no result is left."""
    if results.empty() and not sending.done():
        getting = asyncio.ensure_future(results.get())
        try:
            await asyncio.wait({getting, sending}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
        finally:
            getting.cancel()
    return None if results.empty() else results.get_nowait()


async def _send(
    updates: Iterable[TaskUpdate] | AsyncIterable[TaskUpdate],
    endpoint: Endpoint,
    rate: Rate,
    workers: int,
    retry: RetryPolicy,
    stop: Stop,
    results: asyncio.Queue[Result],
) -> BaseException | None:
    """Send all updates. Return the error that reading them ended with, if any."""
    backlog = Backlog(READ_AHEAD * workers)
    async with TaskClient(endpoint, connections=workers) as client:
        lane = Lane(
            client,
            limiter_for(rate),
            retry,
            workers=workers,
            drain_timeout=endpoint.timeout + MEDIA_TIMEOUT,
            stop=stop,
            on_result=lambda _, result: results.put(result),
        )
        async with Reading(_feed(updates, backlog, results)) as reading:
            await lane.run(backlog)
    return reading.error


async def _feed(
    updates: Iterable[TaskUpdate] | AsyncIterable[TaskUpdate],
    backlog: Backlog,
    results: asyncio.Queue[Result],
) -> None:
    try:
        number = 0
        async for update in each(updates):
            number += 1
            if not isinstance(update, TaskUpdate):
                raise no_update(f"update {number} is no TaskUpdate, but a {type(update).__name__}")
            await hand_out(Row(number, number, update.id, update, (), ""), backlog, results)
    finally:
        backlog.close()
