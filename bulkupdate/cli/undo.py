"""The command `bulkupdate undo`."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from bulkupdate.cli.command import Command, option
from bulkupdate.cli.next_lines import as_argument, out_beside, quoted
from bulkupdate.cli.reading import output_file, output_options
from bulkupdate.cli.screen import Screen
from bulkupdate.errors import count
from bulkupdate.reader import Format, format_to_write

if TYPE_CHECKING:
    from bulkupdate.session.undo import Undone

_EXAMPLES = (
    ("bulkupdate undo edits.run -o undo.jsonl", "what takes the run back"),
    ("bulkupdate run undo.jsonl --compare", "send it"),
    ("bulkupdate undo nights/*.run --rule 'Ben is away' -o back.jsonl", "only one rule"),
)

#: Number of fields, or of accounts, whose tasks are counted.
_SHOWN = 20

#: Name of an obstacle → the reason in words.
_WHY = {
    "completed": "the task is completed, and may be gone",
    "media": "images and videos: the server keeps copies at other addresses",
    "unknown": "no reading showed what was there",
    "unlisted": "the server did not list the task",
    "empty": "it was empty, and no update can empty it",
    "unsendable": "it held a value that no update can set",
    "overtaken": "a later row of another rule, or of none, has written it",
}


@cloup.command("undo", cls=Command, examples=_EXAMPLES)
@cloup.argument(
    "directories",
    metavar="RUN_DIR...",
    type=click.Path(path_type=Path),
    nargs=-1,
    required=True,
)
@cloup.option_group(
    "What is taken back",
    option(
        "--rule",
        "rules",
        multiple=True,
        metavar="NAME",
        help="Take back only the rows of this rule. Can be given several times.",
    ),
)
@output_options
def undo_command(
    *,
    directories: tuple[Path, ...],
    rules: tuple[str, ...],
    output: Path,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Write a file of edits that takes runs back. It needs no key, and sends nothing.

    The runs were made with `run --compare`. Each field goes back to the value that stood before
    them; several runs are taken back at once, to the value before the first. Each row expects what
    the runs have left: `run FILE --compare` changes no task that was changed since. Where the runs
    had accounts, each row names that of its task.

    --rule takes back only the rows of a rule. A field that another rule has written in between goes
    back to that; one that another rule has written since is left out and named.

    What can't be taken back is left out and named: completed tasks, images and videos, what no
    reading showed, and an empty due date or owner.

    Exits with 0 if the file is written; with 2 if RUN_DIR holds no run or one that can't be taken
    back, no run has the rule, a flag is wrong, or FILE is there already; with 3 if a file of a run
    can't be read, or FILE or stdout can't be written; and with 4 if one of the runs is in progress.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():
        from bulkupdate.session.undo import undo_to

        is_stdout = str(output) == "-"
        format_ = Format.CSV if is_stdout else format_to_write(output)
        with output_file(screen, output, overwrite=overwrite) as part:
            undone = undo_to(directories, part, format_, rules=rules, has_mark=not is_stdout)
        _tell(screen, undone, output, hand="hand or rule" if rules else "hand")


def _tell(screen: Screen, undone: "Undone", output: Path, *, hand: str) -> None:
    is_stdout = str(output) == "-"
    screen.say(f"{'stdout' if is_stdout else output}: {count(undone.tasks, 'task')}")
    if undone.counts:
        screen.say(f"  takes back: {_counted(undone.counts)}")
    if undone.accounts:
        screen.say(f"  of accounts: {_counted(undone.accounts)}")
    for line in _left_out(undone, hand):
        screen.say(f"  {line}", "yellow")
    if undone.tasks and (line := _waiting(undone)):
        screen.say(f"  {line}", "yellow")
    if undone.tasks:
        name = "FILE" if is_stdout else quoted(as_argument(output))
        out = () if is_stdout else out_beside(output)
        accounts = " --accounts FILE" if undone.accounts is not None else ""
        words = " ".join([name, "--compare", *map(quoted, out)])
        screen.say(f"send it with: bulkupdate run {words}{accounts}")


def _waiting(undone: "Undone") -> str:
    """A line where the file must not be sent at once; "" where it may be."""
    from bulkupdate.plan import LATE

    if not undone.newest:
        return ""
    age = max(0.0, time.time() - datetime.fromisoformat(undone.newest).timestamp())
    if age >= LATE:
        return ""
    return (
        f"the last request was {age:.1f} s ago: send this {LATE / 60:.0f} minutes after it, as a"
        " server may list a change so late, and a task would seem to be as before"
    )


def _counted(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {number:,}" for name, number in islice(counts.items(), _SHOWN)]
    return ", ".join([*shown, *["…"][: len(counts) > _SHOWN]])


def _left_out(undone: "Undone", hand: str) -> Iterator[str]:
    """Lines about what is not taken back as the user may expect."""
    for obstacle, fields in undone.left_out.items():
        yield f"left out, since {_WHY[obstacle.value]}: {fields}"
    if undone.only_jsonl.counts:
        yield f"tasks left out, whose values only a .jsonl file holds: {undone.only_jsonl}"
    if undone.unwritable.counts:
        yield f"tasks left out, whose values no file holds: {undone.unwritable}"
    if undone.changed.counts:
        yield f"changed by another {hand} in between, and taken back to that: {undone.changed}"
    if undone.doubtful.counts:
        yield (
            "may be in conflict, since the last requests are in doubt (if so: plan FILE --renew):"
            f" {undone.doubtful}"
        )
    if undone.unknown_rule.counts:
        yield (
            "left out, since no file tells the rule, and the request may have been applied:"
            f" {undone.unknown_rule}"
        )
    for directory, rows in undone.rows_left.items():
        yield f"{directory} is not finished: --resume would still send {count(rows, 'row')}"
