"""The command `bulkupdate sandbox`."""

import asyncio
import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from click.core import ParameterSource

from bulkupdate.cli import eventloop
from bulkupdate.cli.command import Command
from bulkupdate.cli.connection import forbid_core_dumps
from bulkupdate.cli.openfiles import room_for_sandbox
from bulkupdate.cli.options import RATE, Setting
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.screen import Screen
from bulkupdate.errors import ConfigError, count
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import BASE_URL_VARIABLE, DEFAULT_BASE_URL, is_loopback
from bulkupdate.lemlist.rate import LEMLIST_RATE

if TYPE_CHECKING:
    from collections import Counter

    from bulkupdate.sandbox import Sandbox, SandboxConfig

_HOST, _PORT = "127.0.0.1", 8025

#: Number of accounts of an example.
_ACCOUNTS = 3

#: Number of accounts to show.
_SHOWN = 20


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
    cloup.option("--host", default=_HOST, show_default=True, help="Address to listen on."),
    cloup.option("--expose", is_flag=True, help="Allow a --host that other machines can reach."),
    cloup.option(
        "--port", default=_PORT, show_default=True, help="Port to listen on. 0 picks a free port."
    ),
    cloup.option(
        "--api-key",
        default="sandbox",
        show_default=True,
        help="API key to accept. Don't use a real one.",
    ),
)
@cloup.option_group(
    "Several accounts",
    cloup.option(
        "--accounts",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File of accounts (TOML), whose keys are accepted. Each account has its own team and"
        " limit.",
    ),
    cloup.option(
        "--make-keys",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Serve nothing: write an example of a file of accounts, with new keys, into a new"
        " folder.",
    ),
    cloup.option(
        "--count",
        "number",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="With --make-keys: number of accounts; 3 if it is not given.",
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
@click.pass_context
def sandbox_command(ctx: click.Context, /, **flags: Any) -> None:
    """Serve a local stand-in of lemlist's tasks API until Ctrl-C."""
    screen = Screen()
    with screen.errors():
        _check_rivals(ctx, flags)
        if flags["make_keys"] is not None:
            _make_keys(flags, screen)
            return
        _check_log(flags["log"], flags["tasks"])
        room_for_sandbox()
        eventloop.run(_serve(_sandbox_config(flags), flags["accounts"], flags["tasks"], screen))


def _check_rivals(ctx: click.Context, flags: dict[str, Any]) -> None:
    """Refuse flags that have no effect beside others."""
    if flags["make_keys"] is not None and flags["accounts"] is not None:
        raise ConfigError("--make-keys writes a file of accounts: leave out --accounts")
    if flags["number"] is not None and flags["make_keys"] is None:
        raise ConfigError("--count is the number of accounts of --make-keys: give both")
    has_key = ctx.get_parameter_source("api_key") is ParameterSource.COMMANDLINE
    if flags["accounts"] is not None and has_key:
        raise ConfigError("--accounts says where the keys are: leave out --api-key")


def _make_keys(flags: dict[str, Any], screen: Screen) -> None:
    from bulkupdate.sandbox import url_of, write_accounts

    host, port, folder = flags["host"], flags["port"], flags["make_keys"]
    # The keys of the example must reach no other server. A free port is not known yet.
    base_url = url_of(host, port) if port and is_loopback(host) else None
    names = write_accounts(folder, flags["number"] or _ACCOUNTS, base_url)
    path = folder / "accounts.toml"
    listens = ["--host", host] if host != _HOST else []
    listens += ["--port", str(port)] if port != _PORT else []
    screen.say(f"{path} names {count(len(names), 'account')}: {_list(names)}")
    screen.say(f"  {shlex.join(['bulkupdate', 'sandbox', '--accounts', str(path), *listens])}")


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


async def _serve(
    config: "SandboxConfig", file: Path | None, tasks: Path | None, screen: Screen
) -> None:
    sandbox, accounts = _sandbox(config, file, tasks)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        async with sandbox:
            for line in _greeting(sandbox):
                screen.say(line)
            for line in () if file is None else _ways(sandbox.base_url, file, accounts):
                screen.say(line)
            await ended.wait()
    except OSError as error:
        raise ConfigError(f"can't serve on {config.host}:{config.port}: {error}") from error
    for line in _farewell(sandbox):
        screen.say(line)


def _sandbox(
    config: "SandboxConfig", file: Path | None, tasks: Path | None
) -> tuple["Sandbox", Accounts]:
    """A sandbox for one key, or for the keys of a file of accounts; and these accounts."""
    from bulkupdate.sandbox import Sandbox, made_up_team, sandbox_accounts, team_of, teams_of

    if file is None:
        return Sandbox(config, team_of(tasks) if tasks else made_up_team()), Accounts(())
    forbid_core_dumps()
    accounts = Accounts.load(file, environ=os.environ)
    teams = teams_of(tasks, accounts) if tasks else {name: made_up_team(name) for name in accounts}
    return Sandbox(config, accounts=sandbox_accounts(accounts, teams)), accounts


def _greeting(sandbox: "Sandbox") -> Iterator[str]:
    """What is served. Keys of accounts are not shown."""
    url = sandbox.base_url
    if not sandbox.accounts:
        yield f"{url} holds {count(len(sandbox.team.tasks), 'task')}"
        yield f"  LEMLIST_BASE_URL={url} LEMLIST_API_KEY={sandbox.config.key}"
        return
    teams = {name: account.team for name, account in sandbox.accounts.items()}
    tasks = count(sum(len(team.tasks) for team in teams.values()), "task")
    yield f"{url} holds {tasks} of {count(len(teams), 'account')}"
    first = [*teams][:_SHOWN]
    width = max(map(len, first))
    for name in first:
        yield f"  {name:{width}}  {teams[name].id}  {count(len(teams[name].tasks), 'task')}"
    if len(teams) > _SHOWN:
        yield f"  … and {len(teams) - _SHOWN:,} more"


def _ways(url: str, file: Path, accounts: Accounts) -> Iterator[str]:
    """The next command, and a warning of accounts that do not get here."""
    urls = {
        name: account.base_url.replace("//localhost:", "//127.0.0.1:")
        for name, account in accounts.items()
    }
    elsewhere = [name for name, own in urls.items() if own not in (url, DEFAULT_BASE_URL)]
    if elsewhere:
        yield f"  requests of {_list(elsewhere)} go elsewhere: {file} gives another base_url"
    variable = f"{BASE_URL_VARIABLE}={url} " if DEFAULT_BASE_URL in urls.values() else ""
    yield f"  {variable}{shlex.join(['bulkupdate', 'accounts', str(file)])}"


def _list(names: Sequence[str]) -> str:
    """The first names."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _farewell(sandbox: "Sandbox") -> Iterator[str]:
    """What was served, by account where there are several."""
    yield _told(sandbox.requests)
    for name, account in [*sandbox.accounts.items()][:_SHOWN]:
        yield f"  {name}: {_told(account.requests)}"


def _told(requests: "Counter[str]") -> str:
    by_status = ", ".join(f"{status}: {n:,}" for status, n in sorted(requests.items()))
    return f"{count(requests.total(), 'request')}{f' ({by_status})' if by_status else ''}"
