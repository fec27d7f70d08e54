"""A format of dates that a user gave, in the syntax of `strptime`, and read more strictly.

By itself, `strptime` takes 1122026 for 11 February where it is 1 December without its zero, passes
over a weekday that contradicts the date, and takes the name of a time zone for mere text.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

from bulkupdate.errors import ConfigError, setting

_DAY, _MONTH, _YEAR = {"%d", "%e"}, {"%m", "%b", "%B"}, {"%Y", "%y"}

#: Directives whose meaning depends on the language of the machine.
_LOCAL = {"%c", "%x", "%X"}

#: Digits of the directives for numbers.
_WIDTHS = {"%d": 2, "%m": 2, "%y": 2, "%Y": 4, "%H": 2, "%I": 2, "%M": 2, "%S": 2, "%j": 3, "%f": 6}

#: Other directives → what they stand for in a text. The groups are the weekdays.
_OTHERS = {"%a": r"([^\W\d]+)", "%A": r"([^\W\d]+)", "%%": "%"}

#: Directives of a time of day.
_TIMES = {"%H", "%I", "%M", "%S", "%f", "%p"}

#: What a literal text may say of the time zone: an offset; UTC; the name of another zone.
_OFFSET = re.compile(r"([+-])(0?\d|1[0-4])(?::?([0-5]\d))?(?!\d)")
_UTC_NAME = re.compile(r"(?i:\b(?:UTC|GMT)\b)")
_UTC_MARK = re.compile(r"\s*[\[(]?Z\b")
_ZONE_NAME = re.compile(
    r"\b(?:CES?T|EES?T|WES?T|BST|MSK|IST|[ECMPAN][SD]T|AK[SD]T|HST|JST|KST|HKT|SGT|A[EC][SD]T|AWST"
    r"|NZ[SD]T|SAST|[EWC]AT|PKT)\b"
)


class DateFormat:
    """A format of dates.

    Args:
        text: the format, in the syntax of `strptime`.

    Attributes:
        text: the same.
        directives: its directives, as `%d`.
        has_time: whether it has a time of day.
        zone: the name of the time zone that it names, other than UTC and offsets; "" for none.

    Raises:
        ConfigError: it has no day, month or year, or depends on the machine, or is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts = re.split(r"(%.)", text, flags=re.DOTALL)
        self.directives = directives = set(parts[1::2])
        _check(text, directives)
        self.has_time = bool(directives & _TIMES)
        self._offset, self.zone = _zone_of(parts) if "%z" not in directives else (None, "")
        self._pattern = re.compile(_pattern(parts), re.IGNORECASE)

    def read(self, word: str) -> datetime | None:
        """The date in a text; None where it has another format.

        It has an offset if the text has one, or the format names one or UTC. A date without a time
        of day is its midnight.

        Raises:
            ValueError: it can be several dates, or contradicts itself.
        """
        try:
            moment = datetime.strptime(word, self.text)  # noqa: DTZ007 - the caller adds the zone
        except ValueError:
            return None
        found = self._pattern.fullmatch(word)
        if found is None:
            example = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC).strftime(self.text)
            raise ValueError(
                f"lacks a digit, so that it can be several dates by {setting('date_formats')}"
                f" {self.text!r}: write it as {example!r} is written"
            )
        names = (f"{moment:%a}".lower(), f"{moment:%A}".lower())
        if any(day.lower() not in names for day in found.groups()):
            raise ValueError(f"is a {moment:%A} by {setting('date_formats')} {self.text!r}")
        return moment if self._offset is None else moment.replace(tzinfo=self._offset)

    @property
    def may_turn(self) -> bool:
        """Whether day and month are numbers before the year, so that they may change places."""
        first = next(iter(re.findall("%[dmYy]", self.text)), "")
        return {"%d", "%m"} <= self.directives and first in ("%d", "%m")


def _zone_of(parts: list[str]) -> tuple[timezone | None, str]:
    """The offset that literal texts of a format name, and the name of another zone.

    Args:
        parts: literal texts, and between them directives.
    """
    literals = " ".join(parts[::2])
    for before, literal in zip(parts[1::2], parts[2::2], strict=True):
        if before in _TIMES and (found := _OFFSET.search(literal)):
            length = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
            return timezone(-length if found[1] == "-" else length), ""
        if before in _TIMES and _UTC_MARK.match(literal):
            return UTC, ""
    if _UTC_NAME.search(literals):
        return UTC, ""
    return None, name[0] if (name := _ZONE_NAME.search(literals)) else ""


def _check(text: str, directives: set[str]) -> None:
    what = f"{setting('date_formats')} {text!r}"
    if found := directives & _LOCAL:
        raise ConfigError(
            f"{what}: {found.pop()} depends on the language of the machine: write each part by"
            " itself, as in '%d/%m/%Y %H:%M'"
        )
    if "%Z" in directives:
        raise ConfigError(
            f"{what}: %Z depends on the time zone of the machine: write the name that the dates"
            " have, as in '%d/%m/%Y %H:%M UTC', or %z for an offset"
        )
    if not (directives & _DAY and directives & _MONTH and directives & _YEAR):
        raise ConfigError(
            f"{what} lacks the day, the month or the year: write it as '%d/%m/%Y %H:%M'"
        )
    if "%p" in directives and "%H" in directives:
        raise ConfigError(f"{what}: %p needs the hour as %I, not %H")
    if "%I" in directives and "%p" not in directives:
        raise ConfigError(f"{what}: %I needs %p")
    try:
        example = datetime(2026, 1, 31, 8, 58, tzinfo=UTC).strftime(text)
        datetime.strptime(example, text)  # noqa: DTZ007
    except (ValueError, re.error) as error:
        raise ConfigError(f"{what}: {error}") from None


def _pattern(parts: list[str]) -> str:
    """The pattern of the texts in which each number has its end.

    Args:
        parts: literal texts, and between them directives.
    """
    found = []
    for at, part in enumerate(parts):
        if not at % 2:
            # As `strptime` does, any blanks are as good as others.
            found.append(re.sub(r"(?:\\?\s)+", r"\\s+", re.escape(part)))
        elif part in _WIDTHS:
            is_joined = any(
                not parts[between] and parts[other] in _WIDTHS
                for between, other in ((at - 1, at - 2), (at + 1, at + 2))
                if 0 < other < len(parts)
            )
            width = f"{_WIDTHS[part]}" if part != "%f" else "1,6"
            found.append(rf"\d{{{width}}}" if is_joined else r" ?\d+")
        else:
            found.append(_OTHERS.get(part, ".+?"))
    return "".join(found)
