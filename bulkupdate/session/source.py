"""The input of a run: a file, or a copy of standard input."""

import os
import select
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bulkupdate.errors import InputError
from bulkupdate.journal import RunDirectory
from bulkupdate.reader import Format, Input
from bulkupdate.session.night import Night
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

#: Seconds between two checks of the stop while waiting for standard input.
STDIN_POLL = 0.2


def open_input(
    config: RunConfig,
    directory: RunDirectory,
    stop: Stop,
    now: datetime | None = None,
    night: Night | None = None,
) -> Input:
    """Open the input of a run. Call it in a thread, because reading standard input may block.

    Args:
        config: the settings of the run.
        directory: the run directory. It keeps a copy of standard input.
        stop: is checked while waiting for standard input.
        now: the moment that relative dates are counted from, unless the options have one.
        night: the night of a file of rules, whose edits are written; None for a file of edits.

    Raises:
        InputError: the input can't be used.
        ConfigError: an option is wrong.
        RunStoppedError: `stop` was set while waiting for standard input.
    """
    options = replace(config.read, people=config.compare)
    if night is not None:
        zone = night.rules.timezone
        # Each row names its account.
        options = replace(options, now=night.now, timezone=zone, format=Format.JSONL, account=None)
        return Input.open(night.edits, str(directory.files.edits), options, stop)
    if options.now is None and now is not None:
        options = replace(options, now=now)
    if config.input != "-":
        return Input.open(Path(config.input), options=options, stop=stop)
    part = directory.keep_stdin(_stdin_chunks(stop))
    return Input.open(part, name="stdin", options=options, stop=stop)


def copy_stdin(path: Path, stop: Stop) -> Path:
    """Copy standard input to a new file, and return its path. It may block.

    Raises:
        InputError: standard input can't be read, or the file can't be written.
        RunStoppedError: `stop` was set while waiting for standard input.
    """
    try:
        with path.open("xb") as copy:
            copy.writelines(_stdin_chunks(stop))
    except OSError as error:
        raise InputError(f"standard input can't be stored: {error.strerror}") from None
    return path


def _stdin_chunks(stop: Stop) -> Iterator[bytes]:
    """Read standard input until its end or a stop. It may block, so run it in a thread."""
    descriptor = 0  # `sys.stdin` is None if it was closed
    while True:
        try:
            ready = select.select([descriptor], [], [], STDIN_POLL)[0]
            chunk = os.read(descriptor, 1 << 16) if ready else None
        except OSError as error:
            raise InputError(f"stdin can't be read: {error.strerror}") from None
        # Ctrl-C also ends the program that writes to the pipe, so the bytes may be incomplete.
        stop.check()
        if chunk == b"":
            return
        if chunk:
            yield chunk
