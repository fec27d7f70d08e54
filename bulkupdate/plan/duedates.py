"""The due dates of an input in a few numbers, which show at a glance whether they are meant."""

from datetime import datetime, tzinfo

import msgspec

from bulkupdate import fields

#: Number of minutes whose day of the week is remembered.
_REMEMBERED = 4096

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
        self._now = fields.due_date(now)
        self._zone = zone
        self._first, self._last = "", ""
        self._past = self._weekend = 0
        self._is_weekend: dict[str, bool] = {}

    def add(self, due: str) -> None:
        """Add a due date, as it is sent."""
        # The form that is sent is in the order of time.
        if due > self._last:
            self._last = due
        if due < self._first or not self._first:
            self._first = due
        if due < self._now:
            self._past += 1
        minute = due[:16]
        is_weekend = self._is_weekend.get(minute)
        if is_weekend is None:
            is_weekend = self._look_up(minute)
        self._weekend += is_weekend

    def _look_up(self, minute: str) -> bool:
        if len(self._is_weekend) == _REMEMBERED:
            self._is_weekend.clear()
        moment = datetime.fromisoformat(f"{minute}Z").astimezone(self._zone)
        self._is_weekend[minute] = moment.weekday() >= _SATURDAY
        return self._is_weekend[minute]

    @property
    def found(self) -> DueDates | None:
        """The due dates so far; None without any."""
        if not self._first:
            return None
        return DueDates(first=self._first, last=self._last, past=self._past, weekend=self._weekend)
