"""The exit codes of commands. `exit_code` in summary.json holds one too."""

import enum
import signal

from bulkupdate.models import Reason


class ExitCode(enum.IntEnum):
    """The exit code of a command. For a signal, it is 128 plus the number of the signal."""

    DONE = 0
    """Every row is updated or unchanged."""

    UNSUCCESSFUL = 1
    """All rows are processed, and at least one is invalid, failed, unconfirmed or a conflict."""

    REFUSED = 2
    """The usage is wrong, or the input was refused: nothing was sent."""

    STOPPED = 3
    """The run stopped early, and rows are left."""

    IN_USE = 4
    """Another run uses the run directory: nothing was sent."""


_SIGNALLED = 128


def exit_code(reason: Reason | None, *, number: int | None = None, has_failures: bool) -> int:
    """The exit code of a session.

    Args:
        reason: the reason why the session ended early; None if it finished.
        number: the number of the signal that ended it.
        has_failures: whether any row is unsuccessful.
    """
    if reason in (Reason.SIGNAL, Reason.CANCELLED):
        return _SIGNALLED + (number or signal.SIGINT)
    if reason in (Reason.INVALID_ROWS, Reason.TOO_MANY_CHANGES, Reason.SAME_TEAM):
        return ExitCode.REFUSED
    if reason in (None, Reason.FIRST_ROWS):
        return ExitCode.UNSUCCESSFUL if has_failures else ExitCode.DONE
    return ExitCode.STOPPED
