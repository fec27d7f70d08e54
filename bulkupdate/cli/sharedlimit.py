"""The flag `--shared-limit`: the limit of each key is shared with other hosts."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click
from click.core import ParameterSource

from bulkupdate.cli.command import option
from bulkupdate.cli.database import check_fleet, open_database, refuse_no_limit
from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.rate import Rate

if TYPE_CHECKING:
    from bulkupdate.session.reading import Limiters

shared_limit_option = option(
    "--shared-limit",
    is_flag=True,
    help="Share the limit of each key with all hosts that use the same database.",
)


class SharingFlags(Protocol):
    """The flags of a command that may share the limit of its keys."""

    @property
    def shared_limit(self) -> bool:
        """Whether it does."""

    @property
    def dsn_file(self) -> Path | None:
        """The file that holds the DSN of the database; None for the variable."""

    @property
    def rate(self) -> Rate:
        """A rate that it never exceeds; "auto" for the limit of the server."""

    @property
    def give_up_after(self) -> float:
        """Most seconds to wait for a database that is away."""


def check_shared_limit(flags: SharingFlags) -> None:
    """Check the flags beside `--shared-limit`.

    Raises:
        ConfigError: a flag makes no sense with it, or a package is missing.
    """
    if not flags.shared_limit:
        source = click.get_current_context().get_parameter_source("dsn_file")
        if source is ParameterSource.COMMANDLINE:
            raise ConfigError("--dsn-file needs --shared-limit")
        return
    refuse_no_limit(flags.rate, "--shared-limit")
    check_fleet()


@contextlib.asynccontextmanager
async def shared_limiters(flags: SharingFlags) -> AsyncIterator["Limiters | None"]:
    """What makes limiters whose limits are shared; None without `--shared-limit`.

    Raises:
        ConfigError: there is no DSN, it lets nobody in, or the tables are of another version.
    """
    if not flags.shared_limit:
        yield None
        return
    from bulkupdate.fleet.limiter import SharedLimits

    async with open_database(flags.dsn_file, may_be_away=True) as database:
        yield SharedLimits(database, rate=flags.rate, give_up_after=flags.give_up_after).limiter
