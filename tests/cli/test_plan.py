"""`bulkupdate plan`: its output and its exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import bulkupdate, serving, serving_two

#: Each starts processes.
pytestmark = pytest.mark.slow

Write = Callable[..., Path]

#: The first tasks of the sandbox's own team, with its first members.
ONE, TWO = "opp_cc59f197f5832d74d", "opp_13f6e732d8c5534bf"


def test_plan_is_shown_task_by_task(write: Write) -> None:
    """Old and new of each task, then the numbers, and last what a plan can't know."""
    write(
        "edits.csv",
        "id,assignedTo,dueDate,title,done",
        f"{ONE},ben.keller@example.com,2026-12-01T09:00+01:00,,",
        f"{TWO},,,Task 2,true",
        "opp_nowhere,,,x,",
    )
    with serving() as server:
        done = bulkupdate("plan", "edits.csv", "--timezone", "Europe/Paris", **server.environment)
    said = done.stderr
    assert done.returncode == 1
    assert (
        f"~ {ONE} 'Task 1'  assignedTo anna.martin@example.com → ben.keller@example.com"
        "  dueDate Mon 05 Jan 2026 09:00 → Tue 01 Dec 2026 09:00"
    ) in said
    assert f"~ {TWO} 'Task 2'  done open → done" in said
    assert "row 3, opp_nowhere: the server does not list the task" in said
    assert "1 row in conflict: not listed 1" in said
    assert "2 tasks would change" in said
    assert "new owners: ben.keller@example.com 1" in said
    assert "completes 1 task, which can't be taken back" in said
    assert "  up to 3 requests that edit (0.3 s): only what differs is sent" in said
    assert "  2 requests, at least 0.2 s" in said
    assert said.splitlines()[-1].startswith("a plan can't know what others change from now on")
    assert done.stdout == ""


def test_long_texts_are_shown_where_they_differ(write: Write) -> None:
    """Two e-mails that begin alike are told apart, in a plan and in a conflict."""
    long = "Hello this is about the offer of last week: " * 40
    write("first.csv", "id,message", f"{ONE},{long}", f"{TWO},{long}")
    write("edits.csv", "id,message,expect.message", f"{ONE},{long}PS,", f"{TWO},New,{long}PS")
    with serving() as server:
        bulkupdate("run", "first.csv", **server.environment)
        done = bulkupdate("plan", "edits.csv", **server.environment)
    assert f"~ {ONE} 'Task 1'  message …'f last week: ' → …'f last week: PS'" in done.stderr
    assert "message is …'t the offer of last week: ', and …" in done.stderr
    assert max(map(len, done.stderr.splitlines())) < 250


def test_dry_run_that_compares_is_a_plan(write: Write) -> None:
    """`run --dry-run --compare` shows the same as `plan`."""
    write("edits.csv", "id,title", f"{ONE},New")
    with serving() as server:
        plan = bulkupdate("plan", "edits.csv", **server.environment)
        dry = bulkupdate("run", "edits.csv", "--dry-run", "--compare", **server.environment)
    assert (plan.returncode, plan.stderr) == (dry.returncode, dry.stderr)
    assert plan.returncode == 0


def test_json_holds_every_change(write: Write) -> None:
    """`--json` prints one object with all changes, before and after."""
    write("edits.csv", "id,title", f"{ONE},New", f"{TWO},New")
    with serving() as server:
        done = bulkupdate("plan", "edits.csv", "--json", "-q", **server.environment)
    found = json.loads(done.stdout)
    assert found["changes"] == [
        {"id": ONE, "before": {"title": "Task 1"}, "after": {"title": "New"}},
        {"id": TWO, "before": {"title": "Task 2"}, "after": {"title": "New"}},
    ]
    assert (found["tasks"], found["fields"], done.stderr) == (2, {"title": 2}, "")


@pytest.mark.parametrize(
    ("lines", "arguments", "code", "said"),
    [
        (("id,title", f"{ONE},New"), (), 0, "1 task would change"),
        (("id,title", f"{ONE},Task 1"), (), 0, "1 row already so"),
        (("id,title,expect.title", f"{ONE},New,Other"), (), 1, "in conflict"),
        (("id,title,expect.title", f"{ONE},New,Other"), ("--renew",), 0, "1 task would change"),
        (("id,priority", f"{ONE},urgent"), (), 2, "is not a priority"),
        (("id,assignedTo", f"{ONE},Anna"), (), 2, "is no member of the team: did you mean Anna"),
        (("id,titel", f"{ONE},x"), (), 2, "unknown column 'titel'"),
        (("id,title", f"{ONE},New"), ("-o", "edits.csv", "--overwrite"), 2, "is the input"),
        (("id,title", f"{ONE},New"), ("-o", "p.txt"), 2, "give it one of the suffixes"),
        (("id,title", f"{ONE},New"), ("-o", "edits.csv"), 2, "--overwrite replaces it"),
    ],
)
def test_exit_codes(
    write: Write, lines: tuple[str, ...], arguments: tuple[str, ...], code: int, said: str
) -> None:
    """0: it could be sent; 1: a row conflicts; 2: something is wrong with the input or a flag."""
    write("edits.csv", *lines)
    with serving() as server:
        done = bulkupdate("plan", "edits.csv", *arguments, **server.environment)
    assert done.returncode == code
    assert said in done.stderr
    assert not Path("p.txt").exists()


def test_unreadable_tasks_exit_with_3(write: Write) -> None:
    """Tasks that can't be read, as with a key that is refused, end with 3, and write no file."""
    write("edits.csv", "id,title", f"{ONE},New")
    with serving() as server:
        variables = {**server.environment, "LEMLIST_API_KEY": "wrong"}
        refused = bulkupdate("plan", "edits.csv", "-o", "p.csv", **variables)
    assert refused.returncode == 3
    assert "unauthorized" in refused.stderr
    assert not Path("p.csv").exists()


def test_values_that_a_file_cannot_hold_are_named(write: Write) -> None:
    """A row whose expectation no CSV cell holds is not in the file, and a .jsonl file holds it."""
    write("edits.jsonl", {"id": ONE, "title": "=1+1"}, {"id": TWO, "title": "New"})
    with serving() as server:
        text = bulkupdate("plan", "edits.jsonl", "-o", "p.csv", **server.environment)
        lines = bulkupdate("plan", "edits.jsonl", "-o", "p.jsonl", **server.environment)
    assert f"not in it: title 1 ({ONE} title)" in text.stderr
    assert "p.csv: 1 row; " in text.stderr
    assert "not in it" not in lines.stderr
    assert len(Path("p.jsonl").read_text().splitlines()) == 2


def test_plan_is_refused_where_a_run_would_be(write: Write) -> None:
    """`--skip-invalid` leaves rows out of a plan, and `--max-changes` refuses it, with numbers."""
    rows = f"{ONE},New,,", f"{TWO},New,bne@example.com,", f"{TWO},New,,urgent"
    write("edits.csv", "id,title,assignedTo,priority", *rows)
    few = ("--skip-invalid", "--max-changes", "0")
    with serving() as server:
        for flags, code, said in (
            ((), 2, "priority 'urgent': is not a priority"),
            (few, 2, "p.csv is not written: 1 task would change: --max-changes is 0"),
        ):
            done = bulkupdate("plan", "edits.csv", "-o", "p.csv", *flags, **server.environment)
            assert (done.returncode, said in done.stderr) == (code, True)
            assert not Path("p.csv").exists()
        done = bulkupdate("plan", "edits.csv", "-o", "p.csv", few[0], **server.environment)
        assert (done.returncode, "p.csv: 1 row" in done.stderr) == (1, True)
        dry = bulkupdate("run", "edits.csv", "--dry-run", "--compare", *few, **server.environment)
    assert dry.returncode == 2
    assert "1 task would change: --max-changes is 0" in dry.stderr


#: The rows of two accounts that have tasks of the same ids.
OF_TWO = ("account,id,title", f"acme,{ONE},New", f"globex,{ONE},Newer", f"globex,{TWO},Task 2")


def test_plan_of_accounts_is_shown_by_account(write: Write) -> None:
    """Also where one may only be read, and by `run --dry-run --compare`. JSON names accounts."""
    write("edits.csv", *OF_TWO)
    given = ("edits.csv", "--accounts", "accounts.toml")
    with serving("--rate", "none") as server, serving_two(server) as two:
        done = bulkupdate("plan", *given, "-o", "plan.csv", **two)
        dry = bulkupdate("run", *given, "--dry-run", "--compare", **two)
        as_json = bulkupdate("plan", *given, "--json", "-q", **two)
        one = bulkupdate("plan", "plan.csv", *given[1:], **{**two, "ACME_KEY": ""})
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    lines = done.stderr.splitlines()
    first = lines.index("acme: 1 task would change")
    assert lines[first + 1] == f"~ {ONE} 'Task 1'  title 'Task 1' → 'New'"
    assert lines[first + 2] == "globex: 1 task would change; 1 row already so"
    assert lines[first + 3] == f"~ {ONE} 'Task 1'  title 'Task 1' → 'Newer'"
    assert lines[first + 4] == "2 tasks would change"
    assert (
        "plan.csv: 2 rows; to send: bulkupdate run plan.csv --compare --accounts accounts.toml"
    ) in lines
    assert "acme and globex are one team" in done.stderr
    assert dry.returncode == 0
    assert dry.stderr.splitlines() == [line for line in lines if not line.startswith("plan.csv")]
    found = json.loads(as_json.stdout)
    assert found["changes"] == [
        {
            "id": ONE,
            "account": name,
            "before": {"title": "Task 1"},
            "after": {"title": title},
        }
        for name, title in (("acme", "New"), ("globex", "Newer"))
    ]
    assert (found["tasks"], found["unread"]) == (2, {})
    assert {name: part["already"] for name, part in found["accounts"].items()} == {
        "acme": 0,
        "globex": 1,
    }
    assert one.returncode == 2
    assert "account 'acme': $ACME_KEY is empty" in one.stderr


def test_account_that_can_not_be_read_ends_the_plan_with_3(write: Write) -> None:
    """The others are shown, and no file is written."""
    write("edits.csv", *OF_TWO)
    given = ("plan", "edits.csv", "--accounts", "accounts.toml", "-o", "plan.csv", "--json")
    with serving("--rate", "none") as server, serving_two(server) as two:
        done = bulkupdate(*given, **{**two, "GLOBEX_KEY": "wrong"})
    assert done.returncode == 3
    assert f"~ {ONE} 'Task 1'  title 'Task 1' → 'New'" in done.stderr
    assert "plan.csv is not written: account globex: the key is refused" in done.stderr
    assert not Path("plan.csv").exists()
    found = json.loads(done.stdout)
    assert [one["account"] for one in found["changes"]] == ["acme"]
    assert list(found["unread"]) == ["globex"]
