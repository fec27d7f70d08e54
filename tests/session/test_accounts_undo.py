"""Taking back runs with accounts: a task is an id of one account, and goes back with its key."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import InputError, RunDirectoryError
from bulkupdate.journal import AccountSummary
from bulkupdate.reader import Format, Input, ReadOptions, format_to_write
from bulkupdate.session.undo import Undone, undo_run
from tests.support.overwriting import Overwriting

NAMES = ("acme", "globex")


def part(**settings: Any) -> AccountSummary:
    """The part of an account in a summary."""
    defaults = {"base_url": "https://api.lemlist.com/api", "rows": 1, "counts": {}}
    return AccountSummary(**{**defaults, **settings})


def save(run: Overwriting, **teams: str | None) -> Path:
    """Write the directory of a run with an account for each team."""
    return run.save(accounts={name: part(team=team) for name, team in teams.items()})


def of_both(name: str = "edits.run") -> Overwriting:
    """A run that has changed a task of the same id in two accounts."""
    run = Overwriting(name)
    run.write(1, "opp_1", {"title": "Old of acme"}, {"title": "New"}, account="acme")
    run.write(2, "opp_1", {"title": "Old of globex"}, {"title": "New"}, account="globex")
    return run


def taken_back(*paths: Path, **options: Any) -> tuple[list[dict[str, Any]], Undone]:
    """The rows of the file that takes runs back, and what is told of it."""
    undone = undo_run(paths, "undo.jsonl", overwrite=True, **options)
    return [json.loads(line) for line in Path("undo.jsonl").read_text().splitlines()], undone


def test_same_ids_of_two_accounts_go_back_each_to_its_own() -> None:
    """The images of one account are not those of the other."""
    rows, undone = taken_back(save(of_both(), acme="tea_a", globex="tea_b"))
    mark = {"bulkupdate_accounts": "yes"}
    assert rows == [
        {
            "id": "opp_1",
            "account": name,
            "title": f"Old of {name}",
            "expect": {"title": "New"},
            **mark,
        }
        for name in NAMES
    ]
    assert (undone.tasks, undone.accounts) == (2, {"acme": 1, "globex": 1})
    assert list(rows[0])[:2] == ["id", "account"]


def test_log_line_of_one_account_is_no_write_of_the_other() -> None:
    """A row that stays for good in one account takes nothing from the row of the other."""
    run = Overwriting()
    run.write(1, "opp_1", {"title": "Old"}, {"title": "New"}, account="acme")
    run.result(2, "opp_1", sent={"title": "Newer"}, account="globex")
    rows, undone = taken_back(save(run, acme=None, globex=None))
    assert [(row["account"], row["expect"]) for row in rows] == [("acme", {"title": "New"})]
    # No image shows what stood there in globex.
    assert [found.named for found in undone.left_out.values()] == [["globex: opp_1 title"]]


@pytest.mark.parametrize("name", ["undo.csv", "undo.jsonl", "undo.xlsx"])
def test_file_reads_back_with_accounts_and_is_refused_without(name: str) -> None:
    """Its rows never go to the one key of another run."""
    undo_run(save(of_both(), acme=None, globex=None), name)
    format_ = format_to_write(Path(name))
    given = None if format_ is Format.XLSX else format_
    with Input.open(Path(name), options=ReadOptions(format=given, accounts=NAMES)) as source:
        rows = [*source.rows()]
    assert [(row.account, row.id) for row in rows] == [(name, "opp_1") for name in NAMES]
    assert [row.expect for row in rows] == [{"title": "New"}] * 2
    with (
        pytest.raises(InputError, match="is of a run with accounts: set accounts"),
        Input.open(Path(name), options=ReadOptions(format=given)) as source,
    ):
        next(source.rows())


def test_columns_begin_with_id_and_account() -> None:
    """The mark is the last column, and blank."""
    undo_run(save(of_both(), acme=None, globex=None), "undo.csv")
    with Path("undo.csv").open(encoding="utf-8-sig", newline="") as file:
        header, first, *_ = csv.reader(file)
    assert header == ["id", "account", "title", "expect.title", "bulkupdate_accounts=yes"]
    assert first == ["opp_1", "acme", "Old of acme", "New", ""]


def test_several_runs_go_back_to_the_value_before_the_first() -> None:
    """Each account has its own chain of values."""
    first, second = of_both("1.run"), Overwriting("2.run")
    second.write(1, "opp_1", {"title": "New"}, {"title": "Newest"}, account="globex")
    paths = save(first, acme="tea_a", globex="tea_b"), save(second, globex="tea_b")
    rows, _ = taken_back(*paths)
    assert {row["account"]: (row["title"], row["expect"]["title"]) for row in rows} == {
        "acme": ("Old of acme", "New"),
        "globex": ("Old of globex", "Newest"),
    }


def test_runs_with_and_without_accounts_are_refused_together() -> None:
    """One file can't be sent in both ways."""
    plain = Overwriting("2.run")
    plain.write(1, "opp_1", {"title": "Old"}, {"title": "New"})
    paths = [save(of_both("1.run"), acme=None, globex=None), plain.save()]
    with pytest.raises(RunDirectoryError, match=r"^1.run had accounts, and 2.run one key\. Take"):
        undo_run(paths, "undo.jsonl")
    assert not Path("undo.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"team": "tea_c"}, r"more than one team, for account globex: 1.run \(tea_b\), 2.run"),
        ({"base_url": "https://other.example/api"}, "more than one server, for account globex: 1"),
    ],
)
def test_account_of_another_team_or_server_is_refused(change: dict[str, str], says: str) -> None:
    """A name may have got another key since. Other accounts may differ in both."""
    first, second = of_both("1.run"), of_both("2.run")
    paths = [
        save(first, acme="tea_a", globex="tea_b"),
        second.save(accounts={"globex": part(**{"team": "tea_b", **change})}),
    ]
    with pytest.raises(RunDirectoryError, match=says):
        undo_run(paths, "undo.jsonl")


def test_rule_of_a_row_is_told_by_its_own_account() -> None:
    """A row of another rule in one account does not stand in the way in another."""
    run = Overwriting()
    for row, name in enumerate(NAMES, 1):
        run.write(row, "opp_1", {"title": "Old"}, {"title": "New"}, account=name, rule="Late")
    run.write(3, "opp_1", {"title": "New"}, {"title": "Other"}, account="globex", rule="Else")
    rows, undone = taken_back(save(run, acme=None, globex=None), rules="Late")
    assert [row["account"] for row in rows] == ["acme"]
    assert [found.named for found in undone.left_out.values()] == [["globex: opp_1 title"]]
