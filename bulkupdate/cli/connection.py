"""Flags that name the server and the key."""

import os
from dataclasses import dataclass
from pathlib import Path

import click

from bulkupdate.cli import environment
from bulkupdate.cli.command import option
from bulkupdate.cli.outputs import check_key_file
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
give_up_option = option(
    "--give-up-after",
    default=600.0,
    show_default=True,
    metavar="S",
    help="Most seconds to wait for a server that is down.",
)


@dataclass(frozen=True, kw_only=True)
class ConnectionFlags:
    """The server and the key."""

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
        base_url = self.base_url
        if base_url is None:
            environment.check_base_url(os.environ)
            # A variable that is set but empty is a mistake, and must not select the real server.
            base_url = os.environ.get(BASE_URL_VARIABLE, DEFAULT_BASE_URL)
        return Endpoint(
            base_url=base_url,
            api_key=ApiKey.find(self.api_key_file, os.environ),
            timeout=timeout,
            use_proxy=self.proxy,
        )
