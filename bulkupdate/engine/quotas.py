"""A filter for the quota in an answer: impossible values are ignored."""

import logging

from bulkupdate.lemlist.answer import Quota
from bulkupdate.lemlist.rate import RateLimit

#: A higher limit counts as a mistake of the server, or of a proxy before it. This one allows more
#: requests than a process can send.
HIGHEST_LIMIT = 100_000

log = logging.getLogger(__name__)


class Believed:
    """Removes impossible values from quotas. Each kind of mistake is logged once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def quota(self, announced: Quota, rate: RateLimit, *, may_be_silent: bool) -> Quota:
        """The believable part of a quota.

        Args:
            announced: the quota in the answer's headers.
            rate: the limit that is kept now.
            may_be_silent: whether an answer without a limit is expected.
        """
        limit, remaining = announced.limit, announced.remaining
        if limit is not None and (why := _what_is_wrong(limit)):
            self.warn("limit", f"X-RateLimit-Limit is {limit:.15g}: {why}: keeping to {rate}")
            limit = None
        if remaining is not None and remaining > (most := limit or HIGHEST_LIMIT):
            text = f"X-RateLimit-Remaining is {remaining:.15g}: more than {most:.15g}: ignored"
            self.warn("remaining", text)
            remaining = None
        if announced.limit is None and not may_be_silent:
            self.warn("none", f"answers do not name the limit: keeping to {rate}")
        if limit is announced.limit and remaining is announced.remaining:
            return announced
        return Quota(limit, remaining, announced.retry_after)

    def warn(self, kind: str, text: str) -> None:
        """Log a warning, but only the first one of its kind."""
        if kind not in self._seen:
            self._seen.add(kind)
            log.warning(text)


def _what_is_wrong(limit: float) -> str:
    """The reason why a limit is not believed, or an empty text."""
    if limit < 1:
        return "no request at all"
    if limit % 1:
        return "not a whole number"
    return f"more than {HIGHEST_LIMIT:,}" if limit > HIGHEST_LIMIT else ""
