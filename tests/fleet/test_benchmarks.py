"""The benchmarks that need a database, at their smallest: each ends, and tells numbers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needed

ROOT = Path(__file__).parent.parent.parent


def benchmark(name: str, *arguments: str) -> str:
    """The output of a benchmark."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("postgres")
def test_benchmark_of_a_shared_limit() -> None:
    """It prints a line for each way of counting, and meets no 429."""
    told = benchmark("shared", "--processes", "2", "--rows", "12", "--window", "sliding")
    (line,) = re.findall(r"^\| sliding .*", told, re.MULTILINE)
    assert re.fullmatch(r"\| sliding \| 20 to 80 ms \| [\d.]+ \| 0 \| [\d.]+ \|", line)


@pytest.mark.slow
@pytest.mark.usefixtures("postgres")
def test_benchmark_of_a_fleet() -> None:
    """Each row is submitted and sent, within the limit; or submitted alone."""
    needed("cc")
    size = "--accounts", "3", "--rows", "4"
    told = benchmark("fleet", "--workers", "2", *size)
    assert "12 rows submitted" in told
    assert re.search(r"sent in [\d.]+ s, .* at most \d+ in a period, 0 429s$", told)
    told = benchmark("fleet", "--submit-only", *size)
    assert "12 rows submitted" in told
    assert "sent" not in told
