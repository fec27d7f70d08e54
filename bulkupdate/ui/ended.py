"""The accounts of a run that has ended: how many got to their end, and why the others stopped."""

from collections.abc import Iterator
from pathlib import Path

from bulkupdate.errors import count
from bulkupdate.journal import AccountSummary, RunFiles, Summary

#: Most stopped accounts that are named at the end of a run.
SHOWN_STOPPED = 10

#: Most names in a line.
_NAMED = 5


def stopped_accounts(summary: Summary) -> dict[str, AccountSummary]:
    """The accounts that stopped before their end, by name."""
    return {name: one for name, one in summary.accounts.items() if one.reason is not None}


def stopped_lines(summary: Summary) -> Iterator[str]:
    """The accounts that stopped before their end, each with the reason and the rows left."""
    stopped = [*stopped_accounts(summary).items()]
    for name, one in stopped[:SHOWN_STOPPED]:
        # Where rows were to be tried again, there is none.
        left = one.counts["unprocessed"]
        yield f"  {name}: {one.reason}" + (f" ({count(left, 'row')} left)" if left else "")
    if more := len(stopped[SHOWN_STOPPED:]):
        yield f"  … and {more:,} more: {RunFiles(Path(summary.directory)).summary} has all"


def accounts_line(summary: Summary) -> str:
    """The accounts in numbers: `50 accounts: 46 finished, 4 stopped`."""
    stopped = len(stopped_accounts(summary))
    finished = sum(not one.is_left for one in summary.accounts.values())
    left = len(summary.accounts) - stopped - finished
    numbers = ((finished, "finished"), (stopped, "stopped"), (left, "with rows left"))
    words = ", ".join(f"{number:,} {name}" for number, name in numbers if number)
    return f"{count(len(summary.accounts), 'account')}: {words}"


def named(names: list[str]) -> str:
    """Some names in a line: `acme, globex and 3 more`."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
