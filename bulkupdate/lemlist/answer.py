"""An answer of the server: a value or an error, and what its headers tell of the rate limit."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

import msgspec
from multidict import istr

from bulkupdate.errors import BadResponseError, TaskError

Value = TypeVar("Value")

#: A `Retry-After` beyond a year, in seconds, is cut: it is absurd anyway.
LONGEST_RETRY_AFTER = 365 * 86400.0

# `istr` is looked up without being folded again.
_LIMIT = istr("X-RateLimit-Limit")
_REMAINING = istr("X-RateLimit-Remaining")
_RETRY_AFTER = istr("Retry-After")


class Quota(msgspec.Struct, frozen=True, gc=False):
    """What the headers of one answer tell of the rate limit (`lemlist: rate-limits`).

    Attributes:
        limit: requests per period (`X-RateLimit-Limit`), or None.
        remaining: requests left in this period (`X-RateLimit-Remaining`), or None.
        retry_after: seconds until the period ends (`Retry-After`), or None. A 200 carries it
            too, and does not mean wait.
    """

    limit: float | None = None
    remaining: float | None = None
    retry_after: float | None = None


class Answer(Generic[Value]):
    """One answer of the server: what was asked for, or an error.

    Attributes:
        status: the HTTP status.
        value: what came back, or None.
        error: why nothing came back, or None.
    """

    __slots__ = ("_headers", "error", "status", "value")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        value: Value | None = None,
        error: TaskError | None = None,
    ) -> None:
        self.status = status
        self.value = value
        self.error = error
        self._headers = headers

    def __repr__(self) -> str:
        # Without the headers: a server may repeat in them what it was sent.
        return f"Answer({self.status}, {self.value!r}, {self.error!r})"

    def result(self) -> Value:
        """What came back; raises the error where there is one."""
        if self.value is None:
            raise self.error or BadResponseError("nothing in the answer", self.status)
        return self.value

    @property
    def is_throttled(self) -> bool:
        """Whether it is a 429."""
        return self.status == 429

    @property
    def quota(self) -> Quota:
        """What its headers tell of the rate limit, as of now."""
        headers = self._headers
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
