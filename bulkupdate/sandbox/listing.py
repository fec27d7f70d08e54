"""What `GET /tasks` shows of a team, and what happens to the team while it is read."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from bulkupdate.models import now
from bulkupdate.sandbox.config import AfterLast, Order, SandboxConfig
from bulkupdate.sandbox.filters import Predicate
from bulkupdate.sandbox.members import made_up_id
from bulkupdate.sandbox.team import MEDIA, Team

#: Number of the first task that appears while the list is read. Its id is made from it.
_FIRST_NEW = 10**9


class _Change(NamedTuple):
    """A change that the list does not show yet.

    Attributes:
        at: time of the change, in seconds on the clock of the sandbox.
        before: the task before it; None if there was none.
    """

    at: float
    before: dict[str, Any] | None


class Listing:
    """The pending tasks of a team, in pages.

    Args:
        config: the settings of the sandbox.
        team: its tasks.
        clock: the time in seconds, which never goes back.
    """

    def __init__(self, config: SandboxConfig, team: Team, clock: Callable[[], float]) -> None:
        self._config = config
        self._team = team
        self._clock = clock
        # Of its own, so that a reading does not change which requests meet a fault.
        self._random = random.Random(config.seed)  # noqa: S311 - nothing is secret
        # The documentation has images and videos in no Task.
        self._hidden = frozenset((*config.hidden, *MEDIA))
        self._changes: dict[str, list[_Change]] = {}
        self._arrived: list[str] = []

    def page(self, number: int, predicates: Sequence[Predicate]) -> list[dict[str, Any]] | None:
        """The tasks on a page, from 0; None if there is no such page.

        When a page has been read, the rest of the list may move on: tasks appear, and another user
        completes one.
        """
        size = self._config.page_size
        tasks = self._pending(predicates)
        last = max(0, (len(tasks) - 1) // size)
        if number > last:
            if self._config.after_last is AfterLast.NOT_FOUND:
                return None
            if self._config.after_last is AfterLast.REPEAT:
                number = last
        begin = number * size
        page = [self._shown(task) for task in tasks[begin : begin + size]]
        self._move_on(tasks)
        return page

    @contextmanager
    def change(self, *ids: str) -> Iterator[None]:
        """A block that changes tasks. The list shows the change when the lag is over.

        If the block raises an exception, it has changed nothing.
        """
        if not self._config.lag:
            yield
            return
        tasks = self._team.tasks
        before = {id_: dict(tasks[id_]) if id_ in tasks else None for id_ in ids}
        yield
        at = self._clock()
        for id_, task in before.items():
            self._changes.setdefault(id_, []).append(_Change(at, task))

    def answered(self, task: dict[str, Any]) -> dict[str, Any]:
        """A task as an answer has it: the title and the message are trimmed if the server does."""
        if not self._config.trims:
            return task
        texts = {name: task.get(name) for name in ("title", "content")}
        return task | {name: text.strip() for name, text in texts.items() if isinstance(text, str)}

    def _shown(self, task: dict[str, Any]) -> dict[str, Any]:
        answered = self.answered(task)
        return {name: value for name, value in answered.items() if name not in self._hidden}

    def _pending(self, predicates: Sequence[Predicate]) -> list[dict[str, Any]]:
        """All pending tasks that meet the predicates, in order."""
        tasks = _pending_of(self._ordered(self._known()))
        for test in predicates:
            tasks = [task for task in tasks if test(task)]
        return tasks

    def _known(self) -> dict[str, dict[str, Any]]:
        """The tasks by id, without the changes that the list does not show yet."""
        if not self._changes:
            return self._team.tasks
        since = self._clock() - self._config.lag
        tasks = dict(self._team.tasks)
        for id_, changes in list(self._changes.items()):
            recent = [change for change in changes if change.at > since]
            if not recent:
                del self._changes[id_]
            elif (before := recent[0].before) is None:
                tasks.pop(id_, None)
            elif id_ in tasks:
                tasks[id_] = before
        return tasks

    def _ordered(self, tasks: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
        older = list(tasks.values())
        arrived = dict.fromkeys(reversed(self._arrived))
        if arrived:
            older = [task for id_, task in tasks.items() if id_ not in arrived]
        if self._config.order is Order.NEWEST:
            older.sort(key=lambda task: str(task.get("createdAt") or ""), reverse=True)
        ordered = [tasks[id_] for id_ in arrived if id_ in tasks] + older
        if self._config.order is Order.RANDOM:
            self._random.shuffle(ordered)
        return ordered

    def _move_on(self, listed: Sequence[dict[str, Any]]) -> None:
        """Let happen what happens in the team when a page has been read."""
        for _ in range(self._config.shift):
            self._arrive(listed[0] if listed else {})
        if self._config.elsewhere and self._random.random() < self._config.elsewhere:
            self._complete_one()

    def _complete_one(self) -> None:
        """Complete a pending task, as another user would."""
        if pending := _pending_of(self._team.tasks.values()):
            task = self._random.choice(pending)
            with self.change(task["_id"]):
                task |= {"status": "completed", "completedAt": now()}

    def _arrive(self, like: Mapping[str, Any]) -> None:
        """Add a new task that meets the same filters as another one."""
        number = len(self._arrived)
        id_ = made_up_id("opp", _FIRST_NEW + number, self._team.name)
        title = f"New task {number + 1}"
        self._team.add(id_).update({**like, "_id": id_, "title": title, "createdAt": now()})
        self._arrived.append(id_)


def _pending_of(tasks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pending ones of these tasks. A task without a status is pending."""
    return [task for task in tasks if task.get("status", "pending") == "pending"]
