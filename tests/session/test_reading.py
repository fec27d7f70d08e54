"""Tests of readings: a team and its tasks, under the limit, tried again, whole or not at all."""

import asyncio
import logging
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bulkupdate.errors import RunStoppedError
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.listing import pages
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.lemlist.team import Member, Sender
from bulkupdate.models import Reason
from bulkupdate.plan import LiveTasks
from bulkupdate.sandbox import AfterLast, Fault, Sandbox, SandboxConfig, Team
from bulkupdate.sandbox import Member as SandboxMember
from bulkupdate.sandbox.server import Seen
from bulkupdate.session import reading as reading_module
from bulkupdate.session.reading import Known, live_reader
from bulkupdate.stop import Stop
from tests.support.hostile import hostile
from tests.support.listed import AT_ONCE, endpoint_of, tasks

BEN = SandboxMember("usr_ben", "Ben", "Keller", "ben@example.com", "admin")
ZOE = SandboxMember("usr_zoe", "Zoé", "", "", "user")


class Reading:
    """What a reading found of a server.

    Attributes:
        ids: the ids of the tasks, in order.
        known: what is known of the team.
        stop: its stop.
        requests: number of requests.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.known: Known | None = None
        self.stop = Stop()
        self.requests = 0

    async def of(
        self,
        endpoint: Endpoint,
        directory: Path,
        *,
        with_team: bool = False,
        rate: Any = None,
        patience: float = AT_ONCE.give_up_after,
    ) -> None:
        policy = replace(AT_ONCE, give_up_after=patience)
        async with live_reader(endpoint, rate, policy, self.stop) as reader:
            with closing(LiveTasks(directory / "live")) as live:
                try:
                    if with_team:
                        self.known = await reader.known()
                    else:
                        async for _ in reader.tasks(live):
                            pass
                        self.ids = [task.id for task in live]
                finally:
                    self.requests = reader.traffic.requests


async def read(tmp_path: Path, team: Team, *, key: str = "sandbox", **settings: Any) -> Reading:
    """Read the tasks of a sandbox."""
    found = Reading()
    async with Sandbox(SandboxConfig(**{"rate": None, **settings}), team=team) as sandbox:
        await found.of(endpoint_of(sandbox, key), tmp_path)
    return found


async def known(tmp_path: Path, team: Team, *, key: str = "sandbox", **settings: Any) -> Known:
    """Ask a sandbox for the team."""
    found = Reading()
    async with Sandbox(SandboxConfig(**{"rate": None, **settings}), team=team) as sandbox:
        await found.of(endpoint_of(sandbox, key), tmp_path, with_team=True)
    assert found.known is not None
    return found.known


def page(status: int, body: bytes, kind: str = "application/json") -> list[bytes]:
    """An answer of a hostile server."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return [head.encode() + body]


@pytest.mark.parametrize("after", list(AfterLast))
async def test_pages_are_read_until_the_list_ends(tmp_path: Path, after: AfterLast) -> None:
    """Every task is read, however the list ends."""
    found = await read(tmp_path, Team(tasks(25)), page_size=10, after_last=after)
    assert found.ids == [f"opp_{n}" for n in range(25)]
    assert not found.stop.is_set


async def test_reading_goes_on_after_transient_failures(tmp_path: Path) -> None:
    """Errors of the server, lost connections and broken answers cost attempts and no task."""
    faults = {
        Fault.INTERNAL_ERROR: 0.1,
        Fault.UNAVAILABLE: 0.1,
        Fault.RESET_BEFORE: 0.1,
        Fault.RESET_AFTER: 0.1,
        Fault.CUT: 0.05,
        Fault.MALFORMED: 0.05,
        Fault.HTML: 0.05,
    }
    found, config = Reading(), SandboxConfig(rate=None, page_size=2, faults=faults, seed=2)
    async with Sandbox(config, team=Team(tasks(60))) as sandbox:
        # A busy machine needs longer for a few attempts than a server that is down is waited for.
        await found.of(endpoint_of(sandbox), tmp_path, patience=20.0)
    assert len(found.ids) == 60
    assert found.requests > 31


@pytest.mark.slow
async def test_reading_keeps_the_limit(tmp_path: Path) -> None:
    """Pages are asked for under the same limit as everything else: no answer is a 429."""
    seen: list[Seen] = []
    rate = RateLimit(4, 0.05)
    config = SandboxConfig(rate=rate, page_size=1)
    found = Reading()
    async with Sandbox(config, team=Team(tasks(6)), watch=seen.append) as sandbox:
        await found.of(endpoint_of(sandbox), tmp_path, rate=rate)
    assert len(found.ids) == 6
    assert {one.status for one in seen} == {200}


async def test_pages_are_read_one_after_another(tmp_path: Path) -> None:
    """The next page is asked for when the last one is there."""
    at_once, most = 0, 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        number = int(request.query["page"])
        return web.json_response({"results": [{"_id": f"opp_{number}"}] if number < 5 else []})

    app = web.Application()
    app.router.add_get("/tasks", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    found = Reading()
    try:
        await found.of(
            Endpoint(api_key=ApiKey("k"), base_url=f"http://{host}:{port}", timeout=5), tmp_path
        )
    finally:
        await runner.cleanup()
    assert (len(found.ids), most) == (5, 1)


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b"<!DOCTYPE html><html></html>", "text/html", "not JSON"),
        (b'{"tasks": []}', "application/json", "without a list of tasks"),
        (b'{"results": [{"title": "T"}]}', "application/json", "more than tasks with an _id"),
    ],
)
async def test_page_that_stays_no_list_ends_the_reading(
    tmp_path: Path, body: bytes, kind: str, says: str
) -> None:
    """A 200 without a list is asked for again a few times. It is never an empty list."""
    with hostile(lambda: page(200, body, kind)) as server:
        found = Reading()
        with pytest.raises(RunStoppedError) as caught:
            await found.of(Endpoint(api_key=ApiKey("k"), base_url=server.url), tmp_path)
        assert len(server.requests) == reading_module.MOST_BAD
    assert str(caught.value).startswith("tasks can't be read: bad_list: 200 4 times: a 200")
    assert says in str(caught.value)
    assert found.stop.reason is Reason.SERVER_DOWN


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "the key is refused: unauthorized: 401 no"),
        (402, "the key is refused: payment_required: 402 no"),
        (403, "the key is refused: forbidden: 403 no"),
    ],
)
async def test_refused_key_ends_the_reading_at_once(tmp_path: Path, status: int, says: str) -> None:
    """A key that may not read tasks costs one request. The message speaks of no rows."""
    with hostile(lambda: page(status, b"no", "text/plain")) as server:
        found = Reading()
        with pytest.raises(RunStoppedError, match=f"^{says}$"):
            await found.of(Endpoint(api_key=ApiKey("k"), base_url=server.url), tmp_path)
        assert len(server.requests) == 1
    assert found.stop.reason is Reason.KEY_REFUSED


async def test_refused_request_ends_the_reading(tmp_path: Path) -> None:
    """A 400 is told with the words of the server."""
    says = "tasks can't be read: bad_request: 400 Malformed"
    with hostile(lambda: page(400, b'{"error": "Malformed filters"}')) as server:
        endpoint = Endpoint(api_key=ApiKey("k"), base_url=server.url)
        with pytest.raises(RunStoppedError, match=says):
            await Reading().of(endpoint, tmp_path)


async def test_server_that_stays_down_ends_the_reading(tmp_path: Path) -> None:
    """A reading waits for its server as long as a run does, and no longer."""
    with pytest.raises(RunStoppedError, match="server_error"):
        await read(tmp_path, Team(tasks(3)), outages=((0, 1e9),))


async def test_endless_list_ends_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list without an end is an error, not a list that is cut."""
    monkeypatch.setattr(pages, "__defaults__", (20,))
    with pytest.raises(RunStoppedError, match="bad_list: the list of tasks goes on after 20 pages"):
        await read(tmp_path, Team(tasks(1)), page_size=1, shift=2)


async def test_long_wait_of_a_reading_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reading that waits for its server says so, and why, after a while."""
    monkeypatch.setattr(reading_module, "_TOLD_AFTER", 0.0)
    found = Reading()
    nowhere = Endpoint(api_key=ApiKey("k"), base_url="http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING), pytest.raises(RunStoppedError):
        await found.of(nowhere, tmp_path)
    told = [one for one in caplog.messages if "trying again for up to " in one]
    assert len(told) == 1
    assert told[0].startswith("no connection: ")


async def test_stop_ends_a_reading(tmp_path: Path) -> None:
    """A stop between two pages, or in a wait, ends the reading with its reason."""
    found = Reading()

    def watch(_: Seen) -> None:
        seen.append(1)
        if len(seen) == 3:
            found.stop.set("enough")

    seen: list[int] = []
    config = SandboxConfig(rate=None, page_size=1)
    async with Sandbox(config, team=Team(tasks(50)), watch=watch) as sandbox:
        with pytest.raises(RunStoppedError, match=r"^enough$"):
            await found.of(endpoint_of(sandbox), tmp_path)
    assert len(seen) == 3


async def test_new_version_of_the_team_takes_one_request(tmp_path: Path) -> None:
    """A team that names its members is asked once."""
    team = Team(id_="tea_x", users=[BEN, ZOE])
    found = await known(tmp_path, team)
    assert found.members == (
        Member("usr_ben", "Ben Keller", "ben@example.com", "admin"),
        Member("usr_zoe", "Zoé", "", "user"),
    )
    assert found.team is not None
    assert (found.team.id, found.note) == ("tea_x", "")


async def test_members_of_an_old_team_are_asked_for(tmp_path: Path) -> None:
    """Where the team tells only ids, each user is asked for. The result is the same."""
    team = Team(users=[BEN, ZOE])
    new, old = await known(tmp_path, team), await known(tmp_path, team, team_version=1)
    assert old.members == new.members
    assert old.note == ""
    assert (await known(tmp_path, Team(users=[ZOE]), team_version=1)).note == ""


@pytest.mark.parametrize("closed", [402, 403, 405, "html"])
async def test_closed_users_leave_ids(tmp_path: Path, closed: Any) -> None:
    """Where no user may be asked for, the ids of the members are known, and it is said."""
    found = await known(tmp_path, Team(users=[BEN, ZOE]), team_version=1, closed={"users": closed})
    assert found.members == (Member("usr_ben"), Member("usr_zoe"))
    assert found.note.startswith("names of users can't be read: only their ids work (")


async def test_user_who_is_gone_hides_no_other(tmp_path: Path) -> None:
    """A 404 for one user leaves that one without a name, and the others with theirs."""
    team = Team(users=[SandboxMember("usr_gone"), BEN])

    class Gone(dict[str, SandboxMember]):
        def get(self, id_: Any, default: Any = None) -> Any:
            return None if id_ == "usr_gone" else super().get(id_, default)

    team.users = Gone(team.users)
    found = await known(tmp_path, team, team_version=1)
    ben = Member("usr_ben", "Ben Keller", "ben@example.com", "admin")
    assert found == Known(found.team, (Member("usr_gone"), ben), "")


async def test_users_without_any_name_are_told(tmp_path: Path) -> None:
    """Where every user is a 404, only ids work, and it is said."""
    found = await known(tmp_path, Team(users=[BEN]), team_version=1, closed={"users": 404})
    assert found.members == (Member("usr_ben"),)
    assert found.note == "names of users can't be read: only their ids work"


async def test_very_many_users_are_not_all_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of requests for names is bounded, and it is said."""
    monkeypatch.setattr(reading_module, "MOST_ASKED", 1)
    found = await known(tmp_path, Team(users=[BEN, ZOE]), team_version=1)
    assert found.members is not None
    assert [member.name for member in found.members] == ["Ben Keller", ""]
    assert found.note.startswith("only the first 1 users")
    found = await known(tmp_path, Team(users=[BEN]), team_version=1)
    assert found.note == ""


async def test_user_with_a_strange_id_is_not_asked_for(tmp_path: Path) -> None:
    """An id that would be another path is kept, and is asked for by no request."""
    strange = SandboxMember("../team?x", "Strange")
    found = await known(tmp_path, Team(users=[strange, BEN]), team_version=1)
    assert found.members is not None
    assert [member.name for member in found.members] == ["", "Ben Keller"]


@pytest.mark.parametrize("closed", [402, 403, 404, 405, 400, "html"])
async def test_closed_team_is_said_and_ends_nothing(tmp_path: Path, closed: Any) -> None:
    """Names are decoration: without the route, tasks can be read, and only ids work."""
    team = Team(tasks(3), users=[BEN])
    found = await known(tmp_path, team, closed={"team": closed})
    assert (found.team, found.members) == (None, None)
    assert found.note.startswith("the team can't be read: only ids of users work (")
    assert len((await read(tmp_path, team, closed={"team": closed})).ids) == 3


async def test_wrong_key_ends_a_reading_of_the_team(tmp_path: Path) -> None:
    """A 401 for the team is a 401 for everything."""
    with pytest.raises(RunStoppedError, match=r"^the key is refused: unauthorized: 401 "):
        await known(tmp_path, Team(users=[BEN]), key="wrong")


async def test_key_that_is_refused_for_users_ends_the_reading(tmp_path: Path) -> None:
    """A 401 for a user is a 401 for everything too."""
    with pytest.raises(RunStoppedError, match=r"^the key is refused: unauthorized: 401 "):
        await known(tmp_path, Team(users=[BEN]), team_version=1, closed={"users": 401})


async def test_team_without_members_has_none(tmp_path: Path) -> None:
    """A team that tells no member is known, and its members are not. It is said."""
    for version in (1, 2):
        found = await known(tmp_path, Team(users=[]), team_version=version)
        assert found.team is not None
        assert found.members is None
        assert found.note == "the team can't be read: only ids of users work (it tells no member)"


@pytest.mark.parametrize("fault", [Fault.MALFORMED, Fault.CUT])
async def test_broken_team_shows_no_webhook_in_a_log(
    tmp_path: Path, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """However a team is broken, no URL of its webhooks is in the note or in a log."""
    caplog.set_level(logging.DEBUG)
    said = ""
    try:
        said = (await known(tmp_path, Team(users=[BEN]), faults={fault: 1.0})).note
    except RunStoppedError as error:
        said = str(error)
    assert said
    assert "attempt" in caplog.text
    assert "hooks.example.com" not in said + caplog.text


async def test_team_with_webhooks_leaves_none_in_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a team that is read, nothing else than what is used is logged."""
    caplog.set_level(logging.DEBUG)
    found = await known(tmp_path, Team(users=[BEN]))
    assert "hooks.example.com" not in repr(found) + caplog.text


async def test_task_that_is_listed_again_keeps_its_place(tmp_path: Path) -> None:
    """Tasks that move while they are read are there once, and new ones may be there too."""
    found = await read(tmp_path, Team(tasks(40)), page_size=10, shift=2)
    assert len(set(found.ids)) == len(found.ids)
    assert {f"opp_{n}" for n in range(40)} <= set(found.ids)


async def senders(sandbox: Sandbox, stop: Stop, **policy: Any) -> tuple[list[Sender], str]:
    """Ask a sandbox for its senders, and for a page afterwards if there is no stop."""
    endpoint = replace(endpoint_of(sandbox), timeout=0.3)
    async with live_reader(endpoint, None, replace(AT_ONCE, **policy), stop) as reader:
        return await reader.senders()


@pytest.mark.parametrize("closed", [400, 401, 402, 403, 404, 405, "html"])
async def test_closed_senders_are_a_note(closed: Any) -> None:
    """Whatever the route refuses, it costs one request, and ends nothing."""
    seen: list[Seen] = []
    stop = Stop()
    config = SandboxConfig(rate=None, closed={"senders": closed})
    async with Sandbox(config, team=Team(tasks(1)), watch=seen.append) as sandbox:
        found, note = await senders(sandbox, stop)
    assert (found, len(seen), stop.is_set) == ([], 1, False)
    status = 200 if closed == "html" else closed
    text = f"the campaigns that go on making tasks can't be read ({status}: senders can't be read)"
    assert note == text


@pytest.mark.parametrize(
    "fault", [Fault.INTERNAL_ERROR, Fault.RESET_BEFORE, Fault.CUT, Fault.MALFORMED, Fault.HANG]
)
async def test_senders_are_tried_a_few_times(fault: Fault) -> None:
    """A server that fails for this route only costs few requests, and no stop."""
    seen: list[Seen] = []
    stop = Stop()
    config = SandboxConfig(rate=None, faults={fault: 1.0})
    async with Sandbox(config, team=Team(tasks(1)), watch=seen.append) as sandbox:
        found, note = await senders(sandbox, stop)
    # A connection that was reset is tried anew, beside the attempts.
    assert 3 <= len(seen) <= 6
    assert (found, stop.is_set) == ([], False)
    assert note.startswith("the campaigns that go on making tasks can't be read (")


async def test_senders_that_are_rate_limited_end_nothing() -> None:
    """A limit of this route alone is no limit of the others."""
    stop = Stop()
    async with Sandbox(SandboxConfig(rate=RateLimit(1, 1e6)), team=Team(tasks(1))) as sandbox:
        assert (await senders(sandbox, stop))[1] == ""
        note = (await senders(sandbox, stop))[1]
    assert "can't be read (the server asks" in note
    assert not stop.is_set


async def test_stop_ends_the_question_for_senders() -> None:
    """A stop of the run is no failure of the route."""
    stop = Stop()
    async with Sandbox(SandboxConfig(rate=None), team=Team()) as sandbox:
        stop.set("interrupted", Reason.SIGNAL)
        with pytest.raises(RunStoppedError, match="interrupted"):
            await senders(sandbox, stop)
