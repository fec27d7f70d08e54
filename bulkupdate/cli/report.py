"""`bulkupdate report`."""

from pathlib import Path
from typing import Any

import click

from bulkupdate.cli.command import Command
from bulkupdate.cli.options import json_option, quiet_option
from bulkupdate.cli.screen import Screen

_GROUPS = {"What is written": ("--output", "--json", "--quiet")}

_EXAMPLES = (
    ("bulkupdate report edits.run", "write edits.run/report.html"),
    ("bulkupdate report edits.run --output edits.html", "write it where others find it"),
)


@click.command("report", cls=Command, groups=_GROUPS, examples=_EXAMPLES)
@click.argument("directory", metavar="RUN_DIR", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to.  [default: report.html in RUN_DIR]",
)
@json_option
@quiet_option
def report_command(directory: Path, output: Path | None, **flags: Any) -> None:
    """Write what became of a run as one HTML file that anybody can read, with charts.

    The run may have ended, have been killed, or be under way. The file needs no network and no
    other file. It holds what was sent for the rows that did not go through.
    """
    screen = Screen(quiet=flags["quiet"])
    with screen.errors():
        from bulkupdate.report import write_report

        path = write_report(directory, output)
        screen.say(f"report: {path}")
        if flags["as_json"]:
            screen.result({"report": str(path)})
