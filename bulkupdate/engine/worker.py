"""One update → one result: the call, and the outcome of the row."""

from collections.abc import Callable
from typing import Protocol

from bulkupdate.engine.call import Caller
from bulkupdate.engine.retry import Attempts
from bulkupdate.errors import BadRequestError, NotFoundError, TaskError
from bulkupdate.lemlist.answer import Answer
from bulkupdate.models import ErrorInfo, Outcome, Result, Row, Task, TaskUpdate, now
from bulkupdate.stop import Scope, StoppedError

#: Statuses of a verdict on the update itself (`lemlist: errors`). They show that earlier attempts
#: of the same update were not applied either. Others come from a proxy (407, 451), or because of
#: such an attempt (409).
CONCLUSIVE = frozenset({400, 404, 413, 415, 422})


class Sender(Protocol):
    """A client that sends one update, once."""

    async def send(self, update: TaskUpdate, *, anew: bool = False) -> Answer[Task]:
        """Return the server's answer, or raise `TaskError` if there was none.

        Args:
            update: the update.
            anew: whether to use a new connection.
        """


async def settle(
    caller: Caller,
    sender: Sender,
    scope: Scope,
    row: Row,
    update: TaskUpdate,
    was_sent: Callable[[Row], bool],
    is_due: Callable[[], bool] = lambda: True,
) -> Result | None:
    """Send an update until it has an outcome.

    Args:
        caller: makes the call.
        sender: sends each request.
        scope: the block that a stop interrupts.
        row: the row.
        update: its update.
        was_sent: whether an earlier session may have sent a row whose answer is not known.
        is_due: whether the first request may still start, once it has its permit.

    Raises:
        NotDueError: it may not, and nothing was sent.

    Returns:
        The result. None if a stop came first and no attempt was in doubt before it: the row stays
        unprocessed, and a request that was in flight at an abort may have been applied.
    """
    attempts = Attempts()
    task: Task | None = None
    error: TaskError | None = None
    cut_short = False
    try:
        task = await caller.call(
            # A retry is sure of its answer: nothing else is on its connection.
            lambda: sender.send(update, anew=attempts.sent > 1),
            attempts,
            scope,
            subject=update.id,
            is_due=is_due,
        )
    except StoppedError:
        # An answer in question says no more about a row than none does.
        if attempts.in_doubt is None or attempts.in_doubt.is_in_question:
            return None
        error, cut_short = attempts.in_doubt, True
    except TaskError as failure:
        error = failure
    return Result(
        row=row.number,
        id=update.id,
        outcome=_outcome(error, attempts.in_doubt is not None or was_sent(row))
        if error
        else Outcome.UPDATED,
        status=error.status if error else 200,
        attempts=attempts.sent,
        at=now(),
        ms=round(10 * attempts.last_ms) / 10,
        sent=update.changes(),
        task=task.fields if task else None,
        mismatches=task.mismatches if task else None,
        error=ErrorInfo(error.type, error.message) if error else None,
        cut_short=cut_short,
        rule=row.rule,
        account=row.account or None,
    )


def _outcome(error: TaskError, is_in_doubt: bool) -> Outcome:
    if error.ambiguous or (is_in_doubt and not _is_verdict(error)):
        return Outcome.UNCONFIRMED
    return Outcome.FAILED


def _is_verdict(error: TaskError) -> bool:
    return isinstance(error, BadRequestError | NotFoundError) and error.status in CONCLUSIVE
