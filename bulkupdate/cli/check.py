"""The command `bulkupdate check`."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click
import cloup

from bulkupdate.cli.command import Command, option
from bulkupdate.cli.options import (
    ReadingFlags,
    accounts_options,
    input_argument,
    json_option,
    quiet_option,
    rate_option,
    reading_options,
)
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.screen import Screen
from bulkupdate.cli.waiting import shown
from bulkupdate.errors import ConfigError, InputError, count
from bulkupdate.journal import ExitCode
from bulkupdate.lemlist.rate import Rate
from bulkupdate.plan import Checking, Inspection, Preview, ProblemsFile, inspect
from bulkupdate.reader import Input, ReadOptions, is_rules
from bulkupdate.ui import messages

_EXAMPLES = (
    ("bulkupdate check edits.csv", "show the requests and the problems"),
    (
        "bulkupdate check edits.csv --problems problems.csv",
        "write every problem of every row to a file",
    ),
)


@dataclass(frozen=True, kw_only=True)
class CheckFlags(ReadingFlags):
    """The flags of `bulkupdate check`."""

    problems: Path | None
    rate: Rate
    as_json: bool
    quiet: bool


@cloup.command("check", cls=Command, examples=_EXAMPLES)
@input_argument
@reading_options
@accounts_options
@cloup.option_group(
    "What is shown",
    option(
        "--problems",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write every problem of every row to FILE, as CSV.",
    ),
    rate_option,
    json_option,
    quiet_option,
)
def check_command(**flags: Any) -> None:
    """Validate every row of INPUT, or a file of rules. Show what would be sent; nothing is sent.

    Exits with 0 if every row is valid, with 2 if one is not or INPUT is refused, and with 3 if
    stdout can't be written.
    """
    given = CheckFlags(**flags)
    screen = Screen(quiet=given.quiet)
    with screen.errors():
        if is_rules(given.input_):
            sys.exit(_check_rules(screen, given))
        preview = check(screen, given, given.rate, given.problems)
        unwritten = screen.result(preview) if given.as_json else ExitCode.DONE
        sys.exit(ExitCode.REFUSED if preview.invalid else unwritten)


def _check_rules(screen: Screen, flags: CheckFlags) -> int:
    """Check a file of rules, and show what it holds."""
    from bulkupdate.session.night import load_rules

    if flags.problems is not None:
        raise ConfigError("--problems is of a file of edits: a file of rules has no rows")
    flags.read_options().refuse_for_rules()
    rules = load_rules(Path(flags.input_))
    screen.say(f"{rules.name}: {count(len(rules.rules), 'rule')}, days of {rules.timezone}")
    for rule in rules.rules:
        screen.say(f"  {rule.number}. {rule.name}{_days(rule.since, rule.until)}")
    accounts = f" --accounts {flags.accounts}" if flags.accounts is not None else ""
    screen.say(f"what they would change: bulkupdate plan {flags.input_}{accounts}")
    shown = {"timezone": rules.timezone, "rules": [rule.name for rule in rules.rules]}
    return screen.result(shown) if flags.as_json else ExitCode.DONE


def _days(since: date | None, until: date | None) -> str:
    """The days on which a rule holds."""
    parts = [f"{word} {day}" for word, day in (("from", since), ("until", until)) if day]
    return f" ({' '.join(parts)})" if parts else ""


def check(screen: Screen, flags: ReadingFlags, rate: Rate, problems: Path | None = None) -> Preview:
    """Check the whole input, and show the preview."""
    with ExitStack() as stack:
        listed = _problems_file(flags, problems) if problems is not None else None
        if listed is not None:
            stack.enter_context(listed)
        try:
            source, preview = check_input(screen, flags, rate, stack, flags.read_options(), listed)
        except InputError as error:
            if listed is not None:
                listed.refuse(str(error))
            raise
        for lines in (
            messages.preview_lines(source, preview),
            messages.body_lines(preview),
            messages.problem_lines(preview),
        ):
            for line in lines:
                screen.say(line)
    return preview


def check_input(
    screen: Screen,
    flags: ReadingFlags,
    rate: Rate,
    stack: ExitStack,
    options: ReadOptions,
    listed: ProblemsFile | None = None,
) -> tuple[Input, Preview]:
    """Check the whole input. It stays open until the stack is left.

    Raises:
        InputError: it can't be read to its end.
        ConfigError: a flag is wrong.
    """
    checking = Checking(flags.input_)
    with shown(screen, checking):
        source = stack.enter_context(_input(flags.input_, options))
        checking.opened(source)
        preview = _inspected(source, flags, listed, checking).preview(rate).of(source)
    return source, preview


@contextmanager
def _input(name: str, options: ReadOptions) -> Iterator[Input]:
    """Open the input. Standard input is copied to a file, which can be read more than once."""
    if name != "-":
        with Input.open(Path(name), options=options) as source:
            yield source
        return
    with tempfile.TemporaryDirectory(prefix="bulkupdate-") as directory:
        copy = Path(directory) / "stdin"
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        with Input.open(copy, name="stdin", options=options) as source:
            yield source


def _inspected(
    source: Input, flags: ReadingFlags, listed: ProblemsFile | None, checking: Checking
) -> Inspection:
    also = listed.add if listed is not None else None
    inspection = Inspection()
    for inspection in inspect(
        source, invalid=also, merge=flags.merge_duplicates, allow_empty=flags.allow_empty
    ):
        checking.rows = inspection.rows
    return inspection


def _problems_file(flags: ReadingFlags, path: Path) -> ProblemsFile:
    """Open the file for `--problems`. It must not be an input file, or a file of a run."""
    check_output("problems", path)
    for other in (Path(flags.input_), *flags.value_maps):
        if path.exists() and other.exists() and path.samefile(other):
            raise ConfigError(f"--problems {path} is an input file: name another file")
    return ProblemsFile(path)
