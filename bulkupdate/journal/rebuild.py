"""Rebuild the file of failed rows from the results log and the input."""

import bisect
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from bulkupdate.codec import parse_record
from bulkupdate.errors import InputError, JournalError
from bulkupdate.journal.directory import RunDirectory
from bulkupdate.journal.failed import FailedFile
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.results import line_offsets
from bulkupdate.models import Level, Result
from bulkupdate.reader import Input, file_lines

if TYPE_CHECKING:
    from bulkupdate.stop import Stop

#: Number of rows of an input to read between two checks of the stop.
_BATCH = 4096


def rebuild_failed(
    directory: RunDirectory,
    source: Input,
    ledger: Ledger,
    left: str | None,
    stop: "Stop",
    at: Level,
    notes: list[str],
) -> FailedFile:
    """Rebuild the file of failed rows from the log, in the order of the input.

    The new file replaces the earlier one when it is complete. An earlier file that a user has
    edited is kept under another name.

    Args:
        directory: the directory of the run.
        source: the input of the rows.
        ledger: the outcome of every row.
        left: the SHA-256 of the file at the end of the last session, or None if unknown.
        stop: the signal that ends the rebuild early.
        at: the level of the stop that ends it.
        notes: takes messages for the user.

    Returns:
        The file, open for appending.

    Raises:
        JournalError: the file can't be written. The earlier one is unchanged.
        RunStoppedError: the stop ended the rebuild.
    """
    files = directory.files
    path, part = files.failed(source.format), files.failed_part(source.format)
    failed = FailedFile(part, source)
    try:
        if ledger.unsuccessful:
            _copy(files.results, source, ledger, failed, stop, at)
        failed.finish(lambda: stop.check(at))
        notes += directory.keep_edited(path, left, lambda: _differs(path, part))
        failed.rename(path)
    except BaseException as error:
        failed.close()
        if isinstance(error, OSError):
            raise JournalError(f"{part} can't be written: {error.strerror}") from error
        raise
    return failed


def _differs(path: Path, part: Path) -> bool:
    """Whether a file holds any line that the new one lacks, or can't be compared.

    A file that no user has edited holds the same lines in another order. After a crash, it may lack
    some of them.
    """
    try:
        known = array("q", sorted(map(hash, file_lines(part))))
        for line in file_lines(path):
            index = bisect.bisect_left(known, hash(line))
            if index == len(known) or known[index] != hash(line):
                return True
    except InputError:
        return True  # A workbook that can't be read can't be compared, so the earlier one is kept.
    return False


def _copy(
    results: Path, source: Input, ledger: Ledger, failed: FailedFile, stop: "Stop", at: Level
) -> None:
    """Write the unsuccessful rows with their results from the log."""
    if source.has_changed():
        raise JournalError(f"the failed rows can't be listed: {source.name} has changed")
    lines = ledger.unsuccessful_lines()
    offsets = line_offsets(results, (line for line, _ in lines))
    of_row = dict(zip((row for _, row in lines), offsets, strict=True))
    last_row = max(of_row)
    try:
        with results.open("rb") as log:
            for row in source.rows():
                if not row.number % _BATCH:
                    stop.check(at)
                if row.number in of_row:
                    log.seek(of_row[row.number])
                    failed.append(row, parse_record(log.readline(), Result))
                if row.number == last_row:
                    break
    except (OSError, ValueError, InputError) as error:
        raise JournalError(f"the failed rows can't be listed: {error}") from error
