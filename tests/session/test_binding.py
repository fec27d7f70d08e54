"""A run that began with one team is not continued with another's key."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from bulkupdate import errors
from bulkupdate.journal.directory import Mode
from bulkupdate.models import Reason
from bulkupdate.sandbox.server import Sandbox
from tests.support.bench import Bench, edits

Write = Callable[..., Path]


def kept() -> tuple[str | None, str | None]:
    """What the run directory says about the team and the key."""
    summary = json.loads(Path("edits.run/summary.json").read_text())
    return summary["team"], summary["key_hash"]


async def test_run_is_bound_to_its_team(write: Write) -> None:
    """After an answer has shown that the key is good, the team's id and a hash are kept."""
    async with Bench() as bench:
        bench.sandbox.team.id = "tea_a"
        await bench.run(edits(write, 3))
    team, key_hash = kept()
    assert team == "tea_a"
    assert bench.sandbox.config.key not in (key_hash or "right-key")


async def test_another_key_of_the_team_continues(write: Write) -> None:
    """A key that was replaced, of the same team, goes on with the run."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path, first=3)
    _, before = kept()
    async with Bench(key="new-key") as bench:
        summary = await bench.run(path, key="new-key", mode=Mode.RESUME)
    assert (summary.exit_code, summary.requests) == (0, 3)
    assert kept()[1] not in (None, before)


@pytest.mark.parametrize("changed_key", [False, True])
async def test_key_of_another_team_is_refused(write: Write, changed_key: bool) -> None:
    """Nothing is sent with another team's key, whatever is allowed."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path, first=3)
    before = kept()
    async with Bench(key="other") as bench:
        bench.sandbox.team.id = "tea_b"
        with pytest.raises(errors.RunDirectoryError, match="this key is of team tea_b"):
            await bench.run(path, key="other", mode=Mode.RESUME, changed_key=changed_key)
        assert bench.seen == []
    assert kept() == before
    async with Bench() as bench:
        assert (await bench.run(path, mode=Mode.RESUME)).counts["updated"] == 6


async def test_wrong_key_binds_nothing(write: Write) -> None:
    """A key that was never accepted does not keep the right one out."""
    path = edits(write, 3)
    async with Bench() as bench:
        refused = await bench.run(path, key="wrong")
        assert (refused.stopped_by, kept()) == (Reason.KEY_REFUSED, (None, None))
        assert (await bench.run(path, mode=Mode.RESUME)).exit_code == 0


def closed(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], web.Response]) -> None:
    async def team(_: Sandbox, __: web.Request) -> web.Response:
        return answer()

    monkeypatch.setattr(Sandbox, "_team", team)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=402, text="upgrade"),
        lambda: web.Response(status=403, text="closed"),
        lambda: web.Response(status=404, text="none"),
        lambda: web.Response(text="<!DOCTYPE html>", content_type="text/html"),
        lambda: web.json_response({"name": "no id", "hooks": ["https://secret.example"]}),
        lambda: web.json_response([]),
    ],
)
async def test_unreadable_team_leaves_a_hash(
    write: Write, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], web.Response]
) -> None:
    """Where the team can't be read, only the same key continues, or a flag that says so."""
    closed(monkeypatch, answer)
    monkeypatch.setattr("tests.support.bench.RetryPolicy", few_attempts)
    path = edits(write, 9)
    async with Bench() as bench:
        await bench.run(path, first=3)
        team, key_hash = kept()
        assert (team, bool(key_hash)) == (None, True)
        assert (await bench.run(path, mode=Mode.RESUME, first=3)).exit_code == 0
    async with Bench(key="other") as bench:
        with pytest.raises(errors.RunDirectoryError, match="changed_key continues"):
            await bench.run(path, key="other", mode=Mode.RESUME)
        assert bench.seen == []
        summary = await bench.run(path, key="other", mode=Mode.RESUME, changed_key=True)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 9)
    assert "secret" not in Path("edits.run/summary.json").read_text()


def few_attempts(**_: object) -> object:
    from bulkupdate.engine.settings import RetryPolicy

    return RetryPolicy(max_attempts=2, first_backoff=0.001, longest_backoff=0.01)


async def test_run_of_an_older_version_continues(write: Write) -> None:
    """A directory that knows no team is continued with any key that works."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path, first=3)
    file = Path("edits.run/summary.json")
    summary = json.loads(file.read_text())
    del summary["team"], summary["key_hash"], summary["has_sent"]
    file.write_text(json.dumps(summary))
    async with Bench(key="other") as bench:
        bench.sandbox.team.id = "tea_b"
        assert (await bench.run(path, key="other", mode=Mode.RESUME)).exit_code == 0
    assert kept()[0] == "tea_b"


async def test_slow_team_delays_nothing_and_leaves_a_hash(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is known again as soon as a row was updated, whatever becomes of the team."""
    hangs = asyncio.Event()

    async def team(_: Sandbox, __: web.Request) -> web.Response:
        await hangs.wait()
        return web.json_response({"_id": "tea_late"})

    monkeypatch.setattr(Sandbox, "_team", team)
    path = edits(write, 6)
    async with Bench() as bench:
        summary = await bench.run(path, first=3, drain_timeout=0.2)
        hangs.set()
        assert (summary.exit_code, summary.team, bool(summary.key_hash)) == (0, None, True)
    async with Bench(key="other") as bench:
        with pytest.raises(errors.RunDirectoryError, match="changed_key continues"):
            await bench.run(path, key="other", mode=Mode.RESUME)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=401, text="no"),
        lambda: web.Response(status=503, headers={"Retry-After": "3600"}),
        lambda: web.json_response({"_id": "opp_1", "title": "T1"}),
    ],
)
async def test_route_of_the_team_never_stops_a_run(
    write: Write, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], web.Response]
) -> None:
    """What the side route says is no matter of the rows, and a Task is no team."""
    closed(monkeypatch, answer)
    monkeypatch.setattr("bulkupdate.session.binding._BETWEEN", 0)
    async with Bench() as bench:
        summary = await bench.run(edits(write, 30))
        assert len(bench.asked) <= 3
    assert (summary.exit_code, summary.counts["updated"], summary.team) == (0, 30, None)


async def test_refused_key_leaves_the_directory_as_it_was(write: Write) -> None:
    """Nothing in the run directory changes when another team's key is refused."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path, first=3)
    Path("edits.run/report.html").write_text("a report")
    write("edits.csv", "id,title", "opp_1,edited", *(f"opp_{n},T{n}" for n in range(2, 7)))
    before = {file.name: file.read_bytes() for file in Path("edits.run").iterdir()}
    async with Bench(key="other") as bench:
        bench.sandbox.team.id = "tea_b"
        with pytest.raises(errors.RunDirectoryError, match="tea_b"):
            await bench.run(path, key="other", mode=Mode.RESUME, changed_input=True)
    assert {file.name: file.read_bytes() for file in Path("edits.run").iterdir()} == before


async def test_outage_is_not_taken_for_an_unreadable_team(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server is down, nobody is told to skip the check."""
    path = edits(write, 6)
    async with Bench() as bench:
        await bench.run(path, first=3)
    monkeypatch.setattr("bulkupdate.session.binding._BETWEEN", 0)
    closed(monkeypatch, lambda: web.Response(status=503))
    async with Bench(key="other") as bench:
        with pytest.raises(errors.RunStoppedError, match="can't be told"):
            await bench.run(path, key="other", mode=Mode.RESUME)
    async with Bench(key="other") as bench:
        with pytest.raises(errors.RunStoppedError, match="can't be told"):
            await bench.run(path, key="wrong", mode=Mode.RESUME)


async def test_allowed_key_binds_once_it_is_accepted(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that `changed_key` allows and the server refuses does not loosen the binding."""
    closed(monkeypatch, lambda: web.Response(status=404))
    path = edits(write, 9)
    async with Bench() as bench:
        await bench.run(path, first=3)
        before = kept()
        refused = await bench.run(path, key="wrong", mode=Mode.RESUME, changed_key=True)
        assert (refused.stopped_by, kept()) == (Reason.KEY_REFUSED, before)
