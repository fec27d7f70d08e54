"""The summary of a run, from what is known of it."""

import asyncio

from bulkupdate._version import __version__
from bulkupdate.codec import replaced, writable
from bulkupdate.config import Mode, RunConfig
from bulkupdate.errors import JournalError
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.summary import InputInfo, State, Summary
from bulkupdate.models import now
from bulkupdate.session.observer import Progress
from bulkupdate.stop import Stop


def first_summary(config: RunConfig, info: InputInfo, *, started: str) -> Summary:
    """The summary of a run that has not begun.

    Args:
        config: its settings.
        info: its input.
        started: when, UTC.
    """
    return Summary(
        version=__version__,
        input=info,
        directory=writable(str(config.directory)),
        base_url=config.endpoint.base_url,
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
        resumed=config.mode is Mode.RESUME,
    )


def summary_of(
    first: Summary,
    progress: Progress,
    stop: Stop,
    *,
    has_ended: bool = True,
    is_complete: bool = False,
    strict: bool = False,
) -> Summary:
    """The summary of a run as it stands.

    Args:
        first: of the same run, before it began.
        progress: what was done.
        stop: whether and why it was stopped.
        has_ended: whether this is the last one.
        is_complete: whether nothing is left to do.
        strict: whether a mismatch counts as a row that went wrong.
    """
    ledger, traffic = progress.ledger, progress.lane.traffic
    state = State.RUNNING
    if has_ended:
        is_finished = stop.state is None or (is_complete and stop.unless_complete)
        state = State.FINISHED if is_finished else stop.state or State.STOPPED
    exit_code = stop.exit_code
    if state is State.FINISHED:
        exit_code = 1 if ledger.unsuccessful or (strict and ledger.mismatches) else 0
    return replaced(
        first,
        ended=now() if has_ended else None,
        state=state,
        reason=stop.reason if state is not State.FINISHED else None,
        exit_code=exit_code,
        counts=ledger.counts(first.input.rows),
        mismatches=ledger.mismatches,
        requests=traffic.requests,
        retries=traffic.retries,
        rate_limited=traffic.rate_limited,
        rows_per_second=round(progress.rows_per_second, 2),
        allowed_rate=progress.lane.limiter.allowed,
        used_rate=round(progress.requests_per_second, 2),
        paused=round(progress.lane.limiter.paused, 3),
    )


def lost_results(earlier: Summary | None, ledger: Ledger) -> int:
    """How many rows the last session had settled that the log knows nothing of any more."""
    if earlier is None:
        return 0
    settled = earlier.input.rows - earlier.counts["unprocessed"]
    return max(0, settled - ledger.settled)


def why_ended(error: BaseException) -> tuple[str, State, int]:
    """What a summary says of a run that an exception has ended: reason, state, exit code."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", State.INTERRUPTED, 130
    if isinstance(error, JournalError):
        return str(error), State.STOPPED, 3
    return f"internal error: {type(error).__name__}", State.STOPPED, 3
