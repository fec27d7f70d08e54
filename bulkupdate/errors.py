"""Every exception this package raises on purpose.

::

    BulkUpdateError
    ├── ConfigError              a setting is wrong; nothing was sent
    ├── InputError               the input as a whole can't be used; nothing was sent
    ├── InvalidUpdateError       one update breaks a rule of its fields
    ├── RunDirectoryError        the run directory is missing, in use, or not ours
    ├── JournalError             a result could not be written, or the log not read
    ├── RunStoppedError          a run was stopped early
    ├── WaitTooLongError         the server asks for a longer wait than anybody would sit through
    └── TaskError                one request did not confirm its update
        ├── RefusedError         the server said no: trying again changes nothing
        │   ├── BadRequestError        400, and any other 4xx without a class of its own
        │   ├── NotFoundError          404
        │   ├── RedirectError          3xx
        │   └── KeyRefusedError        what is refused is the key, whatever the row
        │       ├── UnauthorizedError      401
        │       ├── PaymentRequiredError   402
        │       └── ForbiddenError         403
        ├── RateLimitedError     429: not yet
        ├── ServerError          5xx: it may or may not have been applied
        ├── RequestTimeoutError  no answer in time, or 408: it may have been applied
        ├── ConnectError         no connection was made: it was not applied
        │   └── CertificateError       the server could not prove who it is
        ├── ConnectionLostError  the connection broke: it may have been applied
        └── BadResponseError     an answer that confirms nothing: it may have been applied

A `TaskError` says three things of itself that the rest of the program acts on: `type`, its
name in the results log; `ambiguous`, whether the update may have been applied all the same;
`stops_lane`, whether every other row would meet the same end.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import ClassVar, NamedTuple


def _in_python(name: str) -> str:
    """The spelling of a setting in Python."""
    return {"resume": "Mode.RESUME", "overwrite": "Mode.OVERWRITE"}.get(name, name)


#: How the user of the program spells its settings: the command line sets it to the names of flags.
spelling: ContextVar[Callable[[str], str]] = ContextVar("spelling", default=_in_python)


def setting(name: str) -> str:
    """A setting as its user spells it: `drain_timeout`, or `--drain-timeout` on the command line.

    Args:
        name: of the setting in Python.
    """
    return spelling.get()(name)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2 rows`, `1,000 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


class BulkUpdateError(Exception):
    """Base of every exception this package raises on purpose."""


class ConfigError(BulkUpdateError):
    """A setting is wrong. Nothing was sent."""


class InputError(BulkUpdateError):
    """The input as a whole can't be used: missing, unreadable, or with a wrong header."""


class Problem(NamedTuple):
    """One thing that is wrong with one update.

    Attributes:
        field: the field's name on the wire (`assignedTo`), or "" for the whole record.
        value: the value as it was given, cut to a readable length.
        message: what is wrong and what would be right.
        hint: what may have been meant, as `: did you mean 'x'?`; it differs from value to value.
        column: what the input calls the field; "" where that is the field's own name.
    """

    field: str
    value: str
    message: str
    hint: str = ""
    column: str = ""

    @property
    def named(self) -> str:
        """What the input calls the field."""
        return self.column or self.field

    def __str__(self) -> str:
        text = self.message + self.hint
        if not self.field:
            return text
        shown = f" {self.value}" if self.value else ""
        return f"{self.named}{shown}: {text}"


class InvalidUpdateError(BulkUpdateError, ValueError):
    """An update breaks the rules of its fields.

    Attributes:
        problems: every rule it breaks, not only the first.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


class RunDirectoryError(BulkUpdateError):
    """The run directory is missing, already there, in use, or holds something else."""


class RunInUseError(RunDirectoryError):
    """Another process is at the run in this directory."""


class JournalError(BulkUpdateError):
    """A result could not be written, or the log of an earlier run could not be read."""


class RunStoppedError(BulkUpdateError):
    """A run was stopped early: the message says by what."""


class WaitTooLongError(BulkUpdateError):
    """The server asks for a longer wait than a run would sit through.

    Attributes:
        seconds: of it that are left.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the server asks to wait for {seconds:.0f} s")
        self.seconds = seconds


class TaskError(BulkUpdateError):
    """One request did not confirm its update.

    Args:
        message: the server's own words where it said any, cut to a sane length.
        status: the HTTP status, or None where there was no answer.
    """

    type: ClassVar[str] = "error"
    ambiguous: ClassVar[bool] = False
    stops_lane: ClassVar[bool] = False

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class RefusedError(TaskError):
    """The server refused the update for good."""

    type = "refused"


class BadRequestError(RefusedError):
    """400, and every other 4xx that has no class of its own."""

    type = "bad_request"


class NotFoundError(RefusedError):
    """404."""

    type = "not_found"


class RedirectError(RefusedError):
    """3xx. Redirects are never followed, since the key would travel with them."""

    type = "redirect"


class KeyRefusedError(RefusedError):
    """The key was refused, and would be for every other row too."""

    type = "key_refused"
    stops_lane = True


class UnauthorizedError(KeyRefusedError):
    """401: the key is wrong."""

    type = "unauthorized"


class PaymentRequiredError(KeyRefusedError):
    """402: the team's plan does not include this route."""

    type = "payment_required"


class ForbiddenError(KeyRefusedError):
    """403: the user behind the key is blocked."""

    type = "forbidden"


class RateLimitedError(TaskError):
    """429: the update was not looked at; the limiter knows when to come back."""

    type = "rate_limited"


class ServerError(TaskError):
    """5xx: the update may or may not have been applied."""

    type = "server_error"
    ambiguous = True


class RequestTimeoutError(TaskError):
    """No answer came in time, or 408: the update may have been applied."""

    type = "timeout"
    ambiguous = True


class ConnectError(TaskError):
    """No connection was made, so nothing was sent."""

    type = "connection"


class CertificateError(ConnectError):
    """The server's certificate doesn't prove that it is who it should be."""

    type = "certificate"
    stops_lane = True


class ConnectionLostError(TaskError):
    """The connection broke after the request had begun: it may have been applied."""

    type = "connection"
    ambiguous = True


class BadResponseError(TaskError):
    """The answer confirms nothing: not JSON, not a Task, or somebody else's Task."""

    type = "bad_response"
    ambiguous = True


#: `error.type` of a line which says that its row is about to be sent again.
REOPENED = "sent_again"

#: `error.type` of every row that was brought down by what stops a lane, not by anything of its own.
LANE_STOPPERS = frozenset(
    error.type
    for error in (UnauthorizedError, PaymentRequiredError, ForbiddenError, CertificateError)
)
