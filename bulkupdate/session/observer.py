"""Observers of a run: a display, a log, a file of metrics."""

import asyncio
import logging
from collections.abc import Sequence

from bulkupdate.plan import Preview
from bulkupdate.reader import Input
from bulkupdate.session.progress import Progress

log = logging.getLogger(__name__)


class Observer:
    """An observer of a run. Every method does nothing: override the ones you need."""

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Called once, when the whole input has been checked and nothing has been sent yet."""

    def noted(self, note: str) -> None:
        """Called with a message that the user should see."""

    async def watch(self, progress: Progress) -> None:
        """Called once, before the first row is sent. Cancelled after the last row is settled."""


class Observers(Observer):
    """Several observers as one. If `watch` of one fails, the run continues."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Call every observer."""
        for observer in self._observers:
            observer.input_checked(source, preview)

    def noted(self, note: str) -> None:
        """Call every observer."""
        for observer in self._observers:
            observer.noted(note)

    async def watch(self, progress: Progress) -> None:
        """Run `watch` of every observer, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for observer in self._observers:
                group.create_task(_watch(observer, progress))


async def _watch(observer: Observer, progress: Progress) -> None:
    try:
        await observer.watch(progress)
    except Exception as error:
        name, kind = type(observer).__name__, type(error).__name__
        log.warning("%s has failed, the run continues: %s: %s", name, kind, error)
