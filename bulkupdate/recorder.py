"""Where results go: the log, the ledger of what is settled, and the file of failed rows."""

import bisect
import contextlib
from array import array
from pathlib import Path

from bulkupdate.codec import parse_record
from bulkupdate.directory import RunDirectory
from bulkupdate.errors import InputError, JournalError
from bulkupdate.failed import FailedFile
from bulkupdate.journal import Journal, mend_journal, read_journal, read_marks
from bulkupdate.ledger import Ledger
from bulkupdate.models import SUCCESSES, Result, Row
from bulkupdate.reader import Input


class Recorder:
    """Writes down what became of rows, in a run directory.

    Args:
        directory: where; a log that is there is read and gone on with.
        source: the input that the rows are from.

    Attributes:
        ledger: the outcome of every row so far.
        notes: what was found amiss in an earlier session's files, for a person to read.

    Raises:
        JournalError: the directory can't be written, or the log there not read.
    """

    def __init__(self, directory: RunDirectory, source: Input) -> None:
        self._source = source
        self._log_path = directory.results
        self._failed_path = directory.failed(source.format)
        self._is_outdated = self._is_replaced = False
        self._open = contextlib.ExitStack()
        self.ledger = Ledger()
        self.notes: list[str] = []
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
        for mark in read_marks(self._log_path):
            self.ledger.record(mark)

    def log(self, settled: list[tuple[Row, Result]]) -> None:
        """Write settled rows to the log, so that a crash of this process can't lose them.

        Raises:
            JournalError: none of them could be written.
        """
        self._journal.append(result for _, result in settled)
        for _, result in settled:
            self._is_outdated |= self.ledger.outcome(result.row) is not None
            self.ledger.record(result)

    def list_failed(self, settled: list[tuple[Row, Result]]) -> None:
        """Write those of the rows that did not succeed to the file of failed rows.

        Raises:
            JournalError: some could not be written; `--resume` makes the file again.
        """
        for row, result in settled:
            if result.outcome in SUCCESSES:
                continue
            if self._failed.is_gone:
                # Somebody has saved it in an editor, say. It can be made again: no reason to stop.
                self._is_replaced = self._is_outdated = True
            else:
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
            JournalError: the log is not safe on disk, or the file of failed rows is out of date.
        """
        with self._open:
            self._journal.sync()
            if self._is_outdated:
                # Rows that were in the file of failed rows have a new outcome now.
                self._failed.close()
                self._failed = self._failed_file(keep_previous=self._is_replaced)

    def _failed_file(self, *, keep_previous: bool = True) -> FailedFile:
        """The file of failed rows, holding those that the log knows of, in the input's order.

        It is made beside the one that is there and then takes its place. One that somebody has
        edited meanwhile is kept under another name.
        """
        suffix = self._failed_path.suffix
        part = self._failed_path.with_name(f"failed.part{suffix}")
        failed = FailedFile(part, self._source)
        try:
            if self.ledger.unsuccessful:
                _copy_failed(self._source, self._log_path, self.ledger, failed)
            if keep_previous and self._differs(part):
                previous = self._failed_path.replace(
                    self._failed_path.with_name(f"failed.previous{suffix}")
                )
                note = f"{self._failed_path} differs from what the log says: kept as {previous}"
                self.notes.append(note)
            part.replace(self._failed_path)
        except OSError as error:
            failed.close()
            raise JournalError(f"{part} can't be written: {error.strerror}") from error
        except BaseException:
            failed.close()
            raise
        return failed

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


def _copy_failed(source: Input, log_path: Path, ledger: Ledger, failed: FailedFile) -> None:
    # The offset of each row's last line in the log: eight bytes a row.
    offsets = array("q")
    for offset, result in read_journal(log_path):
        if result.row > len(offsets):
            offsets.extend([-1] * (result.row - len(offsets)))
        offsets[result.row - 1] = offset
    if source.has_changed():
        raise JournalError(f"the failed rows can't be listed: {source.name} was written to")
    try:
        with log_path.open("rb") as log:
            for row in source.rows():
                outcome = ledger.outcome(row.number)
                if outcome is not None and outcome not in SUCCESSES:
                    log.seek(offsets[row.number - 1])
                    failed.append(row, parse_record(log.readline(), Result))
    except (OSError, ValueError, InputError) as error:
        raise JournalError(f"the failed rows can't be listed: {error}") from error
