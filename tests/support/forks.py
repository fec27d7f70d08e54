"""The command in forks of a process that has imported it already.

Most of what a short command costs is its imports. A fork is a process like any other: it has its
own arguments, directory, mask, variables, standard files and exit code. But its interpreter has
started earlier. A test of the start itself runs `python -m bulkupdate`.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn

#: The beginnings of variables that the interpreter or a library reads when it starts.
_READ_AT_START = ("COVERAGE", "LANG", "LC_", "LD_", "MALLOC", "MPL", "PYTHON", "SSL", "TZ")

#: Seconds until a command that does not end is killed.
_PATIENCE = 60

#: What commands import when they need it.
_IMPORTED_LATE = (
    "aiohttp.web", "chardet", "prometheus_client", "rich.live", "rich.progress_bar", "rich.table",
    "uvloop", "xlrd", "xlsxwriter",
)  # fmt: skip

#: What only a report imports. It takes the longest.
_REPORT = "bulkupdate.report.charts", "bulkupdate.report.page"


class _Call(NamedTuple):
    """What a fork gets, beside its standard files."""

    arguments: Sequence[str]
    directory: str
    umask: int
    environment: Mapping[str, str]


def read_at_start(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The variables that a process reads when it starts, and a fork no longer."""
    return tuple(sorted(pair for pair in environment.items() if pair[0].startswith(_READ_AT_START)))


@functools.cache
def forks_with(variables: tuple[tuple[str, str], ...]) -> "Forks":
    """The process that started with these variables: one for all tests of this process."""
    return Forks(dict(variables))


class Forks:
    """A process that forks the command.

    Args:
        variables: variables that the process starts with.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._turn = threading.Lock()
        self._here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(there.fileno())],
                env={**os.environ, **variables},
                pass_fds=[there.fileno()],
                start_new_session=True,  # Ctrl-C ends the tests, and they end this process
            )
        self._here.settimeout(_PATIENCE)
        self._answers = self._here.makefile("r", encoding="ascii")
        atexit.register(self._close)

    def run(
        self, arguments: Sequence[str], stdin: str | None, environment: Mapping[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end, like `subprocess.run`."""
        call = _Call(arguments, str(Path.cwd()), _umask(), environment)
        theirs, ours = _standard_files(stdin)
        with self._turn, ThreadPoolExecutor(len(ours)) as pool:
            child = self._start(call, theirs)
            said = pool.map(_exchange, ours, (stdin, None, None), "wrr")
            code = self._wait(child)
            _, stdout, stderr = said
        return subprocess.CompletedProcess(list(arguments), code, stdout, stderr)

    def _start(self, call: _Call, files: list[int]) -> int:
        # Not with msgspec: a name of a file may hold lone surrogates.
        message = json.dumps(call).encode() + b"\n"
        sent = socket.send_fds(self._here, [message], files)
        self._here.sendall(message[sent:])
        for file in files:
            os.close(file)
        return int(self._answers.readline())

    def _wait(self, child: int) -> int:
        try:
            return int(self._answers.readline())
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            raise

    def _close(self) -> None:
        self._answers.close()
        self._here.close()
        self._process.wait()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _standard_files(stdin: str | None) -> tuple[list[int], list[int]]:
    """The standard files of a command, and the other ends of their pipes."""
    (read_in, write_in), (read_out, write_out), (read_err, write_err) = (os.pipe() for _ in "012")
    if stdin is None:
        os.close(read_in)
        read_in = os.open(os.devnull, os.O_RDONLY)
    return [read_in, write_out, write_err], [write_in, read_out, read_err]


def _exchange(file: int, text: str | None, mode: str) -> str:
    """Write the text to a pipe, or read the pipe to its end."""
    with contextlib.suppress(BrokenPipeError), open(file, mode) as stream:
        if mode == "r":
            read: str = stream.read()
            return read
        stream.write(text or "")
    return ""


def _serve(client: socket.socket) -> None:
    """Fork for one call after the other, until the client is gone."""
    _import(*_modules(), *_IMPORTED_LATE)
    while call := _received(client):
        message, files = call
        if any("report" in argument for argument in message.arguments):
            _import(*_REPORT)
        gc.freeze()  # else each fork copies all objects when it collects garbage
        if (child := os.fork()) == 0:
            client.close()
            _become(message, files)
        for file in files:
            os.close(file)
        client.sendall(b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        client.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _import(*modules: str) -> None:
    for name in modules:
        with contextlib.suppress(ImportError):  # an extra that is not installed
            importlib.import_module(name)


def _modules() -> Iterator[str]:
    """The modules of the program, but those of a report."""
    package = importlib.import_module("bulkupdate")
    for module in pkgutil.walk_packages(package.__path__, "bulkupdate."):
        if not module.name.endswith("__main__") and module.name not in _REPORT:
            yield module.name


def _received(client: socket.socket) -> tuple[_Call, list[int]] | None:
    """The next call and its standard files."""
    text, files, *_ = socket.recv_fds(client, 1 << 16, 3)
    while text and not text.endswith(b"\n"):
        text += client.recv(1 << 16)
    return (_Call(*json.loads(text)), list(files)) if text else None


def _become(call: _Call, files: list[int]) -> NoReturn:
    """Be the command from now on, as `python -m bulkupdate` is."""
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    os.chdir(call.directory)
    os.umask(call.umask)
    os.environ.clear()
    os.environ.update(call.environment)
    sys.path.insert(0, call.directory)
    sys.argv = ["bulkupdate", *call.arguments]
    code = _exit_code()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    os._exit(code if _flushed() else 120)  # 120: as Python exits


def _exit_code() -> int:
    try:
        runpy.run_module("bulkupdate", run_name="__main__", alter_sys=True)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _flushed() -> bool:
    """Whether all that was printed is written."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as there:
        _serve(there)
