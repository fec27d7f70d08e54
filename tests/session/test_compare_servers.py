"""`compare` and what is not known of lemlist: the same comes out, whichever way a server is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal.directory import Mode
from bulkupdate.sandbox import AfterLast, Order, Team, Unknown
from bulkupdate.sandbox.team import BadUpdateError
from bulkupdate.session.compare import Comparison
from bulkupdate.session.undo import undo_run
from tests.session.test_compare import RUN, bench_of, compared, images, last, patches
from tests.support.bench import Notes

Write = Callable[..., Path]


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize(
    "settings", [*({"after_last": after} for after in AfterLast), {"shift": 1}, {"page_size": 100}]
)
async def test_any_list_gives_the_same_requests(
    write: Write, order: Order, settings: dict[str, Any]
) -> None:
    """Pages of any size, in any order, that end in any way or move on while they are read."""
    if order is Order.RANDOM and "page_size" not in settings:
        # Nobody can read such a list whole, page after page. What was not seen is a conflict.
        settings = {**settings, "page_size": 100}
    rows = [f"opp_{n},{'New' if n % 2 else f'T{n}'}" for n in range(1, 13)]
    path = write("edits.csv", "id,title", *rows)
    async with bench_of(12, **{"page_size": 5, **settings, "order": order}) as bench:
        await compared(bench, path)
        assert sorted(body["id"] for body in patches(bench)) == sorted(
            f"opp_{n}" for n in range(1, 13, 2)
        )
    assert [last()[n]["outcome"] for n in (1, 2)] == ["updated", "unchanged"]


@pytest.mark.parametrize(
    ("unknown", "outcome"),
    [
        (Unknown.NOT_FOUND, "failed"),
        (Unknown.BAD_TEAM, "failed"),
        (Unknown.CREATE, "updated"),
    ],
)
async def test_answer_to_an_unlisted_task_decides(
    write: Write, unknown: Unknown, outcome: str
) -> None:
    """Where such rows are sent, the server tells what became of each."""
    path = write("edits.csv", "id,title", "opp_9,New")
    async with bench_of(unknown=unknown) as bench:
        await compared(bench, path, unlisted="send")
        # A first answer of this kind may be about the key, so that it is asked for again.
        assert {body["id"] for body in patches(bench)} == {"opp_9"}
    assert last()[1]["outcome"] == outcome
    assert images() == [{"row": 1, "id": "opp_9", "before": None}]


@pytest.mark.parametrize("reopens", [True, False])
async def test_completed_task_is_reopened_only_where_unlisted_rows_are_sent(
    write: Write, reopens: bool
) -> None:
    """Whether `done: false` reopens a task is not known, so that its row is a conflict."""
    path = write("edits.csv", "id,done", "opp_1,false", "opp_2,false")
    async with bench_of(reopens=reopens) as bench:
        task = bench.sandbox.team.tasks["opp_1"]
        task["status"] = "completed"
        await compared(bench, path, out="1.run")
        assert patches(bench) == []
        summary = await compared(bench, path, out="2.run", unlisted="send")
        assert patches(bench) == [{"id": "opp_1", "done": False}]
        assert (task["status"] == "pending") is reopens
    assert (summary.counts["updated"], summary.counts["unchanged"]) == (1, 1)


@pytest.mark.parametrize("trims", [True, False])
async def test_answer_that_trims_texts_is_what_the_run_left(write: Write, trims: bool) -> None:
    """A later row may expect the text as it was sent, as it was answered, or as it was before."""
    rows = ["opp_1, A ,,T1", "opp_1,,x,T1", "opp_1,,y, A "]
    path = write("edits.csv", "id,title,message,expect.title", *rows)
    async with bench_of(trims=trims) as bench:
        summary = await compared(bench, path)
        assert [body.get("message") for body in patches(bench)] == [None, "x", "y"]
    assert summary.counts["updated"] == 3


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("trims", [True, False])
async def test_trimmed_text_of_a_lost_answer_is_ours(
    write: Write, monkeypatch: pytest.MonkeyPatch, trims: bool, rows: int
) -> None:
    """What a server has made of a text is no value of another hand, and no undo goes back to it."""
    lines = ["opp_1, A ,,T1", "opp_1, A ,x,T1"]
    path = write("edits.csv", "id,title,message,expect.title", *lines[:rows])
    async with bench_of(trims=trims) as bench:
        with monkeypatch.context() as patch:
            update, seen = Team.update, []

            def lost(team: Team, body: dict[str, Any]) -> dict[str, Any]:
                seen.append(update(team, body))
                raise BadUpdateError(500, "Lost")

            patch.setattr(Team, "update", lost)
            # The second row is judged by another reading, which shows what the first has left.
            stale = [True]
            patch.setattr(
                Comparison, "_is_stale", property(lambda _: bool(seen and stale) and stale.pop())
            )
            await compared(bench, path, workers=1, retry=RetryPolicy(max_attempts=1))
        assert [found["outcome"] for found in last().values()] == ["unconfirmed"] * rows
        again = await compared(bench, path, mode=Mode.RESUME, retry_failed=True)
        assert again.exit_code == 0
        shown = [image["before"].get("title") for image in images()]
        assert [title for title in shown if title is not None] == ["T1"]
        undone = undo_run(RUN, "back.jsonl")
        assert undone.counts["title"] == 1
        await compared(bench, Path("back.jsonl"))
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "T1"


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        ({"dueDate": "2026-01-31T07:58:00.000Z"}, "2026-01-31T07:58:00Z"),
        ({"dueDate": "2026-01-31T07:58:00Z"}, "2026-01-31T08:58+01:00"),
        ({"dueDate": "2026-01-31T08:58:00+01:00"}, "2026-01-31T07:58:00.000Z"),
        ({"priority": 2}, "high"),
        ({"priority": "2"}, "2"),
        ({"priority": 0}, "low"),
        ({"priority": None}, "<clear>"),
        ({"priority": ""}, "<clear>"),
        ({"title": None}, "<clear>"),
        ({"content": "Text"}, "Text"),
    ],
)
async def test_value_in_any_spelling_is_already_so(
    write: Write, shown: dict[str, Any], wanted: str
) -> None:
    """Moments and priorities are compared by what they mean, and empty is empty."""
    (name,) = shown
    field = {"content": "message"}.get(name, name)
    path = write("edits.csv", f"id,{field}", f"opp_1,{wanted}")
    async with bench_of() as bench:
        bench.sandbox.team.tasks["opp_1"].update(shown)
        await compared(bench, path)
        assert patches(bench) == []
    assert last()[1]["reason"] == "already"


@pytest.mark.parametrize("version", [1, 2])
async def test_people_are_known_from_either_version_of_the_team(write: Write, version: int) -> None:
    """An old server is asked for each user."""
    path = write("edits.csv", "id,assignedTo", "opp_1,ben@acme.example", "opp_2,Ben Keller")
    async with bench_of(team_version=version) as bench:
        await compared(bench, path)
        assert [body["assignedTo"] for body in patches(bench)] == ["usr_ben"] * 2
        assert len(bench.asked) == (1 if version == 2 else 3) + 1  # once more to bind the run


@pytest.mark.parametrize(
    "closed", [{"team": 402}, {"team": "html"}, {"users": 402}, {"users": "html"}]
)
async def test_closed_side_route_leaves_ids(write: Write, closed: dict[str, Any]) -> None:
    """Tasks can be edited without names: rows with ids are sent, and those with names told."""
    path = write("edits.csv", "id,assignedTo", "opp_1,usr_ben", "opp_2,ben@acme.example")
    async with bench_of(closed=closed, team_version=1, filters_required=True) as bench:
        summary = await compared(bench, path, skip_invalid=True)
        assert patches(bench) == [{"id": "opp_1", "assignedTo": "usr_ben"}]
    assert summary.counts["invalid"] == 1


@pytest.mark.parametrize(
    ("closed", "cure"),
    [
        ({}, "enter members of the team,"),
        ({"team": 402}, "enter ids of"),
        ({"users": 402}, "enter ids of"),
    ],
)
async def test_cure_for_an_invalid_owner_is_one_that_works(
    write: Write, closed: dict[str, Any], cure: str
) -> None:
    """Where names and addresses can't be read, members are told by their ids alone."""
    path = write("edits.csv", "id,assignedTo", "opp_1,carl@acme.example")
    async with bench_of(closed=closed, team_version=1) as bench:
        summary = await compared(bench, path)
    assert f"nothing was sent in this session: {cure}" in (summary.reason or "")


async def test_list_that_moved_is_told(write: Write) -> None:
    """A row whose task the list has missed is a conflict, and why is said."""
    path = write("edits.csv", "id,title", *(f"opp_{number},New" for number in range(1, 41)))
    notes = Notes()
    async with bench_of(40, page_size=10, order=Order.RANDOM, seed=1) as bench:
        summary = await compared(bench, path, observer=notes)
    assert summary.counts["conflict"] > 0
    assert any("moved while it was read" in note for note in notes.said)


async def test_first_invalid_owners_are_told_and_the_rest_counted(write: Write) -> None:
    """Of many rows that name no member, twenty are told one by one."""
    rows = (f"opp_{number},carl@acme.example" for number in range(1, 24))
    notes = Notes()
    async with bench_of(30) as bench:
        await compared(bench, write("edits.csv", "id,assignedTo", *rows), observer=notes)
    told = [note for note in notes.said if "carl@acme.example" in note]
    assert len(told) == 20
    assert notes.said[-1] == "and 3 rows more"
