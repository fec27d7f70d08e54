"""Tests of reading due dates."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from bulkupdate import fields
from bulkupdate.reader.dates import DateReader
from bulkupdate.reader.options import ReadOptions

NOW = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)


def read(text: str, **options: Any) -> str:
    return DateReader(ReadOptions(**options), NOW).read(text)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("2026-01-31T08:58", {}, "no offset from UTC: add Z or .*, or set timezone Europe/Paris"),
        ("2026-01-31", {}, "has no time of day: set time 09:00"),
        ("today", {}, "needs a time zone: set timezone Europe/Paris"),
        ("tomorrow", {"timezone": "UTC"}, "has no time of day: set time 09:00"),
    ],
)
def test_date_that_lacks_something_says_what_to_set(
    text: str, options: dict[str, Any], says: str
) -> None:
    """A date that is incomplete is refused with the option that completes it."""
    with pytest.raises(ValueError, match=says):
        read(text, **options)


@pytest.mark.parametrize("text", ["+99999w", "+99999d", "+99999h"])
def test_distance_beyond_the_last_year_is_refused(text: str) -> None:
    """It is told so, and not as a text that is no date."""
    last = DateReader(ReadOptions(timezone="UTC"), datetime(9999, 12, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="is outside the years 1 to 9999"):
        last.read(text)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("2026-01-31T08:58", "2026-01-31T07:58:00.000Z"),
        ("2026-01-31", "2026-01-31T08:00:00.000Z"),
        ("today", "2026-01-30T08:00:00.000Z"),
        ("Tomorrow", "2026-01-31T08:00:00.000Z"),
        ("+30m", "2026-01-30T12:30:00.000Z"),
        ("+2h", "2026-01-30T14:00:00.000Z"),
        ("+3d", "2026-02-02T08:00:00.000Z"),
        ("+1w", "2026-02-06T08:00:00.000Z"),
    ],
)
def test_zone_and_time_of_day_complete_a_date(text: str, sent: str) -> None:
    """A date without an offset or a time of day gets those of the options."""
    assert read(text, timezone="Europe/Paris", time="09:00") == sent


@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("12/24/2026, 5:30:00 PM", "%m/%d/%Y, %I:%M:%S %p"),
        ("12/24/2026, 5:30:00\u202fPM", "%m/%d/%Y, %I:%M:%S %p"),
        ("12/24/2026 3:00 pm", "%m/%d/%Y %I:%M %p"),
        ("31.01.26 09:30", "%d.%m.%y %H:%M"),
        ("31.01.2026 09.30 Uhr", "%d.%m.%Y %H.%M Uhr"),
        ("24/12/2026 17:30Z", "%d/%m/%Y %H:%M%z"),
        ("2026/12/24", "%Y/%m/%d"),
        ("2026-12-01 09.30", "%Y-%m-%d %H.%M"),
        ("2026-12-01 9:30", "%Y-%m-%d %H:%M"),
        ("Dec 24, 2026 5:30 PM", "%b %d, %Y %I:%M %p"),
        ("24 December 2026", "%d %B %Y"),
        ("24-Dec-2026", "%d-%b-%Y"),
        ("31-DEC-26", "%d-%b-%y"),
        ("31. 12. 2026", "%d. %m. %Y"),
        ("2026年12月31日", "%Y年%m月%d日"),
        ("2026. 12. 31.", "%Y. %m. %d."),
        ("Thu, 24 Dec 2026 17:30:00 +0100", "%a, %d %b %Y %H:%M:%S %z"),
        ("Thu Dec 24 2026 17:30:00 GMT+0100", "%a %b %d %Y %H:%M:%S GMT%z"),
    ],
)
def test_suggested_format_reads_the_date(text: str, suggested: str) -> None:
    """A date in another format is refused with a format that reads it."""
    with pytest.raises(ValueError, match=re.escape(f"set date_formats '{suggested}'")):
        read(text, timezone="UTC", time="09:00")
    assert read(text, timezone="UTC", time="09:00", date_formats=(suggested,)).startswith("20")


@pytest.mark.parametrize(
    "text",
    [
        *("24 Dezember 2026", "24 Dec", "soon", "12/24/2026 noon"),
        *("2026-12-01 09:30.15", "2026-12-01T095", "2026-12-01 09:005", "20261201 9"),
        *("24 Dec 2026 17:30 GMT", "24 Dec 2026 17:30 EST", "100%", "24/12/2026 17:30:00 (CET)"),
    ],
)
def test_no_format_is_suggested_that_does_not_read_the_date(text: str) -> None:
    """Where no format reads all of a text, the message shows how ISO 8601 looks."""
    with pytest.raises(ValueError, match="is not an ISO 8601 date-time: write 2026-"):
        read(text, timezone="UTC", time="09:00")


@pytest.mark.parametrize(
    "text", ["24/13/2026", "32.01.2026", "31/11/2026", "00/01/1900", "99/99/99"]
)
def test_figures_that_are_no_day_say_so(text: str) -> None:
    """Figures that are a day in no order are no such day."""
    with pytest.raises(ValueError, match="is no such day, in whatever order"):
        read(text, timezone="UTC", time="09:00")


def test_figures_of_another_script_are_not_denied_to_be_a_day() -> None:
    """They are one to people, so that the message says how to write it."""
    with pytest.raises(ValueError, match="is not an ISO 8601 date-time: write 2026-"):
        read("٢٠٢٦-١٢-٠١", timezone="UTC", time="09:00")


def test_every_order_of_day_month_and_year_is_asked() -> None:
    """Where the year may come first, all readings are shown; equal ones too name all formats."""
    with pytest.raises(fields.WrongValueError, match="'%d/%m/%y' or '%y/%m/%d'") as raised:
        read("26/12/31", timezone="UTC", time="09:00")
    assert raised.value.hint == ": 26 December 2031 or 31 December 2026?"
    with pytest.raises(
        ValueError, match="'%d/%m/%Y' or '%m/%d/%Y', as the other dates of the file"
    ):
        read("04/04/2027", timezone="UTC", time="09:00")


def test_day_or_month_first_is_asked() -> None:
    """Where day and month may be either, both formats are named, with the date of each."""
    with pytest.raises(ValueError, match="'%d/%m/%Y, %H:%M' or '%m/%d/%Y, %H:%M'"):
        read("01/02/2026, 09:30", timezone="UTC")


def test_two_formats_that_read_two_dates_are_refused() -> None:
    """Of several formats that were set, the first that fits counts only if no other disagrees."""
    formats = ("%d/%m/%Y", "%m/%d/%Y")
    options: dict[str, Any] = {"timezone": "UTC", "time": "09:00", "date_formats": formats}
    assert read("31/01/2026", **options) == read("01/31/2026", **options)
    assert read("02/02/2026", **options) == "2026-02-02T09:00:00.000Z"
    with pytest.raises(ValueError, match=r"can be two dates: 02 January 2026 .* and 01 February"):
        read("02/01/2026", **options)


@pytest.mark.parametrize(
    ("text", "date_format", "zone"),
    [
        ("2026-12-01T09:00:00Z", "%Y-%m-%dT%H:%M:%SZ", "Europe/Paris"),
        ("20261201T090000Z", "%Y%m%dT%H%M%SZ", "Europe/Paris"),
        ("Tue, 01 Dec 2026 09:00:00 GMT", "%a, %d %b %Y %H:%M:%S GMT", "America/New_York"),
        ("01/12/2026 09:00 utc", "%d/%m/%Y %H:%M UTC", "Asia/Tokyo"),
        ("01/12/2026 09:00 UTC", "%d/%m/%Y %H:%M UTC", None),
        ("01/12/2026 10:00 GMT+0100", "%d/%m/%Y %H:%M GMT%z", "Asia/Tokyo"),
        ("01/12/2026 10:00 CET", "%d/%m/%Y %H:%M CET", "Europe/Paris"),
        ("01/12/2026 06:00 -03", "%d/%m/%Y %H:%M -03", "America/Sao_Paulo"),
        ("01/12/2026 10:00 UTC+01:00", "%d/%m/%Y %H:%M UTC+01:00", "Asia/Tokyo"),
        ("01/12/2026 04:00 GMT-5", "%d/%m/%Y %H:%M GMT-5", "Europe/Paris"),
        ("01/12/2026 11:00 (GMT+2)", "%d/%m/%Y %H:%M (GMT+2)", None),
        ("2026-12-01T14:30:00+05:30", "%Y-%m-%dT%H:%M:%S+05:30", "Europe/Paris"),
        ("01/12/2026 11:00 EST", "%d/%m/%Y %H:%M EST", "+02:00"),
        ("Plan Z 01/12/2026 10:00", "Plan Z %d/%m/%Y %H:%M", "Europe/Paris"),
        ("01/12/2026 9:00 AM Z", "%d/%m/%Y %I:%M %p Z", "Europe/Paris"),
    ],
)
def test_zone_that_a_format_names_is_that_of_its_dates(
    text: str, date_format: str, zone: str | None
) -> None:
    """UTC or an offset in a format counts, whatever the user's zone is. A name must be its name."""
    found = read(text, timezone=zone, date_formats=(date_format,))
    assert found == "2026-12-01T09:00:00.000Z"


@pytest.mark.parametrize(
    ("name", "zone", "shown"),
    [
        ("CET", "America/New_York", "EST"),
        ("CEST", "Europe/Paris", "CET"),
        ("EST", "UTC", "UTC"),
        ("EST", "Asia/Dubai", r"\+04"),
    ],
)
def test_zone_of_a_format_that_is_not_the_users_is_refused(
    name: str, zone: str, shown: str
) -> None:
    """The time would be taken for another one."""
    form = f"%d/%m/%Y %H:%M {name}"
    with pytest.raises(ValueError, match=f"is in {name}, and {zone} has {shown} then"):
        read(f"01/12/2026 09:00 {name}", timezone=zone, date_formats=(form,))


@pytest.mark.parametrize(
    ("text", "date_format"),
    [
        ("1122026", "%d%m%Y"),
        ("11226", "%d%m%y"),
        ("1112026", "%m%d%Y"),
        ("2026121", "%Y%m%d"),
        ("01/12/2026 115", "%d/%m/%Y %H%M"),
    ],
)
def test_lost_zero_in_joined_numbers_is_refused(text: str, date_format: str) -> None:
    """Where nothing stands between the numbers of a date, each has all its digits."""
    options = {"timezone": "UTC", "time": "09:00", "date_formats": (date_format,)}
    with pytest.raises(ValueError, match=r"lacks a digit, so that it can be several dates"):
        read(text, **options)


def test_name_of_a_zone_tells_which_of_two_times_is_meant() -> None:
    """In the hour that occurs twice, summer time and standard time have their names."""
    for name, sent in (("CEST", "00:30"), ("CET", "01:30")):
        options = {"timezone": "Europe/Paris", "date_formats": (f"%d/%m/%Y %H:%M {name}",)}
        assert read(f"25/10/2026 02:30 {name}", **options) == f"2026-10-25T{sent}:00.000Z"
    options = {"timezone": "Europe/Paris", "date_formats": ("%d/%m/%Y %H:%M CEST",)}
    with pytest.raises(ValueError, match="is in CEST, and Europe/Paris has CET then"):
        read("29/03/2026 02:30 CEST", **options)


def test_day_in_a_zone_of_its_own_has_the_time_of_day_there() -> None:
    """UTC in a format without a time of day is the zone of `--time`."""
    options: dict[str, Any] = {"timezone": "Europe/Paris", "time": "09:00"}
    options["date_formats"] = ("%d/%m/%Y UTC",)
    assert read("01/07/2026 UTC", **options) == "2026-07-01T09:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "date_format"),
    [
        ("01122026", "%d%m%Y"),
        ("011226", "%d%m%y"),
        ("1/12/2026", "%d/%m/%Y"),
        (" 1.12.26", "%d.%m.%y"),
        ("Tue  1 Dec 2026", "%a %d %b %Y"),
        ("tuesday, 1 DECEMBER 2026", "%A, %d %B %Y"),
        ("2026 100% 12 1", "%Y 100%% %m %d"),
        ("01/12/2026 900 AM", "%d/%m/%Y 900 AM"),
        ("01.12.2026 9 Uhr", "%d.%m.%Y 9 Uhr"),
        ("01.12.2026 09:00 -99", "%d.%m.%Y %H:%M -99"),
        ("Tuesday (Tue) 01/12/2026", "%A (%a) %d/%m/%Y"),
        ("20261201090000000", "%Y%m%d%H%M%S%f"),
    ],
)
def test_date_with_all_its_digits_is_read(text: str, date_format: str) -> None:
    """Numbers with something between them need no zeros; words may have any case."""
    options = {"timezone": "UTC", "time": "09:00", "date_formats": (date_format,)}
    assert read(text, **options) == "2026-12-01T09:00:00.000Z"


def test_weekday_that_contradicts_its_date_is_refused() -> None:
    """The date was meant in another order, or is a mistake."""
    options: dict[str, Any] = {"timezone": "UTC", "date_formats": ("%a, %m/%d/%Y %H:%M",)}
    assert read("Mon, 03/02/2026 09:00", **options) == "2026-03-02T09:00:00.000Z"
    with pytest.raises(ValueError, match="is a Monday by date_formats"):
        read("Tue, 03/02/2026 09:00", **options)
    options["date_formats"] += ("%a, %d/%m/%Y %H:%M",)
    assert read("Tue, 03/02/2026 09:00", **options) == "2026-02-03T09:00:00.000Z"
