"""Tests of how a list changes while it is read, and of what a change shows, over real HTTP."""

from typing import Any

import pytest

from bulkupdate.sandbox import Order, SandboxConfig, Team
from tests.sandbox.caller import Caller, Clock, calling
from tests.sandbox.test_listing import numbers, page, tasks


async def titles(call: Caller) -> dict[str, str]:
    """The titles on the first page, by the ids of the tasks."""
    return {task["_id"]: task["title"] for task in await page(call, 0)}


async def test_newest_tasks_can_come_first() -> None:
    """The newest task comes first; tasks of the same moment, or of none, keep their order."""
    team = Team(tasks(5))
    for n, created in enumerate(("2026-01-02", None, "2026-01-03", "2026-01-02")):
        team.tasks[f"opp_{n}"]["createdAt"] = created and f"{created}T00:00:00.000Z"
    async with calling(SandboxConfig(rate=None, order=Order.NEWEST), team=team) as call:
        assert numbers(await page(call, 0)) == [2, 0, 3, 1, 4]
    async with calling(SandboxConfig(rate=None, order=Order.TEAM), team=team) as call:
        assert numbers(await page(call, 0)) == [0, 1, 2, 3, 4]


async def test_random_order_differs_at_each_request() -> None:
    """A random order is another one at each request, and the same in each sandbox of a seed."""
    config = SandboxConfig(rate=None, order=Order.RANDOM, seed=4)
    orders = []
    for _ in range(2):
        async with calling(config, team=Team(tasks(20))) as call:
            orders.append([numbers(await page(call, 0)) for _ in range(3)])
    first, second, third = orders[0]
    assert orders[0] == orders[1]
    assert sorted(first) == sorted(second) == sorted(third) == list(range(20))
    assert len({tuple(order) for order in (first, second, third)}) == 3


@pytest.mark.parametrize("order", [Order.TEAM, Order.NEWEST])
async def test_new_tasks_shift_the_rest_of_the_list(order: Order) -> None:
    """After each page, new tasks stand at the beginning, and the end of the page comes again."""
    config = SandboxConfig(rate=None, page_size=4, shift=2, order=order)
    created = "2026-01-01T00:00:00.000Z"
    async with calling(config, team=Team(tasks(6, createdAt=created))) as call:
        first = await page(call, 0)
        second = await page(call, 1)
        top = await page(call, 0)
        assert len(call.sandbox.team.tasks) == 6 + 2 * 3
    assert numbers(first) == [0, 1, 2, 3]
    assert numbers(second) == [2, 3, 4, 5]
    assert [task["title"] for task in top] == [f"New task {n}" for n in (4, 3, 2, 1)]
    assert all(task["createdAt"] > created for task in top)


async def test_new_tasks_meet_the_filters_of_the_reading() -> None:
    """The new tasks are like the first one that was listed; without one they are made up."""
    phone = {"filterId": "type", "in": ["phone"]}
    config = SandboxConfig(rate=None, shift=1)
    team = Team(tasks(2, userId="usr_a"))
    team.tasks["opp_1"]["type"] = "phone"
    async with calling(config, team=team) as call:
        assert numbers(await page(call, 0, phone)) == [1]
        new, old = await page(call, 0, phone)
    assert (new["title"], new["userId"], old["_id"]) == ("New task 1", "usr_a", "opp_1")
    async with calling(config, team=Team()) as call:
        assert await page(call, 0) == []
        assert [task["type"] for task in await page(call, 0)] == ["manual"]


async def test_page_that_does_not_exist_moves_nothing() -> None:
    """Only a page that was read moves the list on."""
    async with calling(SandboxConfig(rate=None, shift=1), team=Team(tasks(1))) as call:
        assert (await call("GET", "/tasks?filters=["))[0] == 400
        assert (await call("GET", "/tasks", key="wrong"))[0] == 401
        assert len(call.sandbox.team.tasks) == 1


async def test_another_user_completes_tasks_between_pages() -> None:
    """After a page, another user completes a pending task, with the given probability."""
    async with calling(SandboxConfig(rate=None, elsewhere=1), team=Team(tasks(3))) as call:
        assert [len(await page(call, 0)) for _ in range(5)] == [3, 2, 1, 0, 0]
        assert all(task["completedAt"] for task in call.sandbox.team.tasks.values())
    left = []
    for _ in range(2):
        config = SandboxConfig(rate=None, elsewhere=0.5, seed=1)
        async with calling(config, team=Team(tasks(50))) as call:
            for _ in range(30):
                await page(call, 0)
            left.append(numbers(await page(call, 0)))
    assert left[0] == left[1]
    assert 25 < len(left[0]) < 45


async def test_list_shows_change_when_lag_is_over() -> None:
    """A change shows in its own answer at once, and in the list when the lag is over."""
    clock = Clock()
    config = SandboxConfig(rate=None, lag=10)
    async with calling(config, team=Team(tasks(1)), clock=clock) as call:
        _, answer, _ = await call("PATCH", body={"id": "opp_0", "title": "A"})
        assert answer["title"] == "A"
        clock.now += 6
        await call("PATCH", body={"id": "opp_0", "title": "B"})
        clock.now += 3.9
        assert await titles(call) == {"opp_0": "T0"}
        clock.now += 0.1
        assert await titles(call) == {"opp_0": "A"}
        clock.now += 6
        assert await titles(call) == {"opp_0": "B"}
        await call("PATCH", body={"id": "opp_0", "priority": 5})
        call.sandbox.team.tasks["opp_0"]["title"] = "C"
        assert await titles(call) == {"opp_0": "C"}


async def test_list_without_lag_shows_change_at_once() -> None:
    """Without a lag, the list shows a change at once."""
    async with calling(team=Team(tasks(1)), clock=Clock()) as call:
        await call("PATCH", body={"id": "opp_0", "title": "A"})
        assert await titles(call) == {"opp_0": "A"}


async def test_lag_holds_for_completed_ignored_and_created() -> None:
    """Tasks that are completed or ignored are listed until the lag is over; new ones are not."""
    clock = Clock()
    config = SandboxConfig(rate=None, lag=10)
    new = {"type": "phone", "assignedTo": "usr_a", "dueDate": "2026-01-31T07:58:00Z"}
    async with calling(config, team=Team(tasks(3)), clock=clock) as call:
        await call("PATCH", body={"id": "opp_0", "done": True})
        await call("POST", "/tasks/ignore", {"ids": ["opp_1", "opp_gone"]})
        _, created, _ = await call("POST", body=new)
        assert numbers(await page(call, 0)) == [0, 1, 2]
        del call.sandbox.team.tasks["opp_1"]
        assert numbers(await page(call, 0)) == [0, 2]
        clock.now += 10
        assert [task["_id"] for task in await page(call, 0)] == ["opp_2", created["_id"]]


@pytest.mark.parametrize(("reopens", "status"), [(True, "pending"), (False, "completed")])
async def test_done_false_reopens_or_is_ignored(reopens: bool, status: str) -> None:
    """`done: false` reopens a completed task or has no effect; other fields change either way."""
    team = Team(tasks(2, status="pending"))
    async with calling(SandboxConfig(rate=None, reopens=reopens), team=team) as call:
        _, done, _ = await call("PATCH", body={"id": "opp_0", "done": True})
        body = {"id": "opp_0", "done": False, "title": "N"}
        _, task, _ = await call("PATCH", body=body)
        _, other, _ = await call("PATCH", body={"id": "opp_1", "done": False})
    assert (task["status"], task["title"]) == (status, "N")
    assert task.get("completedAt") == (None if reopens else done["completedAt"])
    assert "completedAt" not in other
    assert ("completedAt" in task) is not reopens
    assert (done["status"], other["status"]) == ("completed", "pending")


@pytest.mark.parametrize(("trims", "title"), [(True, "x\ny"), (False, " x\ny ")])
async def test_titles_and_messages_may_come_back_trimmed(trims: bool, title: str) -> None:
    """A server that trims shows titles and messages without blanks around them, in each answer."""
    config = SandboxConfig(rate=None, trims=trims)
    new = {"type": "phone", "assignedTo": "usr_a", "dueDate": "2026-01-31T07:58:00Z"}
    shown: list[Any] = []
    async with calling(config, team=Team(tasks(1))) as call:
        body = {"id": "opp_0", "title": " x\ny ", "message": " x\ny ", "priority": ""}
        shown.append((await call("PATCH", body=body))[1])
        shown += await page(call, 0)
        shown.append((await call("POST", body={**new, "title": " x\ny ", "message": " x\ny "}))[1])
    assert {(task["title"], task["content"]) for task in shown} == {(title, title)}
    assert len(shown) == 3


async def test_every_time_of_a_sandbox_is_of_its_clock() -> None:
    """Arrivals and the limit are measured on the clock of the sandbox too."""
    clock, seen = Clock(), list[Any]()
    async with calling(SandboxConfig(), clock=clock, watch=seen.append) as call:
        statuses = [(await call("GET"))[0] for _ in range(21)]
        clock.now += 2
        statuses.append((await call("GET"))[0])
    assert statuses == [200] * 20 + [429, 200]
    assert [one.at for one in seen] == [1000.0] * 21 + [1002.0]
