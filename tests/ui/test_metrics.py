"""`--metrics-file`: what the node exporter reads."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bulkupdate.journal import read_summary
from bulkupdate.models import Traffic
from bulkupdate.session.progress import Progress
from bulkupdate.ui.metrics import MetricsFile
from tests.conftest import needed
from tests.support.clock import run_virtual
from tests.support.commands import bulkupdate, serving, start, wait_for_results
from tests.support.many import NAMES, ManyBench, edits_of
from tests.support.runs import run_directory
from tests.ui.test_ended import part
from tests.ui.test_lines import compared, progress, watched_by
from tests.ui.test_standing import account


@pytest.fixture(autouse=True)
def _edits() -> None:
    Path("edits.csv").write_text("id,done\nopp_1,yes\nopp_2,yes\nopp_3,\n")


def metrics(path: str = "nightly.prom") -> dict[str, float]:
    """The metrics in a file, by name, or by outcome for the rows."""
    found = {}
    for family in text_string_to_metric_families(Path(path).read_text()):
        for sample in family.samples:
            assert sample.labels.pop("run") == Path(path).stem
            name = sample.labels.get("outcome", sample.name.removeprefix("bulkupdate_"))
            found[name] = sample.value
    return found


@pytest.mark.slow
def test_run_writes_its_final_metrics() -> None:
    """A run writes its exit code, counts and times to the metrics file."""
    done = bulkupdate("run", "edits.csv", "--sandbox", "--metrics-file", "nightly.prom")
    assert done.returncode == 0, done.stderr
    found = metrics()
    assert (found["running"], found["exit_code"]) == (0, 0)
    assert (found["updated"], found["unchanged"], found["unprocessed"]) == (2, 1, 0)
    assert found["requests"] == 2
    assert found["start_timestamp_seconds"] <= found["last_success_timestamp_seconds"]
    assert found["last_success_timestamp_seconds"] == pytest.approx(
        found["end_timestamp_seconds"], abs=1
    )


@pytest.mark.slow
def test_last_success_survives_every_failure() -> None:
    """The time of the last success stays in the metrics through failures of every kind."""
    flags = ("--metrics-file", "nightly.prom", "--overwrite")
    bulkupdate("run", "edits.csv", "--sandbox", *flags)
    success = metrics()["last_success_timestamp_seconds"]
    codes = []
    with serving("--unknown-id", "404") as sandbox:
        for arguments in (("edits.csv",), ("none.csv",), ("edits.csv", "--rate", "5/2s")):
            environment = dict(sandbox.environment)
            if len(arguments) > 1:
                environment["LEMLIST_API_KEY"] = "wrong"
            bulkupdate("run", *arguments, *flags, **environment)
            codes.append(metrics()["exit_code"])
            assert metrics()["last_success_timestamp_seconds"] == success
    assert codes == [1, 2, 3]


@pytest.mark.slow
def test_second_run_leaves_metrics_to_the_first() -> None:
    """A second run exits with code 4 and leaves the metrics to the first run."""
    with serving("--unknown-id", "create", "--fault", "hang=1") as sandbox:
        first = start(
            "run", "edits.csv", "--metrics-file", "nightly.prom", "--drain-timeout", "0",
            **sandbox.environment,
        )  # fmt: skip
        wait_for_results(1)  # the row that changes nothing; the others hang
        second = bulkupdate(
            "run", "edits.csv", "--resume", "--metrics-file", "nightly.prom", **sandbox.environment
        )
        assert second.returncode == 4
        assert "error: edits.run is in use by another run: this one sent nothing" in second.stderr
        assert metrics()["running"] == 1
        first.terminate()
        _, error = first.communicate(timeout=30)
    assert first.returncode == 143, error
    assert metrics()["exit_code"] == 143


def test_promtool_accepts_the_metrics_file() -> None:
    """The tool promtool finds nothing wrong with the metrics file."""
    bulkupdate("run", "edits.csv", "--sandbox", "--metrics-file", "nightly.prom")
    done = subprocess.run(
        [needed("promtool"), "check", "metrics"],
        input=Path("nightly.prom").read_bytes(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_unwritable_metrics_file_is_refused_early() -> None:
    """A metrics file that cannot be written is refused before anything is sent."""
    for name, why in (
        ("nightly.txt", "reads files named *.prom"),
        ("none/nightly.prom", "can't be written"),
    ):
        done = bulkupdate("run", "edits.csv", "--sandbox", "--metrics-file", name)
        assert done.returncode == 2
        assert why in done.stderr
    assert not Path("edits.run").exists()


def test_missing_metrics_library_is_explained(tmp_path: Path) -> None:
    """Without the metrics library, the message shows how to install it."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "prometheus_client.py").write_text("raise ImportError")
    done = bulkupdate(
        "run", "edits.csv", "--sandbox", "--metrics-file", "a.prom", PYTHONPATH="without"
    )
    assert done.returncode == 2
    assert "pip install prometheus-client" in done.stderr


@pytest.mark.slow
def test_metrics_are_readable_under_any_umask() -> None:
    """Other users can read the metrics under any umask, and a non-UTF-8 name ends no run."""
    flags = ("run", "edits.csv", "--sandbox", "--overwrite", "--metrics-file")
    umask = os.umask(0o077)
    try:
        bulkupdate(*flags, "nightly.prom")
    finally:
        os.umask(umask)
    assert Path("nightly.prom").stat().st_mode & 0o777 == 0o644
    done = bulkupdate(*flags, os.fsdecode(b"\xff.prom"))
    assert done.returncode == 0, done.stderr


def test_long_run_writes_metrics_every_quarter_minute() -> None:
    """A run in progress writes its metrics every fifteen seconds."""

    async def main() -> list[bool]:
        file = MetricsFile.open(Path("nightly.prom"))
        looks = watched_by(file, progress(), seconds=(14, 2))
        return [Path("nightly.prom").exists() async for _ in looks]

    assert run_virtual(main()) == [False, True]
    assert metrics()["failed"] == 1
    assert metrics()["rate_limited"] == 2


def test_damaged_metrics_file_is_made_anew(caplog: pytest.LogCaptureFixture) -> None:
    """A file that holds no metrics is replaced, with a note in the log."""
    Path("nightly.prom").write_text("what {{{ is this\n")
    MetricsFile.open(Path("nightly.prom"))
    assert "a new file is written" in caplog.text


def test_metrics_count_the_conflicts() -> None:
    """The metrics of a run in progress have the rows in conflict."""

    async def main() -> None:
        file = MetricsFile.open(Path("nightly.prom"))
        async for _ in watched_by(file, compared(), seconds=(16,)):
            pass

    run_virtual(main())
    assert (metrics()["conflict"], metrics()["unchanged"], metrics()["failed"]) == (3, 1, 1)


# --- accounts -------------------------------------------------------------------------------


def of_accounts(path: str = "nightly.prom") -> dict[tuple[str, str], float]:
    """The metrics of accounts, by account and by metric, or outcome for the rows."""
    found = {}
    for family in text_string_to_metric_families(Path(path).read_text()):
        for sample in family.samples:
            if "account" in sample.labels:
                name = sample.name.removeprefix("bulkupdate_account_")
                key = (sample.labels["account"], sample.labels.get("outcome", name))
                assert key not in found
                found[key] = sample.value
    return found


async def test_each_account_has_metrics_of_its_own(write: Callable[..., Path]) -> None:
    """Its rows by outcome, its requests and 429s, and whether it has stopped."""
    async with ManyBench() as bench:
        bench.account("globex").refused = True
        path = write("accounts.csv", "account,id,title", *edits_of(NAMES, 4))
        summary = await bench.run(path)
    MetricsFile.open(Path("nightly.prom")).ended(summary)
    found = of_accounts()
    assert {name for name, _ in found} == {*NAMES}
    assert [found[name, "stopped"] for name in NAMES] == [0, 1, 0]
    assert [found[name, "updated"] for name in NAMES] == [4, 0, 4]
    assert [found[name, "unprocessed"] for name in NAMES] == [0, 4, 0]
    assert [found[name, "requests"] for name in ("acme", "initech")] == [4, 4]
    assert [found[name, "rate_limited"] for name in NAMES] == [0, 0, 0]
    assert "bulkupdate_rows{" in Path("nightly.prom").read_text()


def test_metrics_of_a_run_in_progress_have_its_accounts() -> None:
    """An account that stops is known while the others go on."""
    waiting = account("acme", 30, traffic=Traffic(requests=40, rate_limited=3))

    async def main() -> None:
        file, going = MetricsFile.open(Path("nightly.prom")), progress()
        with mock.patch.object(
            Progress, "accounts", [waiting, account("globex", 1, reason="no key")]
        ):
            async for _ in watched_by(file, going, seconds=(16,)):
                pass

    run_virtual(main())
    found = of_accounts()
    assert (found["acme", "stopped"], found["globex", "stopped"]) == (0, 1)
    assert (found["acme", "requests"], found["acme", "rate_limited"]) == (40, 3)
    assert (found["acme", "updated"], found["acme", "unprocessed"]) == (30, 170)


@pytest.mark.parametrize("accounts", [0, 500])
def test_metrics_of_many_accounts_are_small_and_valid(tmp_path: Path, accounts: int) -> None:
    """500 accounts take less than a megabyte; a run with one key has no metric of accounts."""
    names = (f'Account "{n}" of a client\\' for n in range(accounts))
    parts = {name: part(100_000, 100_000) for name in names}
    summary = read_summary(run_directory(tmp_path / "a.run", [], accounts=parts))
    path = Path("nightly.prom")
    MetricsFile.open(path).ended(summary)
    assert path.stat().st_size < 1_000_000
    assert len({name for name, _ in of_accounts()}) == accounts
    assert ("bulkupdate_account" in path.read_text()) == bool(accounts)
    done = subprocess.run(
        [needed("promtool"), "check", "metrics"], input=path.read_bytes(), capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
