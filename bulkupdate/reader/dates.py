"""Due dates as people write them: in a time zone, in a date format, or relative to now."""

import contextlib
import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

from bulkupdate import fields
from bulkupdate.errors import setting
from bulkupdate.reader.dateadvice import formats_of, is_no_day
from bulkupdate.reader.dateformat import DateFormat
from bulkupdate.reader.options import ReadOptions

_RELATIVE = re.compile(r"\+\s*(\d{1,5})\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

#: The words for days: number of days from today.
DAYS = {"today": 0, "tomorrow": 1}


class Step(NamedTuple):
    """The distance that a word as `+3d` stands for.

    Attributes:
        length: the distance.
        is_calendar: whether it is in days of the calendar: the time of day stays the same when the
            clocks change.
    """

    length: timedelta
    is_calendar: bool


def step(word: str) -> Step | None:
    """The distance of a word: `+30m`, `+2h`, `+3d`, `+1w`; None if it is not one."""
    match = _RELATIVE.fullmatch(word)
    if not match:
        return None
    return Step(timedelta(**{_UNITS[match[2]]: int(match[1])}), match[2] in "dw")


class DateReader:
    """Reader of due dates.

    Args:
        options: the user's options for dates and times.
        now: the time from which `today` and `+3d` count; aware.
    """

    def __init__(self, options: ReadOptions, now: datetime) -> None:
        self._zone = options.zone
        self._zone_name = options.timezone or ""
        self._time = options.time_of_day
        self._formats = [*map(DateFormat, options.date_formats)]
        self._now = now
        #: Whether a format of the user looks like ISO 8601: then ISO 8601 is not tried.
        self._is_rival = any(form.text.startswith(("%Y", "%y")) for form in self._formats)

    def read(self, text: str) -> str:
        """The due date to send: UTC, to the millisecond.

        Args:
            text: ISO 8601; or in a format of `--date-format`; or `today`, `tomorrow`, `+30m`,
                `+2h`, `+3d`, `+1w`.

        Raises:
            ValueError: it is none of these, or is ambiguous, or lacks a time or an offset.
        """
        word = text.strip()
        if relative := self._relative(word):
            return fields.due_date(relative)
        found = self._by_format(word)
        if found is None and self._is_rival:
            raise self._not_iso(word) or ValueError("is not a date")
        if found is None and (day := fields.iso_date(word)):
            return fields.due_date(self._at_time_of_day(day))
        if found is None:
            try:
                found = fields.iso_date_time(word)
            except ValueError as error:
                raise self._not_iso(word) or error from None
        return fields.due_date(self._aware(found))

    def may_turn(self, text: str) -> bool:
        """Whether a date is in a format of the user in which day and month may change places."""
        word = text.strip()
        for one in self._formats:
            with contextlib.suppress(ValueError):
                if one.may_turn and one.read(word) is not None:
                    return True
        return False

    def _relative(self, word: str) -> datetime | None:
        if word.lower() in DAYS:
            if self._zone is None:
                raise ValueError(f"needs a time zone: set {setting('timezone')} Europe/Paris")
            day = self._now.astimezone(self._zone) + timedelta(days=DAYS[word.lower()])
            return self._at_time_of_day(day.date())
        if (found := step(word)) is None:
            return None
        try:
            if not found.is_calendar:
                return self._now + found.length
            # Days are calendar days: the time of day stays the same when the clocks change.
            local = self._now.astimezone(self._zone or UTC)
            if self._time is not None:
                return self._at_time_of_day((local + found.length).date())
            return self._aware((local + found.length).replace(tzinfo=None), self._zone or UTC)
        except OverflowError:
            raise ValueError("is outside the years 1 to 9999") from None

    def _by_format(self, word: str) -> datetime | None:
        """The moment in a date of the user's formats; None where no format fits.

        Raises:
            ValueError: several formats fit and give different moments; or it contradicts itself,
                or names another time zone than the user's.
        """
        found: dict[datetime, str] = {}
        problem: ValueError | None = None
        for date_format in self._formats:
            try:
                moment = date_format.read(word)
            except ValueError as error:
                problem = problem or error
                continue
            if moment is None:
                continue
            if not date_format.has_time:
                moment = self._at_time_of_day(moment.date(), moment.tzinfo)
            elif date_format.zone:
                moment = self._in_named_zone(moment, date_format.zone)
            found.setdefault(moment, date_format.text)
        if len(found) > 1:
            raise ValueError(
                f"can be two dates: {' and '.join(f'{m:%d %B %Y %H:%M}' for m in found)}, by"
                f" {setting('date_formats')} {' and '.join(map(repr, found.values()))}: keep one"
            )
        if not found and problem is not None:
            raise problem
        return next(iter(found), None)

    def _in_named_zone(self, moment: datetime, name: str) -> datetime:
        if self._zone is None or isinstance(self._zone, timezone):
            # An offset that the user gave is the one that the name stands for.
            moment = self._aware(moment)
            if self._zone is not UTC:
                return moment
        # Where the clocks change, the name tells which of two times is meant.
        for fold in (0, 1):
            aware = moment.replace(tzinfo=self._zone, fold=fold)
            exists = aware.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None) == moment
            if aware.tzname() == name and exists:
                return aware
        shown = moment.replace(tzinfo=self._zone).tzname()
        raise ValueError(
            f"is in {name}, and {self._zone_name} has {shown} then: set {setting('timezone')} to"
            " the zone of the dates, or to its offset"
        )

    def _at_time_of_day(self, day: date, zone: tzinfo | None = None) -> datetime:
        if self._time is None:
            raise ValueError(
                f"has no time of day: set {setting('time')} 09:00, or write it as"
                " 2026-01-31T08:58:00+01:00"
            )
        return self._aware(datetime.combine(day, self._time), zone)

    def _aware(self, moment: datetime, zone: tzinfo | None = None) -> datetime:
        zone = zone or self._zone
        if moment.utcoffset() is not None:
            return moment
        if zone is None:
            raise ValueError(
                "has no offset from UTC: add Z or +02:00, or set"
                f" {setting('timezone')} Europe/Paris"
            )
        return _in_zone(moment, zone, self._zone_name)

    def _not_iso(self, word: str) -> ValueError | None:
        """The error for a date that is not ISO 8601; None where there is no more advice to give."""
        if self._formats:
            shown = " or ".join(repr(form.text) for form in self._formats)
            other = "is not" if self._is_rival else "is neither ISO 8601 nor"
            return ValueError(f"{other} a date in the format of {setting('date_formats')}: {shown}")
        readings = {
            date_format: f"{moment.day} {moment:%B %Y}"
            for date_format, moment in formats_of(word).items()
        }
        ways = f"set {setting('date_formats')} " + " or ".join(f"'{form}'" for form in readings)
        if len(set(readings.values())) > 1:
            days = " or ".join(readings.values())
            return fields.WrongValueError(f"can be several dates: {ways}", f": {days}?")
        if readings:
            as_others = ", as the other dates of the file are" if len(readings) > 1 else ""
            return ValueError(f"is not ISO 8601: {ways}{as_others}")
        if is_no_day(word):
            return ValueError("is no such day, in whatever order day and month are")
        return None


def _in_zone(moment: datetime, zone: tzinfo, name: str) -> datetime:
    """A local time with the offset of its zone.

    Raises:
        ValueError: the time happens twice on that day, or not at all.
    """
    first, second = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    readings = " or ".join(
        sorted(aware.astimezone(UTC).astimezone(zone).isoformat() for aware in (first, second))
    )
    exists = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
    what = "happens twice" if exists else "is skipped"
    message = f"{what} in {name}, where the clocks change: write one of these"
    raise fields.WrongValueError(message, f": {readings}")
