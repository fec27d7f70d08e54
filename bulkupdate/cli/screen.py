"""The output to stderr, and the exit codes of errors."""

import contextlib
import errno
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from bulkupdate.cli.signals import ARRIVALS, SIGNALLED, interrupting
from bulkupdate.codec import to_json
from bulkupdate.context import ACCOUNT
from bulkupdate.errors import BulkUpdateError, JournalError, RunInUseError, RunStoppedError
from bulkupdate.journal import ExitCode, Summary
from bulkupdate.ui import messages

if TYPE_CHECKING:
    from bulkupdate.session.observer import Observer

#: Exit code after Ctrl-C.
INTERRUPTED = SIGNALLED + signal.SIGINT

#: Accounts of which the same message is shown within so many seconds. The others are left out.
_ECHOED = 5
_ECHO_SECONDS = 60.0

log = logging.getLogger("bulkupdate")


class Screen:
    """The writer of all output for people."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet

    def write(self, line: str, colour: str | None = None) -> None:
        """Write a line to stderr. Ignore a closed terminal or pipe."""
        if sys.stderr is None:
            return
        line = messages.printable(line)
        if colour is not None and is_terminal() and not os.environ.get("NO_COLOR"):
            line = click.style(line, fg=colour)
        try:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - the only print
        except OSError:
            # The terminal or the reader of the pipe is gone. The run continues.
            return

    def say(self, text: str, colour: str | None = None, *, account: str = "") -> None:
        """Write a line for people, as JSON if stderr is JSON.

        Args:
            text: the line.
            colour: its colour on a terminal.
            account: the account that it is about; "" for none.
        """
        if not self._quiet:
            self.write(self._formatted("note", text, account), colour)

    def error(self, text: str, *, account: str = "") -> None:
        """Write an error, even with `--quiet`. The arguments are those of `say`."""
        self.write(self._formatted("error", text, account), "red")

    def summary(self, summary: Summary) -> None:
        """Write the end of the run."""
        if self._as_json:
            self.say_event({"event": "summary", "summary": summary})
            return
        verdict = {0: "green", 1: "yellow"}.get(summary.exit_code or 0, "red")
        for number, line in enumerate(messages.summary_lines(summary)):
            self.say(line, None if number else verdict)
        if self._quiet and summary.reason and summary.exit_code:
            self.error(f"{summary.state}: {summary.reason}")

    def result(self, record: object) -> int:
        """Write JSON to stdout.

        Returns:
            The exit code for a failure to write, which takes the place of 0; else 0.
        """
        try:
            click.echo(to_json(record))
        except OSError as error:
            return unwritten(error, self.error)
        return ExitCode.DONE

    def lines(self, lines: Iterable[str]) -> int:
        """Write lines to stdout.

        Returns:
            The exit code for a failure to write, which takes the place of 0; else 0.
        """
        try:
            for line in lines:
                click.echo(line)
        except OSError as error:
            return unwritten(error, self.error)
        return ExitCode.DONE

    def say_event(self, event: dict[str, object]) -> None:
        """Write a JSON object for a program that reads stderr."""
        if not self._quiet:
            self.write(to_json(event).decode())

    def observer(self) -> "Observer":
        """The observer that shows the progress of a run."""
        from bulkupdate.session.observer import Observer
        from bulkupdate.ui.lines import JsonProgress, TextProgress
        from bulkupdate.ui.live import LiveProgress

        if self._quiet:
            return Observer()
        if self._as_json:
            return JsonProgress(self.write)
        return (LiveProgress if is_terminal() else TextProgress)(self.write)

    def log(self, verbosity: int) -> None:
        """Show log records: errors at -1, warnings too at 0, and more with each `-v`."""
        levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
        log.setLevel(levels.get(verbosity, logging.DEBUG))
        # A program gets all messages, and -v shows all.
        echoes = None if self._as_json or verbosity > 0 else _Echoes()
        log.handlers = [_Handler(self, echoes)]
        log.propagate = False

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn every exception into an error message and an exit code."""
        try:
            with interrupting((signal.SIGINT, signal.SIGTERM)):
                yield
        except RunStoppedError as error:
            self._leave(str(error), ExitCode.STOPPED)
        except JournalError as error:
            self._leave(str(error), ExitCode.STOPPED)
        except RunInUseError as error:
            self._leave(str(error), ExitCode.IN_USE)
        except BulkUpdateError as error:
            self._leave(str(error), ExitCode.REFUSED)
        except KeyboardInterrupt:
            self._leave("interrupted", SIGNALLED + (ARRIVALS.first or signal.SIGINT))
        except Exception as error:
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            log.debug("".join(traceback.format_exception(error)))
            what = f"{type(error).__name__}: {error}"
            self._leave(f"a bug, please report it: {what} (-vv shows where)", ExitCode.STOPPED)

    def _leave(self, text: str, code: int) -> NoReturn:
        for line in text.splitlines():
            self.error(line)
        sys.exit(code)

    def _formatted(self, event: str, text: str, account: str) -> str:
        if self._as_json:
            record = {"event": event, "message": text}
            return to_json({**record, "account": account} if account else record).decode()
        text = f"{account}: {text}" if account else text
        return f"error: {text}" if event == "error" else text


def unwritten(error: OSError, tell: Callable[[str], None]) -> int:
    """The exit code after a failure to write to stdout.

    If its reader has gone, the user knows: as other tools do, the command says nothing.

    Args:
        error: the failure.
        tell: shows an error.
    """
    # Python flushes stdout again at exit, and must not fail then.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if error.errno == errno.EPIPE:
        return SIGNALLED + signal.SIGPIPE
    tell(f"stdout can't be written: {error.strerror}")
    return ExitCode.STOPPED


def is_terminal() -> bool:
    """Whether stderr is a terminal that supports colours and updates."""
    is_dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return sys.stderr is not None and sys.stderr.isatty() and not is_dumb


class _Echoes:
    """Messages that several accounts log at about the same time, as when all servers are down.

    Args:
        clock: tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: Message → when it came first, and the accounts that had it since.
        self._said: dict[str, tuple[float, set[str]]] = {}

    def heard(self, text: str, account: str) -> str | None:
        """The message as it is to be shown; None if enough accounts had it."""
        now = self._clock()
        self._said = {
            said: (since, who)
            for said, (since, who) in self._said.items()
            if now - since < _ECHO_SECONDS
        }
        accounts = self._said.setdefault(text, (now, set()))[1]
        if account in accounts:
            return text
        accounts.add(account)
        if len(accounts) > _ECHOED:
            return None
        return (
            f"{text} (more accounts with this are not shown)" if len(accounts) == _ECHOED else text
        )


class _Handler(logging.Handler):
    def __init__(self, screen: Screen, echoes: _Echoes | None) -> None:
        super().__init__()
        self._screen = screen
        self._echoes = echoes

    def emit(self, record: logging.LogRecord) -> None:
        # A record is emitted by the task, the timer or the thread that logs it.
        account, text = ACCOUNT.get(), record.getMessage()
        if record.levelno >= logging.ERROR:
            self._screen.error(text, account=account)
            return
        shown = self._echoes.heard(text, account) if account and self._echoes else text
        if shown is not None:
            self._screen.say(shown, account=account)
