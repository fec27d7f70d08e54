"""Flags that name the server and the key, or the accounts."""

import difflib
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bulkupdate.cli import environment
from bulkupdate.cli.command import option
from bulkupdate.cli.options import accounts_option as accounts_option
from bulkupdate.cli.outputs import check_key_file
from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import (
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    ApiKey,
    Endpoint,
    named_proxy,
)

base_url_option = option(
    "--base-url",
    metavar="URL",
    help=f"URL of the API.  [default: ${BASE_URL_VARIABLE}, else {DEFAULT_BASE_URL}]",
)
api_key_file_option = option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File that contains the API key.  [default: the key in $LEMLIST_API_KEY]",
)
proxy_option = option("--proxy", is_flag=True, help="Use the proxy in HTTPS_PROXY or ALL_PROXY.")
timeout_option = option(
    "--timeout",
    default=30.0,
    show_default=True,
    metavar="S",
    help="Most seconds for one attempt.",
)
account_option = option(
    "--account", metavar="NAME", help="Only this account of the file of accounts."
)

#: Number of names to show where a name is none.
_SHOWN = 3


def give_up_after(seconds: float) -> Any:
    """The flag `--give-up-after` with its default."""
    return option(
        "--give-up-after",
        default=seconds,
        show_default=True,
        metavar="S",
        help="Most seconds to wait for a server that is down.",
    )


give_up_option = give_up_after(600.0)


def forbid_core_dumps() -> None:
    """Keep a crash from writing the memory of this process, with API keys in it, to a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@dataclass(frozen=True, kw_only=True)
class ConnectionFlags:
    """The server and the key, or the accounts."""

    base_url: str | None
    api_key_file: Path | None
    proxy: bool
    accounts: Path | None = None
    account: str | None = None

    def endpoint(self, timeout: float) -> Endpoint:
        """The endpoint. From here on, no core dump may hold its key.

        Args:
            timeout: most seconds for one attempt.

        Raises:
            ConfigError: a flag or a variable is wrong, or there is no key.
        """
        forbid_core_dumps()
        self._check_proxy()
        if self.api_key_file is None:
            environment.check_key(os.environ)
        else:
            check_key_file(self.api_key_file)
        return Endpoint(
            base_url=self.url(),
            api_key=ApiKey.find(self.api_key_file, os.environ),
            timeout=timeout,
            use_proxy=self.proxy,
        )

    def found_accounts(self, timeout: float) -> Accounts | None:
        """The accounts that are meant: those of the file, or the one of `--account` alone.

        Args:
            timeout: most seconds for one attempt.

        Returns:
            The accounts, in the order of the file; None without a file.

        Raises:
            ConfigError: a flag, a variable or the file is wrong.
        """
        if self.accounts is None:
            if self.account is not None:
                raise ConfigError("--account is a name in the file of --accounts: give both")
            return None
        if self.api_key_file is not None:
            raise ConfigError("--accounts says where the keys are: leave out --api-key-file")
        found = self.accounts_in(self.accounts, timeout)
        return found if self.account is None else chosen(found, [self.account], self.accounts)

    def accounts_in(self, file: Path, timeout: float) -> Accounts:
        """The accounts of a file.

        Args:
            file: the file of accounts.
            timeout: most seconds for one attempt.

        Raises:
            ConfigError: a flag, a variable or the file is wrong.
        """
        forbid_core_dumps()
        self._check_proxy()
        return Accounts.load(
            file,
            environ=os.environ,
            base_url=self.url(),
            timeout=timeout,
            use_proxy=self.proxy,
        )

    def _check_proxy(self) -> None:
        """Check that a proxy is named, if one is to be used.

        Raises:
            ConfigError: none is. The requests would go another way than their user thinks.
        """
        if self.proxy and not self.url().startswith("http://") and named_proxy() is None:
            raise ConfigError(
                "--proxy: no proxy is named: set HTTPS_PROXY or ALL_PROXY, as in"
                " HTTPS_PROXY=http://proxy.example:3128"
            )

    def url(self) -> str:
        """The URL of the API: of the flag, the variable, or lemlist itself.

        Raises:
            ConfigError: the variable has another spelling.
        """
        if self.base_url is not None:
            return self.base_url
        environment.check_base_url(os.environ)
        # A variable that is set but empty is a mistake, and must not select the real server.
        return os.environ.get(BASE_URL_VARIABLE, DEFAULT_BASE_URL)


def chosen(accounts: Accounts, names: Sequence[str], file: Path) -> Accounts:
    """Some of the accounts, in the order of the file.

    Args:
        accounts: the accounts.
        names: the names of those that are wanted.
        file: the file, for messages.

    Raises:
        ConfigError: a name is none of them. The message has the nearest ones.
    """
    unknown = [_unknown(name, accounts, file) for name in names if name not in accounts]
    if unknown:
        raise ConfigError("\n".join(unknown))
    return Accounts(account for name, account in accounts.items() if name in names)


def _unknown(name: str, accounts: Accounts, file: Path) -> str:
    by_lower = {known.lower(): known for known in accounts}
    near = [by_lower[one] for one in difflib.get_close_matches(name.lower(), by_lower, n=_SHOWN)]
    words = ", ".join(map(repr, near or [*accounts][:_SHOWN]))
    more = ", …" if not near and len(accounts) > _SHOWN else ""
    asked = f"did you mean {words}?" if near else f"accounts: {words}{more}"
    return f"--account {name!r} is not in {file}: {asked}"
