"""`plan` with a file: what it holds, and that it protects as much as the file it was made from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.reader import EditsFile, Format, Input, ReadOptions
from bulkupdate.session.plan import made_plan, plan_edits
from bulkupdate.session.planfile import write_plan
from bulkupdate.ui.planned import change_lines
from tests.session.test_compare import bench_of, compared, patches
from tests.support.bench import KEY, Bench

Write = Callable[..., Path]
IMAGES = '"images": ["https://a.example/1.png"]'


async def planned(bench: Bench, path: Path, to: Path, **settings: Any) -> EditsFile:
    """Plan a file of edits, and write the plan to another one."""
    endpoint = Endpoint(api_key=ApiKey(KEY), base_url=bench.sandbox.base_url)
    with Input.open(path, options=ReadOptions(people=True)) as source:
        async with made_plan(source, endpoint, rate=None, **settings) as plan:
            return await write_plan(plan, to, Format(to.suffix[1:]), has_mark=False)


def expectations(path: Path) -> dict[str, Any]:
    """What the rows of a file expect, by task."""
    with Input.open(path) as source:
        return {row.id: row.expect for row in source.rows()}


async def test_plan_expects_what_its_rows_expect(write: Write) -> None:
    """An expectation on a field that no row sets stands in the plan, as the tasks are before it."""
    path = write(
        "edits.csv",
        "id,title,assignedTo,expect.assignedTo,expect.title",
        "opp_1,New,,anna@acme.example,",
        "opp_2,A,,usr_anna,T2",
        "opp_2,B,usr_ben,,A",
        "opp_3,New,,,",
        "opp_4,T4,usr_ben,,X",
    )
    async with bench_of() as bench:
        await planned(bench, path, Path("plan.csv"))
        assert expectations(Path("plan.csv")) == {
            "opp_1": {"title": "T1", "assignedTo": "usr_anna"},
            "opp_2": {"title": "T2", "assignedTo": "usr_anna"},
            "opp_3": {"title": "T3"},
            "opp_4": {"title": "T4", "assignedTo": "usr_anna"},
        }
        bench.sandbox.team.tasks["opp_1"]["userId"] = "usr_ben"
        summary = await compared(bench, Path("plan.csv"), out="plan.run")
        assert "opp_1" not in {body["id"] for body in patches(bench)}
    assert (summary.counts["conflict"], summary.counts["updated"]) == (1, 3)


async def test_renewed_plan_expects_what_is_there(write: Write) -> None:
    """With `renew`, an expectation is that of the value found, also on a field that is not set."""
    path = write("edits.csv", "id,title,expect.title,expect.assignedTo", "opp_1,New,Old,usr_ben")
    async with bench_of() as bench:
        await planned(bench, path, Path("plan.jsonl"), renew=True)
    assert expectations(Path("plan.jsonl")) == {"opp_1": {"title": "T1", "assignedTo": "usr_anna"}}


async def test_expectations_of_other_fields_are_shown(write: Write) -> None:
    """What a plan takes for its expectations stands beside the changes, with people by name."""
    rows = "opp_1,New,Old,usr_ben", "opp_2,New,,"
    path = write("edits.csv", "id,title,expect.title,expect.assignedTo", *rows)
    async with bench_of() as bench:
        endpoint = bench.config(path).only_account.endpoint()
        async with plan_edits(path, endpoint, rate=None, renew=True) as plan:
            shown = [*change_lines(plan)]
    assert shown == [
        "~ opp_1 'T1'  title 'T1' → 'New'  expects assignedTo anna@acme.example",
        "~ opp_2 'T2'  title 'T2' → 'New'",
    ]


async def test_media_are_in_a_plan_or_named(write: Write) -> None:
    """JSONL holds images. From a CSV file, a task with images is left out, and counted."""
    rows = f'{{"id": "opp_1", "title": "New", {IMAGES}}}', '{"id": "opp_2", "title": ""}'
    path = write("edits.jsonl", *rows)
    async with bench_of() as bench:
        file = await planned(bench, path, Path("plan.csv"))
        assert (file.rows, dict(file.left_out.counts)) == (1, {"images": 1})
        file = await planned(bench, path, Path("plan.jsonl"))
        assert (file.rows, file.left_out.counts) == (2, {})
    first = json.loads(Path("plan.jsonl").read_text().splitlines()[0])
    assert first["images"] == ["https://a.example/1.png"]


async def test_media_that_fit_no_update_together_are_in_two_rows(write: Write) -> None:
    """One row of a task is more than an update takes: the second one has the rest, and ends it."""
    images = [f"https://a.example/{n}.png" for n in range(4)]
    videos = [f"https://a.example/{n}.mp4" for n in range(4)]
    rows = [
        {"id": "opp_1", "title": "New", "images": images},
        {"id": "opp_1", "videos": videos, "done": True},
    ]
    path = write("edits.jsonl", *map(json.dumps, rows))
    async with bench_of() as bench:
        bench.sandbox.team.tasks["opp_1"]["type"] = "linkedinSend"
        await planned(bench, path, Path("plan.jsonl"))
        summary = await compared(bench, Path("plan.jsonl"), out="plan.run")
        assert patches(bench) == rows
        bench.sandbox.team.add("opp_1", "linkedinSend")["title"] = "By another hand"
        await compared(bench, Path("plan.jsonl"), out="again.run")
        assert len(patches(bench)) == 2
    assert summary.counts["updated"] == 2


async def test_merged_rows_take_one_request(write: Write) -> None:
    """Where a run would merge the rows of a task, its plan counts them as one request."""
    path = write("edits.csv", "id,title", "opp_1,A", "opp_1,B", "opp_2,A")
    async with bench_of() as bench:
        endpoint = bench.config(path).only_account.endpoint()
        with Input.open(path, options=ReadOptions(people=True)) as source:
            async with made_plan(source, endpoint, rate=None, merge=True) as plan:
                planned_requests = plan.requests
        await compared(bench, path, merge_duplicates=True)
        assert planned_requests == len(patches(bench)) == 2
