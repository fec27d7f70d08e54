"""The rows of a rule alone are taken back, over several nights, and beside other rules."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, JournalError
from bulkupdate.session.overwritten import Obstacle
from bulkupdate.session.undo import Undone, undo_run
from tests.session.test_compare import bench_of, compared
from tests.session.test_night import NOW, night
from tests.support.bench import Bench
from tests.support.overwriting import Overwriting

AWAY, OTHER = "Ben is away", "Nothing is of low priority"


def taken_back(
    *runs: Overwriting | Path, rules: Any = (AWAY,)
) -> tuple[list[dict[str, Any]], Undone]:
    """The rows of the file that takes rules back, and what is told of it."""
    paths = [run if isinstance(run, Path) else run.save() for run in runs]
    undone = undo_run(paths, "undo.jsonl", rules=rules, overwrite=True)
    return [json.loads(line) for line in Path("undo.jsonl").read_text().splitlines()], undone


def titles(before: str, after: str) -> list[dict[str, Any]]:
    """The row that takes one title back."""
    return [{"id": "opp_1", "title": before, "expect": {"title": after}}]


def write(run: Overwriting, row: int, values: str, rule: str | None = AWAY, **more: Any) -> None:
    """Add a request for the title of a task: `A B` writes B over A, and `B` over an unseen one."""
    *before, after = values.split()
    if before:
        run.image(row, "opp_1", {"title": before[0]}, {"title": after})
    if rule is not None:
        more["rule"] = rule
    run.result(row, "opp_1", sent={"title": after}, **more)


def nights(*written: tuple[str, str | None]) -> list[Overwriting]:
    """Nights with one request each, and the rule of it."""
    runs = []
    for number, (values, rule) in enumerate(written):
        runs.append(Overwriting(f"{number}.run"))
        write(runs[-1], 1, values, rule)
    return runs


def edits(path: Path, *rows: tuple[str, str | None]) -> None:
    """Write the edits of a night: the id and the rule of each."""
    lines = [{"id": id_, "title": "New", "bulkupdate_rule": rule} for id_, rule in rows]
    (path / "edits.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_rows_of_other_rules_are_left_alone() -> None:
    """Only the rows of the rules that were named are taken back."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "1"}, {"title": "New"}, rule=AWAY)
    run.write(2, "opp_2", {"title": "2"}, {"title": "New"}, rule=OTHER)
    run.write(3, "opp_3", {"title": "3"}, {"title": "New"})
    path = run.save()
    for rules, ids in (
        ([AWAY], ["opp_1"]),
        (OTHER, ["opp_2"]),
        ((OTHER, AWAY), ["opp_1", "opp_2"]),
        ((), ["opp_1", "opp_2", "opp_3"]),
    ):
        rows, undone = taken_back(path, rules=rules)
        assert [row["id"] for row in rows] == ids
        assert not undone.unknown_rule.counts


def test_field_goes_back_over_all_nights_of_a_rule() -> None:
    """If each night found what the one before it had left, it goes back before the first."""
    rows, undone = taken_back(*nights(("A B", AWAY), ("B C", AWAY), ("C D", AWAY)))
    assert rows == titles("A", "D")
    assert not undone.changed.counts


@pytest.mark.parametrize("later", [OTHER, None])
def test_field_that_another_rule_wrote_later_is_left_out(later: str | None) -> None:
    """It is named; the other fields of the task go back."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    first.write(
        1, "opp_1", {"title": "A", "priority": "0"}, {"title": "B", "priority": "2"}, rule=AWAY
    )
    write(second, 1, "B C", later)
    rows, undone = taken_back(first, second)
    assert rows == [{"id": "opp_1", "priority": "0", "expect": {"priority": "2"}}]
    assert undone.left_out[Obstacle.OVERTAKEN].named == ["opp_1 title"]


@pytest.mark.parametrize("outcome", ["unconfirmed", "failed"])
def test_doubtful_later_write_of_another_rule_leaves_it_to_the_run(outcome: str) -> None:
    """If it was applied, the value that the rule has left is not there: the row is a conflict."""
    first, second = nights(("A B", AWAY), ("B C", OTHER))
    second.results[0]["outcome"] = outcome
    rows, undone = taken_back(first, second)
    assert rows == titles("A", "B")
    assert not undone.left_out


def test_undo_that_was_sent_is_not_made_twice() -> None:
    """If the run of an undo is among the runs, what it has taken back is left out."""
    rows, undone = taken_back(*nights(("A B", AWAY), ("B C", AWAY), ("C A", None)))
    assert rows == []
    assert undone.left_out[Obstacle.OVERTAKEN].counts == {"title": 1}


def test_other_run_between_two_rows_of_a_run_leaves_doubt() -> None:
    """A run takes a value that it has left before for its own, though another has left it since."""
    first, second = Overwriting("1.run"), Overwriting("2.run")
    write(first, 1, "A B")
    write(second, 1, "B C", OTHER)
    write(second, 2, "C B", OTHER)
    write(first, 2, "D")
    rows, undone = taken_back(first, second)
    assert rows == []
    assert undone.left_out[Obstacle.UNKNOWN].named == ["opp_1 title"]


@pytest.mark.parametrize("between", [OTHER, None])
def test_field_that_another_rule_wrote_in_between_goes_back_to_that(between: str | None) -> None:
    """What another rule, or a row without one, has left stays in force."""
    rows, undone = taken_back(*nights(("A B", AWAY), ("B C", between), ("C D", AWAY)))
    assert rows == titles("C", "D")
    assert undone.changed.named == ["opp_1 title"]


def test_value_that_two_rules_left_is_of_the_later_one() -> None:
    """A value that a rule once wrote, and another rule again, is not taken for the first."""
    written = ("A B", AWAY), ("B C", OTHER), ("C B", OTHER), ("B D", AWAY)
    rows, undone = taken_back(*nights(*written))
    assert rows == titles("B", "D")
    assert undone.changed.named == ["opp_1 title"]


def test_other_rule_before_the_first_night_is_no_change_between_writes() -> None:
    """The value that it left is the one to go back to, as if there were no other run."""
    rows, undone = taken_back(*nights(("A B", OTHER), ("B C", AWAY), ("C D", AWAY)))
    assert rows == titles("B", "D")
    assert not undone.changed.counts


@pytest.mark.parametrize(("found", "first"), [("C", "C"), ("B", "A")])
def test_other_rule_in_doubt_counts_where_its_value_was_found(found: str, first: str) -> None:
    """A request of another rule that was never applied breaks no chain."""
    runs = [Overwriting(f"{number}.run") for number in range(3)]
    write(runs[0], 1, "A B")
    write(runs[1], 1, "B C", OTHER, outcome="unconfirmed")
    write(runs[2], 1, f"{found} D")
    assert taken_back(*runs)[0] == titles(first, "D")


def test_value_that_another_rule_in_doubt_left_is_not_of_an_older_night() -> None:
    """It was probably left by that rule: the field goes back no further."""
    runs = nights(("A C", AWAY), ("B C", OTHER), ("C D", AWAY))
    runs[1].results[0]["outcome"] = "unconfirmed"
    assert taken_back(*runs)[0] == titles("C", "D")


def test_rules_of_one_run_that_wrote_one_field_are_told_apart() -> None:
    """A run writes no image of what it has left itself: its log tells it."""
    run = Overwriting()
    write(run, 1, "A B", OTHER)
    write(run, 2, "C")
    path = run.save()
    assert taken_back(path)[0] == titles("B", "C")
    assert taken_back(path, rules=OTHER)[0] == []
    assert taken_back(path, rules=[OTHER, AWAY])[0] == titles("A", "C")


def test_value_that_a_doubtful_row_of_another_rule_left_is_not_known() -> None:
    """Where it is not known which of two values stood there, nothing is taken back."""
    run = Overwriting()
    write(run, 1, "A B", OTHER, outcome="unconfirmed")
    write(run, 2, "C")
    rows, undone = taken_back(run)
    assert rows == []
    assert undone.left_out[Obstacle.UNKNOWN].named == ["opp_1 title"]


def test_image_of_a_refused_row_of_another_rule_serves() -> None:
    """What stood before a refused request stands before the next one too."""
    run = Overwriting()
    write(run, 1, "A B", OTHER, outcome="failed")
    write(run, 2, "C")
    assert taken_back(run)[0] == titles("A", "C")


def test_request_without_a_result_is_of_the_rule_of_its_edit() -> None:
    """The edits of the night tell the rule of a request that was killed."""
    run = Overwriting()
    for row in (1, 2):
        run.image(row, f"opp_{row}", {"title": "Old"}, {"title": "New"})
    path = run.save(rows=2)
    edits(path, ("opp_1", AWAY), ("opp_2", OTHER))
    rows, undone = taken_back(path)
    assert rows == titles("Old", "New")
    assert not undone.unknown_rule.counts


@pytest.mark.parametrize("outcome", ["unchanged", "conflict"])
def test_later_result_tells_the_rule_of_a_killed_request(outcome: str) -> None:
    """A session that resumed the run has written the rule, though it sent nothing."""
    run = Overwriting()
    run.image(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.result(1, "opp_1", outcome, rule=AWAY)
    assert taken_back(run)[0] == titles("Old", "New")


@pytest.mark.parametrize("known", [[], [("opp_9", AWAY)]])
def test_request_whose_rule_no_file_tells_is_named(known: list[tuple[str, str]]) -> None:
    """Without edits, or with those of other tasks, it is not known whose request was killed."""
    run = Overwriting()
    run.image(1, "opp_1", {"title": "Old"}, {"title": "New"})
    run.write(2, "opp_2", {"title": "Old"}, {"title": "New"}, rule=AWAY)
    path = run.save()
    if known:
        edits(path, *known)
    rows, undone = taken_back(path)
    assert [row["id"] for row in rows] == ["opp_2"]
    assert undone.unknown_rule.named == ["opp_1 title"]


def test_request_for_rows_of_two_rules_is_of_none() -> None:
    """Merged rows went out as one request: which field is of which rule is not known."""
    run = Overwriting()
    run.result(1, "opp_1", sent_with=2, rule=AWAY)
    run.write(2, "opp_1", {"title": "Old"}, {"title": "New"}, merged=[1], rule=OTHER)
    run.result(3, "opp_2", sent_with=4, rule=AWAY)
    run.write(4, "opp_2", {"title": "Old"}, {"title": "New"}, merged=[3], rule=AWAY)
    rows, undone = taken_back(run)
    assert [row["id"] for row in rows] == ["opp_2"]
    assert undone.unknown_rule.named == ["opp_1 title"]


def test_rule_that_no_run_has_is_refused() -> None:
    """The message has the nearest name, and the rules that are there."""
    run = Overwriting()
    write(run, 1, "A B")
    path = run.save()
    edits(path, ("opp_1", AWAY), ("opp_2", OTHER))
    with pytest.raises(ConfigError) as caught:
        taken_back(path, rules=[AWAY, "ben is awy"])
    assert str(caught.value) == (
        "rules: no row is of a rule 'ben is awy': did you mean 'Ben is away'?"
        " (rules of these runs: 'Ben is away', 'Nothing is of low priority')"
    )
    assert not Path("undo.jsonl").exists()
    assert taken_back(path, rules=OTHER)[1].tasks == 0


def test_runs_without_rules_have_none_to_take_back() -> None:
    """A run of a file of edits has no rule, and an empty name is none."""
    run = Overwriting()
    write(run, 1, "A B", None)
    with pytest.raises(ConfigError, match=r"rules of these runs: none"):
        taken_back(run, rules=[""])


def test_only_some_rules_are_named_in_a_message() -> None:
    """A file of edits may have any number of them."""
    run = Overwriting()
    for number in range(1, 12):
        write(run, number, "A B", f"rule {number}")
    with pytest.raises(ConfigError, match=r"'rule 10', …\)$"):
        taken_back(run)


def test_damaged_edits_of_a_night_are_an_error() -> None:
    """Rows of the rule could be missing."""
    run = Overwriting()
    write(run, 1, "A B")
    (run.save() / "edits.jsonl").write_bytes(b"PK\x03\x04")
    with pytest.raises(JournalError, match=r"edits\.jsonl"):
        taken_back(run.path)


TWO_RULES = f"""
timezone = "Europe/Paris"
max_changes = "100%"

[[rule]]
name = "{AWAY}"
select = {{ assignedTo = ["ben@acme.example"] }}
set = {{ assignedTo = ["anna@acme.example"] }}

[[rule]]
name = "{OTHER}"
select = {{ priority = "0" }}
set = {{ priority = "2" }}
"""


def two_rules() -> Path:
    path = Path("nightly.toml")
    path.write_text(TWO_RULES)
    return path


def owners(bench: Bench) -> list[str]:
    return [str(task["userId"]) for task in bench.sandbox.team.tasks.values()]


async def test_tasks_are_given_back_after_an_absence() -> None:
    """Two nights gave Ben's tasks to Anna. One that she passed on meanwhile stays with Carl."""
    async with bench_of(4) as bench:
        tasks = bench.sandbox.team.tasks
        for id_ in ("opp_1", "opp_2"):
            tasks[id_].update(userId="usr_ben")
        tasks["opp_4"].update(priority=0)
        await night(bench, two_rules(), out="1.run")
        tasks["opp_3"].update(userId="usr_ben")
        await night(bench, two_rules(), NOW + timedelta(days=1), out="2.run")
        assert owners(bench) == ["usr_anna"] * 4
        tasks["opp_2"].update(userId="usr_carl")

        undone = undo_run(["1.run", "2.run"], "back.csv", rules=AWAY)
        summary = await compared(bench, Path("back.csv"))
        assert undone.counts == {"assignedTo": 3}
        assert (summary.counts["updated"], summary.counts["conflict"]) == (2, 1)
        assert owners(bench) == ["usr_ben", "usr_carl", "usr_ben", "usr_anna"]
        assert tasks["opp_4"]["priority"] == 2


async def test_killed_night_is_taken_back_by_rule() -> None:
    """A night whose log was lost after its requests: its images and edits tell all."""
    async with bench_of(3) as bench:
        bench.sandbox.team.tasks["opp_1"].update(userId="usr_ben")
        bench.sandbox.team.tasks["opp_2"].update(priority=0)
        await night(bench, two_rules(), out="1.run")
        Path("1.run/results.jsonl").write_bytes(b"")
        undone = undo_run("1.run", "back.csv", rules=AWAY)
        assert (undone.tasks, undone.unknown_rule.counts) == (1, {})
        await compared(bench, Path("back.csv"))
        assert owners(bench) == ["usr_ben", "usr_anna", "usr_anna"]
