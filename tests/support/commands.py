"""The real command, in its own process."""

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.forks import forks_with, read_at_start

BIN = Path(sys.executable).parent
COMMAND = [sys.executable, "-m", "bulkupdate"]


class Serving(NamedTuple):
    """A sandbox in its own process.

    Attributes:
        url: the base URL of the sandbox.
        process: the process, to which signals can be sent.
    """

    url: str
    process: "subprocess.Popen[str]"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables for a client of the sandbox."""
        return {"LEMLIST_BASE_URL": self.url, "LEMLIST_API_KEY": "sandbox"}


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: the present one, with `bulkupdate` on the path."""
    return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **more}


def bulkupdate(
    *arguments: str | Path, stdin: str | None = None, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    starting = environment(**variables)
    if read_at_start(starting) == read_at_start(os.environ):
        forks = forks_with(read_at_start(starting))
        return forks.run([str(argument) for argument in arguments], stdin, starting)
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        env=starting,
        timeout=60,
        check=False,
    )


def start(*arguments: str | Path, **variables: str) -> "subprocess.Popen[str]":
    """Start the command."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    )


@contextlib.contextmanager
def serving(*arguments: str | Path) -> Iterator[Serving]:
    """A `bulkupdate sandbox` with these flags that runs until the block ends."""
    process = start("sandbox", "--port", "0", *arguments)
    try:
        if process.stderr is None or not select.select([process.stderr], [], [], 20)[0]:
            raise AssertionError("the sandbox did not start")
        first = process.stderr.readline()
        found = re.match(r"(http://\S+) holds", first)
        if not found:
            raise AssertionError(first + process.stderr.read())
        yield Serving(found[1], process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


_TWO = """\
[acme]
api_key_env = "ACME_KEY"

[globex]
api_key_env = "GLOBEX_KEY"
base_url = "{url}"
read_only = true
"""


@contextlib.contextmanager
def serving_two(first: Serving) -> Iterator[dict[str, str]]:
    """Two accounts with tasks of the same ids, in `accounts.toml`: `acme`, and `globex`.

    Yields:
        The environment variables for a client of both.
    """
    with serving("--rate", "none", "--api-key", "k3y-of-globex") as second:
        Path("accounts.toml").write_text(_TWO.format(url=second.url))
        yield {"LEMLIST_BASE_URL": first.url, "ACME_KEY": "sandbox", "GLOBEX_KEY": "k3y-of-globex"}


def summary_in(directory: str = "edits.run") -> dict[str, Any]:
    """The summary in a run directory."""
    summary: dict[str, Any] = json.loads((Path(directory) / "summary.json").read_text())
    return summary


def wait_for_results(count: int, directory: str = "edits.run") -> None:
    """Wait until a number of rows are settled."""
    log = Path(directory) / "results.jsonl"
    deadline = time.monotonic() + 20
    while not log.exists() or log.read_bytes().count(b"\n") < count:
        if time.monotonic() > deadline:
            raise AssertionError("no results")
        time.sleep(0.01)


def all_updated(shown: str, rows: int) -> bool:
    """Whether a run says that it has updated all of so many rows; it may have taken a second."""
    return re.search(rf"(?<!\d){rows} rows(?: in [\d.]+ s)?: {rows} updated", shown) is not None
