"""`team`: the members of a team, as a table that is a value map too."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import JournalError, RunStoppedError
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.team import Member
from bulkupdate.reader import Format, not_a_formula, write_objects, write_table
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
        raise RunStoppedError(known.note or "the team tells no member")
    try:
        with part.open("wb") as to:
            if format_ is Format.JSONL:
                rows = (dict(zip(_HEADER, cells, strict=True)) for cells in _cells(known.members))
                write_objects(to, rows)
            else:
                table = _with_header(known.members)
                write_table(to, format_, "Team", table, has_mark=has_mark)
    except OSError as error:
        raise JournalError(f"the file can't be written: {error.strerror or error}") from error
    return known


def _with_header(members: Sequence[Member]) -> Iterator[Sequence[str]]:
    yield _HEADER
    for cells in _cells(members):
        yield [*map(not_a_formula, cells)]


def _cells(members: Sequence[Member]) -> Iterator[Sequence[str]]:
    called = Counter(_called(member).casefold() for member in members)
    for member in members:
        # Two of one name stand for nobody, and a value map takes no name twice.
        is_unique = called[_called(member).casefold()] == 1
        name = _called(member) if is_unique else member.id
        yield (*member, "assignedTo", name, member.id)


def _called(member: Member) -> str:
    """What a member is called in a file of edits: without a name, there is nothing to map."""
    return member.email or member.name or member.id
