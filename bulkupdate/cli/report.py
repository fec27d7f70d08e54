"""The command `bulkupdate report`."""

import sys
from pathlib import Path

import click
import cloup

from bulkupdate.cli.command import Command, option
from bulkupdate.cli.options import json_option, quiet_option
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.screen import Screen
from bulkupdate.journal import RunFiles

_EXAMPLES = (
    ("bulkupdate report edits.run", "write the report into edits.run"),
    ("bulkupdate report edits.run --output edits.html", "write another file"),
)


@cloup.command("report", cls=Command, examples=_EXAMPLES)
@cloup.argument("directory", metavar="RUN_DIR", type=click.Path(path_type=Path))
@cloup.option_group(
    "What is written",
    option(
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File to write.  [default: in RUN_DIR]",
    ),
    json_option,
    quiet_option,
)
def report_command(directory: Path, output: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Write the results of a run as one HTML file, with charts.

    The run may have ended, been killed, or be in progress. The file needs no network and no other
    file. It contains the sent values of the rows that did not succeed, and the first changes. A
    table of all changes is written beside it: changes.csv, or NAME.changes.csv for NAME.html.

    Exits with 0 if the report is written, whatever became of the run; with 2 if RUN_DIR holds no
    run or FILE is refused; and with 3 if the run can't be read, or the report or stdout can't be
    written.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():
        from bulkupdate.report import write_report

        if output is not None and not _is_own_report(output, directory):
            check_output("output", output)
        path = write_report(directory, output)
        screen.say(f"report: {path}")
        if as_json:
            sys.exit(screen.result({"report": str(path)}))


def _is_own_report(output: Path, directory: Path) -> bool:
    """Whether the file is the one that the command writes without `--output`."""
    return not output.is_symlink() and output.resolve() == RunFiles(directory).report.resolve()
