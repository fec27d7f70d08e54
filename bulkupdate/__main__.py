"""The `bulkupdate` command, also as `python -m bulkupdate`."""

import os
import sys


def main() -> None:
    """Run the command line."""
    # The next opened file would take the number of a closed standard descriptor.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    try:
        from bulkupdate.cli import cli

        cli(prog_name="bulkupdate")
    except KeyboardInterrupt:
        # Only before the command has begun. Later, the run has its own signal handler.
        sys.exit(130)


if __name__ == "__main__":
    main()
