"""The event loop that commands run in."""

import asyncio
import sys

import pytest

from bulkupdate.cli import eventloop


async def loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_uvloop_is_used_where_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Commands run in uvloop where it is installed, and otherwise in asyncio."""
    assert eventloop.run(loop_module()) == "uvloop"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert eventloop.run(loop_module()) == "asyncio"


def test_cancelled_command_raises_keyboard_interrupt() -> None:
    """A cancelled command raises KeyboardInterrupt, like an interrupted one."""

    async def leave() -> None:
        raise asyncio.CancelledError

    with pytest.raises(KeyboardInterrupt):
        eventloop.run(leave())
