"""No part of a row's way may cost a fifth more than it did. Counted in steps: no noise moves them.

Where a row has to cost more, or has come to cost less, `python -m tests.cost` prints the numbers to
write down here, and the commit says why.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import TESTS

#: Python → part → bytecode instructions and calls of C functions for a row. CI runs the slow tests
#: with 3.11.
BASELINES = {
    (3, 11): {
        "reader": (364.5, 8.5),
        "inspection": (214.8, 18.0),
        "feeder": (571.2, 12.9),
        "encoder": (7.0, 1.0),
        "lane": (1123.0, 27.0),
        "client": (726.4, 22.6),
        "journal": (449.5, 15.1),
    },
    (3, 13): {
        "reader": (350.1, 8.5),
        "inspection": (237.4, 19.3),
        "feeder": (552.5, 12.8),
        "encoder": (6.0, 1.0),
        "lane": (1222.1, 29.0),
        "client": (720.6, 23.6),
        "journal": (416.5, 14.8),
    },
}
BASELINE = BASELINES.get(sys.version_info[:2], {})

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BASELINE, reason="each version of Python counts otherwise"),
]


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[float, float]]:
    # In a process of its own, which nothing else traces.
    environ = {name: value for name, value in os.environ.items() if "COV" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cost"],
        cwd=TESTS.parent,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    costs: dict[str, tuple[float, float]] = json.loads(done.stdout)
    return costs


@pytest.mark.parametrize("part", BASELINE)
def test_row_costs_stay_near_the_baseline(found: dict[str, tuple[float, float]], part: str) -> None:
    """Each part of a row's way costs within a fifth of its baseline."""
    assert len(found) == len(BASELINE)
    for counted, known in zip(found[part], BASELINE[part], strict=True):
        assert counted <= 1.2 * known
        assert counted >= 0.8 * known, "it costs less now: write that down, so that it stays so"
