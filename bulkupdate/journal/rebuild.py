"""Rebuild the file of failed rows from the results log and the input."""

import bisect
import itertools
import tempfile
from array import array
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from bulkupdate.codec import parse_record
from bulkupdate.errors import InputError, JournalError
from bulkupdate.journal.directory import RunDirectory
from bulkupdate.journal.failed import FailedFile
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.results import line_offsets, read_lines
from bulkupdate.models import SUCCESSES, Level, Mark, Result
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
            _copy(files.results, source, ledger.unsuccessful_lines(), failed, stop, at)
        failed.finish(lambda: stop.check(at))

        def is_edited() -> bool:
            return _differs(path, part) and _differs_from_log(path, files.results, source, stop, at)

        notes += directory.keep_edited(path, left, is_edited)
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


def _differs_from_log(path: Path, results: Path, source: Input, stop: "Stop", at: Level) -> bool:
    """Whether a file holds a line that no result in the log has led to.

    A session that was killed leaves lines of rows that have another outcome by now.
    """
    if not results.exists():
        return True
    marks = itertools.chain.from_iterable(read_lines(results, Mark))
    lines = [
        (number, mark.row) for number, mark in enumerate(marks, 1) if mark.outcome not in SUCCESSES
    ]
    with tempfile.TemporaryDirectory() as folder:
        failed = FailedFile(Path(folder) / path.name, source)
        try:
            _copy(results, source, lines, failed, stop, at)
            failed.finish(lambda: stop.check(at))
            return _differs(path, Path(folder) / path.name)
        finally:
            failed.close()


def _copy(
    results: Path,
    source: Input,
    lines: list[tuple[int, int]],
    failed: FailedFile,
    stop: "Stop",
    at: Level,
) -> None:
    """Write rows with their results, from lines of the log: the number of each, and its row."""
    if not lines:
        return
    if source.has_changed():
        raise JournalError(f"the failed rows can't be listed: {source.name} has changed")
    offsets = line_offsets(results, (line for line, _ in lines))
    wanted = deque(sorted((row, start) for (_, row), start in zip(lines, offsets, strict=True)))
    try:
        with results.open("rb") as log:
            for row in source.rows():
                if not row.number % _BATCH:
                    stop.check(at)
                while wanted and wanted[0][0] == row.number:
                    log.seek(wanted.popleft()[1])
                    failed.append(row, parse_record(log.readline(), Result))
                if not wanted:
                    break
    except (OSError, ValueError, InputError) as error:
        raise JournalError(f"the failed rows can't be listed: {error}") from error
