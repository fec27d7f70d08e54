"""The `bulkupdate` command, also as `python -m bulkupdate`."""

import os
import sys


def main() -> None:
    """Run the command line."""
    # A descriptor that is closed would be given to the next file that is opened.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    try:
        from bulkupdate.cli import cli

        cli(prog_name="bulkupdate")
    except KeyboardInterrupt:
        # Before the command has begun; later, it is a signal with a handler of its own.
        sys.exit(130)


if __name__ == "__main__":
    main()
