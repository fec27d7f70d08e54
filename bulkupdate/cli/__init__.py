"""The command line: flags in, exit code out. Only this package prints or exits."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bulkupdate._version import __version__

__all__ = ["cli"]

#: Command → its short help. Each module has the name of its command.
_COMMANDS = {
    "export": "Write the pending tasks to a file of edits.",
    "team": "Write the members of the team, with their ids.",
    "accounts": "Show which team each account is of, and whether its key works.",
    "check": "Validate every row of INPUT and show what would be sent.",
    "plan": "Show what INPUT would change in the tasks as they are now.",
    "run": "Send the edits of INPUT, and log the result of every row.",
    "report": "Write the results of a run, or of many, as one HTML file.",
    "history": "List the runs in a folder, or remove old ones.",
    "undo": "Write a file of edits that takes runs back.",
    "fleet": "Share the work of many keys between machines, through PostgreSQL.",
    "sandbox": "Serve a local stand-in of lemlist's tasks API until Ctrl-C.",
    "completion": "Print a script that makes bash, zsh or fish complete commands and flags.",
}


class _Commands(click.Group):
    """A group that imports a command when it is called. The list of commands imports none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # click searches these names for a suggestion after a wrong name.
        self.commands = dict.fromkeys(_COMMANDS, self)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments of the group."""
        with _printing():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the arguments of a command, and run it."""
        with _printing():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called. The name of a file instead of a command is an error."""
        if not ctx.resilient_parsing and args[0] not in _COMMANDS and _is_file(args[0]):
            ctx.fail(
                f"{args[0]!r} is a file: write 'bulkupdate check' or 'bulkupdate run' before it"
            )
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"bulkupdate.cli.{cmd_name}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@contextmanager
def _printing() -> Iterator[None]:
    """A block that prints help, the version or a script to stdout."""
    try:
        yield
    except OSError as error:
        from bulkupdate.cli.screen import Screen, unwritten

        sys.exit(unwritten(error, Screen().error))


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__)
def cli() -> None:
    """Bulk edits of lemlist tasks from a CSV or JSONL file.

    The whole file is checked before anything is sent, requests are paced to the API's limit,
    and every row ends up in a results log.

    \b
    bulkupdate check edits.csv           show the requests and the problems
    bulkupdate run edits.csv --sandbox   send it to a sandbox on this machine
    bulkupdate run edits.csv             send it
    """  # noqa: D301 - click wants the \b
