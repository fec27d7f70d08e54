"""Tests of `bulkupdate sandbox` with several accounts, as the real command."""

import json
import stat
import urllib.request
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bulkupdate.cli.sandbox import _farewell, _greeting, _ways
from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.sandbox import (
    Sandbox,
    SandboxAccount,
    Team,
    made_up_team,
    sandbox_accounts,
    write_accounts,
)
from bulkupdate.sandbox.team import TASKS
from tests.support.commands import Serving, bulkupdate, serving

#: Where a sandbox listens by default.
HERE = "http://127.0.0.1:8025/api"


def made(*arguments: str | Path) -> "CompletedProcess[str]":
    """Make an example of a file of accounts in the folder `keys`."""
    return bulkupdate("sandbox", "--make-keys", "keys", *arguments)


def keys_in(folder: Path) -> list[str]:
    """The keys in a folder."""
    return [path.read_text().strip() for path in sorted(folder.glob("*.key"))]


def state_of(server: Serving) -> dict[str, object]:
    """What the sandbox tells about its accounts."""
    with urllib.request.urlopen(server.url.removesuffix("/api") + "/sandbox") as answer:  # noqa: S310
        accounts: dict[str, object] = json.load(answer)["accounts"]
    return accounts


def ended(server: Serving) -> list[str]:
    """End the sandbox. Returns the rest of what it wrote."""
    server.process.terminate()
    assert server.process.stderr is not None
    return server.process.stderr.read().splitlines()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_example_holds_names_and_private_keys() -> None:
    """The example names three accounts, whose new keys only their owner can read."""
    done = made()
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "keys/accounts.toml names 3 accounts: acme, globex, initech",
        "  bulkupdate sandbox --accounts keys/accounts.toml",
    ]
    files = sorted(Path("keys").iterdir())
    assert [path.name for path in files] == [
        "accounts.toml",
        "acme.key",
        "globex.key",
        "initech.key",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(Path("keys").stat().st_mode) == 0o700
    keys = keys_in(Path("keys"))
    assert len(set(keys)) == 3
    assert not any(key in text for key in keys for text in (done.stderr, files[0].read_text()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "urls"),
    [
        ((), {"http://127.0.0.1:8025/api"}),
        (("--port", "9025"), {"http://127.0.0.1:9025/api"}),
        (("--host", "::1"), {"http://[::1]:8025/api"}),
        (("--port", "0"), {"https://api.lemlist.com/api"}),
        (("--host", "0.0.0.0", "--expose"), {"https://api.lemlist.com/api"}),  # noqa: S104
    ],
)
def test_keys_of_example_go_to_the_sandbox(flags: tuple[str, ...], urls: set[str]) -> None:
    """The accounts of the example have the URL of the sandbox, where it is known."""
    done = made(*flags)
    accounts = Accounts.load("keys/accounts.toml", environ={})
    assert {account.base_url for account in accounts.values()} == urls
    again = [flag for flag in flags if flag != "--expose"]
    assert done.stderr.splitlines()[1].split()[4:] == again


def test_example_may_have_any_number_of_accounts() -> None:
    """The number of accounts is free, and each can be used."""
    assert made("--count", "30").stderr.splitlines()[0].endswith("account-020, …")
    accounts = Accounts.load("keys/accounts.toml", environ={})
    served = sandbox_accounts(accounts, dict.fromkeys(accounts, Team()))
    assert len({account.key for account in served.values()}) == 30
    assert [*served][4:7] == ["hooli", "account-006", "account-007"]


def test_folder_with_content_is_left_alone(tmp_path: Path) -> None:
    """An empty folder is taken; one that holds anything is refused, and nothing in it changes."""
    Path("keys").mkdir()
    assert made("--count", "1").returncode == 0
    before = {path.name: path.read_bytes() for path in Path("keys").iterdir()}
    done = made()
    assert done.returncode == 2
    assert done.stderr == "error: keys is not empty: name a new folder\n"
    assert {path.name: path.read_bytes() for path in Path("keys").iterdir()} == before
    with pytest.raises(ConfigError, match="can't be written: No such file or directory"):
        write_accounts(tmp_path / "none" / "keys", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--make-keys", "keys", "--accounts", "a.toml"),
            "--make-keys writes a file of accounts: leave out --accounts",
        ),
        (("--count", "2"), "--count is the number of accounts of --make-keys: give both"),
        (
            ("--accounts", "a.toml", "--api-key", "x"),
            "--accounts says where the keys are: leave out --api-key",
        ),
        (("--accounts", "none.toml"), "none.toml can't be read: No such file or directory"),
        (("--make-keys", "keys", "--count", "0"), "0 is not in the range 1<=x<=1000"),
    ],
)
def test_flags_that_contradict_are_refused(arguments: tuple[str, ...], message: str) -> None:
    """Flags that have no effect beside others are refused, and nothing is served or written."""
    done = bulkupdate("sandbox", "--port", "0", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not Path("keys").exists()


def test_missing_and_shared_keys_are_told_at_once() -> None:
    """All accounts without a key are named, and so are two accounts with the same one."""
    names = ("acme", "globex", "initech")
    tables = [f'[{name}]\napi_key_env = "{name.upper()}_KEY"\n' for name in names]
    Path("accounts.toml").write_text("".join(tables))
    command = ("sandbox", "--port", "0", "--accounts", "accounts.toml")
    done = bulkupdate(*command, GLOBEX_KEY="one")
    assert done.returncode == 2
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == [
        " account 'acme'",
        " account 'initech'",
    ]
    done = bulkupdate(*command, ACME_KEY="one", GLOBEX_KEY="two", INITECH_KEY="one")
    assert done.returncode == 2
    assert "'acme' ($ACME_KEY) and account 'initech' ($INITECH_KEY) have the same API key" in (
        done.stderr
    )


def test_each_account_of_a_file_is_served() -> None:
    """The sandbox accepts each key of a file of accounts, and tells teams and tasks, but no key."""
    made("--port", "0")
    with serving("--accounts", "keys/accounts.toml") as server:
        asked = bulkupdate("accounts", "keys/accounts.toml", LEMLIST_BASE_URL=server.url)
        first = {name: next(iter(made_up_team(name).tasks)) for name in ("acme", "initech")}
        rows = "".join(f"{name},{id_},New\n" for name, id_ in first.items())
        Path("edits.csv").write_text(f"account,id,title\n{rows}")
        flags = ("--accounts", "keys/accounts.toml", "--base-url", server.url)
        assert bulkupdate("run", "edits.csv", *flags).returncode == 0
        counts = state_of(server)
        said = ended(server)
    ids = {name: made_up_team(name).id for name in ("acme", "globex", "initech")}
    assert asked.returncode == 0
    assert all(id_ in asked.stdout + asked.stderr for id_ in ids.values())
    assert counts["acme"] == {"requests": {"200": 1}, "tasks": TASKS}
    assert counts["globex"] == {"requests": {}, "tasks": TASKS}
    assert said == [
        f"  acme     {ids['acme']}  {TASKS} tasks",
        f"  globex   {ids['globex']}  {TASKS} tasks",
        f"  initech  {ids['initech']}  {TASKS} tasks",
        f"  LEMLIST_BASE_URL={server.url} bulkupdate accounts keys/accounts.toml",
        "2 requests (200: 2)",
        "  acme: 1 request (200: 1)",
        "  globex: 0 requests",
        "  initech: 1 request (200: 1)",
    ]
    assert not any(key in line for key in keys_in(Path("keys")) for line in said)


def test_tasks_of_a_file_belong_to_their_accounts() -> None:
    """With --tasks, each account holds the tasks that its own rows name."""
    made("--port", "0")
    Path("edits.csv").write_text("account,id,title\nacme,opp_1,A\nglobex,opp_1,B\nacme,opp_2,C\n")
    flags = ("--accounts", "keys/accounts.toml", "--tasks", "edits.csv")
    with serving(*flags) as server:
        counts = state_of(server)
    assert {name: one["tasks"] for name, one in counts.items() if isinstance(one, dict)} == {
        "acme": 2,
        "globex": 1,
        "initech": 0,
    }


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("https://lemlist.acme.example/api", True),
        ("http://127.0.0.1:9/api", True),
        (f"{HERE}/", False),
        (HERE.replace("127.0.0.1", "localhost"), False),
    ],
)
def test_accounts_of_other_servers_are_named(url: str, warns: bool) -> None:
    """An account whose URL is that of another server is named, since its requests go there."""
    made("--port", "0")
    path = Path("keys/accounts.toml")
    text = path.read_text().replace('"globex.key"\n', f'"globex.key"\nbase_url = "{url}"\n')
    path.write_text(text)
    warning = "  requests of globex go elsewhere: keys/accounts.toml gives another base_url"
    assert [*_ways(HERE, path, Accounts.load(path, environ={}))] == [
        *([warning] if warns else []),
        f"  LEMLIST_BASE_URL={HERE} bulkupdate accounts keys/accounts.toml",
    ]


def test_next_command_needs_no_variable_where_all_urls_are_given() -> None:
    """Where the file of accounts has the URL of the sandbox, the next command needs no variable."""
    made()
    path = Path("keys/accounts.toml")
    ways = [*_ways(HERE, path, Accounts.load(path, environ={}))]
    assert ways == ["  bulkupdate accounts keys/accounts.toml"]


async def test_only_first_accounts_are_shown() -> None:
    """Of many accounts, the sandbox shows the first, when it begins and when it ends."""
    accounts = {f"a{n}": SandboxAccount(key=f"{n}", team=Team(name=f"a{n}")) for n in range(25)}
    async with Sandbox(accounts=accounts) as sandbox:
        greeting = [*_greeting(sandbox)]
    assert len(greeting) == 1 + 20 + 1
    assert greeting[-1] == "  … and 5 more"
    assert len([*_farewell(sandbox)]) == 1 + 20
