"""The command `bulkupdate history`."""

import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import click
import cloup

from bulkupdate.cli.command import Command, option
from bulkupdate.cli.options import Setting, json_option, quiet_option, zone_names
from bulkupdate.cli.screen import Screen
from bulkupdate.errors import ConfigError, setting
from bulkupdate.journal import ExitCode, PastRun, Unread, age, past_runs, remove_runs
from bulkupdate.ui import past

_EXAMPLES = (
    ("bulkupdate history runs", "a line for each run in the folder, the newest last"),
    ("bulkupdate history runs --json | jq -c 'select(.end != \"done\")'", "for a program"),
    ("bulkupdate history runs --remove-older-than 30d", "remove old runs that ended well"),
)


@cloup.command("history", cls=Command, examples=_EXAMPLES)
@cloup.argument(
    "folders",
    metavar="FOLDER...",
    type=click.Path(path_type=Path),
    nargs=-1,
    required=True,
)
@cloup.option_group(
    "What is shown",
    option(
        "--timezone",
        metavar="ZONE",
        shell_complete=zone_names,
        help="Time zone of the times.  [default: that of the newest run, else UTC]",
    ),
    json_option,
    quiet_option,
)
@cloup.option_group(
    "Old runs",
    option(
        "--remove-older-than",
        type=Setting("age", age),
        metavar="AGE",
        help="Remove runs that ended with 0 longer ago: 30d, 12h, 4w.",
    ),
    option("--dry-run", is_flag=True, help="Show what would be removed."),
)
def history_command(
    folders: tuple[Path, ...],
    *,
    timezone: str | None,
    as_json: bool,
    quiet: bool,
    remove_older_than: timedelta | None,
    dry_run: bool,
) -> None:
    """List the runs in a folder: when each began, its rows, what it changed and how it ended.

    FOLDER holds run directories, or is one. Directories that hold no run, or a damaged one, are
    named on stderr. Runs with several accounts show their number, and how many of them stopped.
    With --json, each run is a JSON object on a line.

    --remove-older-than removes old runs instead. It keeps every run that has rows left or rows that
    did not go through, is in use or can't be read, and every directory with other files in it. A
    run that was removed can't be taken back with `undo`.

    Exits with 0, however the runs ended; with 2 if a flag is wrong or there is no run to show; and
    with 3 if a run can't be removed or stdout can't be written.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():
        if remove_older_than is not None:
            sys.exit(_remove(screen, folders, remove_older_than, dry_run=dry_run, as_json=as_json))
        if dry_run:
            raise ConfigError(f"{setting('dry_run')} needs {setting('remove_older_than')}")
        unread: list[Unread] = []
        runs = past.listed(past_runs(folders), unread)
        code = screen.lines(_records(runs) if as_json else _lines(runs, timezone))
        for line in past.unread_lines(unread):
            screen.say(line, "yellow")
        sys.exit(code)


def _lines(runs: Iterable[PastRun], timezone: str | None) -> Iterable[str]:
    nights = past.in_order(map(past.night_of, runs))
    clock = past.Clock.of(nights, timezone)
    return [*past.night_lines(nights, clock), past.total_line(nights)]


def _records(runs: Iterable[PastRun]) -> Iterable[str]:
    """A line of JSON for each run, the newest last."""
    from bulkupdate.codec import to_json

    found = [(run.began, str(run.path), to_json(past.night_record(run)).decode()) for run in runs]
    return [line for _, _, line in sorted(found)]


def _remove(
    screen: Screen, folders: Iterable[Path], older: timedelta, *, dry_run: bool, as_json: bool
) -> int:
    from bulkupdate.codec import to_json

    removed = list(remove_runs(folders, older, dry_run=dry_run))
    code = 0
    if as_json:
        records = (past.removal_record(one, dry_run=dry_run) for one in removed)
        code = screen.lines(to_json(record).decode() for record in records)
    else:
        for line in past.removal_lines(removed, dry_run=dry_run):
            screen.say(line)
    failed = [one for one in removed if one.has_failed]
    for one in failed:
        screen.error(f"{one.path} {one.kept}")
    return ExitCode.STOPPED if failed else code
