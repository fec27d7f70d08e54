"""The command `bulkupdate team`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cloup

from bulkupdate.cli.command import Command
from bulkupdate.cli.connection import ConnectionFlags, account_option, accounts_option
from bulkupdate.cli.reading import CONNECTION, output_file, output_options, run_reading
from bulkupdate.cli.screen import Screen
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import RunStoppedError, count
from bulkupdate.journal import ExitCode
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.reader import Format, format_to_write

if TYPE_CHECKING:
    from bulkupdate.session.accounts import Asked
    from bulkupdate.session.reading import Known
    from bulkupdate.stop import Stop

_EXAMPLES = (
    ("bulkupdate team -o team.csv", "the members, with their ids"),
    (
        "bulkupdate run edits.csv --value-map team.csv",
        "edits that name owners by e-mail address",
    ),
    ("bulkupdate team --accounts accounts.toml", "the members of several teams"),
)


@cloup.command("team", cls=Command, examples=_EXAMPLES)
@cloup.option_group("Where it is read", accounts_option, account_option, *CONNECTION)
@output_options
def team_command(
    *,
    output: Path,
    overwrite: bool,
    accounts: Path | None,
    account: str | None,
    base_url: str | None,
    api_key_file: Path | None,
    proxy: bool,
    rate: Rate,
    timeout: float,
    give_up_after: float,
    quiet: bool,
) -> None:
    """Write the members of the team: userId, name, e-mail address and role.

    The file can be given to --value-map: its columns column, from and to stand for e-mail addresses
    (names, where there is none) and ids.

    With --accounts, the members of the team of each account are written, and the first column is
    the account.

    Exits with 0 if the file is written, with 2 if a flag is wrong or FILE is there already, and
    with 3 if the team can't be read, or the file or stdout can't be written. Of several teams,
    those that can be read are written, and the exit code is 3 if one can't.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():
        flags = ConnectionFlags(
            base_url=base_url,
            api_key_file=api_key_file,
            proxy=proxy,
            accounts=accounts,
            account=account,
        )
        policy = RetryPolicy(give_up_after=give_up_after)
        file = _File(screen, output, overwrite=overwrite)
        if (found := flags.found_accounts(timeout)) is not None:
            sys.exit(file.write_all(found, rate, policy))
        file.write(flags.endpoint(timeout), rate, policy)


class _File:
    """The file of members.

    Args:
        screen: shows what is written.
        path: its path; `-` for stdout.
        overwrite: whether it may be there already.
    """

    def __init__(self, screen: Screen, path: Path, *, overwrite: bool) -> None:
        self._screen = screen
        self._path = path
        self._overwrite = overwrite
        self._is_stdout = str(path) == "-"
        self._format = Format.CSV if self._is_stdout else format_to_write(path)
        self._name = "stdout" if self._is_stdout else str(path)

    def write(self, endpoint: Endpoint, rate: Rate, policy: RetryPolicy) -> None:
        """Write the members of a team."""
        with output_file(self._screen, self._path, overwrite=self._overwrite) as part:

            async def read(stop: "Stop") -> "Known":
                from bulkupdate.session.team import write_team

                return await write_team(
                    part, endpoint, self._format, rate, policy, stop, has_mark=not self._is_stdout
                )

            known = run_reading(self._screen, read)
        if known.note:
            self._screen.say(known.note, "yellow")
        if known.team is None or known.members is None:
            raise RunStoppedError("the team can't be read")
        name = f" of {known.team.name}" if known.team.name else ""
        members = count(len(known.members), "member")
        self._screen.say(f"{self._name}: {members}{name} ({known.team.id})")

    def write_all(self, accounts: Accounts, rate: Rate, policy: RetryPolicy) -> int:
        """Write the members of the teams of some accounts. Returns the exit code."""
        with output_file(self._screen, self._path, overwrite=self._overwrite) as part:

            async def read(stop: "Stop") -> "list[Asked]":
                from bulkupdate.session.team import write_teams

                return await write_teams(
                    part, accounts, self._format, rate, policy, stop, has_mark=not self._is_stdout
                )

            # A warning does not say which account it is about.
            asked = run_reading(self._screen, read, has_warnings=False)
        good = [one for one in asked if not one.problem]
        for one in good:
            if one.known.note:
                self._screen.say(f"{one.account.label}: {one.known.note}", "yellow")
        members = count(sum(len(one.known.members or ()) for one in good), "member")
        self._screen.say(f"{self._name}: {members} of {count(len(good), 'account')}")
        for one in asked:
            if one.problem:
                self._screen.error(f"{one.account.label}: {one.problem}")
        return ExitCode.DONE if len(good) == len(asked) else ExitCode.STOPPED
