"""Files of the run directory: their owner's alone, never through a link, written unbuffered."""

import hashlib
import os
import tempfile
import threading
from pathlib import Path

from bulkupdate.errors import JournalError

_CLOSED = -1


class AppendOnlyFile:
    """A file whose every write has reached the operating system when it returns.

    Args:
        path: of the file; created for its owner alone where it is not there.
        empty: whether to drop what it holds.

    Raises:
        JournalError: it can't be opened.
    """

    def __init__(self, path: Path, *, empty: bool = False) -> None:
        self._path = path
        self._descriptor = _open(path, os.O_APPEND | (os.O_TRUNC if empty else 0))
        self._length = os.fstat(self._descriptor).st_size
        self._is_torn = False
        self._is_dirty = False
        # A sync runs in a thread, and may still run when the file is closed.
        self._syncing = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append `data`, whole or not at all.

        Raises:
            JournalError: it could not be written. The file then ends where it did before, or,
                where even that failed, in a torn line.
        """
        if self._is_torn:
            raise JournalError(f"{self._path} ends in a torn line")
        self.check()
        self._is_dirty = True
        start, rest = self._length, memoryview(data)
        try:
            while rest:
                written = os.write(self._descriptor, rest)
                self._length += written
                rest = rest[written:]
        except OSError as error:
            self._cut_back(start)
            raise JournalError(f"{self._path} can't be written: {error.strerror}") from error

    @property
    def is_ours(self) -> bool:
        """Whether nobody else has written to it, moved or deleted it."""
        try:
            self.check()
            self.check_place()
        except JournalError:
            return False
        return True

    def sync(self) -> None:
        """Have the disk confirm what was written.

        Raises:
            JournalError: it did not, or it is not the file that its path names any more.
        """
        with self._syncing:
            if not self._is_dirty:
                return
            self._is_dirty = False
            try:
                self.check_place()
                os.fsync(self._descriptor)
            except OSError as error:
                self._is_dirty = True
                raise JournalError(f"{self._path} can't be written: {error.strerror}") from error
            except JournalError:
                self._is_dirty = True
                raise

    def rename(self, path: Path) -> None:
        """Give it another name, in the place of what has that name.

        Raises:
            OSError: it can't be done.
        """
        self._path.replace(path)
        self._path = path

    def close(self) -> None:
        """Close it; closing it again does nothing. `sync` comes first, where it matters."""
        with self._syncing:
            if self._descriptor != _CLOSED:
                os.close(self._descriptor)
                self._descriptor = _CLOSED

    def check(self) -> None:
        """See that it holds what was written, and is still there. Not while another thread writes.

        Raises:
            JournalError: it was deleted, or somebody else has written to it.
        """
        status = os.fstat(self._descriptor)
        if status.st_nlink == 0:
            raise JournalError(f"{self._path} can't be written: it was deleted or replaced")
        if status.st_size != self._length:
            raise JournalError(f"{self._path} can't be written: somebody else has written to it")

    def check_place(self) -> None:
        """See that it is where it was.

        Raises:
            JournalError: it was moved, or another file is in its place.
        """
        try:
            is_there = os.path.samestat(self._path.lstat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise JournalError(f"{self._path} can't be written: it was moved or replaced")

    def _cut_back(self, length: int) -> None:
        try:
            os.ftruncate(self._descriptor, length)
            self._length = length
        except OSError:
            # The torn line stays the last: whoever reads the file back drops it.
            self._is_torn = length != self._length


def _open(path: Path, flags: int) -> int:
    flags |= os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise JournalError(f"{path} can't be opened: {error.strerror}") from error


def replace_file(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file whole or not at all: its owner's alone, where it is new.

    Args:
        path: of the file.
        data: what it holds.
        sync: whether the disk confirms it before it takes its place.

    Raises:
        OSError: it could not be written; an earlier one is unchanged.
    """
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open already
            file.write(data)
            file.flush()
            if sync:
                os.fsync(descriptor)
        part.chmod(mode)
        part.replace(path)
    except BaseException:
        part.unlink()
        raise


def sha256(path: Path) -> str | None:
    """Of a file, in hexadecimal; None where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
