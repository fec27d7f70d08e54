"""`python -m tests.executors --crashes 100 --seed 1`: a fleet in trouble, and what came of it."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.executors.chaos import Trouble
from tests.support.postgres import found_programs, running


def main() -> int:
    """Let things happen, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crashes", type=int, default=100, help="things that happen")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=10)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rows", type=int, default=0, help="of each account [default: enough]")
    given = parser.parse_args()
    programs = found_programs()
    if programs is None:
        sys.exit("PostgreSQL is not installed")
    # Some nine rows a second for each account, for as long as things happen.
    rows = given.rows or max(40, given.crashes * 8)
    with running(programs) as server, tempfile.TemporaryDirectory() as folder:
        trouble = Trouble(
            server,
            Path(folder),
            given.seed,
            accounts=given.accounts,
            workers=given.workers,
            rows=rows,
        )
        findings = asyncio.run(trouble.run(given.crashes))
    print(findings)
    return 0 if findings.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
