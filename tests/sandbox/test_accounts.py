"""Tests of a sandbox with several accounts, over real HTTP."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox import Fault, Sandbox, SandboxAccount, SandboxConfig, Team
from bulkupdate.sandbox.server import Seen
from tests.sandbox.caller import Caller, Clock, calling
from tests.sandbox.test_listing import tasks

#: A period that is never over.
EVER = 1e6


def account(name: str, **settings: Any) -> SandboxAccount:
    """An account whose key is its name, with three tasks."""
    team = Team(tasks(3), id_=f"tea_{name}", name=name)
    return SandboxAccount(**{"key": name, "team": team, **settings})


def accounts(*names: str, **settings: Any) -> dict[str, SandboxAccount]:
    """Accounts with these names."""
    return {name: account(name, **settings) for name in names}


async def edit(call: Caller, key: str, title: str = "N", task: str = "opp_0") -> int:
    """Set the title of a task. Returns the status."""
    return (await call("PATCH", body={"id": task, "title": title}, key=key))[0]


async def test_key_chooses_the_account() -> None:
    """A request reads and edits the team of its key alone, also where others have the same id."""
    async with calling(accounts=accounts("acme", "globex")) as call:
        assert await edit(call, "acme", "A") == 200
        assert await edit(call, "globex", "G", "opp_1") == 200
        titles = {
            name: [task["title"] for task in (await call("GET", key=name))[1]["results"]]
            for name in ("acme", "globex")
        }
        teams = [(await call("GET", "/team", key=name))[1] for name in ("acme", "globex")]
    assert titles == {"acme": ["A", "T1", "T2"], "globex": ["T0", "G", "T2"]}
    assert [(team["_id"], team["name"]) for team in teams] == [
        ("tea_acme", "acme"),
        ("tea_globex", "globex"),
    ]


async def test_key_of_no_account_is_refused() -> None:
    """A key of no account gets a 401, that of the settings too; without a key it is a 400."""
    seen: list[Seen] = []
    async with calling(accounts=accounts("acme"), watch=seen.append) as call:
        assert await edit(call, "globex") == 401
        assert await edit(call, "sandbox") == 401
        assert (await call("GET", key=None))[:2] == (400, "no api key provided")
    assert [one.account for one in seen] == ["", "", ""]


async def test_each_account_has_its_own_limit() -> None:
    """The limit of an account is its own, or that of the sandbox, and counts its requests only."""
    given = {"acme": account("acme"), "globex": account("globex", rate=RateLimit(3, EVER))}
    async with calling(SandboxConfig(rate=RateLimit(1, EVER)), accounts=given) as call:
        assert [await edit(call, "acme") for _ in range(2)] == [200, 429]
        assert [await edit(call, "globex") for _ in range(4)] == [200, 200, 200, 429]
        headers = (await call("GET", key="globex"))[2]
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("3", "0")


async def test_limit_of_an_account_may_change() -> None:
    """A test may change the limit of an account while the sandbox runs."""
    async with calling(SandboxConfig(rate=RateLimit(1, EVER)), accounts=accounts("acme")) as call:
        assert [await edit(call, "acme") for _ in range(2)] == [200, 429]
        call.sandbox.accounts["acme"].rate = RateLimit(2, EVER)
        assert [await edit(call, "acme") for _ in range(3)] == [200, 200, 429]


async def test_fifty_accounts_keep_fifty_limits() -> None:
    """Of 50 accounts at once, each gets exactly as many requests through as its limit allows."""
    names = [f"account-{n}" for n in range(50)]
    async with calling(SandboxConfig(rate=RateLimit(5, EVER)), accounts=accounts(*names)) as call:
        requests = [edit(call, name) for _ in range(6) for name in names]
        statuses = await asyncio.gather(*requests)
        counts = [dict(call.sandbox.accounts[name].requests) for name in names]
    assert counts == [{"200": 5, "429": 1}] * 50
    assert (statuses.count(200), statuses.count(429)) == (250, 50)


async def faults_of(name: str, *others: str, seed: int = 3) -> list[int]:
    """Statuses of requests of an account while others have requests too."""
    config = SandboxConfig(rate=None, seed=seed, faults={Fault.INTERNAL_ERROR: 0.5})
    statuses = []
    async with calling(config, accounts=accounts(name, *others)) as call:
        for _ in range(40):
            statuses.append(await edit(call, name))
            for other in others:
                await edit(call, other)
    return statuses


async def test_faults_of_an_account_depend_on_no_other() -> None:
    """The faults of an account follow from the seed and its name, whatever others request."""
    alone = await faults_of("acme")
    assert await faults_of("acme", "globex", "initech") == alone
    assert await faults_of("globex") != alone
    assert await faults_of("acme", seed=4) != alone
    assert 5 < alone.count(500) < 35


async def test_account_may_have_faults_of_its_own() -> None:
    """An account has its own faults, or those of the sandbox where it has none given."""
    given = {"acme": account("acme"), "globex": account("globex", faults={})}
    config = SandboxConfig(rate=None, faults={Fault.INTERNAL_ERROR: 1.0})
    async with calling(config, accounts=given) as call:
        assert (await edit(call, "acme"), await edit(call, "globex")) == (500, 200)
        call.sandbox.accounts["globex"].faults = {Fault.UNAVAILABLE: 1.0}
        assert await edit(call, "globex") == 503


async def test_outages_count_from_first_request_of_account() -> None:
    """The times of an outage count from the first request of that account."""
    clock = Clock()
    given = {
        "acme": account("acme", outages=((10, 5),)),
        "globex": account("globex", outages=((10, 5),)),
        "initech": account("initech", outages=()),
    }
    config = SandboxConfig(rate=None, outages=((0, EVER),))
    async with calling(config, accounts=given, clock=clock) as call:
        statuses: dict[int, list[int]] = {}
        for second, names in ((0, "acme"), (7, "acme globex"), (12, "acme globex"), (20, "globex")):
            clock.now = 100.0 + second
            statuses[second] = [await edit(call, name) for name in names.split()]
        assert await edit(call, "initech") == 200
    assert statuses == {0: [200], 7: [200, 200], 12: [503, 200], 20: [503]}


@pytest.mark.parametrize(
    ("trouble", "status"), [("refused", 401), ("throttled", 429), ("is_down", 503)]
)
async def test_trouble_of_an_account_begins_and_ends(trouble: str, status: int) -> None:
    """A test may let an account be refused, throttled or down for a while. Others notice none."""
    async with calling(accounts=accounts("acme", "globex")) as call:
        acme = call.sandbox.accounts["acme"]
        assert await edit(call, "acme", "before") == 200
        setattr(acme, trouble, True)
        assert [await edit(call, "acme", "during") for _ in range(3)] == [status] * 3
        assert await edit(call, "globex") == 200
        assert acme.team.tasks["opp_0"]["title"] == "before"
        setattr(acme, trouble, False)
        assert await edit(call, "acme", "after") == 200
        assert dict(acme.requests) == {"200": 2, str(status): 3}


@pytest.mark.parametrize(("rate", "wait"), [(RateLimit(5, 30), "30"), (None, "2")])
async def test_throttled_account_is_told_to_wait_a_period(
    rate: RateLimit | None, wait: str
) -> None:
    """A throttled account is told to wait for a period, by the limit or by lemlist's own."""
    given = accounts("acme", throttled=True)
    async with calling(SandboxConfig(rate=rate), accounts=given) as call:
        status, _, headers = await call("GET", key="acme")
    assert status == 429
    assert (headers["Retry-After"], headers["X-RateLimit-Remaining"]) == (wait, "0")


async def test_whole_sandbox_may_be_down() -> None:
    """Where the sandbox is down, all accounts are."""
    async with calling(accounts=accounts("acme", "globex")) as call:
        call.sandbox.is_down = True
        assert [await edit(call, name) for name in ("acme", "globex")] == [503, 503]


async def test_two_keys_of_one_team_see_the_same_tasks() -> None:
    """Two accounts with the same team edit the same tasks. Each has its own limit."""
    first = account("acme")
    given = {"acme": first, "acme-2": SandboxAccount(key="second", team=first.team)}
    clock = Clock()
    config = SandboxConfig(rate=RateLimit(2, EVER), lag=10)
    async with calling(config, accounts=given, clock=clock) as call:
        assert await edit(call, "acme", "A") == 200
        # What the list does not show yet, it shows to neither of them.
        assert (await call("GET", key="second"))[1]["results"][0]["title"] == "T0"
        clock.now += 10
        assert (await call("GET", key="second"))[1]["results"][0]["title"] == "A"
        assert [await edit(call, key) for key in ("second", "acme", "acme")] == [429, 200, 429]


async def test_log_tells_which_key_carried_which_body(tmp_path: Path) -> None:
    """Each line of the log has the account of the key, and the body also where it was refused."""
    log = tmp_path / "log.jsonl"
    given = {**accounts("acme"), **accounts("globex", refused=True)}
    async with calling(SandboxConfig(rate=RateLimit(1, EVER), log=log), accounts=given) as call:
        for key in ("acme", "acme", "globex", "unknown"):
            await edit(call, key, f"by {key}")
    found = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["account"], one["status"], one["body"]["title"]) for one in found] == [
        ("acme", 200, "by acme"),
        ("acme", 429, "by acme"),
        ("globex", 401, "by globex"),
        ("", 401, "by unknown"),
    ]
    assert [one["applied"] is not None for one in found] == [True, False, False, False]


async def test_state_counts_by_account() -> None:
    """`/sandbox` counts requests and tasks of each account; a shared team's tasks count once."""
    first = account("acme")
    given = {"acme": first, "acme-2": SandboxAccount(key="second", team=first.team)}
    given |= accounts("globex")
    async with calling(accounts=given) as call:
        for key in ("acme", "second", "second", "globex", "unknown"):
            await edit(call, key)
        state = await outside(call, "")
    assert json.loads(state[1]) == {
        "requests": {"200": 4, "401": 1},
        "tasks": 6,
        "accounts": {
            "acme": {"requests": {"200": 1}, "tasks": 3},
            "acme-2": {"requests": {"200": 2}, "tasks": 3},
            "globex": {"requests": {"200": 1}, "tasks": 3},
        },
    }


async def test_tasks_are_told_for_one_account() -> None:
    """`/sandbox/tasks` tells the tasks of the account that is asked for, and needs its name."""
    async with calling(accounts=accounts("acme", "globex")) as call:
        await edit(call, "globex", "G")
        status, text = await outside(call, "/tasks?account=globex")
        assert (await outside(call, "/tasks"))[0] == 400
        assert (await outside(call, "/tasks?account=none"))[0] == 404
    assert (status, [json.loads(line)["title"] for line in text.splitlines()]) == (
        200,
        ["G", "T1", "T2"],
    )
    async with calling() as call:
        assert (await outside(call, "/tasks?account=acme"))[0] == 404


async def outside(call: Caller, path: str) -> tuple[int, str]:
    """Status and text of what the sandbox tells outside the API."""
    url = call.sandbox.base_url.removesuffix("/api") + "/sandbox" + path
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "accounts must be one or more, each with a name"),
        ({"": account("x")}, "accounts must be one or more, each with a name"),
        (
            {"acme": account("x"), "globex": account("x")},
            "the accounts acme and globex have the same key",
        ),
    ],
)
def test_accounts_that_no_key_tells_apart_are_refused(given: Any, message: str) -> None:
    """Accounts have names and keys of their own."""
    with pytest.raises(ConfigError, match=message):
        Sandbox(accounts=given)


def test_sandbox_of_accounts_has_no_team() -> None:
    """Each account has a team; the sandbox of accounts takes none and tells none."""
    with pytest.raises(ConfigError, match="each account has a team"):
        Sandbox(team=Team(), accounts=accounts("acme"))
    sandbox = Sandbox(accounts=accounts("acme"))
    with pytest.raises(RuntimeError, match=r"sandbox\.accounts\[NAME\]\.team"):
        _ = sandbox.team
    assert Sandbox(team=Team()).accounts == {}


def test_account_never_shows_its_key() -> None:
    """The text of an account does not hold its key."""
    assert "secret" not in repr(SandboxAccount(key="secret", team=Team()))


async def test_tasks_that_appear_have_ids_of_their_team() -> None:
    """Tasks that appear while lists are read have other ids in each team."""
    async with calling(
        SandboxConfig(rate=None, shift=1), accounts=accounts("acme", "globex")
    ) as call:
        appeared = []
        for key in ("acme", "globex"):
            await call("GET", key=key)
            appeared.append((await call("GET", key=key))[1]["results"][0]["_id"])
    assert len(set(appeared)) == 2
