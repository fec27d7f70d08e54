"""Formats in which a date can be read, for advice. Nothing is read by them without the user."""

import re
from calendar import day_abbr, day_name, month_abbr, month_name
from datetime import datetime

_NAMES = {
    **{name.lower(): "%b" for name in month_abbr if name},
    **{name.lower(): "%B" for name in month_name if len(name) > len("may")},
    **{name.lower(): "%a" for name in day_abbr},
    **{name.lower(): "%A" for name in day_name},
}

#: Dates in numbers with the time after them, and the parts of both.
_YEAR_FIRST = re.compile(
    r"\d{4}([/.年-] ?)\d{1,2}([/.月-] ?)\d{1,2}(?!\d)(.*)", re.DOTALL | re.ASCII
)
_FIGURES = re.compile(r"\d{1,2}([/.-] ?)\d{1,2}\1(\d{4}|\d{2})(?!\d)(.*)", re.DOTALL | re.ASCII)
_CLOCK = re.compile(r"(\d{1,2})([:.])(\d\d)(?:\2(\d\d))?(\s*[ap]m)?\b", re.IGNORECASE)
_OFFSET = re.compile(r"(?<=\d)(\s*(?:GMT|UTC)?)(?:Z|[+-]\d\d:?\d\d)$")
_YEAR = re.compile(r"\b\d{4}\b")
_DAY = re.compile(r"\b\d{1,2}\b")
_WORD = re.compile(r"[A-Za-z]{3,}")

#: Directives, and words that may stand beside them. Any other, as `GMT`, may mean something.
_DIRECTIVE = re.compile(r"(?:GMT|UTC)?%[a-zA-Z%]")
_PLAIN = frozenset({"T", "at", "um", "Uhr", "kl", "h", "年", "月", "日"})
_WORDS = re.compile(r"\w+")

#: Longest text that may be a date, in characters.
_LONGEST = 60


def formats_of(text: str) -> dict[str, datetime]:
    """The formats of `strptime` that read a text, and what each makes of it.

    They are several where a number may be day, month or year; none where no format is known.

    Args:
        text: what may be a date, with a time or without.
    """
    if len(text) > _LONGEST:
        return {}
    text = text.replace("%", "%%")
    readings = {}
    for date_format in filter(_is_sound, _candidates(text)):
        try:
            readings[date_format] = datetime.strptime(text, date_format)  # noqa: DTZ007
        except ValueError:
            continue
    return readings


def _candidates(text: str) -> list[str]:
    if found := _YEAR_FIRST.fullmatch(text):
        mark, second, rest = found.groups()
        return [f"%Y{mark}%m{second}%d{_clock(rest)}"]
    if found := _FIGURES.fullmatch(text):
        mark, year, rest = found.groups()
        tail = _clock(rest)
        if len(year) == 4:
            return [f"%d{mark}%m{mark}%Y{tail}", f"%m{mark}%d{mark}%Y{tail}"]
        orders = (("%d", "%m", "%y"), ("%m", "%d", "%y"), ("%y", "%m", "%d"))
        return [mark.join(order) + tail for order in orders]
    return [_with_names(text)]


def is_no_day(text: str) -> bool:
    """Whether a text begins like a date in numbers, and no calendar has that day."""
    found = _YEAR_FIRST.fullmatch(text) or _FIGURES.fullmatch(text)
    return found is not None and not formats_of(text.removesuffix(found[3]))


def _is_sound(date_format: str) -> bool:
    """Whether a format has a day, a month and a year, and leaves out nothing with a meaning."""
    found = set(_DIRECTIVE.findall(date_format))
    words = _WORDS.findall(_DIRECTIVE.sub(" ", date_format))
    has_day = {"%d", "%Y"} <= found or {"%d", "%y"} <= found
    return has_day and bool(found & {"%m", "%b", "%B"}) and _PLAIN.issuperset(words)


def _with_names(text: str) -> str:
    """The format of a date with the name of a month, as `Dec 24, 2026 5:30 PM`."""
    if not _WORD.search(text):
        return ""
    text = _YEAR.sub("%Y", _clock(text), count=1)
    text = _WORD.sub(lambda word: _NAMES.get(word[0].lower(), word[0]), text)
    text = _DAY.sub("%d", text, count=1)
    return text if "%Y" in text else re.sub(r"(?<=\W)\d\d(?!\d)", "%y", text, count=1)


def _clock(text: str) -> str:
    """The text with directives in the place of a time of day and an offset."""
    text = _OFFSET.sub(r"\1%z", text)
    return _CLOCK.sub(_directives, text, count=1)


def _directives(clock: re.Match[str]) -> str:
    _, mark, _, seconds, half = clock.groups()
    hours = "%I" if half else "%H"
    shown = f"{hours}{mark}%M" + (f"{mark}%S" if seconds else "")
    # A narrow blank before AM and PM is read by an ordinary one.
    return shown + (" %p" if half and half[0].isspace() else "%p" if half else "")
