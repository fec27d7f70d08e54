"""Unsuccessful rows, counted until there are too many."""

from bulkupdate.errors import setting
from bulkupdate.models import SUCCESSES, Reason, Result, Row
from bulkupdate.session.settings import FailureLimit
from bulkupdate.stop import Stop


class Failures:
    """The count of the rows that were sent and did not go through.

    Args:
        limit: how many of them stop a run, or a part of it; None for no such limit.
        stop: is set then.
        name: the name of the limit among the settings.
        sent: number of rows that were sent before.
        failures: number of them that did not go through.
    """

    def __init__(
        self,
        limit: FailureLimit | None,
        stop: Stop,
        name: str = "max_failures",
        *,
        sent: int = 0,
        failures: int = 0,
    ) -> None:
        self._limit = limit
        self._stop = stop
        self._name = name
        self._sent, self._failures = sent, failures

    def count(self, row: Row, result: Result) -> None:
        """Count a row, and stop once there are too many."""
        limit = self._limit
        if limit is None or result.sent is None or self._stop.is_set:
            return
        rows = 1 + len(row.merged)
        self._sent += rows
        self._failures += rows * (result.outcome not in SUCCESSES)
        if limit.is_reached(self._failures, self._sent):
            self._stop.set(
                f"{self._failures:,} of {self._sent:,} rows did not go through:"
                f" {setting(self._name)} is {limit}",
                Reason.TOO_MANY_FAILURES,
            )
