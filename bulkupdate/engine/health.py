"""The health of a lane's server: whether it accepts the key, and whether it answers.

While the server answers, `Health` only counts. After failures in a row of requests for several
tasks, the server counts as down and the lane waits. One request at a time is sent as a probe, at
growing intervals, until a probe gets a usable answer or the run gives up::

    up ──────────(20 failures in a row, of 5 tasks)──────────▶ down
    ▲                                                           │ one probe at a time,
    └──────────────────(a usable answer)────────────────────────┤ after 1, 2, 4 … 30 s
                                                                ▼
                                        no usable answer for `give_up_after`: stop

No probe goes out before the time that the server asks for (`Retry-After` of a 503), unless the run
gives up before.

A usable answer is about the update: a Task, or a refusal. A 429 is neither a usable answer nor a
failure. A failed probe doesn't count as an attempt of its row, because the server is the cause.
"""

import asyncio
import contextlib
import logging
import math

from bulkupdate.engine.retry import is_transient
from bulkupdate.errors import BlockedError, RateLimitedError, TaskError
from bulkupdate.models import Reason
from bulkupdate.stop import Stop

#: Failures in a row, and the number of different tasks among them, after which the server counts as
#: down. One task may make the server fail each time; that is not an outage.
OUTAGE_FAILURES = 20
OUTAGE_TASKS = 5

#: Requests in a row that a firewall or a proxy blocks, after which the lane stops.
BLOCKED_IN_A_ROW = 20

#: Failures of the first row, which is sent alone, after which the other rows may start too.
FIRST_FAILURES = 5

#: Seconds before the first probe, and the most seconds between two probes.
FIRST_PROBE = 1.0
LONGEST_PROBE = 30.0

log = logging.getLogger(__name__)


class Health:
    """The health of a lane's server.

    Args:
        stop: is set once the key is refused, or the server has been down for too long.
        give_up_after: seconds without a usable answer after which the stop is set.

    Attributes:
        is_down: whether only probes may be sent.
        all_may_start: is set once an answer has shown that the key is valid, or the first row has
            failed `FIRST_FAILURES` times.
    """

    def __init__(self, stop: Stop, give_up_after: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._stop = stop
        self._give_up_after = give_up_after
        self._failures = 0
        self._subjects: set[str] = set()
        self._since = math.inf
        self._why = ""
        self._turns = asyncio.Lock()
        self._is_up = asyncio.Event()
        self._is_up.set()
        self._next_probe = math.inf
        self._interval = FIRST_PROBE
        self._not_before = 0.0
        self._blocked = 0
        self.is_down = False
        self.all_may_start = asyncio.Event()

    async def wait(self) -> bool:
        """Wait until a request may start: at once, or as a probe while the server is down.

        Returns:
            Whether the request is a probe. The caller must call `end_probe` after a probe.
        """
        while self.is_down:
            await self._turns.acquire()
            try:
                while (wait := self._until_probe) > 0:
                    # The answer to a request from before the outage may end it at any time.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await self._is_up.wait()
            except BaseException:
                self._turns.release()
                raise
            if not self._is_up.is_set():
                return True
            self._turns.release()
        return False

    def end_probe(self) -> None:
        """End a probe, and schedule the next one."""
        self._interval = min(2 * self._interval, LONGEST_PROBE)
        self._schedule_probe()
        self._turns.release()

    def note(self, subject: str, error: TaskError | None) -> None:
        """Record how a request ended.

        Args:
            subject: the id of the task; "" if the request is about none, so that each counts.
            error: the error of the request, or None. One that is in question says nothing.
        """
        has_failed = self._failures or self._blocked
        if error is None and not has_failed and self.all_may_start.is_set():
            return
        if error is not None and error.is_in_question:
            return
        if isinstance(error, BlockedError):
            self._was_blocked(error)
        elif error is None or not (is_transient(error) or error.stops_lane):
            self._answered()
        elif error.stops_lane:
            status = f"{error.status} " if error.status else ""
            text = f"every other row would fail too: {error.type}: {status}{error.message}"
            self._stop.set(text, Reason.KEY_REFUSED)
        elif not isinstance(error, RateLimitedError):
            self._failed(subject, error)

    def _was_blocked(self, error: BlockedError) -> None:
        """Count an answer of a firewall. One that blocks everything is no matter of the rows."""
        blocked = self._blocked + 1
        self._answered()
        self._blocked = blocked
        if blocked >= BLOCKED_IN_A_ROW:
            who = "a firewall or a proxy blocked"
            text = f"{who} {blocked} requests in a row: {error.message}"
            self._stop.set(text, Reason.SERVER_DOWN)

    @property
    def _until_probe(self) -> float:
        """Seconds until the next probe; 0 if the server is not down."""
        return max(0.0, self._next_probe - self._now()) if self.is_down else 0.0

    @property
    def waiting_for(self) -> str | None:
        """A message that says why only probes start; None while the server answers."""
        if not self.is_down:
            return None
        wait = self._until_probe
        return f"server down for {self._down_for:.0f} s ({self._why}): trying again in {wait:.0f} s"

    def _answered(self) -> None:
        if self.is_down:
            log.warning("the server answers again, after %.0f s", self._down_for)
        self.is_down = False
        self._is_up.set()
        self._failures = self._blocked = 0
        self._not_before = 0.0
        self._subjects.clear()
        self.all_may_start.set()

    def _failed(self, subject: str, error: TaskError) -> None:
        if not self._failures:
            self._since = self._now()
        if error.retry_after:
            self._not_before = self._now() + error.retry_after
        self._failures += 1
        self._why = f"{error.type}: {error.message}"
        if len(self._subjects) < OUTAGE_TASKS:
            self._subjects.add(subject or str(self._failures))
        if self._failures >= FIRST_FAILURES:
            self.all_may_start.set()
        is_outage = self._failures >= OUTAGE_FAILURES and len(self._subjects) >= OUTAGE_TASKS
        if is_outage and not self.is_down:
            self.is_down = True
            self._is_up.clear()
            self._interval = FIRST_PROBE
            self._schedule_probe()
            log.warning("the server is down (%s): waiting for it", self._why)
        if self.is_down and self._down_for >= self._give_up_after:
            text = f"no usable answer for {self._down_for:.0f} s: {self._why}"
            self._stop.set(text, Reason.SERVER_DOWN)

    def _schedule_probe(self) -> None:
        left = max(0.0, self._give_up_after - self._down_for)
        now = self._now()
        # The last probe goes out when the run would give up, whatever the server asks for.
        self._next_probe = now + min(max(self._interval, self._not_before - now), left)

    @property
    def _down_for(self) -> float:
        """Seconds since the first of the latest failures in a row."""
        return self._now() - self._since
