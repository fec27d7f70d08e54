"""The command `bulkupdate team`."""

from pathlib import Path
from typing import TYPE_CHECKING

import cloup

from bulkupdate.cli.command import Command
from bulkupdate.cli.connection import ConnectionFlags
from bulkupdate.cli.reading import connection_options, output_file, output_options, run_reading
from bulkupdate.cli.screen import Screen
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import RunStoppedError, count
from bulkupdate.lemlist.rate import Rate
from bulkupdate.reader import Format, format_to_write

if TYPE_CHECKING:
    from bulkupdate.session.reading import Known
    from bulkupdate.stop import Stop

_EXAMPLES = (
    ("bulkupdate team -o team.csv", "the members, with their ids"),
    (
        "bulkupdate run edits.csv --value-map team.csv",
        "edits that name owners by e-mail address",
    ),
)


@cloup.command("team", cls=Command, examples=_EXAMPLES)
@connection_options
@output_options
def team_command(
    *,
    output: Path,
    overwrite: bool,
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

    Exits with 0 if the file is written, with 2 if a flag is wrong or FILE is there already, and
    with 3 if the team can't be read, or the file or stdout can't be written.
    """
    screen = Screen(quiet=quiet)
    with screen.errors():
        is_stdout = str(output) == "-"
        format_ = Format.CSV if is_stdout else format_to_write(output)
        flags = ConnectionFlags(base_url=base_url, api_key_file=api_key_file, proxy=proxy)
        endpoint = flags.endpoint(timeout)
        policy = RetryPolicy(give_up_after=give_up_after)
        with output_file(screen, output, overwrite=overwrite) as part:

            async def read(stop: "Stop") -> "Known":
                from bulkupdate.session.team import write_team

                return await write_team(
                    part, endpoint, format_, rate, policy, stop, has_mark=not is_stdout
                )

            known = run_reading(screen, read)
        if known.note:
            screen.say(known.note, "yellow")
        if known.team is None or known.members is None:
            raise RunStoppedError("the team can't be read")
        named = "stdout" if is_stdout else str(output)
        name = f" of {known.team.name}" if known.team.name else ""
        screen.say(f"{named}: {count(len(known.members), 'member')}{name} ({known.team.id})")
