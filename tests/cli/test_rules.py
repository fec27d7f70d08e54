"""Tests of rules as the input of `check`, `plan` and `run`: what is printed, and the exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Serving, all_updated, bulkupdate, serving

#: Each starts processes.
pytestmark = pytest.mark.slow

RULES = """\
timezone = "Europe/Paris"

[[rule]]
name = "Ben is away"
until = 2026-11-30
select = { assignedTo = ["ben.keller@example.com"] }
set = { assignedTo = ["anna.martin@example.com", "zoe.laurent@example.com"] }
"""


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are not spaced, and the rules are there."""
    monkeypatch.setenv("BULKUPDATE_RATE", "none")
    Path("nightly.toml").write_text(RULES)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Serving]:
    """A sandbox with the made-up team, which no test here changes."""
    with serving("--rate", "none") as server:
        yield server


def test_check_shows_the_rules() -> None:
    """It needs no key, and names the command that shows more."""
    done = bulkupdate("check", "nightly.toml")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "nightly.toml: 1 rule, days of Europe/Paris\n"
        "  1. Ben is away (until 2026-11-30)\n"
        "what they would change: bulkupdate plan nightly.toml\n"
    )
    done = bulkupdate("check", "nightly.toml", "--json", "-q")
    assert json.loads(done.stdout) == {"timezone": "Europe/Paris", "rules": ["Ben is away"]}


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_wrong_rules_are_refused_with_each_problem(command: str) -> None:
    """Nothing is asked for, and no directory is left."""
    Path("nightly.toml").write_text(RULES.replace("select", "selct").replace("Paris", "Pari"))
    done = bulkupdate(command, "nightly.toml", LEMLIST_API_KEY="k", LEMLIST_BASE_URL="http://[::1]")
    assert done.returncode == 2
    assert "nightly.toml, line 6: rule 1: selct" in done.stderr
    assert "line 1: timezone" in done.stderr
    assert [*Path().iterdir()] == [Path("nightly.toml")]


@pytest.mark.parametrize("command", ["check", "plan", "run"])
@pytest.mark.parametrize(
    "flags", [("--map", "a=title"), ("--set", "title=New"), ("--timezone", "UTC"), ("--only", "id")]
)
def test_flags_of_a_file_of_edits_are_refused(command: str, flags: tuple[str, str]) -> None:
    """They say how rows are read."""
    done = bulkupdate(command, "nightly.toml", *flags, LEMLIST_API_KEY="k")
    assert done.returncode == 2
    assert f"{flags[0]} is of a file of edits, not of a file of rules" in done.stderr


def test_problems_need_rows() -> None:
    """A file of rules has none."""
    done = bulkupdate("check", "nightly.toml", "--problems", "p.csv")
    assert done.returncode == 2
    assert "--problems is of a file of edits" in done.stderr


def test_plan_shows_who_gets_what(sandbox: Serving) -> None:
    """Rule by rule, then the first tasks, then the numbers."""
    now = ("--now", "2026-11-30T23:00")
    done = bulkupdate("plan", "nightly.toml", *now, **sandbox.environment)
    assert done.returncode == 0
    assert (
        "rule 'Ben is away': selects 83 tasks, changes 83\n"
        "  get: zoe.laurent@example.com 42, anna.martin@example.com 41\n"
        "  give: ben.keller@example.com 83\n"
    ) in done.stderr
    assert "assignedTo ben.keller@example.com → zoe.laurent@example.com\n" in done.stderr
    assert "83 tasks would change, of 417 listed" in done.stderr
    done = bulkupdate("plan", "nightly.toml", *now, "--json", "-q", **sandbox.environment)
    found = json.loads(done.stdout)
    assert found["rules"]["Ben is away"]["selected"] == 83
    assert {change["rule"] for change in found["changes"]} == {"Ben is away"}


def test_now_is_of_the_time_zone_of_the_rules(sandbox: Serving) -> None:
    """On the first of December there, the rule does not hold any more."""
    now = ("--now", "2026-12-01T00:00")
    done = bulkupdate("plan", "nightly.toml", *now, **sandbox.environment)
    assert done.returncode == 0
    assert "rule 'Ben is away' does not hold today: until 2026-11-30" in done.stderr
    assert "0 tasks would change" in done.stderr
    at = ("--now", "2026-11-30T23:00Z")
    done = bulkupdate("plan", "nightly.toml", *at, **sandbox.environment)
    assert "0 tasks would change" in done.stderr


def test_plan_of_too_much_is_shown_and_refused(sandbox: Serving) -> None:
    """What a night would refuse ends with 2, and names both ways out."""
    text = RULES.replace('{ assignedTo = ["ben.keller@example.com"] }', "{}")
    Path("nightly.toml").write_text(text)
    now = ("--now", "2026-11-20T12:00")
    done = bulkupdate("plan", "nightly.toml", *now, **sandbox.environment)
    assert done.returncode == 2
    assert "selects 417 of 417 listed tasks, more than half" in done.stderr
    assert "set max_changes in the file, or --yes" in done.stderr
    done = bulkupdate("run", "nightly.toml", *now, **sandbox.environment)
    assert done.returncode == 2
    assert "more than half" in done.stderr
    assert [*Path().iterdir()] == [Path("nightly.toml")]


def test_dry_run_is_the_plan(sandbox: Serving) -> None:
    """It needs no `--compare`, since rules are compared in any case."""
    now = ("--now", "2026-11-20T12:00")
    done = bulkupdate("run", "nightly.toml", "--dry-run", *now, **sandbox.environment)
    assert done.returncode == 0
    assert "83 tasks would change, of 417 listed" in done.stderr


def test_nights_follow_each_other() -> None:
    """A night sends what its rules change, a second one nothing, and undo takes it back."""
    now = ("--now", "2026-11-20T12:00")
    with serving("--rate", "none") as server:
        done = bulkupdate("run", "nightly.toml", *now, "--out", "1.run", **server.environment)
        assert done.returncode == 0
        assert "note: rule 'Ben is away': selects 83 tasks, changes 83\n" in done.stderr
        assert all_updated(done.stderr, 83)
        done = bulkupdate("run", "nightly.toml", *now, "--out", "2.run", **server.environment)
        assert done.returncode == 0
        assert "selects 0 tasks, changes 0" in done.stderr
        assert bulkupdate("undo", "1.run", "-o", "undo.csv").returncode == 0
        done = bulkupdate("run", "undo.csv", "--compare", **server.environment)
        assert (done.returncode, "83 updated" in done.stderr) == (0, True)
        later = ("--now", "2026-11-21T12:00", "--resume", "--out", "1.run")
        done = bulkupdate("run", "nightly.toml", *later, **server.environment)
        assert done.returncode == 2
        assert "is of 2026-11-20 (Europe/Paris), and it is 2026-11-21" in done.stderr


def test_rules_may_be_tried_with_the_made_up_team() -> None:
    """`--sandbox` needs no key and no server."""
    flags = ("--sandbox", "--now", "2026-11-20T12:00", "--rate", "none")
    done = bulkupdate("run", "nightly.toml", *flags)
    assert done.returncode == 0
    assert all_updated(done.stderr, 83)
