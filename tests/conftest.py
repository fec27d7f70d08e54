"""Fixtures for all tests."""

import asyncio
import faulthandler
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import aioresponses.core
import hypothesis
import pytest
import uvloop

from bulkupdate.__main__ import collect_rarely

# The same examples every time. No deadline, because the machine may be busy.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fast", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("tests")

# As in the command itself. The collector takes a tenth of the time of the fast tests.
collect_rarely()

# `nohup` starts programs with SIGHUP ignored, and a shell starts those in the background with
# SIGINT ignored, which the commands under test would inherit.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
SAMPLES = TESTS.parent / "samples"

#: Packages of tests whose processes coverage does not measure: it would double their time, and the
#: other tests reach the same lines.
UNMEASURED = ("chaos", "docs", "lemlist")


class _Response(aiohttp.ClientResponse):
    """A response with an argument of aiohttp 3.14 that aioresponses 0.7.9 lacks (issue 289)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", mock.Mock(output_size=0))
        super().__init__(*args, **kwargs)


#: Where the standard error output goes before a test is captured.
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STDERR] = os.dup(sys.stderr.fileno())
    if config.getoption("markexpr") == "not slow":
        hypothesis.settings.load_profile("fast")  # for the tests that name no number of examples


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Limit the time for the end of a test too.

    pytest-timeout forgets its limit as soon as a test has failed. A task that ignores its
    cancellation, or a server that waits for its connections, would then hang for ever. Nothing in
    the process can be relied on by then, so this ends the process, and xdist starts another one.
    """
    limit = float(item.config.getini("timeout"))
    faulthandler.dump_traceback_later(limit, exit=True, file=item.config.stash[_STDERR])
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _environment(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Remove the key and the URL from the environment, and change to an empty directory."""
    monkeypatch.delenv("LEMLIST_API_KEY", raising=False)
    monkeypatch.delenv("LEMLIST_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    # Commands run in asyncio's own event loop, as for most users; see `either_loop`.
    monkeypatch.setenv("PYTHONPATH", str(TESTS / "without_uvloop"))
    if request.path.parent.name in UNMEASURED:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(params=["asyncio", "uvloop"])
def either_loop(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Run commands once in asyncio's event loop and once in uvloop's."""
    if request.param == "uvloop":
        monkeypatch.delenv("PYTHONPATH")


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loops for a test. Tests of HTTP run in both."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name == "test_tasks.py":
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Scripted answers instead of the network."""
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _Response)
    with aioresponses.aioresponses() as scripted:
        yield scripted


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of edits: `write("a.csv", "id,title", "a,b")`."""

    def write(name: str, *lines: str | dict[str, Any]) -> Path:
        path = tmp_path / name
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="")
        return path

    return write


def needed(program: str) -> str:
    """The path of a program. Without it, the test is skipped, but fails in CI."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI lacks {program}: .ci/run is to install it")
        pytest.skip(f"{program} is not installed")
    return path
