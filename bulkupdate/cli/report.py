"""The command `bulkupdate report`."""

import os
import sys
from pathlib import Path

import click
import cloup

from bulkupdate.cli.command import Command, option
from bulkupdate.cli.options import json_option, quiet_option, zone_names
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.screen import Screen
from bulkupdate.errors import ConfigError, setting
from bulkupdate.journal import RunFiles, holds_run

_EXAMPLES = (
    ("bulkupdate report edits.run", "write the report into edits.run"),
    ("bulkupdate report edits.run --output edits.html", "write another file"),
    ("bulkupdate report runs", "write one page about all runs in the folder: runs/nights.html"),
)


@cloup.command("report", cls=Command, examples=_EXAMPLES)
@cloup.argument(
    "directories",
    metavar="RUN_DIR...",
    type=click.Path(path_type=Path),
    nargs=-1,
    required=True,
)
@cloup.option_group(
    "What is written",
    option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File to write.  [default: in RUN_DIR, or in the folder]",
    ),
    option(
        "--timezone",
        metavar="ZONE",
        shell_complete=zone_names,
        help="Time zone of a page of many runs.  [default: that of the newest, else UTC]",
    ),
    json_option,
    quiet_option,
)
def report_command(
    directories: tuple[Path, ...],
    output: Path | None,
    timezone: str | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the results of a run as one HTML file, with charts; or of many runs.

    The run may have ended, been killed, or be in progress. The file needs no network and no other
    file. It contains the sent values of the rows that did not succeed, and the first changes. A
    table of all changes is written beside it: changes.csv, or NAME.changes.csv for NAME.html.

    Several run directories, or a folder that holds some, make one page of many nights: nights.html
    in that folder. It has a calendar, a line for each run with a link to its own report where it
    has one, who got and gave tasks, the rules, and what failed and why. Directories that hold no
    run, or a damaged one, are named in it. An earlier page is replaced, and no other file.

    Exits with 0 if the report is written, whatever became of the run; with 2 if RUN_DIR holds no
    run or FILE is refused; and with 3 if the run can't be read, or the report or stdout can't be
    written.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():
        from bulkupdate.report import write_nights, write_report

        if len(directories) > 1 or _is_folder(directories[0]):
            if output is not None:
                check_output("output", output)
            path = write_nights(directories, output, timezone=timezone)
        else:
            if timezone is not None:
                raise ConfigError(f"{setting('timezone')} is for a page of many runs")
            if output is not None and not _is_own_report(output, directories[0]):
                check_output("output", output)
            path = write_report(directories[0], output)
        screen.say(f"report: {path}")
        if as_json:
            sys.exit(screen.result({"report": str(path)}))


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder that may hold run directories, and no run directory itself."""
    try:
        if holds_run(path) or RunFiles(path).results.exists():
            return False
        return any(os.path.lexists(RunFiles(one).summary) for one in path.iterdir())
    except OSError:
        return False  # The report of a run says what is wrong with it.


def _is_own_report(output: Path, directory: Path) -> bool:
    """Whether the file is the one that the command writes without `--output`."""
    return not output.is_symlink() and output.resolve() == RunFiles(directory).report.resolve()
