"""How the accounts of a run stand: all of them in numbers, and the few that want a look."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bulkupdate.errors import count

if TYPE_CHECKING:
    # `check` shows no progress, and needs no event loop.
    from bulkupdate.session.progress import AccountProgress, Progress

#: Most accounts that are shown by name during a run.
SHOWN_ACCOUNTS = 5

#: Shortest time between two looks at all accounts, in seconds. A look at 500 takes 10 ms.
_LOOK_INTERVAL = 1.0


class Standing(NamedTuple):
    """How the accounts of a run stand.

    Attributes:
        running: number of accounts that go on.
        done: number of accounts that have nothing more to do in this session.
        stopped: number of accounts that stopped before their end.
        shown: those that are stopped, waiting or slowest, in this order; the ones that are done are
            not among them.
    """

    running: int
    done: int
    stopped: int
    shown: "list[AccountProgress]"

    @property
    def total(self) -> int:
        """Number of accounts that have rows."""
        return self.running + self.done + self.stopped

    @property
    def words(self) -> str:
        """The accounts in numbers: `46 running, 3 done, 1 stopped`."""
        numbers = {"running": self.running, "done": self.done, "stopped": self.stopped}
        return ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number)

    @property
    def rest(self) -> str:
        """The accounts that are not shown: `and 12 more accounts`; "" without one."""
        hidden = self.total - len(self.shown)
        if not hidden or not self.shown:
            return ""
        return f"and {count(hidden, 'more account', 'more accounts')}"

    @property
    def record(self) -> dict[str, object]:
        """The same as an object for a program."""
        return {
            "running": self.running,
            "done": self.done,
            "stopped": self.stopped,
            "shown": [_record(one) for one in self.shown],
        }


def standing_of(accounts: "Sequence[AccountProgress]") -> Standing | None:
    """How these accounts stand; None in a run with one key."""
    if not accounts:
        return None
    stopped = sum(one.reason is not None for one in accounts)
    open_ = [one for one in accounts if one.reason is not None or not one.has_ended]
    shown = sorted(open_, key=_urgency)[:SHOWN_ACCOUNTS]
    return Standing(len(open_) - stopped, len(accounts) - len(open_), stopped, shown)


def _urgency(one: "AccountProgress") -> tuple[bool, bool, float, str]:
    """The place of an account among those that are shown: the first ones come first."""
    return one.reason is None, one.waiting_for is None, one.share, one.name


class Sampled:
    """How the accounts of a run stand, looked at once a second at most: `sampled()`.

    A look costs the same for any number of rows.

    Args:
        progress: the progress of the run.
        clock: tells the time in seconds.
    """

    def __init__(self, progress: "Progress", clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._clock = clock
        self._standing: Standing | None = None
        self._next = 0.0

    def __call__(self) -> Standing | None:
        """The last look, or a new one; None in a run with one key."""
        now = self._clock()
        if now >= self._next:
            self._next = now + _LOOK_INTERVAL
            self._standing = standing_of(self._progress.accounts)
        return self._standing


def done_words(one: "AccountProgress") -> str:
    """How far an account is: `120 of 200`."""
    return f"{one.done:,} of {one.rows:,}"


def state_words(one: "AccountProgress") -> str:
    """What an account does: why it has stopped or waits, else its pace."""
    if one.reason is not None:
        return f"stopped: {one.reason}"
    if one.waiting_for is not None:
        return f"waiting: {one.waiting_for}"
    allowed = "" if one.allowed_rate is None else f" of {one.allowed_rate:.1f}"
    return f"{one.used_rate:.1f}{allowed} requests/s"


def _record(one: "AccountProgress") -> dict[str, object]:
    """An account as an object for a program."""
    return {
        "account": one.name,
        "rows": one.rows,
        "done": one.done,
        "waiting_for": one.waiting_for,
        "reason": one.reason,
        "stopped_by": one.stopped_by,
    }
