"""The command `bulkupdate plan`."""

import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import cloup

from bulkupdate.cli.check import check_input
from bulkupdate.cli.command import Command, option
from bulkupdate.cli.comparing import max_changes_option, skip_invalid_option, unlisted_option
from bulkupdate.cli.connection import ConnectionFlags
from bulkupdate.cli.next_lines import as_argument, out_beside, quoted
from bulkupdate.cli.options import (
    ReadingFlags,
    accounts_options,
    input_argument,
    json_option,
    quiet_option,
    reading_options,
)
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.reading import Told, connection_options, output_file, run_sharing
from bulkupdate.cli.screen import Screen, unwritten
from bulkupdate.codec import to_json
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import ConfigError, count
from bulkupdate.journal import ExitCode
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.reader import Input, format_to_write, is_rules
from bulkupdate.session.settings import ChangeLimit
from bulkupdate.ui import messages

if TYPE_CHECKING:
    from bulkupdate.lemlist.accounts import Accounts
    from bulkupdate.plan.rules import Rules
    from bulkupdate.session.planrecord import Plan
    from bulkupdate.session.reading import Limiters
    from bulkupdate.stop import Stop

_EXAMPLES = (
    ("bulkupdate plan edits.xlsx", "what would change, task by task"),
    ("bulkupdate plan edits.xlsx -o plan.csv", "a file of edits that holds only that"),
    ("bulkupdate run plan.csv --compare", "send it, where tasks are still as planned"),
    ("bulkupdate plan nightly.toml", "what rules would change, and whose tasks"),
    ("bulkupdate plan edits.csv --accounts accounts.toml", "the tasks of several teams"),
)


@dataclass(frozen=True, kw_only=True)
class PlanFlags(ReadingFlags, ConnectionFlags):
    """The flags of `bulkupdate plan`."""

    output: Path | None
    overwrite: bool
    renew: bool
    skip_invalid: bool
    unlisted: Literal["conflict", "send"]
    max_changes: ChangeLimit | None
    allow_few: bool
    rate: Rate
    shared_limit: bool
    dsn_file: Path | None
    timeout: float
    give_up_after: float
    as_json: bool
    quiet: bool


@cloup.command("plan", cls=Command, examples=_EXAMPLES)
@input_argument
@cloup.option_group(
    "What is planned",
    option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File of edits to write, with what differs, and what is there now.",
    ),
    option("--overwrite", is_flag=True, help="Replace FILE if it is there."),
    option(
        "--renew",
        is_flag=True,
        help="Take what is there now for what INPUT expects.",
    ),
    skip_invalid_option,
    unlisted_option,
    max_changes_option,
    option("--allow-few", is_flag=True, help="Accept a server that lists no task at all."),
    json_option,
    quiet_option,
)
@connection_options
@accounts_options
@reading_options
def plan_command(**given: Any) -> None:
    """Show what INPUT would change in the tasks as they are now. Nothing is sent.

    With --accounts, the rows of each account are judged by its tasks, and shown together.

    Exits with 0 if all of it could be sent, with 1 if a row conflicts with what is there or
    --skip-invalid leaves it out, with 2 if a row is invalid, INPUT or FILE is refused or more tasks
    would change than --max-changes allows, and with 3 if the tasks can't be read whole, of one
    account or of all, or FILE or stdout can't be written.
    """
    flags = PlanFlags(**given)
    screen = Screen(quiet=flags.quiet)
    with screen.errors():
        sys.exit(show_plan(screen, flags))


def show_plan(screen: Screen, flags: PlanFlags) -> int:
    """Make the plan, and show it.

    Returns:
        The exit code.
    """
    if flags.output is not None:
        check_output("output", flags.output)
        format_to_write(flags.output)
        if flags.output.exists() and not flags.overwrite:
            raise ConfigError(f"{flags.output} is there already: --overwrite replaces it")
    whose = flags.found_accounts(flags.timeout) or flags.endpoint(flags.timeout)
    if is_rules(flags.input_):
        options = flags.read_options()
        options.refuse_for_rules()
        from bulkupdate.session.night import load_rules

        rules = load_rules(Path(flags.input_))
        return run_sharing(screen, flags, _planning(screen, flags, whose, rules, now=options.now))
    with ExitStack() as stack:
        options = replace(flags.read_options(), people=True)
        source, preview = check_input(screen, flags, flags.rate, stack, options)
        for line in messages.preview_lines(source, preview):
            screen.say(line)
        for line in messages.problem_lines(preview):
            screen.say(line)
        if preview.invalid and not flags.skip_invalid:
            return ExitCode.REFUSED
        if flags.output is not None and flags.output.exists():
            _check_not_input(flags.output, source.path)
        work = _planning(screen, flags, whose, source, left_out=preview.invalid)
        # A warning does not say which account it is about.
        return run_sharing(screen, flags, work, has_warnings=flags.accounts is None)


def _planning(
    screen: Screen,
    flags: PlanFlags,
    whose: "Endpoint | Accounts",
    source: "Input | Rules",
    *,
    now: datetime | None = None,
    left_out: int = 0,
) -> "Callable[[Stop, Limiters | None], Awaitable[int]]":
    """The work of a plan, which ends with the exit code."""

    async def work(stop: "Stop", limiters: "Limiters | None") -> int:
        from bulkupdate.session.plan import made_plan

        making = made_plan(
            source,
            whose,
            account=flags.account,
            rate=flags.rate,
            policy=RetryPolicy(give_up_after=flags.give_up_after),
            stop=stop,
            sends_unlisted=flags.unlisted == "send",
            renew=flags.renew,
            merge=flags.merge_duplicates,
            allow_few=flags.allow_few,
            needs_all=flags.max_changes is not None and flags.max_changes.needs_all,
            now=now,
            on_page=Told(screen).tasks,
            limiters=limiters,
        )
        async with making as plan:
            return await _show(screen, flags, plan, left_out=left_out)

    return work


def _check_not_input(output: Path, path: Path) -> None:
    if path.exists() and output.samefile(path):
        raise ConfigError(f"--output {output} is the input: name another file")


async def _show(screen: Screen, flags: PlanFlags, plan: "Plan", *, left_out: int) -> int:
    """Show the plan, and write it to its file.

    Args:
        screen: shows it.
        flags: the flags.
        plan: the plan.
        left_out: number of rows that are invalid in themselves.

    Returns:
        The exit code.
    """
    from bulkupdate.ui import planned

    for note in plan.notes:
        screen.say(note, "yellow")
    for line in planned.rule_lines(plan):
        screen.say(line)
    for line in planned.change_lines(plan):
        screen.say(line, "green")
    for line in planned.problem_lines(plan):
        screen.say(line, "yellow")
    for line in planned.total_lines(plan, flags.rate):
        screen.say(line)
    is_incomplete = plan.conflicts or plan.invalid_count or left_out
    code = ExitCode.UNSUCCESSFUL if is_incomplete else ExitCode.DONE
    if plan.refused:
        code = ExitCode.REFUSED
        screen.error(plan.refused)
    why = plan.refusal(flags.max_changes, skip_invalid=flags.skip_invalid)
    if why:
        code = ExitCode.REFUSED
    if plan.unread:
        code = ExitCode.STOPPED
        why = "; ".join(filter(None, [plan.why_unread, why]))
    if why:
        screen.error(f"{flags.output} is not written: {why}" if flags.output else why)
    elif flags.output is not None:
        await _write(screen, flags, flags.output, plan)
    for line in planned.unknown_lines(plan):
        screen.say(line)
    failed = _print(screen, plan) if flags.as_json else ExitCode.DONE
    return code or failed


async def _write(screen: Screen, flags: PlanFlags, path: Path, plan: "Plan") -> None:
    from bulkupdate.session.planfile import write_plan

    with output_file(screen, path, overwrite=flags.overwrite) as part:
        file = await write_plan(plan, part, format_to_write(path))
    accounts = f" --accounts {flags.accounts}" if flags.accounts is not None else ""
    words = " ".join([quoted(as_argument(path)), "--compare", *map(quoted, out_beside(path))])
    send = f"to send: bulkupdate run {words}{accounts}"
    how = send if file.rows else "there is nothing to send"
    screen.say(f"{path}: {count(file.rows, 'row')}; {how}")
    for left_out in (file.left_out, file.unwritable):
        if left_out.counts:
            screen.say(f"  not in it: {left_out}", "yellow")


def _print(screen: Screen, plan: "Plan") -> int:
    """Write the plan as JSON to stdout, piece by piece: it may be long."""
    with contextlib.suppress(BrokenPipeError):
        try:
            for piece in _json(plan):
                click.echo(piece, nl=False)
            click.echo()
        except OSError as error:
            return unwritten(error, screen.error)
    return ExitCode.DONE


def _rules(plan: "Plan") -> dict[str, Any]:
    """What each rule selects and changes; nothing for a file of edits."""
    if (found := plan.evaluation) is None:
        return {}
    rules: dict[str, dict[str, Any]] = {
        name: {
            "selected": number,
            "changed": found.changed[name],
            "got": found.got.get(name, {}),
            "gave": found.gave.get(name, {}),
        }
        for name, number in found.selected.items()
    }
    return {"rules": rules, "notes": plan.notes}


def _numbers(plan: "Plan") -> dict[str, Any]:
    return {
        "rows": plan.rows,
        "listed": plan.listed,
        "tasks": plan.tasks,
        "requests": plan.requests,
        "already": plan.already,
        "unchanged": plan.unchanged,
        "invalid": plan.invalid_count,
        "conflicts": dict(plan.conflicts),
        "fields": dict(plan.fields),
        "owners": dict(plan.owners),
        "clears": dict(plan.clears),
        "completes": plan.completes,
        "unknown": dict(plan.unknown),
    }


def _of(account: str) -> dict[str, str]:
    """The account of an entry; nothing where there is only one."""
    return {"account": account} if account else {}


def _accounts(plan: "Plan") -> dict[str, Any]:
    """The numbers of each account, and why others can't be read; nothing with one key."""
    if not plan.has_accounts:
        return {}
    numbers = {name: _numbers(part) for name, part in plan.accounts.items()}
    return {"accounts": numbers, "unread": plan.unread}


def _json(plan: "Plan") -> Iterator[bytes]:
    totals = {
        **_numbers(plan),
        **_rules(plan),
        **_accounts(plan),
        "examples": [
            {**_of(part.account), "row": row, "id": task_id, "why": why}
            for part in plan.accounts.values() or [plan]
            for row, task_id, why in (*part.invalid, *part.examples)
        ],
    }
    yield to_json(totals)[:-1] + b',"changes":['
    for number, change in enumerate(plan.changes()):
        found: dict[str, Any] = {"id": change.id, **_of(change.account)}
        found |= {"before": change.before, "after": change.after}
        if change.rule is not None:
            found["rule"] = change.rule
        yield (b"," if number else b"") + to_json(found)
    yield b"]}"
