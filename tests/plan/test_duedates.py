"""Tests of the due dates of an input in a few numbers."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bulkupdate.plan import duedates
from bulkupdate.plan.duedates import DueDateCount, DueDates
from bulkupdate.plan.preview import inspect
from bulkupdate.reader import Input, ReadOptions
from bulkupdate.ui import messages

#: A Friday.
NOW = datetime(2026, 12, 4, 12, 0, tzinfo=UTC)


def test_first_and_last_due_date_are_found_in_any_order() -> None:
    """The earliest and the latest are found, whatever their order, and those that are past."""
    count = DueDateCount(NOW, UTC)
    for day in ("2026-12-07", "2026-12-03", "2026-12-24", "2026-12-04"):
        count.add([f"{day}T11:59:59.999Z"])
    assert count.found == DueDates(
        first="2026-12-03T11:59:59.999Z", last="2026-12-24T11:59:59.999Z", past=2, weekend=0
    )


def test_weekend_is_that_of_the_time_zone() -> None:
    """Saturday begins, and Sunday ends, at midnight of the user's time zone."""
    moments = ("2026-12-04T23:00", "2026-12-06T22:59", "2026-12-04T22:59", "2026-12-06T23:00")
    found = []
    for zone in (ZoneInfo("Europe/Paris"), UTC):
        for moment in moments:
            count = DueDateCount(NOW, zone)
            count.add([f"{moment}:00.000Z"])
            assert count.found is not None
            found.append(count.found.weekend)
    assert found == [1, 1, 0, 0, 0, 1, 0, 1]


def test_due_dates_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are right for more due dates than are kept."""
    monkeypatch.setattr(duedates, "_KEPT", 2)
    count = DueDateCount(NOW, UTC)
    for day in ("04", "05", "06", "07", "05"):
        count.add([f"2026-12-{day}T12:00:00.000Z"])
        assert len(count._rows) <= 2
    assert count.found == DueDates(
        first="2026-12-04T12:00:00.000Z", last="2026-12-07T12:00:00.000Z", past=0, weekend=3
    )


def test_due_dates_are_shown_before_anything_is_sent(tmp_path: Path) -> None:
    """The preview shows the span of the due dates in the user's time zone, and what is odd."""
    path = tmp_path / "a.csv"
    path.write_text("id,dueDate\nopp_1,2026-12-05 09:00\nopp_2,2025-12-05 09:00\nopp_3,\n")
    options = ReadOptions(timezone="Europe/Paris", now=NOW)
    with Input.open(path, options=options) as source:
        *_, inspection = inspect(source)
        lines = list(messages.preview_lines(source, inspection.preview(None)))
    span = "2025-12-05 09:00 to 2026-12-05 09:00 (Europe/Paris)"
    assert f"  due: {span}, 1 in the past, 1 on a weekend" in lines


def test_input_without_due_dates_shows_none(tmp_path: Path) -> None:
    """Without due dates there is nothing to show."""
    path = tmp_path / "a.csv"
    path.write_text("id,title\nopp_1,x\n")
    with Input.open(path) as source:
        *_, inspection = inspect(source)
        preview = inspection.preview(None)
        assert preview.due is None
        assert not any("due:" in line for line in messages.preview_lines(source, preview))
