"""Tests of what `GET /tasks` shows, over real HTTP."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError
from bulkupdate.sandbox import AfterLast, Bounds, Lead, SandboxConfig, Team
from bulkupdate.sandbox.server import Seen
from tests.sandbox.caller import Caller, calling

DUE = "2026-03-02T09:00:00.000Z"


def tasks(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Pending tasks with the ids opp_0, opp_1 and so on."""
    return [
        {"_id": f"opp_{n}", "type": "manual", "title": f"T{n}", "dueDate": DUE, **fields}
        for n in range(count)
    ]


def numbers(listed: Iterable[dict[str, Any]]) -> list[int]:
    return [int(task["_id"].removeprefix("opp_")) for task in listed]


async def page(call: Caller, number: int, *filters: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks on one page."""
    params = {"filters": json.dumps(filters), "page": str(number)}
    status, answer, _ = await call("GET", params=params)
    assert (status, answer["page"]) == (200, str(number))
    results: list[dict[str, Any]] = answer["results"]
    return results


async def found(team: Team, *filters: dict[str, Any], **settings: Any) -> list[int]:
    """The numbers of the tasks on the first page."""
    async with calling(SandboxConfig(rate=None, **settings), team=team) as call:
        return numbers(await page(call, 0, *filters))


async def test_log_and_watcher_see_page_and_filters(tmp_path: Path) -> None:
    """The page and the filters that were asked for are in the log, and a watcher sees them."""
    log, seen = tmp_path / "log.jsonl", list[Seen]()
    async with calling(SandboxConfig(rate=None, log=log), watch=seen.append) as call:
        await call("GET", params={"filters": "[]", "page": "2"})
        await call("GET", "/team")
    logged = [json.loads(line)["query"] for line in log.read_text().splitlines()]
    assert logged == [one.query for one in seen] == ["filters=[]&page=2", ""]


async def test_page_holds_as_many_tasks_as_configured() -> None:
    """The tasks are divided into pages of the configured size, in the order of the team."""
    async with calling(SandboxConfig(rate=None, page_size=3), team=Team(tasks(7))) as call:
        pages = [numbers(await page(call, n)) for n in range(4)]
    assert pages == [[0, 1, 2], [3, 4, 5], [6], []]
    async with calling(SandboxConfig(rate=None, page_size=1), team=Team(tasks(2))) as call:
        assert [numbers(await page(call, n)) for n in range(3)] == [[0], [1], []]


@pytest.mark.parametrize(("count", "last"), [(7, [6]), (6, [3, 4, 5])])
async def test_page_after_the_last_answers_as_configured(count: int, last: list[int]) -> None:
    """A page after the last one is empty, the last one again, or a 404."""
    team = Team(tasks(count))
    for after, expected in ((AfterLast.EMPTY, []), (AfterLast.REPEAT, last)):
        config = SandboxConfig(rate=None, page_size=3, after_last=after)
        async with calling(config, team=team) as call:
            assert numbers(await page(call, (count + 2) // 3 - 1)) == last
            assert numbers(await page(call, (count + 2) // 3)) == expected
            assert numbers(await page(call, 99)) == expected
    config = SandboxConfig(rate=None, page_size=3, after_last=AfterLast.NOT_FOUND)
    async with calling(config, team=team) as call:
        assert numbers(await page(call, (count + 2) // 3 - 1)) == last
        assert (await call("GET", f"/tasks?page={(count + 2) // 3}"))[0] == 404


@pytest.mark.parametrize("after", list(AfterLast))
async def test_first_page_of_no_tasks_is_empty(after: AfterLast) -> None:
    """The first page exists even if there is no task."""
    config = SandboxConfig(rate=None, after_last=after)
    async with calling(config, team=Team()) as call:
        assert await page(call, 0) == []
        status = (await call("GET", "/tasks?page=1"))[0]
    assert status == (404 if after is AfterLast.NOT_FOUND else 200)


async def test_only_pending_tasks_are_listed() -> None:
    """Completed and ignored tasks are not listed; a task without a status is pending."""
    team = Team(tasks(4))
    for n, status in enumerate(("pending", "completed", "ignored")):
        team.tasks[f"opp_{n}"]["status"] = status
    assert await found(team) == [0, 3]


async def test_list_shows_fields_but_hidden_ones_and_media() -> None:
    """A list shows the fields of a task, null ones too, but no media and no hidden field."""
    given = {"content": "C", "priority": None, "createdAt": DUE, "status": "pending"}
    team = Team(tasks(1, images=["https://a.example/1"], videos=[], **given))
    shown = {"_id": "opp_0", "type": "manual", "title": "T0", "dueDate": DUE, **given}
    async with calling(team=team) as call:
        assert await page(call, 0) == [shown]
    config = SandboxConfig(rate=None, hidden=["content", "status"])
    async with calling(config, team=team) as call:
        (task,) = await page(call, 0)
        assert set(shown) - set(task) == {"content", "status"}
        _, answer, _ = await call("PATCH", body={"id": "opp_0", "title": "N"})
    assert (answer["content"], answer["status"], answer["title"]) == ("C", "pending", "N")


LEAD = Lead("Ada Abe", "ada@example.com", "+12025550100", "linkedin.com/in/ada")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"filterId": "fullName", "value": "Ada Abe"}, [1]),
        ({"filterId": "fullName", "value": "Ada"}, []),
        ({"filterId": "fullName", "regex": "^Ada"}, [1]),
        ({"filterId": "email", "value": "ada@example.com"}, [1]),
        ({"filterId": "email", "regex": "@nowhere"}, []),
        ({"filterId": "email", "value": "ada@example.com", "regex": "bob"}, []),
        ({"filterId": "phone", "value": "+12025550100"}, [1]),
        ({"filterId": "phone", "regex": ""}, [1, 2]),
        ({"filterId": "linkedin", "value": "linkedin.com/in/ada"}, [1]),
        ({"filterId": "campaignId", "in": ["cam_a"]}, [1]),
        ({"filterId": "campaignId", "out": ["cam_a"]}, [0, 2]),
        ({"filterId": "campaignState", "in": ["paused"]}, [1]),
        ({"filterId": "campaignState", "in": ["running", "paused"]}, [1, 2]),
        ({"filterId": "campaignState", "out": ["running"]}, [0, 1]),
        ({"filterId": "type", "in": ["phone", "email"]}, [2]),
        ({"filterId": "assignedTo", "in": ["usr_a", "usr_b"], "out": ["usr_b"]}, [1]),
        ({"filterId": "assignedTo", "in": []}, []),
        ({"filterId": "dueDate", "from": "2026-03-02"}, [1, 2]),
        ({"filterId": "dueDate", "to": "2026-03-02"}, [1]),
        ({"filterId": "dueDate", "from": "2026-03-02", "to": "2026-03-02"}, [1]),
        ({"filterId": "dueDate", "from": "2026-03-03", "to": "2026-03-03"}, [2]),
    ],
)  # fmt: skip
async def test_each_documented_filter_selects(wanted: Any, expected: list[int]) -> None:
    """Each documented filter selects by the task, its lead or its campaign."""
    team = Team(tasks(3))
    del team.tasks["opp_0"]["dueDate"]
    team.tasks["opp_1"] |= {"leadId": "lea_a", "campaignId": "cam_a", "userId": "usr_a"}
    team.tasks["opp_2"] |= {"leadId": "lea_b", "campaignId": "cam_b", "userId": "usr_b"}
    # Three hours before the next day in UTC.
    team.tasks["opp_2"] |= {"type": "phone", "dueDate": "2026-03-02T22:00:00-05:00"}
    team.leads["lea_a"] = LEAD
    team.campaigns["cam_a"] = "paused"
    assert await found(team, wanted) == expected


async def test_tasks_must_meet_every_filter() -> None:
    """Of several filters, each has to hold."""
    team = Team([*tasks(2, userId="usr_a")])
    team.tasks["opp_1"]["type"] = "phone"
    filters = ({"filterId": "type", "in": ["phone"]}, {"filterId": "assignedTo", "in": ["usr_a"]})
    assert await found(team, *filters) == [1]
    assert await found(team, *filters, {"filterId": "dueDate", "to": "2020-01-01"}) == []


async def test_made_up_leads_can_be_found() -> None:
    """A made-up lead is found by its name; a filter on its e-mail finds it alone."""
    async with calling() as call:
        email = call.sandbox.team.lead_of({"leadId": "lea_x"})
        assert email is not None
        call.sandbox.team.tasks["opp_x"] = {"_id": "opp_x", "type": "phone", "leadId": "lea_x"}
        (task,) = await page(call, 0, {"filterId": "email", "value": email.email})
        assert task == {"_id": "opp_x", "type": "phone", "leadId": "lea_x"}
        assert len(await page(call, 0, {"filterId": "fullName", "regex": "^(Ada|Bao) "})) > 1


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"filterId": "status", "in": ["pending"]},
        {"filterId": "status", "from": "2026-03-02"},
        {"filterId": ["type"], "in": ["phone"]},
        {"filterId": "fullName"},
        {"filterId": "fullName", "value": 5},
        {"filterId": "email", "regex": "("},
        {"filterId": "type"},
        {"filterId": "type", "in": "phone"},
        {"filterId": "type", "in": ["linkedin"]},
        {"filterId": "type", "in": ["phone"], "out": None},
        {"filterId": "campaignState", "out": ["asleep"]},
        {"filterId": "assignedTo", "in": [5]},
        {"filterId": "dueDate"},
        {"filterId": "dueDate", "from": "2026-02-30"},
        {"filterId": "dueDate", "from": "2026-1-5"},
        {"filterId": "dueDate", "to": "2026-03-02T00:00:00Z"},
        {"filterId": "dueDate", "from": "2026-03-02", "to": 5},
    ],
)
async def test_unknown_and_wrong_filters_get_a_400(wanted: Any) -> None:
    """A filter that is not documented, or not in the documented form, is refused."""
    async with calling() as call:
        status, body, _ = await call("GET", params={"filters": json.dumps([wanted])})
    assert (status, body) == (400, {"error": "Malformed filters"})


async def test_ignored_filter_selects_everything() -> None:
    """A filter that the server ignores has no effect, and others have theirs."""
    team = Team(tasks(2))
    team.tasks["opp_1"]["type"] = "phone"
    phone = {"filterId": "type", "in": ["phone"]}
    never = {"filterId": "dueDate", "to": "2020-01-01"}
    assert await found(team, phone, never) == []
    assert await found(team, phone, never, ignored_filters=["dueDate"]) == [1]
    assert await found(team, phone, never, ignored_filters=["dueDate", "type"]) == [0, 1]
    unknown = {"filterId": "status"}
    assert await found(team, phone, never, unknown, ignored_filters=["all"]) == [0, 1]


async def test_bounds_of_due_dates_can_be_exclusive() -> None:
    """The days of a range of due dates belong to it, or don't."""
    team = Team(tasks(3))
    for n in range(3):
        team.tasks[f"opp_{n}"]["dueDate"] = f"2026-03-0{n + 1}T09:00:00.000Z"
    wanted = {"filterId": "dueDate", "from": "2026-03-01", "to": "2026-03-03"}
    assert await found(team, wanted) == [0, 1, 2]
    assert await found(team, wanted, due_bounds=Bounds.EXCLUSIVE) == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"page_size": 0}, "page_size must be 1 or more"),
        ({"shift": -1}, "shift must be a number of tasks"),
        ({"elsewhere": 1.5}, "elsewhere must be a probability"),
        ({"elsewhere": float("nan")}, "elsewhere must be a probability"),
        ({"lag": -1}, "lag must be a number of seconds"),
        ({"lag": float("inf")}, "lag must be a number of seconds"),
        ({"ignored_filters": ["status"]}, "'status' is not a filter that can be ignored: known"),
        ({"hidden": ["message"]}, "'message' is not a field that a list can hide: known"),
        ({"hidden": ["_id"]}, "'_id' is not a field that a list can hide: known"),
    ],
)
def test_wrong_settings_of_a_list_are_refused(settings: dict[str, Any], message: str) -> None:
    """A setting of the list that is out of range or names nothing is refused."""
    with pytest.raises(ConfigError, match=message):
        SandboxConfig(**settings)
