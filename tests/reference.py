"""The reference page of the commands, created from their help.

`python -m tests.reference` writes it.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence

import click

from bulkupdate.cli import cli
from bulkupdate.cli.command import Command
from tests.support.pages import DOCS

PAGE = DOCS / "reference" / "commands.md"

_HEAD = """\
# Commands

The text of `bulkupdate COMMAND --help` for every command, on one page.
`python -m tests.reference` writes this page.

stdout carries only what a program wants. Everything for people goes to stderr.
"""

#: Command → the function or class that does the same in Python.
_TWINS = {
    "export": "[`bulkupdate.export_tasks`](python.md#bulkupdate.session.export.export_tasks)",
    "plan": "[`bulkupdate.plan_edits`](python.md#bulkupdate.session.plan.plan_edits)",
    "run": "[`bulkupdate.run`](python.md#bulkupdate.session.run.run)",
    "report": "[`bulkupdate.write_report`](python.md#bulkupdate.report.write_report)",
    "undo": "[`bulkupdate.undo_run`](python.md#bulkupdate.session.undo.undo_run)",
    "sandbox": "[`bulkupdate.sandbox.Sandbox`](python.md#bulkupdate.sandbox.Sandbox)",
}


def reference() -> str:
    """The text of the page."""
    context = click.Context(cli, info_name="bulkupdate")
    parts = [_HEAD]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is None:
            raise AssertionError(name)
        own = click.Context(command, info_name=name, parent=context)
        parts += _section(command, own)
        if isinstance(command, click.Group):
            for sub_name, sub in command.commands.items():
                parts += _section(sub, click.Context(sub, info_name=sub_name, parent=own))
    return "\n".join(parts)


def _section(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"## {context.command_path}\n"
    yield f"```text\n{usage}\n```\n"
    yield from _prose(command.help or "")
    if command.name in _TWINS:
        yield f"From Python: {_TWINS[command.name]}.\n"
    if not isinstance(command, Command):
        return
    for group in command.option_groups:
        yield f"### {group.title}\n" if command.name == "run" else f"**{group.title}**\n"
        yield from _table(group.options, context)
    if command.ungrouped_options:
        yield from _table(command.ungrouped_options, context)
    if command.examples:
        yield "**Examples**\n"
        lines = [f"{line}\n    {what}" for line, what in command.examples]
        yield "```text\n" + "\n".join(lines) + "\n```\n"


def _prose(text: str) -> Iterator[str]:
    """The paragraphs of a help text. Those that keep their line ends there keep them here.

    The first line of such a paragraph is its title if it ends in a colon.
    """
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if not paragraph.startswith("\b\n"):
            yield " ".join(paragraph.split()) + "\n"
            continue
        title, _, rest = paragraph.removeprefix("\b\n").partition("\n")
        if title.endswith(":"):
            yield f"{title}\n"
        else:
            rest = f"{title}\n{rest}"
        yield f"```text\n{textwrap.dedent(rest).rstrip()}\n```\n"


def _table(parameters: Sequence[click.Option], context: click.Context) -> Iterator[str]:
    with_variables = any(parameter.envvar for parameter in parameters)
    lines = ["| flag | meaning |" + (" variable |" if with_variables else "")]
    lines.append("| --- | --- |" + (" --- |" if with_variables else ""))
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is None:
            continue
        flag, meaning = (_cell(text) for text in record)
        line = f"| `{flag}` | {meaning} |"
        variable = f"`{parameter.envvar}`" if parameter.envvar else "none"
        lines.append(line + (f" {variable} |" if with_variables else ""))
    yield "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    escaped = re.sub(r"\s+", " ", text).replace("|", "\\|").strip()
    # A word in angle brackets must not become HTML.
    return re.sub(r"<(\w+)>", r"&lt;\1&gt;", escaped)


if __name__ == "__main__":
    PAGE.write_text(reference())
