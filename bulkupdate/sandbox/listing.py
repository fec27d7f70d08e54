"""What `GET /tasks` shows of a team."""

from collections.abc import Mapping, Sequence
from typing import Any

from bulkupdate.sandbox.config import AfterLast, SandboxConfig
from bulkupdate.sandbox.filters import Predicate
from bulkupdate.sandbox.team import MEDIA, Team


class Listing:
    """The pending tasks of a team, in pages.

    Args:
        config: the settings of the sandbox.
        team: its tasks.
    """

    def __init__(self, config: SandboxConfig, team: Team) -> None:
        self._config = config
        self._team = team
        # The documentation has images and videos in no Task.
        self._hidden = frozenset((*config.hidden, *MEDIA))

    def page(self, number: int, predicates: Sequence[Predicate]) -> list[dict[str, Any]] | None:
        """The tasks on a page, from 0; None if there is no such page."""
        size = self._config.page_size
        tasks = self._pending(predicates)
        last = max(0, (len(tasks) - 1) // size)
        if number > last:
            if self._config.after_last is AfterLast.NOT_FOUND:
                return None
            if self._config.after_last is AfterLast.REPEAT:
                number = last
        begin = number * size
        return [self._shown(task) for task in tasks[begin : begin + size]]

    def _pending(self, predicates: Sequence[Predicate]) -> list[dict[str, Any]]:
        """All pending tasks that meet the predicates. A task without a status is pending."""
        return [
            task
            for task in self._team.tasks.values()
            if task.get("status", "pending") == "pending" and all(test(task) for test in predicates)
        ]

    def _shown(self, task: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in task.items() if name not in self._hidden}
