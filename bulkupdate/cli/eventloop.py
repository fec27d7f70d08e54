"""The event loop that commands run in: uvloop's where it is installed, else asyncio's own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, run to its end in a loop of its own.

    Raises:
        KeyboardInterrupt: it was cancelled.
    """
    with asyncio.Runner(loop_factory=_factory()) as runner:
        try:
            return runner.run(main)
        except asyncio.CancelledError as cancelled:
            raise KeyboardInterrupt from cancelled


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
