"""Tests of the routes that tell about a team and its members, over real HTTP."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox import Fault, Member, SandboxConfig, Team, made_up_team, team_of
from bulkupdate.sandbox.members import USERS, made_up_id
from bulkupdate.sandbox.team import WEBHOOKS
from tests.sandbox.caller import calling

BEN = Member("usr_ben", "Ben", "Keller", "ben@example.com", "admin")


async def test_first_version_of_team_names_ids_alone() -> None:
    """`GET /team` tells the id, the name and the ids of the members, and URLs of webhooks."""
    team = Team(id_="tea_x", users=[BEN])
    async with calling(team=team) as call:
        status, answer, _ = await call("GET", "/team")
    assert (status, answer["_id"], answer["name"]) == (200, "tea_x", "Sandbox")
    assert answer["userIds"] == ["usr_ben"]
    assert [hook["targetUrl"] for hook in answer["hooks"]] == list(WEBHOOKS)
    assert "users" not in answer


async def test_second_version_of_team_adds_names() -> None:
    """`GET /team?version=v2` also lists the members with name, e-mail and role."""
    async with calling(team=Team(users=[BEN])) as call:
        _, answer, _ = await call("GET", "/team?version=v2")
    member = {"userId": "usr_ben", "name": "Ben Keller", "email": "ben@example.com"}
    assert answer["users"] == [{**member, "role": "admin"}]
    assert answer["userIds"] == ["usr_ben"]


async def test_old_server_ignores_second_version() -> None:
    """Where the second version is not known, asking for it gets the first."""
    async with calling(SandboxConfig(rate=None, team_version=1)) as call:
        assert (await call("GET", "/team?version=v2"))[1] == (await call("GET", "/team"))[1]


async def test_user_is_told_by_id() -> None:
    """`GET /users/{id}` tells of one member, and an id that is no member's gets a 404."""
    async with calling(team=Team(users=[BEN])) as call:
        status, answer, _ = await call("GET", "/users/usr_ben")
        assert (await call("GET", "/users/usr_none"))[0] == 404
        assert "<html>" in (await call("GET", "/users"))[1]
    assert status == 200
    assert answer == {
        "_id": "usr_ben",
        "email": "ben@example.com",
        "role": "admin",
        "firstName": "Ben",
        "lastName": "Keller",
    }


async def test_senders_are_told_with_their_campaigns() -> None:
    """`GET /team/senders` tells the campaigns of each sender, in the state that is asked for."""
    async with calling(team=made_up_team()) as call:
        _, running, _ = await call("GET", "/team/senders?state=running")
        _, all_, _ = await call("GET", "/team/senders")
        assert (await call("GET", "/team/senders?state=ended"))[1] == []
    campaign = {"_id": made_up_id("cam", 0), "name": "Outreach Q1", "status": "running"}
    assert running == [{"userId": made_up_id("usr", USERS - 1), "campaigns": [campaign]}]
    assert [one["status"] for one in all_[0]["campaigns"]] == ["running", "paused"]


@pytest.mark.parametrize("path", ["/team", "/users/usr_ben", "/team/senders"])
async def test_side_routes_obey_key_limit_and_faults(path: str) -> None:
    """The key, the limit, the faults and the methods apply to the routes beside the tasks too."""
    team = Team(users=[BEN])
    async with calling(SandboxConfig(rate=RateLimit(2, 1e6)), team=team) as call:
        assert (await call("GET", path, key="wrong"))[0] == 401
        assert (await call("GET", path, key=None))[0] == 400
        assert (await call("POST", path))[0] == 405
        status, _, headers = await call("GET", path)
        assert (status, headers["X-RateLimit-Remaining"]) == (200, "0")
        assert (await call("GET", path))[0] == 429
        assert not call.sandbox.requests
    broken = SandboxConfig(rate=None, faults={Fault.UNAVAILABLE: 1.0})
    async with calling(broken, team=team) as call:
        assert (await call("GET", path))[0] == 503


async def test_closed_routes_answer_as_configured() -> None:
    """A closed route answers its status or the web app, and tasks are listed still."""
    closed: Any = {"team": 402, "users": "html", "senders": 404}
    config = SandboxConfig(rate=None, closed=closed)
    async with calling(config, team=Team(users=[BEN])) as call:
        assert (await call("GET", "/team"))[0] == 402
        assert (await call("GET", "/team/senders"))[0] == 404
        status, page, headers = await call("GET", "/users/usr_ben")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/html")
        assert "<html>" in page
        assert (await call("GET", "/tasks"))[0] == 200


@pytest.mark.parametrize("status", [400, 599])
async def test_route_closes_with_any_error(status: int) -> None:
    """A closed route may answer any status of a 4xx or a 5xx."""
    async with calling(SandboxConfig(rate=None, closed={"team": status})) as call:
        assert (await call("GET", "/team"))[0] == status


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"closed": {"tasks": 402}}, "not a route that can be closed: known are team, users, sen"),
        ({"closed": {"team": 200}}, "a status from 400 to 599, or html"),
        ({"closed": {"team": 399}}, "a status from 400 to 599, or html"),
        ({"closed": {"team": 600}}, "a status from 400 to 599, or html"),
        ({"closed": {"team": "HTML"}}, "a status from 400 to 599, or html"),
        ({"team_version": 3}, "team_version must be 1 or 2"),
    ],
)
def test_wrong_settings_of_side_routes_are_refused(settings: dict[str, Any], message: str) -> None:
    """A route that can't be closed, an answer that closes none and a wrong version are refused."""
    with pytest.raises(ConfigError, match=message):
        SandboxConfig(**settings)


def test_made_up_members_have_names_and_addresses() -> None:
    """The made-up team has five members with addresses; two of them share the first name."""
    users = made_up_team().users
    assert list(users) == [made_up_id("usr", n) for n in range(USERS)]
    assert sorted(Counter(user.first_name for user in users.values()).values()) == [1, 1, 1, 2]
    assert len({user.name for user in users.values()}) == USERS
    assert [user.role for user in users.values()] == ["admin", *["user"] * (USERS - 1)]
    emails = {user.email for user in users.values()}
    assert len(emails) == USERS
    assert all(email.isascii() and email.endswith("@example.com") for email in emails)


def test_owners_in_file_become_members(tmp_path: Path) -> None:
    """The members of a team from a file are the owners in it and the users of its edits."""
    path = tmp_path / "tasks.jsonl"
    path.write_text(
        '{"_id": "opp_a", "type": "phone", "userId": "usr_a"}\n'
        '{"_id": "opp_b", "type": "phone", "userId": "usr_a"}\n'
        '{"_id": "opp_c", "type": "phone", "userId": null}\n'
        '{"_id": "opp_d", "userId": "usr_b"}\n'
    )
    team = team_of(path)
    assert list(team.users) == ["usr_a", team.tasks["opp_d"]["userId"], "usr_b"]
    assert team.users["usr_b"].email.endswith("@example.com")
    assert team.users["usr_a"].name not in ("", team.users["usr_b"].name)


async def test_requests_of_side_routes_are_watched_uncounted() -> None:
    """Requests for the team are watched, but only those for tasks are counted."""
    seen: list[Any] = []
    async with calling(watch=seen.append) as call:
        await call("GET", "/team")
        await call("GET", f"/users/{made_up_id('usr', 0)}")
        assert call.sandbox.requests.total() == 0
    assert [one.path.split("/")[2] for one in seen] == ["team", "users"]
