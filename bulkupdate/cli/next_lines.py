"""The next commands: suggestions after a run."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bulkupdate.cli.options import Setting
from bulkupdate.errors import InputError
from bulkupdate.journal import RunFiles, Summary
from bulkupdate.models import RETRIED, SUCCESSES, Outcome, Reason, State
from bulkupdate.reader import file_lines
from bulkupdate.ui import messages

#: Parameters that a suggested command doesn't repeat.
_NOT_AGAIN = frozenset(
    {
        "input_",
        "resume",
        "overwrite",
        "changed_input",
        "changed_key",
        "first",
        "out",
        "retry_failed",
        "deadline",
        "yes",
    }
)

#: Parameters that the file of failed rows does not need: it has one sheet or none, and names the
#: account of each row.
_NOT_OF_FAILED = frozenset({"sheet", "account"})

#: Parameter → the one without which it says nothing.
_NEEDED = {"dsn_file": "shared_limit"}

#: A cell, or a JSON value, with a date that is relative to now.
_RELATIVE = re.compile(
    r"""(?:^|[,;|\t"])\s*(?:\+\s*\d+\s*[mhdw]|today|tomorrow)\s*(?:$|[,;|\t"])""", re.IGNORECASE
)

#: Sources of flags that the user set, in contrast to defaults.
_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


def next_lines(ctx: click.Context, summary: Summary) -> Iterator[str]:
    """Lines that suggest the next commands."""
    stdin = summary.input.path == "-"
    files = RunFiles(Path(summary.directory))
    input_ = str(files.stdin(summary.input.format)) if stdin else summary.input.path
    again: tuple[str, ...] = ("--out", summary.directory, "--resume")
    if summary.state is not State.FINISHED:
        if ctx.params["retry_failed"]:
            # Without it, the rows that this session did not come to would stay as they are.
            again += ("--retry-failed",)
        reasons = {summary.stopped_by, *(one.stopped_by for one in summary.accounts.values())}
        if Reason.TOO_MANY_CHANGES in reasons:
            line = _command_line(ctx, input_, *again, without=frozenset({"max_changes"}))
            yield f"if all of these changes are meant: {line} --max-changes N"
        elif _has_left_out(summary):
            yield "for the accounts that were left out: run the same again with another --out"
        elif summary.stopped_by is Reason.INVALID_ROWS:
            pass  # What can be done is told with the reason.
        elif Reason.INVALID_ROWS in reasons:
            yield f"to leave invalid rows out: {_command_line(ctx, input_, *again)} --skip-invalid"
        else:
            yield f"continue with: {_command_line(ctx, input_, *again)}"
        return
    failed = messages.failed_file(summary)
    found = {outcome for outcome in Outcome if summary.counts[outcome]} - SUCCESSES
    lead = "to try the same rows again"
    if Outcome.CONFLICT in found:
        yield f"look at the conflicts in {failed}: each row says why it was not sent"
    if found - {Outcome.CONFLICT}:
        more = (*_now_of(summary), *out_beside(failed))
        yield f"once it is fixed: {_command_line(ctx, failed, *more, without=_NOT_OF_FAILED)}"
        lead = f"or, {lead}"
    if found & RETRIED:
        yield f"{lead}: {_command_line(ctx, input_, *again, '--retry-failed')}"


def _has_left_out(summary: Summary) -> bool:
    """Whether only accounts are left whose rules were not evaluated: resuming evaluates none."""
    left = [one for one in summary.accounts.values() if one.is_left]
    return summary.stopped_by is Reason.ACCOUNTS_STOPPED and not any(one.rows for one in left)


def out_beside(input_: str | Path) -> tuple[str, ...]:
    """The flag for a new run directory, if the one that is named like an input is there already."""
    stem, number = Path(input_).stem, 1
    name = stem
    while Path(f"{name}.run").exists():
        number += 1
        name = f"{stem}-{number}"
    is_default = number == 1 and "BULKUPDATE_OUT" not in os.environ
    return () if is_default else ("--out", f"{name}.run")


def _now_of(summary: Summary) -> tuple[str, ...]:
    """The flag `--now`, if the failed rows still have relative dates like `+3d`."""
    if summary.input.now is None:
        return ()
    try:
        lines = file_lines(Path(messages.failed_file(summary)))
        has_any = any(_RELATIVE.search(line.decode("utf-8", "replace")) for line in lines)
    except (OSError, InputError):
        return ()  # The user has already moved the file.
    return ("--now", summary.input.now) if has_any else ()


def _command_line(
    ctx: click.Context, input_: str, *more: str, without: frozenset[str] = frozenset()
) -> str:
    """The given command, with another input, more flags, and without some."""
    words = ["bulkupdate", "run", as_argument(input_)]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        is_given = ctx.get_parameter_source(name) in _GIVEN
        if not ctx.params.get(_NEEDED.get(name, ""), True):
            continue  # A variable names it, for other commands.
        if is_given and name not in _NOT_AGAIN | without and f"--{name}" not in more:
            words += _words(parameter, ctx.params[name])
    return " ".join(map(quoted, (*words, *more)))


def _words(parameter: click.Parameter, value: Any) -> list[str]:
    """A flag in the form of the command line."""
    flag = max(parameter.opts, key=len)
    if value is None:
        # None is the value of the rate "none", or of a flag that lost against another one.
        return [flag, "none"] if isinstance(parameter.type, Setting) else []
    if isinstance(parameter, click.Option) and (parameter.count or parameter.is_flag):
        return [flag] * int(value)
    if isinstance(parameter, click.Option) and parameter.multiple:
        items = ("=".join(item) if isinstance(item, tuple) else str(item) for item in value)
        return [word for item in items for word in (flag, item)]
    return [flag, str(value)]


def as_argument(path: str | Path) -> str:
    """The name of a file as an argument: one that begins with - would look like a flag."""
    name = str(path)
    return f"./{name}" if name[:1] == "-" else name


def quoted(word: str) -> str:
    """`word` quoted for a shell. Control characters need bash's `$'…'`."""
    if word.isprintable():
        return shlex.quote(word)
    shown = (
        c if c.isprintable() and c not in "\\'" else _ESCAPES.get(c) or _bytes(c) for c in word
    )
    return f"$'{''.join(shown)}'"


def _bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
