"""Flags of several commands, and the types of their values."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import click
import cloup

from bulkupdate.cli.command import Repeatable, option
from bulkupdate.errors import ConfigError, setting
from bulkupdate.lemlist.rate import Rate, RateLimit
from bulkupdate.reader import (
    CLEAR,
    ESCAPES,
    Escapes,
    Format,
    ReadOptions,
    is_rules,
    moment,
)


class Setting(click.ParamType[Any]):
    """A type of flag values with its own parser, whose error messages the user sees."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the value, or fail with the parser's message."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (ConfigError, ValueError) as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, kw_only=True)
class ReadingFlags:
    """The input, and the flags for reading it."""

    input_: str
    format_: str | None
    encoding: str | None
    delimiter: str | None
    escapes: Escapes | None
    sheet: str | None
    mapping: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, str], ...]
    only: tuple[str, ...]
    ignore_extra: bool
    value_maps: tuple[Path, ...]
    timezone: str | None
    time: str | None
    date_formats: tuple[str, ...]
    clear_token: str
    now: str | None
    allow_empty: bool
    merge_duplicates: bool
    accounts: Path | None
    account: str | None

    def read_options(self) -> ReadOptions:
        """The flags as options of the reader.

        Raises:
            ConfigError: a flag is wrong.
        """
        if len(self.value_maps) > 1:
            raise ConfigError(
                f"{setting('value_map')} can be given only once: put all values in one file"
            )
        return ReadOptions(
            format=Format(self.format_) if self.format_ else None,
            encoding=self.encoding,
            delimiter=self.delimiter,
            escapes=self.escapes,
            sheet=self.sheet,
            mapping=_once(self.mapping, "mapping"),
            constants=_once(self.constants, "constants"),
            only=self.only,
            ignore_extra=self.ignore_extra,
            value_map=self.value_maps[0] if self.value_maps else None,
            timezone=self.timezone,
            time=self.time,
            date_formats=self.date_formats,
            clear_token=self.clear_token,
            accounts=self._account_names(),
            account=self.account,
            now=self._moment(),
        )

    def _account_names(self) -> tuple[str, ...] | None:
        if self.accounts is None:
            return None
        from bulkupdate.lemlist.accounts import Accounts

        return tuple(Accounts.load(self.accounts, environ=os.environ))

    def _moment(self) -> datetime | None:
        if self.now is None:
            return None
        zone = self.timezone
        if zone is None and is_rules(self.input_):
            from bulkupdate.session.night import load_rules

            zone = load_rules(Path(self.input_)).timezone
        return moment(self.now, zone)


def _once(pairs: tuple[tuple[str, str], ...], name: str) -> dict[str, str]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ConfigError(f"{setting(name)} has two values for the same name")
    return found


def _rate(text: str) -> Rate:
    if text.lower() == "auto":
        return "auto"
    return None if text.lower() == "none" else RateLimit.parse(text)


def _pair(text: str) -> tuple[str, str]:
    # A column may have an equals sign in its name; a field has none.
    name, equals, value = text.rpartition("=")
    if not equals or not name.strip() or not value.strip():
        raise ConfigError(f"{text!r} is not a pair: write it as 'Owner=assignedTo'")
    return name.strip(), value.strip()


def _constant(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"{text!r} sets nothing: write it as priority=high")
    return name.strip(), value


def zone_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The names of time zones that begin with a text, for a shell."""
    return sorted(name for name in available_timezones() if name.startswith(incomplete))


RATE = Setting("rate", _rate)

input_argument = cloup.argument("input_", metavar="INPUT", type=click.Path(allow_dash=True))

rate_option = option(
    "--rate",
    type=RATE,
    default="auto",
    metavar="N/Ss|auto|none",
    help="Rate limit. auto follows the server, from 20/2s on; 5/1s is a ceiling.  [default: auto]",
)
accounts_option = option(
    "--accounts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File of accounts (TOML): the name of each, and where its API key is.",
)

#: The flags that say whose tasks the rows of INPUT are about.
accounts_options = cloup.option_group(
    "Whose tasks INPUT names",
    accounts_option,
    option(
        "--account",
        metavar="NAME",
        help="Account of all rows, instead of a column account that names that of each.",
    ),
)

json_option = option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
quiet_option = option("-q", "--quiet", is_flag=True, help="Print errors only.")

#: The flags of `ReadingFlags`.
reading_options = cloup.option_group(
    "How INPUT is read",
    option(
        "--format",
        "format_",
        type=click.Choice([str(f) for f in Format if not f.is_spreadsheet]),
        help="Format of INPUT.  [default: from its suffix, else from its first character]",
    ),
    option("--encoding", metavar="NAME", help="Encoding of INPUT's text.  [default: detected]"),
    option(
        "--delimiter",
        metavar="C",
        help="Delimiter between INPUT's columns: ;, tab, |.  [default: detected]",
    ),
    option(
        "--escapes",
        type=click.Choice(ESCAPES),
        help="What a backslash is: none: a character like others; backslash: with n, a line break"
        " (tab-separated INPUT only).",
    ),
    option("--sheet", metavar="NAME", help="Sheet to read, if the spreadsheet has several."),
    option(
        "--map",
        "mapping",
        type=Setting("map", _pair),
        cls=Repeatable,
        metavar="COLUMN=FIELD",
        help="Field that a column stands for. Can be given several times.",
    ),
    option(
        "--set",
        "constants",
        type=Setting("set", _constant),
        cls=Repeatable,
        metavar="FIELD=VALUE",
        help="Value of a field in every row. Can be given several times.",
    ),
    option(
        "--only",
        cls=Repeatable,
        metavar="COLUMN",
        help="Send only this column. Can be given several times, for several columns.",
    ),
    option("--ignore-extra", is_flag=True, help="Ignore columns that match no field."),
    option(
        "--value-map",
        "value_maps",
        type=click.Path(path_type=Path),
        cls=Repeatable,
        metavar="FILE",
        help="File that translates values, with the columns column, from, to.",
    ),
    option(
        "--timezone",
        metavar="NAME",
        shell_complete=zone_names,
        help="Time zone of times that have no offset: Europe/Paris.",
    ),
    option("--time", metavar="HH:MM", help="Time of day of dates that have none."),
    option(
        "--date-format",
        "date_formats",
        cls=Repeatable,
        metavar="FORMAT",
        help="Format of dates that are not ISO 8601: '%d/%m/%Y %H:%M'. Can be given several times.",
    ),
    option(
        "--clear-token",
        default=CLEAR,
        show_default=True,
        metavar="WORD",
        help="Word that clears a field. A blank cell does not change it.",
    ),
    option(
        "--now",
        metavar="DATE-TIME",
        help="Moment from which today, tomorrow and +3d are counted.  [default: now]",
    ),
    option(
        "--allow-empty",
        is_flag=True,
        help="Accept an INPUT that has a header and no row: there is nothing to do.",
    ),
    option(
        "--merge-duplicates",
        is_flag=True,
        help="Send the rows of one task as one update, in which later rows win.",
    ),
)
