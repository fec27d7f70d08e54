"""The teams of accounts as lines of text, and as records for programs."""

from collections.abc import Iterator
from typing import Any

from bulkupdate.session.accounts import Asked, Teams
from bulkupdate.ui.messages import printable
from bulkupdate.ui.table import table

_HEADER = ("account", "team", "team id", "members", "access", "key", "problem")


def account_lines(teams: Teams) -> Iterator[str]:
    """A line for each account, below a header. The last column is there if one has a problem."""
    rows = [[*map(printable, _cells(one))] for one in teams.asked]
    width = len(_HEADER) if any(one.problem for one in teams.asked) else len(_HEADER) - 1
    yield from table(_HEADER[:width], [row[:width] for row in rows], right=(3,))


def _cells(one: Asked) -> Iterator[str]:
    yield one.account.name
    if one.team is None:
        yield from ("-", "-", "-")
    else:
        yield from (one.team.name or "-", one.team.id, f"{_members(one):,}")
    yield "read only" if one.account.read_only else "read and write"
    yield one.account.source
    yield one.problem


def _members(one: Asked) -> int:
    return len(one.known.members or ())


def shared_lines(teams: Teams) -> Iterator[str]:
    """The keys and the teams that several accounts have, a line for each."""
    yield from teams.same_key.splitlines()
    for some in teams.shared:
        *first, last = [printable(one.account.name) for one in some]
        which = "both" if len(some) == 2 else "them"
        yield (
            f"{', '.join(first)} and {last} are one team: rows of one task could go out of order;"
            f" run refuses {which} in one run unless --same-team"
        )


def account_record(one: Asked, teams: Teams) -> dict[str, Any]:
    """An account as an object for a program."""
    return {
        "account": one.account.name,
        "team_id": one.team and one.team.id,
        "team_name": one.team and one.team.name,
        "members": one.team and _members(one),
        "read_only": one.account.read_only,
        "base_url": one.account.base_url,
        "key": one.account.source,
        "same_team": [
            other.account.name
            for some in teams.shared
            if one in some
            for other in some
            if other is not one
        ],
        "problem": one.problem or None,
    }
