"""The run directory: readable by its owner alone, locked while a run uses it.

::

    edits.run/
      results.jsonl   one line per settled row
      failed.csv      the rows to mend and run again (or failed.jsonl, as the input)
      summary.json    what was read, where it went, counts that add up
      traffic.jsonl   how many requests were sent when, for charts
      report.html     all of it, for people to read; made when it is asked for
      check.json      what checking the input has found, so that going on need not check again
      rows.digest     two hashes of each row of the input, so that an edit is noticed
      stdin.csv       a copy of standard input, where that was the input (or stdin.jsonl, .tsv)
      results.1.jsonl the log as it was before the run went on with an edited input
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bulkupdate.codec import parse_record, to_json
from bulkupdate.config import Mode
from bulkupdate.errors import JournalError, RunDirectoryError, RunInUseError
from bulkupdate.journal.files import sha256
from bulkupdate.journal.summary import Summary
from bulkupdate.reader.options import Format

_FORMATS = "|".join(Format)
_OURS = re.compile(
    rf"results(\.\d+)?\.jsonl|results\.jsonl\.part|(summary|check)\.json(\.part)?|rows\.digest(\.part)?"
    rf"|traffic\.jsonl|report\.html|\.report\.html\.\w+|(failed|stdin)\.({_FORMATS})|failed\.(part|\d+)\.({_FORMATS})|stdin\.part"
)
#: Files of failed rows that somebody has edited.
_KEPT = re.compile(rf"failed\.\d+\.({_FORMATS})")

#: What a run that was killed very early may leave behind.
_SCRAPS = frozenset({"stdin.part", "summary.json.part", "check.json.part", "rows.digest.part"})


class RunDirectory:
    """A run directory that this process alone may use, until it is closed.

    Args:
        path: where.
        mode: what to do if a run is there already.

    Raises:
        RunDirectoryError: it may not be used so; no file in it has been touched.
    """

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self._created = self._make(mode)
        self._lock = self._take_lock()
        self._is_ours = False
        try:
            self._check(mode)
            self._is_ours = True
        except BaseException:
            self.close()
            raise

    @property
    def results(self) -> Path:
        """The results log."""
        return self.path / "results.jsonl"

    @property
    def summary(self) -> Path:
        """The summary."""
        return self.path / "summary.json"

    @property
    def traffic(self) -> Path:
        """How many requests were sent when."""
        return self.path / "traffic.jsonl"

    @property
    def check(self) -> Path:
        """What checking the input has found."""
        return self.path / "check.json"

    @property
    def digests(self) -> Path:
        """The digests of the input's rows."""
        return self.path / "rows.digest"

    @property
    def digests_part(self) -> Path:
        """Where they are written while the rows are read."""
        return self.path / "rows.digest.part"

    def adopt_digests(self) -> None:
        """Take the digests just written for those of the run's input.

        Raises:
            JournalError: they could not be renamed.
        """
        with self._writing(self.digests):
            self.digests_part.replace(self.digests)

    def free_results(self) -> Path:
        """A name for a results log that is to be kept beside its successor."""
        number = 1
        while (path := self.path / f"results.{number}.jsonl").exists():
            number += 1
        return path

    def free_failed(self, path: Path) -> Path:
        """A name for a file of failed rows that somebody has edited."""
        number = 1
        while (kept := path.with_name(f"failed.{number}{path.suffix}")).exists():
            number += 1
        return kept

    def failed(self, format_: Format) -> Path:
        """The file of rows that did not succeed."""
        return self.path / f"failed.{format_}"

    def keep_stdin(self, chunks: Iterable[bytes]) -> Path:
        """Copy standard input here, so that it can be read more than once.

        An earlier copy is left alone until `adopt_stdin`.
        """
        part = self.path / "stdin.part"
        with self._writing(part), open(part, "xb", opener=_private) as copy:
            copy.writelines(chunks)
        return part

    def adopt_stdin(self, part: Path, format_: Format) -> Path:
        """Give the copy of standard input its name, now that it is to stay."""
        kept = self.path / f"stdin.{format_}"
        with self._writing(kept):
            return part.rename(kept)

    def holds(self, path: Path) -> bool:
        """Whether `clear` would remove the file at `path`."""
        path = path.resolve()
        return _is_of_a_run(path.name) and path.parent == self.path.resolve()

    def clear(self) -> list[str]:
        """Remove what an earlier run has left, but for what this one has just written.

        A file of failed rows that somebody has edited is kept under another name.

        Returns:
            What was kept, for a person to read.
        """
        with self._writing(self.path):
            notes = self._keep_edited()
            for path in list(self.path.iterdir()):
                if path == self.summary or _KEPT.fullmatch(path.name):
                    continue
                if _is_of_a_run(path.name):
                    path.unlink(missing_ok=True)
            # Last: it is what makes the directory known as a run's.
            self.summary.unlink(missing_ok=True)
        return notes

    def _keep_edited(self) -> list[str]:
        if not self.summary.exists():
            return []
        summary = self.read_summary()
        failed = self.failed(Format(summary.input.format).failed)
        if not failed.exists() or sha256(failed) == summary.failed_sha256:
            return []
        kept = failed.rename(self.free_failed(failed))
        return [f"{failed} has been edited: kept as {kept}"]

    def write_summary(self, summary: Summary) -> None:
        """Replace the summary, whole or not at all.

        Raises:
            JournalError: it could not be written; the earlier one is still there.
        """
        self._replace(self.summary, to_json(summary, indent=2) + b"\n")

    def write_check(self, found: bytes) -> None:
        """Replace what checking the input has found, whole or not at all.

        Raises:
            JournalError: it could not be written.
        """
        self._replace(self.check, found)

    def read_summary(self) -> Summary:
        """The summary of the run that is there.

        Raises:
            RunDirectoryError: there is none, or it is not ours.
        """
        try:
            return parse_record(self.summary.read_bytes(), Summary)
        except (OSError, ValueError) as error:
            raise RunDirectoryError(
                f"{self.path}: its summary.json is none of ours ({error}): choose another directory"
            ) from error

    def close(self) -> None:
        """Let others use it; remove it again if this process made it and left it empty."""
        with contextlib.suppress(OSError):
            if self._is_ours:
                self._remove_scraps()
            if self._created:
                self.path.rmdir()
        os.close(self._lock)

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self, mode: Mode) -> bool:
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise RunDirectoryError(f"{self.path.parent}: there is no such directory") from None
        except OSError as error:
            raise RunDirectoryError(f"{self.path} can't be made: {error.strerror}") from None
        if mode is Mode.RESUME:
            self.path.rmdir()
            raise RunDirectoryError(f"{self.path}: there is no run to resume")
        return True

    def _take_lock(self) -> int:
        """An advisory lock on the directory itself: the kernel drops it with the process."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RunDirectoryError(f"{self.path} can't be used: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.EWOULDBLOCK:
                raise RunInUseError(
                    f"{self.path} is in use by another run: nothing was sent by this one"
                ) from None
            raise RunDirectoryError(f"{self.path} can't be locked: {error.strerror}") from None
        return descriptor

    def _check(self, mode: Mode) -> None:
        names = set(os.listdir(self.path))  # noqa: PTH208 - names, not paths
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise RunDirectoryError(f"{self.path} can't be written")
        if links := [n for n in names if _OURS.fullmatch(n) and (self.path / n).is_symlink()]:
            raise RunDirectoryError(f"{self.path}/{links[0]} is a link: it is not followed")
        has_run = "summary.json" in names
        if has_run:
            self.read_summary()
        elif names - _SCRAPS:
            raise RunDirectoryError(f"{self.path} holds something else than a run: choose another")
        if mode is Mode.NEW and has_run:
            raise RunDirectoryError(
                f"{self.path} holds a run already: --resume goes on with it,"
                " --overwrite starts it again, --out names another directory"
            )
        if mode is Mode.RESUME and not has_run:
            raise RunDirectoryError(f"{self.path}: there is no run to resume")
        try:
            self.path.chmod(0o700)
            self._remove_scraps()
        except OSError as error:
            raise RunDirectoryError(f"{self.path} can't be used: {error.strerror}") from None

    def forget_report(self) -> str | None:
        """Remove the report of an earlier session: what this one does is not in it.

        Returns:
            Why it is still there, for a person to read, or None.
        """
        report = self.path / "report.html"
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
        with self._writing(self.check):
            self.check.unlink(missing_ok=True)

    def _replace(self, path: Path, data: bytes) -> None:
        part = path.with_name(f"{path.name}.part")
        with self._writing(path):
            part.unlink(missing_ok=True)
            with open(part, "xb", opener=_private) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)

    def _remove_scraps(self) -> None:
        for name in _SCRAPS:
            (self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalError(f"{path} can't be written: {error.strerror}") from error


def _is_of_a_run(name: str) -> bool:
    return bool(_OURS.fullmatch(name)) and name not in _SCRAPS


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
