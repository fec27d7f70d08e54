"""The updates that a program brings: read beside the sending, one by one."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable
from typing import Any, Self, TypeVar

from bulkupdate.engine.backlog import Backlog
from bulkupdate.errors import InvalidUpdateError, Problem
from bulkupdate.models import Outcome, Result, Row, unsent

Item = TypeVar("Item")


class Reading:
    """The reading of a caller's updates, beside the sending of those before.

    An error of it ends no request: it is kept until what was read is settled.

    Args:
        work: reads the updates, and lets the sending end when it ends, in whatever way.

    Attributes:
        error: the error that it ended with by itself; None if there was none.
    """

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self.error: BaseException | None = None
        self._task = asyncio.create_task(work)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        was_cancelled = self._task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while not self._task.done():
            # Cancelled once: what the caller's own code does at its end may take a while.
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError as error:
                cancelled = error
        if not self._task.cancelled():
            self.error = self._task.exception()
        elif not was_cancelled:
            # The caller's iterable raised it.
            self.error = asyncio.CancelledError()
        if cancelled is not None:
            raise cancelled


def no_update(message: str) -> InvalidUpdateError:
    """The error for an item of the caller that can't be sent."""
    return InvalidUpdateError([Problem("", "", message)])


async def hand_out(row: Row, backlog: Backlog, results: asyncio.Queue[Result]) -> None:
    """Put a row into a backlog; or its result into the queue, where it changes nothing."""
    if row.is_sent:
        await backlog.put(row)
    else:
        await results.put(unsent(row, Outcome.UNCHANGED))


async def each(updates: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    """Every item of an iterable of either kind."""
    if isinstance(updates, AsyncIterable):
        async for update in updates:
            yield update
        return
    for update in updates:
        yield update
