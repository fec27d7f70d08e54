"""Tests of the command `accounts`, and of the flags that name accounts."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkupdate.cli.connection import ConnectionFlags, chosen
from bulkupdate.errors import ConfigError
from tests.support.commands import COMMAND, Serving, bulkupdate, environment, serving, start

FILE = """\
[acme]
api_key_env = "ACME_KEY"

[globex]
api_key_file = "keys/globex.key"
read_only = true

[acme-2]
api_key_env = "ACME_2_KEY"
base_url = "{url}"
"""

ORDER = (
    "acme and acme-2 are one team: rows of one task could go out of order; run refuses both in one"
    " run unless --same-team"
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Serving]:
    """A sandbox with the made-up team."""
    with serving("--rate", "none") as server:
        yield server


@pytest.fixture(scope="module")
def second() -> Iterator[Serving]:
    """Another one of the same team, with another key."""
    with serving("--rate", "none", "--api-key", "second") as server:
        yield server


def accounts_file(url: str = "https://lemlist.example") -> Path:
    Path("keys").mkdir()
    path = Path("accounts.toml")
    path.write_text(FILE.format(url=url))
    return path


@pytest.mark.slow
def test_table_shows_each_account_and_exits_with_1(sandbox: Serving, second: Serving) -> None:
    """A key that is missing has its line, two of one team are pointed out, and others are shown."""
    accounts_file(second.url)
    keys = {"LEMLIST_BASE_URL": sandbox.url, "ACME_KEY": "sandbox", "ACME_2_KEY": "second"}
    done = bulkupdate("accounts", "accounts.toml", **keys)
    assert done.stdout.splitlines() == [
        "account  team     team id                members  access          key            "
        "  problem",
        "acme     Sandbox  tea_a6ba00fb0cb3cc620        5  read and write  $ACME_KEY",
        "globex   -        -                            -  read only       keys/globex.key"
        "  api_key_file keys/globex.key can't be read: No such file or directory",
        "acme-2   Sandbox  tea_a6ba00fb0cb3cc620        5  read and write  $ACME_2_KEY",
    ]
    assert (done.returncode, done.stderr) == (1, f"{ORDER}\n")
    two = bulkupdate("accounts", "accounts.toml", "-q", **keys, BULKUPDATE_ACCOUNT="acme-2\nacme")
    assert [line.split()[0] for line in two.stdout.splitlines()] == ["account", "acme", "acme-2"]
    assert (two.returncode, two.stderr) == (1, "")


@pytest.mark.slow
def test_one_account_that_is_fine_exits_with_0(sandbox: Serving) -> None:
    """--account leaves the others out, so that their keys may be missing."""
    accounts_file()
    variables = {"LEMLIST_BASE_URL": sandbox.url, "ACME_KEY": "sandbox"}
    done = bulkupdate("accounts", "accounts.toml", "--account", "acme", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
    names = ("--account", "globex", "--account", "acme")
    done = bulkupdate("accounts", "accounts.toml", *names, "--json", **variables)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["account"], one["team_id"], bool(one["problem"])) for one in records] == [
        ("acme", "tea_a6ba00fb0cb3cc620", False), ("globex", None, True),
    ]  # fmt: skip
    assert done.returncode == 1


@pytest.mark.slow
def test_accounts_of_which_none_can_be_read_exit_with_3(sandbox: Serving) -> None:
    """No warning stands between the lines, and no key is shown."""
    accounts_file(sandbox.url)
    variables = {"LEMLIST_BASE_URL": "http://127.0.0.1:9", "ACME_KEY": "k-1", "ACME_2_KEY": "k-2"}
    done = bulkupdate(
        "accounts", "accounts.toml", "--give-up-after", "0.1", "--rate", "none", **variables
    )
    assert (done.returncode, done.stderr) == (3, "error: no account's team can be read\n")
    assert "  the key is refused: unauthorized: 401 " in done.stdout
    assert ": connection: no connection: " in done.stdout
    assert "k-" not in done.stdout.replace("Cannot connect", "")


@pytest.mark.slow
def test_wrong_file_and_wrong_names_exit_with_2() -> None:
    """Nothing is asked before everything that was typed makes sense."""
    accounts_file()
    for arguments, said in (
        (("--account", "acm", "--account", "zz"),
         "error: --account 'acm' is not in accounts.toml: did you mean 'acme', 'acme-2'?\n"
         "error: --account 'zz' is not in accounts.toml: accounts: 'acme', 'globex', 'acme-2'\n"),
        (("--base-url", "lemlist"), "error: the base URL 'lemlist' must look like"),
        (("--timeout", "0"), "error: --timeout must be a number of seconds above 0"),
    ):  # fmt: skip
        done = bulkupdate("accounts", "accounts.toml", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(said)
    Path("accounts.toml").write_text("[acme]\nkey = 's3cr3t'\n[acme.eu]\n")
    done = bulkupdate("accounts", "accounts.toml")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: accounts.toml, line 2: account 'acme': key: no API key may"
    )
    assert "\nerror: accounts.toml, line 3: account 'acme': eu: no such key" in done.stderr
    assert "s3cr3t" not in done.stderr


@pytest.mark.slow
def test_signal_ends_the_command_with_its_code() -> None:
    """Ctrl-C during a wait for a server that is down ends with 130, and shows no half table."""
    accounts_file()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        arguments = ("accounts", "accounts.toml", "--account", "acme")
        process = start(*arguments, LEMLIST_BASE_URL=url, ACME_KEY="k")
        connection, _ = listener.accept()
    os.kill(process.pid, signal.SIGINT)
    connection.close()
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.endswith("error: interrupted by SIGINT\n")


@pytest.mark.slow
def test_unwritable_stdout_exits_with_3(sandbox: Serving) -> None:
    """A table that is lost is no success."""
    accounts_file()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "accounts", "accounts.toml", "--account", "acme"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(LEMLIST_BASE_URL=sandbox.url, ACME_KEY="sandbox"),
            timeout=60,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr == "error: stdout can't be written: No space left on device\n"


def flags(**given: object) -> ConnectionFlags:
    values = {"base_url": "https://own.example", "api_key_file": None, "proxy": False, **given}
    return ConnectionFlags(**values)  # type: ignore[arg-type]


def test_flags_find_the_accounts_that_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file there are none; with a name, there is one; keys are in this environment."""
    file = accounts_file()
    assert flags().found_accounts(5) is None
    assert [*(flags(accounts=file).found_accounts(5) or ())] == ["acme", "globex", "acme-2"]
    found = flags(accounts=file, account="acme").found_accounts(5)
    assert found is not None
    assert [*found] == ["acme"]
    monkeypatch.setenv("ACME_KEY", "k")
    endpoint = found["acme"].endpoint()
    assert (endpoint.timeout, endpoint.base_url) == (5, "https://own.example")
    assert endpoint.api_key.reveal() == "k"
    both = flags(accounts=file).found_accounts(5)
    assert both is not None
    assert [*chosen(both, ["acme-2", "acme"], file)] == ["acme", "acme-2"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"account": "acme", "accounts": None}, "--account is a name in the file of --accounts"),
        ({"api_key_file": Path("key")}, "--accounts says where the keys are: leave out --api-key"),
        ({"account": "ACMEE"}, "--account 'ACMEE' is not in accounts.toml: did you mean 'acme'"),
        ({"base_url": "x"}, "the base URL 'x' must look like"),
    ],
)
def test_flags_that_make_no_sense_together_are_refused(given: dict[str, object], said: str) -> None:
    """A key and a file of accounts are two ways to say the same."""
    with pytest.raises(ConfigError) as caught:
        flags(**{"accounts": accounts_file(), **given}).found_accounts(30)
    assert str(caught.value).startswith(said)
