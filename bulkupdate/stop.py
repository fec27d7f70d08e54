"""The signal to stop, at two levels, for tasks and for threads.

*Drain*: no more requests start, and requests in flight may end. *Abort*: requests in flight are
given up too. A lane has its own stop inside the run's stop. A stop of the run stops every lane. A
stop of one lane does not stop the others.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from bulkupdate.errors import RunStoppedError
from bulkupdate.models import Level, Reason, State

#: Seconds between two checks of the wall clock.
_LOOK_INTERVAL = 10.0

#: Reasons outside the run's own work. A run that ends for one of them was interrupted.
_INTERRUPTIONS = frozenset({Reason.SIGNAL, Reason.CANCELLED})

#: Reasons that do not count if everything was done despite the stop.
_UNLESS_COMPLETE = _INTERRUPTIONS | {Reason.DEADLINE, Reason.TOO_MANY_FAILURES}


#: Seconds after which a task that is cancelled is cancelled again.
_AGAIN = 0.2


async def cancel_all(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks, and wait until they have ended.

    In Python 3.11, `asyncio.wait_for` loses a cancellation that comes with its result (cpython
    86296). Libraries use it, so a task is cancelled again until it has ended.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN)


class StoppedError(Exception):
    """A stop ended what a task did or waited for."""


class Stop:
    """A signal to stop. It is set once, for the first reason.

    Any thread may read `level` and `is_set`. Everything else belongs to the event loop's thread.

    Args:
        parent: the stop that contains this one, or None; see `child`.
        ends_parent: whether the parent stops once all such children have.

    Attributes:
        level: the level so far, including the parent's.
        is_set: whether no more work may start.
        text: the reason in words; None until this stop itself is set.
        reason: the reason as one of the known reasons; None until this stop itself is set.
        signal: the number of the signal, if a signal was the reason.
        ends_parent: whether the parent stops once all such children have.
    """

    def __init__(self, parent: "Stop | None" = None, *, ends_parent: bool = True) -> None:
        self.level = Level.GO
        self.is_set = False
        self.text: str | None = None
        self.reason: Reason | None = None
        self.signal: int | None = None
        self._parent = parent
        self.ends_parent = ends_parent
        self._children: list[Stop] = []
        self._scopes: set[Scope] = set()

    def set(
        self, text: str, reason: Reason = Reason.REQUESTED, *, signal: int | None = None
    ) -> None:
        """Stop at the level drain.

        The first reason counts. One exception: a reason of the run itself replaces an earlier
        interruption.

        Args:
            text: the reason in words.
            reason: the reason as one of the known reasons.
            signal: the number of the signal, if a signal is the reason.
        """
        is_weaker = self.reason in _INTERRUPTIONS and reason not in _INTERRUPTIONS
        if self.reason is None or is_weaker:
            self.text, self.reason, self.signal = text, reason, signal
        self.raise_to(Level.DRAIN)
        if self._parent is not None and self.ends_parent:
            self._parent.child_was_set(self)

    def abort(self, text: str = "stopped", reason: Reason = Reason.REQUESTED) -> None:
        """Stop at the level abort: give up the requests in flight too.

        Args:
            text: the reason in words, unless the stop has one already.
            reason: likewise, as one of the known reasons.
        """
        if self.reason is None:
            self.set(text, reason)
        self.raise_to(Level.ABORT)

    def child(self, *, ends_parent: bool = True) -> "Stop":
        """A new stop inside this one, as for a lane in a run.

        Args:
            ends_parent: whether this stop is set once all such children have stopped.
        """
        child = Stop(self, ends_parent=ends_parent)
        self._children.append(child)
        child.raise_to(self.level)
        return child

    def child_was_set(self, child: "Stop") -> None:
        """Stop for the reason of a child, once every child has stopped for one of its own."""
        is_last = all(one.reason is not None for one in self._children if one.ends_parent)
        if child.reason is not None and is_last:
            self.set(child.text or child.reason, child.reason, signal=child.signal)

    def forget(self, child: "Stop") -> None:
        """Take a child out: what it was for has ended."""
        self._children.remove(child)

    @property
    def state(self) -> State | None:
        """The state of a run that ends because of this stop; None until the stop is set."""
        if self.reason is None:
            return None
        return State.INTERRUPTED if self.reason in _INTERRUPTIONS else State.STOPPED

    @property
    def counts_when_complete(self) -> bool:
        """Whether it is the reason for the end even if everything was done."""
        return self.reason is not None and self.reason not in _UNLESS_COMPLETE

    def check(self, level: Level = Level.DRAIN) -> None:
        """Leave the work of a thread if this level is reached. Any thread may call it.

        Args:
            level: drain, for work that comes before the first request; else abort.

        Raises:
            RunStoppedError: the level is reached.
        """
        if self.level >= level:
            is_before = level is Level.DRAIN
            raise RunStoppedError(
                f"{self.text or 'stopped'}{': nothing was sent' if is_before else ''}"
            )

    def until(self, level: Level) -> "Scope":
        """A block that is interrupted once this level is reached: `with stop.until(level):`.

        Raises:
            StoppedError: when the block is left, or entered if the level is already reached.
        """
        return Scope(self, self._scopes, level)

    async def wait(self) -> None:
        """Wait until the stop is set."""
        with contextlib.suppress(StoppedError), self.until(Level.DRAIN):
            await asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def at(self, moment: datetime | None, text: str) -> AsyncIterator[None]:
        """Stop at a moment of the wall clock, unless the block ends before.

        Args:
            moment: the moment, aware; None for never.
            text: the reason in words.
        """
        if moment is None:
            yield
            return
        waiting = asyncio.create_task(self._wait_until(moment, text))
        try:
            yield
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])
            if not waiting.cancelled():
                waiting.result()

    async def _wait_until(
        self,
        moment: datetime,
        text: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Stop at that moment, even if the clock was changed or the machine slept meanwhile."""
        while (left := (moment - now()).total_seconds()) > 0:  # noqa: ASYNC110 - it is the clock's
            await asyncio.sleep(min(left, _LOOK_INTERVAL))
        if not self.is_set:
            # A run that drains already keeps its reason.
            self.set(text, Reason.DEADLINE)

    def raise_to(self, level: Level) -> None:
        """Raise this stop and every stop inside it to a level, unless it is already reached."""
        if level <= self.level:
            return
        self.level, self.is_set = level, level >= Level.DRAIN
        for scope in [scope for scope in self._scopes if scope.level <= level]:
            scope.interrupt()
        for child in self._children:
            child.raise_to(level)


class Scope:
    """A block of a task that is interrupted once a level is reached. `Stop.until` creates it.

    Attributes:
        level: the level that interrupts it.
    """

    __slots__ = ("_cancelling", "_interrupts", "_scopes", "_stop", "_task", "level")

    def __init__(self, stop: Stop, scopes: "set[Scope]", level: Level) -> None:
        self._stop = stop
        self._scopes = scopes
        self.level = level
        self._interrupts = 0

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be interrupted")
        self.change(self.level)
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        self._scopes.add(self)
        return self

    def change(self, level: Level) -> None:
        """Change the level that interrupts the rest of the block.

        Drain interrupts a request that still waits. Only abort interrupts a request in flight.

        Raises:
            StoppedError: the level so far, or the new one, is already reached.
        """
        reached = min(self.level, level)
        self.level = level
        if self._stop.level >= reached:
            raise StoppedError

    def shield(self) -> None:
        """Let no stop interrupt the rest of the block, until its level is changed again."""
        self.level = Level.NEVER

    def interrupt(self) -> None:
        """Interrupt the task. The task that raised the level continues until its next check."""
        if self._task is not asyncio.current_task():
            self._interrupts += 1
            self._task.cancel()

    def took_back(self) -> bool:
        """Whether a caught cancellation came from this scope. If so, it is taken back."""
        if not self._interrupts:
            return False
        # Drain may have interrupted the task, and abort again before it could leave.
        for _ in range(self._interrupts):
            left = self._task.uncancel()
        self._interrupts = 0
        # If other code cancelled the task too, the task stays cancelled.
        return left <= self._cancelling

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scopes.discard(self)
        if self.took_back() and isinstance(error, asyncio.CancelledError):
            raise StoppedError from error
