"""The commands that may come after a run."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bulkupdate import messages
from bulkupdate.cli.options import Setting
from bulkupdate.cli.screen import USAGE
from bulkupdate.models import SUCCESSES, Outcome
from bulkupdate.summary import State, Summary

#: Parameters that the command which goes on with a run doesn't repeat.
_NOT_AGAIN = frozenset(
    {"input_", "resume", "overwrite", "changed_input", "first", "out", "retry_failed", "deadline"}
)

#: Where flags come from that were said, by whoever started the run or by what did.
_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


def next_lines(ctx: click.Context, summary: Summary) -> Iterator[str]:
    """The commands that may come next."""
    stdin = summary.input.path == "-"
    input_ = f"{summary.directory}/stdin.{summary.input.format}" if stdin else summary.input.path
    again = ("--out", summary.directory, "--resume")
    if summary.state is not State.FINISHED:
        if summary.exit_code != USAGE:
            yield f"go on with: {_command_line(ctx, input_, *again)}"
    elif any(summary.counts[outcome] for outcome in Outcome if outcome not in SUCCESSES):
        failed = messages.failed_file(summary)
        yield f"once it is mended: {_command_line(ctx, failed, *_out_beside(failed))}"
        if summary.counts[Outcome.FAILED] or summary.counts[Outcome.UNCONFIRMED]:
            retry = _command_line(ctx, input_, *again, "--retry-failed")
            yield f"or, as they are, once more: {retry}"


def _out_beside(failed: str) -> tuple[str, ...]:
    """A run directory that is not there yet, for a file of failed rows."""
    name, number = Path(failed).stem, 1
    while Path(f"{name}.run").exists():
        number += 1
        name = f"{Path(failed).stem}-{number}"
    return () if number == 1 else ("--out", f"{name}.run")


def _command_line(ctx: click.Context, input_: str, *more: str) -> str:
    """The command as it was given, with another input, and more flags."""
    # A name that begins so would be taken for a flag.
    words = ["bulkupdate", "run", f"./{input_}" if input_[:1] == "-" else input_]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if ctx.get_parameter_source(name) not in _GIVEN or name in _NOT_AGAIN:
            continue
        if isinstance(parameter, click.Option) and parameter.is_flag and not ctx.params[name]:
            continue
        words.append(_flag(parameter, ctx.params[name]))
    words += more
    return " ".join(_quoted(word) for piece in words for word in piece.split("\0"))


def _quoted(word: str) -> str:
    """`word` for a shell to read, and for a terminal to show: bash's `$'…'` where it must be."""
    if word.isprintable():
        return shlex.quote(word)
    shown = (
        c if c.isprintable() and c not in "\\'" else _ESCAPES.get(c) or _bytes(c) for c in word
    )
    return f"$'{''.join(shown)}'"


def _bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def _flag(parameter: click.Parameter, value: Any) -> str:
    flag = max(parameter.opts, key=len)
    if isinstance(parameter, click.Option) and parameter.count:
        return "\0".join([flag] * value)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return flag
    if isinstance(parameter, click.Option) and parameter.multiple:
        items = ("=".join(item) if isinstance(item, tuple) else item for item in value)
        return "\0".join(f"{flag}\0{item}" for item in items)
    shown = "none" if isinstance(parameter.type, Setting) and value is None else str(value)
    return f"{flag}\0{shown}"
