"""The `bulkupdate` command, also as `python -m bulkupdate`."""

import gc
import os
import signal
import sys

#: Number of new objects after which the garbage collector looks at these; the number of such looks
#: until it looks at older ones too, and then at all. Hardly any object needs the collector.
_COLLECT_AFTER = (100_000, 50, 100)


def main() -> None:
    """Run the command line."""
    collect_rarely()
    _leave_on_signals()
    _open_descriptors()
    from bulkupdate.cli import cli

    cli(prog_name="bulkupdate")


def collect_rarely() -> None:
    """Let the garbage collector look at new objects rarely.

    With sixteen requests in flight, more objects are alive than the default threshold. The
    collector would check all of them again and again, for a tenth of the CPU time of a row, and
    with hundreds of accounts for a quarter. Starts and checks are a few percent shorter too.
    """
    gc.set_threshold(*_COLLECT_AFTER)


def _leave_on_signals() -> None:
    """End at once on a signal, until a command has begun and ends in its own way.

    Nothing has been done yet. An exception would come out of the middle of an import.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, _: object) -> None:
    os._exit(128 + number)


def _open_descriptors() -> None:
    """Open closed standard descriptors: the next opened file would take their numbers."""
    for descriptor, mode in enumerate((os.O_RDWR, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)
    if sys.stdout is None:
        # It was closed. What is written to it fails, so that it is not lost in silence.
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)


if __name__ == "__main__":
    main()
