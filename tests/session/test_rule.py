"""The name of the rule that a row comes from, from the input to the results and the summary."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.journal.directory import Mode
from tests.session.test_compare import bench_of, compared
from tests.support.bench import Bench, results_in

Write = Callable[..., Path]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as one:
        yield one


def line(task: str, rule: object, **more: Any) -> str:
    return json.dumps({"id": task, **more, "bulkupdate_rule": rule})


def rules_in(directory: str = "edits.run") -> dict[int, str | None]:
    """The rule in the last line of each row."""
    return {one["row"]: one.get("rule") for one in results_in(Path(directory))}


async def test_results_carry_the_rule_of_their_row(write: Write) -> None:
    """Rows that were sent, rows that were right and rows that conflict have the rule's name."""
    path = write(
        "edits.jsonl",
        line("opp_1", "Ben is away", title="New"),
        line("opp_2", "Ben is away", title="T2"),
        line("opp_3", "Spread", title="New", expect={"title": "Old"}),
        line("opp_4", "  ", title="New"),
    )
    async with bench_of() as bench:
        summary = await compared(bench, path)
    assert rules_in() == {1: "Ben is away", 2: "Ben is away", 3: "Spread", 4: None}
    assert summary.rules == {
        "Ben is away": {"updated": 1, "unchanged": 1},
        "Spread": {"conflict": 1},
    }
    assert json.loads(Path("edits.run/summary.json").read_text())["rules"] == summary.rules


async def test_column_of_a_table_names_the_rule(write: Write, bench: Bench) -> None:
    """A CSV file names the rule in a column that is not sent; invalid rows keep it."""
    path = write(
        "edits.csv", "id,bulkupdate_rule,done", "opp_1,Ben is away,yes", "opp_2,Spread,maybe",
        "opp_3,,yes",
    )  # fmt: skip
    summary = await bench.run(path, skip_invalid=True)
    assert rules_in() == {1: "Ben is away", 2: "Spread", 3: None}
    assert summary.rules == {"Ben is away": {"updated": 1}, "Spread": {"invalid": 1}}
    assert all("rule" not in one["sent"] for one in results_in(Path("edits.run")) if "sent" in one)


async def test_merged_rows_keep_their_own_rules(write: Write, bench: Bench) -> None:
    """Each row of a merged request has the rule that it came with."""
    path = write(
        "edits.jsonl", line("opp_1", "first", title="A"), line("opp_1", "second", done=True)
    )
    await bench.run(path, merge_duplicates=True)
    assert rules_in() == {1: "first", 2: "second"}


async def test_resumed_run_counts_the_rules_of_all_sessions(write: Write, bench: Bench) -> None:
    """A later session counts the rows that earlier ones have settled."""
    path = write("edits.jsonl", *(line(f"opp_{n}", "Spread", done=True) for n in range(1, 4)))
    first = await bench.run(path, first=1)
    assert first.rules == {"Spread": {"updated": 1}}
    second = await bench.run(path, mode=Mode.RESUME)
    assert second.rules == {"Spread": {"updated": 3}}


@pytest.mark.parametrize("wrong", [None, 7, ["Spread"], {"name": "x"}, ""])
async def test_what_is_no_text_names_no_rule(write: Write, bench: Bench, wrong: object) -> None:
    """A value that is no text is ignored, as in every version."""
    await bench.run(write("edits.jsonl", line("opp_1", wrong, done=True)))
    (result,) = results_in(Path("edits.run"))
    assert "rule" not in result


async def test_any_text_may_name_a_rule(write: Write, bench: Bench) -> None:
    """A name is written as it is; what can't be encoded is written as an escape."""
    names = ["é 🙂 <b>&", "=1+1", "a\nb", "lone \ud800"]
    path = write(
        "edits.jsonl", *(line(f"opp_{n}", name, done=True) for n, name in enumerate(names))
    )
    summary = await bench.run(path)
    assert list(rules_in().values()) == [*names[:3], "lone \\ud800"]
    assert list(summary.rules) == [*names[:3], "lone \\ud800"]
