"""Tests of a team and its members as a client gets them, over real HTTP where a sandbox can."""

import json
import logging
from typing import Any

import pytest

from bulkupdate.errors import (
    BadResponseError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    ServerError,
    TaskError,
    UnauthorizedError,
)
from bulkupdate.lemlist.http import Response
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import (
    Campaign,
    Member,
    Sender,
    Team,
    is_plain_id,
    member_of,
    senders_of,
    team_of,
)
from bulkupdate.sandbox import Fault
from bulkupdate.sandbox import Member as SandboxMember
from bulkupdate.sandbox import Team as SandboxTeam
from bulkupdate.sandbox.team import WEBHOOKS
from tests.support.listed import endpoint_of, listing

BEN = SandboxMember("usr_ben", "Ben", "Keller", "ben@example.com", "admin")
ABOUT = {"_id": "tea_x", "name": "Acme", "userIds": ["usr_ben"], "hooks": [{"url": WEBHOOKS[0]}]}


def answer(value: object, status: int = 200) -> Response:
    body = value if isinstance(value, str) else json.dumps(value)
    return Response(status, {}, body.encode())


async def team_from(**settings: Any) -> Team:
    async with listing(SandboxTeam(id_="tea_x", users=[BEN]), **settings) as (_, client):
        return (await client.team()).result()


async def test_team_names_its_members() -> None:
    """The second version of the route tells id, name, e-mail address and role of each member."""
    member = Member("usr_ben", "Ben Keller", "ben@example.com", "admin")
    assert await team_from() == Team("tea_x", "Sandbox", ("usr_ben",), (member,))


async def test_old_team_tells_only_ids() -> None:
    """The first version of the route tells the ids of the members, and no members."""
    assert await team_from(team_version=1) == Team("tea_x", "Sandbox", ("usr_ben",), None)


async def test_user_is_asked_for_by_id() -> None:
    """A user has the first and the last name as one name. One who is no member is not found."""
    async with listing(SandboxTeam(users=[BEN])) as (_, client):
        found = (await client.user("usr_ben")).result()
        with pytest.raises(NotFoundError):
            (await client.user("usr_none")).result()
    assert found == Member("usr_ben", "Ben Keller", "ben@example.com", "admin")


@pytest.mark.parametrize("closed", [402, 403, 405, "html"])
async def test_closed_side_route_is_refused_and_no_key(closed: Any) -> None:
    """A plan without the route, or the web app in its place, says nothing about the key."""
    async with listing([], closed={"team": closed, "users": closed}) as (_, client):
        for request in (client.team(), client.user("usr_ben")):
            with pytest.raises(RefusedError, match="can't be read") as caught:
                (await request).result()
            assert not caught.value.stops_lane


async def test_team_that_is_not_found_is_refused() -> None:
    """A 404 for the team is about the route, and one for a user about the user."""
    with pytest.raises(RefusedError, match="404: team can't be read"):
        await team_from(closed={"team": 404})


async def test_key_in_a_name_is_redacted() -> None:
    """Names that repeat the key come without it."""
    team = SandboxTeam(users=[SandboxMember("usr_ben", "s3cr3t-k3y")])
    async with listing(team, key="s3cr3t-k3y") as (_, client):
        told = (await client.team()).result()
        user = (await client.user("usr_ben")).result()
    assert told.members is not None
    assert told.members[0].name == user.name == "[redacted]"


async def test_wrong_key_is_told_by_the_team() -> None:
    """A 401 is about the key on every route."""
    async with listing([]) as (sandbox, _), TaskClient(endpoint_of(sandbox, "wrong")) as client:
        with pytest.raises(UnauthorizedError):
            (await client.team()).result()


@pytest.mark.parametrize("fault", [Fault.MALFORMED, Fault.CUT, Fault.HTML, Fault.INTERNAL_ERROR])
async def test_broken_team_shows_no_webhook(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """A team that can't be read leaves no URL of its webhooks in an error or a log."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TaskError) as caught:
        await team_from(faults={fault: 1.0})
    assert "hooks.example.com" not in f"{caught.value!r} {caught.value} {caplog.text}"


@pytest.mark.parametrize("status", [200, 201, 203])
@pytest.mark.parametrize("cut", [0, 1, 60])
def test_team_that_is_none_is_not_quoted(status: int, cut: int) -> None:
    """An answer that is no team, whole or cut, is an error that repeats none of it."""
    text = json.dumps({**ABOUT, "_id": "usr_x"})
    with pytest.raises(BadResponseError, match=f"^a {status} without a team$"):
        team_of(answer(text[: len(text) - cut], status))
    with pytest.raises(BadResponseError, match=f"^a {status} without a team$") as caught:
        team_of(answer([WEBHOOKS[0]], status))
    assert caught.value.status == status
    with pytest.raises(BadResponseError) as caught:
        team_of(answer({**ABOUT, "_id": ""}))
    assert caught.value.status == 200


def test_team_holds_nothing_of_its_webhooks() -> None:
    """Of all that a team tells, only what is used is kept."""
    team, is_right = team_of(answer(ABOUT))
    assert is_right
    assert "hooks.example.com" not in repr(team)
    assert team == Team("tea_x", "Acme", ("usr_ben",), None)


def test_server_error_of_a_team_keeps_its_words() -> None:
    """What a server says with an error status is shown."""
    with pytest.raises(ServerError, match=r"^in repair$"):
        team_of(answer("in repair", 503))


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"name": " Ben Keller "}, "Ben Keller"),
        ({"firstName": "Ben", "lastName": "Keller"}, "Ben Keller"),
        ({"lastName": "Keller"}, "Keller"),
        ({"name": "", "firstName": "Ben"}, "Ben"),
        ({"name": 5, "email": None, "role": ["x"]}, ""),
        ({}, ""),
    ],
)
def test_user_has_one_name_or_two(told: dict[str, Any], name: str) -> None:
    """Both ways to tell a name are in use. What is no text is left out."""
    assert member_of(answer({"_id": "usr_ben", **told})) == (Member("usr_ben", name), True)
    team, _ = team_of(answer({**ABOUT, "users": [{"userId": "usr_ben", **told}]}))
    assert team.members == (Member("usr_ben", name),)


async def test_senders_are_told_with_their_running_campaigns() -> None:
    """Only running campaigns are asked for, and a paused one is left out."""
    team = SandboxTeam(users=[BEN])
    team.senders = {"usr_ben": {"cam_1": "Outreach", "cam_2": "Winter"}, "usr_zoe": {"cam_2": "W"}}
    team.campaigns["cam_2"] = "paused"
    async with listing(team) as (_, client):
        found = (await client.senders()).result()
    assert found == [Sender("usr_ben", (Campaign("cam_1", "Outreach"),))]


def test_server_that_ignores_the_state_makes_no_campaign_run() -> None:
    """A status that makes no tasks is left out; without one, the server is believed."""
    told = [("draft",), ("Paused",), ("ended",), ("archived",), ("errors",), ("running",), ("new",)]
    campaigns: list[Any] = [
        *({"_id": f"cam_{status}", "name": status, "status": status} for (status,) in told),
        {"_id": "cam_x"},
        {"_id": "cam_x", "name": 5, "status": None},
        {"name": " Outreach "},
        "cam_y",
    ]
    senders = [{"userId": "usr_ben", "campaigns": campaigns}, {"campaigns": campaigns}, 5]
    more = [{"userId": "usr_ben", "campaigns": [{"_id": "cam_2"}]}, {"userId": "usr_zoe"}]
    found, is_right = senders_of(answer([*senders, *more]))
    assert is_right
    names = [("cam_running", "running"), ("cam_new", "new"), ("cam_x", ""), ("", "Outreach")]
    assert found == [Sender("usr_ben", (*(Campaign(*one) for one in names), Campaign("cam_2")))]
    assert senders_of(answer([])) == ([], True)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 451])
def test_any_refusal_of_senders_is_about_this_route(status: int) -> None:
    """Nothing depends on it: not even a 401 is taken for a refused key."""
    with pytest.raises(RefusedError, match=f"^{status}: senders can't be read$") as caught:
        senders_of(answer("no", status))
    assert not caught.value.stops_lane


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"senders": []}, 200, BadResponseError),
        ("[", 200, BadResponseError),
        ("<html></html>", 200, RefusedError),
        ("no", 429, RateLimitedError),
        ("no", 503, ServerError),
    ],
)
def test_answer_that_is_no_list_of_senders_is_an_error(
    body: object, status: int, error: type[TaskError]
) -> None:
    """What may be otherwise a moment later is no refusal."""
    with pytest.raises(error):
        senders_of(answer(body, status))


async def test_key_in_the_name_of_a_campaign_is_redacted() -> None:
    """Names that repeat the key come without it."""
    team = SandboxTeam(users=[BEN])
    team.senders = {"usr_ben": {"cam_1": "s3cr3t-k3y"}}
    async with listing(team, key="s3cr3t-k3y") as (_, client):
        (sender,) = (await client.senders()).result()
    assert sender.campaigns[0].name == "[redacted]"


@pytest.mark.parametrize("value", [{}, {"_id": ""}, {"_id": 5}, [], {"userId": "usr_ben"}])
def test_answer_without_an_id_is_no_user(value: object) -> None:
    """A user has an id."""
    with pytest.raises(BadResponseError, match="a 200 without a user") as caught:
        member_of(answer(value))
    assert caught.value.status == 200


@pytest.mark.parametrize(
    "odd", [5, None, "usr_zoe", {"name": "Zoé"}, {"userId": 7}, {"userId": " "}]
)
def test_half_a_list_of_members_is_not_taken_for_the_team(odd: object) -> None:
    """Where a member can't be read, the ids are used, for which each user can be asked."""
    users = [{"userId": "usr_ben", "name": "Ben"}, odd]
    team, _ = team_of(answer({**ABOUT, "userIds": ["usr_ben", "usr_zoe"], "users": users}))
    assert (team.user_ids, team.members) == (("usr_ben", "usr_zoe"), None)


@pytest.mark.parametrize("odd", [5, None, "", " ", {"_id": "usr_zoe"}])
def test_half_a_list_of_ids_is_not_taken_for_the_team(odd: object) -> None:
    """Of somebody who is missing from the list, a rule would think that they have left."""
    about = {**ABOUT, "userIds": ["usr_ben", odd]}
    assert team_of(answer(about))[0] == Team("tea_x", "Acme")
    users = [{"userId": "usr_ben", "name": "Ben"}]
    assert team_of(answer({**about, "users": users}))[0] == Team("tea_x", "Acme")
    assert team_of(answer({**about, "userIds": None, "users": users}))[0].members


def test_member_of_whom_only_the_id_is_told_is_one() -> None:
    """Both lists together are the team."""
    about = {**ABOUT, "userIds": ["usr_zoe", "usr_ben"], "users": [{"userId": "usr_ben"}]}
    team, _ = team_of(answer(about))
    assert team.members == (Member("usr_ben"), Member("usr_zoe"))


@pytest.mark.parametrize("told", [None, {}, "usr_ben", [5, None]])
def test_team_without_a_list_of_ids_has_no_members(told: object) -> None:
    """Members and ids in another shape than documented are not there."""
    team, _ = team_of(answer({**ABOUT, "userIds": told, "users": told}))
    assert (team.user_ids, team.members) == ((), None)


def test_only_plain_ids_go_into_a_path() -> None:
    """An id with a sign that means something in a URL is not asked for."""
    assert is_plain_id("usr_853669c78fa8e5faa")
    assert not any(map(is_plain_id, ["", "usr_a/b", "usr_a?b", "usr a", "../team", "usr_é", "a\n"]))
