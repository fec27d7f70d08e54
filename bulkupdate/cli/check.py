"""`bulkupdate check`."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from bulkupdate import report
from bulkupdate.cli.options import (
    json_option,
    merge_option,
    quiet_option,
    rate_option,
    read_options,
    reading_options,
)
from bulkupdate.cli.screen import USAGE, Screen
from bulkupdate.errors import ConfigError
from bulkupdate.preview import Inspection, Preview, inspect
from bulkupdate.problems import ProblemsFile
from bulkupdate.read_options import ReadOptions
from bulkupdate.reader import Input


@click.command("check")
@click.argument("input_", metavar="INPUT")
@reading_options
@merge_option
@click.option(
    "--problems",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write every problem of every row to FILE, as CSV.",
)
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
    with _input(flags["input_"], read_options(flags)) as source, ExitStack() as stack:
        also = None
        if path := flags.get("problems"):
            _check_other(path, source)
            also = stack.enter_context(ProblemsFile(path)).add
        inspection = Inspection()
        merge = flags["merge_duplicates"]
        for inspection in inspect(source, invalid=also, merge=merge):  # noqa: B007 - the whole
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
def _input(name: str, options: ReadOptions) -> Iterator[Input]:
    """The input, with standard input copied to where it can be read more than once."""
    if name != "-":
        with Input(Path(name), options=options) as source:
            yield source
        return
    with tempfile.TemporaryDirectory(prefix="bulkupdate-") as directory:
        copy = Path(directory) / "stdin"
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        with Input(copy, name="stdin", options=options) as source:
            yield source


def _check_other(path: Path, source: Input) -> None:
    """Refuse to write over what is read."""
    if path.exists() and path.samefile(source.path):
        raise ConfigError(f"--problems {path}: is INPUT itself")
