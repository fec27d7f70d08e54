"""Where the rows of a run come from: a file, or standard input, of which a copy is kept."""

import os
import select
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bulkupdate.journal import RunDirectory
from bulkupdate.reader import Input
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

#: Seconds between two looks at the stop while standard input is awaited.
STDIN_POLL = 0.2


def open_input(
    config: RunConfig, directory: RunDirectory, stop: Stop, now: datetime | None = None
) -> Input:
    """The input of a run. Standard input is read to its end, which may block: call it in a thread.

    Args:
        config: of the run.
        directory: of the run, where a copy of standard input is kept.
        stop: is looked at while standard input is awaited.
        now: what relative dates are counted from, unless the options name a moment.

    Raises:
        InputError: it can't be used.
        ConfigError: one of the options makes no sense.
        RunStoppedError: `stop` was set while standard input was awaited.
    """
    options = config.read
    if options.now is None and now is not None:
        options = replace(options, now=now)
    if config.input != "-":
        return Input.open(Path(config.input), options=options, stop=stop)
    part = directory.keep_stdin(_stdin_chunks(stop))
    return Input.open(part, name="stdin", options=options, stop=stop)


def _stdin_chunks(stop: Stop) -> Iterator[bytes]:
    """The bytes of standard input, until its end or `stop`. Runs in a thread: it may block."""
    descriptor = 0  # `sys.stdin` is None where it was closed
    while True:
        ready = select.select([descriptor], [], [], STDIN_POLL)[0]
        chunk = os.read(descriptor, 1 << 16) if ready else None
        # Ctrl-C ends the program that writes into the pipe too: what came is not all there is.
        stop.check()
        if chunk == b"":
            return
        if chunk:
            yield chunk
