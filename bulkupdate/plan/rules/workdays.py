"""Days in a time zone: workdays, weekends and public holidays."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING

from bulkupdate import fields

if TYPE_CHECKING:
    from holidays import HolidayBase

#: What to do where the library of holidays is missing.
INSTALL = "pip install holidays"

_SATURDAY = 5
_DAY = timedelta(days=1)

#: Days in a row without a workday after which none is looked for any more.
_LONGEST_BREAK = 366


class Holidays:
    """Public holidays of countries, and other free days: the union of all.

    Args:
        countries: the holidays of countries, by the library `holidays`.
        days: further days.
    """

    def __init__(self, countries: Iterable["HolidayBase"] = (), days: Iterable[date] = ()) -> None:
        self._countries = tuple(countries)
        self._days = frozenset(days)
        self._known: dict[date, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._countries or self._days)

    def __contains__(self, day: date) -> bool:
        if day not in self._known:
            is_free = any(day in country for country in self._countries)
            self._known[day] = is_free or day in self._days
        return self._known[day]


def country(name: str) -> "HolidayBase":
    """The holidays of a country, or of a part of one.

    Args:
        name: the code of the country in ISO 3166, as `FR`, perhaps with one of its parts, as
            `DE-BY`.

    Raises:
        ValueError: the library is missing, or does not know the country or the part.
    """
    try:
        import holidays
    except ImportError as error:
        raise ValueError(f"needs the extra [rules] ({error}): {INSTALL}") from None
    code, _, part = name.partition("-")
    known = holidays.list_supported_countries(include_aliases=False)
    if code not in known:
        raise ValueError(f"is no country of the library holidays{_near_country(code, known)}")
    if part and part not in known[code]:
        if not known[code]:
            raise ValueError(f"names a part of {code}, of which no parts are known: write {code}")
        near = fields.nearest(part, known[code])
        hint = f"; did you mean {code}-{near}?" if near else f"; accepted: {', '.join(known[code])}"
        raise ValueError(f"names no part of {code}{hint}")
    return holidays.country_holidays(code, subdiv=part or None)


def _near_country(code: str, known: Collection[str]) -> str:
    from holidays.registry import COUNTRIES

    if code.upper() in known:
        return f"; did you mean {code.upper()}?"
    # A name in English, the name of the library's class, or the code of three letters.
    named: dict[str, str] = {}
    for module, (kind, short, long, *_) in COUNTRIES.items():
        named |= dict.fromkeys((module.replace("_", " "), kind, long), short)
    if near := fields.nearest(code, named):
        return f"; did you mean {named[near]}?"
    near = fields.nearest(code, known)
    return f"; did you mean {near}?" if near else "; write its code, as FR or DE-BY"


class Calendar:
    """The days of a time zone.

    Args:
        zone: the time zone.
        holidays: the days, beside Saturdays and Sundays, on which nobody works.
    """

    def __init__(self, zone: tzinfo, holidays: Holidays) -> None:
        self.zone = zone
        self.holidays = holidays

    def day(self, moment: datetime) -> date:
        """The day of an aware moment."""
        return moment.astimezone(self.zone).date()

    def time_of_day(self, moment: datetime) -> time:
        """The time of day of an aware moment."""
        return moment.astimezone(self.zone).time()

    def at(self, day: date, time_of_day: time) -> datetime:
        """The moment of a time of day, in UTC.

        A time that the clocks skip is as much later, and of a time that they show twice it is the
        first.
        """
        return datetime.combine(day, time_of_day, self.zone).astimezone(UTC)

    def is_weekend(self, day: date) -> bool:
        """Whether a day is a Saturday or a Sunday."""
        return day.weekday() >= _SATURDAY

    def is_workday(self, day: date) -> bool:
        """Whether a day is none of the weekend, and no holiday."""
        return not self.is_weekend(day) and day not in self.holidays

    def workday(self, day: date, count: int) -> date:
        """The workday that is `count` workdays after a day; for 0, the first from that day on.

        Raises:
            ValueError: there is none within a year, or it is beyond the last year.
        """
        try:
            if not count:
                return self._workday_from(day)
            for _ in range(count):
                day = self._workday_from(day + _DAY)
        except OverflowError:
            raise ValueError("is outside the years 1 to 9999") from None
        return day

    def _workday_from(self, day: date) -> date:
        for _ in range(_LONGEST_BREAK):
            if self.is_workday(day):
                return day
            day += _DAY
        raise ValueError("there is no workday within a year")
