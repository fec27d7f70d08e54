"""Accounts: names for API keys, and where each key is found.

A file of accounts names them. It may be shared or committed, so it holds no key::

    [acme]
    api_key_env = "ACME_KEY"             # a variable of the environment
    [globex]
    api_key_file = "keys/globex.key"     # from the folder of this file
    read_only = true
"""

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from bulkupdate import fields
from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.endpoint import DEFAULT_BASE_URL, ApiKey, Endpoint
from bulkupdate.toml import Path as Place
from bulkupdate.toml import Places, TomlError, parse

#: Most bytes of a file of accounts.
_LARGEST = 4_000_000

_LONGEST_NAME = 200

_ENV = "api_key_env"
_FILE = "api_key_file"
_READ_ONLY = "read_only"
_BASE_URL = "base_url"
_KEYS = (_ENV, _FILE, _READ_ONLY, _BASE_URL)
_ACCEPTED = f"accepted: {', '.join(_KEYS)}"

#: Keys that mean another one → that one.
_ALIASES = {"env": _ENV, "variable": _ENV, "file": _FILE, "url": _BASE_URL, "readonly": _READ_ONLY}

#: What a key of the file is called that holds an API key itself.
_SECRET = re.compile(r".*(key|token|secret|password|passwd|authorization|bearer)s?", re.IGNORECASE)

_BARE = re.compile(r"[A-Za-z0-9_-]+")

#: A name of a variable that any shell can set.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: A text that is an API key rather than a name, so that it is not shown: hexadecimal, or letters
#: of both cases and digits without a sign between them.
_LIKE_A_KEY = re.compile(
    r"[0-9a-fA-F]{24,}|(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9]{20,}|(?=.*[0-9])[A-Z0-9]{24,}"
)

#: First characters of names that a spreadsheet would run: a file of failed rows holds names.
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")

#: A key for an endpoint that sends nothing.
_NO_KEY = ApiKey("none")

_EXAMPLE = '[acme], and api_key_env = "ACME_KEY" below it'


class _Source(Protocol):
    """Where a key comes from. Its text is for people."""

    def __str__(self) -> str: ...

    def find(self) -> ApiKey:
        """The key.

        Raises:
            ConfigError: there is none.
        """


@dataclass(frozen=True, slots=True, repr=False)
class _Given:
    """A key that a program has given."""

    key: ApiKey

    def __str__(self) -> str:
        return "given"

    def find(self) -> ApiKey:
        return self.key


@dataclass(frozen=True, slots=True, repr=False)
class _Variable:
    """A key in a variable of the environment."""

    name: str
    environ: Mapping[str, str]

    def __str__(self) -> str:
        return f"${self.name}"

    def find(self) -> ApiKey:
        value = self.environ.get(self.name)
        if value is None or not value.strip():
            what = "is not set" if value is None else "is empty"
            raise ConfigError(f"${self.name} {what}: set it to the API key of this account")
        try:
            return ApiKey(value)
        except ConfigError as error:
            raise ConfigError(f"${self.name}: {error}") from None


@dataclass(frozen=True, slots=True, repr=False)
class _KeyFile:
    """A key in a file.

    Attributes:
        text: its name in the file of accounts.
        path: its path.
    """

    text: str
    path: Path

    def __str__(self) -> str:
        return self.text

    def find(self) -> ApiKey:
        named = f"{_FILE} {self.path}"
        if _is_no_file(self.path):
            raise ConfigError(f"{named} is not a regular file")
        return ApiKey.in_file(self.path, named)


@dataclass(frozen=True, slots=True)
class Account:
    """A name for an API key, which is found when it is needed.

    Attributes:
        name: the name, unique and exact.
        read_only: whether nothing may be sent that changes a task.
    """

    name: str
    read_only: bool
    _key: _Source = field(repr=False, compare=False)
    #: Everything but the key.
    _server: Endpoint = field(repr=False, compare=False)

    @classmethod
    def only(cls, endpoint: Endpoint) -> "Account":
        """The account of a program with one key. It needs no name, and has none."""
        return cls("", read_only=False, _key=_Given(endpoint.api_key), _server=endpoint)

    @property
    def base_url(self) -> str:
        """The URL of the API."""
        return self._server.base_url

    @property
    def label(self) -> str:
        """What messages about the account begin with: `account 'acme'`."""
        return f"account {_quoted(self.name)}"

    @property
    def source(self) -> str:
        """Where the key comes from: `$ACME_KEY`, `keys/acme.key` or `given`. Never the key."""
        return str(self._key)

    def endpoint(self) -> Endpoint:
        """The server, and the key as it is now.

        Raises:
            ConfigError: there is no key, or it can't be read. The message names the account, and
                what to set.
        """
        try:
            return replace(self._server, api_key=self._key.find())
        except ConfigError as error:
            raise ConfigError(f"{self.label}: {error}") from None


class Accounts(Mapping[str, Account]):
    """Accounts by name, in the order of their file.

    Args:
        accounts: the accounts.
    """

    __slots__ = ("_accounts",)

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = {one.name: one for one in accounts}

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        environ: Mapping[str, str],
        base_url: str = DEFAULT_BASE_URL,
        timeout: float = 30.0,
        use_proxy: bool = False,
    ) -> "Accounts":
        """Read a file of accounts, and no key.

        Args:
            path: the file: TOML, with a table for each account.
            environ: the environment variables, in which keys are looked up later.
            base_url: the URL of the API, for accounts without one of their own.
            timeout: most seconds that one attempt may take.
            use_proxy: whether to obey `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.

        Raises:
            ConfigError: the file can't be read, or something in it is wrong. The message holds
                every problem, a line for each, and nothing that may be a key.
        """
        server = Endpoint(api_key=_NO_KEY, base_url=base_url, timeout=timeout, use_proxy=use_proxy)
        path = Path(path)
        data = _read(path)
        try:
            text, content = parse(data)
        except TomlError as error:
            at = f", column {error.column}" if error.column else ""
            raise ConfigError(f"{path}, line {error.line}{at}: {error.discreet}") from None
        problems = _Problems(path, text)
        accounts = [*_File(path, content, environ, server, problems).accounts()]
        problems.stop()
        return cls(accounts)

    @classmethod
    def of(cls, endpoints: Mapping[str, Endpoint]) -> "Accounts":
        """Accounts of a program that has their keys. Each may send updates.

        Args:
            endpoints: name → the server and the key.

        Raises:
            ConfigError: there is none, or a name is wrong.
        """
        wrong = [f"account {_quoted(name)}: {why}" for name in endpoints if (why := _wrong(name))]
        if wrong or not endpoints:
            raise ConfigError("\n".join(wrong) or "there is no account")
        return cls(
            Account(name, read_only=False, _key=_Given(one.api_key), _server=one)
            for name, one in endpoints.items()
        )

    def refuse_shared_keys(self, endpoints: Mapping[str, Endpoint]) -> None:
        """Check that each account has a key of its own: two would share one limit.

        Args:
            endpoints: name of an account → its endpoint.

        Raises:
            ConfigError: some have the same key. The message names them, and no key.
        """
        salt = secrets.token_bytes(16)
        first: dict[bytes, str] = {}
        shared = []
        for name, endpoint in endpoints.items():
            # A hash, so that there is no other copy of a key.
            key = endpoint.api_key.reveal().encode()
            other = first.setdefault(hashlib.blake2b(key, key=salt).digest(), name)
            if other != name:
                both = f"{self._named(other)} and {self._named(name)}"
                shared.append(f"{both} have the same API key: each needs its own")
        if shared:
            raise ConfigError("\n".join(shared))

    def _named(self, name: str) -> str:
        source = f" ({self[name].source})" if name in self else ""
        return f"account {_quoted(name)}{source}"

    def __getitem__(self, name: str) -> Account:
        return self._accounts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._accounts)

    def __len__(self) -> int:
        return len(self._accounts)

    def __repr__(self) -> str:
        return f"Accounts({', '.join(map(repr, self._accounts))})"


class _Problems:
    """The problems of a file of accounts.

    Args:
        path: the file.
        text: its text.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._found: list[tuple[Place, str]] = []

    def add(self, place: Place, message: str) -> None:
        """Add a problem of a place."""
        self._found.append((place, message))

    def stop(self) -> None:
        """Stop where there is a problem.

        Raises:
            ConfigError: there is one at least.
        """
        if not self._found:
            return
        # Most files are right, and need no lines.
        places = Places(self._text)
        lines = [(places.line(place), message) for place, message in self._found]
        lines.sort(key=lambda line: line[0])
        raise ConfigError("\n".join(f"{self._path}, line {n}: {what}" for n, what in lines))


class _File:
    """The content of a file of accounts.

    Args:
        path: the file.
        content: its content.
        environ: the environment variables.
        server: the endpoint of accounts that name no server of their own.
        problems: gets what is wrong.
    """

    def __init__(
        self,
        path: Path,
        content: Mapping[str, Any],
        environ: Mapping[str, str],
        server: Endpoint,
        problems: _Problems,
    ) -> None:
        self._folder = path.parent
        self._content = content
        self._environ = environ
        self._server = server
        self._problems = problems
        #: URL → its endpoint. Most accounts have the same.
        self._servers: dict[str, Endpoint] = {}
        #: A variable, or the real path of a file → the account that names it.
        self._owners: dict[tuple[str, str], str] = {}

    def accounts(self) -> Iterator[Account]:
        """The accounts, as far as they could be read."""
        for name, value in self._content.items():
            if isinstance(value, dict):
                yield from self._account(name, value)
            else:
                self._problems.add((name,), f"{_shown(name)}: {_outside(name, value)}")
        if not self._content:
            self._problems.add((), f"there is no account: write {_EXAMPLE}")

    def _account(self, name: str, table: Mapping[str, Any]) -> Iterator[Account]:
        """The account of a table, if nothing is wrong with its key."""
        if why := _wrong(name):
            self._problems.add((name,), f"account {_quoted(name)}: {why}")
        for key in table:
            if key not in _KEYS:
                self._add(name, key, _unknown(key, table[key]))
        read_only = table.get(_READ_ONLY, False)
        if not isinstance(read_only, bool):
            self._add(name, _READ_ONLY, "is neither true nor false: write one, without quotes")
        server = self._own_server(name, table)
        source = self._source(name, table)
        if source is not None:
            yield Account(name, read_only is True, _key=source, _server=server)

    def _add(self, name: str, key: str, message: str) -> None:
        self._problems.add((name, key), f"account {_quoted(name)}: {_shown(key)}: {message}")

    def _own_server(self, name: str, table: Mapping[str, Any]) -> Endpoint:
        url = table.get(_BASE_URL)
        if url is None:
            return self._server
        if why := _no_text(url, "a URL"):
            self._add(name, _BASE_URL, why)
            return self._server
        if url not in self._servers:
            try:
                self._servers[url] = replace(self._server, base_url=url)
            except ConfigError as error:
                self._add(name, _BASE_URL, str(error))
                return self._server
        return self._servers[url]

    def _source(self, name: str, table: Mapping[str, Any]) -> _Source | None:
        """Where the key of an account comes from; None where that is wrong, which is noted."""
        given = [key for key in (_ENV, _FILE) if key in table]
        if len(given) == 2:
            self._add(name, _FILE, f"stands beside {_ENV}: write one of the two")
            return None
        if not given:
            # A misspelt one is noted already.
            if not any(_is_secret(key) or _meant(key) in (_ENV, _FILE) for key in table):
                self._problems.add(
                    (name,),
                    f"account {_quoted(name)}: names no key: write {_ENV} = "
                    f'"ACME_KEY" or {_FILE} = "keys/acme.key"',
                )
            return None
        (key,) = given
        value = table[key]
        if why := _no_variable(value) if key == _ENV else _no_path(value):
            self._add(name, key, why)
            return None
        return self._owned(name, key, value)

    def _owned(self, name: str, key: str, value: str) -> _Source:
        """The source of a key, of which no other account has its own."""
        path = self._folder / value
        what = value if key == _ENV else os.path.realpath(path)
        owner = self._owners.setdefault((key, what), name)
        if owner != name:
            shared = f"account {_quoted(owner)} names it too: each account needs a key of its own"
            self._add(name, key, f"{value}: {shared}")
        return _Variable(value, self._environ) if key == _ENV else _KeyFile(value, path)


def _read(path: Path) -> bytes:
    """The bytes of a file of accounts.

    Raises:
        ConfigError: it can't be read, is no file, or is too long.
    """
    try:
        # A pipe without a writer would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path} is no file of accounts: it is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST:
        raise ConfigError(f"{path} has more than 4 MB: it is no file of accounts")
    return data


def _unreadable(path: Path, error: OSError | ValueError) -> ConfigError:
    why = error.strerror if isinstance(error, OSError) else "its name has a null character"
    return ConfigError(f"{path} can't be read: {why}")


def _is_no_file(path: Path) -> bool:
    """Whether reading it could wait for ever. A folder can't be read, and that is told as such."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # The reader of the key says why it can't be read.
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _wrong(name: object) -> str:
    """What is wrong with the name of an account; "" if nothing is."""
    if not isinstance(name, str) or not name:
        return "is no name: write a text, as in [acme]"
    if name == "*":
        return "stands for all accounts in a file of rules: choose another name"
    if name != name.strip():
        return "has blanks around it: write the name without them"
    if len(name) > _LONGEST_NAME:
        return f"is longer than {_LONGEST_NAME} characters"
    if not name.isprintable():
        return "has a character that can't be seen, or a line break"
    if _LIKE_A_KEY.fullmatch(name):
        return f"looks like an API key: {_NO_SECRET}"
    if name.startswith(_FORMULA_STARTS):
        return "begins as a formula does, which a spreadsheet would run: begin with a letter"
    return ""


def _outside(key: str, value: object) -> str:
    """What is wrong with a value that is in no account."""
    if isinstance(value, list):
        return f"is a list: write [{key}], with one pair of brackets"
    if _is_secret(key):
        return _NO_SECRET
    return f"is outside of an account: write its name above it, as in {_EXAMPLE}"


def _unknown(key: str, value: object) -> str:
    """What is wrong with a key of an account that is none of those accepted."""
    if _is_secret(key):
        return _NO_SECRET
    if isinstance(value, dict):
        return 'no such key; a name with a dot is written in quotes: ["acme.eu"]'
    near = _meant(key)
    return f"no such key; {f'did you mean {near}?' if near else _ACCEPTED}"


_NO_SECRET = (
    "no API key may be in this file, which may be shared or committed: name a variable"
    f' ({_ENV} = "ACME_KEY") or a file ({_FILE} = "keys/acme.key")'
)


def _is_secret(key: str) -> bool:
    """Whether a key of the file seems to hold an API key itself."""
    return _SECRET.fullmatch(key) is not None


def _meant(key: str) -> str:
    """The accepted key that is meant by another one; "" if none is near."""
    return _ALIASES.get(key.lower()) or fields.nearest(key, _KEYS)


def _no_text(value: object, what: str) -> str:
    """Why a value is no text, or none that can be shown; "" if it is one."""
    if not isinstance(value, str):
        return f"is no text: write {what} in quotes"
    return f"looks like an API key: {_NO_SECRET}" if _LIKE_A_KEY.fullmatch(value) else ""


def _no_variable(value: object) -> str:
    """Why a value names no variable; "" if it does. The value is not shown: it may be a key."""
    if why := _no_text(value, "the name of a variable"):
        return why
    if not _VARIABLE.fullmatch(str(value)):
        return "is no name of a variable: write letters, digits and _, and no $ before them"
    return ""


def _no_path(value: object) -> str:
    """Why a value names no file; "" if it may. The value is not shown: it may be a key."""
    if why := _no_text(value, "the path of a file"):
        return why
    if not str(value).strip() or not str(value).isprintable():
        return "is no path of a file: write one on one line, as in keys/acme.key"
    return ""


def _shown(key: str) -> str:
    """A key of the file for messages."""
    return key if _BARE.fullmatch(key) and not _LIKE_A_KEY.fullmatch(key) else _quoted(key)


def _quoted(name: object) -> str:
    """A name in quotes, with control characters escaped."""
    text = str(name)
    return "'…'" if _LIKE_A_KEY.fullmatch(text) else fields.shorten(text, _LONGEST_NAME + 2)
