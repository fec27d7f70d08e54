"""Where the rows of a run come from: a file, or standard input, of which a copy is kept."""

import os
import select
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bulkupdate.config import RunConfig
from bulkupdate.errors import RunStoppedError
from bulkupdate.journal.directory import RunDirectory
from bulkupdate.reader import Input
from bulkupdate.stop import Stop

#: Seconds between two looks at whether to go on waiting for standard input.
STDIN_POLL = 0.2


def open_input(
    config: RunConfig, directory: RunDirectory, stop: Stop, now: datetime | None = None
) -> Input:
    """The input of a run. Standard input is read to its end, which may block: call it in a thread.

    Args:
        config: of the run.
        directory: of the run, where a copy of standard input is kept.
        stop: is looked at while standard input is awaited.
        now: what relative dates are counted from, unless the user says so.

    Raises:
        InputError: it can't be used.
        ConfigError: what the user says of it makes no sense.
        RunStoppedError: `stop` was set while standard input was awaited.
    """
    options = config.read

    def is_to_leave() -> bool:
        return stop.is_set

    if options.now is None and now is not None:
        options = replace(options, now=now)
    if config.input != "-":
        return Input(Path(config.input), options=options, is_to_leave=is_to_leave)
    part = directory.keep_stdin(_stdin_chunks(stop))
    return Input(part, name="stdin", options=options, is_to_leave=is_to_leave)


def _stdin_chunks(stop: Stop) -> Iterator[bytes]:
    """The bytes of standard input, until its end or `stop`. Runs in a thread: it may block."""
    descriptor = 0  # `sys.stdin` is None where it was closed
    while True:
        ready = select.select([descriptor], [], [], STDIN_POLL)[0]
        chunk = os.read(descriptor, 1 << 16) if ready else None
        if stop.is_set:
            # Ctrl-C ends whoever writes into the pipe too: what came is not all there is.
            raise RunStoppedError(f"{stop.reason}: nothing was sent")
        if chunk == b"":
            return
        if chunk:
            yield chunk
