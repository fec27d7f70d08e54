"""Files of the run directory: private, never opened through a link, and written unbuffered."""

import contextlib
import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from bulkupdate.errors import ConfigError, JournalError, setting

_CLOSED = -1

#: What a file system answers that has no hard links, as that of a memory stick.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})


class AppendOnlyFile:
    """A file for appending. When a write returns, the operating system has the data.

    Args:
        path: the path of the file. A new file is created for its owner alone.
        empty: whether to remove the content of an existing file.

    Raises:
        JournalError: the file can't be opened.
    """

    def __init__(self, path: Path, *, empty: bool = False) -> None:
        self._path = path
        #: Whether the directory may not have the file's name on the disk yet.
        self._is_new = not path.exists()
        self._descriptor = _open(path, os.O_APPEND | (os.O_TRUNC if empty else 0))
        self._length = os.fstat(self._descriptor).st_size
        self._is_torn = False
        self._is_dirty = False
        # A sync runs in a thread, and may still run when the file is closed.
        self._syncing = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append data, whole or not at all.

        Raises:
            JournalError: the data could not be written. The file has its earlier length then; if
                even that failed, it ends in an incomplete line.
        """
        if self._is_torn:
            raise JournalError(f"{self._path} ends in an incomplete line")
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
        """Whether no other program has changed, moved or deleted the file."""
        try:
            self.check()
            self.check_place()
        except (JournalError, OSError):
            return False
        return True

    def sync(self) -> None:
        """Write all data to the disk.

        Raises:
            JournalError: the disk did not confirm the data, or the file was moved or replaced.
        """
        with self._syncing:
            if not self._is_dirty:
                return
            self._is_dirty = False
            try:
                self.check_place()
                os.fsync(self._descriptor)
                if self._is_new:
                    sync_directory(self._path.parent)
                    self._is_new = False
            except OSError as error:
                self._is_dirty = True
                raise JournalError(f"{self._path} can't be written: {error.strerror}") from error
            except JournalError:
                self._is_dirty = True
                raise

    def rename(self, path: Path) -> None:
        """Rename the file, on the disk too. An existing file with that name is replaced.

        Raises:
            OSError: the file can't be renamed.
        """
        self._path.replace(path)
        self._path = path
        sync_directory(path.parent)

    def close(self) -> None:
        """Close the file. A second call does nothing. Call `sync` first if the data matters."""
        with self._syncing:
            if self._descriptor != _CLOSED:
                os.close(self._descriptor)
                self._descriptor = _CLOSED

    def check(self) -> None:
        """Check that the file exists and holds only our data. No other thread may write to it.

        Raises:
            JournalError: the file was deleted, or another program has written to it.
        """
        status = os.fstat(self._descriptor)
        if status.st_nlink == 0:
            raise JournalError(f"{self._path} can't be written: it was deleted or replaced")
        if status.st_size != self._length:
            raise JournalError(f"{self._path} can't be written: another program has written to it")

    def check_place(self) -> None:
        """Check that the path still names this file.

        Raises:
            JournalError: the file was moved or replaced.
        """
        try:
            is_same = os.path.samestat(self._path.lstat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            raise JournalError(f"{self._path} can't be written: it was moved or replaced")

    def _cut_back(self, length: int) -> None:
        try:
            os.ftruncate(self._descriptor, length)
            self._length = length
        except OSError:
            # The incomplete line stays the last one. A reader of the file drops it.
            self._is_torn = length != self._length


def _open(path: Path, flags: int) -> int:
    flags |= os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise JournalError(f"{path} can't be opened: {error.strerror}") from error


def replace_file(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file, whole or not at all. A new file is private to its owner.

    Args:
        path: the path of the file.
        data: the content of the file.
        sync: whether the disk must confirm the new file before it replaces the earlier one.

    Raises:
        OSError: the file could not be written. An earlier one is unchanged.
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
        if sync:
            sync_directory(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def published(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new file that appears under its name only when it is complete, and on the disk.

    Args:
        path: the path of the file.
        overwrite: whether it may replace an existing file.

    Yields:
        The path of an empty file, private to its owner, to write to. If the block is left by an
        exception, it is removed.

    Raises:
        ConfigError: there is a file already, or none can be written there.
        JournalError: the file could not be moved to its place.
    """
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} is there already: {setting('replace')} replaces it")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from None
    part = Path(name)
    try:
        yield part
        os.fsync(descriptor)
        _name(part, path, overwrite=overwrite)
        sync_directory(path.parent)
    except FileExistsError:
        raise ConfigError(f"{path} is there already: {setting('replace')} replaces it") from None
    except OSError as error:
        raise JournalError(f"{path} can't be written: {error.strerror}") from error
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)


def _name(part: Path, path: Path, *, overwrite: bool) -> None:
    """Give a complete file its name.

    Raises:
        FileExistsError: there is a file of that name, and it may not be replaced.
        OSError: it can't be renamed.
    """
    if not overwrite:
        try:
            # Unlike a rename, this never replaces a file that came meanwhile.
            path.hardlink_to(part)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if path.exists():
                raise FileExistsError from error
        else:
            return
    part.replace(path)


def sync_directory(path: Path) -> None:
    """Write the names in a directory to the disk: a power cut may undo a rename until then.

    Raises:
        OSError: the disk did not confirm it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems can't do this for a directory, and need not.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def forget_cached(path: Path) -> None:
    """Let the next reading of a file come from the disk, as far as the system allows.

    After an `fsync` that failed, the system may go on showing data that never reached the disk.

    Args:
        path: the path of the file.
    """
    if not hasattr(os, "posix_fadvise"):
        return  # macOS has no such call.
    with contextlib.suppress(OSError), path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sha256(path: Path) -> str | None:
    """The SHA-256 of a file, in hexadecimal; None if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
