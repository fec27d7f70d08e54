"""Where results go: the log, the ledger of what is settled, and the file of failed rows."""

import bisect
import contextlib
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path

from bulkupdate.codec import parse_record
from bulkupdate.errors import InputError, JournalError, RunStoppedError
from bulkupdate.journal.causes import Cause
from bulkupdate.journal.directory import RunDirectory
from bulkupdate.journal.failed import FailedFile
from bulkupdate.journal.files import sha256
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.results import Journal, line_offsets, mend_journal, read_marks
from bulkupdate.models import SUCCESSES, Result, Row
from bulkupdate.reader import Input

#: Rows of an input read between two looks at whether to leave.
_BATCH = 4096

#: Rows that did not succeed, of which a person is shown the last few.
_RECENT = 5


class Recorder:
    """Writes down what became of rows, in a run directory.

    Args:
        directory: where; a log that is there is read and gone on with.
        source: the input that the rows are from.
        is_to_leave: whether to drop everything, as somebody is in a hurry; called now and then.
        left: the SHA-256 of the file of failed rows as the last session left it, if it said so.

    Attributes:
        ledger: the outcome of every row so far.
        recent: the results of the last few rows that did not succeed.
        notes: what was found amiss in an earlier session's files, for a person to read.
        failed_sha256: of the file of failed rows, once all is closed.

    Raises:
        JournalError: the directory can't be written, or the log there not read.
        RunStoppedError: `is_to_leave` said so.
    """

    def __init__(
        self,
        directory: RunDirectory,
        source: Input,
        is_to_leave: Callable[[], bool] = lambda: False,
        left: str | None = None,
    ) -> None:
        self._source = source
        self._directory = directory
        self._is_to_leave = is_to_leave
        self._left = left
        self._log_path = directory.results
        self._failed_path = directory.failed(source.format.failed)
        self._is_outdated = False
        self._open = contextlib.ExitStack()
        self.ledger = Ledger()
        self.recent: deque[Result] = deque(maxlen=_RECENT)
        self.notes: list[str] = []
        if note := directory.forget_report():
            self.notes.append(note)
        self.failed_sha256: str | None = None
        with contextlib.ExitStack() as opening:
            if self._log_path.exists():
                self._read_log()
            self._journal = Journal(self._log_path)
            opening.callback(self._journal.close)
            self._failed = self._failed_file()
            opening.callback(lambda: self._failed.close())
            self._open = opening.pop_all()

    def _read_log(self) -> None:
        if note := mend_journal(self._log_path):
            self.notes.append(note)
        for marks in read_marks(self._log_path):
            self.ledger.record(*marks)
            self._check_time()

    def _check_time(self) -> None:
        if self._is_to_leave():
            raise RunStoppedError("stopped before anything was sent")

    def log(self, settled: list[tuple[Row, Result]]) -> None:
        """Write settled rows to the log, so that a crash of this process can't lose them.

        Raises:
            JournalError: none of them could be written.
        """
        results = [result for _, result in settled]
        self._journal.append(results)
        self._is_outdated |= self.ledger.record(*results)

    def list_failed(self, settled: list[tuple[Row, Result]]) -> None:
        """Write those of the rows that did not succeed to the file of failed rows.

        Raises:
            JournalError: some could not be written; `--resume` makes the file again.
        """
        for row, result in settled:
            if result.outcome in SUCCESSES:
                continue
            self.recent.append(result)
            try:
                self._failed.append(row, result)
            except JournalError:
                # Somebody may have saved it in an editor, say. It can be made again: no reason to
                # stop.
                if self._failed.is_ours:
                    raise
                self._is_outdated = True

    @property
    def causes(self) -> list[Cause]:
        """Why the rows in the file of failed rows did not succeed."""
        return self._failed.causes.listed()

    def sync(self) -> None:
        """Have the disk confirm the log.

        Raises:
            JournalError: it did not.
        """
        self._journal.sync()

    def close(self) -> None:
        """Confirm and close everything.

        Raises:
            JournalError: the log is not safe on disk, or the file of failed rows is out of date.
        """
        with self._open:
            self._journal.sync()
            self._journal.check()
            if self._is_outdated and not self._is_to_leave():
                # Rows that were in the file of failed rows have a new outcome now.
                self._left = self._failed.sha256
                self._failed.close()
                self._failed = self._failed_file()
            self.failed_sha256 = self._failed.sha256

    def _failed_file(self) -> FailedFile:
        """The file of failed rows, holding those that the log knows of, in the input's order.

        It is made beside the one that is there and then takes its place. One that somebody has
        edited meanwhile is kept under another name.
        """
        part = self._failed_path.with_name(f"failed.part{self._failed_path.suffix}")
        failed = FailedFile(part, self._source)
        try:
            if self.ledger.unsuccessful:
                self._copy_failed(failed)
            if self._was_edited(part):
                previous = self._failed_path.rename(self._directory.free_failed(self._failed_path))
                note = f"{self._failed_path} has been edited: kept as {previous}"
                self.notes.append(note)
            failed.rename(self._failed_path)
        except OSError as error:
            failed.close()
            raise JournalError(f"{part} can't be written: {error.strerror}") from error
        except BaseException:
            failed.close()
            raise
        return failed

    def _was_edited(self, part: Path) -> bool:
        if not self._failed_path.exists():
            return False
        return sha256(self._failed_path) != self._left and self._differs(part)

    def _differs(self, part: Path) -> bool:
        """Whether the file that is there holds anything that the new one doesn't.

        Ours holds the same lines in the order in which rows were settled, or lacks some after a
        crash.
        """
        if not self._failed_path.exists():
            return False
        with part.open("rb") as new, self._failed_path.open("rb") as old:
            known = array("q", sorted(map(hash, new)))
            for line in old:
                place = bisect.bisect_left(known, hash(line))
                if place == len(known) or known[place] != hash(line):
                    return True
        return False

    def _copy_failed(self, failed: FailedFile) -> None:
        """Write the rows that the log says did not succeed."""
        if self._source.has_changed():
            raise JournalError(
                f"the failed rows can't be listed: {self._source.name} was written to"
            )
        lines = self.ledger.unsuccessful_lines()
        offsets = line_offsets(self._log_path, (line for line, _ in lines))
        of_row = dict(zip((row for _, row in lines), offsets, strict=True))
        last_row = max(of_row)
        try:
            with self._log_path.open("rb") as log:
                for row in self._source.rows():
                    if not row.number % _BATCH:
                        self._check_time()
                    if row.number in of_row:
                        log.seek(of_row[row.number])
                        failed.append(row, parse_record(log.readline(), Result))
                    if row.number == last_row:
                        break
        except (OSError, ValueError, InputError) as error:
            raise JournalError(f"the failed rows can't be listed: {error}") from error
