"""`team`: the members of a team, as a table that is a value map too."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import JournalError, RunStoppedError
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.team import Member
from bulkupdate.reader import Format, not_a_formula, write_objects, write_table
from bulkupdate.session.accounts import Asked, ask_teams
from bulkupdate.session.reading import Known, live_reader
from bulkupdate.stop import Stop

#: The columns: about the member, and those of a value map.
_HEADER = ("userId", "name", "email", "role", "column", "from", "to")


async def write_team(
    part: Path,
    endpoint: Endpoint,
    format_: Format,
    rate: Rate,
    policy: RetryPolicy,
    stop: Stop,
    *,
    has_mark: bool = True,
) -> Known:
    """Read the members of the team, and write them to a file that nobody else uses yet.

    Args:
        part: the file.
        endpoint: the server and the API key.
        format_: CSV, JSONL or XLSX.
        rate: the limit of the requests.
        policy: the backoff between attempts, and how long the server may be down.
        stop: ends the reading.
        has_mark: whether a CSV file begins with a byte order mark.

    Raises:
        RunStoppedError: the team can't be read, or `stop` was set.
        JournalError: the file can't be written.
    """
    async with live_reader(endpoint, rate, policy, stop) as reader:
        known = await reader.known()
    if known.members is None:
        raise RunStoppedError(known.trouble)
    cells = [cells for _, *cells in _cells(("", member) for member in known.members)]
    _write(part, format_, _HEADER, cells, has_mark=has_mark)
    return known


async def write_teams(
    part: Path,
    accounts: Accounts,
    format_: Format,
    rate: Rate,
    policy: RetryPolicy,
    stop: Stop,
    *,
    has_mark: bool = True,
) -> list[Asked]:
    """Read the members of the team of each account, and write them to a file; see `write_team`.

    The first column holds the account.

    Returns:
        What each account said. The members of one that has a problem are not in the file.

    Raises:
        RunStoppedError: no team can be read, or `stop` was set.
        JournalError: the file can't be written.
    """
    teams = await ask_teams(accounts, rate, policy, stop, is_patient=False)
    asked = [
        one if one.problem or one.known.members else one._replace(problem=one.known.trouble)
        for one in teams.asked
    ]
    if all(one.problem for one in asked):
        lines = (f"{one.account.label}: {one.problem}" for one in asked)
        raise RunStoppedError("\n".join(lines))
    members = [(one.account.name, member) for one in asked for member in one.known.members or ()]
    _write(part, format_, ("account", *_HEADER), [*_cells(members)], has_mark=has_mark)
    return asked


def _write(
    part: Path,
    format_: Format,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    has_mark: bool,
) -> None:
    """Write a table.

    Raises:
        JournalError: it can't be written.
    """
    try:
        with part.open("wb") as to:
            if format_ is Format.JSONL:
                write_objects(to, (dict(zip(header, cells, strict=True)) for cells in rows))
            else:
                plain = ([*map(not_a_formula, cells)] for cells in rows)
                write_table(to, format_, "Team", (header, *plain), has_mark=has_mark)
    except OSError as error:
        raise JournalError(f"the file can't be written: {error.strerror or error}") from error


def _cells(members: Iterable[tuple[str, Member]]) -> Iterator[Sequence[str]]:
    """The cells of each member, after the name of the account."""
    told = [*members]
    ids: dict[str, set[str]] = {}
    for _, member in told:
        ids.setdefault(_called(member).casefold(), set()).add(member.id)
    for account, member in told:
        # Two of one name stand for nobody, and a value map takes no name for two.
        is_unique = len(ids[_called(member).casefold()]) == 1
        name = _called(member) if is_unique else member.id
        yield (account, *member, "assignedTo", name, member.id)


def _called(member: Member) -> str:
    """What a member is called in a file of edits: without a name, there is nothing to map."""
    return member.email or member.name or member.id
