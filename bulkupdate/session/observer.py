"""Whatever watches a run: a display, a log, a file of metrics."""

import asyncio
import logging
from collections.abc import Sequence

from bulkupdate.plan import Preview
from bulkupdate.reader import Input
from bulkupdate.session.progress import Progress

log = logging.getLogger(__name__)


class Observer:
    """Watches a run. This one ignores it all: override what you need."""

    def input_checked(self, source: Input, preview: Preview) -> None:
        """The whole input was read and judged; nothing has been sent yet."""

    def noted(self, note: str) -> None:
        """Something happened that a person should know."""

    async def watch(self, progress: Progress) -> None:
        """Called once, when rows begin to flow; cancelled when the last one is settled."""


class Observers(Observer):
    """Several observers as one. One that fails while it watches does not end the run."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.input_checked(source, preview)

    def noted(self, note: str) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.noted(note)

    async def watch(self, progress: Progress) -> None:
        """Let each of them watch, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for observer in self._observers:
                group.create_task(_watch(observer, progress))


async def _watch(observer: Observer, progress: Progress) -> None:
    try:
        await observer.watch(progress)
    except Exception as error:
        name, kind = type(observer).__name__, type(error).__name__
        log.warning("%s has failed, the run continues: %s: %s", name, kind, error)
