"""The commands of a fleet, and `--shared-limit` of other commands."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.fleet import Database, Dsn
from tests.support.commands import bulkupdate, serving, start
from tests.support.postgres import Postgres

Write = Any

DSN = "BULKUPDATE_FLEET_DSN"
NOWHERE = "postgresql://tests:secret-pa55word@127.0.0.1:1/none"


def url(dsn: Dsn) -> str:
    """A DSN as a user writes it."""
    return dsn.reveal()


@contextlib.contextmanager
def worker(*arguments: str | Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """A worker in a process of its own. At the end it is asked to leave, and does so with 0."""
    process = start("fleet", "worker", *arguments, **variables)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, process.stderr and process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def submitted(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A file that was submitted, once the worker is known."""
    until = time.monotonic() + 20
    while True:
        done = bulkupdate("fleet", "submit", *arguments, **variables)
        if "start 'bulkupdate fleet worker'" not in done.stderr or time.monotonic() > until:
            return done
        time.sleep(0.1)


# --- run --shared-limit -----------------------------------------------------------------------


@pytest.mark.slow
def test_run_with_a_shared_limit_sends_all_rows(dsn: Dsn, write: Write) -> None:
    """A run takes its permits from the database, and its report is that of any run."""
    path = write("edits.csv", "id,title", *[f"opp_{n},T" for n in range(5)])
    with serving("--unknown-id", "create") as sandbox:
        variables = {**sandbox.environment, DSN: url(dsn)}
        done = bulkupdate("run", path, "--shared-limit", "--json", **variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["updated"] == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("export", "-o", "tasks.csv"), ("plan", "edits.csv", "-o", "plan.csv")]
)
def test_reading_shares_the_limit(command: tuple[str, ...], dsn: Dsn, write: Write) -> None:
    """What is read needs permits of the database too; it ends where nobody may start for long."""
    write("edits.csv", "id,title", "opp_1,T")
    output = Path(command[-1])
    with serving("--unknown-id", "create") as sandbox:
        variables = {**sandbox.environment, DSN: url(dsn)}
        done = bulkupdate(*command, "--shared-limit", "--allow-few", **variables)
        assert done.returncode in (0, 1), done.stderr
        output.unlink()
        held_for_an_hour(dsn)
        done = bulkupdate(*command, "--shared-limit", "--allow-few", **variables)
    assert done.returncode == 3
    assert "asks to wait for 3" in done.stderr
    assert not output.exists()


def held_for_an_hour(dsn: Dsn) -> None:
    """Let nobody start a request of any key, as after a 429."""

    async def main() -> None:
        async with Database(dsn) as database:
            await database.rows("UPDATE bulkupdate_limits SET held_until = now() + interval '1 h'")

    asyncio.run(main())


@pytest.mark.slow
def test_shared_limit_without_a_database_stops_with_3(write: Write) -> None:
    """A database that is away is waited for, then the run stops; nothing was sent, no key shown."""
    path = write("edits.csv", "id,title", "opp_1,T")
    with serving("--unknown-id", "create") as sandbox:
        variables = {**sandbox.environment, DSN: NOWHERE}
        done = bulkupdate("run", path, "--shared-limit", "--give-up-after", "0", **variables)
    assert done.returncode == 3
    assert "no shared limit" in done.stderr
    assert "secret-pa55word" not in done.stdout + done.stderr
    summary = (Path("edits.run") / "summary.json").read_text()
    assert json.loads(summary)["stopped_by"] == "no_permit"
    assert "secret-pa55word" not in summary


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--shared-limit",), "no database: set BULKUPDATE_FLEET_DSN"),
        (("--shared-limit", "--rate", "none"), "--rate none has none"),
        (("--shared-limit", "--sandbox"), "--sandbox has a limit of its own"),
        (("--dsn-file", "dsn"), "--dsn-file needs --shared-limit"),
    ],
)
def test_wrong_flags_beside_a_shared_limit(flags: tuple[str, ...], said: str, write: Write) -> None:
    """Each is refused with 2, before anything is sent, and says what to do."""
    path = write("edits.csv", "id,title", "opp_1,T")
    done = bulkupdate("run", path, *flags, LEMLIST_API_KEY="key-of-the-tests")
    assert done.returncode == 2
    assert said in done.stderr
    assert not Path("edits.run").exists()


@pytest.mark.slow
def test_wrong_dsn_is_refused_and_never_shown(postgres: Postgres, write: Write) -> None:
    """A DSN that lets nobody in is refused with 2, at once, without its password."""
    path = write("edits.csv", "id,title", "opp_1,T")
    wrong = postgres.dsn("no_such_database").replace("tests@", "tests:secret-pa55word@")
    for dsn in (wrong, "secret-pa55word and more"):
        for command in (
            ("fleet", "status"),
            ("fleet", "init"),
            ("run", str(path), "--shared-limit"),
        ):
            done = bulkupdate(*command, LEMLIST_API_KEY="key-of-the-tests", **{DSN: dsn})
            assert done.returncode == 2, done.stderr
            assert "secret-pa55word" not in done.stdout + done.stderr


def test_dsn_file_takes_the_place_of_the_variable(postgres: Postgres, tmp_path: Path) -> None:
    """The DSN may be in a file, which only its owner may read."""
    file = tmp_path / "dsn"
    file.write_text(postgres.new())
    file.chmod(0o600)
    assert bulkupdate("fleet", "init", "--dsn-file", file).returncode == 0
    assert bulkupdate("fleet", "status", "--dsn-file", file).returncode == 0
    file.chmod(0o644)
    done = bulkupdate("fleet", "status", "--dsn-file", file)
    assert done.returncode == 2
    assert "chmod 600" in done.stderr


# --- fleet ------------------------------------------------------------------------------------


def test_init_makes_the_tables_once(postgres: Postgres) -> None:
    """`fleet init` may be run again; other commands say that it is to be run."""
    variables = {DSN: postgres.new()}
    done = bulkupdate("fleet", "status", **variables)
    assert (done.returncode, "fleet init" in done.stderr) == (2, True)
    done = bulkupdate("fleet", "init", **variables)
    assert (done.returncode, "tables made" in done.stderr) == (0, True)
    done = bulkupdate("fleet", "init", **variables)
    assert (done.returncode, "tables are there" in done.stderr) == (0, True)


def test_database_that_is_away_is_3() -> None:
    """A fleet's commands that need the database end with 3 where it is not there."""
    for command in ("init", "status"):
        done = bulkupdate("fleet", command, **{DSN: NOWHERE})
        assert done.returncode == 3, done.stderr
        assert "can't be used" in done.stderr


@pytest.mark.slow
def test_submitted_file_becomes_a_run_directory(dsn: Dsn, write: Write) -> None:
    """Submit with --wait shows the progress, collects, and exits as `run` does."""
    path = write("edits.csv", "id,title", "opp_1,A", "opp_2,B", "opp_1,C")
    with serving("--unknown-id", "create") as sandbox:
        variables = {**sandbox.environment, DSN: url(dsn)}
        with worker("--health-file", "health", "--metrics-file", "w.prom", **variables):
            done = submitted(path, "--wait", "--out", "edits.run", "--json", **variables)
            assert done.returncode == 0, done.stderr
            assert "run 1: 3 updates submitted" in done.stderr
            assert json.loads(done.stdout)["counts"]["updated"] == 3
            shown = bulkupdate("fleet", "status", **variables).stdout
            assert "finished" in shown
            assert "alive" in shown
            one = bulkupdate("fleet", "status", "1", "--json", **variables).stdout
            assert json.loads(one)["state"] == "finished"
    assert Path("health").exists()
    assert 'bulkupdate_worker_rows_total{account="",outcome="updated"' in Path("w.prom").read_text()
    for command in (("report", "edits.run"), ("history", "edits.run")):
        assert bulkupdate(*command).returncode == 0


@pytest.mark.slow
def test_commands_that_are_suggested_can_be_carried_out(dsn: Dsn, write: Write) -> None:
    """Invalid rows are fixed, failed ones retried; and a directory of another run is refused."""
    path = write("edits.csv", "id,title,done", "opp_none,A,", "opp_1,B,maybe")
    only_invalid = write("invalid.csv", "id,done", "opp_1,maybe")
    Path("team.csv").write_text("id,title\nopp_1,x\n")
    with serving("--tasks", "team.csv") as sandbox:
        variables = {**sandbox.environment, DSN: url(dsn)}
        with worker(**variables):
            flags = ("--skip-invalid", "--wait", "--out")
            done = submitted(path, *flags, "a.run", **variables)
            assert done.returncode == 1, done.stderr
            assert done.stderr.splitlines()[-2:] == [
                "to send failed rows again: bulkupdate fleet retry 1 --failed",
                "once the invalid rows are fixed: bulkupdate fleet submit a.run/failed.csv",
            ]
            done = submitted(only_invalid, *flags, "b.run", **variables)
            assert "fleet retry" not in done.stderr
            done = submitted(path, *flags, "a.run", **variables)
            assert done.returncode == 2
            assert done.stderr == "error: a.run holds a run already: name another one\n"


@pytest.mark.slow
def test_run_is_cancelled_retried_and_forgotten(dsn: Dsn, write: Write) -> None:
    """A run goes through all commands, and each says what it did."""
    path = write("edits.csv", "id,title", *[f"opp_{n},T" for n in range(60)])
    with serving("--unknown-id", "create") as sandbox:
        variables = {**sandbox.environment, DSN: url(dsn)}
        with worker(**variables):
            done = submitted(path, "--json", **variables)
            assert (done.returncode, json.loads(done.stdout)) == (0, {"run": 1})
            done = bulkupdate("fleet", "retry", "1", **variables)
            assert (done.returncode, "still under way" in done.stderr) == (2, True)
            done = bulkupdate("fleet", "cancel", "1", **variables)
            assert (done.returncode, "run 1: cancelled" in done.stderr) == (0, True)
            done = bulkupdate("fleet", "collect", "1", "--out", "a.run", "--wait", **variables)
            assert (done.returncode, "cancelled" in done.stderr) == (3, True)
            done = bulkupdate("fleet", "retry", "1", **variables)
            assert (done.returncode, "left to send" in done.stderr) == (0, True)
            done = bulkupdate(
                "fleet", "collect", "1", "--out", "a.run", "--wait", "--forget", **variables
            )
            assert done.returncode == 0, done.stderr
            done = bulkupdate("fleet", "status", "1", **variables)
            assert (done.returncode, "there is no run 1" in done.stderr) == (2, True)
        done = submitted(path, **variables)
        assert (done.returncode, "run 2 waits: no worker is there" in done.stderr) == (0, True)


@pytest.mark.parametrize("given", ["abc", "0", "9223372036854775808"])
def test_wrong_id_of_a_run_says_where_ids_are(given: str) -> None:
    """What can't be the id of a run is wrong usage, for each command that takes one."""
    for command in ("status", "cancel", "retry"):
        done = bulkupdate("fleet", command, given)
        assert done.returncode == 2
        assert f"{given!r} is no id of a run: 'bulkupdate fleet status' lists" in done.stderr


def test_wait_and_out_go_together(write: Write) -> None:
    """Either alone is a wrong usage."""
    path = write("edits.csv", "id,title", "opp_1,T")
    for flags in (("--wait",), ("--out", "edits.run")):
        done = bulkupdate("fleet", "submit", path, *flags)
        assert (done.returncode, "go together" in done.stderr) == (2, True)


def test_worker_without_a_key_is_refused(dsn: Dsn) -> None:
    """A worker needs a key, or accounts."""
    done = bulkupdate("fleet", "worker", **{DSN: url(dsn)})
    assert (done.returncode, "no API key" in done.stderr) == (2, True)


@pytest.mark.slow
def test_without_the_extra_nothing_of_it_is_imported(tmp_path: Path) -> None:
    """Other commands import no library of a fleet; its own say which command installs it."""
    for name in ("psycopg", "psycopg_pool", "procrastinate"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed in this test')\n")
    variables = {"PYTHONPATH": str(tmp_path), DSN: NOWHERE, "LEMLIST_API_KEY": "key-of-the-tests"}
    edits = tmp_path / "edits.csv"
    edits.write_text("id,title\nopp_1,T\n")
    for command in (("--help",), ("fleet", "--help"), ("run", str(edits), "--sandbox")):
        process = start(*command, **variables)
        process.communicate(timeout=60)
        assert process.returncode == 0, command
    for needs in (["fleet", "status"], ["run", str(edits), "--shared-limit", "--overwrite"]):
        process = start(*needs, **variables)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2, needs
        assert "pip install procrastinate 'psycopg[binary,pool]'" in said


@pytest.mark.slow
def test_package_imports_no_database() -> None:
    """A program that runs a file imports no library of a fleet."""
    code = (
        "import sys, bulkupdate; bulkupdate.run, bulkupdate.update_tasks, bulkupdate.RunConfig;"
        "print({'psycopg', 'psycopg_pool', 'procrastinate'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
