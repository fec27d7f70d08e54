"""The summary of a run, and messages about its end."""

import asyncio

from bulkupdate._version import __version__
from bulkupdate.codec import replaced, writable
from bulkupdate.errors import JournalError, count
from bulkupdate.journal import AccountSummary, Ledger, RunDirectory, Summary, exit_code
from bulkupdate.models import Reason, State, now
from bulkupdate.reader import InputInfo
from bulkupdate.session.progress import AccountProgress, Progress
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop


def first_summary(
    config: RunConfig, info: InputInfo, earlier: Summary | None, *, started: str
) -> Summary:
    """The summary of a run that has not begun.

    Args:
        config: the settings of the run.
        info: the input of the run.
        earlier: the summary of the previous session if the run is resumed, else None.
        started: when the session began, UTC.
    """
    return Summary(
        version=__version__,
        input=info,
        directory=writable(str(config.directory)),
        base_url=config.base_url,
        sandbox=config.sandbox,
        started=started,
        ended=None,
        state=State.RUNNING,
        reason=None,
        exit_code=None,
        counts=Ledger().counts(info.rows),
        mismatches=0,
        requests=0,
        retries=0,
        rate_limited=0,
        rows_per_second=0.0,
        allowed_rate=None,
        used_rate=0.0,
        paused=0.0,
        resumed=earlier is not None,
        team=earlier.team if earlier else None,
        key_hash=earlier.key_hash if earlier else None,
        has_sent=earlier is not None and earlier.has_sent is not False,
        compared=config.compare,
        listed=earlier.listed if earlier else None,
        accounts=earlier.accounts if earlier else {},
        idle_accounts=earlier.idle_accounts if earlier else {},
        people=earlier.people if earlier else {},
    )


def summary_of(
    first: Summary,
    progress: Progress,
    stop: Stop,
    *,
    has_ended: bool = True,
    is_complete: bool = False,
    is_strict: bool = False,
) -> Summary:
    """The summary of a run at this moment.

    Args:
        first: the summary of the same run before it began.
        progress: the progress of the session.
        stop: the stop of the run.
        has_ended: whether the session has ended.
        is_complete: whether nothing is left to do.
        is_strict: whether a mismatch counts as a row that did not succeed.
    """
    ledger = progress.ledger
    reason, text, code = stop.reason, stop.text, None
    state = State.RUNNING
    if has_ended:
        if is_complete and not stop.counts_when_complete:
            reason = text = None
        state = State.FINISHED if reason is None else stop.state or State.STOPPED
        has_failures = bool(ledger.unsuccessful)
        if reason is None:
            has_failures |= is_strict and bool(ledger.mismatches)
        code = exit_code(reason, number=stop.signal, has_failures=has_failures)
    return replaced(
        first,
        ended=now() if has_ended else None,
        state=state,
        reason=text,
        stopped_by=reason,
        exit_code=code,
        counts=ledger.counts(first.input.rows),
        mismatches=ledger.mismatches,
        accounts={one.name: _of_account(first, one) for one in progress.accounts},
        rules=ledger.rules(),
        requests=progress.requests,
        retries=progress.retries,
        rate_limited=progress.rate_limited,
        # While a session is under way, a request may be.
        has_sent=first.has_sent or not has_ended or progress.requests > 0,
        rows_per_second=round(progress.rows_per_second, 2),
        allowed_rate=progress.allowed_rate,
        used_rate=round(progress.requests_per_second, 2),
        paused=round(progress.paused, 3),
    )


def _of_account(first: Summary, one: AccountProgress) -> AccountSummary:
    """The summary of the part of one account at this moment."""
    return replaced(
        first.accounts[one.name],
        rows=one.rows,
        counts=one.counts,
        requests=one.traffic.requests,
        retries=one.traffic.retries,
        rate_limited=one.traffic.rate_limited,
        used_rate=one.used_rate,
        allowed_rate=one.allowed_rate,
        paused=one.paused,
        reason=one.reason,
        stopped_by=one.stopped_by,
    )


def lost_results(
    directory: RunDirectory, earlier: Summary | None, ledger: Ledger, *, was_repaired: bool
) -> list[str]:
    """A note if the log lacks rows that the previous session had settled.

    Args:
        directory: the run directory.
        earlier: the summary of the previous session, if there was one.
        ledger: the ledger of the log.
        was_repaired: whether the loss of a torn last line, which is one row, is reported already.

    Returns:
        A list with one note, or an empty list.
    """
    if earlier is None:
        return []
    settled = earlier.input.rows - earlier.counts["unprocessed"]
    lost = max(0, settled - ledger.settled)
    if lost <= was_repaired:
        return []
    rows = count(lost, "row")
    return [f"{directory.files.results} has lost the results of {rows}: they are sent again"]


def why_ended(error: BaseException) -> tuple[str, Reason]:
    """The text and the reason of the end, for a run that an exception has ended."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", Reason.CANCELLED
    if isinstance(error, JournalError):
        return str(error), Reason.NOT_WRITTEN
    return f"internal error: {type(error).__name__}", Reason.INTERNAL_ERROR
