"""The event loop that commands run in: uvloop's where it is installed, else asyncio's own."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Objects that are made, and not freed, before the collector of cycles looks at them.
_COLLECT_AFTER = 10_000


def run(main: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, run to its end in a loop of its own.

    Raises:
        KeyboardInterrupt: it was cancelled.
    """
    # With sixteen requests in flight more objects are alive than the default threshold, so that the
    # collector would look at all of them again and again: a tenth of what a row costs.
    gc.set_threshold(_COLLECT_AFTER)
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
