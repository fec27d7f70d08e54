"""The run directory: only its owner can read it, and a run locks it."""

import contextlib
import enum
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

from bulkupdate.codec import to_json
from bulkupdate.errors import JournalError, RunDirectoryError, RunInUseError, setting
from bulkupdate.journal.files import replace_file, sha256, sync_directory
from bulkupdate.journal.images import holds_images
from bulkupdate.journal.results import has_requests
from bulkupdate.journal.runfiles import RunFiles, is_edited_failed, is_known, is_of_a_run, is_scrap
from bulkupdate.journal.summary import Summary, read_summary
from bulkupdate.reader import Format


class Mode(enum.StrEnum):
    """The treatment of a run directory that already holds a run."""

    NEW = "new"
    """Refuse the directory, unless nothing was sent."""

    RESUME = "resume"
    """Continue the run, or begin one if there is none or nothing was sent."""

    OVERWRITE = "overwrite"
    """Start the run again."""


class RunDirectory:
    """A run directory that only this process may use, until it is closed.

    Args:
        path: the path of the directory.
        lock: a descriptor that holds the lock.
        is_new: whether this process created the directory.

    Attributes:
        files: the paths of its files.
        mode: what is done with a run that is there already.
    """

    def __init__(self, path: Path, lock: int, *, is_new: bool) -> None:
        self.files = RunFiles(path)
        self._lock = lock
        self._is_new = is_new
        self._is_ours = False
        #: Whether the user named a link to the directory.
        self._is_link = path.is_symlink()
        self.mode = Mode.NEW

    @classmethod
    def open(cls, path: Path, mode: Mode) -> Self:
        """Create or find a run directory, and lock it.

        Args:
            path: the path of the directory.
            mode: the treatment of a directory that already holds a run.

        Raises:
            RunDirectoryError: the directory can't be used in this mode. Its files are unchanged.
            RunInUseError: another run uses the directory.
        """
        is_new = _make(path)
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
        """The path of the directory."""
        return self.files.path

    def adopt_digests(self) -> None:
        """Make the digests just written those of the run's input.

        Raises:
            JournalError: the file could not be renamed.
        """
        with _writing(self.files.digests):
            self.check_place()
            self.files.digests_part.replace(self.files.digests)
            sync_directory(self.path)

    def keep_stdin(self, chunks: Iterable[bytes]) -> Path:
        """Copy standard input to the directory, so that it can be read more than once.

        An earlier copy stays until `adopt_stdin`.

        Returns:
            The path of the copy.

        Raises:
            JournalError: the copy can't be written.
        """
        part = self.files.stdin_part
        self.check_place()
        with _writing(part), open(part, "xb", opener=_private) as copy:
            copy.writelines(chunks)
        return part

    def new_edits(self) -> Path:
        """Make the file for the edits of a night, empty and for its owner alone.

        Those of an earlier run stay until `adopt_edits`.

        Raises:
            JournalError: it can't be made.
        """
        part = self.files.edits_part
        self.check_place()
        with _writing(part):
            part.unlink(missing_ok=True)
            open(part, "xb", opener=_private).close()
        return part

    def adopt_stdin(self, part: Path, format_: Format) -> Path:
        """Rename the copy of standard input, to keep it.

        Returns:
            The new path of the copy.

        Raises:
            JournalError: the copy could not be renamed.
        """
        return self._adopt(part, self.files.stdin(format_))

    def adopt_edits(self, part: Path) -> Path:
        """Rename the edits of a night, to keep them. They are on the disk after this.

        Returns:
            The new path of the file.

        Raises:
            JournalError: it could not be synced or renamed.
        """
        with _writing(part), part.open("rb") as file:
            os.fsync(file.fileno())
        return self._adopt(part, self.files.edits)

    def _adopt(self, part: Path, kept: Path) -> Path:
        with _writing(kept):
            self.check_place()
            renamed = part.rename(kept)
            sync_directory(self.path)
        return renamed

    def check_place(self) -> None:
        """Check that the path still names the locked directory, and no link in its place.

        Raises:
            JournalError: the directory was moved, deleted or replaced.
        """
        try:
            is_same = os.path.samestat(self.path.lstat(), os.fstat(self._lock))
            if self.path.is_symlink():
                is_same = self._is_link and os.path.samestat(self.path.stat(), os.fstat(self._lock))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            raise JournalError(f"{self.path} can't be written: it was moved or replaced")

    def holds(self, path: Path) -> bool:
        """Whether `clear` would remove this file."""
        path = path.resolve()
        return is_of_a_run(path.name) and path.parent == self.path.resolve()

    def clear(self, keep: Path | None = None) -> list[str]:
        """Remove the files of an earlier run, except those that this run has just written.

        A file of failed rows that a user has edited is kept under another name.

        Args:
            keep: a file that is not removed.

        Returns:
            A message for each file that was kept.

        Raises:
            JournalError: a file could not be removed or renamed.
        """
        notes: list[str] = []
        if self.files.summary.exists():
            earlier = read_summary(self.path)
            failed = self.files.failed(Format(earlier.input.format))
            notes += self.keep_edited(failed, earlier.failed_sha256)
        with _writing(self.path):
            self.check_place()
            for path in list(self.path.iterdir()):
                is_kept = keep is not None and path.resolve() == keep
                if is_kept or path == self.files.summary or is_edited_failed(path.name):
                    continue
                if is_of_a_run(path.name):
                    path.unlink(missing_ok=True)
            # The summary last: by it the directory is known to hold a run.
            self.files.summary.unlink(missing_ok=True)
        return notes

    def keep_edited(
        self, failed: Path, left: str | None, differs: Callable[[], bool] = lambda: True
    ) -> list[str]:
        """Rename a file of failed rows that a user has edited, to keep it.

        Args:
            failed: the file.
            left: the SHA-256 of the file at the end of the last session, or None if unknown.
            differs: the function that finds out whether the file holds a line that the new file
                lacks.

        Returns:
            A message, if the file was renamed.

        Raises:
            JournalError: the file can't be renamed.
        """
        if not failed.exists() or sha256(failed) == left or not differs():
            return []
        with _writing(failed):
            self.check_place()
            kept = failed.rename(self.files.free_failed(failed))
            sync_directory(self.path)
        # A session that was killed has changed the file itself since its checksum was known.
        what = "may have" if left is None else "has"
        return [f"{failed} {what} been edited: kept as {kept}"]

    def write_summary(self, summary: Summary) -> None:
        """Replace the summary, whole or not at all.

        Raises:
            JournalError: the summary could not be written. The earlier one is unchanged.
        """
        self._replace(self.files.summary, to_json(summary, indent=2) + b"\n")

    def write_check(self, found: bytes) -> None:
        """Replace the file of check results, whole or not at all.

        Raises:
            JournalError: the file could not be written.
        """
        self._replace(self.files.check, found)

    def write_fleet(self, found: bytes) -> None:
        """Replace the file that says which run of a fleet was collected here.

        Raises:
            JournalError: the file could not be written.
        """
        self._replace(self.files.fleet, found)

    def leave_fleet(self) -> bool:
        """Forget the run of a fleet that was collected here. Return whether there was one.

        Raises:
            JournalError: the file that names it could not be removed.
        """
        if not self.files.fleet.exists():
            return False
        with _writing(self.files.fleet):
            self.check_place()
            self.files.fleet.unlink()
            sync_directory(self.path)
        return True

    def forget_report(self) -> str | None:
        """Remove the report of an earlier session: it lacks the results of this one.

        Returns:
            A message if the report can't be removed, or None.

        Raises:
            JournalError: the directory was moved or replaced.
        """
        self.check_place()
        for path in (self.files.report, self.files.changes):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                what = "a report" if path == self.files.changes else "the report"
                return (
                    f"{path} is {what} of an earlier session and can't be removed: {error.strerror}"
                )
        return None

    def forget_check(self) -> None:
        """Remove the file of check results, so that the next session checks the input again.

        Raises:
            JournalError: the file could not be removed.
        """
        with _writing(self.files.check):
            self.check_place()
            self.files.check.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock the directory. Remove it if this process created it and it is empty."""
        with contextlib.suppress(OSError, JournalError):
            self.check_place()
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
        _check_kinds(path, names)
        has_run = self.files.summary.name in names
        self.mode = mode if has_run else Mode.NEW
        if has_run:
            summary = read_summary(path)
            has_images = holds_images(self.files.images)
            # The sandbox of a rehearsal has ended with it: nothing there can be taken back.
            if self.mode is Mode.OVERWRITE and has_images and not summary.sandbox:
                raise RunDirectoryError(
                    f"{path} holds what its run has overwritten: take that back first (bulkupdate"
                    f" undo {path} -o FILE), or choose another directory with {setting('out')}"
                )
            # A run that is compared asks before it sends: an image comes before its first update.
            has_sent = has_images or (summary.has_sent is not False and not summary.compared)
            if not has_sent and not has_requests(self.files.results):
                # Nothing can be lost, and nothing can go out of order: begin again.
                self.mode = Mode.OVERWRITE
        elif left := sorted(n for n in names if is_of_a_run(n) and not is_edited_failed(n)):
            raise RunDirectoryError(
                f"{path} holds {left[0]} and no {self.files.summary.name}: what its run has sent"
                f" can't be told. Put {self.files.summary.name} back, or choose another directory"
                f" with {setting('out')}"
            )
        elif not all(is_scrap(name) or is_edited_failed(name) for name in names):
            raise RunDirectoryError(
                f"{path} holds other files than those of a run: choose another directory"
            )
        if has_run and self.mode is Mode.NEW and summary.sandbox:
            raise RunDirectoryError(
                f"{path} holds a rehearsal ({setting('sandbox')}): {setting('overwrite')} takes its"
                f" place, {setting('out')} names another directory"
            )
        if has_run and self.mode is Mode.NEW:
            raise RunDirectoryError(
                f"{path} holds a run already: {setting('resume')} continues it,"
                f" {setting('overwrite')} starts it again, {setting('out')} names another directory"
            )
        try:
            path.chmod(0o700)
            self._remove_scraps()
        except OSError as error:
            raise RunDirectoryError(f"{path} can't be used: {error.strerror}") from None

    def _replace(self, path: Path, data: bytes) -> None:
        with _writing(path):
            self.check_place()
            replace_file(path, data, sync=True)

    def _remove_scraps(self) -> None:
        for path in list(self.path.iterdir()):
            if is_scrap(path.name):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def at_rest(path: Path) -> Iterator[RunFiles]:
    """The files of a run directory that no run uses before the block ends. Nothing is changed.

    Raises:
        RunDirectoryError: it is no directory, can't be read, or holds a link or a pipe.
        RunInUseError: a run uses it.
    """
    lock = _locked(path, fcntl.LOCK_SH, "is in use by a run: try again when it has ended")
    try:
        _check_kinds(path, os.listdir(path))  # noqa: PTH208 - names, not paths
        yield RunFiles(path)
    finally:
        os.close(lock)


@contextlib.contextmanager
def alone_in(path: Path) -> Iterator[int]:
    """A descriptor of a run directory that no other process uses before the block ends.

    Raises:
        RunDirectoryError: it is no directory, or can't be used.
        RunInUseError: a run uses it.
    """
    lock = _locked(path, problem="is in use by a run")
    try:
        yield lock
    finally:
        os.close(lock)


def _check_kinds(path: Path, names: Iterable[str]) -> None:
    """Check that a run directory holds no link or pipe under the name of a file of a run.

    Raises:
        RunDirectoryError: it does.
    """
    for name in sorted(filter(is_known, names)):
        # A pipe would make its reader wait for ever. A directory is an error where it is used.
        kind = stat.S_IFMT((path / name).lstat().st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise RunDirectoryError(
                f"{path}/{name} is a link or no regular file: replace it by a file"
            )


def _make(path: Path) -> bool:
    """Create the directory, unless it exists. Returns whether it was created."""
    try:
        path.mkdir(mode=0o700)
        sync_directory(path.parent)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise RunDirectoryError(f"{path.parent}: there is no such directory") from None
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be created: {error.strerror}") from None
    return True


def _locked(
    path: Path,
    kind: int = fcntl.LOCK_EX,
    problem: str = "is in use by another run: this one sent nothing",
) -> int:
    """Lock the directory itself. The kernel removes this advisory lock when the process ends."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be used: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EWOULDBLOCK:
            raise RunInUseError(f"{path} {problem}") from None
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
