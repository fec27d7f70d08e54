"""The user's options for reading an input."""

import codecs
import dataclasses
import datetime as dt
import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bulkupdate import fields
from bulkupdate.codec import writable
from bulkupdate.errors import ConfigError, check_flags, setting, texts
from bulkupdate.reader.dateformat import DateFormat

#: The word that empties a field. (A blank cell leaves it unchanged.)
CLEAR = "<clear>"

#: Suffixes of compressed files.
_PACKED = frozenset({".gz", ".bz2", ".xz"})

_DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}

#: What the cells of a tab-separated file mean by a backslash.
Escapes = Literal["backslash", "none"]
ESCAPES: tuple[Escapes, ...] = get_args(Escapes)


class Format(enum.StrEnum):
    """The format of an input."""

    CSV = "csv"
    """Text in columns, with a header. The reader detects the delimiter."""

    TSV = "tsv"
    """Tab-separated, with a header."""

    JSONL = "jsonl"
    """One JSON object a line."""

    XLSX = "xlsx"
    """A sheet of an Excel workbook, with a header."""

    XLS = "xls"
    """A sheet of an Excel workbook in the format of Excel 97 to 2003, with a header."""

    ODS = "ods"
    """A sheet of an OpenDocument spreadsheet, with a header."""

    @property
    def failed(self) -> "Format":
        """The format of the file of failed rows for this input."""
        return Format.XLSX if self.is_spreadsheet else self

    @property
    def is_spreadsheet(self) -> bool:
        """Whether the format has sheets and typed cells."""
        return self in (Format.XLSX, Format.XLS, Format.ODS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """The user's options for an input. The reader detects what the user leaves at its default.

    Attributes:
        format: the format of the file. The reader always detects a spreadsheet by itself.
        encoding: the encoding of its text, by any name that Python knows.
        delimiter: the character between the cells of a row.
        escapes: `backslash` where a backslash and n stand for a line break in a tab-separated file,
            and quotes are ordinary characters; `none` where a backslash is one, in any file.
        sheet: the name of the sheet in a spreadsheet.
        mapping: column or key of the input → field.
        constants: field → value for every row, written like a cell.
        only: columns to send, by their own name or by the field they stand for; empty for all.
        ignore_extra: whether to ignore columns that match no field.
        value_map: a file with the columns `column`, `from` and `to`.
        timezone: time zone of times that have no offset: a name of the tz database, or `+02:00`.
        time: time of day for dates that have none, as `09:00`.
        date_formats: formats of dates that are not ISO 8601, in the syntax of `strptime`.
        people: whether an owner may be an e-mail address or a name, which the caller resolves.
        clear_token: the word that empties a field, in a file in columns.
        accounts: the names of the accounts that rows may be of; None where there are none, and a
            column `account` is as any other.
        account: the account of all rows; None where each row names its own.
        now: the time from which `today` and `+3d` count; None for the time when the input is
            opened.

    Raises:
        ConfigError: one of the options is wrong.
    """

    format: Format | None = None
    encoding: str | None = None
    delimiter: str | None = None
    escapes: Escapes | None = None
    sheet: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    ignore_extra: bool = False
    value_map: str | Path | None = None
    timezone: str | None = None
    time: str | None = None
    date_formats: tuple[str, ...] = ()
    people: bool = False
    clear_token: str = CLEAR
    accounts: tuple[str, ...] | None = None
    account: str | None = None
    now: datetime | None = None

    def __post_init__(self) -> None:
        check_flags(ignore_extra=self.ignore_extra, people=self.people)
        if self.format is not None:
            if self.format not in [*Format]:
                known = ", ".join(Format)
                raise ConfigError(f"{setting('format')} {self.format!r} is not one of {known}")
            object.__setattr__(self, "format", Format(self.format))
        if self.now is not None and not isinstance(self.now, datetime):
            raise ConfigError(f"{setting('now')} takes a datetime, not {self.now!r}")
        if self.accounts is not None:
            object.__setattr__(self, "accounts", texts("accounts", self.accounts))
        self._check_account()
        for name in ("only", "date_formats"):
            object.__setattr__(self, name, texts(name, getattr(self, name)))
        if self.value_map is not None:
            object.__setattr__(self, "value_map", Path(self.value_map))
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _delimiter(self.delimiter))
        if self.escapes not in (None, *ESCAPES):
            raise ConfigError(f"{setting('escapes')} must be one of {', '.join(ESCAPES)}")
        if not self.clear_token.strip():
            raise ConfigError(
                f"{setting('clear_token')} must be a word: a blank cell leaves its field unchanged"
            )
        for date_format in self.date_formats:
            DateFormat(date_format)
        if self.now is not None and self.now.utcoffset() is None:
            raise ConfigError(
                f"{setting('now')} has no offset from UTC: add Z or +02:00, or set"
                f" {setting('timezone')}"
            )
        _ = self.zone, self.time_of_day

    def _check_account(self) -> None:
        if self.account is None:
            return
        if self.accounts is None:
            raise ConfigError(f"{setting('account')} needs {setting('accounts')}")
        if self.account not in self.accounts:
            near = fields.suggestion(self.account, self.accounts)
            raise ConfigError(f"{setting('account')} {self.account!r} is no account{near}")

    @property
    def zone(self) -> tzinfo | None:
        """Time zone of times that have no offset; None without one."""
        return None if self.timezone is None else zone(self.timezone)

    @property
    def time_of_day(self) -> dt.time | None:
        """Time of day for dates that have none; None without one."""
        if self.time is None:
            return None
        found = fields.iso_time(self.time)
        if found is None:
            raise ConfigError(f"{self.time!r} is not a time of day: write it as 09:00")
        return found

    def refuse_for_rules(self) -> None:
        """Refuse options that say how a file of edits is read.

        Raises:
            ConfigError: one of them is set. `now` may be.
        """
        default = ReadOptions()
        for one in dataclasses.fields(self):
            is_default = getattr(self, one.name) == getattr(default, one.name)
            if is_default or one.name in ("now", "people", "accounts", "account"):
                continue
            raise ConfigError(f"{setting(one.name)} is of a file of edits, not of a file of rules")

    def said(self) -> dict[str, Any]:
        """The options that decide which edits an input makes, as JSON, without defaults.

        Raises:
            ConfigError: the value map can't be read.
        """
        chosen: dict[str, Any] = {
            "format": self.format,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "escapes": self.escapes,
            "sheet": self.sheet,
            "map": dict(self.mapping),
            "set": dict(self.constants),
            "only": list(self.only),
            "ignore_extra": self.ignore_extra,
            "value_map": str(self.value_map) if self.value_map else None,
            "value_map_sha256": _sha256(Path(self.value_map)) if self.value_map else None,
            "timezone": self.timezone,
            "time": self.time,
            "date_format": list(self.date_formats),
            "clear_token": self.clear_token if self.clear_token != CLEAR else None,
            "account": self.account,
            # Which rows are valid depends on the names.
            "accounts_sha256": _sha256_of(self.accounts) if self.accounts is not None else None,
        }
        return {name: _writable(value) for name, value in chosen.items() if value}


def is_rules(path: str | Path) -> bool:
    """Whether a file holds rules, by its name: rows are what they make of the live tasks."""
    return Path(path).suffix.lower() == ".toml"


def unpacked_name(path: Path) -> Path:
    """The name of a file without the suffix of its compression."""
    return path.with_suffix("") if path.suffix.lower() in _PACKED else path


def zone(name: str) -> tzinfo:
    """The time zone with this name or this offset.

    Raises:
        ConfigError: there is no such time zone.
    """
    if name[:1] in ("+", "-"):
        try:
            offset = fields.iso_date_time(f"2000-01-01T00:00{name}").utcoffset()
        except ValueError:
            offset = None
        if offset is None:
            raise ConfigError(f"{name!r} is not an offset from UTC: write it as +02:00")
        return timezone(offset)
    if name.upper() in ("Z", "UTC"):
        return timezone(timedelta())
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"{name!r} is not a time zone: write it as Europe/Paris, UTC or +02:00"
        ) from None


def moment(text: str, timezone_name: str | None) -> datetime:
    """The moment that `--now` names.

    Args:
        text: a date and time in ISO 8601.
        timezone_name: the time zone of a time that has no offset, or None.

    Raises:
        ConfigError: the text is not a date and time, or the time zone is unknown, or the clocks of
            the zone show this time twice or not at all.
    """
    try:
        found = fields.iso_date_time(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a date-time: write it as 2026-01-31T08:58+01:00"
        ) from None
    if found.utcoffset() is None and timezone_name is not None:
        first = found.replace(tzinfo=zone(timezone_name))
        if first.utcoffset() != first.replace(fold=1).utcoffset():
            raise ConfigError(
                f"{text!r} happens twice or not at all in {timezone_name}: add its offset from UTC"
            )
        found = first
    return found


def _writable(value: Any) -> Any:
    """A value in which escapes replace the bytes of an argument that are not text."""
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
            f"{name!r} is not an encoding: write it as utf-8, utf-16, windows-1252, latin-1"
            " or mac-roman"
        ) from None


def _delimiter(text: str) -> str:
    delimiter = _DELIMITER_NAMES.get(text.lower(), text)
    if len(delimiter) != 1 or delimiter in '"\r\n ' or delimiter.isalnum():
        raise ConfigError(
            f"{text!r} can't be a delimiter: write one character, as in ';', or comma, semicolon,"
            " tab, pipe"
        )
    return delimiter


def _sha256_of(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
