"""Turns: requests that wait for their start, in the order of arrival, on one timer.

A wake-up of the process costs more than all the arithmetic about it. So nothing is polled, each
request waits for one future, and one timer serves all that wait. Requests that may start at the
same time start in the same turn of the event loop. Where many keys are in use, their timers ring
together too: see `Alarms`.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextvars import copy_context

#: Seconds between the moments at which alarms ring. A request starts half as much later on average,
#: which is a thousandth of lemlist's period.
TICK = 0.004

#: Seconds by which a timer of uvloop may be early: it counts whole milliseconds.
_EARLY = 0.001


class Alarm:
    """One call at a moment; see `Alarms`.

    The call has the context variables of its task, as with a timer of the event loop. So a record
    that it logs is of the right account.
    """

    __slots__ = ("_call", "_context")

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call
        self._context = copy_context()

    def cancel(self) -> None:
        """Take the call back."""
        self._call = None

    def ring(self) -> None:
        """Make the call, unless it was taken back."""
        if self._call is not None:
            self._context.run(self._call)


class Alarms:
    """Timers that ring together: the limiters of many keys share them.

    Hundreds of limiters would wake the process up for nearly every request. All calls of the same
    tick are made in one turn of the event loop, so that their requests start together.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ticks: dict[int, list[Alarm]] = {}

    def call_at(self, moment: float, call: Callable[[], None]) -> Alarm:
        """Make a call at the next tick after a moment of the event loop's clock."""
        tick = int(moment / TICK) + 1
        alarm = Alarm(call)
        calls = self._ticks.get(tick)
        if calls is None:
            calls = self._ticks[tick] = []
            self._loop.call_at(tick * TICK + _EARLY, self._ring, tick)
        calls.append(alarm)
        return alarm

    def _ring(self, tick: int) -> None:
        for alarm in self._ticks.pop(tick):
            try:
                alarm.ring()
            except Exception as error:
                context = {"message": "an alarm failed", "exception": error}
                self._loop.call_exception_handler(context)


class Turns:
    """The requests that wait for their start.

    Args:
        next_start: tells the earliest time at which a request may start, as far as is known at a
            time.
        take: starts a request at a time.
        give_back: undoes `take` for a request that was cancelled before it was sent.
        alarms: the timers that it shares with others; None for one of its own.

    All times are seconds of the event loop's clock.
    """

    def __init__(
        self,
        next_start: Callable[[float], float],
        take: Callable[[float], None],
        give_back: Callable[[], None],
        alarms: Alarms | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._alarms = alarms
        self._next_start = next_start
        self._take = take
        self._give_back = give_back
        self._waiting: deque[asyncio.Future[float]] = deque()
        self._timer: Alarm | asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    async def wait(self) -> float:
        """Wait until it is the caller's turn. Return the start."""
        turn: asyncio.Future[float] = self._loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            self.go_on()
        try:
            return await turn
        except asyncio.CancelledError:
            self._leave(turn)
            raise

    def _leave(self, turn: "asyncio.Future[float]") -> None:
        if not turn.cancelled() and turn.exception() is None:
            # The turn came in the same moment as the cancellation.
            self._give_back()
            self.go_on()

    def go_on(self) -> None:
        """Start all requests that may start now, and set the timer for the next one."""
        waiting, loop = self._waiting, self._loop
        while waiting:
            if waiting[0].done():
                waiting.popleft()  # cancelled
                continue
            now = loop.time()
            if (start := self._next_start(now)) > now:
                return self._set_timer(start)
            self._take(now)
            waiting.popleft().set_result(now)
        return None

    def fail(self, error: Exception) -> None:
        """Raise an error for every request that waits."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(error)
        self._waiting.clear()

    def _set_timer(self, moment: float) -> None:
        if moment == self._rings_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._rings_at = moment
        if moment < math.inf:
            self._timer = (self._alarms or self._loop).call_at(moment, self._ring)

    def _ring(self) -> None:
        self._rings_at = math.inf
        self._timer = None
        self.go_on()
