"""Exit codes: what `exit_code` in summary.json holds, and what a command exits with."""

import enum
import signal

from bulkupdate.models import Reason


class ExitCode(enum.IntEnum):
    """How a command ended. A signal adds its number to 128."""

    DONE = 0
    """Every row is updated or unchanged."""

    UNSUCCESSFUL = 1
    """Everything was done, and at least one row is invalid, failed or unconfirmed."""

    REFUSED = 2
    """Wrong usage, or the input was refused: nothing was sent."""

    STOPPED = 3
    """Stopped early; rows are left."""

    IN_USE = 4
    """Another run uses the run directory: nothing was sent."""


_SIGNALLED = 128


def exit_code(reason: Reason | None, *, number: int | None = None, has_failures: bool) -> int:
    """The exit code of a session.

    Args:
        reason: why it ended early; None for one that finished.
        number: of the signal that ended it.
        has_failures: whether any row did not succeed.
    """
    if reason in (Reason.SIGNAL, Reason.CANCELLED):
        return _SIGNALLED + (number or signal.SIGINT)
    if reason is Reason.INVALID_ROWS:
        return ExitCode.REFUSED
    if reason in (None, Reason.FIRST_ROWS):
        return ExitCode.UNSUCCESSFUL if has_failures else ExitCode.DONE
    return ExitCode.STOPPED
