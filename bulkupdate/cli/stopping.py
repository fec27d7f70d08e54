"""A stop that signals set, and the exit code that it leads to."""

import asyncio
import signal
from typing import TYPE_CHECKING

from bulkupdate.cli.screen import Screen
from bulkupdate.cli.signals import ARRIVALS, SIGNALS
from bulkupdate.journal import ExitCode, exit_code
from bulkupdate.models import Reason

if TYPE_CHECKING:
    from bulkupdate.stop import Stop


def code_of(stop: "Stop") -> int:
    """The exit code of a stopped command; 0 if it was not stopped."""
    if stop.reason is None:
        return ExitCode.DONE
    return exit_code(stop.reason, number=stop.signal, has_failures=False)


_TOLD = "stopping: requests in flight may end (a second signal ends the run at once)"


def stop_on_signals(stop: "Stop", screen: Screen, told: str = _TOLD) -> None:
    """Handle signals: the first one stops the run, and the second one ends it at once.

    Args:
        stop: is set by the first signal.
        screen: shows a line then.
        told: the line.
    """
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()

    def on_signal(number: signal.Signals) -> None:
        arrived = ARRIVALS.count(number)
        if not arrived:
            return
        if arrived > 1 and running is not None:
            stop.abort()
            running.cancel()
            return
        screen.say(told)
        stop.set(f"interrupted by {number.name}", Reason.SIGNAL, signal=number)

    for number in SIGNALS:
        # `nohup` ignores SIGHUP: keep it ignored.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on_signal, number)
