"""The recorder of results: the log, the ledger, and the file of failed rows."""

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Self

from bulkupdate.errors import JournalError
from bulkupdate.journal.causes import Cause
from bulkupdate.journal.digests import CheckedRows
from bulkupdate.journal.directory import RunDirectory
from bulkupdate.journal.failed import FailedFile
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.rebuild import rebuild_failed
from bulkupdate.journal.results import ResultsLog, read_marks, repair_journal
from bulkupdate.models import SUCCESSES, Level, Outcome, Result, Row
from bulkupdate.reader import Input

if TYPE_CHECKING:
    from bulkupdate.stop import Stop

#: Number of unsuccessful rows to show to the user: the last ones.
_RECENT = 5

#: Outcomes of unsuccessful rows that wait for no request: their lines may come before those of
#: earlier rows of the task.
_UNSENT = frozenset({Outcome.INVALID, Outcome.CONFLICT})


class Recorder:
    """Writer of results in a run directory. Create one with `Recorder.open`.

    Args:
        directory: the run directory.
        source: the input of the rows.
        stop: the signal to stop the run.
        ledger: the outcome of every row so far.
        log: the results log.
        failed: the file of failed rows.

    Attributes:
        ledger: the outcome of every row so far.
        recent: the results of the last few unsuccessful rows.
        failed_sha256: the SHA-256 of the file of failed rows, after `close`; None before.
        was_repaired: whether the log had lost its last line, or the end of it.
        notes: messages for the user, about the files.
    """

    def __init__(
        self,
        directory: RunDirectory,
        source: Input,
        stop: "Stop",
        ledger: Ledger,
        log: ResultsLog,
        failed: FailedFile,
    ) -> None:
        self.ledger = ledger
        self.recent: deque[Result] = deque(maxlen=_RECENT)
        self.failed_sha256: str | None = None
        self.was_repaired = False
        self.notes: list[str] = []
        self._directory = directory
        self._source = source
        self._stop = stop
        self._log = log
        self._failed = failed
        self._is_outdated = False
        self._last_unsent = 0

    @classmethod
    def open(
        cls, directory: RunDirectory, source: Input, stop: "Stop", left: str | None = None
    ) -> Self:
        """Read an existing log, and rebuild the file of failed rows from it.

        Args:
            directory: the run directory.
            source: the input of the rows.
            stop: the signal that ends the read early.
            left: the SHA-256 of the file of failed rows at the end of the last session, or None if
                unknown.

        Returns:
            The recorder. Its notes are about problems in the files of an earlier session.

        Raises:
            JournalError: the directory can't be written, or the log can't be read.
            RunStoppedError: the stop was set.
        """
        ledger, notes, repaired = Ledger(), list[str](), None
        results = directory.files.results
        if note := directory.forget_report():
            notes.append(note)
        if results.exists():
            repaired = repair_journal(results)
            notes += [repaired] if repaired else []
            with CheckedRows(directory.files.digests) as checked:
                for marks in read_marks(results, checked):
                    ledger.record(*marks)
                    stop.check()
        with contextlib.ExitStack() as opening:
            log = ResultsLog(results)
            opening.callback(log.close)
            failed = rebuild_failed(directory, source, ledger, left, stop, Level.DRAIN, notes)
            opening.pop_all()
        recorder = cls(directory, source, stop, ledger, log, failed)
        recorder.was_repaired = repaired is not None
        recorder.notes = notes
        return recorder

    def record(self, settled: list[tuple[Row, Result]]) -> None:
        """Write settled rows to the log, so that a crash of this process can't lose them.

        Raises:
            JournalError: the rows could not be written. None of them is in the log.
        """
        results = [result for _, result in settled]
        self._log.append(results)
        self._is_outdated |= self.ledger.record(*results)

    def take(self, results: list[Result]) -> None:
        """Write results whose rows are not at hand. `close` makes the file of failed rows.

        Raises:
            JournalError: they could not be written. None of them is in the log.
        """
        self._log.append(results)
        self.ledger.record(*results)
        unsuccessful = [one for one in results if one.outcome not in SUCCESSES]
        self.recent.extend(unsuccessful)
        self._is_outdated = True

    def list_failed(self, settled: list[tuple[Row, Result]]) -> None:
        """Write the unsuccessful rows to the file of failed rows.

        Raises:
            JournalError: a row could not be written. Resuming the run rebuilds the file.
        """
        for row, result in settled:
            if result.outcome in SUCCESSES:
                continue
            self.recent.append(result)
            if result.outcome in _UNSENT:
                self._last_unsent = max(self._last_unsent, row.number)
            # In the file, the order of the rows of a task is that of the input, so that the last of
            # them wins.
            self._is_outdated |= row.number < self._last_unsent
            try:
                self._failed.append(row, result)
            except JournalError:
                # An editor may have saved the file. It can be rebuilt, so the run need not stop.
                if self._failed.is_ours:
                    raise
                self._is_outdated = True

    @property
    def causes(self) -> list[Cause]:
        """The causes of the rows in the file of failed rows."""
        return self._failed.causes.listed()

    def sync(self) -> None:
        """Write the log to the disk.

        Raises:
            JournalError: the disk did not confirm the log.
        """
        self._log.sync()

    def close(self) -> None:
        """Write everything to the disk, and close all files.

        Raises:
            JournalError: the log is not safe on disk, or the file of failed rows is out of date.
            RunStoppedError: an abort ended the rebuild of the file of failed rows.
        """
        with contextlib.ExitStack() as closing:
            closing.callback(lambda: self._failed.close())
            closing.callback(self._log.close)
            self._log.sync()
            self._log.check()
            self._log.check_place()
            if not self._is_outdated and self._stop.level < Level.ABORT:
                self._is_outdated = not self._failed.finish(lambda: self._stop.check(Level.ABORT))
            if self._is_outdated and self._stop.level < Level.ABORT:
                # Some rows in the file of failed rows have a new outcome.
                left = self._failed.sha256
                self._failed.close()
                self._failed = rebuild_failed(
                    self._directory,
                    self._source,
                    self.ledger,
                    left,
                    self._stop,
                    Level.ABORT,
                    self.notes,
                )
            self.failed_sha256 = self._failed.sha256
