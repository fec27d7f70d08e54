"""Tests of commands in forks: they are as good as new processes."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import COMMAND, bulkupdate, environment


@pytest.fixture(autouse=True)
def _edits() -> None:
    Path("edits.csv").write_text("id,done\nopp_1,yes\n,no\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        ("--help", None),
        ("check edits.csv", None),
        ("check edits.csv --json", None),
        ("check - --json", "id,done\nopp_é,yes\n"),
        ("check none.csv", None),
        ("run edits.csv --no-such-flag", None),
        ("report edits.csv", None),
    ],
)
def test_fork_answers_as_a_new_process(command: str, stdin: str | None) -> None:
    """A fork reads, prints and exits as a process does that starts with the same arguments."""
    arguments = command.split()
    forked = bulkupdate(*arguments, stdin=stdin, COLUMNS="70")
    started = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin or "",
        capture_output=True,
        text=True,
        env=environment(COLUMNS="70"),
        check=False,
    )
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        started.returncode,
        started.stdout,
        started.stderr,
    )


def test_fork_has_the_directory_and_variables_of_its_call() -> None:
    """A command sees the directory and the variables of its own call, and no others."""
    wrong = "BULKUPDATE_CHECK_NONE"
    assert wrong in bulkupdate("check", "edits.csv", **{wrong: "1"}).stderr
    assert wrong not in bulkupdate("check", "edits.csv").stderr
    Path("sub").mkdir()
    os.chdir("sub")
    assert "no such file" in bulkupdate("check", "edits.csv").stderr


def test_variable_that_python_reads_gets_a_new_process() -> None:
    """A command with a variable that the interpreter reads at its start is started anew."""
    Path("sitecustomize.py").write_text("import os; os._exit(77)")
    assert bulkupdate("--version", PYTHONPATH=".").returncode == 77
