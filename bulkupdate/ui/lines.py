"""What a log collects while a run goes on."""

import asyncio
from collections.abc import Callable

from bulkupdate.codec import to_json
from bulkupdate.plan import Preview
from bulkupdate.reader import Input
from bulkupdate.session.observer import Observer
from bulkupdate.session.progress import Progress
from bulkupdate.ui import messages

#: Seconds between two lines where nobody watches.
LINE_INTERVAL = 10.0


class _Lines(Observer):
    """Writes lines.

    Args:
        write: takes one line.
        interval: seconds between two lines on how the run stands.
    """

    def __init__(self, write: Callable[[str], None], interval: float = LINE_INTERVAL) -> None:
        self._write = write
        self._interval = interval

    async def watch(self, progress: Progress) -> None:
        """Say how the run stands, every so often."""
        while True:
            await asyncio.sleep(self._interval)
            self._write(self._line(progress))

    def _line(self, progress: Progress) -> str:
        return messages.progress_line(progress)


class TextProgress(_Lines):
    """Plain lines: what the file holds, how the run stands every 10 s, what went amiss."""

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Say what the file holds and would do, and what is wrong with it."""
        for line in messages.preview_lines(source, preview):
            self._write(line)
        for line in messages.problem_lines(preview):
            self._write(line)

    def noted(self, note: str) -> None:
        """Say it."""
        self._write(f"note: {note}")


class JsonProgress(_Lines):
    """The same as JSON, one object a line."""

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Say what the file holds and would do, and what is wrong with it."""
        self._write(_event({"event": "input", "path": source.name, "preview": preview}))

    def noted(self, note: str) -> None:
        """Say it."""
        self._write(_event({"event": "note", "message": note}))

    def _line(self, progress: Progress) -> str:
        return _event(messages.progress_event(progress))


def _event(event: dict[str, object]) -> str:
    return to_json(event).decode()
