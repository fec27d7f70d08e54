"""A reading is judged by what the last run of the same input and account has seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.journal.directory import Mode
from bulkupdate.journal.summary import Summary
from bulkupdate.session.listed import recall_listed
from bulkupdate.session.parts import parts_of
from bulkupdate.session.settings import ChangeLimit, RunConfig
from bulkupdate.stop import Stop
from tests.session.test_compare import bench_of, compared, patches
from tests.support.bench import Bench

Write = Callable[..., Path]


def listed_before(config: RunConfig) -> int | None:
    """Number of tasks that the run is judged by."""
    (part,) = parts_of(config, Stop(), None).values()
    recall_listed(config, [part])
    return part.listed


async def whole(bench: Bench, path: Path, **settings: Any) -> Summary:
    """A run that reads the whole list, although it shows all tasks of the file early."""
    return await compared(bench, path, max_changes=ChangeLimit(percent=100), **settings)


async def test_nights_are_judged_by_the_night_before(write: Write) -> None:
    """Each night has a directory of its own: a list that lost most of its tasks is found."""
    path = write("edits.csv", "id,title", "opp_1,T1", "opp_9,New")
    async with bench_of() as bench:
        await whole(bench, path, out="1.run")
        for task in ("opp_3", "opp_4", "opp_5"):
            del bench.sandbox.team.tasks[task]
        summary = await whole(bench, path, out="2.run")
        assert "lists 2 tasks, and listed 5 before" in (summary.reason or "")
        again = await whole(bench, path, out="3.run")
        assert (summary.exit_code, again.exit_code, patches(bench)) == (3, 3, [])
        # What is accepted once is what the next night is judged by.
        await whole(bench, path, out="4.run", allow_few=True)
        assert (await whole(bench, path, out="5.run")).exit_code == 1


@pytest.mark.parametrize("mode", [Mode.NEW, Mode.OVERWRITE])
async def test_run_that_begins_again_is_judged_by_the_one_before(write: Write, mode: Mode) -> None:
    """A run that takes the place of one that sent nothing still knows how much that one saw."""
    path = write("edits.csv", "id,title", "opp_1,T1", "opp_2,T2")
    async with bench_of() as bench:
        await whole(bench, path)
        for task in ("opp_3", "opp_4", "opp_5"):
            del bench.sandbox.team.tasks[task]
        for _ in range(2):
            assert (await whole(bench, path, mode=mode)).exit_code == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": "https://api.example.com"},
        {"key_hash": None},
        {"key_hash": "00:00"},
        {"listed": None},
        {"sandbox": True},
        {"input": {"path": "other.csv"}},
    ],
)
async def test_runs_of_others_do_not_count(write: Write, changed: dict[str, Any]) -> None:
    """Runs of another account or input tell nothing, and a file that is broken stops nothing."""
    path = write("edits.csv", "id,title", "opp_1,T1")
    async with bench_of() as bench:
        await whole(bench, path, out="1.run")
        await whole(bench, path, out="2.run")
        config = bench.config(path, out="3.run", compare=True)
    summary = Path("2.run/summary.json")
    found = json.loads(summary.read_text())
    assert listed_before(config) == found["listed"] == 5
    found["input"] |= changed.get("input", {})
    summary.write_text(json.dumps({**found, "listed": 7, **changed, "input": found["input"]}))
    assert listed_before(config) == 5
    summary.write_text("{")
    assert listed_before(config) == 5


@pytest.mark.parametrize(("left", "code"), [(3, 0), (2, 0), (1, 3)])
async def test_half_of_the_tasks_is_enough(write: Write, left: int, code: int) -> None:
    """Only less than half of the last list is taken for a broken server."""
    path = write("edits.csv", "id,title", "opp_1,T1")
    async with bench_of(4) as bench:
        await whole(bench, path, out="1.run")
        for number in range(left + 1, 5):
            del bench.sandbox.team.tasks[f"opp_{number}"]
        assert (await whole(bench, path, out="2.run")).exit_code == code
