"""Tests of the command `export`: what it prints, writes and ends with."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkupdate.sandbox.team import WEBHOOKS
from tests.support.commands import (
    COMMAND,
    Serving,
    bulkupdate,
    environment,
    serving,
    serving_two,
    start,
)
from tests.support.hostile import hostile

#: Each starts processes.
pytestmark = pytest.mark.slow

BENS = "ben.keller@example.com"


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are not spaced, but where a test asks for it."""
    monkeypatch.setenv("BULKUPDATE_RATE", "none")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Serving]:
    """A sandbox with the made-up team, which no test here changes."""
    with serving("--rate", "none") as server:
        yield server


def rows(path: str) -> list[str]:
    """The lines of a CSV file that begin with an id."""
    return re.findall(r"^opp_\w+", Path(path).read_text("utf-8-sig"), re.MULTILINE)


def test_export_writes_a_file_that_run_takes(sandbox: Serving) -> None:
    """The file holds every pending task, stderr counts them, and `check` takes it."""
    done = bulkupdate("export", "-o", "tasks.csv", **sandbox.environment)
    assert (done.returncode, done.stdout) == (0, "")
    assert "tasks.csv: 417 tasks, 7 requests\n" in done.stderr
    assert "left blank, so that a run leaves them alone: title 5, message 1 (opp_" in done.stderr
    assert len(rows("tasks.csv")) == 417
    checked = bulkupdate("check", "tasks.csv")
    assert checked.returncode == 0
    assert "417 rows, 417 tasks" in checked.stderr
    assert "CLEARS" not in checked.stderr


@pytest.mark.parametrize("suffix", ["jsonl", "xlsx"])
def test_suffix_of_the_file_decides_its_format(sandbox: Serving, suffix: str) -> None:
    """JSONL and workbooks are written by the suffix, and `check` takes them."""
    done = bulkupdate("export", "--output", f"tasks.{suffix}", **sandbox.environment)
    assert (done.returncode, done.stdout) == (0, "")
    assert "417 rows, 417 tasks" in bulkupdate("check", f"tasks.{suffix}").stderr


def test_quiet_export_says_nothing(sandbox: Serving) -> None:
    """With -q, stderr is empty, also where the limit has to be guessed."""
    quiet, environ = ("export", "-q", "--type", "phone"), sandbox.environment
    done = bulkupdate(*quiet, **environ, BULKUPDATE_RATE="auto")
    assert (done.returncode, done.stderr) == (0, "")
    done = bulkupdate("export", "--type", "phone", **environ, BULKUPDATE_RATE="auto")
    assert done.stderr.startswith("answers do not name the limit: keeping to 20/2s\n")


def test_stdout_gets_csv_without_a_mark(sandbox: Serving) -> None:
    """Without a file, CSV goes to stdout, and everything for people to stderr."""
    done = bulkupdate("export", "--assigned-to", BENS, **sandbox.environment)
    assert done.returncode == 0
    assert done.stdout.startswith("id,assignedTo,dueDate")
    assert "stdout: 83 tasks of 83 listed" not in done.stderr
    assert "stdout: 83 tasks, " in done.stderr
    also = bulkupdate("export", "--assigned-to", "Ben Keller", "-o", "-", **sandbox.environment)
    assert also.stdout == done.stdout


def test_filters_name_what_is_selected(sandbox: Serving) -> None:
    """Owners, types, campaigns and days are joined by and; one flag several times by or."""
    flags = ["--assigned-to", BENS, "--assigned-to", "Emil Novak", "--type", "manual"]
    flags += ["--due-from", "2026-01-06", "--due-to", "2026-01-07", "--timezone", "Europe/Paris"]
    done = bulkupdate("export", *flags, "-o", "some.csv", **sandbox.environment)
    assert done.returncode == 0, done.stderr
    lines = Path("some.csv").read_text("utf-8-sig").splitlines()[1:]
    assert len(lines) > 3
    assert all(re.search(r",(ben.keller|emil.novak)@example.com,", line) for line in lines)
    assert all(",manual,pending," in line for line in lines)
    assert all(re.search(r",2026-01-0[67]T[\d:.]+\+01:00,", line) for line in lines)
    assert re.search(r"some.csv: \d+ tasks of \d+ listed", done.stderr)
    done = bulkupdate("export", "--campaign", "cam_none", "-o", "no.csv", **sandbox.environment)
    assert (done.returncode, rows("no.csv")) == (0, [])


@pytest.mark.parametrize(
    "flags", ["--type Phone", "--campaign cam_0", "--due-from 2099-01-01", "--overdue --type x"]
)
def test_filters_that_select_nothing_are_pointed_out(sandbox: Serving, flags: str) -> None:
    """A file without tasks may be right, and may be a filter that is spelt wrong."""
    done = bulkupdate("export", *flags.split(), "-o", "none.csv", **sandbox.environment)
    assert done.returncode == 0
    assert "none.csv: 0 tasks" in done.stderr
    assert "no pending task is as the filters ask: look at their spelling" in done.stderr


def test_server_that_ignores_filters_gives_the_same_file(sandbox: Serving) -> None:
    """Each task is judged here too."""
    flags = ("--assigned-to", BENS, "--overdue")
    with serving("--rate", "none", "--ignore-filter", "all") as ignoring:
        first = bulkupdate("export", *flags, **ignoring.environment)
    second = bulkupdate("export", *flags, **sandbox.environment)
    assert first.stdout == second.stdout != ""
    assert " of 417 listed" in first.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--assigned-to ben", "--assigned-to 'ben' is no member of the team: did you mean Ben"),
        ("--assigned-to=", "--assigned-to '' is empty: enter an e-mail address, a name or an id"),
        ("--due-from 2026-02-30", "'2026-02-30' is not a day: write it as 2026-01-31"),
        ("--due-from 2026-02-02 --due-to 2026-02-01", "--due-from is after --due-to"),
        ("--timezone Mars/Base", "Mars/Base"),
        ("-o tasks.txt", "tasks.txt: give it one of the suffixes .csv, .jsonl, .xlsx"),
        ("-o none/tasks.csv", "--output none/tasks.csv can't be written: check that none exists"),
        ("-o there.csv", "there.csv is there already: --overwrite replaces it"),
        ("-o link.csv --overwrite", "--output link.csv is a link: name a file"),
    ],
)
def test_wrong_flag_is_refused(sandbox: Serving, flags: str, says: str) -> None:
    """A wrong flag exits with 2, names what is right, and writes nothing."""
    Path("there.csv").write_text("mine")
    Path("link.csv").symlink_to("there.csv")
    done = bulkupdate("export", *flags.split(), **sandbox.environment)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in Path().iterdir()) == ["link.csv", "there.csv"]
    assert Path("there.csv").read_text() == "mine"


def test_overwrite_replaces_a_file(sandbox: Serving) -> None:
    """With --overwrite, a file that is there is replaced."""
    Path("there.csv").write_text("mine")
    done = bulkupdate("export", "-o", "there.csv", "--overwrite", **sandbox.environment)
    assert done.returncode == 0
    assert len(rows("there.csv")) == 417


def test_lists_that_end_in_other_ways_give_the_same_file(sandbox: Serving) -> None:
    """Small pages, the last page again and a 404 after it change nothing."""
    expected = bulkupdate("export", **sandbox.environment).stdout
    for flags in ("--page-size 50 --after-last repeat", "--page-size 139 --after-last 404"):
        with serving("--rate", "none", *flags.split()) as other:
            assert bulkupdate("export", **other.environment).stdout == expected != ""


@pytest.mark.parametrize("answer", ["402", "html"])
def test_closed_team_leaves_ids(answer: str) -> None:
    """Without the team, tasks are exported with the ids of their owners, and that is said."""
    with serving("--rate", "none", "--closed", f"team={answer}") as server:
        done = bulkupdate("export", "-o", "tasks.csv", **server.environment)
        assert done.returncode == 0
        assert "the team can't be read: only ids of users work" in done.stderr
        assert len(rows("tasks.csv")) == 417
        assert BENS not in Path("tasks.csv").read_text()
        done = bulkupdate("export", "--assigned-to", BENS, **server.environment)
    assert done.returncode == 2
    assert "the team can't be read: enter the id of a user (usr_…)" in done.stderr


def test_old_team_is_asked_for_its_users() -> None:
    """Where the team tells only ids, owners have names and can be named all the same."""
    with serving("--rate", "none", "--team-version", "1") as server:
        done = bulkupdate("export", "--assigned-to", BENS, **server.environment)
    assert done.returncode == 0
    assert done.stdout.count(f",{BENS},") == 83


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "error: the key is refused: unauthorized: 401 no\n"),
        (402, "error: the key is refused: payment_required: 402 no\n"),
        (404, "error: tasks can't be read: not_found: 404 no\n"),
    ],
)
def test_tasks_that_can_not_be_read_exit_with_3(status: int, says: str) -> None:
    """A plan without the route, or a wrong key, exits with 3 and leaves no file."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"
    with hostile(lambda: [head.encode()]) as server:
        done = bulkupdate(
            "export", "-o", "tasks.csv", "--base-url", server.url, LEMLIST_API_KEY="k"
        )
    assert done.returncode == 3
    assert done.stderr.endswith(says)
    assert [*Path().iterdir()] == []


@pytest.mark.slow
def test_web_page_in_the_place_of_tasks_exits_with_3() -> None:
    """A 200 with the web app's page is no empty team."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"
    with hostile(lambda: [page]) as server:
        done = bulkupdate("export", "--base-url", server.url, LEMLIST_API_KEY="k")
    assert (done.returncode, done.stdout) == (3, "")
    assert "tasks can't be read: bad_list: 200 4 times: a 200 that is not JSON" in done.stderr


def test_team_without_a_task_exits_with_3_unless_accepted() -> None:
    """A list without a task is an error, and the message names the flag that accepts it."""
    Path("none.jsonl").write_text('{"_id": "opp_1", "type": "manual", "status": "completed"}\n')
    with serving("--rate", "none", "--tasks", "none.jsonl") as server:
        done = bulkupdate("export", "-o", "tasks.csv", **server.environment)
        assert done.returncode == 3
        assert "the server lists no task: if this is right, --allow-few accepts it" in done.stderr
        assert not Path("tasks.csv").exists()
        done = bulkupdate("export", "-o", "tasks.csv", "--allow-few", **server.environment)
        assert done.returncode == 0


@pytest.mark.parametrize("flags", ["", pytest.param("--fault malformed=1", marks=pytest.mark.slow)])
def test_webhooks_are_nowhere(flags: str) -> None:
    """URLs of webhooks are in no output and in no file, also where the team can't be read."""
    with serving("--rate", "none", *flags.split()) as server:
        for command in ("export -o tasks.csv", "export", "team -o team.csv", "team"):
            more = ("--give-up-after", "0") if flags else ()
            done = bulkupdate(*command.split(), *more, **server.environment)
            assert done.returncode == (3 if flags else 0)
            assert "hooks.example.com" not in done.stdout + done.stderr
    assert WEBHOOKS[0].startswith("https://hooks.example.com")
    for path in Path().iterdir():
        assert b"hooks.example.com" not in path.read_bytes()


@pytest.mark.usefixtures("either_loop")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_signal_in_the_middle_leaves_no_file(number: signal.Signals, code: int) -> None:
    """A signal while pages are read ends the command with its exit code, and leaves nothing."""
    with serving("--rate", "none", "--page-size", "1", "--latency", "20", "--log", "seen.log") as (
        server
    ):
        process = start("export", "-o", "tasks.csv", "--rate", "none", **server.environment)
        while not Path("seen.log").exists() or Path("seen.log").read_text().count("/tasks") < 3:
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == code
    assert f"error: interrupted by {number.name}\n" in said
    assert [path.name for path in Path().iterdir()] == ["seen.log"]


def ended(to: str, server: Serving) -> tuple[int, str]:
    """The exit code and stderr of an export whose stdout goes somewhere, in bash."""
    line = f"{' '.join(COMMAND)} export {to}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**server.environment),
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("to", "why"), [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
def test_unwritable_stdout_exits_with_3(sandbox: Serving, to: str, why: str) -> None:
    """An export that is lost exits with 3, and a line on stderr says why."""
    code, said = ended(to, sandbox)
    assert code == 3
    assert said.count(f"error: stdout can't be written: {why}\n") == 1
    assert "a bug" not in said
    assert "tasks," not in said


def test_reader_that_left_exits_as_by_sigpipe(sandbox: Serving) -> None:
    """A reader that takes the first line and leaves is no error; the exit code tells."""
    code, said = ended("| head -c 1 > /dev/null", sandbox)
    assert code in (0, 141)
    assert "error" not in said
    code, said = ended("| (exec <&-; sleep 3)", sandbox)
    assert code == 141
    assert "error" not in said


#: Prints the most memory, in KiB, that a program has used since its start.
_PEAK = """
import atexit, re
from pathlib import Path
peak = lambda: re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
atexit.register(lambda: print(peak()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_tasks() -> None:
    """10,000 tasks take about as much memory as 1,000."""
    peaks = []
    content = "x" * 2000
    for count in (1000, 10_000):
        tasks = (
            f'{{"_id": "opp_{n}", "type": "manual", "title": "T{n}", "content": "{content}"}}\n'
            for n in range(count)
        )
        Path("tasks.jsonl").write_text("".join(tasks))
        with serving("--rate", "none", "--page-size", "500", "--tasks", "tasks.jsonl") as server:
            export = f"['export', '-q', '--rate', 'none', '-o', '{count}.csv']"
            code = f"{_PEAK}\nfrom bulkupdate.cli import cli; cli({export})"
            done = subprocess.run(
                [COMMAND[0], "-c", code],
                capture_output=True,
                text=True,
                env=environment(**server.environment),
                timeout=100,
                check=True,
            )
        peaks.append(int(done.stdout))
        assert len(rows(f"{count}.csv")) == count
    assert peaks[1] - peaks[0] < 6_000, peaks


@pytest.fixture
def two(sandbox: Serving) -> Iterator[dict[str, str]]:
    """Two accounts with tasks of the same ids, in accounts.toml, and what a command needs."""
    with serving_two(sandbox) as variables:
        yield variables


def test_tasks_of_accounts_are_in_one_file(two: dict[str, str]) -> None:
    """Each names its account; stderr counts them. --account leaves the others out."""
    given = ("export", "--accounts", "accounts.toml")
    done = bulkupdate(*given, "-o", "all.csv", **two)
    assert done.returncode == 0, done.stderr
    assert "all.csv: 834 tasks, 14 requests\n  of 2 accounts: acme 417, globex 417\n" in done.stderr
    assert "acme and globex are one team" in done.stderr
    assert len(rows("all.csv")) == 834
    assert len(set(rows("all.csv"))) == 417
    del two["ACME_KEY"]
    one = bulkupdate(*given, "--account", "globex", **two)
    lines = one.stdout.splitlines()
    assert lines[0].startswith("id,account,assignedTo,")
    assert {line.split(",")[1] for line in lines[1:] if line.startswith("opp_")} == {"globex"}
    assert "bulkupdate_accounts=yes" in lines[0]


def test_account_that_can_not_be_read_ends_with_three(two: dict[str, str]) -> None:
    """It is named, and there is no file. A key that is missing is an error of the caller."""
    given = ("export", "--accounts", "accounts.toml", "-o", "all.csv")
    done = bulkupdate(*given, **{**two, "GLOBEX_KEY": "wrong"})
    assert (done.returncode, done.stdout) == (3, "")
    assert "account 'globex': the key is refused" in done.stderr
    assert not Path("all.csv").exists()
    del two["GLOBEX_KEY"]
    missing = bulkupdate(*given, **two)
    assert missing.returncode == 2
    assert "account 'globex': $GLOBEX_KEY is not set" in missing.stderr
