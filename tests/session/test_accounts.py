"""Tests of the teams of accounts: each is asked with its own key, and waits for no other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import RunStoppedError
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.models import Reason
from bulkupdate.sandbox import Fault, Member, Sandbox, SandboxConfig, Team
from bulkupdate.sandbox.server import Seen
from bulkupdate.session.accounts import Teams, ask_teams
from bulkupdate.stop import Stop
from bulkupdate.ui.accounts import account_lines, account_record, shared_lines
from tests.support.listed import AT_ONCE, endpoint_of

BEN = Member("usr_ben", "Ben", "Keller", "ben@example.com", "admin")
ZOE = Member("usr_zoe", "Zoé", "", "", "user")

SAME_KEY = "have the same API key: each needs its own"
ORDER = "are one team: rows of one task could go out of order"
UNLESS = "in one run unless --same-team"
REFUSED = "the key is refused: unauthorized: 401 The authentication you supplied is incorrect"


@contextlib.asynccontextmanager
async def sandboxes(
    *teams: Team, watch: Callable[[Seen], None] | None = None, **settings: Any
) -> AsyncIterator[list[Sandbox]]:
    """A sandbox for each team, each with a key of its own."""
    configs = [
        SandboxConfig(**{"rate": None, "key": f"key-{n}", **settings}) for n in range(len(teams))
    ]
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Sandbox(config, team, watch))
            for config, team in zip(configs, teams, strict=True)
        ]


async def asked(
    endpoints: Mapping[str, Endpoint], *, stop: Stop | None = None, policy: RetryPolicy = AT_ONCE
) -> Teams:
    return await ask_teams(Accounts.of(endpoints), None, policy, stop or Stop())


def named(folder: Path, **given: str) -> Accounts:
    """Accounts of a file: name and URL of each, and the variables, which are in capitals."""
    file = folder / "accounts.toml"
    text = [
        f'[{name}]\napi_key_env = "{name.upper()}"\nbase_url = "{url}"\n'
        for name, url in given.items()
        if not name.isupper()
    ]
    file.write_text("".join(text))
    environ = {name: value for name, value in given.items() if name.isupper()}
    return Accounts.load(file, environ=environ)


def outcomes(teams: Teams) -> list[tuple[str, str]]:
    """The team of each account by its id, or why it can't be read."""
    return [(one.account.name, one.team.id if one.team else one.problem) for one in teams.asked]


async def test_each_account_is_asked_with_its_own_key() -> None:
    """The teams come in the order of the accounts, with their members."""
    seen: list[Seen] = []
    both = Team(id_="tea_a", users=[BEN, ZOE]), Team(id_="tea_b", users=[ZOE])
    async with sandboxes(*both, watch=seen.append) as [a, b]:
        teams = await asked({"b": endpoint_of(b), "a": endpoint_of(a)})
    assert [(one.path, one.status) for one in seen] == [("/api/team", 200)] * 2
    assert outcomes(teams) == [("b", "tea_b"), ("a", "tea_a")]
    assert [len(one.known.members or ()) for one in teams.asked] == [1, 2]
    assert (teams.shared, teams.same_key) == ([], "")


async def test_one_account_that_fails_stops_no_other(tmp_path: Path) -> None:
    """A missing key, a refused one, a server that is down and a closed route have their reasons."""
    closed = sandboxes(Team(id_="tea_b"), closed={"team": 402})
    async with sandboxes(Team(id_="tea_a")) as [open_], closed as [shut]:
        accounts = named(
            tmp_path,
            missing=open_.base_url,
            wrong=open_.base_url,
            closed=shut.base_url,
            down="http://127.0.0.1:9",
            good=open_.base_url,
            WRONG="other",
            CLOSED="key-0",
            DOWN="key-2",
            GOOD="key-0",
        )
        stop = Stop()
        teams = await ask_teams(accounts, None, AT_ONCE, stop)
    found = dict(outcomes(teams))
    assert [*found] == ["missing", "wrong", "closed", "down", "good"]
    assert found["missing"] == "$MISSING is not set: set it to the API key of this account"
    assert found["wrong"] == REFUSED
    assert found["closed"].startswith("the team can't be read (")
    assert "402" in found["closed"]
    assert ": connection: no connection: Cannot connect to host 127.0.0.1:9" in found["down"]
    assert found["good"] == "tea_a"
    assert not stop.is_set


async def test_accounts_that_all_fail_stop_nothing_else() -> None:
    """What becomes of the command is not the accounts' matter, whichever fails last."""
    async with sandboxes(Team(), Team()) as both:
        stop = Stop()
        teams = await asked(
            {str(n): endpoint_of(one, "no") for n, one in enumerate(both)}, stop=stop
        )
    assert outcomes(teams) == [("0", REFUSED), ("1", REFUSED)]
    assert not stop.is_set
    assert stop._children == []


async def test_server_that_fails_is_given_up_after_few_attempts() -> None:
    """A server may take the whole timeout for each answer, so that few attempts are long enough."""
    patience = RetryPolicy(first_backoff=0.001, longest_backoff=0.001, give_up_after=0)
    seen: list[Seen] = []
    faults = {Fault.INTERNAL_ERROR: 1.0}
    async with sandboxes(Team(), watch=seen.append, faults=faults) as [one]:
        teams = await asked({"a": endpoint_of(one)}, policy=patience)
    assert len(seen) == 1
    assert outcomes(teams)[0][1].startswith("the team can't be read: server_error: 500")


async def test_each_account_has_a_limit_of_its_own() -> None:
    """Two accounts that may send once in half a minute both send at once."""
    async with sandboxes(Team(id_="tea_a"), Team(id_="tea_b")) as both:
        accounts = Accounts.of({"a": endpoint_of(both[0]), "b": endpoint_of(both[1])})
        async with asyncio.timeout(10):
            teams = await ask_teams(accounts, RateLimit(1, 30), AT_ONCE, Stop())
    assert outcomes(teams) == [("a", "tea_a"), ("b", "tea_b")]


class Crowd:
    """A server that counts the connections that are open at once."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.all += 1
        self.most = max(self.most, self.now)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.02)
        self.now -= 1
        writer.write(b"HTTP/1.1 401 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()


async def test_thirty_two_accounts_are_asked_at_once() -> None:
    """More would open more files than a process may have."""
    crowd = Crowd()
    async with await asyncio.start_server(crowd, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        keys = {str(n): Endpoint(api_key=f"key-{n}", base_url=url) for n in range(100)}
        teams = await asked(keys)
    assert [one.account.name for one in teams.asked] == [*keys]
    assert (crowd.all, crowd.most) == (100, 32)


async def test_signal_ends_the_asking() -> None:
    """A stop of the command is obeyed by every account that still waits."""
    stop = Stop()
    async with sandboxes(Team(), Team(), faults={Fault.UNAVAILABLE: 1.0}) as both:
        patient = RetryPolicy(first_backoff=30, longest_backoff=30)
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, stop.set, "interrupted by SIGINT", Reason.SIGNAL)
        with pytest.raises(RunStoppedError, match="interrupted by SIGINT"):
            await asked(
                {str(n): endpoint_of(one) for n, one in enumerate(both)}, stop=stop, policy=patient
            )


@pytest.fixture
def three() -> list[Team]:
    """Three teams, of which the first and the last are one."""
    shared = Team(id_="tea_shared", users=[BEN, ZOE])
    return [shared, Team(id_="tea_b", users=[ZOE]), shared]


async def test_accounts_of_one_team_are_pointed_out(three: list[Team]) -> None:
    """Two keys of one team are two lanes for one list of tasks."""
    async with sandboxes(*three) as some:
        teams = await asked({f"acme-{n}": endpoint_of(one) for n, one in enumerate(some)})
        two = await asked({"a": endpoint_of(some[0]), "b": endpoint_of(some[2])})
        also = {f"acme-{n}": endpoint_of(some[0]) for n in range(3)}
        same = await asked(also)
    assert [*shared_lines(teams)] == [f"acme-0 and acme-2 {ORDER}; run refuses both {UNLESS}"]
    assert [account_record(one, teams)["same_team"] for one in teams.asked] == [
        ["acme-2"], [], ["acme-0"],
    ]  # fmt: skip
    assert two.same_key == ""
    assert [*shared_lines(same)] == [
        f"account 'acme-0' (given) and account 'acme-1' (given) {SAME_KEY}",
        f"account 'acme-0' (given) and account 'acme-2' (given) {SAME_KEY}",
        f"acme-0, acme-1 and acme-2 {ORDER}; run refuses them {UNLESS}",
    ]


async def test_accounts_are_shown_as_a_table(three: list[Team], tmp_path: Path) -> None:
    """Each account has a line, and a column says what is wrong, where anything is."""
    async with sandboxes(*three[:2]) as [acme, globex]:
        urls = {"acme": acme.base_url, "globex": f'{globex.base_url}"\nread_only = true #'}
        good, bad = [
            await ask_teams(named(tmp_path, **urls, ACME="key-0", **more), None, AT_ONCE, Stop())
            for more in ({"GLOBEX": "key-1"}, {})
        ]
    problem = "$GLOBEX is not set: set it to the API key of this account"
    assert [*account_lines(good)] == [
        "account  team     team id     members  access          key",
        "acme     Sandbox  tea_shared        2  read and write  $ACME",
        "globex   Sandbox  tea_b             1  read only       $GLOBEX",
    ]
    assert [*account_lines(bad)] == [
        "account  team     team id     members  access          key      problem",
        "acme     Sandbox  tea_shared        2  read and write  $ACME",
        f"globex   -        -                 -  read only       $GLOBEX  {problem}",
    ]
    assert account_record(bad.asked[1], bad) == {
        "account": "globex",
        "team_id": None,
        "team_name": None,
        "members": None,
        "read_only": True,
        "base_url": globex.base_url,
        "key": "$GLOBEX",
        "same_team": [],
        "problem": problem,
    }
    record = account_record(good.asked[0], good)
    assert [record[key] for key in ("team_id", "team_name", "members", "problem")] == [
        "tea_shared", "Sandbox", 2, None,
    ]  # fmt: skip


async def test_team_that_tells_only_ids_has_as_many_members() -> None:
    """An old server tells ids alone, and may not tell who they are."""
    team = Team(id_="tea_a", users=[BEN, ZOE])
    async with sandboxes(team, team_version=1, closed={"users": 402}) as [one]:
        teams = await asked({"a": endpoint_of(one)})
    assert account_record(teams.asked[0], teams)["members"] == 2
    assert teams.asked[0].problem == ""
