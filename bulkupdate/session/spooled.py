"""The rows of one account: those of an input that the spool holds for it."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator

from bulkupdate.engine.spool import Spool
from bulkupdate.errors import InputError
from bulkupdate.models import Row
from bulkupdate.reader import Input
from bulkupdate.stop import Stop

#: Rows that are put into the spool before other tasks may run.
_BATCH = 128


class SpooledRows:
    """The rows of one account. They can be read more than once, and beside each other.

    Args:
        spool: holds the rows.
        account: the name of the account.
        source: the input that they come from.

    Attributes:
        name: the name of the input in messages.
        places: none: every row has its place in the spool.
    """

    def __init__(self, spool: Spool, account: str, source: Input) -> None:
        self.name = source.name
        self.places: list[tuple[int, int]] = []
        self._spool = spool
        self._account = account
        self._source = source

    def rows(self, after: int = 0) -> Generator[Row]:
        """The rows after a number of rows of the input.

        Raises:
            JournalError: they can't be read.
        """
        for row in self._spool.rows(self._account):
            if row.number > after:
                yield row

    def has_changed(self) -> bool:
        """Whether the input has changed since it was opened.

        The spool would not notice, but the file of failed rows is made from the input.
        """
        return self._source.has_changed()

    @contextlib.contextmanager
    def again(self) -> Iterator["SpooledRows"]:
        """The same rows: they can be read beside others."""
        yield self


async def fill(
    spool: Spool, source: Input, after: int, is_known: Callable[[Row], bool], stop: Stop
) -> None:
    """Put the rows of an input that was checked by an earlier session into a spool.

    Args:
        spool: receives the rows.
        source: the input.
        after: number of rows at the beginning that are settled.
        is_known: whether a row is the one that was checked under its number.
        stop: ends it early.

    Raises:
        InputError: a row is another one than was checked, or the input can't be read.
        JournalError: a row can't be stored.
        RunStoppedError: the stop was set.
    """
    rows = source.rows(after)
    first = await asyncio.to_thread(next, rows, None)
    if source.places and not (first and is_known(first)):
        # The position of the row comes from another session and is wrong: read from the start.
        rows.close()
        source.places = []
        rows = source.rows(after)
        first = await asyncio.to_thread(next, rows, None)
    found = itertools.chain((first,) if first else (), rows)
    while batch := list(itertools.islice(found, _BATCH)):
        await asyncio.sleep(0)
        stop.check()
        for row in batch:
            if not is_known(row):
                raise InputError(f"{source.name}: row {row.number} is not the one that was checked")
            spool.add(row)
    if source.has_changed():
        raise InputError(f"{source.name} was written to while it was read")
