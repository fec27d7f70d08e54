"""The accounts of a run, for its report: what needs attention first."""

from collections.abc import Iterable
from typing import NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.journal import AccountSummary
from bulkupdate.models import SUCCESSES, Outcome
from bulkupdate.report.history import History
from bulkupdate.ui.ended import accounts_line
from bulkupdate.ui.messages import cut, printable

#: Accounts that are shown at once. The others are folded.
SHOWN_ACCOUNTS = 50

#: Number of accounts from which on the page has a search for them.
_SEARCHED = 10

#: Most characters of the reason why an account has stopped.
_REASON_WIDTH = 300

#: The title of each number of rows.
_TITLES = {**{outcome.value: outcome.value for outcome in Outcome}, "unprocessed": "not tried"}


class AccountRow(NamedTuple):
    """An account in the table.

    Attributes:
        name: its name.
        state: `finished`, `rows left`, or why it stopped.
        is_stopped: whether it stopped before its end.
        numbers: the cells of numbers, in the order of the titles.
    """

    name: str
    state: str
    is_stopped: bool
    numbers: list[str]


class AccountTable(NamedTuple):
    """The table of accounts.

    Attributes:
        says: the accounts in numbers.
        titles: the titles of the columns of numbers.
        shown: the accounts that need attention most.
        folded: all others.
        is_searched: whether the page has a search for accounts.
    """

    says: str
    titles: list[str]
    shown: list[AccountRow]
    folded: list[AccountRow]
    is_searched: bool


def account_table(history: History) -> AccountTable | None:
    """The table of accounts; None in a run with one key."""
    accounts = {
        # The counts of the summary are those of the end of a session.
        name: replaced(one, counts=dict(history.accounts[name]))
        for name, one in history.summary.accounts.items()
    }
    if not accounts:
        return None
    titles = {
        one: title
        for one, title in _TITLES.items()
        if any(part.counts[one] for part in accounts.values())
    }
    order = sorted(accounts, key=lambda name: _urgency(name, accounts[name]))
    rows = [_row(name, accounts[name], titles) for name in order]
    return AccountTable(
        says=accounts_line(replaced(history.summary, accounts=accounts)),
        titles=["Rows", *titles.values(), "Requests", "429s", "Requests/s"],
        shown=rows[:SHOWN_ACCOUNTS],
        folded=rows[SHOWN_ACCOUNTS:],
        is_searched=len(rows) > _SEARCHED,
    )


def _urgency(name: str, one: AccountSummary) -> tuple[bool, int, str]:
    """The place of an account in the table: what stopped, then what failed, then by name."""
    unsuccessful = sum(one.counts[outcome] for outcome in Outcome if outcome not in SUCCESSES)
    return one.reason is None, -unsuccessful, name


def _row(name: str, one: AccountSummary, outcomes: Iterable[str]) -> AccountRow:
    counted = [one.counts[outcome] for outcome in outcomes]
    numbers = (one.rows, *counted, one.requests, one.rate_limited)
    return AccountRow(
        printable(name),
        printable(cut(_state(one), _REASON_WIDTH)),
        one.reason is not None,
        [*(f"{number:,}" for number in numbers), _rate(one)],
    )


def _state(one: AccountSummary) -> str:
    if one.reason is not None:
        return f"stopped: {one.reason}"
    return "rows left" if one.is_left else "finished"


def _rate(one: AccountSummary) -> str:
    """The rate that an account has used of the one that it was allowed."""
    allowed = "" if one.allowed_rate is None else f" of {one.allowed_rate:.1f}"
    return f"{one.used_rate:.1f}{allowed}"
