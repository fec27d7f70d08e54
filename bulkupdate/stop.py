"""The signal to stop, at two levels, for tasks and for threads.

*Drain*: nothing more is started, and requests in flight may end. *Abort*: those are given up too.
A lane has a stop of its own inside the run's: whatever stops the run stops each lane, and a lane
that stops leaves the others alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from bulkupdate.errors import RunStoppedError
from bulkupdate.models import Level, Reason, State

#: Seconds between two looks at the wall clock.
_LOOK_INTERVAL = 10.0


#: Reasons outside the run's own work: how the run then ends is called an interruption.
_INTERRUPTIONS = frozenset({Reason.SIGNAL, Reason.CANCELLED})

#: Reasons that do not count where everything was done all the same.
_UNLESS_COMPLETE = _INTERRUPTIONS | {Reason.DEADLINE, Reason.TOO_MANY_FAILURES}


class StoppedError(Exception):
    """What a task waited for, or did, was ended by a stop."""


class Stop:
    """A stop: set once, for the first reason.

    A thread may look at `level` and `is_set`; all else belongs to the event loop's thread.

    Args:
        parent: the stop that this one is inside of, or None; see `child`.

    Attributes:
        level: the level so far, the parent's included.
        is_set: whether to start nothing more.
        text: the reason in words; None while this stop itself has not been set.
        reason: likewise, as one of the known reasons.
        signal: the number of the signal, where one was the reason.
    """

    def __init__(self, parent: "Stop | None" = None) -> None:
        self.level = Level.GO
        self.is_set = False
        self.text: str | None = None
        self.reason: Reason | None = None
        self.signal: int | None = None
        self._parent = parent
        self._children: list[Stop] = []
        self._scopes: set[Scope] = set()

    def set(
        self, text: str, reason: Reason = Reason.REQUESTED, *, signal: int | None = None
    ) -> None:
        """Stop: drain.

        The first reason counts; but one of the run's own counts more than a signal before it.
        """
        is_weaker = self.reason in _INTERRUPTIONS and reason not in _INTERRUPTIONS
        if self.reason is None or is_weaker:
            self.text, self.reason, self.signal = text, reason, signal
        self.raise_to(Level.DRAIN)

    def abort(self) -> None:
        """Give up what is in flight too."""
        self.raise_to(Level.ABORT)

    def child(self) -> "Stop":
        """A stop inside this one: of a lane, in a run."""
        child = Stop(self)
        self._children.append(child)
        child.raise_to(self.level)
        return child

    def pass_on(self) -> None:
        """Stop the parent for the same reason, if there is one."""
        if self._parent is not None and self.reason is not None:
            self._parent.set(self.text or self.reason, self.reason, signal=self.signal)

    @property
    def state(self) -> State | None:
        """The state in which a run ends because of it; None while it has not been set."""
        if self.reason is None:
            return None
        return State.INTERRUPTED if self.reason in _INTERRUPTIONS else State.STOPPED

    @property
    def counts_when_complete(self) -> bool:
        """Whether it is the reason for the end even where everything was done."""
        return self.reason is not None and self.reason not in _UNLESS_COMPLETE

    def check(self, level: Level = Level.DRAIN) -> None:
        """Leave what is being prepared, if this level is reached. Threads may call it.

        Raises:
            RunStoppedError: it is.
        """
        if self.level >= level:
            raise RunStoppedError(f"{self.text or 'stopped'}: nothing was sent")

    def until(self, level: Level) -> "Scope":
        """A block that is interrupted once this level is reached: `with stop.until(level):`.

        Raises:
            StoppedError: on leaving, or on entering where the level is reached already.
        """
        return Scope(self, self._scopes, level)

    async def wait(self) -> None:
        """Wait until it is set."""
        with contextlib.suppress(StoppedError), self.until(Level.DRAIN):
            await asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def at(self, moment: datetime | None, text: str) -> AsyncIterator[None]:
        """Stop at a moment by the wall clock, if it comes before the block ends.

        Args:
            moment: when, aware; None for never.
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
        """Stop once the clock says so, even where it was set or the machine was asleep."""
        while (left := (moment - now()).total_seconds()) > 0:  # noqa: ASYNC110 - it is the clock's
            await asyncio.sleep(min(left, _LOOK_INTERVAL))
        if not self.is_set:
            # One that drains already ends for the reason that it has.
            self.set(text, Reason.DEADLINE)

    def raise_to(self, level: Level) -> None:
        """Reach a level, if it has not been reached, here and in every stop inside this one."""
        if level <= self.level:
            return
        self.level, self.is_set = level, level >= Level.DRAIN
        for scope in [scope for scope in self._scopes if scope.level <= level]:
            scope.interrupt()
        for child in self._children:
            child.raise_to(level)


class Scope:
    """A block of a task that is interrupted once a level is reached. `Stop.until` makes one.

    Attributes:
        level: the level that interrupts it.
    """

    __slots__ = ("_cancelling", "_is_interrupted", "_scopes", "_stop", "_task", "level")

    def __init__(self, stop: Stop, scopes: "set[Scope]", level: Level) -> None:
        self._stop = stop
        self._scopes = scopes
        self.level = level
        self._is_interrupted = False

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
        """Let another level interrupt the rest of the block.

        A request that waits for its turn ends at drain, and one in flight at abort.

        Raises:
            StoppedError: that level is reached already.
        """
        self.level = level
        if self._stop.level >= level:
            raise StoppedError

    def interrupt(self) -> None:
        """Interrupt the task. One that has reached the level itself goes on to its next look."""
        if self._task is not asyncio.current_task():
            self._is_interrupted = True
            self._task.cancel()

    def took_back(self) -> bool:
        """Whether a cancellation that was caught is this scope's own, which is then over."""
        if not self._is_interrupted:
            return False
        self._is_interrupted = False
        # Where the task was cancelled by somebody else as well, it stays cancelled.
        return self._task.uncancel() <= self._cancelling

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scopes.discard(self)
        if self.took_back() and isinstance(error, asyncio.CancelledError):
            raise StoppedError from error
