"""`bulkupdate check`."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bulkupdate import report
from bulkupdate.cli.options import format_option, json_option, quiet_option, rate_option
from bulkupdate.cli.screen import USAGE, Screen
from bulkupdate.config import Format
from bulkupdate.preview import Inspection, Preview, inspect
from bulkupdate.reader import Input


@click.command("check")
@click.argument("input_", metavar="INPUT")
@format_option
@rate_option
@json_option
@quiet_option
def check_command(**flags: Any) -> None:
    """Validate every row of INPUT and show what would be sent. Nothing is sent.

    Exits with 0 if every row is valid, else with 2.
    """
    screen = Screen(quiet=flags["quiet"])
    with screen.errors():
        preview = check(screen, flags)
        sys.exit(USAGE if preview.invalid else 0)


def check(screen: Screen, flags: dict[str, Any]) -> Preview:
    """Read all of the input and show what it would do."""
    with _input(flags["input_"], flags["format_"]) as source:
        inspection = Inspection()
        for inspection in inspect(source):  # noqa: B007 - the last one is the whole
            pass
        preview = inspection.preview(flags["rate"])
        for lines in (
            report.preview_lines(source, preview),
            report.body_lines(preview),
            report.problem_lines(preview),
        ):
            for line in lines:
                screen.say(line)
    if flags["as_json"]:
        screen.result(preview)
    return preview


@contextmanager
def _input(name: str, format_: str | None) -> Iterator[Input]:
    """The input, with standard input copied to where it can be read more than once."""
    chosen = Format(format_) if format_ else None
    if name != "-":
        with Input(Path(name), format=chosen) as source:
            yield source
        return
    with tempfile.TemporaryDirectory(prefix="bulkupdate-") as directory:
        copy = Path(directory) / "stdin"
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        with Input(copy, name="stdin", format=chosen) as source:
            yield source
