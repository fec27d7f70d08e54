"""The commands that are suggested after a run with conflicts."""

from pathlib import Path

import pytest

from bulkupdate.cli.next_lines import next_lines
from bulkupdate.cli.run import run_command
from bulkupdate.codec import replaced
from bulkupdate.journal import AccountSummary, read_summary
from bulkupdate.models import Reason, State
from tests.support.commands import bulkupdate, serving
from tests.support.compared import CONFLICT, not_sent
from tests.support.runs import run_directory

pytestmark = pytest.mark.slow

LOOK = "look at the conflicts in edits.run/failed.csv: each row says why it was not sent\n"
AGAIN = "to try the same rows again: bulkupdate run edits.csv --out edits.run --resume"


def ending(*rows: str) -> str:
    """The last lines of a run of these rows, of which the first one conflicts."""
    Path("edits.csv").write_text("id,title\n" + "".join(f"{one},x\n" for one in rows))
    Path("team.csv").write_text("id,title\nopp_1,x\nopp_2,x\n")
    with serving("--tasks", "team.csv", "--rate", "none") as sandbox:
        bulkupdate("run", "edits.csv", **sandbox.environment)
        not_sent({1: CONFLICT})
        done = bulkupdate("run", "edits.csv", "--resume", **sandbox.environment)
    assert done.returncode == 1, done.stderr
    return done.stderr.partition("results: ")[2]


def test_conflicts_alone_are_to_look_at_and_try_again() -> None:
    """Where rows only conflict, their file is not offered as an input."""
    text = ending("opp_1", "opp_2")
    assert "to look at: edits.run/failed.csv (1 row)\n" in text
    assert text.endswith(f"{LOOK}{AGAIN} --retry-failed\n")
    assert "once it is fixed" not in text


def test_conflicts_beside_failed_rows_come_first() -> None:
    """Where other rows failed too, the ways to go on are those of failed rows."""
    text = ending("opp_1", "opp_2", "opp_none")
    assert "to fix and run again: edits.run/failed.csv (2 rows)\n" in text
    fixed = "once it is fixed: bulkupdate run edits.run/failed.csv\n"
    assert text.endswith(f"{LOOK}{fixed}or, {AGAIN} --retry-failed\n")


def test_stopped_retry_of_failed_rows_goes_on_with_them() -> None:
    """Without the flag, a command that continues would not come to the rows that are left."""
    Path("edits.csv").write_text("id,title\nopp_1,x\nopp_2,x\n")
    Path("team.csv").write_text("id,title\nopp_none,x\n")
    with serving("--tasks", "team.csv", "--rate", "none") as sandbox:
        done = bulkupdate("run", "edits.csv", **sandbox.environment)
        assert done.returncode == 1, done.stderr
        wrong = sandbox.environment | {"LEMLIST_API_KEY": "wrong"}
        done = bulkupdate("run", "edits.csv", "--resume", "--retry-failed", **wrong)
    assert done.returncode == 3, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == f"continue with: {AGAIN.partition(': ')[2]} --retry-failed"


def test_variable_for_other_commands_is_no_flag_of_the_next_one() -> None:
    """`run` takes the file of a DSN with a shared limit alone."""
    Path("edits.csv").write_text("id,title\nopp_none,x\n")
    Path("team.csv").write_text("id,title\nopp_1,x\n")
    with serving("--tasks", "team.csv", "--rate", "none") as sandbox:
        variables = sandbox.environment | {"BULKUPDATE_DSN_FILE": "dsn"}
        done = bulkupdate("run", "edits.csv", **variables)
    assert done.returncode == 1
    assert "once it is fixed: bulkupdate run edits.run/failed.csv\n" in done.stderr


def test_accounts_that_a_night_left_out_need_another_run() -> None:
    """Resuming would evaluate no rule, so it is not offered."""
    for name in ("acme", "globex"):
        with Path("accounts.toml").open("a") as file:
            file.write(f'[{name}]\napi_key_env = "{name.upper()}"\n')
    Path("r.toml").write_text(
        'timezone = "UTC"\naccount = "*"\nmax_changes = 500\n[[rule]]\nname = "Bens"\n'
        'select = { assignedTo = "ben.keller@acme.example" }\nset = { priority = 2 }\n'
    )
    flags = ("--accounts", "accounts.toml", "--sandbox", "--yes", "--rate", "none")
    done = bulkupdate("run", "r.toml", *flags)
    assert done.returncode == 3, done.stderr
    assert "globex: r.toml, line 6: rule 1" in done.stderr
    last = "for the accounts that were left out: run the same again with another --out\n"
    assert done.stderr.endswith(last)


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (
            Reason.TOO_MANY_CHANGES,
            "if all of these changes are meant: bulkupdate run edits.csv --accounts accounts.toml"
            " --out edits.run --resume --max-changes N",
        ),
        (
            Reason.INVALID_ROWS,
            "to leave invalid rows out: bulkupdate run edits.csv --accounts accounts.toml"
            " --max-changes 3 --out edits.run --resume --skip-invalid",
        ),
        (
            Reason.KEY_REFUSED,
            "continue with: bulkupdate run edits.csv --accounts accounts.toml --max-changes 3"
            " --out edits.run --resume",
        ),
    ],
)
def test_next_command_does_not_end_as_the_accounts_did(reason: Reason, line: str) -> None:
    """Where something stopped accounts that a flag decides, the command has that flag."""
    parts = {
        name: AccountSummary(base_url="https://a.example", rows=1, counts={}, stopped_by=stopped_by)
        for name, stopped_by in (("acme", reason), ("globex", None))
    }
    directory = run_directory(
        Path("edits.run"),
        [],
        state=State.STOPPED,
        stopped_by=Reason.ACCOUNTS_STOPPED,
        accounts=parts,
    )
    given = ["edits.csv", "--accounts", "accounts.toml", "--max-changes", "3"]
    ctx = run_command.make_context("run", given)
    summary = replaced(read_summary(directory), directory="edits.run")
    assert [*next_lines(ctx, summary)] == [line]
