"""`bulkupdate run`."""

import asyncio
import os
import secrets
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bulkupdate import messages
from bulkupdate.cli import eventloop
from bulkupdate.cli.check import check
from bulkupdate.cli.command import Command, point_out_strangers
from bulkupdate.cli.next_lines import next_lines
from bulkupdate.cli.options import (
    READING_GROUP,
    Setting,
    input_argument,
    json_option,
    merge_option,
    quiet_option,
    rate_option,
    read_options,
    reading_options,
)
from bulkupdate.cli.screen import IN_USE, INTERRUPTED, STOPPED, USAGE, Screen
from bulkupdate.config import (
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    LEMLIST_RATE,
    MAX_WORKERS,
    ApiKey,
    Endpoint,
    FailureLimit,
    Mode,
    RetryPolicy,
    RunConfig,
    deadline,
)
from bulkupdate.errors import BulkUpdateError, ConfigError, RunStoppedError
from bulkupdate.report import check_installed, write_report
from bulkupdate.summary import State, Summary

if TYPE_CHECKING:
    from bulkupdate.metrics import MetricsFile
    from bulkupdate.observer import Observer
    from bulkupdate.sandbox import Sandbox
    from bulkupdate.stop import Stop


_GROUPS = {
    "Where results go": (
        "--out", "--resume", "--overwrite", "--retry-failed", "--changed-input",
    ),
    "Where edits go": ("--base-url", "--api-key-file", "--sandbox", "--proxy"),
    "What is sent": ("--dry-run", "--first", "--skip-invalid"),
    **READING_GROUP,
    "How fast, and how often": ("--rate", "--workers", "--max-attempts", "--timeout"),
    "When to stop": (
        "--deadline", "--max-failures", "--give-up-after", "--drain-timeout", "--strict",
    ),
    "What is said": (
        "--json", "--report", "--metrics-file", "--log-format", "--verbose", "--quiet",
    ),
}  # fmt: skip

_EXAMPLES = (
    ("bulkupdate run edits.csv --sandbox", "try it on a stand-in on this machine"),
    ("bulkupdate run edits.csv --first 10", "send ten rows, to look at them in lemlist"),
    ("bulkupdate run edits.csv --resume", "go on with the rest"),
    ("bulkupdate run edits.csv --resume --retry-failed", "try again what failed"),
)


@click.command("run", cls=Command, groups=_GROUPS, examples=_EXAMPLES)
@input_argument
@reading_options
@merge_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The run directory.  [default: INPUT's name with .run for its suffix]",
)
@click.option("--resume", is_flag=True, help="Go on with the run that is there.")
@click.option("--overwrite", is_flag=True, help="Start the run that is there again.")
@click.option(
    "--retry-failed",
    is_flag=True,
    help="With --resume: also try again what failed or stayed unconfirmed.",
)
@click.option(
    "--changed-input",
    is_flag=True,
    help="With --resume: go on though INPUT has been edited since.",
)
@click.option(
    "--base-url",
    metavar="URL",
    help=f"Where to send.  [default: ${BASE_URL_VARIABLE}, else {DEFAULT_BASE_URL}]",
)
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file that holds the API key.  [default: the key in $LEMLIST_API_KEY]",
)
@click.option(
    "--sandbox", is_flag=True, help="Send to a local stand-in that holds the tasks of INPUT."
)
@rate_option
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=16,
    show_default=True,
    metavar="N",
    help="Requests in flight at most.",
)
@click.option(
    "--max-attempts",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Attempts for one row; being rate limited does not count.",
)
@click.option(
    "--timeout", default=30.0, show_default=True, metavar="S", help="Seconds for one attempt."
)
@click.option(
    "--drain-timeout",
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds that requests in flight get to end when the run is stopped.",
)
@click.option(
    "--give-up-after",
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait for a server that is down.",
)
@click.option(
    "--deadline",
    type=Setting("deadline", deadline),
    metavar="HH:MM|+2h",
    help="When all is to be over, by this machine's clock; --resume goes on with the rest.",
)
@click.option(
    "--max-failures",
    type=Setting("failures", FailureLimit.parse),
    metavar="N|N%",
    help="Stop once so many rows did not go through, or such a share of 100 or more.",
)
@click.option(
    "--strict", is_flag=True, help="Exit with 1 if a Task comes back with other values than sent."
)
@click.option("--proxy", is_flag=True, help="Obey HTTPS_PROXY and its like.")
@click.option(
    "--skip-invalid", is_flag=True, help="Send the valid rows of a file that has invalid ones."
)
@click.option(
    "--first",
    type=click.IntRange(min=1),
    metavar="N",
    help="Send N rows and stop; --resume goes on from there.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, show it, send nothing.")
@json_option
@click.option(
    "--report", is_flag=True, help="Write report.html to the run directory, for people to read."
)
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write how it stands and ends to FILE, for Prometheus' node exporter.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What goes to stderr when nobody watches.",
)
@click.option("-v", "--verbose", count=True, help="Say what is retried; twice: every request.")
@quiet_option
@click.pass_context
def run_command(ctx: click.Context, /, **flags: Any) -> None:
    """Send the edits of INPUT: CSV, TSV, JSONL or a spreadsheet, compressed or not; - is stdin.

    \b
    Exit code:
      0         every row is updated or unchanged
      1         finished, and at least one row is invalid, failed or unconfirmed
      2         wrong usage, or INPUT was refused: nothing was sent
      3         stopped early: key refused, server down for too long, too many failures, the
                deadline is near, more than 5 minutes to wait for the rate limit, results could not
                be written
      4         another run is at it in the same directory: nothing was sent
      129, 130, 143   stopped by SIGHUP, Ctrl-C, SIGTERM: everything is written, --resume goes on
    """  # noqa: D301 - click wants the \b
    screen = Screen(as_json=flags["log_format"] == "json", quiet=flags["quiet"])
    screen.log(flags["verbose"])
    point_out_strangers(ctx, screen.say)
    metrics: MetricsFile | None = None
    try:
        with screen.errors():
            _prefer_command_line(ctx, flags)
            if flags["dry_run"]:
                preview = check(screen, flags)
                sys.exit((1 if flags["skip_invalid"] else USAGE) if preview.invalid else 0)
            if flags["report"]:
                # Not in the end, three hours later.
                check_installed()
            metrics = _metrics(flags["metrics_file"])
            config = _run_config(flags)
            observers = [screen.observer(), *([metrics] if metrics else [])]
            summary = eventloop.run(_run(config, screen, observers, sandboxed=flags["sandbox"]))
            if metrics is not None:
                metrics.ended(summary)
            screen.summary(summary)
            if flags["report"]:
                _report(config.directory, screen)
            if flags["as_json"]:
                screen.result(summary)
            for line in next_lines(ctx, summary):
                screen.say(line)
            sys.exit(summary.exit_code)
    except SystemExit as leaving:
        # The run that is under way writes the metrics of that.
        if metrics is not None and not metrics.has_ended and leaving.code != IN_USE:
            metrics.refused(int(leaving.code or 0))
        raise


def _report(directory: Path, screen: Screen) -> None:
    """Write the report. Where that fails the run has ended as it has."""
    try:
        screen.say(f"report: {write_report(directory)}")
    except BulkUpdateError as error:
        screen.error(f"no report: {error}")


def _prefer_command_line(ctx: click.Context, flags: dict[str, Any]) -> None:
    """Let a `--sandbox` that was typed win over a URL and a key that lie in the environment."""
    if ctx.get_parameter_source("sandbox") is ParameterSource.COMMANDLINE:
        for name in ("base_url", "api_key_file"):
            if ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
                flags[name] = None


def _run_config(flags: dict[str, Any]) -> RunConfig:
    if flags["resume"] and flags["overwrite"]:
        raise ConfigError("--resume goes on with a run, --overwrite starts it again: choose one")
    if flags["sandbox"] and (flags["base_url"] or flags["api_key_file"]):
        raise ConfigError("--sandbox brings its own URL and key: leave the other two out")
    mode = Mode.RESUME if flags["resume"] else Mode.NEW
    return RunConfig(
        input=flags["input_"],
        endpoint=_endpoint(flags),
        read=read_options(flags),
        merge_duplicates=flags["merge_duplicates"],
        out=flags["out"],
        mode=Mode.OVERWRITE if flags["overwrite"] else mode,
        changed_input=flags["changed_input"],
        retry_failed=flags["retry_failed"],
        skip_invalid=flags["skip_invalid"],
        first=flags["first"],
        rate=flags["rate"],
        workers=flags["workers"],
        retry=RetryPolicy(max_attempts=flags["max_attempts"], give_up_after=flags["give_up_after"]),
        drain_timeout=flags["drain_timeout"],
        max_failures=flags["max_failures"],
        deadline=flags["deadline"],
        sandbox=flags["sandbox"],
        strict=flags["strict"],
    )


def _endpoint(flags: dict[str, Any]) -> Endpoint:
    if flags["sandbox"]:
        key = ApiKey(secrets.token_hex(16))
        return Endpoint(api_key=key, base_url="http://127.0.0.1", timeout=flags["timeout"])
    base_url = flags["base_url"]
    if base_url is None:
        # Set and empty is a mistake, not the real thing: "$STAGING" may have been empty.
        base_url = os.environ.get(BASE_URL_VARIABLE, DEFAULT_BASE_URL)
    return Endpoint(
        base_url=base_url,
        api_key=ApiKey.find(flags["api_key_file"], os.environ),
        timeout=flags["timeout"],
        use_proxy=flags["proxy"],
    )


def _metrics(path: Path | None) -> "MetricsFile | None":
    if path is None:
        return None
    from bulkupdate.metrics import MetricsFile

    return MetricsFile(path)


async def _run(
    config: RunConfig, screen: Screen, observers: "list[Observer]", *, sandboxed: bool
) -> Summary:
    from bulkupdate.observer import Observers
    from bulkupdate.pipeline import run
    from bulkupdate.stop import Stop

    stop = Stop()
    _stop_on_signals(stop, screen)
    async with AsyncExitStack() as stack:
        if sandboxed:
            sandbox = await stack.enter_async_context(_own_sandbox(config))
            config = _sent_to(config, sandbox.base_url)
        try:
            summary = await run(config, stop=stop, observer=Observers(observers))
        except RunStoppedError as error:
            screen.error(str(error))
            sys.exit(stop.exit_code or STOPPED)
        except asyncio.CancelledError:
            begun = (config.directory / "summary.json").exists()
            rest = f"--resume goes on with {config.directory}" if begun else "nothing was sent"
            screen.error(f"left at once: {rest}")
            sys.exit(stop.exit_code or INTERRUPTED)
        if sandboxed:
            seen = sum(sandbox.requests.values())
            screen.say(f"the sandbox saw {messages.count(seen, 'request')}")
    return summary


def _own_sandbox(config: RunConfig) -> "Sandbox":
    """A stand-in for one run: every id of the input is a task of it."""
    from bulkupdate.sandbox import Sandbox, SandboxConfig, Team, Unknown

    return Sandbox(
        SandboxConfig(
            key=config.endpoint.api_key.reveal(),
            rate=None if config.rate is None else LEMLIST_RATE,
            unknown=Unknown.CREATE,
        ),
        team=Team(),
    )


def _sent_to(config: RunConfig, base_url: str) -> RunConfig:
    return replace(config, endpoint=replace(config.endpoint, base_url=base_url))


def _stop_on_signals(stop: "Stop", screen: Screen) -> None:
    """Let the first signal stop the run, and the second end it at once."""
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    received: list[int] = []

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        if len(received) > 1 and running is not None:
            running.cancel()
            return
        screen.say("stopping: letting requests in flight end (once more to leave at once)")
        reason = f"interrupted by {number.name}"
        stop.set(reason, state=State.INTERRUPTED, exit_code=128 + number)

    for number in signals:
        # `nohup` has a closed terminal ignored.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on_signal, number)
