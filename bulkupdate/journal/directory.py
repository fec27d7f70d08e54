"""The run directory: readable by its owner alone, locked while a run uses it."""

import contextlib
import enum
import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

from bulkupdate.codec import to_json
from bulkupdate.errors import JournalError, RunDirectoryError, RunInUseError, setting
from bulkupdate.journal.files import replace_file, sha256
from bulkupdate.journal.runfiles import RunFiles, is_edited_failed, is_known, is_of_a_run, is_scrap
from bulkupdate.journal.summary import Summary, read_summary
from bulkupdate.reader import Format


class Mode(enum.StrEnum):
    """What to do with a run directory that is already there."""

    NEW = "new"
    """Refuse it."""

    RESUME = "resume"
    """Continue that run."""

    OVERWRITE = "overwrite"
    """Start it again."""


class RunDirectory:
    """A run directory that this process alone may use, until it is closed.

    Args:
        path: where it is.
        lock: a descriptor that holds the lock.
        is_new: whether this process has made it.

    Attributes:
        files: where its files are.
    """

    def __init__(self, path: Path, lock: int, *, is_new: bool) -> None:
        self.files = RunFiles(path)
        self._lock = lock
        self._is_new = is_new
        self._is_ours = False

    @classmethod
    def open(cls, path: Path, mode: Mode) -> Self:
        """Make or find a run directory, and lock it.

        Args:
            path: where it is.
            mode: what to do if a run is there already.

        Raises:
            RunDirectoryError: it may not be used so; no file in it has been touched.
        """
        is_new = _make(path, mode)
        directory = cls(path, _locked(path), is_new=is_new)
        try:
            directory._check(mode)
            directory._is_ours = True
        except BaseException:
            directory.close()
            raise
        return directory

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.files.path

    def adopt_digests(self) -> None:
        """Take the digests just written for those of the run's input.

        Raises:
            JournalError: they could not be renamed.
        """
        with _writing(self.files.digests):
            self.files.digests_part.replace(self.files.digests)

    def keep_stdin(self, chunks: Iterable[bytes]) -> Path:
        """Copy standard input here, so that it can be read more than once.

        An earlier copy stays until `adopt_stdin`.
        """
        part = self.files.stdin_part
        with _writing(part), open(part, "xb", opener=_private) as copy:
            copy.writelines(chunks)
        return part

    def adopt_stdin(self, part: Path, format_: Format) -> Path:
        """Give the copy of standard input its name, now that it is to stay."""
        kept = self.files.stdin(format_)
        with _writing(kept):
            return part.rename(kept)

    def holds(self, path: Path) -> bool:
        """Whether `clear` would remove the file at `path`."""
        path = path.resolve()
        return is_of_a_run(path.name) and path.parent == self.path.resolve()

    def clear(self) -> list[str]:
        """Remove what an earlier run has left, except what this one has just written.

        A file of failed rows that somebody has edited is kept under another name.

        Returns:
            What was kept, for a person to read.
        """
        notes: list[str] = []
        if self.files.summary.exists():
            earlier = read_summary(self.path)
            failed = self.files.failed(Format(earlier.input.format))
            notes += self.keep_edited(failed, earlier.failed_sha256)
        with _writing(self.path):
            for path in list(self.path.iterdir()):
                if path == self.files.summary or is_edited_failed(path.name):
                    continue
                if is_of_a_run(path.name):
                    path.unlink(missing_ok=True)
            # Last: it is what makes the directory known as a run's.
            self.files.summary.unlink(missing_ok=True)
        return notes

    def keep_edited(
        self, failed: Path, left: str | None, differs: Callable[[], bool] = lambda: True
    ) -> list[str]:
        """Give a file of failed rows that somebody has edited another name, so that it stays.

        Args:
            failed: the file.
            left: its SHA-256 as the last session left it, where that session recorded it.
            differs: whether it holds anything that the file in its place will not.

        Returns:
            What was done, for a person to read.

        Raises:
            JournalError: it can't be renamed.
        """
        if not failed.exists() or sha256(failed) == left or not differs():
            return []
        with _writing(failed):
            kept = failed.rename(self.files.free_failed(failed))
        return [f"{failed} has been edited: kept as {kept}"]

    def write_summary(self, summary: Summary) -> None:
        """Replace the summary, whole or not at all.

        Raises:
            JournalError: it could not be written; the earlier one is still there.
        """
        self._replace(self.files.summary, to_json(summary, indent=2) + b"\n")

    def write_check(self, found: bytes) -> None:
        """Replace what checking the input found, whole or not at all.

        Raises:
            JournalError: it could not be written.
        """
        self._replace(self.files.check, found)

    def forget_report(self) -> str | None:
        """Remove the report of an earlier session: it lacks what this one does.

        Returns:
            Why it is still there, for a person to read, or None.
        """
        report = self.files.report
        try:
            report.unlink(missing_ok=True)
        except OSError as error:
            return f"{report} is of an earlier session, and can't be removed: {error.strerror}"
        return None

    def forget_check(self) -> None:
        """Have the next session check the input again.

        Raises:
            JournalError: it could not be removed.
        """
        with _writing(self.files.check):
            self.files.check.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others use it; remove it again if this process made it and left it empty."""
        with contextlib.suppress(OSError):
            if self._is_ours:
                self._remove_scraps()
            if self._is_new:
                self.path.rmdir()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, mode: Mode) -> None:
        path = self.path
        names = set(os.listdir(path))  # noqa: PTH208 - names, not paths
        if not os.access(path, os.W_OK | os.X_OK):
            raise RunDirectoryError(f"{path} can't be written")
        if links := [name for name in names if is_known(name) and (path / name).is_symlink()]:
            raise RunDirectoryError(f"{path}/{links[0]} is a link: it is not followed")
        has_run = self.files.summary.name in names
        if has_run:
            read_summary(path)
        elif not all(map(is_scrap, names)):
            raise RunDirectoryError(f"{path} holds something else than a run: choose another")
        if mode is Mode.NEW and has_run:
            raise RunDirectoryError(
                f"{path} holds a run already: {setting('resume')} continues it,"
                f" {setting('overwrite')} starts it again, {setting('out')} names another directory"
            )
        if mode is Mode.RESUME and not has_run:
            raise RunDirectoryError(f"{path}: there is no run to resume")
        try:
            path.chmod(0o700)
            self._remove_scraps()
        except OSError as error:
            raise RunDirectoryError(f"{path} can't be used: {error.strerror}") from None

    def _replace(self, path: Path, data: bytes) -> None:
        with _writing(path):
            replace_file(path, data, sync=True)

    def _remove_scraps(self) -> None:
        for path in list(self.path.iterdir()):
            if is_scrap(path.name):
                path.unlink(missing_ok=True)


def _make(path: Path, mode: Mode) -> bool:
    """Make the directory, unless it is there; returns whether it was made."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise RunDirectoryError(f"{path.parent}: there is no such directory") from None
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be made: {error.strerror}") from None
    if mode is Mode.RESUME:
        path.rmdir()
        raise RunDirectoryError(f"{path}: there is no run to resume")
    return True


def _locked(path: Path) -> int:
    """An advisory lock on the directory itself: the kernel drops it with the process."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be used: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EWOULDBLOCK:
            raise RunInUseError(f"{path} is in use by another run: this one sent nothing") from None
        raise RunDirectoryError(f"{path} can't be locked: {error.strerror}") from None
    return descriptor


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"{path} can't be written: {error.strerror}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
