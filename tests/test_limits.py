"""Every test has a time limit, whatever it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TESTS

pytestmark = pytest.mark.slow

HANGING = {
    "a call that never ends": """
        import time

        def test_hangs() -> None:
            time.sleep(60)
    """,
    "a server that waits for its connections": """
        import asyncio

        async def test_hangs() -> None:
            async def serve(_: object, writer: asyncio.StreamWriter) -> None:
                await asyncio.Event().wait()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            async with server:
                await asyncio.open_connection(*server.sockets[0].getsockname())
                await asyncio.Event().wait()
    """,
    "a task that ignores its cancellation, after a failure": """
        import asyncio, contextlib

        async def test_hangs() -> None:
            async def stay() -> None:
                while True:
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0.01)

            task = asyncio.create_task(stay())
            await asyncio.sleep(0.02)
            assert task.done()
    """,
}


@pytest.mark.parametrize("hanging", HANGING)
@pytest.mark.parametrize("processes", ["0", "1"], ids=["alone", "in a worker of xdist"])
def test_test_that_hangs_fails_in_time(tmp_path: Path, hanging: str, processes: str) -> None:
    """A test that hangs is reported as failed, in its body and at its end."""
    lines = HANGING[hanging].splitlines()
    test = tmp_path / "test_hanging.py"
    test.write_text("\n".join(line[8:] for line in lines))
    options = ("-c", TESTS.parent / "pyproject.toml", "-p", "tests.conftest", "-o", "timeout=1")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-n", processes, "-p", "no:cacheprovider", test],
        cwd=TESTS.parent,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "Timeout" in said or "crashed while running" in said
