"""Tests of reading due dates."""

from datetime import UTC, datetime
from typing import Any

import pytest

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
