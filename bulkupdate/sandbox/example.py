"""An example of a file of accounts, with keys that only a sandbox accepts."""

import os
import secrets
from pathlib import Path

from bulkupdate.errors import ConfigError, count

#: The name of the file of accounts.
FILE = "accounts.toml"

#: Names of the first accounts. Later ones are numbered.
_NAMES = ("acme", "globex", "initech", "umbrella", "hooli")

_HEAD = """\
# {accounts} of a sandbox. This file says where the key of each account is, and holds none.
# Only the sandbox accepts these keys. A key of your own is in a file, as here, or in a variable:
# api_key_env = "ACME_KEY". Where read_only = true, nothing is sent that changes a task.
"""


def write_accounts(folder: Path, number: int, base_url: str | None = None) -> list[str]:
    """Write an example of a file of accounts, and a new key for each.

    Args:
        folder: the folder of all files. It is made, or is there and empty.
        number: the number of accounts.
        base_url: the URL of the sandbox, so that no key is sent to another server; None where it is
            not known yet.

    Returns:
        The names of the accounts.

    Raises:
        ConfigError: the folder holds something, or can't be written.
    """
    names = [*_NAMES[:number], *(f"account-{n:03}" for n in range(len(_NAMES) + 1, number + 1))]
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty: name a new folder")
        for name in names:
            _write_new(folder / _key_file(name), f"sandbox-{secrets.token_hex(16)}\n")
        tables = "".join(_table(name, base_url) for name in names)
        _write_new(folder / FILE, _HEAD.format(accounts=count(number, "account")) + tables)
    except OSError as error:
        raise ConfigError(f"{folder} can't be written: {error.strerror}") from None
    return names


def _key_file(name: str) -> str:
    return f"{name}.key"


def _table(name: str, base_url: str | None) -> str:
    """The part of an account in the file of accounts."""
    server = f'base_url = "{base_url}"\n' if base_url else ""
    return f'\n[{name}]\napi_key_file = "{_key_file(name)}"\n{server}'


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there, and that only its owner can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
