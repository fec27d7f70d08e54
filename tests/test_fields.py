"""What a person may write in a field, and what is sent for it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate import fields


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("0", "0"), ("1", "1"), ("2", "2"), (0, "0"), (2, "2"),
        ("low", "0"), ("Medium", "1"), (" HIGH ", "2"), ("none", ""), ("", ""),
    ],
)  # fmt: skip
def test_priority_is_sent_as_api_string(written: object, sent: str) -> None:
    """A priority is sent as the string that the API uses."""
    assert fields.priority(written) == sent


@pytest.mark.parametrize("written", ["3", "urgent", True, 1.0, None, [], -1])
def test_unknown_priority_is_refused_with_list(written: object) -> None:
    """An unknown priority is refused with the list of the known ones."""
    with pytest.raises(ValueError, match="low, medium, high or none"):
        fields.priority(written)


@pytest.mark.parametrize(
    ("written", "sent"),
    [("true", True), ("YES", True), ("1", True), (1, True), (True, True),
     ("False", False), (" no ", False), ("0", False), (0, False), (False, False)],
)  # fmt: skip
def test_done_is_sent_as_a_boolean(written: object, sent: bool) -> None:
    """A value for done is sent as a real boolean."""
    assert fields.done(written) is sent


@pytest.mark.parametrize("written", ["maybe", "", 2, None, 1.0])
def test_other_values_are_no_boolean(written: object) -> None:
    """A value that is no known word for yes or no is refused."""
    with pytest.raises(ValueError, match="yes, no, 1 or 0"):
        fields.done(written)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("2026-01-31T07:58:00Z", "2026-01-31T07:58:00.000Z"),
        ("2026-01-31T07:58:00.123456Z", "2026-01-31T07:58:00.123Z"),
        ("2026-01-31 08:58+01:00", "2026-01-31T07:58:00.000Z"),
        ("20260131T085800+0100", "2026-01-31T07:58:00.000Z"),
        ("2026-01-31t07:58:00z", "2026-01-31T07:58:00.000Z"),
        ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00.000Z"),
        (datetime(2026, 1, 31, 7, 58, tzinfo=UTC), "2026-01-31T07:58:00.000Z"),
    ],
)
def test_due_date_is_sent_as_utc(written: object, sent: str) -> None:
    """A due date is sent in UTC with milliseconds."""
    assert fields.due_date(written) == sent


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("2026-01-31", "no time of day and no offset"),
        ("2026-01-31T07:58:00", "no offset"),
        (datetime(2026, 1, 31, 7, 58), "no offset"),  # noqa: DTZ001 - that is the point
        ("31/01/2026 07:58", "not an ISO 8601"),
        ("2026-02-30T07:58:00Z", "not an ISO 8601"),
        ("2026-02-30T10:00:00.000Z", "not an ISO 8601"),
        ("2026-01-31T10:60:00.000Z", "not an ISO 8601"),
        ("2026-01-31T10:00:00.00xZ", "not an ISO 8601"),
        ("2026-01-31T10:00:00.000A", "not an ISO 8601"),
        ("2026-01-31x07:58:00Z", "not an ISO 8601"),
        ("tomorrow", "not an ISO 8601"),
        ("", "is empty"),
        (5, "is not text"),
        ("0001-01-01T00:00:00+05:00", "outside the years"),
    ],
)
def test_incomplete_due_date_is_refused(written: object, says: str) -> None:
    """A due date without a time or an offset, or in another format, is refused."""
    with pytest.raises(ValueError, match=says):
        fields.due_date(written)


@given(
    st.datetimes(min_value=datetime(1900, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
)
def test_due_date_stays_the_same_instant(local: datetime, minutes: int) -> None:
    """A due date stays the same instant, whatever its offset is."""
    moment = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    sent = fields.due_date(moment.isoformat())
    assert abs(datetime.fromisoformat(sent) - moment) < timedelta(milliseconds=1)
    assert fields.due_date(sent) == sent


@pytest.mark.parametrize("written", ["", "  ", "a b", "a\tb", "a\u00a0b", "a\u200bb", 7, None])
def test_id_is_a_single_printable_word(written: object) -> None:
    """An id that is empty, has blanks inside or is no text is refused."""
    with pytest.raises(ValueError, match=r"id|text"):
        fields.identifier(written)


def test_blanks_around_an_id_are_dropped() -> None:
    """An id loses the blanks around it and may have any length."""
    assert fields.identifier(" x\n") == "x"
    assert fields.identifier("y" * 500) == "y" * 500


def test_text_is_sent_unchanged() -> None:
    """Text is sent unchanged, and a lone surrogate is refused."""
    assert fields.text("  Zoé\n—  ") == "  Zoé\n—  "
    with pytest.raises(ValueError, match="surrogate"):
        fields.text("\ud800")


def test_media_are_lists_of_https_urls() -> None:
    """Images and videos are lists of https URLs, and anything else is refused."""
    assert fields.media(["https://a.example/x.png"]) == ("https://a.example/x.png",)
    assert fields.media([]) == ()
    for wrong in ("https://a.example", {"a": 1}, 5):
        with pytest.raises(ValueError, match="not a list"):
            fields.media(wrong)
    for wrong in ("http://a.example/x", "https://", "https://a b", 5, "https://[x"):
        with pytest.raises(ValueError, match="not an https"):
            fields.media([wrong])


def test_nearest_known_name_is_suggested() -> None:
    """An unknown name gets the nearest known name as a suggestion, if one is near."""
    assert fields.suggestion("asignedTo", ["assignedTo", "id"]) == ": did you mean 'assignedTo'?"
    assert fields.suggestion("TITLE", ["title"]) == ": did you mean 'title'?"
    assert fields.suggestion("zzz", ["title"]) == ""


def test_shown_value_is_short_and_harmless() -> None:
    """A shown value is short and has its control characters escaped."""
    assert fields.shorten("\x1b[2J") == "'\\x1b[2J'"
    assert len(fields.shorten("x" * 1000)) == 60
    assert fields.shorten(7) == "7"
