"""The command `bulkupdate undo`, in its own process."""

import csv
import fcntl
import io
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bulkupdate.journal import AccountSummary
from bulkupdate.session.overwritten import Obstacle
from tests.support.commands import COMMAND, bulkupdate, environment, serving
from tests.support.overwriting import Overwriting

#: Each starts processes.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _run() -> None:
    """A run that changed two tasks, completed one, and left rows to send."""
    run = Overwriting()
    run.write(1, "opp_1", {"assignedTo": "usr_ben"}, {"assignedTo": "usr_anna"})
    run.write(2, "opp_2", {"title": "=1+1"}, {"title": "New"})
    run.write(3, "opp_3", {"done": False}, {"done": True})
    run.write(4, "opp_4", {"title": "Caf\ufffd"}, {"title": "New"})
    run.write(5, "opp_5", {"title": "Old"}, {"title": "New"})
    run.write(6, "opp_5", {"title": "Of another"}, {"title": "Newer"})
    run.save(rows=8)


def test_file_goes_to_stdout_and_the_rest_to_stderr() -> None:
    """Without -o, stdout gets CSV; stderr says what is in it, what is not, and what comes next."""
    done = bulkupdate("undo", "edits.run")
    assert done.returncode == 0
    assert [*csv.DictReader(io.StringIO(done.stdout))] == [
        {
            "id": "opp_1",
            "assignedTo": "usr_ben",
            "title": "",
            "expect.assignedTo": "usr_anna",
            "expect.title": "",
        },
        {
            "id": "opp_5",
            "assignedTo": "",
            "title": "Of another",
            "expect.assignedTo": "",
            "expect.title": "Newer",
        },
    ]
    assert done.stderr.splitlines() == [
        "stdout: 2 tasks",
        "  takes back: assignedTo 1, title 1",
        "  left out, since the task is completed, and may be gone: done 1 (opp_3 done)",
        "  tasks left out, whose values only a .jsonl file holds: title 1 (opp_2 title)",
        "  tasks left out, whose values no file holds: title 1 (opp_4 title)",
        "  changed by another hand in between, and taken back to that: title 1 (opp_5 title)",
        "  edits.run is not finished: --resume would still send 2 rows",
        "send it with: bulkupdate run FILE --compare",
    ]


def test_last_request_in_doubt_over_another_one_is_told() -> None:
    """The row may end as a conflict, and what to do then is said."""
    run = Overwriting("2.run")
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.write(2, "opp_1", {}, {"title": "Newer"}, "unconfirmed")
    run.save()
    assert bulkupdate("undo", "2.run").stderr.splitlines()[2] == (
        "  may be in conflict, since the last requests are in doubt (if so: plan FILE --renew):"
        " title 1 (opp_1 title)"
    )


def test_file_is_named_in_the_next_command() -> None:
    """With -o, the next command names the file as a shell needs it, and can be pasted."""
    done = bulkupdate("undo", "edits.run", "-o", "-un do.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("send it with: bulkupdate run './-un do.jsonl' --compare\n")
    rows = [json.loads(line) for line in Path("-un do.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["opp_1", "opp_2", "opp_5"]


def test_next_command_names_a_directory_that_is_free() -> None:
    """A file that was sent before has a run directory, which is of those edits."""
    for name in ("undo.run", "undo-2.run"):
        Path(name).mkdir()
    done = bulkupdate("undo", "edits.run", "-o", "undo.jsonl")
    next_one = "send it with: bulkupdate run undo.jsonl --compare --out undo-3.run\n"
    assert done.stderr.endswith(next_one)


@pytest.mark.parametrize(("seconds", "is_told"), [(110, True), (130, False)])
def test_undo_within_two_minutes_says_to_wait(seconds: int, is_told: bool) -> None:
    """A server may list a change late, and an undo would take the task for taken back already."""
    run = Overwriting("now.run")
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    at = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    run.results[0]["at"] = run.images[0]["at"] = at.replace("+00:00", "Z")
    run.save()
    told = bulkupdate("undo", "now.run", "-o", "undo.jsonl").stderr
    assert ("ago: send this 2 minutes after it" in told) == is_told


def test_accounts_are_counted_and_named_in_the_next_command() -> None:
    """The file of a run with accounts needs the file that names them."""
    run = Overwriting("many.run")
    for row, name in enumerate(("acme", "globex", "acme"), 1):
        run.write(row, f"opp_{row}", {"title": "Old"}, {"title": "New"}, account=name)
    part = AccountSummary(base_url="https://api.lemlist.com/api", rows=2, counts={})
    run.save(accounts={"acme": part, "globex": part})
    done = bulkupdate("undo", "many.run", "-o", "undo.jsonl")
    assert done.stderr.splitlines()[-2:] == [
        "  of accounts: acme 2, globex 1",
        "send it with: bulkupdate run undo.jsonl --compare --accounts FILE",
    ]


def test_nothing_to_take_back_is_no_error() -> None:
    """A run that changed nothing gives a file without rows, and no next command."""
    Overwriting("other.run").save()
    done = bulkupdate("undo", "other.run", "-o", "undo.csv")
    assert (done.returncode, done.stderr) == (0, "undo.csv: 0 tasks\n")
    assert Path("undo.csv").read_text(encoding="utf-8-sig") == "id\n"


def test_quiet_undo_says_nothing() -> None:
    """With --quiet, only errors are shown."""
    assert bulkupdate("undo", "edits.run", "-q").stderr == ""
    done = bulkupdate("undo", "none.run", "-q")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: none.run" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["edits.run", "-o", "there.csv"], "there.csv is there already: --overwrite replaces it"),
        (["edits.run", "-o", "undo.txt"], "give it one of the suffixes .csv, .jsonl, .xlsx"),
        (["edits.run", "-o", "edits.run/failed.csv"], "is a file of a run: name another file"),
        (["edits.run", "without.run"], "without.run: the run was made without --compare"),
        (["empty"], "empty: there is no run"),
        ([], "Missing argument 'RUN_DIR...'"),
    ],
)
def test_what_can_not_be_taken_back_is_refused(arguments: list[str], says: str) -> None:
    """A wrong directory or file ends with 2, and says what is wrong."""
    Path("there.csv").write_text("kept")
    Path("empty").mkdir()
    run = Overwriting("without.run")
    (run.save(compared=False) / "before.jsonl").unlink()
    done = bulkupdate("undo", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert Path("there.csv").read_text() == "kept"


def test_damaged_run_ends_with_three() -> None:
    """A file of the run that can't be read ends with 3, and nothing is written."""
    Path("edits.run/before.jsonl").write_text("[]\n")
    done = bulkupdate("undo", "edits.run", "-o", "undo.csv")
    assert done.returncode == 3
    assert "before.jsonl, line 1, is not an image" in done.stderr
    assert not Path("undo.csv").exists()


def test_run_in_use_ends_with_four() -> None:
    """A run in progress is not taken back."""
    lock = os.open("edits.run", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    done = bulkupdate("undo", "edits.run")
    os.close(lock)
    assert (done.returncode, done.stdout) == (4, "")
    assert "edits.run is in use by a run: try again when it has ended" in done.stderr


def test_unwritable_stdout_ends_with_three() -> None:
    """A file that is lost on its way to stdout ends with 3."""
    line = f"{' '.join(COMMAND)} undo edits.run > /dev/full"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 3
    assert "stdout can't be written: No space left on device" in done.stderr


def test_every_obstacle_is_explained() -> None:
    """Each reason why a field can't be taken back has words for people."""
    from bulkupdate.cli.undo import _WHY

    assert _WHY.keys() == {obstacle.value for obstacle in Obstacle}


@pytest.mark.slow
def test_commands_take_a_run_back() -> None:
    """`undo` writes a file from a run's directory, and `run --compare` restores the tasks."""
    with serving("--rate", "none") as sandbox:
        variables = {**sandbox.environment, "BULKUPDATE_RATE": "none"}
        exported = bulkupdate("export", "-o", "before.jsonl", **variables)
        assert exported.returncode == 0, exported.stderr
        tasks = [json.loads(line) for line in Path("before.jsonl").read_text().splitlines()][:30]
        lines = [json.dumps({"id": task["id"], "title": "New", "priority": 2}) for task in tasks]
        Path("new.jsonl").write_text("".join(f"{line}\n" for line in lines))
        assert bulkupdate("run", "new.jsonl", "--compare", **variables).returncode == 0
        # No key, and no server.
        assert bulkupdate("undo", "new.run", "-o", "undo.csv").returncode == 0
        done = bulkupdate("run", "undo.csv", "--compare", **variables)
        assert done.returncode == 0, done.stderr
        assert "30 updated" in done.stderr
        assert bulkupdate("export", "-o", "after.jsonl", **variables).returncode == 0
    assert Path("after.jsonl").read_text() == Path("before.jsonl").read_text()


def test_rules_of_nights_are_taken_back_by_name() -> None:
    """With --rule, only rows of these rules are in the file, and stderr says what stays and why."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(1, "opp_1", {"title": "A"}, {"title": "B"}, rule="Away")
    first.write(2, "opp_2", {"title": "A"}, {"title": "B"}, rule="Away")
    first.write(3, "opp_3", {"title": "A"}, {"title": "B"}, rule="Late")
    first.write(4, "opp_4", {"title": "A"}, {"title": "B"}, rule="Other")
    second.write(1, "opp_1", {"title": "Of another"}, {"title": "C"}, rule="Away")
    second.write(2, "opp_2", {"title": "B"}, {"title": "C"}, rule="Other")
    second.image(3, "opp_5", {"title": "A"}, {"title": "B"})
    paths = str(first.save()), str(second.save())
    done = bulkupdate("undo", *paths, "--rule", "Away", "--rule", "Late", "-o", "back.jsonl")
    assert done.returncode == 0
    rows = [json.loads(line) for line in Path("back.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["opp_1", "opp_3"]
    assert done.stderr.splitlines()[2:-1] == [
        "  left out, since a later row of another rule, or of none, has written it: title 1"
        " (opp_2 title)",
        "  changed by another hand or rule in between, and taken back to that: title 1"
        " (opp_1 title)",
        "  left out, since no file tells the rule, and the request may have been applied: title 1"
        " (opp_5 title)",
    ]
    done = bulkupdate("undo", *paths, "--rule", "away", "-o", "none.jsonl")
    assert done.returncode == 2
    assert "--rule: no row is of a rule 'away': did you mean 'Away'? (rules of these" in done.stderr
    assert not Path("none.jsonl").exists()
