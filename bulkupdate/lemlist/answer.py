"""An answer of the server: a Task or an error, and what its headers say of the rate limit."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec
from multidict import istr

from bulkupdate.errors import BadResponseError, TaskError
from bulkupdate.models import Task

#: A `Retry-After` beyond a year, in seconds, is cut: it says no more than that it is absurd.
LONGEST_RETRY_AFTER = 365 * 86400.0

# `istr` is looked up without being folded again.
_LIMIT = istr("X-RateLimit-Limit")
_REMAINING = istr("X-RateLimit-Remaining")
_RETRY_AFTER = istr("Retry-After")


class Quota(msgspec.Struct, frozen=True, gc=False):
    """What one answer's headers say of the rate limit (`lemlist: rate-limits`).

    Attributes:
        limit: requests per period (`X-RateLimit-Limit`), or None.
        remaining: requests left in this period (`X-RateLimit-Remaining`), or None.
        retry_after: seconds until the period ends (`Retry-After`), or None. A 200 carries it
            too, and does not mean wait.
    """

    limit: float | None = None
    remaining: float | None = None
    retry_after: float | None = None


class Answer(msgspec.Struct, frozen=True):  # an error that is raised refers back to it
    """One HTTP answer: either a Task or an error.

    Attributes:
        status: of HTTP.
        headers: by name, in whatever case.
        task: the Task that came back, or None.
        error: why there is none, or None.
    """

    status: int
    headers: Mapping[str, str]
    task: Task | None
    error: TaskError | None

    def __repr__(self) -> str:
        # A server may say what it was sent in its headers.
        return f"Answer({self.status}, task={self.task!r}, error={self.error!r})"

    def result(self) -> Task:
        """The Task; raises the error where there is none."""
        if self.task is None:
            raise self.error or BadResponseError("no Task in the answer", self.status)
        return self.task

    @property
    def is_throttled(self) -> bool:
        """Whether it is a 429."""
        return self.status == 429

    @property
    def quota(self) -> Quota:
        """What it says of the rate limit, as of now.

        Read when it is asked for: without a limit, it isn't.
        """
        headers = self.headers
        return Quota(
            _number(headers.get(_LIMIT)),
            _number(headers.get(_REMAINING)),
            _seconds(headers.get(_RETRY_AFTER)),
        )


def _number(text: str | None) -> float | None:
    """The finite, non-negative number that a header holds, or None."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _seconds(text: str | None) -> float | None:
    """`Retry-After`: seconds, fractional ones too, or an HTTP date (RFC 9110, 10.2.3)."""
    seconds = _number(text)
    if seconds is not None or not text:
        return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(0.0, moment - time.time()), LONGEST_RETRY_AFTER)
