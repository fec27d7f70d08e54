"""The recipes: linted by the tools of their fields; what cron and systemd run is run as written."""

import json
import os
import re
import subprocess
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SAMPLES, needed
from tests.support.commands import BIN, Serving, environment, serving
from tests.support.pages import DOCS, files_of
from tests.support.runs import night

pytestmark = pytest.mark.slow

RECIPES = DOCS / "recipes"


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
    (work / "reassign.csv").write_bytes((SAMPLES / "reassign.csv").read_bytes())
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
        env={
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "SHELL": "/bin/sh",
            "LEMLIST_BASE_URL": sandbox.url,
        },
        timeout=60,
        check=False,
    )


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
    assert "passed" in lint("kubernetes-validate", "--strict", files / "cronjob.yaml")
    assert "concurrencyPolicy: Forbid" in (files / "cronjob.yaml").read_text()


def test_dockerfile_passes_hadolint_without_warning(files: Path) -> None:
    """The Dockerfile passes hadolint without a warning."""
    assert (
        lint("hadolint", "--no-color", "--failure-threshold", "warning", files / "Dockerfile") == ""
    )


def test_alerts_pass_promtool_and_fire(files: Path) -> None:
    """The four alert rules pass promtool's check and its tests of when they fire."""
    assert "4 rules found" in lint("promtool", "check", "rules", files / "bulkupdate.rules.yml")
    assert "SUCCESS" in lint("promtool", "test", "rules", files / "bulkupdate.rules.test.yml")


def test_dag_passes_ruff_airflow_rules(files: Path) -> None:
    """The DAG passes ruff's Airflow rules and skips its task on exit code 4."""
    lint("ruff", "check", "--isolated", "--select", "AIR,E,F", files / "reassign_dag.py")
    assert "skip_on_exit_code=4" in (files / "reassign_dag.py").read_text()


def test_airflow_loads_the_recipe_dag(files: Path, tmp_path: Path) -> None:
    """Airflow imports the DAG of the recipe without an error."""
    python = os.environ.get("AIRFLOW_PYTHON")
    if not python:
        pytest.skip("$AIRFLOW_PYTHON names no Python that has Airflow")
    (tmp_path / "dags").mkdir()
    (files / "reassign_dag.py").rename(tmp_path / "dags" / "reassign_dag.py")
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
    assert done.stdout.splitlines()[-1] == "{} ['reassign_lemlist_tasks']", done.stderr


def test_cron_command_sends_file_silently(files: Path, home: Path) -> None:
    """The cron command sends every row, writes the report and prints nothing."""
    with serving() as sandbox:
        done = run_at_night(cron_command(files), home, sandbox)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert summary(home)["counts"]["updated"] == 40
    [report] = (home / "bulkupdate" / "runs").glob("*.run/report.html")
    assert "All 40 rows are done." in report.read_text()


def test_corrected_file_is_sent_same_day(files: Path, home: Path) -> None:
    """The cron command sends a corrected file on the same day as its refusal."""
    edits = home / "bulkupdate" / "reassign.csv"
    edits.write_text("id,done\nopp_cc59f197f5832d74d,maybe\n")
    with serving() as sandbox:
        assert run_at_night(cron_command(files), home, sandbox).returncode == 2
        edits.write_text("id,done\nopp_cc59f197f5832d74d,yes\n")
        assert run_at_night(cron_command(files), home, sandbox).returncode == 0
    assert summary(home)["counts"]["updated"] == 1


def test_night_without_run_sends_failure_message(files: Path, home: Path) -> None:
    """The failure unit sends a message when a night has no run."""
    needed("jq")
    (home / "bulkupdate" / "reassign.csv").unlink()
    with inbox() as (port, messages), serving() as sandbox:
        (home / "bulkupdate" / "apprise.conf").write_text(f"json://127.0.0.1:{port}/\n")
        assert run_at_night(cron_command(files), home, sandbox).returncode == 2
        run_at_night(systemd_command(files / "bulkupdate-failed@.service", home), home, sandbox)
    [message] = messages
    assert (message["title"], message["type"]) == ("bulkupdate: exit code 2", "failure")
    assert "there is no such file" in message["message"]


def test_failed_start_is_not_told_as_a_success(files: Path, home: Path) -> None:
    """A start that is refused after a run that succeeded sends a failure, not that success."""
    needed("jq")
    edits = home / "bulkupdate" / "reassign.csv"
    with inbox() as (port, messages), serving() as sandbox:
        (home / "bulkupdate" / "apprise.conf").write_text(f"json://127.0.0.1:{port}/\n")
        assert run_at_night(cron_command(files), home, sandbox).returncode == 0
        edits.write_text("id,done\nopp_cc59f197f5832d74d,yes\n")
        assert run_at_night(cron_command(files), home, sandbox).returncode == 2
        run_at_night(systemd_command(files / "bulkupdate-failed@.service", home), home, sandbox)
    [message] = messages
    assert (message["title"], message["type"]) == ("bulkupdate: exit code 2", "failure")
    assert "has been edited" in message["message"]


def test_second_cron_start_resumes_failed_run(files: Path, home: Path) -> None:
    """A second cron start resumes the run that failed, and the failure is on stderr."""
    key = home / "bulkupdate" / "key"
    key.write_text("wrong\n")
    with serving() as sandbox:
        refused = run_at_night(cron_command(files), home, sandbox)
        assert refused.returncode == 3
        assert "reassign.csv: exit code 3, see " in refused.stderr
        assert "unauthorized" in refused.stderr
        key.write_text("sandbox\n")
        done = run_at_night(cron_command(files), home, sandbox)
    assert (done.returncode, done.stderr) == (0, "")
    assert summary(home)["counts"]["updated"] == 40
    assert summary(home)["resumed"]


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
    with serving() as sandbox:
        done = run_at_night(cron_command(files), home, sandbox)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (runs / "left.run" / "summary.json").exists()
    assert not (runs / "well.run").exists()
    assert '"directory":"runs/well.run"' in (home / "bulkupdate" / "nightly.log").read_text()


def kubernetes_script(files: Path) -> tuple[str, dict[str, str]]:
    """What the container of the CronJob runs, and the variables that it has."""
    text = (files / "cronjob.yaml").read_text()
    script = textwrap.dedent(text.split("args:\n                - |\n")[1].split("env:")[0])
    variables = re.findall(r"- name: (BULKUPDATE_\w+)\n +value: (.+)", text)
    return script, {name: value.strip('"') for name, value in variables}


def airflow_script(files: Path) -> tuple[str, dict[str, str]]:
    """What the task of the DAG runs, with what Airflow fills in, and the variables that it has."""
    text = (files / "reassign_dag.py").read_text().split('COMMAND = """')[1].split('"""')[0]
    text = text.replace("\\\n", "").replace("{{ ds }}", "2026-11-24")
    return re.sub(r"{{[^}]*}}", "+4h", text), {"WORK": "."}


@pytest.mark.parametrize("script", [kubernetes_script, airflow_script])
def test_scripts_of_other_recipes_run_and_remove_old_runs(
    files: Path, home: Path, script: Callable[[Path], tuple[str, dict[str, str]]]
) -> None:
    """What Kubernetes and Airflow run sends the file, and removes old runs that ended well."""
    text, variables = script(files)
    work = home / "bulkupdate"
    if "BULKUPDATE_API_KEY_FILE" in variables:
        variables["BULKUPDATE_API_KEY_FILE"] = "key"
    old_runs(work / "runs")
    with serving() as sandbox:
        done = subprocess.run(
            ["/bin/sh", "-c", text],
            cwd=work,
            env={**environment(), "LEMLIST_BASE_URL": sandbox.url, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "1 run removed, 1 kept" in done.stderr
    left = sorted(path.name for path in (work / "runs").iterdir())
    assert (len(left), left[-1]) == (2, "left.run")
    assert json.loads((work / "runs" / left[0] / "summary.json").read_text())["exit_code"] == 0


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
    (home / "bulkupdate" / "reassign.csv").write_text("id,done\nopp_none,yes\nopp_other,yes\n")
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
    assert message["message"] == "2 failed\n2 failed: 404 not_found Task not found"
    assert message["type"] == "warning"
