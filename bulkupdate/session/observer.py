"""Observers of a run: a display, a log, a file of metrics."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bulkupdate.plan import Checking, Preview
from bulkupdate.reader import Input
from bulkupdate.session.progress import Progress

log = logging.getLogger(__name__)


class Observer:
    """An observer of a run. Every method does nothing: override the ones you need."""

    async def watch_check(self, checking: Checking) -> None:
        """Called once, before the input is opened. Cancelled when it has been checked."""

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

    async def watch_check(self, checking: Checking) -> None:
        """Run `watch_check` of every observer, until cancelled."""
        await _all(observer.watch_check(checking) for observer in self._observers)

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
        await _all(observer.watch(progress) for observer in self._observers)


async def _all(watching: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in watching:
            group.create_task(_kept_apart(one))


async def _kept_apart(watching: Coroutine[Any, Any, None]) -> None:
    try:
        await watching
    except Exception as error:
        # The name of a coroutine is that of its method, as in `LiveProgress.watch`.
        method = getattr(watching, "__qualname__", "")
        name, kind = method.rpartition(".")[0].rpartition(".")[2], type(error).__name__
        log.warning("%s has failed, the run continues: %s: %s", name, kind, error)


@asynccontextmanager
async def watched(watching: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `watch` or `watch_check` of an observer during a block, and cancel it at the end."""
    task = asyncio.create_task(_kept_apart(watching))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
