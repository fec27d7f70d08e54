"""Number formats: what a cell shows, and which numbers are dates.

A number format has up to four sections: positive; negative; zero; text. Excel stores the format,
and not what it shows.
"""

import datetime as dt
import re

#: The formats that a file names only by number. (Office Open XML, part 1: 18.8.30)
BUILTIN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 37: "#,##0 ;(#,##0)", 38: "#,##0 ;[Red](#,##0)", 39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;[Red](#,##0.00)", 41: "#,##0", 42: '"$"#,##0', 43: "#,##0.00", 44: '"$"#,##0.00',
    48: "##0.0E+0", 49: "@",
    **dict.fromkeys((*range(14, 18), 22, *range(27, 32), 36, *range(50, 59)), "yyyy-mm-dd"),
    **dict.fromkeys((*range(18, 22), *range(32, 36), 45, 47), "h:mm:ss"),
    46: "[h]:mm:ss",
}  # fmt: skip

#: Parts of a section that stand for themselves, or for nothing.
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|([_*].)|(\[[^\[\]]*\])', re.DOTALL)
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_DATE = re.compile("[ymdhs]", re.IGNORECASE)
#: The pieces of a format, each of which is read in one way only: a `;` between sections, or other.
_PIECE = re.compile(r'"[^"]*"?|\\.?|[_*].?|;|[^;"\\_*]+', re.DOTALL)
_PLACES = re.compile(r"([#0?,]*[#0?])(\.[#0?]+)?(?![#0?.,/Ee])")
_PLACE = re.compile("[#0?.,/Ee]")
_CONDITION = re.compile(r"\[[<>=]")
#: A time zone in a format, and behind the time that a cell shows.
_ZONE = re.compile(
    r"(?<![A-Za-z])(?:Z|UTC|GMT|MES?Z|[A-Z]{2,3}T)(?![A-Za-z])|[+\u2212-]\d\d?(?::?\d\d)?"
)
_SHOWN_ZONE = re.compile(rf"(?<=:\d\d)(?:[.,]\d+)?(?: ?[AaPp][Mm])?\s*\(?({_ZONE.pattern})")
_PLAIN = ("", "General", "@", "0")

#: Largest number of characters of a format in Excel. Longer ones take long to understand.
MAX_CODE = 255

_DAY = dt.timedelta(days=1)
_MILLISECOND = dt.timedelta(milliseconds=1)

#: The forms of ISO 8601 in spreadsheets: a date; a date with a time of day; a time of day.
_TIME_OF_DAY = r"\d\d:\d\d(?::\d\d)?)(?:(?<=:\d\d:\d\d)[.,](\d+))?"
_ISO_DATE = re.compile(rf"(\d{{4}}-\d\d-\d\d)(?:(T{_TIME_OF_DAY}(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_ISO_TIME = re.compile(rf"(T?{_TIME_OF_DAY}", re.ASCII)

#: Day 0 of the two calendars. Excel counts a 29 February 1900: from its day 61 on, day 0 is a day
#: earlier.
_DAY_0, _DAY_0_OF_1904 = dt.datetime(1899, 12, 30), dt.datetime(1904, 1, 1)  # noqa: DTZ001


def kind(code: str) -> str:
    """What a number with this format is: `date`, `time` (a duration), or `number`."""
    if _ELAPSED.search(code):
        return "time"
    is_date = _DATE.search(_LITERAL.sub("", _sections(code)[0]).replace("General", ""))
    return "date" if is_date else "number"


def has_day(code: str) -> bool:
    """Whether a date format shows a day or a year, and not only a time of day."""
    return re.search("[yd]", _LITERAL.sub("", _sections(code)[0]), re.IGNORECASE) is not None


def is_plain(code: str) -> bool:
    """Whether whole numbers show as their digits in this format."""
    return code in _PLAIN


def shown(code: str, value: float) -> str | None:
    """What a number shows in a format, in English; None if this program can't tell.

    Args:
        code: the format.
        value: the number.
    """
    sections = _sections(code)
    section = sections[0]
    if value < 0 and len(sections) > 1:
        section, value = sections[1], -value
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    literals: list[str] = []
    bare = _LITERAL.sub(lambda part: _keep(part, literals), section)
    places = _PLACES.search(bare)
    if _CONDITION.search(section):
        return None
    if (word := bare.replace("\0", "").strip()) in ("General", "@"):
        body = bare.replace(word, bare_number(value))
    elif places and not _PLACE.search(bare[: places.start()] + bare[places.end() :]):
        number = _digits(places, value * 100 if "%" in bare else value)
        body = bare[: places.start()] + number + bare[places.end() :]
    elif not word:
        body = bare  # `;;;` hides all.
    else:
        return None
    for literal in literals:
        body = body.replace("\0", literal, 1)
    return body.strip()


def shown_text(code: str, text: str) -> str:
    """What a text shows in a format."""
    sections = _sections(code)
    section = sections[3] if len(sections) > 3 else sections[0]
    if "@" not in _LITERAL.sub("", section) and len(sections) < 4:
        return text
    literals: list[str] = []
    bare = _LITERAL.sub(lambda part: _keep(part, literals), section)
    for literal in literals:
        bare = bare.replace("\0", literal, 1)
    return bare.strip().replace("@", text, 1)


def zone(code: str) -> str | None:
    """The time zone that a date format shows as a literal; None for no zone."""
    literals: list[str] = []
    bare = _LITERAL.sub(lambda part: _keep(part, literals), _sections(code)[0])
    text = _DATE.sub("#", bare)
    for literal in literals:
        text = text.replace("\0", literal, 1)
    found = _ZONE.search(text)
    return found[0] if found else None


def shown_zone(shown: str) -> str | None:
    """The time zone behind the time that a cell shows; None for no zone."""
    found = _SHOWN_ZONE.search(shown)
    return found[1] if found else None


def is_same(shown: str, value: float) -> bool:
    """Whether a text that a cell shows is its number, with other decimals or separators."""
    digits = re.sub(r"[\s'\u2019]", "", shown).replace("\u2212", "-")
    for decimal, thousands in (".,", ",."):
        grouped = rf"-?(\d+|\d{{1,3}}([{thousands}]\d{{3}})+)([{decimal}]\d+)?"
        if re.fullmatch(grouped, digits):
            number = float(digits.replace(thousands, "").replace(decimal, "."))
            if number == value:
                return True
    return False


def bare_number(value: float) -> str:
    """A number as its digits."""
    return str(int(value)) if value == int(value) else repr(value)


def moment(serial: float, *, is_1904: bool = False) -> dict[str, str] | None:
    """A date or a time of day as JSON, in ISO 8601; None if the number is neither.

    A date at midnight has no time of day. Milliseconds are as exact as the number is.

    Args:
        serial: the days since day 0.
        is_1904: whether day 0 is that of 1904.
    """
    if not 0 <= serial < 2_958_466 or (not is_1904 and 60 <= serial < 61):
        return None
    if serial < 1 and not is_1904:
        return {"time": duration(serial)}
    start = _DAY_0_OF_1904 if is_1904 else _DAY_0 + _DAY * (serial < 60)
    try:
        found = start + round(serial * (_DAY / _MILLISECOND)) * _MILLISECOND
    except OverflowError:
        return None
    return date(found)


def date(found: dt.datetime) -> dict[str, str]:
    """A date as JSON. At midnight, it has no time of day."""
    is_midnight = found.time() == dt.time()
    return {"date": (found.date() if is_midnight and not found.tzinfo else found).isoformat()}


def iso_date(text: str) -> dict[str, str] | None:
    """A date or a time of day in ISO 8601 as JSON; None where it is neither.

    Only the forms that spreadsheets write are read. Decimals of a second are rounded to
    milliseconds, as programs show them.
    """
    if _ISO_TIME.fullmatch(text):
        text, is_time = f"2000-01-01T{text.removeprefix('T')}", True
    else:
        is_time = False
    if not (found := _ISO_DATE.fullmatch(text)):
        return None
    decimals = float(f"0.{found[3] or 0}")
    try:
        moment = dt.datetime.fromisoformat(f"{found[1]}{found[2] or ''}{found[4] or ''}")
        moment += round(decimals * 1000) * _MILLISECOND
    except (ValueError, OverflowError):
        return None
    return {"time": moment.time().isoformat()} if is_time else date(moment)


def duration(days: float) -> str:
    """A number of days as hours, minutes and seconds."""
    seconds = round(days * 86_400)
    sign, seconds = "-" * (seconds < 0), abs(seconds)
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _sections(code: str) -> list[str]:
    sections = [""]
    for piece in _PIECE.findall(code):
        if piece == ";":
            sections.append("")
        else:
            sections[-1] += piece
    return sections


def _keep(part: re.Match[str], literals: list[str]) -> str:
    """A mark in the place of a literal."""
    currency = re.match(r"\[\$([^-\]]*)", part[0])
    literals.append(part[1] or part[2] or (currency[1] if currency else ""))
    return "\0"


def _digits(places: re.Match[str], value: float) -> str:
    """The digits of a number in a format like `#,##0.00`."""
    from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

    decimals = len(places[2]) - 1 if places[2] else 0
    try:
        rounded = Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    except InvalidOperation:
        return repr(value)
    whole, _, fraction = f"{abs(rounded):f}".partition(".")
    # Without a place that is always shown, `#` shows no 0.
    whole = whole.lstrip("0").zfill(places[1].count("0"))
    if "," in places[1]:
        whole = f"{int(whole):,}" if whole and "00" not in places[1] else whole
    sign = "-" if rounded < 0 else ""
    return f"{sign}{whole}{'.' if fraction else ''}{fraction}"
