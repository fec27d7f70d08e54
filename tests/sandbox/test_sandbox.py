"""Tests that the sandbox behaves like the API, over real HTTP."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from bulkupdate.errors import InputError
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox import (
    Fault,
    Sandbox,
    SandboxConfig,
    Unknown,
    Window,
    made_up_team,
    team_of,
)
from bulkupdate.sandbox.members import made_up_id
from bulkupdate.sandbox.server import Seen
from bulkupdate.sandbox.team import TASKS
from bulkupdate.sandbox.windows import window
from tests.conftest import SAMPLES
from tests.sandbox.caller import Clock, calling

TASK = made_up_id("opp", 0)
LINKEDIN = made_up_id("opp", 2)


async def test_patch_returns_task_in_api_names() -> None:
    """A PATCH returns the changed task under the API's own names and no others."""
    async with calling() as call:
        status, task, headers = await call(
            "PATCH",
            body={
                "id": TASK,
                "assignedTo": "usr_z",
                "message": "M",
                "priority": "2",
                "dueDate": "2026-01-31T07:58:00.000Z",
                "done": True,
                "unknown": 1,
            },
        )
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert (task["_id"], task["userId"], task["content"]) == (TASK, "usr_z", "M")
    assert (task["priority"], task["status"]) == (2, "completed")
    assert task["completedAt"].endswith("Z")
    assert not {"id", "assignedTo", "message", "done", "unknown"} & set(task)


@pytest.mark.parametrize(
    ("key", "status", "text"),
    [
        ("wrong", 401, "The authentication you supplied is incorrect"),
        (None, 400, "no api key provided"),
    ],
)
async def test_request_without_right_key_is_refused(
    key: str | None, status: int, text: str
) -> None:
    """A request without the key gets a 400, and one with a wrong key gets a 401."""
    async with calling() as call:
        assert (await call("PATCH", key=key))[:2] == (status, text)


@pytest.mark.parametrize(
    "header", ["Bearer sandbox", "Basic !", "Basic c2FuZGJveA==", "Basic YTpi"]
)
async def test_only_basic_key_authorization_is_accepted(header: str) -> None:
    """The sandbox accepts only Basic authorization with an empty user name."""
    async with calling() as call:
        status, text, _ = await call("GET", key=None, headers={"Authorization": header})
    assert (status, text) == (400, "no api key provided")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": TASK, "priority": 2}, 400),
        ({"id": TASK, "priority": "high"}, 400),
        ({"id": TASK, "done": "yes"}, 400),
        ({"id": TASK, "dueDate": "2026-01-31"}, 400),
        ({"id": TASK, "title": 5}, 400),
        ({"id": TASK, "images": ["https://a.example/1"]}, 400),
        ({"id": LINKEDIN, "images": "https://a.example/1"}, 400),
        ({"id": LINKEDIN, "images": ["https://a.example/1"] * 7}, 422),
        ({"title": "x"}, 400),
        ([], 400),
        ({"id": "opp_none"}, 404),
    ],
)
async def test_wrong_body_is_refused_without_change(body: Any, status: int) -> None:
    """A wrong body is refused with its status and changes no task."""
    async with calling() as call:
        assert (await call("PATCH", body=body))[0] == status
        assert call.sandbox.team.tasks == made_up_team().tasks


@pytest.mark.parametrize(
    ("id_", "images", "code"),
    [
        (TASK, ["https://a.example/1"], "LINKEDIN_MEDIA_INVALID_TYPE"),
        (LINKEDIN, ["https://a.example/1"] * 7, "LINKEDIN_MEDIA_TOO_MANY"),
    ],
)
async def test_refused_media_have_their_code(id_: str, images: list[str], code: str) -> None:
    """Media that a task can't have are refused with the code of the reason."""
    async with calling() as call:
        assert (await call("PATCH", body={"id": id_, "images": images}))[1] == {"error": code}


async def test_unknown_id_gets_the_configured_answer() -> None:
    """An unknown id gets the answer that the sandbox is configured to give."""
    for unknown, expected in ((Unknown.BAD_TEAM, 400), (Unknown.CREATE, 200)):
        config = SandboxConfig(rate=None, unknown=unknown)
        async with calling(config) as call:
            body = {"id": "opp_new", "images": ["https://a.example/1"]}
            assert (await call("PATCH", body=body))[0] == expected


@pytest.mark.parametrize(
    "id_", ["", " ", "opp 1", " opp_1", "opp_\u200b1", "opp_\n", 5, None, ["x"]]
)
async def test_id_that_is_none_is_refused(id_: Any) -> None:
    """An id that is not one printable word gets a 400, even where unknown ids are created."""
    async with calling(SandboxConfig(rate=None, unknown=Unknown.CREATE)) as call:
        assert (await call("PATCH", body={"id": id_, "done": True}))[:2] == (400, "Bad params")
        assert (await call("POST", "/tasks/ignore", {"ids": [id_]}))[:2] == (400, "Bad params")
        assert call.sandbox.team.tasks == made_up_team().tasks


@pytest.mark.parametrize("kind", list(Window))
async def test_quota_follows_the_configured_rate(kind: Window) -> None:
    """What the headers say of the limit, and the limit itself, are those of the rate."""
    async with calling(SandboxConfig(rate=RateLimit(3, 1e6), window=kind)) as call:
        answers = [await call("GET", "/tasks?filters=[]") for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    assert {headers["X-RateLimit-Limit"] for _, _, headers in answers} == {"3"}
    remaining = [headers["X-RateLimit-Remaining"] for _, _, headers in answers]
    assert remaining == ["2", "1", "0", "0"]
    assert 0 < float(answers[-1][2]["Retry-After"]) <= 1e6


async def test_sandbox_without_limit_announces_none() -> None:
    """Without a limit, no answer has a header about one."""
    async with calling() as call:
        headers = (await call("GET"))[2]
    assert not [name for name in headers if name.lower().startswith(("x-ratelimit", "retry"))]


async def test_keyed_answers_show_quota_until_429() -> None:
    """Each answer to a request with the key shows the quota, and the 21st gets a 429."""
    async with calling(SandboxConfig(rate=RateLimit(20, 60))) as call:
        answers = [await call("PATCH", body={"id": TASK}) for _ in range(21)]
    assert [status for status, _, _ in answers] == [200] * 20 + [429]
    first, last = answers[0][2], answers[-1][2]
    assert (first["X-RateLimit-Limit"], first["X-RateLimit-Remaining"]) == ("20", "19")
    assert last["X-RateLimit-Remaining"] == "0"
    assert 0 < float(last["Retry-After"]) < 60
    assert "." in last["Retry-After"]
    assert re.fullmatch(
        r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4} \(.+\)",
        first["X-RateLimit-Reset"],
    )


@pytest.mark.parametrize(
    ("kind", "arrivals", "refused"),
    [
        (Window.FIXED, [0.0] + [1.9] * 19 + [1.95, 2.0], [20]),
        (Window.FIXED, [0.0] + [1.9] * 19 + [2.01] * 20, []),
        (Window.CLOCK, [1.0] * 20 + [1.99, 2.0], [20]),
        (Window.SLIDING, [0.0] + [1.9] * 19 + [2.01, 2.02, 3.95], [21]),
        (Window.BUCKET, [0.0] * 20 + [0.05, 0.11], [20]),
    ],
)
def test_each_window_counts_its_own_way(
    kind: Window, arrivals: list[float], refused: list[int]
) -> None:
    """Each kind of rate window counts in its own way and refuses the expected requests."""
    counted = window(kind, RateLimit(20, 2))
    verdicts = [counted.take(100.0 + at) for at in arrivals]
    assert [n for n, verdict in enumerate(verdicts) if not verdict.allowed] == refused
    assert all(0 <= verdict.remaining <= 20 for verdict in verdicts)
    assert all(0 <= verdict.reset_after <= 2.01 for verdict in verdicts)


async def test_pending_tasks_are_listed_by_page() -> None:
    """The sandbox lists pending tasks in pages of 100 and leaves out completed ones."""
    async with calling() as call:
        await call("PATCH", body={"id": TASK, "done": True})
        pages = [(await call("GET", f"/tasks?filters=[]&page={n}"))[1] for n in range(6)]
    assert [len(page["results"]) for page in pages] == [100, 100, 100, 100, 16, 0]
    assert [page["page"] for page in pages] == ["0", "1", "2", "3", "4", "5"]
    assert TASK not in {task["_id"] for task in pages[0]["results"]}


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"filterId": "assignedTo", "in": [made_up_id("usr", 1)]}, 83),
        ({"filterId": "type", "out": ["manual", "phone"]}, 208),
        ({"filterId": "campaignId", "in": ["cam_none"]}, 0),
        ({"filterId": "dueDate", "from": "2026-01-06", "to": "2026-01-06"}, 24),
        ({"filterId": "fullName", "value": "Zoé"}, 0),
    ],
)
async def test_filters_select_the_matching_tasks(wanted: dict[str, Any], count: int) -> None:
    """A filter selects the tasks that match it, over all pages."""
    found = 0
    async with calling() as call:
        for page in range(5):
            params = {"filters": json.dumps([wanted]), "page": str(page)}
            found += len((await call("GET", params=params))[1]["results"])
    assert found == count


@pytest.mark.parametrize("query", ["filters={}", "filters=[1]", "filters=[", "page=x"])
async def test_malformed_filters_get_a_400(query: str) -> None:
    """A malformed filter or page number gets a 400."""
    async with calling() as call:
        status, body, _ = await call("GET", f"/tasks?{query}")
    assert (status, body) == (400, {"error": "Malformed filters"})


async def test_filters_can_be_made_mandatory() -> None:
    """The sandbox can be configured to refuse a list without filters."""
    async with calling(SandboxConfig(rate=None, filters_required=True)) as call:
        assert (await call("GET"))[0] == 400
        assert (await call("GET", "/tasks?filters=[]"))[0] == 200


async def test_tasks_can_be_ignored_and_created() -> None:
    """The sandbox ignores and creates tasks, and refuses wrong bodies for both."""
    async with calling() as call:
        assert (await call("POST", "/tasks/ignore", {"ids": [TASK, "none"]}))[:2] == (200, {})
        assert call.sandbox.team.tasks[TASK]["status"] == "ignored"
        assert (await call("POST", "/tasks/ignore", {"ids": "x"}))[0] == 400
        assert (await call("POST", "/tasks/ignore", {"ids": ["opp_a", 5]}))[0] == 400
        body = {"type": "phone", "assignedTo": "usr_a", "dueDate": "2026-01-31T07:58:00Z"}
        status, task, _ = await call("POST", body=body)
        assert (status, task["type"], task["userId"]) == (200, "phone", "usr_a")
        assert (await call("POST", body={**body, "priority": 7}))[0] == 400
        assert (await call("POST", body={"type": "phone"}))[:2] == (400, "Bad params")
        assert len(call.sandbox.team.tasks) == TASKS + 1


async def test_wrong_methods_and_paths_answer_like_api() -> None:
    """A wrong method gets a 405, and an unknown path gets the page of the web app."""
    async with calling() as call:
        status, _, headers = await call("DELETE")
        assert (status, headers["Allow"]) == (405, "GET, PATCH, POST")
        status, _, headers = await call("GET", "/tasks/ignore")
        assert (status, headers["Allow"]) == (405, "POST")
        status, page, headers = await call("GET", "/nothing")
        assert status == 200
        assert "<html>" in page
        assert headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("fault", "status", "applied"),
    [
        (Fault.INTERNAL_ERROR, 500, False),
        (Fault.UNAVAILABLE, 503, False),
        (Fault.HTML, 200, False),
        (Fault.MALFORMED, 200, True),
        (Fault.RESET_BEFORE, None, False),
        (Fault.RESET_AFTER, None, True),
        (Fault.CUT, None, True),
        (Fault.HANG, None, False),
    ],
)
async def test_each_fault_has_its_described_effect(
    fault: Fault, status: int | None, applied: bool
) -> None:
    """Each fault gives its status, and applies the edit or not, as described."""
    seen: list[Seen] = []
    config = SandboxConfig(rate=None, faults={fault: 1.0})
    async with calling(config, watch=seen.append) as call:
        timeout = aiohttp.ClientTimeout(total=0.2 if fault is Fault.HANG else 10)
        try:
            got, body, _ = await call("PATCH", body={"id": TASK, "title": "N"}, timeout=timeout)
        except (aiohttp.ClientError, TimeoutError):
            got, body = None, ""
        assert got == status
        assert isinstance(body, str)
        assert (call.sandbox.team.tasks[TASK]["title"] == "N") is applied
    assert seen[0].fault == fault
    assert (seen[0].applied is not None) is applied


async def test_faults_are_repeatable_at_given_rate() -> None:
    """Faults come at their given rate and are the same for the same seed."""
    runs = []
    for _ in range(2):
        config = SandboxConfig(rate=None, seed=3, faults={Fault.INTERNAL_ERROR: 0.3})
        async with calling(config) as call:
            runs.append([(await call("PATCH", body={"id": TASK}))[0] for _ in range(100)])
    assert runs[0] == runs[1]
    assert 15 < runs[0].count(500) < 45


async def test_sandbox_logs_requests_and_shows_state(tmp_path: Path) -> None:
    """The sandbox logs its requests and shows its counts and tasks."""
    log = tmp_path / "log.jsonl"
    config = SandboxConfig(rate=None, log=log, latency=(1, 2))
    async with calling(config) as call:
        await call("PATCH", body={"id": TASK, "title": "N"})
        await call("PATCH", key="wrong")
        url = call.sandbox.base_url.removesuffix("/api") + "/sandbox"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                assert await response.json() == {"requests": {"200": 1, "401": 1}, "tasks": TASKS}
            async with session.get(f"{url}/tasks") as response:
                lines = (await response.text()).splitlines()
    assert len(lines) == TASKS
    assert json.loads(lines[0])["title"] == "N"
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert first["applied"] == {"id": TASK, "title": "N"}
    assert (second["status"], second["applied"]) == (401, None)


async def test_log_on_a_full_disk_ends_and_no_request_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is said once."""
    config = SandboxConfig(rate=None, log=Path("/dev/full"))
    async with calling(config) as call:
        assert [(await call("PATCH", body={"id": TASK}))[0] for _ in range(3)] == [200, 200, 200]
    (told,) = caplog.messages
    assert told == "/dev/full can't be written: No space left on device: it ends here"


def test_team_can_be_read_from_file(tmp_path: Path) -> None:
    """A team of tasks can be read from a file, and a row without a task is refused."""
    path = tmp_path / "tasks.jsonl"
    task = {"_id": "opp_a", "type": "phone", "title": "Kept"}
    path.write_text(
        json.dumps(task)
        + '\n{"_id": "opp_b", "done": true}'
        + '\n{"_id": "opp_b", "images": ["https://a.example/1"]}\n'
    )
    team = team_of(path)
    assert (team.tasks["opp_a"]["title"], team.tasks["opp_a"]["status"]) == ("Kept", "pending")
    assert team.tasks["opp_b"]["type"] == "linkedinSend"
    with pytest.raises(InputError, match="row 2 names no task"):
        team_of(SAMPLES / "broken.csv")


def test_last_tasks_of_made_up_team_are_awkward() -> None:
    """The made-up team ends with values that a careless reader changes or misreads."""
    team = made_up_team()
    awkward = [team.tasks[made_up_id("opp", number)] for number in range(400, TASKS)]
    assert len(team.tasks) == TASKS
    titles = {task.get("title") for task in awkward}
    assert {"NULL", "<clear>", "=1+1", " x ", "Caf\ufffd", None} < titles
    assert {"First line\nsecond line", "First line\r\nsecond line"} < titles
    days = {task["dueDate"] for task in awkward}
    assert {"2026-03-02T00:00:00.000Z", "2026-03-02T09:58:57.169Z"} < days
    paris = {
        datetime.fromisoformat(day).astimezone(ZoneInfo("Europe/Paris")).replace(tzinfo=None)
        for day in days
        if day.startswith("2026-10-25")
    }
    assert paris == {datetime(2026, 10, 25, 2, 30)}  # noqa: DTZ001 - the hour that is there twice
    assert {task.get("priority", "absent") for task in awkward} == {1, "absent", None, ""}
    assert sum("content" not in task for task in awkward) == 1
    assert [task["userId"] for task in awkward if task["userId"] not in team.users] == [
        made_up_id("usr", 5)
    ]


def test_made_up_tasks_were_created_one_after_another() -> None:
    """The tasks of the made-up team differ in their creation, which is before their due date."""
    tasks = list(made_up_team().tasks.values())
    created = [task["createdAt"] for task in tasks]
    assert created == sorted(set(created))
    assert all(task["createdAt"] < task["dueDate"] for task in tasks)


def test_samples_use_tasks_of_default_team() -> None:
    """The samples name only tasks of the made-up team."""
    team = made_up_team()
    for name in ("reassign.csv", "migration.jsonl"):
        assert set(team_of(SAMPLES / name).tasks) <= set(team.tasks)


async def test_sandbox_listens_inside_async_with_only() -> None:
    """The sandbox serves on loopback inside `async with`, and refuses a port in use."""
    with pytest.raises(RuntimeError, match="async with"):
        _ = Sandbox().base_url
    async with Sandbox(SandboxConfig(host="::1")) as sandbox:
        assert sandbox.base_url.startswith("http://[::1]:")
    async with Sandbox() as first:
        port = int(first.base_url.split(":")[2].removesuffix("/api"))
        with pytest.raises(OSError, match="in use"):
            await Sandbox(SandboxConfig(port=port)).__aenter__()


async def test_outages_count_from_first_request() -> None:
    """The times of an outage count from the first request, and an outage gives a 503."""
    clock = Clock()
    config = SandboxConfig(rate=None, outages=((10, 60), (100, 1)))
    async with calling(config, clock=clock) as call:
        statuses = []
        for moment in (0, 9.9, 10, 69.9, 70, 100, 100.9, 101):
            clock.now = 500 + moment
            statuses.append((await call("PATCH", body={"id": TASK}))[0])
        assert statuses == [200, 200, 503, 503, 200, 503, 503, 200]
        call.sandbox.is_down = True
        status, text, _ = await call("PATCH", body={"id": TASK})
        assert (status, text) == (503, "Something went wrong")
        call.sandbox.is_down = False
        assert (await call("PATCH", body={"id": TASK}))[0] == 200
