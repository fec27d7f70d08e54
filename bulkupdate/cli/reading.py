"""What the commands share that read from the server and write a file."""

import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import cloup

from bulkupdate.cli import eventloop
from bulkupdate.cli.command import option
from bulkupdate.cli.connection import (
    api_key_file_option,
    base_url_option,
    give_up_option,
    proxy_option,
    timeout_option,
)
from bulkupdate.cli.database import dsn_file_option
from bulkupdate.cli.options import quiet_option, rate_option
from bulkupdate.cli.outputs import check_output
from bulkupdate.cli.screen import Screen, unwritten
from bulkupdate.cli.sharedlimit import (
    SharingFlags,
    check_shared_limit,
    shared_limit_option,
    shared_limiters,
)
from bulkupdate.cli.stopping import code_of, stop_on_signals
from bulkupdate.errors import RunStoppedError
from bulkupdate.journal import ExitCode, published

if TYPE_CHECKING:
    from bulkupdate.session.reading import Limiters
    from bulkupdate.stop import Stop

Value = TypeVar("Value")

#: Seconds between two lines about a long reading.
_TOLD = 2.0

#: Where something is read: the flags that all these commands have.
CONNECTION = (
    base_url_option,
    api_key_file_option,
    proxy_option,
    rate_option,
    timeout_option,
    give_up_option,
)

connection_options = cloup.option_group(
    "Where it is read", *CONNECTION, shared_limit_option, dsn_file_option
)

output_options = cloup.option_group(
    "What is written",
    option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, allow_dash=True),
        default="-",
        metavar="FILE",
        help="File to write: .csv, .jsonl or .xlsx.  [default: CSV on stdout]",
    ),
    option("--overwrite", is_flag=True, help="Replace FILE if it is there."),
    quiet_option,
)


class Told:
    """A line about a long reading, now and then.

    Args:
        screen: shows it.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._next = time.monotonic() + _TOLD

    def tasks(self, number: int) -> None:
        """Tell how many tasks have been read."""
        if time.monotonic() >= self._next:
            self._screen.say(f"reading: {number:,} tasks so far")
            self._next = time.monotonic() + _TOLD


def run_sharing(
    screen: Screen,
    flags: SharingFlags,
    work: "Callable[[Stop, Limiters | None], Awaitable[Value]]",
    *,
    has_warnings: bool = True,
) -> Value:
    """Do work that reads from the server, perhaps within a limit that hosts share.

    Args:
        screen: shows warnings and errors.
        flags: whether the limit is shared, and with whom.
        work: the work. It is given what makes its limiters; None for its own.
        has_warnings: whether warnings are shown.
    """
    check_shared_limit(flags)

    async def main(stop: "Stop") -> Value:
        async with shared_limiters(flags) as limiters:
            return await work(stop, limiters)

    return run_reading(screen, main, has_warnings=has_warnings)


def run_reading(
    screen: Screen, work: "Callable[[Stop], Awaitable[Value]]", *, has_warnings: bool = True
) -> Value:
    """Do work that reads from the server. A signal stops it; exit where it is stopped.

    Args:
        screen: shows warnings and errors.
        work: the work.
        has_warnings: whether warnings are shown.
    """
    screen.log(0 if has_warnings else -1)

    async def main() -> Value:
        from bulkupdate.stop import Stop

        stop = Stop()
        stop_on_signals(stop, screen)
        try:
            return await work(stop)
        except RunStoppedError as error:
            for line in str(error).splitlines():
                screen.error(line)
            sys.exit(code_of(stop) or ExitCode.STOPPED)

    return eventloop.run(main())


@contextmanager
def output_file(screen: Screen, path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A file to write to: it appears under its name, or goes to stdout, when it is complete.

    Exit with 3 where stdout can't be written.
    """
    if str(path) != "-":
        check_output("output", path)
        with published(path, overwrite=overwrite) as part:
            yield part
        return
    with tempfile.TemporaryDirectory(prefix="bulkupdate-") as directory:
        part = Path(directory) / "output"
        part.touch(0o600)
        yield part
        try:
            with part.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()
        except OSError as error:
            sys.exit(unwritten(error, screen.error))
