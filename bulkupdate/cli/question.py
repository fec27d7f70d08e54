"""The question on a terminal before a run completes tasks or empties fields."""

import asyncio
import contextlib
import os
import re
import select
import sys
import termios

from bulkupdate.cli.screen import Screen
from bulkupdate.plan import Preview
from bulkupdate.session.settings import RunConfig
from bulkupdate.ui import messages

#: Most bytes that are read at once. A terminal passes on one line at a time.
_LONGEST = 4096

#: Marks between groups of three digits, as people write them in several languages.
_SEPARATORS = " ,.'_\u2019\u00a0\u2009\u202f"
_NUMBER = re.compile(rf"\d+|\d{{1,3}}(?:([{_SEPARATORS}])\d{{3}})(?:\1\d{{3}})*", re.ASCII)


class Question:
    """The question, which wants a number of rows typed.

    Args:
        screen: shows the question.
        config: the settings of the run.
    """

    def __init__(self, screen: Screen, config: RunConfig) -> None:
        self._screen = screen
        self._config = config

    async def __call__(self, preview: Preview) -> bool:
        """Ask, and return whether the number of rows was typed."""
        # What was typed before the question is no answer to it.
        with contextlib.suppress(termios.error):
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
        for line in messages.question_lines(preview, self._config):
            self._screen.write(line)
        return number_in(await _typed_line()) == preview.completes_or_clears


def question(screen: Screen, config: RunConfig, *, is_answered: bool) -> Question | None:
    """The question of a run; None if nobody is to be asked, or nobody is there.

    Args:
        screen: shows the question.
        config: the settings of the run.
        is_answered: whether a flag has answered it.
    """
    # A sandbox that ends with the run holds no real task. In a pipe, the rows come from stdin.
    if is_answered or config.sandbox or config.input == "-":
        return None
    is_there = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
    return Question(screen, config) if is_there else None


def number_in(text: str) -> int | None:
    """The number that a text is, with or without separators of thousands; None if it is none."""
    if not _NUMBER.fullmatch(text.strip()):
        return None
    return int("".join(filter(str.isdigit, text)))


async def _typed_line() -> str:
    """The next line from the terminal; "" at its end. Other tasks run meanwhile."""
    given_up, give_up = os.pipe()
    waiting = asyncio.ensure_future(asyncio.to_thread(_read_line, sys.stdin.fileno(), given_up))
    try:
        return await asyncio.shield(waiting)
    finally:
        # The end of the pipe ends the wait of the thread.
        os.close(give_up)
        await asyncio.wait([waiting])
        os.close(given_up)


def _read_line(terminal: int, given_up: int) -> str:
    """Read a line, which ends with a newline. It is no answer without one, or once given up."""
    typed = b""
    while not typed.endswith((b"\n", b"\r")):
        ready, _, _ = select.select([terminal, given_up], [], [])
        try:
            more = b"" if given_up in ready else os.read(terminal, _LONGEST)
        except OSError:
            more = b""  # The terminal was closed.
        if not more:
            return ""
        typed += more
    return typed.decode(errors="replace")
