"""The command `bulkupdate export`."""

from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloup

from bulkupdate.cli.command import Command, Repeatable, option
from bulkupdate.cli.connection import ConnectionFlags, account_option, accounts_option
from bulkupdate.cli.options import Setting
from bulkupdate.cli.reading import (
    Told,
    connection_options,
    output_file,
    output_options,
    run_sharing,
)
from bulkupdate.cli.screen import Screen
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import ConfigError, count
from bulkupdate.lemlist.rate import Rate
from bulkupdate.reader import Format, format_to_write, zone

if TYPE_CHECKING:
    from bulkupdate.lemlist.accounts import Accounts
    from bulkupdate.lemlist.endpoint import Endpoint
    from bulkupdate.plan import Selection
    from bulkupdate.session.export import Exported
    from bulkupdate.session.reading import Limiters
    from bulkupdate.stop import Stop

_EXAMPLES = (
    ("bulkupdate export -o tasks.xlsx", "every pending task, for a spreadsheet"),
    (
        "bulkupdate export --assigned-to ben@acme.example --overdue -o bens.csv",
        "a colleague's overdue tasks",
    ),
    ("bulkupdate run tasks.xlsx --compare", "send what was changed there"),
    ("bulkupdate export --accounts accounts.toml -o all.xlsx", "the tasks of several teams"),
)


#: Number of accounts whose tasks are counted.
_SHOWN = 20


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a day: write it as 2026-01-31") from None


@dataclass(frozen=True, kw_only=True)
class ExportFlags(ConnectionFlags):
    """The flags of `bulkupdate export`."""

    assigned_to: tuple[str, ...]
    types: tuple[str, ...]
    campaigns: tuple[str, ...]
    due_from: date | None
    due_to: date | None
    overdue: bool
    timezone: str | None
    allow_few: bool
    output: Path
    overwrite: bool
    rate: Rate
    shared_limit: bool
    dsn_file: Path | None
    timeout: float
    give_up_after: float
    quiet: bool

    def source(self) -> "Endpoint | Accounts":
        """The server and the API key; or the accounts.

        Raises:
            ConfigError: a flag, a variable or the file of accounts is wrong, or there is no key.
        """
        accounts = self.found_accounts(self.timeout)
        return self.endpoint(self.timeout) if accounts is None else accounts

    def selection(self) -> "Selection":
        """The tasks to export.

        Raises:
            ConfigError: a flag is wrong.
        """
        from bulkupdate.plan import Selection

        return Selection(
            assigned_to=self.assigned_to,
            types=self.types,
            campaigns=self.campaigns,
            due_from=self.due_from,
            due_to=self.due_to,
            overdue=self.overdue,
            zone=zone(self.timezone) if self.timezone else None,
        )


@cloup.command("export", cls=Command, examples=_EXAMPLES)
@cloup.option_group(
    "Which tasks",
    option(
        "--assigned-to",
        cls=Repeatable,
        metavar="WHO",
        help="Only tasks of this user: id, e-mail or name. Can be given several times.",
    ),
    option(
        "--type",
        "types",
        cls=Repeatable,
        metavar="TYPE",
        help="Only tasks of this type, as phone or manual. Can be given several times.",
    ),
    option(
        "--campaign",
        "campaigns",
        cls=Repeatable,
        metavar="ID",
        help="Only tasks of this campaign (cam_…). Can be given several times.",
    ),
    option("--due-from", type=Setting("day", _day), metavar="DAY", help="First day of due dates."),
    option(
        "--due-to",
        type=Setting("day", _day),
        metavar="DAY",
        help="Last day of due dates.",
    ),
    option("--overdue", is_flag=True, help="Only tasks whose due date has passed."),
    option(
        "--timezone",
        metavar="ZONE",
        help="Time zone of the days, and of the due dates in the file.  [default: UTC]",
    ),
    option("--allow-few", is_flag=True, help="Accept a server that lists no task at all."),
)
@cloup.option_group("Whose tasks", accounts_option, account_option)
@connection_options
@output_options
def export_command(**given: Any) -> None:
    """Write the pending tasks to a file of edits that holds what is there now.

    Change cells of the file, and `bulkupdate run` sends it. A run sends every cell that is not
    blank, so delete the rows and columns that you don't change. What a cell can't hold is left
    blank, which leaves the field alone, and is counted.

    With --accounts, the file has the tasks of all accounts, each with the name of its account. A
    user whom an account does not know has no task there.

    Exits with 0 if the file is written, with 2 if a flag is wrong or FILE is there already, and
    with 3 if the tasks can't be read whole, or the file or stdout can't be written.
    """
    flags = ExportFlags(**given)
    screen = Screen(quiet=flags.quiet)
    with screen.errors():
        is_stdout = str(flags.output) == "-"
        format_ = Format.CSV if is_stdout else format_to_write(flags.output)
        selection = flags.selection()
        source = flags.source()
        with output_file(screen, flags.output, overwrite=flags.overwrite) as part:

            async def export(stop: "Stop", limiters: "Limiters | None") -> "Exported":
                from bulkupdate.session.export import export_to

                return await export_to(
                    part,
                    source,
                    format_,
                    selection=selection,
                    allow_few=flags.allow_few,
                    rate=flags.rate,
                    retry=RetryPolicy(give_up_after=flags.give_up_after),
                    stop=stop,
                    on_page=Told(screen).tasks,
                    has_mark=not is_stdout,
                    limiters=limiters,
                )

            # A warning does not say which account it is about.
            has_warnings = flags.accounts is None
            exported = run_sharing(screen, flags, export, has_warnings=has_warnings)
        _tell(screen, exported, "stdout" if is_stdout else str(flags.output))


def _tell(screen: Screen, exported: "Exported", name: str) -> None:
    for note in exported.notes:
        screen.say(note, "yellow")
    listed = "" if exported.tasks == exported.listed else f" of {exported.listed:,} listed"
    requests = count(exported.requests, "request")
    screen.say(f"{name}: {count(exported.tasks, 'task')}{listed}, {requests}")
    if exported.accounts:
        shown = [f"{one} {tasks:,}" for one, tasks in islice(exported.accounts.items(), _SHOWN)]
        more = ", …" if len(exported.accounts) > _SHOWN else ""
        screen.say(f"  of {count(len(exported.accounts), 'account')}: {', '.join(shown)}{more}")
    if exported.left_out.counts:
        screen.say(f"  left blank, so that a run leaves them alone: {exported.left_out}", "yellow")
