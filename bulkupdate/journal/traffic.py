"""The traffic log: the requests, retries and 429s of every few seconds of a run."""

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec

from bulkupdate.codec import parse_record, to_lines
from bulkupdate.errors import JournalError
from bulkupdate.journal.files import AppendOnlyFile

log = logging.getLogger(__name__)

#: Length of the first sample of a session, and the longest length, in seconds.
SHORTEST_SAMPLE = 1.0
LONGEST_SAMPLE = 5.0

#: Length of a sample as a share of the time since the session began, between these two.
_SHARE = 1 / 60


def sample_length(elapsed: float) -> float:
    """The length of the next sample, in seconds, after `elapsed` seconds of a session."""
    return min(LONGEST_SAMPLE, max(SHORTEST_SAMPLE, elapsed * _SHARE))


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic in some seconds of a run: one line of `traffic.jsonl`.

    Attributes:
        at: end of these seconds, UTC, ISO 8601 with milliseconds.
        seconds: number of seconds.
        rows: number of rows settled.
        requests: number of requests sent, with retries.
        retries: number of requests that were not the first of their row.
        rate_limited: number of 429 responses.
        allowed_rate: requests per second that the limiter allowed at the end; None for any number.
        waiting_for: the reason why no request started at the end, or None.
    """

    at: str
    seconds: float
    rows: int
    requests: int
    retries: int
    rate_limited: int
    allowed_rate: float | None
    waiting_for: str | None = None


class TrafficLog:
    """The traffic log of a run, open for appending.

    Only the charts of a report use the samples. If they can't be written, the run continues with a
    warning in the log.

    Args:
        path: the path of the file. A new file is created for its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self._file: AppendOnlyFile | None = None
        self._is_whole = True
        try:
            self._file = AppendOnlyFile(path)
            self._is_whole = _ends_whole(path)
        except (JournalError, OSError) as error:
            self._give_up(error)

    def append(self, sample: Sample) -> None:
        """Write a sample."""
        if self._file is None:
            return
        try:
            self._file.write((b"" if self._is_whole else b"\n") + to_lines([sample]))
            self._is_whole = True
        except JournalError as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _give_up(self, error: Exception) -> None:
        log.warning("%s: a report will not show the requests from now on", error)
        self.close()
        self._file = None


def read_samples(path: Path) -> Iterator[Sample]:
    """Read the samples in a file. Without such a file, there are none.

    An incomplete line, which a crash may leave, is skipped.

    Raises:
        JournalError: the file can't be read.
    """
    try:
        with path.open("rb") as lines:
            for line in lines:
                try:
                    sample = parse_record(line, Sample)
                    datetime.fromisoformat(sample.at)
                except ValueError:
                    continue
                yield sample
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error


def _ends_whole(path: Path) -> bool:
    """Whether the last line of a file has its line end."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - 1))
        return file.read(1) in (b"\n", b"")
