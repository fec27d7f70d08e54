"""What a person may write in a field, and what is sent for it."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate import fields


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("0", "0"), ("1", "1"), ("2", "2"), (0, "0"), (2, "2"), ("2.0", "2"), (2.0, "2"),
        ("low", "0"), ("Medium", "1"), (" HIGH ", "2"), ("none", ""), ("", ""),
    ],
)  # fmt: skip
def test_priority_is_sent_as_api_string(written: object, sent: str) -> None:
    """A priority is sent as the string that the API uses."""
    assert fields.priority(written) == sent


def test_digits_are_never_suggested() -> None:
    """What another number of decimals stands for is the user's to say."""
    for read in (fields.priority, fields.done):
        with pytest.raises(fields.WrongValueError) as raised:
            read("1.00")
        assert raised.value.hint == ""


@pytest.mark.parametrize("written", ["3", "urgent", True, 1.5, 3.0, None, [], -1])
def test_unknown_priority_is_refused_with_list(written: object) -> None:
    """An unknown priority is refused with the list of the known ones."""
    with pytest.raises(ValueError, match="low, medium, high or none"):
        fields.priority(written)


@pytest.mark.parametrize(
    ("written", "sent"),
    [("true", True), ("YES", True), ("1", True), (1, True), (1.0, True), (True, True),
     ("False", False), (" no ", False), ("0", False), (0, False), (False, False)],
)  # fmt: skip
def test_done_is_sent_as_a_boolean(written: object, sent: bool) -> None:
    """A value for done is sent as a real boolean."""
    assert fields.done(written) is sent


@pytest.mark.parametrize("written", ["maybe", "", 2, None, 1.5])
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
        ("20260131T0858+01", "2026-01-31T07:58:00.000Z"),
        ("2026-01-31T08:58:00 +01:00", "2026-01-31T07:58:00.000Z"),
        ("2026-01-31 08:58:00,5 +0100", "2026-01-31T07:58:00.500Z"),
        ("2000-01-01T00:00Z", "2000-01-01T00:00:00.000Z"),
        ("2100-01-01T00:30:00+01:00", "2099-12-31T23:30:00.000Z"),
        ("2026-01-31t07:58:00z", "2026-01-31T07:58:00.000Z"),
        ("2026-01-31T07:58:00.000z", "2026-01-31T07:58:00.000Z"),
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
        ("2026-01-31T07:58:00.0001", "no offset"),
        (datetime(2026, 1, 31, 7, 58), "no offset"),  # noqa: DTZ001 - that is the point
        ("31/01/2026 07:58", "not an ISO 8601"),
        ("2027-02-30", "is no such day: February 2027 has days 1 to 28"),
        ("2026-02-30T07:58:00Z", "is no such day: February 2026 has days 1 to 28"),
        ("2026-02-30T10:00:00.000Z", "is no such day: February 2026 has days 1 to 28"),
        ("2026-13-01T10:00Z", "is no such day: there is no month 13"),
        ("2026-12-00", "is no such day: December 2026 has days 1 to 31"),
        ("1900-01-00 00:00", "is no such day: January 1900 has days 1 to 31"),
        ("0000-01-00T10:00Z", "is no such day: January 0 has days 1 to 31"),
        ("2026-12-01 09:00:00 UTC", "ends with UTC: write Z in its place"),
        ("2026-12-01 09.30", "not an ISO 8601"),
        ("2026-12-01T16.45+01:00", "not an ISO 8601"),
        ("2026-12-01 09:30.15Z", "not an ISO 8601"),
        ("2026-12-01T095Z", "not an ISO 8601"),
        ("2026-12-01T9:30Z", "not an ISO 8601"),
        ("2026-12-01T24:00Z", "not an ISO 8601"),
        ("20261201 9", "not an ISO 8601"),
        ("2019072807", "perhaps of seconds since 1970"),
        ("1770101234", "perhaps of seconds since 1970"),
        ("1770101234000", "perhaps of seconds since 1970"),
        ("46357", "perhaps a spreadsheet's of a day: format the cell as a date"),
        ("46357.375", "perhaps a spreadsheet's of a day: format the cell as a date"),
        ("2026-W49-2T09:30Z", "not an ISO 8601"),
        ("2026-335T09:30Z", "not an ISO 8601"),
        ("2026-12-01T09:30Z Z", "not an ISO 8601"),
        ("2026-12-01T09:30+1", "not an ISO 8601"),
        ("2026-12-01T09:30+99:00", "not an ISO 8601"),
        ("２０２６-12-01T09:30Z", "not an ISO 8601"),
        ("2026-01-31T10:60:00.000Z", "not an ISO 8601"),
        ("2026-01-31T10:00:00.00xZ", "not an ISO 8601"),
        ("2026-01-31T10:00:00.000A", "not an ISO 8601"),
        ("2026-01-31x07:58:00Z", "not an ISO 8601"),
        ("2026-01-31T07:58:00+01:75", "not an ISO 8601"),
        ("2026-01-31T07:58:00+0160", "not an ISO 8601"),
        ("2026-01-31T07:58:00+15:00", "not an ISO 8601"),
        ("tomorrow", "not an ISO 8601"),
        ("", "is empty"),
        (5, "is a number: write a date as text"),
        (True, "is not text"),
        ("0001-01-01T00:00:00+05:00", "is in the year 1: a due date lies between 2000 and 2099"),
        ("0026-12-01T09:00:00Z", "is in the year 26"),
        ("1899-12-30T00:00:00.000Z", "is in the year 1899"),
        ("1970-01-01T00:00:00Z", "is in the year 1970"),
        ("2000-01-01T00:00:00+01:00", "is in the year 2000"),
        ("2206-12-01T09:00:00Z", "is in the year 2206"),
        (datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5))), "the year 9999"),
    ],
)
def test_incomplete_due_date_is_refused(written: object, says: str) -> None:
    """A due date without a time or an offset, or in another format, is refused."""
    with pytest.raises(ValueError, match=says):
        fields.due_date(written)


@given(
    st.datetimes(min_value=datetime(2000, 1, 2), max_value=datetime(2099, 12, 30)),  # noqa: DTZ001
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
        fields.task_id(written)


def test_blanks_around_an_id_are_dropped() -> None:
    """An id loses the blanks around it and may have any length."""
    assert fields.task_id(" x\n") == "x"
    assert fields.task_id("y" * 500) == "y" * 500


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
    with pytest.raises(fields.WrongValueError) as raised:
        fields.done("noo")
    assert raised.value.hint == ": did you mean 'no'?"
    assert fields.suggestion("zzz", ["title"]) == ""


def test_shown_value_is_short_and_harmless() -> None:
    """A shown value is short and has its control characters escaped."""
    assert fields.shorten("\x1b[2J") == "'\\x1b[2J'"
    assert len(fields.shorten("x" * 1000)) == 60
    assert fields.shorten(7) == "7"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("ben@acme.example", "is an e-mail address: enter the id of a task"),
        ("https://app.lemlist.com/tasks/opp_1", "is a web address: enter the id of a task"),
        ("=A2", "is a formula"),
        ("#REF!", "is a formula or what a spreadsheet shows for an error"),
        ("“opp_1”", "has quotes around it"),
        ("»opp_1«", "has quotes around it"),
        ("'opp_1'", "has quotes around it"),
        ("1.2E+16", "is a number that a spreadsheet has laid out"),
        ("1,23E+16", "is a number that a spreadsheet has laid out"),
        ("1E+16", "is a number that a spreadsheet has laid out"),
        ("123.0", "is a number that a spreadsheet has laid out"),
        ("1,234,567", "is a number that a spreadsheet has laid out"),
        ("--", "has no letter and no digit"),
        ("opp_1,opp_2", "holds ',', as no id does"),
        ("opp_1;", "holds ';', as no id does"),
        ("(opp_1)", "holds '(', as no id does"),
        ("tasks/opp_1", "holds '/', as no id does"),
        ("@ben", "holds '@', as no id does"),
        ("50%", "holds '%', as no id does"),
        ("opp_abc…", "holds '…', as no id does"),
        ("opp_abc...", "holds '...', as no id does"),
        ("opp_abc#", "holds '#', as no id does"),
        ("opp_", "is cut off: enter the id of a task"),
        ("opp_абв", "holds a letter beyond ASCII, as no id does"),
        ("?", "has no letter and no digit"),
        ("usr_1", "is the id of a user, by its beginning: here the id of a task"),
        ("lea_1", "is the id of a lead, by its beginning"),
    ],
)
def test_what_can_only_be_a_mistake_is_no_id(written: str, says: str) -> None:
    """A text that no program uses as an id is refused, with what is needed."""
    with pytest.raises(ValueError, match=re.escape(says)):
        fields.task_id(written)


def test_task_is_no_user() -> None:
    """The id of a task is refused where the id of a user is needed, and an e-mail address too."""
    with pytest.raises(ValueError, match=r"is the id of a task.*: here the id of a user \(usr_…\)"):
        fields.user_id("opp_1")
    known = (
        r"e-mail address: enter the id of a user \(usr_…\) \(a run with compare takes the address"
    )
    with pytest.raises(ValueError, match=known):
        fields.user_id("ben@acme.example")
    assert fields.user_id("usr_1") == "usr_1"


@pytest.mark.parametrize(
    "id_", ["opp_1", "0000123", "a", "12e45", "x_1", "a.b", "a-b", "é", "64af"]
)
def test_other_words_are_ids(id_: str) -> None:
    """Ids of any other shape are accepted: their form is lemlist's affair."""
    assert fields.task_id(id_) == id_


@pytest.mark.parametrize(
    "character", ["\0", "\x07", "\x0b", "\x0c", "\x1b", "\x7f", "\x80", "\x92"]
)
def test_text_has_no_control_characters(character: str) -> None:
    """A control character in a text is refused by its number."""
    with pytest.raises(ValueError, match=f"U\\+{ord(character):04X}"):
        fields.text(f"a{character}b")


def test_text_may_have_lines_tabs_and_any_script() -> None:
    """Line ends, tabs, joiners, unusual blanks and all scripts are part of a text."""
    text = "a\r\n\tb\xa0c\u200d\u2028\ufeff👩‍👧 אב Ж"
    assert fields.text(text) == text


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("Task 3", "Old title", ("'Task 3'", "'Old title'")),
        ("a" * 50, "a" * 50 + "b", ("…'aaaaaaaaaaaaa'", "…'aaaaaaaaaaaaab'")),
        ("a" * 50 + "\nb" + "c" * 50, "a" * 50 + "d", (
            f"…'{'a' * 13}\\nb{'c' * 22}…", f"…'{'a' * 13}d'",
        )),
        ("x" + "a" * 50, "y" + "a" * 50, (f"'x{'a' * 37}…", f"'y{'a' * 37}…")),
        ("", "a" * 50, ("''", f"'{'a' * 38}…")),
        ("a" * 30, "a" * 31, (repr("a" * 30), repr("a" * 31))),
    ],
)  # fmt: skip
def test_long_texts_are_shown_where_they_differ(
    one: str, other: str, shown: tuple[str, str]
) -> None:
    """Two e-mails begin alike: what is shown of them begins a little before the difference."""
    assert fields.shorten_both(one, other, 40) == shown
    assert fields.shorten_both(other, one, 40) == shown[::-1]
