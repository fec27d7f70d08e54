"""The command with real files, and with the flags for reading them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.reader.test_corpus import CORPUS
from tests.support.commands import (
    COMMAND,
    Serving,
    bulkupdate,
    environment,
    serving,
    start,
    summary_in,
)

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Serving]:
    """A sandbox with the tasks of its made-up team only."""
    with serving() as running:
        yield running


FLAGS = ("--map", "Owner=assignedTo", "--map", "When=dueDate", "--ignore-extra", "--timezone",
         "Europe/Paris", "--date-format", "%d/%m/%Y %H:%M", "--set", "priority=high",
         "--clear-token", "leer")  # fmt: skip
TABLE = (
    "Task ID;Owner;When;Title;Notes;;\r\n"
    "opp_cc59f197f5832d74d;usr_a;24/12/2026 09:00;Größe prüfen;x;;\r\n"
    "opp_none;usr_b;24/12/2026 10:00;leer;für später;;\r\n"
    "opp_13f6e732d8c5534bf;Jane Doe;;Straße;;;\r\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "mac-roman", "utf-8", "utf-8-sig", "utf-16"])
def test_failed_file_reads_with_same_flags(sandbox: Serving, encoding: str) -> None:
    """A corrected failed file is sent with the same flags and keeps its encoding."""
    Path("edits.csv").write_bytes(f"sep=;\r\n{TABLE}".encode(encoding))
    done = bulkupdate("run", "edits.csv", *FLAGS, "--skip-invalid", **sandbox.environment)
    assert done.returncode == 1, done.stderr
    assert summary_in()["counts"] == {
        "updated": 1, "unchanged": 0, "invalid": 1, "failed": 1, "unconfirmed": 0, "conflict": 0,
        "unprocessed": 0,
    }  # fmt: skip
    failed = Path("edits.run/failed.csv").read_bytes()
    text = failed.decode("utf-8-sig" if encoding == "utf-8-sig" else encoding)
    assert text.startswith("sep=;\r\nTask ID;Owner;When;Title;Notes;bulkupdate_")
    assert text.splitlines()[1].endswith(";bulkupdate_row;bulkupdate_outcome;bulkupdate_error")
    (line,) = [line for line in text.splitlines() if line.startswith("opp_none;")]
    assert line.startswith("opp_none;usr_b;24/12/2026 10:00;leer;für später;")
    assert line.endswith(";2;failed;Task not found")
    fixed = text.replace("opp_none", "opp_0e1e22bec60e6a5a3").replace("Jane Doe", "usr_c")
    marked = "utf-8-sig" if encoding == "utf-8-sig" else encoding
    Path("fixed.csv").write_bytes(fixed.encode(marked))
    again = bulkupdate("run", "fixed.csv", *FLAGS, **sandbox.environment)
    assert again.returncode == 0, again.stderr
    lines = Path("fixed.run/results.jsonl").read_text().splitlines()
    sent = {result["id"]: result["sent"] for result in map(json.loads, lines)}
    assert sent == {
        "opp_0e1e22bec60e6a5a3": {
            "assignedTo": "usr_b", "dueDate": "2026-12-24T09:00:00.000Z", "title": "",
            "priority": "2",
        },
        "opp_13f6e732d8c5534bf": {"assignedTo": "usr_c", "title": "Straße", "priority": "2"},
    }  # fmt: skip


@pytest.mark.slow
def test_guessed_encoding_and_its_words_are_kept(sandbox: Serving) -> None:
    """`check --json` and `summary.json` hold a guessed encoding, and the words that decided."""
    shutil.copy(CORPUS / "windows-1250.csv", "edits.csv")
    checked = json.loads(bulkupdate("check", "edits.csv", "--json", "-q").stdout)
    assert (checked["encoding"], checked["encoding_words"][:1]) == ("cp1250", ["wyślij"])
    assert bulkupdate("run", "edits.csv", **sandbox.environment).returncode == 1
    kept = summary_in()["input"]
    assert [kept[name] for name in ("encoding", "encoding_words")] == [
        checked[name] for name in ("encoding", "encoding_words")
    ]
    failed = Path("edits.run/failed.csv").read_bytes()
    assert b"bulkupdate_encoding=cp1250" in failed


def cells_of(path: str) -> list[list[Any]]:
    """The cells of a workbook."""
    sheet = openpyxl.load_workbook(path)["Edits"]
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


@pytest.mark.slow
def test_spreadsheet_failures_become_a_workbook(sandbox: Serving) -> None:
    """A run of a spreadsheet writes its failed rows as texts of a workbook, to fix and run."""
    shutil.copy(CORPUS / "openpyxl.xlsx", "edits.xlsx")
    flags = ("--sheet", "Edits", "--timezone", "Europe/Paris", "--time", "09:00", "--skip-invalid")
    done = bulkupdate("run", "edits.xlsx", *flags, **sandbox.environment)
    assert done.returncode == 1, done.stderr
    assert "edits.run/failed.xlsx (5 rows)" in done.stderr
    fixed = "once it is fixed: bulkupdate run edits.run/failed.xlsx --skip-invalid --timezone Europ"
    assert fixed in done.stderr
    header, *rows = cells_of("edits.run/failed.xlsx")
    assert header[:4] == ["Task ID", "Due Date", "title", "priority"]
    assert header[-3:] == ["bulkupdate_row", "bulkupdate_outcome", "bulkupdate_error"]
    of_id = {row[0]: row for row in rows}
    assert of_id["opp_1"][:4] == ["opp_1", "2026-12-01T09:00:00", "Zoé", "2"]
    assert of_id["opp_1"][-3:] == ["1", "failed", "Task not found"]
    assert "#VALUE! 123456789012345696" in of_id
    again = bulkupdate("check", "edits.run/failed.xlsx", *flags[:-1])
    assert again.returncode == 2
    assert "5 rows, 2 tasks, 3 invalid" in again.stderr


@pytest.mark.slow
def test_fixed_workbook_is_sent_and_kept(sandbox: Serving) -> None:
    """Ids with zeros come back as they were; a fix is sent, and a resumed run keeps it."""
    book = openpyxl.Workbook()
    book.active.title = "Edits"
    for row in (["id", "title"], ["0000123", "x"], ["opp_cc59f197f5832d74d", "#N/A"]):
        book.active.append(row)
    book.save("edits.xlsx")
    done = bulkupdate("run", "edits.xlsx", "--skip-invalid", **sandbox.environment)
    assert done.returncode == 1, done.stderr
    fixed = openpyxl.load_workbook("edits.run/failed.xlsx")
    page = fixed["Edits"]
    assert [row[0].value for row in page.iter_rows()] == ["id", "0000123", "opp_cc59f197f5832d74d"]
    assert {cell.number_format for row in page.iter_rows() for cell in row} == {"@"}
    page["A2"], page["B3"] = "opp_13f6e732d8c5534bf", "fine"
    fixed.save("edits.run/failed.xlsx")
    sent = bulkupdate("run", "edits.run/failed.xlsx", **sandbox.environment)
    assert sent.returncode == 0, sent.stderr
    lines = Path("failed.run/results.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"]: json.loads(line)["sent"] for line in lines} == {
        "opp_13f6e732d8c5534bf": {"title": "x"}, "opp_cc59f197f5832d74d": {"title": "fine"},
    }  # fmt: skip
    resumed = bulkupdate(
        "run", "edits.xlsx", "--skip-invalid", "--resume", "--retry-failed", **sandbox.environment
    )
    assert resumed.returncode == 1
    assert "failed.xlsx has been edited: kept as edits.run/failed.1.xlsx" in resumed.stderr
    assert cells_of("edits.run/failed.1.xlsx")[2][1] == "fine"
    assert "0000123" in [row[0] for row in cells_of("edits.run/failed.xlsx")]


def test_every_problem_is_written_as_csv(write: Write) -> None:
    """`check --problems` writes every problem to a CSV file that spreadsheets open."""
    path = write("a.csv", "id,Prio,done", *("opp,hihg,=maybe" for _ in range(50)))
    done = bulkupdate("check", path, "--map", "Prio=priority", "--problems", "p.csv")
    assert done.returncode == 2
    text = Path("p.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 100
    assert rows[0] == {
        "row": "1", "line": "2", "id": "opp", "column": "Prio", "field": "priority",
        "value": "'hihg'",
        "problem": "is not a priority: write 0, 1, 2, low, medium, high or none: did you mean"
        " 'high'?",
    }  # fmt: skip
    assert rows[1]["field"] == "done"
    refused = bulkupdate("check", path, "--map", "Prio=priority", "--problems", path)
    assert (refused.returncode, path.read_text().count("\n")) == (2, 51)
    assert "is an input file: name another file" in refused.stderr
    broken = bulkupdate("check", path, "--problems", "p.csv")
    assert broken.returncode == 2
    (row,) = csv.DictReader(Path("p.csv").read_text(encoding="utf-8-sig").splitlines())
    assert "unknown column 'Prio'" in row["problem"]
    nowhere = bulkupdate("check", path, "--map", "Prio=priority", "--problems", "none/p.csv")
    assert "none/p.csv can't be written: check that none exists" in nowhere.stderr


def test_problems_that_do_not_fit_on_the_disk_leave_no_file(write: Write) -> None:
    """Half a list would be taken for the whole."""
    path = write("a.csv", "id,done", *("opp,maybe" for _ in range(2000)))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    main = "from bulkupdate.__main__ import main; main()"
    code, command = f"{limit}; {ignore}; {main}", ["check", str(path), "--problems", "p.csv"]
    # What measures coverage would write a file too.
    variables = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )
    assert (done.returncode, done.stderr) == (2, "error: p.csv can't be written: File too large\n")
    assert not Path("p.csv").exists()


def test_check_that_is_interrupted_leaves_no_file_of_problems(write: Write) -> None:
    """Half a list would be taken for the whole."""
    path = write("a.csv", "id,done", *("opp,maybe" for _ in range(300_000)))
    process = start("check", path, "--problems", "p.csv")
    until = time.monotonic() + 30
    while not Path("p.csv").exists() or Path("p.csv").stat().st_size < 100_000:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not Path("p.csv").exists()


def test_check_json_groups_equal_problems(write: Write) -> None:
    """`check --json` groups equal problems, counts them and keeps five examples."""
    path = write("a.csv", "id,done", *("opp,maybe" for _ in range(10_000)), "opp,yes")
    done = bulkupdate("check", path, "--json", "-q")
    (group,) = json.loads(done.stdout)["problem_groups"]
    assert (group["count"], len(group["examples"])) == (10_000, 5)
    assert group["examples"][0] == {
        "row": 1, "line": 2, "id": "opp",
        "problem": ["done", "'maybe'", group["examples"][0]["problem"][2], "", ""],
    }  # fmt: skip
    assert done.stderr == ""


def test_resumed_run_keeps_its_relative_dates(sandbox: Serving, write: Write) -> None:
    """A resumed run gives a relative date the same day as its first session."""
    path = write("edits.csv", "id", "opp_cc59f197f5832d74d", "opp_13f6e732d8c5534bf")
    flags = ("--set", "dueDate=+3d", "--map", "id=id")
    first = bulkupdate("run", path, *flags, "--first", "1", **sandbox.environment)
    assert "--set dueDate=+3d --map id=id --out" in first.stderr or (
        "--map id=id --set dueDate=+3d --out" in first.stderr
    ), first.stderr
    bulkupdate("run", path, *flags, "--resume", **sandbox.environment)
    lines = Path("edits.run/results.jsonl").read_text().splitlines()
    days = {json.loads(line)["sent"]["dueDate"] for line in lines}
    assert (len(lines), len(days)) == (2, 1)
    assert summary_in()["input"]["options"] == {"map": {"id": "id"}, "set": {"dueDate": "+3d"}}


@pytest.mark.slow
def test_resume_with_different_flags_is_refused(sandbox: Serving, write: Write) -> None:
    """A resume is refused when its flags change rows, and accepted when they do not."""
    path = write(
        "edits.csv", "id,dueDate,title", "opp_cc59f197f5832d74d,2026-12-24T09:00,a",
        "opp_13f6e732d8c5534bf,2026-12-24T09:00,b",
    )  # fmt: skip
    flags = (path, "--timezone", "Europe/Paris")
    bulkupdate("run", *flags, "--first", "1", **sandbox.environment)
    refused = bulkupdate("run", path, "--timezone", "UTC", "--resume", **sandbox.environment)
    assert refused.returncode == 2
    assert (
        "is read in another way (--timezone) since this run began: 2 rows changed" in refused.stderr
    )
    harmless = bulkupdate("run", *flags, "--ignore-extra", "--resume", **sandbox.environment)
    assert harmless.returncode == 0, harmless.stderr
    assert summary_in()["counts"]["updated"] == 2


def test_recognised_format_is_printed_and_recorded(sandbox: Serving) -> None:
    """A run prints what it recognised in the file and records it in the summary."""
    Path("team.csv").write_bytes(
        "Task ID\tOwner\tNotes\nopp_cc59f197f5832d74d\tusr_a\tZoé\n".encode("cp1252")
    )
    flags = ("--map", "Owner=assignedTo", "--ignore-extra")
    done = bulkupdate("run", "team.csv", *flags, **sandbox.environment)
    for message in (
        "team.csv: CSV, Windows-1252, tab",
        "Windows-1252 was recognised by the words 'Zoé': if these look wrong, set --encoding",
        "columns: 'Task ID' is id, 'Owner' is assignedTo",
        "not sent: 'Notes'",
    ):
        assert message in done.stderr
    found = summary_in("team.run")["input"]
    assert (found["encoding"], found["delimiter"], found["passed_over"]) == (
        "cp1252",
        "\t",
        ["Notes"],
    )
    assert found["columns"] == {"Task ID": "id", "Owner": "assignedTo"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--map", "Owner"), "'Owner' is not a pair: write it as 'Owner=assignedTo'"),
        (("--set", "high"), "'high' sets nothing: write it as priority=high"),
        (("--set", "done=1", "--set", "done=0"), "--set has two values for the same name"),
        (("--now", "soon"), "'soon' is not a date-time"),
        (("--time", "25:00"), "'25:00' is not a time of day"),
        (("--encoding", "utf-9"), "'utf-9' is not an encoding"),
        (("--delimiter", "ab"), "'ab' can't be a delimiter"),
    ],
)
def test_nonsensical_flag_is_a_usage_error(write: Write, flags: tuple[str, ...], says: str) -> None:
    """A flag with a wrong value exits with 2 and explains what is wrong."""
    done = bulkupdate("check", write("a.csv", "id", "a"), *flags)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.slow
def test_standard_input_accepts_any_format() -> None:
    """Standard input may be a compressed file or a spreadsheet."""
    with (CORPUS / "edits.csv.gz").open("rb") as packed:
        done = subprocess.run(
            [*COMMAND, "check", "-"], stdin=packed, capture_output=True, text=True,
            env=environment(), check=False,
        )  # fmt: skip
    assert "stdin: gzip, CSV, UTF-8, comma" in done.stderr
    with (CORPUS / "hidden-sheet.xlsx").open("rb") as book:
        done = subprocess.run(
            [*COMMAND, "run", "-", "--sandbox", "--out", "s.run"], stdin=book,
            capture_output=True, text=True, env=environment(), check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path("s.run/stdin.xlsx").exists()
