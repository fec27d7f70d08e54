"""The event loop of the commands: uvloop's if it is installed, else asyncio's own."""

import asyncio
import errno
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from bulkupdate.cli.signals import SIGNALS

T = TypeVar("T")

log = logging.getLogger(__name__)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new event loop, and return its value.

    Raises:
        KeyboardInterrupt: the coroutine was cancelled.
    """
    with _handlers_kept(), asyncio.Runner(loop_factory=_factory()) as runner:
        runner.get_loop().set_exception_handler(Complaints())
        try:
            return runner.run(main)
        except asyncio.CancelledError as cancelled:
            raise KeyboardInterrupt from cancelled


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """A block after which signals are handled as before. A loop that is closed leaves defaults."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Complaints:
    """The handler of errors that no task receives. It reports a lack of open files once."""

    def __init__(self) -> None:
        self._has_told = False

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif not self._has_told:
            self._has_told = True
            log.warning("%s: new connections wait (ulimit -n raises the limit)", error.strerror)


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The function that creates the loop; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
