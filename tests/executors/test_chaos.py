"""A short time of trouble for a fleet; `python -m tests.executors` is the long one."""

from pathlib import Path

import pytest

from tests.executors.chaos import Trouble
from tests.support.postgres import found_programs, running


@pytest.mark.slow
async def test_trouble_loses_and_reorders_nothing(tmp_path: Path) -> None:
    """Workers die and stop, the database restarts, the network is cut: nothing is lost.

    No row is sent after a later one of its task, none with another key, and no limit is exceeded.
    """
    programs = found_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with running(programs) as server:
        findings = await Trouble(server, tmp_path, 3, accounts=4, workers=2, rows=60).run(8)
    assert findings.is_good, str(findings)
    assert sum(findings.events.values()) >= 8
