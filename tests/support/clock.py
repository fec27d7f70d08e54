"""An event loop whose clock is moved instead of waited for."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: A clock that stands still would have aiolimiter wake for ever: it moves a little each turn.
TICK = 1e-5


class _Skip(selectors.DefaultSelector):  # type: ignore[misc,valid-type,unused-ignore]
    """Where a loop would wait for its next timer, moves the clock there."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("nothing is scheduled: everything waits for ever")
            self.loop.now += max(timeout, 0) + TICK
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Hours pass in seconds. For code that waits on timers only, not on sockets."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Skip()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
