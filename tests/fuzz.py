"""A fuzzer of the reader: broken files may only raise bulkupdate's own errors.

`python -m tests.fuzz --minutes 10` breaks the files of the corpus in random ways from a seed. It
reads each file as `run` does, writes a failed file, and reads that too. It ends with exit code 1 at
the first file that raises another error, takes longer than ten seconds, or differs when it is read
back. That file is kept and named.
"""

import argparse
import contextlib
import gzip
import random
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from bulkupdate.cli.check import CheckFlags, check_command
from bulkupdate.errors import BulkUpdateError
from bulkupdate.models import Row
from bulkupdate.plan.preview import inspect
from bulkupdate.reader import Input
from bulkupdate.reader.options import ReadOptions
from tests.journal.test_failed import failed_of
from tests.reader.test_corpus import CASES, CORPUS

#: Most seconds for one file, and most kilobytes of memory growth after the first tenth.
LONGEST = 10
GROWTH = 30_000

FLAGS = (
    *("", "", "", "", "--encoding cp1252", "--encoding utf-16", "--encoding shift-jis"),
    *("--delimiter ;", "--ignore-extra", "--only title --ignore-extra", "--set priority=high"),
    *("--timezone Europe/Paris --time 09:00", "--date-format %d/%m/%Y --timezone UTC"),
    *("--format jsonl", "--format tsv", "--value-map owners.map", "--sheet Edits"),
)
PIECES = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b'""', b",", b";", b"\t", b"\r", b"\n"),
    *(b"sep=;\n", b"id", b"<clear>", b"{", b"}", b"[" * 50, b"\xe9", b"\xc3\xa9", b"PK\x03\x04"),
    *(b"2026-12-01", b"+3d", b"+99999w", b"0001-01-01T00:00", b"9999-12-31T23:59", b"\x1f\x8b"),
)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The bytes of a file, broken at a few positions."""
    broken = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(broken))
        end = min(len(broken), at + chance.randint(1, 40))
        match chance.randrange(6):
            case 0:
                broken[at:at] = chance.choice(PIECES)
            case 1:
                del broken[at:end]
            case 2:
                broken[at:at] = broken[at:end] * chance.randint(1, 20)
            case 3:
                broken[at:end] = chance.randbytes(end - at)
            case 4:
                broken = broken[:at]
            case _:
                for index in range(at, end):
                    broken[index] ^= 1 << chance.randrange(8)
    if chance.random() < 0.05:
        return gzip.compress(bytes(broken))
    return bytes(broken)


def told_apart(rows: list[Row]) -> list[Any]:
    """The request body of each valid row, and None for each other row."""
    return [row.update and row.update.encode() for row in rows]


def read(path: Path, options: ReadOptions) -> None:
    """Read a file as `run` does, and its failed file after it.

    Raises:
        AssertionError: the rows of the two differ.
    """
    try:
        with Input.open(path, options=options) as source:
            for _ in inspect(source):
                pass
            rows = list(source.rows())
        if not all((row.update is None) == bool(row.problems) for row in rows):
            raise AssertionError("a row is neither right nor wrong")
    except BulkUpdateError:
        return
    with Input.open(failed_of(path, options=options), options=options) as again:
        if told_apart(list(again.rows())) != told_apart(rows):
            raise AssertionError("the failed file reads otherwise")


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Fail if the block takes longer than `LONGEST` seconds."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"took more than {LONGEST} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)


def options_of(flags: str) -> ReadOptions:
    """The options of the reader from flags."""
    flagged = [*shlex.split(flags), "--now", "2026-11-24T06:00:00Z", "x"]
    context = check_command.make_context("check", flagged)
    return CheckFlags(**context.params).read_options()


def fuzz(seconds: float, seed: int, directory: Path) -> tuple[int, int]:
    """Read broken files for a number of seconds.

    Returns:
        The number of files, and the growth of memory in kilobytes.

    Raises:
        AssertionError: a file failed. The message names it.
    """
    contents = [(case.stem, (CORPUS / case.stem).read_bytes()) for case in CASES]
    begin, number, early = time.monotonic(), 0, 0
    while (elapsed := time.monotonic() - begin) < seconds:
        chance = random.Random(f"{seed} {number}")
        name, content = chance.choice(contents)
        flags = chance.choice(FLAGS)
        suffix = chance.choice(["", "", ".csv", ".jsonl", ".gz"])
        path = directory / f"{number}-{name}{suffix}"
        path.write_bytes(mutated(content, chance))
        try:
            with in_time():
                read(path, options_of(flags))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise AssertionError(f"{path} {flags}: {type(error).__name__}: {error}") from error
        path.unlink()
        for failed in directory.glob("failed.*"):
            failed.unlink()
        number += 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if elapsed < seconds / 10:
            early = peak
    return number, peak - early


def main() -> int:
    """Fuzz until the time is over or a file fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    with contextlib.chdir(CORPUS):
        try:
            count, growth = fuzz(arguments.minutes * 60, arguments.seed, directory)
        except AssertionError as error:
            print(error)
            return 1
    print(f"{count:,} files read; memory grew by {growth / 1000:.1f} MB after the first tenth")
    return int(growth > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
