"""What is believed of the quota that an answer tells."""

import logging

from bulkupdate.lemlist.answer import Quota
from bulkupdate.lemlist.rate import RateLimit

#: A limit above this is taken for a mistake of the server's, or of a proxy before it.
HIGHEST_LIMIT = 1000

log = logging.getLogger(__name__)


class Believed:
    """Takes what can't be true out of quotas. Each kind of oddity is logged once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def quota(self, told: Quota, rate: RateLimit, *, may_be_silent: bool) -> Quota:
        """The believable part of a quota.

        Args:
            told: what the answer tells.
            rate: the limit that is kept at present.
            may_be_silent: whether it is no wonder that the answer names no limit.
        """
        limit, remaining = told.limit, told.remaining
        if limit is not None and (not 1 <= limit <= HIGHEST_LIMIT or limit % 1):
            self.warn("limit", f"X-RateLimit-Limit is {limit:g}: ignored")
            limit = None
        if remaining is not None and remaining > (limit or HIGHEST_LIMIT):
            self.warn("remaining", f"X-RateLimit-Remaining is {remaining:g}: ignored")
            remaining = None
        if told.limit is None and not may_be_silent:
            self.warn("none", f"answers do not name the limit: keeping to {rate}")
        return Quota(limit, remaining, told.retry_after)

    def warn(self, kind: str, text: str) -> None:
        """Log a warning, the first time that this kind comes."""
        if kind not in self._seen:
            self._seen.add(kind)
            log.warning(text)
