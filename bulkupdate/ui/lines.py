"""Progress as lines, for a log or a program."""

import asyncio
from collections.abc import Callable, Iterator

from bulkupdate.codec import to_json
from bulkupdate.plan import Checking, Preview
from bulkupdate.reader import Input
from bulkupdate.session.observer import Observer
from bulkupdate.session.progress import Progress
from bulkupdate.ui import messages
from bulkupdate.ui.standing import standing_of

#: Seconds between two lines about the progress.
LINE_INTERVAL = 10.0


class _Lines(Observer):
    """An observer that writes lines.

    Args:
        write: writes one line.
        interval: seconds between two lines about the progress.
    """

    def __init__(self, write: Callable[[str], None], interval: float = LINE_INTERVAL) -> None:
        self._write = write
        self._interval = interval

    async def watch_check(self, checking: Checking) -> None:
        """Write a line about the check at regular intervals, until cancelled."""
        await asyncio.sleep(self._interval / 2)
        while True:
            self._write(self._check_line(checking))
            await asyncio.sleep(self._interval)

    def _check_line(self, checking: Checking) -> str:
        return messages.check_line(checking)

    async def watch(self, progress: Progress) -> None:
        """Write about the progress at regular intervals, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            for line in self._progress_lines(progress):
                self._write(line)

    def _progress_lines(self, progress: Progress) -> Iterator[str]:
        yield messages.progress_line(progress)
        if (standing := standing_of(progress.accounts)) is not None:
            yield messages.standing_line(standing)


class TextProgress(_Lines):
    """Progress as plain lines: the preview, the problems, and the progress every 10 s."""

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Write the preview of the input and its problems."""
        for line in messages.preview_lines(source, preview):
            self._write(line)
        for line in messages.problem_lines(preview):
            self._write(line)

    def noted(self, note: str) -> None:
        """Write the note."""
        self._write(f"note: {note}")


class JsonProgress(_Lines):
    """Progress as JSON, one object per line."""

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Write the preview of the input and its problems."""
        self._write(_event({"event": "input", "path": source.name, "preview": preview}))

    def noted(self, note: str) -> None:
        """Write the note."""
        self._write(_event({"event": "note", "message": note}))

    def _check_line(self, checking: Checking) -> str:
        return _event(messages.check_event(checking))

    def _progress_lines(self, progress: Progress) -> Iterator[str]:
        yield _event(messages.progress_event(progress))


def _event(event: dict[str, object]) -> str:
    return to_json(event).decode()
