"""Messages about comparing: what to do next, and what does not go together."""

from pathlib import Path

import pytest

from tests.support.commands import bulkupdate, serving

pytestmark = pytest.mark.slow

IDS = ("opp_cc59f197f5832d74d", "opp_13f6e732d8c5534bf")


def edits(*rows: str) -> Path:
    """A file of edits that set titles."""
    path = Path("edits.csv")
    path.write_text("id,title\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_too_many_changes_name_the_command_that_allows_them() -> None:
    """The same command would be refused again, so that the next one has another limit."""
    path = edits(*(f"{task},New" for task in IDS))
    with serving("--rate", "none") as sandbox:
        command = ("run", path, "--compare", "--rate", "none")
        refused = bulkupdate(*command, "--max-changes", "1", **sandbox.environment)
        assert refused.returncode == 2
        [line] = [line for line in refused.stderr.splitlines() if "are meant: " in line]
        assert "continue with" not in refused.stderr
        _, _, after = line.partition("bulkupdate ")
        again = after.removesuffix("N").split()
        assert again.count("--max-changes") == 1
        done = bulkupdate(*again, "2", **sandbox.environment)
    assert done.returncode == 0, done.stderr


def test_dry_run_on_a_sandbox_is_refused_with_compare() -> None:
    """A plan reads a server: `--sandbox` must not mean lemlist's."""
    path = edits(f"{IDS[0]},New")
    with serving("--rate", "none") as sandbox:
        done = bulkupdate("run", path, "--compare", "--dry-run", "--sandbox", **sandbox.environment)
    assert done.returncode == 2
    assert "leave out --sandbox" in done.stderr


def test_plan_of_one_row_says_how_to_send_it() -> None:
    """The line about the file has the number of rows, and the command that sends it."""
    path = edits(f"{IDS[0]},New", f"{IDS[1]},Task 2")
    with serving("--rate", "none") as sandbox:
        done = bulkupdate("plan", path, "-o", "plan.csv", **sandbox.environment)
    assert done.returncode == 0
    assert "plan.csv: 1 row; to send: bulkupdate run plan.csv --compare\n" in done.stderr


def test_command_for_a_plan_can_be_pasted() -> None:
    """It quotes the file's name, and names a run directory that is free."""
    path = edits(f"{IDS[0]},New")
    Path("my plan.run").mkdir()
    with serving("--rate", "none") as sandbox:
        done = bulkupdate("plan", path, "-o", "my plan.csv", **sandbox.environment)
    command = "bulkupdate run 'my plan.csv' --compare --out 'my plan-2.run'"
    assert f"my plan.csv: 1 row; to send: {command}\n" in done.stderr


def test_what_only_a_comparison_can_do_names_its_flag() -> None:
    """Expectations and addresses are refused without `--compare`, before anything is asked for."""
    path = edits("opp_1,New")
    path.write_text("id,title,expect.title\nopp_1,New,Old\n")
    environment = {"LEMLIST_API_KEY": "key", "LEMLIST_BASE_URL": "http://127.0.0.1:9"}
    done = bulkupdate("run", path, **environment)
    assert (done.returncode, "which only --compare judges" in done.stderr) == (2, True)
    path.write_text("id,assignedTo\nopp_1,ben@example.com\n")
    done = bulkupdate("run", path, **environment)
    assert (done.returncode, "with --compare takes the address too" in done.stderr) == (2, True)
