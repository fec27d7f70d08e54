"""Tests of number formats: what a cell shows, and which numbers are dates."""

import time

import pytest

from bulkupdate.reader.workbook import numbers


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("00000000", 123, "00000123"),
        ('"usr_"000', 42, "usr_042"),
        ("\\u\\s\\r\\_0", 42, "usr_42"),
        ("0%", 0.5, "50%"),
        ("0.00%", 0.125, "12.50%"),
        ("#,##0", 1234567, "1,234,567"),
        ("#,##0.00 [$€-407]", 1234.5, "1,234.50 €"),
        ("_-* #,##0_-;-* #,##0_-;_-* \"-\"_-;_-@_-", 7, "7"),
        ("0;[Red]-0", -7, "-7"),
        ('0;-0;"none"', 0, "none"),
        ('0"a;b"_;;-0', 7, "7a;b"),
        ("0;-0_", -7, "-7_"),
        ("0.0", 2.25, "2.3"),
        ("0", -7, "-7"),
        (";;;", 7, ""),
        ("#", 0, ""),
        ("#,###", 0, ""),
        ("#,###", 1234, "1,234"),
        ("#.##", 0, ".00"),
        ("#,##0", 0, "0"),
        ("0", 0, "0"),
        ("?", 0, ""),
        ("General", 7, "7"),
        ('General" %"', 7, "7 %"),
        ("@", 7, "7"),
    ],
)  # fmt: skip
def test_number_shows_as_its_format_says(code: str, value: float, shown: str) -> None:
    """A format with zeros, letters, a percent sign or a currency shows what Excel shows."""
    assert numbers.shown(code, value) == shown


@pytest.mark.parametrize("code", ["0.00E+00", "# ?/?", "0,", "000-0000", "[<10]0;0.0 0", "x"])
def test_rare_format_is_not_guessed(code: str) -> None:
    """What a number shows in a format that is not understood is not known."""
    assert numbers.shown(code, 1234) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("dd.mm.yyyy", "date"),
        ("[$-409]h:mm AM/PM;@", "date"),
        ("yyyy\\-mm\\-dd", "date"),
        ("[hh]:mm:ss", "time"),
        ("[mm]:ss", "time"),
        ("General", "number"),
        ('0" days"', "number"),
        ("0_d", "number"),
        ("[Red]0", "number"),
        ("0;dd", "number"),
        (numbers.BUILTIN[14], "date"),
        (numbers.BUILTIN[46], "time"),
        (numbers.BUILTIN[9], "number"),
    ],
)
def test_format_tells_dates_from_numbers(code: str, kind: str) -> None:
    """A number is a date where its format shows a part of one, outside of quotes."""
    assert numbers.kind(code) == kind


@pytest.mark.parametrize("piece", ["_", "*", "_*", '_"', "[", "[h", '"', "\\\\", "0", "0.", "[$"])
@pytest.mark.parametrize("end", ["", '"', '"\\', "x", "/"])
def test_longest_format_takes_no_time(piece: str, end: str) -> None:
    """A format that repeats one piece, up to the limit, is understood at once."""
    code = (piece * numbers.MAX_CODE)[: numbers.MAX_CODE - len(end)] + end
    began = time.process_time()
    numbers.kind(code)
    numbers.shown(code, 5.0)
    numbers.shown_text(code, "x")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("shown", "value", "is_same"),
    [
        ("2.00", 2, True), ("2,00", 2, True), ("1,234", 1234, True), ("1 234,5", 1234.5, True),
        ("-2", -2, True), ("02", 2, True), ("50%", 0.5, False), ("2 €", 2, False), ("", 2, False),
        ("2", 1.5, False), ("1.2.3", 123, False),
    ],
)  # fmt: skip
def test_decimals_and_separators_change_no_number(shown: str, value: float, is_same: bool) -> None:
    """Decimals, zeros before a number and separators leave the number the same."""
    assert numbers.is_same(shown, value) is is_same


def test_calendar_counts_as_excel_does() -> None:
    """Day 59 is 28 February 1900, day 61 is 1 March; day 60 never was; 0.5 is a time of day."""
    assert numbers.moment(59) == {"date": "1900-02-28"}
    assert numbers.moment(60) is None
    assert numbers.moment(61) == {"date": "1900-03-01"}
    assert numbers.moment(0.5) == {"time": "12:00:00"}
    assert numbers.moment(46357.375 + 1e-9) == {"date": "2026-12-01T09:00:00"}
    assert numbers.moment(0, is_1904=True) == {"date": "1904-01-01"}


def test_duration_is_hours_minutes_and_seconds() -> None:
    """A number of days is hours, minutes and seconds, with a sign."""
    assert numbers.duration(1.5) == "36:00:00"
    assert numbers.duration(-1 / 24) == "-01:00:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-24", {"date": "2026-12-24"}),
        ("2026-12-24T08:59", {"date": "2026-12-24T08:59:00"}),
        ("2026-12-24T08:59:59.999999999", {"date": "2026-12-24T09:00:00"}),
        ("2026-12-24T08:59:59,25", {"date": "2026-12-24T08:59:59.250000"}),
        ("2026-12-24T23:59:59.9999Z", {"date": "2026-12-25T00:00:00+00:00"}),
        ("2026-12-24T08:00:00+01:00", {"date": "2026-12-24T08:00:00+01:00"}),
        ("T09:00:00", {"time": "09:00:00"}),
        ("09:00", {"time": "09:00:00"}),
    ],
)
def test_date_in_iso_form_is_what_programs_show(text: str, expected: dict[str, str]) -> None:
    """A date in ISO form is rounded to milliseconds, as programs show it."""
    assert numbers.iso_date(text) == expected


@pytest.mark.parametrize(
    "text",
    ["2026-W52-4", "20261224", "2026-12-24 08:00", "2026-12-24T0800", "2026-12-24T08:00.5",
     "2026-12-24+01:00", "2026-02-30", "2026-12-24T24:00", "9999-12-31T23:59:59.9999", "0900",
     "T25:00", ""],
)  # fmt: skip
def test_other_forms_of_iso_dates_are_none(text: str) -> None:
    """Weeks, dates without separators, and days that no calendar has, are no dates."""
    assert numbers.iso_date(text) is None


@pytest.mark.parametrize(
    ("code", "zone"),
    [
        ('yyyy-mm-dd"T"hh:mm:ss"Z"', "Z"),
        ("yyyy\\-mm\\-dd\\Thh:mm:ss\\Z", "Z"),
        ("yyyy-mm-ddThh:mm:ss.000Z", "Z"),
        ('yyyy-mm-dd hh:mm" UTC"', "UTC"),
        ("hh:mm\\ \\G\\M\\T", "GMT"),
        ('d mmm yyyy hh:mm" (CEST)"', "CEST"),
        ('yyyy-mm-dd"T"hh:mm"+00:00"', "+00:00"),
        ('hh:mm"+0100";@', "+0100"),
        ('d mmm yyyy "at" hh:mm', None),
        ('"due "dd/mm/yyyy hh:mm', None),
        ("[$-409]m/d/yy h:mm AM/PM;@", None),
        ('hh:mm" Uhr"', None),
        ("yyyy-mm-dd hh:mm:ss.000", None),
        ("General", None),
    ],
)
def test_zone_of_a_date_format_is_found(code: str, zone: str | None) -> None:
    """A literal of a date format that is a time zone is found, and no other."""
    assert numbers.zone(code) == zone


@pytest.mark.parametrize(
    ("shown", "zone"),
    [
        ("2026-12-01T09:30:00Z", "Z"),
        ("2026-12-01T09:30:00.000+05:30", "+05:30"),
        ("1 OCT 2026 9:30 AM (UTC)", "UTC"),
        ("9:30 1 OCT 2026", None),
        ("09:30 01-12-2026", None),
        ("2026-12-01 09:30", None),
    ],
)
def test_zone_behind_a_shown_time_is_found(shown: str, zone: str | None) -> None:
    """A time zone behind the time that a cell shows is found."""
    assert numbers.shown_zone(shown) == zone
