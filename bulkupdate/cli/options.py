"""Flags that several commands have, and values that our own types read."""

from collections.abc import Callable
from typing import Any, Literal

import click

from bulkupdate.config import Format, RateLimit
from bulkupdate.errors import ConfigError


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


RATE = Setting("rate", _rate)

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice([str(f) for f in Format]),
    help="What INPUT is. By default its suffix tells, else its first character.",
)
rate_option = click.option(
    "--rate",
    type=RATE,
    default="auto",
    metavar="N/Ss|auto|none",
    help="auto follows the server, from lemlist's 20/2s on; 5/1s is a ceiling.  [default: auto]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
