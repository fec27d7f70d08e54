"""The flag that names the database of a fleet, and the packages that it needs."""

import contextlib
import os
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkupdate.cli.command import option
from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.rate import Rate

if TYPE_CHECKING:
    from bulkupdate.fleet.database import Database

dsn_file_option = option(
    "--dsn-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File that contains the DSN of the fleet's database.  [default: $BULKUPDATE_FLEET_DSN]",
)


def check_fleet() -> None:
    """Check that the packages for a fleet are installed.

    Raises:
        ConfigError: a package is missing. The message says how to install it.
    """
    try:
        import_module("bulkupdate.fleet.schema")
    except ImportError as error:
        raise ConfigError(
            f"this needs the extra [fleet] ({error}): "
            "pip install procrastinate 'psycopg[binary,pool]'"
        ) from None


def refuse_no_limit(rate: Rate, what: str) -> None:
    """Refuse `--rate none` where a limit is shared.

    Args:
        rate: the rate.
        what: what shares the limit.

    Raises:
        ConfigError: there is no limit.
    """
    if rate is None:
        raise ConfigError(f"{what} keeps a limit, and --rate none has none: choose one")


@contextlib.asynccontextmanager
async def open_database(
    file: Path | None, *, may_be_away: bool = False
) -> AsyncIterator["Database"]:
    """The database of a fleet, whose tables are of this version.

    Args:
        file: the file that holds its DSN; None for the variable.
        may_be_away: whether it may come later. Its tables are looked at then.

    Raises:
        ConfigError: there is no DSN, it lets nobody in, or the tables are of another version.
        DatabaseError: the database is not there.
    """
    from bulkupdate.fleet.database import Database, DatabaseError
    from bulkupdate.fleet.dsn import Dsn
    from bulkupdate.fleet.schema import check

    async with Database(Dsn.find(file, os.environ)) as database:
        try:
            await database.greet()
            await check(database)
        except DatabaseError as error:
            if error.is_refused:
                raise ConfigError(str(error)) from None
            if not may_be_away:
                raise
        yield database
