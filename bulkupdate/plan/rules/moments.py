"""Moments in rules: which due dates are selected, and which due date is set."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import Enum

from bulkupdate import fields
from bulkupdate.plan.rules.workdays import Calendar
from bulkupdate.reader import DAYS, Step, step

#: The words that a due date can be selected by.
WORDS = ("overdue", "today", "weekend", "holiday")

_WORKDAYS = re.compile(r"\+\s*(\d{1,4})\s*workdays?")
_DAY = timedelta(days=1)

DUE_ACCEPTED = "overdue, today, weekend, holiday, before +7d, after 2026-01-31"
SET_ACCEPTED = (
    "'2026-01-31 09:00', 'today 17:00', '+3d 09:00', '+3 workdays 09:00', 'due +1 workday',"
    " 'next workday 09:00'"
)


class Bound(Enum):
    """The side of a bound on which a due date lies."""

    BEFORE = "before"
    """Earlier than the bound: than the beginning of it, if it is a day."""

    AFTER = "after"
    """Later than the bound: than the end of it, if it is a day."""


@dataclass(frozen=True, slots=True)
class DueTest:
    """A condition on a moment of a task.

    Attributes:
        word: `overdue`, `today`, `weekend` or `holiday`; "" for a moment that a task does not have;
            None for a bound.
        side: the side of the bound.
        at: the bound: a distance from now, a number of days from today, a day, or a moment.
    """

    word: str | None
    side: Bound = Bound.BEFORE
    at: Step | int | date | None = None

    @classmethod
    def parse(cls, text: str, zone: tzinfo) -> "DueTest":
        """The condition that a text stands for.

        Args:
            text: a word, or `before` or `after` with a moment, a day or a distance from now.
            zone: the time zone of moments that have no offset.

        Raises:
            ValueError: it is no such text.
        """
        word = " ".join(_words(text))
        if not word or word in WORDS:
            return cls(word)
        side, _, rest = word.partition(" ")
        if side not in ("before", "after"):
            near = fields.nearest(word, WORDS) or fields.nearest(side, ("before", "after"))
            raise ValueError(_unknown("is no condition on a date", near, DUE_ACCEPTED))
        return cls(None, Bound(side), _bound(rest, zone))

    def holds(self, moment: datetime | None, now: datetime, calendar: Calendar) -> bool:
        """Whether a moment meets the condition. None is the moment that a task does not have."""
        if moment is None or self.word == "":
            return moment is None and self.word == ""
        if self.word == "overdue":
            return moment < now
        if self.word == "today":
            return calendar.day(moment) == calendar.day(now)
        if self.word == "weekend":
            return calendar.is_weekend(calendar.day(moment))
        if self.word == "holiday":
            return calendar.day(moment) in calendar.holidays
        return self._is_on_its_side(moment, now, calendar)

    def _is_on_its_side(self, moment: datetime, now: datetime, calendar: Calendar) -> bool:
        at = self.at
        if isinstance(at, Step):
            at = _moved(now, at, calendar)
        elif isinstance(at, int):
            at = calendar.day(now) + at * _DAY
        if isinstance(at, datetime):
            return moment < at if self.side is Bound.BEFORE else moment > at
        if at is None:
            raise AssertionError("a condition without a word has a bound")
        day = calendar.day(moment)
        return day < at if self.side is Bound.BEFORE else day > at


def _words(text: str) -> list[str]:
    """The words of a text in lower case, but for those with numbers.

    Else `-1M`, by which people mean a month, would be a minute.
    """
    return [word if any(map(str.isdigit, word)) else word.lower() for word in text.split()]


def _bound(text: str, zone: tzinfo) -> Step | int | date:
    if text in DAYS:
        return DAYS[text]
    if found := step(text.replace("-", "+", 1) if text.startswith("-") else text):
        return found._replace(length=-found.length) if text.startswith("-") else found
    if day := fields.iso_date(text):
        return day
    try:
        return _moment(text, zone)
    except ValueError:
        raise ValueError(
            "holds neither a date nor a distance from now; accepted: before 2026-01-31,"
            " before 2026-01-31T09:00, before today, before +7d, before -30d"
        ) from None


class Base(Enum):
    """The moment from which a due date counts."""

    NOW = "now"
    """The moment of the night."""

    DUE = "due"
    """The task's own due date."""


@dataclass(frozen=True, slots=True)
class DueWord:
    """The due date that a rule sets.

    Attributes:
        fixed: the due date itself, if it does not depend on the night or on the task.
        base: the moment from which it counts.
        is_next: whether it is the first workday whose time of day is later than the base.
        distance: the distance from the base: a number of workdays, or hours, or days.
        is_workdays: whether `distance` is a number of workdays.
        time_of_day: its time of day; None for the one of the base, or of the task for the next
            workday.
    """

    fixed: datetime | None = None
    base: Base = Base.NOW
    is_next: bool = False
    distance: Step | int = 0
    is_workdays: bool = False
    time_of_day: time | None = None

    @classmethod
    def parse(cls, text: str, zone: tzinfo) -> "DueWord":
        """The due date that a text stands for.

        Args:
            text: a date and time, or words that count from now or from the due date of the task.
            zone: the time zone of moments that have no offset.

        Raises:
            ValueError: it is no such text.
        """
        words = _words(text)
        time_of_day = fields.iso_time(words[-1]) if len(words) > 1 else None
        word = " ".join(words[:-1] if time_of_day else words)
        base = Base.NOW
        if word == "due" or word.startswith("due "):
            base, word = Base.DUE, word.removeprefix("due").strip()
        if word == "next workday" and base is Base.NOW:
            return cls(is_next=True, time_of_day=time_of_day)
        if found := _WORKDAYS.fullmatch(word):
            distance = int(found[1])
            return cls(None, base, False, distance, True, time_of_day)
        if moved := step(word):
            if time_of_day and not moved.is_calendar:
                raise ValueError("has hours or minutes and a time of day: write one of them")
            return cls(None, base, False, moved, False, time_of_day)
        if word in DAYS and base is Base.NOW:
            if time_of_day is None:
                raise ValueError(f"needs a time of day: write '{word} 09:00'")
            return cls(None, base, False, DAYS[word], False, time_of_day)
        return cls(fixed=_fixed(text, base, word, zone))

    @property
    def looks_at_due(self) -> bool:
        """Whether it depends on the due date of the task."""
        return self.base is Base.DUE or (self.is_next and self.time_of_day is None)

    def moment(self, due: datetime | None, now: datetime, calendar: Calendar) -> datetime | None:
        """The due date of a task; None where it counts from a due date that the task lacks.

        Args:
            due: the present due date of the task.
            now: the moment of the night.
            calendar: the days of the rule.

        Raises:
            ValueError: it is in no year that a due date may be in.
        """
        if self.fixed is not None:
            return self.fixed
        base = due if self.looks_at_due else now
        if base is None:
            return None
        try:
            found = self._counted(base, now, calendar)
        except OverflowError:
            raise ValueError("is outside the years 1 to 9999") from None
        return datetime.fromisoformat(fields.due_date(found))

    def _counted(self, base: datetime, now: datetime, calendar: Calendar) -> datetime:
        time_of_day = self.time_of_day or calendar.time_of_day(base)
        if self.is_next:
            today = calendar.day(now)
            first = calendar.workday(today, 0)
            if first == today and calendar.at(today, time_of_day) <= now:
                first = calendar.workday(today, 1)
            return calendar.at(first, time_of_day)
        day = calendar.day(base)
        if isinstance(self.distance, Step):
            if not self.distance.is_calendar:
                return base + self.distance.length
            return calendar.at(day + self.distance.length, time_of_day)
        if self.is_workdays:
            return calendar.at(calendar.workday(day, self.distance), time_of_day)
        return calendar.at(day + self.distance * _DAY, time_of_day)


def _moved(now: datetime, distance: Step, calendar: Calendar) -> datetime:
    if not distance.is_calendar:
        return now + distance.length
    return calendar.at(calendar.day(now) + distance.length, calendar.time_of_day(now))


def _fixed(text: str, base: Base, word: str, zone: tzinfo) -> datetime:
    if not text.strip():
        raise ValueError("can't be cleared: leave the key out to leave the due date unchanged")
    if not text.strip()[0].isdigit():
        near = "" if base is Base.DUE else fields.nearest(word, ("next workday", *DAYS))
        raise ValueError(_unknown("is no due date", near, SET_ACCEPTED))
    return datetime.fromisoformat(fields.due_date(_moment(text.strip(), zone)))


def _moment(text: str, zone: tzinfo) -> datetime:
    """The moment of an ISO 8601 date-time, in a time zone where it has no offset."""
    if fields.iso_date(text):
        raise ValueError(f"has no time of day: write '{text} 09:00'")
    found = fields.iso_date_time(text)
    aware = found if found.utcoffset() is not None else found.replace(tzinfo=zone)
    return aware.astimezone(UTC)


def _unknown(what: str, near: str, accepted: str) -> str:
    return f"{what}; did you mean '{near}'?" if near else f"{what}; accepted: {accepted}"
