"""The progress of a check, for those who wait for it."""

import time

from bulkupdate.reader import Input


class Checking:
    """The present state of the check of an input. Observers read it at any time, in any thread.

    Args:
        name: the name of the input in messages.

    Attributes:
        name: the name of the input in messages.
        source: the input; None until it is open. A spreadsheet is open when all of it was read.
        rows: number of rows that were checked.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.source: Input | None = None
        self.rows = 0
        self._began = time.monotonic()
        self._opened = self._began

    def opened(self, source: Input) -> None:
        """Note that the input is open."""
        self.source = source
        self._opened = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the check began."""
        return time.monotonic() - self._began

    @property
    def share(self) -> float | None:
        """The share of the input that was checked, from 0 to 1; None if it is not known."""
        return self.source.share_read if self.source is not None else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end of the check, by its pace so far; None if it is not known."""
        share = self.share
        if not share:
            return None
        return (time.monotonic() - self._opened) * (1 - share) / share
