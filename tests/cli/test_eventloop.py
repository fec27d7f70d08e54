"""The event loop that commands run in."""

import asyncio
import sys

import pytest

from bulkupdate.cli import eventloop


async def loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_commands_run_in_uvloop_where_it_is_installed_and_else_in_asyncio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert eventloop.run(loop_module()) == "uvloop"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert eventloop.run(loop_module()) == "asyncio"


def test_a_command_that_is_cancelled_ends_as_one_that_is_interrupted() -> None:
    async def leave() -> None:
        raise asyncio.CancelledError

    with pytest.raises(KeyboardInterrupt):
        eventloop.run(leave())
