"""The real command on a terminal of a given size."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte

from tests.support.commands import COMMAND, environment


class Terminal:
    """A command on a terminal.

    Attributes:
        screen: the content of the terminal.
        process: the command.
    """

    def __init__(
        self, *arguments: str | Path, columns: int, lines: int, variables: dict[str, str]
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        plain = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": "", "LINES": ""}
        given = environment(**{**plain, **variables})
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={name: value for name, value in given.items() if value},
            start_new_session=True,
        )
        os.close(slave)

    @property
    def text(self) -> str:
        """The text on the terminal, as lines without trailing blanks."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def type(self, text: str) -> None:
        """Press keys: a newline is Enter, character 4 is Ctrl-D."""
        os.write(self._master, text.encode())

    def wait_for(self, what: Callable[[str], object], seconds: float = 30) -> str:
        """Wait until `what` is true for the text on the terminal, and return the text."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.05)
            if what(self.text):
                return self.text
        raise AssertionError(f"not shown:\n{self.text}")

    def finish(self, seconds: float = 60) -> int:
        """Wait for the end of the command, and return its exit code."""
        deadline = time.monotonic() + seconds
        while self._read(0.05):
            if time.monotonic() > deadline:
                raise AssertionError(f"still running:\n{self.text}")
        return self.process.wait(5)

    def close(self) -> None:
        """Kill the command if it still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        """Read new output. Return False once no process has the terminal open."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self._stream.feed(os.read(self._master, 1 << 16))
            except OSError:
                return False
        return True


@contextlib.contextmanager
def terminal(
    *arguments: str | Path,
    columns: int = 80,
    lines: int = 24,
    variables: dict[str, str] | None = None,
) -> Iterator[Terminal]:
    """The command on a terminal. It is killed when the block ends."""
    opened = Terminal(*arguments, columns=columns, lines=lines, variables=variables or {})
    try:
        yield opened
    finally:
        opened.close()
