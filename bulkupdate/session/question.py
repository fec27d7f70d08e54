"""The question before a run completes tasks or empties fields."""

import contextlib
from collections.abc import Awaitable, Callable

from bulkupdate.errors import DeclinedError
from bulkupdate.models import Level, Reason
from bulkupdate.plan import Preview
from bulkupdate.session.prepare import Found, Session
from bulkupdate.stop import Stop, StoppedError

#: Whether to send what a preview shows. The run can be stopped while it waits for the answer.
Confirm = Callable[[Preview], Awaitable[bool]]


def needs_answer(session: Session, found: Found) -> bool:
    """Whether a session may complete tasks or empty fields that no session has asked about.

    A run is asked about once, before it begins. Its summary shows that it has begun.
    """
    config, earlier = session.config, session.earlier
    is_refused = found.preview.invalid and not config.skip_invalid
    if not found.preview.completes_or_clears or is_refused:
        return False
    if earlier is None or earlier.stopped_by is Reason.INVALID_ROWS:
        # A session that refuses its input does not ask.
        return True
    return config.changed_input and not found.is_same


async def ask(
    confirm: Confirm, preview: Preview, name: str, stop: Stop, otherwise: str = "nothing was sent"
) -> None:
    """Wait for the answer.

    Args:
        confirm: asks.
        preview: what is asked about.
        name: the name of the input.
        stop: ends the waiting.
        otherwise: what is so if the answer is no.

    Raises:
        DeclinedError: the answer is no.
        RunStoppedError: the stop was set before there was an answer.
    """
    is_confirmed = False
    with contextlib.suppress(StoppedError), stop.until(Level.DRAIN):
        is_confirmed = await confirm(preview)
    stop.check()
    if not is_confirmed:
        raise DeclinedError(f"{name}: not confirmed: {otherwise}")
