"""The command `bulkupdate sandbox`."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from bulkupdate.cli import eventloop
from bulkupdate.cli.command import Command
from bulkupdate.cli.openfiles import room_for_sandbox
from bulkupdate.cli.options import RATE, Setting
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.screen import Screen
from bulkupdate.errors import ConfigError, count
from bulkupdate.lemlist.rate import LEMLIST_RATE

if TYPE_CHECKING:
    from bulkupdate.sandbox import SandboxConfig


def _fault(text: str) -> tuple[str, float]:
    name, equals, probability = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is not a fault: write it as 500=0.1")
    return name, float(probability)


def _latency(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    return float(low), float(high or low)


def _outage(text: str) -> tuple[float, float]:
    begin, colon, length = text.partition(":")
    if not colon:
        raise ConfigError(f"{text!r} is not an outage: write it as 10:60")
    return float(begin), float(length)


def _closed(text: str) -> tuple[str, int | str]:
    route, equals, answer = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} closes no route: write it as team=402 or team=html")
    return route, int(answer) if answer.isdecimal() else answer


@cloup.command("sandbox", cls=Command)
@cloup.option_group(
    "Where it listens",
    cloup.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    cloup.option("--expose", is_flag=True, help="Allow a --host that other machines can reach."),
    cloup.option(
        "--port", default=8025, show_default=True, help="Port to listen on. 0 picks a free port."
    ),
    cloup.option(
        "--api-key",
        default="sandbox",
        show_default=True,
        help="API key to accept. Don't use a real one.",
    ),
)
@cloup.option_group(
    "Limit and faults",
    cloup.option(
        "--rate",
        type=RATE,
        default="auto",
        metavar="N/Ss|none",
        help="Rate limit.  [default: 20/2s]",
    ),
    cloup.option(
        "--window",
        type=click.Choice(["fixed", "clock", "sliding", "bucket"]),
        default="fixed",
        show_default=True,
        help="Way of counting requests. fixed is the best guess at lemlist's own way.",
    ),
    cloup.option(
        "--latency",
        type=Setting("latency", _latency),
        default="0",
        show_default=True,
        metavar="MIN:MAX",
        help="Milliseconds on the way to the server, and on the way back.",
    ),
    cloup.option(
        "--fault",
        "faults",
        type=Setting("fault", _fault),
        multiple=True,
        metavar="NAME=P",
        help="Fault and its probability, as in 500=0.1. Faults: 500, 503, reset-before,"
        " reset-after, hang, cut, malformed, html. Can be given several times.",
    ),
    cloup.option(
        "--outage",
        "outages",
        type=Setting("outage", _outage),
        multiple=True,
        metavar="BEGIN:LENGTH",
        help="Outage: every answer is a 503 for LENGTH seconds, beginning BEGIN seconds after the"
        " first request. Can be given several times.",
    ),
    cloup.option("--seed", default=0, show_default=True, help="Seed of every random choice."),
)
@cloup.option_group(
    "What a PATCH does",
    cloup.option(
        "--unknown-id",
        type=click.Choice(["404", "400", "create"]),
        default="404",
        show_default=True,
        help="Answer to an unknown id. lemlist's own answer is not known.",
    ),
    cloup.option(
        "--done-false",
        type=click.Choice(["reopens", "ignored"]),
        default="reopens",
        show_default=True,
        help="What done: false does with a completed task. lemlist's own way is not known.",
    ),
    cloup.option("--trim", is_flag=True, help="Trim titles and messages in each answer."),
)
@cloup.option_group(
    "What GET /tasks shows",
    cloup.option("--filters-required", is_flag=True, help="Refuse GET /tasks without filters."),
    cloup.option(
        "--page-size",
        default=100,
        show_default=True,
        metavar="N",
        help="Number of tasks on a page. lemlist's own number is not known.",
    ),
    cloup.option(
        "--after-last",
        type=click.Choice(["empty", "repeat", "404"]),
        default="empty",
        show_default=True,
        help="Answer to a page after the last one: no tasks, the last page again, or a 404.",
    ),
    cloup.option(
        "--order",
        type=click.Choice(["team", "newest", "random"]),
        default="team",
        show_default=True,
        help="Order of the tasks. random is another order at each request.",
    ),
    cloup.option(
        "--ignore-filter",
        "ignored_filters",
        multiple=True,
        metavar="NAME",
        help="Filter that has no effect, as in dueDate, or all. Can be given several times.",
    ),
    cloup.option(
        "--due-bounds",
        type=click.Choice(["inclusive", "exclusive"]),
        default="inclusive",
        show_default=True,
        help="Whether the days of the filter dueDate belong to its range.",
    ),
    cloup.option(
        "--hide",
        "hidden",
        multiple=True,
        metavar="FIELD",
        help="Field of a Task that the list does not show, as in content. Can be given several"
        " times.",
    ),
    cloup.option(
        "--shift",
        default=0,
        show_default=True,
        metavar="N",
        help="Number of new tasks that appear at the beginning of the list when a page was read.",
    ),
    cloup.option(
        "--elsewhere",
        default=0.0,
        show_default=True,
        metavar="P",
        help="Probability that another user completes a task when a page was read.",
    ),
    cloup.option(
        "--lag",
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="How long until the list shows a change.",
    ),
)
@cloup.option_group(
    "Routes beside the tasks",
    cloup.option(
        "--closed",
        type=Setting("closed", _closed),
        multiple=True,
        metavar="ROUTE=STATUS",
        help="Route that is closed, and its answer: team=402, users=404, senders=402, or team=html"
        " for a 200 with the web app. Can be given several times.",
    ),
    cloup.option(
        "--team-version",
        type=click.Choice(["1", "2"]),
        default="2",
        show_default=True,
        help="Newest version of GET /team. Version 2 has the names of the members.",
    ),
)
@cloup.option_group(
    "Files",
    cloup.option(
        "--tasks",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File with the tasks: JSONL of Tasks from the API, or a file of edits with their ids."
        "  [default: an invented team]",
    ),
    cloup.option(
        "--log",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File that gets a JSON line for every request, with its query, its body and"
        " the applied edit.",
    ),
)
def sandbox_command(**flags: Any) -> None:
    """Serve a local stand-in of lemlist's tasks API until Ctrl-C."""
    screen = Screen()
    with screen.errors():
        _check_log(flags["log"], flags["tasks"])
        room_for_sandbox()
        eventloop.run(_serve(_sandbox_config(flags), flags["tasks"], screen))


def _check_log(log: Path | None, tasks: Path | None) -> None:
    if log is None:
        return
    check_output("log", log)
    if tasks is not None and log.exists() and tasks.exists() and log.samefile(tasks):
        raise ConfigError(f"--log {log} is the file of --tasks: name another file")


def _sandbox_config(flags: dict[str, Any]) -> "SandboxConfig":
    from bulkupdate.sandbox import AfterLast, Bounds, Fault, Order, SandboxConfig, Unknown, Window

    try:
        faults = {Fault(name): probability for name, probability in flags["faults"]}
    except ValueError as error:
        known = ", ".join(Fault)
        raise ConfigError(f"{error}: known faults are {known}") from None
    return SandboxConfig(
        host=flags["host"],
        exposed=flags["expose"],
        port=flags["port"],
        key=flags["api_key"],
        rate=LEMLIST_RATE if flags["rate"] == "auto" else flags["rate"],
        window=Window(flags["window"]),
        latency=flags["latency"],
        faults=faults,
        outages=flags["outages"],
        unknown=Unknown(flags["unknown_id"]),
        filters_required=flags["filters_required"],
        page_size=flags["page_size"],
        after_last=AfterLast(flags["after_last"]),
        order=Order(flags["order"]),
        ignored_filters=flags["ignored_filters"],
        due_bounds=Bounds(flags["due_bounds"]),
        hidden=flags["hidden"],
        shift=flags["shift"],
        elsewhere=flags["elsewhere"],
        lag=flags["lag"],
        reopens=flags["done_false"] == "reopens",
        trims=flags["trim"],
        closed=dict(flags["closed"]),
        team_version=int(flags["team_version"]),
        seed=flags["seed"],
        log=flags["log"],
    )


async def _serve(config: "SandboxConfig", tasks: Path | None, screen: Screen) -> None:
    from bulkupdate.sandbox import Sandbox, made_up_team, team_of

    team = team_of(tasks) if tasks else made_up_team()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        async with Sandbox(config, team) as sandbox:
            screen.say(f"{sandbox.base_url} holds {count(len(team.tasks), 'task')}")
            screen.say(f"  LEMLIST_BASE_URL={sandbox.base_url} LEMLIST_API_KEY={config.key}")
            await ended.wait()
    except OSError as error:
        raise ConfigError(f"can't serve on {config.host}:{config.port}: {error}") from error
    by_status = ", ".join(f"{status}: {n:,}" for status, n in sorted(sandbox.requests.items()))
    total = count(sum(sandbox.requests.values()), "request")
    screen.say(f"{total}{f' ({by_status})' if by_status else ''}")
