"""How a run stands or ended: the content of `summary.json`."""

import enum
from typing import Any

import msgspec

from bulkupdate.journal.causes import Cause


class State(enum.StrEnum):
    """How a run stands."""

    RUNNING = "running"
    """Under way; or killed, where no process holds the run directory any more."""

    FINISHED = "finished"
    """Every row has its outcome."""

    STOPPED = "stopped"
    """The run gave up before the end: the reason says why."""

    INTERRUPTED = "interrupted"
    """A signal ended it."""


class InputInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, and how.

    Attributes:
        path: as it was given, or `-`.
        sha256: of its bytes, in hexadecimal.
        rows: how many it holds.
        format: `csv`, `tsv`, `jsonl`, `xlsx`, `xls` or `ods`.
        encoding: by Python's name, `utf-8-sig` with a byte order mark; None for a spreadsheet.
        delimiter: between the cells of a row; None where there is none.
        compression: `gzip`, `bzip2`, `xz` or None.
        sheet: of a spreadsheet.
        columns: what was read as which field: column → field. Empty for JSONL.
        passed_over: columns that were not read.
        options: what the user said of the input, as far as it decides what is sent.
        now: what relative dates were counted from, UTC.
    """

    path: str
    sha256: str
    rows: int
    format: str
    encoding: str | None
    delimiter: str | None
    compression: str | None = None
    sheet: str | None = None
    columns: dict[str, str] = {}
    passed_over: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    now: str | None = None


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
        reason: why it stopped, or None.
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
    problems: list[Cause] = []
