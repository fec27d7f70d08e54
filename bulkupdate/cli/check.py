"""`bulkupdate check`."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from bulkupdate.cli.command import Command
from bulkupdate.cli.options import (
    READING_GROUP,
    input_argument,
    json_option,
    merge_option,
    quiet_option,
    rate_option,
    read_options,
    reading_options,
)
from bulkupdate.cli.screen import USAGE, Screen
from bulkupdate.errors import ConfigError, InputError
from bulkupdate.plan.preview import Inspection, Preview, inspect
from bulkupdate.plan.problems import ProblemsFile
from bulkupdate.reader import Input
from bulkupdate.reader.options import ReadOptions
from bulkupdate.ui import messages

_GROUPS = {
    **READING_GROUP,
    "What is shown": ("--problems", "--rate", "--json", "--quiet"),
}

_EXAMPLES = (
    ("bulkupdate check edits.csv", "what would be sent, and what is wrong"),
    ("bulkupdate check edits.csv --problems problems.csv", "every problem of every row as a file"),
)


@click.command("check", cls=Command, groups=_GROUPS, examples=_EXAMPLES)
@input_argument
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
    with ExitStack() as stack:
        problems = _problems_file(flags)
        if problems is not None:
            stack.enter_context(problems)
        try:
            source = stack.enter_context(_input(flags["input_"], read_options(flags)))
            preview = _inspected(source, flags, problems)
        except InputError as error:
            if problems is not None:
                problems.refuse(str(error))
            raise
        for lines in (
            messages.preview_lines(source, preview),
            messages.body_lines(preview),
            messages.problem_lines(preview),
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


def _inspected(source: Input, flags: dict[str, Any], problems: ProblemsFile | None) -> Preview:
    merge = flags["merge_duplicates"]
    also = problems.add if problems is not None else None
    inspection = Inspection()
    for inspection in inspect(source, invalid=also, merge=merge):  # noqa: B007 - the whole
        pass
    return inspection.preview(flags["rate"])


def _problems_file(flags: dict[str, Any]) -> ProblemsFile | None:
    """The file that `--problems` names. It is not to be one that is read."""
    path: Path | None = flags.get("problems")
    if path is None:
        return None
    for other in (Path(flags["input_"]), *flags["value_maps"]):
        if path.exists() and other.exists() and path.samefile(other):
            raise ConfigError(f"--problems {path}: is a file that is read: name another")
    return ProblemsFile(path)
