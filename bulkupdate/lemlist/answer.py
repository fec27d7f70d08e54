"""An answer of the server: a value or an error, and the rate limit in its headers."""

import functools
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

import msgspec
from multidict import istr

from bulkupdate.errors import BadResponseError, TaskError

Value = TypeVar("Value")

#: Longest `Retry-After` that is accepted, in seconds: one year. A longer one is shortened.
LONGEST_RETRY_AFTER = 365 * 86400.0

# `istr` makes look-ups cheaper: its case is folded once.
_LIMIT = istr("X-RateLimit-Limit")
_REMAINING = istr("X-RateLimit-Remaining")
_RETRY_AFTER = istr("Retry-After")

# `float` takes more: `1_000`, `1e3`, `nan`, digits of other scripts.
_NUMBER = re.compile(r" *[0-9]+(?:\.[0-9]*)? *")


class Quota(msgspec.Struct, frozen=True, gc=False):
    """The rate limit in the headers of one answer (`lemlist: rate-limits`).

    Attributes:
        limit: requests per period (`X-RateLimit-Limit`), or None.
        remaining: requests left in this period (`X-RateLimit-Remaining`), or None.
        retry_after: seconds until the period ends (`Retry-After`), or None. A 200 has it too, and
            then it does not ask for a wait.
    """

    limit: float | None = None
    remaining: float | None = None
    retry_after: float | None = None


class Answer(Generic[Value]):
    """One answer of the server, with a value or an error.

    Attributes:
        status: the HTTP status.
        value: the value in the answer, or None.
        error: the error in the answer, or None.
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
        # The headers are left out: a server may repeat the key in them.
        return f"Answer({self.status}, {self.value!r}, {self.error!r})"

    def result(self) -> Value:
        """Return the value, or raise the error."""
        if self.value is None:
            raise self.error or BadResponseError("nothing in the answer", self.status)
        return self.value

    @property
    def is_throttled(self) -> bool:
        """Whether the status is 429."""
        return self.status == 429

    @property
    def quota(self) -> Quota:
        """The rate limit in the headers. A date in `Retry-After` is counted from now."""
        headers = self._headers
        return Quota(
            _number(headers.get(_LIMIT)),
            _number(headers.get(_REMAINING)),
            retry_after(headers),
        )


# Most numbers come again and again. Headers have at most 8 kB.
@functools.lru_cache(maxsize=1024)
def _number(text: str | None) -> float | None:
    """The finite number, 0 or more, in a header; None if there is none."""
    if not text or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if value < math.inf else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds in `Retry-After`: a number, or an HTTP date (RFC 9110, 10.2.3); None without.

    RFC 9110 allows whole numbers. lemlist's headers are those of a library that sends fractions.
    """
    text = headers.get(_RETRY_AFTER)
    seconds = _number(text)
    if seconds is not None or not text:
        return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(0.0, moment - time.time()), LONGEST_RETRY_AFTER)
