"""Tests of the report of a run: its data and its page."""

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import write_report
from bulkupdate.codec import replaced
from bulkupdate.errors import ConfigError, JournalError, RunDirectoryError
from bulkupdate.journal.summary import Summary
from bulkupdate.models import ErrorInfo, Outcome, Result, State
from bulkupdate.report.history import Point, read_history
from bulkupdate.report.page import verdict
from tests.support.commands import bulkupdate, serving
from tests.support.runs import run_directory

pytestmark = pytest.mark.slow

BEGAN = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def updated(row: int, seconds: float, ms: float = 50.0) -> Result:
    return Result(
        row=row, id=f"opp_{row}", outcome=Outcome.UPDATED, status=200, attempts=1, at=at(seconds),
        ms=ms,
    )  # fmt: skip


def failed(row: int, seconds: float, message: str = "Bad team", **more: Any) -> Result:
    return Result(
        row=row, id=more.pop("id", f"opp_{row}"), outcome=Outcome.FAILED, status=400, attempts=1,
        at=at(seconds), ms=50.0, error=ErrorInfo("bad_request", message), **more,
    )  # fmt: skip


def sample(end: float, **values: Any) -> dict[str, Any]:
    return {
        "at": at(end), "seconds": 5.0, "rows": 0, "requests": 0, "retries": 0,
        "rate_limited": 0, "allowed_rate": 10.0, **values,
    }  # fmt: skip


class _Text(HTMLParser):
    """The text and the elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")
        ]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def text_of(directory: Path) -> str:
    return _Text(write_report(directory).read_text()).text


def test_command_writes_report_of_its_run() -> None:
    """The command writes a report that shows how the run ended, for its owner alone."""
    rows = "".join(f"opp_{n},x\n" for n in range(1, 41))
    Path("edits.csv").write_text(f"id,title\n{rows}opp_none,x\n")
    Path("team.csv").write_text(f"id,title\n{rows}")
    with serving("--tasks", "team.csv", "--rate", "none") as sandbox:
        done = bulkupdate("run", "edits.csv", "--report", "--rate", "none", **sandbox.environment)
    assert done.returncode == 1
    assert "report: edits.run/report.html\n" in done.stderr
    path = Path("edits.run/report.html")
    assert path.stat().st_mode & 0o777 == 0o600
    text = _Text(path.read_text()).text
    for expected in (
        "40 of 41 rows done; 1 did not go through.",
        "edits.run/failed.csv",
        "updated 40 97.6 %",
        "404 not_found Task not found for example row 41, task opp_none",
        "40 updated, 1 failed",
        "title as title",
    ):
        assert expected in text
    again = bulkupdate("report", "edits.run", "--output", "for-others.html", "--json")
    assert json.loads(again.stdout) == {"report": "for-others.html"}
    other = _Text(Path("for-others.html").read_text()).text.split(" Made by")[0]
    assert other.replace("for-others.changes.csv", "changes.csv") in text
    assert Path("for-others.changes.csv").read_bytes() == Path("edits.run/changes.csv").read_bytes()


def test_report_is_small_and_self_contained(tmp_path: Path) -> None:
    """The report needs no other file and stays under a million bytes."""
    results = [updated(n, n / 10) for n in range(1, 5001)]
    samples = [sample(5 * n, requests=50, rows=50) for n in range(1, 101)]
    html = write_report(run_directory(tmp_path / "a.run", results, samples)).read_text()
    page = _Text(html)
    assert len(html) < 1_000_000
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert page.tags.count("svg") == 6
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_hostile_text_is_never_markup(tmp_path: Path) -> None:
    """Text of the input or the server appears in the report only as text."""
    evil = "</script><script>alert(1)</script><!--"
    results = [failed(1, 1, evil, id=evil, sent={"title": evil})]
    directory = run_directory(tmp_path / "a.run", results, path=f"{evil}.csv")
    html = write_report(directory).read_text()
    page = _Text(html)
    assert page.tags.count("script") == 2  # the data, and the code that shows them
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html)
    assert data
    assert json.loads(data[1])[0][1] == evil
    assert "alert(1)</script><!--.csv" in page.text


def test_pauses_between_sessions_are_left_out(tmp_path: Path) -> None:
    """The history leaves out pauses between sessions and includes an outage."""
    results = [updated(1, 1), updated(2, 4), updated(3, 100_001), updated(4, 100_060)]
    samples = [sample(5 * n) for n in range(1, 3)]
    samples += [sample(100_000 + 5 * n, waiting_for="server down") for n in range(1, 13)]
    history = read_history(run_directory(tmp_path / "a.run", results, samples))
    assert history.seconds == pytest.approx(70)
    assert history.sessions == [(0.0, BEGAN), (10.0, BEGAN + timedelta(seconds=100_000))]
    by_start = {point.start: point for point in history.points}
    assert sum(by_start[start].outcomes.get(Outcome.UPDATED, 0) for start in (0, 4, 10)) == 3
    assert by_start[40].is_waiting
    assert not by_start[40].outcomes
    assert "Sessions began at 2026-11-24 14:00:00 UTC, 2026-11-25 17:46:40 UTC" in text_of(
        tmp_path / "a.run"
    )


def test_samples_requests_are_spread_over_points(tmp_path: Path) -> None:
    """The history spreads the requests of a sample over the points that it covers."""
    samples = [sample(5, requests=50, retries=5, rate_limited=10), sample(10, requests=20)]
    history = read_history(run_directory(tmp_path / "a.run", [updated(1, 1)], samples))
    assert [point.requests for point in history.points] == pytest.approx([20, 20, 14, 8, 8])
    assert sum(point.retries or 0 for point in history.points) == pytest.approx(5)
    assert sum(point.rate_limited or 0 for point in history.points) == pytest.approx(10)
    assert history.points[0].allowed == 10


def test_percentiles_are_of_points_settled_rows(tmp_path: Path) -> None:
    """The percentiles of a point are those of the rows that were settled in it."""
    results = [updated(n, 1, ms=float(n)) for n in range(1, 101)]
    history = read_history(run_directory(tmp_path / "a.run", results, [sample(2)]))
    first: Point = next(point for point in history.points if point.latencies)
    assert first.latencies == pytest.approx((50.5, 90.1, 99.01))


def test_run_without_samples_still_gets_charts(tmp_path: Path) -> None:
    """A run of an earlier version, without samples, has a chart of its rows."""
    text = text_of(run_directory(tmp_path / "a.run", [updated(1, 0), updated(2, 20)]))
    assert "Settled rows: 2 updated." in text
    assert "were sent again" not in text


def test_only_last_line_of_row_counts(tmp_path: Path) -> None:
    """The report counts only the last line of a row and skips a torn line."""
    directory = run_directory(
        tmp_path / "a.run", [failed(1, 1), failed(2, 1), updated(1, 2)], [sample(5)]
    )
    with (directory / "results.jsonl").open("a") as log:
        log.write('{"row":3,"id":"opp')
    history = read_history(directory)
    assert history.counts["updated"] == 1
    assert [result.row for result in history.unsuccessful] == [2]
    assert [(cause.message, cause.count) for cause in history.causes] == [("Bad team", 1)]


Change = Callable[[Summary], dict[str, Any]]


@pytest.mark.parametrize(
    ("results", "changes", "kind", "expected"),
    [
        ([updated(1, 1), updated(2, 2)], {}, "good", "All 2 rows are done."),
        ([updated(1, 1), failed(2, 2)], {}, "mixed", "1 of 2 rows done; 1 did not go through."),
        ([failed(1, 1), failed(2, 2)], {}, "bad", "0 of 2 rows done; 2 did not go through."),
        (
            [updated(1, 1)],
            {"state": State.STOPPED, "reason": "server down", "exit_code": 3},
            "bad",
            "Ended early: 1 of 2 rows done, 1 not tried yet.",
        ),
        (
            [updated(1, 1)],
            {"state": State.INTERRUPTED, "reason": "SIGTERM", "exit_code": 143},
            "mixed",
            "Ended early: 1 of 2 rows done, 1 not tried yet.",
        ),
        (
            [updated(1, 1)],
            {"state": State.RUNNING, "exit_code": None, "ended": None},
            "open",
            "Running, or interrupted: 1 of 2 rows done, 1 not tried.",
        ),
        (
            [{"row": 1, "id": "a", "outcome": "invalid", "attempts": 0, "at": at(1)}],
            {"state": State.STOPPED, "reason": "invalid", "exit_code": 2},
            "bad",
            "Nothing was sent: 1 of 2 rows are invalid.",
        ),
    ],
)
def test_verdict_is_a_single_sentence(
    tmp_path: Path, results: list[object], changes: dict[str, Any], kind: str, expected: str
) -> None:
    """The verdict gives the state of the run in one sentence."""
    history = read_history(run_directory(tmp_path / "a.run", results, rows=2, **changes))
    assert (verdict(history).kind, verdict(history).title) == (kind, expected)
    assert expected in text_of(tmp_path / "a.run")


def conflict(row: int, seconds: float, found: str = "X") -> Result:
    error = ErrorInfo("changed_since", f"title is {found} now", field="title", found=found)
    return Result(
        row=row, id=f"opp_{row}", outcome=Outcome.CONFLICT, attempts=0, at=at(seconds), error=error
    )


def unchanged(row: int, seconds: float, reason: str | None = None) -> Result:
    return Result(
        row=row, id=f"opp_{row}", outcome=Outcome.UNCHANGED, attempts=0, at=at(seconds),
        reason=reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("results", "kind", "advice"),
    [
        (
            [updated(1, 1), conflict(2, 2)],
            "mixed",
            "with what conflicts. Look at them, then try them again with Mode.RESUME and",
        ),
        (
            [failed(1, 1), conflict(2, 2)],
            "bad",
            "look at the conflicts. Fix that file and run it, or try again with Mode.RESUME and",
        ),
        ([failed(1, 1), failed(2, 2)], "bad", ": fix that file, then run it."),
    ],
)
def test_advice_tells_what_to_do_about_conflicts(
    tmp_path: Path, results: list[Result], kind: str, advice: str
) -> None:
    """A conflict is a row that did not go through, to look at before it is tried again."""
    said = verdict(read_history(run_directory(tmp_path / "a.run", results)))
    assert said.kind == kind
    assert said.title.endswith("did not go through.")
    assert advice in said.advice


def test_conflicts_are_in_every_part_of_the_report(tmp_path: Path) -> None:
    """The report counts the conflicts, gives their cause, charts them and lists them."""
    results = [updated(1, 1), conflict(2, 2), conflict(3, 3, "Y")]
    directory = run_directory(tmp_path / "a.run", results, [sample(5)])
    text = text_of(directory)
    for expected in (
        "2 did not go through",
        "conflict 2 66.7 % the task is not as the row expects it, or was not seen; nothing",
        "2 conflict changed_since title is X now for example row 2, task opp_2",
        "Settled rows: 1 updated, 2 conflict.",
        "Outcome all conflict",
    ):
        assert expected in text
    html = (directory / "report.html").read_text()
    assert "fill: var(--conflict)" in html
    assert '[3,"opp_3","conflict","changed_since: title is Y now","",0]' in html


@pytest.mark.parametrize(
    ("reasons", "meaning"),
    [
        ([None], "unchanged 1 50.0 % the row holds nothing to change; nothing was sent"),
        (
            ["already", "already"],
            "unchanged 2 66.7 % the task already was as the row asks; nothing was sent",
        ),
        (
            ["already", "already", None],
            "unchanged 3 75.0 % nothing was sent: for 2 rows, the task already was as the row asks,"
            " and 1 row holds nothing to change",
        ),
    ],
)
def test_rows_that_were_right_already_are_told_apart(
    tmp_path: Path, reasons: list[str | None], meaning: str
) -> None:
    """The report tells tasks that were right already from rows with nothing to change."""
    results = [unchanged(n, 1, reason) for n, reason in enumerate(reasons, 2)]
    # A row that was right once, and was sent later, counts no more.
    results = [unchanged(1, 0, "already"), updated(1, 1), *results]
    text = text_of(run_directory(tmp_path / "a.run", results, rows=len(reasons) + 1))
    assert meaning in text


def test_verdict_mentions_mismatched_values(tmp_path: Path) -> None:
    """The verdict mentions tasks that came back with other values than were sent."""
    results = [{"row": 1, "id": "a", "outcome": "updated", "attempts": 1, "at": at(1),
                "mismatches": {"title": {"sent": "a", "returned": "b"}}}]  # fmt: skip
    text = text_of(run_directory(tmp_path / "a.run", results))
    assert "The one row is done. But 1 Task came back with other values than were sent" in text


def test_path_without_run_is_refused(tmp_path: Path) -> None:
    """A report is refused where there is no run, or where it cannot be read or written."""
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunDirectoryError, match="is a file"):
        write_report(tmp_path / "file")
    with pytest.raises(RunDirectoryError, match="there is no run"):
        write_report(tmp_path / "empty")
    directory = run_directory(tmp_path / "a.run", [updated(1, 1)])
    with pytest.raises(ConfigError, match="can't be written"):
        write_report(directory, tmp_path / "none" / "a.html")
    (directory / "results.jsonl").write_text("what\n")
    with pytest.raises(JournalError, match="not a result"):
        write_report(directory)
    (directory / "summary.json").write_text("{}")
    with pytest.raises(RunDirectoryError, match="was not written by bulkupdate"):
        write_report(directory)


def test_report_of_a_program_can_go_to_a_device(tmp_path: Path) -> None:
    """A report goes to a device without replacing it, and a full device is an error."""
    directory = run_directory(tmp_path / "a.run", [updated(1, 1)])
    assert write_report(directory, "/dev/null") == Path("/dev/null")
    with pytest.raises(ConfigError, match="/dev/full can't be written: No space left on device"):
        write_report(directory, "/dev/full")
    assert Path("/dev/full").is_char_device()


def test_runs_files_are_never_replaced(tmp_path: Path) -> None:
    """The report replaces no file of the run, and it writes to the target of a link."""
    directory = run_directory(tmp_path / "a.run", [updated(1, 1)])
    log = (directory / "results.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="is a file of a run"):
        write_report(directory, directory / "results.jsonl")
    assert (directory / "results.jsonl").read_bytes() == log
    other = run_directory(tmp_path / "b.run", [updated(1, 1)])
    with pytest.raises(ConfigError, match="is a file of a run"):
        write_report(directory, other / "report.html")
    target, link = tmp_path / "target.html", tmp_path / "link.html"
    target.touch(0o640)
    target.chmod(0o640)
    link.symlink_to(target)
    write_report(directory, link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert "The one row is done." in target.read_text()
    assert write_report(directory, tmp_path / "new.html").stat().st_mode & 0o777 == 0o600


def test_sandbox_trial_is_labelled_and_kept_apart() -> None:
    """The report of a trial shows the sandbox, and its run is resumed nowhere else."""
    Path("edits.csv").write_text("id,done\nopp_1,yes\n")
    assert bulkupdate("run", "edits.csv", "--sandbox", "--report").returncode == 0
    text = _Text(Path("edits.run/report.html").read_text()).text
    assert "This was a trial on the sandbox: nothing has reached lemlist." in text
    assert "edits.csv → the sandbox" in text
    assert "lemlist has" not in text.replace("nothing has reached lemlist", "")
    Path("wrong.csv").write_text("id,done\nopp_1,maybe\n")
    bulkupdate("run", "wrong.csv", "--sandbox", "--report")
    wrong = _Text(Path("wrong.run/report.html").read_text()).text
    assert "This was a trial on the sandbox" in wrong
    with serving("--unknown-id", "create") as sandbox:
        done = bulkupdate("run", "edits.csv", "--resume", **sandbox.environment)
        assert done.returncode == 2
        assert "used the sandbox, and this command uses http://" in done.stderr
        assert bulkupdate("run", "edits.csv", "--overwrite", **sandbox.environment).returncode == 0
        back = bulkupdate("run", "edits.csv", "--resume", "--sandbox")
        assert "this command uses the sandbox" in back.stderr


def test_undecodable_file_name_is_still_reported() -> None:
    """An input whose name is not UTF-8 is sent and reported all the same."""
    name = os.fsdecode(b"z\xff.csv")
    Path(name).write_text("id,done\nopp_1,yes\n")
    done = bulkupdate("run", name, "--sandbox", "--report")
    assert done.returncode == 0, done.stderr
    assert "z\\udcff.csv" in Path(os.fsdecode(b"z\xff.run"), "report.html").read_text()


def test_next_session_removes_the_old_report() -> None:
    """A session without a report removes the report of the session before."""
    Path("edits.csv").write_text("id,done\nopp_1,yes\nopp_2,yes\n")
    with serving("--unknown-id", "create") as sandbox:
        flags = ("run", "edits.csv")
        bulkupdate(*flags, "--first", "1", "--report", **sandbox.environment)
        assert Path("edits.run/report.html").exists()
        assert Path("edits.run/changes.csv").exists()
        bulkupdate(*flags, "--resume", **sandbox.environment)
    assert not Path("edits.run/report.html").exists()
    assert not Path("edits.run/changes.csv").exists()


def test_late_rows_belong_to_killed_session(tmp_path: Path) -> None:
    """Rows that a killed session settled after its last sample belong to that session."""
    results = [updated(1, 3), updated(2, 6.5), updated(3, 7.4), updated(4, 9.1), updated(5, 61)]
    samples = [sample(5), sample(65)]  # from 0 to 5 s, and from 60 to 65 s
    history = read_history(run_directory(tmp_path / "a.run", results, samples))
    assert [began for began, _ in history.sessions] == pytest.approx([0, 9.1])
    assert history.seconds == pytest.approx(14.1)


def test_short_pause_between_sessions_is_left_out(tmp_path: Path) -> None:
    """The history leaves out a short pause between sessions as well."""
    results = [updated(1, 1), updated(2, 4), updated(3, 12)]
    samples = [sample(5), sample(15)]  # from 0 to 5 s, and from 10 to 15 s
    history = read_history(run_directory(tmp_path / "a.run", results, samples))
    assert history.seconds == pytest.approx(10)
    assert len(history.sessions) == 2


def test_run_without_results_has_a_report(tmp_path: Path) -> None:
    """A run that has settled no row has a report."""
    text = text_of(run_directory(tmp_path / "a.run", [], rows=3, state=State.RUNNING))
    assert "0 of 3 rows done, 3 not tried" in text
    assert "Over time" not in text


def test_missing_report_library_sends_nothing(
    tmp_path: Path,
) -> None:
    """Without the report's libraries, the run sends nothing and names what to install."""
    without = tmp_path / "without"
    without.mkdir()
    (without / "matplotlib.py").write_text("raise ImportError('no such luck')")
    Path("edits.csv").write_text("id,done\nopp_1,yes\n")
    done = bulkupdate("run", "edits.csv", "--sandbox", "--report", PYTHONPATH="without")
    assert done.returncode == 2
    assert "pip install jinja2 matplotlib" in done.stderr
    assert not Path("edits.run").exists()


def test_failing_report_keeps_the_runs_outcome(tmp_path: Path) -> None:
    """A report that fails or is interrupted leaves the state of the run as it was."""
    Path("edits.csv").write_text("id,done\nopp_none,yes\n")
    broken = tmp_path / "broken" / "sitecustomize.py"
    broken.parent.mkdir()
    broken.write_text(
        "import bulkupdate.report.page as page\n"
        "def fail(history): raise ZeroDivisionError\n"
        "page.page = fail\n"
    )
    slow = tmp_path / "slow" / "sitecustomize.py"
    slow.parent.mkdir()
    slow.write_text(
        "import os, signal, bulkupdate.report.page as page\n"
        "page.page = lambda history: os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    with serving() as sandbox:
        for path, expected in (
            (broken, "no report: ZeroDivisionError()"),
            (slow, "no report (SIGTERM)"),
        ):
            done = bulkupdate(
                "run", "edits.csv", "--report", "--json", "--overwrite",
                PYTHONPATH=str(path.parent), **sandbox.environment,
            )  # fmt: skip
            assert done.returncode == 1, done.stderr
            assert json.loads(done.stdout)["state"] == "finished"
            assert f"error: {expected}" in done.stderr
            assert "once it is fixed: " in done.stderr


def test_report_is_written_in_any_locale(tmp_path: Path) -> None:
    """The report is written in UTF-8 in any locale."""
    run_directory(tmp_path / "a.run", [updated(1, 1)])
    done = bulkupdate("report", "a.run", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr
    assert "✓" in Path("a.run/report.html").read_text(encoding="utf-8")


def test_report_never_replaces_the_input(tmp_path: Path) -> None:
    """The report replaces neither the run's input nor a directory."""
    Path("edits.csv").write_text("id,done\nopp_1,yes\n")
    directory = run_directory(tmp_path / "a.run", [updated(1, 1)])
    with pytest.raises(ConfigError, match="is the run's input"):
        write_report(directory, Path("edits.csv"))
    with pytest.raises(ConfigError, match="can't be written: Is a directory"):
        write_report(directory, Path())
    assert Path("edits.csv").read_text().startswith("id,done")


@pytest.mark.parametrize("seconds", [2.01, 4.3, 179.9, 200.1, 1000])
def test_no_chart_part_is_too_short(tmp_path: Path, seconds: float) -> None:
    """No part of a chart is shorter than two seconds, so that no rate is too high."""
    rows = int(seconds * 10)
    results = [updated(n, n / 10) for n in range(1, rows + 1)]
    directory = run_directory(tmp_path / "a.run", results, [sample(seconds, seconds=seconds)])
    history = read_history(directory)
    assert len(history.points) <= 90
    assert min(point.seconds for point in history.points) >= 2
    assert history.points[-1].start + history.points[-1].seconds == pytest.approx(history.seconds)
    rates = [sum(point.outcomes.values()) / point.seconds for point in history.points]
    assert max(rates) <= 10.6


def test_odd_samples_do_no_harm(tmp_path: Path) -> None:
    """Samples without length or with a wrong time do no harm."""
    samples = [sample(1, seconds=0.0, requests=3), {**sample(2), "at": "what"}]
    history = read_history(run_directory(tmp_path / "a.run", [], samples, rows=1))
    assert history.points == []


def test_unwritable_report_keeps_exit_code() -> None:
    """A report that cannot be written leaves the exit code of the run as it was."""
    Path("edits.csv").write_text("id,done\nopp_1,yes\n")
    flags = ("run", "edits.csv", "--sandbox", "--report")
    assert bulkupdate(*flags).returncode == 0
    Path("edits.run/report.html").unlink()
    Path("edits.run/report.html").mkdir()
    done = bulkupdate(*flags, "--resume")
    assert done.returncode == 0
    assert "note: edits.run/report.html is the report of an earlier session" in done.stderr
    assert "error: no report: edits.run/report.html can't be written" in done.stderr


def test_report_counts_rows_by_rule(tmp_path: Path) -> None:
    """The rows of each rule are counted by outcome, and a rule's name is shown as text."""
    evil = "<b>Ben</b> is away\u202e"
    results = [
        replaced(updated(1, 1), rule=evil),
        replaced(updated(2, 2), rule=evil),
        replaced(failed(3, 3), rule="Spread"),
        updated(4, 4),
    ]
    text = text_of(run_directory(tmp_path / "a.run", results))
    assert "By rule Rule updated failed <b>Ben</b> is away\\u202e 2 0 Spread 0 1 Why rows" in text


def test_report_without_rules_names_none(tmp_path: Path) -> None:
    """A run whose rows come from no rule has no part about rules."""
    assert "By rule" not in text_of(run_directory(tmp_path / "a.run", [updated(1, 1)]))


def test_report_of_many_rules_shows_the_first(tmp_path: Path) -> None:
    """After a hundred rules, the report gives the number of the others."""
    results = [replaced(updated(n, n), rule=f"rule {n}") for n in range(1, 103)]
    text = text_of(run_directory(tmp_path / "a.run", results))
    assert "rule 100 1 … and 2 more rules." in text
