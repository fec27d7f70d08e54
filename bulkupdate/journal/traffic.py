"""What was sent when: the requests, retries and 429s of every few seconds of a run."""

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

#: Seconds that a sample of a run's beginning stands for, and the most that one stands for.
SHORTEST_SAMPLE = 1.0
LONGEST_SAMPLE = 5.0

#: A sample stands for such a share of the time that the session has lasted, within these two.
_SHARE = 1 / 60


def sample_length(elapsed: float) -> float:
    """How long the next sample is to be, in seconds, once a session has lasted `elapsed`."""
    return min(LONGEST_SAMPLE, max(SHORTEST_SAMPLE, elapsed * _SHARE))


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in some seconds of a run: one line of `traffic.jsonl`.

    Attributes:
        at: when they ended, UTC, ISO 8601 with milliseconds.
        seconds: how many.
        rows: that were settled in them.
        requests: that were sent in them, retries included.
        retries: those that were not their row's first.
        rate_limited: answers that were a 429.
        allowed_rate: requests per second that the limiter allowed at their end; None for any.
        waiting_for: why nothing started at their end, or None.
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
    """The samples of a run, open for appending.

    Charts are drawn of them, and nothing is decided by them: where they can't be written, the run
    goes on, and a warning is logged.

    Args:
        path: where; created for its owner alone where it is not there.
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
        """Write one down."""
        if self._file is None:
            return
        try:
            self._file.write((b"" if self._is_whole else b"\n") + to_lines([sample]))
            self._is_whole = True
        except JournalError as error:
            self._give_up(error)

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _give_up(self, error: Exception) -> None:
        log.warning("%s: a report will not show what was sent from here on", error)
        self.close()
        self._file = None


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples in a file, those of a run before they were kept being none.

    A line that a crash has torn is passed over.

    Raises:
        JournalError: it can't be read.
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
    """Whether the last line has its line end."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - 1))
        return file.read(1) in (b"\n", b"")
