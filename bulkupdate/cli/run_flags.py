"""The flags of `bulkupdate run`, in the groups that its help shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bulkupdate.cli.options import (
    READING_GROUP,
    Setting,
    json_option,
    merge_option,
    quiet_option,
    rate_option,
    reading_options,
)
from bulkupdate.config import (
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    MAX_WORKERS,
    FailureLimit,
)
from bulkupdate.session.deadline import deadline

Command = TypeVar("Command", bound=Callable[..., Any])

GROUPS = {
    "Where results go": (
        "--out", "--resume", "--overwrite", "--retry-failed", "--changed-input",
    ),
    "Where edits go": ("--base-url", "--api-key-file", "--sandbox", "--proxy"),
    "What is sent": ("--dry-run", "--first", "--skip-invalid"),
    **READING_GROUP,
    "How fast, and how often": ("--rate", "--workers", "--max-attempts", "--timeout"),
    "When to stop": (
        "--deadline", "--max-failures", "--give-up-after", "--drain-timeout", "--strict",
    ),
    "What is said": (
        "--json", "--report", "--metrics-file", "--log-format", "--verbose", "--quiet",
    ),
}  # fmt: skip

EXAMPLES = (
    ("bulkupdate run edits.csv --sandbox", "try it on a stand-in on this machine"),
    ("bulkupdate run edits.csv --first 10", "send ten rows, to look at them in lemlist"),
    ("bulkupdate run edits.csv --resume", "go on with the rest"),
    ("bulkupdate run edits.csv --resume --retry-failed", "try again what failed"),
)


_FLAGS = (
    reading_options,
    merge_option,
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The run directory.  [default: INPUT's name with .run for its suffix]",
    ),
    click.option("--resume", is_flag=True, help="Go on with the run that is there."),
    click.option("--overwrite", is_flag=True, help="Start the run that is there again."),
    click.option(
        "--retry-failed",
        is_flag=True,
        help="With --resume: also try again what failed or stayed unconfirmed.",
    ),
    click.option(
        "--changed-input",
        is_flag=True,
        help="With --resume: go on though INPUT has been edited since.",
    ),
    click.option(
        "--base-url",
        metavar="URL",
        help=f"Where to send.  [default: ${BASE_URL_VARIABLE}, else {DEFAULT_BASE_URL}]",
    ),
    click.option(
        "--api-key-file",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="A file that holds the API key.  [default: the key in $LEMLIST_API_KEY]",
    ),
    click.option(
        "--sandbox", is_flag=True, help="Send to a local stand-in that holds the tasks of INPUT."
    ),
    rate_option,
    click.option(
        "--workers",
        type=click.IntRange(1, MAX_WORKERS),
        default=16,
        show_default=True,
        metavar="N",
        help="Requests in flight at most.",
    ),
    click.option(
        "--max-attempts",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        metavar="N",
        help="Attempts for one row; being rate limited does not count.",
    ),
    click.option(
        "--timeout", default=30.0, show_default=True, metavar="S", help="Seconds for one attempt."
    ),
    click.option(
        "--drain-timeout",
        default=30.0,
        show_default=True,
        metavar="S",
        help="Seconds that requests in flight get to end when the run is stopped.",
    ),
    click.option(
        "--give-up-after",
        default=600.0,
        show_default=True,
        metavar="S",
        help="Seconds to wait for a server that is down.",
    ),
    click.option(
        "--deadline",
        type=Setting("deadline", deadline),
        metavar="HH:MM|+2h",
        help="When all is to be over, by this machine's clock; --resume goes on with the rest.",
    ),
    click.option(
        "--max-failures",
        type=Setting("failures", FailureLimit.parse),
        metavar="N|N%",
        help="Stop once so many rows did not go through, or such a share of 100 or more.",
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Exit with 1 if a Task comes back with other values than sent.",
    ),
    click.option("--proxy", is_flag=True, help="Obey HTTPS_PROXY and its like."),
    click.option(
        "--skip-invalid", is_flag=True, help="Send the valid rows of a file that has invalid ones."
    ),
    click.option(
        "--first",
        type=click.IntRange(min=1),
        metavar="N",
        help="Send N rows and stop; --resume goes on from there.",
    ),
    click.option("--dry-run", is_flag=True, help="Check everything, show it, send nothing."),
    json_option,
    click.option(
        "--report", is_flag=True, help="Write report.html to the run directory, for people to read."
    ),
    click.option(
        "--metrics-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write how it stands and ends to FILE, for Prometheus' node exporter.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="What goes to stderr when nobody watches.",
    ),
    click.option("-v", "--verbose", count=True, help="Say what is retried; twice: every request."),
    quiet_option,
)


def run_flags(command: Command) -> Command:
    """Give the command its flags."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command
