"""The rules of each field: which values are allowed, and what is sent for them.

Each function takes a value from the input (the text of a CSV cell, a JSON value or a Python
object). It returns the value on the wire. It raises `ValueError` with what is wrong and what would
be right. A function that gets its own result returns it unchanged.

The rules of the wire come from lemlist's page on updating a task (`lemlist: update-task`).
"""

import difflib
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

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
# pandas writes whole numbers this way in a column with gaps.
_PRIORITIES |= {"0.0": "0", "1.0": "1", "2.0": "2"}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_BOOLEANS |= {"1.0": True, "0.0": False}
_DATE_EXAMPLE = "2026-01-31T07:58:00Z or 2026-01-31T08:58:00+01:00"


class WrongValueError(ValueError):
    """A wrong value, with a suggestion.

    Attributes:
        hint: a suggestion, as in `: did you mean 'x'?`, or "". It depends on the value.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def identifier(value: object) -> str:
    """The id of a task or user: one printable word. Blanks around it are removed."""
    text = _text(value).strip()
    if not text:
        raise ValueError("is empty: an id is needed")
    if " " in text or not text.isprintable():
        raise ValueError("has a blank or an invisible character inside: an id is one word")
    return text


def text(value: object) -> str:
    """A title or a message: any text, sent unchanged. Empty text clears the field."""
    return _text(value)


def priority(value: object) -> str:
    """A priority as `"0"`, `"1"`, `"2"` or `""`, from 0, 1, 2, low, medium, high or none."""
    known = None
    if isinstance(value, str | int) and not isinstance(value, bool):
        known = _PRIORITIES.get(str(value).strip().lower())
    if known is None:
        message = "is not a priority: write 0, 1, 2, low, medium, high or none"
        raise WrongValueError(message, _near(value, _PRIORITIES))
    return known


def done(value: object) -> bool:
    """A boolean, from true/false, yes/no or 1/0 in any case."""
    known = value if isinstance(value, bool) else None
    if known is None and isinstance(value, str | int):
        known = _BOOLEANS.get(str(value).strip().lower())
    if known is None:
        message = "is neither true nor false: write true, false, yes, no, 1 or 0"
        raise WrongValueError(message, _near(value, _BOOLEANS))
    return known


def due_date(value: object) -> str:
    """A due date in UTC with milliseconds, from ISO 8601 with an offset or an aware `datetime`."""
    if isinstance(value, str) and _is_canonical(value):
        return value
    moment = value if isinstance(value, datetime) else iso_date_time(_text(value).strip())
    if moment.utcoffset() is None:
        raise ValueError(f"has no offset from UTC: add Z or +02:00, as in {_DATE_EXAMPLE}")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_date_time(text: str) -> datetime:
    """The moment of an ISO 8601 date-time; naive if it has no offset.

    Raises:
        ValueError: the text is not an ISO 8601 date-time.
    """
    if not text:
        raise ValueError(f"is empty: write {_DATE_EXAMPLE}")
    if iso_date(text):
        raise ValueError(f"has no time of day and no offset: write {_DATE_EXAMPLE}")
    # `fromisoformat` accepts any character between date and time. ISO 8601 accepts T.
    if not {text[8:9], text[10:11]} & set("Tt "):
        raise ValueError(f"is not an ISO 8601 date-time: write {_DATE_EXAMPLE}")
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"is not an ISO 8601 date-time: write {_DATE_EXAMPLE}") from None


def iso_date(text: str) -> date | None:
    """The day of an ISO 8601 date; None if the text is not one."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


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
    "id": identifier,
    "assignedTo": identifier,
    "dueDate": due_date,
    "title": text,
    "message": text,
    "priority": priority,
    "done": done,
    "images": media,
    "videos": media,
}

#: Fields that an update can empty.
CLEARABLE = frozenset({"title", "message", "priority", "images", "videos"})


def suggestion(name: str, known: Iterable[str]) -> str:
    """The text `: did you mean 'x'?` with the known name nearest to `name`; "" if none is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return f": did you mean '{by_lower[near[0]]}'?" if near else ""


def _near(value: object, known: Iterable[str]) -> str:
    """A suggestion from the known words. Digits are never suggested."""
    words = [word for word in known if word.isalpha() and len(word) > 1]
    return suggestion(value.strip(), words) if isinstance(value, str) and len(value) < 20 else ""


def shorten(value: object, length: int = 60) -> str:
    """`value` in quotes, cut to `length` characters, with control characters escaped."""
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


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
