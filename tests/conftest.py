"""What every test has."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import aioresponses.core
import hypothesis
import pytest
import uvloop

# The same examples every time, and no deadline: the machine may be busy.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")

# `nohup` starts programs with SIGHUP ignored, which the commands under test would inherit.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

TESTS = Path(__file__).parent
SAMPLES = TESTS.parent / "samples"


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know an argument that aiohttp 3.14 needs (its issue 289)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", mock.Mock(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key and no URL from outside, and a directory of its own for each test."""
    monkeypatch.delenv("LEMLIST_API_KEY", raising=False)
    monkeypatch.delenv("LEMLIST_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    # Commands run in asyncio's own event loop, as they do for most people; see `either_loop`.
    monkeypatch.setenv("PYTHONPATH", str(TESTS / "without_uvloop"))


@pytest.fixture(params=["asyncio", "uvloop"])
def either_loop(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Commands run once in asyncio's event loop and once in uvloop's."""
    if request.param == "uvloop":
        monkeypatch.delenv("PYTHONPATH")


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Event loops that a test is run in, each in turn: what speaks HTTP, in either."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name == "test_tasks.py":
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Scripted answers in place of the network."""
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
    """The path of a program that a test runs. Where it is missing the test skips, but not in CI."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI lacks {program}: .ci/run is to install it")
        pytest.skip(f"{program} is not installed")
    return path
