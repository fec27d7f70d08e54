"""The rules of each field: which values are allowed, and what is sent for them.

Each function takes a value from the input (the text of a CSV cell, a JSON value or a Python
object). It returns the value on the wire. It raises `ValueError` with what is wrong and what would
be right. A function that gets its own result returns it unchanged.

The rules of the wire come from lemlist's page on updating a task (`lemlist: update-task`).
"""

import calendar
import difflib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import urlsplit

from bulkupdate.errors import setting

#: Most images and videos of one task, counted together (`lemlist: update-task`).
MAX_MEDIA = 6

#: Name of a field in lemlist's answers → its name in an update.
ALIASES = {"_id": "id", "userId": "assignedTo", "content": "message"}

#: Fields in lemlist's answers that no update can set.
READ_ONLY = frozenset(
    {"type", "leadId", "campaignId", "contactId", "status", "createdAt", "completedAt"}
)

_PRIORITIES = {"0": "0", "1": "1", "2": "2", "low": "0", "medium": "1", "high": "2", "none": ""}
_PRIORITIES[""] = ""
# pandas and jq write whole numbers this way.
_PRIORITIES |= {"0.0": "0", "1.0": "1", "2.0": "2"}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_BOOLEANS |= {"1.0": True, "0.0": False}
_DATE_EXAMPLE = "2026-01-31T07:58:00Z or 2026-01-31T08:58:00+01:00"

#: ISO 8601, extended or basic: a day; and a day, a time and perhaps an offset. Python's own
#: functions read more, and read some of it otherwise than people mean: 09.30 becomes 09:18.
_DAY = r"(\d{4})-(\d\d)-(\d\d)"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?"
# No clock on Earth is farther from UTC than 14 hours.
_OFFSET = r" ?(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)"
_ISO_DAY = re.compile(rf"{_DAY}|(\d{{4}})(\d\d)(\d\d)", re.ASCII)
_ISO = re.compile(
    rf"({_DAY}[T ]{_CLOCK}|\d{{8}}[T ]([01]\d|2[0-3])[0-5]\d([0-5]\d([.,]\d{{1,9}})?)?)"
    rf"({_OFFSET})?",
    re.ASCII,
)
#: What begins like a date: its day may be one that no calendar has.
_LIKE_A_DAY = re.compile(rf"{_DAY}(?!\d)", re.ASCII)
_EPOCH = re.compile(r"\d{10}|\d{13}", re.ASCII)
_DAY_OF_A_SHEET = re.compile(r"[1-9]\d{4}([.,]\d+)?", re.ASCII)

#: The years that a due date may be in. A spreadsheet writes an empty date as 1899 or 1900.
_FIRST_YEAR, _LAST_YEAR = 2000, 2099

#: Control characters, but for tab, line feed and carriage return.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

#: Quotes that a word processor puts in the place of straight ones.
CURLY_QUOTES = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u00ab\u00bb\u2039\u203a"

#: What the ids of tasks and of users begin with, by convention.
TASK_PREFIX = "opp_"
USER_PREFIX = "usr_"

#: What the ids of lemlist begin with, by convention → what they are ids of.
_PREFIXES = {
    "opp": "a task",
    "usr": "a user",
    "lea": "a lead",
    "cam": "a campaign",
    "ctc": "a contact",
    "tea": "a team",
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
#: Signs that stand beside ids in a text, and in none.
_NOT_IN_IDS = re.compile(r"""[,;|/\\<>()\[\]{}"'`@%*!?#&~^…]|\.\.+""")
_SPLIT_NUMBER = re.compile(r"[+-]?[\d]+[.,][\d.,]*([eE][+-]?\d+)?|\d+[eE]\+\d+")


class WrongValueError(ValueError):
    """A wrong value, with a suggestion.

    Attributes:
        hint: a suggestion, as in `: did you mean 'x'?`, or "". It depends on the value.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def task_id(value: object) -> str:
    """The id of a task: one printable word. Blanks around it are removed."""
    return _id(value, "a task")


#: The end of messages about empty values of fields that can't be empty.
_LEAVE_OUT = "leave it out to leave the field unchanged"


def user_id(value: object) -> str:
    """The id of a user: one printable word. Blanks around it are removed."""
    return _id(value, "a user")


def person(value: object) -> str:
    """A user: an id, an e-mail address or a name. Blanks around it are removed."""
    text = _text(value).strip()
    if not text:
        raise ValueError(f"is empty: a user is needed; {_LEAVE_OUT}")
    if not text.isprintable():
        raise ValueError("has an invisible character inside: enter an id, an e-mail or a name")
    return text if "@" in text or " " in text or not text.isascii() else _id(text, "a user")


def _id(value: object, of: str) -> str:
    text = _text(value).strip()
    if not text:
        how = f"; {_LEAVE_OUT}" if of == "a user" else ""
        raise ValueError(f"is empty: an id is needed{how}")
    if " " in text or not text.isprintable():
        raise ValueError("has a blank or an invisible character inside: an id is one word")
    if not text.isidentifier() and (mistake := _no_id(text, of)):
        raise ValueError(mistake)
    prefix, mark, rest = text.partition("_")
    if not mark or prefix not in _PREFIXES:
        return text
    if _PREFIXES[prefix] != of:
        other = _PREFIXES[prefix]
        raise ValueError(f"is the id of {other}, by its beginning: here {_EXAMPLES[of]} is needed")
    if not rest or not rest.isascii():
        why = "holds a letter beyond ASCII, as no id does" if rest else "is cut off"
        raise ValueError(f"{why}: enter {_EXAMPLES[of]}")
    return text


#: How the ids of lemlist look, by what they are ids of.
_EXAMPLES = {"a task": "the id of a task (opp_…)", "a user": "the id of a user (usr_…)"}


def _no_id(text: str, of: str) -> str:
    """What a word is that can only be in the place of an id by mistake; "" for other words."""
    what = ""
    if _EMAIL.fullmatch(text):
        what = "is an e-mail address"
    elif "://" in text:
        what = "is a web address"
    elif text[0] in "=#":
        what = "is a formula or what a spreadsheet shows for an error"
    elif text[0] in CURLY_QUOTES or text[-1] in CURLY_QUOTES or text[0] in "'\"`":
        what = "has quotes around it, which are a part of the text"
    elif _SPLIT_NUMBER.fullmatch(text):
        what = "is a number that a spreadsheet has laid out"
    elif not any(map(str.isalnum, text)):
        what = "has no letter and no digit"
    elif sign := _NOT_IN_IDS.search(text):
        what = f"holds {sign[0]!r}, as no id does"
    known = ""
    if of == "a user" and "e-mail" in what:
        known = f" (a run with {setting('compare')} takes the address too)"
    return what and f"{what}: enter {_EXAMPLES[of]}{known}"


def text(value: object) -> str:
    """A title or a message, sent unchanged. Empty text clears the field."""
    text = _text(value)
    # A text of a few lines is not printable either.
    if not text.isprintable() and (found := _CONTROL.search(text)):
        character = found[0]
        how = ""
        if character > "\x7f":
            how = ", as of a Windows text that another program read as Latin-1"
        raise ValueError(
            f"holds a control character (U+{ord(character):04X}){how}: remove it, or enter the"
            " text again"
        )
    return text


def priority(value: object) -> str:
    """A priority as `"0"`, `"1"`, `"2"` or `""`, from 0, 1, 2, low, medium, high or none."""
    known = None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        known = _PRIORITIES.get(str(value).strip().lower())
    if known is None:
        message = "is not a priority: write 0, 1, 2, low, medium, high or none"
        raise WrongValueError(message, _near(value, _PRIORITIES))
    return known


def done(value: object) -> bool:
    """A boolean, from true/false, yes/no or 1/0 in any case."""
    known = value if isinstance(value, bool) else None
    if known is None and isinstance(value, str | int | float):
        known = _BOOLEANS.get(str(value).strip().lower())
    if known is None:
        message = "is neither true nor false: write true, false, yes, no, 1 or 0"
        message += f"; {_LEAVE_OUT}" if value == "" else ""
        raise WrongValueError(message, _near(value, _BOOLEANS))
    return known


def due_date(value: object) -> str:
    """A due date in UTC with milliseconds, from ISO 8601 with an offset or an aware `datetime`.

    It lies in the years 2000 to 2099.
    """
    if isinstance(value, str) and _is_canonical(value):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"is a number: write a date as text, as in {_DATE_EXAMPLE}")
    moment = value if isinstance(value, datetime) else iso_date_time(_text(value).strip())
    if moment.utcoffset() is None:
        raise ValueError(f"has no offset from UTC: add Z or +02:00, as in {_DATE_EXAMPLE}")
    if not _FIRST_YEAR < moment.year < _LAST_YEAR and not _is_in_range(moment):
        raise ValueError(
            f"is in the year {moment.year}: a due date lies between {_FIRST_YEAR} and {_LAST_YEAR}"
        )
    return in_utc(moment)


def in_utc(moment: datetime) -> str:
    """A moment as it is sent and kept: UTC, to the millisecond, with `Z`."""
    utc = moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_in_range(moment: datetime) -> bool:
    try:
        return _FIRST_YEAR <= moment.astimezone(UTC).year <= _LAST_YEAR
    except OverflowError:
        return False


def iso_date_time(text: str) -> datetime:
    """The moment of an ISO 8601 date-time; naive if it has no offset.

    It is read as far as docs/input.md documents it: `2026-01-31T08:58`, with seconds, decimals of a
    second and an offset or without, a blank in the place of the T, or all without separators.

    Raises:
        ValueError: the text is not an ISO 8601 date-time.
    """
    if not text:
        raise ValueError(f"is empty: write {_DATE_EXAMPLE}; {_LEAVE_OUT}")
    if iso_date(text):
        raise ValueError(f"has no time of day and no offset: write {_DATE_EXAMPLE}")
    if wrong := _no_such_day(text):
        raise ValueError(wrong)
    if _EPOCH.fullmatch(text):
        raise ValueError(f"is a number, perhaps of seconds since 1970: write {_DATE_EXAMPLE}")
    if _DAY_OF_A_SHEET.fullmatch(text):
        raise ValueError("is a number, perhaps a spreadsheet's of a day: format the cell as a date")
    text = text.upper()
    if text.endswith((" UTC", " GMT")) and _ISO.fullmatch(text[:-4]):
        raise ValueError(f"ends with {text[-3:]}: write Z in its place, as in {_DATE_EXAMPLE}")
    if not _ISO.fullmatch(text):
        raise ValueError(f"is not an ISO 8601 date-time: write {_DATE_EXAMPLE}")
    # Python 3.11 reads no blank before the offset.
    day, clock = text[:10], text[10:]
    try:
        return datetime.fromisoformat(day + clock[:1] + clock[1:].replace(" ", ""))
    except ValueError:
        raise ValueError(f"is not an ISO 8601 date-time: write {_DATE_EXAMPLE}") from None


def iso_time(text: str) -> time | None:
    """The time of day in ISO 8601, as 09:00 or 09:00:30; None if the text is not one."""
    return time.fromisoformat(text) if re.fullmatch(_CLOCK, text, re.ASCII) else None


def iso_date(text: str) -> date | None:
    """The day of an ISO 8601 date, as 2026-01-31 or 20260131; None if the text is not one.

    Raises:
        ValueError: no calendar has that day.
    """
    if not _ISO_DAY.fullmatch(text):
        return None
    if wrong := _no_such_day(text):
        raise ValueError(wrong)
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _no_such_day(text: str) -> str:
    """The problem of a date with a day that no calendar has, as 2027-02-30; "" without one."""
    found = _LIKE_A_DAY.match(text)
    if not found:
        return ""
    year, month, day = map(int, found.groups())
    if not 1 <= month <= 12:
        return f"is no such day: there is no month {month}"
    days = calendar.monthrange(year, month)[1] if year else 31
    if not 1 <= day <= days:
        return f"is no such day: {calendar.month_name[month]} {year} has days 1 to {days}"
    return ""


def media(value: object) -> tuple[str, ...]:
    """A list of https URLs. An empty list clears the field."""
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ValueError('is not a list: write ["https://…"], or [] to clear')
    for url in value:
        if not isinstance(url, str) or not _is_https(url):
            raise ValueError(f"holds {shorten(url)}, which is not an https:// URL")
    return tuple(value)


#: The rule of each field, by its name on the wire.
RULES: dict[str, Callable[[object], Any]] = {
    "id": task_id,
    "assignedTo": user_id,
    "dueDate": due_date,
    "title": text,
    "message": text,
    "priority": priority,
    "done": done,
    "images": media,
    "videos": media,
}

#: Fields that hold an id.
IDS = frozenset({"id", "assignedTo"})

#: Fields that hold a list of URLs.
MEDIA = ("images", "videos")

#: Fields that an update can empty.
CLEARABLE = frozenset({"title", "message", "priority", "images", "videos"})


def suggestion(name: str, known: Iterable[str]) -> str:
    """The text `: did you mean 'x'?` with the known name nearest to `name`; "" if none is near."""
    near = nearest(name, known)
    return f": did you mean '{near}'?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is nearest to `name`, whatever the case; "" if none is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[near[0]] if near else ""


def _near(value: object, known: Iterable[str]) -> str:
    """A suggestion from the known words. Digits are never suggested."""
    words = [word for word in known if word.isalpha() and len(word) > 1]
    return suggestion(value.strip(), words) if isinstance(value, str) and len(value) < 20 else ""


def shorten(value: object, length: int = 60) -> str:
    """`value` in quotes, cut to `length` characters, with control characters escaped."""
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def shorten_both(one: str, other: str, length: int = 60) -> tuple[str, str]:
    """Two texts as `shorten` shows them, from a little before the first place where they differ."""
    shorter = min(len(one), len(other))
    same = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    start = same - length // 3
    if start <= 0 or max(len(repr(one)), len(repr(other))) <= length:
        return shorten(one, length), shorten(other, length)
    return f"…{shorten(one[start:], length)}", f"…{shorten(other[start:], length)}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text: put it in quotes")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("holds half of a character (a lone surrogate), which can't be sent")
    return value


def _is_canonical(text: str) -> bool:
    """Whether a date-time has the form that is sent: `2026-01-31T07:58:00.000Z`."""
    if len(text) != 24 or text[4:20:3] != "--T::." or text[23] != "Z" or text[11:13] == "24":
        return False
    if not text.startswith("20"):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_https(url: str) -> bool:
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)
