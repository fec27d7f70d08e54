"""Threads that obey the stop of a run."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from bulkupdate.models import Level
from bulkupdate.stop import Stop

Value = TypeVar("Value")
Arguments = ParamSpec("Arguments")


async def in_thread(
    stop: Stop,
    work: Callable[Arguments, Value],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Value:
    """Run `work` in a thread, and return its value.

    If the task is cancelled, the stop is raised to abort. `work` has to check the stop. The thread
    is awaited, so it never outlives the run.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stop.raise_to(Level.ABORT)
        while not working.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        working.exception()
        raise
