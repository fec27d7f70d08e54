"""A filter for the quota in an answer: impossible values are ignored."""

import logging

from bulkupdate.lemlist.answer import Quota
from bulkupdate.lemlist.rate import RateLimit

#: A higher limit counts as a mistake of the server, or of a proxy before it.
HIGHEST_LIMIT = 1000

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
        if limit is not None and (not 1 <= limit <= HIGHEST_LIMIT or limit % 1):
            self.warn("limit", f"X-RateLimit-Limit is {limit:g}: ignored")
            limit = None
        if remaining is not None and remaining > (limit or HIGHEST_LIMIT):
            self.warn("remaining", f"X-RateLimit-Remaining is {remaining:g}: ignored")
            remaining = None
        if announced.limit is None and not may_be_silent:
            self.warn("none", f"answers do not name the limit: keeping to {rate}")
        return Quota(limit, remaining, announced.retry_after)

    def warn(self, kind: str, text: str) -> None:
        """Log a warning, but only the first one of its kind."""
        if kind not in self._seen:
            self._seen.add(kind)
            log.warning(text)
