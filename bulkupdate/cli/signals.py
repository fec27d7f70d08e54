"""Signals that end a command: before it has begun, and while it runs without an event loop."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

#: Signals that end a run, all in the same way.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Seconds in which a signal that comes again is the same one. `timeout` sends its signal to the
#: program and then to its group; so do shells and terminals that close.
ONE_SIGNAL = 0.2

#: Exit code after a signal, by the convention of shells: this number plus that of the signal.
SIGNALLED = 128


class Arrivals:
    """The signals that have come. One that comes twice at the same time counts once.

    Args:
        clock: the time in seconds.

    Attributes:
        first: the number of the first signal, whose exit code the command keeps; None before it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.first: int | None = None
        self._clock = clock
        self._at = -math.inf
        self._count = 0

    def count(self, number: int) -> int:
        """Add a signal of any kind: a session that ends sends SIGTERM and SIGHUP.

        Returns:
            The number of signals so far, or 0 if this one is only a repeat of another.
        """
        now = self._clock()
        if now - self._at < ONE_SIGNAL:
            return 0
        if self.first is None:
            self.first, self._at = number, now
        self._count += 1
        return self._count


#: The signals of this process, with an event loop and without one.
ARRIVALS = Arrivals()


@contextmanager
def interrupting(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """A block that these signals interrupt. A second signal ends the program at once.

    Signals that are ignored stay ignored: `nohup` ignores SIGHUP.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _: object) -> None:
        count = ARRIVALS.count(number)
        if count == 1:
            raise KeyboardInterrupt(signal.Signals(number).name)
        if count > 1:
            os._exit(SIGNALLED + (ARRIVALS.first or number))

    caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, interrupt) for number in caught}
    try:
        yield
    finally:
        # After a signal the command is about to end, with the exit code of that signal.
        if ARRIVALS.first is None:
            for number, handler in handlers.items():
                signal.signal(number, handler)
