"""One update → one result: the call, and the outcome of the row."""

from functools import partial
from typing import Protocol

from bulkupdate.engine.call import Caller
from bulkupdate.engine.retry import Attempts
from bulkupdate.errors import BadRequestError, NotFoundError, RedirectError, TaskError
from bulkupdate.lemlist.answer import Answer
from bulkupdate.lemlist.verify import mismatches
from bulkupdate.models import ErrorInfo, Outcome, Result, Task, TaskUpdate, now
from bulkupdate.stop import Scope, StoppedError

#: Errors about the update itself. They show that earlier attempts of the same update were not
#: applied either.
CONCLUSIVE = (BadRequestError, NotFoundError, RedirectError)


class Sender(Protocol):
    """A client that sends one update, once."""

    async def send(self, update: TaskUpdate) -> Answer[Task]:
        """Return the server's answer, or raise `TaskError` if there was none."""


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
        task = await caller.call(partial(sender.send, update), attempts, scope, subject=update.id)
    except StoppedError:
        if attempts.in_doubt is None:
            return None
        error, cut_short = attempts.in_doubt, True
    except TaskError as failure:
        error = failure
    sent = update.changes()
    return Result(
        row=number,
        id=update.id,
        outcome=_outcome(error, attempts),
        status=error.status if error else 200,
        attempts=attempts.sent,
        at=now(),
        ms=round(10 * attempts.last_ms) / 10,
        sent=sent,
        task=task.fields if task else None,
        mismatches=mismatches(sent, task.fields) or None if task else None,
        error=ErrorInfo(error.type, error.message) if error else None,
        cut_short=cut_short,
    )


def _outcome(error: TaskError | None, attempts: Attempts) -> Outcome:
    if error is None:
        return Outcome.UPDATED
    if error.ambiguous or (attempts.in_doubt and not isinstance(error, CONCLUSIVE)):
        return Outcome.UNCONFIRMED
    return Outcome.FAILED
