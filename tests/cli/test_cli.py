"""The command line: flags in, exit code out. In a process of its own, over real HTTP."""

import base64
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.support.commands import (
    COMMAND,
    Serving,
    all_updated,
    bulkupdate,
    serving,
    start,
    summary_in,
    wait_for_results,
)

Write = Callable[..., Path]


@pytest.fixture
def sandbox() -> Iterator[Serving]:
    """A sandbox without a limit that takes any id."""
    with serving("--rate", "none", "--unknown-id", "create") as server:
        yield server


def edits(write: Write, count: int) -> Path:
    return write("edits.csv", "id,title", *(f"opp_{n},T{n}" for n in range(1, count + 1)))


@pytest.mark.slow
def test_successful_run_reports_on_stderr_alone(write: Write, sandbox: Serving) -> None:
    """A run without failures exits with 0 and writes its counts to stderr alone."""
    done = bulkupdate("run", edits(write, 20), "--rate", "none", **sandbox.environment)
    assert (done.returncode, done.stdout) == (0, "")
    assert all_updated(done.stderr, 20)


@pytest.mark.slow
def test_json_flag_prints_one_stdout_line(write: Write, sandbox: Serving) -> None:
    """`--json` prints the summary as one line on stdout, and nothing on stderr with `-q`."""
    path = edits(write, 3)
    done = bulkupdate("run", path, "--json", "-q", "--rate", "none", **sandbox.environment)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert json.loads(done.stdout) == summary_in()


@pytest.mark.slow
def test_json_log_format_makes_every_line_json(write: Write, sandbox: Serving) -> None:
    """`--log-format json` makes every line of stderr a JSON event, errors included."""
    flags = ("--rate", "none", "--log-format", "json", "-vv")
    done = bulkupdate("run", edits(write, 3), *flags, **sandbox.environment)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert events[0]["event"] == "input"
    assert events[-1]["event"] == "summary"
    assert any("PATCH 'opp_1': 200" in event.get("message", "") for event in events)
    done = bulkupdate("run", "none.csv", *flags, **sandbox.environment)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["error"]


def test_check_names_row_field_and_cure() -> None:
    """`check` names the row, the field and the cure for every mistake in the broken sample."""
    done = bulkupdate("check", SAMPLES / "broken.csv")
    assert (done.returncode, done.stdout) == (2, "")
    for said in (
        "row 2 (line 3): id: is empty",
        "row 3 (line 4, 'opp two words'): id 'opp two words': has a blank",
        "assignedTo 'Jane Doe': has a blank",
        "assignedTo '<clear>': can't be cleared: leave the cell blank",
        "dueDate '2026-12-01': has no time of day: set --time 09:00, or write",
        "dueDate '2026-12-01T09:00:00': has no offset from UTC: add Z",
        "dueDate '01/12/2026 09:00': can be several dates: set --date-format '%d/%m/%Y %H:%M' or",
        "3 rows: priority: is not a priority: write 0, 1, 2, low",
        "'opp_eeb4b5afbd69125bf') 'urgent'; row 12 (line 13, 'opp_7bcb6ea934545c40f') '3'; row 17",
        "2 rows: done: is neither true nor false: write true",
        "row 15 (line 16, 'opp_de33d58cb7fc71e6d'): has 2 cells where the header has 7: add",
        "has 8 cells where the header has 7: put text with a delimiter or a line end in quotes",
        "18 problems in 16 rows of 18",
    ):
        assert said in done.stderr


def test_refused_file_sends_nothing_until_invalid_skipped() -> None:
    """A refused file sends nothing, and `--skip-invalid` sends its valid rows."""
    done = bulkupdate("run", SAMPLES / "broken.csv", "--sandbox", "--out", "b")
    assert done.returncode == 2
    assert "the sandbox saw 0 requests" in done.stderr
    assert Path("b/failed.csv").read_text().count("\n") == 17
    flags = ("--skip-invalid", "--overwrite", "--sandbox", "--out", "b")
    assert bulkupdate("run", SAMPLES / "broken.csv", *flags).returncode == 1
    assert summary_in("b")["counts"]["updated"] == 2


def test_dry_run_sends_and_leaves_nothing(write: Write) -> None:
    """A dry run shows the requests, sends none of them and leaves no run directory."""
    done = bulkupdate("run", edits(write, 3), "--dry-run")
    assert done.returncode == 0
    assert 'PATCH /tasks {"id":"opp_1","title":"T1"}' in done.stderr
    assert not Path("edits.run").exists()
    assert bulkupdate("run", SAMPLES / "broken.csv", "--dry-run").returncode == 2
    flags = ("--dry-run", "--skip-invalid")
    assert bulkupdate("run", SAMPLES / "broken.csv", *flags).returncode == 1


def test_check_prints_its_preview_as_json(write: Write) -> None:
    """`check --json -q` prints the preview as JSON on stdout and nothing on stderr."""
    done = bulkupdate("check", edits(write, 5), "--json", "-q")
    preview = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (preview["rows"], preview["edits"]) == (5, {"title": 5})


@pytest.mark.slow
def test_proxy_that_nobody_names_is_refused(write: Write) -> None:
    """Without one, the requests would go another way than their user thinks."""
    none = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), "")
    write("accounts.toml", "[acme]", 'api_key_env = "ACME_KEY"')
    for command in (("team",), ("accounts", "accounts.toml")):
        done = bulkupdate(*command, "--proxy", LEMLIST_API_KEY="k", ACME_KEY="k", **none)
        assert done.returncode == 2
        assert "--proxy: no proxy is named: set HTTPS_PROXY or ALL_PROXY, as in" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "none.csv"), "no API key"),
        (("run", "none.csv", "--sandbox"), "none.csv: there is no such file"),
        (("check", "."), ".: is a directory"),
        (("run", "e.csv", "--sandbox", "--resume", "--overwrite"), "choose one"),
        (
            ("run", "e.csv", "--sandbox", "--base-url", "https://x.example"),
            "leave out --base-url and --api-key-file",
        ),
        (("run", "e.csv", "--sandbox", "--retry-failed"), "--retry-failed needs --resume"),
        (("run", "e.csv", "--sandbox", "--changed-input"), "--changed-input needs --resume"),
        (("run", "e.csv", "--sandbox", "--give-up-after", "-1"), "number of seconds"),
        (("run", "e.csv", "--first", "0"), "--first"),
        (("run", "e.csv", "--max-failures", "none"), "write it as 100 or 5%"),
        (("run", "e.csv", "--max-failures", "0"), "1 or more rows"),
        (("run", "e.csv", "--sandbox", "--changed-key"), "--changed-key needs --resume"),
        (("run", "e.csv", "--rate", "fast"), "'fast' is not a rate: write it as 20/2s"),
        (("run", "e.csv", "--workers", "0"), "--workers"),
        (("run", "e.csv", "--workers", "99999999"), "--workers"),
        (("run", "e.csv", "--sandbox", "--drain-timeout", "nan"), "number of seconds"),
        (("run", "e.csv", "--sandbox", "--out", ""), "is not the name of a directory"),
        (("run", "e.csv", "--timeout", "0", "--sandbox"), "above 0"),
        (("run",), "Missing argument 'INPUT'"),
        (("sandbox", "--fault", "quake=0.5"), "known faults are 500, 503"),
        (("sandbox", "--fault", "500"), "write it as 500=0.1"),
        (("sandbox", "--outage", "5"), "write it as 10:60"),
        (("sandbox", "--latency", "x"), "could not convert"),
        (("sandbox", "--host", "0.0.0.0"), "--expose allows it"),  # noqa: S104 - refused
        (("sandbox", "--tasks", "none.csv"), "there is no such file"),
    ],
)
def test_wrong_usage_exits_2_with_clear_message(
    write: Write, arguments: tuple[str, ...], says: str
) -> None:
    """Wrong usage exits with 2 and a clear message, without a traceback or a run directory."""
    write("e.csv", "id,title", "a,b")
    done = bulkupdate(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("e.run").exists()


def test_sandbox_refuses_port_in_use(sandbox: Serving) -> None:
    """The sandbox exits with 2 when another process already uses its port."""
    port = sandbox.url.split(":")[2].removesuffix("/api")
    done = bulkupdate("sandbox", "--port", port)
    assert done.returncode == 2
    assert "can't serve on" in done.stderr


def test_key_is_never_sent_unencrypted(write: Write) -> None:
    """A run refuses to send the key to a remote host over plain HTTP, and exits with 2."""
    done = bulkupdate(
        "run", edits(write, 3), "--base-url", "http://example.com/api", LEMLIST_API_KEY="x"
    )
    assert done.returncode == 2
    assert "unencrypted: use https://" in done.stderr


@pytest.mark.slow
def test_wrong_key_stops_run_after_one_request(write: Write) -> None:
    """A wrong key stops a run after one request, and the right key resumes it."""
    path = edits(write, 40)
    with serving("--api-key", "right", "--rate", "none", "--unknown-id", "create") as server:
        flags = ("--base-url", server.url, "--rate", "none")
        done = bulkupdate("run", path, *flags, LEMLIST_API_KEY="wr0ng-k3y")
        assert done.returncode == 3
        assert "401 The authentication you supplied is incorrect" in done.stderr
        assert f"--base-url {server.url} --rate none --out edits.run --resume" in done.stderr
        assert summary_in()["counts"]["unprocessed"] == 39
        Path("key").write_text("right\n")
        Path("key").chmod(0o600)
        done = bulkupdate("run", path, *flags, "--resume", "--api-key-file", "key")
        assert done.returncode == 0
        server.process.send_signal(signal.SIGINT)
        _, said = server.process.communicate(timeout=20)
    assert "41 requests (200: 40, 401: 1)" in said


@pytest.mark.slow
def test_loudest_log_does_not_contain_key(write: Write) -> None:
    """A run with `-vv` leaves the key out of its output and its run directory."""
    key = "s3cr3t-k3y"
    with serving("--api-key", key, "--unknown-id", "create", "--fault", "500=0.3",
                 "--fault", "reset-after=0.2", "--rate", "none") as server:  # fmt: skip
        flags = ("--rate", "none", "-vv", "--max-attempts", "9")
        done = bulkupdate(
            "run", edits(write, 30), *flags, LEMLIST_API_KEY=key, LEMLIST_BASE_URL=server.url
        )
    everything = done.stderr + done.stdout
    everything += "".join(path.read_text() for path in Path("edits.run").iterdir())
    assert "server_error" in everything
    assert key not in everything
    assert base64.b64encode(f":{key}".encode()).decode() not in everything


@pytest.mark.slow
def test_standard_input_is_kept_for_resuming(sandbox: Serving) -> None:
    """A run from standard input keeps a copy of it, and can be resumed from that copy."""
    text = "id,title\nopp_1,A\nopp_2,B\n"
    done = bulkupdate("run", "-", "--rate", "none", stdin=text, **sandbox.environment)
    assert done.returncode == 0
    assert Path("stdin.run/stdin.csv").read_text() == text
    assert summary_in("stdin.run")["input"]["path"] == "-"
    flags = ("--resume", "--out", "stdin.run", "--rate", "none")
    done = bulkupdate("run", "stdin.run/stdin.csv", *flags, **sandbox.environment)
    assert all_updated(done.stderr, 2)
    done = bulkupdate("run", "-", "--resume", "--rate", "none", stdin=text, **sandbox.environment)
    assert (done.returncode, summary_in("stdin.run")["requests"]) == (0, 0)
    done = bulkupdate("check", "-", stdin='{"id": "a", "done": true}\n')
    assert done.returncode == 0
    assert "stdin: JSONL" in done.stderr
    done = bulkupdate("run", "-", "--sandbox", "--out", "none.run", stdin="")
    assert (done.returncode, "the file is empty" in done.stderr) == (2, True)
    assert not Path("none.run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("either_loop")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_drains_and_prints_resume_command(
    write: Write, sandbox: Serving, number: signal.Signals, code: int
) -> None:
    """A signal makes a run settle its open attempts and print the command that resumes it."""
    path = edits(write, 2000)
    process = start("run", path, "--rate", "200/1s", **sandbox.environment)
    wait_for_results(20)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    summary = summary_in()
    assert process.returncode == code
    assert (summary["state"], summary["exit_code"]) == ("interrupted", code)
    assert f"interrupted by {number.name}" in said
    assert f"continue with: bulkupdate run {path} --rate 200/1s --out edits.run --resume" in said
    done = bulkupdate("run", path, "--rate", "none", "--resume", **sandbox.environment)
    assert done.returncode == 0
    assert summary_in()["requests"] == summary["counts"]["unprocessed"]


@pytest.mark.slow
@pytest.mark.usefixtures("either_loop")
def test_second_signal_ends_run_at_once(write: Write) -> None:
    """A second signal ends a run within a second and keeps every settled row on disk."""
    path = edits(write, 500)
    with serving("--rate", "none", "--unknown-id", "create", "--fault", "hang=0.1") as server:
        process = start("run", path, "--rate", "none", **server.environment)
        wait_for_results(5)
        time.sleep(0.3)  # until every worker hangs
        process.send_signal(signal.SIGINT)
        # Before it is told, a second one would be one with the first.
        assert process.stderr is not None
        assert any("ends the run at once" in line for line in process.stderr)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert time.monotonic() - begun < 1
    lines = Path("edits.run/results.jsonl").read_text().splitlines()
    summary = summary_in()
    assert process.returncode == 130
    assert summary["state"] == "interrupted"
    assert summary["counts"]["updated"] == len([json.loads(line) for line in lines])


@pytest.mark.slow
@pytest.mark.usefixtures("either_loop")
def test_overwriting_that_never_began_says_so(write: Write) -> None:
    """A run that is ended before it replaces an earlier one does not offer to resume that."""
    assert bulkupdate("run", edits(write, 3), "--sandbox").returncode == 0
    process = subprocess.Popen(
        [*COMMAND, "run", "-", "--out", "edits.run", "--overwrite", "--sandbox"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not Path("edits.run/stdin.part").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    # Of two signals that wait, the kernel delivers the one with the lower number first.
    time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    # Its input ends only then.
    assert process.wait(20) == 143
    _, stderr = process.communicate()
    assert "nothing was sent" in stderr
    assert "--resume continues" not in stderr
    assert summary_in()["counts"]["updated"] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("either_loop")
def test_signal_ends_wait_for_standard_input() -> None:
    """A signal ends a run that waits for standard input and leaves no run directory."""
    process = subprocess.Popen(
        [*COMMAND, "run", "-", "--sandbox"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not Path("stdin.run/stdin.part").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    _, said = process.communicate()
    assert "interrupted by SIGINT: nothing was sent" in said
    assert not Path("stdin.run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("either_loop")
def test_killed_run_keeps_every_settled_row(write: Write, sandbox: Serving) -> None:
    """A resumed run, killed before, keeps every settled row and sends only the others."""
    path = edits(write, 1000)
    process = start("run", path, "--rate", "300/1s", **sandbox.environment)
    wait_for_results(30)
    process.kill()
    process.communicate(timeout=20)
    assert summary_in()["state"] == "running"
    settled = Path("edits.run/results.jsonl").read_bytes().count(b"\n")
    done = bulkupdate("run", path, "--rate", "none", "--resume", **sandbox.environment)
    assert done.returncode == 0
    summary = summary_in()
    assert (summary["requests"], summary["counts"]["updated"]) == (1000 - settled, 1000)


@pytest.mark.slow
def test_run_directory_in_use_is_refused(write: Write, sandbox: Serving) -> None:
    """A run exits with 4 when another run still uses its run directory."""
    path = edits(write, 1000)
    process = start("run", path, "--rate", "100/1s", **sandbox.environment)
    wait_for_results(1)
    done = bulkupdate("run", path, "--resume", **sandbox.environment)
    process.terminate()
    process.communicate(timeout=20)
    assert (done.returncode, "in use by another run" in done.stderr) == (4, True)


@pytest.mark.slow
def test_terminal_shows_a_progress_bar(write: Write, sandbox: Serving) -> None:
    """A run at a terminal shows a progress bar with the rows per second."""
    path = edits(write, 30)
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", str(path), "--rate", "60/1s"],
        stdin=subprocess.DEVNULL,
        stderr=terminal,
        env={**os.environ, **sandbox.environment, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(main, 4096):
            shown += chunk
    except OSError:
        pass  # a terminal ends so
    os.close(main)
    assert process.wait(20) == 0
    assert b"rows/s" in shown
    assert "━".encode() in shown
    assert all_updated(shown.decode(), 30)


@pytest.mark.slow
def test_closed_stderr_pipe_does_not_stop_run(write: Write, sandbox: Serving) -> None:
    """A run sends every row even if the reader of its stderr has closed the pipe."""
    path = edits(write, 5)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        done = subprocess.run(
            [*COMMAND, "run", str(path), "--rate", "none"],
            stderr=broken,
            env={**os.environ, **sandbox.environment},
            timeout=20,
            check=False,
        )
    assert done.returncode == 0
    assert summary_in()["counts"]["updated"] == 5


@pytest.mark.slow
def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    """`check` takes as much memory for 1,000 rows as for 100,000, where growth would show."""
    peaks = []
    for count in (1000, 100_000):
        path = tmp_path / f"{count}.csv"
        with path.open("w") as file:
            file.write("id,title\n")
            file.writelines(f"opp_{n:017},Call lead {n}\n" for n in range(count))
        code = (
            "import resource, sys; from bulkupdate.cli import cli;"
            f"cli(['check', {str(path)!r}, '-q'], standalone_mode=False)"
        )
        peak = "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        done = subprocess.run(
            [sys.executable, "-c", f"import atexit; atexit.register(lambda: {peak});{code}"],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 12_000


@pytest.mark.parametrize("where", ["flag", "environment"])
def test_empty_base_url_is_refused(write: Write, where: str) -> None:
    """An empty base URL exits with 2 and does not select the real API."""
    flags = ("--base-url", "") if where == "flag" else ()
    environ = {"LEMLIST_API_KEY": "x"} | ({} if flags else {"LEMLIST_BASE_URL": ""})
    done = bulkupdate("run", edits(write, 1), *flags, **environ)
    assert (done.returncode, "must look like" in done.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", "2>&-", ">&- 2>&-"])
def test_closed_file_descriptors_do_not_affect_run(write: Write, closed: str) -> None:
    """A run sends every row when stdin, stdout or stderr is closed at its start."""
    path = edits(write, 3)
    command = f"{sys.executable} -m bulkupdate run {path} --sandbox --rate none {closed}"
    assert subprocess.run(["bash", "-c", command], timeout=20, check=False).returncode == 0
    assert summary_in()["counts"]["updated"] == 3


@pytest.mark.slow
def test_second_sigterm_keeps_first_exit_code(write: Write) -> None:
    """A second SIGTERM ends the run with the exit code of the first, 143."""
    path = edits(write, 50)
    with serving("--rate", "none", "--unknown-id", "create", "--fault", "hang=1") as server:
        process = start("run", path, "--rate", "none", **server.environment)
        while not Path("edits.run/results.jsonl").exists():
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 143
    assert summary_in()["exit_code"] == 143
    assert "--resume continues edits.run" in said


@pytest.mark.slow
def test_closed_terminal_ends_run_in_order(write: Write, sandbox: Serving) -> None:
    """A closed terminal ends a run with 129 and the state `interrupted`."""
    path = edits(write, 1000)
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", str(path), "--rate", "200/1s"],
        stdin=subprocess.DEVNULL,
        stderr=terminal,
        env={**os.environ, **sandbox.environment, "TERM": "xterm"},
    )
    os.close(terminal)
    wait_for_results(20)
    os.close(main)
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 129
    assert summary_in()["state"] == "interrupted"


@pytest.mark.slow
def test_nohup_run_survives_closed_terminal(write: Write, sandbox: Serving) -> None:
    """A run under `nohup` ignores SIGHUP and finishes with 0."""
    edits(write, 300)
    command = ["nohup", *COMMAND, "run", "edits.csv", "--rate", "300/1s", "-q"]
    variables = {**os.environ, **sandbox.environment}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=variables)
    wait_for_results(20)
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 0


@pytest.mark.slow
def test_printed_command_sends_the_remaining_rows(write: Write, sandbox: Serving) -> None:
    """The command that a run with `--first` prints sends the remaining rows."""
    edits(write, 20)
    done = bulkupdate("run", "edits.csv", "--first", "5", **sandbox.environment)
    assert done.returncode == 0
    found = re.search(r"continue with: bulkupdate (.*)", done.stderr)
    assert found is not None
    assert bulkupdate(*shlex.split(found[1]), **sandbox.environment).returncode == 0
    assert summary_in()["counts"]["updated"] == 20


def test_bug_prints_one_line_exits_3(write: Write) -> None:
    """A bug prints one line without a traceback and exits with 3."""
    path = edits(write, 3)
    code = (
        "import sys, bulkupdate.plan.preview as p;"
        "p.Inspection.add = lambda *_: 1/0;"
        f"sys.argv = ['bulkupdate', 'run', {str(path)!r}, '--sandbox'];"
        "from bulkupdate.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 3
    assert done.stderr == (
        "error: a bug, please report it: ZeroDivisionError: division by zero (-vv shows where)\n"
    )


def test_unknown_command_suggests_a_similar_one() -> None:
    """An unknown command exits with 2 and suggests a command with a similar name."""
    done = bulkupdate("chekc")
    assert done.returncode == 2
    assert "No such command 'chekc'. Did you mean 'check'?" in done.stderr
