"""The command `bulkupdate accounts`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from bulkupdate.cli.command import Command, Repeatable, option
from bulkupdate.cli.connection import (
    ConnectionFlags,
    base_url_option,
    chosen,
    give_up_after,
    proxy_option,
    timeout_option,
)
from bulkupdate.cli.options import json_option, quiet_option, rate_option
from bulkupdate.cli.reading import run_reading
from bulkupdate.cli.screen import Screen
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal import ExitCode
from bulkupdate.lemlist.rate import Rate

if TYPE_CHECKING:
    from bulkupdate.session.accounts import Teams
    from bulkupdate.stop import Stop

#: Seconds for which a server may be down: the answers of the others wait to be shown.
_PATIENCE = 30.0

_EXAMPLES = (
    ("bulkupdate accounts accounts.toml", "the team of each account"),
    ("bulkupdate accounts accounts.toml --account acme", "of one account"),
    (
        "bulkupdate accounts accounts.toml --json | jq -r 'select(.problem).account'",
        "the names of those with a problem",
    ),
)


@cloup.command("accounts", cls=Command, examples=_EXAMPLES)
@cloup.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@cloup.option_group(
    "Where it is read",
    option(
        "--account",
        "names",
        cls=Repeatable,
        metavar="NAME",
        help="Only this account. Can be given several times.",
    ),
    base_url_option,
    proxy_option,
    rate_option,
    timeout_option,
    give_up_after(_PATIENCE),
)
@cloup.option_group("What is shown", json_option, quiet_option)
def accounts_command(
    file: Path,
    *,
    names: tuple[str, ...],
    base_url: str | None,
    proxy: bool,
    rate: Rate,
    timeout: float,
    give_up_after: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show which team each account of FILE is of, and whether its API key works.

    FILE is TOML. It names accounts, and says where the key of each is:

    \b
        [acme]
        api_key_env = "ACME_KEY"
        [globex]
        api_key_file = "keys/globex.key"
        read_only = true

    A path is relative to the folder of FILE. read_only = true forbids edits. base_url is the URL of
    the API for one account.

    With --json, each account is a JSON object on a line.

    \b
    Exit code:
      0   all accounts are fine
      1   the team of an account can't be read, or several accounts are of one team
      2   wrong usage, or FILE is wrong
      3   no account's team can be read, or stdout can't be written
    """  # noqa: D301 - click wants the \b
    screen = Screen(quiet=quiet)
    with screen.errors():
        flags = ConnectionFlags(base_url=base_url, api_key_file=None, proxy=proxy)
        found = flags.accounts_in(file, timeout)
        accounts = chosen(found, names, file) if names else found
        policy = RetryPolicy(give_up_after=give_up_after)

        async def read(stop: "Stop") -> "Teams":
            from bulkupdate.session.accounts import ask_teams

            return await ask_teams(accounts, rate, policy, stop)

        # A warning does not say which account it is about: the table does.
        teams = run_reading(screen, read, has_warnings=False)
        sys.exit(_show(screen, teams, as_json=as_json))


def _show(screen: Screen, teams: "Teams", *, as_json: bool) -> int:
    """Show the teams. Returns the exit code."""
    from bulkupdate.ui.accounts import account_lines, shared_lines

    failed = screen.lines(_records(teams) if as_json else account_lines(teams))
    shared = [*shared_lines(teams)]
    for line in shared:
        screen.say(line, "yellow")
    if all(one.problem for one in teams.asked):
        screen.error("no account's team can be read")
        return ExitCode.STOPPED
    if shared or any(one.problem for one in teams.asked):
        return ExitCode.UNSUCCESSFUL
    return failed


def _records(teams: "Teams") -> Iterable[str]:
    from bulkupdate.codec import to_json
    from bulkupdate.ui.accounts import account_record

    return [to_json(account_record(one, teams)).decode() for one in teams.asked]
