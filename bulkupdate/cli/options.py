"""Flags that several commands have, and values that our own types read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import available_timezones

import click

from bulkupdate.cli.command import Repeatable
from bulkupdate.config import RateLimit
from bulkupdate.errors import ConfigError
from bulkupdate.reader.options import CLEAR, Format, ReadOptions, moment

Command = TypeVar("Command", bound=Callable[..., Any])


class Setting(click.ParamType[Any]):
    """A flag's value that one of our own types reads, with its own message for a wrong one."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, or a usage error with our own message."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (ConfigError, ValueError) as error:
            self.fail(str(error), param, ctx)


def _rate(text: str) -> RateLimit | Literal["auto"] | None:
    if text.lower() == "auto":
        return "auto"
    return None if text.lower() == "none" else RateLimit.parse(text)


def _pair(text: str) -> tuple[str, str]:
    # A column may have an equals sign in its name; a field has none.
    name, equals, value = text.rpartition("=")
    if not equals or not name.strip() or not value.strip():
        raise ConfigError(f"{text!r} is no pair: write it as 'Owner=assignedTo'")
    return name.strip(), value.strip()


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"{text!r} sets nothing: write it as priority=high")
    return name.strip(), value


def _zones(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    return sorted(name for name in available_timezones() if name.startswith(incomplete))


RATE = Setting("rate", _rate)

rate_option = click.option(
    "--rate",
    type=RATE,
    default="auto",
    metavar="N/Ss|auto|none",
    help="auto follows the server, from lemlist's 20/2s on; 5/1s is a ceiling.  [default: auto]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
merge_option = click.option(
    "--merge-duplicates",
    is_flag=True,
    help="Send the rows of one task as one update, in which later rows win.",
)

#: The title under which help lists the flags that say how an input is read, and these.
READING_GROUP = {
    "How INPUT is read": (
        "--format", "--encoding", "--delimiter", "--sheet", "--map", "--set", "--only",
        "--ignore-extra", "--value-map", "--timezone", "--time", "--date-format", "--clear-token",
        "--now", "--merge-duplicates",
    )
}  # fmt: skip

input_argument = click.argument("input_", metavar="INPUT", type=click.Path(allow_dash=True))

#: Flags that say how an input is to be read.
_READING = (
    click.option(
        "--format",
        "format_",
        type=click.Choice([str(f) for f in Format if not f.is_spreadsheet]),
        help="What INPUT is. By default its suffix tells, else its first character.",
    ),
    click.option("--encoding", metavar="NAME", help="Of INPUT's text.  [default: found out]"),
    click.option(
        "--delimiter", metavar="C", help="Between INPUT's columns: ;, tab, |.  [default: found out]"
    ),
    click.option("--sheet", metavar="NAME", help="Of a spreadsheet that has several."),
    click.option(
        "--map",
        "mapping",
        type=Setting("map", _pair),
        multiple=True,
        cls=Repeatable,
        metavar="COLUMN=FIELD",
        help="What a column stands for. Can be given several times.",
    ),
    click.option(
        "--set",
        "constants",
        type=Setting("set", _setting),
        multiple=True,
        cls=Repeatable,
        metavar="FIELD=VALUE",
        help="What every row says of a field. Can be given several times.",
    ),
    click.option(
        "--only",
        multiple=True,
        cls=Repeatable,
        metavar="COLUMN",
        help="Send this column, and those of further --only, and no others.",
    ),
    click.option("--ignore-extra", is_flag=True, help="Pass over columns that are no field."),
    click.option(
        "--value-map",
        "value_maps",
        type=click.Path(path_type=Path),
        multiple=True,
        cls=Repeatable,
        metavar="FILE",
        help="What values stand for: a file with the columns column, from, to.",
    ),
    click.option(
        "--timezone",
        metavar="NAME",
        shell_complete=_zones,
        help="Of times without an offset: Europe/Paris.",
    ),
    click.option("--time", metavar="HH:MM", help="Of day, for dates without one."),
    click.option(
        "--date-format",
        "date_formats",
        multiple=True,
        cls=Repeatable,
        metavar="FORMAT",
        help="Of dates that are not ISO 8601: '%d/%m/%Y %H:%M'. Can be given several times.",
    ),
    click.option(
        "--clear-token",
        default=CLEAR,
        show_default=True,
        metavar="WORD",
        help="What empties a field: a blank cell leaves it alone.",
    ),
    click.option(
        "--now",
        metavar="DATE-TIME",
        help="What today, tomorrow and +3d are counted from.  [default: now]",
    ),
)


def reading_options(command: Command) -> Command:
    """Give a command the flags that say how its input is to be read."""
    for option in reversed(_READING):
        command = option(command)
    return command


def read_options(flags: dict[str, Any]) -> ReadOptions:
    """What these flags say.

    Raises:
        ConfigError: one of them makes no sense.
    """
    format_, now, value_maps = flags["format_"], flags["now"], flags["value_maps"]
    if len(value_maps) > 1:
        raise ConfigError("--value-map can be given once: its column 'column' tells fields apart")
    return ReadOptions(
        format=Format(format_) if format_ else None,
        encoding=flags["encoding"],
        delimiter=flags["delimiter"],
        sheet=flags["sheet"],
        mapping=_once(flags["mapping"], "--map"),
        constants=_once(flags["constants"], "--set"),
        only=flags["only"],
        ignore_extra=flags["ignore_extra"],
        value_map=value_maps[0] if value_maps else None,
        timezone=flags["timezone"],
        time=flags["time"],
        date_formats=flags["date_formats"],
        clear_token=flags["clear_token"],
        now=moment(now, flags["timezone"]) if now is not None else None,
    )


def _once(pairs: tuple[tuple[str, str], ...], flag: str) -> dict[str, str]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ConfigError(f"{flag} names the same thing twice")
    return found
