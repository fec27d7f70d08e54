"""How an input is to be read, where its user knows better than what can be told from it."""

import codecs
import datetime as dt
import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bulkupdate.codec import writable
from bulkupdate.errors import ConfigError, setting

#: The word that empties a field: a blank cell leaves it alone.
CLEAR = "<clear>"

#: Suffixes of compressed files.
_PACKED = frozenset({".gz", ".bz2", ".xz"})

_DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}

#: Of a date format: what says the day, the month and the year.
_DAY, _MONTH, _YEAR = {"%d", "%e"}, {"%m", "%b", "%B"}, {"%Y", "%y"}

#: Of a date format: what depends on the machine's language, or is too little to go by.
_LOCAL = {"%c", "%x", "%X"}


class Format(enum.StrEnum):
    """What kind of file the input is."""

    CSV = "csv"
    """Text in columns, with a header; its delimiter is found out."""

    TSV = "tsv"
    """Tab-separated, with a header."""

    JSONL = "jsonl"
    """One JSON object a line."""

    XLSX = "xlsx"
    """A sheet of an Excel workbook, with a header."""

    XLS = "xls"
    """Likewise, as Excel wrote it until 2003."""

    ODS = "ods"
    """A sheet of an OpenDocument spreadsheet, with a header."""

    @property
    def failed(self) -> "Format":
        """What its rows that fail are written as."""
        return Format.CSV if self.is_spreadsheet else self

    @property
    def is_spreadsheet(self) -> bool:
        """Whether it is one with sheets and typed cells."""
        return self in (Format.XLSX, Format.XLS, Format.ODS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the user says of an input. What is left at its default is told from the input.

    Attributes:
        format: what kind of file it is; of a spreadsheet, leave it to be told.
        encoding: of its text, by any name that Python knows.
        delimiter: between the cells of a row: one character.
        sheet: of a spreadsheet, by its name.
        mapping: column or key of the input → field.
        constants: field → what every row says of it, as a cell would.
        only: columns, or the fields they stand for, that are sent; empty for all.
        ignore_extra: whether columns that are no field are passed over.
        value_map: a file with the columns `column`, `from` and `to`.
        timezone: of times without an offset: a name of the tz database, or `+02:00`.
        time: of day, for dates without one, as `09:00`.
        date_formats: how dates are written that are not ISO 8601, as `strptime` takes it.
        clear_token: the word that empties a field.
        now: what `today` and `+3d` are counted from; None is the moment the input is opened.

    Raises:
        ConfigError: one of them makes no sense.
    """

    format: Format | None = None
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    ignore_extra: bool = False
    value_map: Path | None = None
    timezone: str | None = None
    time: str | None = None
    date_formats: tuple[str, ...] = ()
    clear_token: str = CLEAR
    now: datetime | None = None

    def __post_init__(self) -> None:
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _delimiter(self.delimiter))
        if not self.clear_token.strip():
            raise ConfigError(
                f"{setting('clear_token')} is a word: a blank cell leaves its field alone"
            )
        for date_format in self.date_formats:
            _check_date_format(date_format)
        if self.now is not None and self.now.utcoffset() is None:
            raise ConfigError(
                f"{setting('now')} has no offset from UTC: add Z or +02:00, or set"
                f" {setting('timezone')}"
            )
        _ = self.zone, self.time_of_day

    @property
    def zone(self) -> tzinfo | None:
        """Of times without an offset."""
        return None if self.timezone is None else zone(self.timezone)

    @property
    def time_of_day(self) -> dt.time | None:
        """Of dates without one."""
        if self.time is None:
            return None
        try:
            found = dt.time.fromisoformat(self.time)
        except ValueError:
            found = None
        if found is None or found.tzinfo is not None:
            raise ConfigError(f"{self.time!r} is no time of day: write it as 09:00")
        return found

    def said(self) -> dict[str, Any]:
        """What decides which updates an input makes, as JSON: without what has its default.

        Raises:
            ConfigError: the value map can't be read.
        """
        said: dict[str, Any] = {
            "format": self.format,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "sheet": self.sheet,
            "map": dict(self.mapping),
            "set": dict(self.constants),
            "only": list(self.only),
            "ignore_extra": self.ignore_extra,
            "value_map": str(self.value_map) if self.value_map else None,
            "value_map_sha256": _sha256(self.value_map) if self.value_map else None,
            "timezone": self.timezone,
            "time": self.time,
            "date_format": list(self.date_formats),
            "clear_token": self.clear_token if self.clear_token != CLEAR else None,
        }
        return {name: _writable(value) for name, value in said.items() if value}


def unpacked_name(path: Path) -> Path:
    """The name that a file has without the suffix of what it is compressed with."""
    return path.with_suffix("") if path.suffix.lower() in _PACKED else path


def zone(name: str) -> tzinfo:
    """The time zone of that name, or of that offset.

    Raises:
        ConfigError: there is none.
    """
    if name[:1] in ("+", "-"):
        try:
            offset = datetime.fromisoformat(f"2000-01-01T00:00{name}").utcoffset()
        except ValueError:
            offset = None
        if offset is None:
            raise ConfigError(f"{name!r} is no offset from UTC: write it as +02:00")
        return timezone(offset)
    if name.upper() in ("Z", "UTC"):
        return timezone(timedelta())
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"{name!r} is no time zone: write it as Europe/Paris, UTC or +02:00"
        ) from None


def moment(text: str, timezone_name: str | None) -> datetime:
    """The moment that `--now` names.

    Raises:
        ConfigError: it names none, or has no offset and there is no time zone.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no date-time: write it as 2026-01-31T08:58+01:00") from None
    if found.utcoffset() is None and timezone_name is not None:
        first = found.replace(tzinfo=zone(timezone_name))
        if first.utcoffset() != first.replace(fold=1).utcoffset():
            raise ConfigError(f"{text!r} comes twice or not at all there: write its offset")
        found = first
    return found


def _writable(value: Any) -> Any:
    """A value without the bytes of an argument that are no text."""
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, list):
        return [writable(item) for item in value]
    if isinstance(value, dict):
        return {writable(name): writable(item) for name, item in value.items()}
    return value


def _check_encoding(name: str) -> None:
    try:
        known = codecs.lookup(name)
        b"id".decode(known.name)
    except (LookupError, ValueError):
        raise ConfigError(
            f"{name!r} is no encoding of text: write it as utf-8, utf-16, windows-1252, latin-1"
            " or mac-roman"
        ) from None


def _delimiter(text: str) -> str:
    delimiter = _DELIMITER_NAMES.get(text.lower(), text)
    if len(delimiter) != 1 or delimiter in '"\r\n ' or delimiter.isalnum():
        raise ConfigError(
            f"{text!r} can't be a delimiter: it is one character, as in ';', or comma, semicolon,"
            " tab, pipe"
        )
    return delimiter


def _check_date_format(text: str) -> None:
    directives = {text[place : place + 2] for place in range(len(text)) if text[place] == "%"}
    if found := directives & _LOCAL:
        raise ConfigError(
            f"{setting('date_formats')} {text!r}: {found.pop()} depends on the machine:"
            " spell it out"
        )
    if not (directives & _DAY and directives & _MONTH and directives & _YEAR):
        raise ConfigError(
            f"{setting('date_formats')} {text!r} lacks the day, the month or the year: write it as"
            " '%d/%m/%Y %H:%M'"
        )
    if "%p" in directives and "%H" in directives:
        raise ConfigError(f"{setting('date_formats')} {text!r}: with %p the hour is %I, not %H")
    if "%I" in directives and "%p" not in directives:
        raise ConfigError(f"{setting('date_formats')} {text!r}: %I says no time of day without %p")
    try:
        example = datetime(2026, 1, 31, 8, 58).strftime(text)  # noqa: DTZ001 - only its shape
        datetime.strptime(example, text)  # noqa: DTZ007
    except ValueError as error:
        raise ConfigError(f"{setting('date_formats')} {text!r}: {error}") from None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
