"""A damaged run directory loses no row in silence, and is never "a bug".

`python -m tests.session.test_damage` tries every byte of every file, and every number.
"""

import asyncio
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bulkupdate.errors import BulkUpdateError
from bulkupdate.journal.directory import Mode
from tests.support.bench import Bench

ROWS = 12
SENT = 6

#: Numbers that may stand in the place of another one.
PLAUSIBLE = (b"0", b"1", b"5", b"6", b"7", b"11", b"12", b"13", b"99", b"10000000000000", b"-1")

_NUMBER = re.compile(rb"(?<![\w.-])-?\d+(?![\w.])")


class Damage(NamedTuple):
    """A file of a run directory, as it was damaged."""

    name: str
    what: str
    content: bytes


def flips(name: str, content: bytes) -> Iterator[Damage]:
    """The file with one byte changed: a bit of it, or all."""
    for at, byte in enumerate(content):
        for mask in (0x01, 0xFF):
            changed = content[:at] + bytes([byte ^ mask]) + content[at + 1 :]
            yield Damage(name, f"byte {at} ^ {mask:#x}", changed)


def numbers(name: str, content: bytes) -> Iterator[Damage]:
    """The file with one number replaced by another plausible one."""
    for found in _NUMBER.finditer(content):
        for other in PLAUSIBLE:
            if other != found[0]:
                changed = content[: found.start()] + other + content[found.end() :]
                yield Damage(name, f"{found[0].decode()} at {found.start()} → {other!r}", changed)


async def interrupted(bench: Bench, folder: Path) -> Path:
    """A run of which half is sent. The rows of one task follow each other."""
    path = folder / "edits.csv"
    lines = [f"opp_{n // 2},T{n}" for n in range(1, ROWS + 1)]
    path.write_text("id,title\n" + "".join(f"{line}\n" for line in lines))
    await bench.run(path, out=folder / "whole.run", first=SENT)
    return path


async def consequence(bench: Bench, path: Path, damage: Damage) -> str:
    """What becomes of a run whose directory is damaged: how it ends, in a word.

    Raises:
        AssertionError: the run ended well, and some edit was not applied, or not in order.
    """
    folder = path.parent
    shutil.rmtree(folder / "damaged.run", ignore_errors=True)
    shutil.copytree(folder / "whole.run", folder / "damaged.run")
    (folder / "damaged.run" / damage.name).write_bytes(damage.content)
    for n in range(SENT // 2 + 1, ROWS // 2 + 1):
        bench.sandbox.team.tasks.pop(f"opp_{n}", None)
    config = bench.config(path, out=folder / "damaged.run", mode=Mode.RESUME)
    from bulkupdate.session.run import run

    try:
        summary = await run(config)
    except BulkUpdateError:
        return "refused"
    if summary.exit_code != 0:
        return "told"
    titles = {id_: task["title"] for id_, task in bench.sandbox.team.tasks.items()}
    last = {f"opp_{n // 2}": f"T{n}" for n in range(1, ROWS + 1)}
    assert titles == last, f"{damage.name}: {damage.what}: {titles}"
    return "finished"


async def try_all(folder: Path, share: float, seed: int = 1) -> Counter[str]:
    """Damage a run directory in many ways, and count what becomes of the run."""
    chance, counts = random.Random(seed), Counter[str]()
    async with Bench() as bench:
        path = await interrupted(bench, folder)
        files = sorted(file for file in (folder / "whole.run").iterdir() if file.stat().st_size)
        for file in files:
            content = file.read_bytes()
            for damage in (*flips(file.name, content), *numbers(file.name, content)):
                if chance.random() < share:
                    counts[await consequence(bench, path, damage)] += 1
    return counts


@pytest.mark.slow
async def test_damage_loses_no_row_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run with a damaged file is refused, tells what is left, or applies every row."""
    counts = await try_all(tmp_path, 0.02)
    assert set(counts) == {"refused", "told", "finished"} or set(counts) == {"refused", "finished"}
    assert sum(counts.values()) > 200
    assert "bug" not in caplog.text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(asyncio.run(try_all(Path(name), float(sys.argv[1]) if sys.argv[1:] else 1.0)))  # noqa: T201
