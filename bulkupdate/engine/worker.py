"""One update → one result: the call, and the outcome of the row."""

from typing import Protocol

from bulkupdate.engine.call import Caller
from bulkupdate.engine.retry import Attempts
from bulkupdate.errors import BadRequestError, NotFoundError, RedirectError, TaskError
from bulkupdate.lemlist.answer import Answer
from bulkupdate.models import ErrorInfo, Outcome, Result, Task, TaskUpdate, now
from bulkupdate.stop import Scope, StoppedError

#: Errors about the update itself. They show that earlier attempts of the same update were not
#: applied either.
CONCLUSIVE = (BadRequestError, NotFoundError, RedirectError)


class Sender(Protocol):
    """A client that sends one update, once."""

    async def send(self, update: TaskUpdate, *, anew: bool = False) -> Answer[Task]:
        """Return the server's answer, or raise `TaskError` if there was none.

        Args:
            update: the update.
            anew: whether to use a new connection.
        """


async def settle(
    caller: Caller, sender: Sender, scope: Scope, number: int, update: TaskUpdate
) -> Result | None:
    """Send an update until it has an outcome.

    Args:
        caller: makes the call.
        sender: sends each request.
        scope: the block that a stop interrupts.
        number: the number of the row.
        update: the update of the row.

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
        )
    except StoppedError:
        # An answer in question says no more about a row than none does.
        if attempts.in_doubt is None or attempts.in_doubt.is_in_question:
            return None
        error, cut_short = attempts.in_doubt, True
    except TaskError as failure:
        error = failure
    return Result(
        row=number,
        id=update.id,
        outcome=_outcome(error, attempts),
        status=error.status if error else 200,
        attempts=attempts.sent,
        at=now(),
        ms=round(10 * attempts.last_ms) / 10,
        sent=update.changes(),
        task=task.fields if task else None,
        mismatches=task.mismatches if task else None,
        error=ErrorInfo(error.type, error.message) if error else None,
        cut_short=cut_short,
    )


def _outcome(error: TaskError | None, attempts: Attempts) -> Outcome:
    if error is None:
        return Outcome.UPDATED
    if error.ambiguous or (attempts.in_doubt and not isinstance(error, CONCLUSIVE)):
        return Outcome.UNCONFIRMED
    return Outcome.FAILED
