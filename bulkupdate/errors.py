"""Every exception that this package raises on purpose.

::

    BulkUpdateError
    ├── ConfigError              a setting is wrong; nothing was sent
    ├── InputError               the input as a whole can't be used; nothing was sent
    ├── InvalidUpdateError       one update breaks a rule of its fields, or is none
    ├── RunDirectoryError        the run directory is missing, in use, or not a run's
    ├── JournalError             a result could not be written, or the log can't be read
    ├── RunStoppedError          a run was stopped early
    ├── DeclinedError            the question before a run was answered with no; nothing was sent
    ├── WaitTooLongError         the server asks for a longer wait than a run waits
    └── TaskError                one request did not confirm its update
        ├── RefusedError         the server refused: trying again changes nothing
        │   ├── BadRequestError        400, and any other 4xx without a class of its own
        │   ├── NotFoundError          404
        │   ├── BlockedError           403 with a web page: a firewall or a proxy refused it
        │   ├── RedirectError          301, 302, 307, 308
        │   ├── BadListError           a list of tasks that can't be trusted
        │   └── KeyRefusedError        the server refused the key, so every row fails
        │       ├── UnauthorizedError      401
        │       ├── PaymentRequiredError   402
        │       └── ForbiddenError         403
        ├── RateLimitedError     429: the server did not look at the update
        ├── ServerError          5xx: the update may have been applied
        ├── RequestTimeoutError  no answer in time, or 408: the update may have been applied
        ├── ConnectError         no connection was made: the update was not applied
        │   ├── CertificateError       the server's certificate was not accepted
        │   ├── TlsVersionError        the server's TLS is too old
        │   └── ProxyRefusedError      the proxy refuses: it wants a password, or forbids it
        ├── ConnectionLostError  the connection broke: the update may have been applied
        └── BadResponseError     the answer confirms nothing: the update may have been applied

Each `TaskError` has attributes that the rest of the program acts on:

- `type`: the name of the error in the results log.
- `ambiguous`: whether the update may have been applied despite the error.
- `stops_lane`: whether every other row would fail in the same way.
- `is_in_question`: whether the answer may belong to an earlier request. It is made anew.
- `retry_after`: seconds for which the server asks to wait, after a 5xx.
"""

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import ClassVar, NamedTuple

#: Name of a setting → its spelling in Python, if they differ. `replace` is about a file.
_IN_PYTHON = {
    "overwrite": "Mode.OVERWRITE",
    "replace": "overwrite=True",
    "resume": "Mode.RESUME",
}


def _in_python(name: str) -> str:
    """The spelling of a setting in Python."""
    return _IN_PYTHON.get(name, name)


#: Spelling of a setting's name in messages. The command line sets it to the flag.
spelling: ContextVar[Callable[[str], str]] = ContextVar("spelling", default=_in_python)


def setting(name: str) -> str:
    """A setting's name for messages: `drain_timeout`, or `--drain-timeout` on the command line.

    Args:
        name: the name of the setting in Python.
    """
    return spelling.get()(name)


def texts(name: str, value: Iterable[str]) -> tuple[str, ...]:
    """The texts of a setting that takes several.

    Args:
        name: the name of the setting in Python.
        value: its value.

    Raises:
        ConfigError: the value is one text, whose letters would be the texts; or holds no texts.
    """
    if isinstance(value, str):
        raise ConfigError(f"{setting(name)} takes a list of texts: write it as [{value!r}]")
    found = tuple(value)
    for one in found:
        if not isinstance(one, str):
            raise ConfigError(f"{setting(name)} takes texts, not {one!r}")
    return found


def check_flags(**flags: object) -> None:
    """Check settings that are True or False: any text would be taken for True, also "no".

    Args:
        flags: name of a setting in Python → its value.

    Raises:
        ConfigError: a value is neither.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            # On the command line, none can be anything else.
            raise ConfigError(f"{name} takes True or False, not {value!r}")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 row`, `2 rows`, `1,000 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


class BulkUpdateError(Exception):
    """Base of every exception that this package raises on purpose."""


class ConfigError(BulkUpdateError):
    """A setting is wrong. Nothing was sent."""


class InputError(BulkUpdateError):
    """The input as a whole can't be used: missing, unreadable, or with a wrong header."""


class Problem(NamedTuple):
    """One problem of one update.

    Attributes:
        field: the field's name on the wire (`assignedTo`), or "" for the whole record.
        value: the value in the input, cut to a readable length.
        message: what is wrong and what would be right.
        hint: a suggestion, as in `: did you mean 'x'?`. It depends on the value.
        column: the name of the column in the input; "" if it is the field's own name.
    """

    field: str
    value: str
    message: str
    hint: str = ""
    column: str = ""

    @property
    def named(self) -> str:
        """The field's name in the input."""
        return self.column or self.field

    def __str__(self) -> str:
        text = self.message + self.hint
        if not self.field:
            return text
        shown = f" {self.value}" if self.value else ""
        return f"{self.named}{shown}: {text}"


class InvalidUpdateError(BulkUpdateError, ValueError):
    """An update breaks the rules of its fields, or what should be one is none.

    Attributes:
        problems: one problem for each broken rule.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


class RunDirectoryError(BulkUpdateError):
    """The run directory is missing, already exists, is in use, or holds something else."""


class RunInUseError(RunDirectoryError):
    """Another process uses this run directory."""


class JournalError(BulkUpdateError):
    """A result could not be written, or the log of an earlier run could not be read."""


class RunStoppedError(BulkUpdateError):
    """A run was stopped early. The message says why."""


class DeclinedError(BulkUpdateError):
    """The question before a run was answered with no. Nothing was sent."""


class NoPermitError(BulkUpdateError):
    """A limiter gives no permit any more, so that no request may start."""


class WaitTooLongError(NoPermitError):
    """The server asks for a longer wait than a run waits, at once or time after time.

    Args:
        seconds: as the attribute.
        text: the message; None for one about the wait.

    Attributes:
        seconds: the part of the wait that is left, in seconds.
    """

    def __init__(self, seconds: float, text: str | None = None) -> None:
        super().__init__(text or f"the server asks to wait for {seconds:.0f} s")
        self.seconds = seconds


class TaskError(BulkUpdateError):
    """One request did not confirm its update.

    Args:
        message: the text of the server's answer, shortened, or a description of the failure.
        status: the HTTP status, or None if there was no answer.
    """

    type: ClassVar[str] = "error"
    stops_lane: ClassVar[bool] = False
    ambiguous: bool = False
    is_in_question: bool = False
    retry_after: float | None = None

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def question(self) -> None:
        """Mark the answer as one that may belong to an earlier request on its connection."""
        self.ambiguous = self.is_in_question = True


class RefusedError(TaskError):
    """The server refused the update. Trying again does not help."""

    type = "refused"


class BadRequestError(RefusedError):
    """400, and every other 4xx without a class of its own."""

    type = "bad_request"


class NotFoundError(RefusedError):
    """404: the task was not found."""

    type = "not_found"


class BlockedError(RefusedError):
    """403 with a web page: a firewall or a proxy before the API refused the request."""

    type = "blocked"


class RedirectError(RefusedError):
    """A redirect. It is never followed, because the key would go to another server."""

    type = "redirect"


class BadListError(RefusedError):
    """A list of tasks that has no end, or whose pages can't be read as one list."""

    type = "bad_list"


class KeyRefusedError(RefusedError):
    """The server refused the key. It would refuse every other row too."""

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
    """429: the server did not look at the update. The limiter knows when to try again."""

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
    """No connection was made. Nothing was sent."""

    type = "connection"


class CertificateError(ConnectError):
    """The server's certificate was not accepted."""

    type = "certificate"
    stops_lane = True


class TlsVersionError(ConnectError):
    """The server and this machine have no version of TLS in common. The server's is too old."""

    type = "tls_version"
    stops_lane = True


class ProxyRefusedError(ConnectError):
    """The proxy refuses to connect: it wants a password, or forbids the server. It stays so."""

    type = "proxy"
    stops_lane = True


class ConnectionLostError(TaskError):
    """The connection broke after the request had begun: the update may have been applied."""

    type = "connection"
    ambiguous = True


class BadResponseError(TaskError):
    """The answer confirms nothing: it is not JSON, not a Task, or another Task."""

    type = "bad_response"
    ambiguous = True


#: `error.type` of a line that says that its row is about to be sent again.
REOPENED = "sent_again"

#: Each `error.type` that stops a lane. Such a row failed for no reason of its own.
LANE_STOPPERS = frozenset(
    error.type
    for error in (
        UnauthorizedError,
        PaymentRequiredError,
        ForbiddenError,
        CertificateError,
        TlsVersionError,
        ProxyRefusedError,
    )
)
