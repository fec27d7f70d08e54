"""Tests of the file of accounts: what it means, each problem with its line, and no key shown."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.endpoint import DEFAULT_BASE_URL, Endpoint

#: A key as lemlist makes them.
KEY = "5ec3e7c0ffee5ec3e7c0ffee5ec3e7c0"

GOOD = """\
[acme]
api_key_env = "ACME_KEY"

["Globex & Söhne"]
api_key_file = "keys/globex.key"
read_only = true

[initech]
api_key_env = "INITECH_KEY"
read_only = false
base_url = "https://lemlist.initech.example/api/"
"""

ENV = 'api_key_env = "A"'

#: Wrong files, with the lines that are said of each.
WRONG = [
    ("".join(f"{line}\n" for line in lines if line[:2] != "> "),
     [line[2:] for line in lines if line[:2] == "> "])
    for block in Path(__file__).with_name("wrong_accounts.txt").read_text().split("\n\n")[1:]
    if (lines := block.rstrip("\n").split("\n"))
]  # fmt: skip


def loaded(path: Path, text: str | bytes = GOOD, **environ: str) -> Accounts:
    """The accounts in a file of this text."""
    path = path / "accounts.toml" if path.is_dir() else path
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Accounts.load(path, environ=environ)


def refused(path: Path, text: str | bytes = GOOD) -> list[str]:
    """The lines about what is wrong with a file of this text."""
    with pytest.raises(ConfigError) as caught:
        loaded(path, text)
    return str(caught.value).splitlines()


def key_file(path: Path, key: str = KEY, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode)
    path.chmod(mode)
    path.write_text(key)
    return path


def test_file_means_these_accounts(tmp_path: Path) -> None:
    """Accounts come in the order of the file, each with what the file says of it."""
    accounts = loaded(tmp_path)
    assert [*accounts] == ["acme", "Globex & Söhne", "initech"]
    assert len(accounts) == 3
    assert [one.name for one in accounts.values()] == [*accounts]
    assert [one.read_only for one in accounts.values()] == [False, True, False]
    own = "https://lemlist.initech.example/api"
    assert [one.base_url for one in accounts.values()] == [DEFAULT_BASE_URL, DEFAULT_BASE_URL, own]
    sources = ["$ACME_KEY", "keys/globex.key", "$INITECH_KEY"]
    assert [one.source for one in accounts.values()] == sources
    assert "Acme" not in accounts


@pytest.mark.parametrize(
    "text",
    ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), 'acme = { api_key_env = "ACME_KEY" }',
     'acme.api_key_env = "ACME_KEY"'],
)  # fmt: skip
def test_file_from_another_editor_means_the_same(tmp_path: Path, text: str) -> None:
    """A byte order mark, Windows line ends, and the other ways in which TOML writes a table."""
    account = loaded(tmp_path, text)["acme"]
    assert (account, account.source) == (loaded(tmp_path)["acme"], "$ACME_KEY")


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_wrong_file_is_told_with_line_key_and_what_is_accepted(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    """The message holds the problems of the file, and no value that may be a key."""
    lines = refused(tmp_path, text)
    assert lines == [f"{tmp_path / 'accounts.toml'}, {line}" for line in said]
    assert KEY not in "".join(lines)


def test_all_problems_are_told_at_once_by_line(tmp_path: Path) -> None:
    """One message is enough to put a file right."""
    text = f'[a]\n{ENV}\n[b]\nfoo = 1\n{ENV}\n[" c"]\nread_only = 0\napi_key_env = ""\n'
    assert [line.partition(", ")[2][:24] for line in refused(tmp_path, f"x = 1\n{text}")] == [
        "line 1: x: is outside of",
        "line 5: account 'b': foo",
        "line 6: account 'b': api",
        "line 7: account ' c': ha",
        "line 8: account ' c': re",
        "line 9: account ' c': ap",
    ]


def test_file_without_an_account_is_refused(tmp_path: Path) -> None:
    """A command that is to work on nothing was given the wrong file."""
    for text in ("", "# nothing\n", "\ufeff"):
        [line] = refused(tmp_path, text)
        assert line.endswith(
            'line 1: there is no account: write [acme], and api_key_env = "ACME_KEY" below it'
        )


def test_longest_name_has_two_hundred_characters(tmp_path: Path) -> None:
    """A longer one is cut in its message."""
    longest = loaded(tmp_path, f'["{"ü" * 200}"]\n{ENV}')["ü" * 200]
    with pytest.raises(ConfigError, match=f"account '{'ü' * 200}': "):
        longest.endpoint()
    [line] = refused(tmp_path, f'["{"ü" * 201}"]\n{ENV}')
    assert line.endswith("ü…: is longer than 200 characters")


@given(
    start=st.integers(0, 200), length=st.integers(0, 60), put=st.text("\"'=[]{}.\n\\ #", max_size=2)
)
def test_no_damage_to_a_file_shows_the_key_in_it(start: int, length: int, put: str) -> None:
    """A key that is in the file against the rules is in no message, also where no TOML is left."""
    text = f"[acme]\n{ENV}\napi_key = \"{KEY}\"\nread_only = true\n[b]\ntoken = '{KEY}' # {KEY}\n"
    lines = refused(Path("accounts.toml"), text[:start] + put + text[start + length :])
    assert lines
    assert KEY not in "".join(lines)


class Untouched(Mapping[str, str]):
    """An environment that nothing may look at."""

    def __getitem__(self, name: str) -> str:
        raise AssertionError(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all")

    def __len__(self) -> int:
        raise AssertionError("all")


def test_loading_reads_no_key(tmp_path: Path) -> None:
    """A key that is not needed may be missing, and the others stay where they are."""
    path = tmp_path / "accounts.toml"
    path.write_text(GOOD)
    os.mkfifo(key_file(tmp_path / "keys" / "other").with_name("globex.key"))
    accounts = Accounts.load(path, environ=Untouched())
    assert repr(accounts) == "Accounts('acme', 'Globex & Söhne', 'initech')"
    with pytest.raises(AssertionError, match="ACME_KEY"):
        accounts["acme"].endpoint()


def test_hundreds_of_accounts_are_read_in_no_time(tmp_path: Path) -> None:
    """A file of 500 accounts takes less than 50 ms."""
    tables = [
        f'["Client {n}"]\napi_key_file = "keys/{n}.key"\nbase_url = "https://{n}.example"\n'
        if n % 2
        else f'["Client {n}"]\napi_key_env = "CLIENT_{n}_KEY"\nread_only = true\n'
        for n in range(500)
    ]
    took = []
    for _ in range(5):
        began = time.process_time()
        assert len(loaded(tmp_path, "\n".join(tables))) == 500
        took.append(time.process_time() - began)
    assert min(took) < 0.5


def test_key_in_a_variable_is_found_when_it_is_needed(tmp_path: Path) -> None:
    """Each endpoint has the key that the variable holds at that time, without blanks."""
    path = tmp_path / "accounts.toml"
    path.write_text(GOOD)
    environ = {"ACME_KEY": "old"}
    account = Accounts.load(path, environ=environ, timeout=7, use_proxy=True)["acme"]
    environ["ACME_KEY"] = f" {KEY}\n"
    endpoint = account.endpoint()
    assert endpoint.api_key.reveal() == KEY
    assert (endpoint.base_url, endpoint.timeout) == (DEFAULT_BASE_URL, 7)
    assert endpoint.use_proxy
    plain = loaded(tmp_path, ACME_KEY=KEY)["acme"]
    assert (plain.endpoint().timeout, plain.endpoint().use_proxy) == (30, False)
    assert plain == account


def test_key_file_is_in_the_folder_of_the_accounts(tmp_path: Path) -> None:
    """A path is relative to the file of accounts, and not to where the command runs."""
    key_file(tmp_path / "etc" / "acme.key", f"\ufeff{KEY}\n")
    text = '[acme]\napi_key_file = "acme.key"\nbase_url = "https://own.example/"\n'
    endpoint = loaded(tmp_path / "etc", text)["acme"].endpoint()
    assert (endpoint.api_key.reveal(), endpoint.base_url) == (KEY, "https://own.example")
    absolute = text.replace("acme.key", str(tmp_path / "etc" / "acme.key"))
    assert loaded(tmp_path, absolute)["acme"].endpoint().api_key.reveal() == KEY


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "$ACME_KEY is not set: set it to the API key of this account"),
        ({"ACME_KEY": " "}, "$ACME_KEY is empty: set it to the API key of this account"),
        (
            {"ACME_KEY": f"{KEY} {KEY}"},
            "$ACME_KEY: the API key contains a blank or a character that no key can have",
        ),
    ],
)
def test_variable_without_a_key_is_named_with_its_account(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    """The message says which variable to set, and for which account."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, **environ)["acme"].endpoint()
    assert str(caught.value) == f"account 'acme': {said}"


@pytest.mark.parametrize(
    ("mode", "content", "said"),
    [
        (None, "", "can't be read: No such file or directory"),
        (0o644, KEY, "can be read or written by others: chmod 600 {path}"),
        (0o600, "", ": the API key is empty"),
        (0o600, f"{KEY} {KEY}", ": the API key contains a blank"),
        (0o600, KEY * 200, "is longer than a key: more than 4,096 characters"),
    ],
)
def test_key_file_without_a_key_is_named_with_its_account(
    tmp_path: Path, mode: int | None, content: str, said: str
) -> None:
    """A key file follows the rules of --api-key-file."""
    path = tmp_path / "keys" / "globex.key"
    if mode is not None:
        key_file(path, content, mode)
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path)["Globex & Söhne"].endpoint()
    text = str(caught.value)
    assert text.startswith(f"account 'Globex & Söhne': api_key_file {path}")
    assert said.format(path=path) in text
    assert KEY not in text


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_key_file_that_is_no_file_is_told_at_once(tmp_path: Path, kind: str) -> None:
    """A pipe that nobody writes to keeps no command waiting."""
    path = tmp_path / "acme.key"
    os.mkfifo(path, 0o600) if kind == "pipe" else path.mkdir(0o700)
    with pytest.raises(ConfigError, match=r"account 'acme'.*(not a regular file|Is a directory)"):
        loaded(tmp_path, '[acme]\napi_key_file = "acme.key"\n')["acme"].endpoint()


def test_two_names_of_one_key_file_are_refused(tmp_path: Path) -> None:
    """A link leads to the same key."""
    key_file(tmp_path / "a.key")
    (tmp_path / "b.key").symlink_to("a.key")
    text = '[a]\napi_key_file = "a.key"\n[b]\napi_key_file = "b.key"\n'
    assert (
        "account 'b': api_key_file: b.key: account 'a' names it too" in refused(tmp_path, text)[0]
    )


def test_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    """What is no file of accounts keeps no command waiting either."""
    opened = len([*Path("/dev/fd").iterdir()])
    broken = [("/proc/self/mem", "can't be read: Input/output error")]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * 4_000_001)
    for name, said in (
        ("missing", "can't be read: No such file or directory"),
        (".", "is no file of accounts: it is not a regular file"),
        ("pipe", "is no file of accounts: it is not a regular file"),
        ("large", "has more than 4 MB: it is no file of accounts"),
        ("\0", "can't be read: its name has a null character"),
        *(broken if Path("/proc/self/mem").exists() else ()),
    ):
        with pytest.raises(ConfigError) as caught:
            Accounts.load(tmp_path / name, environ={})
        assert str(caught.value) == f"{tmp_path / name} {said}"
    assert refused(tmp_path, b"[acme]\n\xff") == [
        f"{tmp_path / 'accounts.toml'}, line 2: is not UTF-8: save the file as UTF-8"
    ]
    assert refused(tmp_path, b"#" * 3_999_999 + b"\n")[0].endswith("below it")
    assert len([*Path("/dev/fd").iterdir()]) == opened


def test_wrong_settings_of_the_command_are_no_problem_of_the_file(tmp_path: Path) -> None:
    """A URL or a timeout that all accounts share is told without a line."""
    path = tmp_path / "accounts.toml"
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match=r"^the base URL 'lemlist'"):
        Accounts.load(path, environ={}, base_url="lemlist")
    with pytest.raises(ConfigError, match=r"^timeout must be"):
        Accounts.load(path, environ={}, timeout=0)
    own = Accounts.load(path, environ={}, base_url="http://127.0.0.1:8025/api/")
    assert own["acme"].base_url == "http://127.0.0.1:8025/api"
    assert own["initech"].base_url == "https://lemlist.initech.example/api"


def test_program_gives_its_own_endpoints() -> None:
    """Accounts from Python have the endpoints that were given, and may send."""
    endpoint = Endpoint(api_key=KEY, base_url="https://own.example", timeout=3)
    accounts = Accounts.of({"b": endpoint, "a": Endpoint(api_key="other")})
    assert [*accounts] == ["b", "a"]
    found = accounts["b"].endpoint()
    assert (found.api_key.reveal(), found.base_url, found.timeout) == (
        KEY,
        "https://own.example",
        3,
    )
    assert (accounts["b"].source, accounts["b"].read_only) == ("given", False)
    with pytest.raises(ConfigError, match="there is no account"):
        Accounts.of({})
    with pytest.raises(
        ConfigError, match=r"^account ' a': has blanks around it.*\naccount '': is no"
    ):
        Accounts.of({" a": endpoint, "": endpoint})


def test_account_shows_no_key_and_can_not_be_changed(tmp_path: Path) -> None:
    """An account in a log or a traceback tells its name."""
    account = loaded(tmp_path, ACME_KEY=KEY)["acme"]
    given = Accounts.of({"a": Endpoint(api_key=KEY)})["a"]
    assert repr(account) == "Account(name='acme', read_only=False)"
    assert KEY not in repr(account) + repr(given) + str(given._key) + repr(account._key)
    assert isinstance(account, Account)
    with pytest.raises(FrozenInstanceError):
        account.name = "other"  # type: ignore[misc]
    assert len({account, given}) == 2


def test_accounts_with_one_key_are_refused(tmp_path: Path) -> None:
    """Two accounts with one key would share its limit: both are named, with where to look."""
    key_file(tmp_path / "keys" / "globex.key")
    accounts = loaded(tmp_path, ACME_KEY=KEY, INITECH_KEY="another")
    endpoints = {name: account.endpoint() for name, account in accounts.items()}
    with pytest.raises(ConfigError) as caught:
        accounts.refuse_shared_keys(endpoints)
    assert str(caught.value) == (
        "account 'acme' ($ACME_KEY) and account 'Globex & Söhne' (keys/globex.key) have the same"
        " API key: each needs its own"
    )
    del endpoints["acme"]
    accounts.refuse_shared_keys(endpoints)
