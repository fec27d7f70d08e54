"""Where results go: the log, the ledger of what is settled, and the file of failed rows."""

from array import array
from pathlib import Path

from bulkupdate.directory import RunDirectory
from bulkupdate.errors import JournalError
from bulkupdate.failed import FailedFile
from bulkupdate.journal import Journal, mend_journal, read_journal
from bulkupdate.ledger import Ledger
from bulkupdate.models import SUCCESSES, Result, Row, parse_record
from bulkupdate.reader import Input


class Recorder:
    """Writes down what became of rows, in a run directory.

    Args:
        directory: where; a log that is there is read and gone on with.
        source: the input that the rows are from.

    Attributes:
        ledger: the outcome of every row so far.
        note: what had to be mended in an earlier log, for a person to read, or None.

    Raises:
        JournalError: the directory can't be written, or the log there not read.
    """

    def __init__(self, directory: RunDirectory, source: Input) -> None:
        self._source = source
        self._log_path = directory.results
        self._failed_path = directory.failed(source.format)
        self._rewritten = False
        self.ledger = Ledger()
        self.note: str | None = None
        if self._log_path.exists():
            self.note = mend_journal(self._log_path)
            for _, result in read_journal(self._log_path):
                self.ledger.record(result)
        self._journal = Journal(self._log_path)
        try:
            self._failed = self._failed_file()
        except BaseException:
            self._journal.close()
            raise

    def record(self, settled: list[tuple[Row, Result]]) -> None:
        """Write down settled rows, so that a crash of this process can't lose them.

        Raises:
            JournalError: they could not be written; the ledger knows which are in the log.
        """
        self._journal.append(result for _, result in settled)
        for _, result in settled:
            self._rewritten |= self.ledger.outcome(result.row) is not None
            self.ledger.record(result)
        for row, result in settled:
            if result.outcome not in SUCCESSES:
                self._failed.append(row, result)

    def sync(self) -> None:
        """Have the disk confirm the log.

        Raises:
            JournalError: it did not.
        """
        self._journal.sync()

    def close(self) -> None:
        """Confirm and close everything.

        Raises:
            JournalError: the last lines are not safe on disk.
        """
        try:
            self._journal.sync()
            if self._rewritten:
                # Rows that were in the file of failed rows have a new outcome now.
                self._failed.close()
                self._failed = self._failed_file()
        finally:
            self._failed.close()
            self._journal.close()

    def _failed_file(self) -> FailedFile:
        """The file of failed rows, holding those that the log knows of, in the input's order."""
        failed = FailedFile(self._failed_path, self._source)
        try:
            if self.ledger.unsuccessful:
                _copy_failed(self._source, self._log_path, self.ledger, failed)
        except BaseException:
            failed.close()
            raise
        return failed


def _copy_failed(source: Input, log_path: Path, ledger: Ledger, failed: FailedFile) -> None:
    # The offset of each row's last line in the log: eight bytes a row.
    offsets = array("q")
    for offset, result in read_journal(log_path):
        if result.row > len(offsets):
            offsets.extend([-1] * (result.row - len(offsets)))
        offsets[result.row - 1] = offset
    try:
        with log_path.open("rb") as log:
            for row in source.rows():
                outcome = ledger.outcome(row.number)
                if outcome is not None and outcome not in SUCCESSES:
                    log.seek(offsets[row.number - 1])
                    failed.append(row, parse_record(log.readline(), Result))
    except (OSError, ValueError) as error:
        raise JournalError(f"{log_path} can't be read back: {error}") from error
