"""The progress of a check, shown from a thread while the check keeps the main thread busy."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bulkupdate.cli.screen import Screen, is_terminal
from bulkupdate.plan import Checking

#: Seconds that a check takes before anything is prepared to show it, on a terminal and in a log.
_ON_TERMINAL, _IN_LOG = 0.5, 5.0

#: Seconds after which the check gives way to this thread, in the place of Python's 5 ms. An import
#: gives way itself at each of its many reads of a file, and would then wait 5 ms to go on.
_SWITCH = 0.0005


@contextmanager
def shown(screen: Screen, checking: Checking) -> Iterator[None]:
    """Show the progress of the check that is made in this block, if it takes long."""
    end = threading.Event()
    thread = threading.Thread(target=_show, args=(screen, checking, end), name="progress")
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _show(screen: Screen, checking: Checking, end: threading.Event) -> None:
    if end.wait(_ON_TERMINAL if is_terminal() else _IN_LOG):
        return
    sys.setswitchinterval(_SWITCH)
    # Imported here: a short check needs no event loop.
    import asyncio

    from bulkupdate.session.observer import watched

    async def until_the_end() -> None:
        async with watched(screen.observer().watch_check(checking)):
            await asyncio.to_thread(end.wait)

    asyncio.run(until_the_end())
