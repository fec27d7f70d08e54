"""The command `bulkupdate run`."""

import asyncio
import dataclasses
import secrets
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import cloup
from click.core import ParameterSource

from bulkupdate.cli import eventloop
from bulkupdate.cli.check import check
from bulkupdate.cli.command import Command
from bulkupdate.cli.connection import forbid_core_dumps
from bulkupdate.cli.next_lines import next_lines
from bulkupdate.cli.openfiles import room_for_run
from bulkupdate.cli.options import input_argument
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.question import Question, question
from bulkupdate.cli.run_options import EXAMPLES, RunFlags, run_options
from bulkupdate.cli.screen import INTERRUPTED, Screen
from bulkupdate.cli.sharedlimit import check_shared_limit, shared_limiters
from bulkupdate.cli.signals import SIGNALS, interrupting
from bulkupdate.cli.stopping import code_of, stop_on_signals
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import BulkUpdateError, ConfigError, RunStoppedError, count
from bulkupdate.journal import ExitCode, Mode, RunFiles, Summary
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.rate import LEMLIST_RATE
from bulkupdate.reader import Input, is_rules
from bulkupdate.report import check_installed, write_report
from bulkupdate.session.settings import RunConfig

if TYPE_CHECKING:
    from bulkupdate.sandbox import Sandbox, Team
    from bulkupdate.session.observer import Observer
    from bulkupdate.ui.metrics import MetricsFile


@cloup.command("run", cls=Command, examples=EXAMPLES)
@input_argument
@run_options
@click.pass_context
def run_command(ctx: click.Context, /, **given: Any) -> None:
    """Send the edits of INPUT: CSV, TSV, JSONL or a spreadsheet, compressed or not; - is stdin.

    A file of rules (.toml) makes its edits of the tasks as they are.

    \b
    Exit code:
      0         every row is updated or unchanged
      1         finished, and at least one row is invalid, failed, unconfirmed or a conflict
      2         wrong usage, INPUT was refused, or the question was not answered with the number:
                nothing was sent
      3         stopped early: key refused, server down for too long, too many failures, the
                deadline is near, the rate limit asks for a wait of more than 5 minutes, or
                results or stdout could not be written
      4         another run uses the same run directory: nothing was sent
      129, 130, 143   stopped by SIGHUP, Ctrl-C, SIGTERM: all is written, --resume continues

    With --dry-run, it is 0 if every row is valid, 1 if --skip-invalid leaves rows out, else 2.
    """  # noqa: D301 - click wants the \b
    forbid_core_dumps()
    flags = _prefer_command_line(ctx, RunFlags(**given))
    screen = Screen(as_json=flags.log_format == "json", quiet=flags.quiet)
    screen.log(flags.verbose)
    metrics: MetricsFile | None = None
    try:
        with screen.errors():
            if flags.dry_run:
                _check_only(screen, flags)
            if flags.shared_limit and flags.sandbox:
                raise ConfigError("--sandbox has a limit of its own: leave out --shared-limit")
            check_shared_limit(flags)
            metrics = _metrics(flags.metrics_file)
            if flags.report:
                # Fail now, not at the end of a long run.
                check_installed()
            config = _run_config(flags)
            lanes = 1 if config.accounts is None else len(config.accounts)
            room_for_run(config.workers, lanes, sandboxed=flags.sandbox)
            observers = [screen.observer(), *([metrics] if metrics else [])]
            confirm = question(screen, config, is_answered=flags.yes)
            summary = eventloop.run(_run(config, screen, observers, confirm, flags))
            if metrics is not None:
                metrics.ended(summary)
            screen.summary(summary)
            unwritten = screen.result(summary) if flags.as_json else ExitCode.DONE
            for line in next_lines(ctx, summary):
                screen.say(line)
            if flags.report:
                _report(config.directory, screen)
            sys.exit(summary.exit_code or unwritten)
    except SystemExit as leaving:
        # If the directory is in use, the other run writes the metrics.
        if metrics is not None and not metrics.has_ended and leaving.code != ExitCode.IN_USE:
            metrics.refused(int(leaving.code or 0))
        raise


def _report(directory: Path, screen: Screen) -> None:
    """Write the report. A failure does not change the exit code of the run."""
    with interrupting(SIGNALS):
        try:
            screen.say(f"report: {write_report(directory)}")
        except KeyboardInterrupt as interrupt:
            screen.error(f"no report ({interrupt}): bulkupdate report {directory} writes it")
        except Exception as error:
            what = str(error) if isinstance(error, BulkUpdateError) else repr(error)
            screen.error(f"no report: {what}")


#: Pairs of flags that exclude each other. The command line wins over the environment.
_RIVALS = (
    ("resume", "overwrite"),
    ("sandbox", "base_url"),
    ("sandbox", "api_key_file"),
)


def _prefer_command_line(ctx: click.Context, flags: RunFlags) -> RunFlags:
    """Drop each flag from the environment that excludes a flag on the command line."""
    dropped: dict[str, Any] = {}
    for pair in _RIVALS:
        for typed, other in (pair, pair[::-1]):
            is_typed = ctx.get_parameter_source(typed) is ParameterSource.COMMANDLINE
            if is_typed and ctx.get_parameter_source(other) is ParameterSource.ENVIRONMENT:
                is_switch = isinstance(getattr(flags, other), bool)
                dropped[other] = False if is_switch else None
    ctx.params.update(dropped)
    return replace(flags, **dropped)


def _check_only(screen: Screen, flags: RunFlags) -> NoReturn:
    """Check the input for `--dry-run`, and exit."""
    if flags.compare or is_rules(flags.input_):
        if flags.sandbox:
            raise ConfigError("--dry-run with --compare reads a server: leave out --sandbox")
        from bulkupdate.cli.plan import PlanFlags, show_plan

        names = [one.name for one in dataclasses.fields(PlanFlags)]
        given: dict[str, Any] = {name: getattr(flags, name, None) for name in names}
        plan = PlanFlags(**{**given, "overwrite": False, "renew": False})
        sys.exit(show_plan(screen, plan))
    preview = check(screen, flags, flags.rate)
    unwritten = screen.result(preview) if flags.as_json else ExitCode.DONE
    if not preview.invalid:
        sys.exit(unwritten)
    sys.exit(ExitCode.UNSUCCESSFUL if flags.skip_invalid else ExitCode.REFUSED)


def _run_config(flags: RunFlags) -> RunConfig:
    if flags.resume and flags.overwrite:
        raise ConfigError("--resume continues a run, --overwrite starts it again: choose one")
    if flags.accounts and flags.api_key_file:
        raise ConfigError("--accounts says where the keys are: leave out --api-key-file")
    if flags.sandbox and (flags.base_url or flags.api_key_file):
        raise ConfigError(
            "--sandbox has its own URL and key: leave out --base-url and --api-key-file"
        )
    mode = Mode.RESUME if flags.resume else Mode.NEW
    return RunConfig(
        input=flags.input_,
        endpoint=_endpoint(flags) if flags.accounts is None else None,
        accounts=_accounts(flags, flags.accounts) if flags.accounts is not None else None,
        account=flags.account,
        same_team=flags.same_team,
        read=flags.read_options(),
        merge_duplicates=flags.merge_duplicates,
        out=flags.out,
        mode=Mode.OVERWRITE if flags.overwrite else mode,
        changed_input=flags.changed_input,
        changed_key=flags.changed_key,
        allow_empty=flags.allow_empty,
        retry_failed=flags.retry_failed,
        skip_invalid=flags.skip_invalid,
        compare=flags.compare,
        unlisted=flags.unlisted,
        max_age=flags.max_age,
        max_changes=flags.max_changes,
        allow_few=flags.allow_few,
        yes=flags.yes,
        first=flags.first,
        rate=flags.rate,
        workers=flags.workers,
        retry=RetryPolicy(max_attempts=flags.max_attempts, give_up_after=flags.give_up_after),
        drain_timeout=flags.drain_timeout,
        max_failures=flags.max_failures,
        max_failures_total=flags.max_failures_total,
        deadline=flags.deadline,
        sandbox=flags.sandbox,
        strict=flags.strict,
    )


def _endpoint(flags: RunFlags) -> Endpoint:
    return _sandboxed(flags) if flags.sandbox else flags.endpoint(flags.timeout)


def _accounts(flags: RunFlags, file: Path) -> Accounts:
    """The accounts of a file; in a sandbox, with keys that are made up."""
    accounts = flags.accounts_in(file, flags.timeout)
    return (
        Accounts.of({name: _sandboxed(flags) for name in accounts}) if flags.sandbox else accounts
    )


def _sandboxed(flags: RunFlags) -> Endpoint:
    """The endpoint of a sandbox that does not listen yet."""
    key = ApiKey(secrets.token_hex(16))
    return Endpoint(api_key=key, base_url="http://127.0.0.1", timeout=flags.timeout)


def _metrics(path: Path | None) -> "MetricsFile | None":
    if path is None:
        return None
    check_output("metrics_file", path)
    from bulkupdate.ui.metrics import MetricsFile

    return MetricsFile.open(path)


async def _run(
    config: RunConfig,
    screen: Screen,
    observers: "list[Observer]",
    confirm: Question | None,
    flags: RunFlags,
) -> Summary:
    from bulkupdate.session.observer import Observers
    from bulkupdate.session.run import run
    from bulkupdate.stop import Stop

    stop, before = Stop(), _stamp(config.directory)
    stop_on_signals(stop, screen)
    async with AsyncExitStack() as stack:
        if config.sandbox:
            sandbox = await stack.enter_async_context(_own_sandbox(config))
            config = _sent_to(config, sandbox.base_url)
        limiters = await stack.enter_async_context(shared_limiters(flags))
        try:
            summary = await run(
                config,
                stop=stop,
                observer=Observers(observers),
                confirm=confirm,
                limiters=limiters,
            )
        except RunStoppedError as error:
            screen.error(str(error))
            sys.exit(code_of(stop) or ExitCode.STOPPED)
        except asyncio.CancelledError:
            has_begun = _stamp(config.directory) not in (None, before)
            rest = f"--resume continues {config.directory}" if has_begun else "nothing was sent"
            screen.error(f"ended at once: {rest}")
            sys.exit(code_of(stop) or INTERRUPTED)
        if config.sandbox:
            seen = sum(sandbox.requests.values())
            screen.say(f"the sandbox saw {count(seen, 'request')}")
    return summary


def _stamp(directory: Path) -> tuple[int, int] | None:
    """What tells one summary of a run directory from the next; None if there is none."""
    try:
        status = RunFiles(directory).summary.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _own_sandbox(config: RunConfig) -> "Sandbox":
    """A sandbox for one run, in which every id is the id of a task.

    Raises:
        ConfigError: the tasks have to be there before, and the input is standard input.
    """
    from bulkupdate.sandbox import Sandbox, SandboxAccount, SandboxConfig, Unknown

    keys = {name: one.endpoint().api_key.reveal() for name, one in config.by_name.items()}
    teams = _teams(config)
    return Sandbox(
        SandboxConfig(
            key=keys.get("") or secrets.token_hex(16),
            rate=None if config.rate is None else LEMLIST_RATE,
            unknown=Unknown.CREATE,
        ),
        team=teams.get(""),
        accounts={
            name: SandboxAccount(key=key, team=teams[name]) for name, key in keys.items() if name
        }
        or None,
    )


def _teams(config: RunConfig) -> "dict[str, Team]":
    """The team of each account: with the tasks of the rows, or made-up ones for rules."""
    from bulkupdate.sandbox import Team, made_up_team, teams_for

    if config.has_rules:
        return {name: made_up_team(name) for name in config.by_name}
    teams = {name: Team(name=name) for name in config.by_name}
    if config.compare:
        if config.input == "-":
            raise ConfigError("--sandbox with --compare needs a file: its tasks are made from it")
        with Input.open(Path(config.input), options=replace(config.read, people=True)) as source:
            teams |= teams_for(source)
    return teams


def _sent_to(config: RunConfig, base_url: str) -> RunConfig:
    """The same run, with the sandbox in the place of its servers."""
    there = {
        name: replace(one.endpoint(), base_url=base_url) for name, one in config.by_name.items()
    }
    if config.accounts is None:
        return replace(config, endpoint=there[""])
    return replace(config, accounts=Accounts.of(there))
