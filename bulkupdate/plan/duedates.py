"""The due dates of an input in a few numbers, which show at a glance whether they are meant."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import Any

import msgspec
from msgspec import UNSET

from bulkupdate import fields

#: Number of due dates that are kept until they are summed up.
_KEPT = 1024

_SATURDAY = 5


class DueDates(msgspec.Struct, frozen=True, kw_only=True):
    """The due dates that a run would send.

    Attributes:
        first: the earliest, UTC.
        last: the latest, UTC.
        past: number of rows with one before the moment from which relative dates count.
        weekend: number of rows with one on a Saturday or Sunday in the user's time zone, else UTC.
    """

    first: str
    last: str
    past: int
    weekend: int


class DueDateCount:
    """Counter of due dates.

    Args:
        now: the moment from which relative dates count; aware.
        zone: the time zone of days.
    """

    def __init__(self, now: datetime, zone: tzinfo) -> None:
        self._now = fields.in_utc(now)
        self._zone = zone
        #: The number of rows by due date, for those that are not in the other numbers yet.
        self._rows: Counter[Any] = Counter()
        self._first, self._last = "", ""
        self._past = self._weekend = 0

    def add(self, due_dates: Iterable[Any]) -> None:
        """Add due dates: texts as they are sent, and `UNSET`."""
        # Each row is counted in C. An input has few due dates, or they are summed up in turn.
        self._rows.update(due_dates)
        if len(self._rows) > _KEPT:
            self._sum_up()

    def _sum_up(self) -> None:
        rows, self._rows = self._rows, Counter()
        del rows[UNSET]
        if not rows:
            return
        # The form that is sent is in the order of time.
        self._first = min([*rows, *filter(None, [self._first])])
        self._last = max([*rows, self._last])
        for due, number in rows.items():
            self._past += number * (due < self._now)
            moment = datetime.fromisoformat(due).astimezone(self._zone)
            self._weekend += number * (moment.weekday() >= _SATURDAY)

    @property
    def found(self) -> DueDates | None:
        """The due dates so far; None without any."""
        if self._rows:
            self._sum_up()
        if not self._first:
            return None
        return DueDates(first=self._first, last=self._last, past=self._past, weekend=self._weekend)
