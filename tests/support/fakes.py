"""Fakes: a server that answers by a function of the update and of its number of requests."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from bulkupdate.errors import BadRequestError, RateLimitedError, TaskError
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.verify import mismatches
from bulkupdate.models import Level, Row, Task, TaskUpdate
from bulkupdate.stop import Stop

#: The answer to the n-th request of an update: fields of the Task, an error, or seconds of delay.
Script = Callable[[TaskUpdate, int], dict[str, Any] | TaskError | float | None]


def answered(
    limit: float | None = None,
    remaining: float | None = None,
    retry_after: float | None = None,
    throttled: bool = False,
    error: TaskError | None = None,
) -> Answer[Task]:
    """An answer with these rate-limit headers."""
    values = {
        "x-ratelimit-limit": limit,
        "x-ratelimit-remaining": remaining,
        "retry-after": retry_after,
    }
    headers = CIMultiDict(
        {name: repr(value) for name, value in values.items() if value is not None}
    )
    if throttled:
        error = RateLimitedError("too many", 429)
    status = error.status if error and error.status else 200
    return Answer(status, headers, None if error else Task({"_id": "opp_a"}), error)


def open_files() -> set[str]:
    """The open descriptors of this process, by number."""
    gc.collect()  # What an earlier test has left is closed.
    return {path.name for path in Path("/dev/fd").iterdir()}


class FakeServer:
    """A `Sender` that answers by a script and remembers the updates."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or (lambda *_: None)
        self.sent: list[str] = []
        self.updates: list[TaskUpdate] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.retry_after = 0.0
        self._counts: Counter[bytes] = Counter()

    def titles(self, task: str) -> list[object]:
        """The titles that were sent for a task, in their order."""
        return [update.title for update in self.updates if update.id == task]

    async def send(self, update: TaskUpdate, *, anew: bool = False) -> Answer[Task]:
        body = update.encode()
        self._counts[body] += 1
        self.sent.append(update.id)
        self.updates.append(update)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            says = self.script(update, self._counts[body])
            await asyncio.sleep(says if isinstance(says, float) else 0)
        finally:
            self.in_flight -= 1
        return self._answer(update, says)

    def _answer(
        self, update: TaskUpdate, says: dict[str, Any] | TaskError | float | None
    ) -> Answer[Task]:
        if isinstance(says, TaskError):
            if says.status is None:
                raise says
            return answered(retry_after=self.retry_after, error=says)
        fields = says if isinstance(says, dict) else {}
        different = mismatches(update.changes(), fields) or None
        return Answer(200, {}, Task({"_id": update.id, **fields}, different))


def row(number: int, task: str = "", **fields: Any) -> Row:
    """A valid row."""
    update = TaskUpdate(id=task or f"opp_{number}", **(fields or {"done": True}))
    return Row(number, number + 1, update.id, update, (), (update.id,))


def bad_request(*_: Any) -> TaskError:
    """A script that refuses every update."""
    return BadRequestError("Bad team", 400)


class SetAfter(Stop):
    """A stop that is set after a number of checks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def check(self, level: Level = Level.DRAIN) -> None:
        """Count the check."""
        if not self.looks:
            self.set("enough")
        self.looks -= 1
        super().check(level)
