"""All benchmarks: `python -m benchmarks`.

Each command runs in its own process against `benchmarks.server` on this machine. Commands that are
compared run in turn. docs/benchmarks.md explains the results.
"""

import functools
import itertools
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import truediv
from pathlib import Path
from typing import NamedTuple, TextIO

import click

from benchmarks.inputs import write_bodies, write_edits
from benchmarks.measure import (
    FEW,
    PLAIN,
    Command,
    MeasureError,
    Usage,
    alternate,
    measure,
    ratio,
    serving,
)

HERE = Path(__file__).parent
MB = 1e6

FAST = ("-m", "bulkupdate")

BARE, SCRIPT, OURS, OURS_FAST = "bare loop", "plain script", "bulkupdate", "bulkupdate[fast]"


class Sizes(NamedTuple):
    """The sizes of the benchmarks.

    Attributes:
        rounds: number of rounds. The report has their medians.
        rows: rows of the end-to-end benchmark.
        small: rows of the smallest run.
        large: rows of the largest run, of `check`, and of the log that is resumed.
        starts: rounds of the very short commands.
    """

    rounds: int = 5
    rows: int = 100_000
    small: int = 1_000
    large: int = 1_000_000
    starts: int = 21


QUICK = Sizes(rounds=1, rows=5_000, small=500, large=20_000, starts=3)
QUICK_NOTE = "A quick run: it shows that everything works, and measures nothing."


class Measured(NamedTuple):
    """One line of the report.

    Attributes:
        what: the measured quantity.
        value: the value.
        unit: the unit of the value.
        bar: the target, at most or at least.
        is_met: whether the target is met; None without a target.
    """

    what: str
    value: float
    unit: str
    bar: str = ""
    is_met: bool | None = None


class Bench:
    """The benchmarks, with their files in one directory.

    Args:
        directory: the directory for the files.
        base_url: the base URL of the server.
        sizes: the sizes of the benchmarks.
    """

    def __init__(self, directory: Path, base_url: str, sizes: Sizes) -> None:
        self._directory = directory
        self._base_url = base_url
        self._sizes = sizes
        self._variables = {"LEMLIST_BASE_URL": base_url, "LEMLIST_API_KEY": "benchmark-key"}

    def all(self) -> Iterator[tuple[str, list[Measured]]]:
        """Yield each part of the report when it is measured: its title and its lines."""
        sizes = self._sizes
        yield f"End to end, {sizes.rows:,} rows, no limit", self._end_to_end()
        yield f"`run --compare`, {sizes.rows:,} rows that all differ", self._compare()
        yield f"`check`, {sizes.large:,} rows", self._check()
        yield "One row more", self._scaling()
        yield f"`run --resume`, {sizes.large:,} rows settled", self._resume()
        yield "Start", self._starts()

    def _end_to_end(self) -> list[Measured]:
        rows = self._sizes.rows
        edits, bodies = self._edits(rows), self._directory / "bodies.jsonl"
        write_bodies(bodies, rows)
        results = self._directory / "script.jsonl"
        programs: dict[str, Command] = {
            BARE: (HERE / "bare_loop.py", bodies),
            SCRIPT: (HERE / "plain_script.py", edits, results, "none"),
            OURS: (*PLAIN, *self._run(edits)),
            OURS_FAST: (*FAST, *self._run(edits)),
        }
        found = self._alternate(programs)
        lines = []
        for name, usages in found.items():
            speed = rows / statistics.median(usage.wall for usage in usages)
            lines.append(Measured(f"{name}: speed", speed, "rows/s"))
            lines.append(Measured(f"{name}: CPU", _cpu(usages) / rows * 1e6, "µs/row"))
        for name, bars in ((OURS, (1.3, 0.55)), (OURS_FAST, (None, None))):
            for yardstick, most in zip((BARE, SCRIPT), bars, strict=True):
                share = ratio(found[name], found[yardstick], lambda usage: usage.cpu)
                lines.append(_at_most(f"{name}: CPU to {yardstick}", share, "x", most))
        script = ratio(found[SCRIPT], found[BARE], lambda usage: usage.cpu)
        fast = ratio(found[OURS], found[OURS_FAST], lambda usage: usage.wall)
        return [
            *lines,
            Measured("plain script: CPU to bare loop", script, "x"),
            Measured(f"{OURS_FAST}: speed to {OURS}", fast, "x"),
        ]

    def _compare(self) -> list[Measured]:
        rows = self._sizes.rows
        with serving("benchmarks.server", str(rows)) as base_url:
            variables = {**self._variables, "LEMLIST_BASE_URL": base_url}
            blind = (*PLAIN, *self._run(self._edits(rows)))
            # Images of what was overwritten would be kept: each run has a directory of its own.
            compared = (*PLAIN, "run", self._edits(rows), "--rate", "none", "--compare", "--out")
            runs = (self._directory / f"compared{number}.run" for number in itertools.count())
            found = alternate(
                {
                    "blind": lambda: measure(blind, variables),
                    "compared": lambda: measure((*compared, next(runs)), variables),
                },
                self._sizes.rounds,
                _say,
            )
        before, after = found["blind"], found["compared"]
        more = statistics.median(a.cpu - b.cpu for a, b in zip(after, before, strict=True))
        growth = statistics.median(a.peak - b.peak for a, b in zip(after, before, strict=True))
        return [
            Measured("without --compare: CPU", _cpu(before) / rows * 1e6, "µs/row"),
            Measured("with it: CPU", _cpu(after) / rows * 1e6, "µs/row"),
            _at_most("CPU more for a row", more / rows * 1e6, "µs", 30),
            _at_most("memory more, with messages of 2 kB", growth / MB, "MB", 20),
        ]

    def _check(self) -> list[Measured]:
        rows = self._sizes.large
        edits = self._edits(rows)
        ours, theirs = self._alternate(
            {
                "check": (*FAST, "check", edits, "-q"),
                "DictReader": (HERE / "dict_reader.py", edits),
            }
        ).values()
        share = 100 * ratio(theirs, ours, lambda usage: usage.wall)
        return [
            Measured("check: speed", rows / statistics.median(u.wall for u in ours), "rows/s"),
            Measured(
                "csv.DictReader: speed", rows / statistics.median(u.wall for u in theirs), "rows/s"
            ),
            Measured("check: speed to csv.DictReader", share, "%", "≥ 45", share >= 45),
        ]

    def _scaling(self) -> list[Measured]:
        sizes = self._sizes
        few, small, rows = (
            (*PLAIN, *self._run(self._edits(n))) for n in (FEW, sizes.small, sizes.rows)
        )
        # The largest run is resumed later, to send one more row.
        more = self._edits(sizes.large + sizes.starts)
        large = (*PLAIN, *self._run(more), "--first", str(sizes.large))
        rounds = []
        for _ in range(sizes.rounds):
            # A small run is mostly its start, so the cost of its rows needs many rounds.
            found = self._alternate({str(FEW): few, str(sizes.small): small}, sizes.starts)
            found |= self._alternate({str(sizes.rows): rows, str(sizes.large): large}, 1)
            rounds.append(found)
        counts = (sizes.small, sizes.rows, sizes.large)
        costs = {n: [_cost(found, n) for found in rounds] for n in counts}
        shares = [statistics.median(map(truediv, costs[n], costs[sizes.large])) for n in counts]
        spread = 100 * (max(shares) / min(shares) - 1)
        peaks = {
            n: statistics.median(u.peak for found in rounds for u in found[str(n)]) / MB
            for n in counts
        }
        growth = peaks[sizes.large] - peaks[sizes.small]
        return [
            *(
                Measured(f"CPU of a row, of {n:,} rows", 1e6 * statistics.median(of), "µs")
                for n, of in costs.items()
            ),
            _at_most("from the cheapest row to the dearest", spread, "%", 10),
            *(
                _at_most(f"peak memory, {n:,} rows", peak, "MB", 80 if n == sizes.large else None)
                for n, peak in peaks.items()
            ),
            _at_most(f"memory, from {sizes.small:,} rows to {sizes.large:,}", growth, "MB", 20),
        ]

    def _resume(self) -> list[Measured]:
        edits = self._edits(self._sizes.large + self._sizes.starts)
        where = ("--out", edits.with_suffix(".run"))
        command = (*PLAIN, "run", edits, *where, "--rate", "none", "--resume", "--first", "1")
        seconds, peaks = [], []
        for _ in range(self._sizes.rounds):
            self._first_request()
            began = time.monotonic()
            peaks.append(self._measure(command).peak / MB)
            first = self._first_request()
            if first is None:
                raise MeasureError("a run that was resumed sent nothing")
            seconds.append(first - began)
        return [
            _at_most("to the first request", statistics.median(seconds), "s", 3),
            _at_most("peak memory", statistics.median(peaks), "MB", 150),
        ]

    def _starts(self) -> list[Measured]:
        nothing, shown, checked = self._alternate(
            {
                "nothing": ("-c", "pass"),
                "--help": (*FAST, "--help"),
                "check": (*FAST, "check", self._edits(10), "-q"),
            },
            self._sizes.starts,
        ).values()
        return [
            Measured("python -c pass", 1e3 * statistics.median(u.wall for u in nothing), "ms"),
            _at_most("--help to that", ratio(shown, nothing, lambda u: u.wall), "x", 8),
            _at_most("check of 10 rows to it", ratio(checked, nothing, lambda u: u.wall), "x", 12),
        ]

    @functools.cache  # noqa: B019 - one bench in a process
    def _edits(self, rows: int) -> Path:
        path = self._directory / f"edits{rows}.csv"
        write_edits(path, rows)
        return path

    def _run(self, edits: Path) -> Command:
        return ("run", edits, "--out", edits.with_suffix(".run"), "--rate", "none", "--overwrite")

    def _alternate(
        self, programs: dict[str, Command], rounds: int | None = None
    ) -> dict[str, list[Usage]]:
        runs = {name: functools.partial(self._measure, of) for name, of in programs.items()}
        return alternate(runs, rounds or self._sizes.rounds, _say)

    def _measure(self, command: Command) -> Usage:
        return measure(command, self._variables)

    def _first_request(self) -> float | None:
        """The time of the first request since the last call; None if there was none."""
        with urllib.request.urlopen(self._base_url) as answer:  # noqa: S310 - on this machine
            first: float | None = json.load(answer)["first"]
        return first


def _cost(found: dict[str, list[Usage]], rows: int) -> float:
    """CPU seconds for one more row, without the start."""
    return (_cpu(found[str(rows)]) - _cpu(found[str(FEW)])) / (rows - FEW)


def _cpu(usages: list[Usage]) -> float:
    return statistics.median(usage.cpu for usage in usages)


def _at_most(what: str, value: float, unit: str, most: float | None) -> Measured:
    if most is None:
        return Measured(what, value, unit)
    return Measured(what, value, unit, f"≤ {most:g}", value <= most)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\r", file=sys.stderr, flush=True)


@contextmanager
def _directory() -> Iterator[Path]:
    # /tmp may be in memory, and a log of a million rows has a gigabyte.
    path = Path(tempfile.mkdtemp(prefix="bulkupdate-", dir="/var/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _table(title: str, lines: list[Measured], *, is_judged: bool) -> str:
    rows = [f"### {title}", "", "| | | asked for | |", "| --- | --: | --: | --- |"]
    verdict = {None: "", True: "met", False: "**missed**"}
    for line in lines:
        shown = verdict[line.is_met if is_judged else None]
        rows.append(f"| {line.what} | {_shown(line.value)} {line.unit} | {line.bar} | {shown} |")
    return "\n".join([*rows, ""])


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


@click.command()
@click.option("--quick", is_flag=True, help="Use small files and one round, as a smoke test.")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=Sizes().rounds,
    show_default=True,
    help="Rounds of everything, in turn; the medians count.",
)
@click.option(
    "--json",
    "json_file",
    type=click.File("w", lazy=False),
    metavar="FILE",
    help="Write the results to FILE as JSON.",
)
def main(*, quick: bool, rounds: int, json_file: TextIO | None) -> None:
    """Run all benchmarks, and print tables.

    They take about fifteen minutes and 1.5 GB in /var/tmp. Nothing else should run meanwhile.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = QUICK if quick else Sizes()._replace(rounds=rounds)
    report: dict[str, object] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    click.echo(", ".join(map(str, report.values())) + "\n")
    if quick:
        click.echo(QUICK_NOTE + "\n")
    parts: dict[str, list[dict[str, object]]] = {}
    try:
        with _directory() as directory, serving() as base_url:
            for title, lines in Bench(directory, base_url, sizes).all():
                click.echo(_table(title, lines, is_judged=not quick))
                parts[title] = [line._asdict() for line in lines]
    except MeasureError as error:
        raise click.ClickException(str(error)) from error
    if json_file is not None:
        whole = {**report, "quick": quick, "sizes": sizes._asdict(), "parts": parts}
        json_file.write(json.dumps(whole, indent=2) + "\n")


main()
