"""`before.jsonl`: what a run overwrites, on disk before it is overwritten."""

import itertools
import operator
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from bulkupdate.codec import parse_record, to_json
from bulkupdate.errors import JournalError
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.models import Row, now

if TYPE_CHECKING:
    # `check` needs no event loop, and this package is imported by every command.
    import asyncio

#: Longest line, in bytes.
_LONGEST = 1 << 24

#: Turns of the event loop without a new image before a sync, and most seconds to wait for them. An
#: answer takes several turns until the next row of its worker is ready.
_QUIET = 10
_LONGEST_WAIT = 0.01


class Image(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image of a task before a write: one line of the file.

    Attributes:
        row: the number of the row whose request writes.
        id: the id of the task.
        account: the name of its account; None where there is only one.
        at: when the image was taken, UTC.
        before: the values that it overwrites, by their names in an update; None for an empty one,
            and left out where no reading showed the field, or where this run itself had left the
            value. None where the task was not listed.
        sent: the fields of the request.
    """

    row: int
    id: str
    account: str | None = None
    at: str
    before: dict[str, Any] | None
    sent: dict[str, Any] = {}

    @property
    def values(self) -> dict[str, Any]:
        """The values as they would be sent: "" for an empty one."""
        found = self.before or {}
        return {name: "" if value is None else value for name, value in found.items()}


def read_images(path: Path) -> Iterator[Image]:
    """Every image of a run, in the order of the file. An incomplete last line is left out.

    Raises:
        JournalError: the file can't be read, or a line is no image.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield _image(line, path, number)
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error


class _Told(Protocol):
    """The result of a row, or the part of it that a reader needs."""

    @property
    def row(self) -> int: ...

    @property
    def id(self) -> str: ...

    @property
    def account(self) -> str | None: ...

    @property
    def at(self) -> str: ...


Told = TypeVar("Told", bound=_Told)


def in_order(images: Iterable[Image], told: Iterable[Told]) -> Iterator[Image | Told]:
    """Images and the results of rows, each task in the order of time.

    In one millisecond, a row of a task may be settled and the next one begin: of one moment, the
    earlier row comes first, and the image of a row before its result.

    Memory: the results of one moment. All images may be of the same, as where a fleet has sent.

    Args:
        images: the images of a run, in the order of their file.
        told: the results, in the order of their log.
    """
    results = iter(told)
    result = next(results, None)
    for at, of_one_moment in itertools.groupby(images, key=operator.attrgetter("at")):
        while result is not None and result.at < at:
            yield result
            result = next(results, None)
        #: The task → its results of the same moment.
        held: dict[tuple[str | None, str], deque[Told]] = {}
        while result is not None and result.at == at:
            held.setdefault((result.account, result.id), deque()).append(result)
            result = next(results, None)
        for image in of_one_moment:
            earlier = held.get((image.account, image.id))
            while earlier and earlier[0].row < image.row:
                yield earlier.popleft()
            yield image
        yield from itertools.chain.from_iterable(held.values())
    if result is not None:
        yield result
    yield from results


def holds_images(path: Path) -> bool:
    """Whether a file of images holds a line.

    Raises:
        JournalError: the file can't be read.
    """
    return next(read_images(path), None) is not None


def _image(line: bytes, path: Path, number: int) -> Image:
    try:
        return parse_record(line, Image)
    except ValueError as error:
        raise JournalError(f"{path}, line {number}, is not an image: {error}") from error


class ImagesFile:
    """The file of images, open for appending. Images that come together share one sync.

    Args:
        path: the path of the file. It is created for its owner alone.

    Raises:
        JournalError: the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        _cut_torn_line(path)
        self._file = AppendOnlyFile(path)
        self._pending: list[bytes] = []
        #: The callers whose images are pending.
        self._waiting: list[asyncio.Future[None]] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(
        self,
        row: Row,
        before: Mapping[str, Any] | None,
        sent: Mapping[str, Any],
        at: str | None = None,
    ) -> None:
        """Write an image, and wait until the disk has it.

        Args:
            row: the row.
            before: the values by field, "" for an empty one; None where the task is not listed.
            sent: the fields of the request.
            at: when the values were there, UTC; None for now.

        Raises:
            JournalError: it could not be written. The request must not be sent.
        """
        shown = None
        if before is not None:
            shown = {name: None if value == "" else value for name, value in before.items()}
        image = Image(
            row=row.number,
            id=row.id,
            account=row.account or None,
            at=at or now(),
            before=shown,
            sent=dict(sent),
        )
        import asyncio

        self._pending.append(to_json(image) + b"\n")
        # Each has a future of its own: one that is interrupted must not end the write of others.
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await written

    async def _write(self) -> None:
        """Write and sync batches until none is left."""
        import asyncio

        clock = asyncio.get_running_loop().time
        try:
            while self._pending:
                # A sync costs more than many turns of the loop; and a busy loop makes its thread
                # wait for the interpreter, so wait until the loop brings no more.
                quiet = size = 0
                until = clock() + _LONGEST_WAIT
                while quiet < _QUIET and clock() < until:
                    quiet = quiet + 1 if size == len(self._pending) else 0
                    size = len(self._pending)
                    await asyncio.sleep(0)
                data, waiting = b"".join(self._pending), self._waiting
                self._pending, self._waiting = [], []
                try:
                    self._file.write(data)
                    await asyncio.to_thread(self._file.sync)
                except JournalError as error:
                    _wake(waiting, error)
                except Exception as error:
                    _wake(waiting, JournalError(f"what is overwritten can't be written: {error}"))
                else:
                    _wake(waiting)
        finally:
            self._writing = None

    async def close(self) -> None:
        """Write the rest, and close the file. A write is awaited even if this is cancelled."""
        import asyncio

        cancelled = None
        while self._writing is not None:
            try:
                await asyncio.wait([self._writing])
            except asyncio.CancelledError as error:
                cancelled = error
        self._file.close()
        if cancelled is not None:
            raise cancelled


def _wake(waiting: "list[asyncio.Future[None]]", error: JournalError | None = None) -> None:
    """Wake callers whose images are written, or could not be written."""
    for one in waiting:
        if one.done():
            continue  # It was interrupted.
        if error is None:
            one.set_result(None)
        else:
            one.set_exception(error)


def _cut_torn_line(path: Path) -> None:
    """Remove an incomplete last line: what it is about was never sent.

    Raises:
        JournalError: the file can't be changed.
    """
    try:
        with path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(0, end - _LONGEST)
            file.seek(start)
            kept = start + file.read().rfind(b"\n") + 1
            if kept < end:
                file.truncate(kept)
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(f"{path} can't be written: {error.strerror}") from error
