"""Time limits for many requests, with one timer.

`asyncio.timeout` and aiohttp set and cancel a timer for each request, although it hardly ever
fires. docs/benchmarks.md has the cost.
"""

import asyncio
import math
from types import TracebackType


class Deadlines:
    """The open deadlines of the running event loop, and the timer of the next one."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: set[Deadline] = set()
        #: The time when the timer fires. It stays set when its deadline is met, because the next
        #: deadline may be as close.
        self.next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set_timer(self, at: float) -> None:
        """Set the timer to a time of the event loop's clock."""
        self.close()
        self.next = at
        self._timer = self.loop.call_at(at, self._interrupt_late)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.next = None, math.inf

    def _interrupt_late(self) -> None:
        """Interrupt the tasks that are late, and set the timer for the next deadline."""
        now = self.loop.time()
        for deadline in [one for one in self.waiting if one.at <= now]:
            self.waiting.discard(deadline)
            deadline.interrupt()
        self.close()
        if self.waiting:
            self.set_timer(min(one.at for one in self.waiting))


class Deadline:
    """A time limit for a `with` block. It interrupts the task once the time is over.

    Args:
        deadlines: the open deadlines of this event loop.
        seconds: the time limit, in seconds from now.

    Attributes:
        at: the end of the time limit, in seconds of the event loop's clock.

    Raises:
        TimeoutError: when the block is left, if the task was interrupted. A task that other code
            cancelled too stays cancelled.
    """

    __slots__ = ("_cancelling", "_deadlines", "_is_late", "_task", "at")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        task = asyncio.current_task(deadlines.loop)
        if task is None:
            raise RuntimeError("a deadline needs a running task")
        self._deadlines = deadlines
        self._task = task
        self._cancelling = task.cancelling()
        self._is_late = False
        self.at = deadlines.loop.time() + seconds

    def __enter__(self) -> None:
        deadlines = self._deadlines
        deadlines.waiting.add(self)
        if self.at < deadlines.next:
            deadlines.set_timer(self.at)

    def interrupt(self) -> None:
        """Interrupt the task."""
        self._is_late = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadlines.waiting.discard(self)
        if self._is_late:
            is_cancelled = self._task.uncancel() > self._cancelling
            if isinstance(error, asyncio.CancelledError) and not is_cancelled:
                raise TimeoutError from error
