"""An event loop with virtual time: the clock jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that the clock moves in each turn. Otherwise aiolimiter would wake in an endless loop.
TICK = 1e-5


class _Skip(selectors.DefaultSelector):  # type: ignore[misc,valid-type,unused-ignore]
    """A selector that moves the clock to the next timer instead of waiting."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("nothing is scheduled: everything waits for ever")
            self.loop.now += max(timeout, 0) + TICK
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, for code that waits for timers but not for sockets."""

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
