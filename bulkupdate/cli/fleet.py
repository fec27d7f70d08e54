"""The commands `bulkupdate fleet …`: the same over several machines, through PostgreSQL."""

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
import cloup

from bulkupdate.cli import eventloop
from bulkupdate.cli.command import Command, option
from bulkupdate.cli.comparing import max_changes_option, skip_invalid_option, unlisted_option
from bulkupdate.cli.connection import (
    ConnectionFlags,
    api_key_file_option,
    base_url_option,
    forbid_core_dumps,
    give_up_option,
    proxy_option,
    timeout_option,
)
from bulkupdate.cli.database import (
    check_fleet,
    dsn_file_option,
    open_database,
    refuse_no_limit,
)
from bulkupdate.cli.next_lines import quoted
from bulkupdate.cli.options import (
    ReadingFlags,
    accounts_option,
    accounts_options,
    input_argument,
    json_option,
    quiet_option,
    rate_option,
    reading_options,
)
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.question import question
from bulkupdate.cli.run_options import (
    allow_few_option,
    drain_timeout_option,
    log_format_option,
    max_attempts_option,
    max_failures_option,
    metrics_file_option,
    same_team_option,
    strict_option,
    workers_option,
    yes_option,
)
from bulkupdate.cli.screen import Screen
from bulkupdate.cli.stopping import code_of, stop_on_signals
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import (
    ConfigError,
    RunDirectoryError,
    RunInUseError,
    RunStoppedError,
    count,
)
from bulkupdate.journal import ExitCode, Mode, RunDirectory, RunFiles, Summary
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import KEY_VARIABLE, Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.models import RETRIED, SUCCESSES, Outcome
from bulkupdate.reader import is_rules
from bulkupdate.session.settings import ChangeLimit, FailureLimit, RunConfig
from bulkupdate.ui import messages

if TYPE_CHECKING:
    from bulkupdate.fleet.database import Database
    from bulkupdate.lemlist.accounts import Account
    from bulkupdate.stop import Stop

Value = TypeVar("Value")


class _Run(click.IntRange):
    """The id of a run, as PostgreSQL has them."""

    name = "run"

    def __init__(self) -> None:
        super().__init__(1, 2**63 - 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The id as a number. Anything else is wrong usage, and the error says where ids are."""
        try:
            return super().convert(value, param, ctx)
        except click.UsageError:
            self.fail(
                f"{value!r} is no id of a run: 'bulkupdate fleet status' lists them", param, ctx
            )


_RUN = _Run()

database_options = cloup.option_group("Which fleet", dsn_file_option)

verbose_option = option("-v", "--verbose", count=True, help="Log more; -vv logs every request.")
out_option = option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run directory to write.",
)


@click.group("fleet", context_settings={"help_option_names": ["-h", "--help"]})
def fleet_command() -> None:
    """Share the work of many keys between machines that come and go.

    The machines have a PostgreSQL database in common. `fleet init` makes its tables. Workers hold
    the keys and send; `fleet submit` checks a file as `run` does, and hands its edits to them.
    --shared-limit of other commands needs the database too, and no worker.

    BULKUPDATE_FLEET_DSN is the database's DSN: postgresql://user:password@host/name.
    """


def _run(
    screen: Screen,
    dsn_file: Path | None,
    work: "Callable[[Database, Stop], Awaitable[Value]]",
    *,
    verbosity: int = 0,
    may_be_away: bool = False,
    on_signal: str = "stopping (a second signal ends it at once)",
) -> Value:
    """Do work with the database. Exit where it is stopped or can't be reached."""
    check_fleet()
    screen.log(verbosity)

    async def main() -> Value:
        from bulkupdate.fleet.database import DatabaseError
        from bulkupdate.stop import Stop

        stop = Stop()
        stop_on_signals(stop, screen, on_signal)
        try:
            async with open_database(dsn_file, may_be_away=may_be_away) as database:
                return await work(database, stop)
        except RunStoppedError as error:
            screen.error(str(error))
            sys.exit(code_of(stop) or ExitCode.STOPPED)
        except DatabaseError as error:
            screen.error(str(error))
            sys.exit(ExitCode.STOPPED)

    return eventloop.run(main())


@fleet_command.command(
    "init", cls=Command, examples=(("bulkupdate fleet init", "once, and after an update"),)
)
@database_options
@cloup.option_group("What is printed", quiet_option)
def init_command(dsn_file: Path | None, *, quiet: bool) -> None:
    """Make the tables in the database. It may be run again.

    The user of the DSN must be allowed to make tables. Tables of another version are refused, and
    named.

    Exits with 0; with 2 if the tables are of another version, or the DSN is wrong; with 3 if the
    database can't be reached.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():
        check_fleet()
        from bulkupdate.fleet.database import Database, DatabaseError
        from bulkupdate.fleet.dsn import Dsn
        from bulkupdate.fleet.schema import init

        async def main() -> None:
            async with Database(Dsn.find(dsn_file, os.environ)) as database:
                await database.greet()
                was_new = await init(database)
                where = database.dsn.where
            screen.say(f"{where}: tables made" if was_new else f"{where}: tables are there")

        try:
            eventloop.run(main())
        except DatabaseError as error:
            screen.error(str(error))
            sys.exit(ExitCode.REFUSED if error.is_refused else ExitCode.STOPPED)


@dataclass(frozen=True, kw_only=True)
class SubmitFlags(ReadingFlags, ConnectionFlags):
    """The flags of `bulkupdate fleet submit`."""

    dsn_file: Path | None
    wait: bool
    out: Path | None
    skip_invalid: bool
    same_team: bool
    yes: bool
    compare: bool
    unlisted: Literal["conflict", "send"]
    max_changes: ChangeLimit | None
    max_age: float
    allow_few: bool
    rate: Rate
    workers: int
    max_attempts: int
    max_failures: FailureLimit | None
    timeout: float
    give_up_after: float
    strict: bool
    as_json: bool
    log_format: str
    quiet: bool


@fleet_command.command(
    "submit",
    cls=Command,
    examples=(
        ("bulkupdate fleet submit edits.csv", "check it, and hand it to the workers"),
        ("bulkupdate fleet submit edits.csv --wait --out edits.run", "and wait for the results"),
        ("bulkupdate fleet submit clients.csv --accounts accounts.toml", "edits of many teams"),
    ),
)
@input_argument
@database_options
@cloup.option_group(
    "Where results go",
    option("--wait", is_flag=True, help="Show the progress, and collect the results in --out."),
    out_option,
)
@accounts_options
@cloup.option_group(
    "What is sent",
    skip_invalid_option,
    same_team_option,
    yes_option,
    max_failures_option,
    max_attempts_option,
    workers_option,
    strict_option,
)
@cloup.option_group(
    "How INPUT is compared with the tasks",
    option(
        "--compare",
        is_flag=True,
        help="Read the tasks now, and submit only what differs.",
    ),
    unlisted_option,
    max_changes_option,
    option(
        "--max-age",
        default=1800.0,
        show_default=True,
        metavar="S",
        help="Seconds after which rows that still wait are conflicts: the tasks may have changed.",
    ),
    allow_few_option,
    api_key_file_option,
    rate_option,
    timeout_option,
)
@cloup.option_group("Where edits go", base_url_option, proxy_option, give_up_option)
@reading_options
@cloup.option_group("What is printed", json_option, log_format_option, quiet_option)
def submit_command(**given: Any) -> None:
    """Check INPUT whole, as `run` does, and hand its edits to the workers.

    Prints the id of the run. With --compare, or for a file of rules, the tasks are read here, and
    what would change is submitted. Rows that still wait when --max-age has passed are not sent.

    Without --wait, it exits with 0 once all is in the database, with 1 if rows conflict, with 2 if
    INPUT is refused or no worker has had the key of an account, and with 3 if the database can't be
    reached. With --wait, it exits as `run` does. A signal ends the waiting, and not the run.
    """
    flags = SubmitFlags(**given)
    screen = Screen(as_json=flags.log_format == "json", quiet=flags.quiet)
    with screen.errors():
        if flags.wait != (flags.out is not None):
            raise ConfigError("--wait and --out go together: name a run directory")
        forbid_core_dumps()
        check_fleet()
        refuse_no_limit(flags.rate, "a fleet")
        config = _submit_config(flags)

        async def work(database: "Database", stop: "Stop") -> int:
            from bulkupdate.fleet.database import DatabaseError
            from bulkupdate.fleet.lines import waiting_lines
            from bulkupdate.fleet.runs import runs_of
            from bulkupdate.fleet.submission import submit

            if flags.out is not None:
                # Before anything is submitted: a wrong name is a common mistake.
                _check_directory(flags.out)
            observer = screen.observer()
            confirm = question(screen, config, is_answered=flags.yes)
            found = await submit(config, database, stop=stop, observer=observer, confirm=confirm)
            updates = found.preview.requests - found.conflicts
            screen.say(f"run {found.run}: {count(updates, 'update')} submitted")
            if flags.out is None:
                screen.say(f"next: bulkupdate fleet collect {found.run} --out DIR")
                told = (
                    screen.result({"run": found.run})
                    if flags.as_json
                    else screen.lines([str(found.run)])
                )
                if told:
                    return told
                # It is submitted, whatever becomes of the question what it waits for.
                with suppress(DatabaseError):
                    (status,) = await runs_of(database, found.run, counted=False)
                    for line in waiting_lines(status):
                        screen.say(line, "yellow")
                return ExitCode.UNSUCCESSFUL if found.conflicts else ExitCode.DONE
            code = await _collect(
                screen,
                database,
                stop,
                found.run,
                flags.out,
                follow=True,
                as_json=flags.as_json,
                is_shown=True,
            )
            return code or (ExitCode.UNSUCCESSFUL if found.conflicts else ExitCode.DONE)

        told = "the submission is given up" if flags.out is None else "the run goes on without us"
        sys.exit(_run(screen, flags.dsn_file, work, on_signal=f"stopping: {told}"))


def _check_directory(path: Path) -> None:
    """Check that a run directory can be made.

    Raises:
        RunDirectoryError: it can't.
    """
    try:
        RunDirectory.open(path, Mode.NEW).close()
    except RunInUseError:
        raise
    except RunDirectoryError:
        if RunFiles(path).summary.exists():
            # The flags that `run` has for it are none of these commands.
            raise RunDirectoryError(f"{path} holds a run already: name another one") from None
        raise


def _submit_config(flags: SubmitFlags) -> RunConfig:
    compares = flags.compare or is_rules(flags.input_)
    accounts: Accounts | None = None
    endpoint: Endpoint | None = None
    if flags.accounts is not None:
        accounts = flags.accounts_in(flags.accounts, flags.timeout)
    elif compares:
        endpoint = flags.endpoint(flags.timeout)
    else:
        # Without a key it must be known to workers which team is meant.
        try:
            endpoint = flags.endpoint(flags.timeout)
        except ConfigError:
            if flags.api_key_file is not None or os.environ.get(KEY_VARIABLE):
                raise
            from bulkupdate.fleet.teams import NO_KEY

            endpoint = Endpoint(api_key=NO_KEY, base_url=flags.url(), timeout=flags.timeout)
    return RunConfig(
        input=flags.input_,
        endpoint=endpoint,
        accounts=accounts,
        account=flags.account,
        read=flags.read_options(),
        merge_duplicates=flags.merge_duplicates,
        allow_empty=flags.allow_empty,
        skip_invalid=flags.skip_invalid,
        same_team=flags.same_team,
        compare=compares,
        unlisted=flags.unlisted,
        max_age=flags.max_age,
        max_changes=flags.max_changes,
        allow_few=flags.allow_few,
        yes=flags.yes,
        rate=flags.rate,
        workers=flags.workers,
        retry=RetryPolicy(max_attempts=flags.max_attempts, give_up_after=flags.give_up_after),
        max_failures=flags.max_failures,
        strict=flags.strict,
    )


@fleet_command.command(
    "collect",
    cls=Command,
    examples=(
        ("bulkupdate fleet collect 12 --out edits.run", "what became of the rows so far"),
        ("bulkupdate fleet collect 12 --out edits.run --wait", "wait until the run has ended"),
        ("bulkupdate fleet collect 12 --out edits.run --forget", "and remove it from the database"),
    ),
)
@cloup.argument("run", metavar="RUN", type=_RUN)
@database_options
@cloup.option_group(
    "Where results go",
    option(
        "--out",
        type=click.Path(path_type=Path),
        required=True,
        metavar="DIR",
        help="Run directory to write, or to bring up to date.",
    ),
    option("--wait", is_flag=True, help="Wait until the run has ended, and show its progress."),
    option(
        "--forget",
        is_flag=True,
        help="Remove the run, with its rows and its input, from the database once it has ended.",
    ),
)
@cloup.option_group("What is printed", json_option, log_format_option, quiet_option)
def collect_command(
    run: int,
    *,
    dsn_file: Path | None,
    out: Path,
    wait: bool,
    forget: bool,
    as_json: bool,
    log_format: str,
    quiet: bool,
) -> None:
    """Write what became of RUN to a run directory, like that of a local run.

    `report`, `undo`, `history` and `run --retry-failed` work on it. It may be collected again.

    Exits as `run` does; with 3 while RUN is under way.
    """
    screen = Screen(as_json=log_format == "json", quiet=quiet)
    with screen.errors():

        async def work(database: "Database", stop: "Stop") -> int:
            return await _collect(
                screen, database, stop, run, out, follow=wait, forget_it=forget, as_json=as_json
            )

        sys.exit(_run(screen, dsn_file, work))


async def _collect(
    screen: Screen,
    database: "Database",
    stop: "Stop",
    run: int,
    out: Path,
    *,
    follow: bool,
    as_json: bool,
    forget_it: bool = False,
    is_shown: bool = False,
) -> int:
    from bulkupdate.fleet.collection import collect, is_whole

    summary: Summary = await collect(
        database,
        run,
        out,
        follow=follow,
        forget_it=forget_it,
        stop=stop,
        observer=screen.observer(),
        is_shown=is_shown,
    )
    screen.summary(summary)
    if forget_it:
        kept = "is kept in the database: not all of it is on disk yet"
        screen.say(f"run {run} {'is forgotten' if is_whole(summary) else kept}")
    unwritten = screen.result(summary) if as_json else ExitCode.DONE
    if not is_whole(summary):
        screen.say(f"run {run} goes on: bulkupdate fleet collect {run} --out {out} --wait")
    elif forget_it:
        pass
    elif summary.stopped_by is not None:
        screen.say(f"to send the rest: bulkupdate fleet retry {run}")
    else:
        for line in _next_lines(run, summary):
            screen.say(line)
    return summary.exit_code or unwritten


def _next_lines(run: int, summary: Summary) -> Iterator[str]:
    """What to do about the rows of a whole run that did not succeed."""
    found = {outcome for outcome in Outcome if summary.counts[outcome]} - SUCCESSES
    if found & RETRIED:
        how = (
            "submit the file again"
            if summary.compared
            else f"bulkupdate fleet retry {run} --failed"
        )
        yield f"to send failed rows again: {how}"
    if found - RETRIED:
        failed = quoted(messages.failed_file(summary))
        yield f"once the invalid rows are fixed: bulkupdate fleet submit {failed}"


@fleet_command.command(
    "worker",
    cls=Command,
    examples=(
        ("bulkupdate fleet worker", "work for the key in $LEMLIST_API_KEY"),
        ("bulkupdate fleet worker --accounts accounts.toml", "for many keys"),
    ),
)
@database_options
@cloup.option_group(
    "Whom it works for",
    accounts_option,
    base_url_option,
    api_key_file_option,
    proxy_option,
    timeout_option,
)
@cloup.option_group(
    "How it works",
    option(
        "--concurrency",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        metavar="N",
        help="Accounts to send for at the same time. One that waits for its server is no matter.",
    ),
    option(
        "--lease",
        type=click.FloatRange(min=0.5),
        default=30.0,
        show_default=True,
        metavar="S",
        help="Seconds without a heartbeat after which others take its jobs.",
    ),
    drain_timeout_option,
    option(
        "--give-up-after",
        default=600.0,
        show_default=True,
        metavar="S",
        help="Most seconds to wait for a database that is away.",
    ),
)
@cloup.option_group(
    "What is printed",
    option(
        "--health-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File to touch with each heartbeat, for a probe.",
    ),
    metrics_file_option,
    log_format_option,
    verbose_option,
    quiet_option,
)
def worker_command(
    *,
    dsn_file: Path | None,
    accounts: Path | None,
    base_url: str | None,
    api_key_file: Path | None,
    proxy: bool,
    timeout: float,
    concurrency: int,
    lease: float,
    drain_timeout: float,
    give_up_after: float,
    health_file: Path | None,
    metrics_file: Path | None,
    log_format: str,
    verbose: int,
    quiet: bool,
) -> None:
    """Send what was submitted, until a signal. Any number of workers may work, anywhere.

    A worker asks which team each of its keys is of, and takes only jobs of these teams. SIGTERM or
    Ctrl-C drains it: requests in flight end, and its jobs go to others.

    Exits with 0 after SIGTERM or Ctrl-C; with 2 if a flag is wrong or no key can be used; with 3 if
    the database was away for too long.
    """
    screen = Screen(as_json=log_format == "json", quiet=quiet)
    with screen.errors():
        forbid_core_dumps()
        connection = ConnectionFlags(
            base_url=base_url, api_key_file=api_key_file, proxy=proxy, accounts=accounts
        )
        found = _accounts_of(connection, timeout)
        check_fleet()
        if metrics_file is not None:
            check_output("metrics_file", metrics_file)
        if health_file is not None:
            check_output("health_file", health_file)

        async def work(database: "Database", stop: "Stop") -> None:
            from bulkupdate.fleet.worker import Worker, WorkerConfig

            config = WorkerConfig(
                concurrency=concurrency,
                lease=lease,
                drain_timeout=drain_timeout,
                give_up_after=give_up_after,
                health_file=health_file,
            )
            worker = Worker(database, found, config, stop)
            async with AsyncExitStack() as stack:
                if metrics_file is not None:
                    from bulkupdate.ui.workermetrics import WorkerMetrics

                    metrics = WorkerMetrics.open(metrics_file, config.name)
                    await stack.enter_async_context(metrics.writing(worker.numbers))
                await worker.run()

        if not quiet:
            # That it works, and for whom, is worth a line.
            logging.getLogger("bulkupdate.fleet").setLevel(logging.INFO)
        told = "draining: requests in flight may end (a second signal ends it at once)"
        _run(
            screen,
            dsn_file,
            work,
            verbosity=-1 if quiet else verbose,
            may_be_away=True,
            on_signal=told,
        )


def _accounts_of(flags: ConnectionFlags, timeout: float) -> "list[Account]":
    from bulkupdate.lemlist.accounts import Account

    accounts = flags.found_accounts(timeout)
    if accounts is None:
        return [Account.only(flags.endpoint(timeout))]
    return [*accounts.values()]


@fleet_command.command(
    "status",
    cls=Command,
    examples=(
        ("bulkupdate fleet status", "all runs, and the workers"),
        ("bulkupdate fleet status 12", "one run, account by account"),
    ),
)
@cloup.argument("run", metavar="[RUN]", type=_RUN, required=False)
@database_options
@cloup.option_group("What is printed", json_option, quiet_option)
def status_command(run: int | None, *, dsn_file: Path | None, as_json: bool, quiet: bool) -> None:
    """Show the runs and the workers, or one run account by account.

    With --json, each run is a JSON object on a line, and so is each worker.

    Exits with 0, however the runs are; with 2 if there is no such run; with 3 if the database can't
    be reached, or stdout can't be written.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():

        async def work(database: "Database", stop: "Stop") -> int:  # noqa: ARG001
            from bulkupdate.fleet.lines import records, run_lines, status_lines
            from bulkupdate.fleet.runs import runs_of, workers_of

            runs = await runs_of(database, run)
            workers = await workers_of(database) if run is None else []
            if as_json:
                return screen.lines(records(runs, workers))
            if run is not None:
                return screen.lines(run_lines(runs[0]))
            return screen.lines(status_lines(runs, workers))

        sys.exit(_run(screen, dsn_file, work))


@fleet_command.command(
    "cancel", cls=Command, examples=(("bulkupdate fleet cancel 12", "send nothing more of it"),)
)
@cloup.argument("run", metavar="RUN", type=_RUN)
@database_options
@cloup.option_group("What is printed", quiet_option)
def cancel_command(run: int, *, dsn_file: Path | None, quiet: bool) -> None:
    """Cancel RUN: on no host any more of its requests start. Those in flight end.

    `fleet collect` shows what was sent before, and `fleet retry` lets it go on.

    Exits with 0, also if it was cancelled before; with 2 if there is no such run, or it has ended.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():

        async def work(database: "Database", stop: "Stop") -> None:  # noqa: ARG001
            from bulkupdate.fleet.runs import cancel

            was_new = await cancel(database, run)
            screen.say(f"run {run}: cancelled" if was_new else f"run {run}: was cancelled already")

        _run(screen, dsn_file, work)


@fleet_command.command(
    "retry",
    cls=Command,
    examples=(
        ("bulkupdate fleet retry 12", "go on with what is left"),
        ("bulkupdate fleet retry 12 --failed", "and send failed rows again"),
    ),
)
@cloup.argument("run", metavar="RUN", type=_RUN)
@database_options
@cloup.option_group(
    "What is sent again",
    option(
        "--failed",
        is_flag=True,
        help="Also failed, unconfirmed and conflicting rows, and later rows of their tasks.",
    ),
)
@cloup.option_group("What is printed", quiet_option)
def retry_command(run: int, *, dsn_file: Path | None, failed: bool, quiet: bool) -> None:
    """Let RUN go on: with accounts that have stopped, rows that were set aside, or cancelled.

    Rows that were in conflict when the tasks were compared are not sent: submit the file again.

    Exits with 0; with 2 if there is no such run, it is under way, or nothing of it is left to send.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():

        async def work(database: "Database", stop: "Stop") -> None:  # noqa: ARG001
            from bulkupdate.fleet.runs import retry

            left = await retry(database, run, failed=failed)
            screen.say(f"run {run}: {count(left, 'row')} left to send")

        _run(screen, dsn_file, work)
