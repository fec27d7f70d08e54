"""`bulkupdate report`."""

from pathlib import Path

import click
import cloup

from bulkupdate.cli.command import Command, option
from bulkupdate.cli.options import json_option, quiet_option
from bulkupdate.cli.screen import Screen

_EXAMPLES = (
    ("bulkupdate report edits.run", "write edits.run/report.html"),
    ("bulkupdate report edits.run --output edits.html", "write it where others find it"),
)


@cloup.command("report", cls=Command, examples=_EXAMPLES)
@cloup.argument("directory", metavar="RUN_DIR", type=click.Path(path_type=Path))
@cloup.option_group(
    "What is written",
    option(
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File to write.  [default: report.html in RUN_DIR]",
    ),
    json_option,
    quiet_option,
)
def report_command(directory: Path, output: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Write the outcome of a run as one HTML file that anybody can read, with charts.

    The run may have ended, have been killed, or be under way. The file needs no network and no
    other file. It holds what was sent for the rows that did not go through.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():
        from bulkupdate.report import write_report

        path = write_report(directory, output)
        screen.say(f"report: {path}")
        if as_json:
            screen.result({"report": str(path)})
