"""Tests of the traffic log."""

import json
from pathlib import Path

import pytest

from bulkupdate.journal.traffic import (
    LONGEST_SAMPLE,
    SHORTEST_SAMPLE,
    Sample,
    TrafficLog,
    read_samples,
    sample_length,
)
from tests.support.commands import bulkupdate, serving


def sample(requests: int) -> Sample:
    return Sample(
        at="2026-11-24T00:00:00.000Z",
        seconds=1.0,
        rows=1,
        requests=requests,
        retries=0,
        rate_limited=0,
        allowed_rate=10.0,
    )


def test_samples_survive_sessions_and_a_crash(tmp_path: Path) -> None:
    """Samples read back across sessions and after a crash that tore a line."""
    path = tmp_path / "traffic.jsonl"
    with TrafficLog(path) as log:
        log.append(sample(1))
    with path.open("ab") as file:
        file.write(b'{"at":"20')
    with TrafficLog(path) as log:
        log.append(sample(2))
        log.append(sample(3))
    assert [s.requests for s in read_samples(path)] == [1, 2, 3]
    assert list(read_samples(tmp_path / "none")) == []


def test_failing_traffic_log_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A disk that takes no samples stops nothing and causes one warning for each log."""
    with TrafficLog(Path("/dev/full")) as log:
        log.append(sample(1))
        log.append(sample(2))
    with TrafficLog(Path("/none/traffic.jsonl")) as log:
        log.append(sample(1))
    assert len(caplog.records) == 2


def test_samples_lengthen_with_the_run() -> None:
    """Samples grow longer with the run, up to a maximum, so that their number stays small."""
    assert sample_length(0) == SHORTEST_SAMPLE
    assert sample_length(150) == 2.5
    assert sample_length(10_000) == LONGEST_SAMPLE


@pytest.mark.slow
def test_samples_add_up_to_requests_sent() -> None:
    """The samples of both sessions add up to the requests and rows of the run."""
    rows = "".join(f"opp_{n},x\n" for n in range(300))
    Path("edits.csv").write_text(f"id,title\n{rows}")
    with serving("--rate", "none", "--unknown-id", "create", "--latency", "20:30") as sandbox:
        bulkupdate("run", "edits.csv", "--first", "100", "--rate", "none", **sandbox.environment)
        done = bulkupdate("run", "edits.csv", "--resume", "--rate", "none", **sandbox.environment)
    assert done.returncode == 0, done.stderr
    samples = list(read_samples(Path("edits.run/traffic.jsonl")))
    assert sum(s.requests for s in samples) == 300
    assert sum(s.rows for s in samples) == 300
    assert json.loads(Path("edits.run/summary.json").read_text())["requests"] == 200
