"""The recipes: linted by the tools of their fields; what cron and systemd run is run as written."""

import fcntl
import json
import os
import re
import signal
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import SAMPLES, needed
from tests.support.commands import BIN, Serving, environment, serving
from tests.support.pages import DOCS, files_of
from tests.support.runs import night

pytestmark = pytest.mark.slow

RECIPES = DOCS / "recipes"

#: A limit that makes a night short.
FAST = ("--rate", "500/2s")

#: What the rules of the sample do with the sandbox's team after the days on which Ben is away.
SENT = {
    "Overdue calls move to the next workday": {"updated": 104},
    "Tasks of people who have left are dealt evenly": {"updated": 1},
}

OTHER_RULES = """timezone = "UTC"

[[rule]]
name = "other"
select = { type = "phone" }
set = { priority = "high" }
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Every file of every recipe, in one directory."""
    directory = tmp_path / "files"
    directory.mkdir()
    for page in RECIPES.glob("*.md"):
        for name, text in files_of(page).items():
            (directory / name).write_text(text)
    return directory


@pytest.fixture
def home(files: Path, tmp_path: Path) -> Path:
    """A user's home as the recipes describe it."""
    home = tmp_path / "home"
    work = home / "bulkupdate"
    (work / ".venv").mkdir(parents=True)
    (work / ".venv" / "bin").symlink_to(BIN)
    (work / "nightly.toml").write_bytes((SAMPLES / "nightly.toml").read_bytes())
    for name in ("nightly.sh", "notify.sh"):
        (work / name).write_bytes((files / name).read_bytes())
        (work / name).chmod(0o700)
    (work / "key").write_text("sandbox\n")
    (work / "key").chmod(0o600)
    return home


def tool(name: str) -> str:
    """A command of one of our own test dependencies, or one that is installed."""
    ours = BIN / name
    return str(ours) if ours.exists() else needed(name)


def lint(*command: str | Path, **variables: str) -> str:
    """What a linter says that finds nothing wrong."""
    done = subprocess.run(
        [tool(str(command[0])), *map(str, command[1:])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **variables},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_at_night(
    command: list[str], home: Path, sandbox: Serving
) -> "subprocess.CompletedProcess[str]":
    """A command as cron and systemd run it: with next to nothing in its environment."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env=night_environment(home, sandbox),
        timeout=60,
        check=False,
    )


def night_environment(home: Path, sandbox: Serving) -> dict[str, str]:
    """The variables that cron and systemd set, and where the sandbox is."""
    return {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "SHELL": "/bin/sh",
        "LEMLIST_BASE_URL": sandbox.url,
    }


def first_log(work: Path) -> Path | None:
    """The log of results of the only night; None if it has none yet."""
    return next((work / "runs").glob("*/results.jsonl"), None)


def summary(home: Path) -> dict[str, Any]:
    [run] = (home / "bulkupdate" / "runs").glob("*.run")
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def cron_command(files: Path) -> list[str]:
    """What cron runs, as it is written in the crontab."""
    lines = (files / "bulkupdate.crontab").read_text().splitlines()
    [line] = [line for line in lines if line[0].isdigit()]
    return ["/bin/sh", "-c", line.split(maxsplit=5)[5]]


def systemd_command(unit: Path, home: Path) -> list[str]:
    """What systemd runs, with its specifier for the home directory filled in."""
    [line] = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    return line.removeprefix("ExecStart=").replace("%h", str(home)).split()


def test_recipe_shell_scripts_pass_shellcheck(files: Path) -> None:
    """The two shell scripts of the recipes pass shellcheck without a finding."""
    scripts = sorted(files.glob("*.sh"))
    assert len(scripts) == 2
    assert lint("shellcheck", *scripts) == ""


def test_recipe_crontab_passes_cron_check(files: Path) -> None:
    """The crontab passes the syntax check of `crontab -n`."""
    assert "successfully checked" in lint("crontab", "-n", files / "bulkupdate.crontab")


def test_recipe_units_pass_systemd_verify(files: Path, home: Path, tmp_path: Path) -> None:
    """The systemd units pass `systemd-analyze verify`, and the timer fires at 02:00."""
    names = ("bulkupdate.service", "bulkupdate.timer", "bulkupdate-failed@.service")
    units = [files / name for name in names]
    # A warning leaves the exit code as it is: nothing is to be said at all.
    said = lint(
        "systemd-analyze", "--user", "verify", "--man=no", *units,
        HOME=str(home), XDG_RUNTIME_DIR=str(tmp_path),
    )  # fmt: skip
    assert said == ""
    # Those of a fleet.
    for name in ("bulkupdate-worker@.service", "bulkupdate-submit.service"):
        assert lint(
            "systemd-analyze", "--user", "verify", "--man=no", files / name,
            HOME=str(home), XDG_RUNTIME_DIR=str(tmp_path),
        ) == ""  # fmt: skip
    timer = (files / "bulkupdate.timer").read_text()
    [when] = [line for line in timer.splitlines() if line.startswith("OnCalendar=")]
    assert "02:00:00" in lint("systemd-analyze", "calendar", when.removeprefix("OnCalendar="))


def test_workflow_passes_schema_and_zizmor(files: Path) -> None:
    """The GitHub workflow matches its schema, and zizmor finds nothing."""
    workflow = files / "bulkupdate.yml"
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    assert "No findings" in lint("zizmor", "--offline", "--no-progress", workflow)


def test_manifest_passes_the_kubernetes_schema(files: Path) -> None:
    """The Kubernetes manifest matches its schema and forbids concurrent runs."""
    for name in ("cronjob.yaml", "fleet.yaml"):
        assert "passed" in lint("kubernetes-validate", "--strict", files / name)
    assert "concurrencyPolicy: Forbid" in (files / "cronjob.yaml").read_text()


def test_compose_file_passes_its_schema(files: Path) -> None:
    """The compose file of a fleet matches the schema of compose files."""
    said = lint(
        "check-jsonschema", "--builtin-schema", "vendor.compose-spec", files / "compose.yaml"
    )
    assert "validation done" in said


def test_dockerfile_passes_hadolint_without_warning(files: Path) -> None:
    """The Dockerfile passes hadolint without a warning."""
    assert (
        lint("hadolint", "--no-color", "--failure-threshold", "warning", files / "Dockerfile") == ""
    )


def test_alerts_pass_promtool_and_fire(files: Path) -> None:
    """The five alert rules pass promtool's check and its tests of when they fire."""
    assert "5 rules found" in lint("promtool", "check", "rules", files / "bulkupdate.rules.yml")
    assert "SUCCESS" in lint("promtool", "test", "rules", files / "bulkupdate.rules.test.yml")


def test_dag_passes_ruff_airflow_rules(files: Path) -> None:
    """The DAG passes ruff's Airflow rules and skips its task on exit code 4."""
    lint("ruff", "check", "--isolated", "--select", "AIR,E,F", files / "nightly_dag.py")
    assert "skip_on_exit_code=4" in (files / "nightly_dag.py").read_text()


def test_airflow_loads_the_recipe_dag(files: Path, tmp_path: Path) -> None:
    """Airflow imports the DAG of the recipe without an error."""
    python = os.environ.get("AIRFLOW_PYTHON")
    if not python:
        pytest.skip("$AIRFLOW_PYTHON names no Python that has Airflow")
    (tmp_path / "dags").mkdir()
    (files / "nightly_dag.py").rename(tmp_path / "dags" / "nightly_dag.py")
    code = (
        "import sys; from airflow.dag_processing.dagbag import DagBag; bag = DagBag(sys.argv[1]);"
        "print(bag.import_errors, sorted(bag.dags))"
    )
    done = subprocess.run(
        [python, "-c", code, tmp_path / "dags"],
        capture_output=True,
        text=True,
        env={
            "HOME": str(tmp_path),
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PATH": os.environ["PATH"],
        },
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "{} ['lemlist_nightly_rules']", done.stderr


def rules_of(home: Path) -> Path:
    """The file of rules."""
    return home / "bulkupdate" / "nightly.toml"


def send_edits(home: Path, edits: str) -> Path:
    """Make the script send a file of edits in the place of the rules, as the recipe says."""
    script, file = home / "bulkupdate" / "nightly.sh", home / "bulkupdate" / "reassign.csv"
    text = script.read_text()
    assert text.count(" run nightly.toml ") == 1
    script.write_text(text.replace(" run nightly.toml ", " run reassign.csv --compare "))
    file.write_text(edits)
    return file


def test_cron_command_carries_out_rules_silently(files: Path, home: Path) -> None:
    """The cron command sends a whole night, writes the report and prints nothing."""
    with serving(*FAST) as sandbox:
        done = run_at_night(cron_command(files), home, sandbox)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [run] = (home / "bulkupdate" / "runs").iterdir()
    assert run.name == f"{datetime.now(ZoneInfo('Europe/Paris')):%Y-%m-%d}.run"
    assert summary(home)["rules"] == SENT
    assert "All 105 rows are done." in (run / "report.html").read_text()


def test_second_night_at_the_same_day_has_nothing_to_send(files: Path, home: Path) -> None:
    """A second start on the same day writes nothing to any task, and is a success."""
    with serving(*FAST) as sandbox:
        assert run_at_night(cron_command(files), home, sandbox).returncode == 0
        [log] = (home / "bulkupdate" / "runs").glob("*/results.jsonl")
        before = log.read_bytes()
        assert run_at_night(cron_command(files), home, sandbox).returncode == 0
    assert log.read_bytes() == before
    assert summary(home)["resumed"]


def test_corrected_file_is_sent_same_day(files: Path, home: Path) -> None:
    """With a file of edits, the cron command sends a corrected one on the day of its refusal."""
    edits = send_edits(home, "id,done\nopp_cc59f197f5832d74d,maybe\n")
    with serving() as sandbox:
        assert run_at_night(cron_command(files), home, sandbox).returncode == 2
        edits.write_text("id,done\nopp_cc59f197f5832d74d,yes\n")
        assert run_at_night(cron_command(files), home, sandbox).returncode == 0
    assert summary(home)["counts"]["updated"] == 1


def test_night_without_run_sends_failure_message(files: Path, home: Path) -> None:
    """The failure unit sends a message when a night has no run."""
    needed("jq")
    rules_of(home).unlink()
    with inbox() as (port, messages), serving() as sandbox:
        (home / "bulkupdate" / "apprise.conf").write_text(f"json://127.0.0.1:{port}/\n")
        assert run_at_night(cron_command(files), home, sandbox).returncode == 2
        run_at_night(systemd_command(files / "bulkupdate-failed@.service", home), home, sandbox)
    [message] = messages
    assert (message["title"], message["type"]) == ("bulkupdate: exit code 2", "failure")
    assert "there is no such file" in message["message"]


def test_failed_start_is_not_told_as_a_success(files: Path, home: Path) -> None:
    """A start that is refused after a night that succeeded sends a failure, not that success."""
    needed("jq")
    with inbox() as (port, messages), serving(*FAST) as sandbox:
        (home / "bulkupdate" / "apprise.conf").write_text(f"json://127.0.0.1:{port}/\n")
        assert run_at_night(cron_command(files), home, sandbox).returncode == 0
        rules_of(home).write_text("[[rule]\n")
        assert run_at_night(cron_command(files), home, sandbox).returncode == 2
        run_at_night(systemd_command(files / "bulkupdate-failed@.service", home), home, sandbox)
    [message] = messages
    assert (message["title"], message["type"]) == ("bulkupdate: exit code 2", "failure")
    assert "nightly.toml, line 1: is not TOML" in message["message"]


def test_refused_key_is_told_and_the_night_begins_later(files: Path, home: Path) -> None:
    """A cron start with a wrong key is on stderr; a second start with the right one succeeds."""
    key = home / "bulkupdate" / "key"
    key.write_text("wrong\n")
    with serving(*FAST) as sandbox:
        refused = run_at_night(cron_command(files), home, sandbox)
        assert refused.returncode == 3
        assert "nightly.toml: exit code 3, see " in refused.stderr
        assert "unauthorized" in refused.stderr
        key.write_text("sandbox\n")
        done = run_at_night(cron_command(files), home, sandbox)
    assert (done.returncode, done.stderr) == (0, "")
    assert summary(home)["counts"]["updated"] == 105


def test_second_cron_start_continues_a_killed_night(files: Path, home: Path) -> None:
    """After kill -9, the same command sends the rest of the same edits, whatever the rules are."""
    command, work = cron_command(files), home / "bulkupdate"
    with serving() as sandbox:
        night = subprocess.Popen(
            command, env=night_environment(home, sandbox), cwd="/", start_new_session=True
        )
        while not (log := first_log(work)) or log.read_bytes().count(b"\n") < 10:
            assert night.poll() is None
            time.sleep(0.05)
        os.killpg(night.pid, signal.SIGKILL)
        assert night.wait() == -signal.SIGKILL
        with (work / "lock").open("w") as lock:
            # What the shell has started ends a moment later.
            fcntl.flock(lock, fcntl.LOCK_EX)
        edits = log.with_name("edits.jsonl").read_bytes()
        rules_of(home).write_text(OTHER_RULES)
        done = run_at_night(command, home, sandbox)
    assert (done.returncode, done.stderr) == (0, "")
    assert summary(home)["resumed"]
    assert summary(home)["rules"] == SENT
    assert log.with_name("edits.jsonl").read_bytes() == edits


def test_two_nights_never_run_at_once(files: Path, home: Path) -> None:
    """While a night is under way, a second start ends with 4, says nothing and changes nothing."""
    work = home / "bulkupdate"
    (work / "last").write_text("runs/night.run started\n")
    with (work / "lock").open("w") as lock, serving() as sandbox:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run_at_night(cron_command(files), home, sandbox)
    assert (done.returncode, done.stdout, done.stderr) == (4, "", "")
    assert (work / "last").read_text() == "runs/night.run started\n"
    assert list((work / "runs").iterdir()) == []


def old_runs(folder: Path) -> None:
    """Two runs of last year: one that ended well, and one that has rows left."""
    folder.mkdir(exist_ok=True)
    began = (datetime.now(UTC) - timedelta(days=365)).isoformat()
    night(folder / "well.run", began, counts={"updated": 1})
    night(folder / "left.run", began, counts={"updated": 1, "failed": 1}, exit_code=1)


def test_cron_command_removes_old_runs_that_ended_well(files: Path, home: Path) -> None:
    """Each night, the cron command removes old runs that ended well, and logs it; others stay."""
    runs = home / "bulkupdate" / "runs"
    old_runs(runs)
    with serving(*FAST) as sandbox:
        done = run_at_night(cron_command(files), home, sandbox)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (runs / "left.run" / "summary.json").exists()
    assert not (runs / "well.run").exists()
    assert '"directory":"runs/well.run"' in (home / "bulkupdate" / "nightly.log").read_text()


def cron_script(files: Path) -> str:
    """What cron and systemd start."""
    return (files / "nightly.sh").read_text()


def kubernetes_script(files: Path) -> str:
    """What the container of the CronJob runs."""
    text = (files / "cronjob.yaml").read_text()
    return textwrap.dedent(text.split("args:\n                - |\n")[1].split("resources:")[0])


def github_script(files: Path) -> str:
    """What the step of the workflow runs."""
    text = (files / "bulkupdate.yml").read_text()
    return textwrap.dedent(text.split("run: |\n")[1].split("      - name:")[0])


def airflow_script(files: Path) -> str:
    """What the task of the DAG runs."""
    text = (files / "nightly_dag.py").read_text().split('COMMAND = """')[1].split('"""')[0]
    assert "{{" not in text, "Airflow would fill it in"
    return text.replace("\\\\\n", "\\\n")


SCRIPTS = [cron_script, kubernetes_script, github_script, airflow_script]


def command_in(script: str) -> str:
    """The command of the night, with what differs by need left out: the program, the key, a log."""
    [line] = re.findall(r"bulkupdate (run .*)", script.replace("\\\n", ""))
    return " ".join(re.sub(r"--api-key-file \S+|2>> \S+", "", line).split())


@pytest.mark.parametrize("script", SCRIPTS)
def test_command_of_the_night_is_the_same_in_all_recipes(
    files: Path, script: Callable[[Path], str]
) -> None:
    """Each recipe starts the same command, with a directory for the day in the rules' zone."""
    text = script(files)
    assert command_in(text) == (
        'run nightly.toml --out "$run" --resume --deadline +4h --max-failures 5%'
        " --report --log-format json"
    )
    assert 'run="runs/$(TZ=Europe/Paris date +%F).run"\n' in text


def carry_out(
    script: Callable[[Path], str], files: Path, home: Path, sandbox: Serving
) -> "subprocess.CompletedProcess[str]":
    """Run what a recipe runs, where its files lie on this machine."""
    text = script(files).replace("/secret/key", "key")
    text = re.sub(r"pipx run --spec '.*' \\\n *bulkupdate ", "bulkupdate ", text)
    variables = {**sandbox.environment, "WORK": str(home / "bulkupdate"), "HOME": str(home)}
    if script is not github_script:
        del variables["LEMLIST_API_KEY"]
    return subprocess.run(
        ["/bin/bash", "-ec", text] if script is github_script else ["/bin/sh", "-c", text],
        cwd=home / "bulkupdate",
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS[1:])
def test_scripts_of_other_recipes_pass_shellcheck(
    files: Path, tmp_path: Path, script: Callable[[Path], str]
) -> None:
    """What the recipes without a script of their own run passes shellcheck without a finding."""
    (tmp_path / "script.sh").write_text(script(files))
    # An unset $WORK is refused by `cd` itself.
    assert lint("shellcheck", "--shell=sh", "--exclude=SC2164", tmp_path / "script.sh") == ""


@pytest.mark.parametrize("script", [kubernetes_script, airflow_script])
def test_scripts_of_other_recipes_remove_old_runs(
    files: Path, home: Path, script: Callable[[Path], str]
) -> None:
    """What Kubernetes and Airflow run carries out the rules, and removes runs that ended well."""
    runs = home / "bulkupdate" / "runs"
    old_runs(runs)
    with serving(*FAST) as sandbox:
        done = carry_out(script, files, home, sandbox)
    assert done.returncode == 0, done.stderr
    assert "1 run removed, 1 kept" in done.stderr
    left = sorted(path.name for path in runs.iterdir())
    assert (len(left), left[-1]) == (2, "left.run")
    assert json.loads((runs / left[0] / "summary.json").read_text())["rules"] == SENT


#: Files of rules that are refused: before anything is read, by the team, and by the result.
REFUSED = {
    "is not TOML": ("[[rule]]", "[[rule]"),
    "is no member of the team": ("Emil Novak", "Emil Nowak"),
    "would change, and max_changes is 20": ("max_changes = 200", "max_changes = 20"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_refused_rules_that_are_fixed_begin_the_same_night(
    files: Path, home: Path, script: Callable[[Path], str]
) -> None:
    """In each recipe, nothing of a refused file is in the way of the fixed one on the same day."""
    rules = rules_of(home)
    right = rules.read_text()
    with serving(*FAST) as sandbox:
        for reason, change in REFUSED.items():
            rules.write_text(right.replace(*change))
            refused = carry_out(script, files, home, sandbox)
            assert refused.returncode == 2
            assert reason in refused.stderr
            assert list((home / "bulkupdate" / "runs").iterdir()) == []
        rules.write_text(right)
        done = carry_out(script, files, home, sandbox)
    assert done.returncode == 0, done.stderr
    assert summary(home)["rules"] == SENT


class _Inbox(BaseHTTPRequestHandler):
    """Takes in messages."""

    messages: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.messages.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


@contextmanager
def inbox() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A server that takes messages in, its port, and what it has taken in."""
    messages: list[dict[str, Any]] = []
    handler = type("Inbox", (_Inbox,), {"messages": messages})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, messages
        server.shutdown()
        thread.join()


def test_systemd_commands_run_and_report_failure(files: Path, home: Path) -> None:
    """The systemd service runs the file, and its failure unit reports the failed rows."""
    needed("jq")
    send_edits(home, "id,done\nopp_none,yes\nopp_other,yes\n")
    with inbox() as (port, messages), serving() as sandbox:
        config = home / "bulkupdate" / "apprise.conf"
        config.write_text(f"json://127.0.0.1:{port}/\n")
        night = systemd_command(files / "bulkupdate.service", home)
        assert run_at_night(night, home, sandbox).returncode == 1
        said = run_at_night(
            systemd_command(files / "bulkupdate-failed@.service", home), home, sandbox
        )
    assert said.returncode == 0, said.stdout + said.stderr
    [message] = messages
    assert message["title"] == "bulkupdate: reassign.csv finished, exit code 1"
    assert message["message"] == (
        "2 conflict\n2 conflict: not_listed the server does not list the task:"
        " done, ignored, deleted or of another team"
    )
    assert message["type"] == "warning"
