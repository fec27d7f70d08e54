"""Where results go: the log, the ledger of what is settled, and the file of failed rows."""

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Self

from bulkupdate.errors import JournalError
from bulkupdate.journal.causes import Cause
from bulkupdate.journal.directory import RunDirectory
from bulkupdate.journal.failed import FailedFile
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.rebuild import rebuild_failed
from bulkupdate.journal.results import ResultsLog, read_marks, repair_journal
from bulkupdate.models import SUCCESSES, Level, Result, Row
from bulkupdate.reader import Input

if TYPE_CHECKING:
    from bulkupdate.stop import Stop

#: Rows that did not succeed, of which a person is shown the last few.
_RECENT = 5


class Recorder:
    """Writes down what became of rows, in a run directory. `Recorder.open` makes one.

    Args:
        directory: where.
        source: the input that the rows are from.
        stop: of the run.
        ledger: the outcome of every row so far.
        log: the results log.
        failed: the file of failed rows.

    Attributes:
        ledger: as given.
        recent: the results of the last few rows that did not succeed.
        failed_sha256: of the file of failed rows, once all is closed.
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
        self._directory = directory
        self._source = source
        self._stop = stop
        self._log = log
        self._failed = failed
        self._is_outdated = False

    @classmethod
    def open(
        cls, directory: RunDirectory, source: Input, stop: "Stop", left: str | None = None
    ) -> tuple[Self, list[str]]:
        """Read the log that is there, and make the file of failed rows again from it.

        Args:
            directory: where.
            source: the input that the rows are from.
            stop: ends it early.
            left: the SHA-256 of the file of failed rows as the last session left it, if known.

        Returns:
            The recorder, and what was found wrong in an earlier session's files, for a person.

        Raises:
            JournalError: the directory can't be written, or the log there not read.
            RunStoppedError: the stop was set.
        """
        ledger, notes = Ledger(), []
        results = directory.files.results
        if note := directory.forget_report():
            notes.append(note)
        if results.exists():
            if note := repair_journal(results):
                notes.append(note)
            for marks in read_marks(results):
                ledger.record(*marks)
                stop.check()
        with contextlib.ExitStack() as opening:
            log = ResultsLog(results)
            opening.callback(log.close)
            failed, more = rebuild_failed(directory, source, ledger, left, stop, Level.DRAIN)
            opening.pop_all()
        return cls(directory, source, stop, ledger, log, failed), [*notes, *more]

    def record(self, settled: list[tuple[Row, Result]]) -> None:
        """Write settled rows to the log, so that a crash of this process can't lose them.

        Raises:
            JournalError: none of them could be written.
        """
        results = [result for _, result in settled]
        self._log.append(results)
        self._is_outdated |= self.ledger.record(*results)

    def list_failed(self, settled: list[tuple[Row, Result]]) -> None:
        """Write those of the rows that did not succeed to the file of failed rows.

        Raises:
            JournalError: some could not be written; resuming makes the file again.
        """
        for row, result in settled:
            if result.outcome in SUCCESSES:
                continue
            self.recent.append(result)
            try:
                self._failed.append(row, result)
            except JournalError:
                # An editor may have saved it, say. It can be made again: no reason to stop.
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
        self._log.sync()

    def close(self) -> list[str]:
        """Confirm and close everything.

        Returns:
            What was noticed, for a person to read.

        Raises:
            JournalError: the log is not safe on disk, or the file of failed rows is out of date.
        """
        notes: list[str] = []
        with contextlib.ExitStack() as closing:
            closing.callback(lambda: self._failed.close())
            closing.callback(self._log.close)
            self._log.sync()
            self._log.check()
            self._log.check_place()
            if self._is_outdated and self._stop.level < Level.ABORT:
                # Rows that were in the file of failed rows have a new outcome now.
                left = self._failed.sha256
                self._failed.close()
                self._failed, notes = rebuild_failed(
                    self._directory, self._source, self.ledger, left, self._stop, Level.ABORT
                )
            self.failed_sha256 = self._failed.sha256
        return notes
