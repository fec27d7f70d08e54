"""Flags that name the server and the key, or the accounts."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bulkupdate.cli import environment
from bulkupdate.cli.command import option
from bulkupdate.cli.outputs import check_key_file
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import BASE_URL_VARIABLE, DEFAULT_BASE_URL, ApiKey, Endpoint

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


@dataclass(frozen=True, kw_only=True)
class ConnectionFlags:
    """The server and the key, or the accounts."""

    base_url: str | None
    api_key_file: Path | None
    proxy: bool

    def endpoint(self, timeout: float) -> Endpoint:
        """The endpoint.

        Args:
            timeout: most seconds for one attempt.

        Raises:
            ConfigError: a flag or a variable is wrong, or there is no key.
        """
        if self.api_key_file is None:
            environment.check_key(os.environ)
        else:
            check_key_file(self.api_key_file)
        return Endpoint(
            base_url=self._url(),
            api_key=ApiKey.find(self.api_key_file, os.environ),
            timeout=timeout,
            use_proxy=self.proxy,
        )

    def accounts_in(self, file: Path, timeout: float) -> Accounts:
        """The accounts of a file.

        Args:
            file: the file of accounts.
            timeout: most seconds for one attempt.

        Raises:
            ConfigError: a flag, a variable or the file is wrong.
        """
        return Accounts.load(
            file,
            environ=os.environ,
            base_url=self._url(),
            timeout=timeout,
            use_proxy=self.proxy,
        )

    def _url(self) -> str:
        if self.base_url is not None:
            return self.base_url
        environment.check_base_url(os.environ)
        # A variable that is set but empty is a mistake, and must not select the real server.
        return os.environ.get(BASE_URL_VARIABLE, DEFAULT_BASE_URL)
