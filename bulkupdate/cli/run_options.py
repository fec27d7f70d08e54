"""The flags of `bulkupdate run`, in the groups that its help shows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import cloup

from bulkupdate.cli.command import option
from bulkupdate.cli.options import (
    Rate,
    ReadingFlags,
    Setting,
    json_option,
    quiet_option,
    rate_option,
    reading_options,
)
from bulkupdate.engine.settings import MAX_WORKERS
from bulkupdate.lemlist.endpoint import BASE_URL_VARIABLE, DEFAULT_BASE_URL
from bulkupdate.session.deadline import deadline
from bulkupdate.session.settings import FailureLimit

Function = TypeVar("Function", bound=Callable[..., Any])

EXAMPLES = (
    ("bulkupdate run edits.csv --sandbox", "try it on a stand-in on this machine"),
    ("bulkupdate run edits.csv --first 10", "send ten rows, to look at them in lemlist"),
    ("bulkupdate run edits.csv --resume", "send the rest"),
    ("bulkupdate run edits.csv --resume --retry-failed", "try again what failed"),
)


@dataclass(frozen=True, kw_only=True)
class RunFlags(ReadingFlags):
    """The flags of `bulkupdate run`."""

    out: Path | None
    resume: bool
    overwrite: bool
    retry_failed: bool
    changed_input: bool
    base_url: str | None
    api_key_file: Path | None
    sandbox: bool
    proxy: bool
    dry_run: bool
    first: int | None
    skip_invalid: bool
    rate: Rate
    workers: int
    max_attempts: int
    timeout: float
    deadline: datetime | None
    max_failures: FailureLimit | None
    give_up_after: float
    drain_timeout: float
    strict: bool
    as_json: bool
    report: bool
    metrics_file: Path | None
    log_format: str
    verbose: int
    quiet: bool


_GROUPS = (
    cloup.option_group(
        "Where results go",
        option(
            "--out",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="The run directory.  [default: INPUT's name with .run for its suffix]",
        ),
        option("--resume", is_flag=True, help="Continue the run that is there."),
        option("--overwrite", is_flag=True, help="Start the run that is there again."),
        option(
            "--retry-failed",
            is_flag=True,
            help="With --resume: also try again what failed or stayed unconfirmed.",
        ),
        option(
            "--changed-input",
            is_flag=True,
            help="With --resume: continue though INPUT has been edited since.",
        ),
    ),
    cloup.option_group(
        "Where edits go",
        option(
            "--base-url",
            metavar="URL",
            help=f"The API.  [default: ${BASE_URL_VARIABLE}, else {DEFAULT_BASE_URL}]",
        ),
        option(
            "--api-key-file",
            type=click.Path(path_type=Path),
            metavar="PATH",
            help="A file that holds the API key.  [default: the key in $LEMLIST_API_KEY]",
        ),
        option(
            "--sandbox",
            is_flag=True,
            help="Send to a local stand-in that holds the tasks of INPUT.",
        ),
        option("--proxy", is_flag=True, help="Obey HTTPS_PROXY and its like."),
    ),
    cloup.option_group(
        "What is sent",
        option("--dry-run", is_flag=True, help="Check everything, show it, send nothing."),
        option(
            "--first",
            type=click.IntRange(min=1),
            metavar="N",
            help="Send N rows and stop; --resume sends the rest.",
        ),
        option(
            "--skip-invalid",
            is_flag=True,
            help="Send the valid rows of a file that has invalid ones.",
        ),
    ),
    reading_options,
    cloup.option_group(
        "How fast, and how often",
        rate_option,
        option(
            "--workers",
            type=click.IntRange(1, MAX_WORKERS),
            default=16,
            show_default=True,
            metavar="N",
            help="Requests in flight at most.",
        ),
        option(
            "--max-attempts",
            type=click.IntRange(min=1),
            default=8,
            show_default=True,
            metavar="N",
            help="Attempts for one row; being rate limited does not count.",
        ),
        option(
            "--timeout",
            default=30.0,
            show_default=True,
            metavar="S",
            help="Seconds for one attempt.",
        ),
    ),
    cloup.option_group(
        "When to stop",
        option(
            "--deadline",
            type=Setting("deadline", deadline),
            metavar="HH:MM|+2h",
            help="When all is to be over, by this machine's clock; --resume sends the rest.",
        ),
        option(
            "--max-failures",
            type=Setting("failures", FailureLimit.parse),
            metavar="N|N%",
            help="Stop once so many rows did not go through, or such a share of 100 or more.",
        ),
        option(
            "--give-up-after",
            default=600.0,
            show_default=True,
            metavar="S",
            help="Seconds to wait for a server that is down.",
        ),
        option(
            "--drain-timeout",
            default=30.0,
            show_default=True,
            metavar="S",
            help="Seconds that requests in flight get to end when the run is stopped.",
        ),
        option(
            "--strict",
            is_flag=True,
            help="Exit with 1 if a Task comes back with other values than sent.",
        ),
    ),
    cloup.option_group(
        "What is printed",
        json_option,
        option(
            "--report",
            is_flag=True,
            help="Write report.html to the run directory, for people to read.",
        ),
        option(
            "--metrics-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Write progress and outcome to FILE, for Prometheus' node exporter.",
        ),
        option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="Format of messages when stderr is not a terminal.",
        ),
        option("-v", "--verbose", count=True, help="Log what is retried; twice: every request."),
        quiet_option,
    ),
)


def run_options(function: Function) -> Function:
    """Give the command its flags."""
    for group in reversed(_GROUPS):
        function = group(function)
    return function
