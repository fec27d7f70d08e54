"""How a run stands or ended: the content of `summary.json`."""

from pathlib import Path

import msgspec

from bulkupdate.codec import parse_record
from bulkupdate.errors import RunDirectoryError
from bulkupdate.journal.causes import Cause
from bulkupdate.journal.runfiles import RunFiles
from bulkupdate.models import Reason, State
from bulkupdate.reader import InputInfo


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, and what it did: the content of `summary.json`.

    Attributes:
        version: of bulkupdate.
        input: what was read.
        directory: the run directory.
        base_url: where the edits went.
        sandbox: whether that was a stand-in which ended with the run.
        started: when this session began, UTC.
        ended: when it ended, UTC, or None while it is under way.
        state: how it ended.
        reason: why it stopped, in words, or None.
        stopped_by: the same as one of the known reasons.
        exit_code: what the command line exits with.
        counts: rows of the input by outcome, and `unprocessed`; they add up to `input.rows`.
        mismatches: updated rows whose Task came back with another value than was sent.
        requests: sent in this session, retries included.
        retries: requests of this session that were not their row's first.
        rate_limited: answers of this session that were a 429.
        rows_per_second: rows settled by this session, over its length.
        allowed_rate: requests per second that the limiter allowed at the end; None for any number.
        used_rate: requests per second that this session sent.
        paused: seconds that 429s held everything back in this session.
        resumed: whether this session went on with an earlier one.
        problems: why rows did not succeed, each cause once, the most frequent first.
        failed_sha256: of the file of failed rows as this session left it, or None while it is
            under way.
    """

    version: str
    input: InputInfo
    directory: str
    base_url: str
    started: str
    ended: str | None
    state: State
    reason: str | None
    exit_code: int | None
    counts: dict[str, int]
    mismatches: int
    requests: int
    retries: int
    rate_limited: int
    rows_per_second: float
    allowed_rate: float | None
    used_rate: float
    paused: float
    resumed: bool
    failed_sha256: str | None = None
    sandbox: bool = False
    stopped_by: Reason | None = None
    problems: list[Cause] = []


def read_summary(directory: Path) -> Summary:
    """The summary of the run in a directory.

    Raises:
        RunDirectoryError: there is no run, or its summary can't be read.
    """
    path = RunFiles(directory).summary
    try:
        return parse_record(path.read_bytes(), Summary)
    except FileNotFoundError:
        raise RunDirectoryError(f"{directory}: there is no run: it has no {path.name}") from None
    except NotADirectoryError:
        raise RunDirectoryError(f"{directory} is a file: name the run directory") from None
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise RunDirectoryError(
            f"{path} was not written by bulkupdate ({error}): choose another directory"
        ) from error
