"""Time limits of many requests at once, on one timer.

`asyncio.timeout` and aiohttp's own set a timer for each request and take it back, for something
that hardly ever goes off: docs/benchmarks.md has what that costs.
"""

import asyncio
import math
from types import TracebackType


class Deadlines:
    """The deadlines of the running event loop that are not over yet, and the timer of the next."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: set[Deadline] = set()
        #: When the timer goes off. It is not taken back when its deadline is met: the next may be
        #: as close.
        self.next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set_timer(self, at: float) -> None:
        """Come back at that moment."""
        self.close()
        self.next = at
        self._timer = self.loop.call_at(at, self._interrupt_late)

    def close(self) -> None:
        """Take the timer back."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.next = None, math.inf

    def _interrupt_late(self) -> None:
        """Interrupt whoever is late, and come back when the next one may be."""
        now = self.loop.time()
        for deadline in [one for one in self.waiting if one.at <= now]:
            self.waiting.discard(deadline)
            deadline.interrupt()
        self.close()
        if self.waiting:
            self.set_timer(min(one.at for one in self.waiting))


class Deadline:
    """Interrupts the task that enters it, `with` it, once its time is over.

    Args:
        deadlines: where its timer is.
        seconds: its time, from now.

    Attributes:
        at: when it is over, by the event loop's clock.

    Raises:
        TimeoutError: on leaving, where the task was interrupted for being late. Where it was
            cancelled as well, it stays cancelled.
    """

    __slots__ = ("_cancelling", "_deadlines", "_is_late", "_task", "at")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        task = asyncio.current_task(deadlines.loop)
        if task is None:
            raise RuntimeError("a deadline is a task's")
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
