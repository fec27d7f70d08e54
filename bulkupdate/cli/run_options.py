"""The flags of `bulkupdate run`, in the groups of its help."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
import cloup

from bulkupdate.cli.command import option, typed_option
from bulkupdate.cli.comparing import max_changes_option, skip_invalid_option, unlisted_option
from bulkupdate.cli.connection import (
    ConnectionFlags,
    api_key_file_option,
    base_url_option,
    give_up_option,
    proxy_option,
    timeout_option,
)
from bulkupdate.cli.database import dsn_file_option
from bulkupdate.cli.options import (
    ReadingFlags,
    Setting,
    accounts_options,
    json_option,
    quiet_option,
    rate_option,
    reading_options,
)
from bulkupdate.cli.sharedlimit import shared_limit_option
from bulkupdate.engine.settings import MAX_WORKERS
from bulkupdate.lemlist.rate import Rate
from bulkupdate.session.deadline import deadline
from bulkupdate.session.settings import ChangeLimit, FailureLimit

Function = TypeVar("Function", bound=Callable[..., Any])

EXAMPLES = (
    ("bulkupdate run edits.csv --sandbox", "send to a sandbox on this machine"),
    ("bulkupdate run edits.csv --first 10", "send ten rows, and check them in lemlist"),
    ("bulkupdate run edits.csv --resume", "send the rest"),
    ("bulkupdate run edits.csv --resume --retry-failed", "try failed rows again"),
)


@dataclass(frozen=True, kw_only=True)
class RunFlags(ReadingFlags, ConnectionFlags):
    """The flags of `bulkupdate run`."""

    out: Path | None
    resume: bool
    overwrite: bool
    retry_failed: bool
    changed_input: bool
    changed_key: bool
    same_team: bool
    sandbox: bool
    dry_run: bool
    first: int | None
    skip_invalid: bool
    yes: bool
    compare: bool
    unlisted: Literal["conflict", "send"]
    max_age: float
    max_changes: ChangeLimit | None
    allow_few: bool
    rate: Rate
    shared_limit: bool
    dsn_file: Path | None
    workers: int
    max_attempts: int
    timeout: float
    deadline: datetime | None
    max_failures: FailureLimit | None
    max_failures_total: FailureLimit | None
    give_up_after: float
    drain_timeout: float
    strict: bool
    as_json: bool
    report: bool
    metrics_file: Path | None
    log_format: str
    verbose: int
    quiet: bool


max_attempts_option = option(
    "--max-attempts",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Most attempts for one row. Answers with status 429 do not count.",
)
workers_option = option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=16,
    show_default=True,
    metavar="N",
    help="Most requests in flight.",
)
max_failures_option = option(
    "--max-failures",
    type=Setting("failures", FailureLimit.parse),
    metavar="N|N%",
    help="Stop after N unsuccessful rows; or after N% of the sent rows, once 100 are sent."
    " With --accounts, each account for itself.",
)
strict_option = option(
    "--strict",
    is_flag=True,
    help="Exit with 1 if a returned Task has other values than the sent ones.",
)
drain_timeout_option = option(
    "--drain-timeout",
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds that requests in flight get to end when the run is stopped.",
)
log_format_option = option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of messages when stderr is not a terminal.",
)
metrics_file_option = option(
    "--metrics-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write progress and results to FILE, for Prometheus' node exporter.",
)
allow_few_option = option(
    "--allow-few",
    is_flag=True,
    help="Accept a server that lists no task, or less than half of what it listed before.",
)
same_team_option = option(
    "--same-team",
    is_flag=True,
    help="Send to two accounts of one team: rows of one task may go out of order.",
)
yes_option = typed_option(
    "--yes",
    is_flag=True,
    help="Complete tasks and empty fields without the question that a terminal gets.",
)

_GROUPS = (
    cloup.option_group(
        "Where results go",
        option(
            "--out",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Run directory.  [default: INPUT's name with the suffix .run]",
        ),
        option(
            "--resume",
            is_flag=True,
            help="Continue the run in the run directory, or begin it if nothing was sent.",
        ),
        option("--overwrite", is_flag=True, help="Empty the run directory, and start a new run."),
        option(
            "--retry-failed",
            is_flag=True,
            help="With --resume: also try failed, unconfirmed and conflicting rows again.",
        ),
        option(
            "--changed-input",
            is_flag=True,
            help="With --resume: continue even if INPUT has been edited.",
        ),
        option(
            "--changed-key",
            is_flag=True,
            help="With --resume: continue with another key, if its team can't be told.",
        ),
    ),
    cloup.option_group(
        "Where edits go",
        base_url_option,
        api_key_file_option,
        option(
            "--sandbox",
            is_flag=True,
            help="Send to a local sandbox that has the tasks of INPUT.",
        ),
        proxy_option,
    ),
    accounts_options,
    cloup.option_group(
        "What is sent",
        option(
            "--dry-run", is_flag=True, help="Check INPUT and show the requests, but send nothing."
        ),
        option(
            "--first",
            type=click.IntRange(min=1),
            metavar="N",
            help="Send N rows (of each account), then stop. --resume sends the rest, or N more.",
        ),
        skip_invalid_option,
        same_team_option,
        yes_option,
    ),
    cloup.option_group(
        "How INPUT is compared with the tasks",
        option(
            "--compare",
            is_flag=True,
            help="Read the tasks first, send only what differs, and keep what is overwritten.",
        ),
        unlisted_option,
        max_changes_option,
        option(
            "--max-age",
            default=1800.0,
            show_default=True,
            metavar="S",
            help="Seconds after which the tasks are read again.",
        ),
        allow_few_option,
    ),
    reading_options,
    cloup.option_group(
        "How fast, and how often",
        rate_option,
        shared_limit_option,
        dsn_file_option,
        workers_option,
        max_attempts_option,
        timeout_option,
    ),
    cloup.option_group(
        "When to stop",
        option(
            "--deadline",
            type=Setting("deadline", deadline),
            metavar="HH:MM|+2h",
            help="Time by which the run ends, by this machine's clock. --resume sends the rest.",
        ),
        max_failures_option,
        option(
            "--max-failures-total",
            type=Setting("failures", FailureLimit.parse),
            metavar="N|N%",
            help="With --accounts: the same for all of them together.",
        ),
        give_up_option,
        drain_timeout_option,
        strict_option,
    ),
    cloup.option_group(
        "What is printed",
        json_option,
        option(
            "--report",
            is_flag=True,
            help="Write a report for people to the run directory.",
        ),
        metrics_file_option,
        log_format_option,
        option("-v", "--verbose", count=True, help="Log retries; -vv logs every request."),
        quiet_option,
    ),
)


def run_options(function: Function) -> Function:
    """Add the flags to the command."""
    for group in reversed(_GROUPS):
        function = group(function)
    return function
