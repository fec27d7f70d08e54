"""Tests of the progress of a check."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkupdate.plan import Checking, inspect
from bulkupdate.reader import Input
from bulkupdate.ui import messages

#: Rows that gzip hardly makes shorter: it reads more than a hundred thousand bytes at once.
LINES = "id,title\n" + "".join(
    f"opp_{n},{n * 0x9E3779B97F4A7C15 % (1 << 96):024x}\n" for n in range(40_000)
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of checks."""
    now = [100.0]
    monkeypatch.setattr("bulkupdate.plan.checking.time.monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


@pytest.mark.parametrize("name", ["edits.csv", "edits.csv.gz"])
def test_share_grows_from_nothing_to_all(name: str, tmp_path: Path) -> None:
    """The share of a file that was checked grows to all of it, of its bytes on the disk."""
    path = tmp_path / name
    content = LINES.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    checking = Checking(name)
    with Input.open(path) as source:
        checking.opened(source)
        found = [source.share_read for _ in inspect(source)]
        assert checking.share is None
    shares = [share for share in found if share is not None]
    assert shares == sorted(shares)
    assert shares[0] < 0.5
    assert shares[-1] > 0.95
    assert len(set(shares)) > 2


def test_seconds_left_follow_the_pace(tmp_path: Path, clock: Callable[[float], None]) -> None:
    """What is left takes as long as its share at the pace since the input is open."""
    path = tmp_path / "edits.csv"
    path.write_text(LINES)
    checking = Checking("edits.csv")
    clock(7.0)
    assert messages.check_line(checking) == "reading edits.csv: 7.0 s so far"
    with Input.open(path) as source:
        checking.opened(source)
        assert checking.seconds_left is None
        inspecting = inspect(source)
        while (share := checking.share or 0.0) < 0.5:
            checking.rows = next(inspecting).rows
        clock(3.0)
        assert checking.seconds_left == pytest.approx(3.0 * (1 - share) / share)
        assert checking.elapsed == pytest.approx(10.0)
        assert messages.check_line(checking) == (
            f"checking edits.csv: {checking.rows:,} rows, {int(100 * share)} %,"
            f" about {checking.seconds_left:.1f} s left"
        )
        assert messages.check_event(checking) == {
            "event": "checking",
            "input": "edits.csv",
            "rows": checking.rows,
            "share": round(share, 3),
            "seconds": 10.0,
        }
