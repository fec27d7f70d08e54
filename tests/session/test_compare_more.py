"""`compare` where something goes wrong: refused and doubtful writes, late lists, edited inputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.sandbox.team import BadUpdateError, Team
from tests.session.test_compare import bench_of, compared, images, last

Write = Callable[..., Path]


def refuse(monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    """Let the server refuse each update that sets this title."""
    update = Team.update

    def picky(team: Team, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("title") == title:
            raise BadUpdateError(400, "Bad params")
        return update(team, body)

    monkeypatch.setattr(Team, "update", picky)


def lose_answers(monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    """Lose the answer to each update that sets this title. The server applies it."""
    send = TaskClient.send

    async def losing(self: TaskClient, update: Any, **how: Any) -> Any:
        answer = await send(self, update, **how)
        if update.title == title:
            raise errors.RequestTimeoutError("no answer in time")
        return answer

    monkeypatch.setattr(TaskClient, "send", losing)


async def test_refused_write_meets_no_expectation(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that expects what a refused row would have left is a conflict."""
    path = write("edits.csv", "id,title,expect.title", "opp_1,A,T1", "opp_1,B,A", "opp_1,C,T1")
    async with bench_of() as bench:
        refuse(monkeypatch, "A")
        await compared(bench, path)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "C"
    outcomes = [last()[row]["outcome"] for row in (1, 2, 3)]
    assert outcomes == ["failed", "conflict", "updated"]


async def test_doubtful_write_needs_no_second_image(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a write in doubt, the value before it stays the newest image of the field."""
    path = write("edits.csv", "id,title", "opp_1,A", "opp_1,B")
    lose_answers(monkeypatch, "A")
    async with bench_of() as bench:
        await compared(bench, path)
        assert bench.sandbox.team.tasks["opp_1"]["title"] == "B"
    assert last()[1]["outcome"] == "unconfirmed"
    assert images() == [{"row": 1, "id": "opp_1", "before": {"title": "T1"}}]
